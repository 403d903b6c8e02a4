"""Arithmetic in 50 digits on arrays of mpmath numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import mpmath
import numpy as np
import torch

mpmath.mp.dps = 50
Array = Any
Params = Mapping[str, Any]


def unheld(_first: Array, _second: Array, params: Params) -> Params:
    """The parameters of a loss whose slope holds nothing constant."""
    return params


@dataclass(frozen=True)
class Exact:
    """A formula of object arrays: prediction and target as a reference takes them, losses before reduction.

    ``params`` are the parameters to try besides the neutral ones; ``relative`` asks for correct digits near zero too.
    ``largest`` is the size up to which the slope along every entry is judged: each costs three evaluations.
    """

    formula: Callable[[Array, Array, Params], Array]
    params: tuple[dict[str, Any], ...] = ()
    relative: bool = False
    hold: Callable[[Array, Array, Params], Params] = unheld
    largest: int = 6


def _real(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A function that is not a number outside its real domain."""

    def guarded(x: Any) -> Any:
        value = function(x)
        return value if isinstance(value, mpmath.mpf) else mpmath.nan

    return guarded


def _log(x: Any) -> Any:
    return -mpmath.inf if x == 0 else mpmath.log(x)


exp = np.frompyfunc(mpmath.exp, 1, 1)
log = np.frompyfunc(_real(_log), 1, 1)
sqrt = np.frompyfunc(_real(mpmath.sqrt), 1, 1)
cosh = np.frompyfunc(mpmath.cosh, 1, 1)
cos = np.frompyfunc(mpmath.cos, 1, 1)
arccos = np.frompyfunc(_real(mpmath.acos), 1, 1)
power = np.frompyfunc(lambda x, y: mpmath.mpf(1) if y == 0 else mpmath.power(x, y), 2, 1)
times = np.frompyfunc(lambda x, y: mpmath.mpf(0) if x == 0 else x * y, 2, 1)
"""A product that is 0 where the first factor is, whatever the second."""
larger = np.frompyfunc(max, 2, 1)
smaller = np.frompyfunc(min, 2, 1)


def number(value: Any) -> Any:
    """One parameter."""
    return mpmath.mpf(value)


def array(tensor: torch.Tensor) -> Array:
    """A tensor as an object array; indices stay integers."""
    values = tensor.detach().numpy()
    if not tensor.is_floating_point():
        return values
    return np.frompyfunc(lambda x: mpmath.mpf(float(x)), 1, 1)(values)


def vector(value: Any) -> Array:
    """A parameter of one number for each class."""
    return array(torch.as_tensor(value, dtype=torch.float64))


def sigmoid(x: Array) -> Array:
    return 1 / (1 + exp(-x))


def softmax(x: Array, axis: int = 1) -> Array:
    return exp(x) / exp(x).sum(axis=axis, keepdims=True)


def unit(rows: Array) -> Array:
    """Rows of length one; not a number where a row is zero."""
    lengths = sqrt((rows**2).sum(axis=-1, keepdims=True))
    return rows / where(lengths == 0, mpmath.nan, lengths)


def where(condition: Array, yes: Array, no: Array) -> Array:
    return np.where(np.asarray(condition, dtype=bool), yes, no)


def pick(rows: Array, index: Array) -> Array:
    """The entry of each row [N, C, ...] at its index [N, ...]."""
    return np.take_along_axis(rows, np.expand_dims(index, 1), axis=1).squeeze(1)
