"""A loss that is a reference times a number, or plus one, or summed over some dimensions and averaged over the others.

None of that moves the minimum or turns the gradient, and every training script does it on purpose: ``0.5 * loss``, a sum over
pixels and a mean over the batch, a constant that brings the floor to zero. So it is a convention: told, and not accused
unless the user named the reference. What no choice of sums and means makes (a cross-entropy divided by the number of
classes, of which a sample's loss has no dimension) is none, and neither is a factor below zero.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from lossaudit.fuzz import relations, variants
from lossaudit.fuzz.model import Mistake, Parameter, Terms
from lossaudit.fuzz.recognition.weighing import plainly

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

    from lossaudit.fuzz.doors import Response
    from lossaudit.fuzz.model import Formula, Params
    from lossaudit.fuzz.relations import Scaling
    from lossaudit.fuzz.variants import Variant

FACTOR, OFFSET = "factor", "offset"
PARAMETERS = (Parameter(FACTOR, 1.0, "number", (FACTOR,)), Parameter(OFFSET, 0.0, "number", (OFFSET,)))


def scaled(variant: Variant, answers: Sequence[Response]) -> Variant | None:
    """The variant under the one scaling that leads from it to all answers; None where there is none on purpose.

    Args:
        variant: A reference without changes.
        answers: What the target gave, in the widest dtype that it computes in.
    """
    relation = relations.fit(variant, answers)
    if relation is None or relation.scaling is None or not is_on_purpose(variant, relation.scaling, answers):
        return None
    scaling = relation.scaling
    convention = Mistake(
        id="scaled",
        references=(variant.spec.name,),
        message=f"{relation.message}, which is taken for intended: it turns no gradient",
        wrong=_times_sizes(scaling.powers),
        parameters=PARAMETERS,
        convention=True,
        joint=bool(scaling.powers[0]),
    )
    params = {**variant.params, FACTOR: plainly(scaling.factor), OFFSET: plainly(scaling.offset)}
    return replace(variant, params=params, conventions=(convention,))


def is_on_purpose(variant: Variant, scaling: Scaling, answers: Sequence[Response]) -> bool:
    """Whether a scaling is one that people choose: above zero, and of sizes what sums and means make."""
    if scaling.factor <= 0 or (scaling.offset and variant.reduction not in {"mean", "none", "given"}):
        return False  # of a sum, nobody knows what the constant was added to
    return all(_is_a_mix_of_sums_and_means(variant, scaling, answer) for answer in answers)


def _times_sizes(powers: tuple[int, ...]) -> Callable[[Formula], Formula]:
    def wrong(formula: Formula) -> Formula:
        def apply(prediction: Tensor, target: Tensor, params: Params) -> Terms:
            terms = formula(prediction, target, params)
            scale = params[FACTOR] * _product(prediction.shape, powers)
            return Terms(scale * terms.losses + params[OFFSET] * terms.shares, terms.shares)

        return apply

    return wrong


def _product(shape: Sequence[int], powers: tuple[int, ...]) -> float:
    """The sizes to their powers; of an empty batch there is no loss that it could scale."""
    sizes = relations.sizes(shape)
    return math.prod(float(size) ** power for size, power in zip(sizes, powers, strict=True) if size)


def _is_a_mix_of_sums_and_means(variant: Variant, scaling: Scaling, answer: Response) -> bool:
    """Whether each dimension of the losses is summed or averaged over, and no size counts that is none of theirs."""
    if not any(scaling.powers):
        return True
    prediction, target = variants.at_dtype(answer[0], "float64")
    losses = variant.terms(prediction, target).losses
    held = _held(losses.shape, prediction.shape)
    own = _powers_of(variant.reduction, held)
    return all(
        power == 0 or size == 1 or (is_held and power + mine in {0, -1})
        for power, size, is_held, mine in zip(
            scaling.powers, relations.sizes(prediction.shape), held, own, strict=True
        )
    )


def _held(losses: Sequence[int], prediction: Sequence[int]) -> tuple[bool, bool, bool]:
    """Whether the losses still have the dimension of the batch, of the classes, and those of the positions."""
    batch = len(losses) > 0 and losses[0] == prediction[0]
    classes = len(losses) == len(prediction) > 1 and losses[1] == prediction[1]
    positions = len(prediction) > 2 and list(losses[len(losses) - len(prediction) + 2 :]) == list(
        prediction[2:]
    )
    return batch, classes, positions and len(losses) > len(prediction) - 2


def _powers_of(reduction: str, held: tuple[bool, ...]) -> tuple[int, ...]:
    """How a reduction divides the sum of the losses by their sizes."""
    if reduction == "mean":
        return tuple(-int(is_held) for is_held in held)
    return (-1 if reduction == "batchmean" else 0, 0, 0)
