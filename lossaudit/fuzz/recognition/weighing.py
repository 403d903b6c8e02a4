"""Weights that stand nowhere but in the code, computed from the values of a loss.

A loss that is linear in each of two weights u and v is a + b u + c v + d u v, with a, b, c and d known from the formula for
each probe. Six probes in float64 are six equations for two numbers: what is computed by least squares is believed only where the
formula then gives every value again, to the tolerance of any other match.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from lossaudit.fuzz import variants

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from lossaudit.fuzz.doors import Response
    from lossaudit.fuzz.model import Numbers
    from lossaudit.fuzz.variants import Variant

CORNERS = ((0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (1.0, 1.0))
NOTHING = 1e-12
EXACT = 1e-6
ROUGHLY = 1e-4
PLAIN_DIGITS = 6
PLAIN = 1e-8
"""A number so near to one of few digits is that one."""


def weighed(variant: Variant, answers: Sequence[Response]) -> Variant | None:
    """The variant with the two weights that fit its answers best; None where none do.

    Args:
        variant: A reference with ``weights``; those that it has are of no account.
        answers: What the target gave, in float64.
    """
    try:
        columns = [_values(variant, corner, answers) for corner in CORNERS]
    except variants.UNDEFINED:
        return None
    seen = _together([answer.value for _, answer in answers])
    if seen is None or any(column is None or column.shape != seen.shape for column in columns):
        return None
    found = _solved([column for column in columns if column is not None], seen)
    if found is None:
        return None
    both = zip(variant.spec.weights, found, strict=True)
    values = {name: plainly(number) for name, number in both}
    if not all(_is_weight(variant, name, value) for name, value in values.items()):
        return None
    params = {name: _as_parameter(variant, name, value) for name, value in values.items()}
    return replace(variant, params={**variant.params, **params})


def weighable(candidates: Sequence[Variant], answers: Sequence[Response]) -> list[Variant]:
    """Those of many variants of one reference that some weights may fit, where that can be seen at a glance.

    The values are those of :func:`weighed`, for all variants in one go, and so are the equations, solved with more room.
    """
    distinct = {id(variant.params): variant for variant in candidates}
    places = {known: number for number, known in enumerate(distinct)}
    assignments = [_moved(variant, corner).params for variant in distinct.values() for corner in CORNERS]
    totals = []
    for case, answer in answers:
        is_number = answer.value is not None and answer.value.numel() == 1
        found = (
            variants.totals(candidates[0].spec.formula, case, assignments)
            if is_number and candidates
            else None
        )
        if found is None:
            return list(candidates)
        totals.append(found)
    seen = np.array([float(seen.value) for _, seen in answers if seen.value is not None])
    fits: dict[str, NDArray[np.bool_]] = {}
    for reduction in {variant.reduction for variant in candidates}:
        values = np.array([each.reduced(reduction) for each in totals])
        fits[reduction] = _may_solve(values.reshape(len(seen), len(distinct), len(CORNERS)), seen)
    return [variant for variant in candidates if fits[variant.reduction][places[id(variant.params)]]]


def _may_solve(values: Numbers, seen: Numbers) -> NDArray[np.bool_]:
    """For which variants :func:`_solved` may find weights: the rest of the answers, beside the columns, is next to nothing.

    Args:
        values: What the variants give, by answer, variant and corner.
        seen: The answers.
    """
    with np.errstate(all="ignore"):
        a, with_u, with_v, with_both = np.moveaxis(values, 2, 0)
        b, c = with_u - a, with_v - a
        due = seen[:, None] - a
        room = ROUGHLY * (1 + np.abs(due).max(0) + np.abs(seen).max())
        rests = [
            np.abs(_beside(_beside(due, c), _beside(column, c))) for column in (b, with_both - a - b - c)
        ]
        # No number is no proof.
        impossible = [(rest > room).any(0) & np.isfinite(values).all((0, 2)) for rest in rests]
    possible: NDArray[np.bool_] = ~(impossible[0] & impossible[1])
    return possible


def _beside(columns: Numbers, other: Numbers) -> Numbers:
    """The part of each column that stands upright on another one."""
    square = (other**2).sum(0)
    share = np.divide((columns * other).sum(0), square, out=np.zeros_like(square), where=square > 0)
    upright: Numbers = columns - other * share
    return upright


def _moved(variant: Variant, corner: tuple[float, float]) -> Variant:
    params = {**variant.params, **dict(zip(variant.spec.weights, corner, strict=True))}
    return replace(variant, params=params)


def _as_parameter(variant: Variant, name: str, value: float) -> Any:
    """The number in the form in which the formula holds it; a factor of 1 is none."""
    parameter = variant.spec.parameter(name)
    if parameter is None or parameter.kind != "tensor":
        return value
    return parameter.neutral if value == 1 else torch.tensor(value, dtype=torch.float64)


def _is_weight(variant: Variant, name: str, value: float) -> bool:
    """Whether a number can be this weight, and the one that makes a difference makes it: a mere factor is no weight."""
    parameter = variant.spec.parameter(name)
    if parameter is None or not max(parameter.low, PLAIN) < value <= parameter.high:
        return False
    return name != variant.spec.weights[0] or abs(value - 1) > EXACT or parameter.neutral is not None


def _values(variant: Variant, corner: tuple[float, float], answers: Sequence[Response]) -> Tensor | None:
    moved = _moved(variant, corner)
    with torch.no_grad():
        return _together([moved.value(*variants.at_dtype(case, "float64")) for case, _ in answers])


def _together(values: Sequence[Tensor | None]) -> Tensor | None:
    if any(value is None or not bool(torch.isfinite(value).all()) for value in values):
        return None
    return torch.cat([value.flatten().double() for value in values if value is not None])


def _solved(columns: list[Tensor], seen: Tensor) -> tuple[float, float] | None:
    """Solve for u and v in ``seen = a + b u + c v + d u v``, where b or d is nothing; None where they do not give it again."""
    a, with_u, with_v, with_both = columns
    b, c = with_u - a, with_v - a
    d = with_both - a - b - c
    nothing = NOTHING * float(seen.abs().max())
    product = bool((b.abs() <= nothing).all())
    if not product and bool((d.abs() > max(nothing, NOTHING)).any()):
        return None
    matrix, due = torch.stack([d if product else b, c], 1), seen - a
    if matrix.shape[0] < 2 * matrix.shape[1] or int(torch.linalg.matrix_rank(matrix)) < matrix.shape[1]:
        return None
    first, second = torch.linalg.lstsq(matrix, due.unsqueeze(1)).solution.flatten().tolist()
    off = (matrix @ torch.tensor([first, second], dtype=torch.float64) - due).abs()
    if bool((off > EXACT * (1 + seen.abs())).any()) or second <= 0:
        return None
    return (first / second, second) if product else (first, second)


def plainly(number: float) -> float:
    """A computed number as its author wrote it: the short one, if it is as near as rounding."""
    short = round(number, PLAIN_DIGITS)
    return short if abs(number - short) <= PLAIN else number
