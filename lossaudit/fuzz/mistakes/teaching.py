"""How distillation with labels goes wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lossaudit.fuzz.model import Mistake, Parameter, Terms
from lossaudit.fuzz.references.divergence import exact_log
from lossaudit.fuzz.references.embeddings import unit_terms
from lossaudit.fuzz.references.teaching import hard_losses, sides, soft_losses

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from lossaudit.fuzz.model import Formula, Params

BOTH = ("distillation_with_labels",)
POWER = Parameter("power", 2.0, "choice", guesses=(2.0, 0.0))


def _with_soft(soft_term: Callable[[Tensor, Tensor, Params], Tensor]) -> Callable[[Formula], Formula]:
    """Another soft term takes the place of the right one."""

    def wrong(_: Formula) -> Formula:
        def changed(prediction: Tensor, target: Tensor, params: Params) -> Terms:
            soft, hard = sides(params)
            return unit_terms(
                soft * soft_term(prediction, target, params) + hard * hard_losses(prediction, target)
            )

        return changed

    return wrong


def _rescaled(power: float) -> Callable[[Tensor, Tensor, Params], Tensor]:
    return lambda prediction, target, params: (
        soft_losses(prediction, target, params) * params["temperature"] ** power
    )


def _over_classes(prediction: Tensor, target: Tensor, params: Params) -> Tensor:
    return soft_losses(prediction, target, params) / prediction.shape[1]


def _of_probabilities(prediction: Tensor, target: Tensor, params: Params) -> Tensor:
    """The soft term with the student's probabilities in the place of their logarithms."""
    heat = params["temperature"]
    teacher, student = (target[:, :-1] / heat).softmax(1), (prediction / heat).softmax(1)
    losses: Tensor = teacher * (exact_log(teacher) - student) * heat ** params["power"]
    return losses.sum(1)


def _swapped(prediction: Tensor, target: Tensor, params: Params) -> Tensor:
    """The divergence of the teacher from the student, not the other way round."""
    heat = params["temperature"]
    teacher, student = (target[:, :-1] / heat).log_softmax(1), (prediction / heat).log_softmax(1)
    losses: Tensor = student.exp() * (student - teacher) * heat**2
    return losses.sum(1)


def _cross_entropy(prediction: Tensor, target: Tensor, params: Params) -> Tensor:
    """The soft cross-entropy in the place of the divergence: its gradient is the same."""
    heat = params["temperature"]
    teacher, student = (target[:, :-1] / heat).softmax(1), (prediction / heat).log_softmax(1)
    losses: Tensor = teacher * student * -(heat ** params["power"])
    return losses.sum(1)


def _tempered(params: Params) -> bool:
    return bool(params["temperature"] != 1.0)


MISTAKES = (
    Mistake(
        "soft-term-over-classes",
        BOTH,
        "averages the divergence over the classes too, as DeiT (arXiv:2012.12877) does: a published convention, by which the "
        "teacher weighs less the more classes there are",
        "LA302",
        wrong=_with_soft(_over_classes),
        convention=True,
    ),
    Mistake(
        "soft-cross-entropy",
        BOTH,
        "has the cross-entropy with the teacher where others have the divergence: a constant apart, a published convention",
        wrong=_with_soft(_cross_entropy),
        parameters=(Parameter("power", 2.0, "choice", guesses=(2.0,)),),
        convention=True,
    ),
    Mistake(
        "distillation-not-rescaled",
        BOTH,
        "does not multiply the soft term by T^2: its share of the gradient shrinks as 1 / T^2 with T = {temperature:g}",
        wrong=_with_soft(_rescaled(-2.0)),
        applies=_tempered,
    ),
    Mistake(
        "distillation-scaled-once",
        BOTH,
        "multiplies the soft term by T, not by T^2, with T = {temperature:g}",
        wrong=_with_soft(_rescaled(-1.0)),
        applies=_tempered,
    ),
    Mistake(
        "kl-of-probabilities",
        BOTH,
        "takes softmax(x) where log_softmax(x) is meant: the first argument of kl_div is log-probabilities",
        "LA109",
        wrong=_with_soft(_of_probabilities),
        parameters=(POWER,),
    ),
    Mistake(
        "kl-arguments-swapped",
        BOTH,
        "has KL(student || teacher) as its soft term: the two distributions are swapped",
        wrong=_with_soft(_swapped),
        convention=True,
    ),
)
