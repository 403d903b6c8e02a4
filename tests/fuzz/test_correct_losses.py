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
LIKE_THE_REFERENCE = {
    "angular": "ArcFace Center CosFace CosFaceOfPairs",
    "binary": ("PositiveWeight TorchLogits TorchProbabilities by_logsigmoid guarded summed_over_columns"),
    "boxes": (
        "ciou_through_weight ciou_with_constant_weight diou_by_centres diou_by_corners "
        "giou_by_corners iou_by_coordinates iou_loss"
    ),
    "contrastive": (
        "Clip InBatch NTXent WithQueue clip_by_mean clip_with_its_scale decoupled "
        "expects_normalised own_negatives_by_einsum supcon_of_a_batch_without_negatives "
        "supcon_single_view"
    ),
    "criteria": (
        "BySampleOfMean ContrastBySum DiceAndSummedEntropy DivergenceByBatch FocalOfUnreduced MeanOfUnreduced MeanOfWeighted "
        "SmoothedByTwo SummedByBatch SummedByCount SummedByTokens TenTimes TripletsByBatch"
    ),
    "cross_entropy": (
        "Reductions SmoothingOverOthers TorchItself WeightCastToItsInput WeightKeptByDtype "
        "WeightedByHand by_gather of_log_probabilities of_probabilities soft_rows summed "
        "target_first unreduced"
    ),
    "divergence": (
        "Distillation DistillationWhileHot DistillationWithLabels TorchBatchMean TorchLogTarget "
        "TorchMean by_xlogy distillation_by_logs distillation_over_classes "
        "distillation_with_labels_second jensen_shannon_in_bits jensen_shannon_of_logits listnet "
        "of_logits of_probabilities of_two_logs of_two_logs_by_kl_div"
    ),
    "likelihood": "GaussianByTorch gaussian_by_hand kendall_by_logs",
    "margins": (
        "TorchMultiLabelMargin TorchMultiMargin multilabel_margin_over_pairs soft_margin "
        "soft_margin_by_logsigmoid"
    ),
    "overlap_domains": "log_dice_of_classes log_dice_of_pixels lovasz_of_classes",
    "pairs": ("CosineByTorch Hadsell RankingByTorch hinge_by_torch legacy_of_caffe similar_is_one"),
    "regression": (
        "CauchyByLogarithm RootGuarded SmoothByParts TorchHuber TorchPoisson TorchPoissonOfRates "
        "TorchSquared Wing cauchy_by_rows charbonnier charbonnier_unsquared "
        "geman_mcclure_by_quotient half_squared huber_by_scale logarithmic pinball "
        "poisson_by_hand poisson_of_rates_by_hand root_of_each_column squared_by_product "
        "summed_over_outputs welsch_by_expm1"
    ),
    "scaled": (
        "Flooded Weighted bits divergence_of_three summed_over_outputs summed_over_the_batch thousandfold "
        "three_triplets weighted_term with_a_floor_of_one"
    ),
    "segmentation": (
        "DiceAndBinary DiceAndClasses DiceOfPresentClasses DiceThatBroadcasts SoftmaxDice "
        "SquaredDice TverskyOfPresentClasses dice_flat dice_plus_classes jaccard_flat "
        "lovasz_hinge_by_image lovasz_hinge_flat lovasz_of_softmax"
    ),
    "sequence": "ByModule lengths_first mean_over_batch",
    "temperature": ("KeptSize KeptSlope LearnedScale by_a_global by_default literal scaled_similarities"),
    "triplets": "ByTorch by_maximum by_norms facenet manhattan",
    "variants_of_entropy": "FocalOfProbabilities LogitAdjusted generalised_by_exp zlpr_by_logsumexp",
}
"""Forms by file that rename, call torch or follow a convention: they compute what the reference computes, in its order."""
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


@pytest.mark.parametrize(
    "name", ["divergence:jensen_shannon_of_logits_by_log_cosh", "divergence:distillation_by_levels"]
)
def test_the_logits_of_a_teacher_count_as_much_as_those_of_a_student(name: str) -> None:
    (form,) = correct_seeds.forms([name])
    case = {
        "space": "logits-logits",
        "shapes": [[1, 5], [1, 5]],
        "prediction": [[0.0] * 5],
        "target": [[2562.5, -1062.5, -2312.5, -2937.5, -562.5]],
        "dtype": "float32",
    }
    options = FuzzOptions(kept=({**PLAIN, **case},), max_examples=1)
    assert audit_here(f"{form.path}:{form.name}", options).findings == ()


def test_embeddings_that_are_not_of_length_one_round_as_their_products_do() -> None:
    (form,) = correct_seeds.forms(["contrastive:SupConOfUnitViews"])
    case = {
        "space": "views-indices",
        "integers": True,
        "shapes": [[3, 2, 2], [3]],
        "prediction": [[[0.0, 90.0], [0.0, 90.0]], [[0.0, 90.0], [0.0, 90.0]], [[1.0, 0.0], [1.0, 0.0]]],
        "target": [1, 1, 0],
        "dtype": "float32",
    }
    options = FuzzOptions(kept=({**PLAIN, **case},), max_examples=1)
    assert audit_here(f"{form.path}:{form.name}", options).findings == ()


def test_a_form_that_is_like_its_reference_is_there() -> None:
    names = {(form.path.stem, form.name) for form in FORMS}
    listed = {(stem, name) for stem, words in LIKE_THE_REFERENCE.items() for name in words.split()}
    assert sorted(listed - names) == []


@pytest.mark.slow
def test_every_reference_has_two_other_forms() -> None:
    others = [form for form in FORMS if form.name not in LIKE_THE_REFERENCE.get(form.path.stem, "").split()]
    reports = [audit_here(f"{form.path}:{form.name}", FuzzOptions(max_examples=1)) for form in others]
    forms = Counter(report.reference.name for report in reports if report.reference is not None)
    assert [name for name in all_references() if forms[name] < 2] == []
