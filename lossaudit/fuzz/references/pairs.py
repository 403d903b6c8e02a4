"""Losses on labelled pairs: contrastive, cosine embedding, margin ranking, hinge embedding."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from lossaudit.fuzz.model import Parameter, ReferenceSpec, Terms
from lossaudit.fuzz.references.contrastive import unit
from lossaudit.fuzz.references.embeddings import EPS, EPS_FORM, MARGIN, distance, unit_terms

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from lossaudit.fuzz.model import Params

SIMILAR = Parameter("similar", "label 0", "form", guesses=("label 0", "label 1"))
FACTOR = Parameter("factor", 0.5, "form", guesses=(0.5, 1.0))
COSINE_MARGIN = Parameter("margin", 0.0, "number", ("margin", "m"), low=-1.0, high=1.0)
RANKING_MARGIN = Parameter("margin", 0.0, "number", ("margin", "m"), low=-10.0, high=100.0)
HINGE_MARGIN = Parameter("margin", 1.0, "number", ("margin", "m"), low=-10.0, high=100.0)


def similar_share(target: Tensor, params: Params) -> Tensor:
    """1 where the label says that a pair is similar, 0 where it is not."""
    return 1 - target if params.get("similar") == "label 0" else target


def contrastive(prediction: Tensor, target: Tensor, params: Params) -> Terms:
    """Squared distance of similar pairs, squared hinge on the distance of the others."""
    first, second = prediction.unbind(1)
    apart = distance(first, second, params)
    similar = similar_share(target, params)
    hinge = (params.get("margin", 1.0) - apart).clamp(min=0).square()
    return unit_terms(params.get("factor", 0.5) * (similar * apart.square() + (1 - similar) * hinge))


def cosine(prediction: Tensor) -> Tensor:
    """The cosine between the two embeddings of each pair."""
    first, second = unit(prediction).unbind(1)
    return (first * second).sum(-1)


def cosine_embedding(prediction: Tensor, target: Tensor, params: Params) -> Terms:
    """1 - cos for similar pairs, hinge on the cosine for the others."""
    alike = cosine(prediction)
    return unit_terms(torch.where(target > 0, 1 - alike, (alike - params.get("margin", 0.0)).clamp(min=0)))


def margin_ranking(prediction: Tensor, target: Tensor, params: Params) -> Terms:
    """Hinge on the signed difference of two scores."""
    first, second = prediction.unbind(1)
    return unit_terms((-target * (first - second) + params.get("margin", 0.0)).clamp(min=0))


def hinge_embedding(prediction: Tensor, target: Tensor, params: Params) -> Terms:
    """The distance of similar pairs, hinge on the distance of the others."""
    return unit_terms(
        torch.where(target > 0, prediction, (params.get("margin", 1.0) - prediction).clamp(min=0))
    )


def _code(name: str, arguments: str) -> Callable[[Params, str], str]:
    def code(params: Params, reduction: str) -> str:
        return (
            f"torch.nn.functional.{name}({arguments}, margin={params['margin']!r}, reduction={reduction!r})"
        )

    return code


_REDUCTIONS = ("mean", "sum", "none")
_TORCH = "https://docs.pytorch.org/docs/stable/generated/torch.nn."

REFERENCES = (
    ReferenceSpec(
        name="contrastive",
        summary="factor (s D^2 + (1 - s) max(0, margin - D)^2), D = ||x1 - x2||, s = 1 for similar pairs",
        source="Hadsell, Chopra, LeCun 2006, Dimensionality reduction by learning an invariant mapping, equation 4",
        spaces=("pairs-labels",),
        formula=contrastive,
        parameters=(MARGIN, SIMILAR, FACTOR, EPS, EPS_FORM),
        reductions=_REDUCTIONS,
        laws=frozenset({"permutation", "additive"}),
        degree=2,
    ),
    ReferenceSpec(
        name="cosine_embedding",
        summary="1 - cos(x1, x2) where y = 1, max(0, cos(x1, x2) - margin) where y = -1",
        source=f"{_TORCH}CosineEmbeddingLoss.html",
        spaces=("pairs-signs",),
        formula=cosine_embedding,
        parameters=(COSINE_MARGIN,),
        reductions=_REDUCTIONS,
        laws=frozenset({"permutation", "additive", "minimum"}),
        code=_code("cosine_embedding_loss", "first, second, label"),
    ),
    ReferenceSpec(
        name="margin_ranking",
        summary="max(0, -y (x1 - x2) + margin)",
        source=f"{_TORCH}MarginRankingLoss.html",
        spaces=("score_pairs-signs",),
        formula=margin_ranking,
        parameters=(RANKING_MARGIN,),
        reductions=_REDUCTIONS,
        laws=frozenset({"permutation", "additive", "minimum"}),
        code=_code("margin_ranking_loss", "first, second, label"),
    ),
    ReferenceSpec(
        name="hinge_embedding",
        summary="x where y = 1, max(0, margin - x) where y = -1",
        source=f"{_TORCH}HingeEmbeddingLoss.html",
        spaces=("distances-signs",),
        formula=hinge_embedding,
        parameters=(HINGE_MARGIN,),
        reductions=_REDUCTIONS,
        laws=frozenset({"permutation", "additive"}),
        code=_code("hinge_embedding_loss", "distance, label"),
    ),
)
