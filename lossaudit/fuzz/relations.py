"""When no known mistake fits: the relation between what came and what was expected, with its number."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from lossaudit.fuzz import variants

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lossaudit.fuzz.model import Case, Observation
    from lossaudit.fuzz.variants import Variant

LEAST_POINTS = 4
TRIVIAL = 1e-4


@dataclass(frozen=True, slots=True)
class Relation:
    """A fitted relation that holds on every collected value."""

    id: str
    message: str


@dataclass(frozen=True, slots=True)
class _Point:
    actual: float
    expected: float
    tolerance: float
    batch: int
    classes: int


def fit(variant: Variant, answers: Sequence[tuple[Case, Observation]]) -> Relation | None:
    """The simplest relation that reproduces every answer within the tolerance; None when none does."""
    points = [point for case, seen in answers for point in _points(variant, case, seen)]
    points = [point for point in points if math.isfinite(point.expected)]
    if len(points) < LEAST_POINTS or not all(math.isfinite(point.actual) for point in points):
        return None
    if all(abs(point.actual - point.expected) <= point.tolerance for point in points):
        return None
    for candidate in (_factor, _batch_factor, _class_factor, _offset):
        relation = candidate(points)
        if relation is not None:
            return relation
    return None


def _points(variant: Variant, case: Case, seen: Observation) -> list[_Point]:
    if seen.value is None:
        return []
    try:
        with torch.no_grad():
            judged = variants.expected(variant, case)
    except variants.UNDEFINED:
        return []
    shaped = variants.like(seen.value, judged.value)
    if shaped is None:
        return []
    batch = case.prediction.shape[0]
    classes = case.prediction.shape[1] if case.prediction.ndim > 1 else 1
    columns = (shaped, judged.value, judged.value_tolerance.expand_as(judged.value))
    rows = zip(*(column.flatten().tolist() for column in columns), strict=True)
    return [_Point(actual, exact, tolerance, batch, classes) for actual, exact, tolerance in rows]


def _constant(points: list[_Point], scaled: Callable[[_Point], float]) -> float | None:
    """The constant c with actual = c * scaled(point) everywhere, taken from the largest value."""
    largest = max(points, key=lambda point: abs(scaled(point)))
    if abs(scaled(largest)) <= 100 * largest.tolerance:
        return None
    constant = largest.actual / scaled(largest)
    room = max(1.0, abs(constant))
    fits = all(
        abs(point.actual - constant * scaled(point)) <= 2 * room * max(point.tolerance, 1e-12)
        for point in points
    )
    varied = len({round(point.expected, 6) for point in points}) >= 3
    return constant if fits and varied and abs(constant) > TRIVIAL and abs(constant - 1) > TRIVIAL else None


def _named_constant(constant: float) -> str:
    known = {1 / math.log(2): "1/ln 2 (bits instead of nats)", 1 / math.log(10): "1/ln 10 (base 10)"}
    for value, words in known.items():
        if math.isclose(constant, value, rel_tol=1e-4):
            return f"{constant:.6g} = {words}"
    return f"{constant:.6g}"


def _factor(points: list[_Point]) -> Relation | None:
    constant = _constant(points, lambda point: point.expected)
    if constant is None:
        return None
    return Relation("constant-factor", f"is {_named_constant(constant)} times the reference on every input")


def _batch_factor(points: list[_Point]) -> Relation | None:
    if len({point.batch for point in points}) < 2:
        return None
    if _constant(points, lambda point: point.expected * point.batch) is not None:
        return Relation("factor-batch-size", "is the reference times the batch size N")
    if _constant(points, lambda point: point.expected / point.batch) is not None:
        return Relation("divided-by-batch-size", "is the reference divided once more by the batch size N")
    return None


def _class_factor(points: list[_Point]) -> Relation | None:
    if len({point.classes for point in points}) < 2:
        return None
    if _constant(points, lambda point: point.expected * point.classes) is not None:
        return Relation("factor-class-count", "is the reference times the number of classes C")
    if _constant(points, lambda point: point.expected / point.classes) is not None:
        return Relation("divided-by-class-count", "is the reference divided by the number of classes C")
    return None


def _offset(points: list[_Point]) -> Relation | None:
    differences = [point.actual - point.expected for point in points]
    middle = sorted(differences)[len(differences) // 2]
    fits = all(
        abs(difference - middle) <= 2 * point.tolerance
        for difference, point in zip(differences, points, strict=True)
    )
    if not fits or len({round(point.expected, 6) for point in points}) < 3:
        return None
    return Relation("constant-offset", f"is the reference {middle:+.6g} on every input")
