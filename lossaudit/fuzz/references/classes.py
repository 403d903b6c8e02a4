"""Multi-class cross-entropy on logits, on probabilities and on log-probabilities."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from lossaudit.fuzz.model import Parameter, ReferenceSpec, Terms

if TYPE_CHECKING:
    from torch import Tensor

    from lossaudit.fuzz.model import Params

WEIGHT = Parameter("weight", None, "per-class", ("weight", "weights", "class_weights", "class_weight"))
IGNORE_INDEX = Parameter(
    "ignore_index",
    None,
    "index",
    ("ignore_index", "ignore_label", "ignore_id", "ignore_idx", "ignored_index", "padding_idx", "pad_idx"),
)
LABEL_SMOOTHING = Parameter(
    "label_smoothing",
    0.0,
    "number",
    ("label_smoothing", "smoothing", "eps", "epsilon", "smooth", "ls", "alpha"),
    complements=("confidence",),
    high=0.999,
)
SOFTMAX_LAWS = frozenset({"shift", "permutation", "additive", "minimum", "neutral"})


def class_view(values: Tensor, like: Tensor) -> Tensor:
    """A tensor of one number for each class, shaped to multiply ``like`` [N, C, ...]."""
    return values.to(like.dtype).reshape(1, -1, *([1] * (like.ndim - 2)))


def smoothed_cross_entropy(log_probs: Tensor, target: Tensor, params: Params) -> Terms:
    """Cross-entropy of log-probabilities, in torch's convention for weights, smoothing and ignored targets."""
    classes = log_probs.shape[1]
    smoothing = params.get("label_smoothing", 0.0)
    weight = params.get("weight")
    scaled = log_probs if weight is None else log_probs * class_view(weight, log_probs)
    if target.is_floating_point():
        rows = target * (1 - smoothing) + smoothing / classes
        losses = _zero_times_infinity(rows, scaled)
        return Terms(losses, torch.ones_like(losses))
    kept = torch.ones_like(target, dtype=torch.bool)
    if params.get("ignore_index") is not None:
        kept = target != params["ignore_index"]
    index = torch.where(kept, target, torch.zeros_like(target))
    losses = -scaled.gather(1, index.unsqueeze(1)).squeeze(1)
    if smoothing:
        losses = losses * (1 - smoothing) - scaled.sum(1) * (smoothing / classes)
    shares = torch.ones_like(losses) if weight is None else weight.to(losses.dtype)[index]
    return Terms(torch.where(kept, losses, torch.zeros_like(losses)), torch.where(kept, shares, shares * 0))


def _zero_times_infinity(rows: Tensor, log_probs: Tensor) -> Tensor:
    """Minus the sum over the classes of row times log-probability, where 0 times minus infinity is 0."""
    return -torch.where(rows == 0, torch.zeros_like(log_probs), rows * log_probs).sum(1)


def cross_entropy(prediction: Tensor, target: Tensor, params: Params) -> Terms:
    """Cross-entropy of logits."""
    return smoothed_cross_entropy(prediction.log_softmax(1), target, params)


def nll(prediction: Tensor, target: Tensor, params: Params) -> Terms:
    """Negative log-likelihood of log-probabilities."""
    return smoothed_cross_entropy(prediction, target, params)


def probability_cross_entropy(prediction: Tensor, target: Tensor, params: Params) -> Terms:
    """Cross-entropy of probabilities; a declared epsilon is added inside the logarithm or bounds it."""
    guard = params.get("guard") or 0.0
    if params.get("guard_form") == "clamp":
        return smoothed_cross_entropy(prediction.clamp(guard, 1 - guard).log(), target, params)
    counted = (
        (prediction + guard) if params.get("label_smoothing") else _of_use(prediction + guard, target, params)
    )
    return smoothed_cross_entropy(counted.log(), target, params)


def _of_use(probabilities: Tensor, target: Tensor, params: Params) -> Tensor:
    """1 in place of a probability that the target gives no weight: its logarithm may be infinite, its slope too."""
    rows = target
    if not target.is_floating_point():
        kept = torch.ones_like(target, dtype=torch.bool)
        if params.get("ignore_index") is not None:
            kept = target != params["ignore_index"]
        index = torch.where(kept, target, torch.zeros_like(target)).unsqueeze(1)
        rows = torch.zeros_like(probabilities).scatter(1, index, kept.unsqueeze(1).to(probabilities.dtype))
    return torch.where(rows == 0, torch.ones_like(probabilities), probabilities)


def tensor_code(value: Tensor) -> str:
    """A tensor as source."""
    return f"torch.tensor({value.tolist()}, dtype=torch.float64)"


def _torch_reduction(expression: str, reduction: str) -> str:
    if reduction == "batchmean":
        return f"{expression}, reduction='sum') / len(prediction)"
    return f"{expression}, reduction={reduction!r})"


def cross_entropy_code(params: Params, reduction: str, prediction: str = "prediction.double()") -> str:
    """A call of torch's own, on the logits that an expression gives."""
    parts = [f"torch.nn.functional.cross_entropy({prediction}, TARGET"]
    if params.get("weight") is not None:
        parts.append(f"weight={tensor_code(params['weight'])}")
    if params.get("ignore_index") is not None:
        parts.append(f"ignore_index={params['ignore_index']}")
    if params.get("label_smoothing"):
        parts.append(f"label_smoothing={params['label_smoothing']!r}")
    return _torch_reduction(", ".join(parts), reduction)


def _nll_code(params: Params, reduction: str) -> str:
    if params.get("label_smoothing"):  # the logits of log-probabilities are these themselves
        return cross_entropy_code(params, reduction)
    parts = ["torch.nn.functional.nll_loss(prediction.double(), target"]
    if params.get("weight") is not None:
        parts.append(f"weight={tensor_code(params['weight'])}")
    if params.get("ignore_index") is not None:
        parts.append(f"ignore_index={params['ignore_index']}")
    return _torch_reduction(", ".join(parts), reduction)


GUARD = Parameter("guard", 0.0, "number", ("eps", "epsilon", "smooth", "clip"), high=1e-5)
GUARD_FORM = Parameter("guard_form", "add", "choice", guesses=("add", "clamp"))

REFERENCES = (
    ReferenceSpec(
        name="cross_entropy",
        summary="-sum_c q_c log softmax(x)_c, q = (1 - label_smoothing) onehot(y) + label_smoothing / C",
        source="https://docs.pytorch.org/docs/stable/generated/torch.nn.CrossEntropyLoss.html",
        spaces=("logits-indices", "logits-rows"),
        formula=cross_entropy,
        parameters=(WEIGHT, IGNORE_INDEX, LABEL_SMOOTHING),
        laws=SOFTMAX_LAWS,
        code=cross_entropy_code,
    ),
    ReferenceSpec(
        name="cross_entropy_of_probabilities",
        summary="-sum_c q_c log p_c",
        source="Goodfellow, Bengio, Courville: Deep Learning (2016), section 6.2.1.1",
        spaces=("probabilities-indices", "probabilities-rows"),
        formula=probability_cross_entropy,
        parameters=(WEIGHT, IGNORE_INDEX, LABEL_SMOOTHING, GUARD, GUARD_FORM),
        laws=frozenset({"permutation", "additive", "minimum", "neutral"}),
    ),
    ReferenceSpec(
        name="nll_loss",
        summary="-w_y log p_y, the input being log-probabilities, with label_smoothing as in cross_entropy",
        source="https://docs.pytorch.org/docs/stable/generated/torch.nn.NLLLoss.html",
        spaces=("log_probabilities-indices",),
        formula=nll,
        parameters=(WEIGHT, IGNORE_INDEX, LABEL_SMOOTHING),
        laws=frozenset({"permutation", "additive", "minimum"}),
        code=_nll_code,
    ),
)
