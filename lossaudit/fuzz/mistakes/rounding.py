"""Rounding on the way: what separates two programs that compute the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

UNITS = 4


def nudged(values: Tensor, nudge: float, ceiling: float = 1.0) -> Tensor:
    """Positive numbers, off by a few units of rounding: their own, and the smallest number that there is.

    The latter matters for denormals, which have no relative precision left. Zero stays zero.
    """
    limits = torch.finfo(values.dtype)
    smallest = limits.tiny * limits.eps
    return (values * (1 + UNITS * nudge * limits.eps) + nudge * smallest * (values > 0)).clamp(0, ceiling)
