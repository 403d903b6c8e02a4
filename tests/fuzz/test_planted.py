"""Every planted loss is found, under its code, and its mistake is named."""

from __future__ import annotations

import pytest
from conftest import ROOT, Planted, audit_here, ids, planted

from lossaudit.fuzz import FuzzOptions
from lossaudit.fuzz.mistakes import all_mistakes

LOSSES = [loss for folder in ("mistakes", "checks", "seeds") for loss in planted(folder) if loss.codes]


@pytest.mark.parametrize("loss", LOSSES, ids=ids(LOSSES))
def test_planted_loss_is_found_and_named(loss: Planted) -> None:
    report = audit_here(loss.target, FuzzOptions(reference=loss.reference, max_examples=25))
    assert report.verdict == "diverges", report.assumptions
    assert tuple(finding.code for finding in report.findings) == loss.codes
    if loss.diagnosis is not None:
        named = {finding.diagnosis.mistake for finding in report.findings if finding.diagnosis is not None}
        assert named == {loss.diagnosis}


CONVENTIONS = {mistake.id for mistake in all_mistakes() if mistake.convention}
CHOSEN = [loss for loss in LOSSES if loss.reference is not None and loss.diagnosis in CONVENTIONS]


@pytest.mark.parametrize("loss", CHOSEN, ids=ids(CHOSEN))
def test_a_convention_is_no_mistake_where_the_reference_was_not_named(loss: Planted) -> None:
    report = audit_here(loss.target, FuzzOptions(max_examples=10))
    assert report.findings == ()


def test_every_mistake_of_the_bank_is_planted() -> None:
    named = {loss.diagnosis for loss in LOSSES}
    known = [mistake.id for mistake in all_mistakes() if not mistake.convention]
    assert sorted(set(known) - named) == []
    assert len(set(known)) >= 60


def test_every_code_is_planted() -> None:
    codes = {page.stem[:5] for page in (ROOT / "rules").glob("LF*.md")}
    assert codes == {code for loss in LOSSES for code in loss.codes}
