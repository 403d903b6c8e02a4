"""LF301 and LF302: finite wherever the reference is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from lossaudit.fuzz import variants
from lossaudit.fuzz.inputs import HALF
from lossaudit.fuzz.model import Failure
from lossaudit.fuzz.trial import Check, plain

if TYPE_CHECKING:
    from lossaudit.fuzz.trial import Trial


def finite_value(trial: Trial) -> Failure | None:
    """No inf or NaN where the reference is finite."""
    if trial.agrees_everywhere or trial.case.dtype in HALF:
        return None
    if trial.due is None or trial.observed.value is None:
        return None
    shaped = variants.like(trial.observed.value, trial.due.value)
    if shaped is None:
        return None
    # Where the reference itself overflows at this dtype, its tolerance is infinite.
    due = torch.isfinite(trial.due.value) & torch.isfinite(trial.due.value_tolerance)
    broken = due & ~torch.isfinite(shaped)
    if not bool(broken.any()):
        return None
    shown = trial.shown()
    where = int(broken.flatten().nonzero()[0])
    message = (
        f"the value is {plain(shaped.flatten()[where])} "
        f"where the reference is {float(trial.due.value.flatten()[where]):.6g}"
    )
    return Failure("LF301", message, trial.case, shown)


def finite_gradient(trial: Trial) -> Failure | None:
    """No inf or NaN in the gradient where the reference's is finite."""
    if trial.agrees_everywhere or trial.case.dtype in HALF:
        return None
    slope = trial.observed.gradient
    if slope is None or bool(torch.isfinite(slope).all()):
        return None
    exact = trial.expected
    if exact is None or exact.gradient is None:
        return None
    if not all(bool(torch.isfinite(part).all()) for part in (exact.value, exact.gradient)):
        return None
    if exact.gradient_tolerance is None or not bool(torch.isfinite(exact.gradient_tolerance).all()):
        return None
    broken = ~torch.isfinite(slope)
    where = int(broken.flatten().nonzero()[0])
    evidence = {**trial.shown(), "expected_gradient": plain(exact.gradient), "actual_gradient": plain(slope)}
    message = (
        f"the gradient is {plain(slope.flatten()[where])} "
        f"where the reference's is {float(exact.gradient.flatten()[where]):.6g}"
    )
    return Failure("LF302", message, trial.case, evidence)


CHECKS = (
    Check("LF301", finite_value, only_disagreeing=True),
    Check("LF302", finite_gradient, only_disagreeing=True),
)
