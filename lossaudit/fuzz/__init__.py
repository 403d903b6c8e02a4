"""The dynamic half: runs a loss against the reference formula that it claims to be.

    target -> reference -> inputs -> checks -> shrink -> diagnose -> report

Importing this package imports neither torch nor hypothesis: the target and they live in a child process.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from lossaudit.findings import TargetReport

__all__ = ["FuzzOptions", "TargetError", "fuzz_target"]


@dataclass(frozen=True, slots=True)
class FuzzOptions:
    """How a target is built, called and judged.

    Args:
        init: Constructor arguments (or arguments of a factory), by name; JSON values.
        call: Further arguments of each call, by name.
        reference: ``NAME[:k=v,...]`` or ``module:function``; None to recognise it.
        seed: Seed of every random choice; the same seed gives the same report.
        max_examples: How many structures are drawn.
        max_time: Seconds for one target, its imports excepted.
        call_time: Seconds for one call; a longer one is taken for a hang.
        memory_limit_mb: How much more memory the target may ask for than the imports took.
        select: Codes to report; None for all.
    """

    init: Mapping[str, Any] = field(default_factory=dict)
    call: Mapping[str, Any] = field(default_factory=dict)
    reference: str | None = None
    seed: int = 0
    max_examples: int = 60
    max_time: float = 30.0
    call_time: float = 3.0
    memory_limit_mb: int = 4096
    select: frozenset[str] | None = None


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
