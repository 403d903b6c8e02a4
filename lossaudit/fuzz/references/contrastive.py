"""Softmax over similarities: InfoNCE, CLIP, NT-Xent, supervised contrastive."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from lossaudit.fuzz.model import Parameter, ReferenceSpec, Terms

if TYPE_CHECKING:
    from torch import Tensor

    from lossaudit.fuzz.model import Params

TEMPERATURE = Parameter(
    "temperature",
    1.0,
    "number",
    ("temperature", "tau", "temp", "t"),
    inverses=("logit_scale", "inverse_temperature", "scale"),
    low=1e-3,
    high=100.0,
    divides=True,
)
BASE_TEMPERATURE = Parameter(
    "base_temperature", None, "number", ("base_temperature", "base_temp"), low=1e-3, high=100.0, divides=True
)
DIRECTIONS = Parameter("directions", "one", "form", guesses=("one", "both"))


def unit(rows: Tensor, guard: float = 0.0) -> Tensor:
    """Rows of length one; NaN where a row is zero and has no direction. A guard is added to the lengths."""
    lengths: Tensor = torch.linalg.vector_norm(rows, dim=-1, keepdim=True)
    return rows / (lengths + guard)


def directions(prediction: Tensor, params: Params) -> Tensor:
    """The embeddings as they are compared: of length one, unless the caller is to see to that."""
    return unit(prediction, params.get("length_guard", 0.0)) if params.get("normalise", True) else prediction


def diagonal_losses(logits: Tensor) -> Tensor:
    """Cross-entropy of each row against its own place."""
    return -logits.log_softmax(1).diagonal()


def info_nce(prediction: Tensor, _: Tensor, params: Params) -> Terms:
    """Each first view against all second views; with ``directions`` "both" also the reverse, averaged."""
    first, second = directions(prediction, params).unbind(1)
    logits = first @ second.T / params["temperature"]
    losses = diagonal_losses(logits)
    if params.get("directions") == "both":
        losses = (losses + diagonal_losses(logits.T)) / 2
    return Terms(losses, torch.ones_like(losses))


def info_nce_shared(prediction: Tensor, _: Tensor, params: Params) -> Terms:
    """Each query against its positive and the negatives of the whole batch."""
    rows = directions(prediction, params)
    negatives = rows[:, 2:].flatten(0, 1)
    return _against_negatives(rows, rows[:, 0] @ negatives.T, params)


def info_nce_own(prediction: Tensor, _: Tensor, params: Params) -> Terms:
    """Each query against its positive and its own negatives."""
    rows = directions(prediction, params)
    return _against_negatives(rows, (rows[:, :1] * rows[:, 2:]).sum(-1), params)


def _against_negatives(rows: Tensor, negatives: Tensor, params: Params) -> Terms:
    positive = (rows[:, 0] * rows[:, 1]).sum(-1, keepdim=True)
    logits = torch.cat([positive, negatives], 1) / params["temperature"]
    losses = -logits.log_softmax(1)[:, 0]
    return Terms(losses, torch.ones_like(losses))


def both_views(prediction: Tensor) -> Tensor:
    """Two views [N, 2, D] as one batch [2N, D]: all first views, then all second ones."""
    return prediction.transpose(0, 1).flatten(0, 1)


def without_self(logits: Tensor) -> Tensor:
    """The similarities with the diagonal at minus infinity."""
    return logits.masked_fill(torch.eye(len(logits), dtype=torch.bool), -torch.inf)


def nt_xent(prediction: Tensor, _: Tensor, params: Params) -> Terms:
    """Each of the 2N views against all others, its own other view being the right one."""
    rows = both_views(directions(prediction, params))
    log_shares = without_self(rows @ rows.T / params["temperature"]).log_softmax(1)
    count = len(rows)
    losses = -log_shares[torch.arange(count), (torch.arange(count) + count // 2) % count]
    return Terms(losses, torch.ones_like(losses))


def class_pairs(labels: Tensor) -> Tensor:
    """Which pairs are of one class, an embedding with itself not counted."""
    return (labels[:, None] == labels[None]) & ~torch.eye(len(labels), dtype=torch.bool)


def labelled_rows(prediction: Tensor, target: Tensor, params: Params) -> tuple[Tensor, Tensor]:
    """Embeddings [M, D] and their labels [M]: the views of a sample share its label."""
    rows = directions(prediction, params)
    if rows.ndim == 2:
        return rows, target
    views = rows.shape[1]
    return rows.transpose(0, 1).flatten(0, 1), target.repeat(views)


def base_factor(params: Params) -> float:
    """The factor temperature / base temperature of the authors' own code; 1 without one."""
    base = params.get("base_temperature")
    return 1.0 if base is None else float(params["temperature"] / base)


def supervised_contrastive(prediction: Tensor, target: Tensor, params: Params) -> Terms:
    """Minus the mean log share of the embeddings of one's own class, among all but oneself; NaN for who is alone."""
    rows, labels = labelled_rows(prediction, target, params)
    positives = class_pairs(labels)
    log_shares = without_self(rows @ rows.T / params["temperature"]).log_softmax(1)
    total = torch.where(positives, log_shares, torch.zeros_like(log_shares)).sum(1)
    losses = -base_factor(params) * total / positives.sum(1)
    return Terms(losses, torch.ones_like(losses))


def is_a_contrast(prediction: Tensor, labels: Tensor) -> bool:
    """Whether each embedding has another of its own class, be it a view of the same sample, and one of another class."""
    own = (labels[:, None] == labels[None]).sum(1)
    alone = prediction.ndim == 2 and bool((own == 1).any())
    return not alone and bool((own < len(labels)).all())


_LAWS = frozenset({"permutation", "minimum"})
_MEAN_OR_SUM = ("mean", "sum", "none")

REFERENCES = (
    ReferenceSpec(
        name="info_nce",
        summary="-log exp(q_i k_i / T) / sum_j exp(q_i k_j / T), q and k of length one; both directions: CLIP",
        source="van den Oord et al. 2018 (arXiv:1807.03748), equation 4; Radford et al. 2021 (arXiv:2103.00020), figure 3",
        spaces=("pairs",),
        formula=info_nce,
        parameters=(TEMPERATURE, DIRECTIONS),
        reductions=_MEAN_OR_SUM,
        laws=_LAWS,
    ),
    ReferenceSpec(
        name="info_nce_shared_negatives",
        summary="-log exp(q p / T) / (exp(q p / T) + sum over all negatives exp(q n / T)), all of length one",
        source="He et al. 2020, Momentum contrast (arXiv:1911.05722), equation 1",
        spaces=("queries-shared_negatives",),
        formula=info_nce_shared,
        parameters=(TEMPERATURE,),
        reductions=_MEAN_OR_SUM,
        laws=_LAWS,
    ),
    ReferenceSpec(
        name="info_nce_own_negatives",
        summary="-log exp(q p / T) / (exp(q p / T) + sum over its own negatives exp(q n / T)), all of length one",
        source="van den Oord et al. 2018 (arXiv:1807.03748), equation 4",
        spaces=("queries-own_negatives",),
        formula=info_nce_own,
        parameters=(TEMPERATURE,),
        reductions=_MEAN_OR_SUM,
        laws=_LAWS | {"additive"},
    ),
    ReferenceSpec(
        name="nt_xent",
        summary="-log exp(z_i z_j / T) / sum over k other than i exp(z_i z_k / T), mean over all 2N views",
        source="Chen et al. 2020, SimCLR (arXiv:2002.05709), equation 1",
        spaces=("pairs", "views"),
        formula=nt_xent,
        parameters=(TEMPERATURE,),
        reductions=("mean", "sum"),
        laws=_LAWS,
    ),
    ReferenceSpec(
        name="supervised_contrastive",
        summary="-1/|P(i)| sum over p in P(i) of log exp(z_i z_p / T) / sum over a other than i exp(z_i z_a / T)",
        source="Khosla et al. 2020 (arXiv:2004.11362), equation 2 (L_out)",
        spaces=("views-indices", "embeddings-indices"),
        formula=supervised_contrastive,
        parameters=(TEMPERATURE, BASE_TEMPERATURE),
        reductions=("mean", "sum"),
        laws=frozenset({"permutation"}),
        settled=is_a_contrast,
    ),
)
