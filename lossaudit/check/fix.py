"""Applying fixes: edits become new text, format and untouched bytes stay, and a file is written whole or not at all."""

from __future__ import annotations

import contextlib
import difflib
import os
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import libcst

from lossaudit.findings import Applicability, Edit, Finding, Position
from lossaudit.sourcetext import decode, split_lines


@dataclass(frozen=True, slots=True)
class FixedFile:
    """One file before and after its fixes, and the findings whose fixes were applied."""

    path: Path
    before: bytes
    after: bytes
    applied: tuple[Finding, ...]

    def diff(self) -> str:
        """The change as a unified diff, as ``git apply`` reads it."""
        before, after = (split_lines(decode(source)[0]) for source in (self.before, self.after))
        name = self.path.as_posix()
        lines = difflib.unified_diff(before, after, name, name)
        return "".join(
            line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines
        )


def applicable(finding: Finding, *, unsafe: bool) -> bool:
    """Whether ``--fix`` (with ``--unsafe-fixes``) may apply the finding's fix."""
    return finding.fix is not None and (unsafe or finding.fix.applicability is Applicability.SAFE)


def fix_sources(
    sources: dict[str, bytes], findings: Iterable[Finding], *, unsafe: bool
) -> tuple[dict[str, bytes], list[Finding]]:
    """One round of fixes over the files of a project.

    A fix is applied whole or not at all: where it overlaps one that was applied before it, it waits for the next
    round; where the result would not parse, the file keeps its text and none of its fixes count.

    Returns:
        The new content of the files that changed, and the findings whose fixes were applied.
    """
    chosen = _choose([finding for finding in findings if applicable(finding, unsafe=unsafe)])
    changed: dict[str, bytes] = {}
    for filename in sorted({edit.span.filename for finding in chosen for edit in _edits(finding)}):
        edits = {edit for finding in chosen for edit in _edits(finding) if edit.span.filename == filename}
        after = apply_edits(sources[filename], sorted(edits, key=lambda edit: edit.span))
        if _parses(after):
            changed[filename] = after
    applied = [
        finding for finding in chosen if all(edit.span.filename in changed for edit in _edits(finding))
    ]
    if len(applied) < len(
        chosen
    ):  # a fix that spans files was lost in one of them: leave its other files alone
        return fix_sources(sources, applied, unsafe=unsafe) if applied else ({}, [])
    return changed, applied


def apply_edits(source: bytes, edits: Sequence[Edit]) -> bytes:
    """``source`` with every edit made. The edits are in order and do not overlap."""
    text, encoding = decode(source)
    starts = [0]
    for line in split_lines(text):
        starts.append(starts[-1] + len(line))

    def offset(position: Position) -> int:
        return starts[position.row - 1] + position.column - 1

    pieces, done = [], 0
    for edit in edits:
        pieces += [text[done : offset(edit.span.start)], edit.content]
        done = offset(edit.span.end)
    return "".join([*pieces, text[done:]]).encode(encoding)


def write_atomically(path: Path, content: bytes) -> None:
    """Replace the file at ``path``: a reader sees the old text or the new, never a part, and its mode stays.

    Raises:
        OSError: The folder or the file cannot be written.
    """
    target = path.resolve()
    handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
        Path(temporary).chmod(target.stat().st_mode)
        Path(temporary).replace(target)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(temporary).unlink()
        raise


def _choose(findings: Sequence[Finding]) -> list[Finding]:
    """The findings whose fixes can be made in one round: in order, each free of the edits before it.

    Two fixes may share an identical edit (the import that both need).
    """
    chosen: list[Finding] = []
    taken: set[Edit] = set()
    for finding in sorted(findings, key=lambda finding: (finding.span, finding.code)):
        edits = _edits(finding)
        if all(edit in taken or not any(_overlap(edit, other) for other in taken) for edit in edits):
            chosen.append(finding)
            taken.update(edits)
    return chosen


def _edits(finding: Finding) -> tuple[Edit, ...]:
    return finding.fix.edits if finding.fix else ()


def _overlap(one: Edit, other: Edit) -> bool:
    """Whether two edits touch the same text; two insertions at one place have no order, so they overlap too."""
    if one.span.filename != other.span.filename:
        return False
    if one.span == other.span:
        return True
    return one.span.start < other.span.end and other.span.start < one.span.end


def _parses(source: bytes) -> bool:
    try:
        libcst.parse_module(source)
    except (libcst.ParserSyntaxError, UnicodeDecodeError, RecursionError):
        return False
    return True
