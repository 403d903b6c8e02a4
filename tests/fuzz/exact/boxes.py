"""Losses on pairs of boxes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np

from exact.digits import Array, Exact, Params, larger, number, smaller, unheld

atan = np.frompyfunc(mpmath.atan, 1, 1)


def of_centres(boxes: Array) -> Array:
    centre, size = boxes[:, :2], boxes[:, 2:]
    return np.concatenate([centre - size / 2, centre + size / 2], axis=1)


def of_origins(boxes: Array) -> Array:
    return np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)


def _area(boxes: Array) -> Array:
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])


def overlap(first: Array, second: Array) -> tuple[Array, Array]:
    """Intersection and union."""
    low, high = larger(first[:, :2], second[:, :2]), smaller(first[:, 2:], second[:, 2:])
    sides = larger(high - low, number(0))
    shared = sides[:, 0] * sides[:, 1]
    return shared, _area(first) + _area(second) - shared


def _around(first: Array, second: Array) -> Array:
    return np.concatenate([smaller(first[:, :2], second[:, :2]), larger(first[:, 2:], second[:, 2:])], axis=1)


def iou(first: Array, second: Array, params: Params) -> Array:
    shared, union = overlap(first, second)
    return 1 - shared / (union + number(params.get("epsilon") or 0))


def giou(first: Array, second: Array, params: Params) -> Array:
    _, union = overlap(first, second)
    hull = _area(_around(first, second))
    return iou(first, second, params) + (hull - union) / (hull + number(params.get("epsilon") or 0))


def diou(first: Array, second: Array, params: Params) -> Array:
    hull = _around(first, second)
    offset = (first[:, :2] + first[:, 2:] - second[:, :2] - second[:, 2:]) / 2
    diagonal = ((hull[:, 2:] - hull[:, :2]) ** 2).sum(axis=1) + number(params.get("epsilon") or 0)
    return iou(first, second, params) + (offset**2).sum(axis=1) / diagonal


def _alpha_and_aspect(first: Array, second: Array, params: Params) -> tuple[Array, Array]:
    angles = [atan((b[:, 2] - b[:, 0]) / (b[:, 3] - b[:, 1])) for b in (first, second)]
    v = 4 / mpmath.pi**2 * (angles[0] - angles[1]) ** 2
    bottom = iou(first, second, params) + v + number(params.get("epsilon") or 0)
    alpha = [a / b if b != 0 else number(0) for a, b in zip(v, bottom, strict=True)]
    return np.asarray(alpha, dtype=object), v


def ciou(first: Array, second: Array, params: Params) -> Array:
    alpha, v = _alpha_and_aspect(first, second, params)
    alpha = params.get("alpha_held", alpha)
    return diou(first, second, params) + alpha * v


def _hold_alpha(first: Array, second: Array, params: Params) -> Params:
    """The weight of the aspect as a constant, which is what the definition takes for the slope."""
    if params["alpha_gradient"] == "through":
        return params
    return {**params, "alpha_held": _alpha_and_aspect(first, second, params)[0]}


def _behind(corners: Callable[[Array], Array], loss: Callable[..., Any]) -> Callable[..., Any]:
    return lambda first, second, params: loss(corners(first), corners(second), params)


EXACT = {
    f"{name}{suffix}": Exact(
        _behind(corners, loss),
        params,
        hold=_behind(corners, _hold_alpha) if loss is ciou else unheld,
    )
    for suffix, corners in (("", lambda b: b), ("_of_centres", of_centres), ("_of_origins", of_origins))
    for name, loss, params in (
        ("iou_loss", iou, ({"epsilon": 1e-3},)),
        ("giou_loss", giou, ({"epsilon": 1e-3},)),
        ("diou_loss", diou, ({"epsilon": 1e-3},)),
        ("ciou_loss", ciou, ({"alpha_gradient": "through"},)),
    )
}
