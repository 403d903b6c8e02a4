"""LA4: numerics."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from lossaudit.check.detectors import Hit, detector
from lossaudit.check.detectors.remedies import of_logarithm, with_logits_of
from lossaudit.check.detectors.words import made_words
from lossaudit.check.events import LossCall, TrainedOp
from lossaudit.check.fixes.remedy import Remedy
from lossaudit.check.kinds import Dtype, Kind
from lossaudit.check.reasoning.forms import (
    LAYOUT,
    SELECTION,
    Form,
    is_sigmoid,
    is_softmax,
    one_minus,
    selected,
    sides,
    sole,
    strip,
    written_out,
)
from lossaudit.check.reasoning.gradients import parts
from lossaudit.check.reasoning.ranges import ANY, bounds, can_be_large, exponent, is_shifted
from lossaudit.check.reasoning.terms import LIMIT, gradient_cuts, reads_layers, unknown_leaves
from lossaudit.check.reasoning.zeros import (
    Zero,
    empty_denominator,
    is_mask,
    norm_with_late_epsilon,
    overlap,
    reaches_one,
    vanishing,
    zero_of,
)
from lossaudit.check.values import (
    UNKNOWN,
    Step,
    Tensor,
    TupleVal,
    Unknown,
    Value,
    number,
    operands,
    tensors,
    walk_terms,
)


def _is_trained(event: TrainedOp) -> bool:
    """Whether it is certainly a tensor, and not data."""
    return event.term.certain and not event.term.data


def _step(term: Tensor) -> Step:
    return Step(term.site, made_words(term))


def _trail(event: TrainedOp, term: Tensor) -> tuple[Step, ...]:
    return tuple(step for step in (_step(term), *term.route) if step.site != event.site)


# LA401, LA402, LA409: logarithms of what underflows ------------------------------------------------------------------


@detector("LA401", TrainedOp, needs="log softmax | log exp", ops=("log",), is_wired=True)
def log_of_softmax(event: TrainedOp) -> Iterator[Hit]:
    """The logarithm of a softmax, or of some of its values."""
    found = selected(event.term.arg("input"))
    if found and all(is_softmax(one) for one in found):
        message = "logarithm of a softmax: a probability that underflows to 0 makes it -inf"
        message += "" if event.by_hand else ", and the gradient NaN"
        fix = of_logarithm("log-softmax", event.term, found)
        yield Hit(
            "LA401", event.site, message, _trail(event, found[0]), "use `log_softmax` on the logits", fix
        )


@detector(
    "LA402",
    TrainedOp,
    needs="log sigmoid | log1p sigmoid | log exp | log1p exp",
    ops=("log", "log1p"),
    is_wired=True,
)
def log_of_sigmoid(event: TrainedOp) -> Iterator[Hit]:
    """The logarithm of a sigmoid, or of one minus a sigmoid."""
    argument = event.term.arg("input")
    if event.term.op == "log1p":
        negated = strip(argument)
        is_complement, inner = (
            True,
            negated.arg("input") if negated is not None and negated.op == "neg" else None,
        )
    else:
        whole = one_minus(argument)
        is_complement, inner = whole is not None, argument if whole is None else whole
    found = selected(inner)
    if found and all(is_sigmoid(one) and _saturates(one, is_complement=is_complement) for one in found):
        yield _log_of_sigmoid(event, found, is_complement=is_complement)


_TOO_LOW, _TOO_HIGH = -80.0, 16.0
"""Scores between which a sigmoid is neither 0 nor 1 in float32."""


def _saturates(sigmoid: Tensor, *, is_complement: bool) -> bool:
    """Whether the scores may be so small, or so large for its complement, that nothing of it is left."""
    scores = bounds(sigmoid.arg("input")) if sigmoid.op == "sigmoid" else ANY
    return scores.high > _TOO_HIGH if is_complement else scores.low < _TOO_LOW


def _log_of_sigmoid(event: TrainedOp, found: tuple[Tensor, ...], *, is_complement: bool) -> Hit:
    if is_complement:
        message = (
            "logarithm of 1 - sigmoid: the sigmoid rounds to 1 for scores above 17, and the logarithm is -inf"
        )
        advice = "use `logsigmoid(-x)` on the scores"
    else:
        message = (
            "logarithm of a sigmoid: it underflows to 0 for very negative scores, and the logarithm is -inf"
        )
        advice = "use `logsigmoid(x)` on the scores"
    fix = of_logarithm("log-sigmoid", event.term, found, "complement" if is_complement else "plain")
    return Hit("LA402", event.site, message, _trail(event, found[0]), advice, fix)


@detector("LA409", TrainedOp, needs="log prod", ops=("log",))
def log_of_product(event: TrainedOp) -> Iterator[Hit]:
    """The logarithm of a product of probabilities over a dimension."""
    found = [strip(one, LAYOUT | SELECTION) for one in tensors(event.term.arg("input"))]
    products = [
        one for one in found if one is not None and one.op == "prod" and _multiplies_probabilities(one)
    ]
    if products and len(products) == len(found):
        message = (
            "logarithm of a product of probabilities: the product underflows to 0 after a few dozen factors"
        )
        advice = "sum the logarithms instead, best from `log_softmax` or `logsigmoid`"
        yield Hit("LA409", event.site, message, _trail(event, products[0]), advice)


def _multiplies_probabilities(product: Tensor) -> bool:
    factors = product.arg("input")
    if isinstance(factors, Unknown):
        return (
            factors.origin == "" and not factors.data
        )  # an argument: over a dimension it is likelihoods that one multiplies
    inside = bounds(factors)
    return inside.low >= 0 and inside.high <= 1


# LA403, LA405: exponentials that overflow ----------------------------------------------------------------------------

_BUILT_IN = {"sigmoid": "torch.sigmoid", "softmax": "torch.softmax", "softplus": "F.softplus"}


@detector(
    "LA403",
    TrainedOp,
    needs="exp div | exp reciprocal | exp pow | exp log | exp log1p",
    ops=("div", "reciprocal", "pow", "log", "log1p"),
)
def hand_written_activation(event: TrainedOp) -> Iterator[Hit]:
    """A sigmoid, softmax or softplus with an exponential that nothing keeps small."""
    if not _is_trained(event):
        return
    form = written_out(event.term)
    if form is None or form.name not in _BUILT_IN or not can_be_large(form.argument):
        return
    if form.name == "softmax" and is_shifted(form.argument):
        return
    if _is_guarded(event.term, form.argument):
        return
    consequence = "the gradient is NaN" if form.name == "sigmoid" else "the value is not finite"
    message = f"hand-written {form.name}: `exp` overflows for scores above 88 in float32, and {consequence}"
    yield Hit("LA403", event.site, message, (), f"use `{_BUILT_IN[form.name]}`", _built_in(form, event))


def _built_in(form: Form, event: TrainedOp) -> Remedy | None:
    if form.scale != 1 or (form.name == "softmax" and form.dim is None):
        return None
    return Remedy(form.name, (event.site,), (str(form.dim),) if form.name == "softmax" else ())


@detector("LA405", TrainedOp, needs="log exp", ops=("log",))
def hand_written_logsumexp(event: TrainedOp) -> Iterator[Hit]:
    """The logarithm of a sum of exponentials that nothing keeps small."""
    if not _is_trained(event):
        return
    form = written_out(event.term)
    if (
        form is None
        or form.name != "logsumexp"
        or not can_be_large(form.argument)
        or is_shifted(form.argument)
    ):
        return
    if not _is_guarded(event.term, form.argument):
        message = "hand-written logsumexp: `exp` overflows for scores above 88 in float32"
        yield Hit(
            "LA405",
            event.site,
            message,
            (),
            "use `torch.logsumexp(x, dim)`",
            Remedy("logsumexp", (event.site,)),
        )


# LA404: an epsilon that rounding removes -----------------------------------------------------------------------------

_FORMATS = {Dtype.FLOAT16: "e", Dtype.FLOAT32: "f"}
_NAMES = {Dtype.FLOAT16: "float16", Dtype.BFLOAT16: "bfloat16", Dtype.FLOAT32: "float32"}


def rounded(value: float, dtype: Dtype) -> float:
    """``value`` as the element type holds it."""
    if dtype is Dtype.BFLOAT16:
        (bits,) = struct.unpack("<I", struct.pack("<f", value))
        bits += 0x7FFF + ((bits >> 16) & 1)
        (out,) = struct.unpack("<f", struct.pack("<I", bits & 0xFFFF0000))
        return float(out)
    code = _FORMATS[dtype]
    try:
        (out,) = struct.unpack("<" + code, struct.pack("<" + code, value))
    except OverflowError:
        return float("inf")
    return float(out)


def _precision(value: Value | None) -> Dtype | None:
    """The type in which the operation computes: float32 unless something in sight says otherwise; None for float64."""
    found = {one.dtype for one in tensors(value)}
    known = found & {Dtype.FLOAT16, Dtype.BFLOAT16, Dtype.FLOAT64}
    if known:
        return known.pop() if len(found) == 1 and Dtype.FLOAT64 not in found else None
    return Dtype.FLOAT32


def usual_number(value: Value | None, depth: int = 6) -> float | None:
    """The number that ``value`` is, by its default where the caller is not in sight."""
    found = number(value)
    if found is not None or depth == 0:
        return found
    if isinstance(value, Unknown):
        return usual_number(value.usual, depth - 1)
    term = sole(value)
    if term is None or term.op not in ("add", "sub", "neg", "mul"):
        return None
    left = usual_number(term.arg("input"), depth - 1)
    if term.op == "neg":
        return None if left is None else -left
    right = usual_number(term.arg("other"), depth - 1)
    if left is None or right is None:
        return None
    return left + right if term.op == "add" else left - right if term.op == "sub" else left * right


def _lost(value: float | None, dtype: Dtype) -> str | None:
    """What has become of a bound or an epsilon, if rounding made it exactly 0 or 1."""
    if value is None or abs(value) > 2:
        return None
    kept = rounded(value, dtype)
    if kept == value:
        return None
    if kept == 0:
        return f"{value:.0e} is 0 in {_NAMES[dtype]}"
    if abs(kept) == 1:
        return f"{_near_one(value)} is exactly {kept:.0f} in {_NAMES[dtype]}"
    return None


def _near_one(value: float) -> str:
    sign = "-" if value < 0 else ""
    gap = abs(value) - 1
    inner = f"1 {'+' if gap > 0 else '-'} {abs(gap):.0e}"
    return f"-({inner})" if sign else inner


_AT_ZERO = {
    "log": "input",
    "div": "other",
    "reciprocal": "input",
    "rsqrt": "input",
    "sqrt": "input",
    "log1p": "input",
}
_AT_ONE = frozenset({"acos", "asin", "atanh", "erfinv"})
_ARITHMETIC = LAYOUT | SELECTION | {"neg", "mul", "add", "sub", "rsub"}


@detector(
    "LA404",
    TrainedOp,
    needs="tiny-number | small-number half | small-number autocast",
    ops=(*_AT_ZERO, *_AT_ONE, "logit"),
)
def lost_epsilon(event: TrainedOp) -> Iterator[Hit]:
    """A bound or a summand that is rounded to the very value from which it should keep a singular operation away."""
    for term, value in _near_singularity(event.term):
        dtype = _precision(value)
        for bound, words in _constants(term):
            lost = None if dtype is None else _lost(bound, dtype)
            if dtype is not None and lost is not None and _matters(event.term, term, bound, dtype):
                trail = (Step(event.term.site, f"`{event.term.op}` is singular there"),)
                yield Hit("LA404", term.site, f"{words}: {lost}", trail, _larger(dtype))
                break


def _near_singularity(term: Tensor) -> Iterator[tuple[Tensor, Value | None]]:
    """The clamps and sums from which the argument of a singular operation was made, with what they were applied to."""
    name = "input" if term.op in _AT_ONE or term.op == "logit" else _AT_ZERO.get(term.op)
    stack = list(tensors(term.arg(name))) if name is not None else []
    for _ in range(_MAX_ARGUMENT):
        if not stack:
            return
        one = stack.pop()
        if one.op in ("clamp", "clamp_min", "clamp_max"):
            yield one, one.arg("input")
        elif one.op in ("add", "sub", "rsub") and one.certain:
            yield from ((one, other) for part, other in sides(one.args) if _is_summand(part, other))
        if one.op in _ARITHMETIC:
            stack += operands(one)


_MAX_ARGUMENT = 24


def _is_summand(part: Value | None, other: Value | None) -> bool:
    return usual_number(part) is not None and usual_number(other) is None and bool(tensors(other))


def _constants(term: Tensor) -> Iterator[tuple[float | None, str]]:
    if term.op in ("add", "sub", "rsub"):
        yield from ((usual_number(one), "the epsilon is lost") for one, _ in sides(term.args))
    else:
        yield from ((usual_number(term.arg(name)), "the bound does not hold") for name in ("max", "min"))


def _matters(singular: Tensor, term: Tensor, bound: float | None, dtype: Dtype) -> bool:
    """Whether the value that the bound is rounded to is the singular one: 1 for an angle, for the others 0, or 1 of ``1 - p``."""
    if bound is None or term.op in ("add", "sub", "rsub") or singular.op == "logit":
        return bound is not None
    kept = rounded(bound, dtype)
    at_one = abs(kept) == 1
    if singular.op in _AT_ONE:
        return at_one
    if singular.op == "log1p":
        negated = strip(singular.arg("input"))
        return kept == (1 if negated is not None and negated.op == "neg" else -1)
    return at_one is _is_subtracted(singular, term)


def _is_subtracted(singular: Tensor, bounded: Tensor) -> bool:
    """Whether the argument of the operation is one minus what was bounded, up to layout."""
    whole = one_minus(singular.arg(_AT_ZERO[singular.op]))
    below = strip(whole, LAYOUT | SELECTION)
    return below is not None and below.ident == bounded.ident


def _larger(dtype: Dtype) -> str:
    if dtype is Dtype.FLOAT32:
        return "use an epsilon that float32 keeps next to 1, for example 1e-6"
    return f"compute this in float32 (`.float()`), or use an epsilon that {_NAMES[dtype]} keeps"


# LA406, LA407, LA408: singular points --------------------------------------------------------------------------------
#
# What hurts is the gradient: these rules hear of operations through which one passes.


def _reads_model(term: Tensor) -> bool:
    return reads_layers(term) or any(
        one.kind is Kind.LOSS or one.op == "parameter" for one in walk_terms(term, LIMIT)
    )


def _carries_gradient(term: Tensor) -> bool:
    return term.certain and not (term.inference or term.detached or term.data)


def _is_guarded(term: Tensor, *values: Value | None) -> bool:
    """Whether a condition on the way to ``term`` looked at something that ``values`` were computed from."""
    wanted = {mark for value in values for mark in _marks_of(value)} if term.guards else set[int]()
    return any(wanted & _marks_of(guard) for guard in term.guards)


def _marks_of(value: Value | None) -> set[int]:
    if isinstance(value, TupleVal):
        return {mark for item in value.items for mark in _marks_of(item)}
    if isinstance(value, Unknown):
        return {id(value)}
    return {mark for one in tensors(value) for mark in _marks(one)}


def _marks(term: Tensor) -> set[int]:
    return {one.ident for one in walk_terms(term, LIMIT)} | {id(leaf) for leaf in unknown_leaves(term)}


def _zero_trail(zero: Zero) -> tuple[Step, ...]:
    return (Step(zero.term.site, zero.words),)


def judge_log(term: Tensor) -> Hit | None:
    """The logarithm of what can be exactly zero."""
    argument = term.arg("input")
    zero = zero_of(argument) if _carries_gradient(term) else None
    if zero is None or _is_pure_mask(argument) or _is_guarded(term, argument):
        return None
    message = "logarithm of a value that can be exactly 0: -inf, and a gradient of NaN"
    return Hit("LA406", term.site, message, _zero_trail(zero), "add an epsilon, or `clamp(min=eps)` first")


def _is_pure_mask(value: Value | None) -> bool:
    """``mask.log()`` is minus infinity on purpose."""
    return all(
        is_mask(one) or gradient_cuts(one) for term in tensors(value) if (one := strip(term)) is not None
    )


def judge_division(term: Tensor) -> Hit | None:
    """A mean over what a mask selects, where it may select nothing."""
    divisor = term.arg("other")
    zero = (empty_denominator(divisor) or _empty_overlap(term)) if _carries_gradient(term) else None
    if zero is None or _is_guarded(term, divisor) or not _is_differentiable(term.arg("input"), divisor):
        return None
    message = "division by a sum that is 0 when nothing is selected: 0 / 0 is NaN, in the value and in every gradient"
    return Hit("LA407", term.site, message, _zero_trail(zero), "bound it below, for example `.clamp(min=1)`")


def _is_differentiable(value: Value | None, divisor: Value | None) -> bool:
    """Whether the numerator holds more than the data from which the mask in the divisor was made: a share is a metric."""
    found = tensors(value)
    if not found or any(one.detached or gradient_cuts(one) for one in found):
        return False
    counted = {id(_whole(leaf)) for one in tensors(divisor) for leaf in unknown_leaves(one)}
    return any(_reads_model(one) or _gradient_leaves(one) - counted for one in found)


def _gradient_leaves(term: Tensor) -> set[int]:
    """The values of unknown origin to which a gradient of ``term`` may go; an index gets none."""
    out: set[int] = set()
    stack: list[Value] = [term]
    for _ in range(LIMIT):
        if not stack:
            break
        one = stack.pop()
        if isinstance(one, Unknown):
            out.add(id(_whole(one)))
        elif not isinstance(one, Tensor):
            stack += parts(one)
        elif not (one.detached or one.kind is Kind.HARD or one.dtype is Dtype.BOOL):
            stack += [one.args.get("input", UNKNOWN)] if one.op in SELECTION else one.args.values()
    return out - {id(UNKNOWN)}


def _whole(value: Unknown) -> Unknown:
    """The value of which ``value`` is a part of a part."""
    while isinstance(value.of, Unknown):
        value = value.of
    return value


def _empty_overlap(term: Tensor) -> Zero | None:
    """A Dice quotient of which the prediction's part can be empty: the target's then may be as well."""
    total = strip(term.arg("other"))
    if overlap(term) is None or total is None or total.op != "add":
        return None
    parts = [zero for one, _ in sides(total.args) if (zero := empty_denominator(one)) is not None]
    has_constant = any(number(one) is not None for one, _ in sides(total.args))
    return parts[0] if parts and not has_constant else None


def judge_root(term: Tensor) -> Hit | None:
    """A root, or a power below one, of what can be exactly zero."""
    power = 0.5 if term.op == "sqrt" else exponent(term)
    if power is None or not 0 < power < 1 or not _carries_gradient(term):
        return None
    argument = term.arg("input")
    zero = vanishing(argument)
    if zero is None or _is_root_guarded(term, zero):
        return None
    what = "square root" if power == 0.5 else f"power {power:g}"
    message = f"{what} of a value that can be exactly 0: its gradient there is infinite"
    advice = "add an epsilon inside the root, or use `torch.linalg.vector_norm` for a distance"
    return Hit("LA408", term.site, message, _zero_trail(zero), advice)


def _is_root_guarded(term: Tensor, zero: Zero) -> bool:
    """Whether a condition looked at what the root is taken of; one that knows a single side cannot tell that the two differ."""
    if not _is_guarded(term, term.arg("input")):
        return False
    sides = [seen for side in zero.meeting if (seen := _marks_of(side))]
    return any(all(seen & _marks_of(guard) for seen in sides) for guard in term.guards)


def judge_angle(term: Tensor) -> Hit | None:
    """The arc cosine of a cosine that can be exactly 1."""
    argument = term.arg("input")
    if not _carries_gradient(term) or not reaches_one(argument) or _is_guarded(term, argument):
        return None
    message = f"`{term.op}` of a value that can be exactly 1: its gradient there is infinite"
    found = tensors(argument)[0]
    trail = (Step(found.site, "this reaches 1 and -1"),)
    return Hit("LA408", term.site, message, trail, "clamp to [-1 + 1e-6, 1 - 1e-6] first")


_ROOTS = frozenset({"sqrt", "pow", "acos", "asin", "add", "clamp", "clamp_min"})


def judge_late_epsilon(term: Tensor) -> Hit | None:
    """An epsilon that comes after the root that it should protect."""
    root = norm_with_late_epsilon(term)
    if root is None or not _carries_gradient(root) or _is_guarded(root, root.arg("input")):
        return None
    message = "the epsilon comes after the square root: for a zero vector the gradient of the root is NaN all the same"
    trail = (Step(term.site, "the epsilon is added here"),) if term.site != root.site else ()
    advice = "add the epsilon inside the root, or use `torch.linalg.vector_norm`"
    return Hit("LA408", root.site, message, trail, advice)


def judge_singular_gradient(term: Tensor) -> Hit | None:
    """LA408 of one operation."""
    if term.op in ("acos", "asin"):
        return judge_angle(term)
    return judge_root(term) if term.op in ("sqrt", "pow") else judge_late_epsilon(term)


@detector("LA406", TrainedOp, needs="log", ops=("log",))
def unguarded_log(event: TrainedOp) -> Iterator[Hit]:
    """The logarithm of what can be zero."""
    yield from _hit(judge_log(event.term))


@detector("LA407", TrainedOp, needs="div sum compared | div mean compared | div count_nonzero", ops=("div",))
def unguarded_division(event: TrainedOp) -> Iterator[Hit]:
    """The division by what can be zero."""
    yield from _hit(judge_division(event.term))


@detector("LA408", TrainedOp, needs="sqrt | acos | asin | pow fraction | pow div", ops=_ROOTS)
def infinite_gradient_at_zero(event: TrainedOp) -> Iterator[Hit]:
    """The root, power or arc cosine at its singular point, where the gradient is that of the operation."""
    if not event.by_hand:
        yield from _hit(judge_singular_gradient(event.term))


def _hit(hit: Hit | None) -> Iterator[Hit]:
    if hit is not None:
        yield hit


# LA410 -----------------------------------------------------------------------------------------------------------


@detector("LA410", LossCall)
def bce_under_autocast(event: LossCall) -> Iterator[Hit]:
    """``BCELoss`` where PyTorch refuses it."""
    if (
        event.loss.name == "binary_cross_entropy"
        and event.autocast is not None
        and event.autocast.dtype is not None
    ):
        message = (
            "binary cross-entropy on probabilities inside CUDA `autocast`: PyTorch raises a RuntimeError"
        )
        trail = (Step(event.autocast.site, "the region of mixed precision begins here"),)
        advice = "use `BCEWithLogitsLoss` on the raw scores"
        yield Hit("LA410", event.site, message, trail, advice, with_logits_of(event))
