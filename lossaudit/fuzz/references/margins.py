"""Hinge losses: binary, squared, multi-class, and their smooth relatives."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from lossaudit.fuzz.model import Parameter, ReferenceSpec, Terms
from lossaudit.fuzz.references.binary import exact_softplus
from lossaudit.fuzz.references.classes import WEIGHT, tensor_code
from lossaudit.fuzz.spaces.fill import one_hot
from lossaudit.fuzz.spaces.lists import listed

if TYPE_CHECKING:
    from torch import Tensor

    from lossaudit.fuzz.model import Params

MARGIN = Parameter("margin", 1.0, "number", ("margin", "m", "delta"), high=100.0)
LABELS = ("random", "all zero", "all one", "all negative", "all positive")
DOCS = "https://docs.pytorch.org/docs/stable/generated/torch.nn."


def towards(prediction: Tensor, target: Tensor) -> Tensor:
    """The score in the direction of its label, which is -1 or 0 against 1."""
    return torch.where(target > 0, prediction, -prediction)


def hinge(prediction: Tensor, target: Tensor, params: Params) -> Terms:
    """max(0, margin - s x)."""
    losses = (params["margin"] - towards(prediction, target)).clamp(min=0)
    return Terms(losses, torch.ones_like(losses))


def squared_hinge(prediction: Tensor, target: Tensor, params: Params) -> Terms:
    """The square of it."""
    losses = hinge(prediction, target, params).losses ** 2
    return Terms(losses, torch.ones_like(losses))


def soft_margin(prediction: Tensor, target: Tensor, _: Params) -> Terms:
    """log(1 + exp(-y x)) for labels of -1 and 1."""
    losses = exact_softplus(-target * prediction)
    return Terms(losses, torch.ones_like(losses))


def margins_of_classes(prediction: Tensor, target: Tensor, margin: float) -> tuple[Tensor, Tensor]:
    """Margin - x_y + x_i for each class i, and which class is the true one."""
    own = one_hot(target, prediction.shape[1]).bool()
    return margin - prediction.gather(1, target.unsqueeze(1)) + prediction, own


def multi_margin(prediction: Tensor, target: Tensor, params: Params) -> Terms:
    """The mean over the classes of max(0, margin - x_y + x_i)^p, that of the true class left out."""
    gaps, own = margins_of_classes(prediction, target, params["margin"])
    losses = gaps.clamp(min=0).masked_fill(own, 0.0)
    losses = (losses**2 if params.get("p") == 2 else losses).mean(1)
    weight = params.get("weight")
    losses = losses if weight is None else losses * weight.to(losses.dtype)[target]
    return Terms(losses, torch.ones_like(losses))


def pairs_of_classes(prediction: Tensor, target: Tensor, margin: float) -> tuple[Tensor, Tensor]:
    """Margin - x_j + x_i for each listed class j and each class i, [N, C, C]; 0 for a j that is not listed. And what is listed."""
    own = listed(target)
    gaps = (margin - prediction.unsqueeze(2) + prediction.unsqueeze(1)).clamp(min=0)
    return gaps.masked_fill(~own.unsqueeze(2), 0.0), own


def multilabel_margin(prediction: Tensor, target: Tensor, params: Params) -> Terms:
    """The sum over the classes j of the list and i beside it of max(0, margin - x_j + x_i), divided by C."""
    gaps, own = pairs_of_classes(prediction, target, params["margin"])
    losses = gaps.masked_fill(own.unsqueeze(1), 0.0).sum((1, 2)) / prediction.shape[1]
    return Terms(losses, torch.ones_like(losses))


def _multi_margin_code(params: Params, reduction: str) -> str:
    weight = params.get("weight")
    parts = [f"prediction.double(), target, p={params['p']}, margin={params['margin']}"]
    parts += [] if weight is None else [f"weight={tensor_code(weight)}"]
    torch_reduction = "sum" if reduction == "batchmean" else reduction
    call = f"torch.nn.functional.multi_margin_loss({', '.join(parts)}, reduction={torch_reduction!r})"
    return f"{call} / len(prediction)" if reduction == "batchmean" else call


REFERENCES = (
    ReferenceSpec(
        name="soft_margin_loss",
        summary="log(1 + exp(-y x)), y in {-1, 1}",
        source=f"{DOCS}SoftMarginLoss.html",
        spaces=("scores-signs",),
        formula=soft_margin,
        laws=frozenset({"permutation", "additive", "minimum"}),
        lacks=frozenset({"learned-target"}),
    ),
    ReferenceSpec(
        name="hinge_loss",
        summary="max(0, margin - s x), s = 1 for the positive label and -1 for the other",
        source="Cortes and Vapnik 1995, Support-Vector Networks",
        spaces=("scores-signs", "scores-labels"),
        formula=hinge,
        parameters=(MARGIN,),
        laws=frozenset({"permutation", "additive", "minimum"}),
        target_profiles=LABELS,
        kinks=True,
    ),
    ReferenceSpec(
        name="squared_hinge_loss",
        summary="max(0, margin - s x)^2, s = 1 for the positive label and -1 for the other",
        source="Lee and Lin 2013, A Study on L2-Loss (Squared Hinge-Loss) Multi-Class SVM",
        spaces=("scores-signs", "scores-labels"),
        formula=squared_hinge,
        parameters=(MARGIN,),
        laws=frozenset({"permutation", "additive", "minimum"}),
        target_profiles=LABELS,
        kinks=True,
    ),
    ReferenceSpec(
        name="multi_margin_loss",
        summary="w_y / C sum over i other than y of max(0, margin - x_y + x_i)^p",
        source=f"{DOCS}MultiMarginLoss.html",
        spaces=("logits-indices",),
        formula=multi_margin,
        parameters=(MARGIN, Parameter("p", 1, "form", guesses=(1, 2)), WEIGHT),
        laws=frozenset({"shift", "additive", "minimum"}),
        target_profiles=("random", "all-equal"),
        code=_multi_margin_code,
        kinks=True,
    ),
    ReferenceSpec(
        name="multilabel_margin_loss",
        summary="1 / C sum over j listed and i not listed of max(0, margin - x_j + x_i)",
        source=f"{DOCS}MultiLabelMarginLoss.html",
        spaces=("scores-class_lists",),
        formula=multilabel_margin,
        parameters=(MARGIN,),
        laws=frozenset({"shift", "additive", "minimum"}),
        kinks=True,
    ),
)
