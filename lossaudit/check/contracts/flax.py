"""Flax: the layers of ``flax.linen`` and ``flax.nnx``, how a linen module is applied, and its training state (as of 0.12)."""

from __future__ import annotations

from dataclasses import replace

from lossaudit.check.contracts.jax import ACTIVATIONS
from lossaudit.check.contracts.schema import Framework, Layer, Op, Runner

# Places: l = flax.linen, x = flax.nnx
_L, _X = "flax.linen.", "flax.nnx."
_CALL = "inputs: input, *args, **kwargs"

_OPS = (
    *(replace(op, where="lx", home="jax") for op in ACTIVATIONS),
    # Flax puts the channels last: only the kind of number is known of what a convolution yields
    Op("convolution", "input", "score", "unknown", "float", where=""),
    Op("max_pool", "inputs: input, window_shape, strides=None, padding='VALID'", "pool", where="l"),
    Op("avg_pool", "inputs: input, window_shape, strides=None, padding='VALID', count_include_pad=True", "average", where="l"),
)  # fmt: skip


def _both(*names: str) -> tuple[str, ...]:
    return tuple(place + name for place in (_L, _X) for name in names)


_LAYERS = (
    Layer((_L + "Dense",), "features: out_features, use_bias=True, **kwargs", "linear", _CALL),
    Layer((_X + "Linear",), "in_features, out_features, *, use_bias=True, **kwargs", "linear", _CALL),
    Layer((_L + "DenseGeneral", _L + "Einsum"), "*args, **kwargs", "convolution", _CALL),
    Layer((_X + "LinearGeneral", _X + "Einsum"), "*args, **kwargs", "convolution", _CALL),
    Layer((*_both("Conv", "ConvTranspose"), _L + "ConvLocal"), "*args, **kwargs", "convolution", _CALL),
    Layer(_both("BatchNorm"), "*args, **kwargs", "batch_norm", "x: input, *args, **kwargs"),
    Layer(_both("LayerNorm", "RMSNorm", "InstanceNorm"), "*args, **kwargs", "layer_norm", "x: input, *args, **kwargs"),
    Layer(_both("GroupNorm"), "*args, **kwargs", "group_norm", "x: input, *args, **kwargs"),
    Layer(_both("Dropout"), "rate, *args, **kwargs", "dropout", _CALL),
    Layer(_both("Embed"), "num_embeddings, features: embedding_dim, *args, **kwargs", "embedding", _CALL),
    Layer(_both("PReLU"), "*args, **kwargs", "elu", _CALL),
    Layer(
        (*_both("MultiHeadAttention"), _L + "MultiHeadDotProductAttention", _L + "SelfAttention"),
        "*args, **kwargs", "hidden", "inputs_q: input, *args, **kwargs",
    ),
)  # fmt: skip

_APPLY = "variables, *args, rngs=None, method=None, mutable=False, capture_intermediates=False, **kwargs"
_STATE = "flax.training.train_state.TrainState"

FRAMEWORK = Framework(
    name="flax",
    roots=("flax",),
    requires=("jax",),
    places=(("l", _L), ("x", _X)),
    prefixes=(
        *(
            (f"flax.linen.{module}.", _L)
            for module in (
                "linear", "module", "normalization", "stochastic", "combinators", "attention", "activation", "pooling",
            )
        ),
        ("flax.nnx.nn.", _X),
        ("flax.experimental.nnx.", _X),
    ),
    ops=_OPS,
    layers=_LAYERS,
    record_bases=(_L + "Module", "flax.struct.PyTreeNode"),
    module_bases=((_L + "Module", "__call__"), (_X + "Module", "__call__")),
    containers=((_L + "Sequential", "sequential"), (_X + "Sequential", "sequential")),
    runners=(Runner(_L + "Module", "apply", _APPLY),),
    record_builders=((_STATE, "create"),),
    keepers=(f"{_STATE}.apply_gradients", f"{_STATE}.replace"),
    derivatives=(("flax.nnx.grad", "gradient"), ("flax.nnx.value_and_grad", "value_and_gradient")),
    wrappers=(_L + "jit", _L + "remat", _L + "checkpoint", _X + "jit", _X + "remat"),
)  # fmt: skip
