"""How likelihoods with variances go wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lossaudit.fuzz.model import Mistake, Terms
from lossaudit.fuzz.references.embeddings import unit_terms
from lossaudit.fuzz.references.likelihood import (
    CONSTANT,
    bound,
    divergences,
    from_prior,
    reconstruction_costs,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from lossaudit.fuzz.model import Formula, Params

PLAIN = ("gaussian_nll",)
LOG = ("gaussian_nll_of_log_variance",)
GAUSSIAN = (*PLAIN, *LOG)
VAE = ("vae",)
LATENT = ("vae", "kl_standard_normal")
PARAMETERS_OF_LATENT = 2
"""Means and log-variances; where there is more, the reconstruction comes first."""


def _gaussian(loss: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Formula], Formula]:
    """Another loss of the error and the second output."""

    def wrong(_: Formula) -> Formula:
        def changed(prediction: Tensor, target: Tensor, params: Params) -> Terms:
            mean, spread = prediction.unbind(1)
            return unit_terms(loss(mean - target, spread) + (CONSTANT if params["full"] else 0.0))

        return changed

    return wrong


def _log_variance_whole(formula: Formula) -> Formula:
    """Another half of the log-variance: what an error of 0 costs, the constant left aside."""

    def changed(prediction: Tensor, target: Tensor, params: Params) -> Terms:
        halves = formula(prediction, prediction[:, 0], {**params, "full": False})
        terms = formula(prediction, target, params)
        return Terms(terms.losses + halves.losses, terms.shares)

    return changed


def _doubled(formula: Formula) -> Formula:
    def changed(prediction: Tensor, target: Tensor, params: Params) -> Terms:
        terms = formula(prediction, target, params)
        return Terms(terms.losses * 2, terms.shares)

    return changed


def _latent(divergence: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Formula], Formula]:
    """Another divergence of mean and log-variance."""

    def wrong(_: Formula) -> Formula:
        def changed(prediction: Tensor, target: Tensor, params: Params) -> Terms:
            latent = divergence(prediction[:, -2], prediction[:, -1])
            if prediction.shape[1] == PARAMETERS_OF_LATENT:
                return from_prior(latent, params)
            return bound(reconstruction_costs(prediction, target, params), latent, params)

        return changed

    return wrong


def _mixed(costs_mean: bool, latent_mean: bool, whole_batch: bool) -> Callable[[Formula], Formula]:
    """One of the two averaged over its dimensions; with ``whole_batch`` the other added up over the batch as well."""

    def wrong(_: Formula) -> Formula:
        def changed(prediction: Tensor, target: Tensor, params: Params) -> Terms:
            costs = reconstruction_costs(prediction, target, params)
            latent = divergences(prediction[:, 1], prediction[:, 2])
            one = costs.mean(1) if costs_mean else costs.sum(1)
            other = latent.mean(1) if latent_mean else latent.sum(1)
            count = len(prediction) if whole_batch else 1
            one, other = (one, other * count) if costs_mean else (one * count, other)
            return unit_terms(one + params["beta"] * other)

        return changed

    return wrong


def _sums(params: Params) -> bool:
    return bool(params["over_features"] == "sum")


MISTAKES = (
    Mistake(
        "reconstruction-averaged-divergence-summed",
        VAE,
        "averages the reconstruction over its elements and sums the divergence over the latent dimensions: the "
        "divergence weighs D times as much as in the bound",
        "LA310",
        wrong=_mixed(costs_mean=True, latent_mean=False, whole_batch=False),
        reductions=("mean",),
        convention=True,
        applies=_sums,
    ),
    Mistake(
        "half-missing",
        GAUSSIAN,
        "is twice the negative log-likelihood: the factor 1/2 is missing",
        wrong=_doubled,
        convention=True,
    ),
    Mistake(
        "log-variance-sign",
        PLAIN,
        "takes the log-variance off, where it is to be added: the variance grows without bound",
        wrong=_gaussian(lambda error, spread: 0.5 * (error.square() / spread - spread.log())),
    ),
    Mistake(
        "deviation-for-variance",
        PLAIN,
        "squares the variance: what it is given was taken for a standard deviation",
        wrong=_gaussian(lambda error, spread: spread.log() + 0.5 * (error / spread).square()),
        convention=True,
    ),
    Mistake(
        "error-not-squared",
        PLAIN,
        "takes the absolute error for its square: that is half the likelihood of a Laplace distribution",
        wrong=_gaussian(lambda error, spread: 0.5 * (spread.log() + error.abs() / spread)),
        convention=True,
    ),
    Mistake(
        "variance-not-exponentiated",
        LOG,
        "divides by the log-variance: the exponential is missing",
        wrong=_gaussian(lambda error, spread: 0.5 * (spread + error.square() / spread)),
    ),
    Mistake(
        "precision-sign",
        LOG,
        "multiplies the squared error by the variance, where it is to be divided by it: exp(s) for exp(-s)",
        wrong=_gaussian(lambda error, spread: 0.5 * (spread + error.square() * spread.exp())),
    ),
    Mistake(
        "log-variance-missing",
        LOG,
        "leaves out the log-variance term: an infinite variance costs nothing",
        wrong=_gaussian(lambda error, spread: 0.5 * error.square() * (-spread).exp()),
    ),
    Mistake(
        "log-variance-not-halved",
        GAUSSIAN,
        "halves the squared error and not the log-variance: the variance that it prefers is half the true one",
        wrong=_log_variance_whole,
    ),
    Mistake(
        "divergence-sign",
        LATENT,
        "takes the divergence off, where it is to be added: training drives the latent distribution away from the prior",
        wrong=_latent(lambda mean, spread: -divergences(mean, spread)),
    ),
    Mistake(
        "divergence-half-missing",
        VAE,
        "has twice the divergence: its weight is 2, or the factor 1/2 is missing",
        wrong=_latent(lambda mean, spread: 2 * divergences(mean, spread)),
        convention=True,
    ),
    Mistake(
        "variance-not-exponentiated",
        LATENT,
        "takes the log-variance for the variance: its exponential is missing",
        wrong=_latent(lambda mean, spread: -0.5 * (1 + spread - mean.square() - spread)),
    ),
    Mistake(
        "mean-not-squared",
        LATENT,
        "takes the latent mean for its square",
        wrong=_latent(lambda mean, spread: -0.5 * (1 + spread - mean - spread.exp())),
    ),
    Mistake(
        "deviation-for-variance",
        LATENT,
        "takes the standard deviation exp(s / 2) for the variance exp(s)",
        wrong=_latent(lambda mean, spread: -0.5 * (1 + spread - mean.square() - (spread / 2).exp())),
    ),
    Mistake(
        "reconstruction-averaged-divergence-added-up",
        VAE,
        "averages the reconstruction over batch and elements and adds the divergence up over both: the balance depends "
        "on the batch size",
        "LA310",
        codes=("LF101", "LF503"),
        wrong=_mixed(costs_mean=True, latent_mean=False, whole_batch=True),
        reductions=("mean",),
        applies=_sums,
    ),
    Mistake(
        "reconstruction-added-up-divergence-averaged",
        VAE,
        "adds the reconstruction up over batch and elements and averages the divergence over both: the balance depends "
        "on the batch size",
        "LA310",
        codes=("LF101", "LF503"),
        wrong=_mixed(costs_mean=False, latent_mean=True, whole_batch=True),
        reductions=("mean",),
        applies=_sums,
    ),
)
