"""One case, what the target did with it, what it should have done; and what judges that."""

from __future__ import annotations

import itertools
import math
import sys
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch

from lossaudit.fuzz import batch, joined, tangents, variants
from lossaudit.fuzz.left_out import left_out
from lossaudit.fuzz.limits import Limits
from lossaudit.fuzz.spaces import all_spaces

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from lossaudit.fuzz.inputs import Reach
    from lossaudit.fuzz.model import Case, Expected, Failure, Observation
    from lossaudit.fuzz.subject import Subject
    from lossaudit.fuzz.variants import Variant

HAIR = 1e-7
"""A step that no smooth gradient notices."""
JUMP = 0.01
FEW_NUMBERS = 32
"""So many are compared faster as Python's own numbers than by NumPy, and by NumPy faster than by torch."""
FINITE = sys.float_info.max
LEAVES_OUT = "it leaves out elements"


@dataclass(slots=True, eq=False)
class Session:
    """The state of one run.

    Args:
        subjects: The target under each space that it accepts.
        variant: What it is judged against; None when no family was recognised.
        reach: The inputs that it is known to take, by space.
        declared_reduction: The reduction that the target names, if it names one.
        assumptions: Sentences for the report.
        calls: How many times the target was evaluated.
        nearest: Whether the variant is only the nearest known loss, which it agrees with here and there.
        guard: A number of the target's own that only keeps something finite: no value is wrong by no more than twice that.
        transforms: What of ``compile``, ``vmap`` and ``grad`` it must go through.
        answers: What the reference says of cases that were evaluated together, by the identity of the case.
        proven: Which kinds of case may be evaluated together (:func:`batch.expected_all`).
        diverges: Whether a value has differed: then most do, and the slope of the reference is asked for apart, if at all.
        joins: By space, whether fillings of one structure may be run in one call; asked when that is first wanted.
        limits: The limits of its dtype that the target asks for, and which parameters of the variant they are.
    """

    subjects: dict[str, Subject]
    variant: Variant | None
    reach: dict[str, Reach]
    declared_reduction: str | None = None
    assumptions: list[str] = field(default_factory=list)
    calls: int = 0
    nearest: bool = False
    guard: float = 0.0
    transforms: frozenset[str] = frozenset()
    answers: dict[int, batch.Answer] = field(default_factory=dict)
    proven: dict[tuple[str, int, str], bool] = field(default_factory=dict)
    diverges: bool = False
    joins: dict[str, bool] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)

    def assume(self, sentence: str) -> None:
        """Tell something in the report, once."""
        if sentence not in self.assumptions:
            self.assumptions.append(sentence)

    def foresee(self, cases: Sequence[Case]) -> None:
        """Ask the reference about all these cases at once."""
        if self.variant is not None and not self.limits.params:
            answers = batch.expected_all(self.variant, cases, self.proven)
            self.answers.update({id(answer.case): answer for answer in answers})

    def foreseen(self, case: Case, variant: Variant | None) -> batch.Answer | None:
        """What the reference said of this very case; None where it was not asked, or another variant is meant."""
        return self.answers.get(id(case)) if variant is self.variant else None

    @property
    def subject(self) -> Subject:
        """The target under its usual space."""
        return next(iter(self.subjects.values()))

    def trials(self, cases: Sequence[Case], go_on: Callable[[], bool]) -> list[Trial]:
        """Run cases of one space, as many as ``go_on`` allows.

        Of those that differ by their numbers only, the first is run by itself, and where it is right the others together; where
        one of these is not right at once, it is run by itself as well.
        """
        space = cases[0].space
        subject = self.subjects[space]
        runs = joined.alike(cases) if self._may_join(space) else []
        later = {place for run in runs for place in run[1:]}
        found = self._one_by_one(subject, cases, [n for n in range(len(cases)) if n not in later], go_on)
        for run in runs:
            if run[0] in found and found[run[0]].agrees_everywhere and self._may_join(space) and go_on():
                found |= self._joined(subject, cases, run[1:])
        found |= self._one_by_one(subject, cases, [n for n in sorted(later) if n not in found], go_on)
        return [found[place] for place in itertools.takewhile(found.__contains__, range(len(cases)))]

    def _may_join(self, space: str) -> bool:
        if space not in self.joins:
            self.joins[space] = self.variant is not None and joined.may_join(self.subjects[space])
        return self.joins[space]

    def _one_by_one(
        self, subject: Subject, cases: Sequence[Case], places: Sequence[int], go_on: Callable[[], bool]
    ) -> dict[int, Trial]:
        """The trials of the cases at these places."""
        if not places:
            return {}
        seen = subject.observe_all([cases[place] for place in places], go_on)
        self.calls += len(seen)
        pairs = zip(places, seen, strict=False)
        return {place: Trial(self, subject, cases[place], one, self.variant) for place, one in pairs}

    def _joined(self, subject: Subject, cases: Sequence[Case], places: Sequence[int]) -> dict[int, Trial]:
        """The trials among these that are right, run in one call; most are, or it is not done again."""
        seen = joined.observe_joined(subject, [cases[place] for place in places])
        pairs = zip(places, seen or (), strict=False)
        trials = {
            place: Trial(self, subject, cases[place], one, self.variant, joined=True) for place, one in pairs
        }
        right = {place: trial for place, trial in trials.items() if trial.agrees_everywhere}
        self.calls += len(right)
        self.joins[cases[0].space] = 2 * len(right) > len(places)
        return right

    def trial(self, case: Case, subject: Subject | None = None, variant: Variant | None = None) -> Trial:
        """Run one case."""
        used = subject or self.subjects[case.space]
        self.calls += 1
        return Trial(self, used, case, used.observe(case), variant or self.variant)


@dataclass(frozen=True, eq=False)
class Trial:
    """One case and everything known about it; the reference is evaluated when it is first asked for.

    ``joined``: it was run in one call with others, and is right.
    """

    session: Session
    subject: Subject
    case: Case
    observed: Observation
    variant: Variant | None
    joined: bool = False

    @cached_property
    def expected(self) -> Expected | None:
        """What the reference says, its slope included; None with no reference, and where it has no one answer."""
        return self._expected(gradient=True)

    @cached_property
    def due(self) -> Expected | None:
        """What the reference says of the value; its slope may be left out, which costs twice as much."""
        return self._expected(gradient=False) if self.session.diverges else self.expected

    def _expected(self, *, gradient: bool) -> Expected | None:
        if self.variant is None or not self.variant.settles(self.case):
            return None
        known = self.session.foreseen(self.case, self.variant)
        found = None if known is None else known.expected
        if found is None:
            try:
                found = variants.expected(self.variant, self.case, gradient=gradient)
            except variants.UNDEFINED:  # a reference of the user's own that is not defined there
                return None
        if not self._differs_plainly(found):
            return found
        otherwise = next(filter(self._is_within, self._by_limits(self.variant, gradient=gradient)), None)
        return otherwise or (None if self.leaves_out else found)

    def _by_limits(self, variant: Variant, *, gradient: bool) -> Iterator[Expected]:
        """What the reference says with the limits of the dtype that the target asks for."""
        limits = self.session.limits
        for reading in limits.readings(variant, self.case.dtype):
            yield variants.expected(reading, self.case, gradient=gradient)
        for bounded in limits.bounded(self.case):
            found = variants.expected(variant, bounded)
            yield replace(found, gradient=None)  # none is due beyond a bound

    def _is_within(self, due: Expected) -> bool:
        seen = self.observed.value
        return seen is not None and variants.agrees(seen, due.value, due.value_tolerance)

    def _differs_plainly(self, due: Expected) -> bool:
        seen = self.observed.value
        return seen is not None and not variants.equals_plainly(seen, due.value, self.case.dtype)

    @cached_property
    def leaves_out(self) -> bool:
        """Whether the target leaves out a part of the case, as what is missing, and is right about the rest."""
        if self.variant is None:
            return False
        numbers = left_out(self.subject, self.case, self.observed, self.variant)
        if numbers and not any(line.startswith(LEAVES_OUT) for line in self.session.assumptions):
            self.session.assume(
                f"{LEAVES_OUT} where the target is {min(numbers, key=abs):g}, say, as what is missing: that was not judged"
            )
        return bool(numbers)

    @cached_property
    def agrees_everywhere(self) -> bool:
        """Whether value and gradient are the reference's in every entry, all finite: a quick yes, or more must be asked."""
        known = self.session.foreseen(self.case, self.variant)
        if known is not None and known.agrees(self.observed):
            return True
        due, seen = self.due, self.observed
        if due is None or seen.value is None or seen.value.shape != due.value.shape:
            return False
        factor = variants.coarseness(self.case, seen)
        if not _within(seen.value, due.value, due.value_tolerance, factor):
            return False
        exact = self.expected
        if (
            exact is None
            or exact.gradient is None
            or exact.gradient_tolerance is None
            or seen.gradient is None
        ):
            return False
        return _within(seen.gradient, exact.gradient, exact.gradient_tolerance, factor)

    @cached_property
    def value_agrees(self) -> bool | None:
        """Whether the value is the reference's; None when it cannot be judged."""
        if self.agrees_everywhere:
            return True
        if self.due is None or self.observed.value is None:
            return None
        if not variants.informative(self.due.value):
            return None
        room = self.due.value_tolerance * variants.coarseness(self.case, self.observed) + self._guarded
        agrees = variants.agrees(self.observed.value, self.due.value, room)
        self.session.diverges = self.session.diverges or not agrees
        return agrees

    @property
    def _guarded(self) -> float:
        """By how much a guard may show: once for each number that is summed."""
        assert self.variant is not None  # noqa: S101 (for the type checker; asked where a reference was evaluated)
        summed = self.case.size if self.variant.reduction in {"sum", "batchmean"} else 1
        return 2 * self.session.guard * summed

    @cached_property
    def agrees_in_float64(self) -> bool:
        """Whether the value of the same numbers in float64 is the reference's. The truth is the same."""
        if self.variant is None or self.due is None:
            return False
        wide = replace(self.case, dtype="float64")
        self.session.calls += 1
        seen = self.subject.observe(wide, gradient=False)
        if seen.value is None or not variants.informative(self.due.value):
            return False
        if variants.equals_plainly(seen.value, self.due.value, wide.dtype):
            return True
        with torch.no_grad():
            readings = [self.variant, *self.session.limits.readings(self.variant, wide.dtype)]
            answers = [variants.expected(each, wide) for each in readings]
        coarseness = variants.coarseness(wide, seen)
        return any(
            variants.agrees(seen.value, each.value, each.value_tolerance * coarseness) for each in answers
        )

    @cached_property
    def gradient_agrees(self) -> bool | None:
        """Whether the gradient is the reference's along the domain; None when it cannot be judged, as on a kink."""
        same, exact, slope = self.gradient_is_same, self.expected, self.observed.gradient
        if same is not False or exact is None or slope is None:
            return same
        if exact.gradient is None or exact.gradient_tolerance is None:
            return same
        off = tangents.along(self.case, slope - exact.gradient)
        room = tangents.room_along(self.case, exact.gradient_tolerance)
        if off is None or room is None:
            return same
        return bool((off.abs() <= room * variants.coarseness(self.case, self.observed)).all())

    @cached_property
    def gradient_is_same(self) -> bool | None:
        """Whether the gradient is the reference's in every direction; None as above."""
        if self.agrees_everywhere:
            return True
        exact, slope = self.expected, self.observed.gradient
        if exact is None or slope is None or exact.gradient is None or exact.gradient_tolerance is None:
            return None
        if self.on_kink or not bool(torch.isfinite(exact.gradient).all()):
            return None
        room = exact.gradient_tolerance * variants.coarseness(self.case, self.observed)
        if bool(((slope - exact.gradient).abs() <= room).all()) or self._agrees_where_it_trains(room):
            return True
        return None if self.beside_kink else False

    def _agrees_where_it_trains(self, room: torch.Tensor) -> bool:
        """Whether the gradient is the reference's for the one argument that it reaches: the keys of a query are often held constant."""
        space, slope, exact = all_spaces()[self.case.space], self.observed.gradient, self.expected
        assert slope is not None and exact is not None and exact.gradient is not None  # noqa: PT018, S101 (asked where there are)
        parts = [space.cut(each, self.case.target) for each in (slope, exact.gradient, room)]
        learned = [
            each for each, trained in zip(zip(*parts, strict=True), space.learned, strict=True) if trained
        ]
        reached = [each for each in learned if bool(each[0].any())]
        if len(reached) != 1 or len(learned) == 1:
            return False
        ((seen, due, off),) = reached
        return bool(((seen - due).abs() <= off).all())

    @cached_property
    def beside_kink(self) -> bool:
        """Whether the reference's own gradient jumps here: it is another one a hair's breadth away."""
        assert self.variant is not None  # noqa: S101 (for the type checker; asked where a reference was evaluated)
        generator = torch.Generator().manual_seed(3)
        step = torch.randn(self.case.prediction.shape, generator=generator, dtype=torch.float64)
        sides = []
        for sign in (HAIR, -HAIR):
            moved = replace(self.case, prediction=self.case.prediction + sign * step, dtype="float64")
            slope = variants.expected(self.variant, moved, gradient=True).gradient
            if slope is None or not bool(torch.isfinite(slope).all()):
                return True
            sides.append(slope)
        jump, size = (sides[0] - sides[1]).abs(), torch.maximum(sides[0].abs(), sides[1].abs())
        return bool((jump > JUMP * (1e-3 + size)).any())

    @cached_property
    def on_kink(self) -> bool:
        """Whether a correct form of the loss may have another one-sided gradient here.

        At zeros, at ties, and where the prediction meets its target.
        """
        prediction, target = self.case.prediction, self.case.target
        if self.variant is not None and self.variant.spec.kinks and self.beside_kink:
            return True
        if bool((prediction == 0).any()):
            return True
        if target.shape == prediction.shape and bool((prediction == target).any()):
            return True
        if prediction.ndim < 2 or prediction.shape[1] < 2:
            return False
        ordered = prediction.sort(1).values
        return bool((ordered[:, 1:] == ordered[:, :-1]).any())

    def shown(self) -> dict[str, Any]:
        """Expected and actual value as plain numbers."""
        shown: dict[str, Any] = {}
        if self.due is not None:
            shown["expected"] = plain(self.due.value)
        if self.observed.value is not None:
            shown["actual"] = plain(self.observed.value)
        return shown


@dataclass(frozen=True, slots=True)
class Check:
    """What is judged, by code.

    Args:
        code: The finding's code.
        run: Judges one trial; None when it holds or does not apply.
        frequency: ``every`` trial, a ``few`` plain ones, ``once`` in a run, or only when values ``diverge``.
        needs_reference: False for checks that also run when no family was recognised.
        law: The law that the reference must have.
        only_disagreeing: True where it has nothing to say of a trial whose value and gradient are the reference's.
    """

    code: str
    run: Callable[[Trial], Failure | None]
    frequency: Literal["every", "few", "once", "diverging"] = "every"
    needs_reference: bool = True
    law: str | None = None
    only_disagreeing: bool = False


def _within(seen: torch.Tensor, exact: torch.Tensor, tolerance: torch.Tensor, factor: float) -> bool:
    # An infinite tolerance (the reference itself overflows there) is no yes to an infinite value.
    if seen.ndim == 0:
        return abs(seen.item() - exact.item()) <= min(tolerance.item() * factor, FINITE)
    if seen.numel() <= FEW_NUMBERS:
        numbers = (tensor.reshape(-1).tolist() for tensor in (seen, exact, tolerance))
        return all(abs(a - b) <= min(room * factor, FINITE) for a, b, room in zip(*numbers, strict=True))
    with np.errstate(all="ignore"):
        off = np.abs(seen.numpy() - exact.numpy())
        return bool((off <= np.minimum(tolerance.numpy() * factor, FINITE)).all())


def plain(tensor: torch.Tensor) -> Any:
    """A number or nested lists, to seven significant digits; what is not finite as a word, so that JSON stays valid."""

    def clean(value: Any) -> Any:
        if isinstance(value, list):
            return [clean(item) for item in value]
        if isinstance(value, float):
            if math.isnan(value):
                return "nan"
            if value in {float("inf"), float("-inf")}:
                return "inf" if value > 0 else "-inf"
            return float(f"{value:.7g}")
        return value

    return clean(tensor.tolist())
