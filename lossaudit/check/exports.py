"""Which names a file may hand to ``from ... import *``, found in its text without parsing or running it.

Packages that import hundreds of files with a star are searched for every name that is not found elsewhere. The lists are never too
short, unless names are computed; they may hold words that bind nothing.
"""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterator

_BLOCK = re.compile(r"^(?:(?:async[ \t]+)?def[ \t]+(\w+)|class[ \t]+(\w+)|[^\s#])", re.MULTILINE)
"""Begins a statement of the top level, or what looks like one in a long text."""
_BINDING = re.compile(
    r"\bimport\b[ \t]*\(?([^#\n)]*)"
    r"|^[ \t]*(\w[\w \t,]*)(?:#.*)?$"  # a row of an import in parentheses
    r"|(?:^|[=;:])[ \t]*([\w*(][\w*(), \t]*?(?::[^=\n]*)?)(?==(?!=))"
    r"|\b(?:def|class|as|for)[ \t]+\(?(\*?\w+(?:[ \t]*,[ \t]*\*?\w+)*)"
    r"|(\w+)[ \t]*:=",
    re.MULTILINE,
)
_KEYWORDS = frozenset(keyword.kwlist)
_WORD = re.compile(r"[^\W\d]\w*")
_STAR = re.compile(r"^[ \t]*from[ \t]+(\.*)[ \t]*([\w.]*)[ \t]+import[ \t]+\*", re.MULTILINE)
_ALL = re.compile(r"^__all__\b(?:[ \t]*:[^=\n]*)?[ \t]*\+?=[ \t]*([\[(][^\])]*[\])])", re.MULTILINE)
_QUOTED = re.compile(r"""["']([^\W\d]\w*)["']""")
_ONLY_QUOTED = re.compile(r"""[\[(](?:[\s,]|#.*|["']\w*["'])*[\])]""")


def exported(text: str) -> frozenset[str]:
    """The names that ``__all__`` lists, else those without a leading underscore that may be bound outside of functions and classes."""
    lists = _ALL.findall(text)
    if lists and text.count("__all__") == len(lists) and all(map(_ONLY_QUOTED.fullmatch, lists)):
        return frozenset(name for one in lists for name in _QUOTED.findall(one))
    return frozenset(name for name in _bound(text) if not name.startswith("_")) - _KEYWORDS


def _bound(text: str) -> Iterator[str]:
    blocks = list(_BLOCK.finditer(text))
    ends = [*(block.start() for block in blocks[1:]), len(text)]
    for block, end in zip(blocks, ends, strict=False):
        defined = block.group(1) or block.group(2)
        if defined:
            yield defined
        elif not block.group().startswith("@"):
            for binding in _BINDING.finditer(text, block.start(), end):
                yield from _WORD.findall(next(part for part in binding.groups() if part is not None))


def star_imports(text: str) -> tuple[tuple[str, int], ...]:
    """The dotted names, and the numbers of dots before them, after ``from`` and before ``import *``."""
    return tuple((dotted, len(dots)) for dots, dotted in _STAR.findall(text))


def changes_path(text: str) -> bool:
    """Whether a file may change where its imports lead."""
    return "sys.path" in text
