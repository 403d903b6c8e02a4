"""LF5: laws that hold by definition of the family. Asked only once values differ: agreement implies them all."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from lossaudit.fuzz import arguments, inputs, variants
from lossaudit.fuzz.model import Failure, Observation, Structure
from lossaudit.fuzz.recognition.pairing import PREDICTION_WORDS, TARGET_WORDS
from lossaudit.fuzz.trial import Check, plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from lossaudit.fuzz.model import Case
    from lossaudit.fuzz.subject import Subject
    from lossaudit.fuzz.trial import Trial

SHIFTS = (2.0, 50.0)
"""A small constant, and one that takes the logits past any clamp."""
MODERATE = 40.0
"""Logits within this bound neither overflow nor underflow in float32 by themselves."""
CONFIDENT = 8.0
UNSURE = 1.5


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
    if float(trial.case.prediction.abs().max()) > MODERATE:
        return None
    here = trial.observed.value
    for constant in SHIFTS:
        moved = _observe(trial, replace(trial.case, prediction=trial.case.prediction + constant)).value
        if here is not None and moved is not None and _differs(trial, here, moved):
            message = (
                f"adding {constant:g} to every logit takes the loss from {plain(here)} to {plain(moved)}"
            )
            return Failure("LF501", message, trial.case, {"before": plain(here), "after": plain(moved)})
    return None


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
    """Perfect costs no more than wrong, and wrong no more than confidently wrong: this needs no formula.

    Judged in every space that the target accepts at once: which of them it is made for may not be known.
    """
    if trial.variant is None and not of_a_prediction(trial):
        return None
    found: Failure | None = None
    for name, subject in trial.session.subjects.items():
        case = trial.case if name == trial.case.space else None
        ranking = _ranking(trial, name, case)
        costs = _costs(subject, ranking)
        if not costs:
            return None
        if not all(math.isfinite(cost) for cost in costs):
            continue  # outside its domain: says nothing
        turned = [(k, k + 1) for k in range(2) if costs[k] > costs[k + 1] + 1e-3 * (1 + abs(costs[k + 1]))]
        if not turned or (trial.variant is None and not _prefers_wrong(trial, name)):
            return None
        lower, upper = turned[0]
        message = f"the {RANKS[lower]} prediction costs {costs[lower]:.6g}, the {RANKS[upper]} one {costs[upper]:.6g}"
        found = found or Failure("LF504", message, ranking[lower], dict(zip(RANKS, costs, strict=True)))
    return found


def _costs(subject: Subject, cases: Sequence[Case]) -> list[float]:
    """What each case costs; nothing where one of them costs nothing that can be compared."""
    values = [subject.observe(case, gradient=False).value for case in cases]
    numbers = [float(value.sum()) for value in values if value is not None]
    return numbers if len(numbers) == len(values) else []


def _prefers_wrong(trial: Trial, space: str) -> bool:
    """Whether a loss of unknown formula costs less for the wrong prediction, whatever the size of both.

    Scores far on the right side are no better than near ones for a loss that wants them to be 1, as a squared one.
    """
    subject = trial.session.subjects[space]
    pairs = [
        _costs(subject, [_ranked(trial, space, magnitude, scale) for magnitude in ("right", "wrong")])
        for scale in (UNSURE, CONFIDENT)
    ]
    return all(
        pair and all(map(math.isfinite, pair)) and pair[0] > pair[1] + 1e-3 * (1 + abs(pair[1]))
        for pair in pairs
    )


def of_a_prediction(trial: Trial) -> bool:
    """Whether a loss of unknown formula is one of a prediction against a target, as far as its parameters' names tell.

    A term that keeps depth smooth where the image is smooth takes two tensors too, and none is the other's target. Nor
    does it prove anything that a loss swallows three tensors of one shape, or broadcasts two of different ones.
    """
    space = inputs.space_named(trial.case.space)
    if space.parts or space.broadcasts or _only_groups(trial) or not _exchangeable(trial):
        return False
    called = arguments.signature(trial.subject.build.loss)
    names = [] if called is None else list(called.parameters)[:2]
    words = {word for name in names for word in re.findall("[a-z]+", name.lower())}
    return not names or bool(words & (PREDICTION_WORDS | TARGET_WORDS | SHORT_WORDS))


def _only_groups(trial: Trial) -> bool:
    """Whether class indices say no more than who belongs together: with the classes renamed, the loss is the same.

    So it is with a loss of embeddings, which takes whatever logits do. No row of it is right or wrong by itself.
    """
    case, count = _plain_case(trial)
    return _has_indices(trial) and _is_same(trial, case, replace(case, target=count - 1 - case.target))


def _exchangeable(trial: Trial) -> bool:
    """Whether samples and classes have no order, so that a row is right if its own class has the largest score.

    Of tokens of which each is to predict the next, or of classes in a row (ordinal regression), it need not be.
    """
    case, count = _plain_case(trial)
    turned = replace(case, prediction=case.prediction.flip(0), target=case.target.flip(0))
    if not _is_same(trial, case, turned):
        return False
    if not _has_indices(trial):
        return True
    return _is_same(
        trial, case, replace(case, prediction=case.prediction.roll(1, 1), target=(case.target + 1) % count)
    )


def _has_indices(trial: Trial) -> bool:
    return "indices" in inputs.space_named(trial.case.space).target


def _plain_case(trial: Trial) -> tuple[Case, int]:
    """An ordinary case of the space with as many classes as there can be, and their number."""
    space, reach = inputs.space_named(trial.case.space), trial.session.reach[trial.case.space]
    classes = max(reach.classes)
    structure = Structure(classes=classes, features=reach.features[0], targets=reach.targets[0], seed=1)
    return inputs.fill(space, structure, {}), classes


def _is_same(trial: Trial, case: Case, other: Case) -> bool:
    """Whether two cases cost the same, or neither of them can be run."""
    first, second = (_observe(trial, each).value for each in (case, other))
    if first is None or second is None or first.shape != second.shape:
        return first is None and second is None
    return not _differs(trial, first.sum(), second.sum())


SHORT_WORDS = frozenset({"x", "y", "a", "b", "scores", "logit", "probs", "probabilities", "mask", "masks"})
"""Words for a prediction or a target that prove less: it may be called anything."""
RANKS = ("perfect", "wrong", "confidently wrong")


def _ranking(trial: Trial, space: str, case: Case | None) -> tuple[Case, ...]:
    """A prediction of each rank for one target; nothing where the space has none, or its targets are no classes or labels."""
    used = inputs.space_named(space)
    if not {"right", "wrong"} <= set(used.magnitudes):
        return ()
    batch = case.target.shape[0] if case is not None and case.target.shape[0] > 1 else 4
    profiles = (("right", CONFIDENT), ("wrong", UNSURE), ("wrong", CONFIDENT))
    return tuple(_ranked(trial, space, magnitude, scale, batch) for magnitude, scale in profiles)


def _ranked(trial: Trial, space: str, magnitude: str, scale: float, batch: int = 4) -> Case:
    """A right or a wrong prediction of one size, always for the same target."""
    reach = trial.session.reach[space]
    structure = Structure(
        batch=batch,
        classes=reach.classes[0],
        features=reach.features[0],
        magnitude=magnitude,
        targets=reach.targets[0],
        scale=scale,
    )
    return inputs.fill(inputs.space_named(space), structure, {})


def neutral(trial: Trial) -> Failure | None:
    """A parameter's neutral value, given to the constructor, gives the plain loss back."""
    build, variant = trial.subject.build, trial.variant
    if build.rebuild is None or variant is None or trial.value_agrees is not True or variant.mistakes:
        return None
    if "neutral" not in variant.spec.laws:
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
