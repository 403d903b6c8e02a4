"""Binary cross-entropy and its focal form."""

from __future__ import annotations

from exact.digits import Array, Exact, Params, log, number, power, sigmoid, times, where


def _factor(params: Params, name: str) -> Array:
    return number(1 if params.get(name) is None else float(params[name]))


def of_scores(x: Array, y: Array, params: Params) -> Array:
    positive = _factor(params, "pos_weight") * times(y, log(sigmoid(x)))
    return -_factor(params, "weight") * (positive + times(1 - y, log(sigmoid(-x))))


def of_probabilities(p: Array, y: Array, params: Params) -> Array:
    guard = number(params.get("guard") or 0)
    return -_factor(params, "weight") * (times(y, log(p + guard)) + times(1 - y, log(1 - p + guard)))


def focal(x: Array, y: Array, params: Params) -> Array:
    towards = where(y >= 0.5, x, -x)
    alpha = params.get("alpha")
    share = number(1) if alpha is None else where(y >= 0.5, number(alpha), 1 - number(alpha))
    modulation = power(sigmoid(-towards), number(params["gamma"]))
    return -share * modulation * log(sigmoid(towards))


EXACT = {
    "bce_with_logits": Exact(of_scores, ({"pos_weight": 3.0}, {"weight": 0.5}), relative=True),
    "bce": Exact(of_probabilities, ({"weight": 0.5}, {"guard": 1e-7})),
    "sigmoid_focal_loss": Exact(
        focal, ({"gamma": 2.0, "alpha": 0.25}, {"gamma": 0.5}, {"gamma": 1.5, "alpha": 0.75}), relative=True
    ),
}
