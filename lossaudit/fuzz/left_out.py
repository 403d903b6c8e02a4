"""What a loss leaves out by its target: measurements hold some number where nothing was measured.

A depth of 0 is a pixel that the sensor did not see, a speed of 0 a detector that was off, -1 a label that nobody gave. Which
number stands for what is missing is the author's to say, so an input that holds one is none on which the reference is promised.
That it is one shows in what the loss does: wherever the target is that number, no prediction counts, and what it gives is what
its reference gives for the rest.
"""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from lossaudit.fuzz import variants
from lossaudit.fuzz.spaces import all_spaces

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

    from lossaudit.fuzz.model import Case, Observation
    from lossaudit.fuzz.subject import Subject
    from lossaudit.fuzz.variants import Variant

NOTHING = 1e-3
"""A mean over nothing is no number, or 0, or the root of what guards that root."""


def left_out(subject: Subject, case: Case, seen: Observation, variant: Variant) -> frozenset[float]:
    """The targets that a loss of measurements leaves out of a case, where it gives what its reference gives for the rest.

    Args:
        subject: The target.
        case: The input, of which the target gave something else than the reference.
        seen: What it gave.
        variant: The reference.
    """
    if not all_spaces()[case.space].measured or seen.value is None:
        return frozenset()
    left = _left(subject, case, seen)
    if left is None or not bool(left.any()):
        return frozenset()
    given = seen.value.sum()
    right = _is_right_about(given, case, ~left, variant)
    return frozenset(case.target[left].tolist()) if right else frozenset()


def _is_right_about(given: Tensor, case: Case, kept: Tensor, variant: Variant) -> bool:
    """Whether a sum of losses is what the reference gives for what is kept."""
    if not bool(kept.any()):
        return bool(given.abs() <= NOTHING) or not bool(torch.isfinite(given))
    return any(bool((given - value).abs() <= room) for value, room in _of_the_rest(case, kept, variant))


def _of_the_rest(case: Case, kept: Tensor, variant: Variant) -> Iterator[tuple[Tensor, Tensor]]:
    """What the reference gives for what is kept, with its tolerance: of all of it, with the rest in the divisor, or row by row."""
    with contextlib.suppress(*variants.UNDEFINED):
        value, room = _total(
            variant, replace(case, prediction=case.prediction[kept], target=case.target[kept])
        )
        share = float(kept.sum()) / kept.numel()
        yield from ((value, room), (value * share, room))
    with contextlib.suppress(*variants.UNDEFINED):
        rows = [
            _total(variant, replace(case, prediction=prediction[own][None], target=target[own][None]))
            for prediction, target, own in zip(case.prediction, case.target, kept, strict=True)
            if own.ndim and bool(own.any())
        ]
        if rows:
            values, rooms = (torch.stack(list(each)) for each in zip(*rows, strict=True))
            yield values.sum(), rooms.sum()
            yield from ((values.sum() / count, rooms.sum()) for count in {len(rows), len(kept)})


def _total(variant: Variant, case: Case) -> tuple[Tensor, Tensor]:
    due = variants.expected(variant, case)
    return due.value.sum(), due.value_tolerance.sum()


def _left(subject: Subject, case: Case, seen: Observation) -> Tensor | None:
    """The elements of the target at which no prediction counts, wherever it has the same number; None where that cannot be asked."""
    silent = _without_slope(case, seen)
    if silent is None:
        return None
    left = torch.zeros_like(silent)
    for number in set(case.target[silent].tolist()):
        marked = case.target == number
        if bool(silent[marked].all()) and _is_unmoved(subject, case, seen, marked):
            left |= marked
    return left


def _without_slope(case: Case, seen: Observation) -> Tensor | None:
    """Where the loss has no slope, or none that is a number, for each element of the target; None where shapes do not tell."""
    prediction, target, slope = case.prediction, case.target, seen.gradient
    if not target.is_floating_point() or target.shape != prediction.shape[: target.ndim]:
        return None
    if slope is None:
        return torch.ones(target.shape, dtype=torch.bool)
    none = (slope == 0) | ~torch.isfinite(slope)
    return none.flatten(target.ndim).all(-1) if prediction.ndim > target.ndim else none


def _is_unmoved(subject: Subject, case: Case, seen: Observation, marked: Tensor) -> bool:
    """Whether the value stays the same, to the last bit, when the predictions at some places become others."""
    moved = case.prediction.clone()
    moved[marked] = 1.5 * moved[marked].abs() + 0.75
    now, then = subject.observe(replace(case, prediction=moved), gradient=False).value, seen.value
    return (
        now is not None
        and then is not None
        and torch.equal(now.nan_to_num(nan=0.5), then.nan_to_num(nan=0.5))
    )
