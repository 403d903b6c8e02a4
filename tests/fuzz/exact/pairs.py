"""Losses on labelled pairs."""

from __future__ import annotations

from exact.digits import Array, Exact, Params, larger, number, unit, where
from exact.embeddings import distance


def contrastive(pairs: Array, y: Array, params: Params) -> Array:
    apart = distance(pairs[:, 0], pairs[:, 1], params)
    hinge = larger(number(params["margin"]) - apart, number(0))
    similar = y == (0 if params["similar"] == "label 0" else 1)
    return number(params["factor"]) * where(similar, apart, hinge) ** 2


def cosine_embedding(pairs: Array, y: Array, params: Params) -> Array:
    rows = unit(pairs)
    cosines = (rows[:, 0] * rows[:, 1]).sum(axis=1)
    return where(y == 1, 1 - cosines, larger(cosines - number(params["margin"]), number(0)))


def margin_ranking(pairs: Array, y: Array, params: Params) -> Array:
    ahead = where(y == 1, pairs[:, 0] - pairs[:, 1], pairs[:, 1] - pairs[:, 0])
    return larger(number(params["margin"]) - ahead, number(0))


def hinge_embedding(x: Array, y: Array, params: Params) -> Array:
    return where(y == 1, x, larger(number(params["margin"]) - x, number(0)))


EXACT = {
    "contrastive": Exact(
        contrastive,
        (
            {"margin": 2.0, "similar": "label 1", "factor": 1.0},
            {"eps": 1e-6},
            {"eps": 1e-6, "eps_form": "root"},
            {"eps": 1e-6, "eps_form": "clamp"},
        ),
    ),
    "cosine_embedding": Exact(cosine_embedding, ({"margin": 0.25}, {"margin": -0.5})),
    "margin_ranking": Exact(margin_ranking, ({"margin": 0.5},)),
    "hinge_embedding": Exact(hinge_embedding, ({"margin": 2.0},)),
}
