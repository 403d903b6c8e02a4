"""Every reference against its definition in 50 digits, value and slope, over the inputs that expose."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import mpmath
import numpy as np
import pytest
import torch
from conftest import FIXTURES  # noqa: F401 (skips where torch is missing)
from exact import all_exact
from exact.digits import array

from lossaudit.fuzz import inputs
from lossaudit.fuzz.inputs import Reach
from lossaudit.fuzz.references import all_references
from lossaudit.fuzz.spaces import all_spaces

if TYPE_CHECKING:
    from collections.abc import Iterator

    from exact.digits import Exact

    from lossaudit.fuzz.model import Case, ReferenceSpec

NAMES = sorted(all_references())
VALUE, SLOPE = 1e-12, 1e-8
STEP = mpmath.mpf(10) ** -18
LARGEST = mpmath.mpf(1.7e308)


def test_every_reference_has_an_exact_formula() -> None:
    assert sorted(set(NAMES) - set(all_exact())) == []
    assert sorted(set(all_exact()) - set(NAMES)) == []


def _known(name: str) -> Exact:
    exact = all_exact().get(name)
    if exact is None:
        pytest.fail(f"{name} has no formula under tests/fuzz/exact/")
    return exact


def _assignments(spec: ReferenceSpec, exact: Exact) -> Iterator[tuple[dict[str, Any], int | None]]:
    """The parameters to try, with the class count that they are made for."""
    needs_rows = any(parameter.kind == "matrix" for parameter in spec.parameters)
    for chosen in exact.params if needs_rows else ({}, *exact.params):
        vectors = {name: value for name, value in chosen.items() if isinstance(value, list)}
        tensors = {name: torch.tensor(value, dtype=torch.float64) for name, value in vectors.items()}
        count = next((len(value) for value in vectors.values()), None)
        yield {**spec.neutral(), **chosen, **tensors}, count


def _cases(spec: ReferenceSpec, params: dict[str, Any], count: int | None) -> Iterator[Case]:
    for name in spec.spaces:
        space = all_spaces()[name]
        targets = spec.target_profiles or space.target_profiles
        if params.get("ignore_index") is None:
            targets = tuple(profile for profile in targets if "ignored" not in profile)
        classes = space.classes[-2:] if count is None or not max(space.classes) else (count,)
        features = tuple(sorted(space.features))[:2]
        if params.get("weight") is not None and max(features):
            features = (params["weight"].shape[1],)
        reach = Reach(classes, space.extras[:2], targets, batches=(1, 2), features=features)
        for structure in inputs.panel(space, reach, 3):
            yield inputs.fill(space, structure, params)


def _close(got: float, exact: Any, room: float, *, relative: bool) -> bool:
    if mpmath.isnan(exact):
        return math.isnan(got)
    if not mpmath.isfinite(exact) or abs(exact) > LARGEST:
        return got == float(exact)
    floor = 1e-24 if relative else 1.0
    return bool(abs(got - exact) <= room * (floor + abs(exact)))


@pytest.mark.parametrize("name", NAMES)
def test_values_are_those_of_50_digits(name: str) -> None:
    spec, exact = all_references()[name], _known(name)
    for params, count in _assignments(spec, exact):
        for case in _cases(spec, params, count):
            got = spec.formula(case.prediction, case.target, params).losses
            due = np.asarray(exact.formula(array(case.prediction), array(case.target), params))
            assert tuple(got.shape) == due.shape
            for value, truth in zip(got.flatten().tolist(), due.flatten(), strict=True):
                assert _close(value, truth, VALUE, relative=exact.relative), (params, case, value, truth)


@pytest.mark.parametrize("name", NAMES)
def test_slopes_are_those_of_50_digits(name: str) -> None:
    spec, exact = all_references()[name], _known(name)
    judged = 0
    for params, count in _assignments(spec, exact):
        for case in _cases(spec, params, count):
            if case.size > exact.largest:
                continue
            leaf = case.prediction.clone().requires_grad_()
            losses = spec.formula(leaf, case.target, params).losses
            if not bool(torch.isfinite(losses).all()) or not losses.requires_grad:
                continue
            (slope,) = torch.autograd.grad(losses.sum(), leaf)
            dues = _slopes(exact, case, params)
            for position, (got, due) in enumerate(zip(slope.flatten().tolist(), dues, strict=True)):
                if due is not None:
                    judged += 1
                    assert _close(got, due, SLOPE, relative=False), (params, case, position, got, due)
    assert judged


def _slopes(exact: Exact, case: Case, params: dict[str, Any]) -> list[Any]:
    """The slope along each entry; None on a kink, and where a step leaves the domain."""
    prediction, target = array(case.prediction), array(case.target)
    held = exact.hold(prediction, target, params)

    def total(position: int, step: Any) -> Any:
        moved = prediction.copy()
        moved.reshape(-1)[position] += step
        return mpmath.mpf(np.asarray(exact.formula(moved, target, held)).sum())

    with mpmath.workdps(100):  # a difference of 1e-18 must leave 50 digits of e**80
        here = total(0, mpmath.mpf(0))
        sides = [
            ((here - total(position, -STEP)) / STEP, (total(position, STEP) - here) / STEP)
            for position in range(case.size)
        ]
    return [_between(left, right) for left, right in sides]


def _between(left: Any, right: Any) -> Any:
    """The slope of which these are both sides, None where they are not of one."""
    if not all(mpmath.isfinite(side) for side in (left, right)) or abs(left) > LARGEST:
        return None
    if abs(left - right) > 1e-6 * (1 + abs(left)):
        return None
    return (left + right) / 2
