"""Fixes in models of Flax, proved by running them there."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.frameworks.proofs import Proof, assert_finite, needs, prove
from tests.frameworks.test_jax import run
from tests.test_fixes_proofs import BINARY, CLASSES, MANY, ROWS, binary, cross_entropy, soft

pytestmark = needs("jax", "optax", "flax")

HEADER = "import jax.numpy as jnp\nimport optax\nfrom flax import linen as nn, nnx\n\n\n"
COMPACT = (
    HEADER
    + """\
class Net(nn.Module):
    @nn.compact
    def __call__(self, x):
        scores = nn.Dense(3, use_bias=False, kernel_init=nn.initializers.ones)(x * 0) + x
        return {}


net = Net()


def loss(z, y):
    out = net.apply({{"params": {{"Dense_0": {{"kernel": jnp.ones((3, 3))}}}}}}, z)
    return {}
"""
)

SAFE = [
    Proof("LA401", HEADER + "def loss(z, y):\n    return -(y * jnp.log(nn.softmax(z))).sum(axis=-1).mean()\n", MANY, ROWS),
    Proof("LA402", HEADER + "def loss(z, y):\n    return -jnp.log(nn.sigmoid(z)).mean() + 0 * y.sum()\n", (4,), BINARY),
    Proof("LA402", HEADER + "def loss(z, y):\n    return -jnp.log(nnx.sigmoid(z)).mean() + 0 * y.sum()\n", (4,), BINARY),
]  # fmt: skip
UNSAFE = [
    Proof("LA101", COMPACT.format("nn.softmax(scores)", "optax.softmax_cross_entropy(out, y).mean()"), MANY, ROWS, soft),
    Proof(
        "LA101",
        COMPACT.format("nn.softmax(scores, axis=-1)", "optax.softmax_cross_entropy_with_integer_labels(out, y).mean()"),
        MANY, CLASSES, cross_entropy,
    ),
    Proof("LA105", COMPACT.format("nn.sigmoid(scores)", "optax.sigmoid_binary_cross_entropy(out, y).mean()"), MANY, ROWS, binary),
    Proof("LA105", HEADER + "def loss(z, y):\n    return optax.sigmoid_binary_cross_entropy(nnx.sigmoid(z), y).mean()\n",
          (4,), BINARY, binary),
]  # fmt: skip


@pytest.mark.parametrize("case", SAFE, ids=str)
def test_a_safe_fix_keeps_value_and_gradient(case: Proof, tmp_path: Path) -> None:
    prove(case, run, tmp_path)
    assert_finite(case, run, tmp_path)


@pytest.mark.parametrize("case", UNSAFE, ids=str)
def test_an_unsafe_fix_gives_the_reference(case: Proof, tmp_path: Path) -> None:
    prove(case, run, tmp_path)
