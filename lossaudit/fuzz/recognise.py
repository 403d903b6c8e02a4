"""Which loss is this? Found by probing: domain, argument order, formula, parameters, reduction, and mistake if any.

Evidence is ranked: exact agreement with a reference on ordinary inputs; then with a reference and a convention or a
mistake of the bank; then agreement on a part of the inputs, or up to a constant relation. Names are never evidence,
only hints to the values of parameters.

What exact agreement is worth
    Six probes in float32 are six equations that hold to a millionth. A family with two free parameters, tried with two
    hundred pairs of numbers that stand in the source, can meet them by chance or by a limit: at the end of its range a
    parameter makes of a family another one plus next to nothing. So a match is *confirmed* by the same probes in
    float64, where next to nothing shows. One that fails there is another loss, unless the target visibly computes in
    float32 whatever it is given: its answers to the same numbers in float32 and float64 are the same. Then, and where a
    target takes no float64 at all, float32 must do, and the report says so.

    Families that agree on ordinary inputs may part on saturated ones, so among confirmed matches that wins which explains
    most of those; then the one whose parameters are declared, then the one with fewest numbers fitted. A match that
    explains all of them cannot be beaten: only without one the numbers in the source are tried as parameters.

    A match on a narrow domain (log-probabilities) says nothing of a target that also takes the wide one (any logits) and
    gives something else there. If near zero it is a reference of the wide domain, it is that one gone wrong farther out.

    On distributions the slope tells how a target goes on where rows do not sum to one. What is a reference up to a factor, or
    with a mistake, and leads out of the domain in another way than that, is another loss. Exact agreement is not touched by it.

    Hard targets are special cases of soft ones: the target's answer to soft targets, if it takes them, decides between
    families that agree on hard ones.
"""

from __future__ import annotations

import collections
import enum
import inspect
import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

import torch

from lossaudit.fuzz import arguments, parameters, relations, scaling, tangents, variants, weighing
from lossaudit.fuzz.doors import Door, Response, open_doors, open_layouts, plausible
from lossaudit.fuzz.mistakes import mistakes_of
from lossaudit.fuzz.model import Mistake, ReferenceSpec
from lossaudit.fuzz.references import all_references
from lossaudit.fuzz.telling import Scales, near
from lossaudit.fuzz.variants import Variant

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from torch import Tensor

    from lossaudit.fuzz.model import Parameter, Params
    from lossaudit.fuzz.subject import Evidence, Subject

MOST_MATCHES = 24
MOST_PAIRED = 12
MOST_DOUBLED = 16
"""Variants near to what the target declares that are tried with two wrong formulas: there are hundreds of pairs."""
LEAST_TOLD = 3
MOST_DISTORTED = 72
"""Variants near to what the target declares that are tried with one mistake; farther ones are believed of none."""
ONE_CLASS = (1,)
"""Who takes its input only where there is a single class takes something else: a channel of one, say."""
MOST_WEIGHED = 60
"""Variants of one reference whose weights are computed."""
REACHES: tuple[parameters.Guess, ...] = ("named", "declared", "complements")
"""How far to look for parameters: what costs little and proves much goes first."""
NEAR_REACHES = REACHES[:2]
MOST_NEAREST = 24
"""The same for references that only come near."""


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """A reference that the user named; ``params`` are those that were named with it, and so is ``reduction``, if any."""

    spec: ReferenceSpec
    params: dict[str, Any] = field(default_factory=dict)
    reduction: str | None = None


class Tier(enum.IntEnum):
    """What a match rests on, the surest first. From PARTIAL on it is no agreement.

    What is penalised on purpose is a loss of its own, of which nothing else is believed; there is no formula to judge it by.
    """

    EXACT = 0
    CONVENTION = 1
    SCALED = 2
    PENALISED = 3
    MISTAKE = 4
    PARTIAL = 5
    ASKED = 6


@dataclass(frozen=True, slots=True, eq=False)
class Match:
    """A variant that explains the answers of one door."""

    door: Door
    variant: Variant
    tier: Tier
    score: float = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class Recognition:
    """The outcome: the best match, all doors that lead to it, and all doors that opened at all.

    ``precision`` is that in which the values agree: float32 where the target computes in it whatever it is given.
    """

    match: Match | None
    doors: dict[str, Door]
    opened: tuple[Door, ...]
    errors: tuple[str, ...]
    precision: Literal["float64", "float32"] = "float64"


@dataclass(frozen=True, slots=True, eq=False)
class _Search:
    """What one recognition shares: the reference that is asked for, what was computed, and what was found."""

    asked: Asked | None
    scales: Scales = field(default_factory=Scales)
    tried: dict[tuple[int, str], _Tried] = field(default_factory=dict)
    _plain: dict[tuple[int, int, str], tuple[Door, ReferenceSpec, list[Variant]]] = field(
        default_factory=dict
    )
    _assignments: dict[tuple[Any, ...], tuple[Evidence, tuple[Parameter, ...], list[dict[str, Any]]]] = field(
        default_factory=dict
    )

    def plain(self, door: Door, spec: ReferenceSpec, reach: parameters.Guess = "numbers") -> list[Variant]:
        """The right variants of a reference that are worth trying behind a door, made once for all ways to try them."""
        key = (id(door), id(spec), reach)
        known = self._plain.get(key)
        if known is None:  # door and spec stand beside the variants, so that their identities stay theirs
            variants = list(_plain_variants(door, spec, self, reach=reach))
            known = self._plain[key] = (door, spec, variants)
        return known[2]

    def assignments(
        self, door: Door, spec: ReferenceSpec, reach: parameters.Guess = "numbers"
    ) -> list[dict[str, Any]]:
        """The parameters to try of a reference, the very same for each order of the arguments and each coding of labels."""
        key = (id(door.evidence), id(spec.parameters), door.classes, reach)
        known = self._assignments.get(key)
        if known is None:  # what is held by its identity stands beside it
            found = parameters.assignments(spec.parameters, door.evidence, door.classes, reach=reach)
            if self.asked is not None:
                found = [{**assignment, **self.asked.params} for assignment in found]
            known = self._assignments[key] = (door.evidence, spec.parameters, found)
        return known[2]

    def confirms(self, match: Match) -> bool:
        """Whether a match also holds in float64. Who names a reference needs no proof."""
        return self.asked is not None or self.scales.confirms(match.variant, match.door)

    def holds_on_soft(self, match: Match) -> bool:
        """Whether a match also holds on soft targets, where the space has them besides hard ones."""
        soft = self.scales.told(match.door).soft
        return soft is None or self.scales.reproduces(match.variant, *soft)

    def is_thorough(self, match: Match) -> bool:
        """Whether a match explains all that was asked of its door, slopes included: there can be no better one."""
        told, variant = self.scales.told(match.door), match.variant
        return (
            self.scales.reproduces_all(variant, told.extreme(variant.params))
            and self.holds_on_soft(match)
            and all(self.scales.has_slope(variant, case, seen.gradient) for case, seen in told.slopes)
        )


@dataclass(frozen=True, slots=True, eq=False)
class _Tried:
    """The parameters that were tried of one reference behind one door, and the matches among them."""

    keys: set[tuple[Any, ...]] = field(default_factory=set)
    matches: list[Match] = field(default_factory=list)


Way = Callable[["Door", ReferenceSpec, _Search], "Iterator[Match]"]


def recognise(subjects: list[Subject], asked: Asked | None) -> Recognition:
    """Probe a target.

    Args:
        subjects: The target under each build that is worth trying; the interface is found here.
        asked: The reference that the user named.
    """
    opened: list[Door] = []
    errors: list[str] = []
    best: Match | None = None
    search = _Search(asked)
    for subject in subjects:
        wanted = () if asked is None else asked.spec.spaces
        every, failed = open_doors(subject, wanted)
        errors += failed
        match, doors = _in_usual_layouts(every, search)
        if match is None or match.tier > Tier.CONVENTION:
            arranged = plausible(open_layouts(subject, every, wanted))
            # Who takes the usual layout too has most of the others open by accident: there only exact agreement is proof.
            usual = any(not _is_of_one_class(door) for door in doors)
            other = _sure_match(arranged, search, NEAR_REACHES)[0] if usual else find_match(arranged, search)
            if not doors or (
                other is not None and other.tier < (Tier.PARTIAL if match is None else match.tier)
            ):
                match, doors = other, arranged
        opened += doors
        if match is not None and (best is None or match.tier < best.tier):
            best = match
        if best is not None and best.tier == Tier.EXACT:
            break
    if best is None or best.tier == Tier.PENALISED:
        telling = [door for door in opened if not door.space.special] or opened
        return Recognition(None, {}, tuple(telling), tuple(errors))
    same_build = [door for door in opened if door.subject.build is best.door.subject.build]
    doors_of = _doors_of(best, same_build, search)
    return Recognition(best, doors_of, tuple(same_build), tuple(errors), _precision(best, search))


def _in_usual_layouts(every: list[Door], search: _Search) -> tuple[Match | None, list[Door]]:
    """The best match over the doors of one build, and the doors that count."""
    doors = _without_plain_maps(plausible(every))
    match = find_match(doors, search)
    if match is None or match.tier > Tier.CONVENTION:
        # Exact agreement is proof even behind a door that seemed to be open by accident.
        hidden = [door for door in every if door not in doors]
        by_accident, _ = _sure_match(hidden, search, REACHES if match is None else NEAR_REACHES)
        if by_accident is not None:
            match, doors = by_accident, [*doors, *hidden]
    if match is None or match.tier >= Tier.PARTIAL:
        match = _found_in_float64(doors, search, REACHES if match is None else NEAR_REACHES) or match
    return match, doors


def _is_of_one_class(door: Door) -> bool:
    """Whether a target takes an input only where there is a single class: all that it answers there has one column."""
    if door.classes == ONE_CLASS:
        return True
    return 1 in door.classes and all(case.prediction.shape[1:2] == (1,) for case, _ in door.comparable)


def _precision(match: Match, search: _Search) -> Literal["float64", "float32"]:
    told = search.scales.told(match.door)
    return "float32" if told.wide is None or told.computes_in_float32 else "float64"


def _found_in_float64(
    doors: list[Door], search: _Search, reaches: Sequence[parameters.Guess]
) -> Match | None:
    """The reference that a target equals in float64, though rounding hides it in float32."""
    wide = [(door, search.scales.told(door).wide) for door in doors]
    again = [
        (replace(door, answered=tuple(told), waiting=()), door) for door, told in wide if told is not None
    ]
    match, _ = _sure_match([door for door, _ in again], search, reaches)
    if match is None:
        return None
    return replace(match, door=next(door for other, door in again if other is match.door))


def _without_plain_maps(doors: list[Door]) -> list[Door]:
    """Leave out the doors for maps of a loss that is a mean or a sum over pixels: its other doors tell the same."""
    plain = [door for door in doors if not door.space.maps]
    return [door for door in doors if not door.space.maps or not _is_pixelwise(door)] if plain else doors


def _takes_pixels_apart(door: Door) -> bool:
    """Whether a loss of maps takes each pixel by itself: then a ratio of sums over the pixels is never near to it.

    Even where they are in proportion: on the softmax, a Dice of each pixel is two thirds of that of a sample, or whatever its
    epsilon makes of it.
    """
    return door.space.maps and _is_pixelwise(door)


def _is_pixelwise(door: Door) -> bool:
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


def find_match(doors: list[Door], search: _Search) -> Match | None:
    """The best match over all doors."""
    sure, agreeing = _sure_match(doors, search)
    if sure is not None:
        return sure
    asked = search.asked
    if asked is None:
        doors = [
            door
            for door in doors
            if door.space.parts
            or not (arguments.are_rivals(door.subject.build.loss) or _names_say_otherwise(door))
        ]
    distorted = _distorted_match(doors, search, _with_conventions)
    distorted = distorted or _distorted_match(doors, search, _with_mistakes)
    if distorted is not None:
        return distorted
    weighted = None if asked is not None else _weighted_match(doors, search)
    if weighted is not None:
        return weighted
    scaled = None if asked is not None else _scaled_match(doors, search)
    if scaled is not None:
        return scaled
    doubled = None if asked is not None else _distorted_match(doors, search, _with_two_formulas)
    if doubled is not None:
        return doubled
    rounded = [match for match in agreeing if search.scales.told(match.door).computes_in_float32]
    if rounded:
        return _refine(rounded, search)
    partly = [match for door, spec in _usual_pairs(doors, asked) for match in _partial(door, spec, search)]
    if partly:
        return max(partly, key=lambda match: match.score)
    if asked is None:
        return None
    for door, spec in _pairs(doors, asked):
        return Match(door, _declared_variant(door, spec, search), Tier.ASKED)
    return None


def _sure_match(
    doors: list[Door], search: _Search, reaches: Sequence[parameters.Guess] = REACHES
) -> tuple[Match | None, list[Match]]:
    """The reference that a target equals, confirmed; or the one that it means to be, or is of a wider domain.

    Also all those that give the answers to the first probes, confirmed or not.
    """
    best: Match | None = None
    agreeing: list[Match] = []
    for reach in reaches:
        agreeing = _agreeing(doors, search, reach)
        confirmed = [match for match in agreeing if search.confirms(match)]
        best = _refine(confirmed, search) if confirmed else None
        if best is not None and search.is_thorough(best):
            break
    if best is None:
        return None, agreeing
    if search.asked is not None:
        better = None if search.is_thorough(best) else _with_convention_far_out(best, search)
        return better or best, agreeing
    if not search.is_thorough(best):
        better = _with_number_far_out(best, search) or _with_convention_far_out(best, search)
        if better is not None:
            return better, agreeing
        if _has_penalty_far_out(best, search):
            return replace(best, tier=Tier.PENALISED), agreeing
    better = _as_declared(best, search) or _wider(best, doors, search)
    if better is None and _is_refuted(best, doors, search):
        return replace(best, tier=Tier.PENALISED), agreeing
    return better or best, agreeing


def _agreeing(doors: list[Door], search: _Search, reach: parameters.Guess) -> list[Match]:
    """Plain references that give the answers to the first probes, of the doors of one order; free domains first."""
    found: list[Match] = []
    for door, spec in _pairs(doors, search.asked):
        if found and _order(found[0].door) != _order(door):
            break
        matches = _exact(door, spec, search, reach)
        matches = [match for match in matches if not _contradicted(match, doors, search)]
        found += matches
        if any(search.confirms(match) and search.is_thorough(match) for match in matches):
            break
    return found


def _distorted_match(doors: list[Door], search: _Search, way: Way) -> Match | None:
    """The reference with a convention or a mistake that a target equals: one door is proof enough."""
    found: list[Match] = []
    only_hard: list[Match] = []
    for door, spec in _usual_pairs(doors, search.asked):
        if found and found[0].door is not door:
            break
        for match in way(door, spec, search):
            if match.tier > Tier.CONVENTION:
                doubtful = _is_a_factor(match, search) or _leads_elsewhere(match, search)
            else:
                doubtful = _contradicted(match, doors, search)
            if not doubtful:
                (found if search.holds_on_soft(match) else only_hard).append(match)
    matches = found or only_hard
    return _refine(matches, search) if matches else None


def _is_a_factor(match: Match, search: _Search) -> bool:
    """Whether a mistake in a parameter that nobody declared is no more than a number before the reference: ``0.5 * loss``.

    Or before the same mistake in what is declared: three times a score tells of no temperature of a third.
    """
    door, variant = match.door, match.variant
    spec, declared = variant.spec, search.plain(door, variant.spec, "declared")
    given = {search.scales.key_of(plain.params) for plain in declared}
    neutral = spec.neutral()
    if search.scales.key_of({name: variant.params[name] for name in neutral}) in given:
        return False
    # A reference that is itself by a number has no declared form where nobody declares that number.
    known = declared or [Variant(spec, neutral, variant.reduction)]
    plains = [plain for plain in known if plain.reduction == variant.reduction][:MOST_NEAREST]
    own = {name: value for name, value in variant.params.items() if name not in neutral}
    wrong = [plain.with_mistakes(variant.mistakes, {**plain.params, **own}) for plain in plains]
    fitted = (relations.fit(plain, search.scales.told(door).answers) for plain in (*plains, *wrong))
    return any(relation is not None and relation.id == "constant-factor" for relation in fitted)


def _leads_elsewhere(match: Match, search: _Search) -> bool:
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


def _weighted_match(doors: list[Door], search: _Search) -> Match | None:
    """A reference with weights that stand in the code alone. It must explain all that can be asked: nobody declared them."""
    for door, spec in _usual_pairs(doors, None):
        answers = search.scales.told(door).wide if spec.weights else None
        declared = (spec.parameter(name) for name in spec.weights)
        if answers is None or any(
            parameters.named_values(p, door.evidence, door.classes) for p in declared if p is not None
        ):
            continue
        tried: set[tuple[Any, ...]] = set()
        unweighted = _plain_variants(door, replace(spec, essential=()), search)
        for plain in itertools.islice(unweighted, MOST_WEIGHED):
            given = {name: value for name, value in plain.params.items() if name not in spec.weights}
            key = (*search.scales.key_of(given), plain.reduction)
            if key in tried:
                continue
            tried.add(key)
            variant = weighing.weighed(replace(plain, spec=spec), answers)
            match = None if variant is None else Match(door, variant, Tier.EXACT)
            if match is not None and _holds_throughout(match, search):
                return match
    return None


def _scaled_match(doors: list[Door], search: _Search) -> Match | None:
    """A reference times a number, or plus one: it must explain all that can be asked, as nobody declared the number."""
    for door, spec in _usual_pairs(doors, None):
        if _is_constant(door.comparable) or _takes_pixels_apart(door):
            continue
        for variant in _near_variants(door, spec, search):
            if not search.scales.may_relate(variant, door):
                continue
            scaled = scaling.scaled(variant, search.scales.told(door).answers)
            match = None if scaled is None else Match(door, scaled, Tier.SCALED)
            if match is not None and _holds_throughout(match, search) and not _leads_elsewhere(match, search):
                return match
    return None


def _near_variants(door: Door, spec: ReferenceSpec, search: _Search) -> list[Variant]:
    return search.plain(door, spec, "declared")[:MOST_NEAREST]


def _holds_throughout(match: Match, search: _Search) -> bool:
    """Whether a match explains every number, at the extremes too. Where a target gives none, it may still be this loss."""
    explains = search.scales.explains(match.variant, match.door) and search.confirms(match)
    return explains and _holds_far_out(match, search) and search.holds_on_soft(match)


def _holds_far_out(match: Match, search: _Search) -> bool:
    """Whether a match explains every number and every slope at the extremes."""
    told, variant = search.scales.told(match.door), match.variant
    return search.scales.reproduces_all(
        variant, list(filter(_is_finite, told.extreme(variant.params)))
    ) and all(
        search.scales.has_slope(variant, case, seen.gradient)
        for case, seen in told.slopes
        if seen.gradient is not None and bool(torch.isfinite(seen.gradient).all())
    )


def _is_finite(answer: Response) -> bool:
    value = answer[1].value
    return value is not None and bool(torch.isfinite(value).all())


def _as_declared(match: Match, search: _Search) -> Match | None:
    """The declared parameters with a known mistake, where exact agreement needs a value that is not the declared one.

    A loss that declares gamma = 2 and computes with the 1 of its ``1 - p`` is that of gamma = 2 gone wrong. A neutral
    value proves no such thing: the parameter may be switched off.
    """
    door, variant = match.door, match.variant
    declared = {}
    for parameter in variant.spec.parameters:
        value = variant.params[parameter.name]
        named = parameters.named_values(parameter, door.evidence, door.classes)
        others = [parameter.neutral, *named]
        if (
            parameter.kind == "number"
            and named
            and not any(parameters.same(value, other) for other in others)
        ):
            declared[parameter.name] = named[0]
    if not declared:
        return None
    meant = replace(variant, params={**variant.params, **declared})
    for mistake in mistakes_of(variant.spec.name):
        if not mistake.convention:
            for wrong in _distorted(door, [meant], (mistake,), search):
                return Match(door, wrong, Tier.MISTAKE)
    return None


def _wider(match: Match, doors: list[Door], search: _Search) -> Match | None:
    """The reference of a wide domain that a target equals near zero, where its match is on a narrow one.

    Any log-probabilities are logits. A loss that takes those too is that of log-probabilities only if it gives the same
    formula there; if it gives cross-entropy as long as the logits are small, it is a cross-entropy that goes wrong later.
    """
    for door, spec in _usual_pairs(doors, None):
        if not _is_wider(door, match.door):
            continue
        if search.scales.explains(match.variant, door):
            return None
        near_zero = search.scales.told(door).near_zero
        if not _tells([seen.value for _, seen in near_zero]):
            continue
        for variant in search.plain(door, spec, "declared"):
            if all(search.scales.gives(variant, case, seen) for case, seen in near_zero):
                return Match(door, variant, Tier.PARTIAL)
    return None


def _is_wider(door: Door, other: Door) -> bool:
    """Whether a door takes any numbers, where another one, of the same targets in the same order, takes some."""
    return (
        door.space.free
        and not other.space.free
        and door.space.target == other.space.target
        and door.subject.build is other.subject.build
        and door.subject.interface.swapped == other.subject.interface.swapped
    )


def _is_refuted(match: Match, doors: list[Door], search: _Search) -> bool:
    """Whether a target takes a wider domain, on which its match has an answer too, and gives another one there.

    A cross-entropy that also draws the normaliser to zero is a plain score on log-probabilities, whose normaliser is zero.
    """
    return any(
        search.scales.parts_from(match.variant, case, seen)
        for door in doors
        if _is_wider(door, match.door)
        for case, seen in door.comparable
    )


def _refine(matches: list[Match], search: _Search) -> Match:
    """Among equals, the one that also explains less ordinary inputs and other targets."""
    first = matches[0]
    best = _most_telling([match for match in matches if match.door is first.door], search)
    others = [match for match in matches if match.variant.spec.name != best.variant.spec.name]
    if not others or search.holds_on_soft(best):
        return best
    # What agrees on hard targets alone may be another loss, of which that is a special case.
    return next((match for match in others if search.holds_on_soft(match)), best)


def _most_telling(rivals: list[Match], search: _Search) -> Match:
    """Of the matches of one door, the one that explains most extreme inputs, and whose parameters are declared."""
    if len(rivals) == 1:
        return rivals[0]
    told, params = search.scales.told(rivals[0].door), rivals[0].variant.params
    extreme = told.extreme(params)

    def score(match: Match) -> tuple[int, int, int]:
        hits = search.scales.hits(match.variant, extreme)
        named = sum(p.name in match.door.evidence.named for p in match.variant.spec.parameters)
        return hits, named, -len(_fitted(match))

    scores = [score(match) for match in rivals]
    best = [match for match, reached in zip(rivals, scores, strict=True) if reached == max(scores)]
    if len(best) == 1:
        return best[0]
    slopes = [(case, seen.gradient) for case, seen in told.slopes]
    return max(best, key=lambda match: sum(search.scales.has_slope(match.variant, *pair) for pair in slopes))


def _fitted(match: Match) -> list[str]:
    """The numbers that were found by trying: neither neutral nor declared under a name of theirs."""
    door, variant = match.door, match.variant
    return [
        parameter.name
        for parameter in variant.spec.parameters
        if parameter.kind in {"number", "tensor"}
        and not any(
            parameters.same(variant.params[parameter.name], plain)
            for plain in (
                parameter.neutral,
                *parameters.named_values(parameter, door.evidence, door.classes),
            )
        )
    ]


def _order(door: Door) -> object:
    """Doors that are searched together: those of one order of the arguments."""
    interface = door.subject.interface
    return (door.space.maps, interface.swapped, interface.order)


def _contradicted(match: Match, doors: list[Door], search: _Search) -> bool:
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


def _pairs(doors: list[Door], asked: Asked | None) -> list[tuple[Door, ReferenceSpec]]:
    """Doors with the references that are defined there; wide domains first, for they prove more."""
    specs = [asked.spec] if asked is not None else list(all_references().values())
    used = [door for door in doors if not _is_integer_twin(door, doors)]
    pairs = [
        (door, spec if spec.bind is None else replace(spec, formula=spec.bind(door.space)))
        for door in used
        if not (door.space.alike and _names_say_otherwise(door))
        for spec in specs
        if door.space.kind in spec.spaces
    ]
    return sorted(
        pairs,
        key=lambda pair: (
            not pair[0].space.free,
            pair[0].subject.interface.swapped,
            pair[0].subject.interface.order,
        ),
    )


def _usual_pairs(doors: list[Door], asked: Asked | None) -> list[tuple[Door, ReferenceSpec]]:
    """Each reference with the space that it is most used to, of those that the target takes.

    A target that is not the reference itself has most doors open by accident: a sum over all pixels takes any shape.
    """
    pairs = _pairs(doors, asked)
    first: dict[tuple[str, str], Door] = {}
    for door, spec in sorted(pairs, key=lambda pair: pair[1].spaces.index(pair[0].space.kind)):
        first.setdefault((spec.name, door.space.layout), door)
    return [
        (door, spec)
        for door, spec in pairs
        for usual in (first[spec.name, door.space.layout],)
        if door.space is usual.space and door.subject.build is usual.subject.build
    ]


def _is_integer_twin(door: Door, doors: list[Door]) -> bool:
    """Whether a door takes labels as integers, and its twin takes the same labels as numbers."""
    interface = door.subject.interface
    return interface.integer_labels and any(
        other.subject.interface == replace(interface, integer_labels=False)
        and other.subject.build is door.subject.build
        for other in doors
    )


PREDICTION_WORDS = frozenset(
    {"pred", "preds", "prediction", "predictions", "predicted", "input", "inputs", "output", "outputs", "hat"}
    | {"student", "logits", "estimate"}
)
TARGET_WORDS = frozenset(
    {"target", "targets", "tgt", "true", "truth", "gt", "label", "labels", "expected", "reference", "teacher"}
)


def _names_say_otherwise(door: Door) -> bool:
    """Whether a door takes the target first, and the parameters' names say that the prediction is.

    Where nothing else could tell, they decide; elsewhere exact agreement overrules them, and a mistake does not.
    """
    if not door.subject.interface.swapped:
        return False
    loss = door.subject.build.loss
    try:
        called = loss.forward if isinstance(loss, torch.nn.Module) else loss
        names = list(inspect.signature(called).parameters)[:2]
    except (TypeError, ValueError):
        return False
    words = [set(name.lower().split("_")) for name in names]
    return len(words) == 2 and bool(words[0] & PREDICTION_WORDS) and bool(words[1] & TARGET_WORDS)


def _reductions(door: Door, spec: ReferenceSpec) -> tuple[str, ...]:
    """The reductions to try: only the declared one, if there is one."""
    declared = parameters.declared_reduction(door.evidence)
    if declared is not None and declared in spec.reductions and not _is_of_a_part(declared, door):
        return (declared,)
    return tuple(reduction for reduction in spec.reductions if reduction not in spec.only_declared)


def _is_of_a_part(declared: str, door: Door) -> bool:
    """Whether it is a criterion inside that declares not to reduce: the target has no such attribute, and gives one number."""
    loss = door.subject.build.loss
    return (
        declared == "none"
        and isinstance(loss, torch.nn.Module)
        and not any(hasattr(loss, name) for name in parameters.REDUCTION_NAMES)
        and all(seen.value is not None and seen.value.ndim == 0 for _, seen in door.comparable)
    )


def _plain_variants(
    door: Door, spec: ReferenceSpec, search: _Search, *, reach: parameters.Guess = "numbers"
) -> Iterator[Variant]:
    named = None if search.asked is None else search.asked.reduction
    reductions = _reductions(door, spec) if named is None else (named,)
    for assignment in search.assignments(door, spec, reach):
        if search.asked is None and not spec.is_itself(assignment):
            continue
        for reduction in reductions:
            if reduction != "batchmean" or not _weighted_classes(spec, assignment):
                yield Variant(spec, assignment, reduction)


def _weighted_classes(spec: ReferenceSpec, assignment: dict[str, Any]) -> bool:
    """Whether class weights are in use: the mean over them is a weighted one, so dividing by N is no reduction."""
    return any(p.kind == "per-class" and assignment[p.name] is not None for p in spec.parameters)


def _declared_variant(door: Door, spec: ReferenceSpec, search: _Search) -> Variant:
    """The reference with the parameters that the target declares, else with neutral ones."""
    return next(_plain_variants(door, spec, search))


def _exact(door: Door, spec: ReferenceSpec, search: _Search, reach: parameters.Guess) -> list[Match]:
    """The parameters with which a reference gives the answers of a door; a longer reach adds to what a shorter one found."""
    known = search.tried.setdefault((id(door), spec.name), _Tried())
    if len(known.matches) < MOST_MATCHES:
        for variant in search.scales.explaining(_untried(known, door, spec, search, reach), door):
            if not _proves(door, spec, search):
                return []
            known.matches.append(Match(door, variant, Tier.EXACT))
            if len(known.matches) >= MOST_MATCHES:
                break
    return known.matches


def _untried(
    known: _Tried, door: Door, spec: ReferenceSpec, search: _Search, reach: parameters.Guess
) -> Iterator[Variant]:
    """The variants of a reference within a reach that were not tried before."""
    for variant in search.plain(door, spec, reach):
        key = (search.scales.key_of(variant.params), variant.reduction)
        if key not in known.keys:
            known.keys.add(key)
            yield variant


def _proves(door: Door, spec: ReferenceSpec, search: _Search) -> bool:
    """Whether enough of the answers of a door are to inputs on which a formula has one answer, and they are not all the same."""
    settled = _settled(door.comparable, spec)
    return len(settled) >= LEAST_TOLD and (search.asked is not None or not _is_constant(settled))


def _with_conventions(door: Door, spec: ReferenceSpec, search: _Search) -> Iterator[Match]:
    for variant in _variants_with(door, spec, search, [(each,) for each in _conventions(spec, search)]):
        conventional = _conventional(door, variant)
        # What changes next to nothing is hardly seen on ordinary inputs.
        is_slight = any(each.slight for each in conventional.variant.conventions)
        if not is_slight or _holds_far_out(conventional, search):
            yield conventional


def _conventions(spec: ReferenceSpec, search: _Search) -> list[Mistake]:
    """The conventions of a reference that are none of its mistakes: who names it still means to keep a division finite."""
    return [
        each for each in mistakes_of(spec.name) if each.convention and (search.asked is None or each.slight)
    ]


def _with_mistakes(door: Door, spec: ReferenceSpec, search: _Search) -> Iterator[Match]:
    asked = search.asked is not None
    allowed = _conventions(spec, search)
    bank = [each for each in mistakes_of(spec.name) if each not in allowed and (asked or not each.convention)]
    # Of a loss that is no mean over samples, a wrong formula and a wrong reduction are not two mistakes.
    combined = combinations(bank)
    if "additive" not in spec.laws:
        combined = [mistakes for mistakes in combined if len(mistakes) == 1]
    for variant in _variants_with(door, spec, search, combined):
        yield Match(door, variant, Tier.MISTAKE)


def _with_two_formulas(door: Door, spec: ReferenceSpec, search: _Search) -> Iterator[Match]:
    """Two wrong formulas, one inside the other. Of hundreds of pairs, one is only believed that explains every number."""
    if not _tells([seen.value for _, seen in _settled(door.comparable, spec)]):
        return
    bank = [mistake for mistake in mistakes_of(spec.name) if not mistake.convention]
    near = search.plain(door, spec, "declared")[:MOST_DOUBLED]
    for mistakes in doubles(bank, additive="additive" in spec.laws):
        for variant in _distorted(door, near, mistakes, search):
            match = Match(door, variant, Tier.MISTAKE)
            if _holds_far_out(match, search):
                yield match
                return


def doubles(bank: list[Mistake], *, additive: bool) -> Iterator[tuple[Mistake, ...]]:
    """Two wrong formulas in either order; of a loss that is no mean over samples also one with a wrong reduction."""
    formulas = [mistake for mistake in bank if mistake.wrong is not None]
    yield from itertools.permutations(formulas, 2)
    if not additive:
        yield from itertools.product(formulas, [mistake for mistake in bank if mistake.reduce is not None])


def combinations(bank: list[Mistake]) -> list[tuple[Mistake, ...]]:
    """Single mistakes first, then a wrong formula together with a wrong reduction."""
    formulas = [mistake for mistake in bank if mistake.reduce is None]
    reductions = [mistake for mistake in bank if mistake.reduce is not None]
    return [*((mistake,) for mistake in bank), *itertools.product(formulas, reductions)]


def _variants_with(
    door: Door, spec: ReferenceSpec, search: _Search, combined: list[tuple[Mistake, ...]]
) -> Iterator[Variant]:
    if search.asked is None and not _tells([seen.value for _, seen in _settled(door.comparable, spec)]):
        return
    plain = search.plain(door, spec)
    for mistakes in combined:
        # Two mistakes at once are only believed of parameters that are near to what the target declares.
        bases = plain if not any(each.slight for each in mistakes) else search.scales.resembling(plain, door)
        bases = bases[: MOST_DISTORTED if len(mistakes) == 1 else MOST_PAIRED]
        found = list(itertools.islice(_distorted(door, bases, mistakes, search), MOST_MATCHES))
        yield from found
        if found:
            return


def _distorted(
    door: Door, plain: list[Variant], mistakes: tuple[Mistake, ...], search: _Search
) -> Iterator[Variant]:
    for distorted in search.scales.explaining(distort(plain, mistakes, door.evidence, door.classes), door):
        if search.confirms(Match(door, distorted, Tier.MISTAKE)):
            yield distorted


def distort(
    plain: Iterable[Variant],
    mistakes: tuple[Mistake, ...],
    evidence: Evidence,
    classes: tuple[int, ...],
) -> Iterator[Variant]:
    """Variants with mistakes, each under each assignment of the mistakes' own parameters."""
    if any(mistake.declared for mistake in mistakes) and parameters.declared_reduction(evidence) is None:
        return
    allowed = [mistake.reductions for mistake in mistakes if mistake.reductions is not None]
    own = tuple(parameter for mistake in mistakes for parameter in mistake.parameters)
    assignments = parameters.assignments(own, evidence, classes) if own else [{}]
    params: Params | None = None
    given: list[Params] = []
    for variant in plain:
        if variant.params is not params:  # reductions of one assignment come one after the other
            params = variant.params
            can_be_made = all(mistake.applies(params) for mistake in mistakes)
            given = [{**params, **more} if more else params for more in assignments] if can_be_made else []
        if not allowed or all(variant.reduction in reductions for reductions in allowed):
            for own_params in given:
                yield variant.with_mistakes(mistakes, own_params)


def _settled(answers: list[Response], spec: ReferenceSpec) -> list[Response]:
    """The answers to inputs on which a formula has one answer: the others prove nothing."""
    return [(case, seen) for case, seen in answers if spec.settled(case.prediction, case.target)]


def _is_constant(answers: list[Response]) -> bool:
    """Whether all answers are one number: a loss that answers masks without an edge alone may give 0 for each of them."""
    return len({round(float(seen.value.sum()), 6) for _, seen in answers if seen.value is not None}) < 2


def _tells(values: list[Tensor | None]) -> bool:
    """Whether agreement on these values proves anything: the same again and again, zero above all, does not, nor does NaN.

    Where two numbers agree, that both have none for the same other inputs counts as a third.
    """
    sums = [float(value.sum()) for value in values if value is not None]
    numbers = {round(total, 6) for total in sums if math.isfinite(total)}
    has_gaps = len(numbers) > 1 and not all(math.isfinite(total) for total in sums)
    return len(numbers) + has_gaps >= LEAST_TOLD


def _partial(door: Door, spec: ReferenceSpec, search: _Search) -> Iterator[Match]:
    """Agreement on some of the answers, or up to a constant relation: the nearest reference, not the right one."""
    if search.asked is None and _takes_pixels_apart(door):
        return
    best: tuple[float, Variant] | None = None
    # Both the answers in float32, which came first, and those in float64: a target with a memory agrees with neither.
    told = search.scales.told(door)
    rounds = (door.comparable, told.answers)
    # A relation that hard targets alone have is none: a half of the cross-entropy is a distance on soft ones.
    widest = told.answers if told.soft is None or told.soft[1].value is None else [*told.answers, told.soft]
    for variant in _near_variants(door, spec, search):
        given = [
            first
            for first, second in zip(*rounds, strict=True)
            if search.scales.gives(variant, *first) and search.scales.gives(variant, *second)
        ]
        telling = 2 * len(given) >= len(door.comparable)
        telling = telling and _are_of_all_ranks(given, door.comparable)
        telling = telling and _tells([seen.value for _, seen in _settled(given, spec)])
        telling = telling and not _is_penalised(Match(door, variant, Tier.PARTIAL), search)
        score = float(len(given)) if telling else 0.0
        related = not score and not _is_constant(door.comparable) and search.scales.may_relate(variant, door)
        if related and _are_related(variant, (*rounds, widest), search):
            score = 0.5
        if score and (best is None or score > best[0]):
            best = (score, variant)
    if best is not None:
        match = Match(door, best[1], Tier.PARTIAL, best[0])
        if search.asked is not None or not _leads_elsewhere(match, search):
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


def _with_number_far_out(match: Match, search: _Search) -> Match | None:
    """The one more number under which a match explains what it does not: a guard below a power shows at its base of 0 only."""
    door, variant = match.door, match.variant
    for parameter in variant.spec.parameters:
        if parameter.kind != "number" or variant.params[parameter.name] != parameter.neutral:
            continue
        for number in parameters.candidates(parameter, door.evidence, door.classes):
            other = Match(
                door, replace(variant, params={**variant.params, parameter.name: number}), Tier.EXACT
            )
            if search.scales.explains(other.variant, door) and search.is_thorough(other):
                return other
    return None


def _with_convention_far_out(match: Match, search: _Search) -> Match | None:
    """The convention under which a match explains what it does not: classes that are absent from a mask do not count, say."""
    for convention in _conventions(match.variant.spec, search):
        for variant in _distorted(match.door, [match.variant], (convention,), search):
            conventional = _conventional(match.door, variant)
            if search.is_thorough(conventional):
                return conventional
    return None


def _conventional(door: Door, variant: Variant) -> Match:
    """A match whose mistakes are conventions."""
    told = Variant(variant.spec, variant.params, variant.reduction, conventions=variant.mistakes)
    return Match(door, told, Tier.CONVENTION)


def _is_penalised(match: Match, search: _Search) -> bool:
    """Whether a target is a reference plus a penalty on the prediction, which may show far out only."""
    answers = search.scales.told(match.door).answers
    return _only_adds(match.door, match.variant, answers, search) or (
        search.scales.reproduces_all(match.variant, answers) and _has_penalty_far_out(match, search)
    )


def _has_penalty_far_out(match: Match, search: _Search) -> bool:
    """Whether what a target adds to a reference at the extremes is a penalty: on logits of more than a margin, say."""
    extreme = search.scales.told(match.door).extreme(match.variant.params)
    return _only_adds(match.door, match.variant, extreme, search)


def _only_adds(door: Door, variant: Variant, answers: Sequence[Response], search: _Search) -> bool:
    """Whether a target is a reference plus a term of the prediction alone, wherever it is not the reference.

    Such a term is put there on purpose: a penalty on the weights of a hinge, or on too small a variance. What goes wrong
    in a loss depends on what is asked of it: with the targets of other samples, the difference is another one. A constant
    that comes and goes is no penalty.
    """
    terms: set[float | None] = set()
    proven = False
    for case, seen in answers:
        if search.scales.gives(variant, case, seen):
            continue
        added = search.scales.difference(variant, case, seen)
        terms.add(added if added is None else round(added, 4))
        turned = replace(case, target=case.target.roll(1, 0))
        if torch.equal(turned.target, case.target):
            continue
        other = door.subject.observe(turned, gradient=False, stage="probe")
        again = search.scales.difference(variant, turned, other)
        if added is None or again is None or not math.isclose(added, again, rel_tol=1e-4, abs_tol=1e-4):
            return False
        proven = True
    return proven and len(terms) > 1


def _are_related(variant: Variant, rounds: Sequence[Sequence[Response]], search: _Search) -> bool:
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


def _doors_of(match: Match, doors: list[Door], search: _Search) -> dict[str, Door]:
    """The doors behind which the same variant stands, by space."""
    found = {match.door.space.name: match.door}
    for door in doors:
        fits = door.space.kind in match.variant.spec.spaces and door.space.name not in found
        fits = fits and door.space.layout == match.door.space.layout
        fits = fits and door.first[1].backward_error is None
        if fits and match.tier < Tier.PARTIAL and search.scales.explains(match.variant, door):
            found[door.space.name] = door
    return found
