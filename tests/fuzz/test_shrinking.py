"""Counterexamples end at what a person can read: one sample, two classes, small integers."""

from __future__ import annotations

import pytest
from conftest import FIXTURES, audit_here

from lossaudit.fuzz import FuzzOptions

SMALLEST = {
    "cross_entropy.py:softmax_twice": ([[1.0, 0.0]], [0]),
    "cross_entropy.py:without_log": ([[0.0, 0.0]], [0]),
    "cross_entropy.py:over_classes": ([[0.0, 0.0]], [0]),
    "cross_entropy.py:SharedVector": ([[0.0, 0.0]], [0]),
    "cross_entropy.py:SumForMean": ([[0.0, 0.0], [0.0, 0.0]], [0, 0]),
    "cross_entropy.py:IgnoredCounted": ([[0.0, 0.0], [0.0, 0.0]], None),
    "cross_entropy.py:clamped": ([[0.0, 14.0]], [0]),
    "binary.py:sigmoid_twice": ([0.0], [0.0]),
    "binary.py:WrongSide": ([0.0], [0.0]),
}


@pytest.mark.parametrize("target", SMALLEST)
def test_counterexample_is_the_smallest(target: str) -> None:
    for seed in (0, 1):
        report = audit_here(f"{FIXTURES / 'mistakes'}/{target}", FuzzOptions(seed=seed, max_examples=10))
        shown = report.findings[0].counterexample
        prediction, labels = SMALLEST[target]
        assert (
            sorted(shown["prediction"]) == sorted(prediction)
            or sorted(shown["prediction"][0]) == prediction[0]
        )
        assert labels is None or len(shown["target"]) == len(labels)
        assert shown["dtype"] == "float32"
        assert shown["layout"] == "contiguous"


def test_repro_runs_and_shows_both_values(capsys: pytest.CaptureFixture[str]) -> None:
    report = audit_here(
        f"{FIXTURES / 'mistakes' / 'cross_entropy.py'}:softmax_twice", FuzzOptions(max_examples=5)
    )
    exec(report.findings[0].repro, {})  # noqa: S102 (what a user would paste)
    out = capsys.readouterr().out
    assert "0.4885" in out
    assert "0.3133" in out
