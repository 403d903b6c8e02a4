"""Whether a gradient can get from a back-propagated value to anything that is trained, and if not, what is in the way."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from lossaudit.check.contracts import LayerClass
from lossaudit.check.kinds import Dtype, Kind
from lossaudit.check.reasoning.losses import TRAINABLE
from lossaudit.check.reasoning.terms import LIMIT, reads_layers, weighted_terms
from lossaudit.check.reasoning.trace import is_optimizer
from lossaudit.check.values import (
    ITERATED,
    PARAMETERS,
    ClassVal,
    Const,
    DictVal,
    Instance,
    ListVal,
    Tensor,
    TupleVal,
    Union,
    Unknown,
    Value,
    alternatives,
    constant,
    feasible,
)

_MAKES_TENSORS = frozenset({"tensor", "float_tensor", "long_tensor", "cuda_tensor", "variable"})
CUTTING = frozenset({"detach", "item", "tolist", "numpy"}) | _MAKES_TENSORS
_MAKES_DATA = frozenset({
    "zeros", "ones", "empty", "rand", "full", "zeros_like", "ones_like", "empty_like", "rand_like", "full_like", "new_zeros",
    "new_ones", "new_empty", "new_full", "new_tensor", "hann_window", "randint", "arange", "eye", "linspace", "size", "numel", "one_hot",
    "argmax", "argmin", "argsort", "nonzero", "multinomial", "bernoulli",
})  # fmt: skip
_NOT_VALUES = ("size", "int", "float", "bool", "str", "number")


@dataclass(slots=True)
class Obstacles:
    """What stands between a value and everything trained. ``open`` says that a gradient may pass after all.

    ``layers`` are the ones that the search passed, by identity, if it was to pass them.
    """

    open: bool = False
    layers: set[int] = field(default_factory=set)
    cuts: list[Tensor] = field(default_factory=list)
    unrecorded: list[Tensor] = field(default_factory=list)
    decides: bool = False


def obstacles(value: Value, *, past_layers: bool = False) -> Obstacles:
    """Follow every way down from ``value`` until it is cut off or may be open. What is not certain is open.

    ``past_layers`` goes on below the layers of known modules: it is asked which of them a gradient reaches. What a loop over a
    handed-in iterable yields is then data: a graph that was made before the loop could be used once only.
    """
    found = Obstacles()
    stack: list[tuple[Value, bool]] = [(_without_flag(one), False) for one in feasible(value)]
    itself = {id(part) for one, _ in stack if isinstance(one, Tensor) for part in weighted_terms(one)}
    seen: set[int] = set()
    while stack and not found.open:
        one, is_target = stack.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        if len(seen) > LIMIT:
            found.open = True
        elif isinstance(one, Tensor):
            if _asks_for_gradient(one) and id(one) not in itself and not reads_layers(one):
                found.open = True  # a leaf made of data: the gradient of an input is wanted
            elif past_layers and is_layer(one) and not one.unrecorded:
                found.layers.add(id(one.module))
                stack += _operands(one, is_target=False)
            else:
                stack += _below(found, one, is_target)
        elif isinstance(one, Unknown):
            if not (past_layers and one.origin == ITERATED):
                _judge_unknown(found, one, is_target)
        else:
            stack += [(part, is_target) for part in parts(one)]
    return found


def _without_flag(value: Value) -> Value:
    """A loss on which ``requires_grad`` was set is a leaf then, which helps nothing above it."""
    while isinstance(value, Tensor) and value.op in ("requires_grad_", "grad_scale"):
        value = value.args.get("input", Unknown())
    return value


def _judge_unknown(found: Obstacles, value: Unknown, is_target: bool) -> None:
    if value.foreign:
        made = foreign_source(value)
        if made is not None:
            found.cuts.append(made)
        return
    is_data = value.data or value.is_setting or value.origin in _NOT_VALUES or (is_target and value.parameter)
    found.open = found.open or not is_data


def foreign_source(value: Unknown) -> Tensor | None:
    """The tensor from which an array of another library was made."""
    current: Value | None = value
    for _ in range(LIMIT):
        if not isinstance(current, Unknown):
            break
        current = current.owner
    return current if isinstance(current, Tensor) else None


def _below(found: Obstacles, term: Tensor, is_target: bool) -> list[tuple[Value, bool]]:
    """What is left to follow below ``term``."""
    if term.unrecorded:
        found.unrecorded.append(term)
    elif is_cut(term):
        found.cuts.append(term)
    elif term.kind is Kind.HARD:
        found.decides = True
    elif term.op == "input":
        found.open = not is_target
    elif _may_be_leaf(term) or _has_forgotten(term):
        found.open = True
    elif term.op not in _MAKES_DATA:
        return _operands(term, is_target)
    return []


def is_cut(term: Tensor) -> bool:
    """Whether ``term`` takes the value of something computed and leaves its history behind."""
    if term.op not in CUTTING:
        return False
    return any(
        _is_computed(value)
        for name, value in term.args.items()
        if name not in ("dtype", "device", "requires_grad")
    )


def _is_computed(value: Value) -> bool:
    stack = [value]
    for _ in range(LIMIT):
        if not stack:
            break
        one = stack.pop()
        if isinstance(one, Tensor):
            if one.data:
                continue
            return True
        if isinstance(one, Unknown) and (
            foreign_source(one) is not None if one.foreign else not (one.parameter or one.data)
        ):
            return True
        stack += parts(one)
    return False


def is_computed_from(term: Tensor, wanted: set[int], unseen: set[int]) -> bool:
    """Whether one of ``wanted`` went into ``term``, or an unknown value in ``unseen``; decisions have no slope.

    What an unknown function was given counts as well.
    """
    stack: list[Value] = [term]
    seen: set[int] = set()
    while stack and len(seen) < LIMIT:
        value = stack.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, Tensor):
            if value.ident in wanted:
                return True
            has_slope = not is_cut(value) and value.dtype not in (Dtype.INT, Dtype.BOOL)
            stack += value.args.values() if has_slope else ()
        elif id(value) in unseen:
            return True
        else:
            stack += value.given if isinstance(value, Unknown) else parts(value)
    return False


def _has_forgotten(term: Tensor) -> bool:
    """Whether the term lies so deep that it does not know its operands any more."""
    return not term.args and term.op not in _MAKES_DATA


def is_layer(term: Tensor) -> bool:
    """Whether a module with weights made it."""
    return term.module is not None and term.op in TRAINABLE


def _may_be_leaf(term: Tensor) -> bool:
    return is_layer(term) or _asks_for_gradient(term) or term.op in ("parameter", "opaque")


def _asks_for_gradient(term: Tensor) -> bool:
    return constant(term.arg("requires_grad")) not in (False, NotImplemented) or term.op == "requires_grad_"


def _operands(term: Tensor, is_target: bool) -> list[tuple[Value, bool]]:
    if term.kind is Kind.LOSS:
        first = next(iter(term.args), "")
        return [(value, is_target or name != first) for name, value in term.args.items()]
    return [(value, is_target) for name, value in term.args.items() if not _is_setting_of(term, name)]


def _is_setting_of(term: Tensor, name: str) -> bool:
    """Where a result lies, its type, its scale: no gradient goes there, even if a tensor says it (``x.to(other)``)."""
    return name in ("device", "dtype") or (term.op, name) in (("grad_scale", "by"), ("to", "args"))


def parts(value: Value) -> list[Value]:
    """The values in a union or a container."""
    if isinstance(value, Union):
        return list(value.alternatives)
    if isinstance(value, (TupleVal, ListVal)):
        return [*value.items, *([value.rest] if value.rest is not None else [])]
    return list(value.entries.values()) if isinstance(value, DictVal) else []


def holds_tensors(value: Value) -> bool:
    """Whether there is a tensor in a value, or in the unions and containers that it is."""
    stack = [value]
    for _ in range(LIMIT):
        if not stack:
            return False
        one = stack.pop()
        if isinstance(one, Tensor):
            return True
        stack += parts(one)
    return True


def layers_of(module: Instance) -> set[int] | None:
    """The identities of the layers with weights inside of ``module``; None where it may hold others that are not known."""
    found: set[int] = set()
    stack: list[Value] = [module]
    seen: set[int] = set()
    while stack:
        value = stack.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if len(seen) > LIMIT or _may_hide_layers(value):
            return None
        if isinstance(value, Instance):
            if isinstance(value.entry, LayerClass) and value.entry.layer.op in TRAINABLE:
                found.add(id(value))
            stack += [*value.attrs.values(), *(value.items or ())]
        else:
            stack += parts(value)
    return found


def held_layers(optimizer: Value | None) -> set[int]:
    """The layers whose parameters an optimizer was given; none where it may hold others, and of anything else."""
    if not isinstance(optimizer, Instance) or not is_optimizer(optimizer):
        return set()
    given = optimizer.bound.get("argument 0", optimizer.bound.get("params"))
    module = given.owner if isinstance(given, Unknown) and given.name == PARAMETERS else None
    return (layers_of(module) if isinstance(module, Instance) else None) or set()


def _may_hide_layers(value: Value) -> bool:
    if isinstance(value, Unknown):
        return not (value.is_scalar or value.is_setting)
    if not isinstance(value, Instance):
        return False
    is_known = isinstance(value.cls, ClassVal) or value.entry is not None or bool(value.container)
    return value.open_items or not is_known


def first_cuts(cuts: list[Tensor]) -> list[Tensor]:
    """Of nested cuts the ones at which something trained is lost, the surest first.

    What is known to come from layers goes before what is not; there, what was a tensor goes before numbers that become one:
    these may be plain data (the rewards of a game).
    """
    out: dict[int, Tensor] = {}
    stack, seen = list(cuts), set[int]()
    while stack and len(seen) < LIMIT:
        cut = stack.pop()
        if id(cut) in seen:
            continue
        seen.add(id(cut))
        loses, deeper = _lost_at(cut)
        if loses:
            out[id(cut)] = cut
        else:
            stack += deeper
    return sorted(out.values(), key=lambda cut: (not reads_layers(cut), cut.op in _MAKES_TENSORS, cut.site))


def _lost_at(cut: Tensor) -> tuple[bool, list[Tensor]]:
    """Whether something trained is directly below ``cut``; else the cuts below it."""
    deeper: list[Tensor] = []
    stack: list[Value] = list(cut.args.values())
    seen: set[int] = set()
    while stack and len(seen) < LIMIT:
        value = stack.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, Unknown):
            source = foreign_source(value) if value.foreign else None
            if source is not None:
                deeper.append(source)
            elif not (value.foreign or value.data or value.parameter or value.origin in _NOT_VALUES):
                return True, []
        elif isinstance(value, Tensor):
            if value.unrecorded:
                continue
            if is_cut(value):
                deeper.append(value)
            elif is_layer(value):
                return True, []
            elif value.op not in _MAKES_DATA:
                stack += [operand for operand, _ in _operands(value, is_target=False)]
        else:
            stack += parts(value)
    return False, deeper


def summands(value: Value) -> Iterator[Tensor]:
    """The terms of which ``value`` is a sum with constant weights."""
    stack = [_without_flag(value)]
    for _ in range(LIMIT):
        if not stack:
            break
        one = stack.pop()
        if not isinstance(one, Tensor):
            continue
        if one.op in ("add", "sub"):
            stack += [one.args.get("other", Const(0)), one.args.get("input", Const(0))]
        elif one.op == "div" and _is_weight(one.arg("other")):
            stack += alternatives(one.args.get("input", Const(0)))
        elif one.op == "mul" and any(_is_weight(one.arg(name)) for name in ("input", "other")):
            sides = [one.args.get(name, Const(0)) for name in ("input", "other")]
            stack += [part for side in sides if not _is_weight(side) for part in alternatives(side)]
        elif one.op == "neg" and one.kind is not Kind.LOSS:
            stack.append(one.args.get("input", Const(0)))
        else:
            yield one


def _is_weight(value: Value | None, depth: int = 4) -> bool:
    """A number, a setting, or what was computed of such."""
    if isinstance(value, Tensor):
        is_arithmetic = value.op in ("add", "sub", "mul", "div", "pow", "neg") and depth > 0
        return is_arithmetic and all(_is_weight(one, depth - 1) for one in value.args.values())
    return isinstance(value, Const) or (isinstance(value, Unknown) and value.is_setting)
