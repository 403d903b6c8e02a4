"""How losses on distances between embeddings go wrong, and which published forms of them there are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch.nn import functional

from lossaudit.fuzz.mistakes.guards import over_a_number
from lossaudit.fuzz.model import Mistake, Terms
from lossaudit.fuzz.references.embeddings import distance, triplet_distances, unit_terms

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from lossaudit.fuzz.model import Formula, Params

TRIPLET = ("triplet_margin",)


def _on_distances(loss: Callable[[Tensor, Tensor, float], Tensor]) -> Callable[[Formula], Formula]:
    """Another loss of the same two distances and the margin."""

    def wrong(_: Formula) -> Formula:
        def changed(prediction: Tensor, _: Tensor, params: Params) -> Terms:
            near, far = triplet_distances(prediction, params)
            return unit_terms(loss(near, far, params["margin"]))

        return changed

    return wrong


def _exchanged(formula: Formula) -> Formula:
    """The negative in the place of the positive."""

    def changed(prediction: Tensor, target: Tensor, params: Params) -> Terms:
        return formula(prediction[:, [0, 2, 1]], target, params)

    return changed


def _margin_taken_off(formula: Formula) -> Formula:
    def changed(prediction: Tensor, target: Tensor, params: Params) -> Terms:
        return formula(prediction, target, {**params, "margin": -params["margin"]})

    return changed


def _cosine_triplet(_: Formula) -> Formula:
    def changed(prediction: Tensor, _: Tensor, params: Params) -> Terms:
        anchor, positive, negative = (prediction / prediction.norm(dim=-1, keepdim=True)).unbind(1)
        near, far = 1 - (anchor * positive).sum(-1), 1 - (anchor * negative).sum(-1)
        return unit_terms((near - far + params["margin"]).clamp(min=0))

    return changed


def _negative_from_positive(_: Formula) -> Formula:
    def changed(prediction: Tensor, _: Tensor, params: Params) -> Terms:
        anchor, positive, negative = prediction.unbind(1)
        near, far = distance(anchor, positive, params), distance(positive, negative, params)
        return unit_terms((near - far + params["margin"]).clamp(min=0))

    return changed


def _mean_over_features(_: Formula) -> Formula:
    def changed(prediction: Tensor, _: Tensor, params: Params) -> Terms:
        anchor, positive, negative = prediction.unbind(1)
        near, far = (anchor - positive).square().mean(-1), (anchor - negative).square().mean(-1)
        return unit_terms((near - far + params["margin"]).clamp(min=0))

    return changed


MISTAKES = (
    Mistake(
        "squared-distances",
        TRIPLET,
        "compares squared distances, as FaceNet does (Schroff et al. 2015, equation 3); torch's loss does not square",
        wrong=_on_distances(lambda near, far, margin: (near.square() - far.square() + margin).clamp(min=0)),
        convention=True,
    ),
    Mistake(
        "cosine-distances",
        TRIPLET,
        "compares cosine distances 1 - cos",
        wrong=_cosine_triplet,
        convention=True,
    ),
    Mistake(
        "soft-margin-triplet",
        TRIPLET,
        "uses log(1 + exp(d_ap - d_an)) in place of the hinge (Hermans et al. 2017, section 2)",
        wrong=_on_distances(lambda near, far, _: functional.softplus(near - far)),
        convention=True,
    ),
    *over_a_number(
        "averaged-over-active",
        TRIPLET,
        "averages over the triplets that still violate the margin",
        lambda losses, _: (losses > 0).sum(),
    ),
    Mistake(
        "positive-and-negative-swapped",
        TRIPLET,
        "pulls the anchor towards the negative and away from the positive: the two are exchanged",
        codes=("LF101", "LF504"),
        wrong=_exchanged,
    ),
    Mistake(
        "margin-subtracted",
        TRIPLET,
        "subtracts the margin where it is to be added: negatives that are nearer than the positive by less than "
        "{margin:g} cost nothing",
        wrong=_margin_taken_off,
    ),
    Mistake(
        "margin-outside-hinge",
        TRIPLET,
        "adds the margin outside of the hinge: it is a constant, and the margin has no effect",
        wrong=_on_distances(lambda near, far, margin: (near - far).clamp(min=0) + margin),
    ),
    Mistake(
        "hinge-missing",
        TRIPLET,
        "has no hinge at zero: triplets that are far apart already go on being pushed, without bound",
        wrong=_on_distances(lambda near, far, margin: near - far + margin),
    ),
    Mistake(
        "hinge-after-mean",
        TRIPLET,
        "averages before the hinge: easy triplets make up for hard ones",
        codes=("LF101", "LF503"),
        wrong=_on_distances(
            lambda near, far, margin: (near.mean() - far.mean() + margin).clamp(min=0).expand_as(near)
        ),
        reductions=("mean",),
        joint=True,
    ),
    Mistake(
        "negative-measured-from-positive",
        TRIPLET,
        "measures the negative from the positive, not from the anchor",
        wrong=_negative_from_positive,
        applies=lambda params: not params["swap"],
    ),
    Mistake(
        "averaged-over-features",
        TRIPLET,
        "averages the squared differences over the features: smaller than the squared distance by the factor D",
        "LA304",
        wrong=_mean_over_features,
    ),
)
