"""Losses on real numbers."""

from __future__ import annotations

from collections.abc import Callable

import mpmath
import numpy as np

from exact.digits import Array, Exact, Params, cosh, exp, larger, log, number, sqrt, times, where


def _of_error(loss: Callable[[Array, Params], Array]) -> Callable[[Array, Array, Params], Array]:
    return lambda x, y, params: loss(x - y, params)


def _smooth_l1(error: Array, params: Params) -> Array:
    size, beta = abs(error), number(params["beta"])
    return where(size < beta, error**2 / (2 * beta), size - beta / 2) if beta else size


def _huber(error: Array, params: Params) -> Array:
    size, delta = abs(error), number(params["delta"])
    return where(size <= delta, error**2 / 2, delta * (size - delta / 2))


def _charbonnier(error: Array, params: Params) -> Array:
    return sqrt(error**2 + number(params["eps"]) ** 2)


def _wing(error: Array, params: Params) -> Array:
    size, width, curvature = abs(error), number(params["width"]), number(params["epsilon"])
    constant = width - width * mpmath.log(1 + width / curvature)
    return where(size < width, width * log(1 + size / curvature), size - constant)


def _root(errors: Array, params: Params) -> Array:
    return sqrt(np.asarray((errors**2).sum() / errors.size + number(params.get("guard") or 0), dtype=object))


def _logs(x: Array, y: Array) -> Array:
    return log(1 + x) - log(1 + y)


def _stirling(y: Array, params: Params) -> Array:
    if not params.get("full"):
        return number(0)
    return where(y > 1, times(y, log(y)) - y + log(2 * mpmath.pi * larger(y, number(1))) / 2, number(0))


def _poisson(x: Array, y: Array, params: Params) -> Array:
    return exp(x) - y * x + _stirling(y, params)


def _poisson_of_rates(x: Array, y: Array, params: Params) -> Array:
    return x - times(y, log(x + number(params["eps"]))) + _stirling(y, params)


EXACT = {
    "mse_loss": Exact(_of_error(lambda e, _: e**2), relative=True),
    "l1_loss": Exact(_of_error(lambda e, _: abs(e)), relative=True),
    "smooth_l1_loss": Exact(_of_error(_smooth_l1), ({"beta": 0.5}, {"beta": 3.0}, {"beta": 0.0})),
    "huber_loss": Exact(_of_error(_huber), ({"delta": 0.5}, {"delta": 3.0})),
    "log_cosh_loss": Exact(_of_error(lambda e, _: log(cosh(e))), relative=True),
    "charbonnier_loss": Exact(_of_error(_charbonnier), ({"eps": 1e-6}, {"eps": 0.5}), relative=True),
    "wing_loss": Exact(_of_error(_wing), ({"width": 2.0, "epsilon": 0.25},)),
    "rmse_loss": Exact(lambda x, y, params: _root(x - y, params), ({"guard": 1e-6},), relative=True),
    "msle_loss": Exact(lambda x, y, _: _logs(x, y) ** 2),
    "rmsle_loss": Exact(lambda x, y, params: _root(_logs(x, y), params), ({"guard": 1e-6},)),
    "poisson_nll_loss": Exact(_poisson, ({"full": True},)),
    "poisson_nll_loss_of_rates": Exact(_poisson_of_rates, ({"full": True}, {"eps": 0.0}, {"eps": 1e-3})),
}
