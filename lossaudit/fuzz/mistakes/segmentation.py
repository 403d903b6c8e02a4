"""How overlap losses of segmentation go wrong, and the conventions in which they are published."""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

from lossaudit.fuzz.model import Given, Mistake, Parameter, Stacked, Terms
from lossaudit.fuzz.references.segmentation import (
    ADDED_UP,
    CLASS_OVER,
    GROUPS,
    PIXEL_OVER,
    PRESENT,
    REFERENCES,
    Activation,
    Columns,
    Overlap,
    OverlapLoss,
    added_up,
    as_mask,
    columns_of,
    nothing_of,
    overlap,
    ratio,
    softmax,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

    from lossaudit.fuzz.model import Formula, Params, Totals


def _names(*words: str, without: str = "lovasz") -> tuple[str, ...]:
    """The references with one of the words in their name."""
    names = [spec.name for spec in REFERENCES if any(word in spec.name for word in words)]
    return tuple(name for name in names if without not in name)


OVERLAPS = _names("dice", "jaccard", "tversky")
ACTIVATED = tuple(name for name in OVERLAPS if "probabilities" not in name)
SIGMOID = tuple(name for name in ACTIVATED if "softmax" not in name and "_ce_" not in name)
SOFTMAX = tuple(name for name in ACTIVATED if name not in SIGMOID)
DICE = _names("dice_loss", "dice_bce", "dice_ce", without="log_dice")
ALL_DICE = _names("dice")
JACCARD = _names("jaccard")
TVERSKY = _names("tversky")
FOCAL_TVERSKY = _names("focal_tversky")
CLASSES = (*SOFTMAX, *_names("of_class_probabilities"))
CLASS_DICE = tuple(name for name in DICE if name in CLASSES and "_ce_" not in name)
COMPLEMENTED = (*_names("dice_loss", without="log_dice"), *JACCARD, *_names("tversky_loss", without="focal"))


def _scored(score: Callable[[Overlap, Params], Tensor]) -> Callable[[Formula], Formula]:
    """The same loss of another score."""

    def wrong(formula: Formula) -> Formula:
        return replace(formula, score=score) if isinstance(formula, OverlapLoss) else formula

    return wrong


def _transformed(transform: Callable[[Tensor, Params], Tensor]) -> Callable[[Formula], Formula]:
    """Another loss of the same score."""

    def wrong(formula: Formula) -> Formula:
        return replace(formula, transform=transform) if isinstance(formula, OverlapLoss) else formula

    return wrong


def _activated(
    activation: Callable[[Tensor], Tensor] | None,
) -> Callable[[Formula], Formula]:
    """The same loss behind another activation."""

    def wrong(formula: Formula) -> Formula:
        return replace(formula, activation=activation) if isinstance(formula, OverlapLoss) else formula

    return wrong


def _without_two(sums: Overlap, params: Params) -> Tensor:
    return ratio(sums.shared, sums.predicted + sums.true, sums.nothing, params)


def _two_over_union(sums: Overlap, params: Params) -> Tensor:
    return ratio(2 * sums.shared, sums.predicted + sums.true - sums.shared, sums.nothing, params)


def _smooth_above_only(sums: Overlap, params: Params) -> Tensor:
    top = 2 * sums.shared + params["smooth"]
    return torch.div(top, sums.predicted + sums.true)


def _smooth_twice(sums: Overlap, params: Params) -> Tensor:
    """The smoothing inside the factor 2: 2 (I + s) / (P + Y + s)."""
    top = 2 * (sums.shared + params["smooth"])
    return torch.div(top, sums.predicted + sums.true + params["smooth"])


def _smooth_outside(sums: Overlap, params: Params) -> Tensor:
    """2 I / (P + Y) + s: the smoothing is added to the quotient."""
    return torch.add(2 * sums.shared / (sums.predicted + sums.true), params["smooth"])


def _half_intersection(sums: Overlap, params: Params) -> Tensor:
    """The intersection alone over P + Y - 2 I."""
    return ratio(sums.shared, sums.predicted + sums.true - 2 * sums.shared, sums.nothing, params)


def _tversky_without_hits(sums: Overlap, params: Params) -> Tensor:
    false_positive, false_negative = sums.predicted - sums.shared, sums.true - sums.shared
    bottom = params["alpha"] * false_positive + params["beta"] * false_negative
    return ratio(sums.shared, bottom, sums.nothing, params)


def _swapped(formula: Formula) -> Formula:
    return Given(formula, lambda params: {**params, "alpha": params["beta"], "beta": params["alpha"]})


def _inverse_gamma(formula: Formula) -> Formula:
    return Given(formula, lambda params: {**params, "gamma": 1 / params["gamma"]})


def _gamma_inside(formula: Formula) -> Formula:
    """1 - score ** gamma: the power stands on the score."""
    return _transformed(lambda score, params: 1 - score ** params["gamma"])(formula)


def _gamma_missing(formula: Formula) -> Formula:
    return Given(formula, lambda params: {**params, "gamma": 1.0})


@dataclass(frozen=True, slots=True)
class _Altered(Stacked):
    """A formula of overlaps whose scores are made, or put together, in another way.

    Args:
        formula: The formula.
        losses: Its losses.
        columns: The sums of which each of its scores is made.
    """

    formula: Formula
    losses: Callable[[Formula, Tensor, Tensor, Params], Terms]
    columns: Callable[..., Columns]

    def __call__(self, prediction: Tensor, target: Tensor, params: Params) -> Terms:
        """The losses."""
        return self.losses(self.formula, prediction, target, params)

    def totals(self, prediction: Tensor, target: Tensor, assignments: Sequence[Params]) -> Totals | None:
        """What the losses come to under each assignment."""
        if not isinstance(self.formula, OverlapLoss):
            return None
        return self.formula.totals_over(self.columns, prediction, target, assignments)


def _activation_of(formula: OverlapLoss, prediction: Tensor) -> Tensor:
    return prediction if formula.activation is None else formula.activation(prediction)


def _foreground(formula: Formula, prediction: Tensor, target: Tensor, params: Params) -> Terms:
    """The losses of all channels but the first."""
    if not isinstance(formula, OverlapLoss):
        return formula(prediction, target, params)
    mask = as_mask(target, prediction)
    inner = replace(formula, activation=None, entropy=None)
    terms = inner(_activation_of(formula, prediction)[:, 1:], mask[:, 1:], params)
    return _with_entropy(formula, terms, prediction, mask, params)


@functools.lru_cache(maxsize=64)
def _foreground_columns(
    prediction: Tensor, target: Tensor, activation: Activation | None, over: str, squared: bool
) -> Columns:
    p = prediction if activation is None else activation(prediction)
    return columns_of(p[:, 1:], as_mask(target, prediction)[:, 1:], None, over, squared)


def _background_dropped(formula: Formula) -> Formula:
    return _Altered(formula, _foreground, _foreground_columns)


def _with_entropy(
    formula: OverlapLoss, terms: Terms, prediction: Tensor, mask: Tensor, params: Params
) -> Terms:
    """The losses of scores, with the cross-entropy that a formula adds to their mean."""
    if formula.entropy is None:
        return terms
    whole = params["overlap_weight"] * terms.losses.mean()
    whole = whole + params["entropy_weight"] * formula.entropy(prediction, mask).mean()
    return Terms(whole.reshape(1), torch.ones(1, dtype=whole.dtype))


def _position_losses(formula: Formula, prediction: Tensor, target: Tensor, params: Params) -> Terms:
    """A score of each position: its own overlap, by sums over all of them."""
    if not isinstance(formula, OverlapLoss):
        return formula(prediction, target, params)
    mask = as_mask(target, prediction)
    each = _position_overlap(_activation_of(formula, prediction), mask, params)
    losses = formula.transform(formula.score(each, params), params)
    losses = added_up(losses, params)
    return _with_entropy(formula, Terms(losses, torch.ones_like(losses)), prediction, mask, params)


def _position_overlap(p: Tensor, mask: Tensor, params: Params) -> Overlap:
    sums = overlap(p, mask, params)
    own = GROUPS[params["over"]](p * mask)
    return Overlap(own, sums.predicted.unsqueeze(-1), sums.true.unsqueeze(-1))


@functools.lru_cache(maxsize=64)
def _position_columns(
    prediction: Tensor, target: Tensor, activation: Activation | None, over: str, squared: bool
) -> Columns:
    params = {"over": over, "squared": squared}
    p = prediction if activation is None else activation(prediction)
    each = _position_overlap(p, as_mask(target, prediction), params)
    weights = torch.ones_like(each.shared)
    return Columns.of(each, weights, added_up(weights, params).shape)


def _of_each_position(formula: Formula) -> Formula:
    return _Altered(formula, _position_losses, _position_columns)


def _present_losses(formula: Formula, prediction: Tensor, target: Tensor, params: Params) -> Terms:
    """Classes with an empty mask cost nothing, and are still counted in the mean."""
    terms = formula(prediction, target, params)
    mask = as_mask(target, prediction)
    present = overlap(mask, mask, params).true > 0
    return Terms(terms.losses * present, terms.shares)


@functools.lru_cache(maxsize=64)
def _present_columns(
    prediction: Tensor, target: Tensor, activation: Activation | None, over: str, squared: bool
) -> Columns:
    if over not in {*PIXEL_OVER.guesses, *CLASS_OVER.guesses}:
        raise ValueError("the losses are no longer those of each score")
    mask = as_mask(target, prediction)
    p = prediction if activation is None else activation(prediction)
    sums = overlap(p, mask, {"over": over, "squared": squared}, nothing_of(activation))
    return Columns.of(sums, (sums.true > 0).to(p.dtype), sums.true.shape)


def _absent_left_out(formula: Formula) -> Formula:
    if isinstance(formula, OverlapLoss) and formula.entropy is None:
        return _Altered(formula, _present_losses, _present_columns)
    return functools.partial(_present_losses, formula)


def _thresholded(p: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    return lambda x: (p(x) > 0.5).to(x.dtype)


def _hardest(x: Tensor) -> Tensor:
    return torch.nn.functional.one_hot(x.argmax(1), x.shape[1]).movedim(-1, 1).to(x.dtype)


def _softmax_over(dimension: int) -> Callable[[Formula], Formula]:
    return _activated(lambda x: x.softmax(dimension))


def _twice(formula: Formula) -> Formula:
    if not isinstance(formula, OverlapLoss) or formula.activation is None:
        return formula
    once = formula.activation
    return replace(formula, activation=lambda x: once(once(x)))


_PLAIN_DICE = {
    "dice_loss": "sigmoid",
    "softmax_dice_loss": "softmax",
    "dice_loss_of_probabilities": "none",
    "dice_loss_of_class_probabilities": "none",
}
_ACTIVATIONS: dict[str, Activation] = {"sigmoid": torch.sigmoid, "softmax": softmax, "none": lambda x: x}


_SUMMED = {over.removesuffix("-sum"): over for over in ADDED_UP}
_NOT_SUMMED = (
    "does not sum the overlap: that of each position alone is divided by sums over all of them, and a perfect match "
    "does not cost 0"
)


def _unguarded(prediction: Tensor, target: Tensor, params: Params, _: float) -> Terms:
    """No smoothing at all: 0 / 0 where mask and prediction are empty."""
    mask = as_mask(target, prediction)
    sums = overlap(_ACTIVATIONS[params["activation"]](prediction), mask, params)
    bottom = sums.predicted + sums.true
    if params["score"] == "jaccard":
        losses = 1 - sums.shared / (bottom - sums.shared)
    else:
        losses = 1 - 2 * sums.shared / bottom
    return Terms(losses, torch.ones_like(losses))


def _smoothed_above(prediction: Tensor, target: Tensor, params: Params, _: float) -> Terms:
    """The smoothing in the numerator alone: infinite where the denominator is zero at the dtype at hand."""
    mask = as_mask(target, prediction)
    sums = overlap(_ACTIVATIONS[params["activation"]](prediction), mask, params)
    losses = 1 - _smooth_above_only(sums, params)
    return Terms(losses, torch.ones_like(losses))


def _smoothed_above_mistakes() -> tuple[Mistake, ...]:
    id_, message = (
        "smooth-in-numerator-only",
        "smooths the numerator and not the denominator, which can still be zero",
    )
    codes = ("LF101", "LF301", "LF302")
    plain = tuple(
        Mistake(
            id_,
            (name,),
            message,
            "LA407",
            codes,
            rounded=_smoothed_above,
            parameters=(Parameter("activation", activation, "choice", guesses=(activation,)),),
            applies=_smoothed,
        )
        for name, activation in _PLAIN_DICE.items()
    )
    others = tuple(name for name in ALL_DICE if name not in _PLAIN_DICE)
    return (
        *plain,
        Mistake(id_, others, message, "LA407", codes, wrong=_scored(_smooth_above_only), applies=_smoothed),
    )


def _unguarded_mistake(names: tuple[str, ...], score: str, activation: str) -> Mistake:
    return Mistake(
        "missing-smoothing",
        names,
        "has no smoothing: it is 0 / 0 where mask and prediction are empty",
        "LA407",
        codes=("LF301", "LF302"),
        rounded=_unguarded,
        parameters=(
            Parameter("score", score, "choice", guesses=(score,)),
            Parameter("activation", activation, "choice", guesses=(activation,)),
        ),
        applies=lambda params: not params.get("smooth"),
    )


def _smoothed(params: Params) -> bool:
    return bool(params.get("smooth"))


def _over_present(formula: Formula) -> Formula:
    return Given(formula, lambda params: {**params, "over": PRESENT[params["over"]]})


def _over_summed_classes(formula: Formula) -> Formula:
    return Given(formula, lambda params: {**params, "over": _SUMMED[params["over"]]})


def _is_over(over: str) -> Callable[[Params], bool]:
    return lambda params: bool(params["over"] == over)


def _lopsided(params: Params) -> bool:
    return bool(params["alpha"] != params["beta"])


MISTAKES = (
    Mistake(
        "negative-overlap",
        COMPLEMENTED,
        "is minus the score, not 1 minus the score: a published convention (-1 at the perfect match)",
        wrong=_transformed(lambda score, _: -score),
        convention=True,
    ),
    Mistake(
        "tversky-alpha-on-misses",
        TVERSKY,
        "gives alpha to the false negatives and beta to the false positives: a published convention, the other way "
        "round than in the paper",
        wrong=_swapped,
        convention=True,
        applies=_lopsided,
    ),
    Mistake(
        "focal-tversky-inverse-power",
        FOCAL_TVERSKY,
        "raises to the power 1 / gamma, as the paper does: a published convention",
        wrong=_inverse_gamma,
        convention=True,
    ),
    Mistake(
        "background-dropped",
        CLASSES,
        "leaves out class 0, the background: a published convention",
        wrong=_background_dropped,
        convention=True,
    ),
    Mistake(
        "present-classes-only",
        CLASSES,
        "averages over the classes that are in the mask, of each image or of the batch: a published convention",
        wrong=_over_present,
        convention=True,
        applies=lambda params: params["over"] in PRESENT,
    ),
    Mistake(
        "classes-added-up",
        tuple(name for name in COMPLEMENTED if name in CLASSES),
        "adds up the losses of the classes, and averages the sums: a published convention",
        wrong=_over_summed_classes,
        convention=True,
        applies=lambda params: params["over"] in _SUMMED,
    ),
    Mistake(
        "absent-classes-cost-nothing",
        OVERLAPS,
        "costs nothing for a class with an empty mask, and still counts it in the mean: a published convention",
        wrong=_absent_left_out,
        convention=True,
    ),
    Mistake(
        "dice-without-factor-two",
        ALL_DICE,
        "lacks the factor 2 at the intersection (or, as a Jaccard loss, does not take the intersection off the union): a perfect "
        "match still costs about one half",
        wrong=_scored(_without_two),
    ),
    Mistake(
        "intersection-counted-twice",
        JACCARD,
        "counts the intersection twice in the union: |P| + |Y| without subtracting it",
        wrong=_scored(_without_two),
    ),
    Mistake("overlap-not-summed", DICE, _NOT_SUMMED, wrong=_of_each_position),
    *(
        Mistake(
            "overlap-not-summed",
            CLASS_DICE,
            _NOT_SUMMED,
            wrong=_of_each_position,
            parameters=(Parameter("over", _SUMMED[over], "choice"),),
            applies=_is_over(over),
        )
        for over in _SUMMED
    ),
    Mistake(
        "dice-over-union",
        ALL_DICE,
        "divides twice the intersection by the union, not by |P| + |Y|: below zero for a good match",
        wrong=_scored(_two_over_union),
    ),
    Mistake(
        "intersection-subtracted-twice",
        JACCARD,
        "subtracts the intersection from |P| + |Y| twice: that is what differs, not the union",
        wrong=_scored(_half_intersection),
    ),
    Mistake(
        "missing-complement",
        COMPLEMENTED,
        "is the score itself, not 1 minus it: training makes the match worse",
        "LA202",
        wrong=_transformed(lambda score, _: score),
    ),
    Mistake(
        "smooth-inside-factor-two",
        ALL_DICE,
        "adds the smoothing inside the factor 2: two empty masks score 2, not 1",
        wrong=_scored(_smooth_twice),
        applies=_smoothed,
    ),
    *_smoothed_above_mistakes(),
    Mistake(
        "smooth-outside-quotient",
        ALL_DICE,
        "adds the smoothing to the quotient, not to its denominator",
        wrong=_scored(_smooth_outside),
        applies=_smoothed,
    ),
    Mistake(
        "overlap-of-raw-scores",
        ACTIVATED,
        "sums raw scores as if they were probabilities: the sigmoid or softmax is missing",
        wrong=_activated(None),
    ),
    Mistake(
        "activation-twice",
        ACTIVATED,
        "applies its activation twice",
        "LA105",
        wrong=_twice,
    ),
    Mistake(
        "overlap-of-hard-masks",
        SIGMOID,
        "compares masks that are cut at one half: nothing of it can be differentiated",
        "LA112",
        wrong=_activated(_thresholded(torch.sigmoid)),
    ),
    Mistake(
        "overlap-of-hard-masks",
        SOFTMAX,
        "compares the most likely class of each pixel: nothing of it can be differentiated",
        "LA112",
        wrong=_activated(_hardest),
    ),
    Mistake(
        "sigmoid-for-softmax",
        SOFTMAX,
        "applies a sigmoid to each channel where the classes exclude one another: a published convention",
        wrong=_activated(torch.sigmoid),
        convention=True,
    ),
    Mistake(
        "softmax-over-columns",
        SOFTMAX,
        "takes the softmax over the last dimension, the columns of the image, not over the classes",
        "LA108",
        wrong=_softmax_over(-1),
    ),
    Mistake(
        "softmax-over-batch",
        SOFTMAX,
        "takes the softmax over the batch, not over the classes",
        "LA108",
        wrong=_softmax_over(0),
    ),
    Mistake(
        "tversky-without-hits",
        TVERSKY,
        "leaves the true positives out of the denominator",
        wrong=_scored(_tversky_without_hits),
    ),
    Mistake(
        "power-on-score",
        FOCAL_TVERSKY,
        "raises the score to gamma and not 1 minus the score",
        wrong=_gamma_inside,
    ),
    *(
        _unguarded_mistake(tuple(name for name in OVERLAPS if name == wanted), score, activation)
        for score in ("dice", "jaccard")
        for wanted, activation in (
            (f"{score}_loss", "sigmoid"),
            (f"softmax_{score}_loss", "softmax"),
            (f"{score}_loss_of_probabilities", "none"),
            (f"{score}_loss_of_class_probabilities", "none"),
        )
    ),
)
