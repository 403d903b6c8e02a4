"""How losses against one learned row for each class go wrong."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from lossaudit.fuzz.model import Mistake, Terms
from lossaudit.fuzz.references.angular import (
    class_cosines,
    class_losses,
    class_rows,
    own_class,
    turned_cosines,
)
from lossaudit.fuzz.references.contrastive import unit
from lossaudit.fuzz.references.embeddings import unit_terms

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from lossaudit.fuzz.model import Formula, Params

OF_COSINES = "_of_cosines"
ARC = ("arcface", f"arcface{OF_COSINES}")
COS = ("cosface",)
"""Not that of cosines: it takes any scores, of which a margin by itself may be meant as it is."""
OF_ROWS = ("arcface", "cosface")
BOTH = (*ARC, *COS)
CENTER = ("center_loss",)


def margined(cosines: Tensor, params: Params, reference: str) -> Tensor:
    """The cosine of the own class with its margin."""
    return turned_cosines(cosines, params) if reference in ARC else cosines - params["m"]


def _logits(
    reference: str, logits: Callable[[Tensor, Tensor, Tensor, Params], Tensor]
) -> Callable[[Formula], Formula]:
    """Other logits of the cosines, the cosines with margin, and where the own class is."""

    def wrong(_: Formula) -> Formula:
        def changed(prediction: Tensor, target: Tensor, params: Params) -> Terms:
            given = reference.endswith(OF_COSINES)
            cosines = prediction if given else class_cosines(prediction, params)
            own = own_class(target, cosines)
            return class_losses(logits(cosines, margined(cosines, params, reference), own, params), target)

        return changed

    return wrong


def _products(reference: str, product: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Formula], Formula]:
    """Something else in the place of the cosines."""

    def wrong(_: Formula) -> Formula:
        def changed(prediction: Tensor, target: Tensor, params: Params) -> Terms:
            values = product(prediction, class_rows(prediction, params))
            own = own_class(target, values)
            chosen = torch.where(own, margined(values, params, reference), values)
            return class_losses(params["s"] * chosen, target)

        return changed

    return wrong


def _turned_margin(formula: Formula) -> Formula:
    def changed(prediction: Tensor, target: Tensor, params: Params) -> Terms:
        return formula(prediction, target, {**params, "m": -params["m"]})

    return changed


def _sine_without_root(cosines: Tensor, _: Tensor, own: Tensor, params: Params) -> Tensor:
    turned = cosines * math.cos(params["m"]) - (1 - cosines.square()) * math.sin(params["m"])
    scale: float = params["s"]
    return scale * torch.where(own, turned, cosines)


def _clamped_at_zero(cosines: Tensor, _: Tensor, own: Tensor, params: Params) -> Tensor:
    kept = cosines.clamp(min=0)
    scale: float = params["s"]
    return scale * torch.where(own, turned_cosines(kept, params), kept)


def _to_centre(cost: Callable[[Tensor], Tensor]) -> Callable[[Formula], Formula]:
    """Another cost of the difference to the own centre."""

    def wrong(_: Formula) -> Formula:
        def changed(prediction: Tensor, target: Tensor, params: Params) -> Terms:
            return unit_terms(cost(prediction - class_rows(prediction, params)[target]))

        return changed

    return wrong


def _all_centres(_: Formula) -> Formula:
    def changed(prediction: Tensor, _: Tensor, params: Params) -> Terms:
        rows = class_rows(prediction, params)
        squares = (prediction[:, None] - rows[None]).square().sum(-1)
        return unit_terms(params["factor"] * squares.sum(1))

    return changed


def _everywhere(_: Tensor, turned: Tensor, __: Tensor, params: Params) -> Tensor:
    scale: float = params["s"]
    return scale * turned


def _unscaled(cosines: Tensor, turned: Tensor, own: Tensor, _: Params) -> Tensor:
    return torch.where(own, turned, cosines)


def _own_unscaled(cosines: Tensor, turned: Tensor, own: Tensor, params: Params) -> Tensor:
    return torch.where(own, turned, params["s"] * cosines)


def _marginless(cosines: Tensor, _: Tensor, __: Tensor, params: Params) -> Tensor:
    scale: float = params["s"]
    return scale * cosines


def _margin_after_scale(cosines: Tensor, _: Tensor, own: Tensor, params: Params) -> Tensor:
    scale: float = params["s"]
    margin: float = params["m"]
    return scale * cosines - margin * own


def _of_each(
    references: tuple[str, ...],
    id_: str,
    message: str,
    logits: Callable[[Tensor, Tensor, Tensor, Params], Tensor],
) -> tuple[Mistake, ...]:
    """One mistake for each of the references."""
    return tuple(Mistake(id_, (name,), message, wrong=_logits(name, logits)) for name in references)


def _products_of_both(
    id_: str, message: str, product: Callable[[Tensor, Tensor], Tensor]
) -> tuple[Mistake, ...]:
    return tuple(
        Mistake(id_, (name,), message, wrong=_products(name, product)) for name in ("arcface", "cosface")
    )


MISTAKES = (
    *_of_each(
        ARC,
        "margin-on-all-classes",
        "gives the margin to every class, not only to the own one",
        _everywhere,
    ),
    *_of_each(
        BOTH,
        "scale-missing",
        "does not scale the cosines: a softmax of numbers between -1 and 1 is never sure",
        _unscaled,
    ),
    *_of_each(BOTH, "own-class-not-scaled", "scales the other classes, and not the own one", _own_unscaled),
    *_of_each(
        OF_ROWS,
        "margin-missing",
        "has no margin, or the same one for every class, which comes to the same: it is a softmax over scaled cosines",
        _marginless,
    ),
    *_products_of_both(
        "embeddings-not-normalised",
        "does not bring the embeddings to length one: what it takes for a cosine is none",
        lambda x, rows: x @ unit(rows).T,
    ),
    *_products_of_both(
        "weights-not-normalised",
        "does not bring the rows of the classes to length one: what it takes for a cosine is none",
        lambda x, rows: unit(x) @ rows.T,
    ),
    *_of_each(
        COS,
        "margin-after-scale",
        "takes the margin off after scaling: it is smaller by the factor {s:g}",
        _margin_after_scale,
    ),
    Mistake(
        "margin-turned",
        BOTH,
        "has the margin {m:g} with the wrong sign: the own class is made easier",
        wrong=_turned_margin,
    ),
    *_of_each(
        ARC,
        "sine-without-root",
        "takes 1 - cos^2 for the sine: the root is missing",
        _sine_without_root,
    ),
    *_of_each(
        ARC,
        "cosine-clamped-at-zero",
        "clamps the cosine to [0, 1] before the arc cosine: it reaches down to -1",
        _clamped_at_zero,
    ),
    Mistake(
        "averaged-over-features",
        CENTER,
        "averages the squared differences over the features: smaller than the squared distance by the factor D",
        "LA304",
        wrong=_to_centre(lambda difference: difference.square().mean(1)),
    ),
    Mistake(
        "distance-not-squared",
        CENTER,
        "is the distance to the centre, not its square",
        wrong=_to_centre(lambda difference: torch.linalg.vector_norm(difference, dim=1)),
        convention=True,
    ),
    Mistake(
        "distance-to-all-centres",
        CENTER,
        "adds the distances to the centres of all classes, not only to that of the own one",
        wrong=_all_centres,
    ),
)
