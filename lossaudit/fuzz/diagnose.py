"""Why do they part? A named mistake must reproduce every collected value; else the relation is fitted."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

from lossaudit.findings import Diagnosis
from lossaudit.fuzz import parameters, relations, shrink, variants
from lossaudit.fuzz.mistakes import mistakes_of
from lossaudit.fuzz.recognition.distorted import combinations, distort

if TYPE_CHECKING:
    from lossaudit.fuzz.model import Mistake
    from lossaudit.fuzz.subject import Evidence
    from lossaudit.fuzz.trial import Trial
    from lossaudit.fuzz.variants import Variant

JUDGED = ("float32", "float64")
FIRST_LOOKS = 6


@dataclass(frozen=True, slots=True, eq=False)
class Cause:
    """A diagnosis, the codes under which it shows, and the variant that proves it (None for a fitted relation)."""

    diagnosis: Diagnosis
    codes: frozenset[str]
    variant: Variant | None


def diagnose(
    trials: list[Trial], base: Variant, evidence: Evidence, classes: tuple[int, ...], *, conventions: bool
) -> Cause | None:
    """The cause of all differences between the target and its reference.

    Args:
        trials: Every trial of the run whose value can be judged.
        base: The reference, without mistakes.
        evidence: What the target says of itself, for the parameters of the mistakes.
        classes: The class counts in use.
        conventions: Whether a convention of the bank counts as a mistake, as when the user named the reference.
    """
    judged = _telling_first(
        [trial for trial in trials if trial.case.dtype in JUDGED and trial.observed.value is not None]
    )
    if not judged:
        return None
    by_value = not all(_agrees_fully(trial) for trial in judged)
    wrong_slopes = [] if by_value else [trial for trial in judged if _is_slope_wrong(trial)]
    if not by_value and not wrong_slopes:
        return None
    bank = [
        mistake
        for mistake in mistakes_of(base.spec.name)
        if not mistake.convention or (conventions and not mistake.slight)
    ]
    formulas = [mistake for mistake in bank if mistake.wrong is not None]
    for mistakes in (*combinations(bank), *itertools.permutations(formulas, 2)):
        for variant in distort([base], mistakes, evidence, classes):
            if not _reproduces_all(variant, judged):
                continue
            # Where every value is right, a mistake that shows on none of these inputs would reproduce them as well.
            if by_value or all(explains_gradient(variant, trial) for trial in wrong_slopes):
                return _named(variant, mistakes)
    if not by_value:
        return None
    return _beside_a_guard(judged, base, bank, evidence, classes) or _fitted(base, judged)


def _beside_a_guard(
    trials: list[Trial], base: Variant, bank: list[Mistake], evidence: Evidence, classes: tuple[int, ...]
) -> Cause | None:
    """A single mistake beside a number that only keeps something finite, which recognition did not see behind the mistake."""
    small = [number for number in evidence.numbers() if 0 < number <= parameters.LARGEST_GUARD]
    guarded = [
        replace(base, params={**base.params, parameter.name: number})
        for parameter in base.spec.parameters
        if parameter.kind == "number" and base.params[parameter.name] == parameter.neutral == 0
        for number in small
    ]
    for mistake in bank:
        for variant in distort(guarded, (mistake,), evidence, classes):
            if _reproduces_all(variant, trials):
                return _named(variant, (mistake,))
    return None


def _telling_first(trials: list[Trial]) -> list[Trial]:
    """Trials that differ from the reference first, of each space and profile some: most candidates die there."""
    return sorted(
        trials, key=lambda trial: (_agrees_fully(trial), trial.case.dtype != "float32", trial.case.size)
    )


def _agrees_fully(trial: Trial) -> bool:
    if trial.value_agrees is False:
        return False
    value = trial.observed.value
    return value is None or bool(torch.isfinite(value).all())


def _is_slope_wrong(trial: Trial) -> bool:
    """Whether the gradient differs, or is not finite where that of the reference is, be it on a kink."""
    exact, seen = trial.expected, trial.observed.gradient
    if exact is None or exact.gradient is None or seen is None:
        return False
    broken = bool(torch.isfinite(exact.gradient).all()) and not bool(torch.isfinite(seen).all())
    return broken or trial.gradient_agrees is False


def _reproduces_all(variant: Variant, trials: list[Trial]) -> bool:
    return all(
        _reproduces(variant, trial)
        for trial in trials
        if trial.due is not None and variants.informative(trial.due.value)
    )


def _reproduces(variant: Variant, trial: Trial) -> bool:
    if variants.reproduces(variant, trial.case, trial.observed):
        return True
    limits = trial.session.limits.of(variant.params)
    readings = limits.readings(variant, trial.case.dtype)
    return any(variants.reproduces(each, trial.case, trial.observed) for each in readings)


def _named(variant: Variant, mistakes: tuple[Mistake, ...]) -> Cause:
    values = {name: value for name, value in variant.params.items() if isinstance(value, (int, float, str))}
    words = "; and it ".join(mistake.message.format(**values) for mistake in mistakes)
    rule = next((mistake.rule for mistake in mistakes if mistake.rule is not None), None)
    codes = frozenset(code for mistake in mistakes for code in mistake.codes)
    diagnosis = Diagnosis("+".join(mistake.id for mistake in mistakes), f"it {words}", rule)
    return Cause(diagnosis, codes, variant)


def _fitted(base: Variant, trials: list[Trial]) -> Cause | None:
    finite = [
        (trial.case, trial.observed)
        for trial in trials
        if trial.observed.value is not None and bool(torch.isfinite(trial.observed.value).all())
    ]
    relation = relations.fit(base, finite)
    if relation is not None:
        return Cause(Diagnosis(relation.id, f"it {relation.message}"), frozenset({"LF101"}), None)
    return _beyond_magnitude(trials)


def _beyond_magnitude(trials: list[Trial]) -> Cause | None:
    """Whether size alone tells the trials that agree from those that do not."""
    wrong = [shrink.measure(trial.case) for trial in trials if trial.value_agrees is False]
    right = [shrink.measure(trial.case) for trial in trials if trial.value_agrees is True]
    if not wrong or not right:
        return None
    quantity, start = min(wrong, key=lambda pair: pair[1])
    below = [size for _, size in right if size < start]
    if not below or start <= 3.5 or not math.isfinite(start):
        return None
    message = (
        f"it agrees with the reference for ordinary inputs, up to a {quantity} of {max(below):.4g}, and parts from it "
        f"from one of {start:.4g} on"
    )
    return Cause(
        Diagnosis("beyond-magnitude", message), frozenset({"LF101", "LF301", "LF302", "LF303"}), None
    )


def explains_gradient(variant: Variant, trial: Trial) -> bool:
    """Whether a mistake also gives the gradient that was observed, or at least one as broken."""
    seen = trial.observed.gradient
    if seen is None:
        return False
    dtype = trial.case.dtype if variant.rounded else "float64"
    prediction, target = variants.at_dtype(trial.case, dtype)
    prediction = prediction.clone().requires_grad_(True)
    value = variant.value(prediction, target).sum()
    if not value.requires_grad:
        return not bool((seen != 0).any())
    (slope,) = torch.autograd.grad(value, prediction)
    if not bool(torch.isfinite(slope).all()) or not bool(torch.isfinite(seen).all()):
        return bool(torch.isfinite(slope).all()) == bool(torch.isfinite(seen).all())
    room = 1e-3 * (1 + slope.double().abs())
    return bool(((slope.double() - seen).abs() <= room).all())
