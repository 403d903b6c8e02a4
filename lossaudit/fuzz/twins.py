"""Copies of a loss whose registered or given tensors are others: what ``.to()`` makes, without touching the original."""

from __future__ import annotations

import copy
import functools
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Callable


def converted(loss: Any, convert: Callable[[Tensor], Tensor]) -> Any:
    """A copy with every tensor converted that is a module's own, or is given to a function beforehand; other losses as they are.

    A module that is given nothing and called through a ``partial`` stays itself.
    """
    if isinstance(loss, nn.Module):
        return twin(loss, convert)
    if isinstance(loss, functools.partial):
        given = {
            name: convert(value) if isinstance(value, Tensor) else value
            for name, value in loss.keywords.items()
        }
        return functools.partial(loss.func, *loss.args, **given)
    return loss


def twin(module: nn.Module, convert: Callable[[Tensor], Tensor]) -> nn.Module:
    """A copy with every parameter and buffer converted; plain attributes, tensors among them, stay the same objects."""
    other = copy.copy(module)
    state = dict(module.__dict__)
    for table in ("_parameters", "_buffers"):
        state[table] = {
            name: None if tensor is None else convert(tensor) for name, tensor in state[table].items()
        }
    children = state["_modules"].items()
    state["_modules"] = {name: None if child is None else twin(child, convert) for name, child in children}
    other.__dict__ = state
    return other
