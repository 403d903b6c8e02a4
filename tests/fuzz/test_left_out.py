"""What a loss leaves out by its target is not judged; what it gets wrong is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from conftest import FIXTURES, audit_here
from torch.nn import functional

from lossaudit.fuzz.left_out import left_out
from lossaudit.fuzz.model import Case
from lossaudit.fuzz.references import all_references
from lossaudit.fuzz.subject import Interface, Subject
from lossaudit.fuzz.target import Build
from lossaudit.fuzz.variants import Variant

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    Loss = Callable[[Tensor, Tensor], Tensor]


def _of_positive(prediction: Tensor, target: Tensor) -> Tensor:
    return functional.mse_loss(prediction[target > 0], target[target > 0])


def _over_all(prediction: Tensor, target: Tensor) -> Tensor:
    return ((prediction - target) ** 2 * (target != 0)).mean()


def _with_errors_cut_off(prediction: Tensor, target: Tensor) -> Tensor:
    return ((prediction - target).clamp(-2, 2) ** 2).mean()


def _with_predictions_cut_off(prediction: Tensor, target: Tensor) -> Tensor:
    return functional.mse_loss(prediction.clamp(max=1), target)


def _of_half(prediction: Tensor, target: Tensor) -> Tensor:
    return functional.mse_loss(prediction[::2], target[::2])


def _halved(prediction: Tensor, target: Tensor) -> Tensor:
    return functional.mse_loss(prediction[target != 0], target[target != 0]) / 2


def _left_out(loss: Loss, prediction: list[float], target: list[float]) -> frozenset[float]:
    numbers = (torch.tensor(given, dtype=torch.float64) for given in (prediction, target))
    case = Case("values-values", *numbers, "float32", "contiguous", "ordinary", "random")
    subject = Subject(Build(loss), Interface(case.space), {}, lambda *_: None)
    spec = all_references()["mse_loss"]
    return left_out(subject, case, subject.observe(case), Variant(spec, spec.neutral(), "mean"))


@pytest.mark.parametrize("loss", [_of_positive, _over_all])
@pytest.mark.parametrize("target", [[0.0, 2.0, 3.0], [0.0, 0.0, 0.5], [0.0, 0.0, 0.0]])
def test_a_number_that_stands_for_what_is_missing_is_left_out(loss: Loss, target: list[float]) -> None:
    assert _left_out(loss, [1.0, 1.5, 2.5], target) == {0.0}


@pytest.mark.parametrize(
    "loss", [_with_errors_cut_off, _with_predictions_cut_off, _of_half, _halved, functional.mse_loss]
)
def test_a_loss_that_is_wrong_is_not_excused(loss: Loss) -> None:
    assert not _left_out(loss, [9.0, 7.0, 2.5, 8.0, 7.5], [0.0, 2.0, 3.0, 0.0, 0.0])


def test_what_is_left_out_is_told() -> None:
    report = audit_here(f"{FIXTURES / 'correct' / 'regression.py'}:where_it_was_measured")
    assert report.findings == ()
    assert (
        "it leaves out elements where the target is 0, say, as what is missing: that was not judged"
        in report.assumptions
    )
