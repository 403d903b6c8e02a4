"""From source to the compact form by CPython's own parser: about ten times as fast as LibCST.

The forms are those that :mod:`lossaudit.check.lower` makes. A node's number is its place in the text, packed into an integer, so
positions cost nothing. Bodies of functions are lowered when they are first needed: most of a repository's functions never are.
LibCST remains for what the running Python cannot parse: newer syntax, and files that are not Python.
"""

from __future__ import annotations

import ast
import warnings
from collections.abc import Callable, Iterable
from typing import Any

from lossaudit.check import ir

_COLUMN_BITS, _ROW_BITS = 16, 20
_COLUMN_MASK, _ROW_MASK = (1 << _COLUMN_BITS) - 1, (1 << _ROW_BITS) - 1


class Unsupported(Exception):  # noqa: N818 (LibCST reads the file instead)
    """This front end does not serve for the file."""


def parse(text: str) -> ast.Module:
    """Parse with the running Python.

    Raises:
        Unsupported: It cannot; whether the file is at fault is for LibCST to say.
        RecursionError: The code is nested more deeply than a parser's stack allows.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(text)
    except MemoryError as error:  # how CPython's parser says that its stack is full; LibCST's would overflow
        raise RecursionError from error
    except (SyntaxError, ValueError) as error:
        raise Unsupported from error
    if len(text) > _COLUMN_MASK and any(len(line) * 4 > _COLUMN_MASK for line in text.split("\n")):
        raise Unsupported  # a column that a node's number cannot hold
    return tree


def lower(text: str) -> ir.ModuleIR:
    """The compact form of a file.

    Raises:
        Unsupported: See :func:`parse`.
    """
    low = Lowerer()
    return ir.ModuleIR(low.block(parse(text).body), low.count, rows)


def unpack(number: int) -> tuple[int, int, int, int]:
    """First row, column in bytes, last row and column of the node with this number; rows count from 1, columns from 0."""
    end_column = number & _COLUMN_MASK
    rows = number >> _COLUMN_BITS & _ROW_MASK
    column = number >> _COLUMN_BITS + _ROW_BITS & _COLUMN_MASK
    row = number >> 2 * _COLUMN_BITS + _ROW_BITS
    return row, column, row + rows, end_column


def rows(number: int) -> tuple[int, int]:
    """First and last row of the node with this number, counted from 1."""
    row, _, last, _ = unpack(number)
    return row, last


def _place(node: Any) -> int:
    row: int = node.lineno
    place: int = (
        (row << _COLUMN_BITS | node.col_offset) << _ROW_BITS | (node.end_lineno - row)
    ) << _COLUMN_BITS | node.end_col_offset
    return place


class Lowerer:
    """Makes nodes of the compact form; ``count`` says how many so far, ``has_yield`` whether one of them is a ``yield``."""

    __slots__ = ("count", "has_yield")

    def __init__(self) -> None:
        self.count = 0
        self.has_yield = False

    def expr(self, node: ast.expr) -> ir.Expr:
        """The compact form of an expression."""
        self.count += 1
        handler = _EXPRESSIONS.get(type(node))
        if handler is None:
            return ir.Opaque(_place(node), ())
        return handler(self, node)

    def maybe(self, node: ast.expr | None) -> ir.Expr | None:
        """The same, of one that may be absent."""
        return None if node is None else self.expr(node)

    def exprs(self, nodes: Iterable[ast.expr]) -> tuple[ir.Expr, ...]:
        """Several expressions."""
        return tuple([self.expr(node) for node in nodes])

    def block(self, statements: list[ast.stmt]) -> tuple[ir.Stmt, ...]:
        """A block of statements."""
        return tuple([self.stmt(statement) for statement in statements])

    def stmt(self, node: ast.stmt) -> ir.Stmt:
        """The compact form of a statement."""
        self.count += 1
        handler = _STATEMENTS.get(type(node))
        if handler is None:
            number = _place(node)
            return ir.ExprStmt(number, ir.Opaque(number, ()))
        return handler(self, node)

    def params(self, node: ast.arguments) -> tuple[ir.Param, ...]:
        """The parameters of a function, each with its default."""
        plain = [*node.posonlyargs, *node.args]
        defaults: list[ast.expr | None] = [*[None] * (len(plain) - len(node.defaults)), *node.defaults]
        out = [
            self.param(arg, "posonly" if place < len(node.posonlyargs) else "normal", default)
            for place, (arg, default) in enumerate(zip(plain, defaults, strict=True))
        ]
        if node.vararg is not None:
            out.append(self.param(node.vararg, "*", None))
        out += [
            self.param(arg, "kwonly", default)
            for arg, default in zip(node.kwonlyargs, node.kw_defaults, strict=True)
        ]
        if node.kwarg is not None:
            out.append(self.param(node.kwarg, "**", None))
        return tuple(out)

    def param(self, node: ast.arg, kind: str, default: ast.expr | None) -> ir.Param:
        """One parameter."""
        self.count += 1
        return ir.Param(_place(node), node.arg, kind, self.maybe(default), self.maybe(node.annotation))

    def args(self, positional: list[ast.expr], keywords: list[ast.keyword]) -> tuple[ir.Arg, ...]:
        """The arguments of a call."""
        self.count += len(positional) + len(keywords)
        out = []
        for node in positional:
            if type(node) is ast.Starred:
                out.append(ir.Arg(_place(node), self.expr(node.value), None, "*"))
            else:
                out.append(ir.Arg(_place(node), self.expr(node), None, ""))
        for keyword in keywords:
            star = "**" if keyword.arg is None else ""
            out.append(ir.Arg(_place(keyword), self.expr(keyword.value), keyword.arg, star))
        return tuple(out)


# Expressions -----------------------------------------------------------------------------------------------------


def _name(low: Lowerer, node: ast.Name) -> ir.Expr:
    return ir.Name(_place(node), node.id)


def _attribute(low: Lowerer, node: ast.Attribute) -> ir.Expr:
    return ir.Attribute(_place(node), low.expr(node.value), node.attr)


def _constant(low: Lowerer, node: ast.Constant) -> ir.Expr:
    return ir.Constant(_place(node), node.value)


def _call(low: Lowerer, node: ast.Call) -> ir.Expr:
    return ir.Call(_place(node), low.expr(node.func), low.args(node.args, node.keywords))


_OPERATORS: dict[type[ast.AST], str] = {
    ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.FloorDiv: "//", ast.Mod: "%", ast.Pow: "**",
    ast.MatMult: "@", ast.BitAnd: "&", ast.BitOr: "|", ast.BitXor: "^", ast.LShift: "<<", ast.RShift: ">>",
    ast.USub: "-", ast.UAdd: "+", ast.Not: "not", ast.Invert: "~", ast.And: "and", ast.Or: "or", ast.Eq: "==",
    ast.NotEq: "!=", ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Is: "is", ast.IsNot: "is not",
    ast.In: "in", ast.NotIn: "not in",
}  # fmt: skip


def _binary(low: Lowerer, node: ast.BinOp) -> ir.Expr:
    return ir.BinOp(_place(node), low.expr(node.left), _OPERATORS[type(node.op)], low.expr(node.right))


def _unary(low: Lowerer, node: ast.UnaryOp) -> ir.Expr:
    return ir.UnaryOp(_place(node), _OPERATORS[type(node.op)], low.expr(node.operand))


def _boolean(low: Lowerer, node: ast.BoolOp) -> ir.Expr:
    return ir.BoolOp(_place(node), _OPERATORS[type(node.op)], low.exprs(node.values))


def _comparison(low: Lowerer, node: ast.Compare) -> ir.Expr:
    ops = tuple([_OPERATORS[type(op)] for op in node.ops])
    return ir.Compare(_place(node), low.expr(node.left), ops, low.exprs(node.comparators))


def _if_exp(low: Lowerer, node: ast.IfExp) -> ir.Expr:
    return ir.IfExp(_place(node), low.expr(node.test), low.expr(node.body), low.expr(node.orelse))


def _subscript(low: Lowerer, node: ast.Subscript) -> ir.Expr:
    return ir.Subscript(_place(node), low.expr(node.value), low.expr(node.slice))


def _slice(low: Lowerer, node: ast.Slice) -> ir.Expr:
    return ir.Slice(_place(node), low.maybe(node.lower), low.maybe(node.upper), low.maybe(node.step))


def _starred(low: Lowerer, node: ast.Starred) -> ir.Expr:
    return ir.Starred(_place(node), low.expr(node.value))


def _tuple(low: Lowerer, node: ast.Tuple) -> ir.Expr:
    return ir.Tuple(_place(node), low.exprs(node.elts))


def _list(low: Lowerer, node: ast.List) -> ir.Expr:
    return ir.List(_place(node), low.exprs(node.elts))


def _set(low: Lowerer, node: ast.Set) -> ir.Expr:
    return ir.Set(_place(node), low.exprs(node.elts))


def _dict(low: Lowerer, node: ast.Dict) -> ir.Expr:
    keys = tuple([low.maybe(key) for key in node.keys])
    return ir.Dict(_place(node), keys, low.exprs(node.values))


def _generators(low: Lowerer, nodes: list[ast.comprehension]) -> tuple[ir.Generator, ...]:
    low.count += len(nodes)
    return tuple(
        [
            ir.Generator(_place(node.target), low.expr(node.target), low.expr(node.iter), low.exprs(node.ifs))
            for node in nodes
        ]
    )


def _comprehension(kind: str) -> Callable[[Lowerer, Any], ir.Expr]:
    def lowered(low: Lowerer, node: Any) -> ir.Expr:
        generators = _generators(low, node.generators)
        return ir.Comprehension(_place(node), kind, None, low.expr(node.elt), generators)

    return lowered


def _dict_comprehension(low: Lowerer, node: ast.DictComp) -> ir.Expr:
    generators = _generators(low, node.generators)
    return ir.Comprehension(_place(node), "dict", low.expr(node.key), low.expr(node.value), generators)


def _lambda(low: Lowerer, node: ast.Lambda) -> ir.Expr:
    return ir.Lambda(_place(node), low.params(node.args), low.expr(node.body))


def _await(low: Lowerer, node: ast.Await) -> ir.Expr:
    return ir.Await(_place(node), low.expr(node.value))


def _yield(low: Lowerer, node: ast.Yield) -> ir.Expr:
    low.has_yield = True
    return ir.Yield(_place(node), low.maybe(node.value), source=False)


def _yield_from(low: Lowerer, node: ast.YieldFrom) -> ir.Expr:
    low.has_yield = True
    return ir.Yield(_place(node), low.expr(node.value), source=True)


def _named(low: Lowerer, node: ast.NamedExpr) -> ir.Expr:
    return ir.NamedExpr(_place(node), low.expr(node.target), low.expr(node.value))


def _joined(low: Lowerer, node: Any) -> ir.Expr:
    """An f-string: the expressions in it, those of its format specifications included."""
    values: list[ir.Expr] = []
    stack = list(reversed(node.values))
    while stack:
        part = stack.pop()
        inner = getattr(part, "value", None)
        if isinstance(inner, ast.expr):
            values.append(low.expr(inner))
            if part.format_spec is not None:
                stack.append(part.format_spec)
        else:
            stack.extend(reversed(getattr(part, "values", ())))
    return ir.JoinedStr(_place(node), tuple(values))


_EXPRESSIONS: dict[type[ast.AST], Callable[[Lowerer, Any], ir.Expr]] = {
    ast.Name: _name, ast.Attribute: _attribute, ast.Constant: _constant, ast.Call: _call, ast.BinOp: _binary,
    ast.UnaryOp: _unary, ast.BoolOp: _boolean, ast.Compare: _comparison, ast.IfExp: _if_exp,
    ast.Subscript: _subscript, ast.Slice: _slice, ast.Starred: _starred, ast.Tuple: _tuple, ast.List: _list,
    ast.Set: _set, ast.Dict: _dict, ast.ListComp: _comprehension("list"), ast.SetComp: _comprehension("set"),
    ast.GeneratorExp: _comprehension("generator"), ast.DictComp: _dict_comprehension, ast.Lambda: _lambda,
    ast.Await: _await, ast.Yield: _yield, ast.YieldFrom: _yield_from, ast.NamedExpr: _named,
    ast.JoinedStr: _joined,
}  # fmt: skip
if hasattr(ast, "TemplateStr"):
    _EXPRESSIONS[ast.TemplateStr] = _joined


# Statements ------------------------------------------------------------------------------------------------------


def _assign(low: Lowerer, node: ast.Assign) -> ir.Stmt:
    return ir.Assign(_place(node), low.exprs(node.targets), low.expr(node.value))


def _aug_assign(low: Lowerer, node: ast.AugAssign) -> ir.Stmt:
    return ir.AugAssign(_place(node), low.expr(node.target), _OPERATORS[type(node.op)], low.expr(node.value))


def _ann_assign(low: Lowerer, node: ast.AnnAssign) -> ir.Stmt:
    return ir.AnnAssign(_place(node), low.expr(node.target), low.expr(node.annotation), low.maybe(node.value))


def _expr_stmt(low: Lowerer, node: ast.Expr) -> ir.Stmt:
    return ir.ExprStmt(_place(node), low.expr(node.value))


def _return(low: Lowerer, node: ast.Return) -> ir.Stmt:
    return ir.Return(_place(node), low.maybe(node.value))


def _raise(low: Lowerer, node: ast.Raise) -> ir.Stmt:
    return ir.Raise(_place(node), low.maybe(node.exc))


def _assert(low: Lowerer, node: ast.Assert) -> ir.Stmt:
    return ir.Assert(_place(node), low.expr(node.test), low.maybe(node.msg))


def _delete(low: Lowerer, node: ast.Delete) -> ir.Stmt:
    return ir.Delete(_place(node), low.exprs(node.targets))


def _pass(low: Lowerer, node: ast.Pass) -> ir.Stmt:
    return ir.Pass(_place(node))


def _break(low: Lowerer, node: ast.Break) -> ir.Stmt:
    return ir.Break(_place(node))


def _continue(low: Lowerer, node: ast.Continue) -> ir.Stmt:
    return ir.Continue(_place(node))


def _global(low: Lowerer, node: ast.Global) -> ir.Stmt:
    return ir.Global(_place(node), tuple(node.names))


def _nonlocal(low: Lowerer, node: ast.Nonlocal) -> ir.Stmt:
    return ir.Nonlocal(_place(node), tuple(node.names))


def _aliases(low: Lowerer, nodes: list[ast.alias]) -> tuple[ir.Alias, ...]:
    low.count += len(nodes)
    return tuple([ir.Alias(_place(node), node.name, node.asname) for node in nodes])


def _import(low: Lowerer, node: ast.Import) -> ir.Stmt:
    return ir.Import(_place(node), _aliases(low, node.names))


def _import_from(low: Lowerer, node: ast.ImportFrom) -> ir.Stmt:
    names = None if node.names[0].name == "*" else _aliases(low, node.names)
    return ir.ImportFrom(_place(node), node.module or "", node.level, names)


def _if(low: Lowerer, node: ast.If) -> ir.Stmt:
    return ir.If(_place(node), low.expr(node.test), low.block(node.body), low.block(node.orelse))


def _for(low: Lowerer, node: ast.For | ast.AsyncFor) -> ir.Stmt:
    before = low.count
    target, source = low.expr(node.target), low.expr(node.iter)
    body, orelse = low.block(node.body), low.block(node.orelse)
    return ir.For(_place(node), target, source, body, orelse, low.count - before + 1)


def _while(low: Lowerer, node: ast.While) -> ir.Stmt:
    return ir.While(_place(node), low.expr(node.test), low.block(node.body), low.block(node.orelse))


def _with(low: Lowerer, node: ast.With | ast.AsyncWith) -> ir.Stmt:
    items = []
    for item in node.items:
        low.count += 1
        items.append(
            ir.WithItem(_place(item.context_expr), low.expr(item.context_expr), low.maybe(item.optional_vars))
        )
    return ir.With(_place(node), tuple(items), low.block(node.body))


def _try(low: Lowerer, node: Any) -> ir.Stmt:
    body = low.block(node.body)
    handlers = tuple([_handler(low, handler) for handler in node.handlers])
    return ir.Try(_place(node), body, handlers, low.block(node.orelse), low.block(node.finalbody))


def _handler(low: Lowerer, node: ast.ExceptHandler) -> ir.Handler:
    low.count += 1
    return ir.Handler(_place(node), low.maybe(node.type), node.name, low.block(node.body))


def _function(low: Lowerer, node: ast.FunctionDef | ast.AsyncFunctionDef) -> ir.Stmt:
    return ir.LazyFunctionDef(
        _place(node),
        node.name,
        low.params(node.args),
        low.exprs(node.decorator_list),
        low.maybe(node.returns),
        isinstance(node, ast.AsyncFunctionDef),
        lambda: _body(node.body),
    )


def _body(statements: list[ast.stmt]) -> tuple[tuple[ir.Stmt, ...], bool]:
    low = Lowerer()
    return low.block(statements), low.has_yield


def _class(low: Lowerer, node: ast.ClassDef) -> ir.Stmt:
    decorators = low.exprs(node.decorator_list)
    return ir.ClassDef(
        _place(node), node.name, low.args(node.bases, node.keywords), low.block(node.body), decorators
    )


def _match(low: Lowerer, node: ast.Match) -> ir.Stmt:
    return ir.Match(_place(node), low.expr(node.subject), tuple([_case(low, case) for case in node.cases]))


def _case(low: Lowerer, node: ast.match_case) -> ir.Case:
    low.count += 1
    pattern = node.pattern
    literal = low.expr(pattern.value) if isinstance(pattern, ast.MatchValue) else None
    irrefutable = isinstance(pattern, ast.MatchAs) and pattern.pattern is None and node.guard is None
    captures = tuple(_captures(pattern))
    return ir.Case(
        _place(pattern), literal, captures, irrefutable, low.maybe(node.guard), low.block(node.body)
    )


def _captures(pattern: ast.pattern) -> list[str]:
    names: list[str] = []
    for node in ast.walk(pattern):
        if isinstance(node, (ast.MatchAs, ast.MatchStar)) and node.name is not None:
            names.append(node.name)
        if isinstance(node, ast.MatchMapping) and node.rest is not None:
            names.append(node.rest)
    return sorted(names)


_STATEMENTS: dict[type[ast.AST], Callable[[Lowerer, Any], ir.Stmt]] = {
    ast.Assign: _assign, ast.AugAssign: _aug_assign, ast.AnnAssign: _ann_assign, ast.Expr: _expr_stmt,
    ast.Return: _return, ast.Raise: _raise, ast.Assert: _assert, ast.Delete: _delete, ast.Pass: _pass,
    ast.Break: _break, ast.Continue: _continue, ast.Global: _global, ast.Nonlocal: _nonlocal,
    ast.Import: _import, ast.ImportFrom: _import_from, ast.If: _if, ast.For: _for, ast.AsyncFor: _for,
    ast.While: _while, ast.With: _with, ast.AsyncWith: _with, ast.Try: _try, ast.FunctionDef: _function,
    ast.AsyncFunctionDef: _function, ast.ClassDef: _class, ast.Match: _match,
}  # fmt: skip
if hasattr(ast, "TryStar"):
    _STATEMENTS[ast.TryStar] = _try
