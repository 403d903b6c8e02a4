"""The reference of many cases at once says what it says of each alone."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from lossaudit.fuzz import batch, inputs, variants
from lossaudit.fuzz.inputs import Reach
from lossaudit.fuzz.model import Case, ReferenceSpec, Terms
from lossaudit.fuzz.references import all_references
from lossaudit.fuzz.variants import Variant

ADDITIVE = [spec for spec in all_references().values() if "additive" in spec.laws]
NAMES = [spec.name for spec in ADDITIVE]


def _cases(spec: ReferenceSpec) -> list[Case]:
    space = inputs.space_named(spec.spaces[0])
    targets = tuple(name for name in space.target_profiles if "ignored" not in name)
    reach = Reach(
        classes=space.classes[:2],
        extras=space.extras,
        targets=targets,
        dtypes=("float32", "bfloat16", "float64"),
    )
    return [inputs.fill(space, structure, {}) for structure in inputs.panel(space, reach, seed=3)]


@pytest.mark.parametrize("spec", ADDITIVE, ids=NAMES)
@pytest.mark.parametrize("reduction", ["mean", "sum", "none", "batchmean"])
def test_each_case_gets_the_answer_that_it_gets_alone(spec: ReferenceSpec, reduction: str) -> None:
    if reduction not in spec.reductions:
        pytest.skip("this reference has no such reduction")
    variant = Variant(spec, {parameter.name: parameter.neutral for parameter in spec.parameters}, reduction)
    for found in batch.expected_all(variant, _cases(spec), {}):
        case, answer = found.case, found.expected
        alone = variants.expected(variant, case, gradient=True)
        assert answer.value.shape == alone.value.shape
        torch.testing.assert_close(answer.value, alone.value, rtol=1e-9, atol=1e-12, equal_nan=True)
        assert (answer.gradient is None) == (alone.gradient is None)
        if alone.gradient is not None and answer.gradient is not None:
            torch.testing.assert_close(answer.gradient, alone.gradient, rtol=1e-9, atol=1e-12, equal_nan=True)
        # The yardstick holds one sample of rounding; it may not become a blank cheque.
        assert bool((answer.value_tolerance <= 4 * alone.value_tolerance + 1e-12).all())


def test_most_cases_of_a_plain_reference_are_batched() -> None:
    spec = all_references()["cross_entropy"]
    variant = Variant(spec, {parameter.name: parameter.neutral for parameter in spec.parameters}, "mean")
    cases = _cases(spec)
    assert len(batch.expected_all(variant, cases, {})) > 0.8 * len(cases)


def test_a_formula_that_looks_at_the_whole_batch_is_left_alone() -> None:
    """The law is only a claim: the first case of a group is compared with itself alone."""

    def centred(prediction: torch.Tensor, target: torch.Tensor, _: object) -> Terms:
        losses = (prediction - prediction.mean() - target) ** 2
        return Terms(losses, torch.ones_like(losses))

    spec = replace(all_references()["bce_with_logits"], name="centred", formula=centred, parameters=())
    assert batch.expected_all(Variant(spec, {}, "mean"), _cases(spec), {}) == []


def test_a_loss_of_zero_proves_no_law() -> None:
    """A divisor that all cases share is seen in the largest loss, not in a first one that is 0 in any company."""

    def shared(prediction: torch.Tensor, target: torch.Tensor, _: object) -> Terms:
        losses = (prediction - target) ** 2
        return Terms(losses, torch.ones_like(losses) + 1e-6 / losses.numel())

    spec = replace(all_references()["mse_loss"], name="shared", formula=shared, parameters=())
    cases = [case for case in _cases(spec) if case.prediction.ndim == 2 and case.dtype == "float64"]
    right = replace(cases[0], target=cases[0].prediction.clone())
    assert batch.expected_all(Variant(spec, {}, "mean"), [right, *cases], {}) == []
