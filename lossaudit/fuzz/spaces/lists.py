"""Scores against lists of classes: several may be true of a sample, named by their indices."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from lossaudit.fuzz.model import Part, Space
from lossaudit.fuzz.spaces import fill

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Generator, Tensor

    from lossaudit.fuzz.model import Params, Structure

END = -1
"""What stands behind the last class of a list."""


def listed(target: Tensor) -> Tensor:
    """Which classes the lists name, as a mask of the same shape; what stands behind the first ``END`` is not read."""
    classes = target.shape[1]
    read = (target >= 0).long().cumprod(1).bool()
    places = torch.where(read, target, torch.full_like(target, classes))
    mask = torch.zeros((target.shape[0], classes + 1), dtype=torch.bool, device=target.device)
    return mask.scatter(1, places, value=True)[:, :classes]


def _lists(structure: Structure, generator: Generator) -> Tensor:
    classes, shape = structure.classes, (structure.batch, structure.classes)
    order = torch.rand(shape, generator=generator).argsort(1)
    counts = torch.randint(1, max(2, classes), (structure.batch, 1), generator=generator)
    if structure.targets != "random":
        counts = torch.full_like(counts, classes if structure.targets == "all listed" else 0)
    return torch.where(torch.arange(classes) < counts, order, torch.full_like(order, END))


def _scores(structure: Structure, generator: Generator, _: Params) -> tuple[Tensor, Tensor]:
    target = _lists(structure, generator)
    towards = 2.0 * listed(target).double() - 1
    ordinary = fill.ordinary((structure.batch, structure.classes), generator)
    by_profile = {
        "right": structure.scale * towards,
        "wrong": -structure.scale * towards,
        "large": ordinary * structure.scale,
        "zeros": torch.zeros_like(towards),
    }
    return by_profile.get(structure.magnitude, ordinary), target


def _are_lists(_: Tensor, target: Tensor) -> bool:
    """Whether no list names a class twice, and nothing stands behind its end."""
    named = target >= 0
    return bool((named.sum(1) == listed(target).sum(1)).all()) and bool((named[:, 1:] <= named[:, :-1]).all())


def _without_a_class(prediction: Tensor, target: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    classes = prediction.shape[1]
    for dropped in range(classes) if classes > 1 else ():
        kept = [c for c in range(classes) if c != dropped]
        rows = [[c - (c > dropped) for c in row if c not in (END, dropped)] for row in target.tolist()]
        ended = [row + [END] * (classes - 1 - len(row)) for row in rows]
        yield prediction[:, kept], torch.tensor(ended, dtype=target.dtype)


SCORES = Part(
    "prediction",
    (
        "prediction",
        "predictions",
        "pred",
        "preds",
        "input",
        "inputs",
        "output",
        "outputs",
        "logits",
        "scores",
        "x",
    ),
)
LISTS = Part(
    "target",
    ("target", "targets", "tgt", "label", "labels", "classes", "true", "truth", "gt", "y"),
    learned=False,
)

SPACES = (
    Space(
        name="scores-class_lists",
        prediction="raw scores [N, C]",
        target=f"lists of class indices [N, C], each ended by {END}",
        fill=_scores,
        magnitudes=("ordinary", "right", "wrong", "large", "zeros"),
        target_profiles=("random", "none listed", "all listed"),
        classes=(3, 4, 6),
        scales=(4.0, 12.0, 110.0, 1000.0),
        parts=(SCORES, LISTS),
        domain=_are_lists,
        smaller=_without_a_class,
    ),
)
