"""Which calls and accesses matter to a training loop, for the record of :mod:`lossaudit.check.reasoning.trace`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from lossaudit.check.reasoning.trace import Act, Collected, is_optimizer
from lossaudit.check.values import (
    BoundMethod,
    DictVal,
    External,
    Function,
    Instance,
    ListVal,
    Partial,
    Site,
    Tensor,
    TupleVal,
    Union,
    Unknown,
    Value,
)

if TYPE_CHECKING:
    from lossaudit.check.infer.engine import Interpreter
    from lossaudit.check.infer.frame import Arguments, Frame

_GRADIENT_SCALERS = ("torch.amp.GradScaler", "torch.cuda.amp.GradScaler")
_HARMLESS_ROOTS = frozenset({"torch", "builtins", "numpy", "tqdm", "wandb"})
_HARMLESS_OPTIMIZER_METHODS = ("state_dict", "load_state_dict", "add_param_group")


def opaque(interp: Interpreter, site: Site) -> None:
    """A call that is not followed."""
    interp.recorder.note(lambda: Act("opaque", site))


def attribute(interp: Interpreter, name: str, site: Site) -> None:
    """``value.grad`` is read or written: whoever does so may clear or scale it."""
    if name == "grad":
        interp.recorder.note(lambda: Act("gradient", site))


def unknown_call(interp: Interpreter, callee: Unknown, arguments: Arguments, site: Site) -> None:
    """A call of something unknown; of a method we know at least the name."""
    if not interp.recorder.active:
        return
    first = arguments.positional[0] if arguments.positional else None
    if _clears(callee.name):
        interp.recorder.note(lambda: Act("clear", site, callee.owner))
    elif callee.name == "step" and is_optimizer(first) and len(arguments.all_values()) == 1:
        interp.recorder.note(lambda: Act("step", site, first, callee.owner))
    elif _may_touch_gradients(interp, arguments) or not (callee.name or arguments.all_values()):
        opaque(interp, site)


def external_call(
    interp: Interpreter, name: str, receiver: Instance | None, arguments: Arguments, site: Site
) -> None:
    """A call of something outside the project, by its dotted name."""
    if not interp.recorder.active:
        return
    owner, _, method = name.rpartition(".")
    first = arguments.positional[0] if arguments.positional else None
    if is_optimizer(receiver):
        _optimizer_call(interp, receiver, method, arguments, site)
    elif _clears(method):
        interp.recorder.note(lambda: Act("clear", site, receiver))
    elif owner in _GRADIENT_SCALERS and method == "step" and is_optimizer(first):
        interp.recorder.note(lambda: Act("step", site, first))
    elif _is_opaque(interp, name, receiver, arguments):
        opaque(interp, site)


def _is_opaque(interp: Interpreter, name: str, receiver: Instance | None, arguments: Arguments) -> bool:
    if receiver is not None and not isinstance(receiver.cls, External):
        return True
    if _is_harmless(name):
        return False
    return not (arguments.all_values() or receiver) or _may_touch_gradients(interp, arguments)


def _optimizer_call(
    interp: Interpreter, optimizer: Instance | None, method: str, arguments: Arguments, site: Site
) -> None:
    if method == "step" and not arguments.all_values():
        interp.recorder.note(lambda: Act("step", site, optimizer))
    elif method == "zero_grad":
        interp.recorder.note(lambda: Act("clear", site, optimizer))
    elif method not in _HARMLESS_OPTIMIZER_METHODS:
        opaque(interp, site)


def _clears(method: str) -> bool:
    """Names only ever silence: what sounds as if it cleared gradients counts as clearing them."""
    return "zero" in method or "clear" in method


def _is_harmless(name: str) -> bool:
    root = name.partition(".")[0]
    return root in _HARMLESS_ROOTS or root in sys.stdlib_module_names


def _may_touch_gradients(interp: Interpreter, arguments: Arguments) -> bool:
    """Whether the callee is handed an optimizer, a callback, or an object of the project that may hold one."""
    stack = [*arguments.positional, *arguments.keywords.values()]
    while stack:
        value = stack.pop()
        if isinstance(value, (Function, BoundMethod, Partial)) or is_optimizer(value):
            return True
        if isinstance(value, Instance) and not isinstance(value.cls, External):
            names = value.cls.externals
            if not any(interp.contracts.is_module_class(name) for name in names):
                return True
        elif isinstance(value, Union):
            stack += value.alternatives
        elif isinstance(value, (TupleVal, ListVal)):
            stack += value.items
        elif isinstance(value, DictVal):
            stack += value.entries.values()
    return False


def collected(interp: Interpreter, frame: Frame, before: Value, value: Value, site: Site) -> None:
    """``before + value``, or ``before += value`` of a list."""
    if interp.recorder.active and isinstance(before, (Tensor, Union, ListVal)):
        kept = TupleVal(tuple(before.items)) if isinstance(before, ListVal) else before
        recorded = "no_grad" not in frame.contexts or isinstance(before, ListVal)
        interp.recorder.collect(lambda: Collected(site, kept, value, recorded))


APPENDING = ("append", "appendleft", "extend")
"""Methods of a list that keep their first argument."""
