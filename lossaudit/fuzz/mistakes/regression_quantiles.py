"""How the pinball loss goes wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from lossaudit.fuzz.model import Mistake, Terms
from lossaudit.fuzz.references.regression_quantiles import errors_and_levels, pinball, terms_across

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from lossaudit.fuzz.model import Formula, Params

    Pinball = Callable[[Tensor, Tensor | float], Tensor]

ONE = ("quantile_loss",)
SEVERAL = ("multi_quantile_loss",)


def _turned(error: Tensor, quantile: Tensor | float) -> Tensor:
    return pinball(-error, quantile)


def _one_side(error: Tensor, quantile: Tensor | float) -> Tensor:
    return torch.relu(-error) * quantile


def _of_one(loss: Pinball) -> Callable[[Formula], Formula]:
    def changed(prediction: Tensor, target: Tensor, params: Params) -> Terms:
        losses = loss(prediction - target, params["quantile"])
        return Terms(losses, torch.ones_like(losses))

    return lambda _: changed


def _of_several(loss: Pinball) -> Callable[[Formula], Formula]:
    def changed(prediction: Tensor, target: Tensor, params: Params) -> Terms:
        return terms_across(loss(*errors_and_levels(prediction, target, params)), params)

    return lambda _: changed


MISTAKES = (
    Mistake(
        "quantile-sign",
        ONE,
        "weighs overestimates by q = {quantile:g} and underestimates by 1 - q: it predicts the quantile 1 - q",
        wrong=_of_one(_turned),
        applies=lambda params: params["quantile"] != 0.5,
    ),
    Mistake(
        "quantile-one-side",
        ONE,
        "has the term of underestimates only: nothing pulls a prediction down",
        wrong=_of_one(_one_side),
    ),
    Mistake(
        "quantile-sign",
        SEVERAL,
        "weighs overestimates by q and underestimates by 1 - q: each output predicts the quantile 1 - q",
        wrong=_of_several(_turned),
    ),
    Mistake(
        "quantile-one-side",
        SEVERAL,
        "has the term of underestimates only: nothing pulls a prediction down",
        wrong=_of_several(_one_side),
    ),
)
