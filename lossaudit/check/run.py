"""One run of ``check``: what each file shows, by this run or by an earlier one, and what all of that is together.

What needs the interpreter is imported only if something is analysed: a run that is remembered whole is told at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from lossaudit.check import CheckOptions, CheckResult
from lossaudit.check.cache import Cache
from lossaudit.check.looks import Given, digest, normal
from lossaudit.check.notebooks import python_of
from lossaudit.check.source import SourceError, read
from lossaudit.findings import Finding, Position

if TYPE_CHECKING:
    from lossaudit.check.units import Report

UNREADABLE = frozenset({"E001", "E002", "E003"})
"""Why a file could not be looked at."""


def check(files: Sequence[Path], options: CheckOptions) -> CheckResult:
    """What is found in some files."""
    given, contents = _read(files, options.sources)
    cache = None if options.cache is None or options.sources or options.debug else Cache(options, given)
    if cache is not None and cache.result is not None:
        return cache.result
    from lossaudit.check.executors import execute  # noqa: PLC0415 (see above)
    from lossaudit.check.plan import plan  # noqa: PLC0415
    from lossaudit.check.units import set_of  # noqa: PLC0415

    setup, tasks = plan(given.names, _sources(contents), options)
    contents.clear()  # other processes read what they need
    known = {} if cache is None else cache.reports(setup, tasks)
    done = execute(setup, [task for task in tasks if task.path not in known], options)
    reports = known | done.reports
    found = [finding for task in tasks if task.path in reports for finding in reports[task.path].findings]
    result = CheckResult(
        tuple(sorted(set_of(found), key=_order)),
        checked=len(reports),
        unreadable=_unreadable(reports.values()),
        interrupted=len(reports) < len(tasks),
    )
    if cache is not None and done.is_steady and given.agrees(done.answers):
        cache.remember(setup, tasks, reports, result)
    return result


def _read(files: Iterable[Path], sources: Mapping[Path, bytes]) -> tuple[Given, dict[Path, bytes]]:
    """The files of a run, and what those of them hold that can be read."""
    names = {normal(path): str(path) for path in files}
    replaced = {normal(path): source for path, source in sources.items()}
    contents: dict[Path, bytes] = {}
    for path in names:
        with suppress(SourceError):  # its unit says so
            contents[path] = replaced[path] if path in replaced else read(path)
    return Given(names, {path: digest(data) for path, data in contents.items()}), contents


def _sources(contents: Mapping[Path, bytes]) -> dict[Path, bytes]:
    """The Python in files: of notebooks that which is in their cells."""
    found: dict[Path, bytes] = {}
    for path, data in contents.items():
        with suppress(SourceError):
            found[path] = python_of(path, data)
    return found


def _unreadable(reports: Iterable[Report]) -> int:
    return sum(
        not report.is_partial and any(one.code in UNREADABLE for one in report.findings) for report in reports
    )


def _order(finding: Finding) -> tuple[str, Position, str]:
    return finding.span.filename, finding.span.start, finding.code
