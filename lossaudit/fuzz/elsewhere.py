"""Tensors that keep their numbers and stand on another device, for a first look at whether a loss mixes devices.

Torch's own fake tensors know each device better, but they bring half of its compiler along, which takes longer than all the
rest of a run. These need nothing: to torch they are on its ``meta`` device, which every build has, while each operation
is made on the CPU with their numbers. So what depends on the numbers, a mask or an ``item()``, goes on as on a real device.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ELSEWHERE = "meta"
BY_INDEX = frozenset({"index", "index_put", "index_put_", "_unsafe_index", "_index_put_impl_"})
"""Operations whose indices may be on the CPU."""
COPIES = frozenset({"copy_", "_to_copy"})
"""Operations between devices."""
BY_PLACE = frozenset({Tensor.__getitem__, Tensor.__setitem__})
FROM_DATA = frozenset({torch.tensor, torch.as_tensor, torch.asarray, Tensor.new_tensor})


class Mixed(Exception):  # noqa: N818 (an answer, not an error)
    """Raised by an operation on tensors of two devices."""


class Away(Tensor):
    """A tensor on the other device, with its numbers on the CPU."""

    numbers: Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment] # noqa: SLF001

    @staticmethod
    def __new__(cls, numbers: Tensor) -> Away:
        """Wrap numbers, without a copy: who writes to the one writes to the other."""
        made: Away = Tensor._make_wrapper_subclass(  # noqa: SLF001 (torch's own way to make them)
            cls, numbers.shape, dtype=numbers.dtype, strides=numbers.stride(), device=torch.device(ELSEWHERE)
        )
        made.numbers = numbers
        return made

    def tolist(self) -> Any:
        """As that of any device; torch refuses it to subclasses."""
        return self.numbers.tolist()

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Where no mode is on: an operation on such tensors, as under :func:`two_devices`."""
        return _run(func, args, kwargs or {})


class _Operations(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Makes what is asked for on the other device an :class:`Away`, and refuses operations on tensors of both."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """No: torch would load its compiler for it, and nothing is compiled here."""
        return False

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """One operation."""
        return _run(func, args, kwargs or {})


class _FromData(TorchFunctionMode):
    """Makes tensors of Python's numbers on either device; torch makes them where no mode for operations sees it."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """One call of torch's interface."""
        kwargs = kwargs or {}
        if func in BY_PLACE:
            return func(args[0], _places(args[1]), *args[2:])
        if func not in FROM_DATA:
            return func(*args, **kwargs)
        device = kwargs.get("device")
        away = isinstance(args[0], Away) if device is None else _is_elsewhere(device)
        if device is not None:
            kwargs = {**kwargs, "device": "cpu"}
        args, kwargs = tree_map(_numbers, (args, kwargs))
        made = func(*args, **kwargs)
        return Away(made) if away else made


@contextlib.contextmanager
def two_devices() -> Iterator[None]:
    """Whatever is asked for on the other device is :class:`Away`, and what has tensors of both raises :class:`Mixed`."""
    with _Operations(), _FromData(), _autocast_as_on_the_cpu():  # type: ignore[no-untyped-call]
        yield


@contextlib.contextmanager
def _autocast_as_on_the_cpu() -> Iterator[None]:
    """Lets ``torch.autocast`` be asked for the device of the arguments, as losses do to switch it off; on ``meta`` there is none."""
    plain = torch.autocast.__init__

    def made(self: torch.autocast, device_type: str, *rest: Any, **given: Any) -> None:
        plain(self, "cpu" if _is_elsewhere(device_type) else device_type, *rest, **given)

    torch.autocast.__init__ = made  # type: ignore[method-assign]
    try:
        yield
    finally:
        torch.autocast.__init__ = plain  # type: ignore[method-assign]


def _run(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    given = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
    stays = any(isinstance(tensor, Away) for tensor in given)
    if any(tensor.is_meta and not isinstance(tensor, Away) for tensor in given):
        raise Mixed(f"{func} of a tensor that was made without its numbers")
    if stays and _refuses(func.overloadpacket.__name__, args, given):
        raise Mixed(str(func))
    device = kwargs.get("device")
    if device is not None:
        stays = _is_elsewhere(device)
        kwargs = {**kwargs, "device": "cpu"}
    args, kwargs = tree_map(_numbers, (args, kwargs))
    result = func(*args, **kwargs)
    return tree_map(_away, result) if stays else result


def _refuses(name: str, args: tuple[Any, ...], given: Sequence[Tensor]) -> bool:
    """Whether an operation must have its tensors on one device, and has not; a single number may come from the CPU."""
    if name in COPIES:
        return False
    if name in BY_INDEX:
        given = [one for one in args if isinstance(one, Tensor)]
        if not isinstance(args[0], Away):
            return True
    return any(not isinstance(tensor, Away) and tensor.ndim > 0 for tensor in given)


def _places(index: Any) -> Any:
    """An index whose lists and arrays are tensors of the CPU, which torch would make on the device of the indexed tensor."""
    if isinstance(index, tuple):
        return tuple(map(_places, index))
    return torch.as_tensor(index) if isinstance(index, (list, np.ndarray)) else index


def _is_elsewhere(device: Any) -> bool:
    return torch.device(device).type == ELSEWHERE


def _numbers(leaf: Any) -> Any:
    return leaf.numbers if isinstance(leaf, Away) else leaf


def _away(leaf: Any) -> Any:
    return Away(leaf) if isinstance(leaf, Tensor) else leaf
