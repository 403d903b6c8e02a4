"""References with numbers that nobody declares: weights, factors and offsets, computed from the values."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from lossaudit.fuzz import parameters
from lossaudit.fuzz.recognition import scaling, weighing
from lossaudit.fuzz.recognition.nearest import takes_pixels_apart
from lossaudit.fuzz.recognition.pairing import usual_pairs
from lossaudit.fuzz.recognition.proof import holds_throughout, is_constant, leads_elsewhere
from lossaudit.fuzz.recognition.search import Match, Tier, near_variants, plain_variants

if TYPE_CHECKING:
    from lossaudit.fuzz.doors import Door
    from lossaudit.fuzz.model import ReferenceSpec
    from lossaudit.fuzz.recognition.search import Search
    from lossaudit.fuzz.variants import Variant


MOST_WEIGHED = 60
"""Variants of one reference whose weights are computed."""


def weighted_match(doors: list[Door], search: Search) -> Match | None:
    """A reference with weights that stand in the code alone. It must explain all that can be asked: nobody declared them."""
    for door, spec in usual_pairs(doors, None):
        if not search.patience.lasts():
            break
        answers = search.scales.told(door).wide if spec.weights else None
        declared = (spec.parameter(name) for name in spec.weights)
        if answers is None or any(
            parameters.named_values(p, door.evidence, door.classes) for p in declared if p is not None
        ):
            continue
        for plain in weighing.weighable(_unweighted(door, spec, search), answers):
            variant = weighing.weighed(plain, answers)
            match = None if variant is None else Match(door, variant, Tier.EXACT)
            if match is not None and holds_throughout(match, search):
                return match
    return None


def _unweighted(door: Door, spec: ReferenceSpec, search: Search) -> list[Variant]:
    """The variants of a reference that differ in more than its weights."""
    tried: set[tuple[Any, ...]] = set()
    found = []
    every = plain_variants(door, replace(spec, essential=()), search)
    for plain in itertools.islice(every, MOST_WEIGHED):
        given = {name: value for name, value in plain.params.items() if name not in spec.weights}
        key = (*search.scales.key_of(given), plain.reduction)
        if key not in tried:
            tried.add(key)
            found.append(replace(plain, spec=spec))
    return found


def scaled_match(doors: list[Door], search: Search) -> Match | None:
    """A reference times a number, or plus one: it must explain all that can be asked, as nobody declared the number."""
    for door, spec in usual_pairs(doors, None):
        if not search.patience.lasts():
            break
        if is_constant(door.comparable) or takes_pixels_apart(door):
            continue
        for variant in search.scales.relatable(near_variants(door, spec, search), door):
            scaled = scaling.scaled(variant, search.scales.told(door).answers)
            match = None if scaled is None else Match(door, scaled, Tier.SCALED)
            if match is not None and holds_throughout(match, search) and not leads_elsewhere(match, search):
                return match
    return None
