"""Losses on pairs of boxes."""

from __future__ import annotations

import numpy as np

from exact.digits import Array, Exact, Params, larger, number, smaller


def corners(boxes: Array) -> Array:
    centre, size = boxes[:, :2], boxes[:, 2:]
    return np.concatenate([centre - size / 2, centre + size / 2], axis=1)


def overlap(first: Array, second: Array) -> tuple[Array, Array]:
    """Intersection and union."""
    low, high = larger(first[:, :2], second[:, :2]), smaller(first[:, 2:], second[:, 2:])
    sides = larger(high - low, number(0))
    shared = sides[:, 0] * sides[:, 1]

    def area(boxes: Array) -> Array:
        return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])

    return shared, area(first) + area(second) - shared


def iou(first: Array, second: Array, _: Params) -> Array:
    shared, union = overlap(first, second)
    return 1 - shared / union


def iou_of_centres(first: Array, second: Array, params: Params) -> Array:
    return iou(corners(first), corners(second), params)


EXACT = {"iou_loss": Exact(iou), "iou_loss_of_centres": Exact(iou_of_centres)}
