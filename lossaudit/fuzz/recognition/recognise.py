"""The search: from the doors that a target opens to the best match, the surest evidence first."""

from __future__ import annotations

import functools
import itertools
import operator
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from lossaudit.fuzz import arguments, parameters
from lossaudit.fuzz.doors import open_doors, open_layouts, plausible
from lossaudit.fuzz.model import ReferenceSpec
from lossaudit.fuzz.recognition.distorted import (
    MOST_MATCHES,
    as_declared,
    is_a_factor,
    with_convention_far_out,
    with_conventions,
    with_mistakes,
    with_two_formulas,
)
from lossaudit.fuzz.recognition.fitted import scaled_match, weighted_match
from lossaudit.fuzz.recognition.nearest import is_pixelwise, partial_matches
from lossaudit.fuzz.recognition.pairing import (
    all_pairs,
    is_turned,
    names_say_otherwise,
    order_of,
    usual_pairs,
)
from lossaudit.fuzz.recognition.penalties import has_penalty_far_out
from lossaudit.fuzz.recognition.proof import (
    is_contradicted,
    is_refuted,
    is_wider,
    leads_elsewhere,
    proves,
    tells,
)
from lossaudit.fuzz.recognition.search import Match, Patience, Search, Tier, Tried, declared_variant

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lossaudit.fuzz.doors import Door
    from lossaudit.fuzz.recognition.search import Asked
    from lossaudit.fuzz.recognition.telling import Alike
    from lossaudit.fuzz.subject import Subject


ONE_CLASS = (1,)
"""Who takes its input only where there is a single class takes something else: a channel of one, say."""
REACHES: tuple[parameters.Guess, ...] = ("named", "declared", "complements")
"""How far to look for parameters: what costs little and proves much goes first."""
NEAR_REACHES = REACHES[:2]


@dataclass(frozen=True, slots=True, eq=False)
class Recognition:
    """The outcome: the best match, all doors that lead to it, and all doors that opened at all.

    ``precision`` is that in which the values agree: float32 where the target computes in it whatever it is given.
    ``hurried``: the time was up before all was tried.
    """

    match: Match | None
    doors: dict[str, Door]
    opened: tuple[Door, ...]
    errors: tuple[str, ...]
    precision: Literal["float64", "float32"] = "float64"
    hurried: bool = False


Way = Callable[["Door", ReferenceSpec, Search], "Iterator[Match]"]


def recognise(
    subjects: list[Subject],
    asked: Asked | None,
    patience: Patience | None = None,
    on_unlike: Callable[[Recognition], None] = lambda _: None,
) -> Recognition:
    """Probe a target.

    Args:
        subjects: The target under each build that is worth trying; the interface is found here.
        asked: The reference that the user named.
        patience: How long mistakes and numbers that nobody declared are tried; what it is as it stands is found whatever
            that takes.
        on_unlike: Called where the target is no loss as it stands, before mistakes are tried, with what is returned if none is
            found.
    """
    opened: list[Door] = []
    errors: list[str] = []
    best: Match | None = None
    search = Search(asked, patience or Patience())

    def unlike(doors: list[Door]) -> None:
        if doors and asked is None and best is None and subject is subjects[-1]:
            on_unlike(_unlike([*opened, *doors], errors))

    for subject in subjects:
        found, failed = open_doors(subject, search.wanted)
        errors += failed
        every = [door for door in found if not is_turned(door, found)]
        match, doors = _match_of_build(subject, every, search, unlike)
        opened += doors
        if match is not None and (best is None or match.tier < best.tier):
            best = match
        if best is not None and best.tier == Tier.EXACT:
            break
    if best is None or best.tier == Tier.PENALISED:
        return replace(_unlike(opened, errors), hurried=search.patience.ended)
    same_build = [door for door in opened if door.subject.build is best.door.subject.build]
    doors_of = _doors_of(best, same_build, search)
    precision, hurried = _precision(best, search), search.patience.ended
    return Recognition(best, doors_of, tuple(same_build), tuple(errors), precision, hurried)


def _unlike(opened: list[Door], errors: list[str]) -> Recognition:
    """The outcome where a target is like no known loss."""
    telling = [door for door in opened if not (door.space.special or door.space.broadcasts)] or opened
    return Recognition(None, {}, tuple(telling), tuple(errors))


def _match_of_build(
    subject: Subject, every: list[Door], search: Search, on_unlike: Callable[[list[Door]], None]
) -> tuple[Match | None, list[Door]]:
    """The best match over the doors of one build, and the doors that count; ``on_unlike`` is told of them where nothing is equal.

    What a target is as it stands, in whatever layout, is asked before what it may be by mistake, which takes longest.
    """
    doors = _without_plain_maps(plausible(every))
    match = _as_it_stands(doors, search)
    hidden = [door for door in every if door not in doors]
    if not _settles(match):
        # Exact agreement is proof even behind a door that seemed to be open by accident.
        by_accident, _ = _sure_match(hidden, search, NEAR_REACHES)
        if by_accident is not None:
            match, doors = by_accident, [*doors, *hidden]
    if _settles(match):
        return match, doors
    arranged = plausible(open_layouts(subject, every, search.wanted))
    # Who takes the usual layout too has most of the others open by accident: there only exact agreement is proof.
    usual = any(not _is_of_one_class(door) for door in doors)
    other = _sure_match(arranged, search, NEAR_REACHES)[0] if usual else _as_it_stands(arranged, search)
    if _settles(other):
        return other, arranged
    search.patience.begin()
    if match is None:
        on_unlike(doors or arranged)
        match = _by_mistake(doors, search)
    farther = _sure_match(hidden, search)[0] if match is None else None
    if farther is not None:
        match, doors = farther, [*doors, *hidden]
    if (match is None or match.tier >= Tier.PARTIAL) and search.patience.lasts():
        match = _found_in_float64(doors, search, REACHES if match is None else NEAR_REACHES) or match
    if not usual and not _settles(match):
        other = other or _by_mistake(arranged, search)
    if not doors or (other is not None and other.tier < (Tier.PARTIAL if match is None else match.tier)):
        return other, arranged
    return match, doors


def _settles(match: Match | None) -> bool:
    """Whether nothing else is to be asked: it is a known loss, or that with a convention."""
    return match is not None and match.tier <= Tier.CONVENTION


def _is_of_one_class(door: Door) -> bool:
    """Whether a target takes an input only where there is a single class: all that it answers there has one column."""
    if door.classes == ONE_CLASS:
        return True
    return 1 in door.classes and all(case.prediction.shape[1:2] == (1,) for case, _ in door.comparable)


def _precision(match: Match, search: Search) -> Literal["float64", "float32"]:
    told = search.scales.told(match.door)
    return "float32" if told.in_float64 is None or told.computes_in_float32 else "float64"


def _found_in_float64(doors: list[Door], search: Search, reaches: Sequence[parameters.Guess]) -> Match | None:
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
    return [door for door in doors if not door.space.maps or not is_pixelwise(door)] if plain else doors


def _as_it_stands(doors: list[Door], search: Search) -> Match | None:
    """A reference that a target equals, as it is or with a convention; or the one that it visibly means to be."""
    sure, _ = _sure_match(doors, search)
    return sure or _distorted_match(_not_rivals(doors, search), search, with_conventions)


def _by_mistake(doors: list[Door], search: Search) -> Match | None:
    """A reference with a mistake, or with numbers that nobody declares; the nearest one, where nothing is equal."""
    asked = search.asked
    others = _not_rivals(doors, search)
    match = _distorted_match(others, search, with_mistakes)
    if match is None and asked is None:
        match = weighted_match(others, search) or scaled_match(others, search)
        match = match or _distorted_match(others, search, with_two_formulas)
    if match is not None:
        return match
    agreeing = _agreeing(doors, search, REACHES[-1])
    rounded = [match for match in agreeing if search.scales.told(match.door).computes_in_float32]
    if rounded:
        return _refine(rounded, search)
    partly = [match for pair in usual_pairs(others, asked) for match in _partial_matches(*pair, search)]
    if partly:
        return max(partly, key=lambda match: match.score)
    if asked is None:
        return None
    for door, spec in all_pairs(others, asked):
        return Match(door, declared_variant(door, spec, search), Tier.ASKED)
    return None


def _partial_matches(door: Door, spec: ReferenceSpec, search: Search) -> Iterator[Match]:
    return partial_matches(door, spec, search) if search.patience.lasts() else iter(())


def _not_rivals(doors: list[Door], search: Search) -> list[Door]:
    """Leave out the doors whose names speak against what they are open for. Who names a reference knows better."""
    if search.asked is not None:
        return doors
    return [
        door
        for door in doors
        if door.space.parts
        or not (arguments.are_rivals(door.subject.build.loss) or names_say_otherwise(door))
    ]


def _sure_match(
    doors: list[Door], search: Search, reaches: Sequence[parameters.Guess] = REACHES
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
        better = None if search.is_thorough(best) else with_convention_far_out(best, search)
        return better or best, agreeing
    if not search.is_thorough(best):
        better = _with_number_far_out(best, search) or with_convention_far_out(best, search)
        if better is not None:
            return better, agreeing
        if has_penalty_far_out(best, search):
            return replace(best, tier=Tier.PENALISED), agreeing
    better = as_declared(best, search) or _wider(best, doors, search)
    if better is None and is_refuted(best, doors, search):
        return replace(best, tier=Tier.PENALISED), agreeing
    return better or best, agreeing


def _agreeing(doors: list[Door], search: Search, reach: parameters.Guess) -> list[Match]:
    """Plain references that give the answers to the first probes, of the doors of one order; free domains first."""
    found: list[Match] = []
    for door, spec in all_pairs(doors, search.asked):
        if found and order_of(found[0].door) != order_of(door):
            break
        matches = _exact(door, spec, search, reach)
        matches = [match for match in matches if not is_contradicted(match, doors, search)]
        found += matches
        if any(search.confirms(match) and search.is_thorough(match) for match in matches):
            break
    return found


def _distorted_match(doors: list[Door], search: Search, way: Way) -> Match | None:
    """The reference with a convention or a mistake that a target equals: one door is proof enough."""
    found: list[Match] = []
    only_hard: list[Match] = []
    for door, spec in usual_pairs(doors, search.asked):
        if (found and found[0].door is not door) or not search.patience.lasts():
            break
        for match in way(door, spec, search):
            if match.tier > Tier.CONVENTION:
                doubtful = is_a_factor(match, search) or leads_elsewhere(match, search)
            else:
                doubtful = is_contradicted(match, doors, search)
            if not doubtful:
                (found if search.holds_on_soft(match) else only_hard).append(match)
    matches = found or only_hard
    return _refine(matches, search) if matches else None


def _wider(match: Match, doors: list[Door], search: Search) -> Match | None:
    """The reference of a wide domain that a target equals near zero, where its match is on a narrow one.

    Any log-probabilities are logits. A loss that takes those too is that of log-probabilities only if it gives the same
    formula there; if it gives cross-entropy as long as the logits are small, it is a cross-entropy that goes wrong later.
    """
    for door, spec in usual_pairs(doors, None):
        if not is_wider(door, match.door):
            continue
        if search.scales.explains(match.variant, door):
            return None
        near_zero = search.scales.told(door).near_zero
        if not tells([seen.value for _, seen in near_zero]):
            continue
        for variant in search.plain(door, spec, "declared"):
            if all(search.scales.gives(variant, case, seen) for case, seen in near_zero):
                return Match(door, variant, Tier.PARTIAL)
    return None


def _refine(matches: list[Match], search: Search) -> Match:
    """Among equals, the one that also explains less ordinary inputs and other targets, in the form that has its gradients."""
    return _with_its_slope(_best(matches, search), search)


def _best(matches: list[Match], search: Search) -> Match:
    first = matches[0]
    best = _most_telling([match for match in matches if match.door is first.door], search)
    others = [match for match in matches if match.variant.spec.name != best.variant.spec.name]
    if not others or search.holds_on_soft(best):
        return best
    # What agrees on hard targets alone may be another loss, of which that is a special case.
    return next((match for match in others if search.holds_on_soft(match)), best)


def _most_telling(rivals: list[Match], search: Search) -> Match:
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
    slopes = [(case, seen.gradient) for case, seen in told.slopes(params)]
    return max(best, key=lambda match: sum(search.scales.has_slope(match.variant, *pair) for pair in slopes))


def _with_its_slope(match: Match, search: Search) -> Match:
    """The form of a match that has the gradients too, where authors differ in what they take for a constant."""
    variant = match.variant
    choices = [
        [{parameter.name: value} for value in (variant.params[parameter.name], *parameter.guesses)]
        for parameter in variant.spec.parameters
        if parameter.kind == "slope"
    ]
    if not choices:
        return match
    slopes = search.scales.told(match.door).slopes(variant.params)
    for picks in itertools.product(*choices):
        params = functools.reduce(operator.or_, picks, dict(variant.params))
        other = replace(variant, params=params)
        if all(search.scales.has_slope(other, case, seen.gradient) for case, seen in slopes):
            return replace(match, variant=other)
    return match


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


def _exact(door: Door, spec: ReferenceSpec, search: Search, reach: parameters.Guess) -> list[Match]:
    """The parameters with which a reference gives the answers of a door; a longer reach adds to what a shorter one found."""
    known = search.tried.setdefault((id(door), spec.name), Tried())
    if len(known.matches) < MOST_MATCHES:
        for variant in search.scales.explaining_plain(_untried(known, door, spec, search, reach), door):
            if not proves(door, spec, search):
                return []
            known.matches.append(Match(door, variant, Tier.EXACT))
            if len(known.matches) >= MOST_MATCHES:
                break
    return known.matches


def _untried(
    known: Tried, door: Door, spec: ReferenceSpec, search: Search, reach: parameters.Guess
) -> list[Alike]:
    """The variants of a reference within a reach that were not tried before."""
    found = []
    for alike in search.alike(door, spec, reach):
        key = search.scales.key_of(alike.first.params)
        if key not in known.keys:
            known.keys.add(key)
            found.append(alike)
    return found


def _with_number_far_out(match: Match, search: Search) -> Match | None:
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


def _doors_of(match: Match, doors: list[Door], search: Search) -> dict[str, Door]:
    """The doors behind which the same variant stands, by space."""
    found = {match.door.space.name: match.door}
    for door in doors:
        fits = door.space.kind in match.variant.spec.spaces and door.space.name not in found
        fits = fits and door.space.layout == match.door.space.layout
        fits = fits and door.first[1].backward_error is None
        if fits and match.tier < Tier.PARTIAL and search.scales.explains(match.variant, door):
            found[door.space.name] = door
    return found
