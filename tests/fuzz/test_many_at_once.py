"""What is computed of many candidates in one go is what each of them gives by itself."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from lossaudit.fuzz import inputs, parameters, variants
from lossaudit.fuzz.mistakes import mistakes_of
from lossaudit.fuzz.model import Observation, Stacked, Totals
from lossaudit.fuzz.recognition import weighing
from lossaudit.fuzz.recognition.distorted import distort
from lossaudit.fuzz.recognition.telling import _Losses, _of_several, near
from lossaudit.fuzz.references import all_references
from lossaudit.fuzz.subject import Evidence
from lossaudit.fuzz.variants import Variant

if TYPE_CHECKING:
    from lossaudit.fuzz.model import Case, Mistake, ReferenceSpec

SEEN = Evidence(
    {"flood": 0.2, "gamma": 1.5, "alpha": 0.3, "smooth": 0.7, "entropy_weight": 0.4}, (2.0,), frozenset()
)
STACKED = [spec.name for spec in all_references().values() if isinstance(spec.formula, Stacked)]
OUTCOMES = ("cross_entropy", "huber_loss", "bce_with_logits")
EVERY = 11
"""Of the assignments, so many are left out each time: those that are left differ in all parameters."""


def _cases(space: str) -> list[Case]:
    found = inputs.space_named(space)
    classes = tuple(count for count in found.classes if count != 1)[:1]
    drawn = inputs.probe_structures(classes, found.target_profiles[0], (0,), found.probed_extras)
    return [inputs.probe(found, structure) for structure in drawn[:3]]


def _plain(spec: ReferenceSpec) -> list[Variant]:
    assignments = parameters.assignments(spec.parameters, SEEN, (3,))
    return [
        Variant(spec, params, reduction) for params in assignments[::EVERY] for reduction in spec.reductions
    ]


def _totals(
    candidates: list[Variant], before: list[Variant], mistakes: tuple[Mistake, ...], case: Case
) -> Totals | None:
    given = [variant.params for variant in candidates]
    glance = mistakes[0].glance if mistakes else None
    if glance is None:
        return variants.totals(candidates[0].formula, case, given)
    known = np.array([_Losses(variant, case).totals for variant in before])
    return glance(Totals(*known.T), case.prediction, given)


@pytest.mark.parametrize("name", [*STACKED, *OUTCOMES])
def test_numbers_of_many_candidates_are_those_of_each(name: str) -> None:
    spec = all_references()[name]
    told = 0
    bank = [mistake for mistake in mistakes_of(name) if mistake.rounded is None and not mistake.declared]
    for mistakes in ((), *((mistake,) for mistake in bank)):
        candidates = list(distort(_plain(spec), mistakes, SEEN, (3,)))
        before = [variant.right() for variant in candidates]
        for case in itertools.chain.from_iterable(_cases(space) for space in spec.spaces[:2]):
            totals = _totals(candidates, before, mistakes, case) if candidates else None
            if totals is None:
                continue
            for number, variant in enumerate(candidates):
                due = totals.sums if not variant.keeps_reduction else totals.reduced(variant.reduction)
                if math.isfinite(due[number]):
                    told += _holds(variant, case, float(due[number]))
    assert told > 50


def _holds(variant: Variant, case: Case, number: float) -> int:
    """Compare the number of a candidate with what it gives by itself; none for what it cannot be made of."""
    try:
        with torch.no_grad():
            value = variant.value(*variants.at_dtype(case, "float64"))
    except variants.UNDEFINED:
        return 0
    assert value.numel() == 1
    assert float(value) == pytest.approx(number, rel=1e-9, abs=1e-12)
    return 1


@pytest.mark.parametrize("name", [name for name in STACKED if all_references()[name].weights])
def test_weights_that_fit_are_never_ruled_out_at_a_glance(name: str) -> None:
    spec = all_references()[name]
    plain = [variant for variant in _plain(spec) if variant.reduction == "mean"][:24]
    found = 0
    for number, weights in enumerate(((0.37, 1.0), (2.0, 0.11), (1.0, 1.0))):
        true = replace(
            plain[number], params={**plain[number].params, **dict(zip(spec.weights, weights, strict=True))}
        )
        cases = [replace(case, dtype="float64") for case in _cases(spec.spaces[0])]
        cases += [replace(case, dtype="float64") for case in _cases(spec.spaces[1])]
        answers = [
            (case, Observation(true.value(*variants.at_dtype(case, "float64")).sum())) for case in cases
        ]
        left = weighing.weighable(plain, answers)
        for variant in plain:
            if weighing.weighed(variant, answers) is not None:
                found += 1
                assert variant in left
    assert found


UNREDUCED = [name for name in STACKED if "none" in all_references()[name].reductions]


@pytest.mark.parametrize("name", UNREDUCED)
def test_losses_of_each_sample_are_never_ruled_out_by_their_sum(name: str) -> None:
    spec = all_references()[name]
    candidates = [variant for variant in _plain(spec) if variant.reduction == "none"][:60]
    several = ruled_out = 0
    for case in itertools.chain.from_iterable(_cases(space) for space in spec.spaces[:2]):
        totals = variants.totals(spec.formula, case, [variant.params for variant in candidates])
        if totals is None:
            continue
        given = variants.at_dtype(case, "float64")
        values = [variant.value(*given).flatten().tolist() for variant in candidates]
        for value in values:
            if len(value) == 1 or not all(map(math.isfinite, value)):
                continue
            several += 1
            possible = _of_several(totals, value)
            assert not any(possible.holds(number, "mean") for number in range(len(values)))
            for number, other in enumerate(values):
                alike = len(value) == len(other) and all(map(near, value, other))
                assert possible.holds(number, "none") or not alike
                ruled_out += not possible.holds(number, "none")
    assert several == 0 or len(candidates) == 1 or ruled_out > 0
