"""How cross-entropy over classes goes wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from lossaudit.fuzz.mistakes.rounding import nudged
from lossaudit.fuzz.model import Mistake, Parameter, Terms
from lossaudit.fuzz.references.classes import class_view, smoothed_cross_entropy
from lossaudit.fuzz.spaces.fill import one_hot

if TYPE_CHECKING:
    from torch import Tensor

    from lossaudit.fuzz.model import Formula, Params

CE = ("cross_entropy",)
SMOOTHED = (*CE, "nll_loss")
ANY_CLASSES = ("cross_entropy", "cross_entropy_of_probabilities", "nll_loss")
EPSILON = Parameter(
    "epsilon",
    0.0,
    "number",
    ("eps", "epsilon", "smooth", "tiny"),
    guesses=tuple(10.0**-power for power in range(1, 13)),
    high=0.1,
)


def _smoothed(params: Params) -> bool:
    return bool(params.get("label_smoothing"))


def _weighted(params: Params) -> bool:
    return params.get("weight") is not None


def _ignoring(params: Params) -> bool:
    return params.get("ignore_index") is not None


def _softmax_first(formula: Formula) -> Formula:
    return lambda prediction, target, params: formula(prediction.softmax(1), target, params)


def _sigmoid_first(formula: Formula) -> Formula:
    return lambda prediction, target, params: formula(prediction.sigmoid(), target, params)


def _relu_first(formula: Formula) -> Formula:
    return lambda prediction, target, params: formula(prediction.relu(), target, params)


def _batch_softmax(_: Formula) -> Formula:
    def changed(prediction: Tensor, target: Tensor, params: Params) -> Terms:
        return smoothed_cross_entropy(prediction.log_softmax(0), target, params)

    return changed


def _rows(target: Tensor, prediction: Tensor) -> Tensor:
    """Targets as rows."""
    if target.is_floating_point():
        return target
    return one_hot(target, prediction.shape[1]).to(prediction.dtype)


def _against_rows(prediction: Tensor, rows: Tensor) -> Terms:
    losses = -(rows * prediction.log_softmax(1)).sum(1)
    return Terms(losses, torch.ones_like(losses))


def _rest(form: str, smoothing: float, classes: int) -> float:
    """What the other classes get in the various forms."""
    shares = {
        "1": 1.0,
        "smoothing / C": smoothing / classes,
        "smoothing / (C - 1)": smoothing / (classes - 1),
        "smoothing": smoothing,
        "0": 0.0,
    }
    return shares[form]


def _flattened(formula: Formula) -> Formula:
    """[N, C, S] reshaped to [N S, C] as it lies: each row is a mixture of classes and steps."""

    def changed(prediction: Tensor, target: Tensor, params: Params) -> Terms:
        if prediction.ndim == 2 or target.is_floating_point():
            return formula(prediction, target, params)
        return formula(prediction.reshape(-1, prediction.shape[1]), target.reshape(-1), params)

    return changed


def _shared_vector(_: Formula) -> Formula:
    """One vector of C weights, written at every class that occurs in the batch, used for every row."""

    def changed(prediction: Tensor, target: Tensor, params: Params) -> Terms:
        classes, smoothing = prediction.shape[1], params["label_smoothing"]
        if target.is_floating_point():
            target = target.argmax(1)
        rest = _rest(params["off_class"], smoothing, classes)
        vector = torch.full((classes,), rest, dtype=prediction.dtype)
        vector[target.flatten()] = 1 - smoothing
        return _against_rows(prediction, class_view(vector, prediction).expand_as(prediction))

    return changed


def _other_rows(_: Formula) -> Formula:
    """Rows with 1 - smoothing at the target and some other share elsewhere."""

    def changed(prediction: Tensor, target: Tensor, params: Params) -> Terms:
        smoothing = params["label_smoothing"]
        rest = _rest(params["off_class"], smoothing, prediction.shape[1])
        hot = _rows(target, prediction)
        return _against_rows(prediction, hot * (1 - smoothing) + (1 - hot) * rest)

    return changed


def _unsubtracted(_: Formula) -> Formula:
    """(1 - smoothing) onehot plus smoothing / (C - 1) at every class, the target included."""

    def changed(prediction: Tensor, target: Tensor, params: Params) -> Terms:
        smoothing = params["label_smoothing"]
        rest = smoothing / (prediction.shape[1] - 1)
        return _against_rows(prediction, _rows(target, prediction) * (1 - smoothing) + rest)

    return changed


def _added_to_every_class(_: Formula) -> Formula:
    """1 - smoothing times the loss of the target, plus smoothing times the sum, not the mean, over all classes."""

    def changed(prediction: Tensor, target: Tensor, params: Params) -> Terms:
        smoothing = params["label_smoothing"]
        return _against_rows(prediction, _rows(target, prediction) * (1 - smoothing) + smoothing)

    return changed


def _over_others(_: Formula) -> Formula:
    """1 - smoothing at the target, smoothing / (C - 1) at each other class."""

    def changed(prediction: Tensor, target: Tensor, params: Params) -> Terms:
        smoothing = params["label_smoothing"]
        hot = _rows(target, prediction)
        rest = smoothing / (prediction.shape[1] - 1)
        return _against_rows(prediction, hot * (1 - smoothing) + (1 - hot) * rest)

    return changed


def _without_log(_: Formula) -> Formula:
    def changed(prediction: Tensor, target: Tensor, params: Params) -> Terms:
        return smoothed_cross_entropy(prediction.softmax(1), target, params)

    return changed


def _without_log_softmax(_: Formula) -> Formula:
    def changed(prediction: Tensor, target: Tensor, params: Params) -> Terms:
        return smoothed_cross_entropy(prediction, target, params)

    return changed


def _weights_not_normalised(formula: Formula) -> Formula:
    def changed(prediction: Tensor, target: Tensor, params: Params) -> Terms:
        terms = formula(prediction, target, params)
        return Terms(terms.losses, (terms.shares != 0).to(terms.shares.dtype))

    return changed


def _ignored_counted(formula: Formula) -> Formula:
    def changed(prediction: Tensor, target: Tensor, params: Params) -> Terms:
        terms = formula(prediction, target, params)
        return Terms(terms.losses, torch.where(terms.shares == 0, 1.0, terms.shares))

    return changed


def _not_ignored(formula: Formula) -> Formula:
    def changed(prediction: Tensor, target: Tensor, params: Params) -> Terms:
        return formula(prediction, target, {**params, "ignore_index": None})

    return changed


def _log_of_softmax(prediction: Tensor, target: Tensor, params: Params, nudge: float) -> Terms:
    log_probabilities = nudged(prediction.softmax(1), nudge).log()
    if target.is_floating_point():
        rows = target * (1 - params["label_smoothing"]) + params["label_smoothing"] / prediction.shape[1]
        losses = -(rows * log_probabilities).sum(1)
        return Terms(losses, torch.ones_like(losses))
    return smoothed_cross_entropy(log_probabilities, target, params)


def _epsilon_in_log(prediction: Tensor, target: Tensor, params: Params, nudge: float) -> Terms:
    log_probabilities = (nudged(prediction.softmax(1), nudge) + params["epsilon"]).log()
    return smoothed_cross_entropy(log_probabilities, target, params)


def _clamped(prediction: Tensor, target: Tensor, params: Params, nudge: float) -> Terms:
    epsilon = params["epsilon"]
    log_probabilities = nudged(prediction.softmax(1), nudge).clamp(epsilon, 1 - epsilon).log()
    return smoothed_cross_entropy(log_probabilities, target, params)


def _clamped_below(prediction: Tensor, target: Tensor, params: Params, nudge: float) -> Terms:
    log_probabilities = nudged(prediction.softmax(1), nudge).clamp(min=params["epsilon"]).log()
    return smoothed_cross_entropy(log_probabilities, target, params)


def _naive_softmax(prediction: Tensor, target: Tensor, params: Params, nudge: float) -> Terms:
    exponentials = nudged(prediction.exp(), nudge, torch.inf)
    probabilities = nudged(exponentials / prediction.exp().sum(1, keepdim=True), nudge)
    return smoothed_cross_entropy(probabilities.log(), target, params)


def _naive_logsumexp(prediction: Tensor, target: Tensor, params: Params, nudge: float) -> Terms:
    total = nudged(prediction.exp().sum(1, keepdim=True), nudge, torch.inf)
    return smoothed_cross_entropy(prediction - total.log(), target, params)


def _mean_over_classes(terms: Terms, prediction: Tensor) -> Tensor:
    return terms.losses.sum() / (terms.losses.numel() * prediction.shape[1])


OFF_CLASS = Parameter(
    "off_class", "1", "choice", guesses=("1", "smoothing / C", "smoothing / (C - 1)", "smoothing", "0")
)
OFF_ROWS = Parameter("off_class", "1", "choice", guesses=("1", "smoothing", "smoothing / C", "0"))

MISTAKES = (
    Mistake(
        "smoothing-over-other-classes",
        SMOOTHED,
        "spreads the smoothing mass over the C - 1 other classes: a published convention, but not torch's, whose "
        "label_smoothing spreads it over all C",
        wrong=_over_others,
        convention=True,
        applies=_smoothed,
    ),
    Mistake(
        "softmax-twice",
        CE,
        "equals the reference of softmax(x): softmax is applied twice",
        "LA101",
        wrong=_softmax_first,
    ),
    Mistake(
        "sigmoid-before-softmax",
        CE,
        "equals the reference of sigmoid(x): a sigmoid is applied before the softmax",
        "LA106",
        wrong=_sigmoid_first,
    ),
    Mistake(
        "relu-before-softmax",
        CE,
        "equals the reference of relu(x): negative logits are cut off",
        "LA111",
        wrong=_relu_first,
    ),
    Mistake(
        "softmax-over-batch",
        CE,
        "normalises over the batch dimension instead of the classes",
        "LA108",
        wrong=_batch_softmax,
    ),
    Mistake(
        "flattened-with-classes-inside",
        (*ANY_CLASSES, "focal_loss"),
        "flattens [N, C, S] to rows of C numbers without moving the classes last: each row is a mixture of classes and steps",
        wrong=_flattened,
        deeper=True,
    ),
    Mistake(
        "missing-log",
        CE,
        "is minus the probability of the class, not minus its logarithm: the log is missing",
        "LA103",
        wrong=_without_log,
    ),
    Mistake(
        "missing-log-softmax",
        CE,
        "is minus the raw score of the class: log_softmax is missing",
        "LA103",
        wrong=_without_log_softmax,
    ),
    Mistake(
        "shared-smoothing-vector",
        CE,
        "uses one weight vector shared by the whole batch: 1 - smoothing at every class that occurs in it and "
        "{off_class} at the others, so each sample is also pulled towards the classes of its neighbours",
        "LA204",
        codes=("LF101", "LF503"),
        wrong=_shared_vector,
        parameters=(OFF_CLASS,),
        applies=_smoothed,
    ),
    Mistake(
        "smoothing-mass-over-k-minus-1",
        CE,
        "adds smoothing / (C - 1) to every class, the true one included: the rows sum to more than one",
        "LA204",
        wrong=_unsubtracted,
        applies=_smoothed,
    ),
    Mistake(
        "smoothing-summed-over-classes",
        CE,
        "adds smoothing to every class, where it is to be shared by all of them: the uniform part is summed, not averaged",
        "LA204",
        wrong=_added_to_every_class,
        applies=_smoothed,
    ),
    Mistake(
        "smoothing-off-class-mass",
        CE,
        "gives each other class {off_class} of the target mass: the rows do not sum to one",
        "LA204",
        wrong=_other_rows,
        parameters=(OFF_ROWS,),
        applies=_smoothed,
    ),
    Mistake(
        "weights-not-normalised",
        ANY_CLASSES,
        "divides by the number of samples, not by the sum of their class weights",
        wrong=_weights_not_normalised,
        reductions=("mean",),
        applies=_weighted,
        convention=True,
    ),
    Mistake(
        "ignored-still-counted",
        ANY_CLASSES,
        "leaves ignored targets out of the sum and still counts them in the denominator",
        "LA305",
        wrong=_ignored_counted,
        reductions=("mean",),
        applies=_ignoring,
    ),
    Mistake(
        "ignored-not-ignored",
        ANY_CLASSES,
        "treats targets that are to be ignored as an ordinary class",
        "LA209",
        wrong=_not_ignored,
        applies=lambda params: _ignoring(params) and params["ignore_index"] >= 0,
    ),
    Mistake(
        "log-of-softmax",
        CE,
        "takes the logarithm of softmax(x), which underflows to zero once the gap between two logits is large",
        "LA401",
        codes=("LF301", "LF302"),
        rounded=_log_of_softmax,
    ),
    Mistake(
        "exp-overflow",
        CE,
        "forms exp(x) / sum(exp(x)) without subtracting the maximum, which overflows",
        "LA403",
        codes=("LF301", "LF302"),
        rounded=_naive_softmax,
    ),
    Mistake(
        "logsumexp-overflow",
        CE,
        "forms log(sum(exp(x))) by hand, which overflows",
        "LA405",
        codes=("LF301", "LF302"),
        rounded=_naive_logsumexp,
    ),
    Mistake(
        "epsilon-in-log",
        CE,
        "adds {epsilon:g} inside the logarithm of softmax(x): the loss cannot grow beyond -log({epsilon:g}) and its "
        "gradient dies there",
        "LA401",
        codes=("LF101",),
        rounded=_epsilon_in_log,
        parameters=(EPSILON,),
    ),
    Mistake(
        "clamp-below-log",
        CE,
        "clamps softmax(x) from below at {epsilon:g} before the logarithm: beyond that it is constant and its gradient "
        "is zero",
        "LA401",
        codes=("LF101",),
        rounded=_clamped_below,
        parameters=(EPSILON,),
    ),
    Mistake(
        "clamp-before-log",
        CE,
        "clamps softmax(x) to [{epsilon:g}, 1 - {epsilon:g}] before the logarithm: beyond that it is constant and its "
        "gradient is zero",
        "LA401",
        codes=("LF101",),
        rounded=_clamped,
        parameters=(EPSILON,),
    ),
    Mistake(
        "mean-over-classes",
        ANY_CLASSES,
        "is averaged over samples and classes: smaller than the mean over samples by the factor C",
        "LA304",
        reduce=_mean_over_classes,
        reductions=("mean",),
    ),
)
