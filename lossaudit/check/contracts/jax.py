"""JAX: ``jax.nn``, ``jax.numpy``, ``jax.lax``, and the functions that differentiate (signatures as of 0.10)."""

from __future__ import annotations

from dataclasses import replace

from lossaudit.check.contracts.schema import Framework, Op

# Places: n = jax.nn, j = jax.numpy, s = jax.scipy.special
_N, _J, _S, _L = "jax.nn.", "jax.numpy.", "jax.scipy.special.", "jax.lax."
_PLACES = (("n", _N), ("j", _J), ("s", _S))
_NUMPY = "dtype=None, out=None"
_REDUCED = "a: input, axis: dim=None, dtype=None, out=None, keepdims: keepdim=False, *args, **kwargs"
_EXTREME = "a: input, axis: dim=None, out=None, keepdims: keepdim=False, *args, **kwargs"

ACTIVATIONS = (
    Op("softmax", "x: input, axis: dim=-1, where=None", "softmax", "same", "float", where="n"),
    Op("log_softmax", "x: input, axis: dim=-1, where=None", "log_softmax", "same", "float", where="n"),
    Op("sigmoid", "x: input", "sigmoid", "same", "float", where="n"),
    Op("log_sigmoid", "x: input", "log_sigmoid", "same", "float", where="n"),
    Op("tanh", "x: input", "tanh", "same", "float", where="n"),
    Op("relu", "x: input", "rectify", "same", where="n"),
    Op("relu6", "x: input", "rectify", "same", where="n"),
    *(Op(name, "x: input, *args, **kwargs", "unknown", "same", where="n") for name in (
        "leaky_relu", "elu", "gelu", "selu", "silu", "swish", "softplus", "soft_sign", "celu", "mish", "hard_sigmoid", "hard_tanh",
        "hard_silu", "hard_swish", "squareplus")),
    Op("glu", "x: input, axis: dim=-1", where="n"),
    Op("one_hot", "x: tensor, num_classes, *, dtype=None, axis: dim=-1", "one_hot", "one_hot", "float", where="n"),
    Op("logsumexp", "a: input, axis: dim=None, b=None, keepdims: keepdim=False, *args, **kwargs", "unknown", "reduce", where="n"),
)  # fmt: skip
"""What ``jax.nn`` offers, and the neural network libraries under their own names."""

_OPS = (
    *ACTIVATIONS,
    Op("sigmoid", "x: input", "sigmoid", "same", "float", where="", also=(_S + "expit", _L + "logistic")),
    Op("tanh", "x: input", "tanh", "same", "float", where="j", also=(_L + "tanh",)),
    Op("identity", "x: input", "keep", "same", where="n"),
    Op("logsumexp", "a: input, axis: dim=None, b=None, keepdims: keepdim=False, *args, **kwargs", "unknown", "reduce", where="s"),
    Op("xlogy", "x: input, y: other", "unknown", "broadcast", where="s"),
    Op("detach", "x: input", "keep", "same", where="", also=(_L + "stop_gradient",), detaches=True),
    # Layout
    Op("to_array", "object: input, dtype=None, *args, **kwargs", "keep", "same", where="", also=(_J + "array", _J + "asarray")),
    Op("view", "a: input, shape, order='C', **kwargs", "reshape", "view", where="", also=(_J + "reshape", _L + "reshape")),
    Op("flatten", "a: input, order='C'", "reshape", where="", also=(_J + "ravel",)),
    Op("squeeze", "a: input, axis: dim=None", "reshape", "squeeze", where="j"),
    Op("unsqueeze", "a: input, axis: dim", "reshape", "unsqueeze", where="", also=(_J + "expand_dims",)),
    Op("permute", "a: input, axes: dims=None", "permute", "permute", where="", also=(_J + "transpose",)),
    Op("transpose", "a: input, axis1: dim0, axis2: dim1", "transpose", "transpose", where="", also=(_J + "swapaxes",)),
    Op("cat", "arrays: tensors, axis: dim=0, dtype=None", "same_kinds", "cat", where="", also=(_J + "concatenate",)),
    Op("stack", "arrays: tensors, axis: dim=0, " + _NUMPY, "stacked", where="j"),
    Op("where", "condition, x: input=None, y: other=None, **kwargs", "where", "broadcast", "promote", where="j"),
    Op("gather", "arr: input, indices: index, axis: dim=-1, mode=None, fill_value=None", "unknown", "like_index", where="",
       also=(_J + "take_along_axis",)),
    Op("astype", "x: input, dtype, **kwargs", "keep", "same", where="j", methods=("astype",)),
    # Arithmetic
    Op("add", "x: input, y: other", "add", "broadcast", "promote", where="j"),
    Op("sub", "x: input, y: other", "sub", "broadcast", "promote", where="", also=(_J + "subtract",)),
    Op("mul", "x: input, y: other", "mul", "broadcast", "promote", where="", also=(_J + "multiply",)),
    Op("div", "x: input, y: other", "div", "broadcast", "promote", where="", also=(_J + "divide", _J + "true_divide")),
    Op("pow", "x: input, y: exponent", "power", "broadcast", "promote", where="", also=(_J + "power",)),
    Op("matmul", "a: input, b: other, *args, **kwargs", "unknown", "unknown", "promote", where="j", also=(_J + "dot",)),
    Op("einsum", "subscripts: equation, *operands, **kwargs", "unknown", where="j"),
    Op("neg", "x: input", "neg", "same", where="", also=(_J + "negative",)),
    Op("abs", "x: input", "unknown", "same", where="j", also=(_J + "absolute",)),
    Op("exp", "x: input", "exp", "same", "float", where="j", also=(_L + "exp",)),
    Op("expm1", "x: input", "unknown", "same", "float", where="j"),
    Op("log", "x: input", "log", "same", "float", where="j", also=(_J + "log2", _J + "log10", _L + "log")),
    Op("log1p", "x: input", "unknown", "same", "float", where="j", also=(_L + "log1p",)),
    Op("sqrt", "x: input", "unknown", "same", "float", where="j", also=(_L + "sqrt",)),
    Op("rsqrt", "x: input", "unknown", "same", "float", where="", also=(_L + "rsqrt",)),
    Op("square", "x: input", "unknown", "same", where="j", also=(_L + "square",)),
    Op("reciprocal", "x: input", "reciprocal", "same", "float", where="j"),
    Op("acos", "x: input", "unknown", "same", "float", where="j", also=(_J + "arccos",)),
    Op("asin", "x: input", "unknown", "same", "float", where="j", also=(_J + "arcsin",)),
    Op("clamp", "arr: input, min=None, max=None, *, a_min=None, a_max=None", "clamp", "same", where="", also=(_J + "clip",)),
    Op("maximum", "x: input, y: other", "unknown", "broadcast", "promote", where="j"),
    Op("minimum", "x: input, y: other", "unknown", "broadcast", "promote", where="j"),
    Op("cumsum", "a: input, axis: dim=None, " + _NUMPY, "unknown", "same", where="j"),
    Op("nan_to_num", "x: input, *args, **kwargs", "keep", "same", where="j"),
    # Reductions
    Op("sum", _REDUCED, "sum", "reduce", where="j"),
    Op("mean", _REDUCED, "average_dim", "reduce", where="j", also=(_J + "nanmean",)),
    Op("prod", _REDUCED, "unknown", "reduce", where="j"),
    Op("std", _REDUCED, "unknown", "reduce", where="j", also=(_J + "var",)),
    Op("amax", _EXTREME, "unknown", "reduce", where="j", also=(_J + "max",)),
    Op("amin", _EXTREME, "unknown", "reduce", where="j", also=(_J + "min",)),
    # Hard decisions
    Op("argmax", "a: input, axis: dim=None, out=None, keepdims: keepdim=False", "index", "reduce", "int", where="j", also=(_J + "argmin",)),
    Op("round", "a: input, decimals=0, out=None", "hard", "same", where="j"),
    Op("sign", "x: input", "hard", "same", where="j", also=(_J + "floor", _J + "ceil", _J + "trunc")),
    Op("eq", "x: input, y: other", "hard", "broadcast", "bool", where="", also=tuple(_J + name for name in (
        "equal", "not_equal", "greater", "greater_equal", "less", "less_equal", "logical_and", "logical_or"))),
    Op("logical_not", "x: input", "hard", "same", "bool", where="j", also=(_J + "isnan", _J + "isfinite", _J + "isinf")),
    # Numbers that depend on nothing
    Op("zeros_like", "a: input, dtype=None, *args, **kwargs", "data", "same", "creation_like", where="j"),
    Op("ones_like", "a: input, dtype=None, *args, **kwargs", "data", "same", "creation_like", where="j"),
    Op("new_numbers", "*args, dtype=None, **kwargs", "data", "unknown", "unknown", where="", also=tuple(
        _J + name for name in ("zeros", "ones", "full", "arange", "eye", "linspace", "empty"))),
)  # fmt: skip

FRAMEWORK = Framework(
    name="jax",
    roots=("jax",),
    places=_PLACES,
    prefixes=(
        ("jax._src.numpy.", _J),
        ("jax._src.nn.functions.", _N),
        ("jax.experimental.stax.", "jax.example_libraries.stax."),
    ),
    ops=tuple(replace(op, home="jax") for op in _OPS),
    tensor_types=("jax.Array", "jax.numpy.ndarray"),
    derivatives=(
        ("jax.grad", "gradient"), ("jax.value_and_grad", "value_and_gradient"),
    ),
    wrappers=("jax.jit", "jax.pmap", "jax.checkpoint", "jax.remat", "jax.named_call", "jax.device_put", "jax.block_until_ready"),
    vocabulary=("grad(",),
)  # fmt: skip
