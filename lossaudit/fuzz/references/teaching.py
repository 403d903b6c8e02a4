"""Distillation together with the labels: a teacher's soft targets and the hard ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lossaudit.fuzz.model import Parameter, ReferenceSpec, Terms
from lossaudit.fuzz.references.divergence import TEMPERATURE, distillation
from lossaudit.fuzz.references.embeddings import unit_terms

if TYPE_CHECKING:
    from torch import Tensor

    from lossaudit.fuzz.model import Params

ALPHA = Parameter(
    "alpha", 0.5, "number", ("alpha", "lambda_", "lambd", "lam", "kd_weight", "soft_weight", "distill_weight")
)
SIDES = Parameter("alpha_at", "soft", "form", guesses=("soft", "hard", "soft alone"))


def sides(params: Params) -> tuple[float, float]:
    """The weights of the soft and of the hard term."""
    alpha = params["alpha"]
    return {"soft": (alpha, 1 - alpha), "hard": (1 - alpha, alpha), "soft alone": (alpha, 1.0)}[
        params.get("alpha_at", "soft")
    ]


def hard_losses(prediction: Tensor, target: Tensor) -> Tensor:
    """Cross-entropy with the class in the last column of the target, [N]."""
    return -prediction.log_softmax(1).gather(1, target[:, -1:].long()).squeeze(1)


def soft_losses(prediction: Tensor, target: Tensor, params: Params) -> Tensor:
    """T^2 times the divergence from the teacher, [N]."""
    return distillation(prediction, target[:, :-1], params).losses.sum(1)


def distillation_with_labels(prediction: Tensor, target: Tensor, params: Params) -> Terms:
    """Alpha T^2 KL(softmax(teacher / T) || softmax(student / T)) + (1 - alpha) cross-entropy."""
    soft, hard = sides(params)
    return unit_terms(soft * soft_losses(prediction, target, params) + hard * hard_losses(prediction, target))


REFERENCES = (
    ReferenceSpec(
        name="distillation_with_labels",
        summary="a T^2 KL(softmax(t / T) || softmax(x / T)) + (1 - a) cross-entropy of x, t being the teacher's logits",
        source="Hinton, Vinyals, Dean 2015, Distilling the Knowledge in a Neural Network, section 2 (arXiv:1503.02531)",
        spaces=("students-teachers",),
        formula=distillation_with_labels,
        parameters=(TEMPERATURE, ALPHA, SIDES),
        reductions=("mean", "sum", "none"),
        laws=frozenset({"permutation", "additive"}),
        only_declared=frozenset({"none"}),
    ),
)
