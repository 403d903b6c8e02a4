"""Fixes of what a Keras model is compiled with and of Keras's own functions, proved by running them.

They run on whichever backend is there: TensorFlow where it is installed, PyTorch otherwise.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.frameworks.proofs import Proof, Result, as_tensor, needs, prove
from tests.test_fixes_proofs import BINARY, CLASSES, MANY, ROWS, binary, cross_entropy, soft

pytestmark = needs("keras")

COLUMN = BINARY[:, None]
FUNCTIONAL = """\
{imports}

keras.config.set_floatx("float64")
keras.config.set_dtype_policy("float64")
inputs = keras.Input((4,))
model = keras.Model(inputs, {dense}(inputs))
model.compile(optimizer=keras.optimizers.SGD(1.0), loss={loss})
"""
SEQUENTIAL = """\
{imports}

keras.config.set_floatx("float64")
keras.config.set_dtype_policy("float64")
model = keras.Sequential([keras.Input((4,)), {dense}])
model.compile(
    keras.optimizers.SGD(1.0),
    loss={loss},
)
"""
SUBCLASS = """\
{imports}

keras.config.set_floatx("float64")
keras.config.set_dtype_policy("float64")


class Net(keras.Model):
    def __init__(self):
        super().__init__()
        self.out = {dense}

    def call(self, x):
        return self.out(x)


model = Net()
model(keras.ops.zeros((1, 4)))
model.compile(optimizer=keras.optimizers.SGD(1.0), loss={loss})
"""
FUNCTION = """\
{imports}

keras.config.set_floatx("float32")
keras.config.set_dtype_policy("float32")


def loss(z, y):
    return keras.ops.mean({call})
"""
IMPORTS = "import keras\nfrom keras import layers, losses"


def run_model(program: dict[str, Any], scores: torch.Tensor, target: torch.Tensor) -> Result:
    """The weights are the raw scores and the inputs the rows of the identity, so a step of size one subtracts the gradient."""
    model, y = program["model"], target.numpy()
    model.set_weights([scores.numpy()])
    value = as_tensor(model.test_on_batch(np.eye(4), y))
    model.train_on_batch(np.eye(4), y)
    return value, scores - as_tensor(model.get_weights()[0])


def run_function(program: dict[str, Any], scores: torch.Tensor, target: torch.Tensor) -> Result:
    """In float32: on PyTorch, a layer of Keras yields that whatever it is asked for."""
    import keras

    target = target if target.dtype == torch.int64 else target.float()
    if keras.backend.backend() == "torch":
        leaf = scores.float().requires_grad_()
        value = program["loss"](leaf, target)
        (gradient,) = torch.autograd.grad(value, leaf)
        return value.detach().double(), gradient.double()
    import tensorflow as tf

    leaf = tf.constant(scores.float().numpy())
    with tf.GradientTape() as tape:
        tape.watch(leaf)
        value = program["loss"](leaf, tf.constant(target.numpy()))
    return as_tensor(value), as_tensor(tape.gradient(value, leaf))


def compiled(code: str, activation: str, loss: str, target: torch.Tensor, reference: Any, frame: str = FUNCTIONAL) -> Proof:  # fmt: skip
    n = 1 if target is COLUMN else 3
    given = f", activation={activation!r}" if activation else ""
    source = frame.format(imports=IMPORTS, dense=f"layers.Dense({n}, use_bias=False{given})", loss=loss)
    return Proof(code, source, (4, n), target, reference)


def called(code: str, call: str, target: torch.Tensor, reference: Any) -> Proof:
    shape = (4, 1) if target is COLUMN else MANY
    return Proof(code, FUNCTION.format(imports=IMPORTS, call=call), shape, target, reference)


MODELS = [
    compiled("LA101", "softmax", "losses.CategoricalCrossentropy(from_logits=True)", ROWS, soft),
    compiled("LA101", "softmax", "losses.SparseCategoricalCrossentropy(from_logits=True)", CLASSES, cross_entropy, SEQUENTIAL),
    compiled("LA105", "sigmoid", "losses.BinaryCrossentropy(from_logits=True)", COLUMN, binary),
    compiled("LA105", "sigmoid", "keras.losses.BinaryCrossentropy(from_logits=True)", COLUMN, binary, SUBCLASS),
    compiled("LA104", "", "'binary_crossentropy'", COLUMN, binary),
    compiled("LA104", "", "losses.BinaryCrossentropy()", COLUMN, binary, SEQUENTIAL),
    compiled("LA104", "", "losses.BinaryCrossentropy(from_logits=False)", COLUMN, binary, SUBCLASS),
    compiled("LA113", "", "'categorical_crossentropy'", ROWS, soft, SUBCLASS),
    compiled("LA113", "", "'sparse_categorical_crossentropy'", CLASSES, cross_entropy, SEQUENTIAL),
    compiled("LA113", "", "losses.CategoricalCrossentropy()", ROWS, soft),
]  # fmt: skip
EYE = "kernel_initializer='identity', use_bias=False"
FUNCTIONS = [
    called("LA101", f"losses.categorical_crossentropy(y, layers.Dense(3, {EYE}, activation='softmax')(z), from_logits=True)", ROWS, soft),
    called("LA101", "losses.sparse_categorical_crossentropy(y, keras.ops.softmax(z), from_logits=True)", CLASSES, cross_entropy),
    called("LA105", "losses.binary_crossentropy(y, keras.ops.sigmoid(z), from_logits=True)", COLUMN, binary),
    called("LA113", f"losses.categorical_crossentropy(y, layers.Dense(3, {EYE})(z))", ROWS, soft),
    called("LA113", f"keras.ops.categorical_crossentropy(y, layers.Dense(3, {EYE})(z))", ROWS, soft),
    called("LA104", f"keras.ops.binary_crossentropy(y, layers.Dense(1, {EYE})(z))", COLUMN, binary),
]  # fmt: skip


def is_rescued(case: Proof) -> bool:
    """On TensorFlow, Keras 3 takes the scores from below an activation that the loss would apply again, and warns."""
    import keras

    return keras.backend.backend() == "tensorflow" and case.code in ("LA101", "LA105")


@pytest.mark.parametrize("case", MODELS, ids=lambda case: f"{case.code}-{MODELS.index(case)}")
def test_a_fixed_model_trains_on_the_reference(case: Proof, tmp_path: Path) -> None:
    prove(case, run_model, tmp_path, rescued=is_rescued(case))


@pytest.mark.parametrize("case", FUNCTIONS, ids=str)
def test_a_fixed_function_gives_the_reference(case: Proof, tmp_path: Path) -> None:
    prove(case, run_function, tmp_path, rescued=is_rescued(case), rtol=1e-4)
