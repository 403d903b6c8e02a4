"""Fillings of one structure in one call: only of losses that leave nothing behind, and only where the answer is right."""

from __future__ import annotations

import functools
import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from lossaudit.fuzz import FuzzOptions, engine, fuzz_target, inputs, joined
from lossaudit.fuzz.child import Announcer, describe
from lossaudit.fuzz.model import Structure
from lossaudit.fuzz.subject import Interface, Subject, silent
from lossaudit.fuzz.target import Build
from lossaudit.fuzz.traceless import leaves_no_trace
from lossaudit.fuzz.wire import JOINED, Blackboard, avoid_key

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from torch import Tensor

    from lossaudit.fuzz.model import Case

INTERFACE = Interface("scores-labels")
HISTORY: list[Tensor] = []
SETTINGS = {"seen": 0}
WEIGHTS = torch.tensor([1.0, 2.0])
SCALES = [1.0, 1.0]


def _plain(scores: Tensor, labels: Tensor) -> Tensor:
    return (functional.softplus(scores) - scores * labels).mean()


def _by_a_helper(scores: Tensor, labels: Tensor) -> Tensor:
    return _plain(scores * math.exp(0.0), labels)


def _by_scales(scores: Tensor, labels: Tensor) -> Tensor:
    losses = [_plain(scores, labels) * scale for scale in SCALES]
    return torch.stack(losses).mean()


def _into_its_own_tensor(scores: Tensor, labels: Tensor) -> Tensor:
    losses = torch.empty_like(scores)
    losses[...] = functional.softplus(scores) - scores * labels
    return losses.mean()


class _Module(nn.Module):
    def __init__(self, reduction: str = "mean") -> None:
        super().__init__()
        self.reduction = reduction
        self.criterion = nn.BCEWithLogitsLoss(reduction="none")
        self.register_buffer("scale", torch.ones(()))

    def forward(self, scores: Tensor, labels: Tensor) -> Tensor:
        losses = self.scale * self.criterion(scores, labels)
        return losses.mean() if self.reduction == "mean" else losses.sum()

    def set_reduction(self, reduction: str) -> None:
        self.reduction = reduction


class _Heir(_Module):
    def forward(self, scores: Tensor, labels: Tensor) -> Tensor:
        return super().forward(scores, labels)


def _keeping_a_history(scores: Tensor, labels: Tensor) -> Tensor:
    loss = _plain(scores, labels)
    HISTORY.append(loss.detach())
    return loss


def _with_a_last_loss() -> Callable[[Tensor, Tensor], Tensor]:
    last = None

    def loss(scores: Tensor, labels: Tensor) -> Tensor:
        nonlocal last
        last = _plain(scores, labels)
        return last

    return loss


def _counting(scores: Tensor, labels: Tensor) -> Tensor:
    SETTINGS["seen"] += 1
    return _plain(scores, labels)


def _naming_what_it_sets(scores: Tensor, labels: Tensor) -> Tensor:
    setattr(SETTINGS, "lo" + "ss", scores)
    return _plain(scores, labels)


def _writing_to_weights(scores: Tensor, labels: Tensor) -> Tensor:
    WEIGHTS.mul_(1.0)
    return _plain(scores, labels)


def _remembering_its_default(scores: Tensor, labels: Tensor, seen: list[Tensor] = []) -> Tensor:  # noqa: B006
    seen.append(scores)
    return _plain(scores, labels)


def _printing(scores: Tensor, labels: Tensor) -> Tensor:
    print(scores)  # noqa: T201 (that is what it is about)
    return _plain(scores, labels)


class _Remembering(_Module):
    def forward(self, scores: Tensor, labels: Tensor) -> Tensor:
        self.last = super().forward(scores, labels)
        return self.last


class _RememberingInAMethod(_Module):
    def forward(self, scores: Tensor, labels: Tensor) -> Tensor:
        return self._kept(super().forward(scores, labels))

    def _kept(self, loss: Tensor) -> Tensor:
        self.scale.add_(0.0)
        return loss


class _Meter:
    def __init__(self) -> None:
        self.values: list[Tensor] = []

    def __iadd__(self, value: Tensor) -> _Meter:
        self.values.append(value)
        return self


class _WithMeter:
    def __init__(self) -> None:
        self.meter = _Meter()

    def __call__(self, scores: Tensor, labels: Tensor) -> Tensor:
        meter = self.meter
        meter += scores
        return _plain(scores, labels)


CLEAN = [
    _plain,
    _by_a_helper,
    _by_scales,
    _into_its_own_tensor,
    functools.partial(functional.binary_cross_entropy_with_logits, reduction="sum"),
    functional.binary_cross_entropy_with_logits,
    nn.BCEWithLogitsLoss(),
    _Module(),
    _Heir(),
    lambda scores, labels: 1.0 * _plain(scores, labels),
]
UNCLEAN = [
    _keeping_a_history,
    _with_a_last_loss(),
    _counting,
    _naming_what_it_sets,
    _writing_to_weights,
    _remembering_its_default,
    _printing,
    _Remembering(),
    _RememberingInAMethod(),
    _WithMeter(),
    functools.lru_cache(_plain),
]


@pytest.mark.parametrize("loss", CLEAN)
def test_a_loss_of_operations_alone_leaves_no_trace(loss: Callable[..., Any]) -> None:
    assert leaves_no_trace(loss)


@pytest.mark.parametrize("loss", UNCLEAN)
def test_a_loss_that_may_keep_something_is_not_trusted(loss: Callable[..., Any]) -> None:
    assert not leaves_no_trace(loss)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_compiled_program_is_not_read() -> None:
    assert not leaves_no_trace(torch.jit.script(nn.BCEWithLogitsLoss()))


def _fillings(**changes: Any) -> list[Case]:
    space = inputs.space_named("scores-labels")
    base = replace(Structure(batch=3, classes=2, features=0, targets="random", seed=1), **changes)
    return inputs.fill_all(space, [replace(base, seed=number) for number in range(5)], {})


def _subject(loss: Callable[..., Any], announce: Any = silent) -> Subject:
    return Subject(Build(loss), INTERFACE, {}, announce)


@pytest.mark.parametrize("reduction", ["mean", "none"])
@pytest.mark.parametrize("extra", [(), (4,), (2, 3)])
@pytest.mark.parametrize("layout", ["contiguous", "transposed", "strided"])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_joined_and_alone_are_seen_alike(
    dtype: str, layout: str, extra: tuple[int, ...], reduction: str
) -> None:
    lies = []

    def loss(scores: Tensor, labels: Tensor) -> Tensor:
        lies.append((scores.stride(), scores.shape, scores.dtype))
        return functional.binary_cross_entropy_with_logits(scores, labels, reduction=reduction)

    subject, cases = _subject(loss), _fillings(dtype=dtype, layout=layout, extra=extra)
    seen = joined.observe_joined(subject, cases)
    alone = [subject.observe(case) for case in cases]
    assert len(set(lies)) == 1  # each lies in memory as it does by itself
    assert seen is not None
    for one, other in zip(seen, alone, strict=True):
        assert (one.dtype, one.differentiable, one.mutated) == (other.dtype, True, ())
        assert one.value is not None
        assert other.value is not None
        # Made for many, an operation may be made of others: it is rounded otherwise.
        unit = torch.finfo(getattr(torch, dtype)).eps
        assert torch.allclose(one.value, other.value, rtol=8 * unit, atol=8 * unit)
        assert torch.allclose(one.gradient, other.gradient, rtol=8 * unit, atol=8 * unit)


def _by_its_numbers(scores: Tensor, labels: Tensor) -> Tensor:
    return _plain(scores, labels) if scores.detach().abs().max() > 1 else _by_a_helper(scores, labels)


def _by_a_mask(scores: Tensor, labels: Tensor) -> Tensor:
    return functional.softplus(torch.where(labels > 0, -scores, scores)[labels >= 0]).mean()


def _writing_to_labels(scores: Tensor, labels: Tensor) -> Tensor:
    return _plain(scores, labels.mul_(0.9))


def _random(scores: Tensor, labels: Tensor) -> Tensor:
    return _plain(scores + torch.rand_like(scores), labels)


@pytest.mark.parametrize("loss", [_by_its_numbers, _by_a_mask, _writing_to_labels, _random])
def test_what_cannot_be_seen_in_one_call_is_left_to_several(loss: Callable[..., Any]) -> None:
    assert joined.observe_joined(_subject(loss), _fillings()) is None


def _audit(loss: Callable[..., Any]) -> Any:
    return engine.audit("here:loss", [Build(loss)], FuzzOptions(reference="bce_with_logits"))


def test_a_run_makes_fewer_calls_and_says_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = [0]

    def watched(self: Subject, *arguments: Any, **options: Any) -> Any:
        calls[0] += 1
        return invoke(self, *arguments, **options)

    invoke = Subject.invoke
    monkeypatch.setattr(Subject, "invoke", watched)
    with_joining, few = _audit(_plain), calls[0]
    monkeypatch.setattr(joined, "may_join", lambda _: False)
    calls[0] = 0
    without, many = _audit(_plain), calls[0]
    assert with_joining == without
    assert few < 0.6 * many


def _wrong_where_confident(scores: Tensor, labels: Tensor) -> Tensor:
    bounded = torch.where(scores.abs() > 3.5, scores.clamp(-3.5, 3.5).detach(), scores)
    return _plain(bounded, labels)


def test_what_is_wrong_on_some_fillings_only_is_found_by_a_plain_call() -> None:
    found = _audit(_wrong_where_confident).findings
    assert {finding.code for finding in found} & {"LF101", "LF102"}


def _shape_tells(scores: Tensor, labels: Tensor) -> Tensor:
    """Right in a call for many, wrong by itself: what a plain call shows counts."""
    factor = 1.0 if torch._C._functorch.is_batchedtensor(scores) else 2.0
    return factor * _plain(scores, labels)


def test_who_is_right_in_joined_calls_only_is_accused() -> None:
    assert leaves_no_trace(_shape_tells)
    assert [finding.code for finding in _audit(_shape_tells).findings] == ["LF101"]


def test_a_joined_call_that_ended_a_child_is_not_made_again(tmp_path: Path) -> None:
    state = {**describe(_fillings()[0], INTERFACE), "stage": JOINED}
    subject = _subject(_plain, Announcer(Blackboard(tmp_path), (avoid_key(state),)))
    assert joined.observe_joined(subject, _fillings()) is None
    assert subject.observe(_fillings()[0]).error is None


def test_a_joined_call_that_hangs_is_no_fault_of_the_loss(tmp_path: Path) -> None:
    (tmp_path / "patient.py").write_text(
        "import torch\n"
        "from torch.nn import functional\n\n"
        "def loss(scores, labels):\n"
        "    while torch._C._functorch.is_batchedtensor(scores):\n"
        "        pass\n"
        "    return functional.binary_cross_entropy_with_logits(scores, labels)\n"
    )
    report = fuzz_target(f"{tmp_path / 'patient.py'}:loss", FuzzOptions(call_time=2.0))
    assert (report.verdict, report.findings) == ("conforms", ())
