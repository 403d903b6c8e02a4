"""Cross-entropy over classes."""

from __future__ import annotations

from typing import Any

import numpy as np

from exact.digits import Array, Exact, Params, log, number, pick, softmax, times, vector


def _smoothed(log_p: Array, target: Array, params: Params) -> Array:
    classes = log_p.shape[1]
    smoothing = number(params.get("label_smoothing") or 0)
    weight = vector([1.0] * classes if params.get("weight") is None else params["weight"])
    weighted = log_p * weight.reshape(1, -1, *[1] * (log_p.ndim - 2))
    if target.dtype == object:
        return -times(target * (1 - smoothing) + smoothing / classes, weighted).sum(axis=1)
    ignored = params.get("ignore_index")
    kept = np.ones(target.shape, dtype=bool) if ignored is None else target != ignored
    own = pick(weighted, np.where(kept, target, 0))
    rest = weighted.sum(axis=1) * smoothing / classes if smoothing else 0 * number(1)
    return np.where(kept, -(own * (1 - smoothing) + rest), number(0))


def cross_entropy(x: Array, y: Array, params: Params) -> Array:
    return _smoothed(log(softmax(x)), y, params)


def of_probabilities(p: Array, y: Array, params: Params) -> Array:
    return _smoothed(log(p + number(params.get("guard") or 0)), y, params)


def tempered(x: Array, y: Array, params: Params) -> Array:
    heat = number(params["temperature"])
    return cross_entropy(x / heat, y, params) * heat ** {"1": 0, "T": 1, "T^2": 2}[params["factor"]]


WEIGHT = [2.0, 0.5]
PARAMS: tuple[dict[str, Any], ...] = (
    {"label_smoothing": 0.125},
    {"ignore_index": -100},
    {"weight": WEIGHT, "ignore_index": -100},
)
EXACT = {
    "cross_entropy": Exact(cross_entropy, (*PARAMS, {"weight": WEIGHT, "label_smoothing": 0.25})),
    "cross_entropy_with_temperature": Exact(
        tempered,
        tuple(
            {"temperature": 0.5, "factor": factor, **extra}
            for factor in ("1", "T", "T^2")
            for extra in PARAMS
        ),
    ),
    "cross_entropy_of_probabilities": Exact(of_probabilities, (*PARAMS, {"guard": 1e-6})),
    "nll_loss": Exact(_smoothed, PARAMS),
}
