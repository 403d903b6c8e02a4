"""The bank of known mistakes: one file for each family, each exporting ``MISTAKES``."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from lossaudit.fuzz.registry import collect

if TYPE_CHECKING:
    from lossaudit.fuzz.model import Mistake


@cache
def all_mistakes() -> tuple[Mistake, ...]:
    """The bank, in the order of the files and within a file as written: the likelier first."""
    return collect(__name__, "MISTAKES")


def mistakes_of(reference: str) -> tuple[Mistake, ...]:
    """The mistakes that can be made with one reference, its own before the general ones."""
    own = [mistake for mistake in all_mistakes() if reference in mistake.references]
    general = [mistake for mistake in all_mistakes() if mistake.references == ("*",)]
    return tuple(own + general)
