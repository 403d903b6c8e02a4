"""Where the nodes of the compact form lie in the text, found out only for files that are reported."""

from __future__ import annotations

from lossaudit.check import lower_ast
from lossaudit.check.source import NEWLINE, decode
from lossaudit.findings import Position, Span


class Positions:
    """The spans of one file, by the numbers of its nodes."""

    def __init__(self, filename: str, source: bytes) -> None:
        self._filename = filename
        text = decode(source)
        self._lines = NEWLINE.split(text)
        self._walk: _Walk | None = None
        try:
            lower_ast.parse(text)
        except lower_ast.Unsupported:
            self._walk = _Walk(text)

    def span(self, number: int) -> Span:
        """The span of a node; the first character of the file for a node that has none."""
        if self._walk is not None:
            start, end = self._walk.places(number)
        else:
            row, column, end_row, end_column = lower_ast.unpack(number)
            start, end = self._position(row, column), self._position(end_row, end_column)
        return Span(self._filename, start, end)

    def _position(self, row: int, column: int) -> Position:
        """A place that CPython counts in bytes of UTF-8."""
        if not 1 <= row <= len(self._lines):
            return Position(1, 1)
        before = self._lines[row - 1].encode()[:column]
        return Position(row, len(before.decode(errors="replace")) + 1)


class _Walk:
    """The places of ordinals: parsed again by LibCST, and walked in the order in which the ordinals were given out."""

    def __init__(self, text: str) -> None:
        import libcst  # noqa: PLC0415 (slow to import, and rarely needed)
        from libcst.metadata import MetadataWrapper, PositionProvider  # noqa: PLC0415

        from lossaudit.check.lower import Lowerer, parse  # noqa: PLC0415

        wrapper = MetadataWrapper(parse(text), unsafe_skip_copy=True)
        self._ranges = wrapper.resolve(PositionProvider)
        self._nodes: list[libcst.CSTNode] = []
        Lowerer(self._nodes).module(wrapper.module)

    def places(self, ordinal: int) -> tuple[Position, Position]:
        found = self._ranges.get(self._nodes[ordinal]) if 0 <= ordinal < len(self._nodes) else None
        if found is None:
            return Position(1, 1), Position(1, 1)
        start, end = found.start, found.end
        return Position(start.line, start.column + 1), Position(end.line, end.column + 1)
