"""Small numbers that a loss takes from its dtype."""

from __future__ import annotations

import numpy as np
import torch

from lossaudit.fuzz import inputs
from lossaudit.fuzz.limits import Limits, asked_by
from lossaudit.fuzz.model import Case, Structure
from lossaudit.fuzz.references import all_references
from lossaudit.fuzz.variants import Variant

EPS = torch.finfo(torch.float32).eps


def _by_epsilon(x: torch.Tensor) -> torch.Tensor:
    return x + torch.finfo(x.dtype).eps


def _nested(x: torch.Tensor) -> torch.Tensor:
    rows = [row + torch.finfo(row.dtype).tiny for row in x]

    def last() -> torch.Tensor:
        return rows[-1] + torch.finfo(x.dtype).tiny

    return last()


def _of_its_own(x: torch.Tensor, settings: np.finfo[np.float32]) -> torch.Tensor:
    return x + settings.eps


def test_what_code_asks_of_its_dtype_is_read() -> None:
    assert asked_by([_by_epsilon]).asked == {"eps": EPS}
    assert asked_by([_nested, _by_epsilon]).asked == {"eps": EPS, "tiny": torch.finfo(torch.float32).tiny}
    assert asked_by([_of_its_own]).asked == {}  # an attribute of that name is no limit


def test_a_parameter_that_is_a_limit_is_another_one_in_each_dtype() -> None:
    params = {"smooth": EPS, "over": "batch", "squared": False}
    variant = Variant(all_references()["dice_loss"], params, "mean")
    limits = asked_by([_by_epsilon]).of(params)
    assert limits.params == {"smooth": "eps"}
    assert limits.readings(variant, "float32") == []
    (read,) = limits.readings(variant, "bfloat16")
    assert read.params == {**params, "smooth": torch.finfo(torch.bfloat16).eps}
    assert Limits().of(params).readings(variant, "bfloat16") == []


def _case(space: str) -> Case:
    structure = Structure(batch=2, classes=2, dtype="bfloat16", seed=1)
    return inputs.fill(inputs.space_named(space), structure, {})


def test_only_probabilities_are_kept_from_the_ends() -> None:
    limits = asked_by([_by_epsilon])
    case = _case("probabilities-labels")
    case.prediction.view(-1)[0] = 0.0
    own, of_float32 = limits.bounded(case)
    assert own.prediction.min() == torch.finfo(torch.bfloat16).eps
    assert of_float32.prediction.min() == EPS
    scores = _case("scores-labels")
    scores.prediction.view(-1)[0] = -1.0
    assert list(limits.bounded(scores)) == []
    assert list(Limits().bounded(case)) == []
