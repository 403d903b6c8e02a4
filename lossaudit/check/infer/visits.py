"""Calls into other files: how far each is followed.

What is wrong in another file is told by the unit of that file. Here a call into it matters for what it returns, and for what it does
with what the home hands over. So one that is given plain data has a small share of the steps, the model of another file a larger
one, and one that is given code to work with (a trainer its model and its criterion) goes on as if it stood in the home. A call that
needs more than its share is taken back, and what it returns is not known.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from lossaudit.check.infer.budget import MODEL_STEPS, PLAIN_STEPS
from lossaudit.check.infer.frame import Arguments, OutOfBudget
from lossaudit.check.reasoning.gradients import parts
from lossaudit.check.values import (
    BoundMethod,
    ClassVal,
    External,
    Function,
    Instance,
    LazyImport,
    Partial,
    Tensor,
    Value,
)

if TYPE_CHECKING:
    from lossaudit.check.infer.engine import Interpreter

_CODE = (Instance, Function, BoundMethod, Partial, ClassVal, External, Tensor, LazyImport)
_DEEPEST = 2
"""A share may hold another one: that of a model in a function that builds it."""
_MAX_GIVEN = 100
"""How many parts of what is handed over are looked at."""


def is_given_code(given: Iterable[Value]) -> bool:
    """Whether there is code among what is handed over, or what code made: a model, a criterion, a function, logits."""
    stack = list(given)
    for _ in range(_MAX_GIVEN):
        if not stack:
            return False
        value = stack.pop()
        if isinstance(value, _CODE):
            return True
        stack += parts(value)
    return True


def share_of(
    interp: Interpreter, function: Function, arguments: Arguments, receiver: Value | None
) -> int | None:
    """The steps that this call may take; None for as many as its root has left."""
    is_inner = len(interp.stack) > 1 and function.module is not interp.home
    if not is_inner or interp.budget.shares == _DEEPEST or is_given_code(arguments.all_values()):
        return None
    if _is_model(interp, receiver):
        return MODEL_STEPS
    return PLAIN_STEPS if interp.budget.shares == 0 and not _is_of_home(interp, receiver) else None


def _is_model(interp: Interpreter, receiver: Value | None) -> bool:
    """Whether the object is a module of another file, made of plain data."""
    if not isinstance(receiver, Instance) or _is_of_home(interp, receiver):
        return False
    names = receiver.cls.externals if isinstance(receiver.cls, ClassVal) else ()
    return any(interp.contracts.is_module_class(name) for name in names)


def _is_of_home(interp: Interpreter, receiver: Value | None) -> bool:
    """Whether the code of the home takes part in what a method of this object does: by inheritance, or by what it was given."""
    if not isinstance(receiver, Instance):
        return False
    is_inherited = isinstance(receiver.cls, ClassVal) and receiver.cls.module is interp.home
    return is_inherited or not isinstance(receiver.cls, ClassVal) or is_given_code(receiver.given)


def decorated(interp: Interpreter, wrapper: Value, body: Callable[[], Value]) -> Value | None:
    """What a decorator of another file returns; None where it takes long, for it then works on texts and signatures."""
    while isinstance(wrapper, (BoundMethod, Partial)):
        wrapper = wrapper.function
    if not isinstance(wrapper, Function) or wrapper.module is interp.home:
        return body()
    if interp.budget.is_costly(id(wrapper.node)):
        return None
    return within(interp, PLAIN_STEPS, wrapper, None, body)


def within(
    interp: Interpreter, steps: int, function: Function, receiver: Value | None, body: Callable[[], Value]
) -> Value | None:
    """What the call returns; None if it needs more than its share.

    Raises:
        OutOfBudget: The root itself has had its share.
    """
    heap = interp.heap
    depth = len(heap.journals)
    heap.begin()
    try:
        with interp.budget.at_most(steps):
            value = body()
    except OutOfBudget:
        while len(heap.journals) > depth:
            heap.retreat()
        if interp.budget.is_spent:
            raise
        interp.budget.give_up(function.node)
        if isinstance(receiver, Instance) and function.name == "__init__":
            interp.unfinished[id(receiver)] = receiver
        return None
    heap.merge([heap.retreat()])
    return value
