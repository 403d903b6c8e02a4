"""Several quantiles of one number: [N, Q] against [N]."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lossaudit.fuzz.model import Space
from lossaudit.fuzz.spaces import fill
from lossaudit.fuzz.spaces.values import HALF_STEP, MAGNITUDES, SCALES

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from lossaudit.fuzz.model import Params, Structure


def _quantiles(structure: Structure, generator: Generator, _: Params) -> tuple[Tensor, Tensor]:
    """Any numbers, in no order: [N, Q, ...] and [N, ...]. ``right`` is off by 1/scale, ``wrong`` by the scale, to either side."""
    target = fill.ordinary((structure.batch, *structure.extra), generator)
    shape = (structure.batch, structure.classes, *structure.extra)
    side = fill.signs(shape, generator)
    near = target.unsqueeze(1).expand(shape)
    by_profile = {
        "right": near + side / structure.scale,
        "wrong": near + side * structure.scale,
        "equal": near.clone(),
        "large": fill.ordinary(shape, generator) * structure.scale,
    }
    return by_profile.get(structure.magnitude, fill.ordinary(shape, generator) + HALF_STEP), target


SPACES = (
    Space(
        name="quantiles-values",
        prediction="quantiles [N, Q], ...",
        target="real numbers [N], ...",
        fill=_quantiles,
        magnitudes=MAGNITUDES,
        target_profiles=("random",),
        classes=(3, 5),
        extras=((), (2,)),
        scales=SCALES,
        broadcasts=True,
        measured=True,
    ),
)
