"""LF5: laws that hold by definition of the family. Asked only once values differ: agreement implies them all."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from lossaudit.fuzz import variants
from lossaudit.fuzz.model import Check, Failure, Observation
from lossaudit.fuzz.trial import plain

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from lossaudit.fuzz.model import Case
    from lossaudit.fuzz.trial import Trial

SHIFT = 2.0
PERFECT = 8.0


def _observe(trial: Trial, case: Case) -> Observation:
    return trial.subject.observe(case, gradient=False)


def _tolerance(trial: Trial, value: Tensor) -> float:
    """A law is broken by more than any rounding of ordinary numbers."""
    return 64 * variants.UNIT[trial.case.dtype] * (8 + float(value.abs().max()))


def _differs(trial: Trial, first: Tensor | None, second: Tensor | None) -> bool:
    if first is None or second is None or first.shape != second.shape:
        return False
    if not bool(torch.isfinite(first).all()) or not bool(torch.isfinite(second).all()):
        return False
    return bool(((first - second).abs() > _tolerance(trial, first)).any())


def shift(trial: Trial) -> Failure | None:
    """Adding a constant to every logit changes nothing."""
    if trial.case.magnitude != "ordinary":
        return None
    moved = _observe(trial, replace(trial.case, prediction=trial.case.prediction + SHIFT)).value
    here = trial.observed.value
    if here is None or moved is None or not _differs(trial, here, moved):
        return None
    message = f"adding {SHIFT:g} to every logit takes the loss from {plain(here)} to {plain(moved)}"
    return Failure("LF501", message, trial.case, {"before": plain(here), "after": plain(moved)})


def order(trial: Trial) -> Failure | None:
    """Turning the batch round changes nothing."""
    case = trial.case
    here = trial.observed.value
    if case.prediction.shape[0] < 2 or here is None or here.ndim:
        return None
    turned = _observe(
        trial, replace(case, prediction=case.prediction.flip(0), target=case.target.flip(0))
    ).value
    if turned is None or not _differs(trial, here, turned):
        return None
    message = f"turning the batch round takes the loss from {plain(here)} to {plain(turned)}"
    return Failure("LF502", message, case, {"before": plain(here), "after": plain(turned)})


def additive(trial: Trial) -> Failure | None:
    """The loss of a batch is the mean, or the sum, of its samples' losses."""
    case, variant = trial.case, trial.variant
    here = trial.observed.value
    if case.prediction.shape[0] < 2 or here is None or here.ndim or variant is None:
        return None
    if variant.params.get("weight") is not None or case.targets in {"some-ignored", "all-ignored"}:
        return None
    singles = [
        _observe(
            trial, replace(case, prediction=case.prediction[k : k + 1], target=case.target[k : k + 1])
        ).value
        for k in range(case.prediction.shape[0])
    ]
    if any(single is None or single.numel() != 1 for single in singles):
        return None
    parts = torch.stack([single.reshape(()) for single in singles if single is not None])
    together = parts.sum() if variant.reduction == "sum" else parts.mean()
    if not _differs(trial, here.reshape(()), together):
        return None
    word = "sum" if variant.reduction == "sum" else "mean"
    message = f"the batch gives {plain(here)}, the {word} of its samples one by one {plain(together)}"
    evidence = {"batch": plain(here), "samples": plain(parts), word: plain(together)}
    return Failure("LF503", message, case, evidence)


def minimum(trial: Trial) -> Failure | None:
    """Perfect is not worse than confidently wrong: needs no formula, only targets that are classes or labels.

    Judged in every space that the target accepts at once: which of them it is made for may not be known.
    """
    found: Failure | None = None
    for name, subject in trial.session.subjects.items():
        case = trial.case if name == trial.case.space else None
        pair = _perfect_and_wrong(trial, name, case)
        if pair is None:
            return None
        values = [subject.observe(part, gradient=False).value for part in pair]
        if any(value is None for value in values):
            return None
        perfect, wrong = (float(value.sum()) for value in values if value is not None)
        if not perfect > wrong + 1e-3 * (1 + abs(wrong)):
            return None
        message = f"the perfect prediction costs {perfect:.6g}, the confidently wrong one {wrong:.6g}"
        found = found or Failure("LF504", message, pair[0], {"perfect": perfect, "wrong": wrong})
    return found


def _perfect_and_wrong(trial: Trial, space: str, case: Case | None) -> tuple[Case, Case] | None:
    from lossaudit.fuzz import inputs
    from lossaudit.fuzz.model import Structure

    used = inputs.space_named(space)
    if not {"right", "wrong"} <= set(used.magnitudes):
        return None
    reach = trial.session.reach[space]
    structure = Structure(classes=reach.classes[0], targets=reach.targets[0], scale=PERFECT)
    if case is not None and case.target.shape[0] > 1:
        structure = replace(structure, batch=case.target.shape[0])
    make: Callable[[str], Case] = lambda magnitude: inputs.fill(  # noqa: E731 (used twice, one line)
        used, replace(structure, magnitude=magnitude), {}
    )
    return make("right"), make("wrong")


def neutral(trial: Trial) -> Failure | None:
    """A parameter's neutral value, given to the constructor, gives the plain loss back."""
    build, variant = trial.subject.build, trial.variant
    if build.rebuild is None or variant is None or trial.value_agrees is not True or variant.mistakes:
        return None
    for parameter in variant.spec.parameters:
        alias = next((name for name in parameter.aliases if name in build.parameters), None)
        if alias is None or parameter.kind != "number" or variant.params[parameter.name] == parameter.neutral:
            continue
        try:
            loss = build.rebuild({alias: parameter.neutral})
        except Exception:  # noqa: BLE001, S112 (a loss may refuse the neutral value)
            continue
        plain_variant = replace(variant, params={**variant.params, parameter.name: parameter.neutral})
        again = trial.session.trial(trial.case, trial.subject.with_loss(loss), plain_variant)
        if again.observed.value is not None and again.value_agrees is False:
            shown = again.shown()
            message = (
                f"with {alias}={parameter.neutral!r} the value is {shown['actual']} where the plain loss is "
                f"{shown['expected']}"
            )
            return Failure("LF505", message, trial.case, {**shown, "parameter": alias}, independent=True)
    return None


CHECKS = (
    Check("LF501", shift, frequency="diverging", law="shift"),
    Check("LF502", order, frequency="diverging", law="permutation"),
    Check("LF503", additive, frequency="diverging", law="additive"),
    Check("LF504", minimum, frequency="diverging", needs_reference=False, law="minimum"),
    Check("LF505", neutral, frequency="few", law="neutral"),
)
