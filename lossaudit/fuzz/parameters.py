"""From what a target says of itself to the parameters of a reference, by meaning."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any, Literal

import torch

from lossaudit.fuzz.target import CLASS_COUNT_NAMES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from lossaudit.fuzz.model import Parameter
    from lossaudit.fuzz.subject import Evidence

Guess = Literal["named", "declared", "numbers", "complements"]
MEASURED = frozenset({"number", "per-class", "tensor"})
"""Kinds of parameters that a target which has them holds under some name; a form or a flag is seen in what it computes."""
MOST_COMBINATIONS = 200
MOST_CLASSES = 1000
"""A longer vector holds no weights of classes but the window of a filter, say."""
LARGEST_LOGARITHM = 100.0
LARGEST_GUARD = 1e-5
REDUCTION_NAMES = ("reduction", "reduce_mode", "reduction_mode")


def declared_reduction(evidence: Evidence) -> str | None:
    """The reduction that the target names. That of a criterion which it holds is none of its own: it may divide the sum itself."""
    known = {"mean", "sum", "none", "batchmean"}
    own = (name for name in REDUCTION_NAMES if name in evidence.own)
    return next((evidence.named[name] for name in own if evidence.named.get(name) in known), None)


def guard_in_sight(evidence: Evidence) -> float:
    """The most by which numbers may show that are so small that authors only mean them to keep something finite; 0 where there is none.

    Below a root, a number shows as its own root.
    """
    small = [number for number in (*evidence.numbers(), *evidence.beside) if 0 < number <= LARGEST_GUARD]
    roots = [root for root in map(math.sqrt, small) if root <= LARGEST_GUARD]
    return max((*small, *roots), default=0.0)


def class_counts(evidence: Evidence, usual: tuple[int, ...]) -> tuple[int, ...]:
    """The class counts to draw: the one that the target is made for, if it says so."""
    for name in CLASS_COUNT_NAMES & evidence.named.keys():
        value = evidence.named[name]
        if isinstance(value, int) and not isinstance(value, bool) and 2 <= value <= MOST_CLASSES:
            return (value,)
    vectors = [
        value for value in evidence.named.values() if isinstance(value, torch.Tensor) and value.ndim == 1
    ]
    lengths = {int(vector.numel()) for vector in vectors if 1 < vector.numel() <= MOST_CLASSES}
    return tuple(lengths) if len(lengths) == 1 else usual


def matrix_shapes(evidence: Evidence) -> list[tuple[int, int]]:
    """Shapes of the matrices that the target holds, each also turned: rows for classes, columns for features."""
    shapes = [
        (int(value.shape[0]), int(value.shape[1]))
        for value in evidence.named.values()
        if isinstance(value, torch.Tensor) and value.ndim == 2 and min(value.shape) > 0
    ]
    return list(dict.fromkeys([*shapes, *((columns, rows) for rows, columns in shapes)]))


def candidates(
    parameter: Parameter, evidence: Evidence, classes: tuple[int, ...], *, reach: Guess = "numbers"
) -> list[Any]:
    """Values worth trying: what the target declares first, then the neutral one, then other numbers in sight.

    An index that is declared is meant: a loss that does not honour it is wrong, not another loss. ``reach`` says how far
    to look: at numbers under a name that means them only, also at the usual ones, at every number in sight (and 1 over it, for
    what divides may be written as a factor), or also at 1 minus each of these.
    """
    named = named_values(parameter, evidence, classes)
    if named and (parameter.kind == "index" or parameter.meant):
        return named
    if parameter.kind == "slope":
        return [parameter.neutral]  # the values do not tell
    if parameter.kind == "matrix":
        return list(_distinct([*named, *_matrices(evidence), parameter.neutral]))
    if reach == "named" and parameter.kind in MEASURED:
        return list(_distinct(named)) or [parameter.neutral]
    values = [*named, parameter.neutral, *parameter.guesses]
    if parameter.kind in {"tensor", "per-class"} and reach != "declared":
        vectors = _vectors(parameter, evidence, classes)
        # What bears the name of the parameter is not its logarithm.
        values += (
            vectors if named or not parameter.logarithms else [*vectors, *(one.exp() for one in vectors)]
        )
    if parameter.kind == "number" and reach != "declared":
        values += [number for number in evidence.numbers() if _fits(parameter, number)]
        if parameter.divides and not named:
            values += [1 / n for n in evidence.numbers() if n and _fits(parameter, 1 / n)]
        if reach == "complements" and not named:
            values += [1 - number for number in evidence.numbers() if _fits(parameter, 1 - number)]
    return list(_distinct(values))


def _matrices(evidence: Evidence) -> list[torch.Tensor]:
    """Every matrix that the target holds, whatever its name."""
    return [
        value.detach().double()
        for value in evidence.named.values()
        if isinstance(value, torch.Tensor) and value.ndim == 2 and value.is_floating_point()
    ]


def _vectors(parameter: Parameter, evidence: Evidence, classes: tuple[int, ...]) -> list[torch.Tensor]:
    """Every vector with a number for each class that the target holds, whatever its name."""
    vectors = (
        value
        for value in evidence.named.values()
        if isinstance(value, torch.Tensor) and value.ndim == 1 and value.is_floating_point()
    )
    return [found for value in vectors if (found := _as_kind(parameter, value, classes)) is not None]


def named_values(parameter: Parameter, evidence: Evidence, classes: tuple[int, ...]) -> list[Any]:
    """The values that the target declares under a name that means this parameter."""
    found: list[Any] = []
    for alias in parameter.aliases:
        value = _as_kind(parameter, evidence.named.get(alias), classes)
        if value is not None:
            found.append(value)
    for alias in parameter.complements:
        value = evidence.named.get(alias)
        if isinstance(value, float) and _fits(parameter, 1 - value):
            found.append(round(1 - value, 12))
    for alias in parameter.inverses:
        value = evidence.named.get(alias)
        number = value.item() if isinstance(value, torch.Tensor) and value.numel() == 1 else value
        if isinstance(number, (int, float)) and not isinstance(number, bool) and number != 0:
            logarithm = [math.exp(-number)] if abs(number) < LARGEST_LOGARITHM else []
            found += [v for v in (*logarithm, 1 / number) if _fits(parameter, v)]
    logarithms = (_as_kind(parameter, evidence.named.get(alias), classes) for alias in parameter.logarithms)
    return [*found, *(value.exp() for value in logarithms if value is not None)]


def _as_kind(parameter: Parameter, value: Any, classes: tuple[int, ...]) -> Any:
    if value is None or isinstance(value, (bool, str)):
        return None
    is_tensor = isinstance(value, torch.Tensor)
    if parameter.kind == "matrix":
        return value.detach().double() if is_tensor and value.ndim == 2 else None
    if parameter.kind == "per-class":
        return value.detach().double() if is_tensor and value.ndim == 1 and value.numel() in classes else None
    if parameter.kind == "tensor":
        tensor = torch.as_tensor(value).detach().double()
        return tensor if tensor.numel() == 1 or (tensor.ndim == 1 and tensor.numel() in classes) else None
    if is_tensor:
        return _as_kind(parameter, value.item(), classes) if value.numel() == 1 else None
    if parameter.kind == "index":
        return value if isinstance(value, int) else None
    return value if parameter.kind in {"number", "declared"} and _fits(parameter, value) else None


def _fits(parameter: Parameter, number: float) -> bool:
    return parameter.low <= number <= parameter.high


def same(first: Any, second: Any) -> bool:
    """Equality that also holds for tensors."""
    if isinstance(first, torch.Tensor) and isinstance(second, torch.Tensor):
        return first.shape == second.shape and bool((first == second).all())
    if isinstance(first, torch.Tensor) or isinstance(second, torch.Tensor):
        return False
    return bool(first == second)


def _distinct(values: Iterable[Any]) -> Iterator[Any]:
    seen: list[Any] = []
    for value in values:
        if not any(same(value, other) for other in seen):
            seen.append(value)
            yield value


def assignments(
    parameters: tuple[Parameter, ...],
    evidence: Evidence,
    classes: tuple[int, ...],
    *,
    reach: Guess = "numbers",
) -> list[dict[str, Any]]:
    """Assignments of values to parameters, those nearest to what the target declares first."""
    choices = [
        list(enumerate(candidates(parameter, evidence, classes, reach=reach))) for parameter in parameters
    ]
    size = 1
    for number, choice in enumerate(choices):
        choices[number] = choice[: max(2, MOST_COMBINATIONS // size)]
        size *= len(choices[number])
    combined = sorted(itertools.product(*choices), key=lambda picks: sum(rank for rank, _ in picks))
    names = [parameter.name for parameter in parameters]
    return [
        dict(zip(names, (value for _, value in picks), strict=True)) for picks in combined[:MOST_COMBINATIONS]
    ]
