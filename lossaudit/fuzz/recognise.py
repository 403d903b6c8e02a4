"""Which loss is this? Found by probing: domain, argument order, formula, parameters, reduction, and mistake if any.

Evidence is ranked: exact agreement with a reference on ordinary inputs; then with a reference and a convention or a
mistake of the bank; then agreement on a part of the inputs, or up to a constant relation. Names are never evidence,
only hints to the values of parameters.
"""

from __future__ import annotations

import inspect
import itertools
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import torch

from lossaudit.fuzz import inputs, parameters, relations, variants
from lossaudit.fuzz.doors import Door, open_doors
from lossaudit.fuzz.mistakes import mistakes_of
from lossaudit.fuzz.model import Case, Mistake, Observation, ReferenceSpec, Structure
from lossaudit.fuzz.references import all_references
from lossaudit.fuzz.variants import Variant

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

    from lossaudit.fuzz.subject import Evidence, Subject

MOST_MATCHES = 24
MOST_PAIRED = 12
LEAST_TOLD = 3


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
        doors, failed = open_doors(subject, () if asked is None else asked.spec.spaces)
        errors += failed
        opened += doors
        match = find_match(doors, asked)
        if match is not None and (best is None or match.tier < best.tier):
            best = match
        if best is not None and best.tier == 0:
            break
    if best is None:
        telling = [door for door in opened if not door.space.special] or opened
        return Recognition(None, {}, tuple(telling), tuple(errors))
    same_build = [door for door in opened if door.subject.build is best.door.subject.build]
    return Recognition(best, _doors_of(best, same_build), tuple(same_build), tuple(errors))


def find_match(doors: list[Door], asked: Asked | None) -> Match | None:
    """The best match over all doors."""
    searches = (_exact, _with_conventions, _with_mistakes, _partial)
    for tier, search in enumerate(searches):
        if asked is not None and tier == 1:
            continue  # who names a reference means it, not a convention near it
        matches = [match for door, spec in _pairs(doors, asked) for match in search(door, spec, asked)]
        matches = [match for match in matches if tier > 1 or not _contradicted(match, doors)]
        if matches:
            return _refine(matches)
    if asked is None:
        return None
    for door, spec in _pairs(doors, asked):
        return Match(door, _declared_variant(door, spec, asked), 4)
    return None


def _contradicted(match: Match, doors: list[Door]) -> bool:
    """Whether the target answers in a space that its reference is more used to, and answers something else there."""
    spaces = match.variant.spec.spaces
    usual = spaces[: spaces.index(match.door.space.name)]
    return any(
        door.space.name in usual
        and door.subject.interface.swapped == match.door.subject.interface.swapped
        and len(door.comparable) == len(door.responses)
        and not _explains(match.variant, door)
        for door in doors
    )


def _pairs(doors: list[Door], asked: Asked | None) -> list[tuple[Door, ReferenceSpec]]:
    """Doors with the references that are defined there; wide domains first, for they prove more."""
    specs = [asked.spec] if asked is not None else list(all_references().values())
    pairs = [
        (door, spec if spec.bind is None else replace(spec, formula=spec.bind(door.space)))
        for door in doors
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
            value = variant.value(*variants.at_dtype(case, case.dtype)).double()
    except variants.UNDEFINED:
        return False  # a mistake that cannot be made at this shape
    shaped = variants.like(seen.value, value)
    if shaped is None:
        return False
    close = (shaped - value).abs() <= 1e-3 * (1 + value.abs())
    return bool((close | (~torch.isfinite(value) & ~torch.isfinite(shaped))).all())


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
    for variant in _variants_with(door, spec, asked, combinations(bank)):
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
        bases = plain if len(mistakes) == 1 else plain[:MOST_PAIRED]
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
    for variant in _plain_variants(door, spec, asked, reach="declared"):
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
    for number, magnitude in enumerate(door.space.magnitudes):
        structure = Structure(
            classes=door.classes[0],
            features=door.features[0],
            magnitude=magnitude,
            targets=door.space.target_profiles[0],
        )
        # float64 tells apart what float32 rounds away: an epsilon of a millionth, say.
        for scale, dtype in itertools.product(door.space.scales[:4], ("float32", "float64")):
            drawn = replace(structure, scale=scale, seed=number, dtype=dtype)
            case = inputs.fill(door.space, drawn, rivals[0].variant.params)
            answers.append((case, door.subject.observe(case, gradient=False, stage="probe")))

    def score(match: Match) -> tuple[int, int]:
        hits = sum(variants.reproduces(match.variant, case, seen) for case, seen in answers)
        return hits, sum(p.name in door.evidence.named for p in match.variant.spec.parameters)

    return max(rivals, key=score)


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
