"""Which values were tested before a piece of code runs: ``if count > 0:``, ``if not mask.any(): return``.

What exactly the test says is not modelled. A rule about values that may be zero stays silent for what was tested.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from lossaudit.check import ir
from lossaudit.check.once import Once
from lossaudit.check.values import UNKNOWN, Instance, Tensor, TupleVal, Unknown, Value, alternatives

if TYPE_CHECKING:
    from lossaudit.check.infer.engine import Interpreter
    from lossaudit.check.infer.frame import Frame

MAX_GUARDS = 24
_NOT_ABOUT_VALUES = frozenset({
    "dtype", "device", "is_cuda", "requires_grad", "ndim", "dim", "ndimension", "is_floating_point", "training", "shape",
})  # fmt: skip
_NOT_TESTS = frozenset({"isinstance", "hasattr", "callable", "issubclass", "type"})


def tested_values(interp: Interpreter, frame: Frame, test: ir.Expr) -> tuple[TupleVal, ...]:
    """The tensors and unknown values that a condition mentions, as one item; none if there are none. Nothing is run again for it."""
    found: list[Value] = []
    for node in _mentioned(test):
        values = alternatives(_peek(interp, frame, node))
        found += [v for v in values if isinstance(v, Tensor) or (isinstance(v, Unknown) and v is not UNKNOWN)]
    return (TupleVal(tuple(found[:MAX_GUARDS])),) if found else ()


@Once
def _mentioned(test: ir.Expr) -> tuple[ir.Name | ir.Attribute, ...]:
    return tuple(_mentions(test))


def _mentions(node: ir.Node) -> Iterator[ir.Name | ir.Attribute]:
    if isinstance(node, ir.Compare) and ({"is", "is not"} & set(node.ops) or _has_none(node)):
        return
    if isinstance(node, ir.Call) and isinstance(node.func, ir.Name) and node.func.name in _NOT_TESTS:
        return
    if isinstance(node, ir.Attribute) and node.attr in _NOT_ABOUT_VALUES:
        return
    if isinstance(node, (ir.Name, ir.Attribute)):
        yield node
    for child in ir.children(node):
        yield from _mentions(child)


def _has_none(node: ir.Compare) -> bool:
    return any(
        isinstance(side, ir.Constant) and side.value is None for side in (node.left, *node.comparators)
    )


def _peek(interp: Interpreter, frame: Frame, node: ir.Expr) -> Value:
    """The value of a name or of an attribute of an object, without any effect."""
    if isinstance(node, ir.Name):
        return interp.lookup(frame, node.name)
    if isinstance(node, ir.Attribute):
        owner = _peek(interp, frame, node.value)
        if isinstance(owner, Instance):
            return interp.heap.latest(owner.attrs.get(node.attr, UNKNOWN))
    return UNKNOWN
