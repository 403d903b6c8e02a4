"""Keras 3, and Keras 2 as ``tf.keras`` and ``tf_keras``: layers, losses, and ``compile``, which brings them together."""

from __future__ import annotations

from dataclasses import replace

from lossaudit.check.contracts.schema import Framework, Layer, Loss, Op, Pairing, When

# Places: k is the backend module, o the ops, a the activations
_PLACES = (("k", "keras.backend."), ("o", "keras.ops."), ("a", "keras.activations."))
_K, _O, _A, _L = "keras.backend.", "keras.ops.", "keras.activations.", "keras.layers."
_ACTIVATION = ("activation", _A)

_OPS = (
    # Activations
    Op("softmax", "x: input, axis: dim=-1", "softmax", "same", "float", where="koa", also=("keras.ops.nn.softmax",)),
    Op("log_softmax", "x: input, axis: dim=-1", "log_softmax", "same", "float", where="oa"),
    Op("sigmoid", "x: input", "sigmoid", "same", "float", where="koa"),
    Op("logsigmoid", "x: input", "log_sigmoid", "same", "float", where="", also=(_O + "log_sigmoid", _A + "log_sigmoid")),
    Op("tanh", "x: input", "tanh", "same", "float", where="koa"),
    Op("relu", "x: input, *args, **kwargs", "rectify", "same", where="koa"),
    Op("relu6", "x: input", "rectify", "same", where="oa"),
    Op("identity", "x: input", "keep", "same", where="", also=(_A + "linear",)),
    # Layers with an activation of their own
    Op("dense", "input", "score", "linear", "float", where="", activation=_ACTIVATION),
    Op("convolution", "input", "score", "unknown", "float", where="", activation=_ACTIVATION),
    Op("activation_layer", "input, activation", "keep", "same", "float", where="", activation=_ACTIVATION),
    Op("function_layer", "input, function", "keep", "same", where="", activation=("function", _A)),
    Op("reshape_layer", "input", "reshape", "unknown", where=""),
    Op("merge", "input", "unknown", "unknown", where=""),
    # Arithmetic on tensors
    Op("exp", "x: input", "exp", "same", "float", where="ko"),
    Op("log", "x: input", "log", "same", "float", where="ko"),
    Op("sqrt", "x: input", "unknown", "same", "float", where="ko"),
    Op("square", "x: input", "unknown", "same", where="ko"),
    Op("abs", "x: input", "unknown", "same", where="ko"),
    Op("pow", "x: input, a: exponent", "unknown", "same", where="k"),
    Op("power", "x1: input, x2: exponent", "unknown", "same", where="o"),
    Op("clamp", "x: input, min_value: min, max_value: max", "clamp", "same", where="", also=(_K + "clip",)),
    Op("clamp", "x: input, x_min: min, x_max: max", "clamp", "same", where="", also=(_O + "clip",)),
    Op("sum", "x: input, axis: dim=None, keepdims: keepdim=False", "sum", "reduce", where="ko"),
    Op("mean", "x: input, axis: dim=None, keepdims: keepdim=False", "average_dim", "reduce", where="ko"),
    Op("max", "x: input, axis: dim=None, keepdims: keepdim=False", "unknown", "reduce", where="ko"),
    Op("min", "x: input, axis: dim=None, keepdims: keepdim=False", "unknown", "reduce", where="ko"),
    Op("logsumexp", "x: input, axis: dim=None, keepdims: keepdim=False", "unknown", "reduce", where="o"),
    Op("argmax", "x: input, axis: dim=-1", "index", "reduce", "int", where="k"),
    Op("argmax", "x: input, axis: dim=None, keepdims: keepdim=False", "index", "reduce", "int", where="o"),
    Op("round", "x: input", "hard", "same", where="ko"),
    Op("cast", "x: input, dtype", "keep", "same", "to", where="ko"),
    Op("one_hot", "indices: tensor, num_classes", "one_hot", "one_hot", "float", where="k"),
    Op("one_hot", "x: tensor, num_classes, axis: dim=-1, dtype=None, sparse=False", "one_hot", "one_hot", "float", where="o"),
    Op("detach", "x: input", "keep", "same", where="", also=(_O + "stop_gradient", _K + "stop_gradient"), detaches=True),
    Op("view", "x: input, newshape: shape", "reshape", "view", where="", also=(_O + "reshape", _K + "reshape")),
    Op("cat", "tensors, axis: dim=-1", "same_kinds", "cat", where="", also=(_K + "concatenate",)),
    Op("cat", "xs: tensors, axis: dim=0", "same_kinds", "cat", where="", also=(_O + "concatenate",)),
    Op("squeeze", "x: input, axis: dim=None", "reshape", "squeeze", where="ko"),
    Op("unsqueeze", "x: input, axis: dim", "reshape", "unsqueeze", where="", also=(_O + "expand_dims",)),
    Op("unsqueeze", "x: input, axis: dim=-1", "reshape", "unsqueeze", where="", also=(_K + "expand_dims",)),
    Op("symbolic_input", "shape=None, batch_size=None, *args, **kwargs", "unknown", where="", also=("keras.Input", _L + "Input")),
    Op("merge", "inputs: input, *args, **kwargs", "unknown", where="", also=tuple(
        _L + name for name in ("add", "concatenate", "multiply", "average", "subtract", "maximum", "minimum", "dot"))),
)  # fmt: skip

_X = "inputs: input, *args, **kwargs"
_REST = "use_bias=True, *args, **kwargs"
_CONV = "filters, kernel_size, strides=1, padding='valid', data_format=None, dilation_rate=1, groups=1, activation=None, **kwargs"
_CONV_T = "filters, kernel_size, strides=1, padding='valid', *args, activation=None, **kwargs"


def _layers(*names: str) -> tuple[str, ...]:
    return tuple(_L + name for name in names)


_LAYERS = (
    Layer(_layers("Dense"), "units: out_features, activation=None, " + _REST, "dense", _X),
    Layer(_layers("EinsumDense"), "equation, output_shape, activation=None, **kwargs", "convolution", _X),
    Layer(_layers("Conv1D", "Convolution1D"), _CONV, "convolution", _X),
    Layer(_layers("Conv2D", "Convolution2D", "Conv3D", "Convolution3D"), _CONV, "convolution", _X),
    Layer(_layers("Conv1DTranspose", "Conv2DTranspose", "Conv3DTranspose", "SeparableConv1D", "SeparableConv2D"), _CONV_T, "convolution", _X),
    Layer(_layers("DepthwiseConv2D"), "kernel_size, strides=1, padding='valid', *args, activation=None, **kwargs", "convolution", _X),
    Layer(_layers("Activation"), "activation, **kwargs", "activation_layer", _X),
    Layer(_layers("Lambda"), "function, **kwargs", "function_layer", _X),
    Layer(_layers("Softmax"), "axis: dim=-1, **kwargs", "softmax", _X),
    Layer(_layers("ReLU"), "*args, **kwargs", "relu", _X),
    Layer(_layers("LeakyReLU", "PReLU", "ELU", "ThresholdedReLU"), "*args, **kwargs", "elu", _X),
    Layer(_layers("Dropout", "SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D", "GaussianDropout", "AlphaDropout"), "rate, **kwargs", "dropout", _X),
    Layer(_layers("GaussianNoise"), "stddev, **kwargs", "merge", _X),
    Layer(_layers("BatchNormalization", "LayerNormalization", "GroupNormalization"), "*args, **kwargs", "batch_norm", _X),
    Layer(_layers("Flatten", "Reshape", "Permute", "RepeatVector"), "*args, **kwargs", "reshape_layer", _X),
    Layer(_layers("ZeroPadding1D", "ZeroPadding2D", "Cropping1D", "Cropping2D", "Masking", "Rescaling", "Normalization", "UnitNormalization"),
          "*args, **kwargs", "merge", _X),
    Layer(_layers("UpSampling1D", "UpSampling2D", "UpSampling3D"), "size=2, data_format=None, interpolation: mode='nearest', **kwargs", "interpolate", _X),
    Layer(_layers(*(f"{kind}{rank}D" for kind in ("MaxPooling", "MaxPool", "GlobalMaxPooling", "GlobalMaxPool") for rank in (1, 2, 3))),
          "*args, **kwargs", "max_pool", _X),
    Layer(_layers(*(f"{kind}{rank}D" for kind in ("AveragePooling", "AvgPool", "GlobalAveragePooling", "GlobalAvgPool") for rank in (1, 2, 3))),
          "*args, **kwargs", "avg_pool", _X),
    Layer(_layers("Add", "Concatenate", "Multiply", "Average", "Subtract", "Maximum", "Minimum", "Dot", "Attention", "AdditiveAttention",
                  "MultiHeadAttention", "Embedding", "LSTM", "GRU", "SimpleRNN", "RNN", "Bidirectional", "ConvLSTM2D", "CategoryEncoding",
                  "TextVectorization"), "*args, **kwargs", "merge", _X),
    Layer(_layers("InputLayer"), "*args, **kwargs", "identity", _X),
)  # fmt: skip

_LOGITS = (("expects", "logits"), ("applies", "softmax"))
_SOFTMAX = When("from_logits", value=True, changes=_LOGITS)
_SIGMOID = When("from_logits", value=True, changes=(("expects", "binary_logits"), ("applies", "a sigmoid")))
_Y = "y_true: target, y_pred: input"
_KY = "target, output: input"
_INIT = "reduction='mean', name=None, dtype=None"


def _names(*names: str) -> tuple[str, ...]:
    return tuple("keras.losses." + name for name in names)


def _regression(cls: str, *functions: str) -> Loss:
    return Loss(functions[0], _names(cls), _INIT, _names(*functions), _Y, _Y, symmetric=True)


_LOSSES = (
    Loss("cross_entropy", _names("CategoricalCrossentropy"),
         "from_logits=False, label_smoothing=0.0, axis: class_dim=-1, reduction='mean', name=None, dtype=None",
         _names("categorical_crossentropy"), _Y + ", from_logits=False, label_smoothing=0.0, axis: class_dim=-1", _Y,
         expects="probabilities", target_expects="distribution", class_dim=-1, when=(_SOFTMAX,)),
    Loss("cross_entropy", _names("SparseCategoricalCrossentropy"),
         "from_logits=False, ignore_class=None, reduction='mean', axis: class_dim=-1, name=None, dtype=None",
         _names("sparse_categorical_crossentropy"), _Y + ", from_logits=False, ignore_class=None, axis: class_dim=-1", _Y,
         expects="probabilities", target_expects="class_indices", class_dim=-1, when=(_SOFTMAX,)),
    Loss("cross_entropy", functions=(_K + "categorical_crossentropy", _O + "categorical_crossentropy"),
         signature=_KY + ", from_logits=False, axis: class_dim=-1",
         expects="probabilities", target_expects="distribution", class_dim=-1, when=(_SOFTMAX,)),
    Loss("cross_entropy", functions=(_K + "sparse_categorical_crossentropy", _O + "sparse_categorical_crossentropy"),
         signature=_KY + ", from_logits=False, axis: class_dim=-1",
         expects="probabilities", target_expects="class_indices", class_dim=-1, when=(_SOFTMAX,)),
    Loss("categorical_focal_crossentropy", _names("CategoricalFocalCrossentropy"),
         "alpha=0.25, gamma=2.0, from_logits=False, label_smoothing=0.0, axis: class_dim=-1, " + _INIT,
         _names("categorical_focal_crossentropy"), _Y + ", alpha=0.25, gamma=2.0, from_logits=False, label_smoothing=0.0, axis: class_dim=-1", _Y,
         expects="probabilities", target_expects="distribution", class_dim=-1, when=(_SOFTMAX,)),
    Loss("binary_cross_entropy", _names("BinaryCrossentropy"),
         "from_logits=False, label_smoothing=0.0, axis=-1, reduction='mean', name=None, dtype=None",
         _names("binary_crossentropy", "bce", "BCE"), _Y + ", from_logits=False, label_smoothing=0.0, axis=-1", _Y,
         expects="binary_probabilities", target_expects="binary", when=(_SIGMOID,)),
    Loss("binary_cross_entropy", functions=(_K + "binary_crossentropy", _O + "binary_crossentropy"), signature=_KY + ", from_logits=False",
         expects="binary_probabilities", target_expects="binary", when=(_SIGMOID,)),
    Loss("binary_focal_crossentropy", _names("BinaryFocalCrossentropy"),
         "apply_class_balancing=False, alpha=0.25, gamma=2.0, from_logits=False, label_smoothing=0.0, axis=-1, " + _INIT,
         _names("binary_focal_crossentropy"),
         _Y + ", apply_class_balancing=False, alpha=0.25, gamma=2.0, from_logits=False, label_smoothing=0.0, axis=-1", _Y,
         expects="binary_probabilities", target_expects="binary", when=(_SIGMOID,)),
    # Bernoulli units of a sparse autoencoder are read with it as well as distributions: it expects nothing in particular
    Loss("kl_divergence", _names("KLDivergence"), _INIT, _names("kl_divergence", "kullback_leibler_divergence", "kld", "KLD"), _Y, _Y),
    Loss("poisson", _names("Poisson"), _INIT, _names("poisson"), _Y, _Y),
    Loss("hinge", _names("Hinge", "SquaredHinge", "CategoricalHinge"), _INIT, _names("hinge", "squared_hinge", "categorical_hinge"), _Y, _Y),
    Loss("dice", _names("Dice"), _INIT, _names("dice"), _Y, _Y),
    Loss("cosine_similarity", _names("CosineSimilarity"), "axis=-1, " + _INIT, _names("cosine_similarity"), _Y + ", axis=-1", _Y, symmetric=True),
    _regression("MeanSquaredError", "mean_squared_error", "mse", "MSE"),
    _regression("MeanAbsoluteError", "mean_absolute_error", "mae", "MAE"),
    _regression("MeanAbsolutePercentageError", "mean_absolute_percentage_error", "mape", "MAPE"),
    _regression("MeanSquaredLogarithmicError", "mean_squared_logarithmic_error", "msle", "MSLE"),
    _regression("LogCosh", "log_cosh", "logcosh"),
    Loss("huber_loss", _names("Huber"), "delta=1.0, " + _INIT, _names("huber"), _Y + ", delta=1.0", _Y, symmetric=True),
)  # fmt: skip

_COMPILE = "optimizer='rmsprop', loss=None, loss_weights=None, metrics=None, *args, **kwargs"
_MODELS = ("keras.Model", "keras.Sequential")

FRAMEWORK = Framework(
    name="keras",
    roots=("keras", "tf_keras"),
    places=_PLACES,
    prefixes=(
        ("tf_keras.", "keras."),
        ("keras.src.", "keras."),
        ("keras.api.", "keras."),
        ("keras.engine.training.", "keras."),
        ("keras.engine.sequential.", "keras."),
        ("keras.engine.", "keras."),
        ("keras.models.", "keras."),
        ("keras.ops.nn.", _O),
        ("keras.ops.numpy.", _O),
        *(
            (f"keras.layers.{module}.", _L)
            for module in (
                "core", "convolutional", "pooling", "normalization", "recurrent", "embeddings", "merge", "advanced_activations",
                "wrappers", "noise", "activations", "reshaping", "regularization", "merging", "attention", "rnn",
            )
        ),
        *((f"keras.metrics.{name}", f"keras.losses.{name}") for name in (
            "categorical_crossentropy", "sparse_categorical_crossentropy", "binary_crossentropy", "mean_squared_error")),
    ),
    ops=tuple(replace(op, home="keras") for op in _OPS),
    layers=_LAYERS,
    losses=tuple(replace(one, home="keras") for one in _LOSSES),
    tensor_types=("keras.KerasTensor",),
    module_bases=(("keras.layers.Layer", "call"), ("keras.Layer", "call"), *((name, "call") for name in _MODELS)),
    containers=(("keras.Sequential", "sequential"), ("keras.Model", "graph"), ("keras.Functional", "graph")),
    objectives=tuple((name, "compute_loss") for name in _MODELS),
    pairings=tuple(Pairing(name, "compile", _COMPILE, "loss", "keras.losses.", ("train_step", "compute_loss")) for name in _MODELS),
    wrappers=(_L + "TimeDistributed", "keras.utils.multi_gpu_model"),
)  # fmt: skip
