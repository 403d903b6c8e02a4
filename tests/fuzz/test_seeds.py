"""The five systems that lossaudit was conceived from: what must be said of each, with the numbers."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from conftest import FIXTURES, audit_here

from lossaudit.fuzz import FuzzOptions
from lossaudit.fuzz.target import load, parse_target

if TYPE_CHECKING:
    from pathlib import Path

    from lossaudit.findings import FuzzFinding, TargetReport

SEEDS = FIXTURES / "seeds"
LOGITS = torch.tensor(
    [[0.0682, -0.5742, 0.3612, -0.4870, -2.7665], [-0.8642, -0.0828, -0.9225, -1.1206, 0.6337]]
)
CLASSES = torch.tensor([0, 2])


def finding(report: TargetReport, code: str) -> FuzzFinding:
    return next(found for found in report.findings if found.code == code)


def test_shared_weight_vector() -> None:
    target = f"{SEEDS / 'smooth_loss.py'}:SmoothLoss"
    report = audit_here(target)
    assert report.reference is not None
    assert report.reference.parameters == {"label_smoothing": 0.1, "reduction": "mean"}
    diagnosis = finding(report, "LF503").diagnosis
    assert diagnosis is not None
    assert "one weight vector shared by the whole batch" in diagnosis.message
    loss = load(parse_target(target))()
    assert loss(LOGITS, CLASSES).item() == pytest.approx(9.2762, abs=5e-5)
    right = torch.nn.functional.cross_entropy(LOGITS, CLASSES, label_smoothing=0.1)
    assert right.item() == pytest.approx(1.7892, abs=5e-5)


def test_log_of_softmax_breaks_at_a_gap_of_104() -> None:
    target = f"{SEEDS / 'log_of_softmax.py'}:LabelSmoothing"
    report = audit_here(target)
    broken = finding(report, "LF301")
    assert broken.evidence["starts_at"]["quantity"] == "gap between two logits"
    assert broken.evidence["starts_at"]["value"] == pytest.approx(104, abs=1)
    assert sorted(broken.counterexample["prediction"][0]) == [0.0, 104.0]
    assert load(parse_target(target))()(LOGITS, CLASSES).item() == pytest.approx(1.7892, abs=5e-5)


@pytest.mark.parametrize("name", ["SmoothedByFlag", "SmoothedOnTheCpu"])
def test_device_bound_code_is_shown_without_a_device(name: str) -> None:
    report = audit_here(f"{SEEDS / 'use_gpu.py'}:{name}")
    assert [found.code for found in report.findings] == ["LF404"]
    assert report.reference is not None
    assert report.reference.parameters["label_smoothing"] == 0.1
    assert any("num_classes was given as 3" in sentence for sentence in report.assumptions)


def test_epsilon_in_the_log_says_where_it_starts() -> None:
    target = f"{SEEDS / 'hand_written_bce.py'}:binary_cross_entropy"
    report = audit_here(target)
    start = finding(report, "LF101").evidence["starts_at"]
    assert start["quantity"] == "size of the score"
    assert 10 < start["value"] < 20.8
    bounded = load(parse_target(target))(torch.tensor([-80.0]), torch.ones(1))
    assert bounded.item() == pytest.approx(20.7233, abs=5e-5)


def test_a_loss_in_numpy_is_infinite_once_a_probability_underflows() -> None:
    target = f"{SEEDS / 'numpy_cross_entropy.py'}:cross_entropy"
    report = audit_here(target)
    assert report.reference is not None
    assert report.reference.name == "cross_entropy"
    assert [found.code for found in report.findings] == ["LF301"]
    loss = load(parse_target(target))
    assert loss(LOGITS.numpy(), CLASSES.numpy()) == pytest.approx(1.7744, abs=5e-5)
    with np.errstate(divide="ignore"):
        assert loss(np.array([[0.0, 110.0]]), np.array([0])) == math.inf


def test_focal_loss_around_a_criterion() -> None:
    report = audit_here(f"{SEEDS / 'focal_wrapper.py'}:FocalLoss")
    assert report.reference is not None
    assert report.reference.name == "sigmoid_focal_loss"
    assert report.reference.parameters == {"gamma": 2.0, "alpha": 0.25, "reduction": "mean"}
    assert "reduction from 'mean' to 'none'" in finding(report, "LF401").message


def test_iou_loss_is_minus_one_at_the_match() -> None:
    diagnosis = finding(audit_here(f"{SEEDS / 'iou_loss.py'}:IouLoss"), "LF101").diagnosis
    assert diagnosis is not None
    assert "-1 at the perfect match" in diagnosis.message
    assert "jump at the threshold" in diagnosis.message


def test_reference_that_is_named_is_the_judge() -> None:
    target = f"{FIXTURES / 'correct' / 'cross_entropy.py'}:SmoothingOverOthers"
    report = audit_here(target, FuzzOptions(reference="cross_entropy:label_smoothing=0.1", max_examples=10))
    diagnosis = finding(report, "LF101").diagnosis
    assert diagnosis is not None
    assert diagnosis.mistake == "smoothing-over-other-classes"
    assert "convention" in diagnosis.message


def test_missing_sigmoid_is_named_when_the_reference_is(tmp_path: Path) -> None:
    path = tmp_path / "forgotten.py"
    path.write_text("def loss(x, y):\n    return -(y * x.log() + (1 - y) * (1 - x).log()).mean()\n")
    assert audit_here(f"{path}:loss", FuzzOptions(max_examples=10)).reference is not None
    report = audit_here(f"{path}:loss", FuzzOptions(reference="bce_with_logits", max_examples=10))
    diagnoses = {found.diagnosis.mistake for found in report.findings if found.diagnosis is not None}
    assert diagnoses == {"missing-sigmoid"}


def test_named_reference_on_other_inputs() -> None:
    target = f"{FIXTURES / 'correct' / 'binary.py'}:TorchProbabilities"
    report = audit_here(target, FuzzOptions(reference="cross_entropy", max_examples=10))
    assert report.verdict == "error"
    assert report.error is not None
    assert "takes none of the inputs on which cross_entropy is defined" in report.error


def test_own_reference() -> None:
    folder = FIXTURES / "correct" / "cross_entropy.py"
    options = FuzzOptions(reference=f"{folder}:by_logsumexp", max_examples=10)
    assert audit_here(f"{folder}:by_gather", options).verdict == "conforms"
    wrong = audit_here(f"{FIXTURES / 'mistakes' / 'cross_entropy.py'}:softmax_twice", options)
    assert wrong.verdict == "diverges"
