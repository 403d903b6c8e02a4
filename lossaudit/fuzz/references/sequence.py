"""Connectionist temporal classification."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from lossaudit.fuzz.model import Parameter, ReferenceSpec, Terms

if TYPE_CHECKING:
    from torch import Tensor

    from lossaudit.fuzz.model import Params

BLANK = Parameter("blank", 0, "index", ("blank", "blank_id", "blank_index", "blank_idx"))
ZERO_INFINITY = Parameter("zero_infinity", False, "form", guesses=(False, True))


def ctc(prediction: Tensor, target: Tensor, params: Params) -> Terms:
    """Minus the log-probability of all alignments of the labels, of scores [N, T, C]."""
    log_probs = prediction.log_softmax(2).transpose(0, 1)
    losses = functional.ctc_loss(
        # There is no kernel for half precision: the sum over alignments is then done in float32.
        log_probs if log_probs.dtype in {torch.float32, torch.float64} else log_probs.float(),
        target[:, :-2],
        target[:, -2],
        target[:, -1],
        blank=params.get("blank", 0),
        reduction="none",
        zero_infinity=bool(params.get("zero_infinity")),
    )
    losses = losses.to(prediction.dtype)
    return Terms(losses, target[:, -1].clamp(min=1).to(losses.dtype))


def mean_over_labels(terms: Terms, _: Tensor) -> Tensor:
    """Each loss divided by the number of its labels, then the mean over the batch."""
    return (terms.losses / terms.shares).mean()


REFERENCES = (
    ReferenceSpec(
        name="ctc",
        summary="-log sum over alignments of prod over t of p_t(symbol), mean: each divided by its number of labels",
        source="Graves et al. 2006, Connectionist temporal classification, equations 3 and 8; "
        "https://docs.pytorch.org/docs/stable/generated/torch.nn.CTCLoss.html",
        spaces=("sequences-labels",),
        formula=ctc,
        parameters=(BLANK, ZERO_INFINITY),
        reductions=("mean", "sum", "none"),
        reducers={"mean": mean_over_labels},
        laws=frozenset({"permutation"}),
    ),
)
