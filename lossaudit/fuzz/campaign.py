"""Many targets: discovered or configured, several at a time, in the order in which they were named."""

from __future__ import annotations

import threading
from concurrent.futures import CancelledError, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lossaudit.fuzz import keep
from lossaudit.fuzz.isolation import Stopped, run_isolated
from lossaudit.fuzz.nursery import Nursery

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Future
    from pathlib import Path

    from lossaudit.findings import TargetReport
    from lossaudit.fuzz import FuzzOptions


@dataclass(frozen=True, slots=True)
class Outcome:
    """The reports of a campaign, in the order of its jobs; ``interrupted`` ones have none."""

    reports: tuple[TargetReport, ...]
    interrupted: bool = False


def run(
    jobs: Sequence[tuple[str, FuzzOptions]],
    workers: int,
    on_event: Callable[[str], None] = lambda _: None,
    on_done: Callable[[int], None] = lambda _: None,
    memory: Path | None = None,
) -> Outcome:
    """Fuzz every job, each in its own child.

    The reports are the same whatever the number of workers: each target has its own process, its own seed, its own order.

    Args:
        jobs: Targets, each with its options.
        workers: How many children may run at once.
        on_event: Receives ``target: what is going on``.
        on_done: Receives the number of targets that are done.
        memory: The folder in which failures are kept (below ``.lossaudit``): those of earlier runs are tried first,
            those of this run are added. None to keep nothing.

    Returns:
        All reports, or after Ctrl-C those that were finished by then.
    """
    stop = threading.Event()
    done = 0
    with Nursery(many=len(jobs) > 1) as nursery, ThreadPoolExecutor(max(1, min(workers, len(jobs)))) as pool:

        def work(target: str, options: FuzzOptions) -> TargetReport:
            nonlocal done
            if stop.is_set():
                raise Stopped
            report = run_isolated(
                target, options, lambda event: on_event(f"{target}: {event}"), nursery, stop
            )
            done += 1
            on_done(done)
            return report if memory is None else keep.keep(memory, report, options)

        futures = [pool.submit(work, *job) for job in jobs]
        try:
            return Outcome(tuple(future.result() for future in futures))
        except KeyboardInterrupt:
            stop.set()
            return Outcome(tuple(_finished(futures)), interrupted=True)


def _finished(futures: Sequence[Future[TargetReport]]) -> list[TargetReport]:
    """The reports that are there once the rest has been told to stop."""
    reports = []
    for future in futures:
        future.cancel()
        try:
            reports.append(future.result())
        except (Stopped, CancelledError):
            continue
    return reports
