"""Applying fixes: edits become new text, format and untouched bytes stay, and a file is written whole or not at all."""

from __future__ import annotations

import contextlib
import difflib
import os
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lossaudit.check.cell_edits import edit_notebook
from lossaudit.check.notebooks import broken_cells, python_of
from lossaudit.check.source import SourceError, check_syntax
from lossaudit.findings import Applicability, Edit, Finding, Position, Severity
from lossaudit.notebooktext import is_notebook, read_notebook
from lossaudit.rulebook import load_rules
from lossaudit.sourcetext import decode, split_lines

MAX_ROUNDS = 10
"""A fix may uncover the next; more rounds than this would mean that two undo each other."""


@dataclass(frozen=True, slots=True)
class FixedFile:
    """One file before and after its fixes, and the findings whose fixes were applied."""

    path: Path
    before: bytes
    after: bytes
    applied: tuple[Finding, ...]

    def diff(self) -> str:
        """The change as a unified diff, as ``git apply`` reads it; of a notebook cell by cell, for people."""
        name = self.path.as_posix()
        if not is_notebook(self.path):
            before, after = (split_lines(decode(source)[0]) for source in (self.before, self.after))
            return _diff(before, after, name)
        cells = zip(read_notebook(self.before).cells, read_notebook(self.after).cells, strict=True)
        return "".join(
            _diff(_ended(before), _ended(after), f"{name}:cell {number}")
            for number, (before, after) in enumerate(cells, 1)
        )


def _ended(lines: Sequence[str]) -> list[str]:
    return [f"{line}\n" for line in lines]


def _diff(before: Sequence[str], after: Sequence[str], name: str) -> str:
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
        after = edited(filename, sources[filename], edits)
        if after is not None:
            changed[filename] = after
    applied = [
        finding for finding in chosen if all(edit.span.filename in changed for edit in _edits(finding))
    ]
    if len(applied) < len(
        chosen
    ):  # a fix that spans files was lost in one of them: leave its other files alone
        return fix_sources(sources, applied, unsafe=unsafe) if applied else ({}, [])
    return changed, applied


def edited(filename: str, data: bytes, edits: Iterable[Edit]) -> bytes | None:
    """What a file holds with every edit made; None if it would not parse any more. The edits do not overlap."""
    in_order = sorted(edits, key=lambda edit: edit.span)
    if not is_notebook(filename):
        after = apply_edits(data, in_order)
        return after if _parses(filename, after) else None
    notebook = edit_notebook(data, in_order)
    if notebook is None or not _parses(filename, notebook) or _breaks_a_cell(Path(filename), data, notebook):
        return None
    modules = (read_notebook(notebook).source, apply_edits(read_notebook(data).source, in_order))
    same = [[line for line in module.splitlines() if line.strip()] for module in modules]
    return notebook if same[0] == same[1] else None


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


class WriteError(Exception):
    """A file that was to be changed cannot be written; the message says which and why."""


@dataclass(frozen=True, slots=True)
class Settled:
    """The files that changed, in the order of their names, and the findings that remain."""

    files: tuple[FixedFile, ...]
    findings: tuple[Finding, ...]


Analyse = Callable[[Mapping[Path, bytes]], tuple[Finding, ...]]
"""The findings of a project, given what files are taken to hold instead of what is on the disk."""


def settle_fixes(analyse: Analyse, *, unsafe: bool, given: Mapping[Path, bytes] | None = None) -> Settled:
    """Fix and analyse again, in memory, until nothing changes any more.

    ``given`` is what files hold, instead of what is on the disk. A fix after which another finding appears is taken back: it would only move the mistake.
    """
    bench = _Bench(analyse, given or {}, unsafe=unsafe)
    for _ in range(MAX_ROUNDS):
        if not bench.advance():
            break
    return bench.settled()


class _Bench:
    """The state of a series of rounds."""

    def __init__(self, analyse: Analyse, given: Mapping[Path, bytes], *, unsafe: bool) -> None:
        self._analyse = analyse
        self._unsafe = unsafe
        self._before = dict(given)
        self._sources: dict[Path, bytes] = {}
        self._applied: dict[Path, list[Finding]] = {}
        self._refused: set[tuple[str, str, str]] = set()
        self._findings = analyse({})

    def advance(self) -> bool:
        """One round; False if it changed nothing."""
        wanted = [
            finding
            for finding in self._findings
            if applicable(finding, unsafe=self._unsafe) and self._key(finding) not in self._refused
        ]
        if self._attempt(wanted):
            return True
        succeeded = [self._attempt_alone(key) for key in [self._key(finding) for finding in wanted]]
        return any(succeeded)

    def settled(self) -> Settled:
        """What came of it."""
        files = [
            FixedFile(path, self._before[path], source, tuple(self._applied.get(path, ())))
            for path, source in sorted(self._sources.items())
            if source != self._before[path]
        ]
        findings = tuple(
            replace(finding, fix=None)
            if finding.fix is not None and self._key(finding) in self._refused
            else finding
            for finding in self._findings
        )
        return Settled(tuple(files), findings)

    def _attempt_alone(self, key: tuple[str, str, str]) -> bool:
        """Try one fix on what the others have left; it is not tried again if it does not hold."""
        for finding in self._findings:
            if applicable(finding, unsafe=self._unsafe) and self._key(finding) == key:
                if self._attempt([finding]):
                    return True
                self._refused.add(key)
        return False

    def _attempt(self, wanted: list[Finding]) -> bool:
        filenames = {edit.span.filename for finding in wanted for edit in _edits(finding)}
        sources = {filename: self._source(Path(filename)) for filename in filenames}
        changed, applied = fix_sources(sources, wanted, unsafe=self._unsafe)
        if not changed:
            return False
        proposal = {**self._sources, **{Path(filename): source for filename, source in changed.items()}}
        findings = self._analyse(proposal)
        if _is_worse(self._findings, findings):
            return False
        for finding in applied:
            self._applied.setdefault(Path(_edits(finding)[0].span.filename), []).append(finding)
        self._sources, self._findings = proposal, findings
        return True

    def _source(self, path: Path) -> bytes:
        if path not in self._before:
            self._before[path] = path.read_bytes()
        return self._sources.get(path, self._before[path])

    def _key(self, finding: Finding) -> tuple[str, str, str]:
        """A finding by its file, its code and the text that it is about: its place moves."""
        path = Path(finding.span.filename)
        lines = split_lines(decode(python_of(path, self._source(path)))[0])
        return finding.span.filename, finding.code, lines[finding.span.start.row - 1].strip()


def _is_worse(before: Sequence[Finding], after: Sequence[Finding]) -> bool:
    """Whether there is more of any code than there was; what is merely better written with a built-in does not count."""
    rules = load_rules()
    counts = [
        Counter(finding.code for finding in findings if rules[finding.code].severity is not Severity.INFO)
        for findings in (before, after)
    ]
    return any(count > counts[0][code] for code, count in counts[1].items())


def write_all(files: Sequence[FixedFile]) -> None:
    """Write the files, each whole or not at all.

    Raises:
        WriteError: Some of them cannot be written, or have changed since they were read; the others are.
    """
    failures = []
    for file in files:
        try:
            if file.path.read_bytes() != file.before:
                failures.append(f"{file.path}: changed while it was checked, so it was left alone")
                continue
            write_atomically(file.path, file.after)
        except OSError as error:
            failures.append(f"{file.path}: cannot be written: {error.strerror or error}")
    if failures:
        raise WriteError("; ".join(failures))


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


def _breaks_a_cell(path: Path, before: bytes, after: bytes) -> bool:
    """Whether cells of a notebook are no Python any more; those that were none do not keep the others from being mended."""
    try:
        broken = len(broken_cells(path, before))
    except SourceError:
        return False  # nothing of it was Python
    return len(broken_cells(path, after)) > broken


def _parses(filename: str, data: bytes) -> bool:
    """Whether a file may be written: it is Python still."""
    try:
        check_syntax(python_of(Path(filename), data))
    except (SourceError, RecursionError):
        return False
    return True
