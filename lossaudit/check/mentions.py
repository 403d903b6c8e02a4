"""What the text of a function mentions: its words and the sizes of its numbers, found without looking at its syntax.

The lists are never too short. Comments and docstrings do not count; the words inside a text do, for a name may be looked up by it,
but for sentences: of those only what stands in the braces of an f-string.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

_STARTS_TEXT = r"""(?=\s*(?:\b[a-zA-Z]{1,2})?["'])"""
_NO_OPERATION = "|".join((
    r"#[^\n]*|//|->", rf"/(?=\s*[,)])|/{_STARTS_TEXT}|[=!]={_STARTS_TEXT}", r"(?<=[\w)\]])\s*\*\*\s*\d+(?![\w.]|\s*\*\*)",
))  # fmt: skip
"""What makes no tensor of which a rule asks: also a path, a comparison with a text, a square."""
_PIECE = re.compile(
    rf"{_NO_OPERATION}|("
    r'(?:\b[rR]?[fF][rR]?)?(?:"""[\s\S]*?"""|\'\'\'[\s\S]*?\'\'\'|"(?:\\[\s\S]|[^"\\\n])*"|\'(?:\\[\s\S]|[^\'\\\n])*\')'
    r"|/=?\s*[1-9][\d_]*(?:\.[\d_]*)?(?![\w.]|\s*\*\*)|/|[=!<>]=|[<>]+"
    r"|(?<![\w.)\]])\d+\s*\*\*\s*-?|(?<=[\w)\]])\s*\*\*\s*-?"
    r"|(?:\d[\d_]*\.?[\d_]*|\.\d[\d_]*)(?:[eE][-+]?\d+)?"
    r"|(?<![\w.])[^\W\d]\w*(?:\.[^\W\d]\w*)+|\.?[^\W\d]\w*)"
)
_REDUCTION = re.compile(r"(?<!\w)(\w*)\s*\.\s*(?:mean|sum)\s*\(\s*(?:(?:dim|axis)\s*=\s*)?([(\[]?\s*-?\d)?")
_TEST = re.compile(r"^[ \t]*(?:if|elif|while|assert)\b.*", re.MULTILINE)
_TEXT = re.compile(r"'[^'\\]*'|\"[^\"\\]*\"")
_NO_PLAIN_TEST = re.compile(r"[\"'#\\]|:=|\b(?:else|for|lambda)\b")
_BRACKETED = re.compile(r"([(\[{])|([)\]}])|[=!<>]=|[<>]|:")
_WORD = re.compile(r"[^\W\d]\w*")
_SENTENCE = re.compile(r"\w\W*\s\W*\w")
_BRACES = re.compile(r"\{([^{}]*)")
_CONFIGURES = re.compile(r"\.reduction\b[^\n=]*=(?!=)|\bsetattr\b[^\n]*\breduction\b")
CONFIGURED = "configured"
"""The mark of an assignment to an attribute ``reduction``."""
FULL = ".reduced()"
"""Ends the mark of a reduction over all dimensions; before it stands the last word of what is reduced."""
POWER, DIVISION, COMPARISON = "**", "/", "<"
"""``<`` stands for every comparison but those on whose verdict a statement turns: no value comes of these."""
TINY, SMALL, FRACTION = "tiny-number", "small-number", "fraction"
"""Marks of numbers: below the resolution of float32 at one, of half precision at one, and between zero and one."""

_TINY, _SMALL = 2.0**-22, 2.0**-7


@dataclass(frozen=True, slots=True)
class Mentions:
    """The words, operators and marks of numbers in a text; what may be an attribute also with its dot.

    ``below`` says of some names which of these occur only as what is taken from them: ``.sqrt`` in ``math.sqrt``.
    """

    words: frozenset[str]
    below: Mapping[str, frozenset[str]]


def mentions(text: str, owners: frozenset[str] = frozenset()) -> Mentions:
    """What ``text`` mentions; ``owners`` are the names of which it is asked what is only taken from them."""
    found: set[str] = set()
    below: dict[str, set[str]] = {}
    for piece in _in_pieces(_TEST.sub(_without_verdicts, text)):
        owner, *attributes = piece.split(".") if piece[0] != "." else ("", piece)
        if not attributes or not owner:
            found.add(piece)
            continue
        names = {name for one in attributes for name in (one, f".{one}")}
        if owner in owners:
            below.setdefault(owner, set()).update(names)
        else:
            found |= names
            found.add(owner)
    found.update(f"{owner}{FULL}" for owner in _full_reductions(text))
    if _CONFIGURES.search(text):
        found.add(CONFIGURED)
    apart = {owner: frozenset(names - found) for owner, names in below.items() if owner not in found}
    return Mentions(frozenset(found.union(below, *below.values())), apart)


def _in_pieces(text: str) -> Iterator[str]:
    """Words, also with what is taken from them, operators and marks."""
    for piece in set(_PIECE.findall(text)):
        if not piece:
            continue
        first, last = piece[0], piece[-1]
        if last in "\"'":
            if not piece.startswith(('"""', "'''")):
                yield from _in_constant(piece)
        elif first in "=!<>":
            yield COMPARISON
        elif "**" in piece:
            yield from () if first.isdigit() else (POWER,)
            yield from (TINY, SMALL, FRACTION) if last == "-" else ()
        elif first == DIVISION:
            yield DIVISION if piece == DIVISION else FRACTION
        elif first.isalpha() or first == "_":
            yield piece
        elif first == "." and not piece[1].isdigit():
            yield from (piece, piece[1:])
        else:
            yield from marks(_number(piece))


def _without_verdicts(test: re.Match[str]) -> str:
    """The line of a test without its comparisons outside brackets: what they yield is only asked whether it is true."""
    line = test.group()
    bare = _TEXT.sub(lambda text: "_" * len(text.group()), line)
    if _NO_PLAIN_TEST.search(bare):
        return line
    out: list[str] = []
    depth = end = 0
    for found in _BRACKETED.finditer(bare):
        opens, closes = found.groups()
        depth += bool(opens) - bool(closes)
        if depth < 0 or (depth == 0 and found.group() == ":"):
            break
        if depth == 0 and not closes:
            out += [line[end : found.start()], " "]
            end = found.end()
    return "".join((*out, line[end:]))


def _in_constant(piece: str) -> Iterator[str]:
    """What a text constant mentions, with its quotes."""
    written = piece
    if piece[0] not in "\"'":
        for code in _BRACES.findall(piece):
            yield from _in_pieces(code)
        written = _BRACES.sub("", piece)
    if _SENTENCE.search(written):
        return
    for word in _WORD.findall(written.lstrip("rRfF")):
        yield from (word, f".{word}")


def is_sentence(text: str) -> bool:
    """Whether a text constant holds several words, and so names nothing."""
    return _SENTENCE.search(text) is not None


def _full_reductions(text: str) -> Iterator[str]:
    """The last word of what is reduced by ``.mean(...)`` or ``.sum(...)`` without a dimension that stands there as a number."""
    for owner, dimension in _REDUCTION.findall(text):
        if not dimension:
            yield owner


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0


def marks(value: float) -> Iterable[str]:
    """The marks of one number, and of its distance from one."""
    size = abs(value)
    gap = min(size, abs(size - 1))
    if 0 < size < 1:
        yield FRACTION
    if 0 < gap < _SMALL:
        yield SMALL
        if gap < _TINY:
            yield TINY
