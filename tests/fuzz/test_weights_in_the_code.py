"""Weights that nothing declares are computed from the values, and believed where these come out again, all of them."""

from __future__ import annotations

import pytest
from conftest import FIXTURES, audit_here

from lossaudit.fuzz import FuzzOptions

LOSSES = FIXTURES / "weights" / "losses.py"
QUICK = FuzzOptions(max_examples=8)
READ_AS = {
    "of_scores": ("bce_with_logits", {"pos_weight": 3.0}),
    "computed": ("bce_with_logits", {"pos_weight": 2.25}),
    "overlap": ("dice_bce_loss", {"entropy_weight": 0.7, "overlap_weight": 0.3, "smooth": 1.0}),
    "overlap_of_probabilities": (
        "dice_bce_loss_of_probabilities",
        {"entropy_weight": 0.7, "overlap_weight": 0.3, "smooth": 1.0},
    ),
}


@pytest.mark.parametrize("name", READ_AS)
def test_weights_are_computed(name: str) -> None:
    report = audit_here(f"{LOSSES}:{name}", QUICK)
    assert report.findings == ()
    assert report.reference is not None
    reference, parameters = READ_AS[name]
    assert report.reference.name == reference
    assert report.reference.parameters == pytest.approx({**parameters, "reduction": "mean"})


def test_a_weighted_loss_is_judged_at_the_ends() -> None:
    report = audit_here(f"{LOSSES}:of_probabilities", QUICK)
    assert report.reference is not None
    assert (report.reference.name, report.reference.parameters["pos_weight"]) == ("bce", 3.0)
    assert {finding.code for finding in report.findings} == {
        "LF301",
        "LF302",
    }  # 0 log 0 is NaN as it is written


@pytest.mark.parametrize("name", ["clamped", "with_a_penalty"])
def test_weights_that_explain_a_part_are_not_believed(name: str) -> None:
    report = audit_here(f"{LOSSES}:{name}", QUICK)
    assert report.reference is None
    assert report.findings == ()


def test_a_mere_factor_is_no_weight() -> None:
    report = audit_here(f"{LOSSES}:in_bits", QUICK)
    assert report.reference is not None
    assert report.reference.parameters == {"reduction": "mean", "convention": "log-base-2"}
    assert report.findings == ()
