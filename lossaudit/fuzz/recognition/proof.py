"""What agreement is worth: which answers prove something, and what speaks against a match that gives them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from lossaudit.fuzz import tangents, variants

if TYPE_CHECKING:
    from torch import Tensor

    from lossaudit.fuzz.doors import Door, Response
    from lossaudit.fuzz.model import ReferenceSpec
    from lossaudit.fuzz.recognition.search import Match, Search

LEAST_TOLD = 3


def leads_elsewhere(match: Match, search: Search) -> bool:
    """Whether a target goes on otherwise than its match where inputs cease to be distributions, and not on these.

    Then it is another loss, of which that is what is left on a narrow domain: up to a factor, the deviance of rates that sum
    to one is a divergence. A mistake shows on the domain too.
    """
    door, variant = match.door, match.variant
    if door.space.normal is None or not door.first[1].differentiable:
        return False
    told = []
    for case, _ in search.scales.told(door).answers:
        slope = door.subject.observe(case, stage="probe").gradient
        try:
            due = variants.slope(variant, case)
        except variants.UNDEFINED:
            return False
        if slope is not None and due is not None:
            told.append(tangents.leave_otherwise(case, slope, due))
    return None not in told and any(told)


def holds_throughout(match: Match, search: Search) -> bool:
    """Whether a match explains every number, at the extremes too. Where a target gives none, it may still be this loss."""
    explains = search.scales.explains(match.variant, match.door) and search.confirms(match)
    return explains and holds_far_out(match, search) and search.holds_on_soft(match)


def holds_far_out(match: Match, search: Search) -> bool:
    """Whether a match explains every number and every slope at the extremes."""
    told, variant = search.scales.told(match.door), match.variant
    return search.scales.reproduces_all(
        variant, list(filter(_is_finite, told.extreme(variant.params)))
    ) and all(
        search.scales.has_slope(variant, case, seen.gradient)
        for case, seen in told.slopes(variant.params)
        if seen.gradient is not None and bool(torch.isfinite(seen.gradient).all())
    )


def _is_finite(answer: Response) -> bool:
    value = answer[1].value
    return value is not None and bool(torch.isfinite(value).all())


def is_wider(door: Door, other: Door) -> bool:
    """Whether a door takes any numbers, where another one, of the same targets in the same order, takes some."""
    return (
        door.space.free
        and not other.space.free
        and door.space.target == other.space.target
        and door.subject.build is other.subject.build
        and door.subject.interface.swapped == other.subject.interface.swapped
    )


def is_refuted(match: Match, doors: list[Door], search: Search) -> bool:
    """Whether a target takes raw scores as well as log-probabilities, and is not for these what its match says.

    A cross-entropy that also draws the normaliser to zero is a plain score on log-probabilities, whose normaliser is zero.
    """
    return any(
        search.scales.parts_from(match.variant, case, seen)
        for door in doors
        if door.space.kind == match.door.space.raw and is_wider(door, match.door)
        for case, seen in door.comparable
    )


def is_contradicted(match: Match, doors: list[Door], search: Search) -> bool:
    """Whether the target answers in a space that its reference is more used to, and answers something else there."""
    spaces = match.variant.spec.spaces
    usual = spaces[: spaces.index(match.door.space.kind)]
    return any(
        door.space.kind in usual
        and door.space.layout == match.door.space.layout
        and door.space.recodes != match.door.space.kind
        and door.subject.interface.swapped == match.door.subject.interface.swapped
        and len(door.comparable) == len(door.responses)
        and not search.scales.explains(match.variant, door)
        for door in doors
    )


def proves(door: Door, spec: ReferenceSpec, search: Search) -> bool:
    """Whether enough of the answers of a door are to inputs on which a formula has one answer, and they are not all the same."""
    settled = settled_answers(door.comparable, spec)
    return len(settled) >= LEAST_TOLD and (search.asked is not None or not is_constant(settled))


def settled_answers(answers: list[Response], spec: ReferenceSpec) -> list[Response]:
    """The answers to inputs on which a formula has one answer: the others prove nothing."""
    return [(case, seen) for case, seen in answers if spec.settled(case.prediction, case.target)]


def is_constant(answers: list[Response]) -> bool:
    """Whether all answers are one number: a loss that answers masks without an edge alone may give 0 for each of them."""
    return len({round(float(seen.value.sum()), 6) for _, seen in answers if seen.value is not None}) < 2


def tells(values: list[Tensor | None]) -> bool:
    """Whether agreement on these values proves anything: the same again and again, zero above all, does not, nor does NaN.

    Where two numbers agree, that both have none for the same other inputs counts as a third.
    """
    sums = [float(value.sum()) for value in values if value is not None]
    numbers = {round(total, 6) for total in sums if math.isfinite(total)}
    has_gaps = len(numbers) > 1 and not all(math.isfinite(total) for total in sums)
    return len(numbers) + has_gaps >= LEAST_TOLD
