"""The request for a fix, as a detector makes it: plain data, no text."""

from __future__ import annotations

from dataclasses import dataclass

from lossaudit.check.values import Site


@dataclass(frozen=True, slots=True)
class Remedy:
    """The name of a rewrite in :mod:`lossaudit.check.fixes`, the nodes that it concerns, and what it needs to know in words."""

    rewrite: str
    sites: tuple[Site, ...]
    words: tuple[str, ...] = ()
