"""Hinge losses."""

from __future__ import annotations

import itertools

import numpy as np

from exact.digits import Array, Exact, Params, exp, larger, log, number, pick, vector, where


def hinge(x: Array, y: Array, params: Params) -> Array:
    return larger(number(params["margin"]) - where(y > 0, x, -x), number(0))


def squared_hinge(x: Array, y: Array, params: Params) -> Array:
    return hinge(x, y, params) ** 2


def soft_margin(x: Array, y: Array, _: Params) -> Array:
    return log(1 + exp(-y * x))


def multi_margin(x: Array, y: Array, params: Params) -> Array:
    gaps = larger(number(params["margin"]) - pick(x, y)[:, None] + x, number(0)) ** params["p"]
    others = np.arange(x.shape[1]).reshape(1, -1, *([1] * (x.ndim - 2))) != np.expand_dims(y, 1)
    losses = where(others, gaps, number(0)).sum(axis=1) / x.shape[1]
    return losses if params["weight"] is None else losses * vector(params["weight"])[y]


def multilabel_margin(x: Array, y: Array, params: Params) -> Array:
    losses = []
    for scores, row in zip(x, y, strict=True):
        own = list(itertools.takewhile(lambda c: c >= 0, row))
        others = [c for c in range(len(scores)) if c not in own]
        gaps = [params["margin"] - scores[j] + scores[i] for j in own for i in others]
        losses.append(sum((max(gap, number(0)) for gap in gaps), number(0)) / len(scores))
    return np.array(losses, dtype=object)


EXACT = {
    "multilabel_margin_loss": Exact(multilabel_margin, ({"margin": 0.5},)),
    "hinge_loss": Exact(hinge, ({"margin": 0.5},)),
    "squared_hinge_loss": Exact(squared_hinge, ({"margin": 2.0},)),
    "soft_margin_loss": Exact(soft_margin),
    "multi_margin_loss": Exact(multi_margin, ({"p": 2}, {"weight": [1.0, 2.0, 0.5]})),
}
