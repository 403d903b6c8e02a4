"""The promise that matters most: a right loss, however unusual, is never accused."""

from __future__ import annotations

from collections import Counter

import pytest
from conftest import Planted, audit_here, audits_here, ids, planted

from lossaudit.fuzz import FuzzOptions
from lossaudit.fuzz.references import all_references

LOSSES = [loss for loss in planted("correct") if not loss.codes]
# Families with many forms each: one seed here, fifty in the slow test.
MANY = {"segmentation", "variants_of_entropy", "margins"}

ROUGH_IN_HALF = {"CosineByTorch", "SupCon"}
"""They square embeddings, or subtract a maximum that is not among what is summed: some seeds find that in float16, and it
is true."""


WIDE = ["float32", "float64"]
DTYPES = ["bfloat16", "float16", *WIDE]
NARROW = {
    "CenterByMask": ["bfloat16", *WIDE],
    "supcon_single_view": ["bfloat16", *WIDE],
    "in_numpy": WIDE,
    "TorchMultiMargin": WIDE,
    "ByModule": WIDE,
    "lengths_first": WIDE,
    "mean_over_batch": WIDE,
}
"""Forms that give numbers in some dtypes only, and in which: torch has no kernel there, or the form overflows in half."""


def _conforms(loss: Planted, seeds: int) -> None:
    options = FuzzOptions(max_examples=8)
    for seed, report in enumerate(audits_here(loss.target, options, range(seeds))):
        if loss.name in ROUGH_IN_HALF and report.findings:
            assert [finding.code for finding in report.findings] == ["LF303"]
            assert report.findings[0].counterexample["dtype"] == "float16"
            continue
        assert report.verdict == "conforms", (seed, report.findings)
        assert report.reference is not None
        assert not report.findings
        assert report.statistics["dtypes"] == NARROW.get(loss.name, DTYPES)


@pytest.mark.parametrize("loss", LOSSES, ids=ids(LOSSES))
def test_correct_loss_conforms(loss: Planted) -> None:
    _conforms(loss, 1 if loss.path.stem in MANY else 2)


@pytest.mark.slow
@pytest.mark.parametrize("loss", LOSSES, ids=ids(LOSSES))
def test_correct_loss_conforms_for_fifty_seeds(loss: Planted) -> None:
    _conforms(loss, 50)


@pytest.mark.slow
def test_every_reference_has_two_other_forms() -> None:
    reports = [audit_here(loss.target, FuzzOptions(max_examples=1)) for loss in LOSSES]
    forms = Counter(report.reference.name for report in reports if report.reference is not None)
    assert [name for name in all_references() if forms[name] < 2] == []
