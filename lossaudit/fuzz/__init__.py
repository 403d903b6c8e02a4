"""The dynamic half: runs a loss against the reference formula that it claims to be.

    target -> reference -> inputs -> checks -> shrink -> diagnose -> report

Importing this package imports neither torch nor hypothesis: the target and they live in a child process.
"""

from __future__ import annotations

import sys
import types
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from lossaudit.findings import TargetReport

__all__ = ["MAX_TIME", "FuzzOptions", "TargetError", "fuzz_loss", "fuzz_target"]


MAX_TIME = 4.0
"""Seconds for one target: with the import of torch and of a larger package, a verdict within ten."""


@dataclass(frozen=True, slots=True)
class FuzzOptions:
    """How a target is built, called and judged.

    Args:
        init: Constructor arguments (or arguments of a factory), by name; JSON values.
        call: Further arguments of each call, by name.
        reference: ``NAME[:k=v,...]`` or ``module:function``; None to recognise it.
        seed: Seed of every random choice; the same seed gives the same report.
        max_examples: How many structures are drawn.
        max_time: Seconds for one target, its imports excepted. What it is as it stands is found whatever that takes, known
            mistakes are searched for during half of them, and the inputs that every run must see are tried even then.
        call_time: Seconds for one call; a longer one is taken for a hang.
        memory_limit_mb: How much more memory the target may ask for than the imports took.
        select: Codes to report; None for all.
        transforms: What of ``compile``, ``vmap`` and ``grad`` the loss must go through besides plain calls.
        kept: Inputs of failures of earlier runs, as :class:`lossaudit.fuzz.keep.Kept` holds them: they are tried first.
    """

    init: Mapping[str, Any] = field(default_factory=dict)
    call: Mapping[str, Any] = field(default_factory=dict)
    reference: str | None = None
    seed: int = 0
    max_examples: int = 60
    max_time: float = MAX_TIME
    call_time: float = 3.0
    memory_limit_mb: int = 4096
    select: frozenset[str] | None = None
    transforms: frozenset[str] = frozenset()
    kept: tuple[Mapping[str, Any], ...] = ()


class TargetError(Exception):
    """A target that cannot be fuzzed, and what to do about it.

    Args:
        message: What is wrong, in one line.
        hint: What to try instead.
    """

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return self.message if self.hint is None else f"{self.message}\nhint: {self.hint}"


def fuzz_target(
    target: str, options: FuzzOptions, on_event: Callable[[str], None] | None = None
) -> TargetReport:
    """Fuzz one loss in a child process.

    Args:
        target: ``module:Attr`` or ``path/file.py:Attr``; the current folder is on ``sys.path``.
        options: How it is built, called and judged.
        on_event: Receives one line at each step of the run, for a progress display.

    Returns:
        The report; a target that cannot be fuzzed gives the verdict ``error``, never an exception.
    """
    from lossaudit.fuzz.isolation import run_isolated
    from lossaudit.fuzz.nursery import Nursery

    with Nursery() as nursery:
        return run_isolated(target, options, on_event or (lambda _: None), nursery)


def fuzz_loss(
    loss: Callable[..., Any],
    reference: str | Callable[..., Any] | None = None,
    *,
    call: Mapping[str, Any] | None = None,
    seed: int = 0,
    max_examples: int = 60,
    max_time: float = MAX_TIME,
    select: frozenset[str] | None = None,
) -> TargetReport:
    """Fuzz a loss that is at hand, in this process: a hang or a crash of the loss is one of its caller.

    ``lossaudit.fuzz(loss)`` is the same function under a shorter name. The state of torch's random numbers and its
    number of threads are put back afterwards.

    Args:
        loss: The loss: a module, a function, anything that is called with a prediction and a target, tensors of
            shape ``[N, ...]`` in float16 to float64, or NumPy arrays. A class is built without arguments.
        reference: What to judge against: ``NAME[:k=v,...]`` as in ``lossaudit references``, or a function of
            prediction and target that is run in float64. None to recognise it.
        call: Further arguments of each call, by name.
        seed: Seed of every random choice; the same seed gives the same report.
        max_examples: How many structures of inputs are drawn.
        max_time: Seconds after which no further input is tried.
        select: Codes to report; None for all.

    Returns:
        The report. A loss that cannot be judged has the verdict ``error``.

    Raises:
        TypeError: ``loss`` cannot be called.
        TargetError: There is no such reference, or torch is not installed.
    """
    from lossaudit.fuzz.here import fuzz_here

    options = FuzzOptions(
        call=dict(call or {}),
        reference=reference if isinstance(reference, str) else None,
        seed=seed,
        max_examples=max_examples,
        max_time=max_time,
        select=select,
    )
    return fuzz_here(loss, options, None if isinstance(reference, str) else reference)


class _CallableModule(types.ModuleType):
    """This module, so that ``lossaudit.fuzz(loss)`` is what it reads like, and ``lossaudit.fuzz`` still the package."""

    def __call__(self, *arguments: Any, **options: Any) -> TargetReport:
        return fuzz_loss(*arguments, **options)


sys.modules[__name__].__class__ = _CallableModule
