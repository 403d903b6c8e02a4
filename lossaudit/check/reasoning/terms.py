"""Questions about term graphs that several rules ask."""

from __future__ import annotations

from collections.abc import Iterator

from lossaudit.check.kinds import Kind
from lossaudit.check.values import (
    ITERATED,
    Const,
    DictVal,
    External,
    ExternalMethod,
    Instance,
    ListVal,
    Tensor,
    TupleVal,
    Union,
    Unknown,
    Value,
    operands,
    walk_terms,
)

LIMIT = 400
"""How many terms a question may look at."""
NUMBERS = ("size", "numel", "item", "tolist")
"""Operations that give plain numbers: they lie on no device, and no gradient goes through them."""

_WEIGHTED = ("add", "sub", "mul", "div", "sum", "mean", "neg")

FACTORIES = frozenset({
    "tensor", "as_tensor", "float_tensor", "long_tensor", "zeros", "ones", "full", "rand", "arange", "linspace", "eye", "hann_window",
})  # fmt: skip
"""Operations that make a tensor of plain numbers."""


def weighted_terms(term: Tensor) -> Iterator[Tensor]:
    """``term`` and the summands and factors of which it is a sum, a mean or a multiple; losses are not taken apart."""
    stack, seen = [term], set[int]()
    while stack and len(seen) < LIMIT:
        one = stack.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        if one.kind is not Kind.LOSS and one.op in _WEIGHTED:
            stack += operands(one)


def reads_layers(term: Tensor) -> bool:
    """Whether a layer or an activation took part in ``term``: it is about a prediction, not about data."""
    kinds = (Kind.SCORE, Kind.PROBABILITY, Kind.SIGMOID, Kind.LOG_PROBABILITY, Kind.RECTIFIED, Kind.TANH)
    return any(one.kind in kinds or one.module is not None for one in walk_terms(term, LIMIT))


def gradient_cuts(term: Tensor) -> list[Tensor]:
    """The hard decisions at which every gradient of ``term`` stops; nothing if one may pass.

    The batch, also the one on which the decisions were taken, and a parameter whose default is a plain number carry no gradient
    themselves; any other value of unknown origin may: in ``sign(x) * log1p(abs(x))`` it does.
    """
    cuts: list[Tensor] = []
    loose: list[Unknown] = []
    stack: list[Value] = [term]
    seen: set[int] = set()
    while stack and len(seen) < LIMIT:
        value = stack.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, Tensor):
            if value.kind is Kind.HARD:
                cuts.append(value)
            elif value.module is not None or value.op in ("parameter", "opaque", "input") or not value.args:
                return []  # a term without operands lies so deep that it has forgotten them
            elif not value.detached:
                stack += [value.args["input"]] if _only_moves(value) else value.args.values()
        elif isinstance(value, Unknown):
            loose.append(value)
        elif not isinstance(value, (Const, External)):
            stack += _parts(value)
    batches = {id(leaf) for cut in cuts for leaf in unknown_leaves(cut) if leaf.origin == ITERATED}
    carries_none = all(
        leaf.data or leaf.origin == "size" or leaf.is_usually_number or id(leaf) in batches for leaf in loose
    )
    return cuts if carries_none and not stack else []


def _only_moves(term: Tensor) -> bool:
    """Whether it is ``x.to(...)``: what is named there is a place or an element type, and gets no gradient."""
    return term.op == "to" and "input" in term.args


def _parts(value: Value) -> list[Value]:
    if isinstance(value, Union):
        return list(value.alternatives)
    if isinstance(value, (TupleVal, ListVal)):
        return [*value.items, *([value.rest] if value.rest is not None else [])]
    return list(value.entries.values()) if isinstance(value, DictVal) else []


_DEVICE_FACTS = ("is_cuda", "device", "get_device", "is_cpu", "is_mps")


def asks_for_device(test: Value) -> bool:
    """Whether a condition asks where a tensor lies: what it guards follows that tensor."""
    stack = [test]
    for _ in range(LIMIT):
        if not stack:
            break
        value = stack.pop()
        if isinstance(value, Unknown):
            if value.name in _DEVICE_FACTS or value.origin == "device":
                return True
            owner = value.owner
            stack += (
                owner.items if isinstance(owner, TupleVal) else [owner] if isinstance(owner, Unknown) else []
            )
        elif isinstance(value, ExternalMethod):  # ``x.device.type``: a tensor has a method of that name
            stack.append(value.receiver)
        elif isinstance(value, Tensor) and value.op in ("eq", "ne", "logical_not", "ge", "gt", "lt"):
            stack += value.args.values()
        elif isinstance(value, Union):
            stack += value.alternatives
    return False


def unknown_leaves(term: Tensor) -> Iterator[Unknown]:
    """The values of unknown origin from which ``term`` was computed."""
    for one in walk_terms(term, LIMIT):
        for value in one.args.values():
            stack = [value]
            while stack:
                part = stack.pop()
                if isinstance(part, Unknown):
                    yield part
                elif not isinstance(part, (Tensor, Instance)):
                    stack += _parts(part)
