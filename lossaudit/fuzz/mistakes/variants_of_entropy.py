"""How focal, poly-1, robust, asymmetric and re-balanced losses go wrong, and their conventions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from lossaudit.fuzz.mistakes.rounding import nudged
from lossaudit.fuzz.model import Mistake, Terms
from lossaudit.fuzz.references.classes import class_view
from lossaudit.fuzz.references.variants_of_entropy import (
    balance,
    kept_indices,
    log_complement,
    minus_log,
    share_of,
)
from lossaudit.fuzz.spaces.fill import one_hot

if TYPE_CHECKING:
    from torch import Tensor

    from lossaudit.fuzz.model import Formula, Params

FOCAL = ("focal_loss",)
BOTH_FOCALS = ("focal_loss", "sigmoid_focal_loss")
POLY = ("poly1_cross_entropy", "poly1_focal_loss")


def _with(formula: Formula, **changes: float | None) -> Formula:
    """The same formula with other parameters."""
    return lambda prediction, target, params: formula(prediction, target, {**params, **changes})


def _on_reduced(formula: Formula) -> Formula:
    """(1 - exp(-L))^gamma L of the loss that was averaged already."""

    def changed(prediction: Tensor, target: Tensor, params: Params) -> Terms:
        terms = formula(prediction, target, {**params, "gamma": 0.0, "alpha": None})
        mean = terms.losses.sum() / terms.shares.sum()
        loss = -torch.expm1(-mean)
        loss = loss.clamp(min=0) ** params["gamma"] * mean
        alpha = params.get("alpha")
        if alpha is not None and torch.as_tensor(alpha).ndim == 0:
            loss = loss * alpha
        return Terms(loss.reshape(1), torch.ones(1, dtype=loss.dtype))

    return changed


def _power_missing(formula: Formula) -> Formula:
    return _with(formula, gamma=1.0)


def _gamma_as_factor(formula: Formula) -> Formula:
    def changed(prediction: Tensor, target: Tensor, params: Params) -> Terms:
        terms = formula(prediction, target, {**params, "gamma": 1.0})
        return Terms(terms.losses * params["gamma"], terms.shares)

    return changed


def _pt_not_complemented(_: Formula) -> Formula:
    def changed(prediction: Tensor, target: Tensor, params: Params) -> Terms:
        index, kept = kept_indices(target, params)
        entropy = minus_log(prediction, index)
        losses = torch.exp(-params["gamma"] * entropy) * entropy
        losses = share_of(params.get("alpha"), index, losses) * losses
        return Terms(losses * kept, kept.to(losses.dtype))

    return changed


def _pt_from_weighted(_: Formula) -> Formula:
    def changed(prediction: Tensor, target: Tensor, params: Params) -> Terms:
        index, kept = kept_indices(target, params)
        entropy = minus_log(prediction, index)
        entropy = share_of(params.get("alpha"), index, entropy) * entropy
        losses = (-torch.expm1(-entropy)) ** params["gamma"] * entropy
        return Terms(losses * kept, kept.to(losses.dtype))

    return changed


def _gamma_on_logarithm(_: Formula) -> Formula:
    def changed(prediction: Tensor, target: Tensor, params: Params) -> Terms:
        index, kept = kept_indices(target, params)
        entropy = minus_log(prediction, index)
        losses = log_complement(prediction, index).exp() * entropy ** params["gamma"]
        losses = share_of(params.get("alpha"), index, losses) * losses
        return Terms(losses * kept, kept.to(losses.dtype))

    return changed


def _alpha_inside_logarithm(_: Formula) -> Formula:
    def changed(prediction: Tensor, target: Tensor, params: Params) -> Terms:
        index, kept = kept_indices(target, params)
        entropy = minus_log(prediction, index)
        modulation = torch.exp(params["gamma"] * log_complement(prediction, index))
        losses = modulation * (entropy - share_of(params["alpha"], index, entropy).log())
        return Terms(losses * kept, kept.to(losses.dtype))

    return changed


def _alpha_normalised(formula: Formula) -> Formula:
    def changed(prediction: Tensor, target: Tensor, params: Params) -> Terms:
        terms = formula(prediction, target, params)
        index, _ = kept_indices(target, params)
        return Terms(terms.losses, terms.shares * share_of(params["alpha"], index, terms.losses))

    return changed


def _epsilon_sign(formula: Formula) -> Formula:
    def changed(prediction: Tensor, target: Tensor, params: Params) -> Terms:
        return formula(prediction, target, {**params, "epsilon": -params["epsilon"]})

    return changed


def _epsilon_on_pt(_: Formula) -> Formula:
    def changed(prediction: Tensor, target: Tensor, params: Params) -> Terms:
        index, kept = kept_indices(target, params)
        entropy = minus_log(prediction, index)
        losses = entropy + params["epsilon"] * torch.exp(-entropy)
        return Terms(losses * kept, kept.to(losses.dtype))

    return changed


def _not_divided(formula: Formula) -> Formula:
    def changed(prediction: Tensor, target: Tensor, params: Params) -> Terms:
        terms = formula(prediction, target, params)
        return Terms(terms.losses * params["q"], terms.shares)

    return changed


def _power_subtracted(_: Formula) -> Formula:
    """(1 - p)^q / q in place of (1 - p^q) / q."""

    def changed(prediction: Tensor, target: Tensor, params: Params) -> Terms:
        index, kept = kept_indices(target, params)
        losses = torch.exp(params["q"] * log_complement(prediction, index)) / params["q"]
        return Terms(losses * kept, kept.to(losses.dtype))

    return changed


def _power_of_softmax(prediction: Tensor, target: Tensor, params: Params, nudge: float) -> Terms:
    """(1 - p^q) / q of softmax(x) as it rounds: the slope of the power is infinite where p is zero."""
    index, kept = kept_indices(target, params)
    p = nudged(prediction.softmax(1), nudge).gather(1, index.unsqueeze(1)).squeeze(1)
    losses = (1 - p ** params["q"]) / params["q"]
    return Terms(losses * kept, kept.to(losses.dtype))


def _beta_minus(formula: Formula) -> Formula:
    def changed(prediction: Tensor, target: Tensor, params: Params) -> Terms:
        return formula(prediction, target, {**params, "beta": -params["beta"]})

    return changed


def _gammas_exchanged(formula: Formula) -> Formula:
    def changed(prediction: Tensor, target: Tensor, params: Params) -> Terms:
        exchanged = {"gamma_pos": params["gamma_neg"], "gamma_neg": params["gamma_pos"]}
        return formula(prediction, target, {**params, **exchanged})

    return changed


def _prior_subtracted(formula: Formula) -> Formula:
    def changed(prediction: Tensor, target: Tensor, params: Params) -> Terms:
        return formula(prediction, target, {**params, "tau": -params["tau"]})

    return changed


def _prior_without_log(formula: Formula) -> Formula:
    def changed(prediction: Tensor, target: Tensor, params: Params) -> Terms:
        moved = prediction + params["tau"] * class_view(params["prior"], prediction)
        return formula(moved, target, {**params, "prior": None})

    return changed


def _margin_added(formula: Formula) -> Formula:
    def changed(prediction: Tensor, target: Tensor, params: Params) -> Terms:
        return formula(prediction, target, {**params, "margins": -params["margins"]})

    return changed


def _margin_on_others(formula: Formula) -> Formula:
    """The margin is taken from the other classes: the true one becomes easier."""

    def changed(prediction: Tensor, target: Tensor, params: Params) -> Terms:
        index, _ = kept_indices(target, params)
        others = 1 - one_hot(index, prediction.shape[1]).to(prediction.dtype)
        moved = prediction - others * class_view(params["margins"], prediction)
        return formula(moved, target, {**params, "margins": None})

    return changed


def _scale_missing(formula: Formula) -> Formula:
    return _with(formula, scale=1.0)


def _weights_inverted(formula: Formula) -> Formula:
    """(1 - beta^n) / (1 - beta): frequent classes weigh most."""

    def changed(prediction: Tensor, target: Tensor, params: Params) -> Terms:
        terms = formula(prediction, target, {**params, "counts": None})
        index, _ = kept_indices(target, params)
        weights = 1 / balance(params["counts"].to(prediction.dtype), params["beta"], "plain")
        if params["form"] == "normalised":
            weights = weights / weights.sum() * len(weights)
        return Terms(terms.losses * weights[index], terms.shares)

    return changed


def _has_alpha(params: Params) -> bool:
    return params.get("alpha") is not None


def _modulated(params: Params) -> bool:
    return params.get("gamma") not in {None, 0.0, 1.0}


MISTAKES = (
    Mistake(
        "alpha-normalised",
        FOCAL,
        "divides by the sum of the weights alpha, as torch's class weights do: a published convention",
        wrong=_alpha_normalised,
        convention=True,
        reductions=("mean",),
        applies=_has_alpha,
    ),
    Mistake(
        "focal-on-reduced-loss",
        BOTH_FOCALS,
        "modulates a loss that was averaged already: easy and hard samples of a batch weigh the same",
        "LA207",
        wrong=_on_reduced,
        applies=_modulated,
    ),
    Mistake(
        "focal-power-missing",
        BOTH_FOCALS,
        "multiplies by (1 - p_t) without raising it to gamma",
        wrong=_power_missing,
        applies=_modulated,
    ),
    Mistake(
        "gamma-as-factor",
        BOTH_FOCALS,
        "multiplies (1 - p_t) by gamma and does not raise it to gamma",
        wrong=_gamma_as_factor,
        applies=_modulated,
    ),
    Mistake(
        "gamma-on-logarithm",
        FOCAL,
        "raises the logarithm to gamma and not (1 - p_t)",
        wrong=_gamma_on_logarithm,
        applies=_modulated,
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
        "pt-from-weighted-loss",
        FOCAL,
        "forms p_t = exp(-loss) from a loss that already carries alpha",
        "LA206",
        wrong=_pt_from_weighted,
        applies=_has_alpha,
    ),
    Mistake(
        "alpha-inside-logarithm",
        FOCAL,
        "takes the logarithm of alpha p_t: alpha only shifts the loss",
        wrong=_alpha_inside_logarithm,
        applies=_has_alpha,
    ),
    Mistake(
        "poly-epsilon-sign",
        POLY,
        "subtracts epsilon (1 - p_t)",
        wrong=_epsilon_sign,
    ),
    Mistake(
        "poly-epsilon-on-pt",
        ("poly1_cross_entropy",),
        "adds epsilon p_t, not epsilon (1 - p_t): being right is punished",
        wrong=_epsilon_on_pt,
    ),
    Mistake(
        "not-divided-by-q",
        ("generalised_cross_entropy",),
        "is 1 - p^q without the division by q: a constant factor, and no cross-entropy for small q",
        wrong=_not_divided,
        convention=True,
    ),
    Mistake(
        "power-of-complement",
        ("generalised_cross_entropy",),
        "is (1 - p)^q / q, not (1 - p^q) / q",
        wrong=_power_subtracted,
    ),
    Mistake(
        "power-of-underflow",
        ("generalised_cross_entropy",),
        "raises softmax(x) to the power q: where it underflows to zero, the slope of the power is infinite",
        "LA408",
        codes=("LF302",),
        rounded=_power_of_softmax,
    ),
    Mistake(
        "reverse-term-sign",
        ("symmetric_cross_entropy",),
        "subtracts the reverse cross-entropy: the sign of log 0 was lost",
        wrong=_beta_minus,
    ),
    Mistake(
        "gammas-exchanged",
        ("asymmetric_loss",),
        "gives gamma_neg to the positives and gamma_pos to the negatives",
        wrong=_gammas_exchanged,
    ),
    Mistake(
        "clip-ignored",
        ("asymmetric_loss",),
        "does not forgive negatives below the clip",
        wrong=lambda formula: _with(formula, clip=0.0),
        applies=lambda params: bool(params.get("clip")),
    ),
    Mistake(
        "balance-inverted",
        ("class_balanced_loss",),
        "weighs each class by (1 - beta^n) / (1 - beta), the inverse: frequent classes weigh most",
        wrong=_weights_inverted,
        applies=lambda params: params["counts"] is not None,
    ),
    Mistake(
        "prior-subtracted",
        ("logit_adjusted_loss",),
        "subtracts the log prior from the logits: that is the correction after training, not the loss",
        wrong=_prior_subtracted,
        applies=lambda params: params["prior"] is not None,
    ),
    Mistake(
        "prior-without-logarithm",
        ("logit_adjusted_loss",),
        "adds the prior itself to the logits, not its logarithm",
        wrong=_prior_without_log,
        applies=lambda params: params["prior"] is not None,
    ),
    Mistake(
        "margin-sign",
        ("ldam_loss",),
        "adds the margin to the logit of the true class: it makes the task easier, not harder",
        wrong=_margin_added,
        applies=lambda params: params["margins"] is not None,
    ),
    Mistake(
        "margin-on-other-classes",
        ("ldam_loss",),
        "takes the margins from the other classes, not from the true one",
        wrong=_margin_on_others,
        applies=lambda params: params["margins"] is not None,
    ),
    Mistake(
        "scale-missing",
        ("ldam_loss",),
        "does not multiply the logits by the scale",
        wrong=_scale_missing,
        applies=lambda params: params["scale"] != 1,
    ),
)
