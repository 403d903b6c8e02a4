"""Scores against signs: the labels of margin losses, -1 and 1."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from lossaudit.fuzz.model import Space
from lossaudit.fuzz.spaces import fill

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from lossaudit.fuzz.model import Params, Structure


def _scores(structure: Structure, generator: Generator, _: Params) -> tuple[Tensor, Tensor]:
    columns = (structure.classes,) if structure.classes else ()
    shape = (structure.batch, *columns)
    target = fill.signs(shape, generator)
    if structure.targets.startswith("all"):
        target = torch.full_like(target, 1.0 if structure.targets == "all positive" else -1.0)
    ordinary = fill.ordinary(shape, generator)
    by_profile = {
        "right": structure.scale * target,
        "wrong": -structure.scale * target,
        "large": ordinary * structure.scale,
        "zeros": torch.zeros_like(target),
    }
    return by_profile.get(structure.magnitude, ordinary), target


SPACES = (
    Space(
        name="scores-signs",
        prediction="raw scores, [N] or [N, K]",
        target="signs -1 and 1, same shape",
        fill=_scores,
        magnitudes=("ordinary", "right", "wrong", "large", "zeros"),
        target_profiles=("random", "all negative", "all positive"),
        classes=(0, 3),
        scales=(4.0, 12.0, 30.0, 110.0, 1000.0),
        recodes="scores-labels",
    ),
)
