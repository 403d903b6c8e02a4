"""What a door answers beyond its first probes, and which variants explain that: the evidence that recognition weighs.

A float32 answer cannot tell a loss from another one that differs by a millionth: Dice plus cross-entropy from a symmetric
cross-entropy with an extreme parameter, an epsilon from none. So the same probes are asked in float64, where the tolerance
is 3e-8 of the value instead of 1e-6, and inputs are asked that tell families apart: saturated ones, ties, zeros. What a
variant says is the same in float64 whatever the dtype of the probe; it is computed once and compared with both answers.
"""

from __future__ import annotations

import contextlib
import itertools
import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from lossaudit.fuzz import inputs, relations, variants
from lossaudit.fuzz.model import Structure, Totals

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from lossaudit.fuzz.doors import Door, Response
    from lossaudit.fuzz.model import Case, Mistake, Numbers, Observation, Params, Terms
    from lossaudit.fuzz.variants import Variant

    Draft = tuple[Variant, Params]
    """A variant to be made: of which other one, and with which parameters."""

WIDE = frozenset({"float64", "float"})
"""What the results of a target that computes in float64 are called; a NumPy loss may return Python's own number."""
SAME = 1e-12
GLANCE = 1e-3
"""How far two numbers may be apart, by their size, that are alike at a glance."""
ONE_NUMBER = frozenset({"mean", "sum", "batchmean"})
"""Reductions that leave one number."""
LEAST_TOGETHER = 3
"""So few are evaluated as fast one by one."""
MOST_SCALES = 4
GRADIENTS = 8
"""Gradients that are compared among variants of one value."""


class Told:
    """The further answers of one door, asked for when they are first needed."""

    def __init__(self, door: Door) -> None:
        self.door = door
        self._extreme: list[Response] | None = None
        self._slopes: list[Response] | None = None

    @property
    def wide(self) -> list[Response] | None:
        """The answers in float64 that a variant must give; None where the target gives none, or has other parameters there."""
        return None if self.door.evidence.limits.asked else self.in_float64

    @cached_property
    def in_float64(self) -> list[Response] | None:
        """The answers to the first probes in float64; None where the target does not compute in it."""
        answers = [self._ask(replace(case, dtype="float64")) for case, _ in self.door.comparable]
        return None if any(seen.value is None or seen.dtype not in WIDE for _, seen in answers) else answers

    @property
    def answers(self) -> list[Response]:
        """The answers to the first probes in the widest dtype that the target computes in."""
        return self.door.comparable if self.wide is None else self.wide

    @cached_property
    def computes_in_float32(self) -> bool:
        """Whether it computes in float32 what it is given in float64: the answers to the same numbers are the same.

        Squares of short numbers are exact in both; so they must also be the same whether or not the numbers have the digits that
        float32 has no room for.
        """
        if self.in_float64 is None:
            return False
        pairs = list(zip(self.door.comparable, self.in_float64, strict=True))
        return all(_is_same(*pair) for pair in pairs) and all(map(self._drops_digits, self.in_float64))

    def _drops_digits(self, answer: Response) -> bool:
        """Whether a third and its next number in float32 have one answer; or neither has any."""
        case, _ = answer
        thirds = case.prediction / 3
        long, short = (
            self._ask(replace(case, prediction=numbers)) for numbers in (thirds, thirds.float().double())
        )
        return long[1].value is None or _is_same(long, short)

    def extreme(self, params: Params) -> list[Response]:
        """The answers to each magnitude and hard target profile, in the widest dtype that the target computes in.

        They are drawn once, for the first parameters that are asked with: embeddings lie near to, or opposite to, the rows
        of the matrix that the target holds.
        """
        if self._extreme is None:
            self._extreme = [
                self._ask(inputs.fill(self.door.space, drawn, params)) for drawn in self._extremes()
            ]
        return self._extreme

    def slopes(self, params: Params) -> list[Response]:
        """Some of the extreme cases again, with the gradient; none where the target gives none, as a NumPy loss."""
        if self._slopes is None:
            cases = self.extreme(params)[:GRADIENTS] if self.door.first[1].differentiable else []
            self._slopes = [self._ask(case, gradient=True) for case, _ in cases]
        return self._slopes

    def _extremes(self) -> Iterator[Structure]:
        space = self.door.space
        hard = [name for name in space.target_profiles if name != "soft" and "ignored" not in name]
        for number, (magnitude, targets) in enumerate(itertools.product(space.magnitudes, hard)):
            for scale in space.scales[: MOST_SCALES if magnitude in inputs.EXTREME else 1]:
                yield self._structure(magnitude=magnitude, targets=targets, scale=scale, seed=number)

    @cached_property
    def near_zero(self) -> list[Response]:
        """The answers to the first probes drawn near to zero, where no clamp and no saturation bites."""
        dtype = "float32" if self.wide is None else "float64"
        return [
            self._ask(replace(case, prediction=case.prediction / 16, dtype=dtype))
            for case, _ in self.door.comparable
        ]

    @cached_property
    def soft(self) -> Response | None:
        """The answer to soft targets, where the space has them besides hard ones."""
        if "soft" not in self.door.space.target_profiles[1:]:
            return None
        return self._ask(inputs.probe(self.door.space, self._structure(targets="soft", seed=1)))

    def _structure(self, **chosen: Any) -> Structure:
        dtype = "float32" if self.wide is None else "float64"
        return Structure(classes=self.door.classes[0], features=self.door.features[0], dtype=dtype, **chosen)

    def _ask(self, case: Case, *, gradient: bool = False) -> Response:
        return case, self.door.subject.observe(case, gradient=gradient, stage="probe")


def _is_same(one: Response, other: Response) -> bool:
    first, second = one[1].value, other[1].value
    return (
        first is not None
        and second is not None
        and first.shape == second.shape
        and torch.allclose(first, second, rtol=SAME, atol=0.0, equal_nan=True)
    )


class Scales:
    """Weighs variants against answers; whatever a variant says of a case is computed once.

    Several doors are asked the same cases, reductions share their losses, and float32 and float64 their truth.
    """

    def __init__(self) -> None:
        self._terms: dict[tuple[Any, ...], _Losses] = {}
        self._values: dict[tuple[Any, ...], Tensor | None] = {}
        self._totals_of: dict[
            tuple[Any, ...], tuple[Sequence[Draft], tuple[Mistake, ...], Case, Totals | None]
        ] = {}
        self._numbers: dict[int, tuple[Tensor, list[float]]] = {}
        self._told: dict[int, Told] = {}
        self._keys: dict[int, tuple[Params, tuple[Any, ...]]] = {}

    def key_of(self, params: Params) -> tuple[Any, ...]:
        """Parameters as something that can be a key; equal ones have equal keys."""
        known = self._keys.get(id(params))  # reductions and mistakes share the parameters of one assignment
        if known is None:
            values = [
                (*value.shape, *value.flatten().tolist()) if isinstance(value, torch.Tensor) else value
                for value in params.values()
            ]
            known = self._keys[id(params)] = (params, tuple(values))
        return known[1]

    def told(self, door: Door) -> Told:
        """The further answers of a door."""
        found = self._told.get(id(door))
        if found is None:
            found = self._told[id(door)] = Told(door)
        return found

    def explains(self, variant: Variant, door: Door) -> bool:
        """Whether a variant gives every answer to the first probes; a rough look at the first saves most of the work."""
        return any(self.explaining((variant,), door))

    def explaining(self, candidates: Iterable[Variant], door: Door) -> Iterator[Variant]:
        """Those of many variants that give every answer to the first probes.

        Those that differ in their reduction alone come one after the other, and are looked at together: they share the losses.
        """
        return self._explaining(_by_losses(candidates), door)

    def explaining_plain(self, candidates: list[Alike], door: Door) -> Iterator[Variant]:
        """The same of the variants of one formula without changes."""
        return self._explaining(self._left_of(candidates, door), door)

    def _explaining(self, candidates: Iterable[list[Variant]], door: Door) -> Iterator[Variant]:
        case, seen = door.first
        for alike in candidates:
            for variant in self._look_alike(alike, case, seen):
                if self.reproduces_all(variant, door.comparable):
                    yield variant

    def resembling(self, candidates: list[Alike], door: Door) -> list[Variant]:
        """Those of many variants of one formula that are within a thousandth of the answer to the first probe."""
        case, seen = door.first
        left = self._left_of(candidates, door)
        return [each for alike in left for each in self._look_alike(alike, case, seen)]

    def _left_of(self, candidates: list[Alike], door: Door) -> Iterator[list[Variant]]:
        """The variants of one formula without those that are other ones at a glance."""
        possible = self._possible([(alike.first, alike.first.params) for alike in candidates], (), door)
        if possible is None:
            yield from (alike.variants for alike in candidates)
            return
        for number in possible.any:
            left = [each for each in candidates[number].variants if possible.holds(number, each.reduction)]
            if left:
                yield left

    def left(self, drafts: list[Draft], mistakes: tuple[Mistake, ...], door: Door) -> list[Draft]:
        """The drafts of one formula with mistakes without those that are other ones at a glance."""
        distinct = list({id(draft[1]): draft for draft in drafts}.values())  # reductions share the parameters
        places = {id(params): number for number, (_, params) in enumerate(distinct)}
        possible = self._possible(distinct, mistakes, door)
        if possible is None:
            return drafts
        return [draft for draft in drafts if possible.holds(places[id(draft[1])], draft[0].reduction)]

    def _possible(
        self, drafts: Sequence[Draft], mistakes: tuple[Mistake, ...], door: Door
    ) -> _Possible | None:
        """Which of many drafts of one formula may be what was observed, by the numbers of all of them, computed in one go.

        None where there are no such numbers. What is ruled out is off by more than what is like at a glance.
        """
        case, seen = door.first
        if len(drafts) < LEAST_TOGETHER or seen.value is None:
            return None
        base = drafts[0][0]
        if base.conventions or base.spec.reducers or not base.settles(case):
            return None
        count, reduced = seen.value.numel(), any(mistake.reduce is not None for mistake in mistakes)
        if count != 1 and reduced:
            return None
        with np.errstate(all="ignore"):
            totals = self._totals(drafts, mistakes, case)
            if totals is None:
                return None
            if count != 1:
                return _of_several(totals, self._plain(seen.value))
            actual = seen.value.item()
            if reduced:
                return _Possible({}, _may_be(actual, totals.sums))
            named = {name: _may_be(actual, totals.reduced(name)) for name in ONE_NUMBER}
            return _Possible(named, _may_be(actual, totals.sums) & (totals.counts == 1))

    def _totals(self, drafts: Sequence[Draft], mistakes: tuple[Mistake, ...], case: Case) -> Totals | None:
        """What the losses of drafts come to; None where each must be evaluated. Each mistake of the bank begins with the same ones."""
        spec = drafts[0][0].spec
        given = (id(case.prediction), id(case.target), spec.name, id(spec.formula))
        key = (given, tuple(map(id, mistakes)), tuple(id(params) for _, params in drafts))
        known = self._totals_of.get(key)
        if known is None:  # what is held by its identity stands beside it
            summed = self._summed(drafts, mistakes, case)
            known = self._totals_of[key] = (drafts, mistakes, case, summed)
        return known[-1]

    def _summed(self, drafts: Sequence[Draft], mistakes: tuple[Mistake, ...], case: Case) -> Totals | None:
        assignments = [params for _, params in drafts]
        if mistakes and mistakes[-1].glance is not None:
            before = drafts
            if len(mistakes) == 1:
                before = [(base, base.params) for base, _ in drafts]
            elif mistakes[-1].parameters:
                return None
            totals = self._totals(before, mistakes[:-1], case) or self._known_totals(
                before, mistakes[:-1], case
            )
            return None if totals is None else mistakes[-1].glance(totals, case.prediction, assignments)
        if any(mistake.rounded is not None or mistake.reduce is not None for mistake in mistakes):
            return None
        formula = drafts[0][0].with_mistakes(mistakes, assignments[0]).formula
        return variants.totals(formula, case, assignments)

    def _known_totals(
        self, drafts: Sequence[Draft], mistakes: tuple[Mistake, ...], case: Case
    ) -> Totals | None:
        """The same of losses that were, or will be, evaluated for themselves."""
        if any(mistake.rounded is not None or mistake.reduce is not None for mistake in mistakes):
            return None
        made = (base.with_mistakes(mistakes, params) for base, params in drafts)
        rows = [self._known(each, case, self._key(each, case)).totals for each in made]
        return Totals(*np.array(rows).T)

    def confirms(self, variant: Variant, door: Door) -> bool:
        """Whether a variant that gives the answers in float32 also gives those in float64, if there are any."""
        wide = self.told(door).wide
        return wide is None or self.reproduces_all(variant, wide)

    def gives(self, variant: Variant, case: Case, seen: Observation) -> bool:
        """Whether a variant gives one answer, with a rough look first."""
        return (
            seen.value is not None
            and bool(self._look_alike([variant], case, seen))
            and self.reproduces(variant, case, seen)
        )

    def reproduces_all(self, variant: Variant, answers: Sequence[Response]) -> bool:
        """Whether a variant gives all of these answers."""
        return all(self.reproduces(variant, case, seen) for case, seen in answers)

    def hits(self, variant: Variant, answers: Sequence[Response]) -> int:
        """How many of these answers a variant gives."""
        return sum(self.reproduces(variant, case, seen) for case, seen in answers)

    def reproduces(self, variant: Variant, case: Case, seen: Observation) -> bool:
        """As :func:`variants.reproduces`, which is only asked where the truth alone does not settle it."""
        if seen.value is None:
            return False
        if not variant.settles(case):
            return True
        if not variant.rounded:
            truth = self._value(variant, case)
            if truth is None:
                return False
            if variants.equals_plainly(seen.value, truth, case.dtype):
                return True
        return variants.reproduces(variant, case, seen)

    def difference(self, variant: Variant, case: Case, seen: Observation) -> float | None:
        """How much more a target gives than a variant, the losses added up; None where one of them gives nothing."""
        due = self._value(variant, case)
        return None if due is None or seen.value is None else float(seen.value.sum() - due.sum())

    def parts_from(self, variant: Variant, case: Case, seen: Observation) -> bool:
        """Whether an answer and what a variant says are both numbers, and not the same ones."""
        due = self._value(variant, case)
        if due is None or seen.value is None or not variant.settles(case):
            return False
        finite = bool(torch.isfinite(due).all()) and bool(torch.isfinite(seen.value).all())
        return finite and not self.reproduces(variant, case, seen)

    def may_relate(self, variant: Variant, door: Door) -> bool:
        """Whether the truth alone does not rule out that some relation leads from a variant to the answers."""
        pairs = [(case, seen, self._value(variant, case)) for case, seen in self.told(door).answers]
        return relations.may_fit([(case, seen, value) for case, seen, value in pairs if value is not None])

    def relatable(self, candidates: list[Variant], door: Door) -> Iterator[Variant]:
        """Those of many variants of one reference of which :meth:`may_relate` holds."""
        answers = self.told(door).answers
        together = _numbers_together(candidates, answers)
        actual = np.array([seen.value.item() for _, seen in answers if seen.value is not None and together])
        size = tuple(relations.sizes(case.prediction.shape) for case, _ in answers)
        for number, variant in enumerate(candidates):
            due = together[number] if together else None
            if due is None or not np.isfinite(due).all():
                if self.may_relate(variant, door):
                    yield variant
            elif relations.may_fit_numbers(actual, due, size):
                yield variant

    def has_slope(self, variant: Variant, case: Case, seen: Tensor | None) -> bool:
        """Whether a gradient is that of a variant: it tells apart those of one value."""
        try:
            due = None if seen is None else variants.slope(variant, case)
        except variants.UNDEFINED:
            return False
        return due is not None and seen is not None and torch.allclose(seen, due, rtol=1e-3, atol=1e-4)

    def _look_alike(self, alike: list[Variant], case: Case, seen: Observation) -> list[Variant]:
        """Those of some variants, which share their losses, whose value is the observed one at a glance."""
        assert seen.value is not None  # noqa: S101 (for the type checker; comparable answers hold a value)
        first = alike[0]
        if not first.settles(case):
            return alike
        actual = self._plain(seen.value)
        if len(actual) > 1 and first.keeps_reduction:
            alike = [
                each
                for each in alike
                if each.reduction not in ONE_NUMBER or each.reduction in first.spec.reducers
            ]
        if len(actual) > 1 or not first.keeps_reduction:
            return [variant for variant in alike if self._looks_like(variant, case, seen.value, actual)]
        losses = self._known(first, case, self._key(first, case))
        if losses.terms is None:
            return []
        own = first.spec.reducers
        return [
            variant
            for variant in alike
            if (
                self._looks_like(variant, case, seen.value, actual)
                if variant.reduction in own
                else losses.is_near(actual[0], variant.reduction)
            )
        ]

    def _looks_like(self, variant: Variant, case: Case, seen: Tensor, actual: list[float]) -> bool:
        value = self._value(variant, case)
        if value is None:
            return False
        due = self._plain(value)
        return (
            len(actual) == len(due) and all(map(near, actual, due)) and variants.like(seen, value) is not None
        )

    def _plain(self, value: Tensor) -> list[float]:
        """The numbers of a value that is compared again and again: an answer, or what a variant says of its case."""
        known = self._numbers.get(id(value))
        if known is None:
            known = self._numbers[id(value)] = (value, value.flatten().tolist())
        return known[1]

    def _value(self, variant: Variant, case: Case) -> Tensor | None:
        """What a variant says of a case in float64, or at its dtype if rounding is its mistake; None where it is undefined."""
        losses = self._key(variant, case)
        reducers = [id(change) for change in variant.changes if change.reduce is not None]
        key = (losses, variant.reduction, *reducers)
        if key not in self._values:
            self._values[key] = self._computed(variant, case, losses)
        return self._values[key]

    def _computed(self, variant: Variant, case: Case, key: tuple[Any, ...]) -> Tensor | None:
        known = self._known(variant, case, key)
        try:
            return None if known.terms is None else variant.reduce(known.terms, case.prediction)
        except variants.UNDEFINED:
            return None  # a mistake that cannot be made at this shape

    def _known(self, variant: Variant, case: Case, key: tuple[Any, ...]) -> _Losses:
        known = self._terms.get(key)
        if known is None:
            known = self._terms[key] = _Losses(variant, case)
        return known

    def _key(self, variant: Variant, case: Case) -> tuple[Any, ...]:
        """All that the losses before reduction depend on."""
        spec = variant.spec
        given = (id(case.prediction), id(case.target), spec.name, id(spec.formula))
        changes = variant.changes
        if not changes:
            return (*given, self.key_of(variant.params))
        dtype = case.dtype if variant.rounded else ""
        formulas = [id(change) for change in changes if change.reduce is None]
        return (*given, self.key_of(variant.params), dtype, *formulas)


def _numbers_together(candidates: Sequence[Variant], answers: Sequence[Response]) -> list[Numbers]:
    """What many variants of one reference, without changes, say of each case; nothing where each must be evaluated."""
    spec = candidates[0].spec if candidates else None
    if spec is None or spec.reducers:
        return []
    distinct = {id(variant.params): variant.params for variant in candidates}
    places = {known: number for number, known in enumerate(distinct)}
    found = []
    for case, seen in answers:
        settled = spec.settled(case.prediction, case.target)
        is_number = seen.value is not None and seen.value.numel() == 1
        totals = (
            variants.totals(spec.formula, case, list(distinct.values())) if settled and is_number else None
        )
        if totals is None:
            return []
        with np.errstate(all="ignore"):
            found.append({variant.reduction: totals.reduced(variant.reduction) for variant in candidates})
    return [
        np.array([numbers[variant.reduction][places[id(variant.params)]] for numbers in found])
        for variant in candidates
    ]


@dataclass(frozen=True, slots=True, eq=False)
class Alike:
    """Variants that differ in their reduction alone; made of the first of them when they are asked for."""

    first: Variant
    reductions: tuple[str, ...]

    @property
    def variants(self) -> list[Variant]:
        """The variants."""
        first = self.first
        others = (variants.Variant(first.spec, first.params, name) for name in self.reductions[1:])
        return [first, *others]


@dataclass(frozen=True, slots=True)
class _Possible:
    """By reduction, under which parameters a loss may be an observed number at a glance; ``otherwise`` for the others."""

    named: dict[str, NDArray[np.bool_]]
    otherwise: NDArray[np.bool_]

    @property
    def any(self) -> list[int]:
        """Under which parameters it may be with some reduction."""
        found: list[int] = np.flatnonzero(
            np.logical_or.reduce([*self.named.values(), self.otherwise])
        ).tolist()
        return found

    def holds(self, number: int, reduction: str) -> bool:
        """Whether it may be under these parameters and with this reduction."""
        return bool(self.named.get(reduction, self.otherwise)[number])


def _of_several(totals: Totals, actual: Sequence[float]) -> _Possible:
    """What losses may be the observed ones: as many as these, and with a sum that is no further off than each may be."""
    none = np.zeros(len(totals.sums), dtype=bool)
    room = len(actual) + sum(map(abs, actual))
    off = np.abs(sum(actual) - totals.sums) > 2 * GLANCE * room
    may_be = ~(np.isfinite(totals.sums) & off) & ~(
        np.isfinite(totals.counts) & (totals.counts != len(actual))
    )
    return _Possible(dict.fromkeys(ONE_NUMBER, none), may_be)


def _may_be(actual: float, due: Numbers) -> NDArray[np.bool_]:
    """Which numbers may be the actual one at a glance, with as much room again for another order of the sums."""
    off = np.abs(actual - due) > 2 * GLANCE * (1 + np.abs(due))
    return ~(np.isfinite(due) & off)


def _by_losses(candidates: Iterable[Variant]) -> Iterator[list[Variant]]:
    """Variants that come one after the other and differ in their reduction alone, together."""
    alike: list[Variant] = []
    for variant in candidates:
        if alike and not _shares_losses(variant, alike[0]):
            yield alike
            alike = []
        alike.append(variant)
    if alike:
        yield alike


def _shares_losses(one: Variant, other: Variant) -> bool:
    return (
        one.params is other.params
        and one.mistakes is other.mistakes
        and one.spec is other.spec
        and one.conventions is other.conventions
    )


class _Losses:
    """The losses of one variant and one case before reduction, in float64, or at the dtype of the case if rounding is its mistake.

    The variant and the case stand beside them, so that the identities in the key stay theirs. ``terms`` is None where the
    formula is undefined.
    """

    __slots__ = ("_sums", "case", "terms", "variant")

    def __init__(self, variant: Variant, case: Case) -> None:
        self.variant, self.case = variant, case
        self.terms: Terms | None = None
        self._sums: tuple[float, float] | None = None
        with contextlib.suppress(*variants.UNDEFINED), torch.no_grad():
            self.terms = variant.terms(*variants.at_dtype(case, case.dtype if variant.rounded else "float64"))

    @property
    def totals(self) -> tuple[float, float, float, float]:
        """The numbers of :class:`Totals`; no numbers where the formula is undefined."""
        if self.terms is None:
            return (math.nan,) * 4
        losses, shares = self.terms.losses, self.terms.shares
        if self._sums is None:
            self._sums = losses.sum().item(), shares.sum().item()
        return (*self._sums, losses.numel(), losses.shape[0] if losses.ndim else 1)

    def is_near(self, actual: float, reduction: str) -> bool:
        """Whether the loss by one of the plain reductions is a number, and looks like this one."""
        number = self.reduced(reduction)
        return number is not None and near(actual, number)

    def reduced(self, reduction: str) -> float | None:
        """The loss by one of the plain reductions; None where that is no number."""
        assert self.terms is not None  # noqa: S101 (for the type checker)
        losses = self.terms.losses
        if reduction not in ONE_NUMBER:
            return losses.item() if losses.numel() == 1 else None
        total, counted = self.totals[:2]
        if reduction == "mean":
            return total / counted if counted else math.nan
        return total / losses.shape[0] if reduction == "batchmean" and losses.ndim else total


def near(actual: float, due: float) -> bool:
    """Whether two numbers are alike at a glance: within a part in a thousand, or both not finite."""
    if not math.isfinite(due):
        return not math.isfinite(actual)
    return abs(actual - due) <= GLANCE * (1 + abs(due))
