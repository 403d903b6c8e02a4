"""The references once more, from their definitions, in 50 digits: one file for each family, each exporting ``EXACT``."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache

from exact.digits import Exact


@cache
def all_exact() -> dict[str, Exact]:
    """The exact formulas by the name of their reference."""
    found: dict[str, Exact] = {}
    for module in pkgutil.iter_modules(__path__):
        found |= getattr(importlib.import_module(f"{__name__}.{module.name}"), "EXACT", {})
    return found
