"""How connectionist temporal classification goes wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from lossaudit.fuzz.model import Mistake, Terms

if TYPE_CHECKING:
    from torch import Tensor

    from lossaudit.fuzz.model import Formula, Params

CTC = ("ctc",)


def _mean_over_batch(terms: Terms, _: Tensor) -> Tensor:
    return terms.losses.mean()


def _lengths_ignored(formula: Formula) -> Formula:
    def changed(prediction: Tensor, target: Tensor, params: Params) -> Terms:
        whole = target.clone()
        whole[:, -2] = prediction.shape[1]
        return formula(prediction, whole, params)

    return changed


def _probabilities(_: Formula) -> Formula:
    def changed(prediction: Tensor, target: Tensor, params: Params) -> Terms:
        losses = functional.ctc_loss(
            prediction.softmax(2).transpose(0, 1),
            target[:, :-2],
            target[:, -2],
            target[:, -1],
            blank=params["blank"],
            reduction="none",
        )
        return Terms(losses, torch.ones_like(losses) * target[:, -1].clamp(min=1))

    return changed


MISTAKES = (
    Mistake(
        "not-divided-by-labels",
        CTC,
        "is the mean over the batch, not divided by the numbers of labels",
        reduce=_mean_over_batch,
        reductions=("mean",),
        convention=True,
    ),
    Mistake(
        "input-lengths-ignored",
        CTC,
        "aligns over all time steps, the padding of shorter inputs included",
        "LA209",
        wrong=_lengths_ignored,
    ),
    Mistake(
        "probabilities-for-log-probabilities",
        CTC,
        "takes probabilities for log-probabilities: an exponential is applied before the loss",
        "LA103",
        wrong=_probabilities,
    ),
)
