"""What right losses are taken for, and that unknown ones are left alone."""

from __future__ import annotations

import pytest
from conftest import FIXTURES, audit_here

from lossaudit.fuzz import FuzzOptions

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
    "segmentation.py:dice_flat": ("dice_loss", {"smooth": 1.0, "reduction": "mean"}),
    "segmentation.py:SquaredDice": (
        "dice_loss",
        {"smooth": 1e-6, "smooth_in": "denominator", "squared": True, "over": "sample", "reduction": "mean"},
    ),
    "segmentation.py:SoftmaxDiceByClass": (
        "softmax_dice_loss",
        {"smooth": 1.0, "over": "channel", "reduction": "mean"},
    ),
    "segmentation.py:JaccardByImage": (
        "jaccard_loss",
        {"smooth": 1.0, "over": "sample", "reduction": "mean"},
    ),
    "segmentation.py:Tversky": (
        "tversky_loss",
        {"alpha": 0.3, "beta": 0.7, "smooth": 1.0, "reduction": "mean"},
    ),
    "segmentation.py:lovasz_hinge_by_image": ("lovasz_hinge", {"over": "sample", "reduction": "mean"}),
    "boxes.py:giou_by_corners": ("giou_loss", {"epsilon": 1e-7, "reduction": "mean"}),
    "boxes.py:ciou_with_constant_weight": ("ciou_loss", {"epsilon": 1e-7, "reduction": "mean"}),
    "boxes.py:ciou_through_weight": (
        "ciou_loss",
        {"epsilon": 1e-7, "alpha_gradient": "through", "reduction": "mean"},
    ),
    "boxes.py:giou_of_centres": ("giou_loss_of_centres", {"reduction": "mean"}),
    "boxes.py:iou_loss": ("iou_loss", {"reduction": "mean"}),
}


@pytest.mark.parametrize("target", KNOWN)
def test_right_losses_are_recognised(target: str) -> None:
    report = audit_here(f"{FIXTURES / 'correct'}/{target}", QUICK)
    assert report.reference is not None
    assert (report.reference.name, report.reference.parameters) == KNOWN[target]
    assert report.assumptions[0].startswith("recognised as ")


UNKNOWN = [
    "SoftmaxFocal",
    "squared",
    "generalised",
    "asymmetric",
    "hardest",
    "regularised",
    "contrastive",
]


@pytest.mark.parametrize("name", UNKNOWN)
def test_unknown_losses_are_not_accused(name: str) -> None:
    report = audit_here(f"{FIXTURES / 'unknown' / 'losses.py'}:{name}", QUICK)
    assert report.verdict == "conforms", report.findings
    assert report.reference is None
