"""Binary cross-entropy on logits and on probabilities, and the sigmoid focal loss."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from lossaudit.fuzz.model import Parameter, ReferenceSpec, Terms
from lossaudit.fuzz.references.classes import GUARD, GUARD_FORM, tensor_code

if TYPE_CHECKING:
    from torch import Tensor

    from lossaudit.fuzz.model import Params

POS_WEIGHT = Parameter("pos_weight", None, "tensor", ("pos_weight", "positive_weight", "posweight"), high=1e6)
ELEMENT_WEIGHT = Parameter("weight", None, "tensor", ("weight", "weights"), high=1e6)
GAMMA = Parameter("gamma", 0.0, "number", ("gamma", "focusing", "focus"), high=20.0)
ALPHA = Parameter("alpha", None, "number", ("alpha", "balance"))
FOCUS_GRADIENT = Parameter("focus_gradient", "through", "slope", guesses=("stopped",))
"""Whether the power that makes easy samples count for less is a part of the gradient: the authors of the asymmetric loss stop it."""
ELEMENT_LAWS = frozenset({"permutation", "additive", "minimum", "neutral"})


def as_factor(value: object, like: Tensor) -> Tensor:
    """A weight (number or tensor) at the dtype of ``like``; 1 where there is none."""
    return torch.as_tensor(1.0 if value is None else value, dtype=like.dtype)


def bce_with_logits(prediction: Tensor, target: Tensor, params: Params) -> Terms:
    """Binary cross-entropy of raw scores."""
    positive = as_factor(params.get("pos_weight"), prediction) * target * exact_softplus(-prediction)
    negative = (1 - target) * exact_softplus(prediction)
    losses = as_factor(params.get("weight"), prediction) * (positive + negative)
    return Terms(losses, torch.ones_like(losses))


def exact_softplus(x: Tensor) -> Tensor:
    """log(1 + exp(x)): torch's own drops exp(-x) beyond 20, which float64 would show."""
    return -functional.logsigmoid(-x)


def bce(prediction: Tensor, target: Tensor, params: Params) -> Terms:
    """Binary cross-entropy of probabilities; a declared epsilon is added inside the logarithms or bounds them."""
    guard = params.get("guard") or 0.0
    if params.get("guard_form") == "clamp":
        prediction = prediction.clamp(guard, 1 - guard)
        guard = 0.0
    positive = as_factor(params.get("pos_weight"), prediction) * _times_log(target, prediction + guard)
    losses = -(positive + _times_log(1 - target, 1 - prediction + guard))
    losses = as_factor(params.get("weight"), prediction) * losses
    return Terms(losses, torch.ones_like(losses))


def _times_log(factor: Tensor, argument: Tensor) -> Tensor:
    """Factor times logarithm, 0 where the factor is 0; its gradient there is 0 too."""
    safe = torch.where(factor == 0, torch.ones_like(argument), argument)
    return factor * safe.log()


def focusing(modulation: Tensor, params: Params) -> Tensor:
    """The power that makes easy samples count for less, a constant to autograd where it is meant as a weight."""
    return modulation.detach() if params.get("focus_gradient") == "stopped" else modulation


def sigmoid_focal(prediction: Tensor, target: Tensor, params: Params) -> Terms:
    """Focal loss of raw scores and hard labels, with 1 - p_t formed in log space."""
    towards = torch.where(target >= 0.5, prediction, -prediction)
    modulation = torch.exp(params.get("gamma", 0.0) * functional.logsigmoid(-towards))
    losses = focusing(modulation, params) * exact_softplus(-towards)
    alpha = params.get("alpha")
    if alpha is not None:
        losses = losses * torch.where(target >= 0.5, alpha, 1 - alpha).to(losses.dtype)
    return Terms(losses, torch.ones_like(losses))


def _bce_with_logits_code(params: Params, reduction: str) -> str:
    parts = ["torch.nn.functional.binary_cross_entropy_with_logits(prediction.double(), target.double()"]
    for name in ("weight", "pos_weight"):
        value = params.get(name)
        if value is not None:
            parts.append(f"{name}={tensor_code(torch.as_tensor(value))}")
    if reduction == "batchmean":
        return ", ".join([*parts, "reduction='sum') / len(prediction)"])
    return ", ".join([*parts, f"reduction={reduction!r})"])


REFERENCES = (
    ReferenceSpec(
        name="bce_with_logits",
        summary="w [pos_weight y log(1 + exp(-x)) + (1 - y) log(1 + exp(x))]",
        source="https://docs.pytorch.org/docs/stable/generated/torch.nn.BCEWithLogitsLoss.html",
        spaces=("scores-labels",),
        formula=bce_with_logits,
        parameters=(POS_WEIGHT, ELEMENT_WEIGHT),
        weights=("pos_weight", "weight"),
        laws=ELEMENT_LAWS,
        code=_bce_with_logits_code,
    ),
    ReferenceSpec(
        name="bce",
        summary="-w [pos_weight y log p + (1 - y) log(1 - p)]",
        source="https://docs.pytorch.org/docs/stable/generated/torch.nn.BCELoss.html",
        spaces=("probabilities-labels",),
        formula=bce,
        parameters=(POS_WEIGHT, ELEMENT_WEIGHT, GUARD, GUARD_FORM),
        weights=("pos_weight", "weight"),
        laws=ELEMENT_LAWS,
    ),
    ReferenceSpec(
        name="sigmoid_focal_loss",
        summary="-alpha_t (1 - p_t)^gamma log p_t, p = sigmoid(x)",
        source="Lin et al. 2017, Focal Loss for Dense Object Detection, equation 5 (arXiv:1708.02002)",
        spaces=("scores-labels",),
        formula=sigmoid_focal,
        parameters=(GAMMA, ALPHA, FOCUS_GRADIENT),
        laws=ELEMENT_LAWS,
        target_profiles=("random", "all zero", "all one"),
    ),
)
