"""Calls that are announced and made together are seen as each is by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from torch.nn import functional

from lossaudit.fuzz import inputs
from lossaudit.fuzz.child import Announcer, describe
from lossaudit.fuzz.inputs import Reach
from lossaudit.fuzz.subject import Interface, Subject, silent
from lossaudit.fuzz.target import Build
from lossaudit.fuzz.wire import Blackboard, avoid_key, read_blackboard

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from lossaudit.fuzz.model import Case
    from lossaudit.fuzz.subject import Announce

INTERFACE = Interface("scores-labels")


def _cases() -> list[Case]:
    space = inputs.space_named("scores-labels")
    reach = Reach((0, 2), space.extras, ("random", "soft"), ("float32", "float16"), ("contiguous", "strided"))
    return inputs.fill_all(space, inputs.panel(space, reach, seed=5), {})


def _subject(loss: Callable[..., object], announce: Announce = silent) -> Subject:
    return Subject(Build(loss), INTERFACE, {}, announce)


def _plain(prediction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return functional.softplus(prediction).sub(prediction * target).mean()


def _raising_on_large(prediction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    if prediction.detach().abs().max() > 10:
        raise ValueError("too large")
    return _plain(prediction, target)


def _writing_behind_autograd(prediction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    prediction.data.clamp_(-2, 2)
    return _plain(prediction, target)


def _writing_to_labels(prediction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return _plain(prediction, target.mul_(0.9).add_(0.05))


def _writing_to_leaf(prediction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return _plain(prediction.mul_(2), target)


def _detached(prediction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return _plain(prediction.detach(), target)


class _OneBuffer:
    """Every call returns the same tensor, with other numbers."""

    def __init__(self) -> None:
        self.result = torch.zeros(())

    def __call__(self, prediction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return self.result.copy_(_plain(prediction.detach().float(), target.float()))


LOSSES = [
    _plain,
    _raising_on_large,
    _writing_behind_autograd,
    _writing_to_labels,
    _writing_to_leaf,
    _detached,
    _OneBuffer(),
]


@pytest.mark.parametrize("loss", LOSSES)
def test_together_and_alone_are_seen_alike(loss: Callable[..., object]) -> None:
    cases = _cases()
    subject = _subject(loss)
    together = subject.observe_all(cases, lambda: True)
    assert len(together) == len(cases)
    for case, seen in zip(cases, together, strict=True):
        alone = subject.observe(case)
        assert (seen.error, seen.backward_error, seen.dtype, seen.differentiable, seen.mutated) == (
            alone.error,
            alone.backward_error,
            alone.dtype,
            alone.differentiable,
            alone.mutated,
        )
        for first, second in ((seen.value, alone.value), (seen.gradient, alone.gradient)):
            assert (first is None) == (second is None)
            if first is not None and second is not None:
                assert torch.equal(first.nan_to_num(nan=0.5), second.nan_to_num(nan=0.5))


def test_the_board_names_the_very_call_that_runs(tmp_path: Path) -> None:
    """What it says within each call is the input of that call, though all were written down before the first."""
    cases, said = _cases(), []

    def watching(prediction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        said.append(read_blackboard(tmp_path))
        return _plain(prediction, target)

    subject = _subject(watching, Announcer(Blackboard(tmp_path), ()))
    subject.observe_all(cases, lambda: True)
    assert [{**describe(case, INTERFACE), "stage": "call"} for case in cases] == [
        {key: value for key, value in state.items() if key != "count"} for state in said
    ]
    counts = [state["count"] for state in said]
    assert counts == sorted(set(counts))  # each is another one for who looks for progress
    assert read_blackboard(tmp_path)["stage"] == "idle"


def test_calls_that_killed_a_child_are_not_made_together(tmp_path: Path) -> None:
    cases, called = _cases(), []

    def counting(prediction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        called.append(prediction)
        return _plain(prediction, target)

    deadly = avoid_key({**describe(cases[0], INTERFACE), "stage": "call"})
    subject = _subject(counting, Announcer(Blackboard(tmp_path), (deadly,)))
    seen = subject.observe_all(cases, lambda: True)
    assert seen[0].error_type == "Avoided"
    assert len(called) == sum(found.error_type != "Avoided" for found in seen) > 0


def test_no_call_is_made_when_time_is_up() -> None:
    answers = iter([True, True, False])
    assert len(_subject(_plain).observe_all(_cases(), lambda: next(answers))) == 2
