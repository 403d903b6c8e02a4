"""Slopes along a domain: on inputs that sum to one, right forms of a loss may differ in the slope that leads out of it.

The values of a loss on distributions do not say how it goes on where a row sums to something else: an author divides by the
sum, adds it as the divergence of unnormalised measures does, or leaves the formula as it is. All of these are right, and no
softmax that comes before passes on any of the difference.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lossaudit.fuzz.spaces import all_spaces

if TYPE_CHECKING:
    from torch import Tensor

    from lossaudit.fuzz.model import Case

SAME = 1e-4
"""How far off, by the greatest slope, one may be that is the same."""
OTHER = 1e-3


def along(case: Case, slope: Tensor) -> Tensor | None:
    """The part of a slope along the domain of the case; None where every direction is one of the domain."""
    outward = _outward(case)
    return None if outward is None else slope - outward * (slope * outward).sum(1, keepdim=True)


def room_along(case: Case, room: Tensor) -> Tensor | None:
    """How far off the part along the domain may be, where a slope may be off by ``room``."""
    outward = _outward(case)
    return None if outward is None else room + outward.abs() * (room * outward.abs()).sum(1, keepdim=True)


def leave_otherwise(case: Case, slope: Tensor, other: Tensor) -> bool | None:
    """Whether two slopes are one along the domain, up to a factor, and lead out of it in another way; None where they part on it."""
    inside, due = along(case, slope), along(case, other)
    if inside is None or due is None or not bool(due.any()):
        return None
    factor = (inside * due).sum() / due.square().sum()
    if not bool(((inside - factor * due).abs() <= SAME * inside.abs().max()).all()):
        return None
    return bool(((slope - factor * other).abs() > OTHER * slope.abs().max()).any())


def _outward(case: Case) -> Tensor | None:
    """The direction that leads out of the domain, of length one for each distribution."""
    normal = all_spaces()[case.space].normal
    if normal is None:
        return None
    direction = normal(case.prediction)
    return direction / direction.square().sum(1, keepdim=True).sqrt()
