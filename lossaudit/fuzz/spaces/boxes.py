"""Pairs of axis-aligned boxes [N, 4], as corners, as centre and size or as corner and size."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from lossaudit.fuzz.model import Space

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from lossaudit.fuzz.model import Params, Structure


def _corners(structure: Structure, generator: Generator) -> tuple[Tensor, Tensor]:
    """Predicted and true corners (x1, y1, x2, y2): multiples of 1/16, sides of at least 1."""
    first = torch.randint(0, 48, (structure.batch, 2), generator=generator).double() / 16
    size = 1 + torch.randint(0, 48, (structure.batch, 2), generator=generator).double() / 16
    target = torch.cat([first, first + size], 1)
    if structure.targets == "match":
        return target.clone(), target
    if structure.targets == "disjoint":
        return target + 8, target
    if structure.targets == "nested":
        inset = torch.tensor([3.0, 5.0, -7.0, -1.0], dtype=torch.float64) / 32
        return target + inset * size.repeat(1, 2), target
    # Odd multiples of 1/32: the sides of two boxes never lie on one line by accident.
    shift = (torch.randint(-8, 8, target.shape, generator=generator).double() * 2 + 1) / 32
    return target + shift, target


def _boxes_corners(structure: Structure, generator: Generator, _: Params) -> tuple[Tensor, Tensor]:
    return _corners(structure, generator)


def _as_centres(boxes: Tensor) -> Tensor:
    return torch.cat([(boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]], 1)


def _boxes_centres(structure: Structure, generator: Generator, _: Params) -> tuple[Tensor, Tensor]:
    prediction, target = _corners(structure, generator)
    return _as_centres(prediction), _as_centres(target)


def _boxes_origins(structure: Structure, generator: Generator, _: Params) -> tuple[Tensor, Tensor]:
    prediction, target = (
        torch.cat([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], 1) for boxes in _corners(structure, generator)
    )
    return prediction, target


SPACES = tuple(
    Space(
        name=name,
        prediction=f"boxes [N, 4] as {words}",
        target=f"boxes [N, 4] as {words}",
        fill=fill_boxes,
        magnitudes=("ordinary",),
        target_profiles=("random", "match", "disjoint", "nested"),
        free=False,
    )
    for name, words, fill_boxes in (
        ("corners-corners", "corners (x1, y1, x2, y2)", _boxes_corners),
        ("centres-centres", "centre and size (cx, cy, w, h)", _boxes_centres),
        ("origins-origins", "corner and size (x, y, w, h)", _boxes_origins),
    )
)
