"""A second process that works out what may be wanted while the first goes on: two cores serve one loss.

It is forked, so it sees all that the first has seen. Whatever becomes of it, nothing is lost: who wants its answer and gets none
works it out alone, and if the loss kills or stalls its process, does so where that is watched.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from lossaudit.fuzz.nursery import can_fork

if TYPE_CHECKING:
    from collections.abc import Callable

CHUNK = 1 << 16
THREADS = Path("/proc/self/task")


def _may_fork() -> bool:
    """Whether this process can be forked without harm: a lock that another of its threads holds would be held for ever."""
    return can_fork() and len(list(THREADS.iterdir())) == 1


@dataclass(slots=True)
class Ahead:
    """At most one such process at a time. Use it as a context manager, lest the process stay.

    Args:
        prepare: Called in the second process before anything else: what it must not share with the first is put aside there.
    """

    prepare: Callable[[], None] = lambda: None
    _pid: int | None = None
    _reading: int = -1

    def __enter__(self) -> Ahead:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def start(self, work: Callable[[], bytes]) -> None:
        """Begin on some work in a second process, where one can be had; an earlier one is ended."""
        self.end()
        if not _may_fork():
            return
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(reading)
            self._answer(work, writing)
        os.close(writing)
        self._pid, self._reading = pid, reading

    def result(self, seconds: float) -> bytes | None:
        """What the work came to; None where there is none, it failed, or it is not done within so many seconds."""
        if self._pid is None:
            return None
        end = time.monotonic() + seconds
        parts: list[bytes] = []
        while select.select([self._reading], [], [], max(0.0, end - time.monotonic()))[0]:
            part = os.read(self._reading, CHUNK)
            if not part:  # who leaves in the middle of the work has said nothing
                return b"".join(parts) or None if self._ended_well() else None
            parts.append(part)
        self.end()
        return None

    def end(self) -> None:
        """End the process, if it still runs."""
        if self._pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGKILL)
            self._ended_well()

    def _ended_well(self) -> bool:
        assert self._pid is not None  # noqa: S101 (for the type checker)
        _, status = os.waitpid(self._pid, 0)
        os.close(self._reading)
        self._pid = None
        return os.waitstatus_to_exitcode(status) == 0

    def _answer(self, work: Callable[[], bytes], writing: int) -> NoReturn:
        code = 1
        try:
            self.prepare()
            with os.fdopen(writing, "wb") as pipe:
                pipe.write(work())
            code = 0
        finally:
            os._exit(code)
