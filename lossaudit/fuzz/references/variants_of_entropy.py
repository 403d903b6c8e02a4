"""Variants of cross-entropy: focal, poly-1, symmetric and generalised, asymmetric, and those for uneven classes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from lossaudit.fuzz.model import Parameter, ReferenceSpec, Terms
from lossaudit.fuzz.references.binary import (
    ALPHA,
    FOCUS_GRADIENT,
    GAMMA,
    exact_softplus,
    focusing,
    sigmoid_focal,
)
from lossaudit.fuzz.references.classes import GUARD, GUARD_FORM, IGNORE_INDEX, WEIGHT
from lossaudit.fuzz.spaces.fill import one_hot
from lossaudit.fuzz.target import CLASS_SIZE_NAMES

if TYPE_CHECKING:
    from torch import Tensor

    from lossaudit.fuzz.model import Params

CLASS_ALPHA = Parameter("alpha", None, "tensor", ("alpha", "class_alpha", "weight"), high=1e6)
POLY_EPSILON = Parameter("epsilon", 0.0, "number", ("epsilon", "poly_epsilon", "eps"), low=-1.0, high=100.0)
COMPLEMENT_GUARD = Parameter("guard", 0.0, "number", ("eps", "epsilon"), high=1e-3)
EPSILON_NAMES = ("eps", "epsilon")
LAWS = frozenset({"shift", "permutation", "additive", "minimum", "neutral"})
HARD = ("random", "all-equal", "some-ignored", "all-ignored")
HARD_OR_HOT = (*HARD, "one-hot")
LABELS = ("random", "all zero", "all one")


def kept_indices(target: Tensor, params: Params) -> tuple[Tensor, Tensor]:
    """Indices, also those of one-hot rows, with 0 in place of ignored ones, and which are kept."""
    if target.is_floating_point():
        target = target.argmax(1)
    ignored = params.get("ignore_index")
    kept = torch.ones_like(target, dtype=torch.bool) if ignored is None else target != ignored
    return torch.where(kept, target, torch.zeros_like(target)), kept


def minus_log(logits: Tensor, index: Tensor) -> Tensor:
    """-log p of the true class."""
    return -logits.log_softmax(1).gather(1, index.unsqueeze(1)).squeeze(1)


def log_complement(logits: Tensor, index: Tensor) -> Tensor:
    """log(1 - p) of the true class, from the other logits."""
    own = one_hot(index, logits.shape[1]).bool()
    return logits.masked_fill(own, -math.inf).logsumexp(1) - logits.logsumexp(1)


def _terms(losses: Tensor, kept: Tensor) -> Terms:
    return Terms(torch.where(kept, losses, torch.zeros_like(losses)), kept.to(losses.dtype))


def share_of(value: object, index: Tensor, like: Tensor) -> Tensor:
    """What a factor for each class, or one for all, gives to each sample."""
    factor = torch.as_tensor(1.0 if value is None else value, dtype=like.dtype)
    return factor[index] if factor.ndim else factor.expand_as(like)


def focal(prediction: Tensor, target: Tensor, params: Params) -> Terms:
    """Focal loss of logits, with one alpha or one for each class."""
    index, kept = kept_indices(target, params)
    modulation = torch.exp(params["gamma"] * log_complement(prediction, index))
    losses = focusing(modulation, params) * minus_log(prediction, index)
    return _terms(share_of(params.get("alpha"), index, losses) * losses, kept)


def focal_of_probabilities(prediction: Tensor, target: Tensor, params: Params) -> Terms:
    """Focal loss of probabilities; a declared epsilon is added inside the logarithm."""
    index, kept = kept_indices(target, params)
    p = prediction.gather(1, index.unsqueeze(1)).squeeze(1)
    open_to_doubt = p < 1
    doubt = torch.where(open_to_doubt, 1 - p, torch.ones_like(p)) ** params["gamma"]
    certain = torch.zeros_like(p) if params["gamma"] else torch.ones_like(p)
    modulation = focusing(torch.where(open_to_doubt, doubt, certain), params)
    losses = -modulation * (p + (params.get("guard") or 0.0)).log()
    return _terms(share_of(params.get("alpha"), index, losses) * losses, kept)


def poly1(prediction: Tensor, target: Tensor, params: Params) -> Terms:
    """Cross-entropy plus epsilon (1 - p)."""
    index, kept = kept_indices(target, params)
    losses = minus_log(prediction, index) + params["epsilon"] * log_complement(prediction, index).exp()
    return _terms(share_of(params.get("weight"), index, losses) * losses, kept)


def poly1_focal(prediction: Tensor, target: Tensor, params: Params) -> Terms:
    """Sigmoid focal loss plus epsilon (1 - p_t)^(gamma + 1)."""
    towards = torch.where(target >= 0.5, prediction, -prediction)
    added = params["epsilon"] * torch.exp((params["gamma"] + 1) * functional.logsigmoid(-towards))
    losses = sigmoid_focal(prediction, target, params).losses + added
    return Terms(losses, torch.ones_like(losses))


def unlikelihood(prediction: Tensor, target: Tensor, params: Params) -> Terms:
    """-log(1 - p) of a class that it is not; a guard is added inside the logarithm or bounds it."""
    index, kept = kept_indices(target, params)
    complement, guard = log_complement(prediction, index), params.get("guard")
    if guard:
        least = torch.full_like(complement, math.log(guard))
        joined = torch.maximum if params.get("guard_form") == "clamp" else torch.logaddexp
        complement = joined(complement, least)
    return _terms(-complement, kept)


def symmetric(prediction: Tensor, target: Tensor, params: Params) -> Terms:
    """Alpha times cross-entropy plus beta times the reverse, where log 0 is a constant."""
    index, kept = kept_indices(target, params)
    reverse = -params["log_zero"] * log_complement(prediction, index).exp()
    return _terms(params["alpha"] * minus_log(prediction, index) + params["beta"] * reverse, kept)


def generalised(prediction: Tensor, target: Tensor, params: Params) -> Terms:
    """(1 - p^q) / q; p is at least the guard, if there is one."""
    index, kept = kept_indices(target, params)
    q, guard = params["q"], params.get("guard")
    entropy = minus_log(prediction, index)
    if guard:
        entropy = entropy.clamp(max=-math.log(guard))
    return _terms(-torch.expm1(-q * entropy) / q if q else entropy, kept)


def asymmetric(prediction: Tensor, target: Tensor, params: Params) -> Terms:
    """Focal terms with a power for positives, one for negatives, and a margin by which negatives are forgiven."""
    guard, clip = params.get("guard") or 0.0, params["clip"]
    p = prediction.sigmoid()
    positive, negative = exact_softplus(-prediction), exact_softplus(prediction)
    forgiven = (p - clip).clamp(min=0)
    if clip:
        negative = -torch.log1p(-forgiven)
    if guard:
        positive, negative = (side.clamp(max=-math.log(guard)) for side in (positive, negative))
    doubt = focusing(torch.exp(params["gamma_pos"] * functional.logsigmoid(-prediction)), params)
    negative = focusing(forgiven ** params["gamma_neg"], params) * negative
    losses = torch.where(target >= 0.5, doubt * positive, negative)
    return Terms(losses, torch.ones_like(losses))


def balance(counts: Tensor, beta: float, form: str) -> Tensor:
    """(1 - beta) / (1 - beta^n) for each class; in the normalised form they sum to the number of classes."""
    if beta == 0:
        return torch.ones_like(counts)
    weights = (1 - beta) / -torch.expm1(counts * math.log(beta))
    return weights / weights.sum() * len(counts) if form == "normalised" else weights


def class_balanced(prediction: Tensor, target: Tensor, params: Params) -> Terms:
    """Focal loss (or cross-entropy) weighted by the effective number of samples."""
    counts = params["counts"]
    if counts is None:
        return focal(prediction, target, {**params, "alpha": None})
    weights = balance(counts.to(prediction.dtype), params["beta"], params["form"])
    return focal(prediction, target, {**params, "alpha": weights})


def logit_adjusted(prediction: Tensor, target: Tensor, params: Params) -> Terms:
    """Cross-entropy of logits plus tau log prior."""
    index, kept = kept_indices(target, params)
    prior = params["prior"]
    if prior is not None:
        shape = (1, -1, *([1] * (prediction.ndim - 2)))
        prediction = prediction + params["tau"] * prior.to(prediction.dtype).log().reshape(shape)
    return _terms(minus_log(prediction, index), kept)


def ldam(prediction: Tensor, target: Tensor, params: Params) -> Terms:
    """Cross-entropy of s (x - margin at the true class)."""
    index, kept = kept_indices(target, params)
    own = one_hot(index, prediction.shape[1]).to(prediction.dtype)
    margins = params["margins"]
    if margins is not None:
        prediction = prediction - own * share_of(margins, index, prediction[:, 0]).unsqueeze(1)
    losses = minus_log(params["scale"] * prediction, index)
    weight = share_of(params.get("weight"), index, losses)
    return Terms(torch.where(kept, weight * losses, 0.0), torch.where(kept, weight, 0.0))


def zlpr(prediction: Tensor, target: Tensor, _: Params) -> Terms:
    """log(1 + sum over the positives of exp(-x)) + log(1 + sum over the others of exp(x)), of each row."""
    positive = target > 0.5
    threshold = torch.zeros_like(prediction[..., :1])
    rows = [
        torch.cat([side.masked_fill(left_out, -math.inf), threshold], -1).logsumexp(-1)
        for side, left_out in ((-prediction, ~positive), (prediction, positive))
    ]
    losses = rows[0] + rows[1]
    return Terms(losses, torch.ones_like(losses))


REFERENCES = (
    ReferenceSpec(
        name="focal_loss",
        summary="-alpha_y (1 - p_y)^gamma log p_y, p = softmax(x)",
        source="Lin et al. 2017, Focal Loss for Dense Object Detection, equations 4 and 5 (arXiv:1708.02002)",
        spaces=("logits-indices", "logits-rows"),
        formula=focal,
        parameters=(GAMMA, CLASS_ALPHA, IGNORE_INDEX, FOCUS_GRADIENT),
        laws=LAWS,
        target_profiles=HARD_OR_HOT,
        essential=("gamma",),
    ),
    ReferenceSpec(
        name="focal_loss_of_probabilities",
        summary="-alpha_y (1 - p_y)^gamma log p_y",
        source="Lin et al. 2017, Focal Loss for Dense Object Detection, equations 4 and 5 (arXiv:1708.02002)",
        spaces=("probabilities-indices", "probabilities-rows"),
        formula=focal_of_probabilities,
        parameters=(GAMMA, CLASS_ALPHA, IGNORE_INDEX, GUARD, FOCUS_GRADIENT),
        laws=LAWS - {"shift"},
        target_profiles=HARD_OR_HOT,
        essential=("gamma",),
    ),
    ReferenceSpec(
        name="unlikelihood_loss",
        summary="-log(1 - p_y), p = softmax(x), y being a class that the sample is not of",
        source="Kim et al. 2019, NLNL: Negative Learning for Noisy Labels (arXiv:1908.07387), equation 2; "
        "Welleck et al. 2020 (arXiv:1908.04319)",
        spaces=("logits-indices",),
        formula=unlikelihood,
        parameters=(IGNORE_INDEX, COMPLEMENT_GUARD, GUARD_FORM),
        laws=LAWS - {"minimum", "neutral"},
        target_profiles=HARD,
    ),
    ReferenceSpec(
        name="zlpr_loss",
        summary="log(1 + sum over positives of exp(-x_i)) + log(1 + sum over the others of exp(x_j)), of each row",
        source="Su et al. 2022, ZLPR: A Novel Loss for Multi-label Classification (arXiv:2208.02955), section 3",
        spaces=("scores-labels",),
        formula=zlpr,
        laws=frozenset({"permutation", "minimum"}),
        target_profiles=LABELS,
    ),
    ReferenceSpec(
        name="poly1_cross_entropy",
        summary="-log p_y + epsilon (1 - p_y)",
        source="Leng et al. 2022, PolyLoss, equation 6 (arXiv:2204.12511)",
        spaces=("logits-indices",),
        formula=poly1,
        parameters=(POLY_EPSILON, IGNORE_INDEX),
        laws=LAWS,
        target_profiles=HARD,
        essential=("epsilon",),
    ),
    ReferenceSpec(
        name="poly1_focal_loss",
        summary="-alpha_t (1 - p_t)^gamma log p_t + epsilon (1 - p_t)^(gamma + 1), p = sigmoid(x)",
        source="Leng et al. 2022, PolyLoss, equation 7 (arXiv:2204.12511)",
        spaces=("scores-labels",),
        formula=poly1_focal,
        parameters=(POLY_EPSILON, GAMMA, ALPHA),
        laws=frozenset({"permutation", "additive", "minimum", "neutral"}),
        target_profiles=LABELS,
        essential=("epsilon",),
    ),
    ReferenceSpec(
        name="symmetric_cross_entropy",
        summary="-alpha log p_y - beta A (1 - p_y), A = log_zero",
        source="Wang et al. 2019, Symmetric Cross Entropy for Robust Learning, equations 5 to 8 (arXiv:1908.06112)",
        spaces=("logits-indices",),
        formula=symmetric,
        parameters=(
            Parameter("beta", 0.0, "number", ("beta",), high=100.0),
            Parameter("alpha", 1.0, "number", ("alpha",), high=100.0),
            Parameter(
                "log_zero", -4.0, "number", ("A", "log_zero"), guesses=(math.log(1e-4),), low=-50, high=-2
            ),
            IGNORE_INDEX,
        ),
        laws=frozenset({"shift", "permutation", "additive", "minimum"}),
        target_profiles=HARD,
        essential=("beta",),
    ),
    ReferenceSpec(
        name="generalised_cross_entropy",
        summary="(1 - p_y^q) / q",
        source="Zhang and Sabuncu 2018, Generalized Cross Entropy Loss, equation 6 (arXiv:1805.07836)",
        spaces=("logits-indices",),
        formula=generalised,
        parameters=(Parameter("q", 0.0, "number", ("q",)), IGNORE_INDEX, GUARD),
        laws=frozenset({"shift", "permutation", "additive", "minimum"}),
        target_profiles=HARD,
        essential=("q",),
    ),
    ReferenceSpec(
        name="asymmetric_loss",
        summary="-y (1 - p)^gamma_pos log p - (1 - y) q^gamma_neg log(1 - q), q = max(p - clip, 0), p = sigmoid(x)",
        source="Ridnik et al. 2021, Asymmetric Loss For Multi-Label Classification, equations 4 to 7 (arXiv:2009.14119)",
        spaces=("scores-labels",),
        formula=asymmetric,
        parameters=(
            Parameter("gamma_neg", 0.0, "number", ("gamma_neg", "gamma_negative"), high=20.0),
            Parameter("gamma_pos", 0.0, "number", ("gamma_pos", "gamma_positive"), high=20.0),
            Parameter("clip", 0.0, "number", ("clip", "margin"), high=0.9),
            Parameter("guard", 0.0, "number", EPSILON_NAMES, high=1e-5),
            FOCUS_GRADIENT,
        ),
        laws=frozenset({"permutation", "additive", "minimum"}),
        target_profiles=LABELS,
        kinks=True,
        essential=("gamma_neg",),
    ),
    ReferenceSpec(
        name="class_balanced_loss",
        summary="-w_y (1 - p_y)^gamma log p_y, w_c = (1 - beta) / (1 - beta^n_c), their sum C",
        source="Cui et al. 2019, Class-Balanced Loss, equations 2 and 10 (arXiv:1901.05555)",
        spaces=("logits-indices",),
        formula=class_balanced,
        parameters=(
            Parameter("counts", None, "per-class", CLASS_SIZE_NAMES, high=1e9),
            Parameter("beta", 0.0, "number", ("beta",), high=0.9999999),
            GAMMA,
            Parameter("form", "normalised", "form", guesses=("normalised", "plain")),
            IGNORE_INDEX,
        ),
        laws=frozenset({"shift", "additive", "minimum"}),
        target_profiles=HARD,
        essential=("counts", "beta"),
    ),
    ReferenceSpec(
        name="logit_adjusted_loss",
        summary="-log softmax(x + tau log prior)_y",
        source="Menon et al. 2021, Long-tail learning via logit adjustment, equation 10 (arXiv:2007.07314)",
        spaces=("logits-indices",),
        formula=logit_adjusted,
        parameters=(
            Parameter(
                "prior",
                None,
                "per-class",
                ("prior", "priors", "class_prior", *CLASS_SIZE_NAMES),
                logarithms=("log_prior", "log_priors", "log_class_prior", "adjustments", "logit_adjustments"),
                high=1e9,
            ),
            Parameter("tau", 1.0, "number", ("tau", "temperature"), high=10.0),
            IGNORE_INDEX,
        ),
        laws=frozenset({"shift", "additive"}),
        target_profiles=HARD,
        essential=("prior",),
    ),
    ReferenceSpec(
        name="ldam_loss",
        summary="-log softmax(s (x - margin_y at y))_y",
        source="Cao et al. 2019, Label-Distribution-Aware Margin Loss, equations 12 and 13 (arXiv:1906.07413)",
        spaces=("logits-indices",),
        formula=ldam,
        parameters=(
            Parameter(
                "margins", None, "per-class", ("m_list", "margins", "margin_list", "margin"), high=100.0
            ),
            Parameter("scale", 1.0, "number", ("s", "scale"), high=1000.0),
            WEIGHT,
            IGNORE_INDEX,
        ),
        laws=frozenset({"shift", "additive"}),
        target_profiles=HARD,
        essential=("margins",),
    ),
)
