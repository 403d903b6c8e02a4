"""Fillings of one structure in one call of the loss, through ``torch.func.vmap``: a third of the time of as many calls.

What a call for all gives counts only where it is what the reference says; every other case is called by itself, so that nothing
can be found here that a plain call does not show. The first of the fillings is always called by itself. Only a loss of which it
is proven that a call leaves nothing behind is called so, for what it kept would be no plain tensor.
"""

from __future__ import annotations

import itertools
import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch

from lossaudit.fuzz.model import Observation
from lossaudit.fuzz.spaces import all_spaces
from lossaudit.fuzz.subject import arrange, numbers_of, same, single
from lossaudit.fuzz.traceless import leaves_no_trace
from lossaudit.fuzz.unreduced import as_held
from lossaudit.fuzz.wire import IDLE, JOINED, Avoided

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from lossaudit.fuzz.model import Case
    from lossaudit.fuzz.subject import Subject

FEWEST = 3
"""So few are called as fast one by one."""


def may_join(subject: Subject) -> bool:
    """Whether calls of a target may be made together."""
    plain = subject.shim is None and not subject.interface.arrays
    return (
        plain and not all_spaces()[subject.interface.space].rearranged and leaves_no_trace(subject.build.loss)
    )


def alike(cases: Sequence[Case]) -> list[range]:
    """Runs of cases of one space that differ by their numbers only, long enough to be worth a call of their own."""
    places = itertools.groupby(range(len(cases)), key=lambda place: _kind(cases[place]))
    runs = [list(run) for _, run in places]
    return [range(run[0], run[-1] + 1) for run in runs if len(run) > FEWEST]


def _kind(case: Case) -> tuple[Any, ...]:
    target = case.target
    shapes = (case.prediction.shape, target.shape, target.dtype)
    return (*shapes, case.dtype, case.layout, case.magnitude, case.targets)


def observe_joined(subject: Subject, cases: Sequence[Case]) -> list[Observation] | None:
    """What one call for all these cases gives for each of them, as :meth:`Subject.observe`; None where it cannot be made.

    Args:
        subject: The target, of which :func:`may_join` holds.
        cases: Cases that are :func:`alike`.
    """
    try:
        subject.announce(JOINED, cases[0], subject.interface)
    except Avoided:
        return None
    try:
        seen = _seen(subject, cases)
    except (Exception, SystemExit):  # noqa: BLE001 (what it is worth, the plain calls show)
        seen = None
    subject.announce(IDLE, None, None)
    return seen


def _seen(subject: Subject, cases: Sequence[Case]) -> list[Observation] | None:
    first = cases[0]
    numbers, labels = (
        torch.stack(parts) for parts in zip(*((case.prediction, case.target) for case in cases), strict=True)
    )
    joint = replace(first, prediction=numbers, target=labels)
    numbers, labels = numbers_of(joint, subject.interface)
    leaf = arrange(numbers, first.layout, stacked=True).requires_grad_()
    given = labels.clone()
    loss = subject.at_dtype(first.dtype)

    def one(prediction: Tensor, target: Tensor) -> Tensor:
        value: Tensor = single(subject.invoke(loss, prediction, target, remembers=True))
        return value

    with warnings.catch_warnings(), torch.enable_grad():
        warnings.simplefilter("ignore")  # of operations that vmap makes one by one
        value = torch.func.vmap(one)(leaf, given)
        if not value.requires_grad:
            return None
        (slope,) = torch.autograd.grad(value.sum(), leaf)
    if not (same(leaf, numbers) and same(given, labels)):
        return None
    dtype = str(value.dtype).removeprefix("torch.")
    pairs = zip(cases, value.detach().double().unbind(), slope.double().unbind(), strict=True)
    return [
        Observation(as_held(case, each) if each.ndim else each, steep, dtype, differentiable=True)
        for case, each, steep in pairs
    ]
