"""What a fuzzing run says in words: a loss that was judged without a formula is not counted among the right ones."""

from __future__ import annotations

from click import unstyle

from lossaudit.findings import Reference, TargetReport
from lossaudit.report.fuzz_text import overview, render_full, summary

_CE = Reference("cross_entropy", {}, recognised=True)
_RIGHT = TargetReport("losses.py:Right", _CE, "conforms")
_STRANGE = TargetReport("losses.py:Strange", None, "conforms")
_BROKEN = TargetReport("losses.py:Broken", None, "error", error="it ended its process")


def test_a_loss_that_was_not_recognised_is_counted_apart() -> None:
    line = summary([_RIGHT, _RIGHT, _STRANGE, _BROKEN])
    assert line == "4 losses fuzzed: 2 conform, 1 not recognised, 1 could not be judged; 0 findings."
    assert summary([_RIGHT]) == "1 loss fuzzed: 1 conforms; 0 findings."
    assert summary([]) == "0 losses fuzzed."


def test_the_table_says_what_was_judged_against_what() -> None:
    rows = [line.split() for line in unstyle(overview([_RIGHT, _STRANGE, _BROKEN])).splitlines()]
    assert rows[:2] == [
        ["losses.py:Right", "conforms", "cross_entropy"],
        ["losses.py:Strange", "not", "recognised", "-"],
    ]
    assert rows[2] == ["losses.py:Broken", "error", "-", "it", "ended", "its", "process"]


def test_alone_it_is_said_that_nothing_was_recognised() -> None:
    assert "NO FINDING (no known loss was recognised)" in unstyle(render_full([_STRANGE]))
