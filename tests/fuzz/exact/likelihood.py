"""Gaussian negative log-likelihood of packed means and variances."""

from __future__ import annotations

import mpmath

from exact.digits import Array, Exact, Params, exp, log, number


def _constant(params: Params) -> Array:
    return mpmath.log(2 * mpmath.pi) / 2 if params.get("full") else number(0)


def _of_variances(packed: Array, y: Array, params: Params) -> Array:
    mean, variance = packed[:, 0], packed[:, 1]
    return (log(variance) + (mean - y) ** 2 / variance) / 2 + _constant(params)


def _of_log_variances(packed: Array, y: Array, params: Params) -> Array:
    mean, log_variance = packed[:, 0], packed[:, 1]
    return (log_variance + (mean - y) ** 2 * exp(-log_variance)) / 2 + _constant(params)


EXACT = {
    "gaussian_nll": Exact(_of_variances, ({"full": True},)),
    "gaussian_nll_of_log_variance": Exact(_of_log_variances, ({"full": True},)),
}
