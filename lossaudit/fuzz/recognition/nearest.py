"""The reference that agrees with a part of the answers, or up to a constant relation."""

from __future__ import annotations

import collections
from dataclasses import replace
from typing import TYPE_CHECKING

from lossaudit.fuzz import relations
from lossaudit.fuzz.recognition import scaling
from lossaudit.fuzz.recognition.penalties import is_penalised
from lossaudit.fuzz.recognition.proof import is_constant, leads_elsewhere, settled_answers, tells
from lossaudit.fuzz.recognition.search import Match, Tier, near_variants
from lossaudit.fuzz.recognition.telling import near

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lossaudit.fuzz.doors import Door, Response
    from lossaudit.fuzz.model import ReferenceSpec
    from lossaudit.fuzz.recognition.search import Search
    from lossaudit.fuzz.variants import Variant


def takes_pixels_apart(door: Door) -> bool:
    """Whether a loss of maps takes each pixel by itself: then a ratio of sums over the pixels is never near to it.

    Even where they are in proportion: on the softmax, a Dice of each pixel is two thirds of that of a sample, or whatever its
    epsilon makes of it.
    """
    return door.space.maps and is_pixelwise(door)


def is_pixelwise(door: Door) -> bool:
    """Whether the loss of a map is the mean, or the sum, of the losses of its left and its right part."""
    case, seen = door.first
    width = case.prediction.shape[-1]
    parts = [
        replace(case, prediction=case.prediction[..., part], target=case.target[..., part])
        for part in (slice(1), slice(1, None))
    ]
    values = [door.subject.observe(part, gradient=False, stage="probe").value for part in parts]
    if seen.value is None or seen.value.numel() != 1 or any(v is None or v.numel() != 1 for v in values):
        return False
    left, right = (float(value) for value in values if value is not None)
    whole = float(seen.value)
    return near(whole, left + right) or near(whole, (left + (width - 1) * right) / width)


def partial_matches(door: Door, spec: ReferenceSpec, search: Search) -> Iterator[Match]:
    """Agreement on some of the answers, or up to a constant relation: the nearest reference, not the right one."""
    if search.asked is None and takes_pixels_apart(door):
        return
    best: tuple[float, Variant] | None = None
    # Both the answers in float32, which came first, and those in float64: a target with a memory agrees with neither.
    told = search.scales.told(door)
    rounds = (door.comparable, told.answers)
    # A relation that hard targets alone have is none: a half of the cross-entropy is a distance on soft ones.
    widest = told.answers if told.soft is None or told.soft[1].value is None else [*told.answers, told.soft]
    for variant in near_variants(door, spec, search):
        given = [
            first
            for first, second in zip(*rounds, strict=True)
            if search.scales.gives(variant, *first) and search.scales.gives(variant, *second)
        ]
        telling = 2 * len(given) >= len(door.comparable)
        telling = telling and _are_of_all_ranks(given, door.comparable)
        telling = telling and tells([seen.value for _, seen in settled_answers(given, spec)])
        telling = telling and not is_penalised(Match(door, variant, Tier.PARTIAL), search)
        score = float(len(given)) if telling else 0.0
        related = not score and not is_constant(door.comparable) and search.scales.may_relate(variant, door)
        if related and _are_related(variant, (*rounds, widest), search):
            score = 0.5
        if score and (best is None or score > best[0]):
            best = (score, variant)
    if best is not None:
        match = Match(door, best[1], Tier.PARTIAL, best[0])
        if search.asked is not None or not leads_elsewhere(match, search):
            yield match


def _are_of_all_ranks(given: Sequence[Response], answers: Sequence[Response]) -> bool:
    """Whether some answers are half of them for each number of dimensions, those aside of which one has the size one.

    Along a dimension of one, sums, means and running totals are the same; who agrees on single numbers and not on rows, or
    the other way round, takes another sum.
    """
    ranks = [
        collections.Counter(case.prediction.ndim for case, _ in some if min(case.prediction.shape) > 1)
        for some in (given, answers)
    ]
    return all(2 * ranks[0][rank] >= count for rank, count in ranks[1].items())


def _are_related(variant: Variant, rounds: Sequence[Sequence[Response]], search: Search) -> bool:
    """Whether the answers of each round are those of a variant, all of them, or all up to one relation.

    What is scaled on purpose in every round, and was not found to be that throughout, is another loss.
    """
    intended = search.asked is None
    for answers in rounds:
        if search.scales.reproduces_all(variant, answers):
            intended = False
            continue
        relation = relations.fit(variant, answers)
        if relation is None:
            return False
        scale = relation.scaling
        intended = intended and scale is not None and scaling.is_on_purpose(variant, scale, answers)
    return not intended
