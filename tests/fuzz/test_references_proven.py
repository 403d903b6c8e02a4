"""Every reference against its definition in 50 digits, value and slope, over the inputs that expose."""

from __future__ import annotations

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

# References whose exact formula is still to be written; a new reference must not join them.
AWAITED = frozenset(
    {"arcface", "cosface", "center_loss", "info_nce", "info_nce_shared_negatives", "info_nce_own_negatives"}
    | {"nt_xent", "supervised_contrastive", "vae", "contrastive", "cosine_embedding", "margin_ranking"}
    | {"hinge_embedding"}
)
NAMES = sorted(set(all_references()) - AWAITED)
VALUE, SLOPE = 1e-12, 1e-8
STEP = mpmath.mpf(10) ** -18
LARGEST = mpmath.mpf(1.7e308)


def test_every_reference_has_an_exact_formula() -> None:
    assert sorted(set(NAMES) - set(all_exact())) == []
    assert sorted(set(all_exact()) - set(NAMES)) == []
    assert set(all_references()) >= AWAITED


def _known(name: str) -> Exact:
    exact = all_exact().get(name)
    if exact is None:
        pytest.fail(f"{name} has no formula under tests/fuzz/exact/")
    return exact


def _assignments(spec: ReferenceSpec, exact: Exact) -> Iterator[tuple[dict[str, Any], int | None]]:
    """The parameters to try, with the class count that they are made for."""
    for chosen in ({}, *exact.params):
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
        reach = Reach(classes, space.extras[:2], targets, batches=(1, 2))
        for structure in inputs.panel(space, reach, 3):
            yield inputs.fill(space, structure, params)


def _close(got: float, exact: Any, room: float, *, relative: bool) -> bool:
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
            for position, got in enumerate(slope.flatten().tolist()):
                due = _slope(exact, case, params, position)
                if due is not None:
                    judged += 1
                    assert _close(got, due, SLOPE, relative=False), (params, case, position, got, due)
    assert judged


def _slope(exact: Exact, case: Case, params: dict[str, Any], position: int) -> Any:
    """The slope along one entry; None on a kink, and where a step leaves the domain."""

    def total(step: Any) -> Any:
        moved = array(case.prediction).copy()
        moved.reshape(-1)[position] += step
        return mpmath.mpf(np.asarray(exact.formula(moved, array(case.target), params)).sum())

    with mpmath.workdps(100):  # a difference of 1e-18 must leave 50 digits of e**80
        low, here, high = total(-STEP), total(mpmath.mpf(0)), total(STEP)
        left, right = (here - low) / STEP, (high - here) / STEP
    if not all(mpmath.isfinite(side) for side in (left, right)) or abs(left) > LARGEST:
        return None
    if abs(left - right) > 1e-6 * (1 + abs(left)):
        return None
    return (left + right) / 2
