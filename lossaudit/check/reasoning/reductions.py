"""How a loss under contract reduces: ``reduction`` and the two old arguments that override it."""

from __future__ import annotations

from collections.abc import Mapping

from lossaudit.check.values import NONE, Value, constant

NAMES = ("none", "mean", "sum", "batchmean")


def reduction_of(args: Mapping[str, Value]) -> str | None:
    """The reduction that the arguments of a loss amount to; None where it is not known on every path."""
    averages = constant(args.get("size_average", NONE))
    reduces = constant(args.get("reduce", NONE))
    if averages is None and reduces is None:
        given = constant(args.get("reduction"))
        return given if isinstance(given, str) and given in NAMES else None
    if averages not in (None, True, False) or reduces not in (None, True, False):
        return None
    if reduces is False:
        return "none"
    return "sum" if averages is False else "mean"
