"""Divergences of two distributions."""

from __future__ import annotations

from exact.digits import Array, Exact, Params, exp, log, number, softmax, times


def _kl(target: Array, prediction: Array) -> Array:
    """The terms of KL(target || prediction)."""
    return times(target, log(target) - log(prediction))


def _js(p: Array, y: Array) -> Array:
    middle = (p + y) / 2
    return (_kl(y, middle) + _kl(p, middle)) / 2


def _distillation(x: Array, y: Array, params: Params) -> Array:
    t = number(params["temperature"])
    return t**2 * _kl(softmax(y / t), softmax(x / t))


EXACT = {
    "kl_div": Exact(lambda x, y, _: times(y, log(y) - x)),
    "kl_div_of_logs": Exact(lambda x, y, _: exp(y) * (y - x)),
    "kl_div_of_probabilities": Exact(lambda x, y, _: _kl(y, x)),
    "kl_div_of_logits": Exact(lambda x, y, _: _kl(y, softmax(x))),
    "js_divergence": Exact(lambda x, y, _: _js(x, y)),
    "js_divergence_of_logits": Exact(lambda x, y, _: _js(softmax(x), softmax(y))),
    "distillation_loss": Exact(_distillation, ({"temperature": 4.0}, {"temperature": 0.5})),
}
