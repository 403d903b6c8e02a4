"""Divergences of two distributions: Kullback-Leibler, Jensen-Shannon, and distillation of one model into another."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from lossaudit.fuzz.model import Parameter, ReferenceSpec, Terms

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from lossaudit.fuzz.model import Params

REDUCTIONS = ("batchmean", "sum", "none", "mean")
LAWS = frozenset({"permutation", "additive", "minimum"})
TEMPERATURE = Parameter(
    "temperature", 1.0, "number", ("temperature", "temp", "T", "t", "tau"), low=0.05, high=100.0, power=2
)


def _elements(losses: Tensor) -> Terms:
    return Terms(losses, torch.ones_like(losses))


def times_log(weight: Tensor, log: Tensor) -> Tensor:
    """Weight times logarithm, 0 where the weight is 0."""
    return torch.where(weight == 0, torch.zeros_like(log), weight * log)


def exact_log(values: Tensor) -> Tensor:
    """Logarithm with a slope of 0 where the value is 0, for use under a weight that is 0 there too."""
    return torch.where(values == 0, torch.ones_like(values), values).log()


def kl(prediction: Tensor, target: Tensor, _: Params) -> Terms:
    """KL(target || prediction), the prediction as log-probabilities and the target as probabilities."""
    return _elements(target * exact_log(target) - times_log(target, prediction))


def kl_of_logs(prediction: Tensor, target: Tensor, _: Params) -> Terms:
    """KL(target || prediction), both as log-probabilities."""
    return _elements(target.exp() * (target - prediction))


def kl_of_probabilities(prediction: Tensor, target: Tensor, _: Params) -> Terms:
    """KL(target || prediction), both as probabilities."""
    safe = torch.where(target == 0, torch.ones_like(prediction), prediction)
    return _elements(target * (exact_log(target) - safe.log()))


def kl_of_logits(prediction: Tensor, target: Tensor, params: Params) -> Terms:
    """KL(target || softmax(prediction)), the target as probabilities."""
    return kl(prediction.log_softmax(1), target, params)


def js(prediction: Tensor, target: Tensor, params: Params) -> Terms:
    """Half of KL(target || m) + KL(prediction || m), m their mean."""
    middle = (prediction + target) / 2
    first = kl_of_probabilities(middle, target, params).losses
    second = kl_of_probabilities(middle, prediction, params).losses
    return _elements((first + second) / 2)


def js_of_logits(prediction: Tensor, target: Tensor, _: Params) -> Terms:
    """Jensen-Shannon divergence of softmax(prediction) and softmax(target), in log space."""
    first, second = prediction.log_softmax(1), target.log_softmax(1)
    middle = torch.logaddexp(first, second) - math.log(2)
    return _elements((first.exp() * (first - middle) + second.exp() * (second - middle)) / 2)


def distillation(prediction: Tensor, target: Tensor, params: Params) -> Terms:
    """T^2 KL(softmax(teacher / T) || softmax(student / T))."""
    temperature = params["temperature"]
    soft = kl_of_logs(
        (prediction / temperature).log_softmax(1), (target / temperature).log_softmax(1), params
    )
    return _elements(temperature**2 * soft.losses)


def _kl_code(prediction: str, target: str, *, log_target: bool) -> Callable[[Params, str], str]:
    def code(_: Params, reduction: str) -> str:
        return f"torch.nn.functional.kl_div({prediction}, {target}, log_target={log_target}, reduction={reduction!r})"

    return code


def _distillation_code(params: Params, reduction: str) -> str:
    t = params["temperature"]
    soft = [f"({name}.double() / {t!r}).log_softmax(1)" for name in ("prediction", "target")]
    return f"{t!r} ** 2 * {_kl_code(*soft, log_target=True)(params, reduction)}"


_KL_SOURCE = (
    "Kullback and Leibler 1951, On Information and Sufficiency; "
    "https://docs.pytorch.org/docs/stable/generated/torch.nn.KLDivLoss.html"
)
_JS_SOURCE = "Lin 1991, Divergence Measures Based on the Shannon Entropy, equation 3.8"
REFERENCES = (
    ReferenceSpec(
        name="kl_div",
        summary="sum_c y_c (log y_c - x_c), x being log-probabilities",
        source=_KL_SOURCE,
        spaces=("log_probabilities-distributions",),
        formula=kl,
        reductions=REDUCTIONS,
        laws=LAWS,
        code=_kl_code("prediction.double()", "target.double()", log_target=False),
        only_declared=frozenset({"mean"}),
    ),
    ReferenceSpec(
        name="kl_div_of_logs",
        summary="sum_c exp(y_c) (y_c - x_c), x and y being log-probabilities",
        source=_KL_SOURCE,
        spaces=("log_probabilities-log_distributions",),
        formula=kl_of_logs,
        reductions=REDUCTIONS,
        laws=LAWS,
        code=_kl_code("prediction.double()", "target.double()", log_target=True),
        only_declared=frozenset({"mean"}),
    ),
    ReferenceSpec(
        name="kl_div_of_probabilities",
        summary="sum_c y_c (log y_c - log p_c)",
        source=_KL_SOURCE,
        spaces=("distributions-distributions",),
        formula=kl_of_probabilities,
        reductions=REDUCTIONS,
        laws=LAWS,
        code=_kl_code("prediction.double().log()", "target.double()", log_target=False),
        only_declared=frozenset({"mean"}),
    ),
    ReferenceSpec(
        name="kl_div_of_logits",
        summary="sum_c y_c (log y_c - log softmax(x)_c)",
        source=_KL_SOURCE,
        spaces=("logits-distributions",),
        formula=kl_of_logits,
        reductions=REDUCTIONS,
        laws=LAWS | {"shift"},
        code=_kl_code("prediction.double().log_softmax(1)", "target.double()", log_target=False),
        only_declared=frozenset({"mean"}),
    ),
    ReferenceSpec(
        name="js_divergence",
        summary="(KL(y || m) + KL(p || m)) / 2, m = (p + y) / 2",
        source=_JS_SOURCE,
        spaces=("distributions-distributions",),
        formula=js,
        reductions=REDUCTIONS,
        laws=LAWS,
        only_declared=frozenset({"mean"}),
    ),
    ReferenceSpec(
        name="js_divergence_of_logits",
        summary="(KL(y || m) + KL(p || m)) / 2, p = softmax(x), y = softmax(t), m = (p + y) / 2",
        source=_JS_SOURCE,
        spaces=("logits-logits",),
        formula=js_of_logits,
        reductions=REDUCTIONS,
        laws=LAWS | {"shift"},
        only_declared=frozenset({"mean"}),
    ),
    ReferenceSpec(
        name="distillation_loss",
        summary="T^2 KL(softmax(t / T) || softmax(x / T)), t being the teacher's logits",
        source="Hinton, Vinyals, Dean 2015, Distilling the Knowledge in a Neural Network, section 2 (arXiv:1503.02531)",
        spaces=("logits-logits",),
        formula=distillation,
        parameters=(TEMPERATURE,),
        reductions=REDUCTIONS,
        laws=LAWS | {"shift"},
        code=_distillation_code,
        only_declared=frozenset({"mean"}),
    ),
)
