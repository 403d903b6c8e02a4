"""What earlier runs found, remembered by content, file by file.

The analysis follows values through a whole project, so what it finds in a unit is a function of everything that it looked at: the
bytes of its file, the bytes of the files that this imports, which files and folders exist where an import might have led. What is
remembered of a unit is believed only while every bit of that is as it was: if a file changes, the units that looked at it are
analysed again, and no other. Whatever cannot be read or understood counts as absent.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from lossaudit import __version__
from lossaudit.check import CheckOptions, CheckResult
from lossaudit.check.looks import Given, common_folder, digest
from lossaudit.findings import Finding
from lossaudit.statefolder import write_whole

if TYPE_CHECKING:
    from lossaudit.check.units import Report, Setup, Task

SUFFIX = ".msgpack"
MAX_ENTRIES = 64
"""A project has one entry for each way in which it is checked (whole, by pre-commit, with other rules, ...)."""
UNSURE = frozenset({"E003", "E004"})
"""Findings about the machine or about a defect of ours: the next run may do better."""


@dataclass(frozen=True, slots=True)
class Unit:
    """What one file showed, and the places of the questions on which that rests."""

    is_analysed: bool
    findings: tuple[Finding, ...]
    asked: tuple[int, ...]
    is_partial: bool = False


@dataclass(frozen=True, slots=True)
class Entry:
    """What a run found.

    ``common`` is what its units had in common; ``asked`` are all questions to the disk with their answers; ``result`` is what all
    units found together, None if some of them are not remembered. ``units`` holds one :class:`Unit` a file, not yet decoded.
    """

    common: str
    asked: tuple[tuple[str, str], ...]
    result: CheckResult | None
    units: msgspec.Raw


class Cache:
    """The entry that serves for the files at hand: of the same files, or of those that were checked in the same way last.

    Args:
        options: What is asked for; ``options.cache`` is the folder in which entries lie.
        given: The files of this run.
    """

    def __init__(self, options: CheckOptions, given: Given) -> None:
        self._folder = options.cache or Path()
        self._given = given
        self._kind = _kind(options)
        self._file = self._folder / f"{self._kind}-{_short(sorted(given.names.items()))}{SUFFIX}"
        entry = _decoded(self._file)
        self.result: CheckResult | None = None
        if entry is None:
            entry = self._latest()
        elif all(given.answer(question) == then for question, then in entry.asked):
            self.result = entry.result
        self._entry = entry

    def _latest(self) -> Entry | None:
        files = _by_age(self._folder.glob(f"{self._kind}-*{SUFFIX}"))
        return _decoded(files[-1]) if files else None

    def reports(self, setup: Setup, tasks: Iterable[Task]) -> dict[Path, Report]:
        """What is still true of earlier runs."""
        entry = self._entry
        if entry is None or entry.common != _common(setup):
            return {}
        true = [self._given.answer(question) == then for question, then in entry.asked]
        try:
            units = msgspec.msgpack.decode(entry.units, type=dict[str, Unit])
        except ValueError:
            return {}
        from lossaudit.check.units import Report  # noqa: PLC0415 (what is remembered whole is told without the interpreter)

        known: dict[Path, Report] = {}
        for task in tasks:
            unit = units.get(str(task.path))
            if (
                unit is not None
                and unit.is_analysed is task.is_analysed
                and all(true[one] for one in unit.asked)
            ):
                asked = tuple(entry.asked[one][0] for one in unit.asked)
                known[task.path] = Report(task.path, unit.findings, asked, unit.is_partial)
        return known

    def remember(
        self, setup: Setup, tasks: Iterable[Task], reports: Mapping[Path, Report], result: CheckResult
    ) -> None:
        """Keep what was found. What cannot be written is not kept."""
        places: dict[str, int] = {}
        units: dict[str, Unit] = {}
        for task in tasks:
            report = reports.get(task.path)
            if report is not None and not any(finding.code in UNSURE for finding in report.findings):
                asked = tuple(places.setdefault(question, len(places)) for question in report.asked)
                units[str(task.path)] = Unit(task.is_analysed, report.findings, asked, report.is_partial)
        is_whole = len(units) == len(self._given.names)
        entry = Entry(
            _common(setup),
            tuple((question, self._given.answer(question)) for question in places),
            result if is_whole else None,
            msgspec.Raw(msgspec.msgpack.encode(units)),
        )
        with contextlib.suppress(OSError):
            write_whole(self._file, msgspec.msgpack.encode(entry))
            for file in _by_age(self._folder.glob(f"*{SUFFIX}"))[:-MAX_ENTRIES]:
                file.unlink(missing_ok=True)


def _decoded(file: Path) -> Entry | None:
    try:
        return msgspec.msgpack.decode(file.read_bytes(), type=Entry)
    except (OSError, ValueError):  # msgspec's errors are ValueErrors
        return None


def _by_age(files: Iterable[Path]) -> list[Path]:
    """The files that are still there, the oldest first."""
    ages: list[tuple[int, Path]] = []
    for file in files:
        with contextlib.suppress(OSError):
            ages.append((file.stat().st_mtime_ns, file))
    return [file for _, file in sorted(ages)]


def _short(facts: object) -> str:
    return digest(repr(facts).encode(errors="surrogateescape"))


def _kind(options: CheckOptions) -> str:
    """What a run depends on besides its files."""
    select = None if options.select is None else sorted(options.select)
    return _short((_tool(), sys.version_info[:2], Path.cwd(), select, options.roots, options.contracts))


def _common(setup: Setup) -> str:
    """What a unit depends on as far as it comes from all files together."""
    named = sorted(setup.given.items()) if setup.declared else ()
    return _short((sorted(setup.frameworks), sorted(setup.methods), common_folder(setup.given), named))


@cache
def _tool() -> str:
    """The version, and the state of our own files: a checkout changes without its version."""
    package = Path(__file__).parent.parent
    states = (
        (file.relative_to(package).as_posix(), file.stat().st_mtime_ns, file.stat().st_size)
        for file in sorted(package.rglob("*.py"))
    )
    return repr((__version__, list(states)))
