"""Segmentation: maps of scores or probabilities against masks, with empty, full and half-covered images."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from lossaudit.fuzz.model import Space
from lossaudit.fuzz.spaces import fill

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from lossaudit.fuzz.model import Params, Structure

PIXELS = (2, 3)
"""Height and width where a structure names none: few, and no two dimensions of one size."""
EXTRAS: tuple[tuple[int, ...], ...] = ((), (4, 2))
MASK_PROFILES = ("random", "empty", "full", "some empty")
CLASS_MASK_PROFILES = ("random", "all-equal", "some-ignored", "all-ignored")
SCALES = (4.0, 12.0, 30.0, 110.0, 1000.0)
SHARES = (4.0, 10.0, 20.0)


def _shape(structure: Structure) -> tuple[int, ...]:
    """[N, H, W], or [N, K, H, W] where there are channels."""
    channels = (structure.classes,) if structure.classes else ()
    return (structure.batch, *channels, *(structure.extra or PIXELS))


def _ordinary(shape: tuple[int, ...], generator: Generator) -> Tensor:
    """Numbers between -3 and 3, on a finer grid than elsewhere: maps hold many, and ties hide gradients."""
    return torch.randint(-384, 384, shape, generator=generator).double() / 128 + 1 / 256


def _mask(structure: Structure, generator: Generator) -> Tensor:
    shape = _shape(structure)
    mask = torch.randint(0, 2, shape, generator=generator).double()
    if structure.targets == "empty":
        return torch.zeros_like(mask)
    if structure.targets == "full":
        return torch.ones_like(mask)
    if structure.targets == "some empty":
        mask[::2] = 0
    return mask


def _scores(structure: Structure, generator: Generator, _: Params) -> tuple[Tensor, Tensor]:
    mask = _mask(structure, generator)
    ordinary = _ordinary(_shape(structure), generator)
    by_profile = {
        "right": structure.scale * (2 * mask - 1),
        "wrong": structure.scale * (1 - 2 * mask),
        "large": ordinary * structure.scale,
        "zeros": torch.zeros_like(mask),
    }
    return by_profile.get(structure.magnitude, ordinary), mask


def _probabilities(structure: Structure, generator: Generator, _: Params) -> tuple[Tensor, Tensor]:
    mask = _mask(structure, generator)
    profile = structure.magnitude
    if profile in {"right", "wrong", "exactly right", "exactly wrong"}:
        favoured = mask if "right" in profile else 1 - mask
        share = 0.0 if "exactly" in profile else 2.0 ** -min(structure.scale, 20.0)
        return favoured * (1 - 2 * share) + share, mask
    return (_ordinary(_shape(structure), generator) + 3.25) / 6.5, mask


def _as_map(structure: Structure) -> Structure:
    """The structure with its pixels named, so that the class fillers know them."""
    return replace(structure, extra=structure.extra or PIXELS)


def _logits_indices(structure: Structure, generator: Generator, params: Params) -> tuple[Tensor, Tensor]:
    structure = _as_map(structure)
    target = fill.class_indices(structure, generator, params)
    if structure.magnitude == "ordinary":
        return _ordinary(_shape(structure), generator), target
    return fill.logits(structure, target, generator), target


def _probabilities_indices(
    structure: Structure, generator: Generator, params: Params
) -> tuple[Tensor, Tensor]:
    structure = _as_map(structure)
    target = fill.class_indices(structure, generator, params)
    if structure.magnitude == "ordinary":
        return _ordinary(_shape(structure), generator).softmax(1), target
    return fill.distribution(structure, target, generator), target


def _logits_rows(structure: Structure, generator: Generator, _: Params) -> tuple[Tensor, Tensor]:
    prediction, target = _logits_indices(structure, generator, {})
    return prediction, fill.one_hot(target, structure.classes)


def _probabilities_rows(structure: Structure, generator: Generator, _: Params) -> tuple[Tensor, Tensor]:
    prediction, target = _probabilities_indices(structure, generator, {})
    return prediction, fill.one_hot(target, structure.classes)


def _plain(columns: int) -> tuple[tuple[float, ...], ...]:
    return tuple((p,) * max(columns, 1) for p in (0.5, 0.25, 0.75, 0.0, 1.0))


SPACES = (
    *(
        Space(
            name=f"scores-{name}",
            prediction=f"raw scores {shape}",
            target=f"masks of labels 0 and 1 {shape}",
            fill=_scores,
            magnitudes=("ordinary", "right", "wrong", "large", "zeros"),
            target_profiles=MASK_PROFILES,
            classes=classes,
            extras=EXTRAS,
            maps=True,
            scales=SCALES,
        )
        for name, shape, classes in (("masks", "[N, H, W]", (0,)), ("channel_masks", "[N, K, H, W]", (1, 3)))
    ),
    *(
        Space(
            name=f"probabilities-{name}",
            prediction=f"probabilities of each pixel {shape}",
            target=f"masks of labels 0 and 1 {shape}",
            fill=_probabilities,
            magnitudes=("ordinary", "right", "wrong", "exactly right", "exactly wrong"),
            target_profiles=MASK_PROFILES,
            classes=classes,
            extras=EXTRAS,
            maps=True,
            free=False,
            plain_rows=_plain,
            scales=SHARES,
        )
        for name, shape, classes in (("masks", "[N, H, W]", (0,)), ("channel_masks", "[N, K, H, W]", (1, 3)))
    ),
    Space(
        name="logits-mask-indices",
        prediction="logits [N, C, H, W]",
        target="masks of class indices [N, H, W]",
        fill=_logits_indices,
        magnitudes=("ordinary", "right", "wrong", "large", "zeros"),
        target_profiles=CLASS_MASK_PROFILES,
        classes=(3, 2, 4),
        extras=EXTRAS,
        maps=True,
        scales=SCALES,
    ),
    Space(
        name="logits-mask-rows",
        prediction="logits [N, C, H, W]",
        target="one-hot class masks [N, C, H, W]",
        fill=_logits_rows,
        magnitudes=("ordinary", "right", "wrong", "large", "zeros"),
        target_profiles=("random", "all-equal"),
        classes=(3, 2, 4),
        extras=EXTRAS,
        maps=True,
        scales=SCALES,
    ),
    Space(
        name="probabilities-mask-indices",
        prediction="probabilities over the classes [N, C, H, W]",
        target="masks of class indices [N, H, W]",
        fill=_probabilities_indices,
        normal=fill.OF_PROBABILITIES,
        magnitudes=("ordinary", "right", "wrong", "uniform", "exactly right", "exactly wrong"),
        target_profiles=CLASS_MASK_PROFILES,
        classes=(3, 2, 4),
        extras=EXTRAS,
        maps=True,
        free=False,
        scales=SHARES,
    ),
    Space(
        name="probabilities-mask-rows",
        prediction="probabilities over the classes [N, C, H, W]",
        target="one-hot class masks [N, C, H, W]",
        fill=_probabilities_rows,
        normal=fill.OF_PROBABILITIES,
        magnitudes=("ordinary", "right", "wrong", "uniform", "exactly right", "exactly wrong"),
        target_profiles=("random", "all-equal"),
        classes=(3, 2, 4),
        extras=EXTRAS,
        maps=True,
        free=False,
        scales=SHARES,
    ),
)
