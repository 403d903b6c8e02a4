"""The named rules of the contracts data: which facts an operation's result has, given its operands.

A rule reads the bound arguments and returns facts. It knows nothing about particular functions of a framework: the
contracts say which operation follows which rule.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from lossaudit.check.kinds import ANY_SHAPE, Dim, Dtype, Kind, Shape, join_shapes
from lossaudit.check.reasoning.forms import KINDS, Form, form_of, is_softplus
from lossaudit.check.values import (
    Const,
    External,
    Instance,
    ListVal,
    Tensor,
    TupleVal,
    Union,
    Unknown,
    Value,
    common_shape,
    constant,
    feasible,
    integer,
    number,
    sole_tensor,
    tensors,
    walk_terms,
)

EPSILON_LIMIT = 1e-2
"""A constant added to a probability up to this size is an epsilon."""


@dataclass(frozen=True, slots=True)
class KindFact:
    """A kind, the dimension that it is about, and the term where it arose (None: the new term itself)."""

    kind: Kind = Kind.UNKNOWN
    class_dim: int | None = None
    origin: Tensor | None = None


NOTHING = KindFact()
Args = Mapping[str, Value]
KindRule = Callable[[Args, "Tensor | None"], KindFact]


def kept(source: Tensor | None, class_dim: int | None = None) -> KindFact:
    """The kind of ``source``, with ``class_dim`` as its new dimension."""
    if source is None:
        return NOTHING
    return KindFact(source.kind, class_dim, source.source if source.kind is not Kind.UNKNOWN else None)


def _keep(args: Args, source: Tensor | None) -> KindFact:
    return kept(source, source.class_dim if source is not None else None)


def _made(kind: Kind) -> KindRule:
    return lambda args, source: KindFact(kind)


def _softmax(args: Args, source: Tensor | None) -> KindFact:
    return KindFact(Kind.PROBABILITY, integer(args.get("dim")))


def _log_softmax(args: Args, source: Tensor | None) -> KindFact:
    return KindFact(Kind.LOG_PROBABILITY, integer(args.get("dim")))


def _normalised(args: Args, source: Tensor | None) -> KindFact:
    """A normalisation layer ends in an affine map: its output is as unbounded as a linear layer's."""
    return _keep(args, source) if source is not None and source.kind is Kind.SCORE else KindFact(Kind.SCORE)


def _dropout(args: Args, source: Tensor | None) -> KindFact:
    """Dropout scales what it keeps: scores stay scores, probabilities do not stay probabilities of anything."""
    keeps = source is not None and source.kind in (Kind.SCORE, Kind.RECTIFIED, Kind.TANH)
    return _keep(args, source) if keeps else NOTHING


def _to_integer(args: Args, source: Tensor | None) -> KindFact:
    if source is None:
        return NOTHING
    if source.kind in (Kind.INDEX, Kind.HARD, Kind.ONE_HOT):
        return _keep(args, source)
    return KindFact(Kind.HARD) if source.dtype.is_float or source.kind is not Kind.UNKNOWN else NOTHING


_ABOUT_CLASSES = (Kind.PROBABILITY, Kind.LOG_PROBABILITY, Kind.ONE_HOT)


def _reshape(args: Args, source: Tensor | None) -> KindFact:
    """Layout changes keep the numbers; which dimension holds the classes is then unknown, unless it is the last."""
    return kept(source, None)


def _permute(args: Args, source: Tensor | None) -> KindFact:
    dims = sequence(args.get("dims"))
    if source is None or dims is None or source.class_dim is None:
        return _reshape(args, source)
    order = [integer(dim) for dim in dims]
    wanted = source.class_dim % len(order) if order else None
    return kept(source, order.index(wanted) if wanted in order else None)


def _transpose(args: Args, source: Tensor | None) -> KindFact:
    first, second = integer(args.get("dim0")), integer(args.get("dim1"))
    if source is None or source.class_dim is None or first is None or second is None:
        return _reshape(args, source)
    moves = {first: second, second: first}
    if source.class_dim in moves:
        return kept(source, moves[source.class_dim])
    mixes_signs = (first < 0) != (second < 0) or (first < 0) != (source.class_dim < 0)
    return kept(source, None if mixes_signs else source.class_dim)


def _getitem(args: Args, source: Tensor | None) -> KindFact:
    """Indexing the batch keeps the kind; picking one class leaves a single probability per sample."""
    if source is None:
        return NOTHING
    if source.kind not in _ABOUT_CLASSES:
        return kept(source, None)
    if source.class_dim is None:
        return NOTHING
    return _index_classes(source, index_items(args.get("index")), source.class_dim)


def _index_classes(source: Tensor, items: list[Value], class_dim: int) -> KindFact:
    place, is_certain = _place_of_class(items, class_dim)
    if not is_certain:
        return NOTHING
    if place is None or _is_full_slice(items[place]):
        before = items if place is None else items[:place]
        dropped = sum(1 for item in before if integer(item) is not None)
        return kept(source, class_dim - dropped if class_dim >= 0 else class_dim)
    picks = source.kind is Kind.PROBABILITY and (
        integer(items[place]) is not None or _is_single(items[place]) or is_slice(items[place])
    )
    return KindFact(Kind.SIGMOID, None, None) if picks else NOTHING


def _place_of_class(items: list[Value], class_dim: int) -> tuple[int | None, bool]:
    """Which index hits the class dimension (None: none of them), and whether that is certain."""
    if any(constant(item) is None for item in items):
        return None, False
    ellipsis = next((i for i, item in enumerate(items) if constant(item) is ...), None)
    if class_dim < 0:
        if ellipsis is not None:
            back = len(items) + class_dim
            return (back if back > ellipsis else None), True
        return None, len(items) <= 1 and _indexes_batch_only(items)
    if ellipsis is not None:
        return (class_dim, True) if class_dim < ellipsis else (None, False)
    if not _indexes_batch_only(items[:class_dim]):
        return None, False
    return (class_dim if class_dim < len(items) else None), True


def _indexes_batch_only(items: list[Value]) -> bool:
    """Whether the indices are plain: integers and slices, each for one dimension; or one selection of rows."""
    return all(integer(item) is not None or is_slice(item) for item in items) or len(items) == 1


def is_integer(value: Value) -> bool:
    """Whether an index is one integer, known or not."""
    return integer(value) is not None or (isinstance(value, Unknown) and value.origin == "int")


SLICE = "builtins.slice"


def is_slice(value: Value) -> bool:
    """Whether an index is a slice."""
    return isinstance(value, TupleVal) and value.names == (SLICE,) * 3


def _is_full_slice(value: Value) -> bool:
    return isinstance(value, TupleVal) and is_slice(value) and all(constant(v) is None for v in value.items)


def _is_single(value: Value) -> bool:
    return isinstance(value, (ListVal, TupleVal)) and len(value.items) == 1 and value.rest is None


def index_items(index: Value | None) -> list[Value]:
    """The indices of a subscript, one a dimension."""
    if isinstance(index, TupleVal) and not is_slice(index):
        return list(index.items)
    return [] if index is None else [index]


def _select(args: Args, source: Tensor | None) -> KindFact:
    dim = integer(args.get("dim"))
    if source is not None and source.kind is Kind.PROBABILITY and dim is not None and dim == source.class_dim:
        return KindFact(Kind.SIGMOID)
    keeps = source is not None and source.kind not in _ABOUT_CLASSES
    return kept(source, None) if keeps else NOTHING


def _narrow(args: Args, source: Tensor | None) -> KindFact:
    """A part along another dimension than the classes' keeps the kind."""
    if source is None:
        return NOTHING
    dim = integer(args.get("dim", Const(0)))
    if source.kind in _ABOUT_CLASSES and (source.class_dim is None or dim is None or dim == source.class_dim):
        return NOTHING
    if source.kind in _ABOUT_CLASSES and (dim is None or (dim < 0) != ((source.class_dim or 0) < 0)):
        return NOTHING
    return _keep(args, source)


def _elementwise_only(args: Args, source: Tensor | None) -> KindFact:
    return NOTHING if source is None or source.kind in _ABOUT_CLASSES else kept(source, None)


def sequence(value: Value | None) -> list[Value] | None:
    """The items of a tuple or list, or of the single sequence inside a ``*args`` tuple."""
    if not isinstance(value, (TupleVal, ListVal)) or value.rest is not None:
        return None
    if len(value.items) == 1 and isinstance(value.items[0], (TupleVal, ListVal)):
        return sequence(value.items[0])
    return list(value.items)


def _joined(values: list[Value], class_dim_shift: Callable[[int | None], int | None]) -> KindFact:
    """The kind that all tensors of a list share."""
    facts = [tensor for value in values for tensor in tensors(value)]
    if not facts or len(facts) < len(values):
        return NOTHING
    kinds = {(fact.kind, fact.class_dim) for fact in facts}
    return kept(facts[0], class_dim_shift(facts[0].class_dim)) if len(kinds) == 1 else NOTHING


def _list_items(value: Value | None) -> list[Value]:
    """The items of a list, the rest of an open one included."""
    if isinstance(value, (TupleVal, ListVal)):
        return [*value.items, *([value.rest] if value.rest is not None else [])]
    return []


def _same_kinds(args: Args, source: Tensor | None) -> KindFact:
    """Concatenation keeps what all parts are, unless it joins probabilities along their classes."""
    fact = _joined(_list_items(args.get("tensors")), lambda dim: dim)
    joins_classes = fact.kind in _ABOUT_CLASSES and integer(args.get("dim")) in (None, fact.class_dim, 1, -1)
    return NOTHING if joins_classes else fact


def _stacked(args: Args, source: Tensor | None) -> KindFact:
    at = integer(args.get("dim"))
    return _joined(_list_items(args.get("tensors")), lambda dim: _shifted(dim, at))


def _shifted(class_dim: int | None, new_dim: int | None) -> int | None:
    if class_dim is None or new_dim is None or class_dim < 0 or new_dim < 0:
        return class_dim if class_dim is not None and class_dim < 0 and (new_dim or 0) >= 0 else None
    return class_dim + 1 if new_dim <= class_dim else class_dim


def _where(args: Args, source: Tensor | None) -> KindFact:
    branches = [value for name in ("input", "other") if (value := args.get(name)) is not None]
    return _joined(branches, lambda dim: dim) if len(branches) == 2 else NOTHING


def _scatter(args: Args, source: Tensor | None) -> KindFact:
    """Ones scattered into zeros are one-hot rows."""
    value = args.get("src") if constant(args.get("value")) in (None, NotImplemented) else args.get("value")
    is_zero = source is not None and source.op in ("zeros", "zeros_like", "new_zeros")
    return KindFact(Kind.ONE_HOT, integer(args.get("dim"))) if is_zero and number(value) == 1 else NOTHING


def _pool(args: Args, source: Tensor | None) -> KindFact:
    keeps = source is not None and source.kind in (Kind.SCORE, Kind.SIGMOID, Kind.RECTIFIED, Kind.TANH)
    return kept(source, None) if keeps else NOTHING


def _average(args: Args, source: Tensor | None) -> KindFact:
    """Averages of scores are scores, averages of probabilities are probabilities; averaged ReLU maps are an architecture."""
    keeps = source is not None and source.kind in (Kind.SCORE, Kind.SIGMOID, Kind.PROBABILITY)
    return _keep(args, source) if keeps else NOTHING


def _average_dim(args: Args, source: Tensor | None) -> KindFact:
    if source is None or source.kind not in (Kind.SCORE, Kind.SIGMOID, Kind.PROBABILITY):
        return NOTHING
    dims = reduced_dims(args)
    if not dims:
        return NOTHING
    if source.kind is not Kind.PROBABILITY:
        return kept(source, None)
    comparable = source.class_dim is not None and all((d < 0) == (source.class_dim < 0) for d in dims)
    if not comparable or source.class_dim in dims or source.class_dim is None:
        return NOTHING
    if constant(args.get("keepdim")) is True or source.class_dim < 0:
        return kept(source, source.class_dim)
    return kept(source, source.class_dim - sum(1 for d in dims if d < source.class_dim))


def reduced_dims(args: Args) -> list[int]:
    """The dimensions that a reduction removes; empty for all of them, or where they are unknown."""
    single = integer(args.get("dim"))
    if single is not None:
        return [single]
    many = sequence(args.get("dim"))
    found = [integer(value) for value in many or []]
    return [value for value in found if value is not None] if None not in found else []


def _interpolate(args: Args, source: Tensor | None) -> KindFact:
    convex = constant(args.get("mode")) in (
        "nearest",
        "bilinear",
        "linear",
        "trilinear",
        "area",
        "nearest-exact",
    )
    keeps = source is not None and (source.kind is Kind.SCORE or convex)
    return _keep(args, source) if keeps else NOTHING


def _operands(args: Args) -> tuple[Value | None, Value | None]:
    return args.get("input"), args.get("other")


def _is_constant(value: Value | None) -> bool:
    return number(value) is not None


def _is_epsilon(value: Value | None) -> bool:
    found = number(value)
    return found is not None and abs(found) <= EPSILON_LIMIT


def _add(args: Args, source: Tensor | None) -> KindFact:
    """Scores plus scores or constants are scores; an epsilon does not change what a number is."""
    left, right = _operands(args)
    a, b = sole_tensor(left), sole_tensor(right)
    if a is not None and b is not None:
        both = a.kind is Kind.SCORE and b.kind is Kind.SCORE
        return kept(a, None) if both else NOTHING
    one, other = (a, right) if a is not None else (b, left)
    if one is None:
        return NOTHING
    keeps = (one.kind is Kind.SCORE and _is_constant(other)) or (one.kind in _BOUNDED and _is_epsilon(other))
    return kept(one, one.class_dim) if keeps else NOTHING


_BOUNDED = (Kind.PROBABILITY, Kind.SIGMOID)


def _sub(args: Args, source: Tensor | None) -> KindFact:
    left, right = _operands(args)
    b = sole_tensor(right)
    if b is not None and number(left) is not None and abs((number(left) or 0) - 1) <= EPSILON_LIMIT:
        return kept(b, None) if b.kind is Kind.SIGMOID else NOTHING
    return _written_out(form_of("sub", args)) or _add(args, source)


def _mul(args: Args, source: Tensor | None) -> KindFact:
    left, right = _operands(args)
    for one, other in ((left, right), (right, left)):
        tensor = sole_tensor(one)
        if tensor is not None and tensor.kind in (Kind.SCORE, Kind.RECTIFIED) and _is_constant(other):
            is_reversed = tensor.kind is Kind.RECTIFIED and (number(other) or 0) <= 0
            return NOTHING if is_reversed or number(other) == 0 else kept(tensor, tensor.class_dim)
    return NOTHING


def _written_out(form: Form | None) -> KindFact | None:
    """The kind of a function that is written out by hand is the function's."""
    if form is None or form.name not in KINDS or form.scale != 1:
        return None
    return KindFact(KINDS[form.name], form.dim)


def _reciprocal(args: Args, source: Tensor | None) -> KindFact:
    return _written_out(form_of("reciprocal", args)) or NOTHING


def _power(args: Args, source: Tensor | None) -> KindFact:
    return _written_out(form_of("pow", args)) or NOTHING


def _div(args: Args, source: Tensor | None) -> KindFact:
    written_out = _written_out(form_of("div", args))
    if written_out is not None:
        return written_out
    left, right = _operands(args)
    tensor = sole_tensor(left)
    keeps = tensor is not None and tensor.kind is Kind.SCORE and _is_constant(right)
    return kept(tensor, tensor.class_dim) if keeps and tensor is not None else NOTHING


def _neg(args: Args, source: Tensor | None) -> KindFact:
    if source is not None and is_softplus(source):
        return KindFact(Kind.LOG_SIGMOID)  # -softplus(-x) = log(sigmoid(x))
    keeps = source is not None and source.kind is Kind.SCORE
    return _keep(args, source) if keeps else NOTHING


def _exp(args: Args, source: Tensor | None) -> KindFact:
    if source is None:
        return NOTHING
    kinds = {Kind.LOG_PROBABILITY: Kind.PROBABILITY, Kind.LOG_SIGMOID: Kind.SIGMOID}
    return KindFact(kinds.get(source.kind, Kind.UNKNOWN), source.class_dim)


def _log(args: Args, source: Tensor | None) -> KindFact:
    if source is None:
        return NOTHING
    kinds = {Kind.PROBABILITY: Kind.LOG_PROBABILITY, Kind.SIGMOID: Kind.LOG_SIGMOID}
    return KindFact(kinds.get(source.kind, Kind.UNKNOWN), source.class_dim)


def _clamp(args: Args, source: Tensor | None) -> KindFact:
    """Probabilities stay probabilities; scores with nothing but a floor of zero are rectified."""
    if number(args.get("min")) == 0 and number(args.get("max")) is None and _is_score(source):
        return KindFact(Kind.RECTIFIED)
    keeps = source is not None and source.kind in _BOUNDED
    return _keep(args, source) if keeps else NOTHING


def _is_score(source: Tensor | None) -> bool:
    return source is not None and source.kind is Kind.SCORE


def _matmul(args: Args, source: Tensor | None) -> KindFact:
    """A product with a matrix that is trained is a linear layer written out."""
    return KindFact(Kind.SCORE) if any(_is_weight(one) for one in _operands(args)) else NOTHING


def _is_weight(value: Value | None) -> bool:
    """A parameter as it is, at most transposed: nothing keeps it, or what it yields, small."""
    term = sole_tensor(value)
    while term is not None and term.op in _MOVES:
        term = sole_tensor(term.arg("input"))
    return term is not None and term.op == "parameter"


_MOVES = ("t", "transpose", "permute", "to", "float", "contiguous", "unsqueeze", "view")


def _sum(args: Args, source: Tensor | None) -> KindFact:
    keeps = source is not None and source.kind is Kind.SCORE and reduced_dims(args)
    return kept(source, None) if keeps else NOTHING


def _one_hot(args: Args, source: Tensor | None) -> KindFact:
    return KindFact(Kind.ONE_HOT, -1)


KIND_RULES: dict[str, KindRule] = {
    "unknown": lambda args, source: NOTHING,
    "data": lambda args, source: NOTHING,
    "keep": _keep, "score": _made(Kind.SCORE), "softmax": _softmax, "log_softmax": _log_softmax,
    "sigmoid": _made(Kind.SIGMOID), "log_sigmoid": _made(Kind.LOG_SIGMOID), "tanh": _made(Kind.TANH),
    "rectify": _made(Kind.RECTIFIED), "hard": _made(Kind.HARD), "index": _made(Kind.HARD),
    "loss": _made(Kind.LOSS), "class_index": _made(Kind.INDEX), "one_hot": _one_hot, "normalised": _normalised, "dropout": _dropout,
    "to_integer": _to_integer, "reshape": _reshape, "permute": _permute, "transpose": _transpose,
    "getitem": _getitem, "select": _select, "narrow": _narrow, "elementwise_only": _elementwise_only,
    "same_kinds": _same_kinds, "stacked": _stacked, "where": _where, "scatter": _scatter, "pool": _pool,
    "average": _average, "average_dim": _average_dim, "interpolate": _interpolate, "add": _add, "sub": _sub,
    "mul": _mul, "div": _div, "neg": _neg, "reciprocal": _reciprocal, "power": _power, "exp": _exp, "log": _log, "clamp": _clamp, "sum": _sum,
    "matmul": _matmul,
}  # fmt: skip


# Shapes ----------------------------------------------------------------------------------------------------------

ShapeRule = Callable[[Args, Shape], Shape]


def _dim(value: Value | None) -> Dim:
    return integer(value)


def _linear_shape(args: Args, shape: Shape) -> Shape:
    width = _dim(args.get("out_features"))
    if shape.dims:
        return Shape((*shape.dims[:-1], width), shape.exact)
    return Shape((width,), exact=False)


def _matmul_shape(args: Args, shape: Shape) -> Shape:
    """What a matrix on the right makes of rows; with a vector on either side other rules hold."""
    right = common_shape(args.get("other"))
    if right.rank != 2:
        return ANY_SHAPE
    rows = shape.dims[:-1] if shape.dims else ()
    return Shape((*rows, right.dims[-1]), shape.exact and bool(shape.dims))


def _matrix_product_shape(args: Args, shape: Shape) -> Shape:
    """``mm`` takes matrices only."""
    right = common_shape(args.get("other"))
    return Shape(
        (shape.dims[0] if shape.rank == 2 else None, right.dims[1] if right.rank == 2 else None), exact=True
    )


def _conv_shape(spatial: int) -> ShapeRule:
    """(batch, channels, ...), as a convolution over that many dimensions yields for batched input."""

    def rule(args: Args, shape: Shape) -> Shape:
        batch = shape.dims[0] if shape.exact and len(shape.dims) == spatial + 2 else None
        return Shape((batch, _dim(args.get("out_channels")), *(None,) * spatial), exact=True)

    return rule


def _flatten_shape(args: Args, shape: Shape) -> Shape:
    start, end = integer(args.get("start_dim")), integer(args.get("end_dim"))
    if start == 0 and end == -1:
        return Shape((None,), exact=True)
    if start == 1 and end == -1:
        return Shape((shape.dims[0] if shape.exact and shape.dims else None, None), exact=True)
    return ANY_SHAPE


def _view_shape(args: Args, shape: Shape) -> Shape:
    dims = sequence(args.get("shape"))
    if dims is None or any(
        isinstance(dim, (Tensor, Union)) and tensors(dim) and _is_shape_like(dim) for dim in dims
    ):
        return ANY_SHAPE
    if len(dims) == 1 and isinstance(dims[0], Unknown):
        whole = dims[0].of  # one unknown argument may be a whole shape
        return ANY_SHAPE if whole is None else common_shape(whole)
    known = tuple(_dim(dim) for dim in dims)
    return Shape(tuple(None if dim == -1 else dim for dim in known), exact=True)


def _is_shape_like(value: Value) -> bool:
    return any(tensor.op not in ("size", "numel", "floor_divide", "mul", "div") for tensor in tensors(value))


def _squeeze_shape(args: Args, shape: Shape) -> Shape:
    dim = integer(args.get("dim"))
    if dim is None:
        if shape.exact and all(isinstance(length, int) for length in shape.dims):
            return Shape(tuple(length for length in shape.dims if length != 1), exact=True)
        return ANY_SHAPE
    place = shape.index(dim)
    length = None if place is None else shape.dims[place]
    if place is None or length is None:
        return ANY_SHAPE
    return Shape((*shape.dims[:place], *shape.dims[place + 1 :]), shape.exact) if length == 1 else shape


def _unsqueeze_shape(args: Args, shape: Shape) -> Shape:
    dim = integer(args.get("dim"))
    if dim is None:
        return ANY_SHAPE
    if dim < 0:
        place = len(shape.dims) + dim + 1
        if place < 0:
            return ANY_SHAPE
        return Shape((*shape.dims[:place], 1, *shape.dims[place:]), shape.exact)
    if not shape.exact:
        return ANY_SHAPE
    return Shape((*shape.dims[:dim], 1, *shape.dims[dim:]), exact=True)


def _permute_shape(args: Args, shape: Shape) -> Shape:
    dims = [integer(dim) for dim in sequence(args.get("dims")) or []]
    if not dims or any(dim is None for dim in dims):
        return ANY_SHAPE
    if not shape.exact or len(shape.dims) != len(dims):
        return Shape(tuple(None for _ in dims), exact=True)
    return Shape(tuple(shape.dims[dim] for dim in dims if dim is not None), exact=True)


def _transpose_shape(args: Args, shape: Shape) -> Shape:
    first, second = integer(args.get("dim0")), integer(args.get("dim1"))
    places = [shape.index(dim) for dim in (first, second) if dim is not None]
    if len(places) != 2 or None in places:
        return Shape(tuple(None for _ in shape.dims), exact=True) if shape.exact else ANY_SHAPE
    dims = list(shape.dims)
    a, b = places[0] or 0, places[1] or 0
    dims[a], dims[b] = dims[b], dims[a]
    return Shape(tuple(dims), shape.exact)


def _reduce_shape(args: Args, shape: Shape) -> Shape:
    dims = reduced_dims(args)
    if not dims:
        whole = constant(args.get("dim")) is None
        return Shape((), exact=True) if whole else ANY_SHAPE
    places = {shape.index(dim) for dim in dims}
    if None in places:
        return _of_least_rank(dims, shape, is_kept=constant(args.get("keepdim")) is True)
    if constant(args.get("keepdim")) is True:
        return Shape(tuple(1 if i in places else d for i, d in enumerate(shape.dims)), shape.exact)
    return Shape(tuple(d for i, d in enumerate(shape.dims) if i not in places), shape.exact)


def _of_least_rank(dims: list[int], shape: Shape, *, is_kept: bool) -> Shape:
    """What is reduced over dimension 2 has three at least."""
    if shape.exact or min(dims) < 0:
        return ANY_SHAPE
    rank = max(max(dims) + 1, shape.least_rank)
    return Shape((None,) * (rank if is_kept else rank - len(dims)), exact=False)


def _reduce_dim_shape(args: Args, shape: Shape) -> Shape:
    return _reduce_shape({"dim": args.get("dim", Const(0))}, shape)


def _broadcast_shape(args: Args, shape: Shape) -> Shape:
    left, right = args.get("input"), args.get("other", args.get("exponent"))
    if number(right) is not None:
        return common_shape(left)
    if number(left) is not None:
        return common_shape(right)
    if isinstance(right, Unknown) and right.origin in ("size", "int"):
        return common_shape(left)  # a number of Python's
    a, b = common_shape(left), common_shape(right)
    if not (a.exact and b.exact):
        return Shape((None,) * max(a.least_rank, b.least_rank), exact=False)
    width = max(len(a.dims), len(b.dims))
    first = (1,) * (width - len(a.dims)) + a.dims
    second = (1,) * (width - len(b.dims)) + b.dims
    return Shape(tuple(_broadcast(x, y) for x, y in zip(first, second, strict=True)), exact=True)


def _broadcast(left: Dim, right: Dim) -> Dim:
    if right in {left, 1}:
        return left
    return right if left == 1 else None


def _getitem_shape(args: Args, shape: Shape) -> Shape:
    items = index_items(args.get("index"))
    looked_up = sole_tensor(items[0]) if len(items) == 1 else None
    if looked_up is not None:
        return _looked_up_shape(looked_up, shape)
    if all(_is_full_slice(item) or is_integer(item) or is_slice(item) for item in items) and shape.exact:
        if len(items) > len(shape.dims):
            return ANY_SHAPE
        out: list[Dim] = []
        for item, length in zip(items, shape.dims, strict=False):
            if not is_integer(item):
                out.append(length if _is_full_slice(item) else None)
        return Shape((*out, *shape.dims[len(items) :]), exact=True)
    if len(items) >= 2 and constant(items[0]) is ... and all(is_integer(item) for item in items[1:]):
        return (
            Shape(shape.dims[: len(shape.dims) - (len(items) - 1)], shape.exact) if shape.dims else ANY_SHAPE
        )
    picked = sum(1 for item in items if is_integer(item))
    only_plain = all(is_integer(item) or is_slice(item) for item in items)
    return Shape((None,) * (len(items) - picked), exact=False) if only_plain and len(items) > 1 else ANY_SHAPE


def _looked_up_shape(index: Tensor, shape: Shape) -> Shape:
    """``x[index]``: the places of an integer tensor, or as many rows as a mask keeps, before the dimensions that are left."""
    places = index.shape
    if not (places.exact and shape.exact and index.certain):
        return ANY_SHAPE
    if index.dtype is Dtype.BOOL:
        kept = len(places.dims) <= len(shape.dims)
        return (
            Shape((None, *shape.dims[len(places.dims) :]), exact=True) if kept and places.dims else ANY_SHAPE
        )
    if index.dtype is not Dtype.INT or not shape.dims or _may_be_mask(index):
        return ANY_SHAPE
    return Shape((*places.dims, *shape.dims[1:]), exact=True)


_BYTES = ("uint8", "ByteTensor")


def _may_be_mask(index: Tensor) -> bool:
    """Whether it may consist of bytes: as an index these are a mask of old."""
    steps = list(walk_terms(index, _MAX_STEPS))
    given = [value for one in steps for value in one.args.values()]
    given += [item for value in given if isinstance(value, TupleVal) for item in value.items]
    has_bytes = any(isinstance(value, External) and value.name.endswith(_BYTES) for value in given)
    return has_bytes or len(steps) == _MAX_STEPS or any(one.dtype is Dtype.BOOL for one in steps)


_MAX_STEPS = 50


def creation_shape(args: Args, shape: Shape) -> Shape:
    """The shape of ``zeros(*size)`` and its like: the lengths that were given one by one or as one tuple."""
    dims = sequence(args.get("size"))
    if (
        dims is not None
        and len(dims) == 1
        and isinstance(dims[0], (Unknown, Union))
        and not _is_bracketed(args)
    ):
        return ANY_SHAPE  # one unknown argument may be a whole shape
    return ANY_SHAPE if dims is None else Shape(tuple(_dim(dim) for dim in dims), exact=True)


def _is_bracketed(args: Args) -> bool:
    """Whether the lengths were given as a tuple or a list: ``zeros((n,))``."""
    given = args.get("size")
    return (
        isinstance(given, TupleVal)
        and len(given.items) == 1
        and isinstance(given.items[0], (TupleVal, ListVal))
    )


def _full_shape(args: Args, shape: Shape) -> Shape:
    dims = sequence(args.get("size"))
    return ANY_SHAPE if dims is None else Shape(tuple(_dim(dim) for dim in dims), exact=True)


def _randint_shape(args: Args, shape: Shape) -> Shape:
    """``randint(low, high, size)``, and ``randperm(n)``, which has no size besides."""
    positional, size = args.get("args"), args.get("size")
    named = sequence(size)
    if named is None and isinstance(positional, TupleVal) and positional.items:
        last = positional.items[-1]
        if isinstance(last, (TupleVal, ListVal)):
            named = sequence(last)
        elif (
            len(positional.items) == 1
            and positional.rest is None
            and isinstance(size, Const)
            and size.value is None
        ):
            return Shape((_dim(last),), exact=True)
    return ANY_SHAPE if named is None else Shape(tuple(_dim(dim) for dim in named), exact=True)


def _sized_shape(args: Args, shape: Shape) -> Shape:
    """``torch.FloatTensor(n)``: a single number is a length, anything else is data."""
    given = args.get("data")
    is_length = integer(given) is not None or (
        isinstance(given, Unknown) and given.origin.startswith(("size", "int"))
    )
    return Shape((_dim(given),), exact=True) if is_length else data_shape(args, shape)


def data_shape(args: Args, shape: Shape) -> Shape:
    """Lists of lists of numbers, or of arrays whose shapes are known."""
    dims: list[Dim] = []
    value = args.get("data")
    while isinstance(value, (ListVal, TupleVal)) and (value.items or value.rest is not None):
        dims.append(len(value.items) if value.rest is None else None)
        value = value.rest if value.rest is not None else value.items[0]
    if isinstance(value, Unknown) and value.foreign:
        return Shape((*dims, *value.shape.dims), value.shape.exact)
    if not _is_number(value):
        return Shape((None,) * len(dims), exact=False)
    return Shape(tuple(dims), exact=True) if dims else ANY_SHAPE


def _is_number(value: Value | None) -> bool:
    """A number, or what arithmetic with numbers made: ``torch.tensor`` takes no tensors apart."""
    if isinstance(value, Union):
        return all(_is_number(one) for one in feasible(value))
    if isinstance(value, Unknown):
        return value.is_scalar
    return number(value) is not None or (isinstance(value, Tensor) and value.op in _ARITHMETIC)


_ARITHMETIC = ("add", "sub", "mul", "div", "pow", "item")


def _embedding_shape(args: Args, shape: Shape) -> Shape:
    width = _dim(args.get("embedding_dim"))
    return Shape((*shape.dims, width), shape.exact)


def _one_hot_shape(args: Args, shape: Shape) -> Shape:
    source = common_shape(args.get("tensor"))
    return Shape((*source.dims, _dim(args.get("num_classes"))), source.exact)


def _pool_shape(args: Args, shape: Shape) -> Shape:
    if shape.exact and len(shape.dims) >= 3:
        return Shape((*shape.dims[:2], *(None for _ in shape.dims[2:])), exact=True)
    return ANY_SHAPE


def _cat_shape(args: Args, shape: Shape) -> Shape:
    """As many dimensions as the part that has most: parts with fewer are empty vectors, or there are none.

    Lengths are left open: ``hstack`` joins along another dimension than its relatives.
    """
    parts = [common_shape(part) for part in _list_items(args.get("tensors"))]
    axis = integer(args.get("dim"))
    least = max([*(part.least_rank for part in parts), 0 if axis is None else axis + 1])
    return Shape((None,) * least, exact=any(part.exact and part.rank == least > 1 for part in parts))


def _stack_shape(args: Args, shape: Shape) -> Shape:
    """One dimension more than the parts have; how many parts there are is not known of a list that a loop filled."""
    parts = [common_shape(part) for part in _list_items(args.get("tensors"))]
    part = functools.reduce(join_shapes, parts) if parts else ANY_SHAPE
    axis = integer(args.get("dim"))
    place = None if axis is None else axis if axis >= 0 else len(part.dims) + 1 + axis
    if part.exact and place is not None and 0 <= place <= len(part.dims):
        return Shape((*part.dims[:place], None, *part.dims[place:]), exact=True)
    dims = part.dims if axis == 0 else (None,) * len(part.dims)
    return Shape((None, *dims), part.exact)


def _like_index(args: Args, shape: Shape) -> Shape:
    return common_shape(args.get("index"))


def _like_other(args: Args, shape: Shape) -> Shape:
    return common_shape(args.get("other"))


def _t_shape(args: Args, shape: Shape) -> Shape:
    return Shape(tuple(reversed(shape.dims)), exact=True) if shape.exact else ANY_SHAPE


def _recurrent_shape(args: Args, shape: Shape) -> Shape:
    """Whoever says where the batch is has one: (batch, time, features)."""
    if constant(args.get("batch_first")) is True:
        return Shape((None, None, _recurrent_width(args)), exact=True)
    return Shape((None,) * 3, exact=False) if len(shape.dims) >= 3 else ANY_SHAPE


def _recurrent_width(args: Args) -> Dim:
    width, both = integer(args.get("hidden_size")), constant(args.get("bidirectional"))
    if width is None or integer(args.get("proj_size", Const(0))) != 0 or both not in (True, False):
        return None
    return 2 * width if both else width


def _batch_first_shape(args: Args, shape: Shape) -> Shape:
    """A transformer, or a stack of its layers, that says where the batch is."""
    owners = [args, *(one.bound for one in sequence(args.get("args")) or [] if isinstance(one, Instance))]
    says_so = any(constant(owner.get("batch_first")) is True for owner in owners)
    return Shape((None,) * 3, exact=True) if says_so else ANY_SHAPE


SHAPE_RULES: dict[str, ShapeRule] = {
    "unknown": lambda args, shape: ANY_SHAPE,
    "same": lambda args, shape: shape,
    "scalar": lambda args, shape: Shape((), exact=True),
    "vector": lambda args, shape: Shape((None,), exact=True),
    "matrix": lambda args, shape: Shape((None, None), exact=True),
    "matmul": _matmul_shape, "matrix_product": _matrix_product_shape, "linear": _linear_shape, "conv1": _conv_shape(1), "conv2": _conv_shape(2), "conv3": _conv_shape(3), "flatten": _flatten_shape, "view": _view_shape,
    "squeeze": _squeeze_shape, "unsqueeze": _unsqueeze_shape, "permute": _permute_shape,
    "transpose": _transpose_shape, "reduce": _reduce_shape, "reduce_dim": _reduce_dim_shape,
    "broadcast": _broadcast_shape, "getitem": _getitem_shape, "creation": creation_shape, "full": _full_shape,
    "randint": _randint_shape, "data": data_shape, "sized": _sized_shape, "embedding": _embedding_shape, "one_hot": _one_hot_shape,
    "pool": _pool_shape, "like_index": _like_index, "like_other": _like_other, "t": _t_shape, "cat": _cat_shape, "stack": _stack_shape,
    "recurrent": _recurrent_shape, "batch_first": _batch_first_shape,
}  # fmt: skip


# Element types ---------------------------------------------------------------------------------------------------

NAMED_DTYPES = {
    "float": Dtype.FLOAT32, "float32": Dtype.FLOAT32, "double": Dtype.FLOAT64, "float64": Dtype.FLOAT64,
    "half": Dtype.FLOAT16, "float16": Dtype.FLOAT16, "bfloat16": Dtype.BFLOAT16, "long": Dtype.INT,
    "int64": Dtype.INT, "int": Dtype.INT, "int32": Dtype.INT, "uint8": Dtype.INT, "int8": Dtype.INT,
    "int16": Dtype.INT, "bool": Dtype.BOOL, "FloatTensor": Dtype.FLOAT32, "LongTensor": Dtype.INT,
}  # fmt: skip


def dtype_of(value: Value | None) -> Dtype | None:
    """The element type that ``torch.float32`` and its like name."""
    if isinstance(value, External):
        return NAMED_DTYPES.get(value.name.rpartition(".")[2])
    text = constant(value)
    return NAMED_DTYPES.get(text.rpartition(".")[2]) if isinstance(text, str) else None


def result_dtype(rule: str, args: Args, source: Tensor | None) -> Dtype:
    """The element type of a result under the rule that the contract names."""
    wanted = args.get("dtype")
    named = dtype_of(wanted)
    if named is not None:
        return named
    if wanted is not None and constant(wanted) is not None:
        return Dtype.UNKNOWN
    before = Dtype.UNKNOWN if source is None else source.dtype
    if rule == "same":
        return before
    if rule == "promote":
        return _promoted(args)
    if rule == "float":
        return before if before.is_float else Dtype.FLOAT
    if rule == "to":
        return _converted(args, before)
    if rule in ("creation", "creation_like"):
        return before if rule == "creation_like" else Dtype.FLOAT32
    if rule in ("data", "full"):
        return _data_dtype(args.get("data" if rule == "data" else "fill_value"))
    return Dtype(rule)


def _promoted(args: Args) -> Dtype:
    found = (_operand_dtype(args.get("input")), _operand_dtype(args.get("other")))
    is_open = Dtype.UNKNOWN in found
    for dtype in found:
        if dtype.is_float:
            return Dtype.FLOAT if is_open else dtype
    return Dtype.UNKNOWN if is_open else Dtype.INT


def _operand_dtype(value: Value | None) -> Dtype:
    if type(value) is Tensor:
        return value.dtype
    found = constant(value)
    if isinstance(found, float):
        return Dtype.FLOAT
    if isinstance(found, int):
        return Dtype.INT
    kinds = {tensor.dtype for tensor in tensors(value)}
    return kinds.pop() if len(kinds) == 1 else Dtype.UNKNOWN


def _converted(args: Args, before: Dtype) -> Dtype:
    options = sequence(args.get("args")) or []
    for value in options:
        named = dtype_of(value)
        if named is not None:
            return named
        if isinstance(value, Tensor):
            return value.dtype
    return before if all(_is_device(value) for value in options) else Dtype.UNKNOWN


def _is_device(value: Value) -> bool:
    """``"cuda"``, ``torch.device(...)``, ``x.device``; what may be a type as well is not one for certain."""
    if isinstance(value, Unknown):
        return value.origin in ("torch.device", "device")
    if isinstance(value, Union):
        return all(_is_device(one) for one in value.alternatives)
    return isinstance(constant(value), (str, int, type(None), bool))


def _data_dtype(value: Value | None) -> Dtype:
    while isinstance(value, (ListVal, TupleVal)) and value.items:
        value = value.items[0]
    if isinstance(value, Unknown):
        return value.dtype
    found = constant(value)
    if isinstance(found, bool):
        return Dtype.BOOL
    return (
        Dtype.INT if isinstance(found, int) else Dtype.FLOAT32 if isinstance(found, float) else Dtype.UNKNOWN
    )
