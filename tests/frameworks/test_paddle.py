"""Fixes in PaddlePaddle, proved by running them there."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.frameworks.proofs import Proof, Result, as_tensor, assert_finite, needs, of_body, prove
from tests.test_fixes_proofs import (
    BINARY,
    CLASSES,
    MANY,
    ROWS,
    binary,
    cross_entropy,
    divergence,
    executed,
    fixed,
    focal,
    samples,
    soft,
    value_and_gradient,
)

pytestmark = needs("paddle")

HEADER = (
    "import paddle\nimport paddle.nn as nn\nimport paddle.nn.functional as F\n\n"
    "paddle.set_default_dtype('float64')\n\n\n"
)
NET = (
    HEADER
    + """\
class Net(nn.Layer):
    def __init__(self):
        super().__init__()
        start = nn.initializer.Assign(paddle.eye(3).numpy())
        self.fc = nn.Linear(3, 3, weight_attr=paddle.ParamAttr(initializer=start), bias_attr=False)
        self.act = nn.{}

    def forward(self, x):
        x = self.fc(x)
        return {}


net = Net()


def loss(z, y):
    return {}
"""
)


def run(program: dict[str, Any], scores: torch.Tensor, target: torch.Tensor) -> Result:
    import paddle

    leaf = paddle.to_tensor(scores.numpy(), stop_gradient=False)
    value = program["loss"](leaf, paddle.to_tensor(target.numpy()))
    value.sum().backward()
    return as_tensor(value.numpy()), as_tensor(leaf.grad.numpy())


proof = partial(of_body, HEADER)


SAFE = [
    proof("LA102", "return F.cross_entropy(F.log_softmax(z, axis=1), y)", CLASSES),
    proof("LA401", "return -(y * paddle.log(F.softmax(z, axis=1))).sum(axis=1).mean()", ROWS),
    proof("LA401", "p = F.softmax(z)\n    return -(y * (1 - p) ** 2 * paddle.log(p)).sum()", ROWS),
    proof("LA402", "return -paddle.log(F.sigmoid(z)).mean() + 0 * y.sum()", BINARY),
    proof("LA402", "p = F.sigmoid(z)\n    return -(y * paddle.log(p) + (1 - y) * paddle.log(1 - p)).mean()", BINARY),
]  # fmt: skip
UNSAFE = [
    proof("LA103", "return F.nll_loss(F.softmax(z, axis=1), y)", CLASSES, cross_entropy),
    proof("LA109", "return F.kl_div(F.softmax(z, axis=1), y, reduction='batchmean')", ROWS, divergence),
    proof("LA109", "return F.kl_div(F.log_softmax(z, axis=1), F.softmax(paddle.log(y + 1e-30)), reduction='batchmean', log_target=True)", ROWS,
          divergence),
    proof("LA207", "ce = F.cross_entropy(z, y)\n    pt = paddle.exp(-ce)\n    return (1 - pt) ** 2 * ce", CLASSES, focal),
    proof("LA302", "return F.kl_div(F.log_softmax(z, axis=1), y)", ROWS, divergence),
    proof("LA304", "return -(y * F.log_softmax(z, axis=1)).mean()", ROWS, soft),
    Proof("LA309", NET.format("ReLU()", "x", "F.cross_entropy(net(z), y) / z.shape[0]"), MANY, CLASSES, cross_entropy),
    proof("LA101", "return F.cross_entropy(F.softmax(z, axis=-1), y)", CLASSES, cross_entropy),
    proof("LA101", "p = F.softmax(z)\n    return nn.CrossEntropyLoss(soft_label=True)(p, y)", ROWS, soft),
    proof("LA101", "return F.softmax_with_cross_entropy(F.softmax(z), y[:, None]).mean()", CLASSES, cross_entropy),
    proof("LA101", "return F.cross_entropy(nn.Sequential(nn.Identity(), nn.Softmax())(z), y)", CLASSES, cross_entropy),
    proof("LA105", "return F.binary_cross_entropy_with_logits(F.sigmoid(z), y)", BINARY, binary),
    proof("LA105", "return nn.BCEWithLogitsLoss()(paddle.nn.functional.sigmoid(z), y)", BINARY, binary),
    proof("LA106", "return F.cross_entropy(F.sigmoid(z), y)", CLASSES, cross_entropy),
    Proof("LA101", NET.format("Softmax(axis=1)", "self.act(x)", "F.cross_entropy(net(z), y)"), MANY, CLASSES, cross_entropy),
    Proof("LA101", NET.format("ReLU()", "F.softmax(x)", "nn.CrossEntropyLoss()(net(z), y)"), MANY, CLASSES, cross_entropy),
    Proof("LA108", NET.format("ReLU()", "F.log_softmax(x, axis=0)", "F.nll_loss(net(paddle.reshape(z, (4, 3))), y)"), MANY, CLASSES,
          cross_entropy),
    Proof("LA105", NET.format("Sigmoid()", "self.act(x)", "F.binary_cross_entropy_with_logits(net(z), y)"), MANY, ROWS, binary),
    Proof("LA113", NET.format("ReLU()", "x", "F.cross_entropy(net(z), y, use_softmax=False)"), MANY, CLASSES, cross_entropy),
]  # fmt: skip


@pytest.mark.parametrize("case", SAFE, ids=str)
def test_a_safe_fix_keeps_value_and_gradient(case: Proof, tmp_path: Path) -> None:
    prove(case, run, tmp_path, at_zero=False)
    if case.code != "LA102":
        assert_finite(case, run, tmp_path)


@pytest.mark.parametrize("case", UNSAFE, ids=str)
def test_an_unsafe_fix_gives_the_reference(case: Proof, tmp_path: Path) -> None:
    prove(case, run, tmp_path, at_zero=False)


def test_a_criterion_that_was_built_with_tensors_is_called(tmp_path: Path) -> None:
    """Before, there is no loss at all."""
    source = NET.format("ReLU()", "x", "nn.CrossEntropyLoss(net(z), y)")
    after = executed(fixed(tmp_path, "LA201", source, unsafe=True))
    scores = samples(MANY)[0]
    for one, other in zip(
        run(after, scores, CLASSES), value_and_gradient(cross_entropy, scores, CLASSES), strict=True
    ):
        torch.testing.assert_close(one, other)
