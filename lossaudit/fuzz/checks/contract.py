"""LF4: what a loss must leave alone, and what it must take."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch

from lossaudit.fuzz import devices, memory, variants
from lossaudit.fuzz.inputs import HALF
from lossaudit.fuzz.model import Failure
from lossaudit.fuzz.subject import loss_state
from lossaudit.fuzz.surroundings import seed_torch
from lossaudit.fuzz.target import changes
from lossaudit.fuzz.trial import Check

if TYPE_CHECKING:
    from lossaudit.fuzz.model import Case
    from lossaudit.fuzz.trial import Trial

NARROWED = "a float64 prediction gives a float32 loss, which is taken for intended: the sums are float32 sums"


def arguments_kept(trial: Trial) -> Failure | None:
    """Predictions and targets are not written to."""
    if not trial.observed.mutated:
        return None
    names = " and ".join(trial.observed.mutated)
    message = f"the call changes its {names} in place"
    return Failure("LF401", message, trial.case, {"changed": list(trial.observed.mutated)}, independent=True)


def criterion_kept(trial: Trial) -> Failure | None:
    """A criterion that is handed to the loss comes out as it went in."""
    if not trial.subject.build.touched:
        return None
    changed = list(trial.subject.build.touched)
    message = f"building it changes the criterion that it is handed: {', '.join(changed)}"
    return Failure("LF401", message, trial.case, {"changed": changed}, independent=True)


def repeatable(trial: Trial) -> Failure | None:
    """The same call twice gives the same, and nothing piles up inside the loss."""
    subject, case = trial.subject, trial.case
    if trial.observed.value is None or case.magnitude != "ordinary":
        return None
    try:
        fresh = subject.with_loss(copy.deepcopy(subject.build.loss))
    except Exception:  # noqa: BLE001 (a loss that cannot be copied is used as it is)
        fresh = subject
    observed = []
    for _ in range(2):
        seed_torch(0)
        observed.append(fresh.observe(case, remembers=True))
    first, second = observed
    if first.value is None:
        return None
    if second.value is None:
        message = f"the second call with the same arguments raises {second.error_type}: {second.error}"
        return Failure("LF402", message, case, {"first": first.value.tolist()}, independent=True)
    unit = 8 * variants.UNIT[case.dtype]
    if first.value.shape != second.value.shape or not torch.allclose(
        first.value, second.value, rtol=unit, atol=unit, equal_nan=True
    ):
        if memory.is_meant(subject, case):
            return None
        evidence = {"first": first.value.tolist(), "second": second.value.tolist()}
        return Failure("LF402", "the same call twice gives two results", case, evidence, independent=True)
    grown = memory.growing(fresh, case)
    if grown is not None:
        name, calls = grown
        message = f"its attribute {name} grows with every call: it was called {calls} times"
        return Failure("LF402", message, case, {"grows": name, "calls_made": calls}, independent=True)
    return None


def dtype_kept(trial: Trial) -> Failure | None:
    """The result has the dtype of the prediction. Float32 is care for half precision, and of float64 a choice, which is told."""
    seen, case = trial.observed, trial.case
    if seen.value is None or trial.subject.interface.arrays or not seen.differentiable:
        return None
    if case.dtype in HALF or seen.dtype == case.dtype or seen.dtype not in variants.UNIT:
        return None
    if seen.dtype == "float32":
        trial.session.assume(NARROWED)
        return None
    message = f"a {case.dtype} prediction gives a {seen.dtype} loss"
    return Failure("LF403", message, case, {"expected": case.dtype, "actual": seen.dtype}, independent=True)


def device_free(trial: Trial) -> Failure | None:
    """It runs where its arguments are. Shown with fake tensors, so that no device is needed."""
    if trial.subject.interface.arrays or trial.case.magnitude != "ordinary":
        return None
    reason = devices.device_bound(trial.subject, trial.case)
    if reason is None:
        return None
    return Failure("LF404", reason, trial.case, {"device": "cuda", "reason": reason}, independent=True)


def accepted(trial: Trial) -> Failure | None:
    """It does not raise on valid input."""
    seen, case = trial.observed, trial.case
    if seen.error is None or seen.error_type == "Avoided" or case.dtype != "float32":
        return None
    if trial.due is None or not variants.informative(trial.due.value):
        return None
    plain_layout = replace(case, layout="contiguous")
    error = f"{seen.error_type}: {seen.error}"
    if case.layout != "contiguous" and trial.subject.observe(plain_layout).value is not None:
        message = f"a non-contiguous prediction raises {error}"
        return Failure("LF405", message, case, {"error": error, "layout": case.layout}, independent=True)
    if case.prediction.shape[0] == 1 and trial.subject.observe(_doubled(case)).value is not None:
        message = f"a batch of one raises {error}"
        return Failure("LF405", message, case, {"error": error}, independent=True)
    return Failure("LF406", f"valid input raises {error}", case, {"error": error}, independent=True)


def _doubled(case: Case) -> Case:
    """The same sample twice."""
    return replace(case, prediction=torch.cat([case.prediction] * 2), target=torch.cat([case.target] * 2))


def _of_what_it_holds(loss: Any) -> dict[str, Any]:
    """Plain attributes of the modules within a loss; its own, a meter say, are its own affair."""
    return {name: value for name, value in loss_state(loss).items() if "." in name}


def criterion_kept_by_call(trial: Trial) -> Failure | None:
    """A call leaves the plain attributes of the modules that the loss wraps as they are."""
    loss = trial.subject.build.loss
    if trial.subject.interface.arrays or not hasattr(loss, "named_modules"):
        return None
    before = _of_what_it_holds(loss)
    with memory.Restored(loss):
        trial.subject.observe(trial.case, gradient=False, remembers=True)
        after = _of_what_it_holds(loss)
    changed = list(changes("it", before, after))
    if not changed:
        return None
    message = f"the call changes the criterion that it wraps: {', '.join(changed)}"
    return Failure("LF401", message, trial.case, {"changed": changed}, independent=True)


def backward_runs(trial: Trial) -> Failure | None:
    """The backward does not raise on plain input. Elsewhere it may be torch's own kernels that do."""
    error, case = trial.observed.backward_error, trial.case
    if error is None or case.layout != "contiguous" or case.prediction.ndim > 2 or case.dtype != "float32":
        return None
    if case.magnitude != "ordinary":
        return None
    message = f"the backward of valid input raises {error}"
    return Failure("LF406", message, case, {"error": error}, independent=True)


CHECKS = (
    Check("LF401", arguments_kept, needs_reference=False),
    Check("LF401", criterion_kept, frequency="once", needs_reference=False),
    Check("LF401", criterion_kept_by_call, frequency="once", needs_reference=False),
    Check("LF402", repeatable, frequency="few", needs_reference=False),
    Check("LF403", dtype_kept, needs_reference=False),
    Check("LF404", device_free, frequency="once", needs_reference=False),
    Check("LF405", accepted, only_disagreeing=True),
    Check("LF406", backward_runs, needs_reference=False),
)
