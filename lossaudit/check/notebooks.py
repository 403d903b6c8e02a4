"""Notebooks in a run of ``check``: the module that their cells make, and what is wrong with a broken one or with one of its cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from lossaudit.check.source import SourceError, check_syntax
from lossaudit.findings import Finding
from lossaudit.notebooktext import Notebook, NotebookError, as_source, in_cells, is_notebook, read_notebook


def python_of(path: Path, data: bytes) -> bytes:
    """The Python in a file: of a notebook its cells in order, those blank that are none; of any other file its bytes.

    Raises:
        SourceError: E001, not a notebook, or no cell is Python; E002, not UTF-8. Rows are those of the module.
    """
    return _cells(data).source if is_notebook(path) else data


def broken_cells(path: Path, data: bytes) -> tuple[SourceError, ...]:
    """Why cells of a notebook are left out of its Python.

    Raises:
        SourceError: As :func:`python_of` does.
    """
    return _cells(data).broken if is_notebook(path) else ()


@dataclass(frozen=True, slots=True)
class _Cells:
    source: bytes
    broken: tuple[SourceError, ...]


@lru_cache(maxsize=32)
def _cells(data: bytes) -> _Cells:
    notebook = _notebook(data)
    lines: list[str] = []
    broken: list[SourceError] = []
    for start, cell in zip(notebook.starts, notebook.python, strict=True):
        error = _complaint(start, cell)
        lines += cell if error is None else [""] * len(cell)
        broken += [] if error is None else [error]
    if broken and not any(line.strip() for line in lines):
        raise broken[0]
    return _Cells(as_source(lines), tuple(broken))


def told_by_cells(findings: Sequence[Finding], sources: Mapping[Path, bytes]) -> tuple[Finding, ...]:
    """The findings as they are reported: places in notebooks by cell and row in the cell.

    ``sources`` is what files are taken to hold instead of what is on the disk.
    """
    return tuple(_told(finding, sources) for finding in findings)


def _told(finding: Finding, sources: Mapping[Path, bytes]) -> Finding:
    edits = finding.fix.edits if finding.fix else ()
    spans = (finding.span, *(step.span for step in finding.trail), *(edit.span for edit in edits))
    for filename in sorted({span.filename for span in spans if is_notebook(span.filename)}):
        path = Path(filename)
        with suppress(OSError, SourceError):
            data = sources[path] if path in sources else path.read_bytes()
            finding = in_cells(finding, filename, _notebook(data))
    return finding


def _notebook(data: bytes) -> Notebook:
    try:
        return read_notebook(data)
    except NotebookError as error:
        code = "E001" if error.is_text else "E002"
        raise SourceError(code, error.message, error.row, error.column) from error


def _complaint(start: int, lines: Sequence[str]) -> SourceError | None:
    """What is wrong with a cell, each read by itself: an open bracket in one must not swallow the next."""
    try:
        check_syntax(as_source(lines))
    except SourceError as error:
        return SourceError(error.code, error.message, start + error.row - 1, error.column)
    return None
