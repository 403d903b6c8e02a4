"""Gaussian negative log-likelihood, and the bound of a variational autoencoder."""

from __future__ import annotations

import mpmath

from exact.digits import Array, Exact, Params, exp, log, number, times


def _constant(params: Params) -> Array:
    return mpmath.log(2 * mpmath.pi) / 2 if params.get("full") else number(0)


def _of_variances(packed: Array, y: Array, params: Params) -> Array:
    mean, variance = packed[:, 0], packed[:, 1]
    return (log(variance) + (mean - y) ** 2 / variance) / 2 + _constant(params)


def _of_log_variances(packed: Array, y: Array, params: Params) -> Array:
    mean, log_variance = packed[:, 0], packed[:, 1]
    return (log_variance + (mean - y) ** 2 * exp(-log_variance)) / 2 + _constant(params)


def _divergence(mean: Array, log_variance: Array) -> Array:
    return -(1 + log_variance - mean**2 - exp(log_variance)) / 2


def kl_standard_normal(packed: Array, _: Array, params: Params) -> Array:
    losses = _divergence(packed[:, 0], packed[:, 1]).sum(axis=1)
    return losses / packed.shape[2] if params["over_features"] == "mean" else losses


def vae(packed: Array, y: Array, params: Params) -> Array:
    guess, mean, log_variance = packed[:, 0], packed[:, 1], packed[:, 2]
    costs = {
        "bce": lambda: -times(y, log(guess)) - times(1 - y, log(1 - guess)),
        "bce of logits": lambda: log(1 + exp(guess)) - y * guess,
        "squares": lambda: (guess - y) ** 2,
        "half squares": lambda: (guess - y) ** 2 / 2,
        "absolute": lambda: abs(guess - y),
    }[params["reconstruction"]]()
    divergence = _divergence(mean, log_variance)
    losses = (costs + number(params["beta"]) * divergence).sum(axis=1)
    return losses / y.shape[1] if params["over_features"] == "mean" else losses


EXACT = {
    "gaussian_nll": Exact(_of_variances, ({"full": True},)),
    "gaussian_nll_of_log_variance": Exact(_of_log_variances, ({"full": True},)),
    "kl_standard_normal": Exact(kl_standard_normal, ({"over_features": "mean"},)),
    "vae": Exact(
        vae,
        (
            {"reconstruction": "squares", "beta": 4.0},
            {"reconstruction": "half squares", "over_features": "mean"},
            {"reconstruction": "absolute", "beta": 0.0},
            {"reconstruction": "bce of logits"},
        ),
    ),
}
