"""Fixes in JAX and Optax, proved by running them there."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812

from tests.frameworks.proofs import Proof, Result, as_tensor, assert_finite, needs, of_body, prove
from tests.test_fixes_proofs import BINARY, CLASSES, ROWS, binary, cross_entropy, divergence, soft

pytestmark = needs("jax", "optax")

HEADER = (
    "import jax\nimport jax.numpy as jnp\nimport optax\nfrom jax.nn import sigmoid, softmax\n"
    "from jax.scipy.special import expit\n\n\n"
)


def run(program: dict[str, Any], scores: torch.Tensor, target: torch.Tensor) -> Result:
    import jax

    with jax.enable_x64(True):
        function = jax.value_and_grad(lambda z: program["loss"](z, jax.numpy.asarray(target.numpy())).sum())
        value, gradient = function(jax.numpy.asarray(scores.numpy()))
        return as_tensor(value), as_tensor(gradient)


proof = partial(of_body, HEADER)


SAFE = [
    proof("LA401", "p = jax.nn.softmax(z)\n    return -jnp.log(p[jnp.arange(4), y]).mean()", CLASSES),
    proof("LA102", "return optax.softmax_cross_entropy(jax.nn.log_softmax(z), y).mean()", ROWS),
    proof("LA102", "p = jax.nn.log_softmax(z)\n    return optax.softmax_cross_entropy_with_integer_labels(p, y).mean()", CLASSES),
    proof("LA401", "return -jnp.sum(y * jnp.log(jax.nn.softmax(z)), axis=-1).mean()", ROWS),
    proof("LA401", "p = softmax(z, axis=-1)\n    return -jnp.sum(y * jnp.log(p), axis=-1).mean()", ROWS),
    proof("LA401", "p = softmax(z)\n    return -jnp.log(jnp.take_along_axis(p, y[:, None], axis=-1)).mean()", CLASSES),
    proof("LA401", "return -(y * jax.lax.log(jax.nn.softmax(z))).sum(axis=-1).mean()", ROWS),
    proof("LA402", "return -(y * jnp.log(jax.nn.sigmoid(z))).sum()", BINARY),
    proof("LA402", "return -(y * jnp.log(sigmoid(z)) + (1 - y) * jnp.log(1 - sigmoid(z))).mean()", BINARY),
    proof("LA402", "return -(y * jnp.log(expit(-z))).sum()", BINARY),
    proof("LA402", "return -(y * jnp.log1p(-jax.nn.sigmoid(z))).sum()", BINARY),
]  # fmt: skip


def twice(z: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return soft(2 * z, y)


def poly(z: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Leng et al. 2022, equation 6, with its epsilon of 2."""
    hit = (y * z.softmax(1)).sum(1)
    return (-(y * z.log_softmax(1)).sum(1) + 2 * (1 - hit)).mean()


def sigmoid_focal(z: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Lin et al. 2017, without alpha, gamma 2."""
    p = z.sigmoid()
    hit = p * y + (1 - p) * (1 - y)
    return ((1 - hit) ** 2 * F.binary_cross_entropy_with_logits(z, y, reduction="none")).mean()


UNSAFE = [
    proof("LA304", "return -(y * jax.nn.log_softmax(z)).mean()", ROWS, soft),
    proof("LA304", "return -(y * jax.nn.log_softmax(z)).mean(axis=-1).mean()", ROWS, soft),
    proof("LA101", "p = jax.nn.softmax(z * 2, axis=-1)\n    return optax.softmax_cross_entropy(labels=y, logits=p).mean()", ROWS, twice),
    proof("LA101", "return optax.softmax_cross_entropy_with_integer_labels(softmax(z), y).mean()", CLASSES, cross_entropy),
    proof("LA101", "return optax.losses.safe_softmax_cross_entropy(softmax(z), y).mean()", ROWS, soft),
    proof("LA101", "return optax.losses.poly_loss_cross_entropy(softmax(z), y).mean()", ROWS, poly),
    proof("LA105", "return optax.sigmoid_binary_cross_entropy(sigmoid(z), y).mean()", BINARY, binary),
    proof("LA105", "return optax.sigmoid_binary_cross_entropy(expit(z), y).mean()", BINARY, binary),
    proof("LA105", "return optax.sigmoid_focal_loss(jax.nn.sigmoid(z), y).mean()", BINARY, sigmoid_focal),
    proof("LA106", "return optax.softmax_cross_entropy(jax.nn.sigmoid(z), y).mean()", ROWS, soft),
    proof("LA109", "return optax.kl_divergence(softmax(z), y).mean()", ROWS, divergence),
    proof("LA109", "return optax.losses.convex_kl_divergence(jax.nn.softmax(z), y).mean()", ROWS, divergence),
    proof("LA109", "return optax.losses.kl_divergence_with_log_targets(softmax(z), jnp.log(y + 1e-30)).mean()", ROWS, divergence),
]  # fmt: skip


@pytest.mark.parametrize("case", SAFE, ids=str)
def test_a_safe_fix_keeps_value_and_gradient(case: Proof, tmp_path: Path) -> None:
    prove(case, run, tmp_path)
    if case.code != "LA102":
        assert_finite(case, run, tmp_path)


@pytest.mark.parametrize("case", UNSAFE, ids=str)
def test_an_unsafe_fix_gives_the_reference(case: Proof, tmp_path: Path) -> None:
    prove(case, run, tmp_path)
