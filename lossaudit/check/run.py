"""One run of ``check``: from files to findings."""

from __future__ import annotations

import gc
import re
import sys
import threading
import traceback
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TypeVar

from lossaudit.check import CheckOptions, CheckResult
from lossaudit.check.contracts import Contracts, load_contracts, mentioned
from lossaudit.check.detectors import Detectors, Hit
from lossaudit.check.fixes.make import Desk, make_fix
from lossaudit.check.infer.engine import Interpreter
from lossaudit.check.positions import Positions
from lossaudit.check.project import Module, Project
from lossaudit.check.select import worth_parsing
from lossaudit.check.source import SourceError, check_syntax
from lossaudit.check.values import Site
from lossaudit.findings import Finding, Fix, Position, Span, TrailStep
from lossaudit.notebooktext import is_notebook

_STACK_BYTES = 512 << 20
_RECURSION_LIMIT = 60_000
_ALLOCATIONS = 200_000
"""Syntax trees are large and hold no cycles: to look for garbage every few hundred objects, as Python does, takes longer than parsing."""
_METHOD = re.compile(rb"^[ \t]+(?:async[ \t]+)?def[ \t]+(\w+)", re.MULTILINE)
T = TypeVar("T")


def run(files: Sequence[Path], options: CheckOptions) -> tuple[CheckResult, tuple[str, ...]]:
    """The result, and what the disk was asked besides the files. Deeply nested code needs a deep stack: the work is done in a thread that has one."""

    def work() -> tuple[CheckResult, tuple[str, ...]]:
        run = Run(options)
        result = run.check(files)
        return result, run.asked

    return _with_deep_stack(work)


def _with_deep_stack(work: Callable[[], T]) -> T:
    results: list[T] = []
    errors: list[BaseException] = []

    def body() -> None:
        try:
            results.append(work())
        except BaseException as error:  # noqa: BLE001 (it is raised again in the caller's thread)
            errors.append(error)

    limit, size = sys.getrecursionlimit(), threading.stack_size(_STACK_BYTES)
    collecting = gc.get_threshold()
    gc.set_threshold(_ALLOCATIONS)
    sys.setrecursionlimit(max(limit, _RECURSION_LIMIT))
    try:
        thread = threading.Thread(target=body, name="lossaudit-check")
        thread.start()
        thread.join()
    finally:
        sys.setrecursionlimit(limit)
        threading.stack_size(size)
        gc.set_threshold(*collecting)
    if errors:
        raise errors[0]
    return results[0]


class Run:
    """The state of one run: sources, problems with files, and the interpreter."""

    def __init__(self, options: CheckOptions) -> None:
        self.options = options
        self.contracts: Contracts = load_contracts()  # until the sources are known
        self.sources: dict[Path, bytes] = {}
        self.problems: list[Finding] = []
        self.unreadable = 0
        self.asked: tuple[str, ...] = ()

    def check(self, files: Sequence[Path]) -> CheckResult:
        """Read, select, interpret, and place the findings."""
        unique = list(dict.fromkeys(files))
        project = Project(unique, self.options.roots, self.options.sources)
        self._read(unique, project)
        self.contracts = load_contracts(mentioned(self.sources.values()), self.options.contracts)
        selected = worth_parsing(self.sources, self.contracts.vocabulary())
        self._check_syntax([path for path in self.sources if path not in set(selected)])
        hits = self._interpret(project, [project.module(path) for path in selected])
        findings = [*self.problems, *Placer(project, self.contracts).findings(hits)]
        self.asked = project.asked
        return CheckResult(tuple(sorted(set_of(findings), key=_order)), len(unique), self.unreadable)

    def _read(self, files: Iterable[Path], project: Project) -> None:
        for path in files:
            try:
                self.sources[path] = project.read(path)
            except SourceError as error:
                self._problem(path, error)

    def _check_syntax(self, paths: Iterable[Path]) -> None:
        """Files without loss vocabulary are not analysed, but one that is not Python is still reported."""
        for path in paths:
            try:
                check_syntax(self.sources[path])
            except SourceError as error:
                self._problem(path, error)

    def _problem(self, path: Path, error: SourceError) -> None:
        self.unreadable += 1
        start = Position(error.row, error.column)
        self.problems.append(Finding(error.code, error.message, Span(str(path), start, start)))

    def _failure(self, module: Module, error: Exception) -> None:
        if self.options.debug:
            raise error
        last = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(last.filename).name}:{last.lineno}"
        message = f"the analysis of this file failed ({type(error).__name__} in {where}); this is a defect of lossaudit"
        start = Position(1, 1)
        self.problems.append(Finding("E004", message, Span(module.filename, start, start)))

    def _interpret(self, project: Project, modules: list[Module]) -> list[Hit]:
        methods = {name.decode() for source in self.sources.values() for name in _METHOD.findall(source)}
        interp = Interpreter(project, self.contracts, Detectors(self.options.select), frozenset(methods))
        if not interp.detectors.events:
            return []
        if modules and self.contracts.declared:
            self._guarded(interp, modules[0], interp.declare)
        for module in modules:
            self._guarded(interp, module, lambda m=module: interp.run_module(m))  # type: ignore[misc]
        for module in modules:
            self._guarded(interp, module, lambda m=module: interp.run_main_blocks(m))  # type: ignore[misc]
        for module in modules:
            self._run_definitions(interp, module)
        for module in modules:
            if module.error is not None:
                self._problem(module.path, module.error)
        return interp.findings.hits

    def _guarded(self, interp: Interpreter, module: Module, body: Callable[[], object]) -> None:
        try:
            interp.run_root(body)
        except Exception as error:  # noqa: BLE001 (a defect of ours must not hide the other files)
            self._failure(module, error)
            interp.heap.journals.clear()

    def _run_definitions(self, interp: Interpreter, module: Module) -> None:
        done = 0
        while done < len(interp.functions):
            function = interp.functions[done]
            done += 1
            if function.module is module:
                interp.functions.pop(done - 1)
                done -= 1
                self._guarded(interp, module, lambda f=function: interp.run_definition(f))  # type: ignore[misc]
        for cls in interp.classes.get(module.filename, ()):
            try:
                interp.run_class(cls)
            except Exception as error:  # noqa: BLE001 (as above)
                self._failure(module, error)
                interp.heap.journals.clear()


def set_of(findings: Iterable[Finding]) -> list[Finding]:
    """One finding a place and code: the one with the shortest trail, then the first in the alphabet."""
    best: dict[tuple[str, Span], Finding] = {}
    for finding in findings:
        key = (finding.code, finding.span)
        if key not in best or _preference(finding) < _preference(best[key]):
            best[key] = finding
    return list(best.values())


def _preference(finding: Finding) -> tuple[int, str, str]:
    return len(finding.trail), finding.message, repr(finding.trail)


def _order(finding: Finding) -> tuple[str, Position, str]:
    return finding.span.filename, finding.span.start, finding.code


class Placer:
    """Turns sites into spans, computing positions once for each file that takes part in a finding."""

    def __init__(self, project: Project, contracts: Contracts) -> None:
        self._project = project
        self._files: dict[str, Positions] = {}
        self._given = {str(path) for path in project.files.values()}
        editable = (filename for filename in self._given if not is_notebook(filename))
        self._desk = Desk(lambda filename: project.read(Path(filename)), editable, contracts)

    def findings(self, hits: Iterable[Hit]) -> list[Finding]:
        """The findings in the files that were asked about. A fix must mend every way in which a finding came about."""
        ways: dict[tuple[str, Site], list[Hit]] = {}
        for hit in dict.fromkeys(hits):
            if hit.site.path in self._given:
                ways.setdefault((hit.code, hit.site), []).append(hit)
        found: list[Finding] = []
        for (code, _), same in ways.items():
            fix = make_fix(self._desk, code, [hit.fix for hit in same])
            found += [self._finding(hit, fix) for hit in same]
        return found

    def _finding(self, hit: Hit, fix: Fix | None) -> Finding:
        trail = tuple(TrailStep(self._span(step.site), step.words) for step in hit.trail)
        return Finding(hit.code, hit.message, self._span(hit.site), trail, fix, hit.help)

    def _span(self, site: Site) -> Span:
        if site.path not in self._files:
            self._files[site.path] = Positions(site.path, self._project.read(Path(site.path)))
        return self._files[site.path].span(site.node)
