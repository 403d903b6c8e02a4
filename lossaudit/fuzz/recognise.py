"""Which loss is this? Found by probing: domain, argument order, formula, parameters, reduction, and mistake if any.

Evidence is ranked: exact agreement with a reference on ordinary inputs; then with a reference and a convention or a
mistake of the bank; then agreement on a part of the inputs, or up to a constant relation. Names are never evidence,
only hints to the values of parameters.
"""

from __future__ import annotations

import inspect
import itertools
import math
import operator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import torch

from lossaudit.fuzz import inputs, parameters, relations, variants
from lossaudit.fuzz.doors import Door, open_doors, plausible
from lossaudit.fuzz.mistakes import mistakes_of
from lossaudit.fuzz.model import Case, Mistake, Observation, ReferenceSpec, Structure, Terms
from lossaudit.fuzz.references import all_references
from lossaudit.fuzz.variants import Variant

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

    from lossaudit.fuzz.subject import Evidence, Subject

MOST_MATCHES = 24
MOST_PAIRED = 12
LEAST_TOLD = 3
MOST_DISTORTED = 72
"""Variants near to what the target declares that are tried with one mistake; farther ones are believed of none."""
GRADIENTS = 8
"""Gradients that are compared among variants of one value."""
MOST_NEAREST = 24
"""The same for references that only come near."""


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """A reference that the user named; ``params`` are those that were named with it."""

    spec: ReferenceSpec
    params: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Match:
    """A variant that explains the answers of one door.

    ``tier``: 0 exact, 1 convention, 2 mistake, 3 part of the inputs, 4 asked for.
    """

    door: Door
    variant: Variant
    tier: int
    score: float = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class Recognition:
    """The outcome: the best match, all doors that lead to it, and all doors that opened at all."""

    match: Match | None
    doors: dict[str, Door]
    opened: tuple[Door, ...]
    errors: tuple[str, ...]


def recognise(subjects: list[Subject], asked: Asked | None) -> Recognition:
    """Probe a target.

    Args:
        subjects: The target under each build that is worth trying; the interface is found here.
        asked: The reference that the user named.
    """
    opened: list[Door] = []
    errors: list[str] = []
    best: Match | None = None
    for subject in subjects:
        every, failed = open_doors(subject, () if asked is None else asked.spec.spaces)
        doors = _without_plain_maps(plausible(every))
        errors += failed
        opened += doors
        match = find_match(doors, asked)
        if match is None or match.tier > 0:
            # Exact agreement is proof even behind a door that seemed to be open by accident.
            hidden = [door for door in every if door not in doors]
            by_accident = find_match(hidden, asked, tiers=1)
            if by_accident is not None:
                match, opened = by_accident, [*opened, *hidden]
        if match is not None and (best is None or match.tier < best.tier):
            best = match
        if best is not None and best.tier == 0:
            break
    if best is None:
        telling = [door for door in opened if not door.space.special] or opened
        return Recognition(None, {}, tuple(telling), tuple(errors))
    same_build = [door for door in opened if door.subject.build is best.door.subject.build]
    return Recognition(best, _doors_of(best, same_build), tuple(same_build), tuple(errors))


def _without_plain_maps(doors: list[Door]) -> list[Door]:
    """Leave out the doors for maps of a loss that is a mean or a sum over pixels: its other doors tell the same."""
    plain = [door for door in doors if not door.space.maps]
    return [door for door in doors if not door.space.maps or not _is_pixelwise(door)] if plain else doors


def _is_pixelwise(door: Door) -> bool:
    """Whether the loss of a map is the mean, or the sum, of the losses of its left and its right part."""
    case, seen = door.comparable[0]
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
    return _near(whole, left + right) or _near(whole, (left + (width - 1) * right) / width)


def find_match(doors: list[Door], asked: Asked | None, tiers: int = 4) -> Match | None:
    """The best match over all doors, in the first so many tiers."""
    searches = (_exact, _with_conventions, _with_mistakes, _partial)[:tiers]
    for tier, search in enumerate(searches):
        if asked is not None and tier == 1:
            continue  # who names a reference means it, not a convention near it
        pairs = _pairs(doors, asked) if tier == 0 else _usual_pairs(doors, asked)
        matches: list[Match] = []
        for door, spec in pairs:
            if matches and tier < 3 and _group(matches[0].door, tier) != _group(door, tier):
                break  # the usual doors come first; with a convention or mistake one door is proof enough
            found = search(door, spec, asked)
            matches += [match for match in found if tier > 1 or not _contradicted(match, doors)]
        if matches:
            best = _refine(matches)
            meant = _as_declared(best) if tier == 0 and asked is None else None
            return meant or best
    if asked is None or tiers < 4:
        return None
    for door, spec in _pairs(doors, asked):
        return Match(door, _declared_variant(door, spec, asked), 4)
    return None


def _as_declared(match: Match) -> Match | None:
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
            for wrong in _distorted(door, [meant], (mistake,)):
                return Match(door, wrong, 2)
    return None


def _group(door: Door, tier: int) -> object:
    """Doors that are searched together: where agreement is exact those of one order, else each by itself."""
    if tier:
        return door
    interface = door.subject.interface
    return (door.space.maps, interface.swapped, interface.order)


def _contradicted(match: Match, doors: list[Door]) -> bool:
    """Whether the target answers in a space that its reference is more used to, and answers something else there."""
    spaces = match.variant.spec.spaces
    usual = spaces[: spaces.index(match.door.space.name)]
    return any(
        door.space.name in usual
        and door.space.recodes != match.door.space.name
        and door.subject.interface.swapped == match.door.subject.interface.swapped
        and len(door.comparable) == len(door.responses)
        and not _explains(match.variant, door)
        for door in doors
    )


def _pairs(doors: list[Door], asked: Asked | None) -> list[tuple[Door, ReferenceSpec]]:
    """Doors with the references that are defined there; wide domains first, for they prove more."""
    specs = [asked.spec] if asked is not None else list(all_references().values())
    used = [door for door in doors if not _is_integer_twin(door, doors)]
    pairs = [
        (door, spec if spec.bind is None else replace(spec, formula=spec.bind(door.space)))
        for door in used
        if not _named_the_other_way(door)
        for spec in specs
        if door.space.name in spec.spaces
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
    first: dict[str, Door] = {}
    for door, spec in sorted(pairs, key=lambda pair: pair[1].spaces.index(pair[0].space.name)):
        first.setdefault(spec.name, door)
    return [
        (door, spec)
        for door, spec in pairs
        if door.space is first[spec.name].space and door.subject.build is first[spec.name].subject.build
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


def _named_the_other_way(door: Door) -> bool:
    """Whether a door takes the target first, and nothing but the parameters' names could tell: these say otherwise."""
    if not door.space.alike or not door.subject.interface.swapped:
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
    if declared is not None and declared in spec.reductions:
        return (declared,)
    return tuple(reduction for reduction in spec.reductions if reduction not in spec.only_declared)


def _plain_variants(
    door: Door, spec: ReferenceSpec, asked: Asked | None, *, reach: parameters.Guess = "numbers"
) -> Iterator[Variant]:
    for found in parameters.assignments(spec.parameters, door.evidence, door.classes, reach=reach):
        assignment = {**found, **(asked.params if asked is not None else {})}
        if asked is None and not spec.is_itself(assignment):
            continue
        for reduction in _reductions(door, spec):
            if reduction != "batchmean" or not _weighted_classes(spec, assignment):
                yield Variant(spec, assignment, reduction)


def _weighted_classes(spec: ReferenceSpec, assignment: dict[str, Any]) -> bool:
    """Whether class weights are in use: the mean over them is a weighted one, so dividing by N is no reduction."""
    return any(p.kind == "per-class" and assignment[p.name] is not None for p in spec.parameters)


def _declared_variant(door: Door, spec: ReferenceSpec, asked: Asked | None) -> Variant:
    """The reference with the parameters that the target declares, else with neutral ones."""
    return next(_plain_variants(door, spec, asked))


def _explains(variant: Variant, door: Door) -> bool:
    """Whether a variant gives every answer of a door; a rough look at the first answer saves most of the work."""
    if not _looks_like(variant, *door.comparable[0]):
        return False
    return all(variants.reproduces(variant, case, seen) for case, seen in door.comparable)


def _looks_like(variant: Variant, case: Case, seen: Observation) -> bool:
    assert seen.value is not None  # noqa: S101 (for the type checker; comparable answers hold a value)
    try:
        with torch.no_grad():
            value = variant.reduce(_glance.terms(variant, case), case.prediction)
    except variants.UNDEFINED:
        return False  # a mistake that cannot be made at this shape
    shaped = variants.like(seen.value, value)
    if shaped is None:
        return False
    return all(map(_near, shaped.flatten().tolist(), value.flatten().tolist()))


def _near(actual: float, due: float) -> bool:
    """Whether two numbers are alike at a glance: within a part in a thousand, or both not finite."""
    if not math.isfinite(due):
        return not math.isfinite(actual)
    return abs(actual - due) <= 1e-3 * (1 + abs(due))


class _Glance:
    """The terms of the variant that was last looked at: reductions of the same terms come one after the other."""

    def __init__(self) -> None:
        self._key: tuple[object, ...] = ()
        self._terms: Terms | None = None

    def terms(self, variant: Variant, case: Case) -> Terms:
        """The terms of a variant at the dtype of a case."""
        formulas = [change for change in variant.changes if change.reduce is None]
        key = (case, variant.spec, variant.params, *formulas)
        same = len(key) == len(self._key) and all(map(operator.is_, key, self._key))
        if self._terms is None or not same:
            self._terms = None
            self._key = key
            self._terms = variant.terms(*variants.at_dtype(case, case.dtype))
        return self._terms


_glance = _Glance()


def _exact(door: Door, spec: ReferenceSpec, asked: Asked | None) -> Iterator[Match]:
    explained = (v for v in _plain_variants(door, spec, asked, reach="complements") if _explains(v, door))
    for variant in itertools.islice(explained, MOST_MATCHES):
        yield Match(door, variant, 0)


def _with_conventions(door: Door, spec: ReferenceSpec, asked: Asked | None) -> Iterator[Match]:
    bank = [mistake for mistake in mistakes_of(spec.name) if mistake.convention]
    for variant in _variants_with(door, spec, asked, [(mistake,) for mistake in bank]):
        conventional = Variant(variant.spec, variant.params, variant.reduction, conventions=variant.mistakes)
        yield Match(door, conventional, 1)


def _with_mistakes(door: Door, spec: ReferenceSpec, asked: Asked | None) -> Iterator[Match]:
    bank = [mistake for mistake in mistakes_of(spec.name) if asked is not None or not mistake.convention]
    # Of a loss that is no mean over samples, a wrong formula and a wrong reduction are not two mistakes.
    combined = combinations(bank)
    if "additive" not in spec.laws:
        combined = [mistakes for mistakes in combined if len(mistakes) == 1]
    for variant in _variants_with(door, spec, asked, combined):
        yield Match(door, variant, 2)


def combinations(bank: list[Mistake]) -> list[tuple[Mistake, ...]]:
    """Single mistakes first, then a wrong formula together with a wrong reduction."""
    formulas = [mistake for mistake in bank if mistake.reduce is None]
    reductions = [mistake for mistake in bank if mistake.reduce is not None]
    return [*((mistake,) for mistake in bank), *itertools.product(formulas, reductions)]


def _variants_with(
    door: Door, spec: ReferenceSpec, asked: Asked | None, combined: list[tuple[Mistake, ...]]
) -> Iterator[Variant]:
    if asked is None and not _tells([seen.value for _, seen in door.comparable]):
        return
    plain = list(_plain_variants(door, spec, asked))
    for mistakes in combined:
        # Two mistakes at once are only believed of parameters that are near to what the target declares.
        bases = plain[: MOST_DISTORTED if len(mistakes) == 1 else MOST_PAIRED]
        found = list(itertools.islice(_distorted(door, bases, mistakes), MOST_MATCHES))
        yield from found
        if found:
            return


def _distorted(door: Door, plain: list[Variant], mistakes: tuple[Mistake, ...]) -> Iterator[Variant]:
    for variant in plain:
        for distorted in distort(variant, mistakes, door.evidence, door.classes):
            if _explains(distorted, door):
                yield distorted


def distort(
    variant: Variant, mistakes: tuple[Mistake, ...], evidence: Evidence, classes: tuple[int, ...]
) -> Iterator[Variant]:
    """The variant with mistakes, under each assignment of their own parameters."""
    if not all(mistake.applies(variant.params) for mistake in mistakes):
        return
    if any(mistake.declared for mistake in mistakes) and parameters.declared_reduction(evidence) is None:
        return
    allowed = [mistake.reductions for mistake in mistakes if mistake.reductions is not None]
    if any(variant.reduction not in reductions for reductions in allowed):
        return
    own = tuple(parameter for mistake in mistakes for parameter in mistake.parameters)
    for assignment in parameters.assignments(own, evidence, classes) if own else [{}]:
        yield variant.with_mistakes(*mistakes, params=assignment)


def _tells(values: list[Tensor | None]) -> bool:
    """Whether agreement on these values proves anything: the same again and again, zero above all, does not."""
    return len({round(float(value.sum()), 6) for value in values if value is not None}) >= LEAST_TOLD


def _partial(door: Door, spec: ReferenceSpec, asked: Asked | None) -> Iterator[Match]:
    """Agreement on some of the answers, or up to a constant relation: the nearest reference, not the right one."""
    best: tuple[float, Variant] | None = None
    near = _plain_variants(door, spec, asked, reach="declared")
    for variant in itertools.islice(near, MOST_NEAREST):
        agreed = [seen.value for case, seen in door.comparable if variants.reproduces(variant, case, seen)]
        telling = 2 * len(agreed) >= len(door.comparable) and _tells(agreed)
        score = float(len(agreed)) if telling else 0.0
        if not score and relations.fit(variant, door.comparable) is not None:
            score = 0.5
        if score and (best is None or score > best[0]):
            best = (score, variant)
    if best is not None:
        yield Match(door, best[1], 3, best[0])


def _refine(matches: list[Match]) -> Match:
    """Among equals, the one that also explains less ordinary inputs and other targets."""
    if matches[0].tier == 3:
        return max(matches, key=lambda match: match.score)
    first = matches[0]
    best = _most_telling([match for match in matches if match.door is first.door])
    others = [match for match in matches if match.variant.spec is not first.variant.spec]
    if not others or _takes_soft(best):
        return best
    # What agrees on hard targets alone may be another loss, of which that is a special case.
    return next((match for match in others if _takes_soft(match)), best)


def _most_telling(rivals: list[Match]) -> Match:
    """Of the matches of one door, the one that explains most extreme inputs, and whose parameters are declared."""
    if len(rivals) == 1:
        return rivals[0]
    door = rivals[0].door
    answers = []
    hard = [name for name in door.space.target_profiles if name != "soft" and "ignored" not in name]
    for number, (magnitude, targets) in enumerate(itertools.product(door.space.magnitudes, hard)):
        structure = Structure(
            classes=door.classes[0], features=door.features[0], magnitude=magnitude, targets=targets
        )
        scales = door.space.scales[: 4 if magnitude in inputs.EXTREME else 1]
        # float64 tells apart what float32 rounds away: an epsilon of a millionth, say.
        for scale, dtype in itertools.product(scales, ("float32", "float64")):
            drawn = replace(structure, scale=scale, seed=number, dtype=dtype)
            case = inputs.fill(door.space, drawn, rivals[0].variant.params)
            answers.append((case, door.subject.observe(case, gradient=False, stage="probe")))

    def score(match: Match) -> tuple[int, int]:
        hits = sum(variants.reproduces(match.variant, case, seen) for case, seen in answers)
        return hits, sum(p.name in door.evidence.named for p in match.variant.spec.parameters)

    scores = [score(match) for match in rivals]
    best = [match for match, reached in zip(rivals, scores, strict=True) if reached == max(scores)]
    if len(best) == 1:
        return best[0]
    told = [(case, door.subject.observe(case, stage="probe").gradient) for case, _ in answers[:GRADIENTS]]
    return max(best, key=lambda match: sum(_has_slope(match.variant, *pair) for pair in told))


def _has_slope(variant: Variant, case: Case, seen: Tensor | None) -> bool:
    """Whether a gradient is that of a variant: it tells apart those of one value."""
    try:
        due = None if seen is None else variants.slope(variant, case)
    except variants.UNDEFINED:
        return False
    return due is not None and seen is not None and torch.allclose(seen, due, rtol=1e-3, atol=1e-4)


def _takes_soft(match: Match) -> bool:
    """Whether it holds on soft targets, where the space has them besides hard ones."""
    door = match.door
    if "soft" not in door.space.target_profiles[1:]:
        return True
    case = inputs.fill(door.space, Structure(classes=door.classes[0], targets="soft", seed=1), {})
    seen = door.subject.observe(case, gradient=False, stage="probe")
    return variants.reproduces(match.variant, case, seen)


def _doors_of(match: Match, doors: list[Door]) -> dict[str, Door]:
    """The doors behind which the same variant stands, by space."""
    found = {match.door.space.name: match.door}
    for door in doors:
        fits = door.space.name in match.variant.spec.spaces and door.space.name not in found
        fits = fits and door.comparable[0][1].backward_error is None
        if fits and match.tier < 3 and _explains(match.variant, door):
            found[door.space.name] = door
    return found
