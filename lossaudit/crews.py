"""Workers outside this process that both halves hand their tasks to: those of a cluster.

Whatever they are, they are driven through :class:`concurrent.futures.Executor`; what a task gives does not depend on who does it.
The command line imports this for the error alone, so the rest is imported where a run needs it.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from lossaudit import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Executor, Future

__all__ = ["Crew", "ExecutorError", "cluster", "cluster_address", "submit"]

SCHEME = "dask"
CONNECT_SECONDS = 10

Result = TypeVar("Result")


class ExecutorError(Exception):
    """The executor that was asked for is unknown or cannot be reached; the message says why."""


@dataclass(frozen=True, slots=True)
class Crew:
    """Workers that are at hand, and what is raised if one of them was lost."""

    executor: Executor
    losses: tuple[type[Exception], ...]


def submit(crew: Crew, task: Callable[..., Result], *arguments: Any) -> Future[Result]:
    """Hand out one task; if its worker is lost meanwhile, the future says so."""
    try:
        return crew.executor.submit(task, *arguments)
    except crew.losses as error:
        from concurrent.futures import Future  # noqa: PLC0415 (see above)

        broken: Future[Result] = Future()
        broken.set_exception(error)
        return broken


def cluster_address(name: str) -> str:
    """Where the scheduler listens that ``--executor`` names.

    Raises:
        ExecutorError: It names none.
    """
    scheme, _, address = name.partition(":")
    if scheme != SCHEME or not address:
        raise ExecutorError(
            f"{name!r} names no executor: it is {SCHEME}:ADDRESS, as in {SCHEME}:tcp://127.0.0.1:8786"
        )
    return address


@contextmanager
def cluster(address: str) -> Iterator[Crew]:
    """The workers of a Dask scheduler, for as long as the context lasts.

    Raises:
        ExecutorError: The extra is missing, no scheduler answers, or its workers cannot read what is sent.
    """
    from concurrent.futures import BrokenExecutor, CancelledError  # noqa: PLC0415 (see above)

    try:
        from distributed import Client, KilledWorker  # noqa: PLC0415 (an extra, and slow to import)
    except ImportError as error:
        raise ExecutorError(
            f"{SCHEME}:{address} needs an extra: pip install 'lossaudit[{SCHEME}]'"
        ) from error
    try:
        client = Client(address, set_as_default=False, timeout=CONNECT_SECONDS)
    except (OSError, ValueError, TypeError) as error:
        raise ExecutorError(f"{SCHEME}:{address}: no scheduler answers there") from error
    try:
        with client:
            yield Crew(client.get_executor(pure=False), (BrokenExecutor, KilledWorker))
    except CancelledError as error:
        raise ExecutorError(f"{SCHEME}:{address}: the scheduler has gone") from error
    except (ImportError, RuntimeError) as error:  # what arrives there cannot be read
        reason = str(error).partition("\n")[0]
        raise ExecutorError(
            f"{SCHEME}:{address}: lossaudit {__version__} is needed there too ({reason})"
        ) from error
