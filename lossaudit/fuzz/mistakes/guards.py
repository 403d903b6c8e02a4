"""Small numbers that keep a division or a logarithm finite: added on purpose, and seen in float64 or far out.

A reference that has such a number among its published parameters (a smoothed Dice) holds it itself. Here are those that authors add
to what has none: below the mean, inside the logarithms of a divergence, to a variance, to a length, to a sum of exponentials.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from lossaudit.fuzz.model import Mistake, Parameter, Terms
from lossaudit.fuzz.references.contrastive import (
    both_views,
    class_pairs,
    directions,
    labelled_rows,
    without_self,
)
from lossaudit.fuzz.references.divergence import exact_log, kl_of_probabilities, times_log
from lossaudit.fuzz.references.embeddings import unit_terms
from lossaudit.fuzz.references.likelihood import gaussian

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from lossaudit.fuzz.model import Formula, Params

    Guarded = Callable[[Formula, Tensor, Tensor, Params, float], Terms]

GUARD = Parameter("guard", 0.0, "number", ("eps", "epsilon", "guard", "tiny"), high=1e-3)
WHERE = Parameter(
    "guarded", "both logarithms", "choice", guesses=("prediction", "quotient", "distributions", "bounds")
)
PLACE = Parameter("guarded", "sum", "choice", guesses=("lengths", "lengths and sum", "share"))


def _with_guard(loss: Guarded) -> Callable[[Formula], Formula]:
    """The formula with the guard where ``loss`` puts it."""

    def wrong(formula: Formula) -> Formula:
        def changed(prediction: Tensor, target: Tensor, params: Params) -> Terms:
            guard = params["guard"]
            if not guard:
                raise ValueError("without a guard it is the reference itself")
            return loss(formula, prediction, target, params, guard)

        return changed

    return wrong


def _divided(losses: Tensor, count: Tensor, guard: float = 0.0) -> Terms:
    """Losses whose mean is their sum by a number that all of them share, and a guard."""
    divisor = count.to(losses.dtype) + guard
    return Terms(losses, (divisor / losses.numel()).expand_as(losses))


def over_a_number(
    id_: str, references: tuple[str, ...], message: str, number: Callable[[Tensor, Tensor], Tensor]
) -> tuple[Mistake, Mistake]:
    """The convention to divide the sum by a number of the losses and the target, with a guard added to it or 1 at least."""

    def guarded(formula: Formula, prediction: Tensor, target: Tensor, params: Params, guard: float) -> Terms:
        losses = formula(prediction, target, params).losses
        return _divided(losses, number(losses, target), guard)

    def at_least_one(formula: Formula) -> Formula:
        def changed(prediction: Tensor, target: Tensor, params: Params) -> Terms:
            losses = formula(prediction, target, params).losses
            return _divided(losses, number(losses, target).clamp(min=1))

        return changed

    plain = Mistake(
        id_,
        references,
        message,
        wrong=at_least_one,
        reductions=("mean",),
        convention=True,
        joint=True,
    )
    words = f"{message}, {{guard:g}} added to their number"
    with_it = replace(plain, message=words, wrong=_with_guard(guarded), parameters=(GUARD,), coarse=True)
    return with_it, plain


def _mean(formula: Formula, prediction: Tensor, target: Tensor, params: Params, guard: float) -> Terms:
    terms = formula(prediction, target, params)
    return _divided(terms.losses, terms.shares.sum(), guard)


def _guarded_kl(prediction: Tensor, target: Tensor, params: Params) -> Tensor:
    """The terms of KL(target || prediction), the guard in one or both logarithms or in that of the quotient."""
    guard, where = params["guard"], params["guarded"]
    if where == "quotient":
        return times_log(target, (target / prediction + guard).log())
    own = (target + guard).log() if where == "both logarithms" else exact_log(target)
    return times_log(target, own - (prediction + guard).log())


def _divergence(
    loss: Callable[[Callable[..., Tensor], Tensor, Tensor, Params], Tensor],
) -> Callable[[Formula], Formula]:
    """A divergence made of Kullback-Leibler's, with a guard."""

    def guarded(_: Formula, prediction: Tensor, target: Tensor, params: Params, guard: float) -> Terms:
        kl: Callable[..., Tensor] = _guarded_kl
        if params["guarded"] in {"distributions", "bounds"}:
            kl = _plain_kl
            added = params["guarded"] == "distributions"
            prediction, target = (
                side + guard if added else side.clamp(min=guard) for side in (prediction, target)
            )
        return unit_terms(loss(kl, prediction, target, params))

    return _with_guard(guarded)


def _plain_kl(prediction: Tensor, target: Tensor, params: Params) -> Tensor:
    return kl_of_probabilities(prediction, target, params).losses


def _to_the_middle(kl: Callable[..., Tensor], prediction: Tensor, target: Tensor, params: Params) -> Tensor:
    """Jensen and Shannon's divergence of Kullback and Leibler's."""
    middle = (prediction + target) / 2
    return (kl(middle, target, params) + kl(middle, prediction, params)) / 2


def _variance(_: Formula, prediction: Tensor, target: Tensor, params: Params, guard: float) -> Terms:
    mean, variance = prediction.unbind(1)
    variance = variance + guard
    return gaussian(mean - target, variance.log(), variance, params)


def _exponential(_: Formula, prediction: Tensor, target: Tensor, params: Params, guard: float) -> Terms:
    mean, log_variance = prediction.unbind(1)
    return gaussian(mean - target, log_variance, log_variance.exp() + guard, params)


def _product(_: Formula, prediction: Tensor, target: Tensor, params: Params, guard: float) -> Terms:
    first, second = prediction.unbind(1)
    lengths = torch.linalg.vector_norm(prediction, dim=-1).prod(1)
    alike = (first * second).sum(-1) / (lengths + guard)
    return unit_terms(torch.where(target > 0, 1 - alike, (alike - params["margin"]).clamp(min=0)))


def _positives(formula: Formula, prediction: Tensor, target: Tensor, params: Params, guard: float) -> Terms:
    terms = formula(prediction, target, params)
    _, labels = labelled_rows(prediction, target, params)
    count = class_pairs(labels).sum(1)
    return Terms(terms.losses * count / (count + guard), terms.shares)


def _similarities(
    sums: Callable[[Tensor, Tensor, Params], Tensor],
) -> Callable[[Formula], Formula]:
    """A softmax over similarities, the guard at the lengths, the sum of exponentials or the share; ``sums`` gives the log of the sum."""

    def guarded(formula: Formula, prediction: Tensor, target: Tensor, params: Params, guard: float) -> Terms:
        where = params["guarded"]
        if where.startswith("lengths"):
            params = {**params, "length_guard": guard}
        terms = formula(prediction, target, params)
        losses = terms.losses
        if where == "share":
            losses = -((-losses).exp() + guard).log()
        elif where.endswith("sum"):
            losses = losses + torch.log1p(guard * (-sums(prediction, target, params)).exp())
        return Terms(losses, terms.shares)

    return _with_guard(guarded)


def _over_pairs(prediction: Tensor, _: Tensor, params: Params) -> Tensor:
    first, second = directions(prediction, params).unbind(1)
    logits: Tensor = first @ second.T / params["temperature"]
    return logits.logsumexp(1)


def _over_views(prediction: Tensor, _: Tensor, params: Params) -> Tensor:
    rows = both_views(directions(prediction, params))
    return without_self(rows @ rows.T / params["temperature"]).logsumexp(1)


def _over_classes(prediction: Tensor, target: Tensor, params: Params) -> Tensor:
    rows, _ = labelled_rows(prediction, target, params)
    return without_self(rows @ rows.T / params["temperature"]).logsumexp(1)


def _guard(
    references: tuple[str, ...],
    message: str,
    wrong: Callable[[Formula], Formula],
    *more: Parameter,
    coarse: bool = False,
) -> Mistake:
    return Mistake(
        "guarded",
        references,
        f"{message}, which keeps it finite",
        wrong=wrong,
        parameters=(GUARD, *more),
        convention=True,
        slight=True,
        coarse=coarse,
        joint=coarse,
    )


def _rounded_off(formula: Formula, prediction: Tensor, target: Tensor, params: Params, guard: float) -> Terms:
    """The root of the squared error and the guard, whose slope is 0 where there is no error."""
    terms = formula(prediction, target, params)
    return Terms((terms.losses.square() + guard).sqrt(), terms.shares)


_SUM = "adds {guard:g} to the lengths, the sum or the share of its softmax"
MISTAKES = (
    _guard(
        ("kl_div_of_probabilities",),
        "adds {guard:g} to its probabilities, or bounds them by it",
        _divergence(lambda kl, prediction, target, params: kl(prediction, target, params)),
        WHERE,
    ),
    _guard(
        ("js_divergence",),
        "adds {guard:g} to its probabilities, or bounds them by it",
        _divergence(_to_the_middle),
        WHERE,
    ),
    _guard(
        ("l1_loss",),
        "is the root of the squared error plus {guard:g}: an absolute error with a slope where it is 0",
        _with_guard(_rounded_off),
    ),
    _guard(("gaussian_nll",), "adds {guard:g} to the variance", _with_guard(_variance)),
    _guard(
        ("gaussian_nll_of_log_variance",),
        "adds {guard:g} to the variance that it divides by",
        _with_guard(_exponential),
    ),
    _guard(("cosine_embedding",), "adds {guard:g} to the lengths that it divides by", _with_guard(_product)),
    _guard(("info_nce",), _SUM, _similarities(_over_pairs), PLACE),
    _guard(("nt_xent",), _SUM, _similarities(_over_views), PLACE),
    _guard(("supervised_contrastive",), _SUM, _similarities(_over_classes), PLACE),
    _guard(
        ("supervised_contrastive",),
        "adds {guard:g} to the number of positives that it divides by",
        _with_guard(_positives),
    ),
    _guard(
        ("*",),
        "adds {guard:g} to the number that the mean is divided by",
        _with_guard(_mean),
        coarse=True,
    ),
)
