"""Where a value goes within one function, as far as the text tells beyond doubt."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from lossaudit.check.fixes.text import FUNCTIONS, Text, Unclear, bound_names

_LOOPS = (ast.For, ast.AsyncFor, ast.While)
_MOVABLE = (
    ast.Name, ast.Constant, ast.UnaryOp, ast.USub, ast.UAdd, ast.Load, ast.Attribute, ast.keyword, ast.BinOp, ast.Add,
    ast.Sub, ast.Mult, ast.Div,
)  # fmt: skip
"""Of these an expression may be made that is evaluated again elsewhere: it has no effects, and costs little."""


def blocks(statement: ast.AST) -> Iterator[list[ast.stmt]]:
    """The blocks of statements directly below a node."""
    for name in ("body", "orelse", "finalbody"):
        block = getattr(statement, name, None)
        if isinstance(block, list):
            yield block
    for part in (*getattr(statement, "handlers", ()), *getattr(statement, "cases", ())):
        yield part.body


def block_of(text: Text, statement: ast.stmt) -> tuple[list[ast.stmt], int]:
    """The block in which a statement stands, and its place there."""
    parent = text.parent(statement)
    for block in blocks(parent):
        for place, one in enumerate(block):
            if one is statement:
                return block, place
    raise Unclear


def assigned_name(text: Text, value: ast.expr) -> tuple[str, ast.stmt] | None:
    """The name to which a statement assigns exactly ``value``, and the statement."""
    statement = text.parent(value)
    if isinstance(statement, ast.Assign) and statement.value is value and len(statement.targets) == 1:
        target = statement.targets[0]
    elif isinstance(statement, ast.AnnAssign) and statement.value is value:
        target = statement.target
    else:
        return None
    return (target.id, statement) if isinstance(target, ast.Name) else None


def reads(text: Text, name: str, statement: ast.stmt) -> list[ast.Name]:
    """The places in the function that may read what ``statement`` has bound to ``name``.

    Raises:
        Unclear: An inner function reads it, it is global, or a loop may carry it round.
    """
    scope = text.scope(statement)
    loads, stores = _uses(text, name, scope)
    if scope is text.tree and any(text.scope(one) is not scope for one in loads):
        raise Unclear
    place = text.end(statement)
    later = [one for one in loads if text.start(one) >= place]
    _refuse_carried_round(text, statement, loads, stores)
    ends = [
        text.start(text.statement(store))
        for store in stores
        if text.start(store) >= place and _always_follows(text, statement, store)
    ]
    end = min(ends, default=None)
    if end is None:
        return later
    rebinding = next(one for one in stores if text.start(text.statement(one)) == end)
    last = text.end(text.statement(rebinding))
    if isinstance(text.statement(rebinding), (ast.AugAssign, *_LOOPS)):
        raise Unclear
    return [one for one in later if text.start(one) < last]


def _uses(text: Text, name: str, scope: ast.AST) -> tuple[list[ast.Name], list[ast.expr]]:
    loads: list[ast.Name] = []
    stores: list[ast.expr] = []
    for node in ast.walk(scope):
        if isinstance(node, (ast.Global, ast.Nonlocal)) and name in node.names:
            raise Unclear
        if isinstance(node, ast.Name) and node.id == name:
            if isinstance(node.ctx, ast.Load):
                if text.scope(node) is not scope and scope is not text.tree:
                    raise Unclear
                loads.append(node)
            elif text.scope(node) is scope:
                stores.append(node)
    return loads, stores


def _refuse_carried_round(
    text: Text, statement: ast.stmt, loads: list[ast.Name], stores: list[ast.expr]
) -> None:
    """In a loop, an earlier read sees the value of the last pass, unless the name was bound anew before it."""
    start, end = text.start(statement), text.end(statement)
    for loop in text.ancestors(statement):
        if isinstance(loop, FUNCTIONS):
            return
        if not isinstance(loop, _LOOPS):
            continue
        earlier = [one for one in loads if text.contains(loop, one) and text.start(one) < end]
        fresh = [
            text.end(one)
            for one in stores
            if text.contains(loop, one) and text.start(one) < start and _is_in_body(text, loop, one)
        ]
        if any(not fresh or text.start(one) < min(fresh) for one in earlier):
            raise Unclear


def _is_in_body(text: Text, loop: ast.AST, store: ast.expr) -> bool:
    """Whether a binding happens in every pass of the loop: as its target, or in a statement of its own body."""
    if isinstance(loop, (ast.For, ast.AsyncFor)) and text.contains(loop.target, store):
        return True
    return text.parent(text.statement(store)) is loop


def _always_follows(text: Text, statement: ast.stmt, store: ast.expr) -> bool:
    """Whether a binding stands, unconditionally, later in the block of ``statement``."""
    block, place = block_of(text, statement)
    after = text.statement(store)
    return any(one is after for one in block[place + 1 :]) and isinstance(after, (ast.Assign, ast.AnnAssign))


def keeps_value(text: Text, expression: ast.expr, made: ast.expr, use: ast.expr) -> bool:
    """Whether ``expression``, which was evaluated where ``made`` is, gives the same value again where ``use`` is.

    True only for names and constants that nothing binds or changes in between.
    """
    if any(not isinstance(node, _MOVABLE) for node in ast.walk(expression)):
        return False
    scope = text.scope(made)
    if text.scope(use) is not scope or not _dominates(text, text.statement(made), text.statement(use)):
        return False
    if any(isinstance(node, ast.Attribute) and not text.is_imported(node) for node in ast.walk(expression)):
        return False
    names = {node.id for node in ast.walk(expression) if isinstance(node, ast.Name)}
    return not any(_changes(text, name, scope, made, use) for name in names)


def _dominates(text: Text, first: ast.stmt, second: ast.stmt) -> bool:
    """Whether ``first`` stands earlier in a block that holds ``second``."""
    block, place = block_of(text, first)
    return any(text.contains(one, second) for one in block[place + 1 :]) or first is second


def _changes(text: Text, name: str, scope: ast.AST, made: ast.expr, use: ast.expr) -> bool:
    """Whether ``name`` is bound, or what it holds changed in place, between two places of a function."""
    start, end = text.start(made), text.end(use)
    for bound, node in bound_names(scope):
        if bound == name and isinstance(node, ast.expr) and start <= text.start(node) < end:
            return True
    for node in ast.walk(scope):
        if not isinstance(node, (ast.expr, ast.stmt)) or not start <= text.start(node) < end:
            continue
        is_entry = isinstance(node, ast.Subscript) and isinstance(node.ctx, (ast.Store, ast.Del))
        if is_entry and isinstance(node, ast.Subscript) and _is_name(node.value, name):
            return True
        if isinstance(node, ast.Call) and _changes_in_place(node, name):
            return True
    return False


def _changes_in_place(call: ast.Call, name: str) -> bool:
    """``x.mul_(2)``, or ``relu(x, inplace=True)``."""
    func = call.func
    if isinstance(func, ast.Attribute) and func.attr.endswith("_") and _is_name(func.value, name):
        return True
    is_inplace = any(keyword.arg == "inplace" for keyword in call.keywords)
    return is_inplace and any(_is_name(argument, name) for argument in call.args)


def _is_name(node: ast.expr, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name
