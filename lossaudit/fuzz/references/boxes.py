"""Losses on pairs of boxes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from lossaudit.fuzz.model import ReferenceSpec, Terms

if TYPE_CHECKING:
    from torch import Tensor

    from lossaudit.fuzz.model import Params


def corners_of_centres(boxes: Tensor) -> Tensor:
    """(cx, cy, w, h) as (x1, y1, x2, y2)."""
    centre, half = boxes[:, :2], boxes[:, 2:] / 2
    return torch.cat([centre - half, centre + half], 1)


def intersection_over_union(first: Tensor, second: Tensor) -> Tensor:
    """IoU of each pair of boxes given by corners."""
    low = torch.maximum(first[:, :2], second[:, :2])
    high = torch.minimum(first[:, 2:], second[:, 2:])
    overlap = (high - low).clamp(min=0).prod(1)
    areas = (first[:, 2:] - first[:, :2]).prod(1) + (second[:, 2:] - second[:, :2]).prod(1)
    return overlap / (areas - overlap)


def iou_of_corners(prediction: Tensor, target: Tensor, _: Params) -> Terms:
    """1 - IoU of boxes given by corners."""
    losses = 1 - intersection_over_union(prediction, target)
    return Terms(losses, torch.ones_like(losses))


def iou_of_centres(prediction: Tensor, target: Tensor, params: Params) -> Terms:
    """1 - IoU of boxes given by centre and size."""
    return iou_of_corners(corners_of_centres(prediction), corners_of_centres(target), params)


_SOURCE = "Rezatofighi et al. 2019, Generalized Intersection over Union, section 3 (arXiv:1902.09630)"
REFERENCES = (
    ReferenceSpec(
        name="iou_loss",
        summary="1 - IoU, boxes as corners",
        source=_SOURCE,
        spaces=("corners-corners",),
        formula=iou_of_corners,
        laws=frozenset({"additive", "minimum"}),
        kinks=True,
    ),
    ReferenceSpec(
        name="iou_loss_of_centres",
        summary="1 - IoU, boxes as centre and size",
        source=_SOURCE,
        spaces=("centres-centres",),
        formula=iou_of_centres,
        laws=frozenset({"additive", "minimum"}),
        kinks=True,
    ),
)
