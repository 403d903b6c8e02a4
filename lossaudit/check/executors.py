"""Where units are analysed: here, in other processes, or by the workers of a cluster.

What is not done here goes through :class:`concurrent.futures.Executor`; what a unit finds does not depend on who looks at it.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, as_completed
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from lossaudit.check import CheckOptions
from lossaudit.check.units import (
    Batch,
    Report,
    Setup,
    Task,
    Workshop,
    analyse,
    given_up,
    pack,
    with_deep_stack,
)
from lossaudit.crews import Crew, cluster, cluster_address, submit

LITTLE = 100_000
"""So many bytes of code are analysed before other processes would have started."""
CHUNKS = 12
"""How many portions of work there are for each process: the last ones must not keep one of them busy alone."""
CLUSTER_CHUNK = 200_000
"""How many bytes of code go to a worker of a cluster at a time."""

Chunk = tuple[Task, ...]
Opens = Callable[[], AbstractContextManager[Crew]]


@dataclass(slots=True)
class Done:
    """What the units that were analysed found, and what the disk answered to them.

    ``is_steady`` is False if it answered two of them differently: somebody wrote meanwhile.
    """

    reports: dict[Path, Report] = field(default_factory=dict)
    answers: dict[str, str] = field(default_factory=dict)
    is_steady: bool = True

    def add(self, batch: Batch) -> None:
        """Some more units are done."""
        self.reports |= {report.path: report for report in batch.reports}
        for question, answer in batch.answers.items():
            self.is_steady &= self.answers.setdefault(question, answer) == answer


def execute(setup: Setup, tasks: Sequence[Task], options: CheckOptions) -> Done:
    """Analyse units where ``options`` says. If the user interrupts it, those are missing that were not done by then.

    Raises:
        ExecutorError: There is no such executor, or it cannot be reached.
    """
    done = Done()
    with suppress(KeyboardInterrupt):
        if options.executor is not None:
            chunks = portions(tasks, sum(task.size for task in tasks) // CLUSTER_CHUNK + 1)
            address = cluster_address(options.executor)
            _spread(setup, chunks, done, lambda: cluster(address))
        elif options.jobs > 1 and sum(task.size for task in tasks if task.is_analysed) > LITTLE:
            _spread(setup, portions(tasks, CHUNKS * options.jobs), done, lambda: _processes(options.jobs))
        elif tasks:
            workshop = Workshop(setup)
            for task in tasks:
                done.add(with_deep_stack(lambda one=task: workshop.batch([one])))  # type: ignore[misc]
    return done


def portions(tasks: Sequence[Task], count: int) -> list[Chunk]:
    """About ``count`` stretches of neighbours with about as much code in each: neighbours import the same files."""
    share = sum(task.size for task in tasks) / count
    chunks: list[list[Task]] = []
    held = share
    for task in tasks:
        if held >= share:
            chunks.append([])
            held = 0
        chunks[-1].append(task)
        held += task.size
    return [tuple(chunk) for chunk in chunks]


def _spread(setup: Setup, chunks: Sequence[Chunk], done: Done, opens: Opens) -> None:
    """Have all portions done. Those that a worker took with it are done again file by file, and at last each alone."""
    packed = pack(setup)
    lost = _attempt(packed, chunks, done, opens)
    if lost:
        lost = _attempt(packed, [(task,) for task in lost], done, opens)
    for task in lost:
        if _attempt(packed, [(task,)], done, opens):
            done.add(Batch((given_up(setup, task),), {}))


def _attempt(packed: bytes, chunks: Sequence[Chunk], done: Done, opens: Opens) -> list[Task]:
    """Have portions done, and return the files of those that were lost."""
    lost: list[Task] = []
    with opens() as crew:
        futures = {submit(crew, analyse, packed, chunk): chunk for chunk in chunks}
        for future in as_completed(futures):
            try:
                done.add(future.result())
            except crew.losses:
                lost += futures[future]
    return lost


# Processes


@contextmanager
def _processes(jobs: int) -> Iterator[Crew]:
    import multiprocessing  # noqa: PLC0415 (slow to import, and not needed for few files)
    from concurrent.futures import ProcessPoolExecutor  # noqa: PLC0415

    others = set(multiprocessing.active_children())
    method = _start_method(multiprocessing.get_all_start_methods())
    pool = ProcessPoolExecutor(jobs, multiprocessing.get_context(method), _start)
    try:
        yield Crew(pool, (BrokenExecutor,))
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        for process in set(multiprocessing.active_children()) - others:
            process.terminate()
        raise
    pool.shutdown()


def _start_method(known: Sequence[str]) -> str:
    """A process that has a single thread can be forked, which is fast; what is imported here is imported there."""
    if sys.platform == "linux" and threading.active_count() == 1:
        return "fork"
    return "forkserver" if "forkserver" in known else "spawn"


def _start() -> None:
    """A worker ends without a word when the user interrupts the run, and when the run is killed."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    threading.Thread(target=_end_with_the_run, daemon=True).start()


def _end_with_the_run() -> None:
    """A worker that nobody reads from would wait for ever: its siblings hold the pipe open on which it waits."""
    import multiprocessing  # noqa: PLC0415 (see above)

    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
