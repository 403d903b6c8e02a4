"""Which assignments of a function never matter: strongly live variables, over the compact form.

A variable is live where its value may still reach a result, a condition, a call or a store. What only feeds a variable that is not live
is not live either. Whatever the analysis does not understand makes everything live.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from lossaudit.check import ir

_READS_ALL = frozenset({"locals", "vars", "eval", "exec", "globals", "dir"})
_MAX_ROUNDS = 10
Live = frozenset[str]


def lost_assignments(function: ir.FunctionDef) -> list[ir.Assign]:
    """The assignments to a single name whose value is never used; of a chain, the last link."""
    nodes = list(ir.walk(function.body))
    reads_all = any(isinstance(node, ir.Call) and _name_of(node.func) in _READS_ALL for node in nodes)
    if function.is_generator or function.is_async or reads_all:
        return []
    analysis = _Analysis(frozenset(_shared_names(nodes)))
    analysis.block(function.body, frozenset())
    lost = [
        node
        for node in nodes
        if isinstance(node, ir.Assign) and node.id in analysis.lost and node.id not in analysis.kept
    ]
    read = {name for node in lost for name in names_in(node.value) if name != _target(node)}
    return [node for node in lost if _target(node) not in read]


def _name_of(node: ir.Expr) -> str:
    return node.name if isinstance(node, ir.Name) else ""


def _target(node: ir.Assign) -> str:
    return _name_of(node.targets[0]) if len(node.targets) == 1 else ""


def _shared_names(nodes: list[ir.Node]) -> Iterator[str]:
    """Names that other scopes see: they are read whenever the inner function is called."""
    for node in nodes:
        if isinstance(node, (ir.Global, ir.Nonlocal)):
            yield from node.names
        elif isinstance(node, (ir.FunctionDef, ir.Lambda, ir.ClassDef)):
            yield from names_in(node)


def names_in(*nodes: ir.Node | None) -> frozenset[str]:
    """Every name that occurs in ``nodes``."""
    present = tuple(node for node in nodes if node is not None)
    return frozenset(node.name for node in ir.walk(present) if isinstance(node, ir.Name))


_ACTS = (ir.Yield, ir.Await, ir.NamedExpr)


@dataclass(slots=True)
class _Analysis:
    """One walk backwards. ``lost`` and ``kept`` collect assignments: in a loop that is walked twice, kept once is kept."""

    shared: Live
    lost: set[int] = field(default_factory=set)
    kept: set[int] = field(default_factory=set)
    at_break: Live = frozenset()
    at_continue: Live = frozenset()

    def block(self, body: tuple[ir.Stmt, ...], live: Live) -> Live:
        """What is live before ``body``, given what is live behind it."""
        for statement in reversed(body):
            handler = _HANDLERS.get(type(statement))
            live = live | names_in(statement) if handler is None else handler(self, statement, live)
        return live

    def assign(self, node: ir.Assign, live: Live) -> Live:
        name = _target(node)
        if not name:
            plain = {part.name for target in node.targets for part in _bound(target)}
            others = names_in(
                *(target for target in node.targets if not isinstance(target, (ir.Name, ir.Tuple, ir.List)))
            )
            return (live - plain) | names_in(node.value) | others | self._stores(node.targets)
        acts = any(isinstance(part, _ACTS) for part in ir.walk((node.value,)))
        if name in live or name in self.shared or acts:
            self.kept.add(node.id)
            return (live - {name}) | names_in(node.value)
        self.lost.add(node.id)
        return live

    def _stores(self, targets: tuple[ir.Expr, ...]) -> Live:
        """The names that subscripts and attributes within tuples of targets read."""
        inner = [
            part for target in targets if isinstance(target, (ir.Tuple, ir.List)) for part in target.items
        ]
        return names_in(*(part for part in inner if not isinstance(part, ir.Name)))

    def leave(self, node: ir.Stmt, live: Live) -> Live:
        return names_in(node)

    def stop(self, node: ir.Break, live: Live) -> Live:
        return self.at_break

    def again(self, node: ir.Continue, live: Live) -> Live:
        return self.at_continue

    def branch(self, node: ir.If, live: Live) -> Live:
        return names_in(node.test) | self.block(node.body, live) | self.block(node.orelse, live)

    def loop(self, node: ir.For | ir.While, live: Live) -> Live:
        after = self.block(node.orelse, live) | live
        source = names_in(node.iter if isinstance(node, ir.For) else node.test)
        targets = names_in(node.target) if isinstance(node, ir.For) else frozenset[str]()
        head = after | source
        outer = self.at_break, self.at_continue
        for _ in range(_MAX_ROUNDS):
            self.at_break, self.at_continue = live, head
            grown = head | (self.block(node.body, head) - targets)
            if grown == head:
                break
            head = grown
        self.at_break, self.at_continue = outer
        return head

    def within(self, node: ir.With, live: Live) -> Live:
        return self.block(node.body, live) | names_in(*node.items)

    def attempt(self, node: ir.Try, live: Live) -> Live:
        """An exception may leave the body anywhere: what the handlers and the end read is live throughout."""
        rest = live | names_in(*node.handlers, *node.final, *node.orelse) | names_in(*node.body)
        for body in (node.body, node.orelse, node.final, *(handler.body for handler in node.handlers)):
            self.block(body, rest)
        return rest


def _bound(target: ir.Expr) -> Iterator[ir.Name]:
    if isinstance(target, ir.Name):
        yield target
    elif isinstance(target, (ir.Tuple, ir.List)):
        for item in target.items:
            yield from _bound(item)


_HANDLERS: dict[type[ir.Node], Callable[[_Analysis, Any, Live], Live]] = {
    ir.Assign: _Analysis.assign, ir.Return: _Analysis.leave, ir.Raise: _Analysis.leave, ir.Break: _Analysis.stop,
    ir.Continue: _Analysis.again, ir.If: _Analysis.branch, ir.For: _Analysis.loop, ir.While: _Analysis.loop,
    ir.With: _Analysis.within, ir.Try: _Analysis.attempt,
}  # fmt: skip
