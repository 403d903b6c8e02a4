"""Every planted loss is found, under its code, and its mistake is named."""

from __future__ import annotations

import pytest
from conftest import Planted, audit_here, ids, planted

LOSSES = [loss for folder in ("mistakes", "checks", "seeds") for loss in planted(folder) if loss.codes]


@pytest.mark.parametrize("loss", LOSSES, ids=ids(LOSSES))
def test_planted_loss_is_found_and_named(loss: Planted) -> None:
    report = audit_here(loss.target)
    assert report.verdict == "diverges", report.assumptions
    assert tuple(finding.code for finding in report.findings) == loss.codes
    if loss.diagnosis is not None:
        named = {finding.diagnosis.mistake for finding in report.findings if finding.diagnosis is not None}
        assert named == {loss.diagnosis}
