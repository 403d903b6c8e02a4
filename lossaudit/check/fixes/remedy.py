"""The request for a fix, as a detector makes it: plain data, no text."""

from __future__ import annotations

from dataclasses import dataclass

from lossaudit.check.values import Site


@dataclass(frozen=True, slots=True)
class Remedy:
    """The name of a rewrite in :mod:`lossaudit.check.fixes`, the nodes that it concerns, and what it needs to know in words.

    ``also`` must be carried out with it; ``otherwise`` is what else would mend the finding, if this cannot be done.
    """

    rewrite: str
    sites: tuple[Site, ...]
    words: tuple[str, ...] = ()
    also: Remedy | None = None
    otherwise: Remedy | None = None
