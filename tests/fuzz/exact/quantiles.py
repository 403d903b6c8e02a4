"""The pinball loss, by its two sides."""

from __future__ import annotations

import numpy as np

from exact.digits import Array, Exact, Params, number, vector, where


def _pinball(due: Array, x: Array, q: Array) -> Array:
    return where(due >= x, q * (due - x), (1 - q) * (x - due))


def quantile(x: Array, y: Array, params: Params) -> Array:
    return _pinball(y, x, number(params["quantile"]))


def several(x: Array, y: Array, params: Params) -> Array:
    count = x.shape[1]
    given = params["quantiles"]
    levels = [(number(i) + number(0.5)) / count for i in range(count)] if given is None else vector(given)
    losses = [_pinball(y, x[:, i], level) for i, level in enumerate(levels)]
    return sum(losses) if params["across_quantiles"] == "sum" else np.stack(losses, axis=1)


EXACT = {
    "quantile_loss": Exact(quantile, ({"quantile": 0.1}, {"quantile": 0.875})),
    "multi_quantile_loss": Exact(
        several, ({"quantiles": [0.1, 0.5, 0.9]}, {"quantiles": [0.25, 0.75], "across_quantiles": "sum"})
    ),
}
