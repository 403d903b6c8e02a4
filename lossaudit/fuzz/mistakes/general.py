"""Mistakes that can be made with any loss."""

from __future__ import annotations

import math
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from lossaudit.fuzz.model import Mistake, Parameter, Terms, Totals

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

    from lossaudit.fuzz.model import Formula, Glance, Params

ANY = ("*",)
NEVER = sys.float_info.max
"""A number that no loss has."""


def _scaled(factor: float) -> Callable[[Formula], Formula]:
    def wrong(formula: Formula) -> Formula:
        def changed(prediction: Tensor, target: Tensor, params: Params) -> Terms:
            terms = formula(prediction, target, params)
            return Terms(terms.losses * factor, terms.shares)

        return changed

    return wrong


def _scaled_totals(factor: float) -> Glance:
    return lambda totals, _, __: replace(totals, sums=totals.sums * factor)


def _sum(terms: Terms, _: Tensor) -> Tensor:
    return terms.losses.sum()


def _mean(terms: Terms, _: Tensor) -> Tensor:
    return terms.losses.sum() / terms.shares.sum()


def _averaged_twice(terms: Terms, _: Tensor) -> Tensor:
    return terms.losses.sum() / terms.shares.sum() / terms.losses.shape[0]


def _averaged_twice_totals(totals: Totals, _: Tensor, __: Sequence[Params]) -> Totals:
    mean = totals.sums / totals.shares / totals.rows
    return Totals.of_numbers(mean)


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


def _flooded_totals(totals: Totals, _: Tensor, assignments: Sequence[Params]) -> Totals:
    level = np.array([params["flood"] for params in assignments], dtype=float)
    flooded = np.abs(totals.sums / totals.shares - level) + level
    return replace(totals, sums=flooded * totals.counts, shares=totals.counts)


def _summed_over_the_last(terms: Terms, prediction: Tensor) -> Tensor:
    if terms.losses.shape != prediction.shape:
        raise ValueError("the losses have another last dimension than what they are computed from")
    return terms.losses.sum(-1).mean()


def _summed_over_the_last_totals(totals: Totals, prediction: Tensor, _: Sequence[Params]) -> Totals:
    numel = max(1, prediction.numel())
    sums = totals.sums * (prediction.shape[-1] if prediction.ndim else 1) / numel
    return Totals.of_numbers(np.where(totals.counts == numel, sums, NEVER))


def _largest(terms: Terms, _: Tensor) -> Tensor:
    return torch.max(terms.losses)


MISTAKES = (
    Mistake(
        "missing-minus",
        ANY,
        "is minus the reference: the sign is wrong, and training maximises it",
        wrong=_scaled(-1.0),
        glance=_scaled_totals(-1.0),
    ),
    Mistake(
        "log-base-2",
        ANY,
        "is the reference divided by ln 2: the logarithm has base 2 (bits, not nats)",
        wrong=_scaled(1 / math.log(2)),
        glance=_scaled_totals(1 / math.log(2)),
        convention=True,
    ),
    Mistake(
        "log-base-10",
        ANY,
        "is the reference divided by ln 10: the logarithm has base 10",
        wrong=_scaled(1 / math.log(10)),
        glance=_scaled_totals(1 / math.log(10)),
        convention=True,
    ),
    Mistake(
        "flooded",
        ANY,
        "is kept above {flood:g} by flooding, |loss - {flood:g}| + {flood:g} (Ishida et al. 2020, Do we need zero training loss, "
        "equation 3)",
        wrong=_flooded,
        glance=_flooded_totals,
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
        glance=_summed_over_the_last_totals,
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
        glance=_averaged_twice_totals,
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
