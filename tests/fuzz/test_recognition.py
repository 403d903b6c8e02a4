"""What right losses are taken for, and that unknown ones are left alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from conftest import FIXTURES, audit_here

from lossaudit.fuzz import FuzzOptions, doors
from lossaudit.fuzz.subject import Interface, Subject, silent
from lossaudit.fuzz.target import Build

if TYPE_CHECKING:
    from pathlib import Path

QUICK = FuzzOptions(max_examples=8)
KNOWN = {
    "cross_entropy.py:by_logsumexp": ("cross_entropy", {"reduction": "mean"}),
    "cross_entropy.py:target_first": ("cross_entropy", {"reduction": "mean"}),
    "cross_entropy.py:summed": ("cross_entropy", {"reduction": "sum"}),
    "cross_entropy.py:unreduced": ("cross_entropy", {"reduction": "none"}),
    "cross_entropy.py:SmoothingByRows": ("cross_entropy", {"label_smoothing": 0.2, "reduction": "mean"}),
    "cross_entropy.py:SmoothingOverOthers": (
        "cross_entropy",
        {"label_smoothing": 0.1, "reduction": "mean", "convention": "smoothing-over-other-classes"},
    ),
    "cross_entropy.py:WeightedByHand": (
        "cross_entropy",
        {"weight": [1.0, 2.0, 0.5], "ignore_index": -1, "reduction": "mean"},
    ),
    "cross_entropy.py:of_probabilities": ("cross_entropy_of_probabilities", {"reduction": "mean"}),
    "cross_entropy.py:of_log_probabilities": ("nll_loss", {"reduction": "mean"}),
    "cross_entropy.py:in_numpy": ("cross_entropy", {"reduction": "mean"}),
    "binary.py:by_clamp": ("bce_with_logits", {"reduction": "mean"}),
    "binary.py:PositiveWeight": ("bce_with_logits", {"pos_weight": 3.0, "reduction": "mean"}),
    "binary.py:TorchProbabilities": ("bce", {"reduction": "mean"}),
    "binary.py:guarded": ("bce", {"guard": 1e-7, "reduction": "mean"}),
    "binary.py:Focal": ("sigmoid_focal_loss", {"gamma": 2.0, "alpha": 0.25, "reduction": "mean"}),
    "binary.py:summed_over_columns": ("bce_with_logits", {"reduction": "batchmean"}),
    **{
        f"temperature.py:{name}": (
            "cross_entropy_with_temperature",
            {"temperature": heat, **also, "reduction": "mean"},
        )
        for name, heat, also in (
            ("literal", 0.07, {}),
            ("scaled_similarities", 1 / 30, {}),
            ("by_default", 4.0, {}),
            ("by_a_global", 2.5, {}),
            ("KeptSize", 4.0, {"factor": "T^2"}),
            ("KeptSlope", 0.2, {"factor": "T"}),
        )
    },
    "boxes.py:iou_loss": ("iou_loss", {"reduction": "mean"}),
}


@pytest.mark.parametrize("target", KNOWN)
def test_right_losses_are_recognised(target: str) -> None:
    report = audit_here(f"{FIXTURES / 'correct'}/{target}", QUICK)
    assert report.reference is not None
    assert (report.reference.name, report.reference.parameters) == KNOWN[target]
    assert report.assumptions[0].startswith("recognised as ")


UNKNOWN = [
    "hardest",
    "regularised",
    "contrastive",
    "slightly_confident",
    "precision_at_each",
    "smooth_where_the_image_is",
    "spectral_convergence",
    "circle",
    "angular",
    "filtered_by_a_window",
    "next_token",
    "ordinal",
    "critic",
    "wants_scores_of_one",
    "keeps_the_variance",
    "boundary",
    "asymmetric_focal_tversky",
    "AgainstAQueue",
    "balanced_by_its_batch",
    "root_of_each_group",
    "dice_of_each_token",
    "tversky_of_each_pixel",
    "tokens_and_an_end",
    "modest_gaps",
    "inside_a_box",
    "TwoWays",
    "deltas_of_real_boxes",
    "poisson_deviance",
    "bregman_of_exponentials",
    "twice_unnormalised",
    "bhattacharyya",
    "earth_mover",
    "tversky_of_each_pixel_down_the_image",
    "renyi",
    "with_its_normaliser",
    "consistent",
]


@pytest.mark.parametrize("name", UNKNOWN)
def test_unknown_losses_are_not_accused(name: str) -> None:
    report = audit_here(f"{FIXTURES / 'unknown' / 'losses.py'}:{name}", QUICK)
    assert report.verdict == "conforms", report.findings
    assert report.reference is None


@pytest.mark.parametrize("name", ["takes_float32_only", "computes_in_float32"])
def test_what_only_float32_shows_is_said(name: str, tmp_path: Path) -> None:
    path = tmp_path / "narrow.py"
    path.write_text(
        "import torch\n"
        "from torch.nn import functional as F\n"
        "def takes_float32_only(logits, labels):\n"
        "    assert logits.dtype is torch.float32\n"
        "    return F.cross_entropy(logits, labels)\n"
        "def computes_in_float32(logits, labels):\n"
        "    return F.mse_loss(logits.float(), labels.float()).to(logits.dtype)\n",
        encoding="utf-8",
    )
    report = audit_here(f"{path}:{name}", QUICK)
    assert "as far as float32 shows" in report.assumptions[0]


def test_squares_that_are_exact_prove_no_float32() -> None:
    """Half the square of a short number is the same in float32 and float64."""
    report = audit_here(f"{FIXTURES / 'correct' / 'regression.py'}:half_squared", QUICK)
    assert report.reference is not None
    assert "float32" not in report.assumptions[0]


def test_a_guard_is_no_mistake_where_the_reference_is_named() -> None:
    for name, reference in (("masked_classes", "cross_entropy"), ("triplets_over_active", "triplet_margin")):
        report = audit_here(
            f"{FIXTURES / 'correct' / 'guarded.py'}:{name}", FuzzOptions(max_examples=8, reference=reference)
        )
        told = {finding.diagnosis.mistake for finding in report.findings if finding.diagnosis is not None}
        assert "guarded" not in told


def test_kinds_of_input_that_a_loss_does_not_run_on_are_not_said_to_fail_in_float64_alone(
    tmp_path: Path,
) -> None:
    path = tmp_path / "three.py"
    path.write_text(
        "def three(a, b, c):\n    return (a - b * c).pow(2).mean() * 0.37\n",
        encoding="utf-8",
    )
    report = audit_here(f"{path}:three", QUICK)
    assert not any("float64" in line for line in report.assumptions)


def test_a_clamp_on_logits_makes_no_likelihood_of_a_cross_entropy() -> None:
    """On log-probabilities it is nll_loss; but it takes any logits, and is cross-entropy as long as they are small."""
    report = audit_here(f"{FIXTURES / 'mistakes' / 'cross_entropy.py'}:clamped_above", QUICK)
    assert report.reference is not None
    assert report.reference.name == "cross_entropy"


def test_a_factor_before_a_divergence_makes_no_temperature_of_it(tmp_path: Path) -> None:
    """On one-hot rows, three times a divergence is minus the score over a third: the temperature that nobody declared."""
    path = tmp_path / "scaled.py"
    path.write_text(
        "from torch.nn import functional as F\n"
        "def threefold(x, y):\n"
        "    return F.kl_div(x, y, reduction='batchmean') * 3\n",
        encoding="utf-8",
    )
    report = audit_here(f"{path}:threefold", QUICK)
    assert report.reference is not None
    assert report.reference.name == "kl_div"


def test_a_number_under_the_name_of_another_parameter_is_told(tmp_path: Path) -> None:
    file = tmp_path / "losses.py"
    file.write_text(
        "def tversky(scores, masks, alpha=0.3, beta=0.7, smooth=1.0):\n"
        "    p, y = scores.sigmoid().flatten(1), masks.flatten(1)\n"
        "    hits, missed, invented = (p * y).sum(1), ((1 - p) * y).sum(1), (p * (1 - y)).sum(1)\n"
        "    return (1 - (hits + smooth) / (hits + alpha * missed + beta * invented + smooth)).mean()\n",
        encoding="utf-8",
    )
    report = audit_here(f"{file}:tversky", QUICK)
    assert report.findings == ()
    assert "its alpha=0.3 is the beta of tversky_loss" in report.assumptions


def test_who_gives_gradients_is_fed_no_arrays() -> None:
    """What works on both is a torch loss; each kind of input would be tried twice."""
    given: list[bool] = []

    def squared(prediction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        given.append(isinstance(prediction, np.ndarray))
        return ((prediction - target) ** 2).mean()

    subject = Subject(Build(squared), Interface(""), {}, silent)
    usual, _ = doors.open_doors(subject)
    assert not any(given)
    assert doors.open_layouts(subject, usual)
    assert not any(given)
