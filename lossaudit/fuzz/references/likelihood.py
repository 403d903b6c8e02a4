"""Gaussian negative log-likelihood, and the negative evidence bound of a variational autoencoder."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch.nn.functional import softplus

from lossaudit.fuzz.model import Parameter, ReferenceSpec, Terms
from lossaudit.fuzz.references.embeddings import unit_terms

if TYPE_CHECKING:
    from torch import Tensor

    from lossaudit.fuzz.model import Params

FULL = Parameter("full", False, "form", guesses=(False, True))
BETA = Parameter("beta", 1.0, "declared", ("beta", "kl_weight", "kld_weight", "kl_coef"), high=1e6)
RECONSTRUCTION = Parameter(
    "reconstruction",
    "bce",
    "form",
    guesses=("bce", "squares", "half squares", "absolute", "bce of logits"),
)
OVER_FEATURES = Parameter("over_features", "sum", "form", guesses=("sum", "mean"))
CONSTANT = 0.5 * math.log(2 * math.pi)


def gaussian(error: Tensor, log_variance: Tensor, variance: Tensor, params: Params) -> Terms:
    """Half of log variance plus squared error over variance, and the constant if it is asked for."""
    losses = 0.5 * (log_variance + error.square() / variance)
    return unit_terms(losses + CONSTANT if params.get("full") else losses)


def gaussian_nll(prediction: Tensor, target: Tensor, params: Params) -> Terms:
    """Of means and variances."""
    mean, variance = prediction.unbind(1)
    return gaussian(mean - target, variance.log(), variance, params)


def gaussian_nll_log(prediction: Tensor, target: Tensor, params: Params) -> Terms:
    """Of means and log-variances."""
    mean, log_variance = prediction.unbind(1)
    return gaussian(mean - target, log_variance, log_variance.exp(), params)


def reconstruction_costs(prediction: Tensor, target: Tensor, params: Params) -> Tensor:
    """The cost of each element of the reconstruction, [N, D]."""
    guess = prediction[:, 0]
    kind = params.get("reconstruction", "bce")
    if kind == "bce":
        costs: Tensor = -(torch.xlogy(target, guess) + torch.special.xlog1py(1 - target, -guess))
        return costs
    if kind == "bce of logits":
        return softplus(guess) - target * guess
    if kind == "absolute":
        return (guess - target).abs()
    return (guess - target).square() * (0.5 if kind == "half squares" else 1.0)


def divergences(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL divergence of each latent dimension from the standard normal distribution, [N, D]."""
    return 0.5 * (mean.square() + log_variance.expm1() - log_variance)


def _over_features(values: Tensor, params: Params) -> Tensor:
    """Values [N, D] of each sample, summed or averaged over its dimensions."""
    return values.mean(1) if params.get("over_features") == "mean" else values.sum(1)


def from_prior(latent: Tensor, params: Params) -> Terms:
    """The divergence of each sample, summed or averaged over its dimensions."""
    return unit_terms(_over_features(latent, params))


def kl_standard_normal(prediction: Tensor, _: Tensor, params: Params) -> Terms:
    """The divergence of a latent distribution from the standard normal one, by itself."""
    return from_prior(divergences(prediction[:, 0], prediction[:, 1]), params)


def bound(costs: Tensor, latent: Tensor, params: Params) -> Terms:
    """Reconstruction plus beta times divergence, each summed or averaged over its dimensions."""
    scale = params.get("beta", 1.0)
    return unit_terms(_over_features(costs, params) + scale * _over_features(latent, params))


def vae(prediction: Tensor, target: Tensor, params: Params) -> Terms:
    """The negative evidence lower bound."""
    costs = reconstruction_costs(prediction, target, params)
    return bound(costs, divergences(prediction[:, 1], prediction[:, 2]), params)


def _gaussian_code(params: Params, reduction: str) -> str:
    return (
        "torch.nn.functional.gaussian_nll_loss(mean, TARGET, variance, "
        f"full={params['full']!r}, reduction={reduction!r})"
    )


_LAWS = frozenset({"permutation", "additive", "minimum"})
_KINGMA = (
    "Kingma and Welling 2014, Auto-encoding variational Bayes (arXiv:1312.6114), equation 10 and appendix B"
)

REFERENCES = (
    ReferenceSpec(
        name="gaussian_nll",
        summary="1/2 (log var + (mean - y)^2 / var) [+ 1/2 log 2 pi]",
        source="https://docs.pytorch.org/docs/stable/generated/torch.nn.GaussianNLLLoss.html; Nix and Weigend 1994",
        spaces=("means-variances",),
        formula=gaussian_nll,
        parameters=(FULL,),
        reductions=("mean", "sum", "none"),
        laws=_LAWS,
        code=_gaussian_code,
        degree=2,
    ),
    ReferenceSpec(
        name="gaussian_nll_of_log_variance",
        summary="1/2 (s + (mean - y)^2 exp(-s)) [+ 1/2 log 2 pi], s the log-variance",
        source="Kendall and Gal 2017, What uncertainties do we need (arXiv:1703.04977), equation 8",
        spaces=("means-log_variances",),
        formula=gaussian_nll_log,
        parameters=(FULL,),
        reductions=("mean", "sum", "none"),
        laws=_LAWS,
        degree=3,
    ),
    ReferenceSpec(
        name="vae",
        summary="reconstruction(x_hat, x) + beta KL(N(mu, sigma^2) || N(0, 1)), KL = -1/2 (1 + s - mu^2 - exp(s))",
        source=f"{_KINGMA}; beta: Higgins et al. 2017",
        spaces=("reconstructions-latent",),
        formula=vae,
        parameters=(RECONSTRUCTION, BETA, OVER_FEATURES),
        reductions=("sum", "mean"),
        laws=frozenset({"permutation", "additive"}),
        degree=3,
    ),
    ReferenceSpec(
        name="kl_standard_normal",
        summary="KL(N(mu, sigma^2) || N(0, 1)) = -1/2 (1 + s - mu^2 - exp(s)), s the log-variance",
        source=_KINGMA,
        spaces=("latent",),
        formula=kl_standard_normal,
        parameters=(OVER_FEATURES,),
        reductions=("sum", "mean", "none"),
        laws=frozenset({"permutation", "additive"}),
        degree=3,
    ),
)
