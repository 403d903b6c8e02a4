"""Collects the records of a package: each of its modules exports one tuple of them."""

from __future__ import annotations

import importlib
import pkgutil
from typing import Any


def collect(package: str, attribute: str) -> tuple[Any, ...]:
    """All records that the modules of ``package`` export as ``attribute``, in the order of the modules' names."""
    found: list[Any] = []
    for module in sorted(
        pkgutil.iter_modules(importlib.import_module(package).__path__), key=lambda m: m.name
    ):
        found += getattr(importlib.import_module(f"{package}.{module.name}"), attribute, ())
    return tuple(found)
