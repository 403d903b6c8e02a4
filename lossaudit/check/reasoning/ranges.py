"""Between which bounds the numbers of a term lie, as far as the operations tell; and whether they can be large.

Both answers are careful in the direction that keeps a rule silent: bounds may be too wide, "can be large" may be missed.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

from lossaudit.check.kinds import Dtype, Kind
from lossaudit.check.reasoning.forms import LAYOUT, SELECTION, same_term, sides, sole, strip
from lossaudit.check.values import Tensor, TupleVal, Unknown, Value, number, tensors, walk_terms

EXP_LIMIT = 80.0
"""Up to here ``exp`` stays finite in float32, a sum of some thousands included."""
_DEPTH = 24


class Interval(NamedTuple):
    """Bounds, both included."""

    low: float
    high: float

    @property
    def is_finite(self) -> bool:
        """Whether both bounds are known."""
        return math.isfinite(self.low) and math.isfinite(self.high)

    def meet(self, other: Interval) -> Interval:
        """What lies in both."""
        return Interval(max(self.low, other.low), min(self.high, other.high))


ANY = Interval(-math.inf, math.inf)
NOT_NEGATIVE = Interval(0.0, math.inf)
NOT_POSITIVE = Interval(-math.inf, 0.0)
UNIT = Interval(0.0, 1.0)
SYMMETRIC_UNIT = Interval(-1.0, 1.0)

_BY_KIND = {
    Kind.SIGMOID: UNIT, Kind.PROBABILITY: UNIT, Kind.ONE_HOT: UNIT, Kind.TANH: SYMMETRIC_UNIT,
    Kind.RECTIFIED: NOT_NEGATIVE, Kind.LOG_PROBABILITY: Interval(-math.inf, 0.0),
    Kind.LOG_SIGMOID: Interval(-math.inf, 0.0),
}  # fmt: skip


def bounds(value: Value | None, depth: int = _DEPTH) -> Interval:
    """Bounds that hold on every path."""
    found = number(value)
    if found is not None:
        return Interval(found, found)
    options = tensors(value)
    if not options or depth == 0:
        return ANY
    each = [_bounds(one, depth - 1) for one in options]
    return Interval(min(one.low for one in each), max(one.high for one in each))


def _bounds(term: Tensor, depth: int) -> Interval:
    by_kind = UNIT if term.dtype is Dtype.BOOL else _BY_KIND.get(term.kind, ANY)
    rule = _RULES.get(term.op)
    return by_kind if rule is None else by_kind.meet(rule(term, depth))


Rule = Callable[[Tensor, int], Interval]


def _input(term: Tensor, depth: int) -> Interval:
    return bounds(term.arg("input"), depth)


def _fixed(interval: Interval) -> Rule:
    return lambda _term, _depth: interval


def _both(term: Tensor, depth: int) -> tuple[Interval, Interval]:
    return bounds(term.arg("input"), depth), bounds(term.arg("other"), depth)


def _add(term: Tensor, depth: int) -> Interval:
    a, b = _both(term, depth)
    return Interval(_plus(a.low, b.low, -math.inf), _plus(a.high, b.high, math.inf))


def _sub(term: Tensor, depth: int) -> Interval:
    if _subtracts_maximum(term):
        return Interval(-math.inf, 0.0)
    a, b = _both(term, depth)
    return Interval(_plus(a.low, -b.high, -math.inf), _plus(a.high, -b.low, math.inf))


def _plus(left: float, right: float, otherwise: float) -> float:
    total = left + right
    return otherwise if math.isnan(total) else total


_MAXIMA = frozenset({"max", "amax", "logsumexp"})


def _subtracts_maximum(term: Tensor) -> bool:
    """``x - x.max(...)``: the maximum may have been detached, and the kept dimension put back."""
    top = strip(term.arg("other"), LAYOUT | {"detach", "getitem"})
    if top is None or top.op not in _MAXIMA:
        return False
    return same_term(
        strip(term.arg("input"), LAYOUT | {"detach"}), strip(top.arg("input"), LAYOUT | {"detach"})
    )


def _mul(term: Tensor, depth: int) -> Interval:
    a, b = _both(term, depth)
    if same_term(term.arg("input"), term.arg("other")):
        return _squared(a)
    products = [0.0 if math.isnan(x * y) else x * y for x in a for y in b]
    return Interval(min(products), max(products))


def _squared(one: Interval) -> Interval:
    largest = max(abs(one.low), abs(one.high))
    return Interval(
        0.0 if one.low <= 0 <= one.high else min(abs(one.low), abs(one.high)) ** 2, largest * largest
    )


def _div(term: Tensor, depth: int) -> Interval:
    a, b = _both(term, depth)
    if b.low < 0 < b.high or (b.low == b.high == 0):
        return ANY
    if _is_normed(term):
        return SYMMETRIC_UNIT
    if b.low >= 0:
        return Interval(_over(a.low, b, low=True), _over(a.high, b, low=False))
    flipped = Interval(-b.high, -b.low)
    return Interval(-_over(a.high, flipped, low=False), -_over(a.low, flipped, low=True))


def _over(bound: float, divisor: Interval, *, low: bool) -> float:
    """The extreme of ``bound / d`` for d in a divisor that is not negative."""
    if bound == 0:
        return 0.0
    grows = (bound < 0) is low
    d = divisor.low if grows else divisor.high
    if d == 0:
        return math.copysign(math.inf, bound)
    return math.copysign(0.0, bound) if math.isinf(d) else bound / d


def _neg(term: Tensor, depth: int) -> Interval:
    one = _input(term, depth)
    return Interval(-one.high, -one.low)


def _abs(term: Tensor, depth: int) -> Interval:
    one = _input(term, depth)
    low = 0.0 if one.low <= 0 <= one.high else min(abs(one.low), abs(one.high))
    return Interval(low, max(abs(one.low), abs(one.high)))


def _square(term: Tensor, depth: int) -> Interval:
    return _squared(_input(term, depth))


def exponent(term: Tensor) -> float | None:
    """The constant exponent of a power."""
    found = number(term.arg("exponent"))
    return number(term.arg("other")) if found is None else found


def _pow(term: Tensor, depth: int) -> Interval:
    power, one = exponent(term), _input(term, depth)
    if power is None:
        return NOT_NEGATIVE if one.low >= 0 else ANY
    if power == 2:
        return _squared(one)
    is_even = power == int(power) and int(power) % 2 == 0
    return NOT_NEGATIVE if is_even or one.low >= 0 else ANY


def _exp(term: Tensor, depth: int) -> Interval:
    one = _input(term, depth)
    return Interval(
        math.exp(one.low) if one.low < EXP_LIMIT else 0.0, math.exp(one.high) if one.high < 700 else math.inf
    )


def _log(term: Tensor, depth: int) -> Interval:
    """Whatever float32 holds, its logarithm lies below 89."""
    one = _input(term, depth)
    return Interval(
        math.log(one.low) if one.low > 0 else -math.inf,
        math.log(one.high) if 0 < one.high < math.inf else EXP_LIMIT,
    )


def _log1p(term: Tensor, depth: int) -> Interval:
    return Interval(0.0 if _input(term, depth).low >= 0 else -math.inf, EXP_LIMIT)


def _clamp(term: Tensor, depth: int) -> Interval:
    one = _input(term, depth)
    low, high = number(term.arg("min")), number(term.arg("max"))
    lowest = one.low if low is None else max(one.low, low)
    highest = one.high if high is None else min(one.high, high)
    return Interval(lowest, max(lowest, highest))


def _minimum(term: Tensor, depth: int) -> Interval:
    a, b = _both(term, depth)
    return Interval(min(a.low, b.low), min(a.high, b.high))


def _maximum(term: Tensor, depth: int) -> Interval:
    a, b = _both(term, depth)
    return Interval(max(a.low, b.low), max(a.high, b.high))


def _extremum(rule: Rule) -> Rule:
    """``max(x)``, ``max(x, dim)`` and ``max(x, y)``: the last has a tensor where the others have a dimension."""

    def judge(term: Tensor, depth: int) -> Interval:
        other = term.arg("dim")
        if not tensors(other):
            return _input(term, depth)
        pair = (
            Tensor(term.op, {"input": term.args["input"], "other": other}, term.site)
            if other is not None
            else term
        )
        return rule(pair, depth)

    return judge


def _sum(term: Tensor, depth: int) -> Interval:
    if _is_inner_product(term):
        return SYMMETRIC_UNIT
    one = _input(term, depth)
    return Interval(one.low if one.low >= 0 else -math.inf, one.high if one.high <= 0 else math.inf)


def _where(term: Tensor, depth: int) -> Interval:
    a, b = _both(term, depth)
    subject, above = _sign_test(term.arg("condition"))
    a = a.meet(_on_the_side(term.arg("input"), subject, above=above))
    b = b.meet(_on_the_side(term.arg("other"), subject, above=not above))
    return Interval(min(a.low, b.low), max(a.high, b.high))


_ABOVE, _BELOW = ("gt", "ge"), ("lt", "le")
_ZEROS = ("zeros_like", "zeros", "new_zeros")


def _sign_test(condition: Value | None) -> tuple[Value | None, bool]:
    """What ``x >= 0`` or ``x < 0`` is about, and whether the test holds above zero."""
    test = sole(condition)
    if test is None or test.op not in _ABOVE + _BELOW:
        return None, True
    limit = sole(test.arg("other"))
    if number(test.arg("other")) != 0 and (limit is None or limit.op not in _ZEROS):
        return None, True
    return test.arg("input"), test.op in _ABOVE


def _on_the_side(value: Value | None, subject: Value | None, *, above: bool) -> Interval:
    """What is known of ``x``, or of ``-x``, where x has been tested for its sign."""
    if same_term(value, subject):
        return NOT_NEGATIVE if above else NOT_POSITIVE
    negated = sole(value)
    if negated is not None and negated.op == "neg" and same_term(negated.arg("input"), subject):
        return NOT_POSITIVE if above else NOT_NEGATIVE
    return ANY


def _matmul(term: Tensor, _depth: int) -> Interval:
    other = term.arg("other") if "other" in term.args else term.arg("weight")
    has_bias = term.op == "linear" and number(term.arg("bias")) is None and bool(tensors(term.arg("bias")))
    return SYMMETRIC_UNIT if _is_unit(term.arg("input")) and _is_unit(other) and not has_bias else ANY


def _einsum(term: Tensor, _depth: int) -> Interval:
    packed = term.arg("operands")
    vectors = packed.items if isinstance(packed, TupleVal) else ()
    return SYMMETRIC_UNIT if len(vectors) == 2 and all(_is_unit(one) for one in vectors) else ANY


def is_cosine(term: Tensor) -> bool:
    """Whether the term is the cosine of two vectors: the library's, or an inner product of unit vectors."""
    if term.op == "cosine_similarity":
        return True
    if term.op in ("matmul", "linear", "einsum"):
        return (_einsum if term.op == "einsum" else _matmul)(term, 1) == SYMMETRIC_UNIT
    return term.op == "sum" and _is_inner_product(term)


def _is_unit(value: Value | None) -> bool:
    """Vectors of length one."""
    found = tensors(value)
    return bool(found) and all(_is_unit_term(strip(one, LAYOUT | SELECTION | {"detach"})) for one in found)


def _is_unit_term(term: Tensor | None) -> bool:
    return term is not None and (term.op == "normalize" or (term.op == "div" and _is_normed(term)))


def _is_normed(term: Tensor) -> bool:
    """``x / x.norm()``, an epsilon or a clamp included."""
    below = strip(term.arg("other"), LAYOUT | {"clamp", "clamp_min", "add"})
    return (
        below is not None
        and below.op == "norm"
        and same_term(strip(term.arg("input")), strip(below.arg("input")))
    )


def _is_inner_product(term: Tensor) -> bool:
    """``(a * b).sum(dim)`` of unit vectors."""
    product = sole(term.arg("input"))
    return (
        product is not None and product.op == "mul" and all(_is_unit(one) for one, _ in sides(product.args))
    )


_RULES: dict[str, Rule] = {
    **dict.fromkeys(LAYOUT | SELECTION | {"detach", "mean", "amax", "amin", "median", "item", "nan_to_num", "sort", "topk"}, _input),
    "add": _add, "sub": _sub, "mul": _mul, "div": _div, "neg": _neg, "abs": _abs, "square": _square, "pow": _pow,
    "exp": _exp, "log": _log, "log1p": _log1p, "logit": _fixed(Interval(-EXP_LIMIT, EXP_LIMIT)), "clamp": _clamp, "clamp_min": _clamp, "clamp_max": _clamp, "minimum": _minimum, "maximum": _maximum,
    "max": _extremum(_maximum), "min": _extremum(_minimum), "sum": _sum, "where": _where, "matmul": _matmul,
    "linear": _matmul, "einsum": _einsum, "sigmoid": _fixed(UNIT), "softmax": _fixed(UNIT), "one_hot": _fixed(UNIT),
    "relu": lambda term, depth: _input(term, depth).meet(NOT_NEGATIVE),
    "relu6": _fixed(Interval(0.0, 6.0)), "hardsigmoid": _fixed(UNIT), "softplus": _fixed(NOT_NEGATIVE),
    "tanh": _fixed(SYMMETRIC_UNIT), "sin": _fixed(ANY), "erf": _fixed(SYMMETRIC_UNIT), "norm": _fixed(NOT_NEGATIVE),
    "std": _fixed(NOT_NEGATIVE), "pairwise_distance": _fixed(NOT_NEGATIVE), "cosine_similarity": _fixed(SYMMETRIC_UNIT),
    "sqrt": _fixed(NOT_NEGATIVE), "size": _fixed(NOT_NEGATIVE), "numel": _fixed(NOT_NEGATIVE),
    "log_softmax": _fixed(Interval(-math.inf, 0.0)), "logsigmoid": _fixed(Interval(-math.inf, 0.0)),
    "cross_entropy": _fixed(NOT_NEGATIVE), "binary_cross_entropy": _fixed(NOT_NEGATIVE),
    "binary_cross_entropy_with_logits": _fixed(NOT_NEGATIVE), "mse_loss": _fixed(NOT_NEGATIVE),
    "l1_loss": _fixed(NOT_NEGATIVE), "smooth_l1_loss": _fixed(NOT_NEGATIVE), "huber_loss": _fixed(NOT_NEGATIVE),
    "normalize": _fixed(SYMMETRIC_UNIT),
}  # fmt: skip


# Can it be large? ------------------------------------------------------------------------------------------------


def can_be_large(value: Value | None, depth: int = _DEPTH) -> bool:
    """Whether ``exp`` of it can overflow: raw scores, or an argument of the function as it stands.

    An argument that was shifted or scaled may be a schedule, a density or a similarity with a temperature.
    """
    if isinstance(value, Unknown):
        return value.origin == "" and not value.data
    options = tensors(value)
    return bool(options) and depth > 0 and all(_grows(one, depth - 1) for one in options)


def _grows(term: Tensor, depth: int) -> bool:
    if bounds(term).high <= EXP_LIMIT:
        return False
    if term.op in LAYOUT or term.op in ("detach", "neg"):
        return can_be_large(term.arg("input"), depth)
    if term.op == "getitem" and not _selects_by_mask(term):
        return can_be_large(term.arg("input"), depth)
    if term.op in ("add", "sub", "mul", "div"):
        return _combination_grows(term)
    return term.kind is Kind.SCORE


def _selects_by_mask(term: Tensor) -> bool:
    return any(one.kind is Kind.HARD or one.dtype is Dtype.BOOL for one in tensors(term.arg("index")))


def _combination_grows(term: Tensor) -> bool:
    """Raw scores, times constants, less other scores, or divided by a temperature."""
    if term.kind is Kind.SCORE:
        return True
    found = sole(term.arg("input"))
    is_score = found is not None and found.kind is Kind.SCORE
    return is_score and term.op in ("div", "sub", "add") and not is_shifted(term)


def is_shifted(value: Value | None) -> bool:
    """Whether something that may be the maximum was subtracted: any maximum, or a value that is not in sight."""
    term = strip(value, LAYOUT | {"detach", "masked_fill"})
    if term is None:
        return False
    if term.op in ("div", "mul"):
        return any(is_shifted(one) for one, _ in sides(term.args) if tensors(one))
    if term.op == "add":
        return any(is_shifted(one) for one, _ in sides(term.args) if tensors(one))
    if term.op != "sub" or number(term.arg("other")) is not None:
        return False
    found = tensors(term.arg("other"))
    return not found or any(one.op in _REFERENCES for top in found for one in walk_terms(top, 60))


_REFERENCES = _MAXIMA | {"topk", "sort", "median", "maximum", "cummax", "opaque", "log"}
