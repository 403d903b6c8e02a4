"""A reference with its parameters, a reduction and any mistakes: something that can be evaluated and compared."""

from __future__ import annotations

import contextlib
import functools
import itertools
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from lossaudit.fuzz.model import Expected, Formula, Mistake, Parameter, Reducer, Stacked, Terms
from lossaudit.fuzz.subject import DTYPES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

    from lossaudit.fuzz.model import Case, Observation, Params, ReferenceSpec, Totals

# How many times the reference's own error, plus one unit of rounding of the largest number that any algebraic form of
# the loss must hold, a correct loss may be off. Summation order, a logit subtracted after instead of before, and a
# product instead of a difference of logarithms each cost a few units; 16 leaves room for all of them together.
MARGIN = 16.0
# float64 is judged to nine digits: torch's own kernels are not exact in it (softplus drops exp(-20) = 2e-9).
UNIT = {"float64": 2.0**-29, "float32": 2.0**-24, "float16": 2.0**-11, "bfloat16": 2.0**-8}
# What a formula raises at a shape or target where it makes no sense: there it reproduces nothing.
UNDEFINED = (RuntimeError, IndexError, ValueError, TypeError)


def _mean(terms: Terms, _: Tensor) -> Tensor:
    return terms.losses.sum() / terms.shares.sum()


def _batch_mean(terms: Terms, _: Tensor) -> Tensor:
    return terms.losses.sum() / terms.losses.shape[0] if terms.losses.ndim else terms.losses


REDUCERS: dict[str, Reducer] = {
    "mean": _mean,
    "sum": lambda terms, _: terms.losses.sum(),
    "none": lambda terms, _: terms.losses,
    "batchmean": _batch_mean,
    "given": lambda terms, _: terms.losses,
}


@dataclass(frozen=True, slots=True, eq=False)
class Variant:
    """One formula in all its particulars.

    ``conventions`` and ``mistakes`` come from the bank; the former belong to what the target may be, the latter not.
    """

    spec: ReferenceSpec
    params: Mapping[str, Any]
    reduction: str
    conventions: tuple[Mistake, ...] = ()
    mistakes: tuple[Mistake, ...] = ()

    def with_mistakes(self, mistakes: tuple[Mistake, ...], params: Mapping[str, Any]) -> Variant:
        """The same with mistakes, and with parameters that hold those which these need."""
        return Variant(self.spec, params, self.reduction, self.conventions, mistakes)

    def right(self) -> Variant:
        """The same without its mistakes."""
        return replace(self, mistakes=())

    @property
    def changes(self) -> tuple[Mistake, ...]:
        """Conventions first, then mistakes."""
        return self.conventions + self.mistakes

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """The parameters of the reference, and those of its conventions."""
        own = itertools.chain.from_iterable(convention.parameters for convention in self.conventions)
        return (*self.spec.parameters, *own)

    @property
    def rounded(self) -> bool:
        """Whether it must be evaluated at the dtype of the target."""
        return any(change.rounded is not None for change in self.changes)

    @property
    def coarse(self) -> bool:
        """Whether a part of it may be computed in float32 whatever the dtype."""
        return any(change.coarse for change in self.changes)

    @property
    def degree(self) -> int:
        """The degree of the largest intermediate in the inputs."""
        return max(self.spec.degree, *(change.degree for change in self.changes), 1)

    @property
    def keeps_reduction(self) -> bool:
        """Whether none of its changes takes the place of the reduction."""
        return all(change.reduce is None for change in self.changes)

    def settles(self, case: Case) -> bool:
        """Whether the formula has one answer to a case."""
        return self.spec.settled(case.prediction, case.target)

    @property
    def formula(self) -> Formula:
        """The formula with its changes, where none of these is one of rounding."""
        formula: Formula = self.spec.formula
        for change in self.changes:
            if change.wrong is not None:
                formula = change.wrong(formula)
        return formula

    def terms(self, prediction: Tensor, target: Tensor, nudge: float = 0.0) -> Terms:
        """The losses before reduction, at the dtype of the prediction."""
        for change in self.changes:
            if change.rounded is not None:
                return change.rounded(prediction, target, self.params, nudge)
        return self.formula(prediction, target, self.params)

    def reduce(self, terms: Terms, prediction: Tensor) -> Tensor:
        """The reduction: that of a mistake, or its own."""
        for change in reversed(self.changes):
            if change.reduce is not None:
                return change.reduce(terms, prediction)
        return self.spec.reducers.get(self.reduction, REDUCERS[self.reduction])(terms, prediction)

    def value(self, prediction: Tensor, target: Tensor) -> Tensor:
        """The loss."""
        return self.reduce(self.terms(prediction, target), prediction)


def totals(formula: Formula, case: Case, assignments: Sequence[Params]) -> Totals | None:
    """What the losses of a case come to under each assignment, computed in one go in float64; None where that cannot be had."""
    if not isinstance(formula, Stacked) or not assignments:
        return None
    with contextlib.suppress(*UNDEFINED), torch.no_grad(), np.errstate(all="ignore"):
        return formula.totals(*at_dtype(case, "float64"), assignments)
    return None


def at_dtype(case: Case, dtype: str) -> tuple[Tensor, Tensor]:
    """Prediction and target of a case, the floating ones at a dtype."""
    target = case.target.to(DTYPES[dtype]) if case.target.is_floating_point() else case.target
    return case.prediction.to(DTYPES[dtype]), target


def expected(variant: Variant, case: Case, *, gradient: bool = False) -> Expected:
    """What a variant says of a case in float64, with the tolerance at the dtype of the case."""
    prediction, target = at_dtype(case, "float64")
    prediction = prediction.clone().requires_grad_(gradient)
    with torch.set_grad_enabled(gradient):
        terms = variant.terms(prediction, target)
        value = variant.reduce(terms, prediction)
    slope = torch.autograd.grad(value.sum(), prediction)[0] if gradient and value.requires_grad else None
    if case.dtype == "float64":  # it is its own yardstick
        own_value, own_slope = value.detach(), slope
    else:
        own_value, own_slope = _own(variant, case, gradient)
    with torch.no_grad():
        size = largest(variant, case)
        tolerance = _value_tolerance(variant, case, terms, size) + MARGIN * _distance(own_value, value)
        if variant.coarse:
            tolerance = tolerance + UNIT["float32"] * value.abs()
        slope_tolerance = None
        if slope is not None and own_slope is not None:
            floor = _gradient_floor(variant, case, terms, size)
            error = _distance(own_slope, slope).max()
            slope_tolerance = MARGIN * (floor + UNIT[case.dtype] * slope.abs() + error)
            if variant.coarse:
                slope_tolerance = slope_tolerance + UNIT["float32"] * slope.abs()
    return Expected(value.detach(), slope, tolerance, slope_tolerance)


def slope(variant: Variant, case: Case) -> Tensor | None:
    """The gradient of a variant in float64; None where it has none."""
    prediction, target = at_dtype(case, "float64")
    prediction = prediction.clone().requires_grad_(True)
    value = variant.value(prediction, target)
    return torch.autograd.grad(value.sum(), prediction)[0] if value.requires_grad else None


def _own(variant: Variant, case: Case, gradient: bool) -> tuple[Tensor, Tensor | None]:
    """The reference itself at the dtype of the case: its error is the yardstick."""
    prediction, target = at_dtype(case, case.dtype)
    prediction = prediction.clone().requires_grad_(gradient)
    with torch.set_grad_enabled(gradient):
        value = variant.value(prediction, target)
    slope = torch.autograd.grad(value.sum(), prediction)[0] if gradient and value.requires_grad else None
    return value.detach().double(), None if slope is None else slope.double()


def _distance(own: Tensor, exact: Tensor) -> Tensor:
    return (own - exact.detach()).abs().nan_to_num(nan=0.0)


def largest(variant: Variant, case: Case) -> float:
    """The largest number that a form of the loss must hold: the greatest input, times the greatest weight.

    A teacher's logits are an input as well as the student's.
    """
    size = max(1.0, *(_size(side) for side in (case.prediction, case.target) if side.is_floating_point()))
    return math.pow(size, variant.degree) * largest_weight(variant)


def _size(values: Tensor) -> float:
    finite = values[torch.isfinite(values)]
    return float(finite.abs().max()) if finite.numel() else 0.0


@functools.lru_cache(maxsize=64)
def largest_weight(variant: Variant) -> float:
    """The greatest weight or factor among the parameters, 1 at least."""
    weights = [
        float(torch.as_tensor(value).abs().max()) ** parameter.power
        for parameter in variant.parameters
        if parameter.kind in {"per-class", "tensor", "number"}
        and (value := variant.params.get(parameter.name)) is not None
    ]
    small: list[float] = [
        1 / abs(value)
        for parameter in variant.spec.parameters
        if parameter.divides and (value := variant.params.get(parameter.name))
    ]
    return max(1.0, *weights, 1.0) * max(1.0, *small, 1.0)


def _value_tolerance(variant: Variant, case: Case, terms: Terms, size: float) -> Tensor:
    losses = terms.losses.detach()
    allowed = MARGIN * UNIT[case.dtype] * (size + losses.abs().nan_to_num(posinf=0.0))
    return variant.reduce(Terms(allowed, terms.shares.detach()), case.prediction).abs().nan_to_num(nan=0.0)


def _gradient_floor(variant: Variant, case: Case, terms: Terms, size: float) -> Tensor:
    """One unit of rounding of the largest slope that one sample can have after the reduction."""
    ones = Terms(torch.ones_like(terms.losses).detach(), terms.shares.detach())
    share = variant.reduce(ones, case.prediction).abs().max() / max(1, terms.losses.numel())
    factor = (
        torch.ones(()) if variant.reduction in {"none", "given"} else share.nan_to_num(nan=1.0, posinf=1.0)
    )
    return UNIT[case.dtype] * size * factor


def like(observed: Tensor, value: Tensor) -> Tensor | None:
    """The observed value in the shape of the expected one; None when they cannot be compared."""
    if observed.shape == value.shape:
        return observed
    # Losses that were flattened, of a batch of one or of single outputs.
    flat = observed.ndim == 1 and observed.shape == tuple(size for size in value.shape if size > 1)
    if flat or observed.numel() == value.numel() <= 1:
        return observed.reshape(value.shape)
    if _kept_dimensions(observed, value):
        return observed.reshape(value.shape)
    return None


def _kept_dimensions(observed: Tensor, value: Tensor) -> bool:
    """Whether what was reduced was kept as dimensions of size one, so that the losses broadcast with the prediction.

    One such dimension behind one of samples is not: ``[N, 1]`` meets the weights ``[N]`` of the samples as a table.
    """
    kept = observed.ndim - value.ndim
    return (
        kept > 0
        and value.ndim > 0
        and value.ndim + kept > 2
        and observed.shape == (*value.shape, *(1,) * kept)
    )


def agrees(observed: Tensor, value: Tensor, tolerance: Tensor) -> bool:
    """Whether an observation is the expected value; nothing is asked where the truth itself is not finite."""
    shaped = like(observed, value)
    if shaped is None:
        return False
    judged = torch.isfinite(value)
    return bool(((shaped - value).abs() <= tolerance)[judged].all())


def equals_plainly(observed: Tensor, value: Tensor, dtype: str) -> bool:
    """Whether an observation is so near to the truth that no tolerance needs to be computed to call it equal."""
    shaped = like(observed, value)
    if shaped is None:
        return False
    # A quarter of MARGIN units of the value, the least that a tolerance can be; an infinity is near to nothing.
    return bool(((shaped - value).abs() <= MARGIN / 4 * UNIT[dtype] * value.abs()).all())


def coarseness(case: Case, observation: Observation) -> float:
    """How many times coarser the result's own dtype is than that of the case."""
    if observation.dtype not in UNIT:
        return 1.0
    return max(1.0, UNIT[observation.dtype] / UNIT[case.dtype])


def informative(value: Tensor) -> bool:
    """Whether there is anything to compare."""
    return bool(torch.isfinite(value).any())


def reproduces(variant: Variant, case: Case, observation: Observation) -> bool:
    """Whether a variant gives exactly what was observed, non-finite values included; anything is right where none is settled."""
    if not variant.settles(case):
        return observation.value is not None
    try:
        return observation.value is not None and _reproduces(variant, case, observation)
    except UNDEFINED:
        return False


def _reproduces(variant: Variant, case: Case, observation: Observation) -> bool:
    if observation.value is None:
        return False
    if variant.rounded:
        return _reproduces_rounded(variant, _as_computed(case, observation), observation.value)
    with torch.no_grad():
        judged = expected(variant, case)
    shaped = like(observation.value, judged.value)
    if shaped is None:
        return False
    finite = torch.isfinite(judged.value)
    if not bool((finite == torch.isfinite(shaped)).all()):
        return False
    return agrees(shaped, judged.value, judged.value_tolerance * coarseness(case, observation))


def _as_computed(case: Case, observation: Observation) -> Case:
    """The case at the dtype in which the target has visibly computed it."""
    return replace(case, dtype=observation.dtype) if coarseness(case, observation) > 1 else case


def _reproduces_rounded(variant: Variant, case: Case, observed: Tensor) -> bool:
    """The same for a mistake of rounding: within the band that one unit of rounding on the way opens."""
    prediction, target = at_dtype(case, case.dtype)
    with torch.no_grad():
        terms = [variant.terms(prediction, target, nudge) for nudge in (0.0, -1.0, 1.0)]
        stacked = torch.stack([term.losses.double() for term in terms])
        shares = terms[0].shares.double()
        allowed = (
            MARGIN * UNIT[case.dtype] * (largest(variant, case) + stacked[0].abs().nan_to_num(posinf=0.0))
        )
        bounds = [
            variant.reduce(Terms(losses, shares), case.prediction)
            for losses in (
                stacked[0],
                stacked.nan_to_num(nan=torch.inf, posinf=torch.inf, neginf=-torch.inf).amin(0) - allowed,
                stacked.nan_to_num(nan=-torch.inf, posinf=torch.inf, neginf=-torch.inf).amax(0) + allowed,
            )
        ]
        has_nan = variant.reduce(Terms(stacked.isnan().any(0).double(), shares), case.prediction) > 0
        has_nan |= bounds[0].isnan()  # infinities of both signs in one sum
        # A number that is NaN however it is rounded opens no band: what rests on it is NaN, not anything.
        only_nan = variant.reduce(Terms(stacked.isnan().all(0).double(), shares), case.prediction) > 0
    shaped = like(observed, bounds[0])
    if shaped is None:
        return False
    low, high = torch.minimum(bounds[1], bounds[2]), torch.maximum(bounds[1], bounds[2])
    inside = (shaped >= low) & (shaped <= high) & ~only_nan
    return bool((inside | (shaped.isnan() & has_nan)).all())
