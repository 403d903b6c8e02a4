"""Reads the pages of the rulebook the way the tests need them: front matter, sections and fenced blocks.

The format is described in CONTRIBUTING.md. A fenced block whose info string starts with ``python`` may go on
with a role and options::

    python measured
    python wrong file=models.py
    python right target=MyLoss init=alpha=0.1 reference=cross_entropy

``init`` may be repeated. ``also=LF101`` names further codes that the same defect shows when it is run.
"""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

RULES = Path(__file__).resolve().parent.parent / "rules"

Role = Literal["measured", "wrong", "right"]

_FENCE = re.compile(r"^(?P<fence>`{3,})(?P<info>[^`]*)$")
_OPTIONS = {"file", "target", "init", "reference", "also"}


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block. ``line`` is the row of its opening fence, from 1."""

    language: str
    role: str | None
    options: Mapping[str, tuple[str, ...]]
    text: str
    section: str
    line: int

    def option(self, name: str) -> str | None:
        """The single value of an option, or None."""
        values = self.options.get(name, ())
        if len(values) > 1:
            raise ValueError(f"line {self.line}: option {name} is given {len(values)} times")
        return values[0] if values else None


@dataclass(frozen=True, slots=True)
class Program:
    """A complete example: its files by name, and for LF pages how ``fuzz`` is called.

    Blocks of one role that carry ``file=`` belong to one program; a block without it is a program by itself.
    """

    role: Role
    files: Mapping[str, str]
    target: str | None = None
    init: tuple[str, ...] = ()
    reference: str | None = None
    also: tuple[str, ...] = ()

    def write(self, folder: Path) -> list[Path]:
        """Write the files below ``folder`` and return their paths."""
        paths = []
        for name, text in self.files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            paths.append(path)
        return paths


@dataclass(frozen=True, slots=True)
class Page:
    """One page: what its front matter declares, and its body in parts."""

    path: Path
    meta: Mapping[str, Any]
    title: str
    summary: str
    sections: Mapping[str, str]
    blocks: tuple[Block, ...]

    @property
    def code(self) -> str:
        return str(self.meta["code"])

    def measured(self) -> list[tuple[Block, str]]:
        """Each measured block with the output that the page prints below it."""
        pairs = []
        for block, following in zip(self.blocks, (*self.blocks[1:], None), strict=True):
            if block.role != "measured":
                continue
            if following is None or following.language != "text" or following.section != block.section:
                raise ValueError(f"{self.path.name}:{block.line}: no text block follows the measured block")
            pairs.append((block, following.text))
        return pairs

    def programs(self, role: Role) -> list[Program]:
        """The examples of one role, in the order of the page."""
        blocks = [block for block in self.blocks if block.role == role]
        parts = [block for block in blocks if "file" in block.options]
        programs = [_program(role, [block]) for block in blocks if "file" not in block.options]
        return [_program(role, parts), *programs] if parts else programs


def page_paths() -> list[Path]:
    """All pages, in the order of their codes."""
    return sorted(RULES.glob("*.md"))


def read_page(path: Path) -> Page:
    """Read one page; the exception says what is malformed and where."""
    text = path.read_text(encoding="utf-8")
    match = re.match(r"---\n(.*?)\n---\n", text, flags=re.DOTALL)
    if match is None:
        raise ValueError(f"{path.name}: no front matter between two '---' lines")
    meta = yaml.safe_load(match.group(1))
    if not isinstance(meta, dict):
        raise TypeError(f"{path.name}: the front matter is not a mapping")
    body_row = match.group(0).count("\n")
    body = text[match.end() :]
    blocks = tuple(_blocks(path, body.splitlines(), body_row))
    sections = _sections(body)
    head = sections.pop("")
    title = next((line[2:] for line in head.splitlines() if line.startswith("# ")), "")
    paragraphs = [part for part in head.split("\n\n") if part.strip() and not part.startswith("#")]
    summary = " ".join(paragraphs[0].split()) if paragraphs else ""
    return Page(path, meta, title, summary, sections, blocks)


def run_measured(sources: Sequence[str]) -> list[str]:
    """Run the sources one after the other in a single Python process with torch; give what each printed.

    A source that raises yields its traceback, so that the comparison with the page shows it.
    """
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _RUNNER],
        input=json.dumps(list(sources)),
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    if done.returncode:
        raise RuntimeError(f"the measured blocks could not be run:\n{done.stderr}")
    outputs: list[str] = json.loads(done.stdout)
    return outputs


_RUNNER = """
import contextlib, io, json, sys, traceback
import torch

def run(source):
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        try:
            exec(compile(source, "measured", "exec"), {"__name__": "__measured__"})
        except Exception:
            traceback.print_exc(file=out)
    torch.set_default_dtype(torch.float32)
    return out.getvalue()

torch.set_num_threads(1)
json.dump([run(source) for source in json.load(sys.stdin)], sys.stdout)
"""


def _program(role: Role, blocks: Sequence[Block]) -> Program:
    only = blocks[0]
    files: dict[str, str] = {}
    for block in blocks:
        name = block.option("file") or "example.py"
        if name in files:
            raise ValueError(f"line {block.line}: the file {name} is given twice")
        files[name] = block.text
    return Program(
        role=role,
        files=files,
        target=only.option("target"),
        init=only.options.get("init", ()),
        reference=only.option("reference"),
        also=only.options.get("also", ()),
    )


def _blocks(path: Path, lines: Sequence[str], first_row: int) -> Iterator[Block]:
    section = ""
    index = 0
    while index < len(lines):
        line = lines[index]
        opening = _FENCE.match(line)
        if opening is None:
            section = line[3:].strip() if line.startswith("## ") else section
            index += 1
            continue
        start = index
        index += 1
        while index < len(lines) and lines[index] != opening["fence"]:
            index += 1
        if index == len(lines):
            raise ValueError(f"{path.name}:{first_row + start + 1}: the fence is never closed")
        text = "".join(f"{inner}\n" for inner in lines[start + 1 : index])
        index += 1
        yield _block(path, opening["info"], text, section, first_row + start + 1)


def _block(path: Path, info: str, text: str, section: str, row: int) -> Block:
    words = shlex.split(info)
    language = words[0] if words else ""
    roles = [word for word in words[1:] if "=" not in word]
    options: dict[str, tuple[str, ...]] = {}
    for word in words[1:]:
        key, equals, value = word.partition("=")
        if not equals:
            continue
        if key not in _OPTIONS:
            raise ValueError(f"{path.name}:{row}: unknown option {key} in the info string")
        options[key] = (*options.get(key, ()), value)
    if len(roles) > 1 or (roles and roles[0] not in {"measured", "wrong", "right"}):
        raise ValueError(f"{path.name}:{row}: unknown role in the info string {info!r}")
    return Block(language, roles[0] if roles else None, options, text, section, row)


def _sections(body: str) -> dict[str, str]:
    """The body by second-level heading; the part before the first one has the empty name."""
    sections: dict[str, list[str]] = {"": []}
    current = ""
    fence: str | None = None
    for line in body.splitlines():
        opening = _FENCE.match(line)
        if fence is None and opening is not None:
            fence = opening["fence"]
        elif fence is not None and line == fence:
            fence = None
        if fence is None and line.startswith("## "):
            current = line[3:].strip()
            if current in sections:
                raise ValueError(f"the section {current!r} stands twice")
            sections[current] = []
        else:
            sections[current].append(line)
    return {name: "\n".join(lines).strip() for name, lines in sections.items()}
