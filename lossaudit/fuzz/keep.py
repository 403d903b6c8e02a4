"""Failures that are kept, so that they can be replayed: ``.lossaudit/failures/ID.json``, which git ignores by itself.

The identity of a failure is what was found in which target, not on which numbers: the same failure found again takes the
place of the old one, whose input may have been less simple.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from lossaudit.statefolder import NAME, state_folder, write_whole

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from lossaudit.findings import FuzzFinding, TargetReport
    from lossaudit.fuzz import FuzzOptions

FOLDER = "failures"
VERSION = 1


@dataclass(frozen=True, slots=True)
class Kept:
    """One failure.

    Args:
        id: Eight hexadecimal digits, the same for the same failure of the same target.
        target: What was fuzzed, as the user named it.
        code: The finding's code.
        message: The finding in one sentence.
        case: The input, as :func:`lossaudit.fuzz.report.raw` writes it.
        init: Constructor arguments.
        call: Further arguments of each call.
        reference: What the user named as ``--reference``.
        seed: The seed of the run.
    """

    id: str
    target: str
    code: str
    message: str
    case: dict[str, Any]
    init: dict[str, Any] = field(default_factory=dict)
    call: dict[str, Any] = field(default_factory=dict)
    reference: str | None = None
    seed: int = 0


def identify(target: str, options: FuzzOptions, finding: FuzzFinding) -> str:
    """The stable identity of a failure."""
    mistake = None if finding.diagnosis is None else finding.diagnosis.mistake
    parts = [target, dict(options.init), dict(options.call), options.reference, finding.code, mistake]
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def keep(base: Path, report: TargetReport, options: FuzzOptions) -> TargetReport:
    """Write down the failures of a report that can be replayed.

    Args:
        base: The folder in which ``.lossaudit`` lies.
        report: What was found.
        options: How the target was built and called.

    Returns:
        The report with the identities; as it was where the folder cannot be written.
    """
    made = [
        Kept(
            identify(report.target, options, finding),
            report.target,
            finding.code,
            finding.message,
            finding.case,
            dict(options.init),
            dict(options.call),
            options.reference,
            options.seed,
        )
        for finding in report.findings
        if finding.case
    ]
    try:
        for kept in made:
            _write(state_folder(base, FOLDER), kept)
    except OSError:
        return report
    findings = (
        replace(finding, id=identify(report.target, options, finding)) if finding.case else finding
        for finding in report.findings
    )
    return replace(report, findings=tuple(findings))


def of_target(base: Path, target: str, options: FuzzOptions) -> tuple[Mapping[str, Any], ...]:
    """The inputs of the kept failures of one target, built and called as the options say."""
    return tuple(
        kept.case
        for kept in load_all(base)
        if (kept.target, kept.init, kept.call) == (target, dict(options.init), dict(options.call))
    )


def _write(folder: Path, kept: Kept) -> None:
    text = json.dumps({"version": VERSION, **asdict(kept)}, indent=1)
    write_whole(folder / f"{kept.id}.json", text.encode())


def load(base: Path, identity: str) -> Kept | None:
    """The failure of this identity; None where there is none, or its file cannot be understood."""
    if not identity.isalnum():
        return None
    return _read(base / NAME / FOLDER / f"{identity}.json")


def load_all(base: Path) -> tuple[Kept, ...]:
    """Every kept failure, by identity."""
    files: Iterable[Path] = sorted((base / NAME / FOLDER).glob("*.json"))
    return tuple(kept for file in files if (kept := _read(file)) is not None)


def _read(file: Path) -> Kept | None:
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
        if data.pop("version") != VERSION:
            return None
        return Kept(**data)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None
