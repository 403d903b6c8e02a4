"""What is asked of the same piece of syntax again and again is found once.

A node is known by its identity, which is its own only as long as it lives: it is kept beside the answer, until :func:`forget`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from lossaudit.check import ir

N = TypeVar("N", bound="ir.Node | ir.ModuleIR")
T = TypeVar("T")


class Once(Generic[N, T]):
    """A function of a node that remembers what it gave."""

    def __init__(self, find: Callable[[N], T]) -> None:
        self._find = find
        self._known: dict[int, tuple[N, T]] = {}
        _FORGETTING.append(self._known.clear)

    def __call__(self, node: N) -> T:
        """What is found for the node."""
        known = self._known.get(id(node))
        if known is None:
            known = self._known[id(node)] = node, self._find(node)
        return known[1]


_FORGETTING: list[Callable[[], None]] = []


def forget() -> None:
    """Let go of all nodes, before their files are let go of."""
    for one in _FORGETTING:
        one()
