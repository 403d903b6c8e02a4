"""Cosines of the angles between embeddings and classes, against class indices."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lossaudit.fuzz.model import Space
from lossaudit.fuzz.spaces import fill

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from lossaudit.fuzz.model import Params, Structure

WIDEST = 15 / 16
"""An angle has no slope at a cosine of exactly one: these stay within."""


def _cosines(structure: Structure, generator: Generator, params: Params) -> tuple[Tensor, Tensor]:
    """Cosines [N, C]: ``right`` and ``wrong`` are nearly parallel to a class, ``zeros`` at right angles to all."""
    target = fill.class_indices(structure, generator, params)
    scores = fill.logits(structure, target, generator)
    return (scores / max(1.0, float(scores.abs().max()))) * WIDEST, target


def _within(prediction: Tensor, _: Tensor) -> bool:
    return bool((prediction.abs() <= WIDEST).all())


def _plain_rows(classes: int) -> tuple[tuple[float, ...], ...]:
    return tuple((number,) * classes for number in (0.0, 0.5))


SPACES = (
    Space(
        name="cosines-indices",
        prediction="cosines [N, C]",
        target="class indices [N]",
        fill=_cosines,
        magnitudes=("ordinary", "right", "wrong", "zeros"),
        target_profiles=("random", "all-equal"),
        classes=(2, 3, 5),
        free=False,
        plain_rows=_plain_rows,
        domain=_within,
    ),
)
