"""How cross-entropy with a temperature goes wrong: the temperature itself, and all that goes wrong without one."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from lossaudit.fuzz.mistakes import classes
from lossaudit.fuzz.model import Mistake, Terms
from lossaudit.fuzz.references.temperature import rescaled

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from lossaudit.fuzz.model import Formula, Params, RoundedFormula

TEMPERED = ("cross_entropy_with_temperature",)
OF_THE_INPUT = frozenset({"softmax-twice", "sigmoid-before-softmax", "relu-before-softmax"})
"""What is applied to the logits may come before the division too."""


def _multiplied(formula: Formula) -> Formula:
    def changed(prediction: Tensor, target: Tensor, params: Params) -> Terms:
        # Over T in the formula, so that x T is left; the factor of the loss stays that of T.
        return formula(prediction * params["temperature"] ** 2, target, params)

    return changed


def _after_division(wrong: Callable[[Formula], Formula]) -> Callable[[Formula], Formula]:
    """A mistake made with the logits that are divided already; the factor of the loss comes last."""

    def tempered(formula: Formula) -> Formula:
        def undivided(prediction: Tensor, target: Tensor, params: Params) -> Terms:
            return formula(prediction * params["temperature"], target, {**params, "factor": "1"})

        plain = wrong(undivided)

        def changed(prediction: Tensor, target: Tensor, params: Params) -> Terms:
            return rescaled(plain(prediction / params["temperature"], target, params), params)

        return changed

    return tempered


def _rounded_after_division(rounded: RoundedFormula) -> RoundedFormula:
    def changed(prediction: Tensor, target: Tensor, params: Params, nudge: float) -> Terms:
        return rescaled(rounded(prediction / params["temperature"], target, params, nudge), params)

    return changed


def _tempered(mistake: Mistake) -> Mistake:
    """A mistake of plain cross-entropy, made with a temperature."""
    return replace(
        mistake,
        references=TEMPERED,
        wrong=None if mistake.wrong is None else _after_division(mistake.wrong),
        rounded=None if mistake.rounded is None else _rounded_after_division(mistake.rounded),
    )


PLAIN = tuple(mistake for mistake in classes.MISTAKES if "cross_entropy" in mistake.references)
MISTAKES = (
    Mistake(
        "temperature-multiplied",
        TEMPERED,
        "multiplies the logits by the temperature {temperature:g}, where they are to be divided by it",
        wrong=_multiplied,
    ),
    *(replace(mistake, references=TEMPERED) for mistake in PLAIN if mistake.id in OF_THE_INPUT),
    *map(_tempered, PLAIN),
)
