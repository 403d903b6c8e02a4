"""The pinball loss, of one quantile and of several at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from lossaudit.fuzz.model import Parameter, ReferenceSpec, Terms
from lossaudit.fuzz.references.regression import LAWS, VALUES, elementwise

if TYPE_CHECKING:
    from torch import Tensor

    from lossaudit.fuzz.model import Params

ACROSS_QUANTILES = Parameter("across_quantiles", "mean", "form", guesses=("mean", "sum"))
_SOURCE = "Koenker and Bassett 1978, Regression Quantiles, equation 2.1"


def pinball(error: Tensor, quantile: Tensor | float) -> Tensor:
    """Of the error, prediction minus target: -q e below the target, (1 - q) e above it."""
    return torch.maximum(-quantile * error, (1 - quantile) * error)


def _one(error: Tensor, params: Params) -> Tensor:
    return pinball(error, params["quantile"])


def errors_and_levels(prediction: Tensor, target: Tensor, params: Params) -> tuple[Tensor, Tensor]:
    """The error of each quantile, [N, Q, ...], and the levels, shaped to be broadcast against it.

    Raises:
        ValueError: There is another number of levels than of predicted quantiles.
    """
    count, levels = prediction.shape[1], params["quantiles"]
    if levels is None:
        levels = (torch.arange(count, dtype=torch.float64) + 0.5) / count
    if levels.numel() != count:
        raise ValueError("there is not one level for each predicted quantile")
    shape = (-1, *[1] * (prediction.ndim - 2))
    return prediction - target.unsqueeze(1), levels.to(prediction.dtype).reshape(shape)


def terms_across(losses: Tensor, params: Params) -> Terms:
    """The losses of all quantiles, [N, Q, ...], each by itself or those of a sample added up."""
    terms = losses.sum(1) if params["across_quantiles"] == "sum" else losses
    return Terms(terms, torch.ones_like(terms))


def pinball_of_several(prediction: Tensor, target: Tensor, params: Params) -> Terms:
    """Pinball loss of each of the predicted quantiles, [N, Q, ...], of one number, [N, ...]."""
    return terms_across(pinball(*errors_and_levels(prediction, target, params)), params)


REFERENCES = (
    ReferenceSpec(
        name="quantile_loss",
        summary="max(q (y - x), (q - 1) (y - x))",
        source=_SOURCE,
        spaces=VALUES,
        formula=elementwise(_one),
        parameters=(
            Parameter(
                "quantile", 0.5, "number", ("quantile", "q", "tau", "alpha", "percentile"), low=0.0, high=1.0
            ),
        ),
        laws=LAWS,
    ),
    ReferenceSpec(
        name="multi_quantile_loss",
        summary="max(q_i (y - x_i), (q_i - 1) (y - x_i)) over the quantiles i; (i - 1/2) / Q where none are named",
        source=f"{_SOURCE}; Wen et al. 2017, A Multi-Horizon Quantile Recurrent Forecaster (arXiv:1711.11053), section 3",
        spaces=("quantiles-values",),
        formula=pinball_of_several,
        parameters=(
            Parameter(
                "quantiles",
                None,
                "per-class",
                ("quantiles", "quantile", "q", "qs", "taus", "tau", "levels", "percentiles"),
            ),
            ACROSS_QUANTILES,
        ),
        laws=LAWS,
    ),
)
