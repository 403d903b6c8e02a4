"""Regression inputs: a number for each element, against the number that it should be."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from lossaudit.fuzz.model import Space
from lossaudit.fuzz.spaces import fill

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from lossaudit.fuzz.model import Params, Structure

MAGNITUDES = ("ordinary", "right", "wrong", "equal", "large")
SCALES = (4.0, 16.0, 90.0, 110.0, 1000.0)
HALF_STEP = 1 / 32
"""Predictions lie between the targets' steps: an error is never 0 nor a round number, where slopes may jump."""


def _shape(structure: Structure) -> tuple[int, ...]:
    """[N], [N, D] or [N, D, ...]: ``classes`` is the number of outputs of a sample, 0 for a single one."""
    columns = (structure.classes,) if structure.classes else ()
    return (structure.batch, *columns, *structure.extra)


def _values(structure: Structure, generator: Generator, _: Params) -> tuple[Tensor, Tensor]:
    """Any numbers. ``right`` is off by 1/scale, ``wrong`` by the scale, to either side."""
    shape = _shape(structure)
    target = fill.ordinary(shape, generator)
    if structure.targets == "zeros":
        target = torch.zeros(shape, dtype=torch.float64)
    side = fill.signs(shape, generator)
    by_profile = {
        "right": target + side / structure.scale,
        "wrong": target + side * structure.scale,
        "equal": target.clone(),
        "large": fill.ordinary(shape, generator) * structure.scale,
    }
    ordinary = fill.ordinary(shape, generator) + HALF_STEP
    return by_profile.get(structure.magnitude, ordinary), target


def _amounts(structure: Structure, generator: Generator, _: Params) -> tuple[Tensor, Tensor]:
    """Numbers that are not negative: multiples of 1/16 up to 6."""
    shape = _shape(structure)
    target = fill.ordinary(shape, generator) + 3
    if structure.targets == "zeros":
        target = torch.zeros(shape, dtype=torch.float64)
    by_profile = {
        "right": target + 1 / structure.scale,
        "wrong": target + structure.scale,
        "equal": target.clone(),
        "large": (fill.ordinary(shape, generator) + 3) * structure.scale,
        "zeros": torch.zeros(shape, dtype=torch.float64),
    }
    ordinary = fill.ordinary(shape, generator) + 3 + HALF_STEP
    return by_profile.get(structure.magnitude, ordinary), target


def _counts(structure: Structure, generator: Generator) -> Tensor:
    if structure.targets == "zeros":
        return torch.zeros(_shape(structure), dtype=torch.float64)
    return torch.randint(0, 9, _shape(structure), generator=generator).double()


def _log_rates(structure: Structure, generator: Generator, _: Params) -> tuple[Tensor, Tensor]:
    """Logarithms of rates against counts; ``wrong`` is up to e**scale times the count."""
    target = _counts(structure, generator)
    near = (target + 0.5).log()
    size = min(structure.scale, 80.0)
    by_profile = {
        "right": near,
        "wrong": near + size * fill.signs(near.shape, generator),
        "zeros": torch.zeros_like(near),
    }
    return by_profile.get(structure.magnitude, fill.ordinary(_shape(structure), generator)), target


def _rates(structure: Structure, generator: Generator, _: Params) -> tuple[Tensor, Tensor]:
    """Rates against counts: not negative, and exactly 0 where the profile says so."""
    target = _counts(structure, generator)
    by_profile = {
        "right": target + 1 / structure.scale,
        "wrong": target + structure.scale,
        "zeros": torch.zeros_like(target),
    }
    ordinary = (fill.ordinary(_shape(structure), generator) + 3.25) * 2
    return by_profile.get(structure.magnitude, ordinary), target


def _plain_rows(columns: int) -> tuple[tuple[float, ...], ...]:
    return tuple((number,) * max(columns, 1) for number in (0.0, 1.0, 2.0, 4.0))


SPACES = (
    Space(
        name="values-values",
        prediction="real numbers, any shape",
        target="real numbers, same shape",
        fill=_values,
        magnitudes=MAGNITUDES,
        target_profiles=("random", "zeros"),
        classes=(0, 1, 3),
        extras=((), (2,)),
        scales=SCALES,
        alike=True,
        measured=True,
    ),
    Space(
        name="vectors-vectors",
        prediction="real numbers [N, D]",
        target="real numbers [N, D]",
        fill=_values,
        magnitudes=MAGNITUDES,
        target_profiles=("random", "zeros"),
        classes=(2, 3, 5),
        extras=((), (2,)),
        scales=SCALES,
        alike=True,
        part_of="values-values",
        measured=True,
    ),
    Space(
        name="amounts-amounts",
        prediction="numbers of at least 0, any shape",
        target="numbers of at least 0, same shape",
        fill=_amounts,
        magnitudes=(*MAGNITUDES, "zeros"),
        target_profiles=("random", "zeros"),
        classes=(0, 1, 3),
        extras=((), (2,)),
        free=False,
        plain_rows=_plain_rows,
        scales=SCALES,
        alike=True,
        measured=True,
    ),
    Space(
        name="log_rates-counts",
        prediction="logarithms of rates, any shape",
        target="counts of events, same shape",
        fill=_log_rates,
        magnitudes=("ordinary", "right", "wrong", "zeros"),
        target_profiles=("random", "zeros"),
        classes=(0, 1, 3),
        extras=((), (2,)),
        scales=(4.0, 16.0, 80.0),
    ),
    Space(
        name="rates-counts",
        prediction="rates of at least 0, any shape",
        target="counts of events, same shape",
        fill=_rates,
        magnitudes=("ordinary", "right", "wrong", "zeros"),
        target_profiles=("random", "zeros"),
        classes=(0, 1, 3),
        extras=((), (2,)),
        free=False,
        plain_rows=_plain_rows,
        scales=(4.0, 16.0, 1000.0),
    ),
)
