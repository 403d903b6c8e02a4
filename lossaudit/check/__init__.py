"""The static half: reads code, infers what kind of number each tensor is, reports broken loss contracts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lossaudit.check.contracts.user import Declared
from lossaudit.findings import Finding

__all__ = ["CheckOptions", "CheckResult", "Declared", "check_files"]


@dataclass(frozen=True, slots=True)
class CheckOptions:
    """What to check and how.

    ``select`` holds the codes to run (None: every rule that is enabled by default); ``roots`` further folders from which
    imports are resolved; ``contracts`` what the user declared of losses and models; with ``debug``, a failure of the analysis
    itself is raised instead of reported. ``sources`` is what files are taken to hold instead of what is on the disk. ``cache`` is
    a folder in which results are remembered.
    """

    select: frozenset[str] | None = None
    roots: tuple[Path, ...] = ()
    contracts: tuple[Declared, ...] = ()
    debug: bool = False
    sources: Mapping[Path, bytes] = field(default_factory=dict)
    cache: Path | None = None


@dataclass(frozen=True, slots=True)
class CheckResult:
    """Findings sorted by file, row, column and code, E-codes among them, before suppression comments are applied."""

    findings: tuple[Finding, ...]
    checked: int
    unreadable: int


def check_files(files: Sequence[Path], options: CheckOptions | None = None) -> CheckResult:
    """Check files that were already discovered, or recall what an earlier run found in the same ones."""
    options = options or CheckOptions()
    if options.cache is None or options.sources or options.debug:
        return _analysed(files, options)[0]
    from lossaudit.check.cache import Cache, key_of  # noqa: PLC0415 (it needs the records of this file)

    memory, key = Cache(options.cache), key_of(files, options)
    remembered = None if key is None else memory.recall(key)
    if remembered is not None:
        return remembered
    result, asked = _analysed(files, options)
    if key is not None and key == key_of(files, options):  # nobody wrote meanwhile
        memory.remember(key, result, asked)
    return result


def _analysed(files: Sequence[Path], options: CheckOptions) -> tuple[CheckResult, tuple[str, ...]]:
    from lossaudit.check.run import run  # noqa: PLC0415 (the interpreter is imported when something is analysed)

    return run(files, options)
