"""Losses on embeddings against one learned row for each class: ArcFace, CosFace, center loss."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from lossaudit.fuzz.model import Parameter, ReferenceSpec, Terms
from lossaudit.fuzz.references.contrastive import unit
from lossaudit.fuzz.references.embeddings import unit_terms

if TYPE_CHECKING:
    from torch import Tensor

    from lossaudit.fuzz.model import Params

ROWS = Parameter("weight", None, "matrix", ("weight", "weights", "kernel", "W", "centers", "proxies"))
SCALE = Parameter("s", 64.0, "number", ("s", "scale", "radius"), low=0.1, high=1000.0, meant=True)
ANGLE = Parameter("m", 0.5, "number", ("m", "margin"), high=2.0, meant=True)
COSINE_MARGIN = Parameter("m", 0.35, "number", ("m", "margin"), high=2.0, meant=True)
OWN_MARGIN = Parameter("m", 0.0, "number", ("m", "margin"), guesses=(0.5, 0.35), high=2.0, meant=True)
"""Of cosines that are given: without it, any cross-entropy of scaled scores is the same."""
BEYOND = Parameter("beyond", "as it is", "form", guesses=("as it is", "linear", "easy"))
HALF = Parameter("factor", 0.5, "form", guesses=(0.5, 1.0))


def class_rows(prediction: Tensor, params: Params) -> Tensor:
    """The learned row of each class, [C, D], whichever way the target keeps them.

    Raises:
        ValueError: There are none, or they have another length than the embeddings.
    """
    rows: Tensor | None = params.get("weight")
    if rows is None or prediction.shape[1] not in rows.shape:
        raise ValueError("there is no row of the embedding's length for each class")
    turned = rows if rows.shape[1] == prediction.shape[1] else rows.T
    return turned.to(prediction.dtype)


def class_cosines(prediction: Tensor, params: Params) -> Tensor:
    """Cosine of each embedding with each class, [N, C]."""
    return unit(prediction) @ unit(class_rows(prediction, params)).T


def own_class(target: Tensor, cosines: Tensor) -> Tensor:
    """Where the class of each sample is, [N, C]."""
    return torch.nn.functional.one_hot(target, cosines.shape[1]).bool()


def turned_cosines(cosines: Tensor, params: Params) -> Tensor:
    """cos(theta + m), and what the authors' code puts in its place where theta + m is beyond pi."""
    angle = params["m"]
    sines = (1 - cosines.square()).clamp(min=0).sqrt()
    turned = cosines * math.cos(angle) - sines * math.sin(angle)
    if params.get("beyond") == "linear":
        limit, step = math.cos(math.pi - angle), math.sin(math.pi - angle) * angle
        return torch.where(cosines > limit, turned, cosines - step)
    if params.get("beyond") == "easy":
        return torch.where(cosines > 0, turned, cosines)
    return turned


def class_losses(logits: Tensor, target: Tensor) -> Terms:
    """Cross-entropy."""
    return unit_terms(-logits.log_softmax(1).gather(1, target[:, None]).squeeze(1))


def arcface_of_cosines(cosines: Tensor, target: Tensor, params: Params) -> Terms:
    """Softmax over scaled cosines [N, C], the margin added to the angle of the own class."""
    chosen = torch.where(own_class(target, cosines), turned_cosines(cosines, params), cosines)
    return class_losses(params["s"] * chosen, target)


def arcface(prediction: Tensor, target: Tensor, params: Params) -> Terms:
    """The same of embeddings and the rows of the classes."""
    return arcface_of_cosines(class_cosines(prediction, params), target, params)


def cosface_of_cosines(cosines: Tensor, target: Tensor, params: Params) -> Terms:
    """Softmax over scaled cosines [N, C], the margin taken off the cosine of the own class."""
    # A number times booleans would be of torch's default dtype: the margin would be rounded to float32.
    margins = params["m"] * own_class(target, cosines).to(cosines.dtype)
    return class_losses(params["s"] * (cosines - margins), target)


def cosface(prediction: Tensor, target: Tensor, params: Params) -> Terms:
    """The same of embeddings and the rows of the classes."""
    return cosface_of_cosines(class_cosines(prediction, params), target, params)


def center(prediction: Tensor, target: Tensor, params: Params) -> Terms:
    """Squared distance of each embedding to the centre of its class."""
    squares = (prediction - class_rows(prediction, params)[target]).square().sum(1)
    return unit_terms(params.get("factor", 0.5) * squares)


_REDUCTIONS = ("mean", "sum", "none")
_LAWS = frozenset({"permutation", "additive"})

REFERENCES = (
    ReferenceSpec(
        name="arcface",
        summary="cross-entropy of s cos(theta_c + m [c = y]), theta_c the angle between embedding and row of class c",
        source="Deng et al. 2019, ArcFace (arXiv:1801.07698), equation 3",
        spaces=("embeddings-indices",),
        formula=arcface,
        parameters=(ROWS, SCALE, ANGLE, BEYOND),
        reductions=_REDUCTIONS,
        laws=_LAWS,
    ),
    ReferenceSpec(
        name="cosface",
        summary="cross-entropy of s (cos theta_c - m [c = y])",
        source="Wang et al. 2018, CosFace (arXiv:1801.09414), equation 4",
        spaces=("embeddings-indices",),
        formula=cosface,
        parameters=(ROWS, SCALE, COSINE_MARGIN),
        reductions=_REDUCTIONS,
        laws=_LAWS,
    ),
    ReferenceSpec(
        name="arcface_of_cosines",
        summary="cross-entropy of s cos(theta_c + m [c = y]), the prediction being the cosines of theta",
        source="Deng et al. 2019, ArcFace (arXiv:1801.07698), equation 3",
        spaces=("cosines-indices",),
        formula=arcface_of_cosines,
        parameters=(SCALE, OWN_MARGIN, BEYOND),
        reductions=_REDUCTIONS,
        laws=_LAWS,
        essential=("m",),
    ),
    ReferenceSpec(
        name="cosface_of_cosines",
        summary="cross-entropy of s (x_c - m [c = y]), the prediction x being cosines",
        source="Wang et al. 2018, CosFace (arXiv:1801.09414), equation 4",
        spaces=("cosines-indices",),
        formula=cosface_of_cosines,
        parameters=(SCALE, OWN_MARGIN),
        reductions=_REDUCTIONS,
        laws=_LAWS,
        essential=("m",),
    ),
    ReferenceSpec(
        name="center_loss",
        summary="factor ||x - c_y||^2, c_y the learned centre of the class",
        source="Wen et al. 2016, A discriminative feature learning approach for deep face recognition, equation 2",
        spaces=("embeddings-indices",),
        formula=center,
        parameters=(ROWS, HALF),
        reductions=_REDUCTIONS,
        laws=_LAWS,
        degree=2,
    ),
)
