"""The state of a loss, put back after a call: what one probe leaves behind must not answer the next one."""

from __future__ import annotations

import copy
import functools
import time
import types
from collections import deque
from typing import TYPE_CHECKING, Any

import torch

from lossaudit.fuzz.surroundings import seed_torch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from lossaudit.fuzz.model import Case
    from lossaudit.fuzz.subject import Subject

CONTAINERS = (list, dict, set, deque)
SEQUENCES = (list, deque)
MOST_CALLS = 1100
"""A history that is cut is seldom longer: one that grows with each of so many calls is taken to have no bound."""
SECONDS = 6.0
MOST_NUMBERS = 1 << 16
"""A larger tensor, a memory bank or a model's weights, is not copied for each call."""


class Restored:
    """Puts the attributes of a loss back after a call, as they were before it.

    Attributes that were assigned, lists, queues, dictionaries and sets that were changed, and tensors that were written to, in the loss
    and in the modules that it holds. What a function keeps in its closure or in a global is out of reach.
    """

    __slots__ = ("_kept", "_loss")

    def __init__(self, loss: Any) -> None:
        self._loss = loss
        self._kept: list[tuple[Any, Any, list[tuple[Any, torch.Tensor, torch.Tensor]]]] = []

    def __enter__(self) -> None:
        for state in _states(self._loss):
            self._keep(state)
            for value in state.values():
                if type(value) in CONTAINERS:
                    self._keep(value)

    def _keep(self, container: Any) -> None:
        places = _places(container)
        numbers = [
            (place, value, value.detach().clone())
            for place, value in places
            if isinstance(value, torch.Tensor) and value.numel() <= MOST_NUMBERS
        ]
        self._kept.append((container, copy.copy(container), numbers))

    def __exit__(self, *_: object) -> None:
        for container, before, numbers in self._kept:
            if not _same(container, before):
                container.clear()
                container.extend(before) if isinstance(container, SEQUENCES) else container.update(before)
            for place, tensor, kept in numbers:
                if not _equal(tensor, kept):
                    # Another tensor in its place: the graph of the call may hold the one that was written to.
                    container[place] = _in_place_of(tensor, kept)


def has_state(loss: Any) -> bool:
    """Whether there may be anything for :class:`Restored` to put back."""
    return not isinstance(loss, (types.FunctionType, types.BuiltinFunctionType))


def _places(container: Any) -> Iterable[tuple[Any, Any]]:
    """What a container holds, by key or by position; of a set nothing, for it has neither."""
    if isinstance(container, dict):
        return container.items()
    return enumerate(container) if isinstance(container, SEQUENCES) else ()


def _equal(tensor: torch.Tensor, kept: torch.Tensor) -> bool:
    return tensor.dtype == kept.dtype and torch.equal(tensor.detach(), kept)


def _in_place_of(tensor: torch.Tensor, numbers: torch.Tensor) -> torch.Tensor:
    if isinstance(tensor, torch.nn.Parameter):
        return torch.nn.Parameter(numbers, tensor.requires_grad)
    return numbers


def is_meant(subject: Subject, case: Case) -> bool:
    """Whether all that a loss remembers is remembered on purpose: what is overwritten by accident is neither of these."""
    return is_declared(subject, case) or _is_bounded(subject, case)


def _is_bounded(subject: Subject, case: Case) -> bool:
    """Whether what changes the loss from call to call lies in lists and queues alone that fill up and grow no further.

    That is a memory bank as people write it without buffers. Who cuts a list to a length means to keep it; numbers that are
    overwritten in a list or a dictionary prove no such thing.
    """
    try:
        loss, calling = copy.deepcopy(subject.build.loss), copy.deepcopy(subject.build.loss)
    except Exception:  # noqa: BLE001 (it may hold anything)
        return False
    kept = [
        (state, name, copy.copy(value))
        for state in _states(loss)
        for name, value in state.items()
        if type(value) in SEQUENCES
    ]
    subject.with_loss(loss).observe(case, gradient=False, remembers=True)
    kept = [(state, name, value) for state, name, value in kept if _has_filled(value, state.get(name))]

    def put_back() -> None:
        for state, name, value in kept:
            state[name] = copy.copy(value)

    put_back()
    return (
        bool(kept)
        and _gives_the_same(subject.with_loss(loss), case, put_back)
        and growing(subject.with_loss(calling), case) is None
    )


def _has_filled(before: Any, now: Any) -> bool:
    """Whether a list or queue has taken something in, or is a queue that declares its length."""
    return type(now) in SEQUENCES and (len(now) > len(before) or getattr(now, "maxlen", None) is not None)


def growing(subject: Subject, case: Case) -> tuple[str, int] | None:
    """The attribute that grows with every call, and how many calls it was seen to: none has a bound that shows.

    The calls stay in the loss. Nothing is said of one that is too slow to be called so often.
    """
    if not isinstance(getattr(subject.build.loss, "__dict__", None), dict):
        return None
    end = time.process_time() + SECONDS
    sizes = _sizes(subject.build.loss)
    names, calls = set(sizes), 0
    while names and calls < MOST_CALLS and time.process_time() < end:
        subject.observe(case, gradient=False, remembers=True)
        now, calls = _sizes(subject.build.loss), calls + 1
        names = {name for name in names if now.get(name, 0) > sizes[name]}
        sizes = now
    return (min(names), calls) if names and calls == MOST_CALLS else None


def _sizes(loss: Any) -> dict[str, int]:
    """The lengths of the containers that a loss holds, but those that declare a bound."""
    return {
        name: len(value)
        for name, value in vars(loss).items()
        if isinstance(value, CONTAINERS) and getattr(value, "maxlen", None) is None
    }


def is_declared(subject: Subject, case: Case) -> bool:
    """Whether all that a loss remembers is state as torch knows it, like the running statistics of a batch norm.

    It is kept in registered buffers and rests in ``eval()`` mode, as a memory bank, a queue or a moving average is.
    """
    loss = subject.build.loss
    if not isinstance(loss, torch.nn.Module):
        return False
    try:
        resting, training, plain = copy.deepcopy(loss).eval(), copy.deepcopy(loss), copy.deepcopy(loss)
    except Exception:  # noqa: BLE001 (it may hold anything)
        return False
    buffers = {name: buffer.detach().clone() for name, buffer in training.named_buffers()}

    def put_back() -> None:
        for name, buffer in training.named_buffers():
            if name in buffers:
                _put_back(buffer, buffers[name])

    def gives_the_same(copied: torch.nn.Module, between: Callable[[], None] = lambda: None) -> bool:
        return _gives_the_same(subject.with_loss(copied), case, between)

    return (
        bool(buffers)
        and gives_the_same(resting)
        and gives_the_same(training, put_back)
        and not gives_the_same(plain)
    )


def _gives_the_same(subject: Subject, case: Case, between: Callable[[], None]) -> bool:
    """Whether the second of two calls gives what the first one gave."""
    values = []
    for _ in range(2):
        seed_torch(0)
        values.append(subject.observe(case, gradient=False, remembers=True).value)
        between()
    first, second = values
    return first is not None and second is not None and torch.equal(first, second)


def _put_back(tensor: torch.Tensor, numbers: torch.Tensor) -> None:
    """Write what a tensor held, unless it holds it still or is another kind of tensor by now."""
    if tensor.shape == numbers.shape and tensor.dtype == numbers.dtype and not torch.equal(tensor, numbers):
        with torch.no_grad():
            tensor.copy_(numbers)


def _states(loss: Any) -> Iterator[dict[str, Any]]:
    """The attributes of a loss and of the modules that it holds."""
    if isinstance(loss, functools.partial):
        yield from _states(loss.func)
    elif isinstance(loss, types.MethodType):
        yield from _states(loss.__self__)
    elif isinstance(loss, torch.nn.Module):
        yield from map(vars, loss.modules())
    elif hasattr(loss, "__dict__") and not isinstance(loss, (types.FunctionType, type)):
        yield vars(loss)


def _same(container: Any, before: Any) -> bool:
    """Whether a container holds the very objects that it held."""
    if len(container) != len(before):
        return False
    if isinstance(container, dict):
        return all(container.get(name) is value for name, value in before.items())
    if isinstance(container, SEQUENCES):
        return all(now is then for now, then in zip(container, before, strict=True))
    return bool(container == before)
