"""How many steps the roots of one file may take, so that what is written to hang ends."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from lossaudit.check import ir
from lossaudit.check.infer.frame import OutOfBudget

MAX_STEPS = 5_000
"""Calls and statements that one root may run."""
OWN_STEPS = 1_000
"""Those that every root may run; more of them come out of what the roots of the file share."""
SHARED_STEPS = 6_000
OBJECT_STEPS = 300
"""Those of a method of another file's class that is run on an object of the home, because somebody else may call it."""
INHERITED_STEPS = 12_000
"""Those that all methods may run together which the classes of the home inherit from other files: some bases have hundreds."""
PLAIN_STEPS = 150
"""Those of a call into another file that is given plain data, without those of models in it."""
MODEL_STEPS = 600
"""Those of building or calling a model of another file."""


@dataclass(slots=True)
class Budget:
    """The steps of one file's roots; ``costly`` are functions by the identity of their node.

    A function in which a root, or a call into another file, came to the end of its share is remembered: where another root calls it,
    it is not followed again.
    """

    _taken: int = 0
    _limit: int = MAX_STEPS
    _shared: int = SHARED_STEPS
    inherited: int = INHERITED_STEPS
    costly: dict[int, ir.Node] = field(default_factory=dict)
    _of_root: int = MAX_STEPS
    _shares: int = 0

    @property
    def taken(self) -> int:
        """The steps that the present root has taken."""
        return self._taken

    def begin(self, most: int = MAX_STEPS) -> None:
        """A root begins."""
        self._shared -= max(0, self._taken - OWN_STEPS)
        self._taken = self._shares = 0
        self._limit = self._of_root = min(most, OWN_STEPS + max(0, self._shared))

    @contextmanager
    def apart(self) -> Iterator[None]:
        """Something else is run first, on a share of its own."""
        before = self._taken, self._limit, self._of_root, self._shares
        self._taken, self._limit, self._of_root, self._shares = 0, MAX_STEPS, MAX_STEPS, 0
        try:
            yield
        finally:
            self._taken, self._limit, self._of_root, self._shares = before

    @property
    def shares(self) -> int:
        """How many calls are open that have a share of their own, each inside the other."""
        return self._shares

    @contextmanager
    def at_most(self, steps: int) -> Iterator[None]:
        """A call with a share of its own, which is not charged to the share of the call around it.

        Raises:
            OutOfBudget: It has had its share; the root goes on, unless :attr:`is_spent`.
        """
        outer, begun = self._limit, self._taken
        self._limit = min(self._of_root, begun + steps)
        self._shares += 1
        try:
            yield
        finally:
            self._limit = min(self._of_root, outer + self._taken - begun)
            self._shares -= 1

    @property
    def is_spent(self) -> bool:
        """Whether the present root has had its share."""
        return self._taken > self._limit

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
            self.costly[id(node)] = node

    def give_up(self, node: ir.Node) -> None:
        """A call of this function had its share: it is not followed again."""
        self.costly[id(node)] = node

    def is_costly(self, node: int) -> bool:
        """Whether a call of the function at this node used up its share."""
        return node in self.costly
