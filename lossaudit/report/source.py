"""The lines of code that a report shows beside a finding."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from rich.cells import cell_len

from lossaudit.findings import Span
from lossaudit.notebooktext import NotebookError, read_notebook
from lossaudit.sourcetext import decode, split_lines

TAB = "    "


_GIVEN: dict[str, bytes] = {}


def show_instead(filename: str, data: bytes) -> None:
    """Show rows of ``data`` for a file that is not on the disk, or not as it was checked: what came from standard input."""
    _GIVEN[filename] = data
    read_lines.cache_clear()


@lru_cache(maxsize=64)
def read_lines(filename: str, cell: int | None = None) -> tuple[str, ...]:
    """The lines of a Python file, or of one cell of a notebook, without their ends; none if it cannot be read or decoded."""
    try:
        data = _GIVEN[filename] if filename in _GIVEN else Path(filename).read_bytes()
        if cell is not None:
            cells = read_notebook(data).cells
            return cells[cell - 1] if cell <= len(cells) else ()
        text, _ = decode(data)
    except (OSError, SyntaxError, UnicodeDecodeError, NotebookError):
        return ()
    return tuple(line.rstrip("\r\n") for line in split_lines(text))


def line_of(span: Span) -> str:
    """The first line of ``span``, stripped; empty if the file has no such line."""
    lines = read_lines(span.filename, span.cell)
    return lines[span.start.row - 1].strip() if span.start.row <= len(lines) else ""


def underline(span: Span, line: str) -> tuple[int, int]:
    """Where carets go under ``line`` as it is displayed: the first terminal cell, and how many cells.

    Tabs count as four cells, wide characters (Chinese, emoji) as two. A span of several lines is underlined to the
    end of its first.
    """
    start = span.start.column - 1
    end = span.end.column - 1 if span.end.row == span.start.row else len(line.rstrip())
    before = cell_len(line[:start].replace("\t", TAB))
    width = cell_len(line[start : max(end, start + 1)].replace("\t", TAB))
    return before, max(width, 1)


def displayed(line: str) -> str:
    """``line`` as a terminal shows it: tabs widened, control characters made visible."""
    widened = line.replace("\t", TAB)
    return "".join(
        character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in widened
    )


CUT = "..."
"""What stands where a row goes on beyond the window."""


def left_edge(before: int, cells: int, width: int) -> int:
    """The first terminal cell of a window of ``width`` cells in which the stretch of ``cells`` after ``before`` is seen."""
    shown = min(cells, width - 2 * len(CUT))
    if before + shown <= width - len(CUT):
        return 0
    return before - max((width - shown) // 2, len(CUT))


def window(text: str, left: int, width: int) -> str:
    """The part of a row, as it is displayed, that begins at the terminal cell ``left`` and is at most ``width`` cells wide."""
    is_cut = cell_len(text) > left + width
    first, last = left + (len(CUT) if left else 0), left + width - (len(CUT) if is_cut else 0)
    shown, place = "", 0
    for character in text:
        start, place = place, place + cell_len(character)
        if start < first < place or start < last < place:
            shown += " "  # half of a wide character
        elif first <= start and place <= last:
            shown += character
    return f"{CUT if left and text else ''}{shown}{CUT if is_cut else ''}"
