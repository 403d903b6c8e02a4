"""Suppression comments: which findings the author of the code has accepted, and which comments accept nothing.

Comments are taken from the token stream, never from raw text, so a string or a docstring that speaks of
suppressions suppresses nothing. Understood are, for a line and for a whole file::

    loss = criterion(probs, y)  # lossaudit: ignore[LA101] reason
    loss = criterion(probs, y)  # noqa: LA101
    # lossaudit: ignore-file[LA503, LA205] reason
"""

from __future__ import annotations

import contextlib
import re
import tokenize
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from itertools import zip_longest
from pathlib import Path

from lossaudit.check.notebooks import python_of
from lossaudit.check.source import SourceError
from lossaudit.findings import Applicability, Edit, Finding, Fix, Position, Span
from lossaudit.sourcetext import decode, split_lines

UNUSED_SUPPRESSION = "LA001"

_OWN = re.compile(
    r"#\s*lossaudit:\s*(?P<scope>ignore-file|ignore)\b(?P<list>(?:\s*\[(?P<codes>[^\]]*)\])?)(?:(?!#[\sA-Za-z]).)*"
)
_NOQA = re.compile(r"#\s*noqa:(?P<list>\s*(?P<codes>[A-Z]+[0-9]+(?:[\s,]+[A-Z]+[0-9]+)*))", re.IGNORECASE)
_CODE = re.compile(r"LA[0-9]{3}")
_CANDIDATE = re.compile(rb"#\s*lossaudit:|#\s*noqa:[^\r\n]*LA[0-9]{3}", re.IGNORECASE)
_ITEM = re.compile(r"[^\s,]+")
_STRING_STARTS = frozenset(
    getattr(tokenize, name) for name in ("FSTRING_START", "TSTRING_START") if hasattr(tokenize, name)
)
_STRING_ENDS = frozenset(
    getattr(tokenize, name) for name in ("FSTRING_END", "TSTRING_END") if hasattr(tokenize, name)
)
_LINE_ENDS = frozenset(
    {tokenize.NEWLINE, tokenize.NL, tokenize.INDENT, tokenize.DEDENT, tokenize.ENCODING, tokenize.ENDMARKER}
)


@dataclass(frozen=True, slots=True)
class Suppression:
    """One comment: the codes that it accepts, where it stands, whether it speaks for the whole file.

    ``rows`` are the rows of which it speaks: its own, and those above it that can hold no comment. ``listed`` is everything in
    its list, other tools' codes included, ``list_span`` where that is, ``removal`` what goes with the comment, None where that
    is not certain.
    """

    codes: tuple[str, ...]
    span: Span
    whole_file: bool
    own_syntax: bool
    rows: frozenset[int]
    listed: tuple[str, ...]
    list_span: Span
    removal: Span | None

    def covers(self, finding: Finding, code: str) -> bool:
        """Whether this comment accepts ``finding`` by ``code``: it stands on its first or on its last line."""
        if finding.code != code or finding.span.filename != self.span.filename:
            return False
        return self.whole_file or bool(self.rows & {finding.span.start.row, finding.span.end.row})

    def is_of_line(self, row: int) -> bool:
        """Whether it is in our own syntax, and stands on ``row`` to speak for it."""
        return self.own_syntax and not self.whole_file and self.span.start.row == row


class Comments:
    """The suppression comments of one file, and where a comment can stand."""

    def __init__(self, filename: str, source: bytes) -> None:
        self.filename = filename
        try:
            self._lines = split_lines(decode(source)[0])
            tokens = _tokens(source)
        except (SyntaxError, UnicodeDecodeError):
            self._lines, tokens = [], []  # the analysis reports what is wrong with the file
        self._rows = _comment_rows(tokens)
        self.suppressions = [
            one for token in tokens if token.type == tokenize.COMMENT for one in self._of(token)
        ]

    def row_for(self, row: int) -> int:
        """The row on which a comment about ``row`` can stand: not within a string, nor before a continuation."""
        while row in self._rows:
            row = self._rows[row]
        return row

    def _of(self, token: tokenize.TokenInfo) -> Iterator[Suppression]:
        for match in _OWN.finditer(token.string):
            yield self._made(token, match, own_syntax=True)
        for match in _NOQA.finditer(token.string):
            if _CODE.search(match["codes"].upper()):  # else it is another linter's comment
                yield self._made(token, match, own_syntax=False)

    def _made(self, token: tokenize.TokenInfo, match: re.Match[str], *, own_syntax: bool) -> Suppression:
        row, column = token.start
        text = match["codes"] or ""

        def span(start: int, end: int) -> Span:
            return Span(self.filename, Position(row, start + 1), Position(row, end + 1))

        start, end = column + match.start(), column + match.start() + len(match.group().rstrip())
        return Suppression(
            codes=tuple(dict.fromkeys(_CODE.findall(text.upper()))),
            span=span(start, end),
            whole_file=own_syntax and match["scope"] == "ignore-file",
            own_syntax=own_syntax,
            rows=frozenset({row, *(one for one in self._rows if self.row_for(one) == row)}),
            listed=tuple(_ITEM.findall(text)),
            list_span=span(column + match.start("list"), column + match.end("list")),
            removal=self._removal(token, start, end),
        )

    def _removal(self, token: tokenize.TokenInfo, start: int, end: int) -> Span | None:
        """The comment, with the blanks before it, or the whole line if nothing else stands on it."""
        row = token.start[0]
        line = self._lines[row - 1].rstrip("\r\n")
        if not line.startswith(token.string, token.start[1]):
            return None  # a lone carriage return ends a line for the parser, and not for the tokenizer
        before, after = line[:start], line[end:].strip()
        if after:
            return Span(
                self.filename,
                Position(row, start + 1),
                Position(row, len(line) - len(line[end:].lstrip()) + 1),
            )
        if before.strip():
            return Span(self.filename, Position(row, len(before.rstrip()) + 1), Position(row, len(line) + 1))
        return Span(self.filename, Position(row, 1), Position(row + 1, 1))


def read_suppressions(filename: str, source: bytes) -> list[Suppression]:
    """The suppression comments of one file, in the order of the text."""
    if not _CANDIDATE.search(source):
        return []  # to find the comments proper costs a hundred times as much
    return Comments(filename, source).suppressions


def apply_suppressions(
    findings: Sequence[Finding],
    files: Iterable[Path],
    selected: frozenset[str],
    sources: Mapping[Path, bytes] | None = None,
) -> tuple[Finding, ...]:
    """Leave out the accepted findings, and report the comments that accept nothing (``LA001``).

    Args:
        findings: What the detectors reported.
        files: Every file that was checked; each is searched for comments.
        selected: The codes that were run. A comment for a code that was not run is not called unused.
        sources: What files are taken to hold, instead of what is on the disk.
    """
    by_file: dict[str, list[Finding]] = {}
    for finding in findings:
        by_file.setdefault(finding.span.filename, []).append(finding)
    kept: list[Finding] = []
    for filename in sorted({str(path) for path in files} | set(by_file)):
        here = by_file.get(filename, [])
        suppressions = _of_file(filename, sources or {})
        accepted = {id(finding) for finding in here if _accepted(finding, suppressions)}
        kept += [finding for finding in here if id(finding) not in accepted]
        if UNUSED_SUPPRESSION in selected:
            unused = [_unused(suppression, here, selected) for suppression in suppressions]
            kept += [finding for finding in unused if finding is not None]
    return tuple(sorted(kept, key=lambda finding: (finding.span, finding.code)))


def _of_file(filename: str, sources: Mapping[Path, bytes]) -> list[Suppression]:
    path = Path(filename)
    try:
        source = python_of(path, sources[path] if path in sources else path.read_bytes())
    except (OSError, SourceError):
        return []  # it has been reported
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
    if UNUSED_SUPPRESSION in suppression.codes:
        return None  # kept in advance, and says so
    run = [code for code in suppression.codes if code in selected]
    idle = [code for code in run if not any(suppression.covers(finding, code) for finding in findings)]
    if not idle:
        return None
    return Finding(
        UNUSED_SUPPRESSION,
        f"this suppression of {', '.join(idle)} suppresses nothing",
        suppression.span,
        fix=_without(suppression, idle),
        help="remove it: the finding that it accepted is gone",
    )


def _without(suppression: Suppression, idle: Sequence[str]) -> Fix | None:
    """The codes taken out of the list, or the comment if none is left in it."""
    if suppression.removal is None:
        return None
    kept = [item for item in suppression.listed if item.upper() not in idle]
    if kept:
        content = f"[{', '.join(kept)}]" if suppression.own_syntax else f" {', '.join(kept)}"
        return Fix(Applicability.SAFE, "Remove the unused code", (Edit(suppression.list_span, content),))
    return Fix(Applicability.SAFE, "Remove the unused suppression", (Edit(suppression.removal, ""),))


def _tokens(source: bytes) -> list[tokenize.TokenInfo]:
    """The tokens, as far as the file can be tokenised (a file newer than this Python may end early)."""
    tokens: list[tokenize.TokenInfo] = []
    with contextlib.suppress(tokenize.TokenError, SyntaxError, ValueError):
        tokens.extend(tokenize.tokenize(BytesIO(source).readline))
    return tokens


def _comment_rows(tokens: Sequence[tokenize.TokenInfo]) -> dict[int, int]:
    """For each row on whose end no comment can stand, the row that it runs on to: strings of several lines, and continuations."""
    rows: dict[int, int] = {}
    opened: list[int] = []
    for token, following in zip_longest(tokens, tokens[1:]):
        first, last = token.start[0], token.end[0]
        if token.type in _STRING_STARTS:
            opened.append(first)
        elif token.type in _STRING_ENDS and opened:
            first = opened.pop()
        if token.type == tokenize.STRING or token.type in _STRING_ENDS:
            rows.update(dict.fromkeys(range(first, last), last))
        is_open = token.type not in _LINE_ENDS and token.type != tokenize.COMMENT and following is not None
        if is_open and following is not None and following.start[0] > last:
            rows.update(dict.fromkeys(range(last, following.start[0]), following.start[0]))
    return rows
