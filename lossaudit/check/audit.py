"""One run of ``lossaudit check``: discover, analyse, leave out what the author accepted."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pathspec import GitIgnoreSpec

from lossaudit.check import CheckOptions, Declared, check_files
from lossaudit.check.baseline import without_baseline, write_baseline
from lossaudit.check.files import DEFAULT_EXCLUDE, Exclusion, discover
from lossaudit.check.select import names_a_loss
from lossaudit.check.suppress import apply_suppressions
from lossaudit.findings import Finding, Position, Span

UNREADABLE = "E003"
TOO_LARGE = "E005"
MAX_BYTES = 1_000_000
"""A syntax tree takes several hundred times the space of its text."""


@dataclass(frozen=True, slots=True)
class Request:
    """What the user asked for. Patterns are relative to ``base``, the folder of the configuration."""

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


@dataclass(frozen=True, slots=True)
class CheckRun:
    """The findings in the order of files, rows, columns and codes; how many files were checked; the exit code."""

    findings: tuple[Finding, ...]
    checked: int
    exit_code: int


def run(request: Request) -> CheckRun:
    """Check what ``request`` asks for. Problems with single files are findings (``E`` codes), never exceptions.

    Raises:
        BaselineError: The baseline cannot be read or written.
    """
    exclude = tuple(DEFAULT_EXCLUDE if request.exclude is None else request.exclude) + request.extend_exclude
    found = discover(
        request.paths,
        Exclusion(request.base, exclude, request.respect_gitignore, request.force_exclude),
    )
    options = CheckOptions(
        select=request.select, roots=request.src, contracts=request.contracts, debug=request.debug
    )
    large = {path: size for path in found.files if (size := _size(path)) > MAX_BYTES}
    files = [path for path in found.files if path not in large]
    result = check_files(files, options)
    findings = apply_suppressions(result.findings, files, request.select)
    findings = _without_ignored_files(findings, request)
    if request.write_baseline is not None:
        write_baseline(request.write_baseline, findings)
        findings = ()
    elif request.baseline is not None:
        findings = without_baseline(request.baseline, findings)
    problems = [
        _about_file(UNREADABLE, path, f"cannot be opened: {reason}") for path, reason in found.failures
    ]
    problems += [
        _about_file(
            TOO_LARGE, path, f"not checked: {size / 1e6:.1f} MB in one file, more than {MAX_BYTES / 1e6:g} MB"
        )
        for path, size in large.items()
        if names_a_loss(path)
    ]
    everything = tuple(sorted([*findings, *problems], key=lambda finding: (finding.span, finding.code)))
    readable = len(files) - result.unreadable
    return CheckRun(everything, result.checked, _exit_code(everything, readable))


def _exit_code(findings: Sequence[Finding], readable: int) -> int:
    """0 clean, 1 findings, 2 if there were problems and not one file could be read."""
    if not findings:
        return 0
    only_problems = all(finding.code.startswith("E") for finding in findings)
    return 2 if only_problems and readable == 0 else 1


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0  # the analysis will say why it cannot be read


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
