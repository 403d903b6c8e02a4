"""Embeddings: triplets, pairs with and without labels, batches with classes, queries with negatives of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from lossaudit.fuzz.model import Part, Space
from lossaudit.fuzz.spaces import fill

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from lossaudit.fuzz.model import Params, Structure

FEATURES = (3, 2, 5)
SCALES = (2.0, 8.0, 90.0)
NEGATIVES = 2
"""How many negatives each query has of its own."""


def _ordinary(structure: Structure, generator: Generator, *roles: int) -> Tensor:
    return fill.ordinary((structure.batch, *roles, max(1, structure.features)), generator)


def _unlabelled(structure: Structure) -> Tensor:
    """A target that nobody looks at, so that every case has one."""
    return torch.zeros(structure.batch, dtype=torch.float64)


def _away(rows: Tensor, distance: float) -> Tensor:
    """The same embeddings, moved along their first feature."""
    moved = rows.clone()
    moved[..., 0] += distance
    return moved


def _triplets(structure: Structure, generator: Generator, _: Params) -> tuple[Tensor, Tensor]:
    free = _ordinary(structure, generator, 3)
    anchor = free[:, 0]
    far = _away(anchor, structure.scale)
    by_profile = {
        "right": (anchor, anchor, far),
        "wrong": (anchor, far, anchor),
        "identical": (anchor, anchor, anchor),
        "parallel": (anchor, 2 * anchor, -anchor),
        "large": tuple((free * structure.scale).unbind(1)),
    }
    chosen = by_profile.get(structure.magnitude, tuple(free.unbind(1)))
    return torch.stack(chosen, 1), _unlabelled(structure)


def _pairs(structure: Structure, generator: Generator, _: Params) -> tuple[Tensor, Tensor]:
    """Two views of each sample. Right: each nearest to its own other view; wrong: to that of another sample."""
    free = _ordinary(structure, generator, 2)
    first = free[:, 0]
    corners = torch.zeros_like(first)
    corners[torch.arange(structure.batch), torch.arange(structure.batch) % first.shape[1]] = structure.scale
    corners = torch.where(torch.arange(structure.batch)[:, None] < first.shape[1], corners, -corners)
    by_profile = {
        "right": (corners, corners),
        "wrong": (corners, corners.roll(1, 0)),
        "identical": (first[:1].expand_as(first), first[:1].expand_as(first)),
        "parallel": (first, 2 * first),
        "large": tuple((free * structure.scale).unbind(1)),
    }
    return torch.stack(by_profile.get(structure.magnitude, tuple(free.unbind(1))), 1), _unlabelled(structure)


def _pair_labels(structure: Structure, generator: Generator) -> Tensor:
    """Labels 0 and 1, both where there is room for both."""
    if structure.targets == "all zero":
        return torch.zeros(structure.batch, dtype=torch.float64)
    if structure.targets == "all one":
        return torch.ones(structure.batch, dtype=torch.float64)
    order = torch.randperm(structure.batch, generator=generator)
    return (order % 2).double() if structure.batch > 1 else (structure.seed % 2) * torch.ones(1).double()


def _labelled_pairs(structure: Structure, generator: Generator, _: Params) -> tuple[Tensor, Tensor]:
    free = _ordinary(structure, generator, 2)
    first = free[:, 0]
    # Every second pair lies within the usual margins: there the hinges tell losses apart.
    close = (torch.arange(structure.batch) % 2 == 0)[:, None]
    usual = (first, torch.where(close, first + free[:, 1] / 4, free[:, 1]))
    by_profile = {
        "identical": (first, first),
        "parallel": (first, 2 * first),
        "near": (first, _away(first, 1 / 4)),
        "far": (first, _away(first, structure.scale)),
        "large": tuple((free * structure.scale).unbind(1)),
    }
    pairs = torch.stack(by_profile.get(structure.magnitude, usual), 1)
    return pairs, _pair_labels(structure, generator)


def _signed_pairs(structure: Structure, generator: Generator, params: Params) -> tuple[Tensor, Tensor]:
    pairs, labels = _labelled_pairs(structure, generator, params)
    signs = 2 * labels - 1
    if structure.magnitude in {"right", "wrong"}:
        turned = signs if structure.magnitude == "right" else -signs
        first = pairs[:, 0] * structure.scale
        pairs = torch.stack((first, first * turned[:, None]), 1)
    return pairs, signs


def _signed_scores(structure: Structure, generator: Generator, _: Params) -> tuple[Tensor, Tensor]:
    signs = 2 * _pair_labels(structure, generator) - 1
    free = fill.ordinary((structure.batch, 2), generator)
    by_profile = {
        "right": torch.stack((signs, -signs), 1) * structure.scale,
        "wrong": torch.stack((-signs, signs), 1) * structure.scale,
        "zeros": torch.zeros_like(free),
        "large": free * structure.scale,
    }
    return by_profile.get(structure.magnitude, free), signs


def _signed_distances(structure: Structure, generator: Generator, _: Params) -> tuple[Tensor, Tensor]:
    signs = 2 * _pair_labels(structure, generator) - 1
    free = fill.ordinary((structure.batch,), generator).abs()
    by_profile = {"zeros": torch.zeros_like(free), "large": free * structure.scale}
    return by_profile.get(structure.magnitude, free), signs


def _towards(rows: Tensor | None, labels: Tensor, free: Tensor) -> Tensor:
    """Where each class lies: near its own learned row, if there are such rows, else at a corner of its own."""
    length = free.shape[-1]
    spread = [1] * (free.ndim - 2)
    if rows is not None and length in rows.shape:
        turned = rows if rows.shape[1] == length else rows.T
        if int(labels.max()) < len(turned):
            own = turned[labels]
            return own.reshape(len(labels), *spread, length) + free / 16 * own.abs().mean()
    corners = torch.zeros_like(free)
    corners[torch.arange(len(labels)), ..., labels % length] = 1.0
    signs = 1.0 - 2.0 * ((labels // length) % 2).double()
    return corners * signs.reshape(-1, *spread, 1)


def _classed(
    structure: Structure, generator: Generator, params: Params, *views: int
) -> tuple[Tensor, Tensor]:
    """Embeddings [N, ..., D] and class labels, of which none stands alone where there is room for two of each."""
    if structure.targets == "all-equal":
        labels = torch.full((structure.batch,), structure.seed % structure.classes)
    else:
        halves = max(1, structure.batch // 2)
        labels = (torch.arange(structure.batch) // 2).clamp(max=halves - 1)
        labels = (labels + structure.seed) % structure.classes
    free = _ordinary(structure, generator, *views)
    corners = _towards(params.get("weight"), labels, free)
    by_profile = {
        "clustered": corners * structure.scale,
        "opposed": -corners * structure.scale,
        "identical": free[:1].expand_as(free).clone(),
        "parallel": free[:1]
        * (1 + torch.arange(structure.batch).double()).reshape(-1, *([1] * (free.ndim - 1))),
        "large": free * structure.scale,
    }
    return by_profile.get(structure.magnitude, free), labels


def _embeddings_indices(structure: Structure, generator: Generator, params: Params) -> tuple[Tensor, Tensor]:
    return _classed(structure, generator, params)


def _views_indices(structure: Structure, generator: Generator, params: Params) -> tuple[Tensor, Tensor]:
    return _classed(structure, generator, params, 2)


def _queries(structure: Structure, generator: Generator, _: Params) -> tuple[Tensor, Tensor]:
    """A query, its positive and its negatives."""
    free = _ordinary(structure, generator, 2 + NEGATIVES)
    query = free[:, :1]
    by_profile = {
        "right": torch.cat([query, query, (-query).expand(-1, NEGATIVES, -1)], 1) * structure.scale,
        "wrong": torch.cat([query, -query, query.expand(-1, NEGATIVES, -1)], 1) * structure.scale,
        "identical": query.expand_as(free),
        "large": free * structure.scale,
    }
    return by_profile.get(structure.magnitude, free).clone(), _unlabelled(structure)


def _nonzero(prediction: Tensor, _: Tensor) -> bool:
    """No embedding is all zeros: it has no direction."""
    return bool((prediction != 0).any(-1).all())


def split(prediction: Tensor, _: Tensor) -> tuple[Tensor, ...]:
    """The arguments of a call that learns all of them."""
    return prediction.unbind(1)


def _one_after_the_other(prediction: Tensor, _: Tensor) -> tuple[Tensor, ...]:
    """All first views, then all second ones."""
    return (prediction.transpose(0, 1).flatten(0, 1),)


def _whole(prediction: Tensor, target: Tensor) -> tuple[Tensor, ...]:
    return prediction, target


def _split_with_target(prediction: Tensor, target: Tensor) -> tuple[Tensor, ...]:
    return (*prediction.unbind(1), target)


def _shared_negatives(prediction: Tensor, _: Tensor) -> tuple[Tensor, ...]:
    return prediction[:, 0], prediction[:, 1], prediction[:, 2:].flatten(0, 1)


def _own_negatives(prediction: Tensor, _: Tensor) -> tuple[Tensor, ...]:
    return prediction[:, 0], prediction[:, 1], prediction[:, 2:]


ANCHOR = Part("anchor", ("anchor", "anchors", "a", "query", "q"))
POSITIVE = Part("positive", ("positive", "positives", "pos", "p"))
NEGATIVE = Part("negative", ("negative", "negatives", "neg", "n"))
FIRST = Part(
    "first",
    ("first", "x1", "input1", "output1", "z1", "zi", "za", "e1", "emb1", "embedding1", "embeddings1", "out1", "x",
     "query", "q", "anchor", "image", "images", "image_features", "1", "left"),
)  # fmt: skip
SECOND = Part(
    "second",
    ("second", "x2", "input2", "output2", "z2", "zj", "zb", "e2", "emb2", "embedding2", "embeddings2", "out2", "y",
     "positive", "key", "k", "text", "texts", "text_features", "2", "right"),
    excludes=("target", "targets", "label", "labels", "mask", "weight"),
)  # fmt: skip
LABEL = Part(
    "label",
    ("label", "labels", "target", "targets", "y", "is_same", "same", "similar", "match"),
    learned=False,
)
PAIR_FIRST = Part("first", tuple(alias for alias in FIRST.aliases if alias != "x"))
PAIR_SECOND = Part("second", tuple(alias for alias in SECOND.aliases if alias != "y"))
DISTANCE = Part("distance", ("distance", "distances", "dist", "d"))
QUERY = Part("query", ("query", "queries", "q", "anchor", "anchors", "a", "z"))
POSITIVE_KEY = Part("positive_key", ("positive_key", "positive", "positives", "pos", "key", "k", "p"))
NEGATIVE_KEYS = Part(
    "negative_keys", ("negative_keys", "negative", "negatives", "neg", "queue", "n", "memory", "bank")
)
ROWS = Part("features", ("features", "embeddings", "z", "x", "out", "output", "reps", "representations"))
CLASS_PROFILES = ("random", "all-equal")
CLASSED_BATCHES = (1, 2, 4, 5)
"""Two of each of two classes, and three of one of them: where each has one positive, their sum is their mean."""
PAIR_PROFILES = ("random", "all zero", "all one")

SPACES = (
    Space(
        name="triplets",
        prediction="anchors, positives and negatives, each [N, D]",
        target="",
        fill=_triplets,
        magnitudes=("ordinary", "right", "wrong", "identical", "parallel", "large"),
        target_profiles=("random",),
        features=FEATURES,
        scales=SCALES,
        parts=(ANCHOR, POSITIVE, NEGATIVE),
        cut=split,
    ),
    Space(
        name="pairs",
        prediction="pairs of embeddings, each [N, D]",
        target="",
        fill=_pairs,
        magnitudes=("ordinary", "right", "wrong", "identical", "parallel", "large"),
        target_profiles=("random",),
        features=FEATURES,
        scales=SCALES,
        parts=(FIRST, SECOND),
        cut=split,
        domain=_nonzero,
    ),
    Space(
        name="views",
        prediction="embeddings [2N, D], the N first views before the N second ones",
        target="",
        fill=_pairs,
        magnitudes=("ordinary", "right", "wrong", "identical", "parallel", "large"),
        target_profiles=("random",),
        features=FEATURES,
        scales=SCALES,
        parts=(ROWS,),
        cut=_one_after_the_other,
        domain=_nonzero,
    ),
    Space(
        name="pairs-labels",
        prediction="pairs of embeddings, each [N, D]",
        target="labels 0 or 1 [N]",
        fill=_labelled_pairs,
        magnitudes=("ordinary", "identical", "parallel", "near", "far", "large"),
        target_profiles=PAIR_PROFILES,
        features=FEATURES,
        scales=SCALES,
        parts=(PAIR_FIRST, PAIR_SECOND, LABEL),
        cut=_split_with_target,
    ),
    Space(
        name="pairs-signs",
        prediction="pairs of embeddings, each [N, D]",
        target="labels -1 or 1 [N]",
        fill=_signed_pairs,
        magnitudes=("ordinary", "right", "wrong", "identical", "parallel", "near", "far", "large"),
        target_profiles=PAIR_PROFILES,
        features=FEATURES,
        scales=SCALES,
        parts=(PAIR_FIRST, PAIR_SECOND, LABEL),
        cut=_split_with_target,
        domain=_nonzero,
    ),
    Space(
        name="score_pairs-signs",
        prediction="pairs of scores, each [N]",
        target="labels -1 or 1 [N]",
        fill=_signed_scores,
        magnitudes=("ordinary", "right", "wrong", "zeros", "large"),
        target_profiles=PAIR_PROFILES,
        scales=SCALES,
        parts=(PAIR_FIRST, PAIR_SECOND, LABEL),
        cut=_split_with_target,
    ),
    Space(
        name="distances-signs",
        prediction="distances [N]",
        target="labels -1 or 1 [N]",
        fill=_signed_distances,
        magnitudes=("ordinary", "zeros", "large"),
        target_profiles=PAIR_PROFILES,
        scales=SCALES,
        parts=(DISTANCE, LABEL),
        cut=_whole,
    ),
    Space(
        name="embeddings-indices",
        prediction="embeddings [N, D]",
        target="class indices [N]",
        fill=_embeddings_indices,
        magnitudes=("ordinary", "clustered", "opposed", "identical", "parallel", "large"),
        target_profiles=CLASS_PROFILES,
        classes=(2, 3),
        features=FEATURES,
        batches=CLASSED_BATCHES,
        scales=SCALES,
        domain=_nonzero,
    ),
    Space(
        name="views-indices",
        prediction="embeddings of two views [N, 2, D]",
        target="class indices [N]",
        fill=_views_indices,
        magnitudes=("ordinary", "clustered", "opposed", "identical", "parallel", "large"),
        target_profiles=CLASS_PROFILES,
        classes=(2, 3),
        features=FEATURES,
        batches=CLASSED_BATCHES,
        scales=SCALES,
        domain=_nonzero,
    ),
    Space(
        name="queries-shared_negatives",
        prediction="queries [N, D], positive keys [N, D] and negative keys [M, D]",
        target="",
        fill=_queries,
        magnitudes=("ordinary", "right", "wrong", "identical", "large"),
        target_profiles=("random",),
        features=FEATURES,
        scales=SCALES,
        parts=(QUERY, POSITIVE_KEY, NEGATIVE_KEYS),
        cut=_shared_negatives,
        domain=_nonzero,
    ),
    Space(
        name="queries-own_negatives",
        prediction="queries [N, D], positive keys [N, D] and negative keys [N, M, D]",
        target="",
        fill=_queries,
        magnitudes=("ordinary", "right", "wrong", "identical", "large"),
        target_profiles=("random",),
        features=FEATURES,
        scales=SCALES,
        parts=(QUERY, POSITIVE_KEY, NEGATIVE_KEYS),
        cut=_own_negatives,
        domain=_nonzero,
    ),
)
