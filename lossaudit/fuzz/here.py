"""A loss that is at hand, fuzzed in its caller's own process."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from lossaudit.fuzz import TargetError

if TYPE_CHECKING:
    from lossaudit.findings import TargetReport
    from lossaudit.fuzz import FuzzOptions
    from lossaudit.fuzz.recognition.search import Asked


def fuzz_here(
    loss: Callable[..., Any], options: FuzzOptions, reference: Callable[..., Any] | None
) -> TargetReport:
    """Fuzz an object; see :func:`lossaudit.fuzz.fuzz_loss`."""
    if not callable(loss):
        raise TypeError(f"a loss is called with a prediction and a target; this is a {type(loss).__name__}")
    try:
        import torch  # noqa: F401
    except ModuleNotFoundError:
        raise TargetError(
            "fuzzing needs torch, which is not installed", "pip install 'lossaudit[fuzz]'"
        ) from None
    from lossaudit.fuzz.engine import audit
    from lossaudit.fuzz.target import Build, builds

    with _state_kept():
        made = builds(loss, {}) if inspect.isclass(loss) else [Build(loss, how="instance")]
        return audit(_name(loss), made, options, asked=_asked(reference))


def _asked(reference: Callable[..., Any] | None) -> Asked | None:
    if reference is None:
        return None
    from lossaudit.fuzz.given import own_reference
    from lossaudit.fuzz.recognition.search import Asked

    return Asked(own_reference(reference, getattr(reference, "__qualname__", "the given function")))


def _name(loss: Callable[..., Any]) -> str:
    """``module:name``, the form of a target; of an instance, the name of its class."""
    holder = loss if hasattr(loss, "__qualname__") else type(loss)
    name = getattr(holder, "__qualname__", type(loss).__name__).rpartition("<locals>.")[2]
    return f"{getattr(holder, '__module__', '__main__')}:{name}"


@contextmanager
def _state_kept() -> Iterator[None]:
    """Put back what the engine sets: torch's random numbers and the number of its threads."""
    import torch

    threads = torch.get_num_threads()
    with torch.random.fork_rng(devices=[]):
        try:
            yield
        finally:
            torch.set_num_threads(threads)
