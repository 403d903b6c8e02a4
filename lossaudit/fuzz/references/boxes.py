"""Losses on pairs of boxes: IoU, GIoU, DIoU and CIoU, of corners, of centre and size, and of corner and size."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from lossaudit.fuzz.model import Parameter, ReferenceSpec, Terms

if TYPE_CHECKING:
    from torch import Tensor

    from lossaudit.fuzz.model import Params

EPSILON = Parameter("epsilon", 0.0, "number", ("eps", "epsilon"), high=1e-2)
ALPHA_GRADIENT = Parameter("alpha_gradient", "stopped", "slope", guesses=("through",))


def corners_of_centres(boxes: Tensor) -> Tensor:
    """(cx, cy, w, h) as (x1, y1, x2, y2)."""
    centre, half = boxes[:, :2], boxes[:, 2:] / 2
    return torch.cat([centre - half, centre + half], 1)


def corners_of_origins(boxes: Tensor) -> Tensor:
    """(x, y, w, h) as (x1, y1, x2, y2)."""
    return torch.cat([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], 1)


def same(boxes: Tensor) -> Tensor:
    """Corners as they are."""
    return boxes


@dataclass(frozen=True, slots=True)
class Pair:
    """Two boxes by corners, and what all losses of them are made of.

    ``hull`` holds the sides of the smallest box around both; ``offset`` is the step from one centre to the other.
    """

    first: Tensor
    second: Tensor
    overlap: Tensor
    areas: Tensor
    hull: Tensor
    offset: Tensor

    @staticmethod
    def of(first: Tensor, second: Tensor, extra: float = 0.0, *, clamped: bool = True) -> Pair:
        """The parts of a pair; ``extra`` is added to each side, as where corners are pixels that both belong to a box."""
        shared = (
            torch.minimum(first[:, 2:], second[:, 2:]) - torch.maximum(first[:, :2], second[:, :2]) + extra
        )
        sizes = [boxes[:, 2:] - boxes[:, :2] + extra for boxes in (first, second)]
        hull = torch.maximum(first[:, 2:], second[:, 2:]) - torch.minimum(first[:, :2], second[:, :2]) + extra
        offset = (first[:, :2] + first[:, 2:] - second[:, :2] - second[:, 2:]) / 2
        overlap = (shared.clamp(min=0) if clamped else shared).prod(1)
        return Pair(first, second, overlap, sizes[0].prod(1) + sizes[1].prod(1), hull, offset)


def iou_of(pair: Pair, params: Params) -> Tensor:
    """Intersection over union."""
    return pair.overlap / (pair.areas - pair.overlap + (params.get("epsilon") or 0.0))


def iou_loss(pair: Pair, params: Params) -> Tensor:
    """1 - IoU."""
    return 1 - iou_of(pair, params)


def giou_loss(pair: Pair, params: Params) -> Tensor:
    """1 - IoU plus the share of the hull that neither box covers."""
    hull = pair.hull.prod(1)
    union = pair.areas - pair.overlap
    return 1 - iou_of(pair, params) + (hull - union) / (hull + (params.get("epsilon") or 0.0))


def distance_share(pair: Pair, params: Params) -> Tensor:
    """Squared distance of the centres by the squared diagonal of the hull."""
    return (pair.offset**2).sum(1) / ((pair.hull**2).sum(1) + (params.get("epsilon") or 0.0))


def diou_loss(pair: Pair, params: Params) -> Tensor:
    """1 - IoU plus the distance of the centres."""
    return 1 - iou_of(pair, params) + distance_share(pair, params)


def aspect_difference(pair: Pair) -> Tensor:
    """The difference of the angles of the diagonals."""
    angles = [
        torch.atan((boxes[:, 2] - boxes[:, 0]) / (boxes[:, 3] - boxes[:, 1]))
        for boxes in (pair.first, pair.second)
    ]
    return angles[0] - angles[1]


def aspect(pair: Pair) -> Tensor:
    """4 / pi^2 times the squared difference of the angles of the diagonals."""
    return 4 / math.pi**2 * aspect_difference(pair) ** 2


def aspect_weight(pair: Pair, v: Tensor, params: Params) -> Tensor:
    """The weight v / (1 - IoU + v), 0 where both are 0; a constant to autograd unless ``alpha_gradient`` says otherwise."""
    bottom = 1 - iou_of(pair, params) + v + (params.get("epsilon") or 0.0)
    alpha = torch.where(
        bottom == 0, torch.zeros_like(v), v / torch.where(bottom == 0, torch.ones_like(v), bottom)
    )
    return alpha if params.get("alpha_gradient") == "through" else alpha.detach()


def ciou_loss(pair: Pair, params: Params) -> Tensor:
    """DIoU plus the weighted difference of the aspects."""
    v = aspect(pair)
    return diou_loss(pair, params) + aspect_weight(pair, v, params) * v


Geometry = Callable[[Pair, "Params"], "Tensor"]


@dataclass(frozen=True, slots=True)
class BoxLoss:
    """A loss of pairs of boxes behind a conversion to corners."""

    geometry: Geometry
    corners: Callable[[Tensor], Tensor]
    extra: float = 0.0
    clamped: bool = True

    def __call__(self, prediction: Tensor, target: Tensor, params: Params) -> Terms:
        """One loss for each pair."""
        pair = Pair.of(self.corners(prediction), self.corners(target), self.extra, clamped=self.clamped)
        losses = self.geometry(pair, params)
        return Terms(losses, torch.ones_like(losses))


_FORMS = (
    ("", "corners", "corners-corners", same),
    ("_of_centres", "centre and size", "centres-centres", corners_of_centres),
    ("_of_origins", "corner and size", "origins-origins", corners_of_origins),
)
_FAMILIES: tuple[tuple[str, str, str, Geometry, tuple[Parameter, ...]], ...] = (
    (
        "iou_loss",
        "1 - IoU",
        "Rezatofighi et al. 2019, Generalized Intersection over Union, section 3 (arXiv:1902.09630)",
        iou_loss,
        (EPSILON,),
    ),
    (
        "giou_loss",
        "1 - IoU + (|C| - |A or B|) / |C|, C the smallest box around both",
        "Rezatofighi et al. 2019, Generalized Intersection over Union, equation 1 (arXiv:1902.09630)",
        giou_loss,
        (EPSILON,),
    ),
    (
        "diou_loss",
        "1 - IoU + d^2 / c^2, d between the centres, c the diagonal of the box around both",
        "Zheng et al. 2020, Distance-IoU Loss, equation 7 (arXiv:1911.08287)",
        diou_loss,
        (EPSILON,),
    ),
    (
        "ciou_loss",
        "1 - IoU + d^2 / c^2 + a v, v = 4 / pi^2 (atan(w/h) - atan(w'/h'))^2, a = v / (1 - IoU + v) held constant",
        "Zheng et al. 2020, Distance-IoU Loss, equations 8 to 12 (arXiv:1911.08287)",
        ciou_loss,
        (EPSILON, ALPHA_GRADIENT),
    ),
)

REFERENCES = tuple(
    ReferenceSpec(
        name=f"{family}{suffix}",
        summary=f"{summary}, boxes as {words}",
        source=source,
        spaces=(space,),
        formula=BoxLoss(geometry, corners),
        parameters=parameters,
        laws=frozenset({"additive", "minimum", "permutation"}),
        kinks=True,
    )
    for suffix, words, space, corners in _FORMS
    for family, summary, source, geometry, parameters in _FAMILIES
)
