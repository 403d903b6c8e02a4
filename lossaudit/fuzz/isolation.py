"""The parent's side: a child of its own for each target, with limits on time and memory.

The child writes down each input before it runs it. When it dies, or has to be killed, that input becomes LF406 and
another child goes on without it. Nothing that the target prints, at any level, reaches the parent's output.
"""

from __future__ import annotations

import importlib.util
import os
import signal
import tempfile
import threading
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lossaudit.findings import FuzzFinding, TargetReport
from lossaudit.fuzz import FuzzOptions, TargetError, wire, written
from lossaudit.fuzz.target import parse_target

if TYPE_CHECKING:
    from collections.abc import Callable

    from lossaudit.fuzz.keep import Kept
    from lossaudit.fuzz.nursery import Child, Nursery

POLL_SECONDS = 0.02
IMPORT_SECONDS = 120.0
GRACE_SECONDS = 20.0
MOST_CRASHES = 4
KILLED = "the call killed the process"
STARVED = 10.0
MOST_PROBE_CRASHES = 2
MOST_GUESSES = 16
NEEDED = ("torch", "hypothesis", "numpy")


@dataclass(frozen=True, slots=True)
class Crash:
    """How a child ended, and what it was running."""

    reason: str
    state: dict[str, Any]

    @property
    def stage(self) -> str:
        """The stage in which it ended."""
        return str(self.state.get("stage", "start"))

    @property
    def killed(self) -> bool:
        """Whether a signal ended it."""
        return self.reason.startswith(KILLED)

    @property
    def key(self) -> str:
        """What the next child is to avoid."""
        return wire.avoid_key(self.state)


@dataclass(slots=True)
class _Run:
    """The children of one target."""

    target: str
    options: FuzzOptions
    on_event: Callable[[str], None]
    nursery: Nursery
    stop: threading.Event
    crashes: list[Crash] = field(default_factory=list)
    replay: str | None = None


class Stopped(Exception):  # noqa: N818 (no error: somebody asked for it)
    """Raised in a run that was asked to end."""


def run_isolated(
    target: str,
    options: FuzzOptions,
    on_event: Callable[[str], None],
    nursery: Nursery,
    stop: threading.Event | None = None,
) -> TargetReport:
    """Fuzz a target in children; see :func:`lossaudit.fuzz.fuzz_target`.

    Raises:
        Stopped: ``stop`` was set; the child is ended first.
    """
    try:
        parse_target(target)
    except TargetError as error:
        return TargetReport(target, None, "error", error=str(error))
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        text = f"fuzzing needs {missing[0]}, which is not installed\nhint: pip install 'lossaudit[fuzz]'"
        return TargetReport(target, None, "error", error=text)
    run = _Run(target, options, on_event, nursery, stop or threading.Event())
    while True:
        result = _one_child(run)
        if isinstance(result, TargetReport):
            return _with_crashes(run, result)
        assert isinstance(result, Crash)  # noqa: S101 (only a replay has another answer)
        run.crashes.append(result)
        on_event(f"{result.reason}; going on without that input")
        ended = _hopeless(run)
        if ended is not None:
            return ended


def replay_isolated(kept: Kept, nursery: Nursery) -> tuple[bool, str]:
    """Run one kept failure again.

    Args:
        kept: The failure.
        nursery: Starts the child.

    Returns:
        Whether it still fails, and in what way.

    Raises:
        TargetError: It cannot be replayed: the target cannot be imported, or takes other inputs now.
    """
    parse_target(kept.target)
    options = FuzzOptions(kept.init, kept.call, kept.reference, kept.seed, kept=(kept.case,))
    run = _Run(kept.target, options, lambda _: None, nursery, threading.Event(), replay=kept.code)
    result = _one_child(run)
    if isinstance(result, Crash):
        if result.stage in {"start", "import"}:
            raise TargetError(f"importing {kept.target}: {result.reason}")
        return True, result.reason
    if isinstance(result, TargetReport):
        raise TargetError(result.error or "it cannot be judged")
    return result


def _hopeless(run: _Run) -> TargetReport | None:
    """A report when it makes no sense to start yet another child."""
    last = run.crashes[-1]
    if last.stage in {"start", "import"}:
        return TargetReport(run.target, None, "error", error=f"importing {run.target}: {last.reason}")
    proper = [crash for crash in run.crashes if not _is_lived_through(run, crash)]
    probes = [crash for crash in proper if crash.stage == "probe"]
    if (
        len(proper) < MOST_CRASHES
        and len(probes) < MOST_PROBE_CRASHES
        and len(run.crashes) < len(proper) + MOST_GUESSES
    ):
        return None
    if all(_is_about_a_guess(run, crash) for crash in run.crashes):
        return _cannot_be_judged(run)
    statistics = {"examples": 0, "seconds": None, "seed": run.options.seed, "devices": ["cpu"], "dtypes": []}
    empty = TargetReport(run.target, None, "conforms", statistics=statistics)
    return _with_crashes(run, replace(empty, assumptions=("stopped: the target keeps ending its process",)))


def _cannot_be_judged(run: _Run) -> TargetReport:
    text = (
        f"{run.target} cannot be judged: {run.crashes[-1].reason} again and again, on inputs that it may not be made for; "
        "name what it is with --reference"
    )
    return TargetReport(run.target, None, "error", error=text)


def _is_lived_through(run: _Run, crash: Crash) -> bool:
    """Whether a signal ended a probe of a target that other probes do not kill, and of which nobody said what it takes."""
    unnamed = run.options.reference is None
    return unnamed and crash.stage == "probe" and crash.killed and not crash.state["first"]


def _is_about_a_guess(run: _Run, crash: Crash) -> bool:
    """Whether a signal ended a call on an input that the target may not be made for: a kernel need not survive labels that are none."""
    return _is_lived_through(run, crash) or (crash.stage == wire.GUESS and crash.killed)


def _one_child(run: _Run) -> TargetReport | Crash | tuple[bool, str]:
    """Run one child to its end, whatever that is. A replay is answered with whether it still fails, and how."""
    with tempfile.TemporaryDirectory(prefix="lossaudit-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        avoid = tuple(crash.key for crash in run.crashes)
        wire.Request(run.target, run.options, avoid, run.replay).write(folder)
        process = run.nursery.start(folder)
        try:
            reason = _watch(process, folder, run)
        finally:
            code = _end(process)
        result = wire.read_result(folder)
        state = wire.read_blackboard(folder)
        if reason is None and result is not None:
            return _report(run, result, state)
        return Crash(reason or _exit_reason(code), state)


def _watch(process: Child, folder: Path, run: _Run) -> str | None:
    """Wait for the child; the reason why it had to be killed, or None when it ended by itself."""
    started = changed = time.monotonic()
    count, told, used = -1, 0, 0.0
    while process.poll() is None:
        if run.stop.is_set():
            raise Stopped
        time.sleep(POLL_SECONDS)
        now = time.monotonic()
        told = _tell(folder, told, run.on_event)
        state = wire.read_blackboard(folder)
        if state.get("count", -1) != count:
            count, changed, used = state.get("count", -1), now, _cpu(process.pid)[0]
        reason = _overdue(state, now - changed, now - started, run.options)
        if reason is not None and _starved(process.pid, used, now - changed, run.options):
            reason = None
        reason = reason or _too_large(process.pid, run.options)
        if reason is not None:
            return reason
    _tell(folder, told, run.on_event)
    return None


def _overdue(state: dict[str, Any], silent: float, total: float, options: FuzzOptions) -> str | None:
    stage = state.get("stage", "start")
    if stage in {"start", "import"}:
        return f"no end after {IMPORT_SECONDS:g} s" if silent > IMPORT_SECONDS else None
    # The fake device loads half of torch's compiler at first: it has the time of the whole run.
    if stage not in {wire.IDLE, wire.FAKE} and silent > options.call_time:
        return f"the call did not return within {options.call_time:g} s"
    if total > IMPORT_SECONDS + options.max_time + GRACE_SECONDS:
        return f"no end after {total:.0f} s"
    return None


def _starved(pid: int, used: float, silent: float, options: FuzzOptions) -> bool:
    """Whether a call is late because the machine is busy: it wants to run, and was not given the time that it may have."""
    if silent > STARVED * options.call_time:
        return False
    now, state = _cpu(pid)
    return state != "S" and now - used < options.call_time / 2


def _cpu(pid: int) -> tuple[float, str]:
    """Seconds of processor time that a process has used, and its state; sleeping where the system does not tell."""
    try:
        fields = (
            Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
        )
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"), fields[0]
    except (OSError, ValueError, IndexError):
        return 0.0, "S"


def _too_large(pid: int, options: FuzzOptions) -> str | None:
    """The resident memory of the child, where the system tells; imports are given the same again."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
        size = pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20)
    except (OSError, ValueError, IndexError):
        return None
    limit = options.memory_limit_mb + 2048
    return f"the call took more than {options.memory_limit_mb} MB of memory" if size > limit else None


def _tell(folder: Path, told: int, on_event: Callable[[str], None]) -> int:
    """Pass on the lines that the child has written since."""
    try:
        lines = (folder / wire.EVENTS).read_text(encoding="utf-8").splitlines()
    except OSError:
        return told
    for line in lines[told:]:
        on_event(line)
    return len(lines)


def _end(process: Child) -> int:
    """End the child, if it still runs, and whatever it started; its exit code."""
    if process.poll() is None:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            process.kill()
    return process.wait()


def _exit_reason(code: int) -> str:
    if code < 0:
        try:
            name = signal.Signals(-code).name
        except ValueError:
            name = f"signal {-code}"
        return f"{KILLED} ({name})"
    return f"the call ended the process (exit code {code})"


def _report(
    run: _Run, result: dict[str, Any], state: dict[str, Any]
) -> TargetReport | Crash | tuple[bool, str]:
    if "replay" in result:
        return result["replay"]["failing"], result["replay"]["message"]
    if "report" in result:
        return wire.report_from_json(result["report"])
    if "memory" in result and state.get("stage") not in {"start", "import", wire.IDLE}:
        return Crash(f"the call asked for more than {run.options.memory_limit_mb} MB of memory", state)
    if "target_error" in result:
        return TargetReport(run.target, None, "error", error=result["target_error"])
    reason = result.get("internal_error", "it ran out of memory")
    return TargetReport(
        run.target, None, "error", error=f"lossaudit itself failed: {reason}; please report this"
    )


def _with_crashes(run: _Run, report: TargetReport) -> TargetReport:
    """Add what killed earlier children; a probe of the wrong kind of input is no finding once the right one is known.

    Nor is a signal, where the target takes some inputs and which of them it is made for is not known. That is told.
    """
    known, judged = report.reference is not None, bool(report.statistics.get("examples"))
    if report.error and run.crashes and all(_is_about_a_guess(run, crash) for crash in run.crashes):
        return _cannot_be_judged(run)
    shown: dict[str, Crash] = {}
    for crash in run.crashes:
        if crash.stage in wire.OF_OURS or (crash.stage == "probe" and known):
            continue
        if _is_about_a_guess(run, crash) or (judged and not known and crash.killed):
            told = f"{crash.reason} on an input that it may not be made for"
            report = replace(report, assumptions=tuple(dict.fromkeys((*report.assumptions, told))))
            continue
        shown.setdefault(crash.reason, crash)
    selected = run.options.select is None or "LF406" in run.options.select
    if not shown or not selected:
        return report
    found = tuple(_finding(run, crash) for crash in shown.values())
    findings = tuple(sorted((*report.findings, *found), key=lambda finding: finding.code))
    return replace(report, verdict="diverges", findings=findings, error=None)


def _finding(run: _Run, crash: Crash) -> FuzzFinding:
    state = crash.state
    shown: dict[str, Any] = {
        **state.get("arguments", {}),
        **{name: state[name] for name in ("dtype", "shape", "layout") if name in state},
    }
    setup = _setup(run, state)
    return FuzzFinding(
        "LF406",
        crash.reason,
        None,
        shown,
        {"reason": crash.reason},
        "\n".join(setup) + "\n",
        case=_raw(state),
        test=written.crash_body(setup),
    )


def _raw(state: dict[str, Any]) -> dict[str, Any]:
    """The input in the form in which failures are kept; nothing where the child died before there was one."""
    if "arguments" not in state:
        return {}
    prediction, target = state.get("packed") or (
        state["arguments"]["prediction"],
        state["arguments"]["target"],
    )
    names = ("space", "shapes", "integers", "dtype", "layout", "magnitude", "targets")
    return {**{name: state[name] for name in names}, "prediction": prediction, "target": target}


def _setup(run: _Run, state: dict[str, Any]) -> list[str]:
    """Python that makes the call, a statement a line."""
    location = parse_target(run.target)
    head = location.attribute.split(".")[0]
    lines = ["import torch"]
    if location.is_file:
        lines.append(f"import runpy; {head} = runpy.run_path({location.module!r})[{head!r}]")
    else:
        lines.append(f"from {location.module} import {head}")
    arguments = state.get("arguments", {})
    for name, values in arguments.items():
        dtype = "int64" if _holds_integers(values) else state.get("dtype", "float32")
        lines.append(f"{name} = torch.tensor({values}, dtype=torch.{dtype})")
    names = [f"{name}.numpy()" if state.get("arrays") else name for name in arguments]
    inside = ", ".join(f"{name}={value!r}" for name, value in run.options.init.items())
    lines.append(
        f"loss = {location.attribute}  # with {inside}" if inside else f"loss = {location.attribute}"
    )
    lines.append("loss = loss() if isinstance(loss, type) else loss")
    lines.append(f"loss({', '.join(names)})  # {state.get('stage')}")
    return lines


def _holds_integers(value: Any) -> bool:
    while isinstance(value, list):
        if not value:
            return False
        value = value[0]
    return isinstance(value, int)
