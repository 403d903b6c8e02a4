"""Recognising losses of the framework in what was written by hand: by the algebra of the term, never by its spelling."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from lossaudit.check.infer.transfer import EPSILON_LIMIT
from lossaudit.check.kinds import Kind, Shape
from lossaudit.check.reasoning.algebra import Ratio, number, symbol
from lossaudit.check.reasoning.formulas import (
    CONVERSIONS,
    NOTHING,
    SAMPLES,
    WHOLE,
    Form,
    Key,
    Level,
    Rows,
    key_of,
    read,
    settled,
)
from lossaudit.check.reasoning.smoothing import smoothing_of
from lossaudit.check.values import Tensor, Unknown, Value, common_shape, constant, feasible
from lossaudit.check.values import number as plain_number

_MINUS = number(-1)


@dataclass(frozen=True, slots=True)
class BuiltIn:
    """What the framework calls it, and how it would be written."""

    name: str
    call: str


def loss_of(term: Tensor) -> Form | None:
    """The loss over class log-probabilities that ``term`` is, with the weights of one sample as positive numbers."""
    form = read(term)
    if not isinstance(form, Form) or form.level is Level.ENTRY:
        return None
    rows = settled(form.rows, form.base, form.dim, form.logits).scaled(_MINUS)
    if any(SAMPLES in weight.symbols for weight in _weights(rows)):
        rows = rows.scaled(symbol(SAMPLES))
    return replace(form, rows=rows)


def _weights(rows: Rows) -> Iterator[Ratio]:
    yield rows.every
    yield from rows.at.values()
    yield from (weight for _, weight in rows.soft.values())


def built_in(term: Tensor) -> BuiltIn | None:
    """The loss that ``term`` equals, reduced to one number; None where the framework has none, or its own was called."""
    if term.op not in ("mean", "sum", "neg", "div", "add", "sub", "mul"):
        return None
    loss = loss_of(term)
    if loss is not None:
        return _categorical(loss)
    return _elementwise(term)


# Over class log-probabilities ------------------------------------------------------------------------------------


def _categorical(loss: Form) -> BuiltIn | None:
    if loss.level is not Level.BATCH or loss.altered or loss.unstable or loss.called:
        return None
    rows = loss.rows
    if rows.shared is not None:
        return None
    if rows.at and not rows.soft:
        return _of_labels(rows)
    if rows.soft and not rows.at and rows.every.is_zero and len(rows.soft) == 1:
        (target, weight), *_ = rows.soft.values()
        return _SOFT if weight.equals(WHOLE) and _is_target(target, loss.base) else None
    return _SOFT if not rows.at and not rows.soft and _is_one_parameter(rows.every) else None


_SOFT = BuiltIn("cross-entropy with class probabilities as targets", "F.cross_entropy(logits, probabilities)")


def _of_labels(rows: Rows) -> BuiltIn | None:
    if rows.every.is_zero:
        plain = sum(rows.at.values(), NOTHING).equals(WHOLE) and len(rows.at) == 1
        return BuiltIn("cross-entropy", "F.cross_entropy(logits, labels)") if plain else None
    if smoothing_of(rows) is None:
        return None
    return BuiltIn("label-smoothed cross-entropy", "F.cross_entropy(logits, labels, label_smoothing=s)")


def _is_target(value: Value, base: Key) -> bool:
    """A distribution that came from elsewhere: not a product with weights or masks, not the prediction itself."""
    inner = unwrapped(value)
    if isinstance(inner, Tensor):
        return inner.op == "softmax" and key_of(inner.arg("input")) != base
    return isinstance(inner, Unknown)


def _is_one_parameter(weight: Ratio) -> bool:
    """Rows that are one value of unknown origin: a matrix of targets, not a number."""
    names = weight.symbols
    name = next(iter(names)) if len(names) == 1 else None
    return isinstance(name, tuple) and name[0] == "value" and weight.equals(symbol(name))


# Entry by entry --------------------------------------------------------------------------------------------------


def unwrapped(value: Value | None) -> Value | None:
    """``value`` before conversions that keep its numbers."""
    while isinstance(value, Tensor) and value.op in CONVERSIONS:
        value = value.arg("input") or value.arg("data")
    options = () if value is None else feasible(value)
    return options[0] if len(options) == 1 else value


def _term(value: Value | None, *ops: str) -> Tensor | None:
    inner = unwrapped(value)
    return inner if isinstance(inner, Tensor) and inner.op in ops else None


def _elementwise(term: Tensor) -> BuiltIn | None:
    sign, inner = 1, term
    while (negated := _term(inner, "neg")) is not None:
        argument = unwrapped(negated.arg("input"))
        if not isinstance(argument, Tensor):
            return None
        sign, inner = -sign, argument
    reduced = _term(inner, "mean", "sum")
    if reduced is None or constant(reduced.arg("dim")) is not None:
        return None
    reduction = "" if reduced.op == "mean" else ", reduction='sum'"
    return _of_entries(reduced.arg("input"), sign, reduction)


def _of_entries(entries: Value | None, sign: int, reduction: str) -> BuiltIn | None:
    difference = _squared(entries)
    if sign > 0 and difference is not None and _compares(difference):
        return BuiltIn("mean squared error", f"F.mse_loss(prediction, target{reduction})")
    absolute = _term(entries, "abs")
    if sign > 0 and absolute is not None and _compares(_term(absolute.arg("input"), "sub")):
        return BuiltIn("mean absolute error", f"F.l1_loss(prediction, target{reduction})")
    return _binary(list(_summands(entries, sign)), reduction)


def _squared(value: Value | None) -> Tensor | None:
    """The difference of which ``value`` is the square."""
    power = _term(value, "pow")
    if power is not None:
        exponent = plain_number(power.arg("exponent")) or plain_number(power.arg("other"))
        return _term(power.arg("input"), "sub") if exponent == 2 else None
    square = _term(value, "square")
    if square is not None:
        return _term(square.arg("input"), "sub")
    product = _term(value, "mul")
    if product is not None and key_of(product.arg("input")) == key_of(product.arg("other")):
        return _term(product.arg("input"), "sub")
    return None


_PARTS = (
    "getitem",
    "mean",
    "roll",
    "narrow",
    "select",
    "index_select",
    "flip",
    "amax",
    "max",
    "sum",
    "detach",
)


def _compares(difference: Tensor | None) -> bool:
    """A difference of two things, neither a number nor made from the other: not a variance, not a smoothness."""
    if difference is None:
        return False
    sides = [difference.arg("input"), difference.arg("other")]
    if any(
        plain_number(side) is not None or not isinstance(unwrapped(side), (Tensor, Unknown)) for side in sides
    ):
        return False
    return _whole(sides[0]) != _whole(sides[1]) and not _may_broadcast(
        common_shape(sides[0]), common_shape(sides[1])
    )


def _may_broadcast(left: Shape, right: Shape) -> bool:
    """Known to differ in rank, or a column against a vector: a mistake of its own."""
    if left.exact and right.exact:
        return left.rank != right.rank
    return any(
        one.rank == 1 and bool(other.dims) and other.dims[-1] == 1
        for one, other in ((left, right), (right, left))
    )


def _whole(value: Value | None) -> Key:
    """What a part was taken from."""
    inner = unwrapped(value)
    while True:
        if isinstance(inner, Tensor) and inner.op in _PARTS:
            inner = unwrapped(inner.arg("input"))
        elif isinstance(inner, Unknown) and inner.of is not None:
            inner = inner.of
        else:
            return key_of(inner)


# Binary cross-entropy --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Log:
    """The logarithm of a probability, or of its complement; ``scores`` says that a sigmoid made it."""

    of: Key
    complement: bool
    scores: bool


def _summands(value: Value | None, sign: int) -> Iterator[tuple[int, Value]]:
    inner = unwrapped(value)
    if (
        isinstance(inner, Tensor)
        and inner.op in ("add", "sub")
        and plain_number(inner.arg("alpha")) in (None, 1)
    ):
        yield from _summands(inner.arg("input"), sign)
        yield from _summands(inner.arg("other"), sign if inner.op == "add" else -sign)
    elif isinstance(inner, Tensor) and inner.op == "neg":
        yield from _summands(inner.arg("input"), -sign)
    elif inner is not None:
        yield sign, inner


def _binary(summands: list[tuple[int, Value]], reduction: str) -> BuiltIn | None:
    """``-(y * log p + (1 - y) * log(1 - p))``, its logarithms guarded."""
    parts = [_labelled_log(value, sign) for sign, value in summands]
    if len(parts) != 2 or parts[0] is None or parts[1] is None:
        return None
    by_complement = {
        weight_complement: (label, log) for label, weight_complement, log in (parts[0], parts[1])
    }
    if by_complement.keys() != {True, False}:
        return None
    (label, log), (other_label, other_log) = by_complement[False], by_complement[True]
    fits = label == other_label and log.of == other_log.of and not log.complement and other_log.complement
    if not fits:
        return None
    if log.scores:
        return BuiltIn(
            "binary cross-entropy on scores", f"F.binary_cross_entropy_with_logits(scores, target{reduction})"
        )
    return BuiltIn("binary cross-entropy", f"F.binary_cross_entropy(probabilities, target{reduction})")


def _labelled_log(value: Value, sign: int) -> tuple[Key, bool, _Log] | None:
    """``y * log`` or ``(1 - y) * log`` with a minus: the label, whether it is the complement, and the logarithm."""
    product = _term(value, "mul")
    if product is None:
        return None
    for first, second in (("input", "other"), ("other", "input")):
        turned, weight = _without_sign(product.arg(first))
        flipped, inner = _without_sign(product.arg(second))
        log = _log_of(inner)
        if log is not None and weight is not None and sign * turned * flipped < 0:
            complement = _complement(weight)
            label = weight if complement is None else complement
            return key_of(unwrapped(label)), complement is not None, log
    return None


def _without_sign(value: Value | None) -> tuple[int, Value | None]:
    sign, inner = 1, unwrapped(value)
    while (negated := _term(inner, "neg")) is not None:
        sign, inner = -sign, unwrapped(negated.arg("input"))
    return sign, inner


def _complement(value: Value | None) -> Value | None:
    """``y`` of ``1 - y``."""
    term = _term(value, "sub")
    return term.arg("other") if term is not None and plain_number(term.arg("input")) == 1 else None


def _log_of(value: Value | None) -> _Log | None:
    term = _term(value, "log", "logsigmoid")
    if term is None:
        return None
    if term.op == "logsigmoid":
        sign, inner = _without_sign(term.arg("input"))
        return _Log(key_of(inner), complement=sign < 0, scores=True)
    guarded = _without_epsilon(term.arg("input"))
    complement = _complement(guarded)
    probability = unwrapped(guarded if complement is None else complement)
    if probability is None:
        return None
    scores = isinstance(probability, Tensor) and (
        probability.kind is Kind.SIGMOID or _is_logistic(probability)
    )
    return _Log(key_of(probability), complement=complement is not None, scores=scores)


def _without_epsilon(value: Value | None) -> Value | None:
    """``p`` of ``p + 1e-8``; None where nothing guards the logarithm."""
    term = _term(value, "add")
    if term is None:
        return None
    epsilon = plain_number(term.arg("other"))
    return unwrapped(term.arg("input")) if epsilon is not None and 0 < epsilon <= EPSILON_LIMIT else None


def _is_logistic(term: Tensor) -> bool:
    """``1 / (1 + exp(-x))``."""
    below = (
        _term(term.arg("other"), "add") if term.op == "div" and plain_number(term.arg("input")) == 1 else None
    )
    if below is None:
        return False
    one = plain_number(below.arg("input")) == 1
    power = _term(below.arg("other") if one else below.arg("input"), "exp")
    return power is not None and (one or plain_number(below.arg("other")) == 1)
