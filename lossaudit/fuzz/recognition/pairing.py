"""Which references are tried behind which doors, and in which order."""

from __future__ import annotations

import inspect
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from lossaudit.fuzz.references import all_references

if TYPE_CHECKING:
    from lossaudit.fuzz.doors import Door
    from lossaudit.fuzz.model import ReferenceSpec
    from lossaudit.fuzz.recognition.search import Asked


def order_of(door: Door) -> object:
    """Doors that are searched together: those of one order of the arguments."""
    interface = door.subject.interface
    return (door.space.maps, interface.swapped, interface.order)


def all_pairs(doors: list[Door], asked: Asked | None) -> list[tuple[Door, ReferenceSpec]]:
    """Doors with the references that are defined there; wide domains first, for they prove more."""
    specs = [asked.spec] if asked is not None else list(all_references().values())
    pairs = [
        (door, spec if spec.bind is None else replace(spec, formula=spec.bind(door.space)))
        for door in doors
        if not (door.space.alike and names_say_otherwise(door))
        for spec in specs
        if door.space.kind in spec.spaces
    ]
    return sorted(
        pairs,
        key=lambda pair: (
            not pair[0].space.free,
            pair[0].subject.interface.swapped,
            pair[0].subject.interface.order,
        ),
    )


def usual_pairs(doors: list[Door], asked: Asked | None) -> list[tuple[Door, ReferenceSpec]]:
    """Each reference with the space that it is most used to, of those that the target takes.

    A target that is not the reference itself has most doors open by accident: a sum over all pixels takes any shape.
    """
    pairs = all_pairs(doors, asked)
    first: dict[tuple[str, str], Door] = {}
    for door, spec in sorted(pairs, key=lambda pair: pair[1].spaces.index(pair[0].space.kind)):
        first.setdefault((spec.name, door.space.layout), door)
    return [
        (door, spec)
        for door, spec in pairs
        for usual in (first[spec.name, door.space.layout],)
        if door.space is usual.space and door.subject.build is usual.subject.build
    ]


def is_turned(door: Door, doors: list[Door]) -> bool:
    """Whether a door takes for the prediction what no gradient reaches, and the same two arguments the other way round are trained.

    A teacher that comes first is detached, and the student after it learns. Only where a name says that the prediction comes
    first, or the target second, is it one that lost its gradient.
    """
    interface = door.subject.interface
    if door.space.parts or interface.arrays or door.first[1].differentiable:
        return False
    other_way = replace(interface, swapped=not interface.swapped)
    return any(
        twin.subject.interface == other_way
        and twin.subject.build is door.subject.build
        and twin.first[1].differentiable
        and not (other_way.swapped and any(_named_in_order(twin)))
        for twin in doors
    )


PREDICTION_WORDS = frozenset(
    {"pred", "preds", "prediction", "predictions", "predicted", "input", "inputs", "output", "outputs", "hat"}
    | {"student", "logits", "estimate"}
)
TARGET_WORDS = frozenset(
    {"target", "targets", "tgt", "true", "truth", "gt", "label", "labels", "expected", "reference", "teacher"}
)


def names_say_otherwise(door: Door) -> bool:
    """Whether a door takes the target first, and the parameters' names say that the prediction is.

    Where nothing else could tell, they decide; elsewhere exact agreement overrules them, and a mistake does not.
    """
    return door.subject.interface.swapped and all(_named_in_order(door))


def _named_in_order(door: Door) -> tuple[bool, bool]:
    """Whether the first parameter is named as predictions are, and the second as targets are."""
    loss = door.subject.build.loss
    try:
        called = loss.forward if isinstance(loss, torch.nn.Module) else loss
        names = list(inspect.signature(called).parameters)[:2]
    except (TypeError, ValueError):
        return False, False
    words = [set(name.lower().split("_")) for name in names]
    if len(words) < 2:
        return False, False
    return bool(words[0] & PREDICTION_WORDS), bool(words[1] & TARGET_WORDS)
