"""Notebooks in a run of ``check``: the module that their cells make, and the errors that a broken one gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from lossaudit.check.source import SourceError, check_syntax
from lossaudit.findings import Finding
from lossaudit.notebooktext import Notebook, NotebookError, in_cells, is_notebook, read_notebook


def python_of(path: Path, data: bytes) -> bytes:
    """The Python in a file: of a notebook its cells in order, of any other file its bytes.

    Raises:
        SourceError: E001, not a notebook, or a cell is not Python; E002, not UTF-8. Rows are those of the module.
    """
    if not is_notebook(path):
        return data
    notebook = _notebook(data)
    for start, lines in zip(notebook.starts, notebook.python, strict=True):
        _refuse_broken_cell(start, lines)
    return notebook.source


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


def _refuse_broken_cell(start: int, lines: Sequence[str]) -> None:
    """An open bracket in one cell must not swallow the next."""
    try:
        check_syntax("".join(f"{line}\n" for line in lines).encode("utf-8", errors="replace"))
    except SourceError as error:
        raise SourceError(error.code, error.message, start + error.row - 1, error.column) from error
