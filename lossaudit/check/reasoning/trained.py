"""Which operations take part in something that is optimised: asked by the rules on numerics.

A logarithm, a root or a quotient hurts where a gradient passes through it. Trackers, assignments of boxes, matching costs, metrics,
plots and the preparation of data take logarithms as they like. So those rules are told of an operation only once its value has
reached something optimised, along operands that carry a gradient. Optimised are

- what is back-propagated, also through a criterion that is not in sight;
- what a loss under contract is given;
- what a model computes from its layers;
- a number that a function returns through which a gradient passes, and that either compares what the function was given (a
  prediction and a target) or was computed from layers. An object that is called and is no module of the framework is as often a
  metric: what it returns has to reach one of the others.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from lossaudit.check.contracts import Contracts
from lossaudit.check.events import Backward, Event, ExternalCall, FunctionReturn, LossCall
from lossaudit.check.kinds import Kind
from lossaudit.check.reasoning.gradients import parts
from lossaudit.check.reasoning.losses import TRAINABLE, is_loss_value, returned_tensors
from lossaudit.check.reasoning.terms import LIMIT, gradient_cuts, reads_layers
from lossaudit.check.values import (
    ITERATED,
    ClassVal,
    Instance,
    Site,
    Tensor,
    Unknown,
    Value,
    constant,
    walk_terms,
)

OBJECTIVES = frozenset({Backward, LossCall, FunctionReturn, ExternalCall})
"""The events that may tell of something optimised."""
_NO_GRADIENT = frozenset({"index", "indices", "condition", "mask"})
"""Operands that choose among values: no gradient goes to them."""
_SUMS = frozenset({"add", "sub", "mul", "div", "neg", "sum", "mean", "stack", "cat"})
_LIMIT = 4_000

_Key = tuple[int, str, Site]


@dataclass(slots=True)
class Trained:
    """Finds what is optimised; each term is found once, with everything below it."""

    contracts: Contracts
    known: set[_Key] = field(default_factory=set)

    def reached(self, event: Event, *, remember: bool) -> list[tuple[Tensor, bool]]:
        """The terms through which the gradient of what ``event`` optimises passes, and that were not found before.

        Each with whether it goes into a layer first. ``remember`` is False where the findings may still be taken back.
        """
        if event.in_inference:
            return []
        seen = self.known if remember else set(self.known)
        return list(_carriers(self._objectives(event), seen))

    def is_by_hand(self, event: Event) -> bool:
        """Whether what ``event`` optimises has a gradient that somebody wrote: ``forward`` of an ``autograd.Function``."""
        owner = event.function.owner if isinstance(event, FunctionReturn) else None
        return isinstance(owner, ClassVal) and any(
            base in self.contracts.gradients_by_hand for base in owner.externals
        )

    def _objectives(self, event: Event) -> Iterable[Value]:
        if isinstance(event, Backward):
            return [event.value, *_given_to_criteria(event.value)]
        if isinstance(event, LossCall):
            return [event.term]
        if isinstance(event, FunctionReturn):
            return list(self._returned(event))
        return self._handed_over(event) if isinstance(event, ExternalCall) else []

    def _handed_over(self, event: ExternalCall) -> Iterable[Value]:
        method = event.name.rpartition(".")[2]
        is_objective = any((base, method) in self.contracts.objectives for base in _bases(event.receiver))
        return [*event.positional, *event.keywords.values()] if is_objective else []

    def _returned(self, event: FunctionReturn) -> Iterator[Value]:
        is_model = self._is_forward(event)
        for term in returned_tensors(event.value):
            if (is_model and _reads_weights(term)) or _is_loss_by_form(term, event):
                yield term

    def _is_forward(self, event: FunctionReturn) -> bool:
        return event.function.name in self.forwards(_bases(event.receiver))

    def forwards(self, bases: Iterable[str]) -> frozenset[str]:
        """The methods that compute the result of a model whose external bases these are."""
        known = self.contracts.module_bases
        return frozenset(name for base in bases for name in ("forward", known.get(base, "forward")))


def _bases(receiver: Value | None) -> tuple[str, ...]:
    cls = receiver.cls if isinstance(receiver, Instance) else None
    return cls.externals if isinstance(cls, ClassVal) else ()


def _is_of_plain_class(event: FunctionReturn) -> bool:
    """Whether a method without a module of the framework behind it returned."""
    cls = event.receiver.cls if isinstance(event.receiver, Instance) else event.function.owner
    return isinstance(cls, ClassVal) and cls.is_plain


def _given_to_criteria(value: Value) -> Iterator[Value]:
    """What was handed to calls whose results, added up and scaled, are back-propagated: a gradient gets out of them as well."""
    stack = [value]
    for _ in range(LIMIT):
        if not stack:
            return
        one = stack.pop()
        if isinstance(one, Unknown):
            yield from one.given
        elif not isinstance(one, Tensor):
            stack += parts(one)
        elif one.op in _SUMS:
            stack += one.args.values()


def _is_loss_by_form(term: Tensor, event: FunctionReturn) -> bool:
    """A number that is computed from a pair of things or from layers, and through which a gradient can pass."""
    is_number = term.shape.rank == 0 or is_loss_value(term, event.since)
    if not (is_number and term.ident >= event.since and _carries(term)):
        return False
    if _is_of_plain_class(event):
        return False
    takes_a_pair = sum(one is not event.receiver for one in event.parameters) > 1
    return (takes_a_pair or _holds_layers(term)) and not gradient_cuts(term)


def _reads_weights(term: Tensor) -> bool:
    return reads_layers(term) or any(one.op == "parameter" for one in walk_terms(term, LIMIT))


def _holds_layers(term: Tensor) -> bool:
    return any(one.module is not None and one.op in TRAINABLE for one in walk_terms(term, LIMIT))


def _carries(term: Tensor) -> bool:
    stops = term.detached or term.inference or term.unrecorded or term.dtype.is_integral
    return not (stops or term.kind is Kind.HARD)


def is_only_data(term: Tensor, *, below_layer: bool) -> bool:
    """Whether ``term`` was computed from a batch alone, into which no gradient goes: positions, masks, templates.

    That is what a loader yields, and where it is the input of a layer, a named part of an argument: ``batch["positions"]``.
    """
    sources = list(_sources(term))
    return bool(sources) and all(
        isinstance(one, Unknown) and (one.data or (below_layer and _is_named_part(one))) for one in sources
    )


def _sources(term: Tensor) -> Iterator[Value]:
    """What ``term`` was computed from: layers and parameters (their terms), and values of unknown origin."""
    stack: list[Value] = [term]
    for _ in range(LIMIT):
        if not stack:
            return
        one = stack.pop()
        if isinstance(one, Tensor):
            if one.module is not None or one.op == "parameter":
                yield one
            else:
                stack += [operand for name, operand in one.args.items() if name not in _NO_GRADIENT]
        elif isinstance(one, Unknown):
            if not one.is_scalar:
                yield one
        else:
            stack += parts(one)
    yield term


def _is_named_part(value: Value | None) -> bool:
    """Whether it lies under a name in something that was handed in, or a method of it was called with plain arguments.

    A name is a text, or a key that was itself iterated out of what was handed in.
    """
    while isinstance(value, Unknown) and not any(isinstance(one, Tensor) for one in value.given):
        if isinstance(constant(value.at), str) or _is_key(value.at):
            return value.parameter
        value = value.of or value.owner
    return False


def _is_key(value: Value | None) -> bool:
    return isinstance(value, Unknown) and value.origin == ITERATED and value.parameter


def _carriers(values: Iterable[Value], seen: set[_Key]) -> Iterator[tuple[Tensor, bool]]:
    stack = [(value, False) for value in values]
    for _ in range(_LIMIT):
        if not stack:
            return
        value, below = stack.pop()
        if isinstance(value, Tensor):
            key = (value.ident, value.op, value.site)
            if key not in seen and _carries(value):
                seen.add(key)
                yield value, below
                below = below or value.module is not None
                stack += [(one, below) for name, one in value.args.items() if name not in _NO_GRADIENT]
        elif not isinstance(value, Unknown):
            stack += [(one, below) for one in parts(value)]
