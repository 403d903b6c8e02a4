"""LA208, LA210: how a loss module keeps its tensors and builds its base."""

from __future__ import annotations

from collections.abc import Iterator

from lossaudit.check.contracts import LossClass, load_contracts
from lossaudit.check.contracts.schema import parse_signature
from lossaudit.check.detectors import Hit, detector
from lossaudit.check.events import BaseInit, FunctionReturn
from lossaudit.check.fixes.remedy import Remedy
from lossaudit.check.kinds import Kind
from lossaudit.check.reasoning.formulas import LAYOUT, Key, key_of
from lossaudit.check.reasoning.terms import FACTORIES
from lossaudit.check.values import (
    ClassVal,
    Instance,
    Site,
    Step,
    Tensor,
    Unknown,
    Value,
    alternatives,
    constant,
    feasible,
    number,
    operands,
    walk_terms,
)

# LA208: a tensor that .to(device) does not know -------------------------------------------------------------------

_ARITHMETIC = frozenset({"add", "sub", "mul", "div", "pow", "matmul", "where", "maximum", "minimum", "lerp"})
_RECASTS = frozenset(
    {"float", "double", "half", "bfloat16", "long", "identity", "clone", "contiguous", "requires_grad_"}
)
_MOVING = frozenset({"to", "cuda", "device_move"})
_MOVERS = ("to", "cuda", "_apply")


@detector("LA208", FunctionReturn, needs="stored")
def unregistered_loss_tensor(event: FunctionReturn) -> Iterator[Hit]:
    """``self.weight = torch.tensor(...)``, and the result of ``forward`` is computed with it where it lies."""
    module = event.receiver
    if event.function.name != "forward" or not isinstance(module, Instance) or _moves_itself(module):
        return
    lasting = set(_lasting(module))
    for one in feasible(event.value) if lasting else ():
        if isinstance(one, Tensor):
            for kept, use in _uses(one):
                if kept.stored in lasting:
                    yield _unregistered(kept, use)


def _lasting(module: Instance) -> Iterator[Site]:
    """Where its plain tensors were stored; an attribute that ``forward`` assigns anew holds a state, not a weight."""
    for value in module.attrs.values():
        stored = [one.stored if isinstance(one, Tensor) else None for one in alternatives(value)]
        if None not in stored:
            yield from (site for site in stored if site is not None)


def _moves_itself(module: Instance) -> bool:
    """Whether a method of its classes takes part in moving it."""
    bases = module.cls.mro if isinstance(module.cls, ClassVal) else ()
    return any(name in base.scope.vars for base in bases if isinstance(base, ClassVal) for name in _MOVERS)


def _uses(value: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """The stored tensors of which ``value`` is made, each with the operation that meets another tensor."""
    terms = list(walk_terms(value))
    labels = {key_of(term.arg("target")) for term in terms if term.kind is Kind.LOSS}
    moved = {one.ident for term in terms if term.op in _MOVING for one in operands(term)}
    for term in terms:
        if term.ident in moved:
            continue  # what was looked up is brought to the device afterwards: the author knows where it lies
        for name, argument in term.args.items():
            for option in feasible(argument):
                kept = _stored(option)
                if kept is not None and _meets(term, name, kept, labels):
                    yield kept, term


def _stored(value: Value) -> Tensor | None:
    """The tensor that a module keeps as a plain attribute, before changes of layout that leave it where it is."""
    while isinstance(value, Tensor):
        if value.stored is not None:
            return value if _is_left_behind(value) else None
        inner = value.arg("input") if value.op in LAYOUT or value.op in _RECASTS else None
        if inner is None:
            return None
        value = inner
    return None


def _is_left_behind(value: Tensor) -> bool:
    """Made by a factory on the processor."""
    made: Value | None = value
    while isinstance(made, Tensor) and (made.op in LAYOUT or made.op in _RECASTS or _is_rescaled(made)):
        made = made.arg("input")
    if not isinstance(made, Tensor) or made.op not in FACTORIES:
        return False
    device = constant(made.arg("device"))
    return made.arg("device") is None or device is None or device == "cpu"


def _is_rescaled(term: Tensor) -> bool:
    return term.op in ("mul", "div", "add", "sub") and number(term.arg("other")) is not None


def _meets(term: Tensor, name: str, kept: Tensor, labels: set[Key]) -> bool:
    """Whether ``term`` needs ``kept`` on the device of another operand, and ``kept`` is no single number."""
    if name in ("weight", "pos_weight") and term.kind is Kind.LOSS:
        return term.op in ("cross_entropy", "nll_loss") or _has_dimensions(kept)
    if term.op == "getitem" and name == "input":
        index = term.arg("index")
        return (isinstance(index, Tensor) and index.op != "size") or key_of(index) in labels
    if term.op not in _ARITHMETIC or not _has_dimensions(kept):
        return False
    others = [one for one in operands(term) if _stored(one) is None and one.op != "size"]
    return any(_is_on_device(one) for one in others)


def _has_dimensions(kept: Tensor) -> bool:
    return kept.shape.least_rank >= 1 or kept.op in ("float_tensor", "long_tensor", "eye")


def _is_on_device(term: Tensor) -> bool:
    """Computed from what the caller passes, so on the caller's device."""
    return any(
        isinstance(value, Unknown) and value.argument
        for one in walk_terms(term, 60)
        for value in one.args.values()
    ) or any(one.module is not None or one.data for one in walk_terms(term, 60))


def _unregistered(kept: Tensor, use: Tensor) -> Hit:
    message = "this tensor is a plain attribute: `.to(device)` and `state_dict()` leave it behind"
    trail = (Step(use.site, "here it meets tensors on the module's device"),)
    assert kept.stored is not None  # noqa: S101 (only stored tensors are found)
    return Hit(
        "LA208",
        kept.stored,
        message,
        trail,
        "register it: `self.register_buffer(name, tensor)`",
        Remedy("register-buffer", (kept.stored,)),
    )


# LA210: arguments shifted by one ----------------------------------------------------------------------------------

_WEIGHTED = {"torch.nn._WeightedLoss": "weight=None, size_average=None, reduce=None, reduction='mean'"}
_MOVED = ("size_average", "reduce", "reduction")


@detector("LA210", BaseInit, needs="loss | _WeightedLoss")
def weighted_loss_super_arguments(event: BaseInit) -> Iterator[Hit]:
    """``super().__init__(size_average, reduce, reduction)`` where the base takes ``weight`` first."""
    slots = _slots(event.base)
    if not slots or slots[0] != "weight" or not event.positional:
        return
    for slot, value in zip(slots, event.positional, strict=False):
        if isinstance(value, Unknown) and value.argument in _MOVED and value.argument != slot:
            yield _shifted(event, slot, f"`{value.argument}`")
            return
        if isinstance(constant(value), str) and slot in ("weight", "size_average", "reduce", "ignore_index"):
            yield _shifted(event, slot, f"{constant(value)!r}")
            return


def _slots(base: str) -> list[str]:
    entry = load_contracts().entries.get(base)
    signature = entry.loss.init if isinstance(entry, LossClass) else _WEIGHTED.get(base, "")
    return [parameter.name for parameter in parse_signature(signature) if not parameter.keyword_only]


def _shifted(event: BaseInit, slot: str, what: str) -> Hit:
    name = event.base.rpartition(".")[2]
    message = f"`{name}.__init__` takes `weight` first: {what} arrives as `{slot}`, every argument is shifted by one"
    return Hit(
        "LA210",
        event.site,
        message,
        (),
        "pass them by name: `super().__init__(reduction=reduction)`",
        Remedy("named-base-arguments", (event.site,)),
    )
