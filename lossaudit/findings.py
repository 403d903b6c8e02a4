"""What both halves produce: plain, frozen data that every report renders.

A finding names its rule by code only. The rule's name, severity and documentation live on its page in
``rules/`` and are joined by :mod:`lossaudit.rulebook` when a report is written.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Literal


class Severity(str, Enum):
    """How bad it is to train with the code unchanged."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


class Applicability(str, Enum):
    """Whether a fix keeps the mathematics (``safe``) or changes it, which is its point (``unsafe``)."""

    SAFE = "safe"
    UNSAFE = "unsafe"


@dataclass(frozen=True, order=True, slots=True)
class Position:
    """A place in a text file; rows and columns count from 1, columns in characters."""

    row: int
    column: int


@dataclass(frozen=True, order=True, slots=True)
class Span:
    """A stretch of one file. ``end`` is exclusive in its column, as in ruff and pyright.

    ``cell`` counts the code cells of a notebook from 1; it is None in a plain Python file.
    """

    filename: str
    start: Position
    end: Position
    cell: int | None = None


@dataclass(frozen=True, slots=True)
class TrailStep:
    """One step of the proof: what happened to the value, and where."""

    span: Span
    message: str


@dataclass(frozen=True, slots=True)
class Edit:
    """Replace the text of ``span`` by ``content``."""

    span: Span
    content: str


@dataclass(frozen=True, slots=True)
class Fix:
    """A set of edits that belong together: all are applied, or none."""

    applicability: Applicability
    message: str
    edits: tuple[Edit, ...]


@dataclass(frozen=True, slots=True)
class Finding:
    """One broken contract, found by reading.

    ``trail`` runs from where the value arose to the call that it breaks; ``help`` says what to write instead.
    """

    code: str
    message: str
    span: Span
    trail: tuple[TrailStep, ...] = ()
    fix: Fix | None = None
    help: str | None = None


@dataclass(frozen=True, slots=True)
class FileChange:
    """What one run changed in a file, or would change: the findings that this mends, and the change as a unified diff.

    A finding whose fix changes several files is counted with the first of them.
    """

    filename: str
    mended: tuple[Finding, ...]
    diff: str


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """The named mistake that reproduces every collected value of the target.

    ``mistake`` is the identifier of the mistake in the bank, or of the fitted relation; ``rule`` the code of the
    rule page that explains it, where there is one.
    """

    mistake: str
    message: str
    rule: str | None = None


@dataclass(frozen=True, slots=True)
class FuzzFinding:
    """One disagreement between a loss and its reference, found by running.

    ``counterexample`` holds the smallest input as plain JSON values; ``evidence`` what was expected and what
    came; ``repro`` Python source that shows the disagreement with torch alone. ``case`` holds what is needed to run the
    input again, ``test`` the body of a regression test, ``id`` the identity under which the failure is kept; each is empty
    where there is none.
    """

    code: str
    message: str
    diagnosis: Diagnosis | None
    counterexample: dict[str, Any]
    evidence: dict[str, Any]
    repro: str
    case: dict[str, Any] = field(default_factory=dict)
    test: str = ""
    id: str = ""


@dataclass(frozen=True, slots=True)
class Reference:
    """The formula that a target was judged against, and whether it was recognised or given."""

    name: str
    parameters: dict[str, Any]
    recognised: bool


@dataclass(frozen=True, slots=True)
class TargetReport:
    """Everything that one fuzzing run says about one target.

    ``assumptions`` are the sentences that tell the user what was taken for granted and how to say otherwise;
    ``error`` is the reason, in one paragraph, when the verdict is ``error``.
    """

    target: str
    reference: Reference | None
    verdict: Literal["conforms", "diverges", "error"]
    findings: tuple[FuzzFinding, ...] = ()
    statistics: dict[str, Any] = field(default_factory=dict)
    assumptions: tuple[str, ...] = ()
    error: str | None = None


@dataclass(frozen=True, slots=True)
class ReferenceParameter:
    """A parameter of a reference: its neutral value gives the plain loss back; ``bounds`` are those of a number."""

    name: str
    kind: str
    neutral: Any
    bounds: tuple[float, float] | None
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ReferenceEntry:
    """A reference as a reader wants it: nothing in it can be run.

    ``domain`` says which predictions and targets it takes, the usual ones first; ``laws`` hold by definition;
    ``conventions`` are published variants that are recognised and not accused, ``mistakes`` the known wrong ones.
    """

    name: str
    formula: str
    source: str
    domain: tuple[str, ...]
    parameters: tuple[ReferenceParameter, ...]
    reductions: tuple[str, ...]
    laws: tuple[str, ...]
    conventions: tuple[str, ...]
    mistakes: tuple[str, ...]
