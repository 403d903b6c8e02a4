"""Losses on distances between embeddings."""

from __future__ import annotations

from exact.digits import Array, Exact, Params, larger, number, power, smaller


def distance(first: Array, second: Array, params: Params) -> Array:
    """The distance over the last axis, of order 2 where there is no parameter for it."""
    order, eps, form = number(params.get("p", 2)), number(params["eps"]), params["eps_form"]
    if form == "difference":
        return power(power(abs(first - second + eps), order).sum(axis=-1), 1 / order)
    raised = power(abs(first - second), order).sum(axis=-1)
    return power(raised + eps if form == "root" else larger(raised, eps), 1 / order)


def _triplet(triplets: Array, _: Array, params: Params) -> Array:
    anchor, positive, negative = triplets[:, 0], triplets[:, 1], triplets[:, 2]
    far = distance(anchor, negative, params)
    if params["swap"]:
        far = smaller(far, distance(positive, negative, params))
    return larger(distance(anchor, positive, params) - far + number(params["margin"]), number(0))


EXACT = {
    "triplet_margin": Exact(
        _triplet,
        ({"margin": 0.5, "p": 1.0}, {"swap": True, "p": 3.0}, {"eps_form": "root"}, {"eps_form": "clamp"}),
    ),
}
