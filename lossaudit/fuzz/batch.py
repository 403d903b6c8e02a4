"""What the reference says of many cases at once: one forward and one backward for all of them.

A formula that gives one loss for each sample does not care how many samples it is given, so the cases of a run are laid
end to end along the batch dimension, evaluated, and taken apart again before the reduction. On small tensors this costs a
tenth of evaluating them one by one. Only references whose law says that samples are independent (``additive``) are done so,
and only after a case has come out the same alone, for each dtype and number of dimensions; whatever cannot be batched is left to :mod:`variants`.
"""

from __future__ import annotations

import itertools
import math
import operator
import sys
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch

from lossaudit.fuzz import variants
from lossaudit.fuzz.model import Expected
from lossaudit.fuzz.subject import DTYPES
from lossaudit.fuzz.variants import MARGIN, UNIT, Variant

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from lossaudit.fuzz.model import Case, Observation

BATCHED_REDUCTIONS = frozenset({"mean", "sum", "none", "batchmean"})
SAME = 1e-9
"""Relative difference between a case alone and the same case among others: the order of a sum at most."""
SAME_ROOM = 0.5
"""The same of tolerances, which hold one sample of the reference's own rounding."""


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """What the reference says of one case, which stands beside it so that the identity of the case stays its own."""

    case: Case
    among: _Answers
    number: int

    @property
    def expected(self) -> Expected | None:
        """The answer as :func:`variants.expected` gives it; None where the formula cannot take the dtype of the case."""
        return self.among.expected(self.number, self.case.dtype)

    def agrees(self, seen: Observation) -> bool:
        """Whether value and gradient are those of the answer in every entry, all finite. A quick yes; a no proves nothing.

        The room is the least that there is: that of a formula which makes no error of its own at the dtype. Nearly all right
        answers lie within, so that the formula need not be evaluated at each dtype.
        """
        among, value, gradient = self.among, seen.value, seen.gradient
        if value is None or gradient is None or among.slope_bounds is None:
            return False
        if value.shape != among.shape_of(self.number):
            return False
        if seen.dtype != self.case.dtype and variants.coarseness(self.case, seen) != 1:
            return False
        return among.value_bounds.hold(self.number, value) and among.slope_bounds.hold(self.number, gradient)


def expected_all(
    variant: Variant, cases: Sequence[Case], proven: dict[tuple[str, int, str], bool]
) -> list[Answer]:
    """The reference's answers to the cases that can be evaluated together; the other cases are left out.

    Args:
        variant: What is evaluated.
        cases: Cases of one space; shapes and dtypes may differ.
        proven: For which kinds of case (space, number of dimensions, dtype) this variant gives to one alone what it gives to
            it among others; what is found is added.
    """
    if not _can_batch(variant):
        return []
    groups: dict[tuple[Any, ...], dict[str, list[Case]]] = {}
    for case in cases:
        if case.prediction.ndim and case.prediction.shape[0] and variant.settles(case):
            groups.setdefault(_key(case), {}).setdefault(case.dtype, []).append(case)
    found: list[Answer] = []
    for group in groups.values():
        wanted = {dtype: alike for dtype, alike in group.items() if proven.get(_kind(alike[0])) is not False}
        if sum(map(len, wanted.values())) > 1:
            for answers in _answers(variant, wanted):
                kind = _kind(answers[0].case)
                telling = _most_telling(answers) if kind not in proven else None
                if telling is not None:
                    proven[kind] = _same_alone(variant, telling)
                found += answers if proven.get(kind) else []
    return found


def _most_telling(answers: list[Answer]) -> Answer | None:
    """The answer with the largest loss; None where all are 0 or not finite: those are the same alone and among others always."""
    sizes = [0.0 if each.expected is None else _finite_size(each.expected.value) for each in answers]
    largest = max(sizes)
    return answers[sizes.index(largest)] if largest else None


def _finite_size(value: Tensor) -> float:
    return float(value.nan_to_num(0.0, 0.0, 0.0).abs().sum())


def _kind(case: Case) -> tuple[str, int, str]:
    return (case.space, case.prediction.ndim, case.dtype)


def _can_batch(variant: Variant) -> bool:
    changed = any(
        change.joint or change.reduce is not None or change.rounded is not None for change in variant.changes
    )
    return "additive" in variant.spec.laws and variant.reduction in BATCHED_REDUCTIONS and not changed


def _key(case: Case) -> tuple[Any, ...]:
    """What must be equal for two cases to be laid end to end."""
    return (case.prediction.shape[1:], case.target.shape[1:], case.target.dtype)


def _answers(variant: Variant, group: dict[str, list[Case]]) -> list[list[Answer]]:
    """The answers to one group, by dtype; nothing where the formula cannot take it."""
    try:
        return _evaluate(variant, group)
    except variants.UNDEFINED:
        return []


def _same_alone(variant: Variant, answer: Answer) -> bool:
    """Whether a case by itself has the answer that it has among others."""
    try:
        alone = variants.expected(variant, answer.case, gradient=True)
    except variants.UNDEFINED:
        return False
    return answer.expected is not None and _equal(alone, answer.expected)


def _equal(one: Expected, other: Expected) -> bool:
    return (
        _close(one.value, other.value, SAME)
        and _close(one.gradient, other.gradient, SAME)
        and _close(one.value_tolerance, other.value_tolerance, SAME_ROOM)
        and _close(one.gradient_tolerance, other.gradient_tolerance, SAME_ROOM)
    )


def _close(first: Tensor | None, second: Tensor | None, relative: float) -> bool:
    if first is None or second is None:
        return first is second
    return first.shape == second.shape and torch.allclose(
        first, second, rtol=relative, atol=1e-15, equal_nan=True
    )


class _Segments:
    """Where each case lies in the long batch, and the reduction over each."""

    def __init__(self, sizes: list[int], reduction: str) -> None:
        self.sizes = sizes
        self.owner = torch.repeat_interleave(torch.tensor(sizes))
        self.reduction = reduction

    def part(self, numbers: range) -> tuple[_Segments, slice]:
        """Some of the cases by themselves, and where their rows lie."""
        sizes = self.sizes[numbers.start : numbers.stop]
        first = sum(self.sizes[: numbers.start])
        return _Segments(sizes, self.reduction), slice(first, first + sum(sizes))

    def sums(self, values: Tensor) -> Tensor:
        """The sum over each case, shape [cases]."""
        # Half precision is added up in float32, as torch's own sums are.
        wide = values.float() if values.dtype in {torch.float16, torch.bfloat16} else values
        rows = wide.reshape(wide.shape[0], -1).sum(1)
        return torch.zeros(len(self.sizes), dtype=rows.dtype).index_add(0, self.owner, rows).to(values.dtype)

    def largest(self, values: Tensor) -> Tensor:
        """The greatest value of each case, shape [cases]; values are not negative."""
        rows = values.reshape(values.shape[0], -1).amax(1)
        return torch.zeros(len(self.sizes), dtype=rows.dtype).scatter_reduce(0, self.owner, rows, "amax")

    def reduce(self, losses: Tensor, shares: Tensor) -> Tensor:
        """The reduced loss of each case, or the losses as they are where nothing is reduced."""
        if self.reduction == "none":
            return losses
        if self.reduction == "mean":
            return self.sums(losses) / self.sums(shares)
        if self.reduction == "batchmean":
            return self.sums(losses) / torch.tensor(self.sizes)
        return self.sums(losses)

    def per_row(self, values: Tensor, like: Tensor) -> Tensor:
        """One value of each case, spread over its rows and shaped to be broadcast against ``like``."""
        return values[self.owner].reshape(-1, *[1] * (like.ndim - 1))

    def apart(self, values: Tensor) -> tuple[Tensor, ...]:
        """The parts of a tensor that has all rows; the scalars of one that has a number a case."""
        return torch.split(values, self.sizes)

    def answers(self, values: Tensor) -> tuple[Tensor, ...]:
        """Reduced values, a tensor of the right shape for each case."""
        return self.apart(values) if self.reduction == "none" else tuple(values.unbind())


class _Bounds:
    """Between which numbers the entries of each case must lie: plain numbers, which small tensors are compared with fastest."""

    def __init__(self, exact: Tensor, room: Tensor, rows: Sequence[int]) -> None:
        # No number is right where the exact one is not finite, and an infinite one never is, however large the room.
        largest = sys.float_info.max
        low, high = ((exact + side * room).clamp(-largest, largest) for side in (-1, 1))
        none = ~torch.isfinite(exact) | room.isnan()
        self.low = low.masked_fill(none, math.inf).flatten().tolist()
        self.high = high.masked_fill(none, -math.inf).flatten().tolist()
        width = math.prod(exact.shape[1:])
        self.ends = list(itertools.accumulate((count * width for count in rows), initial=0))

    def hold(self, number: int, seen: Tensor) -> bool:
        """Whether all entries of a tensor, which has the shape that is due, lie between the bounds of a case."""
        start, end = self.ends[number], self.ends[number + 1]
        if not seen.ndim:
            return bool(self.low[start] <= seen.item() <= self.high[start])
        numbers = seen.flatten().tolist()
        return all(map(operator.le, self.low[start:end], numbers)) and all(
            map(operator.le, numbers, self.high[start:end])
        )


@dataclass(frozen=True, eq=False)
class _Answers:
    """The answers to cases that lie end to end, those of a dtype in one ``spans``.

    The tolerances leave out the formula's own error at the dtype, which is computed when it is first asked for: it rarely is.
    """

    variant: Variant
    segments: _Segments
    prediction: Tensor
    target: Tensor
    value: Tensor
    slope: Tensor | None
    tolerance: Tensor
    slope_tolerance: Tensor | None
    spans: dict[str, range]
    apart: dict[str, list[Expected] | None] = field(default_factory=dict)

    def expected(self, number: int, dtype: str) -> Expected | None:
        """The answer to a case, with its whole tolerance; None where the formula cannot take its dtype."""
        if dtype not in self.apart:
            self.apart[dtype] = self._taken_apart(dtype)
        found = self.apart[dtype]
        return None if found is None else found[number - self.spans[dtype].start]

    def _taken_apart(self, dtype: str) -> list[Expected] | None:
        """The answers to the cases of one dtype."""
        numbers = self.spans[dtype]
        part, rows = self.segments.part(numbers)
        places = rows if part.reduction == "none" else slice(numbers.start, numbers.stop)
        value, tolerance = self.value[places], self.tolerance[places]
        slope = None if self.slope is None else self.slope[rows]
        room = None if self.slope_tolerance is None else self.slope_tolerance[rows]
        if dtype != "float64":  # it is its own yardstick
            try:
                _, _, own, own_slope = _run(
                    self.variant, part, self.prediction[rows], self.target[rows], dtype
                )
            except variants.UNDEFINED:
                return None
            tolerance = tolerance + MARGIN * (own - value).abs().nan_to_num(nan=0.0)
            if slope is not None and room is not None and own_slope is not None:
                error = part.largest((own_slope - slope).abs().nan_to_num(nan=0.0))
                room = room + MARGIN * part.per_row(error, slope)
        nothing = [None] * len(part.sizes)
        slopes = nothing if slope is None else part.apart(slope)
        rooms = nothing if room is None else part.apart(room)
        answers = zip(part.answers(value), slopes, part.answers(tolerance), rooms, strict=True)
        return [Expected(*parts) for parts in answers]

    def shape_of(self, number: int) -> tuple[int, ...]:
        """The shape of the value of a case."""
        return (
            (self.segments.sizes[number], *self.value.shape[1:]) if self.segments.reduction == "none" else ()
        )

    @cached_property
    def value_bounds(self) -> _Bounds:
        """Where the values must lie."""
        sizes = self.segments.sizes
        return _Bounds(
            self.value, self.tolerance, sizes if self.segments.reduction == "none" else [1] * len(sizes)
        )

    @cached_property
    def slope_bounds(self) -> _Bounds | None:
        """Where the gradients must lie; None where there are none."""
        if self.slope is None or self.slope_tolerance is None:
            return None
        return _Bounds(self.slope, self.slope_tolerance, self.segments.sizes)


def _evaluate(variant: Variant, group: dict[str, list[Case]]) -> list[list[Answer]]:
    """The same numbers as :func:`variants.expected`, for all cases of a group in one pass, by dtype."""
    cases = list(itertools.chain.from_iterable(group.values()))
    segments = _Segments([case.prediction.shape[0] for case in cases], variant.reduction)
    prediction = torch.cat([case.prediction for case in cases])
    target = torch.cat([case.target for case in cases])
    losses, shares, value, slope = _run(variant, segments, prediction, target, "float64")
    size = _largest(variant, segments, prediction, target)
    unit = torch.tensor([UNIT[case.dtype] for case in cases], dtype=torch.float64)
    allowed = segments.per_row(size, losses) + losses.abs().nan_to_num(posinf=0.0)
    tolerance = segments.reduce(MARGIN * segments.per_row(unit, losses) * allowed, shares)
    room = None
    if slope is not None:
        floor = unit * size * _share(segments, losses, shares)
        room = MARGIN * (segments.per_row(floor, slope) + segments.per_row(unit, slope) * slope.abs())
    ends = list(itertools.accumulate(map(len, group.values()), initial=0))
    spans = {dtype: range(*span) for dtype, span in zip(group, itertools.pairwise(ends), strict=True)}
    among = _Answers(
        variant, segments, prediction, target, value, slope, tolerance.abs().nan_to_num(nan=0.0), room, spans
    )
    return [[Answer(cases[number], among, number) for number in numbers] for numbers in spans.values()]


def _run(
    variant: Variant, segments: _Segments, prediction: Tensor, target: Tensor, dtype: str
) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    """Losses, shares, reduced values and the gradient, computed at a dtype and returned in float64."""
    wanted = DTYPES[dtype]
    leaf = (
        prediction.detach().to(wanted).requires_grad_()
    )  # autograd refuses a formula that would write to it
    with torch.enable_grad():
        terms = variant.terms(leaf, target.to(wanted) if target.is_floating_point() else target)
        if terms.losses.ndim == 0 or terms.losses.shape[0] != leaf.shape[0]:
            raise ValueError("this formula does not give a loss for each sample")
        value = segments.reduce(terms.losses, terms.shares)
    slope = torch.autograd.grad(value.sum(), leaf)[0].double() if value.requires_grad else None
    return terms.losses.detach(), terms.shares.detach(), value.detach().double(), slope


def _largest(variant: Variant, segments: _Segments, *sides: Tensor) -> Tensor:
    """As :func:`variants.largest`, for each case."""
    sizes = [
        segments.largest(torch.where(torch.isfinite(side), side.abs(), torch.zeros_like(side)))
        for side in sides
        if side.is_floating_point()
    ]
    largest = torch.stack(sizes).amax(0).clamp(min=1.0).pow(variant.degree)
    return largest * variants.largest_weight(variant)


def _share(segments: _Segments, losses: Tensor, shares: Tensor) -> Tensor:
    """The largest slope that one sample can have after the reduction, for each case."""
    if segments.reduction == "none":
        return torch.ones(len(segments.sizes), dtype=losses.dtype)
    counts = segments.sums(torch.ones_like(losses))
    reduced = segments.reduce(torch.ones_like(losses), shares).abs()
    return (reduced / counts.clamp(min=1)).nan_to_num(nan=1.0, posinf=1.0)
