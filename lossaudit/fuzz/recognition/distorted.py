"""References with conventions or mistakes of the bank: which are tried, and on which variants."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import TYPE_CHECKING

from lossaudit.fuzz import parameters, relations
from lossaudit.fuzz.mistakes import mistakes_of
from lossaudit.fuzz.recognition.proof import holds_far_out, settled_answers, tells
from lossaudit.fuzz.recognition.search import MOST_NEAREST, Match, Tier
from lossaudit.fuzz.variants import Variant

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from lossaudit.fuzz.doors import Door
    from lossaudit.fuzz.model import Mistake, Params, ReferenceSpec
    from lossaudit.fuzz.recognition.search import Search
    from lossaudit.fuzz.recognition.telling import Draft
    from lossaudit.fuzz.subject import Evidence


MOST_MATCHES = 24
MOST_PAIRED = 12
MOST_DOUBLED = 16
"""Variants near to what the target declares that are tried with two wrong formulas: there are hundreds of pairs."""
MOST_DISTORTED = 72
"""Variants near to what the target declares that are tried with one mistake; farther ones are believed of none."""


def is_a_factor(match: Match, search: Search) -> bool:
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
    wrong = [
        plain.with_mistakes(variant.mistakes, {**plain.params, **own})
        for plain in plains
        if all(mistake.applies(plain.params) for mistake in variant.mistakes)
    ]
    fitted = (relations.fit(plain, search.scales.told(door).answers) for plain in (*plains, *wrong))
    return any(relation is not None and relation.id == "constant-factor" for relation in fitted)


def as_declared(match: Match, search: Search) -> Match | None:
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
        if not (mistake.convention or mistake.deeper):
            for wrong in _distorted(door, [meant], (mistake,), search):
                return Match(door, wrong, Tier.MISTAKE)
    return None


def with_conventions(door: Door, spec: ReferenceSpec, search: Search) -> Iterator[Match]:
    """A reference with one convention of the bank, wherever that gives the answers of a door."""
    for variant in _variants_with(door, spec, search, [(each,) for each in _conventions(spec, search)]):
        conventional = _conventional(door, variant)
        # What changes next to nothing is hardly seen on ordinary inputs.
        is_slight = any(each.slight for each in conventional.variant.conventions)
        if not is_slight or holds_far_out(conventional, search):
            yield conventional


def _conventions(spec: ReferenceSpec, search: Search) -> list[Mistake]:
    """The conventions of a reference that are none of its mistakes: who names it still means to keep a division finite."""
    return [
        each for each in mistakes_of(spec.name) if each.convention and (search.asked is None or each.slight)
    ]


def with_mistakes(door: Door, spec: ReferenceSpec, search: Search) -> Iterator[Match]:
    """A reference with one mistake of the bank, or a wrong formula and a wrong reduction."""
    asked = search.asked is not None
    allowed = _conventions(spec, search)
    bank = [
        each
        for each in mistakes_of(spec.name)
        if each not in allowed and not each.deeper and (asked or not each.convention)
    ]
    # Of a loss that is no mean over samples, a wrong formula and a wrong reduction are not two mistakes.
    combined = combinations(bank)
    if "additive" not in spec.laws:
        combined = [mistakes for mistakes in combined if len(mistakes) == 1]
    for variant in _variants_with(door, spec, search, combined):
        yield Match(door, variant, Tier.MISTAKE)


def with_two_formulas(door: Door, spec: ReferenceSpec, search: Search) -> Iterator[Match]:
    """Two wrong formulas, one inside the other. Of hundreds of pairs, one is only believed that explains every number."""
    if not tells([seen.value for _, seen in settled_answers(door.comparable, spec)]):
        return
    bank = [each for each in mistakes_of(spec.name) if not (each.convention or each.deeper)]
    near = search.plain(door, spec, "declared", MOST_DOUBLED)
    for mistakes in doubles(bank, additive="additive" in spec.laws):
        for variant in _distorted(door, near, mistakes, search):
            match = Match(door, variant, Tier.MISTAKE)
            if holds_far_out(match, search):
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
    door: Door, spec: ReferenceSpec, search: Search, combined: list[tuple[Mistake, ...]]
) -> Iterator[Variant]:
    if search.asked is None and not tells([seen.value for _, seen in settled_answers(door.comparable, spec)]):
        return
    for mistakes in combined:
        # Two mistakes at once are only believed of parameters that are near to what the target declares.
        most = MOST_DISTORTED if len(mistakes) == 1 else MOST_PAIRED
        if any(each.slight for each in mistakes):
            bases = search.scales.resembling(search.alike(door, spec), door)[:most]
        else:
            bases = search.plain(door, spec, most=most)
        found = list(itertools.islice(_distorted(door, bases, mistakes, search), MOST_MATCHES))
        yield from found
        if found:
            return


def _distorted(
    door: Door, plain: list[Variant], mistakes: tuple[Mistake, ...], search: Search
) -> Iterator[Variant]:
    drafts = search.scales.left(list(_drafts(plain, mistakes, door.evidence, door.classes)), mistakes, door)
    made = (base.with_mistakes(mistakes, params) for base, params in drafts)
    for distorted in search.scales.explaining(made, door):
        if search.confirms(Match(door, distorted, Tier.MISTAKE)):
            yield distorted


def distort(
    plain: Iterable[Variant],
    mistakes: tuple[Mistake, ...],
    evidence: Evidence,
    classes: tuple[int, ...],
) -> Iterator[Variant]:
    """Variants with mistakes, each under each assignment of the mistakes' own parameters."""
    for base, params in _drafts(plain, mistakes, evidence, classes):
        yield base.with_mistakes(mistakes, params)


def _drafts(
    plain: Iterable[Variant],
    mistakes: tuple[Mistake, ...],
    evidence: Evidence,
    classes: tuple[int, ...],
) -> Iterator[Draft]:
    """What variants with mistakes are made of."""
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
                yield variant, own_params


def with_convention_far_out(match: Match, search: Search) -> Match | None:
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
