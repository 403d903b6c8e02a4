"""PaddlePaddle: its operations, layers and losses (signatures as of 2.6 and 3.x, and of the older ``paddle.fluid``)."""

from __future__ import annotations

from dataclasses import replace

from lossaudit.check.contracts.schema import Dataset, Framework, Layer, Loss, Op, When

# p = paddle, f = paddle.nn.functional, l = paddle.fluid.layers, m = a method of the tensor
_PLACES = (("p", "paddle."), ("f", "paddle.nn.functional."), ("l", "paddle.fluid.layers."))
_F = "paddle.nn.functional."
_L = "paddle.fluid.layers."

_OPS = (
    # Activations
    Op("softmax", "x: input, axis: dim=-1, dtype=None, name=None", "softmax", "same", "float", where="f", also=("paddle.softmax", _F + "softmax_")),
    Op("softmax", "input, use_cudnn=True, name=None, axis: dim=-1", "softmax", "same", "float", where="l"),
    Op("log_softmax", "x: input, axis: dim=-1, dtype=None, name=None", "log_softmax", "same", "float", where="fl"),
    Op("gumbel_softmax", "x: input, temperature=1.0, hard=False, axis: dim=-1, name=None", "unknown", "same", where="f"),
    Op("sigmoid", "x: input, name=None", "sigmoid", "same", "float", where="pfl"),
    Op("logsigmoid", "x: input, name=None", "log_sigmoid", "same", "float", where="l", also=(_F + "log_sigmoid",)),
    Op("tanh", "x: input, name=None", "tanh", "same", "float", where="pfl"),
    Op("relu", "x: input, name=None", "rectify", "same", where="fl", also=("paddle.relu", _F + "relu_")),
    Op("relu6", "x: input, name=None", "rectify", "same", where="fl"),
    *(Op(name, "x: input, *args, **kwargs", "unknown", "same", where="fl") for name in (
        "leaky_relu", "prelu", "elu", "gelu", "silu", "swish", "mish", "selu", "celu", "glu", "softplus", "softsign",
        "hardtanh", "hardsigmoid", "hardswish", "softshrink", "hardshrink", "tanhshrink", "rrelu", "maxout")),
    Op("normalize", "x: input, p=2, axis: dim=1, epsilon=1e-12, name=None", "unknown", "same", where="f"),
    # Affine maps
    Op("linear", "x: input, weight, bias=None, name=None", "score", "unknown", "float", where="f"),
    Op("paddle_linear", "input, in_features=None, out_features=None", "score", "linear", "float", where=""),
    Op("conv1d", "x: input, weight, bias=None, *args, **kwargs", "score", "unknown", "float", where="f", also=(_F + "conv1d_transpose",)),
    Op("conv2d", "x: input, weight, bias=None, *args, **kwargs", "score", "unknown", "float", where="f", also=(_F + "conv2d_transpose",)),
    Op("conv3d", "x: input, weight, bias=None, *args, **kwargs", "score", "unknown", "float", where="f", also=(_F + "conv3d_transpose",)),
    Op("fully_connected", "input, size: out_features, num_flatten_dims=1, param_attr=None, bias_attr=None, act=None, name=None",
       "score", "linear", "float", where="", also=(_L + "fc",), activation=("act", _L)),
    Op("fully_connected", "x: input, size: out_features, num_flatten_dims=1, weight_attr=None, bias_attr=None, activation=None, name=None",
       "score", "linear", "float", where="", also=("paddle.static.nn.fc",), activation=("activation", _F)),
    Op("old_convolution", "input, num_filters, filter_size, stride=1, padding=0, dilation=1, groups=None, param_attr=None, bias_attr=None, "
       "use_cudnn=True, act=None, name=None, data_format='NCHW'", "score", "unknown", "float", where="", also=(_L + "conv2d", "paddle.static.nn.conv2d"),
       activation=("act", _L)),
    Op("with_act", "input, act=None, **kwargs", "score", "unknown", "float", where="", activation=("act", _L)),
    Op("batch_norm", "x: input, *args, **kwargs", "normalised", "same", where="f", also=(_F + "layer_norm", _F + "instance_norm", _F + "group_norm")),
    # What keeps the numbers
    Op("dropout", "x: input, p=0.5, axis=None, training=True, mode='upscale_in_train', name=None", "dropout", "same", where="f",
       also=(_F + "dropout2d", _F + "dropout3d", _F + "alpha_dropout")),
    Op("dropout", "x: input, dropout_prob, **kwargs", "dropout", "same", where="l"),
    Op("cast", "x: input, dtype", "keep", "same", "to", where="pl", methods=("astype", "cast")),
    Op("identity", "x: input, name=None", "keep", "same", where="", also=("paddle.assign", "paddle.clone", "paddle.nn.functional.identity")),
    Op("detach", "input", "keep", "same", where="", detaches=True),
    Op("to_tensor", "data, dtype=None, place=None, stop_gradient=True", "unknown", "data", "data", where="p", detaches=True,
       also=("paddle.fluid.dygraph.to_variable",)),
    # Layout
    Op("view", "x: input, shape, *args, **kwargs", "reshape", "view", where="", also=("paddle.reshape", "paddle.view", _L + "reshape")),
    Op("flatten", "x: input, start_axis: start_dim=0, stop_axis: end_dim=-1, name=None", "reshape", "flatten", where="p"),
    Op("squeeze", "x: input, axis: dim=None, name=None", "reshape", "squeeze", where="p"),
    Op("unsqueeze", "x: input, axis: dim, name=None", "reshape", "unsqueeze", where="p"),
    Op("permute", "x: input, perm: dims, name=None", "permute", "permute", where="", also=("paddle.transpose", _L + "transpose")),
    Op("expand", "x: input, *args, **kwargs", "reshape", where="p", also=("paddle.tile", "paddle.broadcast_to", "paddle.expand_as")),
    Op("flip", "x: input, axis: dims", "keep", "same", where="p"),
    Op("index_select", "x: input, index, axis: dim=0", "narrow", where="p", also=("paddle.gather",)),
    Op("masked_select", "x: input, mask", "elementwise_only", where="p"),
    Op("gather_nd", "x: input, index", "unknown", where="p", also=("paddle.take_along_axis", "paddle.index_sample")),
    Op("chunk", "x: input, num_or_sections, axis: dim=0", "narrow", where="p", result="list", also=("paddle.split",)),
    Op("unbind", "input, axis: dim=0", "narrow", where="p", result="list"),
    Op("cat", "x: tensors, axis: dim=0, name=None", "same_kinds", "cat", where="", also=("paddle.concat",)),
    Op("stack", "x: tensors, axis: dim=0, name=None", "stacked", where="p"),
    Op("where", "condition, x: input=None, y: other=None, name=None", "where", "broadcast", "promote", where="p"),
    Op("pad", "x: input, *args, **kwargs", "unknown", where="f"),
    # Pooling and resampling
    Op("max_pool", "x: input, *args, **kwargs", "pool", "pool", where="", also=(
        _F + "max_pool1d", _F + "max_pool2d", _F + "max_pool3d", _F + "adaptive_max_pool1d", _F + "adaptive_max_pool2d")),
    Op("avg_pool", "x: input, *args, **kwargs", "average", "pool", where="", also=(
        _F + "avg_pool1d", _F + "avg_pool2d", _F + "avg_pool3d", _F + "adaptive_avg_pool1d", _F + "adaptive_avg_pool2d")),
    Op("interpolate", "x: input, size=None, scale_factor=None, mode='nearest', **kwargs", "interpolate", "pool", where="f", also=(_F + "upsample",)),
    # Arithmetic
    Op("add", "x: input, y: other, name=None", "add", "broadcast", "promote", where="p"),
    Op("sub", "x: input, y: other, name=None", "sub", "broadcast", "promote", where="", also=("paddle.subtract",)),
    Op("mul", "x: input, y: other, name=None", "mul", "broadcast", "promote", where="", also=("paddle.multiply",)),
    Op("div", "x: input, y: other, name=None", "div", "broadcast", "promote", where="", also=("paddle.divide",)),
    Op("pow", "x: input, y: exponent, name=None", "unknown", "broadcast", "promote", where="p"),
    Op("matmul", "x: input, y: other, **kwargs", "unknown", "unknown", "promote", where="p", also=("paddle.mm", "paddle.bmm", "paddle.dot")),
    Op("neg", "x: input", "neg", "same", where="p"),
    Op("abs", "x: input", "unknown", "same", where="p"),
    Op("exp", "x: input, name=None", "exp", "same", "float", where="p"),
    Op("log", "x: input, name=None", "log", "same", "float", where="pl", also=("paddle.log2", "paddle.log10")),
    Op("log1p", "x: input, name=None", "unknown", "same", "float", where="p"),
    Op("sqrt", "x: input, name=None", "unknown", "same", "float", where="p"),
    Op("rsqrt", "x: input, name=None", "unknown", "same", "float", where="p"),
    Op("square", "x: input, name=None", "unknown", "same", where="p"),
    Op("clamp", "x: input, min=None, max=None, name=None", "clamp", "same", where="", also=("paddle.clip",)),
    Op("maximum", "x: input, y: other, name=None", "unknown", "broadcast", "promote", where="p"),
    Op("minimum", "x: input, y: other, name=None", "unknown", "broadcast", "promote", where="p"),
    # Reductions
    Op("sum", "x: input, axis: dim=None, dtype=None, keepdim=False, name=None", "sum", "reduce", where="p"),
    Op("mean", "x: input, axis: dim=None, keepdim=False, name=None", "average_dim", "reduce", where="pl"),
    Op("logsumexp", "x: input, axis: dim=None, keepdim=False, name=None", "unknown", "reduce", where="p"),
    Op("max", "x: input, axis: dim=None, keepdim=False, name=None", "unknown", "reduce", where="p", also=("paddle.amax",)),
    Op("min", "x: input, axis: dim=None, keepdim=False, name=None", "unknown", "reduce", where="p", also=("paddle.amin",)),
    Op("topk", "x: input, k, axis: dim=-1, **kwargs", "unknown", where="p", result="values_indices"),
    # Hard decisions
    Op("argmax", "x: input, axis: dim=None, keepdim=False, dtype='int64', name=None", "index", "reduce", "int", where="p"),
    Op("round", "x: input, name=None", "hard", "same", where="p", also=("paddle.floor", "paddle.ceil", "paddle.sign")),
    Op("eq", "x: input, y: other, name=None", "hard", "broadcast", "bool", where="", also=(
        "paddle.equal", "paddle.not_equal", "paddle.greater_than", "paddle.greater_equal", "paddle.less_than", "paddle.less_equal")),
    # Creation
    Op("one_hot", "x: tensor, num_classes", "one_hot", "one_hot", "float", where="f"),
    Op("zeros", "shape: size, dtype=None, name=None", "data", "creation", "creation", where="p"),
    Op("ones", "shape: size, dtype=None, name=None", "data", "creation", "creation", where="p"),
    Op("rand", "shape: size, dtype=None, name=None", "data", "creation", "creation", where="p", also=("paddle.randn",)),
    Op("zeros_like", "x: input, dtype=None, name=None", "data", "same", "creation_like", where="p"),
    Op("ones_like", "x: input, dtype=None, name=None", "data", "same", "creation_like", where="p"),
    Op("label_smooth", "label, prior_dist=None, epsilon=0.1, name=None", "unknown", "unknown", "float", where="fl"),
    Op("embedding", "x: input, weight, padding_idx=None, sparse=False, name=None", "unknown", "unknown", "float", where="f"),
    Op("cosine_similarity", "x1, x2, axis: dim=1, eps=1e-8", "unknown", "unknown", "float", where="f"),
)  # fmt: skip

_X = "x: input"
_CONV = "in_channels, out_channels, kernel_size, stride=1, padding=0, **kwargs"
_RNN = "input_size, hidden_size, num_layers=1, **kwargs"

_LAYERS = (
    Layer(("paddle.nn.Linear",), "in_features, out_features, weight_attr=None, bias_attr=None, name=None", "paddle_linear", _X),
    Layer(("paddle.nn.Bilinear",), "in1_features, in2_features, out_features, **kwargs", "paddle_linear", "x1: input, x2"),
    Layer(("paddle.nn.Conv1D", "paddle.nn.Conv1DTranspose"), _CONV, "conv1d", _X),
    Layer(("paddle.nn.Conv2D", "paddle.nn.Conv2DTranspose"), _CONV, "conv2d", _X),
    Layer(("paddle.nn.Conv3D", "paddle.nn.Conv3DTranspose"), _CONV, "conv3d", _X),
    Layer(("paddle.nn.Softmax",), "axis: dim=-1, name=None", "softmax", _X),
    Layer(("paddle.nn.LogSoftmax",), "axis: dim=-1, name=None", "log_softmax", _X),
    Layer(("paddle.nn.Sigmoid",), "name=None", "sigmoid", _X),
    Layer(("paddle.nn.LogSigmoid",), "name=None", "logsigmoid", _X),
    Layer(("paddle.nn.Tanh",), "name=None", "tanh", _X),
    Layer(("paddle.nn.ReLU",), "name=None", "relu", _X),
    Layer(("paddle.nn.ReLU6",), "name=None", "relu6", _X),
    Layer(tuple("paddle.nn." + name for name in (
        "LeakyReLU", "PReLU", "ELU", "CELU", "SELU", "GELU", "Silu", "Swish", "Mish", "GLU", "Softplus", "Softsign", "Hardtanh",
        "Hardsigmoid", "Hardswish", "Softshrink", "Hardshrink", "Tanhshrink", "ThresholdedReLU", "Maxout", "RReLU")), "**kwargs", "elu", _X),
    Layer(("paddle.nn.Identity",), "*args, **kwargs", "identity", _X),
    Layer(("paddle.nn.Dropout", "paddle.nn.Dropout2D", "paddle.nn.Dropout3D", "paddle.nn.AlphaDropout"), "p=0.5, **kwargs", "dropout", _X),
    Layer(tuple("paddle.nn." + name for name in ("BatchNorm", "BatchNorm1D", "BatchNorm2D", "BatchNorm3D", "SyncBatchNorm")),
          "num_features, **kwargs", "batch_norm", _X),
    Layer(("paddle.nn.LayerNorm", "paddle.nn.GroupNorm", "paddle.nn.InstanceNorm1D", "paddle.nn.InstanceNorm2D"), "*args, **kwargs", "layer_norm", _X),
    Layer(("paddle.nn.Flatten",), "start_axis: start_dim=1, stop_axis: end_dim=-1", "flatten", _X),
    Layer(tuple("paddle.nn." + name for name in ("MaxPool1D", "MaxPool2D", "MaxPool3D", "AdaptiveMaxPool1D", "AdaptiveMaxPool2D")),
          "*args, **kwargs", "max_pool", _X),
    Layer(tuple("paddle.nn." + name for name in ("AvgPool1D", "AvgPool2D", "AvgPool3D", "AdaptiveAvgPool1D", "AdaptiveAvgPool2D")),
          "*args, **kwargs", "avg_pool", _X),
    Layer(("paddle.nn.Upsample", "paddle.nn.UpsamplingBilinear2D", "paddle.nn.UpsamplingNearest2D"),
          "size=None, scale_factor=None, mode='nearest', **kwargs", "interpolate", _X),
    Layer(("paddle.nn.Pad2D", "paddle.nn.Pad1D", "paddle.nn.ZeroPad2D"), "padding, **kwargs", "pad", _X),
    Layer(("paddle.nn.Embedding",), "num_embeddings, embedding_dim, padding_idx=None, **kwargs", "embedding", _X),
    Layer(("paddle.nn.LSTM", "paddle.nn.GRU", "paddle.nn.SimpleRNN"), _RNN, "recurrent", "inputs: input, initial_states=None, sequence_length=None"),
    Layer(("paddle.nn.MultiHeadAttention", "paddle.nn.TransformerEncoder", "paddle.nn.TransformerEncoderLayer", "paddle.nn.TransformerDecoder",
           "paddle.nn.TransformerDecoderLayer", "paddle.nn.Transformer"), "*args, **kwargs", "hidden", "input, *args, **kwargs"),
    # The layers of paddle.fluid carry their activation with them
    Layer(("paddle.fluid.dygraph.Linear", "paddle.fluid.dygraph.nn.Linear"), "input_dim, output_dim, param_attr=None, bias_attr=None, act=None, dtype='float32'",
          "with_act"),
    Layer(("paddle.fluid.dygraph.FC",), "size, num_flatten_dims=1, param_attr=None, bias_attr=None, act=None, **kwargs", "with_act"),
    Layer(("paddle.fluid.dygraph.Conv2D", "paddle.fluid.dygraph.nn.Conv2D"),
          "num_channels, num_filters, filter_size, stride=1, padding=0, dilation=1, groups=None, param_attr=None, bias_attr=None, use_cudnn=True, act=None, dtype='float32'",
          "with_act"),
)  # fmt: skip

_PROBABILITIES = (("expects", "probabilities"), ("applies", ""))
_SOFT = When("soft_label", value=True, changes=(("target_expects", "distribution"),))
_RED = "reduction='mean', name=None"
_IN = "input, label: target"

_LOSSES = (
    Loss("cross_entropy", ("paddle.nn.CrossEntropyLoss",),
         "weight=None, ignore_index=-100, reduction='mean', soft_label=False, axis: class_dim=-1, use_softmax=True, label_smoothing=0.0, name=None",
         (_F + "cross_entropy",),
         _IN + ", weight=None, ignore_index=-100, reduction='mean', soft_label=False, axis: class_dim=-1, use_softmax=True, label_smoothing=0.0, name=None",
         _IN, expects="logits", target_expects="class_indices", applies="log-softmax", class_dim=-1,
         when=(When("use_softmax", value=False, changes=_PROBABILITIES), _SOFT)),
    Loss("cross_entropy", functions=(_F + "softmax_with_cross_entropy", _L + "softmax_with_cross_entropy"),
         signature="logits: input, label: target, soft_label=False, ignore_index=-100, numeric_stable_mode=True, return_softmax=False, axis: class_dim=-1",
         expects="logits", target_expects="class_indices", applies="log-softmax", class_dim=-1, when=(_SOFT,)),
    Loss("cross_entropy", functions=(_L + "cross_entropy",), signature=_IN + ", soft_label=False, ignore_index=-100",
         expects="probabilities", target_expects="class_indices", class_dim=-1, when=(_SOFT,)),
    Loss("nll_loss", ("paddle.nn.NLLLoss",), "weight=None, ignore_index=-100, " + _RED, (_F + "nll_loss",),
         _IN + ", weight=None, ignore_index=-100, " + _RED, _IN, expects="log_probabilities", target_expects="class_indices", class_dim=1),
    Loss("binary_cross_entropy", ("paddle.nn.BCELoss",), "weight=None, " + _RED, (_F + "binary_cross_entropy",), _IN + ", weight=None, " + _RED,
         _IN, expects="binary_probabilities", target_expects="binary"),
    Loss("binary_cross_entropy_with_logits", ("paddle.nn.BCEWithLogitsLoss",), "weight=None, reduction='mean', pos_weight=None, name=None",
         (_F + "binary_cross_entropy_with_logits",), "logit: input, label: target, weight=None, reduction='mean', pos_weight=None, name=None",
         "logit: input, label: target", expects="binary_logits", target_expects="binary", applies="a sigmoid"),
    Loss("binary_cross_entropy_with_logits", functions=(_L + "sigmoid_cross_entropy_with_logits",),
         signature="x: input, label: target, ignore_index=-100, name=None, normalize=False",
         expects="binary_logits", target_expects="binary", applies="a sigmoid"),
    Loss("multilabel_soft_margin_loss", ("paddle.nn.MultiLabelSoftMarginLoss",), "weight=None, " + _RED, (_F + "multi_label_soft_margin_loss",),
         _IN + ", weight=None, " + _RED, _IN, expects="binary_logits", target_expects="binary", applies="a sigmoid"),
    Loss("sigmoid_focal_loss", functions=(_F + "sigmoid_focal_loss",),
         signature="logit: input, label: target, normalizer=None, alpha=0.25, gamma=2.0, reduction='sum', name=None",
         expects="binary_logits", target_expects="binary", applies="a sigmoid"),
    Loss("log_loss", functions=(_F + "log_loss", _L + "log_loss"), signature=_IN + ", epsilon=1e-4, name=None",
         expects="binary_probabilities", target_expects="binary"),
    Loss("dice_loss", functions=(_F + "dice_loss", _L + "dice_loss"), signature=_IN + ", epsilon=1e-5, name=None"),
    Loss("kl_div", ("paddle.nn.KLDivLoss",), "reduction='mean', log_target=False", (_F + "kl_div",), _IN + ", reduction='mean', log_target=False, name=None",
         _IN, expects="log_input", target_expects="distribution"),
    Loss("mse_loss", ("paddle.nn.MSELoss",), "reduction='mean'", (_F + "mse_loss",), _IN + ", " + _RED, _IN, symmetric=True),
    Loss("squared_error", functions=(_F + "square_error_cost", _L + "square_error_cost"), signature=_IN, symmetric=True),
    Loss("l1_loss", ("paddle.nn.L1Loss",), _RED, (_F + "l1_loss",), _IN + ", " + _RED, _IN, symmetric=True),
    Loss("smooth_l1_loss", ("paddle.nn.SmoothL1Loss",), "reduction='mean', delta=1.0, is_huber=True, name=None", (_F + "smooth_l1_loss",),
         _IN + ", reduction='mean', delta=1.0, is_huber=True, name=None", _IN, symmetric=True),
    Loss("margin_ranking_loss", ("paddle.nn.MarginRankingLoss",), "margin=0.0, " + _RED, (_F + "margin_ranking_loss",),
         "input: input1, other: input2, label: target, margin=0.0, " + _RED, "input: input1, other: input2, label: target", prediction="input1"),
    Loss("soft_margin_loss", ("paddle.nn.SoftMarginLoss",), _RED, (_F + "soft_margin_loss",), _IN + ", " + _RED, _IN),
    Loss("multi_margin_loss", ("paddle.nn.MultiMarginLoss",), "p=1, margin=1.0, weight=None, " + _RED, (_F + "multi_margin_loss",),
         _IN + ", p=1, margin=1.0, weight=None, " + _RED, _IN, target_expects="class_indices"),
    Loss("poisson_nll_loss", ("paddle.nn.PoissonNLLLoss",), "log_input=True, full=False, epsilon=1e-8, " + _RED, (_F + "poisson_nll_loss",),
         _IN + ", log_input=True, full=False, epsilon=1e-8, " + _RED, _IN),
    Loss("triplet_margin_loss", ("paddle.nn.TripletMarginLoss",), "margin=1.0, p=2.0, epsilon=1e-6, swap=False, " + _RED,
         (_F + "triplet_margin_loss",), "input: anchor, positive, negative, margin=1.0, p=2, epsilon=1e-6, swap=False, " + _RED,
         "input: anchor, positive, negative", prediction="anchor", target=""),
    Loss("ctc_loss", ("paddle.nn.CTCLoss",), "blank=0, reduction='mean'", (_F + "ctc_loss",),
         "log_probs, labels: target, input_lengths, label_lengths, blank=0, reduction='mean', norm_by_times=False",
         "log_probs, labels: target, input_lengths, label_lengths, norm_by_times=False", prediction="log_probs"),
)  # fmt: skip

FRAMEWORK = Framework(
    name="paddle",
    roots=("paddle",),
    places=_PLACES,
    prefixes=(
        ("paddle.nn.functional.activation.", _F),
        ("paddle.nn.functional.loss.", _F),
        ("paddle.nn.functional.common.", _F),
        ("paddle.nn.layer.loss.", "paddle.nn."),
        ("paddle.nn.layer.activation.", "paddle.nn."),
        ("paddle.nn.layer.common.", "paddle.nn."),
        ("paddle.nn.layer.conv.", "paddle.nn."),
        ("paddle.nn.layer.norm.", "paddle.nn."),
        ("paddle.nn.layer.layers.", "paddle.nn."),
        ("paddle.nn.layer.", "paddle.nn."),
        ("paddle.tensor.", "paddle."),
    ),
    ops=tuple(replace(op, home="paddle") for op in _OPS),
    layers=_LAYERS,
    losses=tuple(replace(one, home="paddle") for one in _LOSSES),
    tensor_types=("paddle.Tensor", "paddle.Variable", "paddle.fluid.Variable"),
    module_bases=(
        ("paddle.nn.Layer", "forward"),
        ("paddle.fluid.dygraph.Layer", "forward"),
        ("paddle.fluid.Layer", "forward"),
    ),
    gradients_by_hand=("paddle.autograd.PyLayer",),
    containers=(
        ("paddle.nn.Sequential", "sequential"),
        ("paddle.fluid.dygraph.Sequential", "sequential"),
        ("paddle.nn.LayerList", "list"),
        ("paddle.nn.LayerDict", "dict"),
        ("paddle.nn.ParameterList", "list"),
    ),
    wrappers=(
        "paddle.DataParallel", "paddle.jit.to_static", "paddle.distributed.fleet.distributed_model", "paddle.nn.utils.weight_norm",
        "paddle.nn.utils.spectral_norm",
    ),
    contexts=(("paddle.no_grad", "no_grad"), ("paddle.fluid.dygraph.no_grad", "no_grad"), ("paddle.amp.auto_cast", "autocast")),
    loaders=(
        ("paddle.io.DataLoader",
         "dataset, feed_list=None, places=None, return_list=True, batch_sampler=None, batch_size=1, shuffle=False, drop_last=False, collate_fn=None"),
    ),
    datasets=(
        Dataset(("paddle.io.Dataset",), "", ""),
        Dataset(("paddle.io.TensorDataset",), "tensors", "tensors"),
        Dataset(("paddle.io.Subset",), "dataset, indices", "dataset"),
    ),
    splitters=(("paddle.io.random_split", "dataset, lengths, generator=None", "paddle.io.Subset"),),
)  # fmt: skip
