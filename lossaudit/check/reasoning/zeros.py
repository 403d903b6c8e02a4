"""Whether a value can be exactly zero on ordinary data, and why.

Each answer is a proof: the operation that gives the zero, or nothing. A value that merely might be zero gives nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

from lossaudit.check.kinds import Dtype, Kind
from lossaudit.check.reasoning.forms import (
    EPSILON_LIMIT,
    LAYOUT,
    is_softmax,
    one_minus,
    same_term,
    selected,
    sides,
    sole,
    strip,
)
from lossaudit.check.reasoning.ranges import bounds, exponent, is_cosine
from lossaudit.check.values import Tensor, TupleVal, Unknown, Value, constant, number, tensors

_DEPTH = 12
_COMPARISONS = frozenset({"eq", "ne", "lt", "le", "gt", "ge", "logical_and", "logical_not", "isnan", "any"})
_KEEPS = LAYOUT | {"sort", "detach"}


@dataclass(frozen=True, slots=True)
class Zero:
    """``term`` is what gives the zero; ``words`` say when. Where two things meet there, they are ``meeting``."""

    term: Tensor
    words: str
    meeting: tuple[Value, ...] = ()


def zero_of(value: Value | None, depth: int = _DEPTH) -> Zero | None:
    """Why ``value`` can be zero, on every path."""
    options = tensors(value)
    if not options or depth == 0:
        return None
    found = [_zero(one, depth - 1) for one in options]
    return found[0] if None not in found else None


def _zero(term: Tensor, depth: int) -> Zero | None:
    if term.op in _KEEPS:
        return zero_of(term.arg("input"), depth)
    if is_mask(term):
        return Zero(term, "is 0 where the condition does not hold")
    rule = _RULES.get(term.op)
    return None if rule is None else rule(term, depth)


def is_mask(term: Tensor) -> bool:
    """Zeros and ones that a comparison made."""
    return term.op in _COMPARISONS and (term.kind is Kind.HARD or term.dtype is Dtype.BOOL)


def _rectified(term: Tensor, _depth: int) -> Zero | None:
    if bounds(term.arg("input")).low > 0:
        return None
    return Zero(term, f"`{term.op}` gives exactly 0 for every negative number")


def _clamped(term: Tensor, depth: int) -> Zero | None:
    high = number(term.arg("max"))
    is_floor = number(term.arg("min")) == 0 and (high is None or high > 0)
    return _rectified(term, depth) if is_floor else None


def _product(term: Tensor, depth: int) -> Zero | None:
    """One factor is enough, unless the other may be infinite there."""
    for one, other in sides(term.args):
        found = zero_of(one, depth)
        if found is not None and not _is_singular(other):
            return found
    return None


def _is_singular(value: Value | None) -> bool:
    """Whether the value was made by an operation with a pole: zero times infinity is not zero."""
    return any(one.op in ("log", "div", "reciprocal", "rsqrt") for one in tensors(value))


def _fraction(term: Tensor, depth: int) -> Zero | None:
    return zero_of(term.arg("input"), depth) or overlap(term)


def _reduction(term: Tensor, _depth: int) -> Zero | None:
    """A sum or mean over a mask, or over something that a mask was multiplied onto: nothing may be selected."""
    mask = mask_in(term.arg("input"))
    return Zero(mask, "may select nothing") if mask is not None and may_be_empty(mask) else None


def may_be_empty(mask: Tensor, depth: int = _DEPTH) -> bool:
    """Whether the mask compares data with a constant. Two tensors that are compared may share an element by construction."""
    if depth == 0 or mask.op not in ("logical_and", "eq", "ne", "lt", "le", "gt", "ge"):
        return False
    if mask.op == "logical_and":
        found = [below for one, _ in sides(mask.args) for below in [strip(one, _KEEPS)] if below is not None]
        return any(is_mask(one) and may_be_empty(one, depth - 1) for one in found)
    return any(tensors(one) and not tensors(other) for one, other in sides(mask.args)) or not any(
        tensors(one) for one, _ in sides(mask.args)
    )


def mask_in(value: Value | None, depth: int = _DEPTH) -> Tensor | None:
    """The mask that ``value`` is, or that is a factor of it."""
    term = strip(value, _KEEPS)
    if term is None or depth == 0:
        return None
    if is_mask(term):
        return term
    if term.op == "mul":
        return next((m for one, _ in sides(term.args) if (m := mask_in(one, depth - 1)) is not None), None)
    return None


def _power(term: Tensor, depth: int) -> Zero | None:
    power = exponent(term)
    return zero_of(term.arg("input"), depth) if power is not None and power > 0 else None


def _through(term: Tensor, depth: int) -> Zero | None:
    return zero_of(term.arg("input"), depth)


def _indexed(term: Tensor, depth: int) -> Zero | None:
    """Plain indices keep a zero; an index that is a tensor may have been chosen to leave the zeros out."""
    index = term.arg("index")
    parts = index.items if isinstance(index, TupleVal) else (index,)
    if any(isinstance(part, Unknown) or tensors(part) for part in parts):
        return None
    return zero_of(term.arg("input"), depth)


def _complement(term: Tensor, _depth: int) -> Zero | None:
    """``1 - p`` of a softmax: a confident one rounds to exactly 1. ``1 - mask`` is a mask."""
    whole = one_minus(term)
    found = selected(whole)
    if found and all(is_softmax(one) for one in found):
        return Zero(found[0], "rounds to exactly 1 once one score leads by 17")
    mask = strip(whole, _KEEPS)
    return (
        Zero(mask, "is 0 where the condition does not hold") if mask is not None and is_mask(mask) else None
    )


_RULES = {
    "relu": _rectified, "relu6": _rectified, "clamp": _clamped, "clamp_min": _clamped, "mul": _product, "div": _fraction,
    "sum": _reduction, "mean": _reduction, "count_nonzero": lambda term, _depth: Zero(term, "counts what may not occur"),
    "pow": _power, "sqrt": _through, "square": _through, "abs": _through, "prod": _through, "getitem": _indexed,
    "select": _through, "narrow": _through, "unbind": _through, "chunk": _through, "sub": _complement, "rsub": _complement,
}  # fmt: skip


# Overlaps --------------------------------------------------------------------------------------------------------


def overlap(term: Tensor) -> Zero | None:
    """``2 * (p * t).sum() / (p.sum() + t.sum() + c)``: zero where prediction and target do not meet."""
    shared = _intersection(term.arg("input"))
    if shared is None:
        return None
    product = sole(shared.arg("input"))
    total = strip(term.arg("other"))
    if product is None or total is None:
        return None
    parts = [part for part in _summands(total) if part.op in ("sum", "mean")]
    wanted = [one for one, _ in sides(product.args)]
    covered = all(any(_sums(part, one) for part in parts) for one in wanted)
    return Zero(shared, "is 0 where prediction and target do not meet") if covered else None


def _intersection(value: Value | None) -> Tensor | None:
    """The sum of a product, times a constant."""
    term = strip(value)
    while term is not None and term.op == "mul":
        below = next((other for one, other in sides(term.args) if number(one) is not None), None)
        if below is None:
            return None
        term = strip(below)
    if term is None or term.op != "sum":
        return None
    product = sole(term.arg("input"))
    return term if product is not None and product.op == "mul" else None


def _summands(term: Tensor) -> list[Tensor]:
    """The terms of a sum of terms, up to sign."""
    found: list[Tensor] = []
    stack, steps = [term], 0
    while stack and steps < 16:
        steps += 1
        one = stack.pop()
        if one.op in ("add", "sub"):
            stack += [below for side, _ in sides(one.args) if (below := strip(side)) is not None]
        else:
            found.append(one)
    return found


def _sums(part: Tensor, value: Value | None) -> bool:
    """Whether ``part`` is the sum of ``value``, or of its square."""
    below = part.arg("input")
    if same_term(strip(below), strip(value)) or same_term(below, value):
        return True
    squared = strip(below)
    if squared is None:
        return False
    if squared.op == "mul":
        return all(same_term(one, value) for one, _ in sides(squared.args))
    return squared.op in ("pow", "square") and same_term(squared.arg("input"), value)


def empty_denominator(value: Value | None) -> Zero | None:
    """Why a denominator can be zero: it counts or sums what a mask selects, or both parts of an overlap may be empty."""
    term = strip(value, _KEEPS | {"item"})
    if term is None:
        return None
    if term.op in ("sum", "mean", "count_nonzero"):
        return _zero(term, _DEPTH)
    if term.op == "add":
        found = [empty_denominator(one) for one, _ in sides(term.args)]
        return found[0] if None not in found else None
    return None


# Where a root is singular ------------------------------------------------------------------------------------------


def vanishing(value: Value | None, depth: int = _DEPTH) -> Zero | None:
    """Why the argument of a root can be exactly zero while it carries a gradient, on every path."""
    options = tensors(value)
    if not options or depth == 0:
        return None
    found = [_vanishing(one, depth - 1) for one in options]
    return found[0] if None not in found else None


def _vanishing(term: Tensor, depth: int) -> Zero | None:
    if term.op in LAYOUT or term.op in ("sum", "mean", "select", "narrow", "unbind", "chunk"):
        return vanishing(term.arg("input"), depth)
    if term.op == "getitem":
        return _indexed_root(term, depth)
    if term.op in ("relu", "relu6", "clamp", "clamp_min"):
        return _floor(term, depth)
    square = squared(term)
    if square is not None:
        return _meets(term, square) if _is_difference(square) else zero_of(square)
    if term.op == "abs":
        inner = strip(term.arg("input"))
        return _meets(term, inner) if inner is not None and _is_difference(inner) else zero_of(inner)
    if term.op in ("mse_loss", "l1_loss"):
        return _meets(term, term)
    if term.op == "sub" and number(term.arg("input")) == 1:
        return _sine(term)
    return _arithmetic_root(term, depth)


def _meets(term: Tensor, difference: Tensor) -> Zero:
    both = tuple(list(difference.args.values())[:2])
    return Zero(term, "is exactly 0 where its two sides are equal", both)


def _indexed_root(term: Tensor, depth: int) -> Zero | None:
    index = term.arg("index")
    parts = index.items if isinstance(index, TupleVal) else (index,)
    is_chosen = any(isinstance(part, Unknown) or tensors(part) for part in parts)
    return None if is_chosen else vanishing(term.arg("input"), depth)


def _floor(term: Tensor, depth: int) -> Zero | None:
    if term.op == "clamp" and number(term.arg("min")) is None and constant(term.arg("min")) is None:
        return vanishing(term.arg("input"), depth)
    return _clamped(term, depth) if term.op.startswith("clamp") else _rectified(term, depth)


def _arithmetic_root(term: Tensor, depth: int) -> Zero | None:
    if term.op == "add":
        found = [vanishing(one, depth) for one, _ in sides(term.args)]
        return found[0] if None not in found else None
    if term.op == "mul":
        for one, other in sides(term.args):
            factor = number(one)
            if factor is not None and factor > 0:
                return vanishing(other, depth)
    if term.op == "div" and not _is_noise_free(term.arg("other")):
        return vanishing(term.arg("input"), depth)
    return None


def _is_noise_free(value: Value | None) -> bool:
    """Whether a divisor is itself a term of the computation: then the quotient's zero is not ours to judge."""
    return number(value) is None and not any(one.op in ("size", "numel") for one in tensors(value))


def _sine(term: Tensor) -> Zero | None:
    """``1 - cos ** 2``: zero for parallel vectors."""
    below = strip(term.arg("other"))
    cosine = None if below is None else squared(below)
    return Zero(term, "is 0 where the cosine is 1") if cosine is not None and reaches_one(cosine) else None


def norm_with_late_epsilon(term: Tensor) -> Tensor | None:
    """The root in ``(x ** 2).sum().sqrt() + eps``: whoever adds the epsilon there expects a zero vector."""
    if term.op == "add":
        found = [other for one, other in sides(term.args) if 0 < (number(one) or 0) <= EPSILON_LIMIT]
    elif term.op in ("clamp", "clamp_min"):
        found = [term.arg("input")] if 0 < (number(term.arg("min")) or 0) <= EPSILON_LIMIT else []
    else:
        return None
    root = strip(found[0]) if found else None
    if root is None or not (root.op == "sqrt" or (root.op == "pow" and exponent(root) == 0.5)):
        return None
    total = strip(root.arg("input"))
    return root if total is not None and _is_sum_of_squares(total) else None


def _is_sum_of_squares(term: Tensor) -> bool:
    if term.op == "add":
        both = [strip(one) for one, _ in sides(term.args)]
        return all(one is not None and one.op != "add" and _is_sum_of_squares(one) for one in both)
    inner = strip(term.arg("input")) if term.op in ("sum", "mean") else term
    return inner is not None and _is_square(inner)


def _is_square(term: Tensor) -> bool:
    is_power = term.op == "square" or (term.op == "pow" and exponent(term) == 2)
    return is_power or (term.op == "mul" and same_term(term.arg("input"), term.arg("other")))


def squared(term: Tensor) -> Tensor | None:
    """``x`` in ``x ** 2``, ``x.square()`` and ``x * x``."""
    return strip(term.arg("input")) if _is_square(term) else None


def _is_difference(term: Tensor) -> bool:
    return term.op == "sub" and number(term.arg("input")) is None and number(term.arg("other")) is None


# Where an arc cosine is singular -----------------------------------------------------------------------------------


def reaches_one(value: Value | None) -> bool:
    """Whether the value is 1 or -1 at its extreme: clamped to exactly that, or a cosine of two vectors."""
    options = [strip(term) for term in tensors(value)]
    return bool(options) and all(one is not None and _reaches_one(one) for one in options)


def _reaches_one(term: Tensor) -> bool:
    if term.op in ("clamp", "clamp_min", "clamp_max"):
        limits = {number(term.arg("min")), number(term.arg("max"))}
        return bool(limits & {1.0, -1.0})
    return is_cosine(term)
