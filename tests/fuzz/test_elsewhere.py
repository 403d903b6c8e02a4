"""Tensors on a device that is not there: what stays on one device runs, what mixes two is refused."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from lossaudit.fuzz.elsewhere import Away, Mixed, two_devices

if TYPE_CHECKING:
    from collections.abc import Callable

    Operation = Callable[[Tensor, Tensor], object]


def _in_full_precision(x: Tensor, y: Tensor) -> Tensor:
    with torch.autocast(device_type=x.device.type, enabled=False):
        return x @ x.T


FINE: dict[str, Operation] = {
    "a tensor made where the scores are": lambda x, y: x * torch.arange(4, device=x.device),
    "a tensor moved to the scores": lambda x, y: x + torch.ones(4).to(x),
    "a tensor like another": lambda x, y: torch.zeros_like(x).scatter_(1, y[:, None], 1.0) * x,
    "a new tensor": lambda x, y: x * x.new_tensor([1.0, 2.0, 3.0, 4.0]),
    "a tensor of numbers": lambda x, y: x * torch.tensor([1.0, 2.0, 3.0, 4.0], device=x.device),
    "a number of the CPU": lambda x, y: x * torch.tensor(2.0),
    "indices of the CPU": lambda x, y: x[torch.arange(3), y],
    "indices in a list": lambda x, y: x[:, [0, 3, 1]],
    "a branch over the numbers": lambda x, y: x if bool((x > 0).any()) else 2 * x,
    "as many as a mask holds": lambda x, y: x[x > 0].sum(),
    "its labels as a list": lambda x, y: x[:, torch.tensor(y.tolist())],
    "back to the CPU": lambda x, y: x.cpu() * torch.ones(4),
    "labels to one-hot": lambda x, y: functional.one_hot(y, 4) * x,
    "autocast switched off": _in_full_precision,
    "in place": lambda x, y: x.clone().add_(1.0).div_(2.0) * x,
}
MIXING: dict[str, Operation] = {
    "a tensor of the CPU": lambda x, y: x * torch.ones(4),
    "weights of the CPU": lambda x, y: functional.cross_entropy(x, y, weight=torch.ones(4)),
    "indices of the other device": lambda x, y: torch.eye(4)[y],
    "labels written to a tensor of the CPU": lambda x, y: torch.zeros(3, 4).scatter_(1, y[:, None], 1.0),
    "numbers left on the CPU": lambda x, y: x * torch.tensor([1.0, 2.0, 3.0, 4.0]),
    "one part brought to the CPU": lambda x, y: x.cpu() * x,
}


@pytest.fixture
def given() -> tuple[Tensor, Tensor]:
    return Away(torch.linspace(-1.0, 1.0, 12).reshape(3, 4)), Away(torch.tensor([0, 3, 1]))


@pytest.mark.parametrize("operation", FINE.values(), ids=FINE)
def test_what_stays_on_one_device_runs(operation: Operation, given: tuple[Tensor, Tensor]) -> None:
    numbers = [tensor.numbers.clone() for tensor in given]
    with torch.no_grad(), two_devices():
        value = operation(*given)
    due = operation(*numbers)
    assert torch.equal(value.numbers if isinstance(value, Away) else value, due)


@pytest.mark.parametrize("operation", MIXING.values(), ids=MIXING)
def test_what_mixes_devices_is_refused(operation: Operation, given: tuple[Tensor, Tensor]) -> None:
    with torch.no_grad(), two_devices(), pytest.raises(Mixed):
        operation(*given)


LOADED = """
import sys, torch
from lossaudit.fuzz import FuzzOptions, engine
from lossaudit.fuzz.target import Build

def smoothed(logits, labels):
    classes = logits.shape[1]
    mixed = torch.full((len(labels), classes), 0.1 / classes, device=logits.device)
    mixed.scatter_add_(1, labels[:, None], torch.full_like(mixed, 0.9))
    return -(mixed * logits.log_softmax(1)).sum(1).mean()

report = engine.audit("here:smoothed", [Build(smoothed)], FuzzOptions(max_examples=1))
print(report.reference.name, [one.code for one in report.findings], "torch._dynamo" in sys.modules)
"""


def test_a_right_loss_with_tensors_of_its_own_does_not_load_the_compiler() -> None:
    """It takes longer than all the rest of a run."""
    ended = subprocess.run([sys.executable, "-c", LOADED], capture_output=True, text=True, check=False)
    assert ended.stdout == "cross_entropy [] False\n", ended.stderr
