"""The promise that matters most: a right loss, however unusual, is never accused."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest
from conftest import FIXTURES, audit_here

from benchmarks import correct_seeds
from lossaudit.fuzz import FuzzOptions
from lossaudit.fuzz.references import all_references

if TYPE_CHECKING:
    from benchmarks.correct_seeds import Form

FORMS = correct_seeds.forms()
# Families with many forms each: one seed here, fifty in `make seeds`.
MANY = {"segmentation", "variants_of_entropy", "margins"}
PLAIN = {"integers": False, "layout": "contiguous", "magnitude": "ordinary", "targets": "random"}
LESS_PRECISE = {
    # It subtracts exp(1 / tau) from a sum of little else: off by a part in 30 000, in float32 only.
    "contrastive:nt_xent_by_sums": {
        "space": "pairs",
        "shapes": [[2, 2, 3], [2]],
        "prediction": [[[1.0, 1.0, 1.0], [-1.0, -1.0, -1.0]], [[1.0, 1.0, 1.0], [-1.0, 2.0, 1.0625]]],
        "target": [0.0, 0.0],
        "dtype": "float32",
    },
    # It computes the weights of the errors in float32, as the published code does.
    "segmentation:lovasz_hinge_flat": {
        "space": "scores-masks",
        "shapes": [[1, 2, 3], [1, 2, 3]],
        "prediction": [[[0.26953125, -1.0, -1.0], [0.5, 2.0, -1.12109375]]],
        "target": [[[0.0, 1.0, 1.0], [1.0, 1.0, 1.0]]],
        "dtype": "float64",
    },
}
each_form = pytest.mark.parametrize("form", FORMS, ids=lambda form: form.id)


@each_form
def test_correct_loss_conforms(form: Form) -> None:
    outcome = correct_seeds.run(form, range(1 if form.path.stem in MANY else 2))
    assert outcome.objections == []
    assert outcome.evaluations > 0


@pytest.mark.slow
@each_form
def test_correct_loss_conforms_for_fifty_seeds(form: Form) -> None:
    assert correct_seeds.run(form, range(50)).objections == []


def test_objections_are_told_and_end_non_zero(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(correct_seeds, "FORMS", FIXTURES / "mistakes")
    assert correct_seeds.main(["--seeds", "1", "cross_entropy:softmax_twice"]) == 1
    told = capsys.readouterr().out
    assert "cross_entropy:softmax_twice: cross_entropy, 1 seeds x 4 dtypes" in told
    assert "seed 0: LF101" in told
    assert "1 forms with objections" in told


@pytest.mark.parametrize("name", LESS_PRECISE)
def test_a_gradient_that_is_less_precise_is_not_a_wrong_one(name: str) -> None:
    (form,) = correct_seeds.forms([name])
    options = FuzzOptions(kept=({**PLAIN, **LESS_PRECISE[name]},), max_examples=1)
    report = audit_here(f"{form.path}:{form.name}", options)
    assert [finding for finding in report.findings if finding.code != "LF303"] == []


@pytest.mark.slow
def test_every_reference_has_two_other_forms() -> None:
    reports = [audit_here(f"{form.path}:{form.name}", FuzzOptions(max_examples=1)) for form in FORMS]
    forms = Counter(report.reference.name for report in reports if report.reference is not None)
    assert [name for name in all_references() if forms[name] < 2] == []
