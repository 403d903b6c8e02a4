"""Overlap losses of segmentation."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from exact.digits import Array, Exact, Params, larger, log, number, power, sigmoid, softmax, times

Parts = tuple[Array, Array, Array]


def _mask(target: Array, like: Array) -> Array:
    if target.dtype == object:
        return target
    rows = [np.where(target == c, number(1), number(0)) for c in range(like.shape[1])]
    return np.stack(rows, axis=1)


def _pool(x: Array, over: str) -> Array:
    if over == "batch":
        return np.asarray([x.sum()], dtype=object)
    if over == "sample":
        return x.reshape(x.shape[0], -1).sum(axis=1)
    pixels = x.reshape(x.shape[0], x.shape[1], -1).sum(axis=2)
    return pixels.sum(axis=0) if over in {"channel", "channel-present"} else pixels


def _parts(p: Array, y: Array, params: Params) -> Parts:
    squared = bool(params.get("squared"))
    over = params["over"]
    return (
        _pool(p * y, over),
        _pool(p * p if squared else p, over),
        _pool(y * y if squared else y, over),
    )


def _quotient(top: Array, bottom: Array, params: Params, nothing: float) -> Array:
    smooth = number(params.get("smooth") or 0)
    form = params.get("smooth_in", "both")
    upper = top + (smooth if form == "both" else 0)
    lower = larger(bottom, smooth) if form == "clamp" else bottom + smooth
    quotients = [a / b if b != 0 else number(nothing) for a, b in zip(upper.flat, lower.flat, strict=True)]
    return np.asarray(quotients, dtype=object).reshape(upper.shape)


def dice(parts: Parts, params: Params, nothing: float) -> Array:
    shared, predicted, true = parts
    return _quotient(2 * shared, predicted + true, params, nothing)


def jaccard(parts: Parts, params: Params, nothing: float) -> Array:
    shared, predicted, true = parts
    return _quotient(shared, predicted + true - shared, params, nothing)


def tversky(parts: Parts, params: Params, nothing: float) -> Array:
    shared, predicted, true = parts
    missed = number(params["beta"]) * (true - shared)
    return _quotient(
        shared, shared + number(params["alpha"]) * (predicted - shared) + missed, params, nothing
    )


_PIXELWISE = ("{}", "{}_of_probabilities")
Score = Callable[[Parts, Params, float], Array]
ACTIVATIONS: dict[str, tuple[Callable[[Array], Array], float]] = {
    "{}": (sigmoid, 0.0),
    "softmax_{}": (softmax, 0.0),
    "{}_of_probabilities": (lambda p: p, 1.0),
    "{}_of_class_probabilities": (lambda p: p, 1.0),
}


def _loss(score: Score, name: str, finish: Callable[[Array, Params], Array]) -> Callable[..., Array]:
    activation, nothing = ACTIVATIONS[name]

    def formula(x: Array, target: Array, params: Params) -> Array:
        mask = _mask(target, x)
        losses = finish(score(_parts(activation(x), mask, params), params, nothing), params)
        if params["over"] == "sample-present":
            return _of_present(losses, mask)
        if params["over"] == "channel-present":
            return _of_present(losses[None], mask.swapaxes(0, 1).reshape(1, mask.shape[1], -1)).reshape(())
        return losses

    return formula


def _of_present(losses: Array, mask: Array) -> Array:
    """Of each image, the mean over the classes that its mask has; a batch may be one image as well."""
    means = []
    for row, image in zip(losses, mask, strict=True):
        kept = [loss for loss, pixels in zip(row, image, strict=True) if pixels.sum() > 0]
        means.append(sum(kept, number(0)) / len(kept))
    return np.asarray(means, dtype=object)


def _focal(score: Array, params: Params) -> Array:
    return power(larger(1 - score, number(0)), number(params["gamma"]))


_SMOOTH = ({"smooth": 1.0, "over": "sample"}, {"smooth": 0.5, "smooth_in": "denominator", "over": "batch"})
_FAMILIES = {
    "dice_loss": (dice, lambda s, _: 1 - s, ({"squared": True, "smooth": 1e-3}, *_SMOOTH)),
    "jaccard_loss": (jaccard, lambda s, _: 1 - s, _SMOOTH),
    "tversky_loss": (tversky, lambda s, _: 1 - s, ({"alpha": 0.3, "beta": 0.7}, *_SMOOTH)),
    "focal_tversky_loss": (tversky, _focal, ({"gamma": 2.0, "alpha": 0.3, "beta": 0.7, "smooth": 1.0},)),
    "log_dice_loss": (dice, lambda s, _: -log(s), _SMOOTH),
}


def _binary_entropy(x: Array, y: Array) -> Array:
    return -(y * log(sigmoid(x)) + (1 - y) * log(sigmoid(-x)))


def _probability_entropy(p: Array, y: Array) -> Array:
    bounded = [larger(log(q), number(-100)) for q in (p, 1 - p)]  # as torch bounds it
    return -(times(y, bounded[0]) + times(1 - y, bounded[1]))


def _class_entropy(x: Array, y: Array) -> Array:
    return -(y * log(softmax(x))).sum(axis=1)


def _mixed(name: str, entropy: Callable[[Array, Array], Array]) -> Callable[..., Array]:
    overlap = _loss(dice, name, lambda s, _: 1 - s)

    def formula(x: Array, target: Array, params: Params) -> Array:
        scores = overlap(x, target, params)
        pixels = entropy(x, _mask(target, x))
        mean = number(params["overlap_weight"]) * scores.sum() / scores.size
        return np.asarray(
            [mean + number(params["entropy_weight"]) * pixels.sum() / pixels.size], dtype=object
        )

    return formula


def _lovasz(errors: Array, truth: Array) -> Array:
    """The Lovasz extension by its definition: the k worst pixels as a set, for every k."""
    order = sorted(range(len(errors)), key=lambda k: -errors[k])
    total, before = number(0), number(0)
    for k in range(len(order)):
        worst = set(order[: k + 1])
        union = len(worst | {i for i in range(len(truth)) if truth[i] == 1})
        jaccard_loss = number(len(worst)) / union
        total += errors[order[k]] * (jaccard_loss - before)
        before = jaccard_loss
    return total


def _images(params: Params, *arrays: Array) -> list[tuple[Array, ...]]:
    if params["over"] == "batch":
        return [arrays]
    return [tuple(x[k : k + 1] for x in arrays) for k in range(len(arrays[0]))]


def lovasz_hinge(x: Array, y: Array, params: Params) -> Array:
    losses = [
        _lovasz(list(larger(1 - a * (2 * b - 1), number(0)).flat), list(b.flat))
        for a, b in _images(params, x, y)
    ]
    return np.asarray(losses, dtype=object)


def lovasz_of_probabilities(p: Array, target: Array, params: Params) -> Array:
    losses = []
    for a, b in _images(params, p, _mask(target, p)):
        present = [c for c in range(p.shape[1]) if params["classes"] == "all" or (b[:, c] == 1).any()]
        columns = [_lovasz(list(abs(b[:, c] - a[:, c]).flat), list(b[:, c].flat)) for c in present]
        losses.append(sum(columns) / len(columns))
    return np.asarray(losses, dtype=object)


def lovasz_softmax(x: Array, target: Array, params: Params) -> Array:
    return lovasz_of_probabilities(softmax(x), target, params)


_MIX = ({"entropy_weight": 0.5, "overlap_weight": 0.5, "smooth": 1.0}, {"entropy_weight": 1.0, "smooth": 1.0})
_PRESENT = ({"smooth": 0.25, "over": "sample-present"}, {"smooth": 0.25, "over": "channel-present"})
LEAST_MAP = 16  # the least maps of classes have more entries than the slopes of other losses are taken at
EXACT = {
    **{
        name.format(family): Exact(
            _loss(score, name, finish),
            params if name in _PIXELWISE else (*params, *_PRESENT),
            largest=LEAST_MAP if "class" in name or "softmax" in name else 6,
        )
        for family, (score, finish, params) in _FAMILIES.items()
        for name in ACTIVATIONS
    },
    "dice_bce_loss": Exact(_mixed("{}", _binary_entropy), _MIX),
    "dice_bce_loss_of_probabilities": Exact(_mixed("{}_of_probabilities", _probability_entropy), _MIX),
    "dice_ce_loss": Exact(_mixed("softmax_{}", _class_entropy), _MIX, largest=LEAST_MAP),
    "lovasz_hinge": Exact(lovasz_hinge, ({"over": "sample"},)),
    "lovasz_softmax": Exact(lovasz_softmax, ({"over": "sample"}, {"classes": "all"}), largest=LEAST_MAP),
    "lovasz_softmax_of_probabilities": Exact(
        lovasz_of_probabilities, ({"over": "sample"}, {"classes": "all"}), largest=LEAST_MAP
    ),
}
