"""Fixes in code of other frameworks and of loss libraries, proved by running them on functions of PyTorch under their names."""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812

from lossaudit.check.audit import Request, run
from tests.test_fixes_proofs import BINARY, CLASSES, ROWS, executed, fixed, samples, value_and_gradient

JAX = "import jax\nimport jax.numpy as jnp\nimport optax\nfrom jax.nn import sigmoid, softmax\n\n\n"


def _module(name: str, **names: Any) -> types.ModuleType:
    module = types.ModuleType(name)
    module.__dict__.update(names)
    return module


def _cross_entropy(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """As ``optax.softmax_cross_entropy``: one value a row."""
    return -(labels * F.log_softmax(logits, dim=-1)).sum(dim=-1)


def _take_along_axis(x: torch.Tensor, index: torch.Tensor, axis: int) -> torch.Tensor:
    return torch.take_along_dim(x, index, axis)


@pytest.fixture
def stand_ins(monkeypatch: pytest.MonkeyPatch) -> None:
    """JAX and Optax by what PyTorch has under other names; gradients come with it."""
    nn = _module(
        "jax.nn",
        softmax=lambda x, axis=-1: torch.softmax(x, axis),
        log_softmax=lambda x, axis=-1: torch.log_softmax(x, axis),
        sigmoid=torch.sigmoid,
        log_sigmoid=F.logsigmoid,
        one_hot=lambda x, n: F.one_hot(x, n).double(),
    )
    numpy = _module("jax.numpy", log=torch.log, sum=torch.sum, take_along_axis=_take_along_axis)
    optax = _module(
        "optax",
        softmax_cross_entropy=_cross_entropy,
        sigmoid_binary_cross_entropy=lambda logits, labels: F.binary_cross_entropy_with_logits(
            logits, labels, reduction="none"
        ),
        kl_divergence=lambda log_predictions, targets: F.kl_div(
            log_predictions, targets, reduction="none"
        ).sum(-1),
    )
    for module in (nn, numpy, optax, _module("jax", nn=nn, numpy=numpy)):
        monkeypatch.setitem(sys.modules, module.__name__, module)


SAFE = [
    ("LA401", "def loss(z, y):\n    return -jnp.sum(y * jnp.log(jax.nn.softmax(z)), axis=-1).mean()\n", ROWS),
    ("LA401", "def loss(z, y):\n    p = softmax(z, axis=-1)\n    return -jnp.sum(y * jnp.log(p), axis=-1).mean()\n", ROWS),
    ("LA401",
     "def loss(z, y):\n    p = softmax(z, axis=-1)\n    return -jnp.log(jnp.take_along_axis(p, y[:, None], axis=-1)).mean()\n",
     CLASSES),
    ("LA402", "def loss(z, y):\n    return -(y * jnp.log(jax.nn.sigmoid(z))).sum()\n", BINARY),
    ("LA402", "def loss(z, y):\n    return -(y * jnp.log(sigmoid(z)) + (1 - y) * jnp.log(1 - sigmoid(z))).mean()\n", BINARY),
]  # fmt: skip


@pytest.mark.usefixtures("stand_ins")
@pytest.mark.parametrize(("code", "source", "target"), SAFE)
def test_safe_fixes_in_jax_keep_value_and_gradient(
    code: str, source: str, target: torch.Tensor, tmp_path: Path
) -> None:
    after = fixed(tmp_path, code, JAX + source, unsafe=False)
    before_loss, after_loss = executed(JAX + source)["loss"], executed(after)["loss"]
    shape = (4,) if target is BINARY else (4, 3)
    for z in samples(shape):
        torch.testing.assert_close(
            value_and_gradient(after_loss, z, target), value_and_gradient(before_loss, z, target)
        )
    assert torch.isfinite(after_loss(samples(shape)[0] * 1e4, target)), "the fix does not mend the underflow"


UNSAFE = [
    ("LA101",
     "def loss(z, y):\n    p = jax.nn.softmax(z * 2, axis=-1)\n    return optax.softmax_cross_entropy(labels=y, logits=p).mean()\n",
     ROWS, lambda z, y: _cross_entropy(2 * z, y).mean()),
    ("LA102", "def loss(z, y):\n    return optax.softmax_cross_entropy(jax.nn.log_softmax(z), y).mean()\n",
     ROWS, lambda z, y: _cross_entropy(z, y).mean()),
    ("LA105", "def loss(z, y):\n    return optax.sigmoid_binary_cross_entropy(sigmoid(z), y).mean()\n",
     BINARY, F.binary_cross_entropy_with_logits),
    ("LA106", "def loss(z, y):\n    return optax.softmax_cross_entropy(jax.nn.sigmoid(z), y).sum()\n",
     ROWS, lambda z, y: _cross_entropy(z, y).sum()),
    ("LA109", "def loss(z, y):\n    return optax.kl_divergence(softmax(z), jax.nn.softmax(y)).mean()\n",
     ROWS, lambda z, y: F.kl_div(F.log_softmax(z, 1), F.softmax(y, 1), reduction="batchmean")),
]  # fmt: skip


@pytest.mark.usefixtures("stand_ins")
@pytest.mark.parametrize(("code", "source", "target", "reference"), UNSAFE, ids=[case[0] for case in UNSAFE])
def test_unsafe_fixes_in_jax_give_the_reference(
    code: str, source: str, target: torch.Tensor, reference: Any, tmp_path: Path
) -> None:
    after = executed(fixed(tmp_path, code, JAX + source, unsafe=True))["loss"]
    for z in samples((4,) if target is BINARY else (4, 3)):
        torch.testing.assert_close(
            value_and_gradient(after, z, target), value_and_gradient(reference, z, target)
        )


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
