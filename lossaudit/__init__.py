"""lossaudit finds the loss bugs that do not crash.

``lossaudit check`` reads code and reports broken loss contracts; ``lossaudit fuzz`` runs a loss against the
reference formula that it claims to be. Importing this package imports neither torch nor libcst.
"""

import importlib

__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    """Load ``lossaudit.fuzz`` and ``lossaudit.testing`` when they are first asked for."""
    if name in {"fuzz", "testing"}:
        return importlib.import_module(f"lossaudit.{name}")
    raise AttributeError(f"module 'lossaudit' has no attribute {name!r}")
