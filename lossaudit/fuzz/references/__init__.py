"""The references: one file for each family, each exporting ``REFERENCES``."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from lossaudit.fuzz.registry import collect

if TYPE_CHECKING:
    from lossaudit.fuzz.model import ReferenceSpec


@cache
def all_references() -> dict[str, ReferenceSpec]:
    """The references by name."""
    return {spec.name: spec for spec in collect(__name__, "REFERENCES")}
