"""Edits of a notebook: the text of cells changes in the JSON, and every other byte of the file stays as it is.

Reading and writing the document again would change its layout, its escapes and the order of what tools add to it. So the
literals of the cells are located in the text of the file, and each edit is made inside them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from lossaudit.findings import Edit, Position
from lossaudit.notebooktext import Notebook, NotebookError, edit_in_cell, is_python_notebook, read_notebook

_BLANKS = re.compile(r"[ \t\r\n]*")
_CHARACTER = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u[0-9a-fA-F]{4}|\\.|[^\\]", re.DOTALL
)
"""A character of a JSON string as it is written: a pair of surrogates is one."""
_LINE_END = re.compile(r"\r\n|\r|\n")
_DECODER = json.JSONDecoder()


def edit_notebook(data: bytes, edits: Sequence[Edit]) -> bytes | None:
    """The notebook with edits of its module (rows as in :attr:`Notebook.source`) made; None where one of them cannot be made.

    The edits do not overlap.
    """
    try:
        notebook = read_notebook(data)
        cells = _cells(data.decode("utf-8"))
    except (NotebookError, UnicodeDecodeError, ValueError, RecursionError):
        return None
    if tuple(tuple(_LINE_END.split(cell.text)) for cell in cells) != notebook.cells:
        return None
    text, pieces, done = data.decode("utf-8"), [], 0
    for start, end, content in sorted(_replacements(notebook, cells, edits)):
        if start < done:
            return None
        pieces += [text[done:start], content]
        done = end
    return "".join([*pieces, text[done:]]).encode("utf-8")


@dataclass(frozen=True, slots=True)
class _Cell:
    """The text of a code cell, where each character of it (and its end) is written, and what stands between two of its lines.

    ``parting`` is empty where the whole cell is one literal; ``is_ascii`` says that other characters are written as escapes.
    """

    text: str
    places: tuple[int, ...]
    parting: str
    is_ascii: bool

    def offset(self, position: Position) -> int:
        """Where a row and column of the cell are in its text."""
        starts = [0, *(match.end() for match in _LINE_END.finditer(self.text))]
        return starts[position.row - 1] + position.column - 1

    def written(self, content: str, end: int) -> str:
        """New text as it is written before offset ``end``: a literal a line where the cell has one a line."""
        if "\r\n" in self.text:
            content = content.replace("\n", "\r\n")
        lines = content.splitlines(keepends=True)
        if content.endswith("\n") and end < len(self.text):
            lines.append("")
        if not self.parting:
            lines = [content]
        return self.parting.join(json.dumps(line, ensure_ascii=self.is_ascii)[1:-1] for line in lines)


def _replacements(
    notebook: Notebook, cells: Sequence[_Cell], edits: Sequence[Edit]
) -> Iterator[tuple[int, int, str]]:
    """What to put in the place of which part of the file; one that cannot be made begins before the file does."""
    for edit in edits:
        placed = edit_in_cell(edit, notebook)
        if placed is None or placed.span.cell is None or not cells[placed.span.cell - 1].places:
            yield -1, -1, ""
            continue
        cell = cells[placed.span.cell - 1]
        start, end = cell.offset(placed.span.start), cell.offset(placed.span.end)
        yield cell.places[start], cell.places[end], cell.written(placed.content, end)


# Where the cells are -------------------------------------------------------------------------------------------------


def _cells(text: str) -> list[_Cell]:
    """The code cells of a notebook in the order in which :func:`read_notebook` gives them."""
    root = _members(text, _skip(text, 1 if text.startswith("\ufeff") else 0))
    if not is_python_notebook(json.loads(text.removeprefix("\ufeff"))):
        return []
    sheets = (
        [root]
        if "worksheets" not in root
        else [_members(text, at) for at in _items(text, root["worksheets"])]
    )
    found = []
    for sheet in sheets:
        for at in _items(text, sheet["cells"]) if "cells" in sheet else ():
            cell = _members(text, at)
            if "cell_type" in cell and _value(text, cell["cell_type"]) == "code":
                found.append(_cell(text, cell.get("source", cell.get("input"))))
    return found


def _cell(text: str, at: int | None) -> _Cell:
    if at is None:
        return _Cell("", (), "", is_ascii=False)
    is_list = text[at] == "["
    literals = [one for one in (_items(text, at) if is_list else [at]) if text[one] == '"']
    places: list[int] = []
    decoded = ""
    for literal in literals:
        end = _end(text, literal) - 1
        decoded += _value(text, literal)
        places += [match.start() for match in _CHARACTER.finditer(text, literal + 1, end)]
    if literals:
        places.append(_end(text, literals[-1]) - 1)
    if decoded and len(places) != len(decoded) + 1:
        raise ValueError
    is_ascii = not decoded.isascii() and text[places[0] : places[-1]].isascii()
    return _Cell(decoded, tuple(places), _parting(text, at, literals) if is_list else "", is_ascii)


def _parting(text: str, at: int, literals: Sequence[int]) -> str:
    """What stands between the texts of two lines: quotation marks, a comma, and the layout of the file."""
    if len(literals) > 1:
        return text[_end(text, literals[0]) - 1 : literals[1] + 1]
    return f'",{text[at + 1 : _skip(text, at + 1)] or " "}"'


def _skip(text: str, at: int) -> int:
    match = _BLANKS.match(text, at)
    return at if match is None else match.end()


def _end(text: str, at: int) -> int:
    return _DECODER.raw_decode(text, at)[1]


def _value(text: str, at: int) -> str:
    value = _DECODER.raw_decode(text, at)[0]
    return value if isinstance(value, str) else ""


def _members(text: str, at: int) -> dict[str, int]:
    """Where the values of an object begin; nothing if it is none."""
    found: dict[str, int] = {}
    if text[at] != "{":
        return found
    at = _skip(text, at + 1)
    while text[at] != "}":
        key, end = _DECODER.raw_decode(text, at)
        at = _skip(text, _skip(text, end) + 1)  # past the colon
        found[key] = at
        at = _next(text, at)
    return found


def _items(text: str, at: int) -> Iterator[int]:
    """Where the items of an array begin; nothing if it is none."""
    if text[at] != "[":
        return
    at = _skip(text, at + 1)
    while text[at] != "]":
        yield at
        at = _next(text, at)


def _next(text: str, at: int) -> int:
    """Where the next value of an array or object begins, or its closing bracket."""
    at = _skip(text, _end(text, at))
    return _skip(text, at + 1) if text[at] == "," else at
