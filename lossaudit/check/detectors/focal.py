"""LA206, LA207: the modulation of a focal loss."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from lossaudit.check.detectors import Hit, detector
from lossaudit.check.events import OpEvent
from lossaudit.check.fixes.remedy import Remedy
from lossaudit.check.kinds import Kind
from lossaudit.check.reasoning.builtin_losses import unwrapped
from lossaudit.check.reasoning.formulas import key_of
from lossaudit.check.values import External, Step, Tensor, Unknown, Value, alternatives, constant, number

_CROSS_ENTROPIES = ("cross_entropy", "nll_loss", "binary_cross_entropy", "binary_cross_entropy_with_logits")
_MAX_FACTORS = 12


@dataclass(frozen=True, slots=True)
class Modulation:
    """``(1 - exp(-loss)) ** gamma``: the power, the exponential, and what stands for ``loss``."""

    power: Tensor
    exponential: Tensor
    loss: Tensor


def _modulations(term: Tensor) -> Iterator[Modulation]:
    """The focal modulations by which ``term``, a product, multiplies the very loss that they are made of."""
    factors = list(_factors(term))
    for factor in factors:
        found = _modulation(factor) if factor.op == "pow" else None
        if found is not None and any(_holds(one, found.loss) for one in factors if one is not factor):
            yield found


def _factors(term: Tensor) -> Iterator[Tensor]:
    stack, count = [term], 0
    while stack and count < _MAX_FACTORS:
        one, count = stack.pop(), count + 1
        inner = unwrapped(one)
        if isinstance(inner, Tensor) and inner.op in ("mul", "neg"):
            stack += [arg for arg in inner.args.values() if isinstance(arg, Tensor)]
        if isinstance(inner, Tensor):
            yield inner


def _holds(factor: Tensor, loss: Tensor) -> bool:
    return key_of(factor) == key_of(loss)


def _modulation(power: Tensor) -> Modulation | None:
    complement = unwrapped(power.arg("input"))
    if not isinstance(complement, Tensor) or complement.op != "sub" or number(complement.arg("input")) != 1:
        return None
    exponential = unwrapped(complement.arg("other"))
    if not isinstance(exponential, Tensor) or exponential.op != "exp":
        return None
    loss = _negated(exponential.arg("input"))
    return None if loss is None else Modulation(power, exponential, loss)


def _negated(value: Value | None) -> Tensor | None:
    """``loss`` of ``-loss``."""
    term = unwrapped(value)
    if not isinstance(term, Tensor):
        return None
    if term.op == "neg":
        inner = unwrapped(term.arg("input"))
    elif term.op == "mul" and -1 in (number(term.arg("input")), number(term.arg("other"))):
        inner = unwrapped(term.arg("other" if number(term.arg("input")) == -1 else "input"))
    else:
        return None
    return inner if isinstance(inner, Tensor) else None


# LA206: pt of a loss that is no plain cross-entropy ---------------------------------------------------------------


@detector("LA206", OpEvent, needs="loss", ops=("mul",))
def focal_pt_from_weighted_loss(event: OpEvent) -> Iterator[Hit]:
    """``exp(-ce)`` is the probability of the true class only if nothing was multiplied into ``ce``."""
    for found in _modulations(event.term):
        reason = _weighting(found.loss)
        if reason is not None:
            words, site = reason
            message = f"`exp(-loss)` is not the probability of the true class: the loss carries {words}"
            advice = "take pt from the unweighted loss, `F.cross_entropy(..., reduction='none')`, and weight afterwards"
            yield Hit("LA206", found.exponential.site, message, (site,), advice)


def _weighting(loss: Tensor) -> tuple[str, Step] | None:
    """What the loss was weighted with, in words, and where."""
    if loss.op in _CROSS_ENTROPIES and loss.kind is Kind.LOSS:
        return _weighting_of_call(loss)
    if loss.op != "mul":
        return None
    for weight, other in (("input", "other"), ("other", "input")):
        inner = unwrapped(loss.arg(other))
        is_loss = isinstance(inner, Tensor) and inner.kind is Kind.LOSS and inner.op in _CROSS_ENTROPIES
        if is_loss and isinstance(inner, Tensor) and _is_weight(loss.arg(weight), inner):
            return "a weight for each class", Step(loss.site, "the loss is multiplied by the weights here")
    return None


def _weighting_of_call(loss: Tensor) -> tuple[str, Step] | None:
    share = number(loss.arg("label_smoothing"))
    if share is not None and 0 < share < 1:
        return "label smoothing", Step(loss.site, "the loss is computed here")
    names = ("pos_weight",) if loss.op.startswith("binary") else ("weight",)
    for name in names:
        if _is_given(loss.arg(name)):
            return "class weights" if name == "weight" else "`pos_weight`", Step(
                loss.site, "the loss is computed here"
            )
    return None


def _is_given(value: Value | None) -> bool:
    """Certainly not None: a tensor, or what a caller has to pass."""
    if isinstance(value, Unknown):
        return bool(value.argument) and not value.may_be_none
    return value is not None and all(isinstance(one, Tensor) for one in alternatives(value))


def _is_weight(value: Value | None, loss: Tensor) -> bool:
    """A constant other than one, or an entry of a table for each label. A mask of zeros and ones does no harm."""
    known = number(value)
    if known is not None:
        return known not in (0, 1)
    inner = unwrapped(value)
    target = loss.arg("target")
    if isinstance(inner, Unknown):
        return inner.of is not None and inner.at is not None and key_of(inner.at) == key_of(target)
    if isinstance(inner, Tensor) and inner.op in ("getitem", "gather", "index_select"):
        return key_of(inner.arg("index")) == key_of(target)
    return False


# LA207: one modulation for the whole batch ------------------------------------------------------------------------


@detector("LA207", OpEvent, needs="loss", ops=("mul",))
def focal_on_reduced_loss(event: OpEvent) -> Iterator[Hit]:
    """The loss was averaged before each sample got its own factor."""
    for found in _modulations(event.term):
        site = _reduction(found.loss)
        if site is not None:
            message = "the focal factor is one number for the whole batch: the loss was reduced before it was modulated"
            advice = "compute the loss with `reduction='none'`, modulate it, and take the mean at the end"
            yield Hit(
                "LA207", found.power.site, message, (site,), advice, _each_sample(event.term, found.loss)
            )


def _each_sample(product: Tensor, loss: Tensor) -> Remedy | None:
    if loss.kind is not Kind.LOSS:
        return Remedy("modulate-each-sample", (product.site, loss.site), (loss.op, "operation"))
    if loss.module is not None and not isinstance(loss.module.cls, External):
        return None
    site = loss.site if loss.module is None else loss.module.site
    return Remedy(
        "modulate-each-sample", (product.site, site), (str(constant(loss.arg("reduction"))), "argument")
    )


def _reduction(loss: Tensor) -> Step | None:
    if (
        loss.kind is Kind.LOSS
        and loss.op in _CROSS_ENTROPIES
        and constant(loss.arg("reduction")) in ("mean", "sum")
    ):
        return Step(
            loss.site, f"`reduction={constant(loss.arg('reduction'))!r}`: the loss is one number from here on"
        )
    if loss.op in ("mean", "sum") and constant(loss.arg("dim")) is None:
        inner = unwrapped(loss.arg("input"))
        if isinstance(inner, Tensor) and inner.kind is Kind.LOSS and inner.op in _CROSS_ENTROPIES:
            return Step(loss.site, f"`{loss.op}` reduces the loss to one number here")
    return None
