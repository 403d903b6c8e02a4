"""What a loss keeps of one call does not answer the next one, unless its memory is what is asked about."""

from __future__ import annotations

import functools
from collections import deque
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from lossaudit.fuzz import memory
from lossaudit.fuzz.memory import MOST_CALLS, Restored, growing, is_declared, is_meant
from lossaudit.fuzz.model import Case
from lossaudit.fuzz.subject import Interface, Subject, silent
from lossaudit.fuzz.target import Build

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As long as it takes: on a busy machine all the calls may need more than a run would wait for them."""
    monkeypatch.setattr(memory, "SECONDS", 600.0)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as in a run: two wait for each other
    yield
    torch.set_num_threads(threads)


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


class _Keeps(nn.Module):
    """A cross-entropy that remembers its losses in a container."""

    def __init__(self, history: Any) -> None:
        super().__init__()
        self.history = history

    def forward(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        loss = functional.cross_entropy(logits, labels)
        self.history.append(loss.item())
        return loss


class Cut(_Keeps):
    """The same, cut at a length."""

    def forward(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        loss = super().forward(logits, labels)
        self.history = self.history[-1000:]
        return loss


class Halved(_Keeps):
    """The same, cleared in large steps."""

    def forward(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        loss = super().forward(logits, labels)
        if len(self.history) >= 1024:
            del self.history[:512]
        return loss


class Cached(nn.Module):
    """One-hot rows by the number of classes, made when they are first needed."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: dict[int, torch.Tensor] = {}

    def forward(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        classes = logits.shape[1]
        if classes not in self.rows:
            self.rows[classes] = torch.eye(classes)
        return -(self.rows[classes][labels].to(logits) * logits.log_softmax(1)).sum(1).mean()


@pytest.mark.parametrize(
    ("loss", "grows"),
    [
        (_Keeps([]), True),
        (_Keeps(deque()), True),
        (_Keeps(deque(maxlen=10_000)), False),
        (Cut([]), False),
        (Halved([]), False),
        (Cached(), False),
    ],
    ids=["list", "queue", "queue-with-a-length", "cut", "halved", "cached"],
)
def test_only_what_has_no_bound_grows(loss: nn.Module, grows: bool) -> None:
    subject = Subject(Build(loss), Interface("logits-indices"), {}, silent)
    assert growing(subject, _case()) == (("history", MOST_CALLS) if grows else None)


class Bank(nn.Module):
    """Compares with the scores of the last calls."""

    def __init__(self, bank: Any, size: int) -> None:
        super().__init__()
        self.bank, self.size = bank, size

    def forward(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        earlier = sum(self.bank)
        self.bank.append(float(logits.detach().mean()))
        while len(self.bank) > self.size:
            self.bank.popleft() if isinstance(self.bank, deque) else self.bank.pop(0)
        return functional.cross_entropy(logits, labels) + (logits.mean() - earlier).square()


class Decays(nn.Module):
    """Writes to its own weight by accident."""

    def __init__(self) -> None:
        super().__init__()
        self.weights = [1.0]

    def forward(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        self.weights[0] *= 0.5
        return self.weights[0] * functional.cross_entropy(logits, labels)


@pytest.mark.parametrize(
    ("loss", "meant"),
    [
        (Bank([], 8), True),
        (Bank(deque(maxlen=8), 8), True),
        (Bank([], 10**9), False),
        (Decays(), False),
        (HiddenAverages(), False),
        (Averages(), True),
    ],
    ids=["list", "queue", "no-bound", "overwritten", "hidden", "buffers"],
)
def test_a_bank_with_a_bound_is_meant(loss: nn.Module, meant: bool) -> None:
    subject = Subject(Build(loss), Interface("logits-indices"), {}, silent)
    assert is_meant(subject, _case()) is meant


def test_a_queue_is_put_back() -> None:
    loss = _Keeps(deque([1.0], maxlen=2))
    with Restored(loss):
        loss(torch.zeros(1, 2), torch.zeros(1, dtype=torch.long))
    assert list(loss.history) == [1.0]
    assert loss.history.maxlen == 2
