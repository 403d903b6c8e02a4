"""One run of ``lossaudit check``: discover, analyse, leave out what the author accepted."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pathspec import GitIgnoreSpec

from lossaudit.check import CheckOptions, check_files
from lossaudit.check.baseline import without_baseline, write_baseline
from lossaudit.check.files import DEFAULT_EXCLUDE, Discovery, Exclusion, discover
from lossaudit.check.fix import settle_fixes, write_all
from lossaudit.check.ignores import settle_ignores
from lossaudit.check.notebooks import python_of, told_by_cells
from lossaudit.check.source import SourceError
from lossaudit.check.suppress import apply_suppressions
from lossaudit.findings import FileChange, Finding, Position, Span
from lossaudit.notebooktext import is_notebook

if TYPE_CHECKING:
    from lossaudit.check.contracts.user import Declared

EXIT_CLEAN, EXIT_FINDINGS, EXIT_UNABLE = 0, 1, 2
UNREADABLE = "E003"
TOO_LARGE = "E005"
MAX_BYTES = 1_000_000
"""A syntax tree takes several hundred times the space of its text."""


@dataclass(frozen=True, slots=True)
class Request:
    """What the user asked for. Patterns are relative to ``base``, the folder of the configuration.

    ``change`` says what happens to the files: nothing, fixes are made, their ``diff`` is shown, or comments that ``ignore`` the
    findings are written. ``unsafe`` admits fixes that change what is computed. ``stdin`` is what the only path is taken to hold,
    whether there is such a file or not; it is never written.
    """

    paths: tuple[Path, ...]
    base: Path
    select: frozenset[str]
    per_file_ignores: tuple[tuple[str, frozenset[str]], ...] = ()
    exclude: Sequence[str] | None = None
    extend_exclude: tuple[str, ...] = ()
    respect_gitignore: bool = True
    force_exclude: bool = False
    src: tuple[Path, ...] = ()
    contracts: tuple[Declared, ...] = ()
    baseline: Path | None = None
    write_baseline: Path | None = None
    debug: bool = False
    cache: Path | None = None
    jobs: int = 1
    executor: str | None = None
    change: Literal["none", "fix", "diff", "ignore"] = "none"
    unsafe: bool = False
    stdin: bytes | None = None


@dataclass(frozen=True, slots=True)
class CheckRun:
    """The findings in the order of files, rows, columns and codes; how many files of those ``given`` were checked; the exit code.

    ``changes`` is what was changed, or would be; the findings are then those that remain. If the run was ``interrupted``,
    they are what was found until then. ``text`` is what ``stdin`` became.
    """

    findings: tuple[Finding, ...]
    checked: int
    exit_code: int
    changes: tuple[FileChange, ...] = ()
    interrupted: bool = False
    given: int = 0
    text: bytes | None = None


def run(request: Request) -> CheckRun:
    """Check what ``request`` asks for. Problems with single files are findings (``E`` codes), never exceptions.

    Raises:
        BaselineError: The baseline cannot be read or written.
        WriteError: A file that was to be changed cannot be written.
        ExecutorError: The executor is unknown or cannot be reached.
    """
    audit = _Audit(request)
    if request.change == "none":
        return audit.outcome(audit.findings({}))
    if request.change == "ignore":
        settled = settle_ignores(audit.findings, audit.given)
    else:
        settled = settle_fixes(audit.findings, unsafe=request.unsafe, given=audit.given)
    if request.change != "diff" and request.stdin is None:
        write_all(settled.files)
    changes = tuple(FileChange(str(one.path), one.applied, one.diff()) for one in settled.files)
    if request.change == "diff" or request.stdin is None:
        return audit.outcome(settled.findings, changes)
    audit.given |= {one.path: one.after for one in settled.files}
    return replace(
        audit.outcome(settled.findings, changes), text=audit.given.get(request.paths[0], request.stdin)
    )


def files_of(request: Request) -> tuple[Path, ...]:
    """The files that a run would check, in their order."""
    return tuple(_Audit(request).files)


class _Audit:
    """The files of a run, and what is found in them, with other text in their place if need be."""

    def __init__(self, request: Request) -> None:
        self.request = request
        exclude = tuple(DEFAULT_EXCLUDE if request.exclude is None else request.exclude)
        exclusion = Exclusion(
            request.base, exclude + request.extend_exclude, request.respect_gitignore, request.force_exclude
        )
        if request.stdin is None:
            self.discovery, self.given = discover(request.paths, exclusion), {}
        else:
            self.discovery = Discovery([path for path in request.paths if not exclusion.refuses(path)])
            self.given = dict.fromkeys(self.discovery.files, request.stdin)
        self.large = {path: size for path in self.discovery.files if (size := self._size(path)) > MAX_BYTES}
        self.files = [path for path in self.discovery.files if path not in self.large]
        self.checked = self.unreadable = 0
        self.interrupted = False

    def findings(self, sources: Mapping[Path, bytes]) -> tuple[Finding, ...]:
        """What is found, and not accepted by a comment, the configuration or the baseline."""
        request = self.request
        sources = {**self.given, **sources}
        options = CheckOptions(
            select=request.select,
            roots=request.src,
            contracts=request.contracts,
            debug=request.debug,
            sources=sources,
            cache=request.cache,
            jobs=request.jobs,
            executor=request.executor,
        )
        result = check_files(self.files, options)
        self.checked, self.unreadable, self.interrupted = (
            result.checked,
            result.unreadable,
            result.interrupted,
        )
        if result.interrupted and (request.change != "none" or request.write_baseline is not None):
            raise KeyboardInterrupt  # nothing is written on the strength of half a run
        findings = apply_suppressions(result.findings, self.files, request.select, sources)
        findings = _without_ignored_files(findings, request)
        if request.write_baseline is not None:
            write_baseline(request.write_baseline, findings)
            return ()
        if request.baseline is not None:
            return without_baseline(request.baseline, findings, sources)
        return findings

    def outcome(self, findings: Sequence[Finding], changes: tuple[FileChange, ...] = ()) -> CheckRun:
        """The findings, with what is to be said of files that could not be checked."""
        problems = [
            _about_file(UNREADABLE, path, f"cannot be opened: {reason}")
            for path, reason in self.discovery.failures
        ]
        problems += [
            _about_file(
                TOO_LARGE,
                path,
                f"not checked: {size / 1e6:.1f} MB in one file, more than {MAX_BYTES / 1e6:g} MB",
            )
            for path, size in self.large.items()
            if _names_a_loss(path)
        ]
        in_order = sorted([*findings, *problems], key=lambda finding: (finding.span, finding.code))
        everything = told_by_cells(in_order, self.given)
        code = _exit_code(everything, len(self.files) - self.unreadable)
        if self.request.change == "diff" and code != EXIT_UNABLE:
            code = EXIT_FINDINGS if changes else EXIT_CLEAN
        return CheckRun(everything, self.checked, code, changes, self.interrupted, len(self.files))

    def _size(self, path: Path) -> int:
        """The size of the code in a file: the pictures in a notebook do not count."""
        given = self.given.get(path)
        try:
            size = path.stat().st_size if given is None else len(given)
            if size <= MAX_BYTES or not is_notebook(path):
                return size
            return len(python_of(path, path.read_bytes() if given is None else given))
        except (OSError, SourceError):
            return 0  # the analysis will say why it cannot be read


def _names_a_loss(path: Path) -> bool:
    from lossaudit.check.select import names_a_loss  # noqa: PLC0415 (the contracts are not needed for what is remembered)

    return names_a_loss(path)


def _exit_code(findings: Sequence[Finding], readable: int) -> int:
    """0 clean, 1 findings, 2 if there were problems and not one file could be read."""
    if not findings:
        return EXIT_CLEAN
    only_problems = all(finding.code.startswith("E") for finding in findings)
    return EXIT_UNABLE if only_problems and readable == 0 else EXIT_FINDINGS


def _about_file(code: str, path: Path, message: str) -> Finding:
    start = Position(1, 1)
    return Finding(code, message, Span(str(path), start, start))


def _without_ignored_files(findings: Sequence[Finding], request: Request) -> tuple[Finding, ...]:
    """Apply ``per-file-ignores``: a pattern in the syntax of ``.gitignore``, and the codes left out below it."""
    specs = [(GitIgnoreSpec.from_lines([pattern]), codes) for pattern, codes in request.per_file_ignores]
    if not specs:
        return tuple(findings)

    def ignored(finding: Finding) -> bool:
        path = Path(os.path.relpath(finding.span.filename, request.base)).as_posix()
        return any(finding.code in codes and spec.match_file(path) for spec, codes in specs)

    return tuple(finding for finding in findings if not ignored(finding))
