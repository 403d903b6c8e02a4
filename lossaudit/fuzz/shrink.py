"""From a failing case to one that a person can read: one sample, two classes, small integers.

Structure goes first (samples, extra dimensions, classes, layout, dtype), then the numbers, one at a time. Every step
is kept only while the same check still fails.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from lossaudit.fuzz.inputs import space_named
from lossaudit.fuzz.subject import DTYPES

if TYPE_CHECKING:
    from torch import Tensor

    from lossaudit.fuzz.model import Case, Space

MOST_STEPS = 400
FEW_ELEMENTS = 24
Fails = Callable[["Case"], bool]
Move = Callable[["Case"], "Iterator[Case]"]


class _Budget:
    """Counts the calls of a predicate; once it is spent nothing fails any more."""

    def __init__(self, fails: Fails, steps: int) -> None:
        self.fails, self.left = fails, steps

    def __call__(self, case: Case) -> bool:
        if self.left <= 0:
            return False
        self.left -= 1
        return self.fails(case)


def shrink(case: Case, fails: Fails, *, fixed_classes: bool = False, steps: int = MOST_STEPS) -> Case:
    """The simplest case found that still fails.

    Args:
        case: A case that fails.
        fails: Whether a case fails in the same way.
        fixed_classes: True when the target takes one class count only.
        steps: How many cases may be tried.
    """
    budget = _Budget(fails, steps)
    moves = _structure_moves(space_named(case.space), fixed_classes=fixed_classes)
    moves += [_simple_numbers, _simple_rows, _lower_targets]
    for _ in range(3):
        before = case
        for move in moves:
            case = _descend(case, budget, move)
        if case is before or budget.left <= 0:
            break
    return case


def _structure_moves(space: Space, *, fixed_classes: bool) -> list[Move]:
    """How the shape of a case gets simpler, by what its space is."""
    if space.special:
        own: list[Move] = [] if space.smaller is None else [_smaller]
        return [_fewer_samples, _plainer_layout, *own, *([] if fixed_classes else [_fewer_features])]
    return [_fewer_samples, _no_extra, _plainer_layout, *([] if fixed_classes else [_fewer_classes])]


def _smaller(case: Case) -> Iterator[Case]:
    """What the space itself calls simpler."""
    smaller = space_named(case.space).smaller
    if smaller is not None:
        for prediction, target in smaller(case.prediction, case.target):
            yield _with(case, prediction, target)


def _fewer_features(case: Case) -> Iterator[Case]:
    """Leave out one feature of every embedding at once."""
    space = space_named(case.space)
    count = case.prediction.shape[-1]
    if not max(space.features) or case.prediction.ndim < 2 or count < 2:
        return
    shared = case.target.is_floating_point() and case.target.shape[1:] == case.prediction.shape[2:]
    for dropped in reversed(range(count)):
        kept = [k for k in range(count) if k != dropped]
        target = case.target[..., kept] if shared and case.target.ndim > 1 else case.target
        yield _with(case, case.prediction[..., kept], target)


def _descend(case: Case, fails: Fails, move: Callable[[Case], Iterator[Case]]) -> Case:
    """Take the first simpler case that fails, again and again."""
    improved = True
    while improved:
        improved = False
        for simpler in move(case):
            if _valid(simpler) and fails(simpler):
                case, improved = simpler, True
                break
    return case


def _valid(case: Case) -> bool:
    """Whether the numbers lie where the losses of the space are defined."""
    domain = space_named(case.space).domain
    return domain is None or domain(case.prediction, case.target)


def _with(case: Case, prediction: Tensor, target: Tensor) -> Case:
    rounded = prediction.to(DTYPES[case.dtype]).double()
    return replace(case, prediction=rounded.clone(), target=target.clone())


def _fewer_samples(case: Case) -> Iterator[Case]:
    count = case.prediction.shape[0]
    for size in sorted({1, 2, count // 2, count - 1} - {0, count}):
        if size >= count:
            continue
        for start in range(count - size + 1):
            yield _with(case, case.prediction[start : start + size], case.target[start : start + size])
    if count > 2:
        for dropped in range(count):
            kept = [k for k in range(count) if k != dropped]
            yield _with(case, case.prediction[kept], case.target[kept])


def _class_dimension(case: Case) -> bool:
    space = space_named(case.space)
    return max(space.classes) > 0 and not space.special and case.prediction.ndim > 1


def _by_element(case: Case) -> bool:
    """Whether each element of the prediction has a target of its own, whatever stands beside it."""
    return any(word in space_named(case.space).target for word in ("labels", "numbers", "counts"))


def _no_extra(case: Case) -> Iterator[Case]:
    columns = case.target.ndim == case.prediction.ndim and _by_element(case)
    prediction, target = case.prediction, case.target
    if prediction.ndim <= (1 if columns else 2):
        return
    yield _with(case, prediction.select(-1, 0), target.select(-1, 0))
    if prediction.shape[-1] > 1:
        yield _with(case, prediction[..., :1], target[..., :1])


def _plainer_layout(case: Case) -> Iterator[Case]:
    if case.layout != "contiguous":
        yield replace(case, layout="contiguous")
    if case.dtype != "float32":
        yield _with(replace(case, dtype="float32"), case.prediction, case.target)


def _fewer_classes(case: Case) -> Iterator[Case]:
    """Leave out one class; targets that mean later ones move down."""
    if not _class_dimension(case) or (
        case.prediction.shape[1] <= 2 and "indices" in space_named(case.space).target
    ):
        return
    classes = case.prediction.shape[1]
    indices = not case.target.is_floating_point()
    if classes <= 1:
        return
    rows = case.target.ndim == case.prediction.ndim and "class" in space_named(case.space).target
    if rows and classes <= 2:
        return
    for dropped in reversed(range(classes)):
        kept = [k for k in range(classes) if k != dropped]
        if indices and bool((case.target == dropped).any()):
            continue
        if rows and bool((case.target[:, dropped] != 0).any()):
            continue  # the rows must go on summing to one
        target = (
            torch.where(case.target > dropped, case.target - 1, case.target)
            if indices
            else case.target[:, kept]
        )
        prediction = case.prediction[:, kept]
        if not space_named(case.space).free:
            if not rows and not indices:
                yield _with(case, prediction, target)
            continue
        yield _with(case, prediction, target)


def _simpler_numbers(number: float) -> list[float]:
    """Plainer numbers, the plainest first: zero, one, then the same with fewer digits or a smaller size."""
    sign = 1.0 if number > 0 else -1.0
    size = abs(number)
    plainer = [0.0, 1.0, sign]
    if size > 2:
        plainer += [
            sign * 2,
            sign * float(int(size / 2)),
            sign * float(int(size * 0.8)),
            sign * float(int(size) - 1),
        ]
    plainer += [sign * float(round(size)), sign * float(int(size)), sign * round(size * 2) / 2, sign * size]
    return [value for value in dict.fromkeys(plainer) if _simpler(value, number)]


def _simpler(value: float, number: float) -> bool:
    return _cost(value) < _cost(number)


def _cost(number: float) -> tuple[bool, float, bool]:
    """Integers before fractions, small before large, plus before minus."""
    return (number != int(number), abs(number), number < 0)


def _simple_numbers(case: Case) -> Iterator[Case]:
    if not space_named(case.space).free or case.size > FEW_ELEMENTS:
        return
    flat = case.prediction.flatten()
    if case.size > 1 and bool((flat != 0).any()):
        # Softmax losses do not change when a row is shifted: bring its smallest entry to zero first.
        if _class_dimension(case):
            lowered = case.prediction - case.prediction.amin(1, keepdim=True)
            if not torch.equal(lowered, case.prediction):
                yield _with(case, lowered, case.target)
        whole = case.prediction.round()
        if not torch.equal(whole, case.prediction):
            yield _with(case, whole, case.target)
    for position in range(flat.numel()):
        for value in _simpler_numbers(float(flat[position])):
            changed = flat.clone()
            changed[position] = value
            yield _with(case, changed.reshape(case.prediction.shape), case.target)


def _simple_rows(case: Case) -> Iterator[Case]:
    """For spaces where numbers hang together: whole plain rows."""
    space = space_named(case.space)
    if space.plain_rows is None or case.prediction.ndim > 2:
        return
    columns = case.prediction.shape[1] if case.prediction.ndim == 2 else 1
    candidates = [torch.tensor(row, dtype=torch.float64) for row in space.plain_rows(columns)]
    for sample in range(case.prediction.shape[0]):
        current = case.prediction[sample].reshape(-1)
        for row in candidates:
            if torch.allclose(row[: current.numel()], current, atol=1e-6):
                break  # candidates are ordered: what follows is not plainer
            changed = case.prediction.clone()
            changed[sample] = row[: current.numel()].reshape(case.prediction[sample].shape)
            yield _with(case, changed, case.target)


def _lower_targets(case: Case) -> Iterator[Case]:
    """Class 0 rather than another, and hard labels rather than soft ones."""
    if not case.target.is_floating_point():
        for position in range(min(case.target.numel(), FEW_ELEMENTS)):
            if int(case.target.flatten()[position]) > 0:
                target = case.target.flatten().clone()
                target[position] = 0
                yield _with(case, case.prediction, target.reshape(case.target.shape))
        return
    if not _by_element(case) or "signs" in case.space:
        return
    for position in range(min(case.target.numel(), FEW_ELEMENTS)):
        label = float(case.target.flatten()[position])
        for value in (0.0, 1.0):
            if value < label or (value == 1.0 and 0 < label < 1):
                target = case.target.flatten().clone()
                target[position] = value
                yield _with(case, case.prediction, target.reshape(case.target.shape))


def onset(case: Case, fails: Fails) -> tuple[str, float] | None:
    """Where along the way from zero the failure starts, by bisection.

    Returns:
        What is measured, and the measure at which it starts; None when it fails for ordinary numbers already, or
        where sizes mean nothing.
    """
    space = space_named(case.space)
    if not space.free or space.domain is not None or not bool((case.prediction != 0).any()):
        return None

    def scaled(factor: float) -> Case:
        return _with(case, case.prediction * factor, case.target)

    low, high = 0.0, 1.0
    if fails(scaled(min(1.0, 2.0 / float(case.prediction.abs().max())))):
        return None
    for _ in range(24):
        middle = (low + high) / 2
        if fails(scaled(middle)):
            high = middle
        else:
            low = middle
    return measure(scaled(high))


def measure(case: Case) -> tuple[str, float]:
    """How extreme a case is: the greatest gap between two logits of a sample, or the greatest number."""
    if "logits" in space_named(case.space).prediction and _class_dimension(case):
        gap = (case.prediction.amax(1) - case.prediction.amin(1)).max()
        return "gap between two logits", float(gap)
    scored = "score" in space_named(case.space).prediction
    return f"size of the {'score' if scored else 'numbers'}", float(case.prediction.abs().max())
