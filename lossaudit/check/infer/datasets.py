"""What data loaders yield: samples of a dataset, collated into batches.

A sample of ``TensorDataset(a, b)`` is a row of each, one of a class of the project is what its ``__getitem__`` returns. The loader stacks
the tensors of its samples along a new first dimension, and makes tensors of numbers and arrays. How many samples there are in a batch
is not known, for the last may be smaller, but it is the same number in all members of a batch. Where nothing is known of any
member, a batch is data, and no more is said of it.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from lossaudit.check.infer import calls, objects, visits
from lossaudit.check.infer.budget import PLAIN_STEPS
from lossaudit.check.infer.frame import Arguments, Frame
from lossaudit.check.infer.heap import Scope
from lossaudit.check.infer.ops import bind
from lossaudit.check.kinds import ANY_SHAPE, Dim, Dtype, Kind, Shape
from lossaudit.check.values import (
    ABSENT,
    BATCH,
    NONE,
    UNKNOWN,
    BoundMethod,
    ClassVal,
    Const,
    DictVal,
    External,
    Function,
    Instance,
    ListVal,
    Partial,
    Site,
    Step,
    Tensor,
    TupleVal,
    Union,
    Unknown,
    Value,
    alternatives,
    constant,
    fresh_ident,
    integer,
    join,
)

if TYPE_CHECKING:
    from lossaudit.check.contracts.schema import Dataset
    from lossaudit.check.infer.engine import Interpreter

_DEFAULT_COLLATE = frozenset({"torch.utils.data.default_collate", "paddle.io.default_collate_fn"})
_SCALARS = {"float": Dtype.FLOAT64, "int": Dtype.INT, "bool": Dtype.BOOL}
"""The element types that numbers of Python get in a batch."""
_CALLABLE = (Function, BoundMethod, Partial)


# Loaders ---------------------------------------------------------------------------------------------------------


def is_loader(interp: Interpreter, value: Value) -> bool:
    """Whether iterating over it yields batches of data."""
    return isinstance(value, Instance) and any(name in interp.contracts.loaders for name in value.bases)


def batch(interp: Interpreter, loader: Instance) -> Value:
    """One of the batches that ``loader`` yields: data, and what is known of its members."""
    bound = loader.bound
    collate = interp.force(bound.get("collate_fn", NONE))
    is_default = constant(collate) is None or (
        isinstance(collate, External) and collate.name in _DEFAULT_COLLATE
    )
    found = sample(interp, bound.get("dataset", UNKNOWN), loader.site)
    if not is_default:
        return _collated_by(interp, loader, collate, Unknown(data=True) if found is None else found)
    has_batches = constant(bound.get("batch_sampler", NONE)) is not None
    size = UNKNOWN if has_batches else bound.get("batch_size", Const(1))
    if found is None or not _takes_one_by_one(interp, bound) or _may_be_none(size):
        return Unknown(data=True)
    return found if constant(size) is None else _stacked(found, _length(size), loader.site)


def _may_be_none(size: Value) -> bool:
    """Whether it is open if samples are brought together at all."""
    several = len(alternatives(size)) > 1
    return any(
        (several and constant(one) is None) or (isinstance(one, Unknown) and one.may_be_none)
        for one in alternatives(size)
    )


def _collated_by(interp: Interpreter, loader: Instance, collate: Value, found: Value) -> Value:
    """What the loader's own function makes of samples."""
    is_readable = isinstance(collate, _CALLABLE) or (
        isinstance(collate, Instance) and isinstance(collate.cls, ClassVal)
    )
    if not is_readable:
        return Unknown(data=True)
    frame = Frame(interp.project.module(Path(loader.site.path)), Scope())
    with interp.silent():
        return calls.call_value(interp, frame, collate, Arguments([ListVal([], found)]), loader.site)


def _takes_one_by_one(interp: Interpreter, bound: dict[str, Value]) -> bool:
    """Whether the dataset is asked for single samples: a sampler may yield the indices of a whole batch at once."""
    return all(
        constant(one) is None
        or (
            isinstance(one, Instance)
            and isinstance(one.cls, External)
            and one.cls.name in interp.contracts.samplers
        )
        for one in alternatives(bound.get("sampler", NONE))
    )


def _length(size: Value) -> Dim:
    """The number of samples in a batch: one where that is what was asked for, else a symbol of its own."""
    return 1 if integer(size) == 1 else f"batch {fresh_ident()}"


def anew(value: Value) -> Value:
    """Another batch of the same kind: what was done in place to the one before has not been done to it."""
    if isinstance(value, Tensor):
        return replace(value, ident=fresh_ident()) if value.op == BATCH else value
    if not isinstance(value, (TupleVal, ListVal, DictVal)):
        return value
    members = list(value.entries.values() if isinstance(value, DictVal) else value.items)
    renewed = [anew(one) for one in members]
    rest = None if value.rest is None else anew(value.rest)
    if rest is value.rest and all(new is one for new, one in zip(renewed, members, strict=True)):
        return value
    if isinstance(value, TupleVal):
        return TupleVal(tuple(renewed), value.names, rest)
    if isinstance(value, ListVal):
        return ListVal(renewed, rest)
    return DictVal(dict(zip(value.entries, renewed, strict=True)), rest)


# Datasets --------------------------------------------------------------------------------------------------------


def contract_of(interp: Interpreter, value: Instance) -> Dataset | None:
    """The contract of a dataset, its own or of its nearest base."""
    return next(
        (contract for name in value.bases if (contract := interp.contracts.datasets.get(name)) is not None),
        None,
    )


def element(interp: Interpreter, value: Instance) -> Value:
    """What a dataset yields when it is iterated over or indexed itself."""
    is_sequence = (
        contract_of(interp, value) is not None and objects.lookup_class(value.cls, "__iter__") is None
    )
    found = sample(interp, value, value.site) if is_sequence else None
    return UNKNOWN if found is None else found


def sample(interp: Interpreter, dataset: Value, site: Site) -> Value | None:
    """One sample of ``dataset``, of which at least something is known; None otherwise."""
    dataset = interp.force(dataset)
    if isinstance(dataset, Union):
        return _common([sample(interp, one, site) for one in dataset.alternatives])
    found: Value | None = None
    if isinstance(dataset, Tensor):
        found = _row(dataset)
    elif isinstance(dataset, (ListVal, TupleVal)):
        found = interp.any_element(interp.elements(dataset))
    elif isinstance(dataset, Instance):
        own, contract = objects.lookup_class(dataset.cls, "__getitem__"), contract_of(interp, dataset)
        if isinstance(own, Function):
            found = _item(interp, dataset, own, site)
        elif contract is not None:
            found = _held(interp, dataset, contract)
    found = None if found is None else _as_data(found)
    return found if found is not None and _says_something(found) else None


def _common(found: list[Value | None]) -> Value | None:
    """What one sample is if it is one of these; None if nothing is known of one of them."""
    known = [one for one in found if one is not None]
    return join(known) if known and len(known) == len(found) else None


def _item(interp: Interpreter, dataset: Instance, function: Function, site: Site) -> Value | None:
    """What the dataset's own ``__getitem__`` returns; whatever else it does is taken back, and what is wrong in it is told elsewhere."""
    frame = Frame(function.module, Scope())
    arguments = Arguments([Unknown(origin="int")])

    def body() -> Value:
        return calls.run_function(interp, frame, function, arguments, site, receiver=dataset)

    covered = set(interp.covered)
    interp.heap.begin()
    try:
        with interp.silent():
            return visits.within(interp, PLAIN_STEPS, function, dataset, body)
    finally:
        interp.heap.retreat()
        interp.covered = covered


def _held(interp: Interpreter, dataset: Instance, contract: Dataset) -> Value | None:
    """A sample of a dataset under contract."""
    bound = dataset.bound
    if contract.holds == "dataset":
        return sample(interp, bound.get("dataset", UNKNOWN), dataset.site)
    if contract.holds == "datasets":
        parts = interp.elements(bound.get("datasets", UNKNOWN))
        options = [*parts.items, *([] if parts.rest is None else [parts.rest])]
        return _common([sample(interp, one, dataset.site) for one in options])
    if not contract.holds:
        return None
    if contract.holds == "labelled":
        is_plain = constant(bound.get("target_transform", NONE)) is None
        return TupleVal((Unknown(data=True), Unknown(origin="int"))) if is_plain else None
    tensors = bound.get("tensors")
    if not isinstance(tensors, (TupleVal, ListVal)) or tensors.rest is not None:
        return None
    return TupleVal(tuple(_row_of(one) for one in tensors.items))


def split(interp: Interpreter, name: str, arguments: Arguments, site: Site) -> ListVal:
    """``random_split(dataset, [8, 2])``: as many parts as there are lengths."""
    signature, part = interp.contracts.splitters[name]
    bound = bind(signature, arguments)
    lengths = interp.elements(bound.get("lengths", UNKNOWN))

    def one() -> Instance:
        return Instance(External(part), site, bound={"dataset": bound.get("dataset", UNKNOWN)})

    return ListVal([one() for _ in lengths.items], None if lengths.rest is None else one())


# Members ---------------------------------------------------------------------------------------------------------


def _row_of(value: Value) -> Value:
    return join(_row(one) if isinstance(one, Tensor) else Unknown(data=True) for one in alternatives(value))


def _row(term: Tensor) -> Tensor:
    """One entry along dimension 0 of a tensor."""
    dims = term.shape.dims
    shape = Shape(dims[1:], term.shape.exact) if len(dims) > (0 if term.shape.exact else 1) else ANY_SHAPE
    keeps = term.class_dim != 0
    moved = None if term.class_dim is None or not keeps else term.class_dim - (term.class_dim > 0)
    return replace(term, shape=shape, kind=term.kind if keeps else Kind.UNKNOWN, class_dim=moved)


def _as_data(value: Value) -> Value:
    """The members of a sample as data: how they were computed does not matter to what is trained on them."""
    if isinstance(value, Tensor):
        return _datum(value)
    if isinstance(value, Union):
        return join(_as_data(one) for one in value.alternatives)
    if isinstance(value, TupleVal):
        return replace(value, items=tuple(_as_data(one) for one in value.items))
    if isinstance(value, ListVal):
        return ListVal(
            [_as_data(one) for one in value.items], None if value.rest is None else _as_data(value.rest)
        )
    if isinstance(value, DictVal):
        return DictVal(
            {key: _as_data(one) for key, one in value.entries.items()},
            None if value.rest is None else Unknown(data=True),
        )
    is_plain = isinstance(value, Const) or (isinstance(value, Unknown) and (value.is_scalar or value.foreign))
    return value if is_plain else Unknown(data=True)


def _datum(term: Tensor) -> Value:
    """A tensor of a sample; a number that was taken out of one; or data, where it may be neither."""
    if term.op in ("size", "numel"):
        return Unknown(origin="int")
    if term.op == "item":
        return Unknown(origin="float" if term.dtype.is_float else _INTEGRAL.get(term.dtype, NUMBER))
    if not term.certain:
        return Unknown(data=True)
    return Tensor(
        BATCH,
        {"input": Unknown(data=True)},
        term.site,
        kind=Kind.UNKNOWN if term.kind is Kind.LOSS else term.kind,
        class_dim=term.class_dim,
        shape=term.shape,
        dtype=term.dtype,
        origin=None if term.kind is Kind.UNKNOWN else term.source,
        route=term.route,
        data=True,
    )


_INTEGRAL = {Dtype.INT: "int", Dtype.BOOL: "bool"}
NUMBER = "number"
"""The origin of a number of which the type is not known."""


def _says_something(value: Value) -> bool:
    if isinstance(value, (TupleVal, ListVal)):
        return any(map(_says_something, value.items)) or (
            value.rest is not None and _says_something(value.rest)
        )
    if isinstance(value, DictVal):
        return any(map(_says_something, value.entries.values()))
    if isinstance(value, Union):
        return all(map(_says_something, value.alternatives))
    if isinstance(value, Unknown):
        return value.dtype is not Dtype.UNKNOWN or value.is_scalar
    return isinstance(value, Tensor) or _number_type(value) is not None


def _number_type(value: Value) -> Dtype | None:
    """The element type that a batch of such numbers has; None for anything that is no number."""
    if isinstance(value, Unknown):
        return _SCALARS.get(value.origin)
    return _SCALARS.get(type(constant(value)).__name__)


def _stacked(value: Value, size: Dim, site: Site) -> Value:
    """The samples of a batch brought together member by member, as PyTorch and Paddle do where they are not told otherwise."""
    if isinstance(value, Tensor):
        return _stacked_tensor(value, size, site)
    if isinstance(value, Union):
        return join(_stacked(one, size, site) for one in value.alternatives if one is not ABSENT)
    if isinstance(value, (TupleVal, ListVal)):
        items = [_stacked(one, size, site) for one in value.items]
        rest = None if value.rest is None else _stacked(value.rest, size, site)
        if isinstance(value, TupleVal) and value.names:
            return TupleVal(tuple(items), value.names, rest)
        return ListVal(items, rest)
    if isinstance(value, DictVal):
        return DictVal({key: _stacked(one, size, site) for key, one in value.entries.items()}, value.rest)
    kind = _number_type(value)
    is_number = kind is not None or (isinstance(value, Unknown) and value.origin == NUMBER)
    dtype = kind or (value.dtype if isinstance(value, Unknown) else Dtype.UNKNOWN)
    if not is_number and dtype is Dtype.UNKNOWN:
        return Unknown(data=True)
    shape = Shape((size,), exact=True) if is_number else ANY_SHAPE
    return _loaded(Tensor(BATCH, {"input": Unknown(data=True)}, site, shape=shape, dtype=dtype, data=True))


def _stacked_tensor(term: Tensor, size: Dim, site: Site) -> Tensor:
    shape = Shape((size, *term.shape.dims), exact=True) if term.shape.exact else term.shape
    class_dim = term.class_dim
    if class_dim is not None and class_dim >= 0:
        class_dim += 1
    made = replace(term, shape=shape, class_dim=class_dim, ident=fresh_ident())
    return _loaded(made.moved(Step(site, "brought together in batches")))


def _loaded(term: Tensor) -> Tensor:
    return replace(term, batched=True)
