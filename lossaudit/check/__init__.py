"""The static half: reads code, infers what kind of number each tensor is, reports broken loss contracts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from lossaudit.findings import Finding

if TYPE_CHECKING:
    from lossaudit.check.contracts.user import Declared

__all__ = ["CheckOptions", "CheckResult", "Declared", "check_files"]


@dataclass(frozen=True, slots=True)
class CheckOptions:
    """What to check and how.

    ``select`` holds the codes to run (None: every rule that is enabled by default); ``roots`` further folders from which
    imports are resolved; ``contracts`` what the user declared of losses and models; with ``debug``, a failure of the analysis
    itself is raised instead of reported. ``sources`` is what files are taken to hold instead of what is on the disk. ``cache`` is
    a folder in which results are remembered. ``jobs`` processes analyse at a time, or the workers of ``executor``: ``dask:ADDRESS``.
    """

    select: frozenset[str] | None = None
    roots: tuple[Path, ...] = ()
    contracts: tuple[Declared, ...] = ()
    debug: bool = False
    sources: Mapping[Path, bytes] = field(default_factory=dict)
    cache: Path | None = None
    jobs: int = 1
    executor: str | None = None


@dataclass(frozen=True, slots=True)
class CheckResult:
    """Findings sorted by file, row, column and code, E-codes among them, before suppression comments are applied.

    If the run was ``interrupted``, they are what was found in the files that were ``checked`` until then.
    """

    findings: tuple[Finding, ...]
    checked: int
    unreadable: int
    interrupted: bool = False


def __getattr__(name: str) -> object:
    """The record of a declared contract is imported with the contracts, when somebody declares one."""
    if name == "Declared":
        from lossaudit.check.contracts.user import Declared  # noqa: PLC0415 (see above)

        return Declared
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def check_files(files: Sequence[Path], options: CheckOptions | None = None) -> CheckResult:
    """Check files that were already discovered; of what did not change, what an earlier run found is recalled.

    Raises:
        ExecutorError: There is no such executor, or it cannot be reached.
    """
    from lossaudit.check.run import check  # noqa: PLC0415 (it needs the records of this file)

    return check(files, options or CheckOptions())
