"""LA1: what goes into the loss."""

from __future__ import annotations

from collections.abc import Iterator

from lossaudit.check.detectors import Hit, detector
from lossaudit.check.detectors.words import loss_label, loss_trail, made_words, op_label
from lossaudit.check.events import Backward, LossCall, OpEvent
from lossaudit.check.kinds import Kind
from lossaudit.check.values import Step, Tensor, Value, common_kind, common_shape, constant, integer, operands, tensors


def _prediction(event: LossCall) -> tuple[Tensor, ...]:
    """The prediction, if it is a tensor on every path and something is trained with it."""
    found = tensors(event.args.get(event.loss.prediction))
    if event.in_inference or any(one.inference for one in found):
        return ()
    return found


def _kind(event: LossCall) -> Kind:
    return common_kind(event.args.get(event.loss.prediction)) if _prediction(event) else Kind.UNKNOWN


def _hit(code: str, event: LossCall, message: str, advice: str) -> Hit:
    return Hit(code, event.site, message, loss_trail(event, _prediction(event)[0]), advice)


def _undo(event: LossCall) -> str:
    """How to write the call without the activation that is one too many."""
    source = op_label(_prediction(event)[0].source)
    return f"pass the raw logits: remove {source}, and apply it only where probabilities are read"


@detector("LA101", LossCall)
def softmax_before_cross_entropy(event: LossCall) -> Iterator[Hit]:
    """Class probabilities reach a loss that applies log-softmax itself."""
    if event.loss.expects == "logits" and _kind(event) is Kind.PROBABILITY:
        message = f"softmax output reaches {loss_label(event)}, which applies {event.loss.applies} itself"
        yield _hit("LA101", event, message, _undo(event))


@detector("LA102", LossCall)
def log_softmax_before_cross_entropy(event: LossCall) -> Iterator[Hit]:
    """Log-softmax is applied twice."""
    if event.loss.expects == "logits" and _kind(event) is Kind.LOG_PROBABILITY:
        message = f"log-probabilities reach {loss_label(event)}, which applies {event.loss.applies} itself"
        yield _hit("LA102", event, message, "pass the raw logits, or keep the log-softmax and use `NLLLoss`")


@detector("LA103", LossCall)
def nll_loss_without_log_softmax(event: LossCall) -> Iterator[Hit]:
    """``NLLLoss`` reads log-probabilities and gets something else."""
    kind = _kind(event)
    if event.loss.expects == "log_probabilities" and (kind.is_probability or kind is Kind.SCORE):
        message = f"{loss_label(event)} expects log-probabilities and gets {kind.value}"
        how = "raw logits to `cross_entropy`" if kind is Kind.SCORE else "`log_softmax` instead of the probabilities"
        yield _hit("LA103", event, message, f"pass {how}")


@detector("LA104", LossCall)
def bce_without_sigmoid(event: LossCall) -> Iterator[Hit]:
    """``BCELoss`` reads probabilities and gets raw scores."""
    if event.loss.expects == "binary_probabilities" and _kind(event) is Kind.SCORE:
        message = f"raw scores reach {loss_label(event)}, which expects probabilities in [0, 1]"
        yield _hit("LA104", event, message, "use `BCEWithLogitsLoss` on the scores, or apply a sigmoid first")


@detector("LA105", LossCall)
def sigmoid_before_bce_with_logits(event: LossCall) -> Iterator[Hit]:
    """The sigmoid is applied twice."""
    if event.loss.expects == "binary_logits" and _kind(event) is Kind.SIGMOID and _is_made_by_sigmoid(event):
        message = f"sigmoid output reaches {loss_label(event)}, which applies {event.loss.applies} itself"
        yield _hit("LA105", event, message, _undo(event))


def _is_made_by_sigmoid(event: LossCall) -> bool:
    """Not one column of a softmax: LA107 speaks of softmax, and one column of two is nobody's double sigmoid."""
    return all(one.source.op != "getitem" and one.source.op != "select" for one in _prediction(event))


@detector("LA106", LossCall)
def sigmoid_before_cross_entropy(event: LossCall) -> Iterator[Hit]:
    """Sigmoid outputs are read as logits of a softmax."""
    if event.loss.expects == "logits" and _kind(event) is Kind.SIGMOID:
        message = f"sigmoid output reaches {loss_label(event)}, which applies {event.loss.applies} itself"
        yield _hit("LA106", event, message, _undo(event))


@detector("LA107", LossCall)
def softmax_before_bce(event: LossCall) -> Iterator[Hit]:
    """Probabilities that compete across classes reach a loss for independent decisions."""
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
        yield _hit("LA109", event, message, "apply `log_softmax` to the logits of the input")
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
    elif kind.is_probability and is_log is True:
        message = f"`log_target=True`, but the target of {loss_label(event)} holds probabilities"
        advice = "drop `log_target=True`, or give the target as log-probabilities"
    else:
        return
    target = tensors(event.args.get(event.loss.target))[0]
    yield Hit("LA109", event.site, message, loss_trail(event, target), advice)


@detector("LA111", LossCall)
def relu_before_loss(event: LossCall) -> Iterator[Hit]:
    """A final ReLU leaves the loss only non-negative logits."""
    if event.loss.expects in ("logits", "binary_logits") and _kind(event) is Kind.RECTIFIED:
        message = f"rectified values reach {loss_label(event)}: no logit can be negative"
        yield _hit("LA111", event, message, "remove the final ReLU")


@detector("LA113", LossCall)
def cross_entropy_without_softmax(event: LossCall) -> Iterator[Hit]:
    """A cross-entropy over given probabilities gets raw scores."""
    if event.loss.expects == "probabilities" and _kind(event) is Kind.SCORE:
        message = f"raw scores reach {loss_label(event)}, which expects probabilities"
        yield _hit("LA113", event, message, "apply a softmax first, or tell the loss that it gets logits")


# LA108: the dimension of a softmax ---------------------------------------------------------------------------------

_SOFTMAX = ("softmax", "log_softmax", "softmin")


@detector("LA108", OpEvent)
def softmax_without_dimension(event: OpEvent) -> Iterator[Hit]:
    """No ``dim``: PyTorch then guesses, and guesses the batch for tensors of one or three dimensions."""
    term = event.term
    if term.op in _SOFTMAX and term.certain and constant(term.arg("dim")) is None:
        message = f"`{term.op}` without `dim`: which dimension it normalises depends on the number of dimensions"
        yield Hit("LA108", term.site, message, (), "say which dimension holds the classes, for example `dim=-1`")


@detector("LA108", OpEvent)
def softmax_over_the_batch(event: OpEvent) -> Iterator[Hit]:
    """``dim=0`` where dimension 0 is proven to be the batch."""
    term = event.term
    if term.op in _SOFTMAX and integer(term.arg("dim")) == 0 and _input_is_batched(term):
        yield _over_batch(term)


def _input_is_batched(term: Tensor) -> bool:
    """A batch of vectors at least: the rank is known to be two or more."""
    found = tensors(term.arg("input"))
    return bool(found) and all(one.batched and one.kind is Kind.SCORE for one in found)


@detector("LA108", LossCall)
def loss_of_softmax_over_the_batch(event: LossCall) -> Iterator[Hit]:
    """The loss reads classes at dimension 1, and the softmax went over dimension 0 of a tensor of two or more."""
    if event.loss.class_dim != 1:
        return
    for one in _prediction(event):
        source = one.source
        is_batchwise = one.class_dim == 0 and integer(source.arg("dim")) == 0 and source.op in _SOFTMAX
        if is_batchwise and _rank(one) >= 2:
            yield _over_batch(source)


def _rank(term: Tensor) -> int:
    return term.shape.least_rank


def _over_batch(term: Tensor) -> Hit:
    message = f"`{term.op}` over dimension 0 normalises across the batch, not across the classes"
    return Hit("LA108", term.site, message, (), "use the dimension of the classes, for example `dim=1`")


# LA110: one class --------------------------------------------------------------------------------------------------


@detector("LA110", OpEvent)
def softmax_over_one_class(event: OpEvent) -> Iterator[Hit]:
    """A softmax over a dimension of length one is 1 whatever it reads."""
    term = event.term
    dim = integer(term.arg("dim"))
    if term.op not in _SOFTMAX or dim is None or not tensors(term.arg("input")):
        return
    if _length(term.arg("input"), dim) == 1:
        always = "0" if term.op == "log_softmax" else "1"
        message = f"`{term.op}` over a dimension of length 1 is always {always}"
        advice = "for two classes give the layer two outputs, or keep one and use `BCEWithLogitsLoss`"
        yield Hit("LA110", term.site, message, _shape_trail(term), advice)


def _length(value: Value | None, dim: int) -> object:
    """The length at ``dim``. Of a linear layer's output, dimension 1 is the last one, as far as classes go."""
    shape = common_shape(value)
    if dim == 1 and not shape.exact and len(shape.dims) == 1:
        return shape.dims[0]
    return shape.at(dim)


def _shape_trail(term: Tensor) -> tuple[Step, ...]:
    source = next((one for one in operands(term) if one.kind is Kind.SCORE), None)
    if source is None or source.source.module is None:
        return ()
    return (Step(source.source.module.site, "this layer has one output"),)


@detector("LA110", LossCall)
def cross_entropy_over_one_class(event: LossCall) -> Iterator[Hit]:
    """A softmax cross-entropy over one class is 0 whatever it reads."""
    if event.loss.expects != "logits" or event.loss.class_dim is None or not _prediction(event):
        return
    if _length(event.args.get(event.loss.prediction), event.loss.class_dim) == 1:
        message = f"{loss_label(event)} over a single class is always 0"
        trail = _shape_trail(event.term)
        yield Hit("LA110", event.site, message, trail, "use `BCEWithLogitsLoss` for a single output")


# LA112: hard decisions ---------------------------------------------------------------------------------------------


@detector("LA112", Backward)
def non_differentiable_prediction(event: Backward) -> Iterator[Hit]:
    """What is back-propagated depends on the model only through decisions that have no gradient."""
    found = tensors(event.value)
    if event.in_inference or not found:
        return
    for term in found:
        for loss, prediction in _loss_terms(term):
            hard = common_kind(prediction)
            if hard is Kind.HARD and all(_decides_on_a_prediction(one) for one in tensors(prediction)):
                yield _hard_hit(loss, tensors(prediction)[0])


def _loss_terms(term: Tensor) -> Iterator[tuple[Tensor, Value]]:
    """The losses of which ``term`` is a sum, a mean or a multiple, each with its prediction."""
    stack, seen = [term], set()
    while stack and len(seen) < 100:
        one = stack.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        if one.kind is Kind.LOSS:
            prediction = next(iter(one.args.values()), None)
            named = one.arg("input") or prediction
            if named is not None:
                yield one, named
        elif one.op in ("add", "sub", "mul", "div", "sum", "mean", "neg"):
            stack += operands(one)


def _decides_on_a_prediction(term: Tensor) -> bool:
    """Whether the decision was taken on something that a layer computed."""
    stack, seen = [term], set()
    while stack and len(seen) < 100:
        one = stack.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        if one.kind in (Kind.SCORE, Kind.PROBABILITY, Kind.SIGMOID, Kind.LOG_PROBABILITY):
            return True
        stack += operands(one)
    return False


def _hard_hit(loss: Tensor, prediction: Tensor) -> Hit:
    made = prediction.source
    message = f"the prediction is a hard decision ({op_label(made)}): no gradient reaches the model"
    trail = (Step(made.site, made_words(made)), *prediction.route)
    return Hit("LA112", loss.site, message, trail, "give the loss the scores themselves; decide only for metrics")
