"""The references themselves, over the inputs that they judge, against 50 digits."""

from __future__ import annotations

import mpmath
import pytest
import torch
from conftest import FIXTURES  # noqa: F401 (skips where torch is missing)

from lossaudit.fuzz import inputs
from lossaudit.fuzz.inputs import Reach
from lossaudit.fuzz.model import Structure
from lossaudit.fuzz.references import all_references
from lossaudit.fuzz.spaces import all_spaces

mpmath.mp.dps = 50
CLOSE = 1e-12


def _cross_entropy(row: list[float], label: int, smoothing: float) -> mpmath.mpf:
    numbers = [mpmath.mpf(x) for x in row]
    level = mpmath.log(mpmath.fsum(mpmath.exp(x) for x in numbers))
    own = (1 - mpmath.mpf(smoothing)) * (level - numbers[label])
    return own + mpmath.mpf(smoothing) * (level - mpmath.fsum(numbers) / len(numbers))


def _focal(score: float, label: float, gamma: float, alpha: float | None) -> mpmath.mpf:
    p = 1 / (1 + mpmath.exp(-mpmath.mpf(score)))
    p_t = p if label else 1 - p
    share = 1 if alpha is None else (mpmath.mpf(alpha) if label else 1 - mpmath.mpf(alpha))
    return -share * (1 - p_t) ** mpmath.mpf(gamma) * mpmath.log(p_t)


def _cases(space_name: str, targets: tuple[str, ...], classes: tuple[int, ...]):
    space = all_spaces()[space_name]
    for structure in inputs.panel(space, Reach(classes, targets=targets), 3):
        if structure.scale <= 110:  # 50 digits hold exp(-110), not exp(-10000)
            yield inputs.fill(space, structure, {})


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy(smoothing: float) -> None:
    spec = all_references()["cross_entropy"]
    params = {**spec.neutral(), "label_smoothing": smoothing}
    for case in _cases("logits-indices", ("random", "all-equal"), (2, 3)):
        got = spec.formula(case.prediction, case.target, params).losses
        rows = zip(case.prediction.tolist(), case.target.tolist(), got.tolist(), strict=True)
        for row, label, value in rows:
            exact = _cross_entropy(row, label, smoothing)
            assert abs(value - exact) <= CLOSE * (1 + abs(exact)), (row, label)


@pytest.mark.parametrize(("gamma", "alpha"), [(0.0, None), (2.0, 0.25), (0.5, None)])
def test_binary(gamma: float, alpha: float | None) -> None:
    spec = all_references()["sigmoid_focal_loss" if gamma or alpha else "bce_with_logits"]
    params = {**spec.neutral(), "gamma": gamma, "alpha": alpha}
    for case in _cases("scores-labels", ("random", "all zero", "all one"), (0,)):
        got = spec.formula(case.prediction, case.target, params).losses
        rows = zip(case.prediction.tolist(), case.target.tolist(), got.tolist(), strict=True)
        for score, label, value in rows:
            if abs(score) > 60:
                continue
            exact = _focal(score, label, gamma, alpha)
            assert abs(value - exact) <= 1e-11 * abs(exact) + 1e-300, (score, label)


def test_probabilities_of_exactly_zero_and_one() -> None:
    spec = all_references()["bce"]
    p = torch.tensor([0.0, 1.0, 0.0, 1.0], dtype=torch.float64, requires_grad=True)
    y = torch.tensor([0.0, 1.0, 1.0, 0.0], dtype=torch.float64)
    losses = spec.formula(p, y, spec.neutral()).losses
    assert losses.tolist() == [0.0, 0.0, float("inf"), float("inf")]
    (slope,) = torch.autograd.grad(losses[:2].sum(), p)
    assert slope[:2].tolist() == [1.0, -1.0]


@pytest.mark.parametrize("weight", [None, [1.0, 2.0, 0.25]])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_cross_entropy_follows_torch(weight: list[float] | None, smoothing: float, reduction: str) -> None:
    from lossaudit.fuzz.variants import Variant

    generator = torch.Generator().manual_seed(5)
    logits = torch.randn(6, 3, 2, generator=generator, dtype=torch.float64)
    labels = torch.randint(0, 3, (6, 2), generator=generator)
    labels[::2, 0] = -1
    vector = None if weight is None else torch.tensor(weight, dtype=torch.float64)
    params = {"weight": vector, "ignore_index": -1, "label_smoothing": smoothing}
    ours = Variant(all_references()["cross_entropy"], params, reduction).value(logits, labels)
    theirs = torch.nn.functional.cross_entropy(
        logits, labels, weight=vector, ignore_index=-1, label_smoothing=smoothing, reduction=reduction
    )
    torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("name", ["log_dice_loss", "softmax_log_dice_loss"])
def test_log_dice_has_a_gradient_wherever_it_has_a_value(name: str) -> None:
    """Also for a class that no pixel has: a logarithm of nothing has none, and no gradient would be judged there."""
    spec = all_references()[name]
    params = {**spec.neutral(), "smooth": 1.0}
    space = all_spaces()[spec.spaces[0]]
    for case in _cases(space.name, space.target_profiles, space.classes[:1]):
        leaf = case.prediction.clone().requires_grad_()
        losses = spec.formula(leaf, case.target, params).losses
        (slope,) = torch.autograd.grad(losses.sum(), leaf)
        assert bool(torch.isfinite(losses).all()), (case.magnitude, case.targets)
        assert bool(torch.isfinite(slope).all()), (case.magnitude, case.targets)


@pytest.mark.parametrize("name", ["dice_bce_loss", "tversky_loss", "softmax_jaccard_loss"])
def test_an_overlap_that_remembers_says_what_it_computes_anew(name: str) -> None:
    """Recognition asks the same tensors again with other parameters; a leaf that requires a gradient is never remembered."""
    spec = all_references()[name]
    space = all_spaces()[spec.spaces[0]]
    cases = [inputs.fill(space, Structure(classes=space.classes[-1], seed=seed), {}) for seed in range(3)]
    asked = [
        (case, {**spec.neutral(), "smooth": smooth, "over": over})
        for smooth in (0.0, 1.0, 1e-5)
        for case in cases
        for over in ("batch", "sample", "channel")
    ]
    for case, params in (*asked, *reversed(asked)):
        remembered = spec.formula(case.prediction, case.target, params)
        anew = spec.formula(case.prediction.clone().requires_grad_(), case.target, params)
        assert torch.equal(remembered.losses, anew.losses)
        assert torch.equal(remembered.shares, anew.shares)
