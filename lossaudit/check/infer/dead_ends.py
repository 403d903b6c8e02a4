"""The end of a function from which every way leads to ``raise``: what is computed there goes nowhere but into a message.

Checks of arguments like to look for the nearest spelling before they complain, which takes more steps than all the rest. Such an end
is left out if it holds a loop, changes nothing but its own variables, and if nothing that it leads to can show anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from lossaudit.check import ir
from lossaudit.check.detectors import HERE, TRAINED, Needs
from lossaudit.check.infer.objects import assigned_in
from lossaudit.check.once import Once
from lossaudit.check.values import Function

if TYPE_CHECKING:
    from lossaudit.check.infer.engine import Interpreter

_PLAIN = (
    ir.Assign, ir.AugAssign, ir.AnnAssign, ir.ExprStmt, ir.Raise, ir.Assert, ir.Pass, ir.Break, ir.Continue, ir.If, ir.For,
    ir.While,
)  # fmt: skip
"""Statements that bind names and choose ways; an expression may still do more."""
_DISPLAYS = (ir.Constant, ir.JoinedStr, ir.List, ir.Set, ir.Dict, ir.Comprehension)
_DOES_MORE = (ir.Lambda, ir.Await, ir.Yield, ir.NamedExpr, ir.Opaque)


def body_to_run(interp: Interpreter, function: Function, node: ir.FunctionDef) -> tuple[ir.Stmt, ...]:
    """The body of a function without a dead end that cannot show anything."""
    shortened = _without_dead_end(node)
    if shortened is None:
        return node.body
    known = interp.dead_ends.get(id(node))
    if known is None:
        shows = interp.reach.gives(function, _any_sign(interp.detectors.needs))
        known = interp.dead_ends[id(node)] = node.body if shows else shortened
    return known


def _any_sign(needs: Needs) -> Needs:
    """One sign of each alternative: what is optimised, where that is asked for, since nothing of it gets out of a dead end."""
    signs = {TRAINED} | {sign.removeprefix(HERE) for one in needs if TRAINED not in one for sign in one}
    return frozenset(frozenset((sign,)) for sign in signs)


@Once
def _without_dead_end(node: ir.FunctionDef) -> tuple[ir.Stmt, ...] | None:
    """The body without its dead end, which raises at once; None if there is none that takes long."""
    last = node.body[-1] if node.body else None
    if not isinstance(last, ir.Raise) or node.is_generator:
        return None
    nodes = list(ir.walk(node.body))
    if any(isinstance(one, (ir.Global, ir.Nonlocal)) for one in nodes):
        return None
    own = _Names(node, nodes)
    place = len(node.body)
    while place > 0 and own.keeps_to_them(node.body[place - 1]):
        place -= 1
    has_loop = any(isinstance(one, (ir.For, ir.While)) for one in ir.statements(node.body[place:]))
    return (*node.body[:place], ir.Raise(last.id, None)) if has_loop else None


class _Names:
    """The variables of a function: ``made`` are those that never hold anything but what is written out there."""

    def __init__(self, node: ir.FunctionDef, nodes: Iterable[ir.Node]) -> None:
        self.local = {param.name for param in node.params}
        displays: set[str] = set()
        others = set(self.local)
        for one in nodes:
            for target in _targets(one):
                is_display = isinstance(target, ir.Name) and _is_display(one)
                (displays if is_display else others).update(_bound_by(target))
        self.local |= displays | others
        self.made = displays - others

    def keeps_to_them(self, statement: ir.Stmt) -> bool:
        """Whether a statement changes nothing else, calls only what stands in its file or belongs to Python, and does not return."""
        return all(self._is_harmless(one) for one in ir.walk((statement,)))

    def _is_harmless(self, node: ir.Node) -> bool:
        if isinstance(node, ir.Stmt):
            return isinstance(node, _PLAIN) and all(map(self._is_own, _targets(node)))
        if isinstance(node, ir.Call):
            return self._is_known(node.func)
        return not isinstance(node, _DOES_MORE)

    def _is_own(self, target: ir.Expr) -> bool:
        if isinstance(target, (ir.Tuple, ir.List)):
            return all(map(self._is_own, target.items))
        if isinstance(target, ir.Subscript):
            return isinstance(target.value, ir.Name) and target.value.name in self.made
        return isinstance(target, ir.Name)

    def _is_known(self, callee: ir.Expr) -> bool:
        if isinstance(callee, ir.Name):
            return callee.name not in self.local
        owner = callee.value if isinstance(callee, ir.Attribute) else None
        return isinstance(owner, _DISPLAYS) or (isinstance(owner, ir.Name) and owner.name in self.made)


def _targets(node: ir.Node) -> tuple[ir.Expr, ...]:
    if isinstance(node, (ir.For, ir.Generator, ir.NamedExpr)):
        return (node.target,)
    if isinstance(node, ir.WithItem):
        return () if node.target is None else (node.target,)
    return assigned_in(node)


def _bound_by(target: ir.Expr) -> Iterator[str]:
    """The names that an assignment binds; what is put under a key leaves the name as it is."""
    if not isinstance(target, (ir.Subscript, ir.Attribute)):
        yield from (one.name for one in ir.walk((target,)) if isinstance(one, ir.Name))


def _is_display(node: ir.Node) -> bool:
    """Whether an assignment binds what is written out there, or only says of which type a variable is."""
    return isinstance(node, (ir.Assign, ir.AnnAssign)) and (
        node.value is None or isinstance(node.value, _DISPLAYS)
    )
