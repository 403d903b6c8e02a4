"""What a loss keeps of one call does not answer the next one, unless its memory is what is asked about."""

from __future__ import annotations

import functools
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from lossaudit.fuzz.memory import Restored, is_declared
from lossaudit.fuzz.model import Case
from lossaudit.fuzz.subject import Interface, Subject, silent
from lossaudit.fuzz.target import Build


class Remembers(nn.Module):
    """Changes whatever a loss can change of itself."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("cast", torch.tensor([1.0, 2.0]))
        self.register_buffer("mean", torch.tensor(1.0))
        self.plain = torch.zeros(2)
        self.past: list[torch.Tensor] = []
        self.seen = {"calls": 0}
        self.inner = nn.Linear(2, 2)
        self.count = 0
        self.lazy: torch.Tensor | None = None

    def forward(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        self.cast = self.cast.to(torch.float16)
        self.mean.mul_(0.9)
        self.plain[0] += 1
        self.past.append(logits)
        self.seen["calls"] += 1
        self.inner.bias = None
        self.count += 1
        self.lazy = torch.ones(logits.shape[1])
        self.extra = 1
        return functional.cross_entropy(logits, labels) * (1 + len(self.past))


def _case() -> Case:
    logits = torch.tensor([[1.0, 2.0], [0.5, -1.0]], dtype=torch.float64)
    return Case("logits-indices", logits, torch.tensor([0, 1]), "float32", "contiguous", "ordinary", "random")


def _look(loss: Remembers) -> dict[str, Any]:
    shown = {
        name: getattr(loss, name, "missing")
        for name in ("cast", "mean", "plain", "past", "seen", "count", "lazy", "extra")
    }
    return {name: str(value) for name, value in shown.items()} | {"bias": str(loss.inner.bias)}


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_call_leaves_no_trace(wrapped: bool) -> None:
    loss = Remembers()
    before = _look(loss)
    target = functools.partial(loss) if wrapped else loss
    subject = Subject(Build(target), Interface("logits-indices"), {}, silent)
    values = [subject.observe(_case()).value for _ in range(2)]
    assert _look(loss) == before
    assert values[0] is not None
    assert values[1] is not None
    assert torch.equal(values[0], values[1])


def test_memory_stays_where_it_is_asked_about() -> None:
    loss = Remembers()
    subject = Subject(Build(loss), Interface("logits-indices"), {}, silent)
    first = subject.observe(_case(), remembers=True).value
    second = subject.observe(_case(), remembers=True).value
    assert first is not None
    assert second is not None
    assert float(second) == pytest.approx(1.5 * float(first))
    assert loss.count == 2


def test_what_raises_is_put_back_too() -> None:
    loss = Remembers()
    before = _look(loss)
    with pytest.raises(IndexError), Restored(loss):
        loss(torch.ones(2, 2), torch.tensor([0, 5]))
    assert _look(loss) == before


def test_a_function_has_nothing_to_put_back() -> None:
    with Restored(functional.cross_entropy):
        pass


class Counts(nn.Module):
    """Divides by all that it has seen: a running sum that training mode does not excuse."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("seen", torch.tensor(0.0))

    def forward(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        self.seen += len(labels)
        return functional.cross_entropy(logits, labels, reduction="sum") / self.seen


class Averages(Counts):
    """The same state, written in training mode only."""

    def forward(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        if self.training:
            self.seen += len(labels)
        return functional.cross_entropy(logits, labels) / (1 + self.seen)


class Forgets(nn.Module):
    """A buffer that no call writes to: there is no memory to declare."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("weight", torch.ones(2))

    def forward(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return functional.cross_entropy(logits, labels, weight=self.weight)


class HiddenAverages(Averages):
    """Beside the buffer, an attribute that nobody was told of."""

    calls = 0

    def forward(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        if self.training:
            self.calls += 1
        return super().forward(logits, labels) * (1 + self.calls)


@pytest.mark.parametrize(
    ("loss", "declared"), [(Counts(), False), (Averages(), True), (HiddenAverages(), False)]
)
def test_state_is_declared_by_buffers_that_rest_in_eval_mode(loss: nn.Module, declared: bool) -> None:
    subject = Subject(Build(loss), Interface("logits-indices"), {}, silent)
    assert is_declared(subject, _case()) is declared
