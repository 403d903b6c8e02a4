"""What one recognition shares: what is asked, what was tried, and the plain variants of a reference that are worth trying."""

from __future__ import annotations

import enum
import itertools
import math
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lossaudit.fuzz import parameters
from lossaudit.fuzz.recognition.telling import Alike, Scales
from lossaudit.fuzz.variants import Variant

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lossaudit.fuzz.doors import Door
    from lossaudit.fuzz.model import Parameter, ReferenceSpec
    from lossaudit.fuzz.subject import Evidence


MOST_NEAREST = 24
"""Variants near to what the target declares that are tried up to a relation, or for a part of the answers."""


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


@dataclass(slots=True, eq=False)
class Patience:
    """How long the search may go on for what a target is unlikely to be.

    It is the processor's time that counts: on a busy machine the same is found as on an idle one.

    Args:
        seconds: Of the processor's time of this process.
        ended: Whether anything was left out because the time was up.
    """

    seconds: float = math.inf
    ended: bool = False
    _since: float | None = None

    def begin(self) -> None:
        """Let the time run, if it does not yet."""
        if self._since is None:
            self._since = time.process_time()

    def lasts(self) -> bool:
        """Whether there is time for one more; who asks leaves it out if there is none."""
        self.ended |= self._since is not None and time.process_time() - self._since > self.seconds
        return not self.ended


class _Plain:
    """The plain variants of a reference; most of them are ruled out before they are made."""

    def __init__(self, alike: list[Alike]) -> None:
        self.alike = alike
        self._made: list[Variant] = []
        self._rest = itertools.chain.from_iterable(each.variants for each in alike)

    def first(self, most: int | None) -> list[Variant]:
        """The first variants, one after the other; all of them for None."""
        missing = None if most is None else max(0, most - len(self._made))
        self._made += itertools.islice(self._rest, missing)
        return self._made[:most]


@dataclass(frozen=True, slots=True, eq=False)
class Search:
    """What one recognition shares: the reference that is asked for, what was computed, and what was found."""

    asked: Asked | None
    patience: Patience = field(default_factory=Patience)
    scales: Scales = field(default_factory=Scales)
    tried: dict[tuple[int, str], Tried] = field(default_factory=dict)
    _plain: dict[tuple[int, int, str], tuple[Door, ReferenceSpec, _Plain]] = field(default_factory=dict)
    _made: dict[tuple[Any, ...], tuple[list[dict[str, Any]], ReferenceSpec, _Plain]] = field(
        default_factory=dict
    )
    _assignments: dict[tuple[Any, ...], tuple[Evidence, tuple[Parameter, ...], list[dict[str, Any]]]] = field(
        default_factory=dict
    )

    @property
    def wanted(self) -> tuple[str, ...]:
        """The spaces of the reference that is asked for."""
        return () if self.asked is None else self.asked.spec.spaces

    def plain(
        self,
        door: Door,
        spec: ReferenceSpec,
        reach: parameters.Guess = "numbers",
        most: int | None = None,
    ) -> list[Variant]:
        """The right variants of a reference that are worth trying behind a door, made once for all ways to try them."""
        return self._variants(door, spec, reach).first(most)

    def alike(self, door: Door, spec: ReferenceSpec, reach: parameters.Guess = "numbers") -> list[Alike]:
        """The same, those that differ in their reduction alone together."""
        return self._variants(door, spec, reach).alike

    def _variants(self, door: Door, spec: ReferenceSpec, reach: parameters.Guess) -> _Plain:
        key = (id(door), id(spec), reach)
        known = self._plain.get(key)
        if known is None:  # what is held by its identity stands beside it
            known = self._plain[key] = (door, spec, self._made_once(door, spec, reach))
        return known[2]

    def _made_once(self, door: Door, spec: ReferenceSpec, reach: parameters.Guess) -> _Plain:
        """The variants, the very same for all doors that call for the same assignments and reductions."""
        assignments, reductions = self.assignments(door, spec, reach), _reductions(door, spec, self)
        key = (id(assignments), id(spec), reductions)
        known = self._made.get(key)
        if known is None:
            plain = _Plain(list(_alike(spec, assignments, reductions, self)))
            known = self._made[key] = (assignments, spec, plain)
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
            and all(
                self.scales.has_slope(variant, case, seen.gradient)
                for case, seen in told.slopes(variant.params)
            )
        )


@dataclass(frozen=True, slots=True, eq=False)
class Tried:
    """The parameters that were tried of one reference behind one door, and the matches among them."""

    keys: set[tuple[Any, ...]] = field(default_factory=set)
    matches: list[Match] = field(default_factory=list)


def near_variants(door: Door, spec: ReferenceSpec, search: Search) -> list[Variant]:
    """The variants of a reference that are nearest to what the target declares."""
    return search.plain(door, spec, "declared", MOST_NEAREST)


def _reductions(door: Door, spec: ReferenceSpec, search: Search) -> tuple[str, ...]:
    """The reductions to try: only the one that was named with the reference, or that is declared, if there is one."""
    if search.asked is not None and search.asked.reduction is not None:
        return (search.asked.reduction,)
    declared = parameters.declared_reduction(door.evidence)
    if declared is not None and declared in spec.reductions:
        return (declared,)
    return tuple(reduction for reduction in spec.reductions if reduction not in spec.only_declared)


def plain_variants(
    door: Door, spec: ReferenceSpec, search: Search, *, reach: parameters.Guess = "numbers"
) -> Iterator[Variant]:
    """A reference with each assignment of its parameters and each reduction, without conventions and mistakes."""
    assignments = search.assignments(door, spec, reach)
    alike = _alike(spec, assignments, _reductions(door, spec, search), search)
    return itertools.chain.from_iterable(each.variants for each in alike)


def _alike(
    spec: ReferenceSpec, assignments: list[dict[str, Any]], reductions: tuple[str, ...], search: Search
) -> Iterator[Alike]:
    """The same, those of one assignment together."""
    unweighted = tuple(reduction for reduction in reductions if reduction != "batchmean")
    for assignment in assignments:
        if search.asked is None and not spec.is_itself(assignment):
            continue
        used = unweighted if _weighted_classes(spec, assignment) else reductions
        if used:
            yield Alike(Variant(spec, assignment, used[0]), used)


def _weighted_classes(spec: ReferenceSpec, assignment: dict[str, Any]) -> bool:
    """Whether class weights are in use: the mean over them is a weighted one, so dividing by N is no reduction."""
    return any(p.kind == "per-class" and assignment[p.name] is not None for p in spec.parameters)


def declared_variant(door: Door, spec: ReferenceSpec, search: Search) -> Variant:
    """The reference with the parameters that the target declares, else with neutral ones."""
    return next(plain_variants(door, spec, search))
