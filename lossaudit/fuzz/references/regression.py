"""Losses on real numbers: a prediction against the value that it should be."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from lossaudit.fuzz.model import Parameter, ReferenceSpec, Terms

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from lossaudit.fuzz.model import Formula, Params

VALUES = ("values-values", "vectors-vectors")
LAWS = frozenset({"permutation", "additive", "minimum"})
ROOT_LAWS = frozenset({"permutation", "minimum"})
LOG_2 = 0.6931471805599453
STIRLING = 0.9189385332046727
"""log(2 pi) / 2"""


def elementwise(loss: Callable[[Tensor, Params], Tensor]) -> Formula:
    """A formula of the error, prediction minus target, of each element."""

    def formula(prediction: Tensor, target: Tensor, params: Params) -> Terms:
        losses = loss(prediction - target, params)
        return Terms(losses, torch.ones_like(losses))

    return formula


def rooted(formula: Formula) -> Formula:
    """The root of the mean of another formula: one number for the whole batch."""

    def changed(prediction: Tensor, target: Tensor, params: Params) -> Terms:
        terms = formula(prediction, target, params)
        mean = terms.losses.sum() / terms.shares.sum() + (params.get("guard") or 0.0)
        root = exact_root(mean)
        return Terms(root, torch.ones_like(root))

    return changed


def exact_root(square: Tensor) -> Tensor:
    """Square root whose slope at zero is 0, as that of torch's own norms."""
    return torch.where(square > 0, square, torch.ones_like(square)).sqrt() * (square > 0)


def _squared(error: Tensor, _: Params) -> Tensor:
    return error**2


def _absolute(error: Tensor, _: Params) -> Tensor:
    return error.abs()


def _smooth_l1(error: Tensor, params: Params) -> Tensor:
    size, beta = error.abs(), params["beta"]
    if beta == 0:
        return size
    return torch.where(size < beta, error**2 / (2 * beta), size - beta / 2)


def _huber(error: Tensor, params: Params) -> Tensor:
    size, delta = error.abs(), params["delta"]
    return torch.where(size <= delta, error**2 / 2, delta * (size - delta / 2))


def log_cosh(error: Tensor, _: Params) -> Tensor:
    """log(cosh(e)): |e| + log(1 + exp(-2|e|)) - log 2 where e is large, log(1 + 2 sinh(e / 2)**2) where it is not."""
    size = error.abs()
    small = torch.where(size < 1, error, torch.zeros_like(error))
    return torch.where(
        size < 1,
        torch.log1p(2 * torch.sinh(small / 2) ** 2),
        size + torch.log1p(torch.exp(-2 * size)) - LOG_2,
    )


def _charbonnier(error: Tensor, params: Params) -> Tensor:
    return torch.sqrt(error**2 + params["eps"] ** 2)


def _wing(error: Tensor, params: Params) -> Tensor:
    size, width, curvature = error.abs(), params["width"], params["epsilon"]
    bend = torch.log1p(torch.as_tensor(width / curvature, dtype=size.dtype))
    return torch.where(size < width, width * torch.log1p(size / curvature), size - width + width * bend)


mse = elementwise(_squared)
l1 = elementwise(_absolute)
rmse = rooted(mse)


def msle(prediction: Tensor, target: Tensor, params: Params) -> Terms:
    """Squared difference of log(1 + x) and log(1 + y)."""
    return mse(torch.log1p(prediction), torch.log1p(target), params)


rmsle = rooted(msle)


def _stirling(counts: Tensor) -> Tensor:
    """Stirling's approximation of log(y!), 0 for counts of at most 1."""
    safe = torch.where(counts > 1, counts, torch.ones_like(counts))
    approximation = safe * safe.log() - safe + 0.5 * safe.log() + STIRLING
    return torch.where(counts > 1, approximation, torch.zeros_like(counts))


def _poisson(rate: Tensor, log_rate: Tensor, target: Tensor, params: Params) -> Terms:
    losses = rate - torch.where(target == 0, torch.zeros_like(rate), target * log_rate)
    if params.get("full"):
        losses = losses + _stirling(target)
    return Terms(losses, torch.ones_like(losses))


def poisson_of_log_rates(prediction: Tensor, target: Tensor, params: Params) -> Terms:
    """Of logarithms of rates: exp(x) - y x."""
    return _poisson(prediction.exp(), prediction, target, params)


def poisson_of_rates(prediction: Tensor, target: Tensor, params: Params) -> Terms:
    """Of rates: x - y log(x + eps)."""
    # Where there were no events the logarithm counts for nothing, and its slope must not either.
    safe = torch.where(target == 0, torch.ones_like(prediction), prediction + params["eps"])
    return _poisson(prediction, safe.log(), target, params)


def _torch_code(function: str, *parameters: str, fixed: str = "") -> Callable[[Params, str], str]:
    """Source of a call of ``torch.nn.functional`` with the parameters of these names."""

    def code(params: Params, reduction: str) -> str:
        given = "".join(f", {name}={params[name]!r}" for name in parameters)
        call = f"torch.nn.functional.{function}(prediction.double(), target.double(){fixed}{given}"
        if reduction == "batchmean":
            return f"{call}, reduction='sum') / len(prediction)"
        return f"{call}, reduction={reduction!r})"

    return code


_TORCH = "https://docs.pytorch.org/docs/stable/generated/torch.nn."
GUARD = Parameter("guard", 0.0, "number", ("eps", "epsilon", "guard"), high=1e-3)
FULL = Parameter("full", False, "flag", guesses=(True,))
REFERENCES = (
    ReferenceSpec(
        name="mse_loss",
        summary="(x - y)^2",
        source=f"{_TORCH}MSELoss.html",
        spaces=VALUES,
        formula=mse,
        laws=LAWS,
        code=_torch_code("mse_loss"),
    ),
    ReferenceSpec(
        name="l1_loss",
        summary="|x - y|",
        source=f"{_TORCH}L1Loss.html",
        spaces=VALUES,
        formula=l1,
        laws=LAWS,
        code=_torch_code("l1_loss"),
    ),
    ReferenceSpec(
        name="smooth_l1_loss",
        summary="(x - y)^2 / (2 beta) where |x - y| < beta, else |x - y| - beta / 2",
        source=f"Girshick 2015, Fast R-CNN, equation 3 (arXiv:1504.08083); {_TORCH}SmoothL1Loss.html",
        spaces=VALUES,
        formula=elementwise(_smooth_l1),
        parameters=(Parameter("beta", 1.0, "number", ("beta", "sigma", "threshold"), high=1e3),),
        laws=LAWS,
        code=_torch_code("smooth_l1_loss", "beta"),
    ),
    ReferenceSpec(
        name="huber_loss",
        summary="(x - y)^2 / 2 where |x - y| <= delta, else delta (|x - y| - delta / 2)",
        source=f"Huber 1964, Robust Estimation of a Location Parameter; {_TORCH}HuberLoss.html",
        spaces=VALUES,
        formula=elementwise(_huber),
        parameters=(Parameter("delta", 1.0, "number", ("delta", "threshold", "beta"), low=1e-6, high=1e3),),
        laws=LAWS,
        code=_torch_code("huber_loss", "delta"),
    ),
    ReferenceSpec(
        name="log_cosh_loss",
        summary="log(cosh(x - y))",
        source="Saleh and Saleh 2022, Statistical Properties of the log-cosh Loss Function (arXiv:2208.04564)",
        spaces=VALUES,
        formula=elementwise(log_cosh),
        laws=LAWS,
    ),
    ReferenceSpec(
        name="charbonnier_loss",
        summary="sqrt((x - y)^2 + eps^2)",
        source="Charbonnier et al. 1994, Two deterministic half-quadratic regularization algorithms; "
        "Lai et al. 2017 (arXiv:1704.03915), section 3.3",
        spaces=VALUES,
        formula=elementwise(_charbonnier),
        parameters=(Parameter("eps", 1e-3, "number", ("eps", "epsilon", "alpha"), low=1e-9, high=10.0),),
        laws=LAWS,
    ),
    ReferenceSpec(
        name="wing_loss",
        summary="w log(1 + |x - y| / epsilon) where |x - y| < w, else |x - y| - w + w log(1 + w / epsilon)",
        source="Feng et al. 2018, Wing Loss for Robust Facial Landmark Localisation, equation 5 (arXiv:1711.06753)",
        spaces=VALUES,
        formula=elementwise(_wing),
        parameters=(
            Parameter("width", 10.0, "number", ("width", "w", "omega"), low=0.1, high=100.0),
            Parameter("epsilon", 2.0, "number", ("epsilon", "eps", "curvature"), low=0.01, high=100.0),
        ),
        laws=LAWS,
    ),
    ReferenceSpec(
        name="rmse_loss",
        summary="sqrt(mean((x - y)^2)): one root for the whole batch",
        source="Bishop 2006, Pattern Recognition and Machine Learning, equation 1.3",
        spaces=VALUES,
        formula=rmse,
        parameters=(GUARD,),
        reductions=("given",),
        laws=ROOT_LAWS,
    ),
    ReferenceSpec(
        name="msle_loss",
        summary="(log(1 + x) - log(1 + y))^2",
        source="https://scikit-learn.org/stable/modules/model_evaluation.html#mean-squared-logarithmic-error",
        spaces=("amounts-amounts",),
        formula=msle,
        laws=LAWS,
    ),
    ReferenceSpec(
        name="rmsle_loss",
        summary="sqrt(mean((log(1 + x) - log(1 + y))^2)): one root for the whole batch",
        source="https://scikit-learn.org/stable/modules/model_evaluation.html#mean-squared-logarithmic-error",
        spaces=("amounts-amounts",),
        formula=rmsle,
        parameters=(GUARD,),
        reductions=("given",),
        laws=ROOT_LAWS,
    ),
    ReferenceSpec(
        name="poisson_nll_loss",
        summary="exp(x) - y x, x being the logarithm of the rate; with full, plus Stirling's log(y!)",
        source=f"{_TORCH}PoissonNLLLoss.html",
        spaces=("log_rates-counts",),
        formula=poisson_of_log_rates,
        parameters=(FULL,),
        laws=LAWS,
        code=_torch_code("poisson_nll_loss", "full", fixed=", log_input=True"),
    ),
    ReferenceSpec(
        name="poisson_nll_loss_of_rates",
        summary="x - y log(x + eps), x being the rate; with full, plus Stirling's log(y!)",
        source=f"{_TORCH}PoissonNLLLoss.html",
        spaces=("rates-counts",),
        formula=poisson_of_rates,
        parameters=(
            FULL,
            Parameter("eps", 1e-8, "number", ("eps", "epsilon"), guesses=(0.0,), high=1e-2),
        ),
        laws=LAWS,
        code=_torch_code("poisson_nll_loss", "full", "eps", fixed=", log_input=False"),
    ),
)
