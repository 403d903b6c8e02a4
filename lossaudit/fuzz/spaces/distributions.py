"""Pairs of distributions over the classes, as probabilities, as their logarithms, or as logits of two models."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from lossaudit.fuzz.model import Space
from lossaudit.fuzz.spaces import fill
from lossaudit.fuzz.spaces.classes import CLASSES, EXTRAS

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from lossaudit.fuzz.model import Params, Structure

PROFILES = ("ordinary", "right", "wrong", "zeros")
TARGETS = ("soft", "one-hot")
INTERIOR = 1 / 32


def _shape(structure: Structure) -> tuple[int, ...]:
    return (structure.batch, structure.classes, *structure.extra)


def _interior(structure: Structure, generator: Generator) -> Tensor:
    """A distribution none of whose entries is 0."""
    return torch.softmax(fill.ordinary(_shape(structure), generator) / 2, 1)


def _rows(structure: Structure, generator: Generator) -> Tensor:
    """Target rows: all entries positive where soft, one of them 1 where not."""
    if structure.targets == "soft":
        return _interior(structure, generator)
    return fill.soft_rows(structure, generator)[0]


def _near(structure: Structure, rows: Tensor, generator: Generator) -> Tensor:
    """A distribution by profile that is nowhere 0, so that the divergence from any other is finite."""
    mixed = rows * (1 - INTERIOR) + INTERIOR / structure.classes
    if structure.magnitude == "right":
        return rows if structure.targets == "soft" else mixed
    if structure.magnitude == "wrong":
        turned = mixed.roll(1, 1)
        power = min(structure.scale, 8.0) / 2
        return turned**power / (turned**power).sum(1, keepdim=True)
    if structure.magnitude == "zeros":
        return torch.full_like(rows, 1 / structure.classes)
    return _interior(structure, generator)


def _log_and_rows(structure: Structure, generator: Generator, _: Params) -> tuple[Tensor, Tensor]:
    rows = _rows(structure, generator)
    return _near(structure, rows, generator).log(), rows


def _log_and_log(structure: Structure, generator: Generator, _: Params) -> tuple[Tensor, Tensor]:
    rows = _interior(structure, generator)
    return _near(structure, rows, generator).log(), rows.log()


def _probabilities(structure: Structure, generator: Generator, _: Params) -> tuple[Tensor, Tensor]:
    rows = _rows(structure, generator)
    if structure.magnitude == "equal" and structure.targets == "soft":
        return rows.clone(), rows
    return _near(structure, rows, generator), rows


def _logits(structure: Structure, generator: Generator, shape: tuple[int, ...], wanted: Tensor) -> Tensor:
    """Logits by profile around those that are wanted."""
    by_profile = {
        "right": wanted,
        "wrong": wanted * (-structure.scale / 4),
        "large": fill.ordinary(shape, generator) * structure.scale,
        "zeros": torch.zeros(shape, dtype=torch.float64),
    }
    return by_profile.get(structure.magnitude, fill.ordinary(shape, generator))


def _logits_and_rows(structure: Structure, generator: Generator, _: Params) -> tuple[Tensor, Tensor]:
    rows = _rows(structure, generator)
    wanted = (rows * (1 - INTERIOR) + INTERIOR / structure.classes).log()
    return _logits(structure, generator, _shape(structure), wanted), rows


def _two_logits(structure: Structure, generator: Generator, _: Params) -> tuple[Tensor, Tensor]:
    """Logits of a student and of its teacher."""
    teacher = fill.ordinary(_shape(structure), generator)
    if structure.targets == "confident":
        teacher = teacher * structure.scale
    return _logits(structure, generator, _shape(structure), teacher), teacher


LOGIT_SCALES = (4.0, 16.0, 40.0, 110.0, 1000.0)
SPACES = (
    Space(
        name="log_probabilities-distributions",
        prediction="log-probabilities [N, C, ...]",
        target="class distributions [N, C, ...]",
        fill=_log_and_rows,
        normal=fill.OF_LOGARITHMS,
        magnitudes=PROFILES,
        target_profiles=TARGETS,
        classes=CLASSES,
        extras=EXTRAS,
        free=False,
        scales=(4.0, 8.0),
        raw="logits-distributions",
    ),
    Space(
        name="log_probabilities-log_distributions",
        prediction="log-probabilities [N, C, ...]",
        target="logarithms of class distributions [N, C, ...]",
        fill=_log_and_log,
        normal=fill.OF_LOGARITHMS,
        magnitudes=PROFILES,
        target_profiles=("soft",),
        classes=CLASSES,
        extras=EXTRAS,
        free=False,
        scales=(4.0, 8.0),
    ),
    Space(
        name="distributions-distributions",
        prediction="probabilities over the classes [N, C, ...]",
        target="class distributions [N, C, ...]",
        fill=_probabilities,
        normal=fill.OF_PROBABILITIES,
        magnitudes=(*PROFILES, "equal"),
        target_profiles=TARGETS,
        classes=CLASSES,
        extras=EXTRAS,
        free=False,
        scales=(4.0, 8.0),
        alike=True,
    ),
    Space(
        name="logits-distributions",
        prediction="logits [N, C, ...]",
        target="class distributions [N, C, ...]",
        fill=_logits_and_rows,
        magnitudes=(*PROFILES, "large"),
        target_profiles=TARGETS,
        classes=CLASSES,
        extras=EXTRAS,
        scales=LOGIT_SCALES,
    ),
    Space(
        name="logits-logits",
        prediction="logits [N, C, ...]",
        target="logits of another model over the classes [N, C, ...]",
        fill=_two_logits,
        magnitudes=(*PROFILES, "large"),
        target_profiles=("random", "confident"),
        classes=CLASSES,
        extras=EXTRAS,
        scales=LOGIT_SCALES,
        alike=True,
        measured=True,
    ),
)
