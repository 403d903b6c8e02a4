"""Whether calls of a loss can leave nothing behind: read from its code, its closures and what it holds.

Proven, never supposed: a loss passes only if all that its code names is a constant, a tensor, a function of torch or of the
standard library's arithmetic, or code of its own of which the same holds; and if none of that code assigns to what outlives
the call. Whoever builds attributes' names at run time, imports or keeps an object of another library is not followed.
"""

from __future__ import annotations

import builtins
import dis
import enum
import functools
import types
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from lossaudit.fuzz.limits import nested_codes

if TYPE_CHECKING:
    from collections.abc import Iterator

KNOWN_MODULES = frozenset({"torch", "math", "cmath", "operator", "typing", "builtins", "_operator"})
"""What they define computes from what it is given, and keeps nothing of it."""
CONSTANTS = (
    type(None),
    type(...),
    bool,
    int,
    float,
    complex,
    str,
    bytes,
    enum.Enum,
    torch.dtype,
    torch.device,
    torch.layout,
    torch.memory_format,
)
CONTAINERS = (list, dict, set)
ASSIGNS = frozenset({"STORE_GLOBAL", "STORE_ATTR", "DELETE_GLOBAL", "DELETE_ATTR", "IMPORT_NAME"})
WRITES = frozenset({"STORE_SUBSCR", "STORE_SLICE", "DELETE_SUBSCR"})
UNREADABLE = frozenset(
    {
        *(
            "setattr",
            "getattr",
            "delattr",
            "globals",
            "vars",
            "locals",
            "exec",
            "eval",
            "compile",
            "__import__",
        ),
        *(
            "open",
            "print",
            "breakpoint",
            "input",
            "print",
            "breakpoint",
            "__dict__",
            "__setattr__",
            "__getattribute__",
            "register_buffer",
            "register_parameter",
        ),
    }
)
CHANGERS = frozenset(
    {
        *(
            "append",
            "extend",
            "insert",
            "pop",
            "popitem",
            "remove",
            "discard",
            "clear",
            "update",
            "setdefault",
        ),
        *("add", "sort", "reverse"),
    }
)
CALLED = frozenset({"__call__", "forward"})
NEVER_CALLED = frozenset(
    {
        *(
            "__init__",
            "__new__",
            "__post_init__",
            "__init_subclass__",
            "__class_getitem__",
            "__repr__",
            "__str__",
        ),
        *(
            "__setattr__",
            "__delattr__",
            "__replace__",
            "__copy__",
            "__deepcopy__",
            "__getstate__",
            "__setstate__",
        ),
    }
)
"""What a class defines that no call of its objects runs, as long as nothing is assigned to them."""
PLAIN_MODULES = ("torch.nn.modules.loss", "torch.nn.modules.activation", "torch.nn.modules.distance")
OF_EVERY_MODULE = frozenset(vars(nn.Module()))


def leaves_no_trace(loss: Any) -> bool:
    """Whether a call of a loss changes nothing that outlives it, but for what it is given.

    Args:
        loss: A function, a partial, or an object that is called.
    """
    return _Reading().is_clean(loss)


class _Reading:
    """What has been reached from a loss: code, the names that it mentions, and whether anything is held that can be written to."""

    def __init__(self) -> None:
        self.names: set[str] = set(CALLED)
        self.reached: dict[int, Any] = {}
        self.holders: list[Any] = []
        self.holds = False
        self.writes = False

    def is_clean(self, loss: Any) -> bool:
        waiting = [loss]
        while waiting:
            if not self._reach(waiting.pop(), waiting):
                return False
            if not waiting:
                # A name that was read since may be that of a further part of an object that was looked at before.
                parts = (part for holder in self.holders for part in self._parts(holder))
                waiting = [part for part in parts if id(part) not in self.reached]
        return not (self.holds and (self.writes or self._changes()))

    def _changes(self) -> bool:
        in_place = (name.endswith("_") and not name.endswith("__") for name in self.names)
        return any(in_place) or bool(self.names & CHANGERS)

    def _reach(self, value: Any, waiting: list[Any]) -> bool:
        """Take note of a value and of what it leads to; False where it may keep something or cannot be read."""
        if id(value) in self.reached:
            return True
        self.reached[id(value)] = value
        if isinstance(value, torch.Tensor):
            self.holds = True
        if isinstance(value, (torch.Tensor, *CONSTANTS)):
            return True
        if isinstance(value, (*CONTAINERS, tuple, frozenset)):
            self.holds = self.holds or isinstance(value, CONTAINERS)
            waiting += value.values() if isinstance(value, dict) else value
            return True
        if _is_known(value):
            return True
        if isinstance(value, types.FunctionType):
            return self._read(value, waiting)
        further = _wrapped(value)
        if further is None:
            return self._enter(value)
        waiting += further
        return True

    def _enter(self, holder: Any) -> bool:
        """Take note of an object whose parts are looked at as far as they are named."""
        if isinstance(holder, type) or not hasattr(holder, "__dict__"):
            return False
        if not isinstance(holder, types.ModuleType):
            owners = [owner for owner in type(holder).__mro__ if not _is_of_known_module(owner.__module__)]
            if not owners or any({"__getattr__", "__slots__"} & vars(owner).keys() for owner in owners):
                return False
        self.holders.append(holder)
        return True

    def _parts(self, holder: Any) -> Iterator[Any]:
        """What an object or a module has under the names that were read."""
        own = vars(holder)
        yield from (own[name] for name in self.names & own.keys())
        if isinstance(holder, types.ModuleType):
            return
        if isinstance(holder, nn.Module):
            tables = [own[name] for name in OF_EVERY_MODULE if isinstance(own.get(name), dict)]
            yield from (part for table in tables for part in table.values())
        for owner in type(holder).__mro__:
            if not _is_of_known_module(owner.__module__):
                members = vars(owner)
                implied = set(filter(_is_special, members)) - NEVER_CALLED
                called = (self.names | implied) & members.keys()
                yield from (members[name] for name in called if not _is_about_class(name, members[name]))

    def _read(self, function: types.FunctionType, waiting: list[Any]) -> bool:
        """Read the code of a function with all that is nested in it."""
        cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
        try:
            waiting += [cell.cell_contents for name, cell in cells if name != "__class__"]  # that of super()
        except ValueError:  # not yet filled
            return False
        waiting += function.__defaults__ or ()
        waiting += (function.__kwdefaults__ or {}).values()
        for code in nested_codes(function.__code__):
            names = set(code.co_names)
            if names & UNREADABLE or not self._allows(code):
                return False
            self.names |= names
            waiting += [function.__globals__[name] for name in names & function.__globals__.keys()]
        return True

    def _allows(self, code: types.CodeType) -> bool:
        for step in dis.get_instructions(code):
            if step.opname in ASSIGNS or (
                step.opname == "STORE_DEREF" and step.argval not in code.co_cellvars
            ):
                return False
            in_place = step.opname.startswith("INPLACE_") or (
                step.opname == "BINARY_OP" and step.argrepr.endswith("=")
            )
            self.writes = self.writes or in_place or step.opname in WRITES
        return True


def _is_of_known_module(name: str | None) -> bool:
    return name is None or name.split(".")[0] in KNOWN_MODULES


def _is_known(value: Any) -> bool:
    """Whether it is a module, a function, a class or an object of torch or of arithmetic that keeps nothing."""
    if isinstance(value, types.ModuleType):
        return _is_of_known_module(value.__name__)
    if isinstance(value, type) and issubclass(value, enum.Enum):
        return True
    if isinstance(value, (types.FunctionType, types.BuiltinFunctionType, type)):
        return _is_of_known_module(value.__module__) or value in vars(builtins).values()
    return type(value).__module__.startswith((*PLAIN_MODULES, "typing"))


def _wrapped(value: Any) -> list[Any] | None:
    """What stands behind a method, a partial or a descriptor; None for anything else."""
    if isinstance(value, types.MethodType):
        return [value.__func__, value.__self__]
    if isinstance(value, functools.partial):
        return [value.func, *value.args, *value.keywords.values()]
    if isinstance(value, (staticmethod, classmethod)):
        return [value.__func__]
    return [value.fget] if isinstance(value, property) else None


def _is_about_class(name: str, member: Any) -> bool:
    """Whether a member with a name in underscores tells of the class, as its documentation does, and is no method."""
    runs = callable(member) or isinstance(member, (property, staticmethod, classmethod))
    return _is_special(name) and not runs


def _is_special(name: str) -> bool:
    return name[:2] == name[-2:] == "__"
