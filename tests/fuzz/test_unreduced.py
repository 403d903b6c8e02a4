"""Losses that were not reduced lie as the arguments of the call do; each is compared with what it is the loss of."""

from __future__ import annotations

import pytest
import torch
from conftest import FIXTURES  # noqa: F401 (skips where torch is missing)

from lossaudit.fuzz import inputs
from lossaudit.fuzz.model import Structure
from lossaudit.fuzz.spaces import all_spaces
from lossaudit.fuzz.unreduced import as_held

ELEMENTS = (
    "quantiles-values",
    "classes_last/quantiles-values",
    "images/scores-labels",
    "images_last/scores-channel_masks",
)
SAMPLES = ("classes_last/logits-indices", "label_channel/logits-indices", "score_column/scores-labels")


def _case(name: str):
    space = all_spaces()[name]
    return space, inputs.fill(space, Structure(batch=2, classes=3 * (max(space.classes) > 0), seed=4), {})


@pytest.mark.parametrize("name", ELEMENTS)
def test_losses_of_the_entries_of_a_prediction(name: str) -> None:
    space, case = _case(name)
    given, _ = space.cut(case.prediction, case.target)
    assert torch.equal(as_held(case, given), case.prediction)
    assert torch.equal(as_held(case, given.flatten()), case.prediction)


@pytest.mark.parametrize("name", SAMPLES)
def test_losses_of_the_entries_of_a_target(name: str) -> None:
    space, case = _case(name)
    _, given = space.cut(case.prediction, case.target)
    assert torch.equal(as_held(case, given.double()), case.target.double())


@pytest.mark.parametrize("name", [*ELEMENTS, *SAMPLES])
@pytest.mark.parametrize("shape", [(), (2,), (2, 2), (7,), (3, 2, 1)])
def test_other_shapes_stay_as_they_are(name: str, shape: tuple[int, ...]) -> None:
    _, case = _case(name)
    value = torch.rand(shape, dtype=torch.float64)
    assert torch.equal(as_held(case, value), value)


def test_a_column_of_the_plain_space_is_no_loss_of_each_sample() -> None:
    """It meets the weights ``[N]`` of the samples as a table."""
    _, case = _case("scores-labels")
    column = torch.rand(2, 1, dtype=torch.float64)
    assert as_held(case, column).shape == (2, 1)


def test_a_step_more_than_is_held_is_left_as_it_is() -> None:
    space, case = _case("shifted/logits-indices")
    given, _ = space.cut(case.prediction, case.target)
    assert as_held(case, given).shape == given.shape
