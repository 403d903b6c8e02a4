"""Which uses of a value exclude each other, so that a loss with several modes is not judged by the mode that was not meant.

``if self.from_logits: cross_entropy(x, y)`` and ``else: nll_loss(x.log(), y)`` in one function take logits or probabilities, as
the caller says. Where the condition is open, one of the two always seems to be wrong for what the caller handed over. So a finding about
a value that came from outside the call is taken back if the other side of a condition in that call uses the same value rightly.
Within one function nothing is taken back: a value made beside the condition is the same on both of its sides.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import NamedTuple

from lossaudit.check.detectors import Hit
from lossaudit.check.events import Event, LossCall, OpEvent
from lossaudit.check.reasoning.terms import LIMIT
from lossaudit.check.values import Tensor, Value, alternatives, operands


class Fork(NamedTuple):
    """Some options of a choice, in a call that began when ``since`` was the next identity of a term."""

    choice: int
    options: frozenset[int]
    since: int


@dataclass(frozen=True, slots=True)
class _Use:
    """An event that judges values, by which way it was reached, and what was said of it."""

    event: LossCall | OpEvent
    way: tuple[Fork, ...]
    hits: tuple[Hit, ...]


@dataclass(slots=True)
class Ways:
    """The way on which the interpreter is, and the uses of values in the present root."""

    way: tuple[Fork, ...] = ()
    _uses: list[_Use] = field(default_factory=list)
    _choices: itertools.count[int] = field(default_factory=itertools.count)

    def begin(self) -> None:
        """A root begins."""
        self.way = ()
        self._uses.clear()

    def kept(self) -> AbstractContextManager[None]:
        """What is chosen inside ends with it: a call, a pass of a loop."""
        return _Kept(self, self.way)

    def choice(self) -> int:
        """A name for a choice that is run now."""
        return next(self._choices)

    def take(self, choice: int, options: Iterable[int], since: int) -> None:
        """From here on, these options of the choice are taken."""
        self.way = (*self.way, Fork(choice, frozenset(options), since))

    def note(self, event: Event, hits: list[Hit]) -> None:
        """Remember an event that judges a value. Where nothing is open there is nothing to take back."""
        if self.way and (isinstance(event, LossCall) or (hits and isinstance(event, OpEvent))):
            self._uses.append(_Use(event, self.way, tuple(hits)))

    def taken_back(self) -> list[Hit]:
        """The findings of the root about values that the other side of a choice uses rightly."""
        right = [use for use in self._uses if isinstance(use.event, LossCall) and not use.hits]
        wrong = [use for use in self._uses if use.hits] if right else []
        return [
            hit for use in wrong if any(_is_other_side(use, other) for other in right) for hit in use.hits
        ]


@dataclass(frozen=True, slots=True)
class _Kept(AbstractContextManager[None]):
    """Puts the way back. It is entered for each call and branch: a generator would take three times as long."""

    ways: Ways
    way: tuple[Fork, ...]

    def __exit__(self, *error: object) -> None:
        self.ways.way = self.way


def _is_other_side(wrong: _Use, right: _Use) -> bool:
    for fork in wrong.way:
        excluded = any(one.choice == fork.choice and not one.options & fork.options for one in right.way)
        if excluded:
            judged = {term.ident for term in _judged(wrong.event) if term.ident < fork.since}
            return bool(judged) and any(term.ident in judged for term in _read(right.event))
    return False


def _judged(event: LossCall | OpEvent) -> Iterator[Tensor]:
    values: Iterable[Value] = event.args.values() if isinstance(event, LossCall) else operands(event.term)
    return (one for value in values for one in alternatives(value) if isinstance(one, Tensor))


def _read(event: LossCall | OpEvent) -> Iterator[Tensor]:
    """The terms from which a loss is computed."""
    stack, seen = list(_judged(event)), set[int]()
    while stack and len(seen) < LIMIT:
        one = stack.pop()
        if id(one) not in seen:
            seen.add(id(one))
            yield one
            stack += operands(one)
