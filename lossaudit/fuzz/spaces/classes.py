"""Multi-class inputs: scores or distributions over the classes, against indices or rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lossaudit.fuzz.model import Space
from lossaudit.fuzz.spaces import fill

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from lossaudit.fuzz.model import Params, Structure

EXTRAS: tuple[tuple[int, ...], ...] = ((), (2,), (2, 3))
CLASSES = (2, 3, 5)
LOGIT_SCALES = (4.0, 16.0, 40.0, 90.0, 110.0, 1000.0, 10000.0)
INDEX_PROFILES = ("random", "all-equal", "some-ignored", "all-ignored")
ROW_PROFILES = ("one-hot", "soft")
LOGIT_PROFILES = ("ordinary", "right", "wrong", "large", "zeros", "ties")
PROBABILITY_PROFILES = ("ordinary", "right", "wrong", "uniform", "exactly right", "exactly wrong")


def _plain_rows(classes: int) -> tuple[tuple[float, ...], ...]:
    """Distributions that a person can read."""
    uniform = (1 / classes,) * classes
    leaning = [(0.5, *(0.5 / (classes - 1),) * (classes - 1))]
    corners = [tuple(float(k == c) for k in range(classes)) for c in range(classes)]
    quarters = [(0.25, 0.75), (0.75, 0.25)] if classes == 2 else []
    return (uniform, *leaning, *quarters, *corners)


def _logits_indices(structure: Structure, generator: Generator, params: Params) -> tuple[Tensor, Tensor]:
    target = fill.class_indices(structure, generator, params)
    return fill.logits(structure, target, generator), target


def _logits_rows(structure: Structure, generator: Generator, _: Params) -> tuple[Tensor, Tensor]:
    rows, indices = fill.soft_rows(structure, generator)
    return fill.logits(structure, indices, generator), rows


def _probabilities_indices(
    structure: Structure, generator: Generator, params: Params
) -> tuple[Tensor, Tensor]:
    target = fill.class_indices(structure, generator, params)
    return fill.distribution(structure, target, generator), target


def _probabilities_rows(structure: Structure, generator: Generator, _: Params) -> tuple[Tensor, Tensor]:
    rows, indices = fill.soft_rows(structure, generator)
    return fill.distribution(structure, indices, generator), rows


def _log_probabilities_indices(
    structure: Structure, generator: Generator, params: Params
) -> tuple[Tensor, Tensor]:
    logits, target = _logits_indices(structure, generator, params)
    return logits.log_softmax(1), target


SPACES = (
    Space(
        name="logits-indices",
        prediction="logits [N, C, ...]",
        target="class indices [N, ...]",
        fill=_logits_indices,
        magnitudes=LOGIT_PROFILES,
        target_profiles=INDEX_PROFILES,
        classes=CLASSES,
        extras=EXTRAS,
        scales=LOGIT_SCALES,
    ),
    Space(
        name="logits-rows",
        prediction="logits [N, C, ...]",
        target="class probabilities [N, C, ...]",
        fill=_logits_rows,
        magnitudes=LOGIT_PROFILES,
        target_profiles=ROW_PROFILES,
        classes=CLASSES,
        extras=EXTRAS,
        scales=LOGIT_SCALES,
    ),
    Space(
        name="probabilities-indices",
        prediction="probabilities over the classes [N, C, ...]",
        target="class indices [N, ...]",
        fill=_probabilities_indices,
        normal=fill.OF_PROBABILITIES,
        magnitudes=PROBABILITY_PROFILES,
        target_profiles=INDEX_PROFILES,
        classes=CLASSES,
        extras=EXTRAS,
        free=False,
        plain_rows=_plain_rows,
        scales=(4.0, 10.0, 20.0),
    ),
    Space(
        name="probabilities-rows",
        prediction="probabilities over the classes [N, C, ...]",
        target="class probabilities [N, C, ...]",
        fill=_probabilities_rows,
        normal=fill.OF_PROBABILITIES,
        magnitudes=PROBABILITY_PROFILES,
        target_profiles=ROW_PROFILES,
        classes=CLASSES,
        extras=EXTRAS,
        free=False,
        plain_rows=_plain_rows,
        scales=(4.0, 10.0, 20.0),
    ),
    Space(
        name="log_probabilities-indices",
        prediction="log-probabilities [N, C, ...]",
        target="class indices [N, ...]",
        fill=_log_probabilities_indices,
        normal=fill.OF_LOGARITHMS,
        magnitudes=("ordinary", "right", "wrong"),
        target_profiles=INDEX_PROFILES,
        classes=CLASSES,
        extras=EXTRAS,
        free=False,
        scales=(4.0, 16.0),
        raw="logits-indices",
    ),
)
