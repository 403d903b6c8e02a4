"""Copies of a module whose registered tensors are others: what ``.to()`` makes, without touching the original."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor, nn


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
