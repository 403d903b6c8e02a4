"""LA2: targets, arguments and weights of a loss."""

from __future__ import annotations

from collections.abc import Iterator

from lossaudit.check.contracts import LossClass
from lossaudit.check.detectors import Hit, detector
from lossaudit.check.detectors.remedies import is_torch
from lossaudit.check.detectors.words import loss_label, op_label
from lossaudit.check.events import Backward, Construct, ExternalCall, FunctionReturn, LossCall, OpEvent
from lossaudit.check.fixes.remedy import Remedy
from lossaudit.check.infer.transfer import SLICE, index_items
from lossaudit.check.kinds import Dtype, Kind
from lossaudit.check.reasoning.builtin_losses import built_in, loss_of
from lossaudit.check.reasoning.formulas import CONVERSIONS, LAYOUT, Form, Level, Rows, key_of, read, settled
from lossaudit.check.reasoning.smoothing import misfit
from lossaudit.check.reasoning.terms import LIMIT
from lossaudit.check.values import (
    ITERATED,
    NONE,
    UNKNOWN,
    Const,
    External,
    Instance,
    Step,
    Tensor,
    TupleVal,
    Unknown,
    Value,
    common_shape,
    constant,
    feasible,
    integer,
    number,
    tensors,
    walk_terms,
)

# LA204: the weights of smoothed labels ---------------------------------------------------------------------------

_BUILT_IN = "use `cross_entropy(..., label_smoothing=s)`"


@detector("LA204", LossCall)
def smoothing_weights_as_target(event: LossCall) -> Iterator[Hit]:
    """Rows that are handed to a cross-entropy or a divergence as class probabilities."""
    if event.loss.target_expects not in ("class_indices", "distribution") or event.loss.expects == "":
        return
    for target in tensors(event.args.get(event.loss.target)):
        rows, logits = read(target), event.args.get(event.loss.prediction)
        if isinstance(rows, Rows) and rows.blame is not None and logits is not None:
            rows = settled(rows, key_of(_logits(logits)), event.loss.class_dim or 1, logits)
            yield from _judged(
                rows,
                is_batch=rows.spread,
                use=Step(event.site, f"{loss_label(event)} reads them as its target"),
            )


def _logits(value: Value) -> Value:
    """What went into the log-softmax, if the loss gets log-probabilities."""
    found = read(value)
    return found.logits if isinstance(found, Form) else value


_SMOOTHED = "here:reduced log_softmax | here:reduced log | here:reduced logsumexp"


@detector("LA204", OpEvent, needs=_SMOOTHED, ops=("sum", "mean"))
def smoothing_weights_in_a_sum(event: OpEvent) -> Iterator[Hit]:
    """Log-probabilities times rows of weights, summed over classes, then over samples."""
    yield from _judged_loss(event.term)


@detector("LA204", FunctionReturn, needs=_SMOOTHED)
def smoothing_weights_returned(event: FunctionReturn) -> Iterator[Hit]:
    """A loss whose parts were averaged before they were added, or that is returned for each sample."""
    for term in _returned(event.value):
        yield from _judged_loss(term)


@detector("LA204", Backward)
def smoothing_weights_trained(event: Backward) -> Iterator[Hit]:
    """The same, trained in place."""
    for term in _returned(event.value):
        yield from _judged_loss(term)


def _returned(value: Value) -> Iterator[Tensor]:
    parts = value.items if isinstance(value, TupleVal) else feasible(value)
    return (one for one in parts[:8] if isinstance(one, Tensor))


def _judged_loss(term: Tensor) -> Iterator[Hit]:
    loss = loss_of(term)
    if loss is not None and not loss.called:
        is_batch = loss.level is Level.BATCH or loss.dim > 0
        yield from _judged(loss.rows, is_batch=is_batch, use=Step(term.site, "the loss is summed up here"))


def _judged(rows: Rows, *, is_batch: bool, use: Step) -> Iterator[Hit]:
    if rows.shared is not None:
        if is_batch and rows.is_mixed:
            yield _shared_row(rows.shared, use)
        return
    wrong = misfit(rows)
    if wrong is None or rows.blame is None:
        return
    message = f"these smoothing weights are {wrong.on} at the label and {wrong.off} elsewhere: a row sums to {wrong.total}, not to 1"
    advice = f"{_BUILT_IN}, or give every class `s / C` and the label `1 - s` more"
    yield Hit("LA204", rows.blame.site, message, (use,) if use.site != rows.blame.site else (), advice)


def _shared_row(term: Tensor, use: Step) -> Hit:
    message = "one vector of weights holds the labels of the whole batch: every sample is trained towards every label in it"
    advice = f"{_BUILT_IN}, or give each sample a row of its own: `one_hot(labels, C) * (1 - s) + s / C`"
    return Hit("LA204", term.site, message, (use,), advice)


# LA205: a built-in loss, written by hand --------------------------------------------------------------------------


@detector("LA205", FunctionReturn, needs="here:reduced | loss")
def reimplemented_loss_returned(event: FunctionReturn) -> Iterator[Hit]:
    """A function of the project returns what a loss of the framework returns."""
    if not event.in_inference:
        yield from _reimplemented(event.value)


@detector("LA205", Backward)
def reimplemented_loss_trained(event: Backward) -> Iterator[Hit]:
    """The same, written where it is trained."""
    yield from _reimplemented(event.value)


def _reimplemented(value: Value) -> Iterator[Hit]:
    """One finding for all reductions between which the code chooses, and only if each of them is built in."""
    options = [one for one in feasible(value) if isinstance(one, Tensor)]
    whole = [one for one in options if (form := loss_of(one)) is None or form.level is Level.BATCH]
    hits = [_same_as_built_in(one) for one in whole]
    if not hits or len(options) < len(feasible(value)) or None in hits:
        return
    if not any(below.home for one in options for below in walk_terms(one, LIMIT)):
        yield from [hit for hit in hits if hit is not None][:1]  # the names of what is built in are PyTorch's


def _same_as_built_in(term: Tensor) -> Hit | None:
    loss = loss_of(term)
    if loss is not None and loss.rows.shared is not None and loss.level is Level.BATCH and loss.rows.is_mixed:
        message = "label smoothing written by hand: the framework has it"
        return Hit(
            "LA205", term.site, message, (), "use `F.cross_entropy(logits, labels, label_smoothing=s)`"
        )
    found = built_in(term)
    if found is None:
        return None
    return Hit(
        "LA205",
        term.site,
        f"this is {found.name}, which the framework has built in",
        (),
        f"use `{found.call}`",
    )


# LA203: the element type of the target ----------------------------------------------------------------------------

_WANTS_FLOAT = ("binary_cross_entropy", "binary_cross_entropy_with_logits")
_COUNTS = ("argmax", "argmin", "randint", "multinomial")


@detector("LA203", LossCall)
def wrong_target_dtype(event: LossCall) -> Iterator[Hit]:
    """The target's element type is proven by an operation, and the loss cannot use it."""
    targets = tensors(event.args.get(event.loss.target))
    if not targets:
        return
    if event.loss.target_expects == "class_indices":
        if all(_is_integer_one_hot(one) for one in targets):
            message = f"an integer one-hot tensor is the target of {loss_label(event)}: class probabilities are floats"
            yield _target_hit(
                event,
                targets[0],
                message,
                "pass the class indices themselves, or `one_hot(...).float()`",
                "float",
            )
        elif all(one.dtype.is_float and _are_indices(event, one) for one in targets):
            message = f"float class indices are the target of {loss_label(event)}, which takes integers"
            yield _target_hit(
                event, targets[0], message, "keep the labels as integers: `labels.long()`", "long"
            )
    elif event.loss.name in _WANTS_FLOAT and all(one.dtype.is_integral for one in targets):
        message = f"an integer target reaches {loss_label(event)}, which takes floats"
        yield _target_hit(event, targets[0], message, "convert the target: `target.float()`", "float")


def _target_hit(event: LossCall, target: Tensor, message: str, advice: str, kind: str) -> Hit:
    made = _dtype_source(target)
    steps = (
        [Step(made.site, f"{op_label(made)} makes it {_type_words(made)}")] if made.site != event.site else []
    )
    if event.criterion is not None and event.criterion.site != event.site:
        steps.append(Step(event.criterion.site, f"the criterion is {loss_label(event)}, built here"))
    fix = Remedy("convert-target", (event.site,), (kind,)) if is_torch(event) else None
    return Hit("LA203", event.site, message, tuple(steps), advice, fix)


def _type_words(term: Tensor) -> str:
    return "float" if term.dtype.is_float else "boolean" if term.dtype is Dtype.BOOL else "integer"


def _dtype_source(term: Tensor) -> Tensor:
    """The operation that gave the tensor its element type."""
    while (inner := term.arg("input")) is not None:
        if not isinstance(inner, Tensor) or inner.dtype is not term.dtype:
            break
        term = inner
    return term


def _is_integer_one_hot(target: Tensor) -> bool:
    return target.kind is Kind.ONE_HOT and target.dtype.is_integral and target.source.op == "one_hot"


def _are_indices(event: LossCall, target: Tensor) -> bool:
    """Not class probabilities, for which a float target of the prediction's shape is right."""
    if target.kind not in (Kind.UNKNOWN, Kind.INDEX, Kind.HARD):
        return False
    takes_indices_only = event.loss.name == "nll_loss" or constant(event.args.get("soft_label")) is False
    if takes_indices_only:
        return True
    rank = common_shape(event.args.get(event.loss.prediction)).rank
    if target.shape.rank is not None:
        return target.shape.rank == 1 != rank if rank is None else target.shape.rank == rank - 1
    return target.kind in (Kind.INDEX, Kind.HARD) and target.source.op in _COUNTS


# LA201: the tensors went to the constructor -----------------------------------------------------------------------


@detector("LA201", Construct)
def loss_constructed_with_tensors(event: Construct) -> Iterator[Hit]:
    """``nn.CrossEntropyLoss(prediction, target)`` builds a module with odd settings, and no loss."""
    given = _given_tensors(event.instance)
    predictions = tensors(given[0]) if given is not None else ()
    if predictions and all(_is_predicted(one) for one in predictions):
        trail = (Step(predictions[0].source.site, f"{op_label(predictions[0].source)} makes the prediction"),)
        yield _constructed(event.instance, trail)


_OF_TENSORS = ("backward", "item", "detach")


@detector("LA201", ExternalCall)
def loss_module_used_as_loss(event: ExternalCall) -> Iterator[Hit]:
    """The module is then used as the loss that it is not: ``loss.backward()``."""
    method = event.name.rpartition(".")[2]
    if (
        method in _OF_TENSORS
        and isinstance(event.receiver, Instance)
        and _given_tensors(event.receiver) is not None
    ):
        yield _constructed(event.receiver, (Step(event.site, f"`.{method}()` takes it for a loss"),))


def _given_tensors(instance: Instance) -> tuple[Value, Value] | None:
    """The first two settings of a loss of the framework, where neither is a plain constant."""
    if not isinstance(instance.cls, External) or not isinstance(instance.entry, LossClass):
        return None
    first, second = [*instance.bound.values(), NONE, NONE][:2]
    return None if isinstance(first, Const) or isinstance(second, Const) else (first, second)


def _constructed(instance: Instance, trail: tuple[Step, ...]) -> Hit:
    name = instance.class_name
    message = f"the constructor of `{name}` gets a prediction and a target: it takes settings, the tensors go to the call"
    fix = Remedy("call-the-criterion", (instance.site,))
    return Hit("LA201", instance.site, message, trail, f"write `{name}()(prediction, target)`", fix)


def _is_predicted(term: Tensor) -> bool:
    """Computed by a layer from its input."""
    return any(one.kind is Kind.SCORE or one.module is not None for one in walk_terms(term, 60))


# LA202: the arguments are swapped ---------------------------------------------------------------------------------

_NOT_TARGETS = {
    "logits": (Kind.SCORE, Kind.LOG_PROBABILITY),
    "log_probabilities": (Kind.SCORE, Kind.LOG_PROBABILITY),
    "binary_logits": (Kind.SCORE,),
    "binary_probabilities": (Kind.SCORE,),
}
"""What no target of such a loss can be, whatever stands in the place of the prediction."""
_PREDICTED = (Kind.SCORE, Kind.LOG_PROBABILITY, Kind.SIGMOID, Kind.LOG_SIGMOID, Kind.PROBABILITY)
_FILLED = (
    "zeros",
    "ones",
    "full",
    "zeros_like",
    "ones_like",
    "full_like",
    "new_zeros",
    "new_ones",
    "new_full",
    "randint",
    "one_hot",
)


@detector("LA202", LossCall)
def swapped_loss_arguments(event: LossCall) -> Iterator[Hit]:
    """The prediction stands in the place of the target, and labels stand in the prediction's."""
    kinds = _NOT_TARGETS.get(event.loss.expects)
    targets = tensors(event.args.get(event.loss.target))
    given = event.args.get(event.loss.prediction)
    if kinds is None or event.loss.symmetric or not targets or given is None:
        return
    is_impossible = all(one.kind in kinds for one in targets)
    is_predicted = all(one.kind in _PREDICTED and _is_predicted(one) for one in targets)
    if not is_predicted:
        return
    is_only_trained = not event.in_inference and not any(one.detached or one.unrecorded for one in targets)
    if (
        all(_is_label(one) for one in feasible(given))
        or (is_impossible and all(_is_data(one) for one in feasible(given)))
        or (is_only_trained and all(_is_loaded(one) for one in feasible(given)))
    ):
        source = targets[0].source
        message = f"the prediction is the target of {loss_label(event)}, and the labels are its input: the arguments are swapped"
        trail = (Step(source.site, f"{op_label(source)} makes the prediction"), *targets[0].route)
        fix = Remedy("swap-arguments", (event.site,)) if is_torch(event) else None
        yield Hit("LA202", event.site, message, trail, "pass the prediction first, then the target", fix)


def _is_label(value: Value) -> bool:
    """Certainly made as a target: filled with constants, integers, or one-hot."""
    made = value
    while isinstance(made, Tensor) and (made.op in CONVERSIONS or made.op in LAYOUT):
        made = made.arg("input") or made.arg("data") or UNKNOWN
    if not isinstance(made, Tensor):
        return False
    return made.op in _FILLED or made.dtype.is_integral or made.kind in (Kind.INDEX, Kind.ONE_HOT)


def _is_data(value: Value) -> bool:
    """What a caller passed or a loader yields, converted or reshaped at most."""
    made = _handed_in(value)
    return _is_label(value) or (
        made is not None and bool(made.argument or made.data or made.origin == ITERATED)
    )


def _is_loaded(value: Value) -> bool:
    """What a loader yields: nothing trains it, and were it the prediction, nothing were trained."""
    made = _handed_in(value)
    return made is not None and (made.data or made.origin == ITERATED)


def _handed_in(value: Value) -> Unknown | None:
    """Of what came from outside the value that it was at first, before conversions, changes of layout and a choice of parts."""
    made = value
    while isinstance(made, Tensor) and (made.op in CONVERSIONS or made.op in LAYOUT or made.op == "getitem"):
        made = made.arg("input") or UNKNOWN
    while isinstance(made, Unknown) and made.of is not None:
        made = made.of
    return made if isinstance(made, Unknown) and not made.foreign else None


# LA209: padding that counts ---------------------------------------------------------------------------------------


@detector("LA209", LossCall)
def padding_in_loss(event: LossCall) -> Iterator[Hit]:
    """The target was padded in sight with a value that the loss does not ignore."""
    ignored = integer(event.args.get("ignore_index"))
    if event.loss.target_expects != "class_indices" or ignored is None or event.in_inference:
        return
    if constant(event.args.get("reduction")) not in ("mean", "sum"):
        return
    targets = tensors(event.args.get(event.loss.target)) or feasible(
        event.args.get(event.loss.target) or UNKNOWN
    )
    padded = [_padding(one) for one in targets]
    if not padded or any(one is None or one[0] == ignored for one in padded):
        return
    value, step = next(one for one in padded if one is not None)
    words = "the tokenizer's `pad_token_id`" if value is None else f"{value:g}"
    if value is None and ignored >= 0:
        return
    message = f"the target is padded with {words}, and {loss_label(event)} ignores {ignored} only: the padding is learned"
    advice = f"pass that value as `ignore_index` to the loss, or pad the targets with {ignored}"
    steps = [step]
    if event.criterion is not None and event.criterion.site != event.site:
        steps.append(Step(event.criterion.site, f"the criterion is {loss_label(event)}, built here"))
    yield Hit("LA209", event.site, message, tuple(steps), advice)


def _padding(target: Value) -> tuple[float | None, Step] | None:
    """The value with which the target was padded (None: a tokenizer's, never negative), and where that is in sight."""
    made = _uncut(target)
    if not isinstance(made, Tensor) or made.op != "pad_sequence":
        return None
    given = made.arg("padding_value")
    value, step = number(given), Step(made.site, "`pad_sequence` fills up the targets here")
    is_token = isinstance(given, Unknown) and given.origin == "pad_token_id"
    return (value, step) if value is not None or is_token else None


def _uncut(value: Value) -> Value:
    """The tensor of which ``value`` is a part by slices, before conversions and changes of layout."""
    while True:
        if isinstance(value, Tensor) and _keeps_values(value):
            value = value.arg("input") or UNKNOWN
        elif isinstance(value, Unknown) and value.of is not None and _is_cut(value.at):
            value = value.of
        else:
            return value


def _keeps_values(term: Tensor) -> bool:
    is_cut = term.op == "getitem" and _is_cut(term.arg("index"))
    return is_cut or term.op in CONVERSIONS or term.op in LAYOUT or term.op == "long"


def _is_cut(index: Value | None) -> bool:
    """Slices only: positions are taken by their place, not by what they hold."""
    items = index_items(index)
    return bool(items) and all(isinstance(item, TupleVal) and item.names == (SLICE,) * 3 for item in items)
