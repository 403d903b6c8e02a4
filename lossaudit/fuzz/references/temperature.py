"""Cross-entropy of logits over a temperature: of similarities, of calibrated or of distilled scores."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lossaudit.fuzz.model import Parameter, ReferenceSpec, Terms
from lossaudit.fuzz.references.classes import (
    IGNORE_INDEX,
    LABEL_SMOOTHING,
    SOFTMAX_LAWS,
    WEIGHT,
    cross_entropy,
    cross_entropy_code,
)

if TYPE_CHECKING:
    from torch import Tensor

    from lossaudit.fuzz.model import Params

TEMPERATURE = Parameter(
    "temperature",
    1.0,
    "number",
    ("temperature", "temp", "tau", "T", "t"),
    inverses=("logit_scale", "inverse_temperature", "scale", "s"),
    low=1e-3,
    high=1e3,
    divides=True,
)
POWERS = {"1": 0, "T": 1, "T^2": 2}
FACTOR = Parameter("factor", "1", "form", guesses=tuple(POWERS))


def tempered_cross_entropy(prediction: Tensor, target: Tensor, params: Params) -> Terms:
    """Cross-entropy of logits divided by the temperature, times the power of it that the factor names."""
    return rescaled(cross_entropy(prediction / params["temperature"], target, params), params)


def rescaled(terms: Terms, params: Params) -> Terms:
    """The losses times the power of the temperature that the factor names: T^2 keeps the size of the gradients."""
    factor = params["temperature"] ** POWERS[params.get("factor", "1")]
    return Terms(terms.losses * factor, terms.shares)


def _code(params: Params, reduction: str) -> str:
    temperature, power = params["temperature"], POWERS[params.get("factor", "1")]
    plain = cross_entropy_code(params, reduction, f"prediction.double() / {temperature!r}")
    return f"{plain} * {temperature!r} ** {power}" if power else plain


REFERENCES = (
    ReferenceSpec(
        name="cross_entropy_with_temperature",
        summary="-sum_c q_c log softmax(x / T)_c, q as of cross_entropy; times T or T^2 in the forms that say so",
        source="Guo et al. 2017, On Calibration of Modern Neural Networks, equation 9 (arXiv:1706.04599); "
        "the factor T^2: Hinton, Vinyals, Dean 2015, section 2 (arXiv:1503.02531)",
        spaces=("logits-indices", "logits-rows"),
        formula=tempered_cross_entropy,
        parameters=(TEMPERATURE, FACTOR, WEIGHT, IGNORE_INDEX, LABEL_SMOOTHING),
        laws=SOFTMAX_LAWS,
        code=_code,
        essential=("temperature",),
    ),
)
