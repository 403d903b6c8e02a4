"""How binary cross-entropy and the sigmoid focal loss go wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from lossaudit.fuzz.mistakes.classes import EPSILON
from lossaudit.fuzz.mistakes.guards import over_a_number
from lossaudit.fuzz.mistakes.rounding import nudged
from lossaudit.fuzz.model import Mistake, Parameter, Terms
from lossaudit.fuzz.references.binary import as_factor, bce, exact_softplus
from lossaudit.fuzz.references.classes import LABEL_SMOOTHING

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from lossaudit.fuzz.model import Formula, Params

LOGITS = ("bce_with_logits",)
ENTROPY = ("bce_with_logits", "bce")
FOCAL = ("sigmoid_focal_loss",)
SMOOTHING = Parameter("smoothing", 0.0, "number", LABEL_SMOOTHING.aliases, high=0.5)
CARE = Parameter("care", "careful", "choice", guesses=("careful", "plain"))


def _sigmoid_first(formula: Formula) -> Formula:
    return lambda prediction, target, params: formula(prediction.sigmoid(), target, params)


def _smoothed(formula: Formula) -> Formula:
    def changed(prediction: Tensor, target: Tensor, params: Params) -> Terms:
        smoothing = params["smoothing"]
        return formula(prediction, target * (1 - smoothing) + smoothing / 2, params)

    return changed


def _without_sigmoid(prediction: Tensor, target: Tensor, params: Params, _: float) -> Terms:
    return _of_probabilities(prediction, target, params)


def _weight_on_negatives(_: Formula) -> Formula:
    def changed(prediction: Tensor, target: Tensor, params: Params) -> Terms:
        positive = target * exact_softplus(-prediction)
        negative = as_factor(params["pos_weight"], prediction) * (1 - target) * exact_softplus(prediction)
        losses = positive + negative
        return Terms(losses, torch.ones_like(losses))

    return changed


def _weight_on_both(_: Formula) -> Formula:
    def changed(prediction: Tensor, target: Tensor, params: Params) -> Terms:
        both = target * exact_softplus(-prediction) + (1 - target) * exact_softplus(prediction)
        losses = as_factor(params["pos_weight"], prediction) * both
        return Terms(losses, torch.ones_like(losses))

    return changed


def _positives_only(_: Formula) -> Formula:
    def changed(prediction: Tensor, target: Tensor, params: Params) -> Terms:
        losses = as_factor(params.get("pos_weight"), prediction) * target * exact_softplus(-prediction)
        return Terms(losses, torch.ones_like(losses))

    return changed


def _softmax_first(prediction: Tensor, target: Tensor, params: Params, nudge: float) -> Terms:
    """Softmax over the last dimension, then the binary cross-entropy of each column, with or without care."""
    return _of_probabilities(nudged(prediction.softmax(-1), nudge), target, params)


def _of_probabilities(p: Tensor, target: Tensor, params: Params) -> Terms:
    """Binary cross-entropy of what is taken for probabilities, with 0 log 0 = 0 or without that care."""
    if params["care"] == "careful":
        return bce(p, target, params)
    losses = -(target * p.log() + (1 - target) * (1 - p).log())
    return Terms(losses, torch.ones_like(losses))


def _log_of_sigmoid(epsilon_form: str) -> Callable[[Tensor, Tensor, Params, float], Terms]:
    """-(y log p + (1 - y) log(1 - p)) of p = sigmoid(x), as it rounds at the dtype at hand."""

    def rounded(prediction: Tensor, target: Tensor, params: Params, nudge: float) -> Terms:
        p = nudged(prediction.sigmoid(), nudge)
        epsilon = params.get("epsilon", 0.0)
        if epsilon_form == "clamp":
            p = p.clamp(epsilon, 1 - epsilon)
        added = epsilon if epsilon_form == "add" else 0.0
        positive = target * (p + added).log()
        negative = (1 - target) * ((1 - p) + added).log()
        losses = -(as_factor(params.get("pos_weight"), prediction) * positive + negative)
        losses = as_factor(params.get("weight"), prediction) * losses
        return Terms(losses, torch.ones_like(losses))

    return rounded


def _one_alpha(formula: Formula) -> Formula:
    def changed(prediction: Tensor, target: Tensor, params: Params) -> Terms:
        terms = formula(prediction, target, {**params, "alpha": None})
        return Terms(terms.losses * params["alpha"], terms.shares)

    return changed


def _alpha_swapped(formula: Formula) -> Formula:
    return lambda prediction, target, params: formula(
        prediction, target, {**params, "alpha": 1 - params["alpha"]}
    )


def _pt_from_weighted(_: Formula) -> Formula:
    """p_t = exp(-alpha_t ce): the weight takes part in the probability."""

    def changed(prediction: Tensor, target: Tensor, params: Params) -> Terms:
        towards = torch.where(target >= 0.5, prediction, -prediction)
        weighted = torch.where(target >= 0.5, params["alpha"], 1 - params["alpha"]) * exact_softplus(-towards)
        losses = (1 - torch.exp(-weighted)) ** params["gamma"] * weighted
        return Terms(losses, torch.ones_like(losses))

    return changed


def _pt_not_complemented(_: Formula) -> Formula:
    """p_t ** gamma in place of (1 - p_t) ** gamma: easy samples weigh most."""

    def changed(prediction: Tensor, target: Tensor, params: Params) -> Terms:
        towards = torch.where(target >= 0.5, prediction, -prediction)
        losses = torch.exp(-params["gamma"] * exact_softplus(-towards)) * exact_softplus(-towards)
        if params.get("alpha") is not None:
            losses = losses * torch.where(target >= 0.5, params["alpha"], 1 - params["alpha"])
        return Terms(losses, torch.ones_like(losses))

    return changed


def _modulated_by_score(_: Formula) -> Formula:
    """(1 - p) ** gamma for negatives too, whose p_t is 1 - p: easy negatives weigh most."""

    def changed(prediction: Tensor, target: Tensor, params: Params) -> Terms:
        towards = torch.where(target >= 0.5, prediction, -prediction)
        losses = torch.exp(-params["gamma"] * exact_softplus(prediction)) * exact_softplus(-towards)
        if params.get("alpha") is not None:
            losses = losses * torch.where(target >= 0.5, params["alpha"], 1 - params["alpha"])
        return Terms(losses, torch.ones_like(losses))

    return changed


def _has_alpha(params: Params) -> bool:
    return params.get("alpha") is not None


def _has_pos_weight(params: Params) -> bool:
    return params.get("pos_weight") is not None


MISTAKES = (
    Mistake(
        "labels-smoothed",
        ENTROPY,
        "draws the labels towards one half, y (1 - {smoothing:g}) + {smoothing:g} / 2: label smoothing of two classes "
        "(Szegedy et al. 2016, section 7)",
        wrong=_smoothed,
        convention=True,
        parameters=(SMOOTHING,),
    ),
    Mistake(
        "one-alpha",
        FOCAL,
        "multiplies every element by alpha, where the paper has alpha for positives and 1 - alpha for negatives: a "
        "published convention",
        wrong=_one_alpha,
        convention=True,
        applies=_has_alpha,
    ),
    *over_a_number(
        "over-positives",
        FOCAL,
        "divides the sum by the number of positives, as the paper does (Lin et al. 2017, section 4)",
        lambda _, target: target.sum(),
    ),
    Mistake(
        "sigmoid-twice",
        LOGITS + FOCAL,
        "equals the reference of sigmoid(x): the sigmoid is applied twice",
        "LA105",
        wrong=_sigmoid_first,
    ),
    Mistake(
        "missing-sigmoid",
        LOGITS,
        "takes the logarithm of the raw score: the sigmoid is missing",
        "LA104",
        codes=("LF101", "LF301", "LF302"),
        rounded=_without_sigmoid,
        parameters=(CARE,),
    ),
    Mistake(
        "softmax-before-bce",
        LOGITS,
        "equals a binary cross-entropy of softmax(x): the columns are not independent",
        "LA107",
        rounded=_softmax_first,
        parameters=(CARE,),
    ),
    Mistake(
        "pos-weight-on-negatives",
        LOGITS,
        "multiplies the negative term by pos_weight, not the positive one",
        wrong=_weight_on_negatives,
        applies=_has_pos_weight,
    ),
    Mistake(
        "pos-weight-on-both",
        LOGITS,
        "multiplies both terms by pos_weight, not the positive one alone",
        wrong=_weight_on_both,
        applies=_has_pos_weight,
    ),
    Mistake(
        "positives-only",
        LOGITS,
        "has the term of the positive labels only: nothing pulls the scores of negatives down",
        wrong=_positives_only,
    ),
    Mistake(
        "log-of-sigmoid",
        LOGITS,
        "takes the logarithms of sigmoid(x) and of 1 - sigmoid(x), which round to zero for large scores",
        "LA402",
        codes=("LF301", "LF302"),
        rounded=_log_of_sigmoid("none"),
    ),
    Mistake(
        "epsilon-in-log-of-sigmoid",
        LOGITS,
        "adds {epsilon:g} inside the logarithms of sigmoid(x) and 1 - sigmoid(x): the loss cannot grow beyond "
        "-log({epsilon:g}), and 1 - sigmoid(x) is rounded long before",
        "LA402",
        codes=("LF101",),
        rounded=_log_of_sigmoid("add"),
        parameters=(EPSILON,),
    ),
    Mistake(
        "clamp-before-log-of-sigmoid",
        LOGITS,
        "clamps sigmoid(x) to [{epsilon:g}, 1 - {epsilon:g}] before the logarithms: beyond that it is constant and its "
        "gradient is zero",
        "LA402",
        codes=("LF101",),
        rounded=_log_of_sigmoid("clamp"),
        parameters=(EPSILON,),
    ),
    Mistake(
        "alpha-swapped",
        FOCAL,
        "gives alpha to the negatives and 1 - alpha to the positives",
        wrong=_alpha_swapped,
        applies=_has_alpha,
    ),
    Mistake(
        "pt-from-weighted-loss",
        FOCAL,
        "forms p_t = exp(-loss) from a loss that already carries alpha",
        "LA206",
        wrong=_pt_from_weighted,
        applies=_has_alpha,
    ),
    Mistake(
        "modulation-not-complemented",
        FOCAL,
        "modulates by p_t ** gamma, not by (1 - p_t) ** gamma: easy samples weigh most",
        codes=("LF101", "LF504"),
        wrong=_pt_not_complemented,
        applies=lambda params: bool(params.get("gamma")),
    ),
    Mistake(
        "modulation-by-p",
        FOCAL,
        "modulates negatives too by (1 - p) ** gamma, not by (1 - p_t) ** gamma: easy negatives weigh most",
        wrong=_modulated_by_score,
        applies=lambda params: bool(params.get("gamma")),
    ),
)
