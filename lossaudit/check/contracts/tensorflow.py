"""TensorFlow: operations and losses outside of ``tf.keras`` (as of 2.x, and what of 1.x is still written)."""

from __future__ import annotations

from dataclasses import replace

from lossaudit.check.contracts.schema import Framework, Loss, Op

# Places: t is the top level, n the module nn, h the module math
_T, _N, _H = "tensorflow.", "tensorflow.nn.", "tensorflow.math."
_PLACES = (("t", _T), ("n", _N), ("h", _H))
_V1 = "tensorflow.compat.v1."
_DIMS = "axis: dim=None, keepdims: keepdim=False, name=None"

_OPS = (
    # Activations
    Op("softmax", "logits: input, axis: dim=-1, name=None", "softmax", "same", "float", where="nh", also=(_T + "softmax",)),
    Op("log_softmax", "logits: input, axis: dim=-1, name=None", "log_softmax", "same", "float", where="nh"),
    Op("sigmoid", "x: input, name=None", "sigmoid", "same", "float", where="tnh"),
    Op("logsigmoid", "x: input, name=None", "log_sigmoid", "same", "float", where="", also=(_H + "log_sigmoid", _N + "log_sigmoid", _T + "log_sigmoid")),
    Op("tanh", "x: input, name=None", "tanh", "same", "float", where="tnh"),
    Op("relu", "features: input, name=None", "rectify", "same", where="n"),
    Op("relu6", "features: input, name=None", "rectify", "same", where="n"),
    *(Op(name, "features: input, *args, **kwargs", "unknown", "same", where="n") for name in (
        "leaky_relu", "elu", "gelu", "selu", "silu", "swish", "softplus", "softsign", "l2_normalize")),
    # Affine maps
    Op("addmm", "x: input, weights, biases, name=None", "score", "unknown", "float", where="", also=(_N + "xw_plus_b", _V1 + "nn.xw_plus_b")),
    Op("linear_layer", "inputs: input, units: out_features, activation=None, **kwargs", "score", "linear", "float", where="",
       also=(_T + "layers.dense", _V1 + "layers.dense"), activation=("activation", "keras.activations.")),
    Op("conv2d", "input, filters, *args, **kwargs", "score", "unknown", "float", where="n", also=(_N + "conv1d", _N + "conv3d", _N + "convolution")),
    Op("bias_add", "value: input, bias, **kwargs", "keep", "same", where="n"),
    Op("dropout", "x: input, rate, **kwargs", "dropout", "same", where="n"),
    Op("identity", "input, name=None", "keep", "same", where="t"),
    Op("cast", "x: input, dtype, name=None", "keep", "same", "to", where="t"),
    Op("detach", "input, name=None", "keep", "same", where="", also=(_T + "stop_gradient",), detaches=True),
    Op("to_tensor", "value: data, dtype=None, *args, **kwargs", "unknown", "data", "data", where="",
       also=(_T + "constant", _T + "convert_to_tensor"), detaches=True),
    # Layout
    Op("view", "tensor: input, shape, name=None", "reshape", "view", where="", also=(_T + "reshape",)),
    Op("squeeze", "input, axis: dim=None, name=None", "reshape", "squeeze", where="t"),
    Op("unsqueeze", "input, axis: dim, name=None", "reshape", "unsqueeze", where="", also=(_T + "expand_dims",)),
    Op("permute", "a: input, perm: dims=None, **kwargs", "permute", "permute", where="", also=(_T + "transpose",)),
    Op("cat", "values: tensors, axis: dim, name=None", "same_kinds", "cat", where="", also=(_T + "concat",)),
    Op("stack", "values: tensors, axis: dim=0, name=None", "stacked", where="t"),
    Op("where", "condition, x: input=None, y: other=None, name=None", "where", "broadcast", "promote", where="t"),
    Op("index_select", "params: input, indices: index, validate_indices=None, axis: dim=0, batch_dims=0, name=None", "narrow", where="", also=(_T + "gather",)),
    Op("masked_select", "tensor: input, mask, axis=None, name=None", "elementwise_only", where="", also=(_T + "boolean_mask",)),
    # Arithmetic
    Op("add", "x: input, y: other, name=None", "add", "broadcast", "promote", where="th"),
    Op("sub", "x: input, y: other, name=None", "sub", "broadcast", "promote", where="", also=(_T + "subtract", _H + "subtract")),
    Op("mul", "x: input, y: other, name=None", "mul", "broadcast", "promote", where="", also=(_T + "multiply", _H + "multiply")),
    Op("div", "x: input, y: other, name=None", "div", "broadcast", "promote", where="", also=(_T + "divide", _H + "divide", _T + "truediv")),
    Op("pow", "x: input, y: exponent, name=None", "unknown", "broadcast", "promote", where="th"),
    Op("matmul", "a: input, b: other, **kwargs", "unknown", "unknown", "promote", where="t", also=("tensorflow.linalg.matmul",)),
    Op("neg", "x: input, name=None", "neg", "same", where="", also=(_T + "negative", _H + "negative")),
    Op("abs", "x: input, name=None", "unknown", "same", where="th"),
    Op("exp", "x: input, name=None", "exp", "same", "float", where="th"),
    Op("log", "x: input, name=None", "log", "same", "float", where="th"),
    Op("log1p", "x: input, name=None", "unknown", "same", "float", where="h"),
    Op("sqrt", "x: input, name=None", "unknown", "same", "float", where="th"),
    Op("square", "x: input, name=None", "unknown", "same", where="th"),
    Op("clamp", "t: input, clip_value_min: min, clip_value_max: max, name=None", "clamp", "same", where="", also=(_T + "clip_by_value",)),
    Op("maximum", "x: input, y: other, name=None", "unknown", "broadcast", "promote", where="th"),
    Op("minimum", "x: input, y: other, name=None", "unknown", "broadcast", "promote", where="th"),
    # Reductions
    Op("sum", "input_tensor: input, " + _DIMS, "sum", "reduce", where="", also=(_T + "reduce_sum", _H + "reduce_sum")),
    Op("mean", "input_tensor: input, " + _DIMS, "average_dim", "reduce", where="", also=(_T + "reduce_mean", _H + "reduce_mean")),
    Op("max", "input_tensor: input, " + _DIMS, "unknown", "reduce", where="", also=(_T + "reduce_max", _H + "reduce_max")),
    Op("min", "input_tensor: input, " + _DIMS, "unknown", "reduce", where="", also=(_T + "reduce_min", _H + "reduce_min")),
    Op("logsumexp", "input_tensor: input, " + _DIMS, "unknown", "reduce", where="", also=(_T + "reduce_logsumexp", _H + "reduce_logsumexp")),
    # Hard decisions
    Op("argmax", "input, axis: dim=None, output_type=None, name=None", "index", "reduce", "int", where="th"),
    Op("round", "x: input, name=None", "hard", "same", where="th", also=(_T + "floor", _H + "floor", _H + "ceil", _T + "sign", _H + "sign")),
    Op("eq", "x: input, y: other, name=None", "hard", "broadcast", "bool", where="", also=tuple(
        prefix + name for prefix in (_T, _H) for name in ("equal", "not_equal", "greater", "greater_equal", "less", "less_equal"))),
    Op("one_hot", "indices: tensor, depth: num_classes, on_value=None, off_value=None, axis: dim=None, dtype=None, name=None",
       "one_hot", "one_hot", "float", where="t"),
    Op("zeros_like", "input, dtype=None, name=None", "data", "same", "creation_like", where="t"),
    Op("ones_like", "input, dtype=None, name=None", "data", "same", "creation_like", where="t"),
)  # fmt: skip

_LOGITS = "labels: target, logits: input"
_TF1 = "_sentinel=None, labels: target=None, logits: input=None, "

_LOSSES = (
    Loss("cross_entropy", functions=(_N + "softmax_cross_entropy_with_logits", _N + "softmax_cross_entropy_with_logits_v2"),
         signature=_LOGITS + ", axis: class_dim=-1, name=None",
         expects="logits", target_expects="distribution", applies="softmax", class_dim=-1),
    Loss("cross_entropy", functions=(_V1 + "nn.softmax_cross_entropy_with_logits", _V1 + "nn.softmax_cross_entropy_with_logits_v2"),
         signature=_TF1 + "dim: class_dim=-1, name=None, axis=None",
         expects="logits", target_expects="distribution", applies="softmax", class_dim=-1),
    Loss("cross_entropy", functions=(_N + "sparse_softmax_cross_entropy_with_logits",), signature=_LOGITS + ", name=None",
         expects="logits", target_expects="class_indices", applies="softmax", class_dim=-1),
    Loss("cross_entropy", functions=(_V1 + "nn.sparse_softmax_cross_entropy_with_logits",), signature=_TF1 + "name=None",
         expects="logits", target_expects="class_indices", applies="softmax", class_dim=-1),
    Loss("binary_cross_entropy_with_logits", functions=(_N + "sigmoid_cross_entropy_with_logits",), signature=_LOGITS + ", name=None",
         expects="binary_logits", target_expects="binary", applies="a sigmoid"),
    Loss("binary_cross_entropy_with_logits", functions=(_V1 + "nn.sigmoid_cross_entropy_with_logits",), signature=_TF1 + "name=None",
         expects="binary_logits", target_expects="binary", applies="a sigmoid"),
    Loss("binary_cross_entropy_with_logits", functions=(_N + "weighted_cross_entropy_with_logits",), signature=_LOGITS + ", pos_weight, name=None",
         expects="binary_logits", target_expects="binary", applies="a sigmoid"),
    Loss("cross_entropy", functions=(_T + "losses.softmax_cross_entropy", _V1 + "losses.softmax_cross_entropy"),
         signature="onehot_labels: target, logits: input, weights=1.0, label_smoothing=0, **kwargs",
         expects="logits", target_expects="distribution", applies="softmax", class_dim=-1),
    Loss("cross_entropy", functions=(_T + "losses.sparse_softmax_cross_entropy", _V1 + "losses.sparse_softmax_cross_entropy"),
         signature=_LOGITS + ", weights=1.0, **kwargs", expects="logits", target_expects="class_indices", applies="softmax", class_dim=-1),
    Loss("binary_cross_entropy_with_logits", functions=(_T + "losses.sigmoid_cross_entropy", _V1 + "losses.sigmoid_cross_entropy"),
         signature="multi_class_labels: target, logits: input, weights=1.0, label_smoothing=0, **kwargs",
         expects="binary_logits", target_expects="binary", applies="a sigmoid"),
    Loss("log_loss", functions=(_T + "losses.log_loss", _V1 + "losses.log_loss"),
         signature="labels: target, predictions: input, weights=1.0, epsilon=1e-07, **kwargs", expects="binary_probabilities", target_expects="binary"),
)  # fmt: skip

FRAMEWORK = Framework(
    name="tensorflow",
    roots=("tensorflow",),
    requires=("keras",),
    places=_PLACES,
    prefixes=(
        ("tensorflow.keras.", "keras."),
        ("tensorflow.python.keras.", "keras."),
        ("tensorflow.compat.v1.keras.", "keras."),
        ("tensorflow.compat.v2.", _T),
        ("tensorflow.compat.v1.math.", _H),
        ("tensorflow.compat.v1.nn.", _N),
        ("tensorflow.compat.v1.", _T),
        ("tensorflow.losses.", "keras.losses."),
    ),
    ops=tuple(replace(op, home="tensorflow") for op in _OPS),
    losses=tuple(replace(one, home="tensorflow") for one in _LOSSES),
    tensor_types=("tensorflow.Tensor", "tensorflow.Variable"),
    module_bases=(("tensorflow.Module", "__call__"),),
)
