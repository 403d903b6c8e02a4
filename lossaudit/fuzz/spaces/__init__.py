"""The input spaces: one file for each kind of prediction, each exporting ``SPACES``."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from lossaudit.fuzz.registry import collect

if TYPE_CHECKING:
    from lossaudit.fuzz.model import Space


@cache
def all_spaces() -> dict[str, Space]:
    """The spaces by name."""
    return {space.name: space for space in collect(__name__, "SPACES")}
