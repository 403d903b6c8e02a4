"""How divergences and distillation go wrong."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from lossaudit.fuzz.mistakes.rounding import nudged
from lossaudit.fuzz.model import Mistake, Parameter, Terms
from lossaudit.fuzz.references.divergence import exact_log, kl, kl_of_logs, times_log

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from lossaudit.fuzz.model import Formula, Params

KL = ("kl_div", "kl_div_of_logs", "kl_div_of_probabilities", "kl_div_of_logits")
JS = ("js_divergence", "js_divergence_of_logits")
DISTILLATION = ("distillation_loss",)
SIDE = Parameter("side", "student", "choice", guesses=("student", "teacher"))


def _tempered(params: Params) -> bool:
    return bool(params.get("temperature", 1.0) != 1.0)


def _elements(losses: Tensor) -> Terms:
    return Terms(losses, torch.ones_like(losses))


def _swapped(formula: Formula) -> Formula:
    """The two distributions of a pair of the same kind changed over."""
    return lambda prediction, target, params: formula(target, prediction, params)


def _swapped_logs(_: Formula) -> Formula:
    """KL(prediction || target) of log-probabilities and probabilities."""

    def changed(prediction: Tensor, target: Tensor, _: Params) -> Terms:
        return _elements(prediction.exp() * (prediction - target.log()))

    return changed


def _swapped_logits(_: Formula) -> Formula:
    def changed(prediction: Tensor, target: Tensor, _: Params) -> Terms:
        log = prediction.log_softmax(1)
        return _elements(log.exp() * (log - target.log()))

    return changed


def _without_entropy(formula: Formula) -> Formula:
    """The cross-entropy alone: y log y is left out."""

    def changed(prediction: Tensor, target: Tensor, params: Params) -> Terms:
        return _elements(formula(prediction, target, params).losses - target * exact_log(target))

    return changed


def _without_entropy_of_logs(_: Formula) -> Formula:
    return lambda prediction, target, _params: _elements(-target.exp() * prediction)


def _without_entropy_of_teacher(_: Formula) -> Formula:
    """T^2 times the cross-entropy of the student against the softened teacher."""

    def changed(prediction: Tensor, target: Tensor, params: Params) -> Terms:
        heat = params["temperature"]
        return _elements(-(heat**2) * (target / heat).softmax(1) * (prediction / heat).log_softmax(1))

    return changed


def _of_probabilities(transform: Callable[[Tensor], Tensor]) -> Callable[[Formula], Formula]:
    """What must be a log-probability is something else."""

    def wrong(_: Formula) -> Formula:
        return lambda prediction, target, params: kl(transform(prediction), target, params)

    return wrong


def _softmax(prediction: Tensor) -> Tensor:
    return prediction.softmax(1)


def _plain_log_ratio(prediction: Tensor, target: Tensor, _: Params, nudge: float) -> Terms:
    return _elements(target * (nudged(target, nudge) / prediction).log())


def _plain_difference(prediction: Tensor, target: Tensor, _: Params, nudge: float) -> Terms:
    return _elements(target * (nudged(target, nudge).log() - prediction))


def _log_of_softmax(prediction: Tensor, target: Tensor, params: Params, nudge: float) -> Terms:
    temperature = params["temperature"]
    student = nudged((prediction / temperature).softmax(1), nudge).log()
    teacher = (target / temperature).softmax(1)
    return _elements(temperature**2 * (torch.special.xlogy(teacher, teacher) - teacher * student))


def _of_student_probabilities(_: Formula) -> Formula:
    """The student's probabilities where kl_div wants their logarithms."""

    def changed(prediction: Tensor, target: Tensor, params: Params) -> Terms:
        heat = params["temperature"]
        soft = kl((prediction / heat).softmax(1), (target / heat).softmax(1), params)
        return _elements(heat ** params["power"] * soft.losses)

    return changed


def _one_side(_: Formula) -> Formula:
    def changed(prediction: Tensor, target: Tensor, params: Params) -> Terms:
        temperature = params["temperature"]
        student = prediction / temperature if params["side"] == "student" else prediction
        teacher = target / temperature if params["side"] == "teacher" else target
        soft = kl_of_logs(student.log_softmax(1), teacher.log_softmax(1), params)
        return _elements(temperature ** params["power"] * soft.losses)

    return changed


def _scaled(power: float) -> Callable[[Formula], Formula]:
    def wrong(formula: Formula) -> Formula:
        def changed(prediction: Tensor, target: Tensor, params: Params) -> Terms:
            return _elements(formula(prediction, target, params).losses * params["temperature"] ** power)

        return changed

    return wrong


def _multiplied(formula: Formula) -> Formula:
    def changed(prediction: Tensor, target: Tensor, params: Params) -> Terms:
        factor = params["temperature"] ** 2
        return formula(prediction * factor, target * factor, params)

    return changed


def _factor(factor: float) -> Callable[[Formula], Formula]:
    def wrong(formula: Formula) -> Formula:
        return lambda prediction, target, params: _elements(
            formula(prediction, target, params).losses * factor
        )

    return wrong


def _one_half(_: Formula) -> Formula:
    def changed(prediction: Tensor, target: Tensor, _: Params) -> Terms:
        middle = (prediction + target) / 2
        return _elements(times_log(target, exact_log(target) - middle.log()) / 2)

    return changed


def _elements_mean(terms: Terms, _: Tensor) -> Tensor:
    return terms.losses.mean()


def _per_sample(terms: Terms, _: Tensor) -> Tensor:
    return terms.losses.sum(1)


SCALE_POWER = Parameter("power", 0.0, "choice", guesses=(0.0, 1.0, 2.0))

MISTAKES = (
    Mistake(
        "divergence-in-bits",
        JS,
        "is in bits, its logarithm having base 2: a published convention, which bounds it by 1",
        wrong=_factor(1 / math.log(2)),
        convention=True,
    ),
    Mistake(
        "divergence-per-sample",
        (*KL, *JS, *DISTILLATION),
        "sums over the classes and returns one divergence for each sample: a common convention",
        reduce=_per_sample,
        reductions=("none",),
        convention=True,
    ),
    Mistake(
        "divergence-mean-over-classes",
        (*KL, *JS, *DISTILLATION),
        "is averaged over samples and classes: smaller than the divergence by the factor C",
        "LA302",
        reduce=_elements_mean,
        reductions=("batchmean",),
    ),
    Mistake(
        "kl-arguments-swapped",
        ("kl_div_of_logs", "kl_div_of_probabilities", *DISTILLATION),
        "is KL(prediction || target): the two distributions are swapped",
        wrong=_swapped,
        convention=True,
    ),
    Mistake(
        "kl-arguments-swapped",
        ("kl_div",),
        "is KL(prediction || target): the two distributions are swapped",
        "LA109",
        wrong=_swapped_logs,
        convention=True,
    ),
    Mistake(
        "kl-arguments-swapped",
        ("kl_div_of_logits",),
        "is KL(prediction || target): the two distributions are swapped",
        wrong=_swapped_logits,
        convention=True,
    ),
    Mistake(
        "kl-of-probabilities",
        ("kl_div_of_logits",),
        "takes softmax(x) where log_softmax(x) is meant: the first argument of kl_div is log-probabilities",
        "LA109",
        wrong=_of_probabilities(_softmax),
    ),
    Mistake(
        "kl-without-logarithm",
        ("kl_div_of_probabilities",),
        "takes probabilities where their logarithm is meant: the first argument of kl_div is log-probabilities",
        "LA109",
        wrong=_of_probabilities(lambda prediction: prediction),
    ),
    Mistake(
        "kl-of-log-softmax-twice",
        ("kl_div_of_probabilities",),
        "takes log_softmax of what are probabilities already",
        wrong=_of_probabilities(lambda prediction: prediction.log_softmax(1)),
    ),
    Mistake(
        "cross-entropy-for-kl",
        ("kl_div", "kl_div_of_probabilities", "kl_div_of_logits"),
        "leaves out y log y, which no gradient sees: it is the cross-entropy, not 0 where the two distributions are equal",
        wrong=_without_entropy,
        convention=True,
    ),
    Mistake(
        "cross-entropy-for-kl",
        ("kl_div_of_logs",),
        "leaves out y log y, which no gradient sees: it is the cross-entropy, not 0 where the two distributions are equal",
        wrong=_without_entropy_of_logs,
        convention=True,
    ),
    Mistake(
        "cross-entropy-for-kl",
        ("distillation_loss",),
        "leaves out the entropy of the teacher, which no gradient sees: it is the cross-entropy of the two distributions",
        wrong=_without_entropy_of_teacher,
        convention=True,
    ),
    Mistake(
        "zero-log-zero",
        ("kl_div_of_probabilities",),
        "takes the logarithm of the target, which is not a number where the target is 0",
        "LA406",
        codes=("LF301", "LF302"),
        rounded=_plain_log_ratio,
    ),
    Mistake(
        "zero-log-zero",
        ("kl_div",),
        "takes the logarithm of the target, which is not a number where the target is 0",
        "LA406",
        codes=("LF301", "LF302"),
        rounded=_plain_difference,
    ),
    Mistake(
        "distillation-not-rescaled",
        DISTILLATION,
        "is not multiplied by T^2, with T = {temperature:g}: a mere factor where no other loss stands beside it",
        wrong=_scaled(-2.0),
        applies=_tempered,
        convention=True,
    ),
    Mistake(
        "distillation-scaled-once",
        DISTILLATION,
        "is multiplied by T, not by T^2, with T = {temperature:g}: a mere factor where no other loss stands beside it",
        wrong=_scaled(-1.0),
        applies=_tempered,
        convention=True,
    ),
    Mistake(
        "kl-of-probabilities",
        DISTILLATION,
        "takes softmax(x / T) where log_softmax(x / T) is meant: the first argument of kl_div is log-probabilities",
        "LA109",
        wrong=_of_student_probabilities,
        parameters=(SCALE_POWER,),
    ),
    Mistake(
        "temperature-on-one-side",
        DISTILLATION,
        "divides the logits of the {side} by T = {temperature:g}, and not the other's",
        wrong=_one_side,
        parameters=(SIDE, SCALE_POWER),
        applies=_tempered,
    ),
    Mistake(
        "temperature-multiplied",
        DISTILLATION,
        "multiplies the logits by T = {temperature:g}, where they are to be divided by it",
        wrong=_multiplied,
        applies=_tempered,
    ),
    Mistake(
        "log-of-softmax-in-distillation",
        DISTILLATION,
        "takes the logarithm of softmax(x / T), which underflows to zero once the gap between two logits is large",
        "LA401",
        codes=("LF301", "LF302"),
        rounded=_log_of_softmax,
    ),
    Mistake(
        "divergence-not-halved",
        JS,
        "is the sum of both divergences from the mean, not half of it",
        wrong=_factor(2.0),
        convention=True,
    ),
    Mistake(
        "one-half-of-js",
        ("js_divergence",),
        "has the divergence of the target from the mean alone: that of the prediction is missing",
        wrong=_one_half,
        convention=True,
    ),
)
