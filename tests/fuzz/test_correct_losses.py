"""The promise that matters most: a right loss, however unusual, is never accused."""

from __future__ import annotations

import pytest
from conftest import Planted, audit_here, ids, planted

from lossaudit.fuzz import FuzzOptions

LOSSES = [loss for loss in planted("correct") if not loss.codes]
# The forms in which people write cross-entropy most often are held to more seeds than the rest.
COMMON = {
    "by_logsumexp",
    "by_gather",
    "by_one_hot",
    "by_einsum",
    "by_columns",
    "by_chunks",
    "SmoothingByMixture",
    "SmoothingByRows",
    "SmoothingByDivergence",
}

# Families with many references each: one seed here, fifty in the slow test.
MANY = {"segmentation", "variants_of_entropy", "margins"}


def _conforms(loss: Planted, seeds: int) -> None:
    for seed in range(seeds):
        report = audit_here(loss.target, FuzzOptions(seed=seed, max_examples=8))
        assert report.verdict == "conforms", (seed, report.findings)
        assert report.reference is not None
        assert not report.findings


@pytest.mark.parametrize("loss", LOSSES, ids=ids(LOSSES))
def test_correct_loss_conforms_for_every_seed(loss: Planted) -> None:
    seeds = 20 if loss.name in COMMON else 3
    _conforms(loss, 1 if loss.path.stem in MANY else seeds)


@pytest.mark.slow
@pytest.mark.parametrize("loss", LOSSES, ids=ids(LOSSES))
def test_correct_loss_conforms_for_fifty_seeds(loss: Planted, request: pytest.FixtureRequest) -> None:
    if "slow" not in request.config.getoption("markexpr"):
        pytest.skip("takes hours: asked for with -m slow")
    _conforms(loss, 50)
