"""What makes a function of the project a loss: asked by the rules that are about the text of hand-written losses."""

from __future__ import annotations

from collections.abc import Iterator

from lossaudit.check import ir
from lossaudit.check.contracts import LayerClass
from lossaudit.check.events import FunctionReturn
from lossaudit.check.kinds import Kind
from lossaudit.check.reasoning.forms import sides, strip
from lossaudit.check.reasoning.terms import LIMIT, gradient_cuts, unknown_leaves, weighted_terms
from lossaudit.check.values import (
    ClassVal,
    DictVal,
    Function,
    Instance,
    ListVal,
    Tensor,
    TupleVal,
    Union,
    Value,
    constant,
    operands,
    walk_terms,
)

_REDUCING = ("mean", "sum")
_COUNTS = ("size", "numel")
TRAINABLE = frozenset({
    "linear", "bilinear", "conv1d", "conv2d", "conv3d", "embedding", "embedding_bag", "recurrent", "attention", "hidden", "batch_norm",
})  # fmt: skip
FORWARD = ("forward", "__call__")


def is_loss_function(event: FunctionReturn) -> bool:
    """Whether the function that returned is a loss.

    That is ``forward`` of a module without layers, or a function of two tensors at least, that yields a loss under contract, a
    full reduction or its root, or a weighted sum of such, through which a gradient can pass: a count of hits is a metric.
    """
    returned = list(returned_tensors(event.value))
    found = [term for term in returned if is_loss_value(term, event.since)]
    if not found or all(gradient_cuts(term) for term in found):
        return False
    if any(_is_feature_map(term, event.since) for term in returned if term not in found):
        return False  # a layer that returns a penalty as well
    if isinstance(event.receiver, Instance):
        return event.function.name in FORWARD and is_criterion(event.receiver)
    is_plain = event.function.owner is None or event.function.kind == "static"
    return is_plain and _is_closed(event)


def _is_feature_map(term: Tensor, since: int) -> bool:
    return any(one.op in TRAINABLE for one in made_terms(term, since))


def is_criterion(instance: Instance) -> bool:
    """A module, or another object that is called, of a class of the project, without trainable layers inside."""
    return isinstance(instance.cls, ClassVal) and not _holds_layers(instance, set())


def has_forward_of_two(instance: Instance) -> bool:
    """Whether calling the object takes a prediction and something to compare it with."""
    return isinstance(instance.cls, ClassVal) and is_called_with_two(instance.cls)


def is_called_with_two(cls: ClassVal) -> bool:
    """The same, of the objects of a class."""
    classes = [base for base in cls.mro if isinstance(base, ClassVal)]
    called = [base.scope.vars.get(name) for base in classes for name in FORWARD]
    function = next((one for one in called if isinstance(one, Function)), None)
    return function is not None and len(function.node.params) > 2


def _holds_layers(instance: Instance, seen: set[int]) -> bool:
    if id(instance) in seen or len(seen) > LIMIT:
        return False
    seen.add(id(instance))
    if isinstance(instance.entry, LayerClass) and instance.entry.layer.op in TRAINABLE:
        return True
    stack: list[Value] = [*instance.attrs.values(), *(instance.items or ())]
    while stack:
        value = stack.pop()
        if isinstance(value, Instance) and _holds_layers(value, seen):
            return True
        if isinstance(value, Union):
            stack += value.alternatives
    return False


def _is_closed(event: FunctionReturn) -> bool:
    """A function of at least two parameters that calls nothing unknown: what it computes, it computes from its arguments."""
    if not isinstance(event.function.node, ir.FunctionDef) or len(event.function.node.params) < 2:
        return False
    for term in returned_tensors(event.value):
        if any(
            one.module is not None and one.op in TRAINABLE and one.ident >= event.since
            for one in made_terms(term, event.since)
        ):
            return False
        if not all(leaf.parameter or leaf.data or leaf.origin for leaf in unknown_leaves(term)):
            return False
    return True


def returned_tensors(value: Value) -> Iterator[Tensor]:
    """The tensors in what a function returns: alone, as alternatives, or in a tuple or dict."""
    stack, steps = [value], 0
    while stack and steps < LIMIT:
        steps += 1
        one = stack.pop()
        if isinstance(one, Tensor):
            yield one
        elif isinstance(one, Union):
            stack += one.alternatives
        elif isinstance(one, (TupleVal, ListVal)):
            stack += one.items
        elif isinstance(one, DictVal):
            stack += one.entries.values()


def is_loss_value(term: Tensor, since: int) -> bool:
    """Whether it is a weighted sum, made during the call, of losses under contract or of full reductions."""
    if term.ident < since or term.detached or _is_centred(term):
        return False
    return any(_is_objective(one) for one in weighted_terms(term) if one.ident >= since)


def _is_centred(term: Tensor) -> bool:
    """``x - x.mean()``, ``x / x.sum()``: numbers like ``x``, of which the other operand was made; no number."""
    if term.op not in ("add", "sub", "mul", "div"):
        return term.op == "neg" and any(_is_centred(one) for one in operands(term))
    for one, other in sides(term.args):
        left, right = strip(one), strip(other)
        if left is None or right is None or left.op in _COUNTS or _is_objective(left):
            continue
        if _is_centred(left) or any(below.ident == left.ident for below in walk_terms(right, LIMIT)):
            return True
    return False


def _is_objective(term: Tensor) -> bool:
    """A loss under contract, a full reduction, or the root of one."""
    if term.kind is Kind.LOSS:
        return True
    if term.op == "sqrt":
        inner = strip(term.arg("input"))
        return inner is not None and any(_is_objective(one) for one in weighted_terms(inner))
    return term.op in _REDUCING and constant(term.arg("dim")) is None and any(True for _ in operands(term))


def made_terms(term: Tensor, since: int) -> Iterator[Tensor]:
    """``term`` and what it was computed from, as far as that was made from ``since`` on."""
    stack, seen = [term], set[int]()
    while stack and len(seen) < LIMIT:
        one = stack.pop()
        if id(one) not in seen and one.ident >= since:
            seen.add(id(one))
            yield one
            stack += operands(one)
