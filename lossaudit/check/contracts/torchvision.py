"""Torchvision's losses: the focal loss of detectors, and the losses of overlapping boxes (signatures as of 0.2x)."""

from __future__ import annotations

from lossaudit.check.contracts.schema import Framework, Loss

_OPS = "torchvision.ops."
_BOXES = "boxes1: input, boxes2: target, reduction='none', eps=1e-07"


def _box_loss(name: str) -> Loss:
    return Loss(name, functions=(_OPS + name,), signature=_BOXES)


FRAMEWORK = Framework(
    name="torchvision",
    roots=("torchvision",),
    prefixes=tuple(
        (f"torchvision.ops.{module}.", _OPS) for module in ("focal_loss", "giou_loss", "diou_loss", "ciou_loss")
    ),
    losses=(
        Loss("sigmoid_focal_loss", functions=(_OPS + "sigmoid_focal_loss",),
             signature="inputs: input, targets: target, alpha=0.25, gamma=2, reduction='none'",
             expects="binary_logits", target_expects="binary", applies="a sigmoid"),
        _box_loss("generalized_box_iou_loss"),
        _box_loss("distance_box_iou_loss"),
        _box_loss("complete_box_iou_loss"),
    ),
)  # fmt: skip
