"""Losses under test: ``assert_conforms`` in a test of your own.

>>> from lossaudit.testing import assert_conforms
>>> def test_my_loss():
...     assert_conforms(MyLoss(gamma=2.0), reference="sigmoid_focal_loss:gamma=2.0")
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lossaudit.fuzz import MAX_TIME

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from lossaudit.findings import TargetReport

__all__ = ["assert_conforms"]


def assert_conforms(
    loss: Callable[..., Any],
    reference: str | Callable[..., Any] | None = None,
    *,
    call: Mapping[str, Any] | None = None,
    seed: int = 0,
    max_examples: int = 60,
    max_time: float = MAX_TIME,
    select: frozenset[str] | None = None,
) -> TargetReport:
    """Assert that a loss is what it claims to be. Runs in this process; see :func:`lossaudit.fuzz.fuzz_loss`.

    Args:
        loss: The loss: anything that is called with a prediction and a target, tensors of shape ``[N, ...]``.
        reference: What to judge against: ``NAME[:k=v,...]`` or a function of prediction and target that is run in
            float64. None to recognise it.
        call: Further arguments of each call, by name.
        seed: Seed of every random choice.
        max_examples: How many structures of inputs are drawn.
        max_time: Seconds after which no further input is tried.
        select: Codes of the findings that count; None for all.

    Returns:
        The report, for tests that want to know what it was taken for.

    Raises:
        AssertionError: It has a finding, or cannot be judged: it takes none of the inputs, or no known loss was
            recognised in it and none was named. The message is the report.
    """
    from lossaudit.fuzz import fuzz_loss
    from lossaudit.report.fuzz_text import render_full

    report = fuzz_loss(
        loss,
        reference,
        call=call,
        seed=seed,
        max_examples=max_examples,
        max_time=max_time,
        select=select,
    )
    if report.verdict != "conforms":
        raise AssertionError(plain(render_full([report])))
    if report.reference is None:
        raise AssertionError(
            f"{report.target} was compared with nothing: no known loss was recognised in it. Name one with reference=, "
            "a name of `lossaudit references` or a function of prediction and target."
        )
    return report


def plain(text: str) -> str:
    """Text without the colours of a terminal."""
    from click import unstyle

    return unstyle(text)
