"""The state of a loss, put back after a call: what one probe leaves behind must not answer the next one."""

from __future__ import annotations

import contextlib
import copy
import functools
import types
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Iterator

CONTAINERS = (list, dict, set)
MOST_NUMBERS = 1 << 16
"""A larger tensor, a memory bank or a model's weights, is not copied for each call."""


class Restored:
    """Puts the attributes of a loss back after a call, as they were before it.

    Attributes that were assigned, lists, dictionaries and sets that were changed, and tensors that were written to, in the loss
    and in the modules that it holds. What a function keeps in its closure or in a global is out of reach.
    """

    __slots__ = ("_containers", "_loss", "_tensors")

    def __init__(self, loss: Any) -> None:
        self._loss = loss
        self._containers: list[tuple[Any, Any]] = []
        self._tensors: list[tuple[torch.Tensor, int, torch.Tensor]] = []

    def __enter__(self) -> None:
        for state in _states(self._loss):
            self._keep(state)
            for value in state.values():
                if type(value) in CONTAINERS:
                    self._keep(value)

    def _keep(self, container: Any) -> None:
        self._containers.append((container, copy.copy(container)))
        for value in container.values() if isinstance(container, dict) else container:
            if isinstance(value, torch.Tensor) and value.numel() <= MOST_NUMBERS:
                self._tensors.append((value, value._version, value.detach().clone()))

    def __exit__(self, *_: object) -> None:
        for container, before in self._containers:
            if not _same(container, before):
                container.clear()
                container.extend(before) if isinstance(container, list) else container.update(before)
        for tensor, version, numbers in self._tensors:
            if tensor._version != version:
                with torch.no_grad(), contextlib.suppress(RuntimeError):  # it has another shape by now
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
    if isinstance(container, list):
        return all(now is then for now, then in zip(container, before, strict=True))
    return bool(container == before)
