"""What is known of the arrays and tables of NumPy, pandas and scikit-learn: how many dimensions they have, and which are one.

Nothing else is: they are not under contract. But a column of a table is a vector, and becomes one when a tensor is made of it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from lossaudit.check.infer.transfer import SLICE, creation_shape, data_shape, dtype_of
from lossaudit.check.kinds import ANY_SHAPE, Dim, Dtype, Shape
from lossaudit.check.values import (
    NONE,
    Const,
    ListVal,
    TupleVal,
    Unknown,
    Value,
    constant,
    integer,
    number,
)

if TYPE_CHECKING:
    from lossaudit.check.infer.frame import Arguments
    from lossaudit.check.values import Site

_VECTOR, _TABLE = Shape((None,), exact=True), Shape((None, None), exact=True)

_OF_DATA = frozenset({"numpy.array", "numpy.asarray", "numpy.ascontiguousarray"})
_OF_SIZE = frozenset({"numpy.zeros", "numpy.ones", "numpy.empty"})
_ELEMENTWISE = frozenset(
    f"numpy.{name}"
    for name in ("abs", "exp", "log", "log10", "log1p", "log2", "expm1", "sqrt", "square", "sign", "clip", "nan_to_num", "float32", "float64")
)  # fmt: skip
_MAKES = {
    **dict.fromkeys((f"pandas.{name}" for name in ("read_csv", "read_table", "read_excel", "read_parquet", "read_feather", "DataFrame", "get_dummies")), _TABLE),
    "pandas.Series": _VECTOR,
}  # fmt: skip
_OF_LEVELS = ("header", "sheet_name")
"""Arguments of which a list makes a table in a table, or several tables."""
_IN_OTHER_FORMS = ("chunksize", "iterator", "squeeze")
_SPLITTING = "sklearn.model_selection.train_test_split"
_FOLDS = frozenset(
    f"sklearn.model_selection.{name}"
    for name in ("KFold", "StratifiedKFold", "RepeatedKFold", "ShuffleSplit", "StratifiedShuffleSplit", "TimeSeriesSplit", "GroupKFold")
)  # fmt: skip
_SCALERS = frozenset(
    f"sklearn.preprocessing.{name}"
    for name in ("StandardScaler", "MinMaxScaler", "RobustScaler", "MaxAbsScaler", "PowerTransformer", "QuantileTransformer")
)  # fmt: skip
_ENCODERS = frozenset({"sklearn.preprocessing.LabelEncoder"})
_LABELLED_SETS = frozenset(
    f"sklearn.datasets.{name}"
    for name in ("load_iris", "load_wine", "load_breast_cancer", "load_diabetes", "load_digits", "fetch_california_housing", "fetch_covtype")
)  # fmt: skip
"""Data sets of one target: ``.data`` is a table, ``.target`` a vector."""
_MADE_SETS = frozenset(
    f"sklearn.datasets.{name}" for name in ("make_classification", "make_moons", "make_blobs", "make_circles", "make_friedman1")
)  # fmt: skip
_KEEP = frozenset({
    "astype", "copy", "dropna", "fillna", "reset_index", "sort_values", "sample", "query", "head", "tail", "to_numpy", "clip",
    "round", "interpolate", "drop_duplicates", "drop", "rename",
})  # fmt: skip
"""Methods that give an array or a table of as many dimensions."""
_SAME = frozenset({"values", "iloc", "loc"})
"""Attributes that are the table itself, as an array or for another way of choosing from it."""


def called(name: str, arguments: Arguments, site: Site) -> Value:
    """What a function ``name`` of another library returns."""
    given = arguments.certain_positional()
    first = given[0] if given else None
    if (
        name == _SPLITTING
        and len(given) == len(arguments.positional)
        and all(_is_array(one) for one in given)
    ):
        return ListVal([part for one in given for part in (_part(one), _part(one))])
    if name in _MADE_SETS or (
        name in _LABELLED_SETS and constant(arguments.keywords.get("return_X_y")) is True
    ):
        return TupleVal((_array(_TABLE, name), _array(_VECTOR, name)))
    owner = next((one for one in arguments.positional if _is_array(one)), None)
    shape = _made_shape(name, first) if _is_plain(name, arguments) else ANY_SHAPE
    return Unknown(origin=name, foreign=True, owner=owner, site=site, shape=shape)


def _is_plain(name: str, arguments: Arguments) -> bool:
    """Whether no argument has pandas return something else than one table with one level of names."""
    if not name.startswith("pandas."):
        return True
    given = arguments.keywords
    usual = all(isinstance(given.get(one, NONE), Const) for one in _OF_LEVELS)
    names = given.get("columns", NONE)
    is_named_once = not (isinstance(names, Unknown) and names.origin.startswith("pandas."))
    is_one = constant(given.get("sheet_name", Const(0))) is not None
    in_one = all(constant(given.get(one, NONE)) in (None, False) for one in _IN_OTHER_FORMS)
    return usual and is_named_once and is_one and in_one and not arguments.is_open


def _is_array(value: Value) -> bool:
    return isinstance(value, Unknown) and value.foreign


def _array(shape: Shape, origin: str = "") -> Unknown:
    return Unknown(origin=origin, foreign=True, shape=shape)


def _part(array: Value) -> Value:
    """Some rows of it: as many dimensions, another length."""
    shape = shape_of(array)
    return _array(Shape((None, *shape.dims[1:]), shape.exact) if shape.dims else ANY_SHAPE)


def shape_of(value: Value | None) -> Shape:
    """The shape of an array of another library; nothing is known of anything else."""
    return value.shape if isinstance(value, Unknown) and value.foreign else ANY_SHAPE


def _made_shape(name: str, first: Value | None) -> Shape:
    if name in _OF_DATA:
        return data_shape({} if first is None else {"data": first}, ANY_SHAPE)
    if name in _OF_SIZE and isinstance(first, (TupleVal, ListVal, Const)):
        return creation_shape(
            {"size": first if isinstance(first, TupleVal) else TupleVal((first,))}, ANY_SHAPE
        )
    if name in _ELEMENTWISE:
        return shape_of(first)
    return _MAKES.get(name, ANY_SHAPE)


def method(bound: Unknown, arguments: Arguments) -> Value:
    """What calling ``bound``, an attribute of an array, a table or an estimator, returns."""
    array, name = bound.owner, bound.name
    origin = array.origin if isinstance(array, Unknown) else ""
    if name == "split" and origin in _FOLDS:
        return ListVal([], rest=TupleVal((_array(_VECTOR), _array(_VECTOR))))
    dtype = dtype_of(next(iter(arguments.all_values()), None)) if name == "astype" else None
    shape = _method_shape(array, origin, name, arguments)
    kept = origin if name in _KEEP else ""
    return Unknown(kept, foreign=True, owner=bound, dtype=dtype or Dtype.UNKNOWN, shape=shape)


def _method_shape(array: Value | None, origin: str, name: str, arguments: Arguments) -> Shape:
    if name in ("fit_transform", "transform") and origin in _SCALERS:
        return _TABLE
    if name in ("fit_transform", "transform") and origin in _ENCODERS:
        return _VECTOR
    shape = shape_of(array)
    if name in _KEEP:
        return shape
    if name in ("ravel", "flatten"):
        return _VECTOR
    if name == "pop" and shape == _TABLE:
        return _VECTOR
    if name == "reshape" and not arguments.is_open and arguments.positional:
        lengths = arguments.positional
        if len(lengths) == 1 and isinstance(lengths[0], TupleVal) and lengths[0].rest is None:
            lengths = list(lengths[0].items)
        is_plain = all(number(one) is not None for one in lengths)
        return Shape(tuple(map(_length, lengths)), exact=True) if is_plain else ANY_SHAPE
    return ANY_SHAPE


def _length(value: Value) -> Dim:
    length = integer(value)
    return None if length is None or length < 0 else length


def attribute(value: Unknown, name: str, site: Site) -> Unknown:
    """``array.name``."""
    if name in _SAME:
        return Unknown(value.origin, foreign=True, owner=value, name=name, site=site, shape=value.shape)
    shape = (
        {"data": _TABLE, "target": _VECTOR}.get(name, ANY_SHAPE)
        if value.origin in _LABELLED_SETS
        else ANY_SHAPE
    )
    return Unknown(foreign=True, owner=value, name=name, site=site, shape=shape)


def item(value: Unknown, index: Value) -> Unknown:
    """``array[index]``: the dimensions that are left."""
    if value.shape is ANY_SHAPE or (value.origin.startswith("pandas.") and _is_mask(index)):
        return value
    return replace(value, shape=_item_shape(value.shape, index))


def _is_mask(index: Value) -> bool:
    """A comparison, which chooses rows of a table, whatever it was computed from."""
    return isinstance(index, Unknown) and (index.dtype is Dtype.BOOL or index.origin == "bool")


def _item_shape(shape: Shape, index: Value) -> Shape:
    text = constant(index)
    if isinstance(text, str):
        return _VECTOR if shape == _TABLE else ANY_SHAPE
    is_several = isinstance(index, TupleVal) and index.names != (SLICE,) * 3
    places = list(index.items) if isinstance(index, TupleVal) and is_several else [index]
    if not shape.exact or len(places) > len(shape.dims):
        return ANY_SHAPE
    kept: list[Dim] = []
    for length, place in zip(shape.dims, places, strict=False):
        if isinstance(place, TupleVal) and place.names == (SLICE,) * 3:
            kept.append(length if place.items == (NONE,) * 3 else None)
        elif _is_choice(place):
            kept.append(None)
        elif integer(place) is None:
            return ANY_SHAPE
    return (
        Shape((*kept, *shape.dims[len(places) :]), exact=True)
        if kept or len(places) < len(shape.dims)
        else ANY_SHAPE
    )


def _is_choice(index: Value) -> bool:
    """A list of names or numbers, or an array of one dimension: it chooses some of a dimension."""
    return isinstance(index, ListVal) or shape_of(index).rank == 1


def combined(chosen: Unknown, other: Value) -> Unknown:
    """The array ``chosen`` after arithmetic with ``other``: with a number it keeps its shape."""
    is_number = isinstance(other, Const) or (isinstance(other, Unknown) and other.is_scalar)
    return chosen if is_number or shape_of(other) == chosen.shape else chosen.unshaped()
