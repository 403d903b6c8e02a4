"""Mistakes that can be made with any loss."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from lossaudit.fuzz.model import Mistake, Parameter, Terms

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from lossaudit.fuzz.model import Formula, Params

ANY = ("*",)


def _scaled(factor: float) -> Callable[[Formula], Formula]:
    def wrong(formula: Formula) -> Formula:
        def changed(prediction: Tensor, target: Tensor, params: Params) -> Terms:
            terms = formula(prediction, target, params)
            return Terms(terms.losses * factor, terms.shares)

        return changed

    return wrong


def _sum(terms: Terms, _: Tensor) -> Tensor:
    return terms.losses.sum()


def _mean(terms: Terms, _: Tensor) -> Tensor:
    return terms.losses.sum() / terms.shares.sum()


def _averaged_twice(terms: Terms, _: Tensor) -> Tensor:
    return terms.losses.sum() / terms.shares.sum() / terms.losses.shape[0]


def _not_reduced(terms: Terms, _: Tensor) -> Tensor:
    return terms.losses


def _flooded(formula: Formula) -> Formula:
    def changed(prediction: Tensor, target: Tensor, params: Params) -> Terms:
        terms, level = formula(prediction, target, params), params["flood"]
        if not level:
            raise ValueError("a flood of no height leaves everything as it is")
        mean = terms.losses.sum() / terms.shares.sum()
        flooded = (mean - level).abs() + level
        return Terms(flooded.expand_as(terms.losses), torch.ones_like(terms.losses))

    return changed


def _summed_over_the_last(terms: Terms, prediction: Tensor) -> Tensor:
    if terms.losses.shape != prediction.shape:
        raise ValueError("the losses have another last dimension than what they are computed from")
    return terms.losses.sum(-1).mean()


def _largest(terms: Terms, _: Tensor) -> Tensor:
    return torch.max(terms.losses)


MISTAKES = (
    Mistake(
        "missing-minus",
        ANY,
        "is minus the reference: the sign is wrong, and training maximises it",
        wrong=_scaled(-1.0),
    ),
    Mistake(
        "log-base-2",
        ANY,
        "is the reference divided by ln 2: the logarithm has base 2 (bits, not nats)",
        wrong=_scaled(1 / math.log(2)),
        convention=True,
    ),
    Mistake(
        "log-base-10",
        ANY,
        "is the reference divided by ln 10: the logarithm has base 10",
        wrong=_scaled(1 / math.log(10)),
        convention=True,
    ),
    Mistake(
        "flooded",
        ANY,
        "is kept above {flood:g} by flooding, |loss - {flood:g}| + {flood:g} (Ishida et al. 2020, Do we need zero training loss, "
        "equation 3)",
        wrong=_flooded,
        reductions=("mean",),
        joint=True,
        parameters=(Parameter("flood", 0.0, "number", ("flood", "flood_level", "flooding", "b"), high=10.0),),
        convention=True,
    ),
    Mistake(
        "summed-over-the-last-dimension",
        ANY,
        "is summed over the last dimension and averaged over the others",
        reduce=_summed_over_the_last,
        reductions=("mean",),
        convention=True,
    ),
    Mistake(
        "sum-for-mean",
        ANY,
        "is the sum where reduction='mean' is declared",
        codes=("LF103",),
        declared=True,
        reduce=_sum,
        reductions=("mean",),
    ),
    Mistake(
        "mean-for-sum",
        ANY,
        "is the mean where reduction='sum' is declared",
        codes=("LF103",),
        declared=True,
        reduce=_mean,
        reductions=("sum",),
    ),
    Mistake(
        "not-reduced",
        ANY,
        "returns one loss for each sample where a reduction is declared",
        "LA301",
        codes=("LF103",),
        declared=True,
        reduce=_not_reduced,
        reductions=("mean", "sum"),
    ),
    Mistake(
        "averaged-twice",
        ANY,
        "is the mean divided by the batch size once more",
        "LA309",
        reduce=_averaged_twice,
        reductions=("mean",),
    ),
    Mistake(
        "max-for-mean",
        ANY,
        "is the largest loss of the batch, not the mean",
        codes=("LF103",),
        declared=True,
        reduce=_largest,
        reductions=("mean",),
    ),
)
