"""Inputs of distillation with labels: the logits of a student, those of its teacher, and the classes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from lossaudit.fuzz.model import Part, Space
from lossaudit.fuzz.spaces import fill

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from lossaudit.fuzz.model import Params, Structure

STUDENT = Part(
    "student",
    ("student", "students", "s", "outputs", "output", "logits", "prediction", "pred", "input", "inputs"),
)
TEACHER = Part("teacher", ("teacher", "teachers", "t", "soft"), learned=False)
CLASSES = Part(
    "classes", ("classes", "labels", "label", "target", "targets", "y", "gt", "hard"), learned=False
)


def _fill(structure: Structure, generator: Generator, _: Params) -> tuple[Tensor, Tensor]:
    """The teacher's logits [N, C] and, as a last column, the class of each sample."""
    shape = (structure.batch, structure.classes)
    labels = torch.randint(0, structure.classes, (structure.batch,), generator=generator)
    teacher = fill.ordinary(shape, generator)
    if structure.targets == "confident":
        teacher = structure.scale * (2 * fill.one_hot(labels, structure.classes) - 1)
    by_profile = {
        "right": teacher,
        "wrong": teacher * (-structure.scale / 4),
        "large": fill.ordinary(shape, generator) * structure.scale,
        "zeros": torch.zeros(shape, dtype=torch.float64),
    }
    student = by_profile.get(structure.magnitude, fill.ordinary(shape, generator)).clone()
    return student, torch.cat((teacher, labels[:, None].double()), 1)


def _arguments(prediction: Tensor, target: Tensor) -> tuple[Tensor, ...]:
    return prediction, target[:, :-1], target[:, -1].long()


def _are_classes(prediction: Tensor, target: Tensor) -> bool:
    """The last column holds class indices."""
    column = target[:, -1]
    return bool(((column == column.round()) & (column >= 0) & (column < prediction.shape[1])).all())


SPACES = (
    Space(
        name="students-teachers",
        prediction="logits of a student [N, C]",
        target="logits of its teacher [N, C] and class indices [N]",
        fill=_fill,
        magnitudes=("ordinary", "right", "wrong", "large", "zeros"),
        target_profiles=("random", "confident"),
        classes=(3, 2, 5),
        scales=(4.0, 16.0, 40.0, 110.0),
        parts=(STUDENT, TEACHER, CLASSES),
        cut=_arguments,
        domain=_are_classes,
    ),
)
