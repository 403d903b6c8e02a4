"""What the text of a function mentions: its words and the sizes of its numbers, found without looking at its syntax.

The lists are never too short. Comments and docstrings do not count; the words inside a text do, for a name may be looked up by it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

_PIECE = re.compile(
    r'"""[\s\S]*?"""|\'\'\'[\s\S]*?\'\'\''  # docstrings
    r'|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\''
    r"|#[^\n]*|(?<=[\w)\]])\s*\*\*\s*-?|//?"
    r"|(?:\d[\d_]*\.?[\d_]*|\.\d[\d_]*)(?:[eE][-+]?\d+)?"
    r"|\.?[^\W\d]\w*"
)
_REDUCTION = re.compile(r"(?<!\w)(\w*)\s*\.\s*(?:mean|sum)\s*\(\s*(?:(?:dim|axis)\s*=\s*)?([(\[]?\s*-?\d)?")
_WORD = re.compile(r"[^\W\d]\w*")
FULL = ".reduced()"
"""Ends the mark of a reduction over all dimensions; before it stands the last word of what is reduced."""
POWER, DIVISION = "**", "/"
TINY, SMALL, FRACTION = "tiny-number", "small-number", "fraction"
"""Marks of numbers: below the resolution of float32 at one, of half precision at one, and between zero and one."""

_TINY, _SMALL = 2.0**-22, 2.0**-7


def mentions(text: str) -> frozenset[str]:
    """The words, operators and marks of numbers in ``text``; what may be an attribute also with its dot."""
    found: set[str] = set()
    for piece in set(_PIECE.findall(text)):
        first = piece[0]
        if first.isalpha() or first in ("_", DIVISION):
            found.add(piece)
        elif first == "." and not piece[1].isdigit():
            found.update((piece, piece[1:]))
        elif first in "\"'":
            if not piece.startswith(('"""', "'''")):
                found.update(f".{word}" for word in _WORD.findall(piece))
                found.update(_WORD.findall(piece))
        elif "**" in piece:
            found.update((POWER, TINY, SMALL, FRACTION) if piece.endswith("-") else (POWER,))
        elif first != "#":
            found.update(marks(_number(piece)))
    found.update(f"{owner}{FULL}" for owner in _full_reductions(text))
    return frozenset(found)


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
