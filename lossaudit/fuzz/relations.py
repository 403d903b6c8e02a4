"""When no known mistake fits: the relation between what came and what was expected, with its number."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from lossaudit.fuzz import variants

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from lossaudit.fuzz.model import Case, Observation
    from lossaudit.fuzz.variants import Variant

    Numbers = NDArray[np.float64]

LEAST_POINTS = 4
LEAST_LIMIT = 2
LEAST_VALUES = 3
BEYOND_BATCH = "only-beyond-batch-size"
TRIVIAL = 1e-4
ROUGH = 1e-3
"""How far off, by the greatest value, a relation may be at a glance."""


@dataclass(frozen=True, slots=True)
class Scaling:
    """``factor`` times the reference times powers of the sizes (batch, classes, positions), plus ``offset``."""

    factor: float = 1.0
    powers: tuple[int, ...] = (0, 0, 0)
    offset: float = 0.0


@dataclass(frozen=True, slots=True)
class Relation:
    """A fitted relation that holds on every collected value; ``scaling`` where it is the same everywhere."""

    id: str
    message: str
    scaling: Scaling | None = None


@dataclass(frozen=True, slots=True)
class _Point:
    actual: float
    expected: float
    tolerance: float
    batch: int
    classes: int
    pixels: int = 1
    dtype: str = "float32"
    ties: bool = False
    ignored: bool = False

    @property
    def agrees(self) -> bool:
        """Whether the value is the reference's."""
        return abs(self.actual - self.expected) <= self.tolerance


@dataclass(frozen=True, slots=True)
class _Condition:
    """Where a difference may show: nowhere else does the target part from the reference."""

    id: str
    words: str
    holds: Callable[[_Point], bool]


def fit(variant: Variant, answers: Sequence[tuple[Case, Observation]]) -> Relation | None:
    """The simplest relation that reproduces every answer within the tolerance; None when none does."""
    points = [point for case, seen in answers for point in _points(variant, case, seen)]
    points = [point for point in points if math.isfinite(point.expected)]
    if len(points) < LEAST_POINTS or not all(math.isfinite(point.actual) for point in points):
        return None
    if all(point.agrees for point in points):
        return None
    return _everywhere(points) or _only_somewhere(points)


def may_fit(answers: Sequence[tuple[Case, Observation, Tensor]]) -> bool:
    """Whether :func:`fit` is worth asking: a rough fit to the truth, for which no tolerance needs to be computed."""
    actual: list[float] = []
    expected: list[float] = []
    size: list[tuple[int, int, int]] = []
    for case, seen, value in answers:
        shaped = None if seen.value is None else variants.like(seen.value, value)
        if shaped is None:
            continue
        for number, exact in zip(shaped.flatten().tolist(), value.flatten().tolist(), strict=True):
            if math.isfinite(exact):
                actual.append(number)
                expected.append(exact)
                size.append(sizes(case.prediction.shape))
    return may_fit_numbers(np.array(actual), np.array(expected), tuple(size))


def may_fit_numbers(actual: Numbers, expected: Numbers, size: tuple[tuple[int, int, int], ...]) -> bool:
    """The same of plain numbers, the truth all finite, with the sizes of their predictions."""
    enough = len(expected) >= LEAST_POINTS and bool(np.isfinite(actual).all())
    return enough and _fits_roughly(actual, expected, size)


def _fits_roughly(actual: Numbers, expected: Numbers, size: tuple[tuple[int, int, int], ...]) -> bool:
    """Whether some point agrees, or all are in some relation, at a glance: every relation is tried in one go."""
    room = ROUGH * float(np.abs(expected).max())
    off = actual - expected
    if bool((np.abs(off) <= room).any()):
        return True
    if len({round(number, 6) for number in expected.tolist()}) < LEAST_VALUES:
        return False
    if bool((np.abs(off - np.sort(off)[len(off) // 2]) <= 2 * room).all()):
        return True
    scaled = expected * _products(size)
    largest = np.abs(scaled).argmax(1)
    top = scaled[np.arange(len(scaled)), largest]
    told = np.abs(top) > 100 * room
    scaled, top, largest = scaled[told], top[told], largest[told]
    constants = actual[largest] / top
    rooms = 2 * np.maximum(1.0, np.abs(constants)) * max(room, 1e-12)
    fits = (np.abs(actual - constants[:, None] * scaled) <= rooms[:, None]).all(1)
    return bool((fits & (np.abs(constants) > TRIVIAL)).any())


@functools.lru_cache(maxsize=64)
def _products(size: tuple[tuple[int, int, int], ...]) -> Numbers:
    """The powers of the sizes by which a reference may be multiplied, point by point; the first are ones."""
    counts = np.array(size, dtype=float)
    varied = [len(set(column)) > 1 for column in zip(*size, strict=True)]
    powers = [
        chosen
        for chosen in POWERS
        if sum(map(bool, chosen)) <= MOST_SIZES
        and all(varies or not power for varies, power in zip(varied, chosen, strict=True))
    ]
    return np.array([(counts ** np.array(chosen)).prod(1) for chosen in powers])


def _everywhere(points: list[_Point]) -> Relation | None:
    """The simplest relation of all points."""
    for candidate in (_factor, _size_factor, _offset):
        relation = candidate(points)
        if relation is not None:
            return relation
    return None


CONDITIONS = (
    _Condition("only-batch-of-one", "on a batch of one", lambda point: point.batch == 1),
    _Condition("only-with-ignored-targets", "with ignored targets", lambda point: point.ignored),
    _Condition("only-at-ties", "where two numbers are equal", lambda point: point.ties),
    _Condition("only-in-float32", "in float32", lambda point: point.dtype == "float32"),
    _Condition("only-in-float64", "in float64", lambda point: point.dtype == "float64"),
)


def _only_somewhere(points: list[_Point]) -> Relation | None:
    """A condition that holds of every point that differs, and of hardly any other."""
    wrong = [point for point in points if not point.agrees]
    for condition in (*CONDITIONS, *_beyond_batch(wrong)):
        inside = [point for point in points if condition.holds(point)]
        outside = len(points) - len(inside)
        if len(wrong) < 2 or outside < LEAST_POINTS or 2 * len(wrong) < len(inside):
            continue
        if not all(condition.holds(point) for point in wrong):
            continue
        if condition.id == BEYOND_BATCH and not _has_relation(inside):
            continue  # what joins the samples of a batch, for instance, is another loss from some size on
        return Relation(condition.id, f"{_there(condition, inside, wrong)}, and agrees with it elsewhere")
    return None


def _beyond_batch(wrong: list[_Point]) -> list[_Condition]:
    """Larger batches than any that agrees. That a single sample agrees says nothing: what joins samples has none."""
    limit = min((point.batch for point in wrong), default=0) - 1
    if limit < LEAST_LIMIT:
        return []
    words = f"on batches of more than {limit}"
    return [_Condition(BEYOND_BATCH, words, lambda point: point.batch > limit)]


def _has_relation(points: list[_Point]) -> bool:
    return len(points) >= LEAST_POINTS and _everywhere(points) is not None


def _there(condition: _Condition, inside: list[_Point], wrong: list[_Point]) -> str:
    """What it is where the condition holds: a relation or a constant of all of its points, else an example."""
    relation = _everywhere(inside) if _has_relation(inside) else None
    if relation is not None:
        return f"{relation.message.removesuffix(' on every input')} {condition.words}"
    if len({round(point.actual, 9) for point in inside}) == 1 and len(inside) > 1:
        return f"is {inside[0].actual:.6g} {condition.words}, whatever the reference"
    worst = max(wrong, key=lambda point: abs(point.actual - point.expected))
    return f"parts from the reference only {condition.words} ({worst.actual:.6g} for {worst.expected:.6g}, for one)"


def _points(variant: Variant, case: Case, seen: Observation) -> list[_Point]:
    if seen.value is None:
        return []
    try:
        with torch.no_grad():
            judged = variants.expected(variant, case)
    except variants.UNDEFINED:
        return []
    return _rows(case, seen, judged.value, judged.value_tolerance)


def _rows(case: Case, seen: Observation, value: Tensor, tolerance: Tensor) -> list[_Point]:
    """One point for each number of an answer; none where it cannot be compared."""
    shaped = None if seen.value is None else variants.like(seen.value, value)
    if shaped is None:
        return []
    ties, ignored = _has_ties(case), "ignored" in case.targets
    columns = (shaped, value, tolerance.expand_as(value))
    rows = zip(*(column.flatten().tolist() for column in columns), strict=True)
    size = sizes(case.prediction.shape)
    return [_Point(actual, exact, room, *size, case.dtype, ties, ignored) for actual, exact, room in rows]


def sizes(shape: Sequence[int]) -> tuple[int, int, int]:
    """Samples, classes and positions of a prediction: what ``powers`` of a scaling are powers of."""
    return shape[0], shape[1] if len(shape) > 1 else 1, math.prod(shape[2:])


def _has_ties(case: Case) -> bool:
    """Whether a prediction equals its target, or two of a sample's predictions are equal."""
    prediction, target = case.prediction, case.target
    if target.shape == prediction.shape and bool((prediction == target).any()):
        return True
    if prediction.ndim < 2 or prediction.shape[1] < 2:
        return False
    ordered = prediction.sort(1).values
    return bool((ordered[:, 1:] == ordered[:, :-1]).any())


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
    varied = len({round(point.expected, 6) for point in points}) >= LEAST_VALUES
    return constant if fits and varied and abs(constant) > TRIVIAL else None


def _named_constant(constant: float) -> str:
    known = {1 / math.log(2): "1/ln 2 (bits instead of nats)", 1 / math.log(10): "1/ln 10 (base 10)"}
    for value, words in known.items():
        if math.isclose(constant, value, rel_tol=1e-4):
            return f"{constant:.6g} = {words}"
    return f"{constant:.6g}"


def _factor(points: list[_Point]) -> Relation | None:
    constant = _constant(points, lambda point: point.expected)
    if constant is None or abs(constant - 1) <= TRIVIAL:
        return None
    message = f"is {_named_constant(constant)} times the reference on every input"
    return Relation("constant-factor", message, Scaling(constant))


SIZES: tuple[tuple[str, str, Callable[[_Point], int]], ...] = (
    ("batch-size", "the batch size N", lambda point: point.batch),
    ("class-count", "the number of classes C", lambda point: point.classes),
    ("pixel-count", "the number of positions of a sample", lambda point: point.pixels),
)
MOST_SIZES = 2
POWERS = sorted(itertools.product((0, 1, -1), repeat=len(SIZES)), key=lambda each: sum(map(abs, each)))


def _size_factor(points: list[_Point]) -> Relation | None:
    """The reference times or divided by one size or two, the simplest first."""
    for chosen in POWERS[1:]:
        used = [(*size, power) for size, power in zip(SIZES, chosen, strict=True) if power]
        if len(used) > MOST_SIZES or any(
            len({size(point) for point in points}) < 2 for _, _, size, _ in used
        ):
            continue
        constant = _constant(points, functools.partial(_scaled, used))
        if constant is not None:
            return _sized(used, Scaling(constant, chosen))
    return None


def _scaled(used: list[tuple[str, str, Callable[[_Point], int], int]], point: _Point) -> float:
    return point.expected * math.prod(float(size(point)) ** power for _, _, size, power in used)


def _sized(used: list[tuple[str, str, Callable[[_Point], int], int]], scaling: Scaling) -> Relation:
    constant = scaling.factor
    times = [words for _, words, _, power in used if power > 0]
    over = [words for _, words, _, power in used if power < 0]
    parts = ["times " + " and ".join(times)] if times else []
    parts += ["divided by " + " and by ".join(over)] if over else []
    number = "" if abs(constant - 1) <= TRIVIAL else f"{_named_constant(constant)} times "
    name = "+".join(f"{'factor' if power > 0 else 'divided-by'}-{id_}" for id_, _, _, power in used)
    return Relation(name, f"is {number}the reference {' and '.join(parts)}", scaling)


def _offset(points: list[_Point]) -> Relation | None:
    differences = [point.actual - point.expected for point in points]
    middle = sorted(differences)[len(differences) // 2]
    fits = all(
        abs(difference - middle) <= 2 * point.tolerance
        for difference, point in zip(differences, points, strict=True)
    )
    if not fits or len({round(point.expected, 6) for point in points}) < LEAST_VALUES:
        return None
    message = f"is the reference {middle:+.6g} on every input"
    return Relation("constant-offset", message, Scaling(offset=middle))
