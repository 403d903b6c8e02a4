"""How losses on boxes go wrong."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from lossaudit.fuzz.model import Mistake, Parameter, Terms
from lossaudit.fuzz.references.boxes import (
    REFERENCES,
    BoxLoss,
    Pair,
    aspect,
    aspect_difference,
    aspect_weight,
    diou_loss,
    distance_share,
    iou_loss,
    iou_of,
)

if TYPE_CHECKING:
    from torch import Tensor

    from lossaudit.fuzz.model import Formula, Params
    from lossaudit.fuzz.references.boxes import Geometry

ALL = tuple(spec.name for spec in REFERENCES)
IOU, GIOU, DIOU, CIOU = (
    tuple(name for name in ALL if name.startswith(kind)) for kind in ("iou", "giou", "diou", "ciou")
)
THRESHOLD = Parameter("threshold", 0.5, "number", ("threshold", "iou_threshold", "thresh", "thr"))
DIFFERENCE = Parameter(
    "difference", "size", "choice", guesses=("size", "prediction - target", "target - prediction")
)
LOW_WEIGHT = Parameter("low_weight", 1.0, "number", ("weight",), complements=("alpha", "smoothing"))


def _minus_iou(formula: Formula) -> Formula:
    def changed(prediction: Tensor, target: Tensor, params: Params) -> Terms:
        terms = formula(prediction, target, params)
        return Terms(terms.losses - 1, terms.shares)

    return changed


def _thresholded(formula: Formula) -> Formula:
    def changed(prediction: Tensor, target: Tensor, params: Params) -> Terms:
        iou = 1 - formula(prediction, target, params).losses
        weight = torch.where(iou < params["threshold"], params["low_weight"], 1.0)
        return Terms(-weight * iou, torch.ones_like(iou))

    return changed


def _geometry(geometry: Geometry) -> Callable[[Formula], Formula]:
    """The same loss of another geometry."""
    return lambda formula: replace(formula, geometry=geometry) if isinstance(formula, BoxLoss) else formula


def _adjusted(change: Callable[[Pair], Pair]) -> Callable[[Formula], Formula]:
    """The same geometry of a pair with a part that is wrong."""

    def wrong(formula: Formula) -> Formula:
        if not isinstance(formula, BoxLoss):
            return formula
        right = formula.geometry
        return replace(formula, geometry=lambda pair, params: right(change(pair), params))

    return wrong


def _without_clamp(formula: Formula) -> Formula:
    return replace(formula, clamped=False) if isinstance(formula, BoxLoss) else formula


def _plus_one(formula: Formula) -> Formula:
    return replace(formula, extra=1.0) if isinstance(formula, BoxLoss) else formula


def _inner_hull(pair: Pair) -> Pair:
    """The box between the boxes in place of the box around them."""
    hull = torch.minimum(pair.first[:, 2:], pair.second[:, 2:]) - torch.maximum(
        pair.first[:, :2], pair.second[:, :2]
    )
    return replace(pair, hull=hull)


def _over_both_areas(pair: Pair, _: Params) -> Tensor:
    return 1 - pair.overlap / pair.areas


def _giou_minus(pair: Pair, params: Params) -> Tensor:
    hull = pair.hull.prod(1)
    return 1 - iou_of(pair, params) - (hull - pair.areas + pair.overlap) / hull


def _giou_over_union(pair: Pair, params: Params) -> Tensor:
    hull, union = pair.hull.prod(1), pair.areas - pair.overlap
    return 1 - iou_of(pair, params) + (hull - union) / union


def _giou_of_areas(pair: Pair, params: Params) -> Tensor:
    """The hull less the sum of the areas, the intersection not subtracted."""
    hull = pair.hull.prod(1)
    return 1 - iou_of(pair, params) + (hull - pair.areas) / hull


def _diou_minus(pair: Pair, params: Params) -> Tensor:
    return iou_loss(pair, params) - distance_share(pair, params)


def _diou_without_root(pair: Pair, params: Params) -> Tensor:
    """The distance by the diagonal, neither squared."""
    return iou_loss(pair, params) + distance_share(pair, params).sqrt()


def _diou_not_normalised(pair: Pair, params: Params) -> Tensor:
    return iou_loss(pair, params) + (pair.offset**2).sum(1)


def _diou_over_diagonal(pair: Pair, params: Params) -> Tensor:
    """The squared distance by the diagonal, which is not squared."""
    return iou_loss(pair, params) + (pair.offset**2).sum(1) / (pair.hull**2).sum(1).sqrt()


def _ciou_without_weight(pair: Pair, params: Params) -> Tensor:
    return diou_loss(pair, params) + aspect(pair)


def _ciou_weight_of_iou(pair: Pair, params: Params) -> Tensor:
    """The weight v / (IoU + v): the complement is missing in the weight."""
    v = aspect(pair)
    alpha = v / (iou_of(pair, params) + v + (params.get("epsilon") or 0.0))
    return diou_loss(pair, params) + alpha.detach() * v


def _ciou_without_constant(pair: Pair, params: Params) -> Tensor:
    v = aspect(pair) / 0.4052847345693511  # 4 / pi^2
    return diou_loss(pair, params) + aspect_weight(pair, v, params) * v


def _ciou_minus(pair: Pair, params: Params) -> Tensor:
    v = aspect(pair)
    return diou_loss(pair, params) - aspect_weight(pair, v, params) * v


def _ciou_not_squared(pair: Pair, params: Params) -> Tensor:
    """The difference of the angles itself, as target less prediction, the other way round, or its size."""
    difference = aspect_difference(pair)
    taken: dict[str, Tensor] = {
        "prediction - target": difference,
        "target - prediction": -difference,
        "size": difference.abs(),
    }
    v = taken[params["difference"]] * (4 / math.pi**2)
    return diou_loss(pair, params) + aspect_weight(pair, v, params) * v


MISTAKES = (
    Mistake(
        "corners-as-pixels",
        ALL,
        "adds 1 to each width and height, as where corners are pixels that belong to the box: a published convention",
        wrong=_plus_one,
        convention=True,
    ),
    Mistake(
        "minus-iou",
        IOU,
        "is -IoU, not 1 - IoU: it is -1 at the perfect match, not 0",
        wrong=_minus_iou,
        convention=True,
    ),
    Mistake(
        "thresholded-iou-weight",
        IOU,
        "is -w IoU with w = {low_weight:g} below an IoU of {threshold:g} and 1 above: it is -1 at the perfect match, "
        "not 0, and value and gradient jump at the threshold",
        codes=("LF101", "LF102"),
        wrong=_thresholded,
        parameters=(THRESHOLD, LOW_WEIGHT),
    ),
    Mistake(
        "score-for-loss",
        IOU,
        "is the IoU itself, not 1 minus it: training makes the match worse",
        wrong=_geometry(iou_of),
    ),
    Mistake(
        "union-with-intersection-twice",
        ALL,
        "divides by the sum of the areas: the intersection is counted twice in the union",
        wrong=_geometry(_over_both_areas),
    ),
    Mistake(
        "intersection-not-clamped",
        ALL,
        "does not clamp the sides of the intersection at zero: boxes that lie apart in both directions seem to overlap",
        wrong=_without_clamp,
    ),
    Mistake(
        "hull-for-enclosing-box",
        (*GIOU, *DIOU, *CIOU),
        "takes the box between the two for the box around them: minimum and maximum are exchanged",
        wrong=_adjusted(_inner_hull),
    ),
    Mistake(
        "giou-sign",
        GIOU,
        "subtracts the empty share of the enclosing box from the loss: the further apart, the better",
        wrong=_geometry(_giou_minus),
    ),
    Mistake(
        "giou-over-union",
        GIOU,
        "divides the empty area by the union, not by the enclosing box",
        wrong=_geometry(_giou_over_union),
    ),
    Mistake(
        "giou-without-intersection",
        GIOU,
        "subtracts both areas from the enclosing box, the intersection twice",
        wrong=_geometry(_giou_of_areas),
    ),
    Mistake(
        "distance-sign",
        DIOU,
        "subtracts the distance of the centres: the further apart, the better",
        wrong=_geometry(_diou_minus),
    ),
    Mistake(
        "distance-not-squared",
        DIOU,
        "divides the distance by the diagonal, neither of them squared",
        wrong=_geometry(_diou_without_root),
    ),
    Mistake(
        "distance-not-normalised",
        DIOU,
        "adds the squared distance without dividing it by the squared diagonal: it depends on the size of the image",
        wrong=_geometry(_diou_not_normalised),
    ),
    Mistake(
        "diagonal-not-squared",
        DIOU,
        "divides the squared distance by the diagonal, which is not squared",
        wrong=_geometry(_diou_over_diagonal),
    ),
    Mistake(
        "aspect-without-weight",
        CIOU,
        "adds the aspect term without its weight alpha",
        wrong=_geometry(_ciou_without_weight),
    ),
    Mistake(
        "aspect-weight-of-iou",
        CIOU,
        "weighs the aspect term by v / (IoU + v), not by v / (1 - IoU + v)",
        wrong=_geometry(_ciou_weight_of_iou),
    ),
    Mistake(
        "aspect-without-constant",
        CIOU,
        "lacks the factor 4 / pi^2 at the aspect term",
        wrong=_geometry(_ciou_without_constant),
    ),
    Mistake(
        "aspect-not-squared",
        CIOU,
        "does not square the difference of the angles in the aspect term",
        wrong=_geometry(_ciou_not_squared),
        parameters=(DIFFERENCE,),
    ),
    Mistake(
        "aspect-sign",
        CIOU,
        "subtracts the aspect term",
        wrong=_geometry(_ciou_minus),
    ),
)
