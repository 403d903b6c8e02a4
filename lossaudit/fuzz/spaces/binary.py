"""Binary inputs: one score or one probability for each element, against a label for each element."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from lossaudit.fuzz.model import Space
from lossaudit.fuzz.spaces import fill

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from lossaudit.fuzz.model import Params, Structure

LABEL_PROFILES = ("random", "all zero", "all one", "soft")
ONE_HOT = "one-hot"
"""One label of each row is 1. Asked for where the labels are given as the indices of classes."""


def _shape(structure: Structure) -> tuple[int, ...]:
    """[N], [N, K] or [N, K, ...]: ``classes`` is the number of labels of a sample, 0 for a single one."""
    columns = (structure.classes,) if structure.classes else ()
    return (structure.batch, *columns, *structure.extra)


def _labels(structure: Structure, generator: Generator) -> Tensor:
    shape = _shape(structure)
    if structure.targets == ONE_HOT:
        indices = torch.randint(
            0, structure.classes, (structure.batch, *structure.extra), generator=generator
        )
        return fill.one_hot(indices, structure.classes)
    if structure.targets == "all zero":
        return torch.zeros(shape, dtype=torch.float64)
    if structure.targets == "all one":
        return torch.ones(shape, dtype=torch.float64)
    if structure.targets == "soft":
        return torch.randint(1, 16, shape, generator=generator, dtype=torch.float64).div_(16)
    return torch.randint(0, 2, shape, generator=generator, dtype=torch.float64)


def _scores(structure: Structure, generator: Generator, _: Params) -> tuple[Tensor, Tensor]:
    target = _labels(structure, generator)
    profile = structure.magnitude
    if profile in {"right", "wrong"}:
        size = structure.scale if profile == "right" else -structure.scale
        return torch.full_like(target, -size).masked_fill_(target >= 0.5, size), target
    shape = _shape(structure)
    if profile == "zeros":
        return torch.zeros(shape, dtype=torch.float64), target
    scores = fill.ordinary(shape, generator)
    return scores.mul_(structure.scale) if profile == "large" else scores, target


def _probabilities(structure: Structure, generator: Generator, _: Params) -> tuple[Tensor, Tensor]:
    target = _labels(structure, generator)
    hard = (target >= 0.5).double()
    profile = structure.magnitude
    if profile in {"right", "wrong", "exactly right", "exactly wrong"}:
        favoured = hard if "right" in profile else 1 - hard
        share = 0.0 if "exactly" in profile else 2.0 ** -min(structure.scale, 20.0)
        return favoured * (1 - 2 * share) + share, target
    return (fill.ordinary(_shape(structure), generator) + 3.25) / 6.5, target


SPACES = (
    Space(
        name="scores-labels",
        prediction="raw scores, any shape",
        target="labels between 0 and 1, same shape",
        fill=_scores,
        magnitudes=("ordinary", "right", "wrong", "large", "zeros"),
        target_profiles=LABEL_PROFILES,
        classes=(0, 2, 3),
        extras=((), (2,)),
        scales=(4.0, 12.0, 18.0, 30.0, 90.0, 110.0, 1000.0, 10000.0),
    ),
    Space(
        name="probabilities-labels",
        prediction="probabilities of each element, any shape",
        target="labels between 0 and 1, same shape",
        fill=_probabilities,
        magnitudes=("ordinary", "right", "wrong", "exactly right", "exactly wrong"),
        target_profiles=LABEL_PROFILES,
        classes=(0, 2, 3),
        extras=((), (2,)),
        free=False,
        plain_rows=lambda columns: tuple((p,) * max(columns, 1) for p in (0.5, 0.25, 0.75, 0.0, 1.0)),
        scales=(4.0, 10.0, 20.0),
    ),
)
