"""Losses that were not reduced, in the arrangement in which a case is held.

A loss of a layout gives its losses as it was given its arguments: of tokens [N, S, C] one a token [N, S], of a column [N, 1] a
column. A loss that flattens its arguments first gives them flat. The numbers are the same ones in the same places.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from lossaudit.fuzz.spaces import all_spaces

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

    from lossaudit.fuzz.model import Case, Space


def as_held(case: Case, value: Tensor) -> Tensor:
    """The value of a call, each loss at the place at which the case holds what it is the loss of.

    Args:
        case: The input of the call.
        value: What the target returned: a number, or losses. Where it is neither arranged nor flattened as an argument is, it
            is returned as it came.
    """
    if not value.ndim:
        return value
    space, samples = all_spaces()[case.space], case.prediction.shape[0]
    # Of one sample of some numbers, losses that are flat and losses that are averaged over the batch have one shape.
    told = samples > 1 or case.prediction.ndim > 2
    flat = told and value.ndim == 1 and value.numel() > samples
    if space.parts or not (space.layout or flat):
        return value
    for shape, places in _arrangements(space, case):
        if value.numel() == places.numel() and (flat or value.shape == places.shape):
            held = torch.empty_like(value).flatten()
            held[places.flatten()] = value.flatten()
            return held.reshape(shape)
    return value


def _arrangements(space: Space, case: Case) -> Iterator[tuple[torch.Size, Tensor]]:
    """How losses may lie that have the shape of the prediction, or else of the target: that shape, and where in it each one belongs."""
    prediction, target = _numbered(case.prediction), _numbered(case.target)
    for held, given in zip((prediction, target), space.cut(prediction, target), strict=True):
        if given.numel() == held.numel():  # no step more
            yield held.shape, given.long()


def _numbered(tensor: Tensor) -> Tensor:
    return torch.arange(tensor.numel(), dtype=torch.float64).reshape(tensor.shape)
