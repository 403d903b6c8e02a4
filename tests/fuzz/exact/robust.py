"""Losses whose slope falls where the error is large."""

from __future__ import annotations

from collections.abc import Callable

from exact.digits import Array, Exact, Params, exp, log, number, sqrt


def _of_square(loss: Callable[[Array], Array]) -> Callable[[Array, Array, Params], Array]:
    return lambda x, y, params: loss(((x - y) / number(params["scale"])) ** 2)


SCALES = ({"scale": 0.5}, {"scale": 3.0})
EXACT = {
    "cauchy_loss": Exact(_of_square(lambda s: log(1 + s / 2)), SCALES, relative=True),
    "geman_mcclure_loss": Exact(_of_square(lambda s: 2 * s / (s + 4)), SCALES, relative=True),
    "welsch_loss": Exact(_of_square(lambda s: 1 - exp(-s / 2)), SCALES),
    "pseudo_huber_loss": Exact(_of_square(lambda s: sqrt(1 + s) - 1), SCALES, relative=True),
}
