"""How findings speak: labels of operations and losses, and the steps of a trail."""

from __future__ import annotations

from lossaudit.check.events import LossCall
from lossaudit.check.kinds import Kind
from lossaudit.check.values import BATCH, Const, External, Step, Tensor

_MADE = {
    Kind.SCORE: "yields raw scores",
    Kind.PROBABILITY: "makes these probabilities",
    Kind.LOG_PROBABILITY: "makes these log-probabilities",
    Kind.SIGMOID: "makes these probabilities",
    Kind.LOG_SIGMOID: "makes these log-probabilities",
    Kind.RECTIFIED: "cuts off everything below zero",
    Kind.HARD: "takes a hard decision, which has no gradient",
}


def op_label(term: Tensor) -> str:
    """The operation as the reader knows it: ``softmax(dim=1)``, ``Linear``."""
    if (
        term.module is not None
        and isinstance(term.module.cls, External)
        and term.op not in ("softmax", "log_softmax")
    ):
        return f"`{term.module.class_name}`"
    if term.op == BATCH:
        return "the dataset"
    dim = term.arg("dim")
    if isinstance(dim, Const) and dim.value is not None:
        return f"`{term.op}(dim={dim.value})`"
    return f"`{term.op}`"


def made_words(term: Tensor) -> str:
    """What the operation did to the numbers."""
    return f"{op_label(term)} {_MADE.get(term.kind, 'makes this value')}"


def loss_label(event: LossCall) -> str:
    """The loss as it is written: the class, or the function."""
    loss = event.loss
    names = loss.classes if event.criterion is not None else loss.functions
    return f"`{(names or (loss.name,))[0].rpartition('.')[2]}`"


def loss_trail(event: LossCall, value: Tensor) -> tuple[Step, ...]:
    """From where the value got its kind, by the way it took, to where the criterion was built."""
    source = value.source
    steps = [Step(source.site, made_words(source)), *value.route]
    if event.criterion is not None and event.criterion.site != event.site:
        steps.append(Step(event.criterion.site, f"the criterion is {loss_label(event)}, built here"))
    return tuple(step for step in steps if step.site != event.site or step.words.startswith("`"))
