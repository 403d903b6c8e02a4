"""The state of one function call while its body runs."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from lossaudit.check.events import Mutation
from lossaudit.check.infer.heap import Changes, Scope
from lossaudit.check.project import Module
from lossaudit.check.values import Autocast, Function, Site, TupleVal, Value


class Flow(Enum):
    """How a block ended."""

    NEXT = 0
    RETURN = 1
    BREAK = 2
    CONTINUE = 3
    RAISE = 4


@dataclass(slots=True, eq=False)
class Frame:
    """One call: ``exits`` collects what early returns changed, ``loop_exits`` the same for each open loop.

    ``parameters`` are the values with which the body started, ``mutations`` the in-place operations on values that were handed in.
    ``guards`` are the conditions that were tested on the way here, each the values that it mentions; ``autocast`` the region of
    mixed precision that is open. ``assigned`` keeps what each assignment to a single name bound last;
    terms made during the call have an ``ident`` from ``since`` on; ``inherited`` are the contexts of the caller.
    """

    module: Module
    scope: Scope
    function: Function | None = None
    receiver: Value | None = None
    contexts: frozenset[str] = frozenset()
    returns: list[Value] = field(default_factory=list)
    yields: list[Value] = field(default_factory=list)
    exits: list[Changes] = field(default_factory=list)
    loop_exits: list[list[Changes]] = field(default_factory=list)
    parameters: tuple[Value, ...] = ()
    mutations: list[Mutation] = field(default_factory=list)
    guards: tuple[TupleVal, ...] = ()
    autocast: Autocast | None = None
    assigned: dict[int, Value] = field(default_factory=dict)
    since: int = 0
    inherited: frozenset[str] = frozenset()

    def site(self, node: int) -> Site:
        """The place of a node of this frame's file."""
        return Site(self.module.filename, node)


@dataclass(slots=True)
class Arguments:
    """The arguments of a call after star-expansion.

    From place ``open_from`` on it is not certain which argument a positional value is; ``open_keywords`` says that
    there may be further keyword arguments. ``preset`` names the keywords that a ``functools.partial`` had given.
    """

    positional: list[Value] = field(default_factory=list)
    keywords: dict[str, Value] = field(default_factory=dict)
    open_from: int | None = None
    open_keywords: bool = False
    preset: frozenset[str] = frozenset()

    @property
    def is_open(self) -> bool:
        """Whether arguments may have been given that we do not see."""
        return self.open_from is not None or self.open_keywords

    def certain_positional(self) -> list[Value]:
        """The positional arguments whose place is certain."""
        return self.positional[: self.open_from]

    def all_values(self) -> list[Value]:
        """Every value that is passed."""
        return [*self.positional, *self.keywords.values()]


class OutOfBudget(Exception):  # noqa: N818 (it ends a run, it is not an error)
    """The limits on steps or time of the present root are used up."""
