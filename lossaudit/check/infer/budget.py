"""How many steps the roots of one file may take, so that what is written to hang ends."""

from __future__ import annotations

from dataclasses import dataclass, field

from lossaudit.check import ir
from lossaudit.check.infer.frame import OutOfBudget

MAX_STEPS = 5_000
"""Calls and statements that one root may run."""
OWN_STEPS = 1_000
"""Those that every root may run; more of them come out of what the roots of the file share."""
SHARED_STEPS = 6_000


@dataclass(slots=True)
class Budget:
    """The steps of one file's roots.

    A function in which a root came to the end of its share is remembered: where another root calls it, it is not followed again.
    """

    _taken: int = 0
    _limit: int = MAX_STEPS
    _shared: int = SHARED_STEPS
    _costly: dict[int, ir.Node] = field(default_factory=dict)

    @property
    def taken(self) -> int:
        """The steps that the present root has taken."""
        return self._taken

    def begin(self) -> None:
        """A root begins."""
        self._shared -= max(0, self._taken - OWN_STEPS)
        self._taken = 0
        self._limit = min(MAX_STEPS, OWN_STEPS + max(0, self._shared))

    def interrupt(self) -> int:
        """Something else is run first, on a share of its own; what :meth:`resume` needs to go on."""
        before = self._taken
        self._taken = 0
        return before

    def resume(self, before: int) -> None:
        """The interrupted root goes on."""
        self._taken = before

    def take(self) -> None:
        """Count one step.

        Raises:
            OutOfBudget: The present root has had its share.
        """
        self._taken += 1
        if self._taken > self._limit:
            raise OutOfBudget

    def blame(self, node: ir.Node, begun: int) -> None:
        """The share came to its end in a call of this function, which began at step ``begun``: most of it went there, or little."""
        if self._taken - begun > self._limit // 2:
            self._costly[id(node)] = node

    def is_costly(self, node: int) -> bool:
        """Whether a call of the function at this node used up the share of a root."""
        return node in self._costly
