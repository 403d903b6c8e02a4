"""LA1: what goes into the loss."""

from __future__ import annotations

from collections.abc import Iterator

from lossaudit.check.detectors import Hit, detector
from lossaudit.check.detectors.remedies import (
    dimension,
    log_softmax_instead,
    no_setting,
    removal,
    setting,
    told_logits,
    untold_logits,
    with_cross_entropy,
    with_logits,
    without_second_log_softmax,
)
from lossaudit.check.detectors.words import loss_label, loss_trail, made_words, op_label
from lossaudit.check.events import Backward, DistributionMade, LossCall, OpEvent, TrainedOp
from lossaudit.check.fixes.remedy import Remedy
from lossaudit.check.kinds import Kind
from lossaudit.check.reasoning.gradients import is_cut, summands
from lossaudit.check.reasoning.terms import LIMIT, gradient_cuts, reads_layers, weighted_terms
from lossaudit.check.values import (
    Step,
    Tensor,
    Value,
    common_kind,
    common_shape,
    constant,
    integer,
    operands,
    tensors,
    walk_terms,
)


def _prediction(event: LossCall) -> tuple[Tensor, ...]:
    """The prediction, if it is a tensor on every path and something is trained with it."""
    found = tensors(event.args.get(event.loss.prediction))
    if event.in_inference or any(one.inference for one in found):
        return ()
    return found


def _kind(event: LossCall) -> Kind:
    return common_kind(event.args.get(event.loss.prediction)) if _prediction(event) else Kind.UNKNOWN


def _hit(code: str, event: LossCall, message: str, advice: str, fix: Remedy | None = None) -> Hit:
    return Hit(code, event.site, message, loss_trail(event, _prediction(event)[0]), advice, fix)


def _undo(event: LossCall) -> str:
    """How to write the call without the activation that is one too many."""
    source = op_label(_prediction(event)[0].source)
    return f"pass the raw logits: remove {source}, and apply it only where probabilities are read"


@detector("LA101", LossCall)
def softmax_before_cross_entropy(event: LossCall) -> Iterator[Hit]:
    """Class probabilities reach a loss that applies log-softmax itself."""
    if event.loss.expects == "logits" and _kind(event) is Kind.PROBABILITY:
        message = f"softmax output reaches {loss_label(event)}, which applies {event.loss.applies} itself"
        yield _hit("LA101", event, message, _undo(event), untold_logits(event))


@detector("LA102", LossCall)
def log_softmax_before_cross_entropy(event: LossCall) -> Iterator[Hit]:
    """Log-softmax is applied twice."""
    if event.loss.expects == "logits" and _kind(event) is Kind.LOG_PROBABILITY:
        message = f"log-probabilities reach {loss_label(event)}, which applies {event.loss.applies} itself"
        yield _hit(
            "LA102",
            event,
            message,
            "pass the raw logits, or keep the log-softmax and use `NLLLoss`",
            without_second_log_softmax(event),
        )


@detector("LA103", LossCall)
def nll_loss_without_log_softmax(event: LossCall) -> Iterator[Hit]:
    """``NLLLoss`` reads log-probabilities and gets something else."""
    kind = _kind(event)
    if event.loss.expects == "log_probabilities" and (kind.is_probability or kind is Kind.SCORE):
        message = f"{loss_label(event)} expects log-probabilities and gets {kind.value}"
        how = (
            "raw logits to `cross_entropy`"
            if kind is Kind.SCORE
            else "`log_softmax` instead of the probabilities"
        )
        fix = with_cross_entropy(event) if kind is Kind.SCORE else log_softmax_instead(event)
        yield _hit("LA103", event, message, f"pass {how}", fix)


@detector("LA104", LossCall)
def bce_without_sigmoid(event: LossCall) -> Iterator[Hit]:
    """``BCELoss`` reads probabilities and gets raw scores."""
    if event.loss.expects == "binary_probabilities" and _kind(event) is Kind.SCORE:
        message = f"raw scores reach {loss_label(event)}, which expects probabilities in [0, 1]"
        switch = (
            "pass `from_logits=True`"
            if "from_logits" in event.args
            else "use `BCEWithLogitsLoss` on the scores"
        )
        is_torch_loss = "from_logits" not in event.args
        fix = with_logits(event) if is_torch_loss else told_logits(event)
        yield _hit("LA104", event, message, f"{switch}, or apply a sigmoid first", fix)


@detector("LA105", LossCall)
def sigmoid_before_bce_with_logits(event: LossCall) -> Iterator[Hit]:
    """The sigmoid is applied twice."""
    if event.loss.expects == "binary_logits" and _kind(event) is Kind.SIGMOID and _is_made_by_sigmoid(event):
        message = f"sigmoid output reaches {loss_label(event)}, which applies {event.loss.applies} itself"
        yield _hit("LA105", event, message, _undo(event), untold_logits(event))


def _is_made_by_sigmoid(event: LossCall) -> bool:
    """Not one column of a softmax: LA107 speaks of softmax, and one column of two is nobody's double sigmoid."""
    return all(one.source.op not in {"getitem", "select"} for one in _prediction(event))


@detector("LA106", LossCall)
def sigmoid_before_cross_entropy(event: LossCall) -> Iterator[Hit]:
    """Sigmoid outputs are read as logits of a softmax, or as a distribution over the classes, which they are not."""
    if _kind(event) is not Kind.SIGMOID:
        return
    if event.loss.expects == "logits":
        message = f"sigmoid output reaches {loss_label(event)}, which applies {event.loss.applies} itself"
        yield _hit("LA106", event, message, _undo(event), removal(event))
    elif event.loss.expects == "probabilities" and _classes(event) != 1:
        message = (
            f"sigmoid output reaches {loss_label(event)}, which expects one distribution over the classes"
        )
        advice = "for exclusive classes use a softmax; for independent labels a binary cross-entropy"
        yield _hit("LA106", event, message, advice)


def _classes(event: LossCall) -> object:
    """How many classes the prediction is about, where that is known."""
    if event.loss.class_dim is None:
        return common_shape(event.args.get(event.loss.prediction)).at(-1)
    return _length(event.args.get(event.loss.prediction), event.loss.class_dim)


@detector("LA107", LossCall)
def softmax_before_bce(event: LossCall) -> Iterator[Hit]:
    """Probabilities that compete across classes reach a loss for independent decisions.

    Over two classes the binary cross-entropy of given probabilities is the cross-entropy; over one, LA110 speaks.
    """
    harmless = (1, 2) if event.loss.expects == "binary_probabilities" else (1,)
    if _kind(event) is Kind.PROBABILITY and _classes(event) in harmless:
        return
    if event.loss.expects in ("binary_probabilities", "binary_logits") and _kind(event) is Kind.PROBABILITY:
        message = f"softmax output reaches {loss_label(event)}, which judges each class by itself"
        advice = "for exclusive classes pass the raw logits to `cross_entropy`; for independent labels use `BCEWithLogitsLoss`"
        yield _hit("LA107", event, message, advice)


@detector("LA109", LossCall)
def kl_div_argument_domain(event: LossCall) -> Iterator[Hit]:
    """Kullback-Leibler divergence with its input or its target in the wrong domain."""
    if event.loss.expects != "log_input":
        return
    kind = _kind(event)
    if kind.is_probability or kind is Kind.SCORE:
        message = f"{loss_label(event)} expects log-probabilities as input and gets {kind.value}"
        fix = log_softmax_instead(event)
        yield _hit("LA109", event, message, "apply `log_softmax` to the logits of the input", fix)
        return
    yield from _kl_target(event)


def _kl_target(event: LossCall) -> Iterator[Hit]:
    kind = common_kind(event.args.get(event.loss.target))
    is_log = constant(event.args.get("log_target"))
    if event.in_inference or is_log not in (True, False):
        return
    if kind is Kind.LOG_PROBABILITY and is_log is False:
        message = f"the target of {loss_label(event)} holds log-probabilities, but `log_target` is not set"
        advice = "pass `log_target=True`, or give the target as probabilities"
        fix = setting(event, "log_target", "True")
    elif kind.is_probability and is_log is True:
        message = f"`log_target=True`, but the target of {loss_label(event)} holds probabilities"
        advice = "drop `log_target=True`, or give the target as log-probabilities"
        fix = no_setting(event, "log_target")
    else:
        return
    target = tensors(event.args.get(event.loss.target))[0]
    yield Hit("LA109", event.site, message, loss_trail(event, target), advice, fix)


@detector("LA111", LossCall)
def relu_before_loss(event: LossCall) -> Iterator[Hit]:
    """A final ReLU leaves the loss only non-negative logits."""
    if event.loss.expects in ("logits", "binary_logits") and _kind(event) is Kind.RECTIFIED:
        message = f"rectified values reach {loss_label(event)}: no logit can be negative"
        yield _hit("LA111", event, message, "remove the final ReLU")


@detector("LA113", LossCall)
def cross_entropy_without_softmax(event: LossCall) -> Iterator[Hit]:
    """A cross-entropy over given probabilities gets raw scores. Of a single one LA110 says that no softmax helps."""
    if event.loss.expects == "probabilities" and _kind(event) is Kind.SCORE and not _has_one_class(event):
        message = f"raw scores reach {loss_label(event)}, which expects probabilities"
        advice = "apply a softmax first, or tell the loss that it gets logits"
        yield _hit("LA113", event, message, advice, told_logits(event))


# LA108: the dimension of a softmax ---------------------------------------------------------------------------------

_SOFTMAX = ("softmax", "log_softmax", "softmin")


@detector("LA108", TrainedOp, needs="softmax | log_softmax | softmin", ops=_SOFTMAX)
def softmax_without_dimension(event: TrainedOp) -> Iterator[Hit]:
    """No ``dim``: PyTorch then guesses, and guesses the batch for tensors of one or three dimensions."""
    if _guesses(event.term):
        yield _no_dimension(event.term)


@detector("LA108", LossCall)
def target_softmax_without_dimension(event: LossCall) -> Iterator[Hit]:
    """The same in a target, into which no gradient goes: a teacher's probabilities."""
    if event.in_inference:
        return
    for target in tensors(event.args.get(event.loss.target)):
        yield from (_no_dimension(one) for one in walk_terms(target, LIMIT) if _guesses(one))


def _guesses(term: Tensor) -> bool:
    """Whether the dimension is left to PyTorch; a vector has one only."""
    is_vector = common_shape(term.arg("input")).rank == 1
    return term.op in _SOFTMAX and term.certain and constant(term.arg("dim")) is None and not is_vector


def _no_dimension(term: Tensor) -> Hit:
    message = f"`{term.op}` without `dim`: which dimension it normalises depends on the number of dimensions"
    fix = dimension(term, "1") if common_shape(term.arg("input")).rank == 2 else None
    advice = "say which dimension holds the classes, for example `dim=-1`"
    return Hit("LA108", term.site, message, (), advice, fix)


@detector("LA108", OpEvent, needs="here:softmax | here:log_softmax | here:softmin", ops=_SOFTMAX)
def softmax_over_the_batch(event: OpEvent) -> Iterator[Hit]:
    """``dim=0`` where dimension 0 is proven to be the batch."""
    term = event.term
    if integer(term.arg("dim")) == 0 and _input_is_batched(term):
        yield _over_batch(term, "1" if common_shape(term.arg("input")).rank == 2 else None)


def _input_is_batched(term: Tensor) -> bool:
    """A batch of vectors at least: the rank is known to be two or more."""
    found = tensors(term.arg("input"))
    return bool(found) and all(one.batched and one.kind is Kind.SCORE for one in found)


@detector("LA108", LossCall)
def loss_of_softmax_over_the_batch(event: LossCall) -> Iterator[Hit]:
    """The softmax went over dimension 0 of two or more, and the loss reads dimension 0 as the batch.

    A loss with a class dimension does, ``batchmean`` does, and a target that was normalised over another dimension shows it.
    """
    target = tensors(event.args.get(event.loss.target))
    is_read_by_rows = event.loss.class_dim == 1 or constant(event.args.get("reduction")) == "batchmean"
    by_target = bool(target) and all(
        one.kind in _NORMALISED and _place(one) not in (None, 0) for one in target
    )
    if not (is_read_by_rows or by_target):
        return
    for one in _prediction(event):
        if _runs_over_rows(one):
            yield _over_batch(one.source, "1" if event.loss.class_dim == 1 else None)


@detector("LA108", DistributionMade, needs="distribution softmax | distribution log_softmax")
def distribution_over_the_batch(event: DistributionMade) -> Iterator[Hit]:
    """The softmax went over dimension 0 of two or more, and a distribution over classes reads these along the last one."""
    for name in ("probs", "logits"):
        for one in tensors(event.args.get(name)):
            if _runs_over_rows(one):
                yield _over_batch(one.source, "-1")


def _runs_over_rows(one: Tensor) -> bool:
    """Whether it comes from a softmax over dimension 0, and has others."""
    is_normalised = one.kind in _NORMALISED and one.source.op in _SOFTMAX
    return is_normalised and _place(one) == 0 and one.shape.least_rank >= 2


_NORMALISED = (Kind.PROBABILITY, Kind.LOG_PROBABILITY)


def _place(term: Tensor) -> int | None:
    """The class dimension, counted from the front where the rank allows it."""
    rank = term.shape.rank
    if term.class_dim is not None and term.class_dim < 0 and rank is not None:
        return term.class_dim + rank
    return term.class_dim


def _over_batch(term: Tensor, classes: str | None) -> Hit:
    message = f"`{term.op}` over dimension 0 normalises across the batch, not across the classes"
    fix = None if classes is None else dimension(term, classes)
    return Hit("LA108", term.site, message, (), "use the dimension of the classes, for example `dim=1`", fix)


# LA110: one class --------------------------------------------------------------------------------------------------


@detector("LA110", OpEvent, needs="here:softmax | here:log_softmax | here:softmin", ops=_SOFTMAX)
def softmax_over_one_class(event: OpEvent) -> Iterator[Hit]:
    """A softmax over a dimension of length one is 1 whatever it reads."""
    term = event.term
    dim = integer(term.arg("dim"))
    if dim is not None and common_shape(term.arg("input")).at(dim) == 1:
        yield _always_one(term)


@detector("LA110", LossCall)
def loss_of_softmax_over_one_class(event: LossCall) -> Iterator[Hit]:
    """As above, where only the use as a prediction tells that dimension 1 is the one output of the last layer.

    Elsewhere ``softmax(linear(x), dim=1)`` may as well run over the steps of a sequence: attention does.
    """
    for one in _prediction(event):
        source = one.source
        if source.op in _SOFTMAX and integer(source.arg("dim")) == 1 and _length(source.arg("input"), 1) == 1:
            yield _always_one(source)


def _always_one(term: Tensor) -> Hit:
    always = "0" if term.op == "log_softmax" else "1"
    message = f"`{term.op}` over a dimension of length 1 is always {always}"
    advice = "for two classes give the layer two outputs, or keep one and use `BCEWithLogitsLoss`"
    return Hit("LA110", term.site, message, _shape_trail(term), advice)


def _length(value: Value | None, dim: int) -> object:
    """The length at ``dim``. Of a linear layer's output, dimension 1 is the last one, as far as classes go."""
    shape = common_shape(value)
    if dim == 1 and not shape.exact and 1 <= len(shape.dims) <= 2:
        return shape.dims[-1]
    return shape.at(dim)


def _shape_trail(term: Tensor) -> tuple[Step, ...]:
    source = next((one for one in operands(term) if one.kind is Kind.SCORE), None)
    if source is None or source.source.module is None:
        return ()
    return (Step(source.source.module.site, "this layer has one output"),)


@detector("LA110", LossCall)
def cross_entropy_over_one_class(event: LossCall) -> Iterator[Hit]:
    """A softmax cross-entropy over one class is 0 whatever it reads."""
    if event.loss.expects not in ("logits", "probabilities") or not _prediction(event):
        return
    if all(one.source.op in _SOFTMAX for one in _prediction(event)):
        return  # said where the softmax is
    if _has_one_class(event):
        message = f"{loss_label(event)} over a single class is always 0"
        trail = _shape_trail(event.term)
        yield Hit("LA110", event.site, message, trail, "use `BCEWithLogitsLoss` for a single output")


def _has_one_class(event: LossCall) -> bool:
    classes = event.loss.class_dim
    return classes is not None and _length(event.args.get(event.loss.prediction), classes) == 1


# LA112: hard decisions ---------------------------------------------------------------------------------------------


@detector("LA112", Backward)
def non_differentiable_prediction(event: Backward) -> Iterator[Hit]:
    """What is back-propagated depends on the model only through decisions that have no gradient."""
    found = tensors(event.value)
    if event.in_inference or not found:
        return
    for term in found:
        calls = [one for one in weighted_terms(term) if one.kind is Kind.LOSS]
        for call in calls:
            yield from _hard_loss(call)
        yield from _hard_summands(term) if calls else _hard_operations(term)


def _hard_loss(call: Tensor) -> Iterator[Hit]:
    """A library's loss whose prediction is a decision on what a layer computed, and which was meant to have a gradient."""
    if call.unrecorded:
        return
    prediction = next(iter(call.args.values()), None)
    options = tensors(prediction)
    cuts = [cut for one in options for cut in gradient_cuts(one)]
    if cuts and all(gradient_cuts(one) for one in options) and all(reads_layers(cut) for cut in cuts):
        made = cuts[0].source
        trail = (Step(made.site, made_words(made)), *options[0].route)
        yield Hit("LA112", call.site, _no_gradient(made), trail, _DECIDE_LATER)


def _hard_operations(term: Tensor) -> Iterator[Hit]:
    """A hand-written loss through which no gradient passes: the decisions at which it stops."""
    cuts = gradient_cuts(term)
    if cuts and any(reads_layers(cut) for cut in cuts):
        for cut in cuts:
            if reads_layers(cut):
                yield Hit("LA112", cut.source.site, _no_gradient(cut.source), (), _DECIDE_LATER)


def _hard_summands(term: Tensor) -> Iterator[Hit]:
    """Of a sum with a library's loss the hand-written summands through which no gradient passes.

    Beside a summand that was cut off on purpose a decision may stand for its value alone: ``hard - soft.detach() + soft``.
    """
    terms = list(summands(term))
    if any(is_cut(one) or one.detached or one.unrecorded for one in terms):
        return
    for one in terms:
        if not any(part.kind is Kind.LOSS for part in weighted_terms(one)):
            yield from _hard_operations(one)


_DECIDE_LATER = "give the loss the scores themselves; decide only for metrics"


def _no_gradient(made: Tensor) -> str:
    return f"the prediction is a hard decision ({op_label(made)}): no gradient reaches the model"
