"""What a second process does, asked in a process that has no threads: ``python second_process.py``. The tests' own may have some."""

from __future__ import annotations

import os
import sys
import threading
import time
from typing import TYPE_CHECKING

from lossaudit.fuzz.ahead import Ahead

if TYPE_CHECKING:
    from collections.abc import Callable

LONG = b"a report of more than a pipe holds" * 10_000


def sees_what_the_first_has_seen_and_answers() -> None:
    seen = [LONG]
    with Ahead() as ahead:
        ahead.start(lambda: seen[0])
        seen[0] = b"what came later"
        assert ahead.result(30.0) == LONG
        assert ahead.result(30.0) is None


def puts_aside_what_it_must_not_share() -> None:
    where = ["first"]

    def apart() -> None:
        where[0] = "second"

    with Ahead(apart) as ahead:
        ahead.start(lambda: b"in the " + where[0].encode())
        assert ahead.result(30.0) == b"in the second"
    assert where == ["first"]


def has_no_answer_when_it_dies() -> None:
    ways: list[Callable[[], bytes]] = [
        lambda: os.kill(os.getpid(), 9),
        lambda: os._exit(0),
        lambda: str(1 / 0).encode(),
    ]
    for work in ways:
        with Ahead() as ahead:
            ahead.start(work)
            assert ahead.result(30.0) is None


def is_ended_when_it_is_late_or_not_wanted() -> None:
    reading, writing = os.pipe()

    def stalls() -> bytes:
        os.write(writing, str(os.getpid()).encode())
        time.sleep(600)
        return b""

    with Ahead() as ahead:
        ahead.start(stalls)
        late = int(os.read(reading, 100))
        assert ahead.result(0.05) is None
        ahead.start(stalls)
        replaced = int(os.read(reading, 100))
        ahead.start(stalls)
        left = int(os.read(reading, 100))
    for pid in (late, replaced, left):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            continue
        raise AssertionError(pid)


def is_not_made_of_a_process_with_threads() -> None:
    done = threading.Event()
    threading.Thread(target=done.wait, daemon=True).start()
    with Ahead() as ahead:
        ahead.start(lambda: b"an answer")
        assert ahead.result(30.0) is None
    done.set()


if __name__ == "__main__":
    globals()[sys.argv[1]]()
