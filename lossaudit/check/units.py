"""The unit of analysis: one file, looked at from a state that does not depend on what was analysed before it.

A unit is the file's own code and whatever that reaches in other files; what it finds is a pure function of the :class:`Setup`, of
the file, and of the answers of the disk that it names. So units can be analysed in any order, by any process, and remembered one
by one. What all of them find together is the result of a run (:mod:`lossaudit.check.run`).
"""

from __future__ import annotations

import gc
import pickle
import sys
import threading
import traceback
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

from lossaudit.check.contracts import Contracts, load_contracts
from lossaudit.check.contracts.user import Declared
from lossaudit.check.detectors import Detectors, Hit
from lossaudit.check.fixes.make import Desk, joined_fix, make_fix
from lossaudit.check.infer.engine import Interpreter, Tools
from lossaudit.check.infer.heap import Heap
from lossaudit.check.infer.imports import Imports
from lossaudit.check.infer.reach import signs_of_words
from lossaudit.check.library import Library, Questions
from lossaudit.check.once import forget
from lossaudit.check.positions import Positions
from lossaudit.check.project import Project
from lossaudit.check.source import SourceError, check_syntax
from lossaudit.check.values import Site
from lossaudit.findings import Finding, Fix, Position, Span, TrailStep

_STACK_BYTES = 512 << 20
_RECURSION_LIMIT = 60_000
_ALLOCATIONS = 200_000
"""Syntax trees are large and hold no cycles: to look for garbage every few hundred objects, as Python does, takes longer than parsing."""
HELD_BYTES = 8_000_000
"""How much source is kept in its compact form, before a process begins anew: about thirty times as much memory."""
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Setup:
    """What the units of one run have in common; it can be sent to another process.

    ``given`` says where each file lies and how it was named; ``frameworks`` are those whose names occur in a file; ``methods`` the
    tensor methods that a class of the project defines too. ``token`` tells one run from the next: files may change in between.
    """

    token: str
    given: Mapping[Path, str]
    roots: tuple[Path, ...]
    sources: Mapping[Path, bytes]
    select: frozenset[str] | None
    frameworks: frozenset[str]
    declared: tuple[Declared, ...]
    methods: frozenset[str]
    debug: bool


@dataclass(frozen=True, slots=True)
class Task:
    """A file of ``size`` bytes to look at. One that holds nothing of interest is not analysed, but if it is not Python that is said."""

    path: Path
    is_analysed: bool
    size: int


@dataclass(frozen=True, slots=True)
class Report:
    """What was found in one unit: also in other files, to which its own code led. ``asked`` are the questions to the disk.

    ``is_partial`` says that cells of a notebook could not be read, and are among the findings, and the others were.
    """

    path: Path
    findings: tuple[Finding, ...]
    asked: tuple[str, ...]
    is_partial: bool = False


@dataclass(frozen=True, slots=True)
class Batch:
    """The reports of several units, and what the disk answered to them."""

    reports: tuple[Report, ...]
    answers: Mapping[str, str]


def pack(setup: Setup) -> bytes:
    """The setup as it travels."""
    return zlib.compress(pickle.dumps(setup), level=1)


def analyse(packed: bytes, tasks: Sequence[Task]) -> Batch:
    """Look at some files, in this process: what is known of a run is kept for its next tasks.

    A worker of a cluster may have several threads; they take turns.
    """
    with _turn:
        return with_deep_stack(lambda: _workshop(packed).batch(tasks))


_turn = threading.Lock()


@lru_cache(maxsize=1)
def _workshop(packed: bytes) -> Workshop:
    return Workshop(pickle.loads(zlib.decompress(packed)))  # noqa: S301 (what `pack` made)


def with_deep_stack(work: Callable[[], T]) -> T:
    """The result of ``work``. Deeply nested code needs a deep stack: it is done in a thread that has one."""
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
        thread = threading.Thread(target=body, name="lossaudit-check", daemon=True)
        thread.start()
        thread.join()
    finally:
        sys.setrecursionlimit(limit)
        threading.stack_size(size)
        gc.set_threshold(*collecting)
    if errors:
        raise errors[0]
    return results[0]


class Workshop:
    """Everything that the units of one run share in one process. None of it changes what a unit finds."""

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self._contracts = load_contracts(setup.frameworks, setup.declared)
        self._detectors = Detectors(setup.select)
        self._words = signs_of_words(self._contracts)
        self._begin()

    def _begin(self) -> None:
        """Know nothing of any file."""
        forget()
        self.tools = Tools(self._contracts, self._detectors, self.setup.methods, self._words)
        self.library = Library(self.setup.given, self.setup.roots, self.setup.sources)
        self.imports = None if self._contracts.declared else Imports(self.library, self.tools)
        self.placer = Placer(self.library, self._contracts)

    def batch(self, tasks: Sequence[Task]) -> Batch:
        """What is found in some units."""
        if self.library.held > HELD_BYTES:
            self._begin()
        reports = tuple(self.report(task) for task in tasks)
        answers = self.library.answers
        return Batch(reports, {one: answers[one] for report in reports for one in report.asked})

    def report(self, task: Task) -> Report:
        """What is found in one unit."""
        if task.is_analysed:
            unit = _Unit(self, task.path)
            findings, asked = tuple(unit.findings()), unit.project.asked
        else:
            findings, asked = self._syntax(task.path)
        broken, further = self.library.broken_cells(task.path)
        if not broken:
            return Report(task.path, findings, self.library.told(asked))
        cells = (problem(self.setup.given[task.path], error, "; this cell is left out") for error in broken)
        return Report(task.path, (*findings, *cells), self.library.told(asked | further), is_partial=True)

    def _syntax(self, path: Path) -> tuple[tuple[Finding, ...], Questions]:
        source, asked = self.library.text(path)
        try:
            if isinstance(source, SourceError):
                raise source
            check_syntax(source)
        except SourceError as error:
            return (problem(self.setup.given[path], error),), asked
        return (), asked


def problem(filename: str, error: SourceError, more: str = "") -> Finding:
    """What is to be said of a file that cannot be read as Python."""
    start = Position(error.row, error.column)
    return Finding(error.code, error.message + more, Span(filename, start, start))


def defect(filename: str, reason: str) -> Finding:
    """What is to be said of a file of which the analysis broke down."""
    start = Position(1, 1)
    message = f"the analysis of this file failed ({reason}); this is a defect of lossaudit"
    return Finding("E004", message, Span(filename, start, start))


def given_up(setup: Setup, task: Task) -> Report:
    """The report of a file that ended every process that looked at it."""
    return Report(task.path, (defect(setup.given[task.path], "its process ended"),), ())


@dataclass(slots=True)
class _Unit:
    """The analysis of one file."""

    workshop: Workshop
    path: Path
    project: Project = field(init=False)
    failures: list[Finding] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.project = Project(self.workshop.library)

    def findings(self) -> list[Finding]:
        """Everything that the roots of the file show."""
        home = self.project.module(self.path)
        imports = self.workshop.imports
        heap = Heap() if imports is None else imports.heap()
        interp = Interpreter(self.project, self.workshop.tools, home, imports, heap)
        if not interp.detectors.events:
            return []
        try:
            self._run_roots(interp)
        finally:
            heap.give_back()
        if home.error is not None:
            return [problem(home.filename, home.error)]
        return set_of([*self.failures, *self.workshop.placer.findings(interp.findings.hits)])

    def _run_roots(self, interp: Interpreter) -> None:
        for root in interp.roots():
            try:
                root()
            except Exception as error:  # noqa: BLE001 (a defect of ours must not hide what else there is)
                self._failed(interp.home.filename, error)
                interp.heap.journals.clear()

    def _failed(self, filename: str, error: Exception) -> None:
        if self.workshop.setup.debug:
            raise error
        last = traceback.extract_tb(error.__traceback__)[-1]
        self.failures.append(
            defect(filename, f"{type(error).__name__} in {Path(last.filename).name}:{last.lineno}")
        )


def set_of(findings: Iterable[Finding]) -> list[Finding]:
    """One finding a place and code: the one with the shortest trail, then the first in the alphabet.

    Its fix must mend every way in which it came about: it is what the fixes of all of them do together.
    """
    ways: dict[tuple[str, Span], list[Finding]] = {}
    for finding in findings:
        ways.setdefault((finding.code, finding.span), []).append(finding)
    return [_one_of(same) for same in ways.values()]


def _one_of(same: list[Finding]) -> Finding:
    best = min(same, key=_preference)
    return replace(best, fix=joined_fix([one.fix for one in sorted(same, key=_preference)]))


def _preference(finding: Finding) -> tuple[int, str, str, str]:
    return len(finding.trail), finding.message, repr(finding.trail), repr(finding.fix)


class Placer:
    """Turns sites into spans, computing positions once for each file that takes part in a finding."""

    def __init__(self, library: Library, contracts: Contracts) -> None:
        self._library = library
        self._files: dict[str, Positions] = {}
        self._given = frozenset(library.given.values())
        self._desk = Desk(self._source, self._given, contracts)

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

    def _source(self, filename: str) -> bytes:
        return self._library.parsed(self._library.where(Path(filename)))[0].source

    def _finding(self, hit: Hit, fix: Fix | None) -> Finding:
        trail = tuple(TrailStep(self._span(step.site), step.words) for step in hit.trail)
        return Finding(hit.code, hit.message, self._span(hit.site), trail, fix, hit.help)

    def _span(self, site: Site) -> Span:
        if site.path not in self._files:
            self._files[site.path] = Positions(site.path, self._source(site.path))
        return self._files[site.path].span(site.node)
