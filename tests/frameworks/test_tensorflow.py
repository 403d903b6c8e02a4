"""Fixes in code of TensorFlow, proved by running them there."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.frameworks.proofs import Proof, Result, as_tensor, needs, of_body, prove
from tests.test_fixes_proofs import BINARY, CLASSES, ROWS, binary, cross_entropy, soft

pytestmark = needs("tensorflow")

HEADER = (
    "import tensorflow as tf\nfrom tensorflow import keras\nfrom tensorflow.keras import backend as K\n"
    "from tensorflow.keras.layers import Dense\n\nkeras.config.set_floatx('float64')\n\n\n"
)
EYE = "use_bias=False, kernel_initializer='identity'"


def run(program: dict[str, Any], scores: torch.Tensor, target: torch.Tensor) -> Result:
    import tensorflow as tf

    leaf = tf.constant(scores.numpy())
    with tf.GradientTape() as tape:
        tape.watch(leaf)
        value = tf.reduce_mean(program["loss"](leaf, tf.constant(target.numpy())))
    return as_tensor(value), as_tensor(tape.gradient(value, leaf))


proof = partial(of_body, HEADER)


COLUMN = BINARY[:, None]
WRONG = [
    proof("LA101", "return tf.nn.softmax_cross_entropy_with_logits(labels=y, logits=tf.nn.softmax(z))", ROWS, soft),
    proof("LA101", "p = tf.nn.softmax(z, axis=-1)\n    return tf.nn.softmax_cross_entropy_with_logits(y, p)", ROWS, soft),
    proof("LA101", f"return tf.nn.sparse_softmax_cross_entropy_with_logits(y, tf.nn.softmax(Dense(3, {EYE})(z)))", CLASSES, cross_entropy),
    proof("LA101", "return K.categorical_crossentropy(y, tf.keras.activations.softmax(z), from_logits=True)", ROWS, soft),
    proof("LA105", f"return tf.nn.sigmoid_cross_entropy_with_logits(y, Dense(1, {EYE}, activation='sigmoid')(z))", COLUMN, binary),
    proof("LA105", "return tf.nn.sigmoid_cross_entropy_with_logits(labels=y, logits=tf.sigmoid(z))", COLUMN, binary),
    proof("LA106", f"return tf.nn.softmax_cross_entropy_with_logits(labels=y, logits=tf.sigmoid(Dense(3, {EYE})(z)))", ROWS, soft),
    proof("LA113", f"return keras.losses.CategoricalCrossentropy()(y, Dense(3, {EYE})(z))", ROWS, soft),
    proof("LA104", f"return keras.losses.BinaryCrossentropy()(y, Dense(1, {EYE})(z))", COLUMN, binary),
]  # fmt: skip
RESCUED = [
    proof("LA101", f"return keras.losses.SparseCategoricalCrossentropy(from_logits=True)(y, Dense(3, {EYE}, activation='softmax')(z))",
          CLASSES, cross_entropy),
    proof("LA105", f"return keras.losses.BinaryCrossentropy(from_logits=True)(y, Dense(1, {EYE}, activation='sigmoid')(z))", COLUMN, binary),
]  # fmt: skip


@pytest.mark.parametrize("case", WRONG, ids=str)
def test_an_unsafe_fix_gives_the_reference(case: Proof, tmp_path: Path) -> None:
    prove(case, run, tmp_path)


@pytest.mark.parametrize("case", RESCUED, ids=str)
def test_what_keras_rescues_on_tensorflow_stays_the_reference(case: Proof, tmp_path: Path) -> None:
    prove(case, run, tmp_path, rescued=True)
