"""Where the ordinals of the compact form lie in the text, found out only for files that are reported."""

from __future__ import annotations

import libcst as cst
from libcst.metadata import CodeRange, MetadataWrapper, PositionProvider

from lossaudit.check.lower import Lowerer, parse
from lossaudit.findings import Position, Span


class Positions:
    """The spans of one file: parsed again, and walked in the order in which the ordinals were given out."""

    def __init__(self, filename: str, source: bytes | str) -> None:
        self._filename = filename
        self._nodes: list[cst.CSTNode] = []
        tree = parse(source)
        wrapper = MetadataWrapper(tree, unsafe_skip_copy=True)
        self._ranges = wrapper.resolve(PositionProvider)
        Lowerer(self._nodes).module(wrapper.module)

    def span(self, ordinal: int) -> Span:
        """The span of a node; the first character of the file for a node that has none."""
        found = self._ranges.get(self._nodes[ordinal]) if 0 <= ordinal < len(self._nodes) else None
        if not isinstance(found, CodeRange):
            return Span(self._filename, Position(1, 1), Position(1, 1))
        start, end = found.start, found.end
        return Span(self._filename, Position(start.line, start.column + 1), Position(end.line, end.column + 1))
