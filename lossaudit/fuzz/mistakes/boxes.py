"""How losses on boxes go wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from lossaudit.fuzz.model import Mistake, Parameter, Terms

if TYPE_CHECKING:
    from torch import Tensor

    from lossaudit.fuzz.model import Formula, Params

IOU = ("iou_loss", "iou_loss_of_centres")
THRESHOLD = Parameter("threshold", 0.5, "number", ("threshold", "iou_threshold", "thresh", "thr"))
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


MISTAKES = (
    Mistake(
        "minus-iou",
        IOU,
        "is -IoU, not 1 - IoU: it is -1 at the perfect match, not 0",
        wrong=_minus_iou,
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
)
