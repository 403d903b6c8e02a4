"""How hinge losses go wrong, and their conventions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from lossaudit.fuzz.model import Mistake, Terms
from lossaudit.fuzz.references.margins import margins_of_classes, pairs_of_classes, towards
from lossaudit.fuzz.spaces.lists import END, listed

if TYPE_CHECKING:
    from torch import Tensor

    from lossaudit.fuzz.model import Formula, Params

HINGES = ("hinge_loss", "squared_hinge_loss")


def _other_direction(formula: Formula) -> Formula:
    return lambda prediction, target, params: formula(-prediction, target, params)


def _without_clamp(_: Formula) -> Formula:
    def changed(prediction: Tensor, target: Tensor, params: Params) -> Terms:
        losses = params["margin"] - towards(prediction, target)
        return Terms(losses, torch.ones_like(losses))

    return changed


def _labels_as_signs(_: Formula) -> Formula:
    """Labels of 0 and 1 multiplied into the score: a negative costs the margin whatever its score."""

    def changed(prediction: Tensor, target: Tensor, params: Params) -> Terms:
        losses = (params["margin"] - target * prediction).clamp(min=0)
        return Terms(losses, torch.ones_like(losses))

    return changed


def _summed(formula: Formula) -> Formula:
    def changed(prediction: Tensor, target: Tensor, params: Params) -> Terms:
        terms = formula(prediction, target, params)
        return Terms(terms.losses * prediction.shape[1], terms.shares)

    return changed


def _hardest(_: Formula) -> Formula:
    def changed(prediction: Tensor, target: Tensor, params: Params) -> Terms:
        gaps, own = margins_of_classes(prediction, target, params["margin"])
        losses = gaps.clamp(min=0).masked_fill(own, 0.0).amax(1)
        losses = losses**2 if params.get("p") == 2 else losses
        return Terms(losses, torch.ones_like(losses))

    return changed


def _own_counted(_: Formula) -> Formula:
    def changed(prediction: Tensor, target: Tensor, params: Params) -> Terms:
        gaps, _ = margins_of_classes(prediction, target, params["margin"])
        losses = gaps.clamp(min=0)
        losses = (losses**2 if params.get("p") == 2 else losses).mean(1)
        return Terms(losses, torch.ones_like(losses))

    return changed


def _own_counted_sum(formula: Formula) -> Formula:
    return _summed(_own_counted(formula))


def _listed_counted(_: Formula) -> Formula:
    def changed(prediction: Tensor, target: Tensor, params: Params) -> Terms:
        gaps, _ = pairs_of_classes(prediction, target, params["margin"])
        losses = gaps.sum((1, 2)) / prediction.shape[1]
        return Terms(losses, torch.ones_like(losses))

    return changed


def _first_listed(formula: Formula) -> Formula:
    def changed(prediction: Tensor, target: Tensor, params: Params) -> Terms:
        first = torch.full_like(target, END)
        first[:, 0] = target[:, 0]
        return formula(prediction, first, params)

    return changed


def _over_pairs(formula: Formula) -> Formula:
    def changed(prediction: Tensor, target: Tensor, params: Params) -> Terms:
        terms = formula(prediction, target, params)
        classes = prediction.shape[1]
        count = listed(target).sum(1)
        pairs = (count * (classes - count)).clamp(min=1)
        return Terms(terms.losses * classes / pairs, terms.shares)

    return changed


def _margin_negative(formula: Formula) -> Formula:
    return lambda prediction, target, params: formula(
        prediction, target, {**params, "margin": -params["margin"]}
    )


MISTAKES = (
    Mistake(
        "hinge-averaged-over-pairs",
        ("multilabel_margin_loss",),
        "is divided by the number of pairs, not by C: a published convention (Elisseeff and Weston 2001)",
        wrong=_over_pairs,
        convention=True,
    ),
    Mistake(
        "hinge-summed-over-classes",
        ("multi_margin_loss",),
        "is summed over the classes, not divided by C: a published convention (Weston and Watkins 1999)",
        wrong=_summed,
        convention=True,
    ),
    Mistake(
        "hinge-of-hardest-class",
        ("multi_margin_loss",),
        "keeps the hardest other class only: a published convention (Crammer and Singer 2001)",
        wrong=_hardest,
        convention=True,
    ),
    Mistake(
        "hinge-direction",
        (*HINGES, "soft_margin_loss", "multilabel_margin_loss"),
        "rewards scores that point away from the label: the sign is wrong",
        wrong=_other_direction,
    ),
    Mistake(
        "hinge-not-clamped",
        ("hinge_loss",),
        "is not cut off at zero: there is no end to rewarding confidence",
        wrong=_without_clamp,
    ),
    Mistake(
        "labels-taken-for-signs",
        ("hinge_loss",),
        "multiplies the score by labels of 0 and 1 as if they were -1 and 1: negatives teach nothing",
        wrong=_labels_as_signs,
    ),
    Mistake(
        "margin-sign",
        (*HINGES, "multi_margin_loss", "multilabel_margin_loss"),
        "subtracts the margin: predictions are asked to be right by less than nothing",
        wrong=_margin_negative,
    ),
    Mistake(
        "listed-classes-counted",
        ("multilabel_margin_loss",),
        "sets the classes of a list against each other too, which always costs the margin",
        wrong=_listed_counted,
    ),
    Mistake(
        "first-of-list-only",
        ("multilabel_margin_loss",),
        "reads the first class of each list only",
        wrong=_first_listed,
    ),
    Mistake(
        "own-class-counted",
        ("multi_margin_loss",),
        "counts the true class too, which always costs the margin",
        wrong=_own_counted,
        convention=True,
    ),
    Mistake(
        "own-class-counted",
        ("multi_margin_loss",),
        "counts the true class too, which always costs the margin, and is summed over the classes",
        wrong=_own_counted_sum,
        convention=True,
    ),
)
