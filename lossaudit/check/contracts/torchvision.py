"""Torchvision: the focal loss of detectors, the losses of overlapping boxes, and datasets with a class for each image (as of 0.2x)."""

from __future__ import annotations

from lossaudit.check.contracts.schema import Dataset, Framework, Loss

_OPS = "torchvision.ops."
_BOXES = "boxes1: input, boxes2: target, reduction='none', eps=1e-07"


def _box_loss(name: str) -> Loss:
    return Loss(name, functions=(_OPS + name,), signature=_BOXES)


_DATASETS = "torchvision.datasets."
_TRAIN = "root, train=True, transform=None, target_transform=None, download=False"
_SPLIT = "root, split='train', transform=None, target_transform=None, download=False"
_FOLDER = "root, transform=None, target_transform=None, loader=None, is_valid_file=None"
_LABELLED = (
    (_TRAIN, ("MNIST", "FashionMNIST", "KMNIST", "CIFAR10", "CIFAR100", "USPS")),
    (_SPLIT, ("SVHN", "Food101", "Flowers102", "GTSRB", "StanfordCars")),
    (_FOLDER, ("ImageFolder",)),
)

FRAMEWORK = Framework(
    name="torchvision",
    roots=("torchvision",),
    prefixes=(
        *((f"torchvision.ops.{module}.", _OPS) for module in ("focal_loss", "giou_loss", "diou_loss", "ciou_loss")),
        *((f"torchvision.datasets.{module}.", _DATASETS) for module in ("mnist", "cifar", "folder", "svhn")),
    ),
    losses=(
        Loss("sigmoid_focal_loss", functions=(_OPS + "sigmoid_focal_loss",),
             signature="inputs: input, targets: target, alpha=0.25, gamma=2, reduction='none'",
             expects="binary_logits", target_expects="binary", applies="a sigmoid"),
        _box_loss("generalized_box_iou_loss"),
        _box_loss("distance_box_iou_loss"),
        _box_loss("complete_box_iou_loss"),
    ),
    datasets=tuple(
        Dataset(tuple(_DATASETS + name for name in names), signature, "labelled") for signature, names in _LABELLED
    ),
)  # fmt: skip
