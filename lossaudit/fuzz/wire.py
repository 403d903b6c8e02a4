"""What parent and child tell each other: plain JSON in files of a folder that both know.

Files rather than pipes: a target may close or fill any descriptor that it finds, and a report survives its writer.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from lossaudit.findings import Diagnosis, FuzzFinding, Reference, TargetReport
from lossaudit.fuzz import FuzzOptions

if TYPE_CHECKING:
    from pathlib import Path

REQUEST = "request.json"
RESULT = "result.json"
EVENTS = "events.txt"
NOW = "now"
IDLE = "idle"


@dataclass(frozen=True, slots=True)
class Request:
    """What the child is to do; ``avoid`` names the calls that killed earlier children."""

    target: str
    options: FuzzOptions
    avoid: tuple[str, ...] = ()

    def write(self, folder: Path) -> None:
        """Leave the request where the child looks for it."""
        data = asdict(self)
        data["options"]["select"] = None if self.options.select is None else sorted(self.options.select)
        (folder / REQUEST).write_text(json.dumps(data), encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> Request:
        """Read what the parent left."""
        data = json.loads((folder / REQUEST).read_text(encoding="utf-8"))
        options = data["options"]
        if options["select"] is not None:
            options["select"] = frozenset(options["select"])
        return cls(data["target"], FuzzOptions(**options), tuple(data["avoid"]))


class Blackboard:
    """The one line that says what is being run now. Written before each call, so that it outlives a crash."""

    def __init__(self, folder: Path) -> None:
        self.descriptor = os.open(folder / NOW, os.O_RDWR | os.O_CREAT, 0o600)
        self.count = 0

    def write(self, state: dict[str, Any]) -> None:
        """Replace the line."""
        self.count += 1
        text = json.dumps({**state, "count": self.count}).encode()
        os.pwrite(self.descriptor, len(text).to_bytes(8, "little") + text, 0)


def read_blackboard(folder: Path) -> dict[str, Any]:
    """The last line; empty while there is none, or while it is being written."""
    try:
        data = (folder / NOW).read_bytes()
        size = int.from_bytes(data[:8], "little")
        state = json.loads(data[8 : 8 + size])
    except (OSError, ValueError):
        return {}
    return state if isinstance(state, dict) else {}


def write_result(folder: Path, result: dict[str, Any]) -> None:
    """Write the result under another name first: there is a whole one or none."""
    waiting = folder / f"{RESULT}.part"
    waiting.write_text(json.dumps(result), encoding="utf-8")
    waiting.replace(folder / RESULT)


def read_result(folder: Path) -> dict[str, Any] | None:
    """The result, if the child got that far."""
    try:
        result = json.loads((folder / RESULT).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return result if isinstance(result, dict) else None


def report_to_json(report: TargetReport) -> dict[str, Any]:
    """A report as JSON values."""
    return asdict(report)


def report_from_json(data: dict[str, Any]) -> TargetReport:
    """The report that was written."""
    reference = data["reference"]
    return TargetReport(
        target=data["target"],
        reference=None if reference is None else Reference(**reference),
        verdict=data["verdict"],
        findings=tuple(_finding(finding) for finding in data["findings"]),
        statistics=data["statistics"],
        assumptions=tuple(data["assumptions"]),
        error=data["error"],
    )


def _finding(data: dict[str, Any]) -> FuzzFinding:
    diagnosis = data["diagnosis"]
    return FuzzFinding(**{**data, "diagnosis": None if diagnosis is None else Diagnosis(**diagnosis)})
