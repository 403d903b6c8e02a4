"""Reading a term as a formula over class log-probabilities: which weight each class has in each sample's loss.

A cross-entropy, smoothed or not, is ``-sum_j w_j * log p_j`` for every sample, then a mean or a sum over samples. However it
is written (rows of weights times log-softmax, a gathered term plus a uniform one, a call of ``nll_loss``), it comes down to
one row of weights: so much in every class, and so much more at the labels. :func:`read` finds that row, with its weights
as exact expressions in whatever numbers the code leaves open.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum

from lossaudit.check.infer.transfer import index_items, reduced_dims, sequence
from lossaudit.check.kinds import Dtype
from lossaudit.check.reasoning.algebra import Ratio, Symbol, TooComplex, number, symbol
from lossaudit.check.values import (
    BATCH,
    UNKNOWN,
    Const,
    ListVal,
    Tensor,
    Union,
    Unknown,
    Value,
    common_shape,
    constant,
    feasible,
    integer,
)

Key = tuple[object, ...]
"""What identifies a tensor, whichever conversions and layout changes it went through."""

CLASSES: Symbol = ("classes",)
"""The number of classes."""
SAMPLES: Symbol = ("samples",)
"""The number of samples."""
NOTHING = number(0)
WHOLE = number(1)

CONVERSIONS = frozenset({
    "to", "float", "double", "half", "bfloat16", "device_move", "contiguous", "clone", "detach", "requires_grad_", "identity",
    "variable", BATCH,
})  # fmt: skip
"""Operations after which the numbers are the same ones at the same places."""
LAYOUT = frozenset({
    "view", "view_as", "flatten", "unflatten", "squeeze", "unsqueeze", "permute", "transpose", "t", "movedim", "expand",
})  # fmt: skip


class Level(Enum):
    """How far a loss is summed up."""

    ENTRY = "one number for each sample and class"
    SAMPLE = "one number for each sample"
    BATCH = "one number"


@dataclass(frozen=True, slots=True)
class Rows:
    """Weights over classes, a row for each sample.

    ``every`` is the weight of each class, ``at`` what the class of each label gets on top, ``soft`` the factors of weight
    tensors of which nothing is known. ``blame`` is the term that mixed them. ``shared`` is the assignment that wrote
    the labels of a whole batch into one row that serves every sample, and ``spread`` says that this row was expanded
    to the batch. ``lengths`` are expressions that the code takes for the number of classes.
    """

    every: Ratio = NOTHING
    at: Mapping[Key, Ratio] = field(default_factory=dict)
    soft: Mapping[Key, tuple[Value, Ratio]] = field(default_factory=dict)
    blame: Tensor | None = None
    shared: Tensor | None = None
    spread: bool = False
    lengths: tuple[Ratio, ...] = ()

    @property
    def is_uniform(self) -> bool:
        """Whether every class has the same weight."""
        return not self.at and not self.soft

    @property
    def is_mixed(self) -> bool:
        """Whether the labels' classes get one weight and all others another one."""
        return bool(self.at) and not self.every.is_zero

    def scaled(self, factor: Ratio) -> Rows:
        """Every weight times ``factor``."""
        at = {key: weight * factor for key, weight in self.at.items()}
        soft = {key: (value, weight * factor) for key, (value, weight) in self.soft.items()}
        return replace(self, every=self.every * factor, at=at, soft=soft)

    def plus(self, other: Rows, term: Tensor) -> Rows:
        """The sum of both; ``term`` is the addition."""
        at = {key: self.at.get(key, NOTHING) + other.at.get(key, NOTHING) for key in (*self.at, *other.at)}
        soft = {**self.soft, **other.soft}
        for key in self.soft.keys() & other.soft.keys():
            soft[key] = (self.soft[key][0], self.soft[key][1] + other.soft[key][1])
        out = replace(
            self,
            every=self.every + other.every,
            at={key: weight for key, weight in at.items() if not weight.is_zero},
            soft=soft,
            shared=self.shared or other.shared,
            spread=self.spread or other.spread,
            lengths=(*self.lengths, *other.lengths),
        )
        return replace(out, blame=term if out.is_mixed else self.blame or other.blame)


@dataclass(frozen=True, slots=True)
class Form:
    """A loss that is linear in the log-probabilities of ``base`` over dimension ``dim``.

    ``summed`` is where the classes were summed up. ``averaged`` marks entries that are already means over the batch.
    ``altered`` says that samples were left out, ``unstable`` that a logarithm of a softmax stands in for log-softmax, and
    ``called`` that everything in it comes from the framework's own losses.
    """

    rows: Rows
    base: Key
    dim: int
    logits: Value
    level: Level = Level.ENTRY
    summed: Tensor | None = None
    averaged: bool = False
    altered: bool = False
    unstable: bool = False
    called: bool = False

    def scaled(self, factor: Ratio) -> Form:
        """The loss times ``factor``."""
        return replace(self, rows=self.rows.scaled(factor))

    def over_classes(self, dim: int) -> bool:
        """Whether ``dim`` is the classes' dimension: of a batch of vectors, 1 and -1 are the same one."""
        return dim == self.dim or {dim, self.dim} <= {1, -1}


Formula = Ratio | Rows | Form


def key_of(value: Value | None) -> Key:
    """What tells this tensor from others, through conversions and changes of layout."""
    while isinstance(value, Tensor) and (value.op in CONVERSIONS or value.op in LAYOUT or value.op == "long"):
        value = value.arg("input") or value.arg("data")
    if isinstance(value, Tensor):
        return ("term", value.ident)
    options = () if value is None else feasible(value)
    if len(options) > 1:
        keys = {key_of(one) for one in options}
        return keys.pop() if len(keys) == 1 else ("any", *sorted(map(id, options)))
    return ("value", id(value))


_memo: dict[int, tuple[Tensor, Formula | None]] = {}
_MEMO_SIZE = 4000


def read(value: Value | None) -> Formula | None:
    """The formula that ``value`` is, or None where it is none of these."""
    if isinstance(value, Const):
        plain = isinstance(value.value, (int, float)) and not isinstance(value.value, bool)
        return number(value.value) if plain and abs(value.value) < 1e12 else None  # type: ignore[arg-type]
    if isinstance(value, Unknown):
        is_other = value.foreign or value.data or (value.origin and not value.is_scalar)
        is_number = value is not UNKNOWN and not is_other
        return symbol(("value", id(value))) if is_number else None
    if isinstance(value, Union):
        return _common([read(one) for one in feasible(value)])
    return _read_term(value) if isinstance(value, Tensor) else None


def _read_term(term: Tensor) -> Formula | None:
    reader = _READERS.get(term.op)
    if reader is None:
        return None
    known = _memo.get(id(term))
    if known is not None:
        return known[1]
    try:
        found = reader(term)
    except (TooComplex, ZeroDivisionError):
        found = None
    if len(_memo) > _MEMO_SIZE:
        _memo.clear()
    _memo[id(term)] = (term, found)  # the term is kept, so that its id stays its own
    return found


def _common(found: Iterable[Formula | None]) -> Formula | None:
    """One formula for all alternatives: the first, if the others say the same."""
    first, *others = list(found)
    same = first is not None and all(other is not None and _agree(first, other) for other in others)
    return first if same else None


def _agree(left: Formula, right: Formula) -> bool:
    if isinstance(left, Ratio) and isinstance(right, Ratio):
        return left.equals(right)
    if isinstance(left, Form) and isinstance(right, Form):
        alike = (left.base, left.dim, left.level, left.averaged) == (
            right.base,
            right.dim,
            right.level,
            right.averaged,
        )
        return alike and _agree(left.rows, right.rows)
    if isinstance(left, Rows) and isinstance(right, Rows):
        return left.at.keys() == right.at.keys() and left.soft.keys() == right.soft.keys() and (
            left.every.equals(right.every) and all(left.at[key].equals(right.at[key]) for key in left.at)
        )  # fmt: skip
    return False


# Numbers ---------------------------------------------------------------------------------------------------------


def _size(term: Tensor) -> Formula | None:
    dim = integer(term.arg("dim"))
    return None if dim is None else symbol(("size", key_of(term.arg("input")), dim))


def _scalar(term: Tensor) -> Formula | None:
    found = read(term.arg("data"))
    return found if isinstance(found, Ratio) else None


def ratio(value: Value | None) -> Ratio | None:
    """The number that ``value`` is."""
    found = read(value)
    return found if isinstance(found, Ratio) else None


# Weights ---------------------------------------------------------------------------------------------------------


def _filled(amount: Callable[[Tensor], Ratio | None]) -> Callable[[Tensor], Formula | None]:
    def reader(term: Tensor) -> Formula | None:
        found = amount(term)
        return None if found is None else Rows(every=found, lengths=_length(term))

    return reader


def _length(term: Tensor) -> tuple[Ratio, ...]:
    """The last length that a creation was given, if it was given lengths one by one."""
    dims = sequence(term.arg("size"))
    last = ratio(dims[-1]) if dims else None
    return () if last is None else (last,)


def _one_hot(term: Tensor) -> Formula | None:
    classes = ratio(term.arg("num_classes"))
    lengths = () if classes is None or classes.equals(number(-1)) else (classes,)
    return Rows(at={key_of(term.arg("tensor")): WHOLE}, lengths=lengths)


def _uniform(value: Value | None) -> Rows | None:
    found = read(value)
    return found if isinstance(found, Rows) and found.is_uniform and found.shared is None else None


def _set_at(base: Rows, labels: Value | None, weight: Ratio, term: Tensor, *, shared: bool = False) -> Rows:
    """``base`` with another weight at the labels."""
    at = {key_of(labels): weight - base.every}
    return replace(base, at=at, blame=term, shared=term if shared else None)


def _scatter(term: Tensor) -> Formula | None:
    base, dim = _uniform(term.arg("input")), integer(term.arg("dim"))
    value = term.arg("value")
    weight = ratio(term.arg("src") if constant(value) is None else value)
    if base is None or weight is None or dim is None or constant(term.arg("reduce")) is not None:
        return None
    if dim == 0 and not _is_one_row(term.arg("input")):
        return None
    return _set_at(base, term.arg("index"), weight, term, shared=_is_one_row(term.arg("input")))


def _scatter_add(term: Tensor) -> Formula | None:
    base, weight = _uniform(term.arg("input")), ratio(term.arg("src"))
    if base is None or weight is None or integer(term.arg("dim")) not in (1, -1):
        return None
    return _set_at(base, term.arg("index"), base.every + weight, term)


def _set_item(term: Tensor) -> Formula | None:
    base, weight = _uniform(term.arg("input")), ratio(term.arg("value"))
    items = index_items(term.arg("index"))
    if base is None or weight is None:
        return None
    if len(items) == 1 and _are_labels(items[0]) and _is_one_row(term.arg("input")):
        return _set_at(base, items[0], weight, term, shared=True)
    if len(items) == 2 and _counts_rows(items[0]) and _are_labels(items[1]):
        return _set_at(base, items[1], weight, term)
    return None


def _are_labels(index: Value) -> bool:
    """An index that picks by values of a batch, not one place, a slice or a mask."""
    if isinstance(index, Unknown):
        return not index.foreign
    return isinstance(index, Tensor) and index.dtype is not Dtype.BOOL and index.op not in ("arange", "size")


def _counts_rows(index: Value) -> bool:
    """``torch.arange(n)`` or ``range(n)``: every row once."""
    if isinstance(index, Tensor):
        return key_of(index)[0] == "term" and _unwrapped(index).op == "arange"
    return isinstance(index, ListVal) and (
        (isinstance(index.rest, Unknown) and index.rest.origin == "int")
        or (index.rest is None and [constant(item) for item in index.items] == list(range(len(index.items))))
    )


def _unwrapped(term: Tensor) -> Tensor:
    while term.op in CONVERSIONS or term.op in LAYOUT:
        inner = term.arg("input")
        if not isinstance(inner, Tensor):
            return term
        term = inner
    return term


_FILLERS = ("fill", "zero", "mul", "div", "add", "sub", *CONVERSIONS)


def _is_one_row(value: Value | None) -> bool:
    """Whether a tensor of weights is a single vector: created with one length, or like one row of something."""
    while isinstance(value, Tensor) and value.op in _FILLERS:
        value = value.arg("input")
    if not isinstance(value, Tensor):
        return False
    if value.shape.exact:
        return value.shape.rank == 1
    if value.op in ("zeros_like", "ones_like", "full_like"):
        return _is_row_of_batch(value.arg("input"))
    dims = sequence(value.arg("size"))
    return dims is not None and len(dims) == 1 and ratio(dims[0]) is not None


def _is_row_of_batch(value: Value | None) -> bool:
    """``logits[0]``: one sample's row."""
    if isinstance(value, Unknown):
        return value.of is not None and value.origin != "size" and integer(value.at) is not None
    return isinstance(value, Tensor) and value.op == "getitem" and integer(value.arg("index")) is not None


def _select(term: Tensor) -> Formula | None:
    """``torch.where(one_hot, a, b)``."""
    mask = _mask(term.arg("condition"))
    on, off = ratio(term.arg("input")), ratio(term.arg("other"))
    if mask is None or on is None or off is None:
        return None
    return replace(mask, every=off, at=dict.fromkeys(mask.at, on - off), blame=term)


def _masked_fill(term: Tensor) -> Formula | None:
    base, mask, weight = read(term.arg("input")), _mask(term.arg("mask")), ratio(term.arg("value"))
    if isinstance(base, Form) and base.level is Level.SAMPLE and weight is not None and weight.is_zero:
        return replace(base, altered=True)
    if not isinstance(base, Rows) or not base.is_uniform or mask is None or weight is None:
        return None
    return replace(base, at=dict.fromkeys(mask.at, weight - base.every), blame=term)


def _mask(value: Value | None) -> Rows | None:
    """The one-hot rows of which ``value`` is the mask."""
    if not isinstance(value, Tensor):
        return None
    if value.op in ("bool", "gt", "eq"):
        wanted = {"bool": None, "gt": 0, "eq": 1}[value.op]
        if wanted is not None and integer(value.arg("other")) != wanted:
            return None
        value = value.arg("input")
    rows = read(value)
    is_one_hot = isinstance(rows, Rows) and rows.every.is_zero and len(rows.at) == 1 and not rows.soft
    return (
        rows if isinstance(rows, Rows) and is_one_hot and next(iter(rows.at.values())).equals(WHOLE) else None
    )


def _clamp(term: Tensor) -> Formula | None:
    """One-hot rows with a floor and a ceiling."""
    rows, low, high = _mask(term.arg("input")), ratio(term.arg("min")), ratio(term.arg("max"))
    if rows is None or low is None or high is None:
        return None
    return replace(rows, every=low, at=dict.fromkeys(rows.at, high - low), blame=term)


def _get_item(term: Tensor) -> Formula | None:
    source, items = term.arg("input"), index_items(term.arg("index"))
    if (
        isinstance(source, Tensor)
        and _unwrapped(source).op == "eye"
        and len(items) == 1
        and _are_labels(items[0])
    ):
        length = ratio(_unwrapped(source).arg("n"))
        return Rows(at={key_of(items[0]): WHOLE}, lengths=() if length is None else (length,))
    found = read(source)
    if not isinstance(found, Form):
        return None
    if found.level is Level.ENTRY and len(items) == 2 and _counts_rows(items[0]) and _are_labels(items[1]):
        return _picked(found, items[1], term)
    if found.level is Level.SAMPLE and len(items) == 1 and integer(items[0]) is None:
        return replace(found, altered=True)
    return None


# Log-probabilities and what is summed from them -------------------------------------------------------------------


def _log_softmax(term: Tensor) -> Formula | None:
    dim = integer(term.arg("dim"))
    logits = term.arg("input")
    return None if dim is None or logits is None else Form(Rows(every=WHOLE), key_of(logits), dim, logits)


def _log(term: Tensor) -> Formula | None:
    inner = term.arg("input")
    found = _log_softmax(inner) if isinstance(inner, Tensor) and inner.op == "softmax" else None
    return replace(found, unstable=True) if isinstance(found, Form) else None


def _picked(form: Form, labels: Value | None, term: Tensor) -> Form | None:
    """One class of every sample: ``every`` of log-probabilities themselves is one."""
    if not form.rows.is_uniform or form.rows.shared is not None:
        return None
    return replace(form, rows=Rows(at={key_of(labels): form.rows.every}), level=Level.SAMPLE, summed=term)


def _gather(term: Tensor) -> Formula | None:
    form, dim = read(term.arg("input")), integer(term.arg("dim"))
    if (
        not isinstance(form, Form)
        or form.level is not Level.ENTRY
        or dim is None
        or not form.over_classes(dim)
    ):
        return None
    return _picked(form, term.arg("index"), term)


def _sum(term: Tensor) -> Formula | None:
    return _reduced(term, average=False)


def _mean(term: Tensor) -> Formula | None:
    return _reduced(term, average=True)


def _reduced(term: Tensor, *, average: bool) -> Formula | None:
    form = read(term.arg("input"))
    if not isinstance(form, Form) or form.level is Level.BATCH:
        return None
    dims = reduced_dims(term.args)
    if not dims and constant(term.arg("dim")) is not None:
        return None
    if form.level is Level.SAMPLE:
        return _reduced_samples(form, dims, term, average=average)
    return _reduced_entries(form, dims, term, average=average)


def _reduced_samples(form: Form, dims: list[int], term: Tensor, *, average: bool) -> Form | None:
    if dims in ([1], [-1]):
        picked = term.arg("input")
        return (
            form
            if isinstance(picked, Tensor) and picked.op in ("gather", "neg") and _is_column(picked)
            else None
        )
    if dims not in ([], [0]):
        return None
    whole = replace(form, level=Level.BATCH)
    return whole.scaled(_per(SAMPLES)) if average else whole


def _is_column(term: Tensor) -> bool:
    """A gathered column of length one, perhaps negated."""
    inner = term.arg("input")
    return term.op == "gather" or (isinstance(inner, Tensor) and inner.op == "gather")


def _reduced_entries(form: Form, dims: list[int], term: Tensor, *, average: bool) -> Form | None:
    share = _per(CLASSES) if average else WHOLE
    summed = replace(form, summed=term)
    if form.averaged:
        return replace(summed, level=Level.BATCH).scaled(share) if dims in ([], [0], [-1]) else None
    if not dims:
        whole = replace(summed, level=Level.BATCH).scaled(share)
        return whole.scaled(_per(SAMPLES)) if average else whole
    if len(dims) == 1 and form.over_classes(dims[0]):
        return replace(summed, level=Level.SAMPLE).scaled(share)
    if dims == [0]:
        whole = replace(form, averaged=True)
        return whole.scaled(_per(SAMPLES)) if average else whole
    return None


def _per(count: Symbol) -> Ratio:
    return WHOLE / symbol(count)


def _negative_log_likelihood(term: Tensor) -> Formula | None:
    form = read(term.arg("input"))
    if not isinstance(form, Form) or form.level is not Level.ENTRY or not _is_plain(term):
        return None
    picked = _picked(form, term.arg("target"), term)
    return None if picked is None else _as_reduced(picked.scaled(number(-1)), term)


def _cross_entropy(term: Tensor) -> Formula | None:
    logits, share = term.arg("input"), ratio(term.arg("label_smoothing"))
    if logits is None or share is None or not _is_plain(term):
        return None
    target = read(term.arg("target"))
    if isinstance(target, (Rows, Form)):
        return None
    rows = Rows(every=share / symbol(CLASSES), at={key_of(term.arg("target")): WHOLE - share})
    form = Form(rows.scaled(number(-1)), key_of(logits), 1, logits, Level.SAMPLE, term, called=True)
    return _as_reduced(form, term)


def _is_plain(term: Tensor) -> bool:
    """A loss without class weights and without the arguments that are gone."""
    return all(constant(term.arg(name)) is None for name in ("weight", "size_average", "reduce"))


def _as_reduced(form: Form, term: Tensor) -> Form | None:
    ignores = integer(term.arg("ignore_index")) != -100
    form = replace(form, called=True, altered=form.altered or ignores)
    reduction = constant(term.arg("reduction"))
    if reduction == "none":
        return form
    if reduction not in ("mean", "sum"):
        return None
    whole = replace(form, level=Level.BATCH)
    return whole.scaled(_per(SAMPLES)) if reduction == "mean" else whole


# Arithmetic and what keeps the numbers ----------------------------------------------------------------------------


def _kept(term: Tensor) -> Formula | None:
    return read(term.arg("input") or term.arg("data"))


def _laid_out(term: Tensor) -> Formula | None:
    found = read(term.arg("input"))
    if isinstance(found, Rows):
        return replace(found, spread=True) if term.op in ("expand", "view_as") else found
    if isinstance(found, Form) and found.level is Level.ENTRY:
        return None
    return found


def _neg(term: Tensor) -> Formula | None:
    return _scaled(read(term.arg("input")), number(-1))


def _scaled(found: Formula | None, factor: Ratio) -> Formula | None:
    if isinstance(found, Ratio):
        return found * factor
    return None if found is None else found.scaled(factor)


def _add(term: Tensor) -> Formula | None:
    return _total(term, WHOLE)


def _sub(term: Tensor) -> Formula | None:
    return _total(term, number(-1))


def _total(term: Tensor, sign: Ratio) -> Formula | None:
    factor = ratio(term.arg("alpha") or Const(1))
    left, right = read(term.arg("input")), read(term.arg("other"))
    if left is None or right is None or factor is None:
        return None
    return _plus(left, _scaled(right, sign * factor), term)


def _plus(left: Formula, right: Formula | None, term: Tensor) -> Formula | None:
    if isinstance(left, Ratio) and isinstance(right, Ratio):
        return left + right
    if isinstance(left, Form) and isinstance(right, Form):
        return _plus_forms(left, right, term)
    if isinstance(left, Form) or isinstance(right, Form) or right is None:
        return None
    return _as_rows(left).plus(_as_rows(right), term)


def _as_rows(found: Ratio | Rows) -> Rows:
    return Rows(every=found) if isinstance(found, Ratio) else found


def _plus_forms(left: Form, right: Form, term: Tensor) -> Form | None:
    comparable = left.base == right.base and left.level is right.level and left.averaged == right.averaged
    if not comparable or not left.over_classes(right.dim):
        return None
    rows = left.rows.plus(right.rows, term)
    uniform = next((one for one in (left, right) if one.rows.is_uniform), None)
    blame = left.rows.blame or right.rows.blame or (uniform.summed if uniform is not None else None)
    return replace(
        left,
        rows=replace(rows, blame=blame or term),
        altered=left.altered or right.altered,
        unstable=left.unstable or right.unstable,
        called=left.called and right.called,
    )


def _mul(term: Tensor) -> Formula | None:
    left, right = term.arg("input"), term.arg("other")
    return _product(read(left), read(right), left, right, term)


def _product(
    a: Formula | None, b: Formula | None, left: Value | None, right: Value | None, term: Tensor
) -> Formula | None:
    if isinstance(a, Ratio) and b is not None:
        return _scaled(b, a)
    if isinstance(b, Ratio) and a is not None:
        return _scaled(a, b)
    if isinstance(a, Form) != isinstance(b, Form):
        form, weights, source = (a, b, right) if isinstance(a, Form) else (b, a, left)
        return _weighted(form, weights, source, term) if isinstance(form, Form) else None
    return _product_of_rows(a, b, term) if isinstance(a, Rows) and isinstance(b, Rows) else None


def _weighted(form: Form, weights: Formula | None, source: Value | None, term: Tensor) -> Form | None:
    """Log-probabilities times rows of weights, known or not."""
    if form.level is not Level.ENTRY or not form.rows.is_uniform or form.averaged or source is None:
        return None
    rows = weights if isinstance(weights, Rows) else Rows(soft={key_of(source): (source, WHOLE)})
    rows = rows.scaled(form.rows.every)
    return replace(form, rows=replace(rows, blame=rows.blame or term))


def _product_of_rows(left: Rows, right: Rows, term: Tensor) -> Rows | None:
    """Only of rows over the same labels: a label's class is its own square."""
    keys = left.at.keys() | right.at.keys()
    if left.soft or right.soft or left.shared or right.shared or len(keys) > 1:
        return None
    at = {}
    for key in keys:
        a, b = left.at.get(key, NOTHING), right.at.get(key, NOTHING)
        at[key] = left.every * b + a * right.every + a * b
    lengths = (*left.lengths, *right.lengths)
    return Rows(
        left.every * right.every, {k: w for k, w in at.items() if not w.is_zero}, blame=term, lengths=lengths
    )


def _div(term: Tensor) -> Formula | None:
    divisor = ratio(term.arg("other"))
    if divisor is None or constant(term.arg("rounding_mode")) not in (None, NotImplemented):
        return None
    return _scaled(read(term.arg("input")), WHOLE / divisor)


def _power(term: Tensor) -> Formula | None:
    base, exponent = ratio(term.arg("input")), integer(term.arg("exponent") or term.arg("other"))
    if base is None or exponent is None or not 0 <= exponent <= 4:
        return None
    out = WHOLE
    for _ in range(exponent):
        out = out * base
    return out


def _fill_value(term: Tensor) -> Ratio | None:
    return ratio(term.arg("fill_value"))


_READERS: dict[str, Callable[[Tensor], Formula | None]] = {
    "size": _size, "tensor": _scalar, "zeros": _filled(lambda _: NOTHING), "zeros_like": _filled(lambda _: NOTHING),
    "new_zeros": _filled(lambda _: NOTHING), "ones": _filled(lambda _: WHOLE), "ones_like": _filled(lambda _: WHOLE),
    "new_ones": _filled(lambda _: WHOLE), "full": _filled(_fill_value), "full_like": _filled(_fill_value),
    "new_full": _filled(_fill_value), "fill": _filled(lambda term: ratio(term.arg("value"))),
    "zero": _filled(lambda _: NOTHING), "one_hot": _one_hot, "scatter": _scatter, "scatter_add": _scatter_add,
    "setitem": _set_item, "where": _select, "masked_fill": _masked_fill, "clamp": _clamp, "getitem": _get_item,
    "log_softmax": _log_softmax, "log": _log, "gather": _gather, "sum": _sum, "mean": _mean,
    "nll_loss": _negative_log_likelihood, "cross_entropy": _cross_entropy, "neg": _neg, "add": _add, "sub": _sub,
    "mul": _mul, "div": _div, "pow": _power, "long": _kept,
    **dict.fromkeys(CONVERSIONS, _kept), **dict.fromkeys(LAYOUT, _laid_out),
}  # fmt: skip


# Settling the symbols ---------------------------------------------------------------------------------------------


def settled(rows: Rows, base: Key, dim: int, logits: Value) -> Rows:
    """``rows`` with every expression for the number of classes or samples replaced by one symbol, or the number itself."""
    renamed: dict[Symbol, Ratio] = {}
    for ratio_ in _ratios(rows):
        for name in ratio_.symbols:
            renamed |= _renaming(name, base, dim, rows)
    rows = _substituted(rows, renamed)
    for length in rows.lengths:
        only = next(iter(length.symbols)) if len(length.symbols) == 1 else None
        if only is not None and only != CLASSES and length.equals(symbol(only)):
            rows = _substituted(rows, {only: symbol(CLASSES)})
    known = common_shape(logits).at(dim)
    values = [length.value for length in rows.lengths if length.value is not None]
    count = number(known) if isinstance(known, int) else number(values[0]) if values else None
    return rows if count is None else _substituted(rows, {CLASSES: count})


def _ratios(rows: Rows) -> Iterable[Ratio]:
    yield rows.every
    yield from rows.at.values()
    yield from (weight for _, weight in rows.soft.values())
    yield from rows.lengths


def _renaming(name: Symbol, base: Key, dim: int, rows: Rows) -> dict[Symbol, Ratio]:
    if not isinstance(name, tuple) or name[0] != "size":
        return {}
    _, source, place = name
    if place == 0 and (source == base or source in rows.at):
        return {name: symbol(SAMPLES)}
    is_classes = source == base and (place == dim or {place, dim} <= {1, -1})
    return {name: symbol(CLASSES)} if is_classes else {}


def _substituted(rows: Rows, renamed: Mapping[Symbol, Ratio]) -> Rows:
    def new(value: Ratio) -> Ratio:
        for name, replacement in renamed.items():
            value = value.substituted(name, replacement)
        return value

    at = {key: new(weight) for key, weight in rows.at.items()}
    soft = {key: (value, new(weight)) for key, (value, weight) in rows.soft.items()}
    return replace(
        rows, every=new(rows.every), at=at, soft=soft, lengths=tuple(new(one) for one in rows.lengths)
    )
