"""Losses on distances between embeddings: triplets, labelled pairs, centres."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from lossaudit.fuzz.model import Parameter, ReferenceSpec, Terms

if TYPE_CHECKING:
    from torch import Tensor

    from lossaudit.fuzz.model import Params

MARGIN = Parameter("margin", 1.0, "number", ("margin", "m", "alpha", "delta"), low=-10.0, high=100.0)
POWER = Parameter("p", 2.0, "number", ("p", "norm_degree", "norm"), low=1.0, high=10.0)
EPS = Parameter("eps", 0.0, "number", ("eps", "epsilon"), guesses=(1e-6,), high=1e-3)
EPS_FORM = Parameter("eps_form", "difference", "choice", guesses=("difference", "root", "clamp"))
SWAP = Parameter("swap", False, "form", guesses=(False, True))


def distance(first: Tensor, second: Tensor, params: Params) -> Tensor:
    """The distance of order p over the last dimension; the epsilon is where ``eps_form`` puts it."""
    power, eps, form = params.get("p", 2.0), params.get("eps", 0.0), params.get("eps_form", "difference")
    if form == "difference" or not eps:
        norms: Tensor = torch.linalg.vector_norm(first - second + eps, power, dim=-1)
        return norms
    raised: Tensor = (first - second).abs().pow(power).sum(-1)
    raised = raised + eps if form == "root" else raised.clamp(min=eps)
    return raised.pow(1 / power)


def triplet_distances(prediction: Tensor, params: Params) -> tuple[Tensor, Tensor]:
    """How far the positive and the negative are from the anchor; with ``swap`` the nearer of both other sides."""
    anchor, positive, negative = prediction.unbind(1)
    near, far = distance(anchor, positive, params), distance(anchor, negative, params)
    if params.get("swap"):
        far = torch.minimum(far, distance(positive, negative, params))
    return near, far


def unit_terms(losses: Tensor) -> Terms:
    """Terms of which each counts once."""
    return Terms(losses, torch.ones_like(losses))


def triplet(prediction: Tensor, _: Tensor, params: Params) -> Terms:
    """Hinge on the difference of two distances."""
    near, far = triplet_distances(prediction, params)
    return unit_terms((near - far + params.get("margin", 1.0)).clamp(min=0))


def _triplet_code(params: Params, reduction: str) -> str:
    eps = params["eps"] if params["eps_form"] == "difference" else 0.0
    return (
        f"torch.nn.functional.triplet_margin_loss(anchor, positive, negative, margin={params['margin']!r}, "
        f"p={params['p']!r}, eps={eps!r}, swap={params['swap']!r}, reduction={reduction!r})"
    )


REFERENCES = (
    ReferenceSpec(
        name="triplet_margin",
        summary="max(0, ||a - p||_p - ||a - n||_p + margin)",
        source="https://docs.pytorch.org/docs/stable/generated/torch.nn.TripletMarginLoss.html; "
        "Balntas et al. 2016, Learning local feature descriptors with triplets, section 2",
        spaces=("triplets",),
        formula=triplet,
        parameters=(MARGIN, POWER, EPS, EPS_FORM, SWAP),
        laws=frozenset({"permutation", "additive", "minimum"}),
        reductions=("mean", "sum", "none"),
        code=_triplet_code,
        degree=2,
    ),
)
