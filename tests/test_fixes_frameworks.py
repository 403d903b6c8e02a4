"""Fixes in code of other frameworks and of loss libraries: their exact text. ``tests/frameworks`` runs what they make."""

from __future__ import annotations

from pathlib import Path

import pytest

from lossaudit.check.audit import Request, run
from tests.test_fixes_proofs import fixed


@pytest.mark.parametrize(
    ("code", "imports", "before", "after"),
    [
        ("LA101", "import tensorflow as tf\nfrom tensorflow.keras.layers import Dense",
         "tf.nn.sparse_softmax_cross_entropy_with_logits(y, tf.nn.softmax(Dense(5)(z)))",
         "tf.nn.sparse_softmax_cross_entropy_with_logits(y, Dense(5)(z))"),
        ("LA105", "import tensorflow as tf\nfrom tensorflow.keras.layers import Dense",
         "tf.nn.sigmoid_cross_entropy_with_logits(labels=y, logits=Dense(1, activation='sigmoid')(z))",
         "tf.nn.sigmoid_cross_entropy_with_logits(labels=y, logits=Dense(1)(z))"),
        ("LA402", "import paddle\nimport paddle.nn.functional as F", "-paddle.log(F.sigmoid(z)).mean()", "-F.log_sigmoid(z).mean()"),
        ("LA402", "import jax.numpy as jnp\nfrom flax import linen as nn", "-jnp.log(nn.sigmoid(z)).mean()", "-nn.log_sigmoid(z).mean()"),
        ("LA101", "import torch\nimport kornia", "kornia.losses.focal_loss(torch.softmax(z, 1), y, alpha=0.5)",
         "kornia.losses.focal_loss(z, y, alpha=0.5)"),
        ("LA105", "import torchvision", "torchvision.ops.sigmoid_focal_loss(z.sigmoid(), y)",
         "torchvision.ops.sigmoid_focal_loss(z, y)"),
        ("LA101", "import torch\nfrom timm.loss import SoftTargetCrossEntropy as Soft", "Soft()(target=y, x=torch.softmax(z, -1))",
         "Soft()(target=y, x=z)"),
    ],
)  # fmt: skip
def test_only_the_activation_goes(code: str, imports: str, before: str, after: str, tmp_path: Path) -> None:
    source = imports + "\n\n\ndef loss(z, y):\n    return {}\n"
    assert fixed(tmp_path, code, source.format(before), unsafe=True) == source.format(after)


APPLIED = """\
import jax, optax
from flax import linen as nn

net = nn.Sequential([nn.Dense(4), nn.sigmoid])


def loss(params, x, y):
    return optax.softmax_cross_entropy(net.apply(params, x), y).mean()
"""
LAYER = """\
import tensorflow as tf
from tensorflow.keras.layers import Dense


def loss(x, y):
    return -tf.reduce_mean(tf.math.log(Dense(1, activation='sigmoid')(x)))
"""


@pytest.mark.parametrize(
    ("code", "source"),
    [
        ("LA106", APPLIED),
        ("LA402", LAYER),
        ("LA402", "import paddle\n\n\ndef loss(x, y):\n    return -(y * x.sigmoid().log()).mean()\n"),
        ("LA405", "import jax.numpy as jnp\n\n\ndef loss(x, y):\n    return jnp.log(jnp.exp(x).sum(axis=1)).mean()\n"),
    ],
)  # fmt: skip
def test_what_is_not_certain_in_another_framework_is_left(code: str, source: str, tmp_path: Path) -> None:
    """A model applied to its parameters, a layer with an activation, a method of which the other name is not known."""
    path = tmp_path / "sample.py"
    path.write_text(source)
    outcome = run(Request((path,), tmp_path, frozenset({code}), change="fix", unsafe=True))
    assert [finding.fix for finding in outcome.findings if finding.code == code] == [None] * len(
        outcome.findings
    )
    assert path.read_text() == source
