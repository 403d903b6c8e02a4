"""Variants of cross-entropy."""

from __future__ import annotations

import numpy as np

from exact.digits import (
    Array,
    Exact,
    Params,
    exp,
    larger,
    log,
    number,
    pick,
    power,
    sigmoid,
    smaller,
    softmax,
    vector,
    where,
)


def _kept(y: Array, params: Params) -> tuple[Array, Array]:
    if y.dtype == object:
        y = y.argmax(axis=1)
    ignored = params.get("ignore_index")
    kept = np.ones(y.shape, dtype=bool) if ignored is None else y != ignored
    return np.where(kept, y, 0), kept


def _shares(value: object, index: Array) -> Array:
    if value is None:
        return number(1)
    row = vector(value)
    return row[index] if row.ndim else number(float(row))


def _of_classes(x: Array, y: Array, params: Params) -> tuple[Array, Array, Array, Array]:
    """p and 1 - p of the true class, its index, and which samples are kept."""
    index, kept = _kept(y, params)
    p = softmax(x)
    own = pick(p, index)
    others = np.arange(x.shape[1]).reshape(1, -1, *([1] * (x.ndim - 2))) != np.expand_dims(index, 1)
    return own, where(others, p, number(0)).sum(axis=1), index, kept


def _left(losses: Array, kept: Array) -> Array:
    return where(kept, losses, number(0))


def focal(x: Array, y: Array, params: Params) -> Array:
    p, rest, index, kept = _of_classes(x, y, params)
    return _left(-_shares(params.get("alpha"), index) * power(rest, number(params["gamma"])) * log(p), kept)


def unlikelihood(x: Array, y: Array, params: Params) -> Array:
    _, rest, _, kept = _of_classes(x, y, params)
    guard = number(params.get("guard") or 0)
    if params.get("guard_form") == "clamp":
        return _left(-log(larger(rest, guard)), kept)
    return _left(-log(rest + guard), kept)


def focal_of_probabilities(p: Array, y: Array, params: Params) -> Array:
    index, kept = _kept(y, params)
    own = pick(p, index)
    losses = -power(1 - own, number(params["gamma"])) * log(own + number(params.get("guard") or 0))
    return _left(_shares(params.get("alpha"), index) * losses, kept)


def zlpr(x: Array, y: Array, _: Params) -> Array:
    positive = where(y > 0.5, exp(-x), number(0)).sum(axis=-1)
    negative = where(y > 0.5, number(0), exp(x)).sum(axis=-1)
    return np.asarray(log(1 + positive) + log(1 + negative), dtype=object)


def poly1(x: Array, y: Array, params: Params) -> Array:
    p, rest, _, kept = _of_classes(x, y, params)
    return _left(-log(p) + number(params["epsilon"]) * rest, kept)


def poly1_focal(x: Array, y: Array, params: Params) -> Array:
    towards = where(y >= 0.5, x, -x)
    alpha, gamma = params.get("alpha"), number(params["gamma"])
    share = number(1) if alpha is None else where(y >= 0.5, number(alpha), 1 - number(alpha))
    rest = sigmoid(-towards)
    return -share * power(rest, gamma) * log(sigmoid(towards)) + number(params["epsilon"]) * power(
        rest, gamma + 1
    )


def symmetric(x: Array, y: Array, params: Params) -> Array:
    p, rest, _, kept = _of_classes(x, y, params)
    reverse = -number(params["log_zero"]) * rest
    return _left(-number(params["alpha"]) * log(p) + number(params["beta"]) * reverse, kept)


def generalised(x: Array, y: Array, params: Params) -> Array:
    p, _, _, kept = _of_classes(x, y, params)
    p, q = larger(p, number(params.get("guard") or 0)), number(params["q"])
    return _left((1 - power(p, q)) / q if q else -log(p), kept)


def asymmetric(x: Array, y: Array, params: Params) -> Array:
    guard, clip = number(params["guard"] or 0), number(params["clip"])
    forgiven = larger(sigmoid(x) - clip, number(0))
    positive = -log(larger(sigmoid(x), guard))
    negative = -log(larger(smaller(sigmoid(-x) + clip, number(1)), guard))
    rewarded = power(sigmoid(-x), number(params["gamma_pos"])) * positive
    return where(y >= 0.5, rewarded, power(forgiven, number(params["gamma_neg"])) * negative)


def class_balanced(x: Array, y: Array, params: Params) -> Array:
    counts, beta = params["counts"], number(params["beta"])
    if counts is None or beta == 0:
        return focal(x, y, {**params, "alpha": None})
    weights = (1 - beta) / (1 - power(beta, vector(counts)))
    if params["form"] == "normalised":
        weights = weights * len(weights) / weights.sum()
    _, _, index, _ = _of_classes(x, y, params)
    return weights[index] * focal(x, y, {**params, "alpha": None})


def logit_adjusted(x: Array, y: Array, params: Params) -> Array:
    if params["prior"] is not None:
        shape = (1, -1, *([1] * (x.ndim - 2)))
        x = x + (number(params["tau"]) * log(vector(params["prior"]))).reshape(shape)
    p, _, _, kept = _of_classes(x, y, params)
    return _left(-log(p), kept)


def ldam(x: Array, y: Array, params: Params) -> Array:
    index, _ = _kept(y, params)
    if params["margins"] is not None:
        own = np.arange(x.shape[1]).reshape(1, -1, *([1] * (x.ndim - 2))) == np.expand_dims(index, 1)
        x = where(own, x - np.expand_dims(vector(params["margins"])[index], 1), x)
    p, _, _, kept = _of_classes(number(params["scale"]) * x, y, params)
    return _left(-_shares(params["weight"], index) * log(p), kept)


_COUNTS = [100.0, 10.0, 2.0]
EXACT = {
    "unlikelihood_loss": Exact(
        unlikelihood, ({"guard": 1e-6}, {"guard": 1e-7, "guard_form": "clamp"}, {"ignore_index": -100})
    ),
    "focal_loss": Exact(focal, ({"gamma": 2.0}, {"gamma": 1.5, "alpha": [0.25, 1.0, 0.5]})),
    "poly1_cross_entropy": Exact(poly1, ({"epsilon": 2.0}, {"epsilon": -1.0})),
    "focal_loss_of_probabilities": Exact(
        focal_of_probabilities, ({"gamma": 2.0}, {"gamma": 1.5, "alpha": [0.25, 1.0, 0.5], "guard": 1e-6})
    ),
    "zlpr_loss": Exact(zlpr),
    "poly1_focal_loss": Exact(poly1_focal, ({"epsilon": 1.0, "gamma": 2.0, "alpha": 0.25},)),
    "symmetric_cross_entropy": Exact(
        symmetric, ({"beta": 1.0, "alpha": 0.5}, {"beta": 1.0, "log_zero": -9.0})
    ),
    "generalised_cross_entropy": Exact(generalised, ({"q": 0.7}, {"q": 1.0}, {"q": 0.7, "guard": 1e-5})),
    "asymmetric_loss": Exact(
        asymmetric, ({"gamma_neg": 4.0, "gamma_pos": 1.0, "clip": 0.05, "guard": 1e-8}, {"gamma_neg": 2.0})
    ),
    "class_balanced_loss": Exact(
        class_balanced,
        ({"counts": _COUNTS, "beta": 0.99}, {"counts": _COUNTS, "beta": 0.9, "gamma": 2.0, "form": "plain"}),
    ),
    "logit_adjusted_loss": Exact(logit_adjusted, ({"prior": [0.7, 0.2, 0.1]},)),
    "ldam_loss": Exact(ldam, ({"margins": [0.125, 0.25, 0.5], "scale": 4.0},)),
}
