"""What parent and child tell each other: plain JSON in files of a folder that both know, and a blackboard in MessagePack.

Files rather than pipes: a target may close or fill any descriptor that it finds, and a report survives its writer.
"""

from __future__ import annotations

import json
import mmap
import struct
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from lossaudit.findings import Diagnosis, FuzzFinding, Reference, TargetReport
from lossaudit.fuzz import FuzzOptions
from lossaudit.statefolder import write_whole

if TYPE_CHECKING:
    from pathlib import Path

REQUEST = "request.json"
RESULT = "result.json"
EVENTS = "events.txt"
OUTPUT = "output"
NOW = "now"
AHEAD = "ahead"
IDLE = "idle"
FAKE = "fake-device"
GUESS = "guess"
"""The stage of a call on an input that a target takes, of which nobody knows whether it is made for it."""
JOINED = "joined"
"""The stage of one call for many cases, which is none of the target's own: what goes wrong there is asked again, one by one."""
OF_OURS = frozenset({FAKE, JOINED})
"""Stages of what no user does with a loss: a process that ends there says nothing of it."""
SIZE_KEY = "size "


class Avoided(Exception):  # noqa: N818 (an answer, not an error)
    """Raised instead of a call that killed an earlier child."""


@dataclass(frozen=True, slots=True)
class Request:
    """What the child is to do.

    ``avoid`` names the calls that killed earlier children. With ``replay``, the code of a finding, the one input that
    the options hold as kept is run, and nothing else.
    """

    target: str
    options: FuzzOptions
    avoid: tuple[str, ...] = ()
    replay: str | None = None

    def write(self, folder: Path) -> None:
        """Leave the request where the child looks for it."""
        data = asdict(self)
        data["options"]["select"] = None if self.options.select is None else sorted(self.options.select)
        data["options"]["transforms"] = sorted(self.options.transforms)
        (folder / REQUEST).write_text(json.dumps(data), encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> Request:
        """Read what the parent left."""
        data = json.loads((folder / REQUEST).read_text(encoding="utf-8"))
        options = data["options"]
        options["transforms"] = frozenset(options["transforms"])
        if options["select"] is not None:
            options["select"] = frozenset(options["select"])
        options["kept"] = tuple(options["kept"])
        return cls(data["target"], FuzzOptions(**options), tuple(data["avoid"]), data["replay"])


class Blackboard:
    """What is being run now. Written before each call, so that it outlives a crash.

    A count, a mark that says whether the call is still running and its number, each at its own place, then the length and the
    text of the states, of which the number picks one. The end of a call, and the next of several that were announced
    together, rewrite the former only. It is written before each call: MessagePack costs a tenth of JSON, and holds infinities;
    the file is mapped into memory, which outlives the process as well and spares the call to the system.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self.path = folder / NOW
        self.count = 0
        self.page = self._mapped(_ROOM)

    def write(self, state: dict[str, Any]) -> None:
        """Say what runs from now on."""
        self.write_all([state])
        self.turn_to(0)

    def write_all(self, states: list[dict[str, Any]]) -> None:
        """Write down what will run, one after the other; nothing of it runs yet."""
        self.idle()
        text = msgspec.msgpack.encode(states)
        end = _TEXT + len(text)
        if end > len(self.page):
            self.page = self._mapped(2 * end)
        self.page[_TEXT:end] = text
        _LENGTH.pack_into(self.page, _HEAD.size, len(text))

    def turn_to(self, number: int) -> None:
        """Say which of the states that were written runs from now on."""
        self.count += 1
        _HEAD.pack_into(self.page, 0, self.count, True, number)  # whoever sees the count sees what it counts

    def idle(self) -> None:
        """Say that it came back, and nothing of the target runs now."""
        self.count += 1
        _HEAD.pack_into(self.page, 0, self.count, False, 0)

    def _mapped(self, size: int) -> mmap.mmap:
        with self.path.open("a+b") as file:
            file.truncate(size)
            return mmap.mmap(file.fileno(), size)


_HEAD = struct.Struct("<Q?Q")
_LENGTH = struct.Struct("<Q")
_TEXT = _HEAD.size + _LENGTH.size
_ROOM = 1 << 14


def read_blackboard(folder: Path) -> dict[str, Any]:
    """The state; empty while there is none, or while it is being written."""
    try:
        data = (folder / NOW).read_bytes()
        count, running, number = _HEAD.unpack_from(data)
        (size,) = _LENGTH.unpack_from(data, _HEAD.size)
        state = msgspec.msgpack.decode(data[_TEXT : _TEXT + size])[number] if running else {"stage": IDLE}
    except (OSError, ValueError, IndexError, KeyError, TypeError, struct.error, msgspec.DecodeError):
        return {}
    return {**state, "count": count} if count and isinstance(state, dict) else {}


def prediction_of(state: dict[str, Any]) -> Any:
    """What is learned of an input, as nested lists."""
    return state["packed"][0] if "packed" in state else state["arguments"]["prediction"]


def largest_number(state: dict[str, Any]) -> float:
    """The largest number of a prediction, whatever its sign. Asked where a child has crashed only: a call must cost little."""
    waiting, largest = [prediction_of(state)], 0.0
    while waiting:
        value = waiting.pop()
        if isinstance(value, list):
            waiting += value
        else:
            largest = max(largest, abs(value))
    return largest


def avoid_key(state: dict[str, Any]) -> str:
    """What a crash says of other calls: while probing, the interface is suspect; later, the size or kind of input."""
    stage = str(state.get("stage", "start"))
    if stage in OF_OURS or state.get("interface") is None:
        return stage
    if stage == "probe":
        return f"probe {state['interface']}"
    if state["magnitude"] in {"right", "wrong", "large"} and largest_number(state) > 4:
        return f"{SIZE_KEY}{largest_number(state)!r}"
    single = state["shape"][:1] == [1]
    return f"call {state['space']} {state['targets']} {state['dtype']} {state['layout']} {single}"


def smallest_fatal_size(keys: tuple[str, ...]) -> float:
    """The size from which on a number killed an earlier child; infinite where none did."""
    sizes = [float(key.removeprefix(SIZE_KEY)) for key in keys if key.startswith(SIZE_KEY)]
    return min(sizes, default=float("inf"))


def write_result(folder: Path, result: dict[str, Any]) -> None:
    """Write the result under another name first: there is a whole one or none."""
    write_whole(folder / RESULT, json.dumps(result).encode())


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
