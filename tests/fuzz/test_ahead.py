"""The second process, which judges a loss as one that is like no other while its mistakes are still searched for."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
import second_process
from conftest import FIXTURES

from lossaudit.fuzz import FuzzOptions
from lossaudit.fuzz.ahead import Ahead
from lossaudit.fuzz.engine import audit
from lossaudit.fuzz.nursery import can_fork
from lossaudit.fuzz.target import builds, load, parse_target

if TYPE_CHECKING:
    from collections.abc import Callable

    from lossaudit.findings import TargetReport

UNHURRIED = FuzzOptions(max_examples=5, max_time=60.0)


@pytest.mark.skipif(not can_fork(), reason="there is no second process here")
@pytest.mark.parametrize(
    "check",
    [
        second_process.sees_what_the_first_has_seen_and_answers,
        second_process.puts_aside_what_it_must_not_share,
        second_process.has_no_answer_when_it_dies,
        second_process.is_ended_when_it_is_late_or_not_wanted,
        second_process.is_not_made_of_a_process_with_threads,
    ],
    ids=lambda check: check.__name__,
)
def test_a_second_process(check: Callable[[], None]) -> None:
    subprocess.run([sys.executable, second_process.__file__, check.__name__], check=True, timeout=60)


class Here(Ahead):
    """Does the work at once, in this process; and gives no answer, if so told."""

    def __init__(self, *, answers: bool = True) -> None:
        super().__init__()
        self.answers = answers
        self.began = self.asked = 0

    def start(self, work: Callable[[], bytes]) -> None:
        self.began += 1
        self.text = work()

    def result(self, seconds: float) -> bytes | None:
        self.asked += 1
        return self.text if self.answers else None


def _audited(
    target: str, ahead: Ahead | None, options: FuzzOptions = UNHURRIED
) -> tuple[TargetReport, list[str]]:
    events: list[str] = []
    report = audit(
        target, builds(load(parse_target(target)), {}), options, on_event=events.append, ahead=ahead
    )
    return report, events


UNLIKE = f"{FIXTURES}/unknown/losses.py:spectral_convergence"


@pytest.mark.parametrize("answers", [True, False])
def test_a_loss_like_no_other_gets_the_same_report_from_either_process(*, answers: bool) -> None:
    ahead = Here(answers=answers)
    assert _audited(UNLIKE, ahead) == _audited(UNLIKE, None)
    assert (ahead.began, ahead.asked) == (1, 1)


def test_that_not_every_mistake_was_tried_is_known_to_the_first_process_only() -> None:
    hurried = FuzzOptions(max_examples=5, max_time=1e-6)
    assert _audited(UNLIKE, Here(), hurried) == _audited(UNLIKE, None, hurried)
    assert "not every known mistake was tried" in _audited(UNLIKE, Here(), hurried)[0].assumptions[0]


def test_a_loss_with_a_mistake_is_not_reported_as_one_like_no_other() -> None:
    ahead = Here()
    report, _ = _audited(f"{FIXTURES}/mistakes/segmentation.py:without_two", ahead)
    assert (ahead.began, ahead.asked) == (1, 0)
    assert report.reference is not None
    assert report.findings[0].diagnosis is not None


def test_a_right_loss_is_not_judged_twice() -> None:
    ahead = Here()
    report, _ = _audited("torch.nn:CrossEntropyLoss", ahead)
    assert (report.verdict, ahead.began) == ("conforms", 0)
