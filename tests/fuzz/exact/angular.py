"""Embeddings against one learned row for each class, by the angles themselves."""

from __future__ import annotations

import mpmath
import numpy as np

from exact.digits import Array, Exact, Params, arccos, cos, log, number, pick, softmax, unit, vector, where


def _cosines(x: Array, params: Params) -> Array:
    return unit(x) @ unit(vector(params["weight"])).T


def _entropy(cosines: Array, own: Array, y: Array, params: Params) -> Array:
    """Cross-entropy of scaled cosines, with other cosines for the own class."""
    mine = np.arange(cosines.shape[1])[None, :] == y[:, None]
    return -log(pick(softmax(number(params["s"]) * where(mine, own, cosines)), y))


def arcface_of_cosines(cosines: Array, y: Array, params: Params) -> Array:
    m = number(params["m"])
    angles = arccos(cosines)
    own = cos(angles + m)
    if params["beyond"] == "linear":
        own = where(angles + m < mpmath.pi, own, cosines - m * mpmath.sin(m))
    elif params["beyond"] == "easy":
        own = where(angles < mpmath.pi / 2, own, cosines)
    return _entropy(cosines, own, y, params)


def cosface_of_cosines(cosines: Array, y: Array, params: Params) -> Array:
    return _entropy(cosines, cosines - number(params["m"]), y, params)


def arcface(x: Array, y: Array, params: Params) -> Array:
    return arcface_of_cosines(_cosines(x, params), y, params)


def cosface(x: Array, y: Array, params: Params) -> Array:
    return cosface_of_cosines(_cosines(x, params), y, params)


def center(x: Array, y: Array, params: Params) -> Array:
    return number(params["factor"]) * ((x - vector(params["weight"])[y]) ** 2).sum(axis=1)


_ROWS = {"weight": [[0.75, -0.3], [-0.2, 0.9], [-1.1, -0.45]]}
EXACT = {
    "arcface": Exact(
        arcface,
        (_ROWS, {**_ROWS, "s": 8.0, "m": 0.25, "beyond": "linear"}, {**_ROWS, "s": 16.0, "beyond": "easy"}),
    ),
    "cosface": Exact(cosface, (_ROWS, {**_ROWS, "s": 8.0, "m": 0.125})),
    "arcface_of_cosines": Exact(
        arcface_of_cosines, ({"s": 8.0, "m": 0.25, "beyond": "linear"}, {"s": 16.0, "beyond": "easy"})
    ),
    "cosface_of_cosines": Exact(cosface_of_cosines, ({"s": 8.0, "m": 0.125},)),
    "center_loss": Exact(center, (_ROWS, {**_ROWS, "factor": 1.0})),
}
