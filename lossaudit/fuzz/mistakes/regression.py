"""How losses on real numbers go wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from lossaudit.fuzz.mistakes.rounding import nudged
from lossaudit.fuzz.model import Mistake, Parameter, Terms

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from lossaudit.fuzz.model import Formula, Params

ELEMENTWISE = (
    "mse_loss",
    "l1_loss",
    "smooth_l1_loss",
    "huber_loss",
    "log_cosh_loss",
    "quantile_loss",
    "charbonnier_loss",
    "wing_loss",
)
ROOTS = ("rmse_loss", "rmsle_loss")
COLUMN_ROW = "a column [N, 1] against a row [N]"
SAMPLES = "[N, 1, ...] against [N, ...]"
ONE_OUTPUT = "[N, 1] against [N]"
SHAPES = Parameter("shapes", COLUMN_ROW, "choice", guesses=(COLUMN_ROW, SAMPLES, ONE_OUTPUT))
ORDER = Parameter("order", "x - y", "choice", guesses=("x - y", "y - x"))
CONSTANT = Parameter("constant", "none", "choice", guesses=("none", "turned", "width"))


def _elements(losses: Tensor) -> Terms:
    return Terms(losses, torch.ones_like(losses))


def _of_error(loss: Callable[[Tensor, Params], Tensor]) -> Callable[[Formula], Formula]:
    """Another function of the error takes the place of the right one."""

    def wrong(_: Formula) -> Formula:
        return lambda prediction, target, params: _elements(loss(prediction - target, params))

    return wrong


def _bare(error: Tensor, params: Params) -> Tensor:
    return error if params["order"] == "x - y" else -error


def _smooth_without_absolute(error: Tensor, params: Params) -> Tensor:
    error, beta = _bare(error, params), params["beta"]
    return torch.where(error < beta, error**2 / (2 * beta), error - beta / 2)


def _huber_without_absolute(error: Tensor, params: Params) -> Tensor:
    error, delta = _bare(error, params), params["delta"]
    return torch.where(error <= delta, error**2 / 2, delta * (error - delta / 2))


def _smooth_without_beta(error: Tensor, params: Params) -> Tensor:
    size, beta = error.abs(), params["beta"]
    return torch.where(size < beta, error**2 / 2, size - beta / 2)


def _smooth_without_half(error: Tensor, params: Params) -> Tensor:
    size, beta = error.abs(), params["beta"]
    return torch.where(size < beta, error**2 / beta, size - beta / 2)


def _smooth_not_joined(error: Tensor, params: Params) -> Tensor:
    size, beta = error.abs(), params["beta"]
    return torch.where(size < beta, error**2 / (2 * beta), size - 0.5)


def _huber_without_half(error: Tensor, params: Params) -> Tensor:
    size, delta = error.abs(), params["delta"]
    return torch.where(size <= delta, error**2, delta * (size - delta / 2))


def _huber_slope_one(error: Tensor, params: Params) -> Tensor:
    size, delta = error.abs(), params["delta"]
    return torch.where(size <= delta, error**2 / 2, size - delta / 2)


def _huber_not_joined(error: Tensor, params: Params) -> Tensor:
    size, delta = error.abs(), params["delta"]
    return torch.where(size <= delta, error**2 / 2, delta * size)


def _wing_constant(error: Tensor, params: Params) -> Tensor:
    size, width, curvature = error.abs(), params["width"], params["epsilon"]
    bend = width - width * torch.log1p(torch.as_tensor(width / curvature, dtype=size.dtype))
    added = {"none": 0.0 * bend, "turned": bend, "width": -width + 0.0 * bend}[params["constant"]]
    return torch.where(size < width, width * torch.log1p(size / curvature), size + added)


def _charbonnier_unsquared(error: Tensor, params: Params) -> Tensor:
    return torch.sqrt(error**2 + params["eps"])


def _charbonnier_without_root(error: Tensor, params: Params) -> Tensor:
    return torch.add(error**2, params["eps"] ** 2)


def _log_of_cosh(prediction: Tensor, target: Tensor, _: Params, nudge: float) -> Terms:
    return _elements(nudged(torch.cosh(prediction - target), nudge, torch.inf).log())


def _broadcast(formula: Formula) -> Formula:
    """Every prediction meets every target."""

    def changed(prediction: Tensor, target: Tensor, params: Params) -> Terms:
        shapes = params["shapes"]
        if shapes == COLUMN_ROW:
            first, second = prediction.reshape(-1, 1), target.reshape(1, -1)
        elif shapes == SAMPLES:
            first, second = prediction.unsqueeze(1), target.unsqueeze(0)
        elif prediction.ndim == 2 and prediction.shape[1] == 1:
            first, second = prediction, target.reshape(1, -1)
        else:
            return formula(prediction, target, params)
        shape = (first * second).shape
        return formula(first.expand(shape), second.expand(shape), params)

    return changed


def _root_of_sum(formula: Formula) -> Formula:
    """The reference is the root of the mean: undo it by the number of elements."""

    def changed(prediction: Tensor, target: Tensor, params: Params) -> Terms:
        count = float(prediction.numel())
        terms = formula(prediction, target, {**params, "guard": 0.0})
        square = terms.losses**2 * count + (params.get("guard") or 0.0)
        return Terms(square.sqrt(), terms.shares)

    return changed


def _root_by_sample(formula: Formula) -> Formula:
    """One root for each sample, then the mean of them."""

    def changed(prediction: Tensor, target: Tensor, params: Params) -> Terms:
        rows = [
            formula(one[None], other[None], params).losses
            for one, other in zip(prediction, target, strict=True)
        ]
        mean = torch.stack(rows).mean()
        return Terms(mean, torch.ones_like(mean))

    return changed


def _root_by_column(formula: Formula) -> Formula:
    """One root for each output over the batch, then the mean of them."""

    def changed(prediction: Tensor, target: Tensor, params: Params) -> Terms:
        if prediction.ndim < 2:
            return formula(prediction, target, params)
        columns = zip(prediction.unbind(1), target.unbind(1), strict=True)
        mean = torch.stack([formula(one, other, params).losses for one, other in columns]).mean()
        return Terms(mean, torch.ones_like(mean))

    return changed


def _plain_root(prediction: Tensor, target: Tensor, params: Params, _nudge: float) -> Terms:
    root = (((prediction - target) ** 2).mean() + (params.get("guard") or 0.0)).sqrt()
    return Terms(root, torch.ones_like(root))


def _plain_log_root(prediction: Tensor, target: Tensor, params: Params, nudge: float) -> Terms:
    return _plain_root(prediction.log1p(), target.log1p(), params, nudge)


def _root_of_squares(prediction: Tensor, target: Tensor, _: Params, _nudge: float) -> Terms:
    return _elements(((prediction - target) ** 2).sqrt())


def _without_one(prediction: Tensor, target: Tensor, _: Params, _nudge: float) -> Terms:
    return _elements((prediction.log() - target.log()) ** 2)


def _half(formula: Formula) -> Formula:
    return lambda prediction, target, params: _elements(formula(prediction, target, params).losses / 2)


def _poisson_without_exp(_: Formula) -> Formula:
    return lambda prediction, target, _params: _elements(prediction - target * prediction)


def _poisson_turned(formula: Formula) -> Formula:
    return lambda prediction, target, params: _elements(
        formula(prediction, target, params).losses + 2 * target * prediction
    )


def _batch_dimension_only(terms: Terms, _: Tensor) -> Tensor:
    return terms.losses.mean(0)


def _sum_over_last(terms: Terms, _: Tensor) -> Tensor:
    """Summed over the batch, averaged over the outputs."""
    return terms.losses.sum(0).mean()


def _guarded(params: Params) -> bool:
    return bool(params.get("guard"))


MISTAKES = (
    Mistake(
        "half-squared-error",
        ("mse_loss",),
        "is half of the squared error: a published convention, whose gradient is the error",
        wrong=_half,
        convention=True,
    ),
    Mistake(
        "charbonnier-eps-not-squared",
        ("charbonnier_loss",),
        "adds eps, not its square, under the root: a published convention",
        wrong=_of_error(_charbonnier_unsquared),
        convention=True,
    ),
    Mistake(
        "root-by-sample",
        ROOTS,
        "takes one root for each sample and averages them: a published convention",
        wrong=_root_by_sample,
        convention=True,
    ),
    Mistake(
        "root-by-column",
        ROOTS,
        "takes one root for each output and averages them: a published convention",
        wrong=_root_by_column,
        convention=True,
    ),
    Mistake(
        "broadcast-to-matrix",
        (*ELEMENTWISE, "rmse_loss", "bce_with_logits"),
        "pairs every prediction with every target: {shapes} broadcasts to a matrix",
        "LA308",
        wrong=_broadcast,
        parameters=(SHAPES,),
    ),
    Mistake(
        "missing-square",
        ("mse_loss",),
        "is the mean of {order}: the square is missing, and errors of opposite sign cancel",
        wrong=_of_error(_bare),
        parameters=(ORDER,),
    ),
    Mistake(
        "missing-absolute",
        ("l1_loss",),
        "is the mean of {order}: the absolute value is missing, and errors of opposite sign cancel",
        wrong=_of_error(_bare),
        parameters=(ORDER,),
    ),
    Mistake(
        "missing-absolute",
        ("smooth_l1_loss",),
        "compares {order} with beta, not its absolute value: large errors to one side stay squared",
        wrong=_of_error(_smooth_without_absolute),
        parameters=(ORDER,),
    ),
    Mistake(
        "missing-absolute",
        ("huber_loss",),
        "compares {order} with delta, not its absolute value: large errors to one side stay squared",
        wrong=_of_error(_huber_without_absolute),
        parameters=(ORDER,),
    ),
    Mistake(
        "quadratic-part-without-beta",
        ("smooth_l1_loss",),
        "does not divide the squared part by beta = {beta:g}: value and slope jump where the parts meet",
        wrong=_of_error(_smooth_without_beta),
        applies=lambda params: params["beta"] != 1.0,
    ),
    Mistake(
        "linear-part-not-joined",
        ("smooth_l1_loss",),
        "subtracts 1/2 in the linear part, not beta / 2 of beta = {beta:g}: the value jumps where the parts meet",
        wrong=_of_error(_smooth_not_joined),
        applies=lambda params: params["beta"] not in {0.0, 1.0},
    ),
    Mistake(
        "quadratic-part-without-half",
        ("smooth_l1_loss",),
        "has no factor 1/2 in the squared part: the value jumps where the parts meet",
        wrong=_of_error(_smooth_without_half),
    ),
    Mistake(
        "quadratic-part-without-half",
        ("huber_loss",),
        "has no factor 1/2 in the squared part: the value jumps where the parts meet",
        wrong=_of_error(_huber_without_half),
    ),
    Mistake(
        "linear-part-without-delta",
        ("huber_loss",),
        "does not multiply the linear part by delta = {delta:g}: value and slope jump where the parts meet",
        wrong=_of_error(_huber_slope_one),
        applies=lambda params: params["delta"] != 1.0,
    ),
    Mistake(
        "linear-part-not-joined",
        ("huber_loss",),
        "does not subtract delta / 2 in the linear part: the value jumps where the parts meet",
        wrong=_of_error(_huber_not_joined),
    ),
    Mistake(
        "log-cosh-overflow",
        ("log_cosh_loss",),
        "forms log(cosh(x - y)) as it stands, and cosh overflows",
        "LA403",
        codes=("LF301", "LF302"),
        rounded=_log_of_cosh,
    ),
    Mistake(
        "wing-not-joined",
        ("wing_loss",),
        "has the wrong constant in the linear part: the value jumps where the parts meet",
        wrong=_of_error(_wing_constant),
        parameters=(CONSTANT,),
    ),
    Mistake(
        "missing-root",
        ("charbonnier_loss",),
        "has no root: it is the squared error plus eps^2",
        wrong=_of_error(_charbonnier_without_root),
    ),
    Mistake(
        "root-of-sum",
        ROOTS,
        "is the root of the sum, not of the mean: it grows with the root of the number of elements",
        wrong=_root_of_sum,
        convention=True,
    ),
    Mistake(
        "infinite-slope-of-root",
        ("rmse_loss",),
        "takes the root of a mean that is 0 where all is right: the slope of the root is infinite there",
        "LA408",
        codes=("LF302",),
        rounded=_plain_root,
        applies=lambda params: not _guarded(params),
    ),
    Mistake(
        "infinite-slope-of-root",
        ("rmsle_loss",),
        "takes the root of a mean that is 0 where all is right: the slope of the root is infinite there",
        "LA408",
        codes=("LF302",),
        rounded=_plain_log_root,
        applies=lambda params: not _guarded(params),
    ),
    Mistake(
        "infinite-slope-of-root",
        ("l1_loss",),
        "is the root of the squared error of each element, and the slope of the root is infinite where that is 0",
        "LA408",
        codes=("LF302",),
        rounded=_root_of_squares,
    ),
    Mistake(
        "log-without-one",
        ("msle_loss",),
        "takes log(x), not log(1 + x): it is not finite where a value is 0",
        "LA406",
        codes=("LF101", "LF301", "LF302"),
        rounded=_without_one,
        convention=True,
    ),
    Mistake(
        "poisson-without-exponential",
        ("poisson_nll_loss",),
        "is x - y x where the prediction is a logarithm: the exponential is missing",
        wrong=_poisson_without_exp,
    ),
    Mistake(
        "poisson-sign",
        ("poisson_nll_loss",),
        "adds y x, where it is to be subtracted",
        wrong=_poisson_turned,
    ),
    Mistake(
        "mean-over-batch-only",
        (*ELEMENTWISE, "msle_loss"),
        "is averaged over the batch only, not over the outputs of a sample: it is no single number",
        "LA301",
        reduce=_batch_dimension_only,
        reductions=("mean",),
    ),
    Mistake(
        "summed-over-batch",
        (*ELEMENTWISE, "msle_loss"),
        "is summed over the batch and averaged over the outputs: the dimensions are mixed up",
        reduce=_sum_over_last,
        reductions=("mean",),
        convention=True,
    ),
)
