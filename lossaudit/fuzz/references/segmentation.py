"""Overlap losses of segmentation: Dice, Jaccard, Tversky, Lovász, and Dice together with a cross-entropy.

Each is defined on raw scores (sigmoid), on logits over classes (softmax) and on probabilities. What the literature
leaves open is a flag: over which dimensions the sums run, where the smoothing stands, whether the denominator is squared.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn import functional

from lossaudit.fuzz.model import Parameter, ReferenceSpec, Stacked, Terms, Totals
from lossaudit.fuzz.references.binary import exact_softplus
from lossaudit.fuzz.spaces.fill import one_hot

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from lossaudit.fuzz.model import Params

SMOOTH_NAMES = ("smooth", "smoothing", "eps", "epsilon", "smooth_nr", "laplace")
SMOOTH = Parameter("smooth", 0.0, "number", SMOOTH_NAMES, high=1000.0)
SMOOTH_IN = Parameter("smooth_in", "both", "flag", guesses=("both", "denominator", "clamp"))
SQUARED = Parameter("squared", False, "flag", guesses=(False, True))
PIXEL_OVER = Parameter("over", "batch", "flag", guesses=("batch", "sample", "sample-channel", "channel"))
CLASS_OVER = Parameter(
    "over", "sample-channel", "flag", guesses=("sample-channel", "channel", "sample", "batch")
)
ALPHA = Parameter("alpha", 0.5, "number", ("alpha", "fp_weight"), low=1e-3, high=10.0)
BETA = Parameter("beta", 0.5, "number", ("beta", "fn_weight"), low=1e-3, high=10.0)
GAMMA = Parameter("gamma", 1.0, "number", ("gamma",), low=0.1, high=10.0)
OVERLAP_WEIGHT = Parameter(
    "overlap_weight",
    1.0,
    "number",
    ("dice_weight", "weight_dice", "lambda_dice"),
    guesses=(0.5,),
    low=1e-3,  # without its overlap it is another loss
    high=100.0,
)
GUARD = Parameter("guard", 0.0, "number", ("guard",), high=1e-5)
ENTROPY_WEIGHT = Parameter(
    "entropy_weight",
    0.0,
    "number",
    ("bce_weight", "ce_weight", "weight_bce", "weight_ce", "lambda_ce", "lambda_bce"),
    guesses=(1.0, 0.5),
    high=100.0,
)
LAWS = frozenset({"permutation", "minimum"})
PROFILES = ("random", "empty", "full", "some empty", "all-equal")
PRESENT = {"sample-channel": "sample-present", "channel": "channel-present"}
"""The mean over the classes that the mask of an image, or those of the batch, have: where one score for each was. Conventions."""
ADDED_UP = {"channel-sum": 0, "sample-channel-sum": 1}
"""The losses of the classes added up, not averaged, of all images together or of each: where they are. Conventions."""
GROUPS: dict[str, Callable[[Tensor], Tensor]] = {
    "batch": lambda x: x.reshape(1, -1),
    "sample": lambda x: x.flatten(1),
    "sample-channel": lambda x: x.flatten(2),
    "channel": lambda x: x.transpose(0, 1).flatten(1),
    "sample-present": lambda x: x.flatten(2),
    "channel-present": lambda x: x.transpose(0, 1).flatten(1),
    "channel-sum": lambda x: x.transpose(0, 1).flatten(1),
    "sample-channel-sum": lambda x: x.flatten(2),
}


@dataclass(frozen=True, slots=True)
class Overlap:
    """The sums of a prediction p and a mask y: of p y, of p and of y (of their squares, if the denominator has those).

    ``nothing`` is the score where both sums are zero: 0 for an activation, which is never quite zero, and 1 for
    probabilities that are (the limit of a vanishing smoothing).
    """

    shared: Tensor
    predicted: Tensor
    true: Tensor
    nothing: float = 0.0


Activation = Callable[["Tensor"], "Tensor"]
Score = Callable[["Overlap", "Params"], "Tensor"]


def overlap(p: Tensor, y: Tensor, params: Params, nothing: float = 0.0) -> Overlap:
    """The sums over the dimensions that ``over`` names."""
    group = GROUPS[params.get("over", "batch")]
    power = 2 if params.get("squared") else 1
    return Overlap(group(p * y).sum(-1), group(p**power).sum(-1), group(y**power).sum(-1), nothing)


def _summed(
    prediction: Tensor, target: Tensor, activation: Activation | None, over: str, squared: bool
) -> tuple[Tensor, Overlap]:
    """The mask, and the sums over it of what an activation makes of predictions."""
    mask = as_mask(target, prediction)
    p = prediction if activation is None else activation(prediction)
    params = {"over": over, "squared": squared}
    return mask, overlap(p, mask, params, nothing_of(activation))


def nothing_of(activation: Activation | None) -> float:
    """The score of nothing."""
    return 1.0 if activation is None else 0.0


def _mean_entropy(entropy: Callable[[Tensor, Tensor], Tensor], prediction: Tensor, mask: Tensor) -> Tensor:
    return entropy(prediction, mask).mean()


@functools.lru_cache(maxsize=32)
def _entropy_before(entropy: Callable[[Tensor, Tensor], Tensor], prediction: Tensor, target: Tensor) -> float:
    return float(_mean_entropy(entropy, prediction, as_mask(target, prediction)))


# Recognition tries hundreds of weights and smoothings on the very same tensors, whose sums these do not change.
_summed_before = functools.lru_cache(maxsize=256)(_summed)
_mean_entropy_before = functools.lru_cache(maxsize=32)(_mean_entropy)


def as_mask(target: Tensor, prediction: Tensor) -> Tensor:
    """The target as one mask for each channel."""
    if target.is_floating_point():
        return target
    return one_hot(target, prediction.shape[1]).to(prediction.dtype)


def ratio(top: Tensor, bottom: Tensor, nothing: float, params: Params) -> Tensor:
    """Top by bottom, smoothed; the limit where nothing is there."""
    above, below, least = params.get("smoothing") or _smoothing(params)
    top = top + above
    bottom = bottom + below if least is None else (bottom + below).clamp(min=least)
    empty = bottom == 0
    if not top.requires_grad and not empty.any():
        return top / bottom
    defined = torch.where(empty, torch.ones_like(bottom), bottom)
    return torch.where(empty, torch.full_like(bottom, nothing), top / defined)


def _smoothing(params: Params) -> tuple[float, float, float | None]:
    """What is added above, what below, and the least that the denominator is."""
    smooth = params.get("smooth") or 0.0
    where = params.get("smooth_in", "both")
    if where == "clamp":
        return 0.0, 0.0, smooth
    return smooth if where == "both" else 0.0, smooth, None


def dice_score(sums: Overlap, params: Params) -> Tensor:
    """2 |P and Y| / (|P| + |Y|)."""
    return ratio(2 * sums.shared, sums.predicted + sums.true, sums.nothing, params)


def jaccard_score(sums: Overlap, params: Params) -> Tensor:
    """|P and Y| / |P or Y|."""
    return ratio(sums.shared, sums.predicted + sums.true - sums.shared, sums.nothing, params)


def tversky_score(sums: Overlap, params: Params) -> Tensor:
    """TP / (TP + alpha FP + beta FN)."""
    false_positive, false_negative = sums.predicted - sums.shared, sums.true - sums.shared
    bottom = sums.shared + params["alpha"] * false_positive + params["beta"] * false_negative
    return ratio(sums.shared, bottom, sums.nothing, params)


def _ones(losses: Tensor) -> Terms:
    return Terms(losses, torch.ones_like(losses))


@dataclass(frozen=True, slots=True)
class OverlapLoss(Stacked):
    """A loss of an overlap score.

    Args:
        score: The score, 1 at its best.
        activation: What makes probabilities of the predictions; None where they are probabilities.
        transform: The loss of a score.
        entropy: A cross-entropy that is added to it, one mean over all pixels.
    """

    score: Score
    activation: Activation | None
    transform: Callable[[Tensor, Params], Tensor]
    entropy: Callable[[Tensor, Tensor], Tensor] | None = None

    def __call__(self, prediction: Tensor, target: Tensor, params: Params) -> Terms:
        """The loss of each score, before reduction."""
        if prediction.requires_grad:
            return self.evaluated(prediction, target, params, _summed, _mean_entropy)
        return _losses_before(self, prediction, target, tuple(params.items()))

    def evaluated(
        self,
        prediction: Tensor,
        target: Tensor,
        params: Params,
        summed: Callable[..., tuple[Tensor, Overlap]],
        mean_entropy: Callable[..., Tensor],
    ) -> Terms:
        """The same, with what computes the sums and the cross-entropy, or remembers them."""
        mask, sums = summed(
            prediction, target, self.activation, params.get("over", "batch"), params.get("squared", False)
        )
        log_activation = LOG_ACTIVATIONS.get(self.activation)
        if self.transform is minus_log and self.score is dice_score and log_activation is not None:
            losses = _log_dice(sums, mask.log() + log_activation(prediction), params)
        else:
            losses = self.transform(self.score(sums, params), params)
        if params.get("over") in PRESENT.values():
            losses = _over_present(losses, mask, params["over"])
        losses = added_up(losses, params)
        if self.entropy is None:
            return _ones(losses)
        whole = params.get("overlap_weight", 1.0) * losses.mean()
        added = params["entropy_weight"] * mean_entropy(self.entropy, prediction, mask)
        return _ones((whole + added).reshape(1))

    def totals(self, prediction: Tensor, target: Tensor, assignments: Sequence[Params]) -> Totals | None:
        """What the losses come to under each assignment."""
        return self.totals_over(_columns_before, prediction, target, assignments)

    def totals_over(
        self,
        columns: Callable[..., Columns],
        prediction: Tensor,
        target: Tensor,
        assignments: Sequence[Params],
    ) -> Totals:
        """The same of other scores than one for each group of positions."""
        groups = [
            columns(
                prediction, target, self.activation, params.get("over", "batch"), params.get("squared", False)
            )
            for params in assignments
        ]
        lengths = [group.sums.shape[1] for group in groups]
        shared, predicted, true, weights = torch.cat([group.sums for group in groups], 1)
        params = _side_by_side(assignments, lengths)
        losses = self.transform(
            self.score(Overlap(shared, predicted, true, groups[0].nothing), params), params
        )
        sums = np.add.reduceat((losses * weights).numpy(), [0, *itertools.accumulate(lengths[:-1])])
        counts = np.array([group.count for group in groups], dtype=float)
        if self.entropy is None:
            return Totals(sums, counts, counts, np.array([group.rows for group in groups], dtype=float))
        entropy = _entropy_before(self.entropy, prediction, target)
        overlaps, added = (
            np.array([given.get(name, 1.0) for given in assignments], dtype=float)
            for name in ("overlap_weight", "entropy_weight")
        )
        return Totals.of_numbers(overlaps * sums / counts + added * entropy)


@dataclass(frozen=True, slots=True, eq=False)
class Columns:
    """The sums of :class:`Overlap` for each score that a loss consists of, and the weight of that score in the sum of the losses.

    ``count`` losses of ``rows`` rows are put together of the scores.
    """

    sums: Tensor
    count: int
    rows: int
    nothing: float

    @classmethod
    def of(cls, sums: Overlap, weights: Tensor, losses: Sequence[int]) -> Columns:
        """The columns of scores, given the shape of the losses that they are put together to."""
        parts: Sequence[Tensor] = torch.broadcast_tensors(  # type: ignore[no-untyped-call]
            sums.shared, sums.predicted, sums.true, weights
        )
        flat = torch.stack([part.flatten() for part in parts])
        return cls(flat, math.prod(losses), losses[0] if losses else 1, sums.nothing)


def columns_of(
    prediction: Tensor, target: Tensor, activation: Activation | None, over: str, squared: bool
) -> Columns:
    """The columns of a loss that has one score for each group of positions."""
    mask, sums = _summed_before(prediction, target, activation, over, squared)
    weights = torch.ones_like(sums.true)
    if over not in PRESENT.values():
        return Columns.of(sums, weights, added_up(weights, {"over": over}).shape)
    present = (GROUPS[over](mask).sum(-1) > 0).to(weights.dtype)
    weights = present / present.sum(-1, keepdim=True).clamp(min=1)
    return Columns.of(sums, weights, weights.shape[:-1])


_columns_before = functools.lru_cache(maxsize=256)(columns_of)


def _side_by_side(assignments: Sequence[Params], lengths: list[int]) -> dict[str, Any]:
    """The numbers of many assignments, each as often as it has scores; the smoothing as what it adds where."""
    names = [name for name, value in assignments[0].items() if type(value) in {int, float}]
    rows = [[params[name] for params in assignments] for name in names]
    smoothing = zip(*map(_smoothing, assignments), strict=True)
    rows += [[-math.inf if number is None else number for number in column] for column in smoothing]
    numbers = torch.from_numpy(np.repeat(np.array(rows, dtype=float), lengths, axis=1))
    return {**dict(zip(names, numbers, strict=False)), "smoothing": tuple(numbers[len(names) :])}


# What most mistakes spoil is the outcome of the very formula that was evaluated before them, on the same tensors.
@functools.lru_cache(maxsize=1024)
def _losses_before(
    loss: OverlapLoss, prediction: Tensor, target: Tensor, params: tuple[tuple[str, Any], ...]
) -> Terms:
    return loss.evaluated(prediction, target, dict(params), _summed_before, _mean_entropy_before)


def added_up(losses: Tensor, params: Params) -> Tensor:
    """The losses with those of the classes added up, where that is how they are put together."""
    classes = ADDED_UP.get(params.get("over", "batch"))
    return losses if classes is None else losses.sum(classes)


def _over_present(losses: Tensor, mask: Tensor, over: str) -> Tensor:
    """The mean over the classes that a mask has: [N] of the [N, C] of the images, one number of the [C] of the batch."""
    present = GROUPS[over](mask).sum(-1) > 0
    kept = torch.where(present, losses, torch.zeros_like(losses))
    return kept.sum(-1) / present.sum(-1).clamp(min=1)


def complement(score: Tensor, _: Params) -> Tensor:
    """1 - score."""
    return 1 - score


def focal_complement(score: Tensor, params: Params) -> Tensor:
    """(1 - score) ** gamma, of no less than the guard: below a gamma of 1 the slope at 0 is infinite."""
    return torch.pow((1 - score).clamp(min=params.get("guard", 0.0)), params["gamma"])


def minus_log(score: Tensor, _: Params) -> Tensor:
    """-log score."""
    return -score.log()


def pixel_entropy(scores: Tensor, mask: Tensor) -> Tensor:
    """Binary cross-entropy of each pixel."""
    return mask * exact_softplus(-scores) + (1 - mask) * exact_softplus(scores)


def pixel_entropy_of_probabilities(p: Tensor, mask: Tensor) -> Tensor:
    """Binary cross-entropy of each pixel's probability."""
    return torch.nn.functional.binary_cross_entropy(p, mask, reduction="none")


def class_entropy(logits: Tensor, mask: Tensor) -> Tensor:
    """Cross-entropy of each pixel."""
    return -(mask * logits.log_softmax(1)).sum(1)


def softmax(logits: Tensor) -> Tensor:
    """Softmax over the channels."""
    return logits.softmax(1)


def log_sigmoid(scores: Tensor) -> Tensor:
    """The logarithm of the sigmoid."""
    return -exact_softplus(-scores)


def log_softmax(logits: Tensor) -> Tensor:
    """The logarithm of the softmax over the channels."""
    return logits.log_softmax(1)


LOG_ACTIVATIONS: dict[Activation | None, Activation] = {torch.sigmoid: log_sigmoid, softmax: log_softmax}


def _log_dice(sums: Overlap, log_shared: Tensor, params: Params) -> Tensor:
    """-log of the Dice score from the logarithms of p y, which are exact where p is below the least float."""
    smooth, smooth_in = params.get("smooth") or 0.0, params.get("smooth_in", "both")
    shares = GROUPS[params.get("over", "batch")](log_shared)
    nothing = shares.isneginf().all(-1)  # logsumexp has no gradient there
    shared = torch.where(nothing.unsqueeze(-1), torch.zeros_like(shares), shares).logsumexp(-1)
    top = math.log(2) + torch.where(nothing, torch.full_like(shared, -torch.inf), shared)
    if smooth > 0 and smooth_in == "both":
        top = torch.logaddexp(top, torch.full_like(top, math.log(smooth)))
    bottom = sums.predicted + sums.true
    bottom = bottom.clamp(min=smooth) if smooth_in == "clamp" else bottom + smooth
    return torch.where(top.isneginf(), torch.ones_like(bottom), bottom).log() - top


def _lovasz_weights(sorted_truth: Tensor) -> Tensor:
    """The gradient of the Lovász extension of the Jaccard loss (Berman et al. 2018, algorithm 1)."""
    total = sorted_truth.sum()
    jaccard = 1 - (total - sorted_truth.cumsum(0)) / (total + (1 - sorted_truth).cumsum(0))
    return torch.cat([jaccard[:1], jaccard[1:] - jaccard[:-1]])


def lovasz_extension(errors: Tensor, truth: Tensor) -> Tensor:
    """The Lovász extension of the Jaccard loss at a flat vector of errors."""
    ordered, order = errors.sort(descending=True)
    return (ordered * _lovasz_weights(truth[order])).sum()


def _images(params: Params, *tensors: Tensor) -> list[tuple[Tensor, ...]]:
    """The batch as one image, or image by image."""
    if params.get("over", "batch") == "batch":
        return [tensors]
    return [tuple(tensor[k : k + 1] for tensor in tensors) for k in range(tensors[0].shape[0])]


def lovasz_hinge(prediction: Tensor, target: Tensor, params: Params) -> Terms:
    """The Lovász extension of the hinge errors 1 - s x, where s is 1 in the mask and -1 outside."""
    losses = []
    for scores, mask in _images(params, prediction, target):
        errors = functional.relu(1 - scores * (2 * mask - 1))
        losses.append(lovasz_extension(errors.flatten(), mask.flatten()))
    return _ones(torch.stack(losses))


def _lovasz_of_classes(p: Tensor, mask: Tensor, params: Params) -> Terms:
    losses = []
    for probabilities, truth in _images(params, p, mask):
        columns = [
            lovasz_extension((truth[:, c] - probabilities[:, c]).abs().flatten(), truth[:, c].flatten())
            for c in range(p.shape[1])
            if params.get("classes") == "all" or bool(truth[:, c].any())
        ]
        losses.append(torch.stack(columns).mean())
    return _ones(torch.stack(losses))


def lovasz_softmax(prediction: Tensor, target: Tensor, params: Params) -> Terms:
    """The Lovász extension of the errors |y - p| of each class, averaged over the classes that are present."""
    return _lovasz_of_classes(prediction.softmax(1), as_mask(target, prediction), params)


def lovasz_softmax_of_probabilities(prediction: Tensor, target: Tensor, params: Params) -> Terms:
    """The same of probabilities."""
    return _lovasz_of_classes(prediction, as_mask(target, prediction), params)


LOVASZ_OVER = Parameter("over", "batch", "flag", guesses=("batch", "sample"))
LOVASZ_CLASSES = Parameter("classes", "present", "flag", guesses=("present", "all"))

_PIXELS = ("scores-masks", "scores-channel_masks")
_CLASSES = ("logits-mask-indices", "logits-mask-rows")
_PIXEL_PROBABILITIES = ("probabilities-masks", "probabilities-channel_masks")
_CLASS_PROBABILITIES = ("probabilities-mask-indices", "probabilities-mask-rows")
_DOMAINS: tuple[tuple[str, str, tuple[str, ...], Parameter, Activation | None], ...] = (
    ("{}", "p = sigmoid(x)", _PIXELS, PIXEL_OVER, torch.sigmoid),
    ("softmax_{}", "p = softmax(x)", _CLASSES, CLASS_OVER, softmax),
    ("{}_of_probabilities", "p given", _PIXEL_PROBABILITIES, PIXEL_OVER, None),
    ("{}_of_class_probabilities", "p given", _CLASS_PROBABILITIES, CLASS_OVER, None),
)
_FAMILIES: tuple[
    tuple[str, str, str, Score, Callable[[Tensor, Params], Tensor], tuple[Parameter, ...]], ...
] = (
    (
        "dice_loss",
        "1 - (2 sum p y + s) / (sum p + sum y + s)",
        "Milletari et al. 2016, V-Net, section 3 (arXiv:1606.04797); unsquared: Drozdzal et al. 2016 (arXiv:1608.04117)",
        dice_score,
        complement,
        (SMOOTH, SMOOTH_IN, SQUARED),
    ),
    (
        "jaccard_loss",
        "1 - (sum p y + s) / (sum p + sum y - sum p y + s)",
        "Rahman and Wang 2016, Optimizing Intersection-Over-Union in Deep Neural Networks, equation 3",
        jaccard_score,
        complement,
        (SMOOTH, SMOOTH_IN, SQUARED),
    ),
    (
        "tversky_loss",
        "1 - (TP + s) / (TP + alpha FP + beta FN + s)",
        "Salehi et al. 2017, Tversky loss function, equation 4 (arXiv:1706.05721)",
        tversky_score,
        complement,
        (ALPHA, BETA, SMOOTH, SMOOTH_IN),
    ),
    (
        "focal_tversky_loss",
        "(1 - (TP + s) / (TP + alpha FP + beta FN + s)) ** gamma",
        "Abraham and Khan 2018, A Novel Focal Tversky Loss Function, equation 4 (arXiv:1810.07842)",
        tversky_score,
        focal_complement,
        (GAMMA, ALPHA, BETA, SMOOTH, SMOOTH_IN, GUARD),
    ),
    (
        "log_dice_loss",
        "-log((2 sum p y + s) / (sum p + sum y + s))",
        "Wong et al. 2018, 3D Segmentation with Exponential Logarithmic Loss, equation 2 (arXiv:1809.00076)",
        dice_score,
        minus_log,
        (SMOOTH, SMOOTH_IN, SQUARED),
    ),
)
_MIXED = "Isensee et al. 2018, nnU-Net, section 3.1 (arXiv:1809.10486)"
_BERMAN = "Berman et al. 2018, The Lovasz-Softmax loss, equations 8 to 11 (arXiv:1705.08790)"

REFERENCES = (
    *(
        ReferenceSpec(
            name=name.format(family),
            summary=f"{summary}, {words}",
            source=source,
            spaces=spaces,
            formula=OverlapLoss(score, activation, transform),
            parameters=(*parameters, over),
            laws=LAWS,
            target_profiles=PROFILES,
            essential=("gamma",) if family == "focal_tversky_loss" else (),
        )
        for family, summary, source, score, transform, parameters in _FAMILIES
        for name, words, spaces, over, activation in _DOMAINS
    ),
    ReferenceSpec(
        name="dice_bce_loss",
        summary="w_d Dice + w_b mean BCE, both of raw scores",
        source=_MIXED,
        spaces=_PIXELS,
        formula=OverlapLoss(dice_score, torch.sigmoid, complement, pixel_entropy),
        parameters=(ENTROPY_WEIGHT, OVERLAP_WEIGHT, SMOOTH, SMOOTH_IN, PIXEL_OVER),
        laws=LAWS,
        target_profiles=PROFILES,
        essential=("entropy_weight",),
        weights=("entropy_weight", "overlap_weight"),
    ),
    ReferenceSpec(
        name="dice_bce_loss_of_probabilities",
        summary="w_d Dice + w_b mean BCE, both of probabilities",
        source=_MIXED,
        spaces=_PIXEL_PROBABILITIES,
        formula=OverlapLoss(dice_score, None, complement, pixel_entropy_of_probabilities),
        parameters=(ENTROPY_WEIGHT, OVERLAP_WEIGHT, SMOOTH, SMOOTH_IN, PIXEL_OVER),
        laws=LAWS,
        target_profiles=PROFILES,
        essential=("entropy_weight",),
        weights=("entropy_weight", "overlap_weight"),
    ),
    ReferenceSpec(
        name="dice_ce_loss",
        summary="w_d Dice of softmax(x) + w_c mean cross-entropy of x",
        source=_MIXED,
        spaces=_CLASSES,
        formula=OverlapLoss(dice_score, softmax, complement, class_entropy),
        parameters=(ENTROPY_WEIGHT, OVERLAP_WEIGHT, SMOOTH, SMOOTH_IN, CLASS_OVER),
        laws=LAWS,
        target_profiles=PROFILES,
        essential=("entropy_weight",),
        weights=("entropy_weight", "overlap_weight"),
    ),
    ReferenceSpec(
        name="lovasz_hinge",
        summary="Lovasz extension of the Jaccard loss at max(0, 1 - s x), s = 2 y - 1",
        source=_BERMAN,
        spaces=_PIXELS,
        formula=lovasz_hinge,
        parameters=(LOVASZ_OVER,),
        laws=LAWS,
        target_profiles=PROFILES,
        kinks=True,
    ),
    ReferenceSpec(
        name="lovasz_softmax",
        summary="mean over the classes of the Lovasz extension of the Jaccard loss at |y - softmax(x)|",
        source=_BERMAN,
        spaces=_CLASSES,
        formula=lovasz_softmax,
        parameters=(LOVASZ_OVER, LOVASZ_CLASSES),
        laws=LAWS,
        target_profiles=PROFILES,
        kinks=True,
    ),
    ReferenceSpec(
        name="lovasz_softmax_of_probabilities",
        summary="mean over the classes of the Lovasz extension of the Jaccard loss at |y - p|",
        source=_BERMAN,
        spaces=_CLASS_PROBABILITIES,
        formula=lovasz_softmax_of_probabilities,
        parameters=(LOVASZ_OVER, LOVASZ_CLASSES),
        laws=LAWS,
        target_profiles=PROFILES,
        kinks=True,
    ),
)
