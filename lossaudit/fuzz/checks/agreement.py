"""LF1: value, gradient and reductions agree with the reference. LF303: so do they at every dtype."""

from __future__ import annotations

import functools
import inspect
import math
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from lossaudit.fuzz import variants
from lossaudit.fuzz.inputs import HALF
from lossaudit.fuzz.model import Failure
from lossaudit.fuzz.trial import Check, plain

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from lossaudit.fuzz.trial import Trial

CLEAR = 0.01
SLIGHT = 1e-5
"""Of the largest slope: what float32 on the way leaves of a small gradient; what is detached leaves more."""


def value(trial: Trial) -> Failure | None:
    """The value is the reference's. What only rounding at the dtype can explain is LF303."""
    if trial.value_agrees is not False or not _finite_where_due(trial) or _only_rounding(trial):
        return None
    return Failure("LF101", _difference(trial), trial.case, trial.shown(), clear=_clear(trial))


def precision(trial: Trial) -> Failure | None:
    """At float32 and below, no more than half of the digits are lost where the reference keeps them."""
    if trial.value_agrees is not False or not _finite_where_due(trial) or not _only_rounding(trial):
        return None
    if not _is_off_by(trial, math.sqrt(variants.UNIT[trial.case.dtype])):
        return None
    message = f"in {trial.case.dtype}, {_difference(trial)}, though it agrees in float64"
    evidence = {**trial.shown(), "dtype": trial.case.dtype}
    return Failure("LF303", message, trial.case, evidence, clear=_clear(trial))


def gradient(trial: Trial) -> Failure | None:
    """The gradient is the reference's where the value is. A hand-written backward is LF201's business."""
    if trial.value_agrees is not True or trial.gradient_agrees is not False or trial.case.dtype in HALF:
        return None
    exact, slope = trial.expected, trial.observed.gradient
    if exact is None or exact.gradient is None or slope is None or not bool(torch.isfinite(slope).all()):
        return None
    if _only_rounding_of_slope(trial, slope, exact.gradient):
        return None
    code = "LF201" if trial.subject.custom_backward(trial.case) else "LF102"
    evidence = {**trial.shown(), "expected_gradient": plain(exact.gradient), "actual_gradient": plain(slope)}
    words = "its hand-written backward gives" if code == "LF201" else "its gradient is"
    worst = int((slope - exact.gradient).abs().argmax())
    message = (
        f"the value agrees, but {words} {float(slope.flatten()[worst]):.6g} "
        f"where the reference's is {float(exact.gradient.flatten()[worst]):.6g}"
    )
    return Failure(code, message, trial.case, evidence)


def wrong_backward(trial: Trial) -> Failure | None:
    """A hand-written backward that is not the derivative of its forward."""
    found = gradient(trial)
    return found if found is not None and found.code == "LF201" else None


def plain_gradient(trial: Trial) -> Failure | None:
    """A gradient that differs with no hand-written backward in sight: something is detached."""
    found = gradient(trial)
    return found if found is not None and found.code == "LF102" else None


def _finite_where_due(trial: Trial) -> bool:
    if trial.due is None or trial.observed.value is None:
        return False
    shaped = variants.like(trial.observed.value, trial.due.value)
    return shaped is None or bool(torch.isfinite(shaped)[torch.isfinite(trial.due.value)].all())


def _clear(trial: Trial) -> bool:
    """Whether the difference is plain to see: more than one part in a hundred of something."""
    return _is_off_by(trial, CLEAR)


def _is_off_by(trial: Trial, share: float) -> bool:
    """Whether a number differs by more than this share of what it ought to be, or of a small number if that is smaller."""
    if trial.due is None or trial.observed.value is None:
        return True
    shaped = variants.like(trial.observed.value, trial.due.value)
    if shaped is None:
        return True
    exact = trial.due.value
    return bool(((shaped - exact).abs() > share * exact.abs().clamp(min=CLEAR)).any())


def _only_rounding(trial: Trial) -> bool:
    """Whether the same numbers agree in float64."""
    if trial.case.dtype == "float64":
        return False
    if "float64" not in trial.session.reach[trial.case.space].dtypes:
        return False
    return trial.agrees_in_float64


def _only_rounding_of_slope(trial: Trial, slope: torch.Tensor, exact: torch.Tensor) -> bool:
    """Whether a gradient is off by the rounding of float32, or by little, and by nothing in float64.

    A form may subtract what it has added, or compute a weight in float32 whatever it is given: it is less precise than the
    reference, but its backward is right.
    """
    off, size = float((slope - exact).abs().max()), float(exact.abs().max())
    if off <= SLIGHT * size:
        return True
    if trial.case.dtype == "float64" or off > CLEAR * max(size, CLEAR):
        return False
    if "float64" not in trial.session.reach[trial.case.space].dtypes:
        return False
    return trial.session.trial(replace(trial.case, dtype="float64"), trial.subject).gradient_agrees is True


def _difference(trial: Trial) -> str:
    shown = trial.shown()
    if variants.like(trial.observed.value, trial.due.value) is None:  # type: ignore[arg-type,union-attr]
        return (
            f"the result has the shape {list(trial.observed.value.shape)} "  # type: ignore[union-attr]
            f"where the reference's has {list(trial.due.value.shape)}"  # type: ignore[union-attr]
        )
    return f"the value is {_short(shown['actual'])} where the reference is {_short(shown['expected'])}"


def _short(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def reductions(trial: Trial) -> Failure | None:
    """Where the target has a reduction parameter: each reduction is the reference's."""
    variant = trial.variant
    if variant is None or trial.value_agrees is False or trial.session.declared_reduction is None:
        return None
    if any(change.reduce is not None or change.joint for change in variant.changes):
        return None  # what a convention of reducing makes of other reductions is not written down anywhere
    samples: torch.Tensor | None = None
    for reduction in ("none", "sum", "mean"):
        loss = _with_reduction(trial, reduction)
        if reduction == trial.session.declared_reduction or loss is None:
            continue
        if reduction not in variant.spec.reductions:
            continue
        other = replace(variant, reduction=reduction)
        again = trial.session.trial(trial.case, trial.subject.with_loss(loss), other)
        if reduction == "none" and _reduced_by_sample(again):
            samples = again.observed.value
            continue
        if reduction == "sum" and samples is not None and _is_sum(again, samples):
            continue
        if again.observed.value is not None and again.value_agrees is False:
            message = f"with reduction={reduction!r}, {_difference(again)}"
            return Failure(
                "LF103", message, trial.case, {**again.shown(), "reduction": reduction}, independent=True
            )
    return None


def _reduced_by_sample(trial: Trial) -> bool:
    """Whether ``none`` gives one loss for each sample, the mean or the sum over its elements: a common convention."""
    seen, exact = trial.observed.value, trial.due
    if seen is None or exact is None or exact.value.ndim < 2 or seen.shape != exact.value.shape[:1]:
        return False
    rows, room = exact.value.flatten(1), exact.value_tolerance.flatten(1)
    means, sums = ((rows.mean(1), room.mean(1)), (rows.sum(1), room.sum(1)))
    return any(variants.agrees(seen, value, tolerance) for value, tolerance in (means, sums))


def _is_sum(trial: Trial, samples: torch.Tensor) -> bool:
    """Whether ``sum`` adds up what ``none`` gives for each sample."""
    value, exact = trial.observed.value, trial.due
    if value is None or exact is None:
        return False
    return variants.agrees(value, samples.sum(), exact.value_tolerance)


def _with_reduction(trial: Trial, reduction: str) -> Callable[..., Any] | None:
    """The target under another reduction; None where it has no such parameter, or refuses."""
    build = trial.subject.build
    if any(source.startswith("torch.nn.") for source in build.assumed.values()):
        return None  # the criterion that it was handed has reduced before it could
    if build.rebuild is not None and "reduction" in build.parameters:
        try:
            return build.rebuild({"reduction": reduction})
        except Exception:  # noqa: BLE001 (a reduction that the target does not offer)
            return None
    try:
        named = "reduction" in inspect.signature(build.loss).parameters
    except (TypeError, ValueError):
        return None
    return functools.partial(build.loss, reduction=reduction) if named else None


CHECKS = (
    Check("LF101", value, only_disagreeing=True),
    Check("LF303", precision, only_disagreeing=True),
    Check("LF102", plain_gradient, only_disagreeing=True),
    Check("LF201", wrong_backward, only_disagreeing=True),
    Check("LF103", reductions, frequency="few"),
)
