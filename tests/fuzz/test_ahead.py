"""The second process, which judges a loss as one that is like no other while its mistakes are still searched for."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest
from conftest import FIXTURES

from lossaudit.fuzz import FuzzOptions
from lossaudit.fuzz.ahead import Ahead
from lossaudit.fuzz.engine import audit
from lossaudit.fuzz.nursery import can_fork
from lossaudit.fuzz.target import builds, load, parse_target

if TYPE_CHECKING:
    from collections.abc import Callable

    from lossaudit.findings import TargetReport

forks = pytest.mark.skipif(not can_fork(), reason="there is no second process here")
LONG = b"a report of more than a pipe holds" * 10_000
UNHURRIED = FuzzOptions(max_examples=5, max_time=60.0)


@forks
def test_the_second_process_sees_what_the_first_has_seen_and_answers() -> None:
    seen = [LONG]
    with Ahead() as ahead:
        ahead.start(lambda: seen[0])
        seen[0] = b"what came later"
        assert ahead.result(30.0) == LONG
        assert ahead.result(30.0) is None


@forks
def test_what_is_put_aside_is_put_aside_in_the_second_process_only() -> None:
    where = ["first"]

    def apart() -> None:
        where[0] = "second"

    with Ahead(apart) as ahead:
        ahead.start(lambda: b"in the " + where[0].encode())
        assert ahead.result(30.0) == b"in the second"
    assert where == ["first"]


@forks
@pytest.mark.parametrize("work", [lambda: os.kill(os.getpid(), 9), lambda: os._exit(0), lambda: 1 / 0])
def test_a_second_process_that_dies_has_no_answer(work: Callable[[], bytes]) -> None:
    with Ahead() as ahead:
        ahead.start(work)
        assert ahead.result(30.0) is None


@forks
def test_a_second_process_that_is_late_or_not_wanted_is_ended() -> None:
    reading, writing = os.pipe()

    def stalls() -> bytes:
        os.write(writing, f"{os.getpid()} ".encode())
        time.sleep(600)
        return b""

    with Ahead() as ahead:
        ahead.start(stalls)
        late = int(os.read(reading, 100))
        assert ahead.result(0.05) is None
        ahead.start(stalls)
        earlier = int(os.read(reading, 100))
        ahead.start(stalls)
        left = int(os.read(reading, 100))
    for pid in (late, earlier, left):
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


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
