"""LF2: what autograd makes of the loss, judged without a reference where there is none."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from lossaudit.fuzz import variants
from lossaudit.fuzz.model import Failure
from lossaudit.fuzz.subject import packed
from lossaudit.fuzz.trial import Check, plain

if TYPE_CHECKING:
    from lossaudit.fuzz.trial import Trial

STEP = 1e-4
SLOPE_TOLERANCE = 1e-3


def _is_of_the_prediction(trial: Trial) -> bool:
    """Whether a loss of unknown formula plainly reads what is taken for its prediction: it comes first, and the value moves with it.

    Whoever takes the target first may well let no gradient pass to it, and what finds nothing to count is a plain 0.
    """
    if trial.subject.interface.swapped:
        return False
    value = trial.observed.value
    moved = replace(trial.case, prediction=1.5 * trial.case.prediction + 0.25)
    other = trial.subject.observe(moved, gradient=False).value
    return value is not None and other is not None and not torch.equal(value, other)


def no_gradient(trial: Trial) -> Failure | None:
    """The loss depends on the prediction as far as autograd knows."""
    seen = trial.observed
    if trial.subject.interface.arrays or seen.value is None or seen.differentiable:
        return None
    if seen.dtype not in variants.UNIT and not trial.subject.call and seen.value.ndim:
        return None
    if trial.expected is not None and not _has_slope(trial.expected.gradient):
        return None  # nothing is to be trained here: a sum over no pairs is a plain 0
    if trial.variant is None and (not _is_of_the_prediction(trial) or _trains_the_target(trial)):
        return None
    message = "the result carries no gradient to the prediction: nothing would be trained"
    return Failure("LF202", message, trial.case, trial.shown(), independent=True)


def _trains_the_target(trial: Trial) -> bool:
    """Whether what is taken for the target is what a loss of unknown formula trains: the view that no label is made of, say."""
    prediction, target = packed(trial.case, trial.subject.interface)
    if not target.is_floating_point():
        return False
    try:
        value = trial.subject.trained(trial.case, prediction, target.requires_grad_())
    except Exception:  # noqa: BLE001 (user code may raise anything)
        return False
    return isinstance(value, torch.Tensor) and value.requires_grad


def _has_slope(gradient: torch.Tensor | None) -> bool:
    return gradient is not None and bool(gradient.any())


def finite_differences(trial: Trial) -> Failure | None:
    """Along one direction, a hand-written backward's slope is that of the values. Only asked where no reference can tell.

    Without a hand-written backward the two differ only where something is detached, which may be meant: the weights of
    the circle loss are no part of its gradient, nor is a teacher.
    """
    case = trial.case
    reach = trial.session.reach[case.space]
    if trial.variant is not None or trial.subject.interface.arrays or case.magnitude != "ordinary":
        return None
    if "float64" not in reach.dtypes or not trial.observed.differentiable:
        return None
    if not trial.subject.custom_backward(case):
        return None
    wide = replace(case, dtype="float64")
    here = trial.subject.observe(wide)
    if here.gradient is None or here.value is None:
        return None
    if not all(bool(torch.isfinite(part).all()) for part in (here.gradient, here.value)):
        return None
    generator = torch.Generator().manual_seed(7)
    direction = torch.randn(case.prediction.shape, generator=generator, dtype=torch.float64)
    slopes = []
    for step in (STEP, STEP / 10):
        sides = [
            trial.subject.observe(
                replace(wide, prediction=case.prediction + sign * step * direction), gradient=False
            )
            for sign in (1, -1)
        ]
        if any(side.value is None for side in sides):
            return None
        slopes.append(float((sides[0].value - sides[1].value).sum() / (2 * step)))  # type: ignore[operator]
        halves = [float((side.value - here.value).abs().sum() / step) for side in sides]  # type: ignore[operator]
        if abs(halves[0] - halves[1]) > 10 * SLOPE_TOLERANCE * max(*halves, 1e-3):
            return None  # on a kink the two sides differ, however short the step
    analytic = float((here.gradient * direction).sum())
    scale = max(abs(analytic), abs(slopes[0]), 1e-3)
    # Two step lengths that disagree mean a kink or noise nearby: nothing can be said there.
    if (
        abs(slopes[0] - slopes[1]) > SLOPE_TOLERANCE * scale
        or abs(analytic - slopes[0]) <= 10 * SLOPE_TOLERANCE * scale
    ):
        return None
    evidence = {"finite_difference": slopes[0], "autograd": analytic, **trial.shown()}
    message = f"along one direction autograd's slope is {analytic:.6g}, that of the values {slopes[0]:.6g}"
    return Failure("LF201", message, wide, evidence)


def wrong_direction(trial: Trial) -> Failure | None:
    """A small step down the target's gradient makes the reference smaller."""
    slope = trial.observed.gradient
    if trial.variant is None or slope is None or trial.case.magnitude != "ordinary" or trial.expected is None:
        return None
    if not bool(torch.isfinite(slope).all()) or not bool((slope != 0).any()):
        return None
    step = slope / slope.abs().max() * 1e-3
    moved = replace(trial.case, prediction=trial.case.prediction - step)
    with torch.no_grad():
        after = variants.expected(trial.variant, moved).value.sum()
    before = trial.expected.value.sum()
    if not bool(after > before + 1e-6 * (1 + before.abs())):
        return None
    evidence = {"before": plain(before), "after": plain(after), "actual_gradient": plain(slope)}
    message = f"a small step down its gradient takes the reference from {float(before):.6g} up to {float(after):.6g}"
    return Failure("LF203", message, trial.case, evidence)


CHECKS = (
    Check("LF202", no_gradient, frequency="few", needs_reference=False),
    Check("LF201", finite_differences, frequency="few", needs_reference=False),
    Check("LF203", wrong_direction, frequency="diverging"),
)
