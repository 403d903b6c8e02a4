"""Suppression comments: which findings the author of the code has accepted, and which comments accept nothing.

Comments are taken from the token stream, never from raw text, so a string or a docstring that speaks of
suppressions suppresses nothing. Understood are, for a line and for a whole file::

    loss = criterion(probs, y)  # lossaudit: ignore[LA101] reason
    loss = criterion(probs, y)  # noqa: LA101
    # lossaudit: ignore-file[LA503, LA205] reason
"""

from __future__ import annotations

import re
import tokenize
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from lossaudit.findings import Applicability, Edit, Finding, Fix, Position, Span

UNUSED_SUPPRESSION = "LA001"

_OWN = re.compile(r"#\s*lossaudit:\s*(?P<scope>ignore-file|ignore)\b(?:\s*\[(?P<codes>[^\]]*)\])?")
_NOQA = re.compile(r"#\s*noqa:\s*(?P<codes>[A-Z]+[0-9]+(?:[\s,]+[A-Z]+[0-9]+)*)", re.IGNORECASE)
_CODE = re.compile(r"LA[0-9]{3}")


@dataclass(frozen=True, slots=True)
class Suppression:
    """One comment: the codes that it accepts, where it stands, whether it speaks for the whole file."""

    codes: tuple[str, ...]
    span: Span
    whole_file: bool
    own_syntax: bool

    def covers(self, finding: Finding, code: str) -> bool:
        """Whether this comment accepts ``finding`` by ``code``: it stands on its first or on its last line."""
        if finding.code != code or finding.span.filename != self.span.filename:
            return False
        rows = (finding.span.start.row, finding.span.end.row)
        return self.whole_file or self.span.start.row in rows


def read_suppressions(filename: str, source: bytes) -> list[Suppression]:
    """The suppression comments of one file, in the order of the text."""
    if b"lossaudit" not in source and b"noqa" not in source.lower():
        return []
    found = []
    for token in _comments(source):
        suppression = _parse(filename, token)
        if suppression is not None:
            found.append(suppression)
    return found


def apply_suppressions(
    findings: Sequence[Finding], files: Iterable[Path], selected: frozenset[str]
) -> tuple[Finding, ...]:
    """Leave out the accepted findings, and report the comments that accept nothing (``LA001``).

    Args:
        findings: What the detectors reported.
        files: Every file that was checked; each is searched for comments.
        selected: The codes that were run. A comment for a code that was not run is not called unused.
    """
    by_file: dict[str, list[Finding]] = {}
    for finding in findings:
        by_file.setdefault(finding.span.filename, []).append(finding)
    kept: list[Finding] = []
    for filename in sorted({str(path) for path in files} | set(by_file)):
        here = by_file.get(filename, [])
        suppressions = _of_file(filename)
        accepted = {id(finding) for finding in here if _accepted(finding, suppressions)}
        kept += [finding for finding in here if id(finding) not in accepted]
        if UNUSED_SUPPRESSION in selected:
            unused = [_unused(suppression, here, selected) for suppression in suppressions]
            kept += [finding for finding in unused if finding is not None]
    return tuple(sorted(kept, key=lambda finding: (finding.span, finding.code)))


def _of_file(filename: str) -> list[Suppression]:
    try:
        source = Path(filename).read_bytes()
    except OSError:
        return []  # discovery has reported it
    return read_suppressions(filename, source)


def _accepted(finding: Finding, suppressions: Sequence[Suppression]) -> bool:
    return any(
        suppression.covers(finding, code) for suppression in suppressions for code in suppression.codes
    )


def _unused(
    suppression: Suppression, findings: Sequence[Finding], selected: frozenset[str]
) -> Finding | None:
    if not suppression.codes:
        return Finding(
            UNUSED_SUPPRESSION,
            "this suppression names no code, so it suppresses nothing",
            suppression.span,
            help="name the code: `# lossaudit: ignore[LA101] reason`",
        )
    run = [code for code in suppression.codes if code in selected]
    idle = [code for code in run if not any(suppression.covers(finding, code) for finding in findings)]
    if not idle:
        return None
    return Finding(
        UNUSED_SUPPRESSION,
        f"this suppression of {', '.join(idle)} suppresses nothing",
        suppression.span,
        fix=_remove(suppression) if len(idle) == len(suppression.codes) and suppression.own_syntax else None,
        help="remove it: the finding that it accepted is gone",
    )


def _remove(suppression: Suppression) -> Fix:
    return Fix(Applicability.SAFE, "Remove the unused suppression", (Edit(suppression.span, ""),))


def _parse(filename: str, token: tokenize.TokenInfo) -> Suppression | None:
    match = _OWN.search(token.string)
    own_syntax = match is not None
    match = match or _NOQA.search(token.string)
    if match is None:
        return None
    codes = tuple(dict.fromkeys(_CODE.findall((match["codes"] or "").upper())))
    if not own_syntax and not codes:
        return None  # another linter's comment
    row, column = token.start
    span = Span(filename, Position(row, column + 1), Position(row, token.end[1] + 1))
    return Suppression(codes, span, own_syntax and match["scope"] == "ignore-file", own_syntax)


def _comments(source: bytes) -> list[tokenize.TokenInfo]:
    """The comment tokens, as far as the file can be tokenised (a file newer than this Python may end early)."""
    comments: list[tokenize.TokenInfo] = []
    try:
        tokens = tokenize.tokenize(BytesIO(source).readline)
        comments.extend(token for token in tokens if token.type == tokenize.COMMENT)
    except (tokenize.TokenError, SyntaxError, ValueError):
        pass
    return comments
