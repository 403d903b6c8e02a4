"""Inputs of likelihoods: means with variances, reconstructions with a latent distribution."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from lossaudit.fuzz.model import Part, Space
from lossaudit.fuzz.spaces import fill
from lossaudit.fuzz.spaces.embeddings import split

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from lossaudit.fuzz.model import Params, Structure

SCALES = (2.0, 16.0, 90.0)
MEAN = Part("mean", ("mean", "mu", "loc", "input", "prediction", "pred", "means"))
TRUTH = Part("target", ("target", "targets", "y", "y_true", "x", "value", "truth"), learned=False)
VARIANCE_NAMES = ("var", "variance", "variances", "sigma2", "sigma_squared")
LOG_VARIANCE_NAMES = (
    "log_var", "logvar", "log_variance", "logvariance", "z_logvar", "log_sigma2", "log_vars", "lv",
)  # fmt: skip
VARIANCE = Part("variance", VARIANCE_NAMES, excludes=LOG_VARIANCE_NAMES)
LOG_VARIANCE = Part("log_variance", LOG_VARIANCE_NAMES, excludes=("variance", "sigma2", "std", "sigma"))
RECONSTRUCTION = Part(
    "reconstruction",
    ("reconstruction", "recon", "recon_x", "x_hat", "xhat", "x_recon", "reconstructed", "output", "decoded"),
)
ORIGINAL = Part(
    "original", ("original", "x", "target", "inputs", "input", "image", "images", "data"), learned=False
)
LATENT_MEAN = Part("mean", ("mean", "mu", "z_mean", "loc", "z_mu"))


def _means(structure: Structure, generator: Generator) -> tuple[Tensor, Tensor]:
    """Predicted means and what they are to predict."""
    truth = fill.ordinary((structure.batch,), generator)
    free = fill.ordinary((structure.batch,), generator)
    signs = fill.signs((structure.batch,), generator)
    by_profile = {
        "right": truth,
        "wrong": truth + structure.scale * signs,
        "large": free * structure.scale,
    }
    return by_profile.get(structure.magnitude, free), truth


def _with_variances(structure: Structure, generator: Generator, _: Params) -> tuple[Tensor, Tensor]:
    means, truth = _means(structure, generator)
    variances = torch.randint(1, 32, (structure.batch,), generator=generator).double() / 8
    return torch.stack((means, variances), 1), truth


def _with_log_variances(structure: Structure, generator: Generator, _: Params) -> tuple[Tensor, Tensor]:
    means, truth = _means(structure, generator)
    return torch.stack((means, fill.ordinary((structure.batch,), generator)), 1), truth


def _positive_variance(prediction: Tensor, _: Tensor) -> bool:
    return bool((prediction[:, 1] > 0).all())


def _truth_between(prediction: Tensor, target: Tensor) -> tuple[Tensor, ...]:
    return prediction[:, 0], target, prediction[:, 1]


def _latent(structure: Structure, generator: Generator, _: Params) -> tuple[Tensor, Tensor]:
    """Reconstructions and originals between 0 and 1, latent means and log-variances of as many dimensions."""
    shape = (structure.batch, max(1, structure.features))
    original = torch.randint(0, 17, shape, generator=generator).double() / 16
    if structure.targets == "binary":
        original = original.round()
    reconstruction = torch.randint(1, 16, shape, generator=generator).double() / 16
    mean, log_variance = fill.ordinary(shape, generator), fill.ordinary(shape, generator)
    if structure.magnitude == "right":
        reconstruction = original.clamp(1 / 16, 15 / 16)
    if structure.magnitude in {"right", "prior"}:
        mean, log_variance = torch.zeros(shape).double(), torch.zeros(shape).double()
    if structure.magnitude == "large":
        mean = mean * structure.scale
    return torch.stack((reconstruction, mean, log_variance), 1), original


def _codes(structure: Structure, generator: Generator, params: Params) -> tuple[Tensor, Tensor]:
    """Latent means and log-variances alone."""
    prediction, _ = _latent(structure, generator, params)
    return prediction[:, 1:], torch.zeros(structure.batch, 0, dtype=torch.float64)


def _inside(prediction: Tensor, _: Tensor) -> bool:
    return bool(((prediction[:, 0] > 0) & (prediction[:, 0] < 1)).all())


def _latent_arguments(prediction: Tensor, target: Tensor) -> tuple[Tensor, ...]:
    return prediction[:, 0], target, prediction[:, 1], prediction[:, 2]


SPACES = (
    Space(
        name="means-variances",
        prediction="means and variances, each [N]",
        target="numbers [N]",
        fill=_with_variances,
        magnitudes=("ordinary", "right", "wrong", "large"),
        target_profiles=("random",),
        scales=SCALES,
        parts=(MEAN, TRUTH, VARIANCE),
        cut=_truth_between,
        domain=_positive_variance,
        measured=True,
    ),
    Space(
        name="means-log_variances",
        prediction="means and log-variances, each [N]",
        target="numbers [N]",
        fill=_with_log_variances,
        magnitudes=("ordinary", "right", "wrong", "large"),
        target_profiles=("random",),
        scales=SCALES,
        parts=(MEAN, TRUTH, LOG_VARIANCE),
        cut=_truth_between,
        measured=True,
    ),
    Space(
        name="reconstructions-latent",
        prediction="reconstructions, latent means and log-variances, each [N, D]",
        target="originals [N, D]",
        fill=_latent,
        magnitudes=("ordinary", "prior", "right", "large"),
        target_profiles=("random", "binary"),
        features=(3, 2, 5),
        scales=(2.0, 8.0),
        parts=(RECONSTRUCTION, ORIGINAL, LATENT_MEAN, LOG_VARIANCE),
        cut=_latent_arguments,
        domain=_inside,
    ),
    Space(
        name="latent",
        prediction="latent means and log-variances, each [N, D]",
        target="",
        fill=_codes,
        magnitudes=("ordinary", "prior", "large"),
        target_profiles=("random",),
        features=(3, 2, 5),
        scales=(2.0, 8.0),
        parts=(LATENT_MEAN, LOG_VARIANCE),
        cut=split,
    ),
)
