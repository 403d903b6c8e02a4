"""What a loss must go through on request: ``torch.compile``, ``torch.func.vmap`` and ``torch.func.grad``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from lossaudit.fuzz import variants
from lossaudit.fuzz.memory import Restored
from lossaudit.fuzz.model import Failure
from lossaudit.fuzz.spaces import all_spaces
from lossaudit.fuzz.subject import single, tensors
from lossaudit.fuzz.target import first_line
from lossaudit.fuzz.trial import Check, plain
from lossaudit.fuzz.unreduced import as_held

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from lossaudit.fuzz.model import Case
    from lossaudit.fuzz.trial import Trial
    from lossaudit.fuzz.variants import Variant

VMAP = "torch.func.vmap(lambda one, other: loss(one[None], other[None]))"
GRAD = "torch.func.grad(loss)"


def _asked(trial: Trial, transform: str) -> Variant | None:
    """The reference, where this transform was asked for and the plain call is right."""
    right = trial.value_agrees is True and not trial.subject.interface.arrays
    if transform not in trial.session.transforms or not right or all_spaces()[trial.case.space].parts:
        return None
    return trial.variant


def _outcome(
    transformed: Callable[..., Tensor], case: Case, trial: Trial
) -> tuple[Tensor | None, str | None]:
    try:
        with Restored(trial.subject.build.loss):
            return transformed(*tensors(case, trial.subject.interface)).detach().double(), None
    except Exception as error:  # noqa: BLE001 (user code may raise anything)
        return None, f"{type(error).__name__}: {first_line(error)}"


def _own(trial: Trial) -> Callable[..., Tensor]:
    loss = trial.subject.at_dtype(trial.case.dtype)

    def called(*arguments: Tensor) -> Tensor:
        value: Tensor = single(trial.subject.invoke(loss, *arguments, remembers=True))
        return value

    return called


def _by_sample(loss: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def alone(one: Tensor, other: Tensor) -> Tensor:
        return loss(one[None], other[None]).sum()

    mapped: Callable[..., Tensor] = torch.func.vmap(alone)
    return mapped


def _slope(loss: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def summed(one: Tensor, other: Tensor) -> Tensor:
        return loss(one, other).sum()

    derived: Callable[..., Tensor] = torch.func.grad(summed)
    return derived


def compiled(trial: Trial) -> Failure | None:
    """Compiled, it runs and gives the same."""
    variant = _asked(trial, "compile")
    if variant is None or trial.expected is None:
        return None
    torch._dynamo.reset()  # noqa: SLF001 (what was traced of another target is none of this one's)
    value, error = _outcome(torch.compile(_own(trial), backend="aot_eager"), trial.case, trial)
    evidence = {"calls": "torch.compile(loss, backend='aot_eager')"}
    if error is not None:
        message = f"under torch.compile it raises {error}"
        return Failure("LF406", message, trial.case, {**evidence, "error": error}, independent=True)
    value = None if value is None else as_held(trial.case, value)
    if value is None or variants.agrees(value, trial.expected.value, 2 * trial.expected.value_tolerance):
        return None
    shown = {**evidence, "expected": plain(trial.expected.value), "actual": plain(value)}
    message = f"under torch.compile the value is {shown['actual']} where the reference is {shown['expected']}"
    return Failure("LF101", message, trial.case, shown, independent=True)


def mapped(trial: Trial) -> Failure | None:
    """Mapped over the samples, it runs and gives the loss of each."""
    variant = _asked(trial, "vmap")
    if variant is None or "additive" not in variant.spec.laws:
        return None
    due, refused = _outcome(_by_sample(variant.value), trial.case, trial)
    if due is None or refused is not None:
        return None
    value, error = _outcome(_by_sample(_own(trial)), trial.case, trial)
    if error is not None:
        message = f"under torch.func.vmap it raises {error}"
        return Failure("LF406", message, trial.case, {"calls": VMAP, "error": error}, independent=True)
    if value is None or torch.allclose(value, due, rtol=1e-4, atol=1e-5, equal_nan=True):
        return None
    shown = {"calls": VMAP, "expected": plain(due), "actual": plain(value)}
    message = f"under torch.func.vmap its samples give {shown['actual']} where the reference gives {shown['expected']}"
    return Failure("LF101", message, trial.case, shown, independent=True)


def derived(trial: Trial) -> Failure | None:
    """``torch.func.grad`` gives the gradient that ``backward`` gives."""
    variant = _asked(trial, "grad")
    usual = trial.observed.gradient
    if variant is None or usual is None or trial.subject.interface.swapped:
        return None
    value, error = _outcome(_slope(_own(trial)), trial.case, trial)
    if error is not None:
        message = f"under torch.func.grad it raises {error}"
        return Failure("LF406", message, trial.case, {"calls": GRAD, "error": error}, independent=True)
    if value is None or torch.allclose(value, usual, rtol=1e-4, atol=1e-6, equal_nan=True):
        return None
    shown = {"calls": GRAD, "expected_gradient": plain(usual), "actual_gradient": plain(value)}
    return Failure(
        "LF102", "torch.func.grad gives another gradient than backward", trial.case, shown, independent=True
    )


CHECKS = (
    Check("LF406", compiled, frequency="once"),
    Check("LF406", mapped, frequency="once"),
    Check("LF406", derived, frequency="once"),
)
