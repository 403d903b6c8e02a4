"""How losses on labelled pairs go wrong, and which published forms of them there are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from lossaudit.fuzz.model import Mistake, Terms
from lossaudit.fuzz.references.embeddings import distance, unit_terms
from lossaudit.fuzz.references.pairs import cosine, similar_share

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from lossaudit.fuzz.model import Formula, Params

CONTRASTIVE = ("contrastive",)
COSINE = ("cosine_embedding",)
RANKING = ("margin_ranking",)
HINGE = ("hinge_embedding",)


def _by_distance(
    near: Callable[[Tensor], Tensor], far: Callable[[Tensor, float], Tensor]
) -> Callable[[Formula], Formula]:
    """Other terms for similar pairs and for the others."""

    def wrong(_: Formula) -> Formula:
        def changed(prediction: Tensor, target: Tensor, params: Params) -> Terms:
            first, second = prediction.unbind(1)
            apart = distance(first, second, params)
            similar = similar_share(target, params)
            costs = similar * near(apart) + (1 - similar) * far(apart, params["margin"])
            return unit_terms(params["factor"] * costs)

        return changed

    return wrong


def _by_cosine(
    near: Callable[[Tensor], Tensor], far: Callable[[Tensor, float], Tensor]
) -> Callable[[Formula], Formula]:
    def wrong(_: Formula) -> Formula:
        def changed(prediction: Tensor, target: Tensor, params: Params) -> Terms:
            alike = cosine(prediction)
            return unit_terms(torch.where(target > 0, near(alike), far(alike, params["margin"])))

        return changed

    return wrong


def _dot_product(_: Formula) -> Formula:
    def changed(prediction: Tensor, target: Tensor, params: Params) -> Terms:
        alike = prediction.prod(1).sum(-1)
        return unit_terms(torch.where(target > 0, 1 - alike, (alike - params["margin"]).clamp(min=0)))

    return changed


def _turned_label(formula: Formula) -> Formula:
    def changed(prediction: Tensor, target: Tensor, params: Params) -> Terms:
        return formula(prediction, -target, params)

    return changed


def _turned_margin(formula: Formula) -> Formula:
    def changed(prediction: Tensor, target: Tensor, params: Params) -> Terms:
        return formula(prediction, target, {**params, "margin": -params["margin"]})

    return changed


def _no_hinge(_: Formula) -> Formula:
    def changed(prediction: Tensor, target: Tensor, params: Params) -> Terms:
        first, second = prediction.unbind(1)
        return unit_terms(-target * (first - second) + params["margin"])

    return changed


def _with_margin(params: Params) -> bool:
    return bool(params["margin"] != 0)


def _square(apart: Tensor) -> Tensor:
    return apart.square()


def _hinge(apart: Tensor, margin: float) -> Tensor:
    return (margin - apart).clamp(min=0)


MISTAKES = (
    Mistake(
        "plain-distances",
        CONTRASTIVE,
        "does not square: s D + (1 - s) max(0, margin - D)",
        wrong=_by_distance(lambda apart: apart, _hinge),
        convention=True,
    ),
    Mistake(
        "hinge-on-squared-distance",
        CONTRASTIVE,
        "puts the hinge on the squared distance, max(0, margin - D^2) (Chopra, Hadsell, LeCun 2005; the legacy version "
        "of Caffe), where Hadsell et al. 2006 square the hinge",
        wrong=_by_distance(_square, lambda apart, margin: (margin - apart.square()).clamp(min=0)),
        convention=True,
    ),
    Mistake(
        "similar-not-squared",
        CONTRASTIVE,
        "takes the distance of similar pairs as it is, and squares the hinge of the others",
        wrong=_by_distance(lambda apart: apart, lambda apart, margin: _hinge(apart, margin).square()),
    ),
    Mistake(
        "hinge-not-squared",
        CONTRASTIVE,
        "squares the distance of similar pairs, and takes the hinge of the others as it is",
        wrong=_by_distance(_square, _hinge),
    ),
    Mistake(
        "hinge-missing",
        CONTRASTIVE,
        "has no hinge: pairs that are further apart than the margin are drawn together again",
        wrong=_by_distance(_square, lambda apart, margin: (margin - apart).square()),
    ),
    Mistake(
        "hinge-turned",
        CONTRASTIVE,
        "has the margin on the wrong side of the hinge, max(0, D - margin): dissimilar pairs are drawn together",
        wrong=_by_distance(_square, lambda apart, margin: (apart - margin).clamp(min=0).square()),
    ),
    Mistake(
        "embeddings-not-normalised",
        COSINE,
        "takes the dot product for the cosine: the embeddings are not brought to length one",
        wrong=_dot_product,
    ),
    Mistake(
        "label-turned",
        (*COSINE, *HINGE, *RANKING),
        "takes label 1 for -1 and the reverse",
        codes=("LF101", "LF504"),
        wrong=_turned_label,
    ),
    Mistake(
        "margin-turned",
        (*COSINE, *HINGE, *RANKING),
        "has the margin {margin:g} with the wrong sign",
        wrong=_turned_margin,
        applies=_with_margin,
    ),
    Mistake(
        "hinge-missing",
        COSINE,
        "has no hinge: dissimilar pairs are pushed to opposite directions, whatever the margin",
        wrong=_by_cosine(lambda alike: 1 - alike, lambda alike, margin: alike - margin),
    ),
    Mistake(
        "minus-cosine",
        COSINE,
        "is -cos, not 1 - cos, for similar pairs: it is -1 at the perfect match, not 0",
        wrong=_by_cosine(lambda alike: -alike, lambda alike, margin: (alike - margin).clamp(min=0)),
        convention=True,
    ),
    Mistake(
        "hinge-missing",
        RANKING,
        "has no hinge: pairs in the right order go on being pushed apart, without bound",
        wrong=_no_hinge,
    ),
)
