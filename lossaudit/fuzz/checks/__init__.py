"""The checks: one file for each group of codes, each exporting ``CHECKS``."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from lossaudit.fuzz.registry import collect

if TYPE_CHECKING:
    from lossaudit.fuzz.trial import Check


@cache
def all_checks() -> tuple[Check, ...]:
    """The checks in the order of the files."""
    return collect(__name__, "CHECKS")
