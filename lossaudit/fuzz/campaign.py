"""Many targets: discovered or configured, several at a time, here or on the workers of a cluster; told in the order in which they were named."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor, as_completed, wait
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from lossaudit.crews import cluster, cluster_address, submit
from lossaudit.findings import TargetReport
from lossaudit.fuzz import keep
from lossaudit.fuzz.isolation import Stopped, run_isolated
from lossaudit.fuzz.nursery import Nursery

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from concurrent.futures import Future

    from lossaudit.fuzz import FuzzOptions

    Job = tuple[str, FuzzOptions]
    Add = Callable[[int, TargetReport], None]


@dataclass(frozen=True, slots=True)
class Outcome:
    """The reports of a campaign, in the order of its jobs; ``interrupted`` ones have none."""

    reports: tuple[TargetReport, ...]
    interrupted: bool = False


def run(
    jobs: Sequence[Job],
    workers: int,
    on_event: Callable[[str], None] = lambda _: None,
    on_done: Callable[[int], None] = lambda _: None,
    memory: Path | None = None,
    executor: str | None = None,
) -> Outcome:
    """Fuzz every job, each in its own child.

    The reports are the same whoever makes them: each target has its own process, its own seed, its own order.

    Args:
        jobs: Targets, each with its options.
        workers: How many children may run here at once.
        on_event: Receives ``target: what is going on``, of targets that run here.
        on_done: Receives the number of targets that are done.
        memory: The folder in which failures are kept (below ``.lossaudit``): those of earlier runs are tried first,
            those of this run are added. None to keep nothing.
        executor: ``dask:ADDRESS`` to have the workers of that scheduler fuzz instead; what they lose is done here.

    Returns:
        All reports, or after Ctrl-C those that were finished by then.

    Raises:
        ExecutorError: There is no such executor, or it cannot be reached.
    """
    reports: dict[int, TargetReport] = {}
    if memory is not None:
        jobs = [(target, _reminded(memory, target, options)) for target, options in jobs]

    def add(place: int, report: TargetReport) -> None:
        reports[place] = report if memory is None else keep.keep(memory, report, jobs[place][1])
        on_done(len(reports))

    try:
        if executor is not None:
            _on_cluster(cluster_address(executor), jobs, add)
        remaining = {place: job for place, job in enumerate(jobs) if place not in reports}
        if remaining:
            _here(remaining, workers, on_event, add)
    except KeyboardInterrupt:
        pass
    done = tuple(reports[place] for place in sorted(reports))
    return Outcome(done, interrupted=len(done) < len(jobs))


def _reminded(memory: Path, target: str, options: FuzzOptions) -> FuzzOptions:
    """The options with what earlier runs found in this target."""
    return replace(options, kept=keep.of_target(memory, target, options))


def _here(jobs: Mapping[int, Job], workers: int, on_event: Callable[[str], None], add: Add) -> None:
    """Fuzz in children of this process, several at a time. Ctrl-C ends those that run."""
    stop = threading.Event()
    with Nursery(many=len(jobs) > 1) as nursery, ThreadPoolExecutor(min(workers, len(jobs))) as pool:

        def work(target: str, options: FuzzOptions) -> TargetReport:
            if stop.is_set():
                raise Stopped
            return run_isolated(target, options, lambda event: on_event(f"{target}: {event}"), nursery, stop)

        places = {pool.submit(work, *job): place for place, job in jobs.items()}
        try:
            for future in as_completed(places):
                add(places[future], future.result())
        except KeyboardInterrupt:
            stop.set()
            _add_finished(places, add)
            raise


def _add_finished(places: Mapping[Future[TargetReport], int], add: Add) -> None:
    """The reports that are there once the rest has been told to stop."""
    for future in places:
        future.cancel()
    wait(places)
    for future, place in places.items():
        if not future.cancelled() and future.exception() is None:
            add(place, future.result())


def _on_cluster(address: str, jobs: Sequence[Job], add: Add) -> None:
    """Fuzz on the workers of a scheduler. Targets whose workers are lost again and again are left out."""
    here = Path.cwd()
    with cluster(address) as crew:
        futures = {submit(crew, work_there, here, *job): place for place, job in enumerate(jobs)}
        for future in as_completed(futures):
            try:
                report = future.result()
            except crew.losses:
                continue
            add(futures[future], report)


_NURSERIES: dict[Path, Nursery] = {}
_LOCK = threading.Lock()


def work_there(folder: Path, target: str, options: FuzzOptions) -> TargetReport:
    """What a worker of a cluster does: fuzz one target in a child of its own, which is forked from what the worker keeps ready.

    Args:
        folder: The current folder of the run, which the worker must see at the same place.
        target: How the user named the target.
        options: How it is judged.
    """
    if not folder.is_dir():
        text = f"the worker that was to fuzz {target} does not see {folder}"
        return TargetReport(target, None, "error", error=text)
    with _LOCK:
        nursery = _NURSERIES.setdefault(folder, Nursery(many=True, folder=folder))
    return run_isolated(target, options, lambda _: None, nursery)
