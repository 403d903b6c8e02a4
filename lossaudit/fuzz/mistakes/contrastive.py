"""How a softmax over similarities goes wrong, and which published forms of it there are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from lossaudit.fuzz.model import Mistake, Terms
from lossaudit.fuzz.references.contrastive import (
    base_factor,
    both_views,
    class_pairs,
    directions,
    labelled_rows,
    without_self,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from lossaudit.fuzz.model import Formula, Params

NEGATIVES = ("info_nce_shared_negatives", "info_nce_own_negatives")
INFO_NCE = ("info_nce", *NEGATIVES)
VIEWS = ("nt_xent",)
CLASSES = ("supervised_contrastive",)
ANY_CONTRASTIVE = (*INFO_NCE, *VIEWS, *CLASSES)


def _with(changes: Callable[[Params], dict[str, Any]]) -> Callable[[Formula], Formula]:
    """The same formula with other parameters."""

    def wrong(formula: Formula) -> Formula:
        def changed(prediction: Tensor, target: Tensor, params: Params) -> Terms:
            return formula(prediction, target, {**params, **changes(params)})

        return changed

    return wrong


def _scaled(factor: float) -> Callable[[Formula], Formula]:
    def wrong(formula: Formula) -> Formula:
        def changed(prediction: Tensor, target: Tensor, params: Params) -> Terms:
            terms = formula(prediction, target, params)
            return Terms(terms.losses * factor, terms.shares)

        return changed

    return wrong


def _without_log(formula: Formula) -> Formula:
    def changed(prediction: Tensor, target: Tensor, params: Params) -> Terms:
        terms = formula(prediction, target, params)
        return Terms(-torch.exp(-terms.losses), terms.shares)

    return changed


def _positive_left_out(logits: Tensor, positive: Tensor) -> Tensor:
    """-log of the share of each positive where it is not part of the sum; 0 counts for nothing in the sum."""
    rest = torch.where(positive, torch.full_like(logits, -torch.inf), logits)
    return torch.logsumexp(rest, 1) - (torch.where(positive, logits, torch.zeros_like(logits))).sum(1)


def _decoupled_views(_: Formula) -> Formula:
    def changed(prediction: Tensor, _: Tensor, params: Params) -> Terms:
        rows = both_views(directions(prediction, params))
        count = len(rows)
        partner = torch.eye(count, dtype=torch.bool).roll(count // 2, 1)
        losses = _positive_left_out(without_self(rows @ rows.T / params["temperature"]), partner)
        return Terms(losses, torch.ones_like(losses))

    return changed


def _decoupled_pairs(_: Formula) -> Formula:
    def changed(prediction: Tensor, _: Tensor, params: Params) -> Terms:
        first, second = directions(prediction, params).unbind(1)
        logits = first @ second.T / params["temperature"]
        losses = _positive_left_out(logits, torch.eye(len(logits), dtype=torch.bool))
        return Terms(losses, torch.ones_like(losses))

    return changed


def _partner_losses(logits: Tensor) -> Tensor:
    count = len(logits)
    return -logits.log_softmax(1)[torch.arange(count), (torch.arange(count) + count // 2) % count]


def _self_in_views(_: Formula) -> Formula:
    def changed(prediction: Tensor, _: Tensor, params: Params) -> Terms:
        rows = both_views(directions(prediction, params))
        losses = _partner_losses(rows @ rows.T / params["temperature"])
        return Terms(losses, torch.ones_like(losses))

    return changed


def _self_as_zero(_: Formula) -> Formula:
    def changed(prediction: Tensor, _: Tensor, params: Params) -> Terms:
        rows = both_views(directions(prediction, params))
        others = 1 - torch.eye(len(rows), dtype=rows.dtype)
        losses = _partner_losses(rows @ rows.T / params["temperature"] * others)
        return Terms(losses, torch.ones_like(losses))

    return changed


def _first_view_only(formula: Formula) -> Formula:
    def changed(prediction: Tensor, target: Tensor, params: Params) -> Terms:
        terms = formula(prediction, target, params)
        half = len(terms.losses) // 2
        return Terms(terms.losses[:half], terms.shares[:half])

    return changed


def _class_form(
    loss: Callable[[Tensor, Tensor, Tensor], Tensor],
) -> Callable[[Formula], Formula]:
    """Another loss of the similarities [M, M], the pairs of one class, and these with oneself."""

    def wrong(_: Formula) -> Formula:
        def changed(prediction: Tensor, target: Tensor, params: Params) -> Terms:
            rows, labels = labelled_rows(prediction, target, params)
            same = labels[:, None] == labels[None]
            losses = loss(rows @ rows.T / params["temperature"], class_pairs(labels), same)
            losses = base_factor(params) * losses
            return Terms(losses, torch.ones_like(losses))

        return changed

    return wrong


def _picked(values: Tensor, chosen: Tensor) -> Tensor:
    return torch.where(chosen, values, torch.zeros_like(values)).sum(1)


def _self_in_classes(logits: Tensor, positives: Tensor, _: Tensor) -> Tensor:
    return -_picked(logits.log_softmax(1), positives) / positives.sum(1)


def _self_is_positive(logits: Tensor, _: Tensor, same: Tensor) -> Tensor:
    return -_picked(logits.log_softmax(1), same) / same.sum(1)


def _self_is_counted(logits: Tensor, positives: Tensor, same: Tensor) -> Tensor:
    return -_picked(without_self(logits).log_softmax(1), positives) / same.sum(1)


def _summed_positives(logits: Tensor, positives: Tensor, _: Tensor) -> Tensor:
    return -_picked(without_self(logits).log_softmax(1), positives)


def _only_negatives_below(logits: Tensor, positives: Tensor, same: Tensor) -> Tensor:
    below = torch.logsumexp(logits.masked_fill(same, -torch.inf), 1, keepdim=True)
    return -_picked(logits - below, positives) / positives.sum(1)


def _log_outside(logits: Tensor, positives: Tensor, _: Tensor) -> Tensor:
    log_shares = without_self(logits).log_softmax(1)
    return positives.sum(1).log() - torch.logsumexp(log_shares.masked_fill(~positives, -torch.inf), 1)


MISTAKES = (
    Mistake(
        "normalised-embeddings-expected",
        ANY_CONTRASTIVE,
        "does not bring the embeddings to length one: it expects the caller to have done so",
        wrong=_with(lambda _: {"normalise": False}),
        convention=True,
        degree=2,
    ),
    Mistake(
        "decoupled-contrastive",
        VIEWS,
        "leaves the positive out of the denominator (Yeh et al. 2022, Decoupled contrastive learning, equation 6)",
        wrong=_decoupled_views,
        convention=True,
    ),
    Mistake(
        "decoupled-contrastive",
        ("info_nce",),
        "leaves the positive out of the denominator (Yeh et al. 2022, Decoupled contrastive learning, equation 6)",
        wrong=_decoupled_pairs,
        convention=True,
    ),
    Mistake(
        "supervised-contrastive-log-outside",
        CLASSES,
        "takes the logarithm after averaging over the positives (Khosla et al. 2020, equation 3, L_in)",
        wrong=_class_form(_log_outside),
        convention=True,
    ),
    Mistake(
        "temperature-multiplied",
        ANY_CONTRASTIVE,
        "multiplies the similarities by the temperature {temperature:g}, where they are to be divided by it",
        wrong=_with(lambda params: {"temperature": 1 / params["temperature"]}),
        applies=lambda params: bool(params["temperature"] != 1),
    ),
    Mistake(
        "self-similarity-not-masked",
        VIEWS,
        "counts the similarity of each embedding with itself among the others: it is the largest of all",
        wrong=_self_in_views,
    ),
    Mistake(
        "self-similarity-set-to-zero",
        VIEWS,
        "sets the similarity of each embedding with itself to 0, whose exponential is 1: it goes on counting in the "
        "denominator",
        wrong=_self_as_zero,
    ),
    Mistake(
        "one-view-only",
        VIEWS,
        "takes the N first views as anchors only: the N second ones have no loss of their own",
        codes=("LF101",),
        wrong=_first_view_only,
    ),
    Mistake(
        "divided-by-pairs",
        VIEWS,
        "divides the sum over all 2N views by N: it is twice the mean",
        wrong=_scaled(2.0),
        reductions=("mean",),
        convention=True,
    ),
    Mistake(
        "directions-not-averaged",
        ("info_nce",),
        "adds the losses of both directions, where their mean is meant: it is twice the loss",
        wrong=_scaled(2.0),
        reductions=("mean",),
        applies=lambda params: params["directions"] == "both",
        convention=True,
    ),
    Mistake(
        "self-similarity-not-masked",
        CLASSES,
        "counts the similarity of each embedding with itself in the denominator: it is the largest of all",
        wrong=_class_form(_self_in_classes),
    ),
    Mistake(
        "self-is-positive",
        CLASSES,
        "counts each embedding among its own positives: that pair is perfect whatever the network does",
        wrong=_class_form(_self_is_positive),
    ),
    Mistake(
        "self-in-number-of-positives",
        CLASSES,
        "divides by the number of embeddings of the class with the anchor itself counted: smaller by |P| / (|P| + 1)",
        wrong=_class_form(_self_is_counted),
    ),
    Mistake(
        "positives-not-averaged",
        CLASSES,
        "adds the losses of the positives, where their mean is meant: anchors of large classes weigh more",
        wrong=_class_form(_summed_positives),
    ),
    Mistake(
        "positives-left-out-of-denominator",
        CLASSES,
        "counts only the embeddings of other classes in the denominator: the loss has no lower bound",
        wrong=_class_form(_only_negatives_below),
        convention=True,
    ),
    Mistake(
        "missing-log-of-share",
        ANY_CONTRASTIVE,
        "is minus the share of the positive, not minus its logarithm: the log is missing",
        wrong=_without_log,
    ),
)
