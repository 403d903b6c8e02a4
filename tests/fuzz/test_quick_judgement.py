"""What makes judging quick leaves nothing out: the short ways say what the long ones say."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest
import torch
from conftest import FIXTURES

from lossaudit.fuzz import FuzzOptions, engine, inputs, trial, wire
from lossaudit.fuzz.checks import all_checks
from lossaudit.fuzz.subject import silent
from lossaudit.fuzz.target import builds, load, parse_target

if TYPE_CHECKING:
    from pathlib import Path

    from lossaudit.fuzz.trial import Session, Trial

SILENT_ON_AGREEMENT = [check for check in all_checks() if check.only_disagreeing]


def _session(name: str) -> Session:
    made = builds(load(parse_target(f"{FIXTURES / name}")), {})
    return engine._session(*engine._recognise(made, FuzzOptions(), silent, None))


def _trials(session: Session) -> list[Trial]:
    return [
        session.trial(inputs.fill(inputs.space_named(name), structure, {}))
        for name, reach in session.reach.items()
        for structure in inputs.panel(inputs.space_named(name), reach, 0)
    ]


@pytest.mark.parametrize(
    "name",
    [
        "correct/cross_entropy.py:by_gather",
        "correct/segmentation.py:dice_flat",
        "mistakes/binary.py:positives_only",
    ],
)
def test_checks_of_disagreement_are_silent_on_agreement(name: str) -> None:
    agreeing = [trial for trial in _trials(_session(name)) if trial.agrees_everywhere]
    assert len(agreeing) > 20
    assert [check.run(trial) for trial in agreeing for check in SILENT_ON_AGREEMENT] == [None] * (
        len(agreeing) * len(SILENT_ON_AGREEMENT)
    )


@pytest.mark.parametrize("count", [1, trial.FEW_NUMBERS, trial.FEW_NUMBERS + 1])
@pytest.mark.parametrize(
    ("seen", "room", "within"),
    [
        (1.5, 0.5, True),
        (1.51, 0.5, False),
        (math.nan, 1.0, False),
        (math.inf, math.inf, False),
        (1.0, math.inf, True),
        (1.0, math.nan, False),
    ],
)
def test_few_numbers_are_compared_as_many_are(count: int, seen: float, room: float, within: bool) -> None:
    exact = torch.ones(count, dtype=torch.float64)
    last, tolerance = exact.clone(), torch.full_like(exact, room)
    last[-1] = seen
    assert trial._within(last, exact, tolerance, 1.0) is within
    assert trial._within(last[-1], exact[-1], tolerance[-1], 1.0) is within


def test_blackboard_holds_states_larger_than_its_first_page(tmp_path: Path) -> None:
    board = wire.Blackboard(tmp_path)
    assert wire.read_blackboard(tmp_path) == {}
    for numbers in ([1.0, math.inf], [0.5] * 10000, [2.0]):
        board.write({"stage": "call", "numbers": numbers})
        told = wire.read_blackboard(tmp_path)
        assert (told["stage"], told["numbers"], told["count"]) == ("call", numbers, board.count)
    board.idle()
    assert wire.read_blackboard(tmp_path) == {"stage": wire.IDLE, "count": board.count}
