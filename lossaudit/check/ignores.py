"""``--add-ignore``: a suppression comment for every finding, with the comments that are there already kept."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from lossaudit.check.fix import Analyse, FixedFile, Settled, edited, fix_sources
from lossaudit.check.notebooks import python_of
from lossaudit.check.source import SourceError
from lossaudit.check.suppress import UNUSED_SUPPRESSION, Comments
from lossaudit.findings import Edit, Finding, Position, Span
from lossaudit.sourcetext import decode, split_lines

_LONE_RETURN = re.compile(rb"\r(?!\n)")


def settle_ignores(analyse: Analyse, given: Mapping[Path, bytes]) -> Settled:
    """Write a comment for every finding, and take away the comments that suppress nothing. Files that cannot be read stay.

    ``given`` is what files hold, instead of what is on the disk.
    """
    findings = analyse({})
    paths = {Path(finding.span.filename) for finding in findings}
    before = {
        path: given[path] if path in given else path.read_bytes()
        for path in paths
        if path in given or path.is_file()
    }
    after = {path: _commented(path, source, findings) for path, source in before.items()}
    remaining = analyse(after)
    unused = [finding for finding in remaining if finding.code == UNUSED_SUPPRESSION]
    if unused:
        sources = {str(path): source for path, source in after.items()}
        changed, _ = fix_sources(sources, unused, unsafe=False)
        after |= {Path(name): source for name, source in changed.items()}
        remaining = analyse(after)
    files = [
        FixedFile(path, before[path], source, tuple(_gone(str(path), findings, remaining)))
        for path, source in sorted(after.items())
        if source != before[path]
    ]
    return Settled(tuple(files), remaining)


def _gone(filename: str, before: Sequence[Finding], after: Sequence[Finding]) -> Iterable[Finding]:
    """The findings in a file that are there no more."""
    left = Counter(finding.code for finding in after if finding.span.filename == filename)
    for finding in before:
        if finding.span.filename == filename:
            if left[finding.code]:
                left[finding.code] -= 1
            else:
                yield finding


def _commented(path: Path, data: bytes, findings: Sequence[Finding]) -> bytes:
    """The file with a comment for each finding in it; as it was where that would not parse."""
    try:
        source = python_of(path, data)
        lines = [line.rstrip("\r\n") for line in split_lines(decode(source)[0])]
    except (SourceError, SyntaxError, UnicodeDecodeError):
        return data
    if _LONE_RETURN.search(source):
        return data  # rows of comments and of findings are not counted alike
    comments = Comments(str(path), source)
    wanted: dict[int, list[str]] = {}
    for finding in findings:
        if finding.span.filename == str(path) and finding.code.startswith("LA"):
            wanted.setdefault(comments.row_for(finding.span.start.row), []).append(finding.code)
    wanted.pop(0, None)
    edits = [
        _edit(comments, row, lines[row - 1], codes)
        for row, codes in sorted(wanted.items())
        if UNUSED_SUPPRESSION not in codes or len(set(codes)) > 1
    ]
    result = edited(str(path), data, edits)
    return data if result is None else result


def _edit(comments: Comments, row: int, line: str, codes: Iterable[str]) -> Edit:
    """The codes added to the suppression on the row, or to the end of the row."""
    new = sorted(set(codes) - {UNUSED_SUPPRESSION})
    own = next((one for one in comments.suppressions if one.is_of_line(row)), None)
    if own is not None:
        listed = list(dict.fromkeys([*own.listed, *new]))
        return Edit(own.list_span, f"[{', '.join(listed)}]")
    end = Position(row, len(line.rstrip()) + 1)
    stop = Position(row, len(line) + 1)
    return Edit(Span(comments.filename, end, stop), f"  # lossaudit: ignore[{', '.join(new)}]")
