"""Progress of a fuzzing run: on stderr, and only where a person is watching."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)


@contextmanager
def watch(total: int) -> Iterator[tuple[Callable[[str], None], Callable[[int], None]]]:
    """Show a bar while targets are fuzzed.

    Args:
        total: How many targets there are.

    Yields:
        What to call with a line about the present step, and with the number of targets that are done. Both do nothing
        where stderr is no terminal.
    """
    if not sys.stderr.isatty():
        yield (lambda _: None), (lambda _: None)
        return
    columns = (
        SpinnerColumn(),
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.description}", markup=False),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("starting", total=total)
        yield (
            (lambda event: progress.update(task, description=event)),
            (lambda done: progress.update(task, completed=done)),
        )
