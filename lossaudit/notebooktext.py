"""Jupyter notebooks as text: the code cells of a ``.ipynb`` file, and the Python module that they make in order.

The format is plain JSON (nbformat 3 and 4). Magics (``%matplotlib``, ``!pip``, ``%%bash``) are not Python: they are blanked or
replaced by ``pass``, so that every line stays where it is.
"""

from __future__ import annotations

import ast
import io
import json
import re
import tokenize
import warnings
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import PurePath
from typing import Any

from lossaudit.findings import Edit, Finding, Position, Span, TrailStep

SUFFIX = ".ipynb"

_PYTHON_CELLS = frozenset({"time", "timeit", "capture", "prun"})
"""Cell magics whose cell is Python all the same."""
_MAGIC_LINE = re.compile(r"\s*([%!?]|[\w.]+\?{1,2}\s*$)")
_MAGIC_VALUE = re.compile(r"(?P<target>\s*[\w, .\[\]]+=\s*)(!|%\w)")
_AUTOMAGIC = re.compile(r"\s*(pip|conda|mamba|cd|ls|mkdir|rmdir|rm|cp|mv|cat)\s+\S")
"""Magics that IPython takes without their ``%`` where the line is no Python."""
_CELL_MAGIC = re.compile(r"%%(?P<name>\w+)")


class NotebookError(Exception):
    """The file is not a notebook: ``is_text`` says whether it is text at all; rows and columns count from 1."""

    def __init__(self, message: str, row: int = 1, column: int = 1, *, is_text: bool = True) -> None:
        super().__init__(message)
        self.message = message
        self.row = row
        self.column = column
        self.is_text = is_text


@dataclass(frozen=True, slots=True)
class Notebook:
    """``cells`` are the lines of the code cells as their author sees them, ``python`` the same with the magics left out.

    ``starts`` are the rows at which the cells begin in :attr:`source`, counted from 1.
    """

    cells: tuple[tuple[str, ...], ...]
    python: tuple[tuple[str, ...], ...]
    starts: tuple[int, ...]

    @property
    def source(self) -> bytes:
        """All code cells as one module."""
        return as_source(line for cell in self.python for line in cell)

    def place(self, row: int) -> tuple[int, int]:
        """The cell, and the row in it, of a row of :attr:`source`; both count from 1."""
        cell = max(bisect_right(self.starts, row), 1)
        return cell, row - (self.starts[cell - 1] if self.starts else 1) + 1

    def end(self, cell: int) -> Position:
        """The end of the text of a cell."""
        lines = self.cells[cell - 1]
        return Position(len(lines), len(lines[-1]) + 1)

    def is_plain(self, cell: int, first: int, last: int) -> bool:
        """Whether these rows are in the cell, and are Python as they stand."""
        lines = self.cells[cell - 1] if 0 < cell <= len(self.cells) else ()
        return last <= len(lines) and lines[first - 1 : last] == self.python[cell - 1][first - 1 : last]

    def locate(self, position: Position) -> tuple[int, Position]:
        """The cell of a place in :attr:`source`, and the place in it: after a line end comes the beginning of the next line."""
        cell, row = self.place(position.row)
        lines = self.cells[cell - 1]
        if row > len(lines) or position.column <= len(lines[row - 1]) + 1:
            return cell, Position(row, position.column)
        is_last = row == len(lines) and cell < len(self.cells)
        return (cell + 1, Position(1, 1)) if is_last else (cell, Position(row + 1, 1))

    def cell_ending_at(self, cell: int, place: Position) -> int | None:
        """The cell that ends where ``place`` in ``cell`` is the beginning of a line, if its last row is Python as it stands."""
        before = cell if place.row > len(self.cells[cell - 1]) else cell - 1 if place.row == 1 else 0
        if place.column > 1 or not before or not self.cells[before - 1][-1].strip():
            return None
        last = len(self.cells[before - 1])
        return before if self.is_plain(before, last, last) else None


def as_source(lines: Iterable[str]) -> bytes:
    """Lines as the bytes of a module."""
    return "".join(f"{line}\n" for line in lines).encode("utf-8", errors="replace")


def is_notebook(filename: str | PurePath) -> bool:
    """Whether a file is a notebook, by its name."""
    return PurePath(filename).suffix == SUFFIX


@lru_cache(maxsize=32)
def read_notebook(data: bytes) -> Notebook:
    """The code cells of a notebook. One that is not about Python has none.

    Raises:
        NotebookError: The bytes are not UTF-8, not JSON, or not a notebook.
    """
    cells = tuple(tuple(_lines(text)) for text in _code_cells(_document(data)))
    starts, row = [], 1
    for cell in cells:
        starts.append(row)
        row += len(cell)
    return Notebook(cells, tuple(tuple(_without_magics(list(cell))) for cell in cells), tuple(starts))


def in_cells(finding: Finding, filename: str, notebook: Notebook) -> Finding:
    """A finding whose spans in this notebook count rows of its module, told by cells; without its fix if that cannot be."""

    def moved(span: Span) -> Span:
        if span.filename != filename or span.cell is not None:
            return span
        cell, row = notebook.place(span.start.row)
        length = span.end.row - span.start.row
        return Span(
            span.filename, Position(row, span.start.column), Position(row + length, span.end.column), cell
        )

    trail = tuple(TrailStep(moved(step.span), step.message) for step in finding.trail)
    edits = [
        edit_in_cell(edit, notebook) if edit.span.filename == filename and edit.span.cell is None else edit
        for edit in (finding.fix.edits if finding.fix else ())
    ]
    known = tuple(edit for edit in edits if edit is not None)
    fix = replace(finding.fix, edits=known) if finding.fix and len(known) == len(edits) else None
    return replace(finding, span=moved(finding.span), trail=trail, fix=fix)


def edit_in_cell(edit: Edit, notebook: Notebook) -> Edit | None:
    """An edit of the module as one of a single cell; None where it concerns several cells, or a line with a magic.

    The end of a cell and the beginning of the next are one place in the module. A whole line that is put there goes to the end
    of the cell before; a whole line that is taken from there goes with the line end before it.
    """
    if not notebook.cells:
        return None
    cell, start = notebook.locate(edit.span.start)
    last_cell, end = notebook.locate(edit.span.end)
    content = edit.content
    is_line = content.endswith("\n")
    before = notebook.cell_ending_at(cell, start) if edit.span.start == edit.span.end and is_line else None
    if before is not None:
        cell = last_cell = before
        start = end = notebook.end(before)
        content = f"\n{content[:-1]}"
    elif notebook.cell_ending_at(last_cell, end) == cell and (is_line or not content):
        last_cell, end, content = cell, notebook.end(cell), content.removesuffix("\n")
        if not content and start.column == 1 and start.row > 1:
            start = Position(start.row - 1, len(notebook.cells[cell - 1][start.row - 2]) + 1)
    if last_cell != cell or not notebook.is_plain(cell, start.row, end.row):
        return None
    return Edit(Span(edit.span.filename, start, end, cell), content)


def _document(data: bytes) -> dict[str, Any]:
    try:
        document = json.loads(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise NotebookError(
            f"the notebook is not UTF-8: byte 0x{data[error.start]:02x}", is_text=False
        ) from error
    except json.JSONDecodeError as error:
        raise NotebookError(f"the notebook is not JSON: {error.msg}", error.lineno, error.colno) from error
    except (RecursionError, ValueError) as error:
        raise NotebookError("the notebook is not JSON that can be read") from error
    if not isinstance(document, dict) or not isinstance(document.get("nbformat"), int):
        raise NotebookError("the file is JSON, but no notebook: it has no `nbformat`")
    return document


def _code_cells(document: dict[str, Any]) -> Iterator[str]:
    if not is_python_notebook(document):
        return
    sheets = document.get("worksheets", [document])  # nbformat 3 has worksheets
    for sheet in sheets if isinstance(sheets, list) else []:
        cells = sheet.get("cells", []) if isinstance(sheet, dict) else []
        for cell in cells if isinstance(cells, list) else []:
            if isinstance(cell, dict) and cell.get("cell_type") == "code":
                yield _text(cell.get("source", cell.get("input", "")))


def is_python_notebook(document: dict[str, Any]) -> bool:
    """Whether the document of a notebook is about Python; what does not say its language is taken for it, as Jupyter does."""
    metadata = document.get("metadata")
    known = metadata if isinstance(metadata, dict) else {}
    for table, key in (("language_info", "name"), ("kernelspec", "language")):
        about = known.get(table)
        name = about.get(key) if isinstance(about, dict) else None
        if isinstance(name, str):
            return name.lower() in ("python", "ipython", "python3")
    return True


def _text(source: object) -> str:
    if isinstance(source, list):
        return "".join(part for part in source if isinstance(part, str))
    return source if isinstance(source, str) else ""


def _lines(text: str) -> list[str]:
    return re.split(r"\r\n|\r|\n", text)


def _without_magics(lines: list[str]) -> list[str]:
    """A cell as Python. What parses as it is stays as it is: a line that starts with ``%`` may be half of a formula."""
    first = next((place for place, line in enumerate(lines) if line.strip()), None)
    if first is None or _parses(lines):
        return lines
    magic = _CELL_MAGIC.match(lines[first])
    if magic is not None and magic["name"] not in _PYTHON_CELLS:
        return [""] * len(lines)
    out: list[str] = []
    continues = False
    for line in lines:
        is_magic = not continues and _is_magic(line) and not _is_open(out)
        out.append("" if continues else _replaced(line) if is_magic else line)
        continues = (continues or is_magic) and line.rstrip().endswith("\\")
    return out


def _is_magic(line: str) -> bool:
    if _MAGIC_LINE.match(line) or _MAGIC_VALUE.match(line):
        return True
    return bool(_AUTOMAGIC.match(line)) and not _parses([line.strip()])


def _replaced(line: str) -> str:
    value = _MAGIC_VALUE.match(line)
    if value is not None:
        return f"{value['target']}None"
    indent = line[: len(line) - len(line.lstrip())]
    return f"{indent}pass" if indent else ""


def _is_open(lines: list[str]) -> bool:
    """Whether a bracket or a string is still open after these lines, or the last one goes on."""
    if lines and lines[-1].rstrip().endswith("\\"):
        return True
    try:
        for _ in tokenize.generate_tokens(io.StringIO("\n".join([*lines, ""])).readline):
            pass
    except tokenize.TokenError:
        return True
    except SyntaxError:
        return False
    return False


def _parses(lines: list[str]) -> bool:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ast.parse("\n".join(lines))
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return False
    return True
