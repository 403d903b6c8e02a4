"""Numbers for the spaces: all are multiples of 1/16 where the profile allows it, so that every dtype holds them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from lossaudit.fuzz.model import Params, Structure

OF_PROBABILITIES = torch.ones_like
"""The direction that leads out of rows of probabilities: their sum changes along it."""
OF_LOGARITHMS = torch.exp
"""The same of their logarithms."""
IGNORED_PROFILES = ("some-ignored", "all-ignored")


def ordinary(shape: tuple[int, ...], generator: Generator) -> Tensor:
    """Numbers between -3 and 3, never 0: odd multiples of 1/16, so that no kink at zero is met by accident."""
    steps = torch.randint(-24, 24, shape, generator=generator, dtype=torch.float64)
    return steps.div_(8).add_(1 / 16)


def signs(shape: tuple[int, ...], generator: Generator) -> Tensor:
    """-1 and 1 at random."""
    return torch.randint(0, 2, shape, generator=generator, dtype=torch.float64).mul_(2).sub_(1)


def one_hot(indices: Tensor, classes: int) -> Tensor:
    """One-hot rows with the classes at dimension 1; an index outside the classes counts as class 0."""
    return torch.nn.functional.one_hot(_inside(indices, classes), classes).movedim(-1, 1).double()


def _inside(indices: Tensor, classes: int) -> Tensor:
    """Indices of classes; one outside of these is 0."""
    return indices.masked_fill(indices >= classes, 0).clamp_(min=0)


def _confident(shape: tuple[int, ...], favoured: Tensor, scale: float) -> Tensor:
    """``scale`` for the favoured class, ``-scale`` for the others."""
    scores = torch.full(shape, -scale, dtype=torch.float64)
    return scores.scatter_(1, favoured.unsqueeze(1), scale)


def class_indices(structure: Structure, generator: Generator, params: Params) -> Tensor:
    """Class indices of shape [N, ...] by target profile; ignored ones carry the declared ``ignore_index``."""
    shape = (structure.batch, *structure.extra)
    indices = torch.randint(0, structure.classes, shape, generator=generator)
    if structure.targets == "all-equal":
        return torch.full(shape, int(indices.view(-1)[0]))
    ignored = params.get("ignore_index")
    if ignored is None:
        return indices
    if 0 <= ignored < structure.classes:
        indices = torch.where(indices == ignored, (indices + 1) % structure.classes, indices)
    if structure.targets == "all-ignored":
        return torch.full(shape, int(ignored))
    if structure.targets == "some-ignored":
        flat = indices.flatten()
        flat[torch.arange(flat.numel()) % 3 == 1] = int(ignored)
        if flat.numel() == 1:
            flat[0] = int(ignored)
        return flat.reshape(shape)
    return indices


def soft_rows(structure: Structure, generator: Generator) -> tuple[Tensor, Tensor]:
    """Target rows that sum to one, and the indices of their greatest class."""
    indices = torch.randint(0, structure.classes, (structure.batch, *structure.extra), generator=generator)
    hard = one_hot(indices, structure.classes)
    if structure.targets == "one-hot":
        return hard, indices
    # Multiples of 1/16: the sum of a row is exactly one in every dtype.
    share = torch.randint(1, 7, (structure.batch, 1, *structure.extra), generator=generator).double() / 16
    other = one_hot((indices + 1) % structure.classes, structure.classes)
    return hard * (1 - share) + other * share, indices


def logits(structure: Structure, true: Tensor, generator: Generator) -> Tensor:
    """Logits of shape [N, C, ...] by magnitude profile; ``true`` are the class indices that they may follow."""
    classes, scale = structure.classes, structure.scale
    shape = (structure.batch, classes, *structure.extra)
    profile = structure.magnitude
    if profile == "right":
        return _confident(shape, _inside(true, classes), scale)
    if profile == "wrong":
        return _confident(shape, (true + 1).remainder_(classes), scale)
    if profile == "large":
        return ordinary(shape, generator).mul_(scale)
    if profile == "zeros":
        return torch.zeros(shape, dtype=torch.float64)
    if profile == "ties":
        return signs(shape, generator)
    return ordinary(shape, generator)


def distribution(structure: Structure, true: Tensor, generator: Generator) -> Tensor:
    """Probabilities over dimension 1 by magnitude profile."""
    classes = structure.classes
    profile = structure.magnitude
    if profile == "uniform":
        return torch.full((structure.batch, classes, *structure.extra), 1 / classes, dtype=torch.float64)
    if profile in {"right", "wrong", "exactly right", "exactly wrong"}:
        favoured = one_hot(true if "right" in profile else (true + 1) % classes, classes)
        share = 0.0 if "exactly" in profile else 2.0 ** -min(structure.scale, 20.0)
        return favoured * (1 - share * classes) + share
    return torch.softmax(ordinary((structure.batch, classes, *structure.extra), generator), 1)
