"""Softmax over cosines of embeddings, sums written out."""

from __future__ import annotations

import mpmath
import numpy as np

from exact.digits import Array, Exact, Params, exp, log, number, unit


def _share(own: Array, others: Array, params: Params) -> Array:
    """Minus the log share of one similarity among itself and others."""
    t = number(params["temperature"])
    return log(1 + exp((np.asarray(others, dtype=object) - own) / t).sum())


def _losses(values: list[Array]) -> Array:
    return np.array(values, dtype=object)


def _one_way(similarities: Array, params: Params) -> Array:
    return _losses([_share(row[i], np.delete(row, i), params) for i, row in enumerate(similarities)])


def info_nce(pairs: Array, _: Array, params: Params) -> Array:
    rows = unit(pairs)
    similarities = rows[:, 0] @ rows[:, 1].T
    losses = _one_way(similarities, params)
    if params["directions"] == "one":
        return losses
    return (losses + _one_way(similarities.T, params)) / 2


def _shared(packed: Array, _: Array, params: Params) -> Array:
    rows = unit(packed)
    everyone = [negative for own in rows for negative in own[2:]]
    return _losses([_share(q @ p, [q @ n for n in everyone], params) for q, p, *_ in rows])


def _own(packed: Array, _: Array, params: Params) -> Array:
    return _losses([_share(q @ p, [q @ n for n in own], params) for q, p, *own in unit(packed)])


def _among_others(rows: Array, positives: list[list[int]], params: Params) -> Array:
    """For each row the mean loss of its positives among all rows but itself."""
    similarities = rows @ rows.T / number(params["temperature"])
    losses = []
    for i, mine in enumerate(positives):
        whole = log(exp(np.delete(similarities[i], i)).sum()) if mine else number(0)
        total = sum(whole - similarities[i, p] for p in mine)
        losses.append(total / len(mine) if mine else mpmath.nan)
    return _losses(losses)


def nt_xent(pairs: Array, _: Array, params: Params) -> Array:
    count = len(pairs)
    rows = np.concatenate([unit(pairs)[:, 0], unit(pairs)[:, 1]])
    return _among_others(rows, [[p] for p in (*range(count, 2 * count), *range(count))], params)


def supervised(embeddings: Array, labels: Array, params: Params) -> Array:
    rows = unit(embeddings)
    if rows.ndim == 3:
        labels = np.concatenate([labels] * rows.shape[1])
        rows = np.concatenate([rows[:, view] for view in range(rows.shape[1])])
    positives = [
        [p for p, other in enumerate(labels) if p != i and other == label] for i, label in enumerate(labels)
    ]
    losses = _among_others(rows, positives, params)
    base = params["base_temperature"]
    return losses if base is None else losses * number(params["temperature"]) / number(base)


_COLD = {"temperature": 0.0625}
_PAIRS = 8  # two pairs of two features: a single pair has nothing to be told from
EXACT = {
    "info_nce": Exact(info_nce, (_COLD, {"directions": "both"}), largest=_PAIRS),
    "info_nce_shared_negatives": Exact(_shared, (_COLD,), largest=_PAIRS),
    "info_nce_own_negatives": Exact(_own, (_COLD,), largest=_PAIRS),
    "nt_xent": Exact(nt_xent, (_COLD,), largest=_PAIRS),
    "supervised_contrastive": Exact(
        supervised, (_COLD, {"temperature": 0.125, "base_temperature": 0.5}), largest=_PAIRS
    ),
}
