"""From source to the compact form by LibCST: one walk over the tree, dispatched by node type.

It reads what the running Python cannot: newer syntax. What the two front ends make is the same but for the numbers of nodes.

The walk numbers the nodes that it makes. With ``record`` it also notes the LibCST node behind each number; since the
walk is deterministic, a second walk over the same bytes gives the same numbers, which is how positions are found later.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence
from typing import Any

import libcst as cst

from lossaudit.check import ir
from lossaudit.check.source import SourceError, decode, pythons_complaint, refuse_deep_nesting


def parse(source: bytes | str) -> cst.Module:
    """Parse to a LibCST module.

    Raises:
        SourceError: E001 or E002.
    """
    text = decode(source) if isinstance(source, bytes) else source
    refuse_deep_nesting(text)
    try:
        return cst.parse_module(text)
    except cst.ParserSyntaxError as error:
        told = pythons_complaint(text)
        if told is not None:
            raise told from error
        reason = str(error.message).split("\n", 1)[0].removesuffix(".")
        raise SourceError("E001", reason, error.raw_line, error.raw_column + 1) from error
    except (cst.CSTValidationError, ValueError, UnicodeError) as error:
        reason = str(error).split("\n", 1)[0]
        raise SourceError("E001", f"not valid Python: {reason}") from error


def lower(source: bytes | str) -> ir.ModuleIR:
    """The compact form of a file: a pure function of its bytes.

    Raises:
        SourceError: The file is not valid Python.
        RecursionError: The file is nested too deeply for the walk.
    """
    return Lowerer().module(parse(source))


class Lowerer:
    """One walk. ``record`` collects the LibCST node behind each ordinal."""

    def __init__(self, record: list[cst.CSTNode] | None = None) -> None:
        self.count = 0
        self.record = record
        self.yields = [False]

    def module(self, tree: cst.Module) -> ir.ModuleIR:
        body = self.block(tree.body)
        return ir.ModuleIR(body, self.count)

    def new(self, node: cst.CSTNode) -> int:
        """The next ordinal, given to ``node``."""
        number = self.count
        self.count += 1
        if self.record is not None:
            self.record.append(node)
        return number

    def expr(self, node: cst.CSTNode) -> ir.Expr:
        handler = _EXPRESSIONS.get(type(node))
        if handler is None:
            return self.opaque(node)
        return handler(self, node)

    def maybe(self, node: cst.CSTNode | None) -> ir.Expr | None:
        return None if node is None else self.expr(node)

    def opaque(self, node: cst.CSTNode) -> ir.Opaque:
        number = self.new(node)
        parts = [child for child in node.children if isinstance(child, cst.BaseExpression)]
        return ir.Opaque(number, tuple(self.expr(part) for part in parts))

    def block(self, statements: Sequence[cst.CSTNode]) -> tuple[ir.Stmt, ...]:
        out: list[ir.Stmt] = []
        for statement in statements:
            if isinstance(statement, (cst.SimpleStatementLine, cst.SimpleStatementSuite)):
                out.extend(self.stmt(small) for small in statement.body)
            else:
                out.append(self.stmt(statement))
        return tuple(out)

    def suite(self, body: cst.BaseSuite) -> tuple[ir.Stmt, ...]:
        return self.block(body.body if isinstance(body, cst.IndentedBlock) else [body])

    def stmt(self, node: cst.CSTNode) -> ir.Stmt:
        handler = _STATEMENTS.get(type(node))
        if handler is None:
            return ir.ExprStmt(self.new(node), self.opaque(node))
        return handler(self, node)

    def params(self, node: cst.Parameters) -> tuple[ir.Param, ...]:
        out = [self.param(p, "posonly") for p in node.posonly_params]
        out += [self.param(p, "normal") for p in node.params]
        if isinstance(node.star_arg, cst.Param):
            out.append(self.param(node.star_arg, "*"))
        out += [self.param(p, "kwonly") for p in node.kwonly_params]
        if node.star_kwarg is not None:
            out.append(self.param(node.star_kwarg, "**"))
        return tuple(out)

    def param(self, node: cst.Param, kind: str) -> ir.Param:
        number = self.new(node)
        annotation = None if node.annotation is None else self.expr(node.annotation.annotation)
        return ir.Param(number, node.name.value, kind, self.maybe(node.default), annotation)

    def args(self, nodes: Sequence[cst.Arg]) -> tuple[ir.Arg, ...]:
        return tuple(self.arg(node) for node in nodes)

    def arg(self, node: cst.Arg) -> ir.Arg:
        number = self.new(node)
        keyword = None if node.keyword is None else node.keyword.value
        return ir.Arg(number, self.expr(node.value), keyword, str(node.star))

    def items(self, nodes: Sequence[cst.BaseElement]) -> tuple[ir.Expr, ...]:
        return tuple(self.item(node) for node in nodes)

    def item(self, node: cst.BaseElement) -> ir.Expr:
        if isinstance(node, cst.StarredElement):
            return ir.Starred(self.new(node), self.expr(node.value))
        return self.expr(node.value)


# Expressions -----------------------------------------------------------------------------------------------------


def _name(low: Lowerer, node: cst.Name) -> ir.Expr:
    number = low.new(node)
    if node.value in _KEYWORD_CONSTANTS:
        return ir.Constant(number, _KEYWORD_CONSTANTS[node.value])
    return ir.Name(number, node.value)


_KEYWORD_CONSTANTS: dict[str, object] = {"True": True, "False": False, "None": None}


def _attribute(low: Lowerer, node: cst.Attribute) -> ir.Expr:
    return ir.Attribute(low.new(node), low.expr(node.value), node.attr.value)


def _literal(low: Lowerer, node: cst.Integer | cst.Float | cst.Imaginary | cst.SimpleString) -> ir.Expr:
    number = low.new(node)
    try:
        return ir.Constant(number, ast.literal_eval(node.value))
    except (ValueError, SyntaxError, MemoryError):  # an integer beyond the digits limit, a bad escape
        return ir.Opaque(number, ())


def _ellipsis(low: Lowerer, node: cst.Ellipsis) -> ir.Expr:
    return ir.Constant(low.new(node), ...)


def _concatenated(low: Lowerer, node: cst.ConcatenatedString) -> ir.Expr:
    number = low.new(node)
    left, right = low.expr(node.left), low.expr(node.right)
    if isinstance(left, ir.Constant) and isinstance(right, ir.Constant):
        pair = (left.value, right.value)
        if all(isinstance(v, str) for v in pair) or all(isinstance(v, bytes) for v in pair):
            return ir.Constant(number, left.value + right.value)  # type: ignore[operator]
    return ir.JoinedStr(number, (left, right))


def _formatted(low: Lowerer, node: Any) -> ir.Expr:
    number = low.new(node)
    values: list[ir.Expr] = []
    stack = list(reversed(node.parts))
    while stack:
        part = stack.pop()
        expression = getattr(part, "expression", None)
        if expression is not None:
            values.append(low.expr(expression))
            stack.extend(reversed(part.format_spec or ()))
    return ir.JoinedStr(number, tuple(values))


def _call(low: Lowerer, node: cst.Call) -> ir.Expr:
    return ir.Call(low.new(node), low.expr(node.func), low.args(node.args))


_OPERATORS: dict[type[cst.CSTNode], str] = {
    cst.Add: "+", cst.Subtract: "-", cst.Multiply: "*", cst.Divide: "/", cst.FloorDivide: "//", cst.Modulo: "%",
    cst.Power: "**", cst.MatrixMultiply: "@", cst.BitAnd: "&", cst.BitOr: "|", cst.BitXor: "^", cst.LeftShift: "<<",
    cst.RightShift: ">>", cst.AddAssign: "+", cst.SubtractAssign: "-", cst.MultiplyAssign: "*",
    cst.DivideAssign: "/", cst.FloorDivideAssign: "//", cst.ModuloAssign: "%", cst.PowerAssign: "**",
    cst.MatrixMultiplyAssign: "@", cst.BitAndAssign: "&", cst.BitOrAssign: "|", cst.BitXorAssign: "^",
    cst.LeftShiftAssign: "<<", cst.RightShiftAssign: ">>", cst.Minus: "-", cst.Plus: "+", cst.Not: "not",
    cst.BitInvert: "~", cst.And: "and", cst.Or: "or", cst.Equal: "==", cst.NotEqual: "!=", cst.LessThan: "<",
    cst.LessThanEqual: "<=", cst.GreaterThan: ">", cst.GreaterThanEqual: ">=", cst.Is: "is", cst.IsNot: "is not",
    cst.In: "in", cst.NotIn: "not in",
}  # fmt: skip


def _binary(low: Lowerer, node: cst.BinaryOperation) -> ir.Expr:
    number = low.new(node)
    return ir.BinOp(number, low.expr(node.left), _OPERATORS[type(node.operator)], low.expr(node.right))


def _unary(low: Lowerer, node: cst.UnaryOperation) -> ir.Expr:
    return ir.UnaryOp(low.new(node), _OPERATORS[type(node.operator)], low.expr(node.expression))


def _boolean(low: Lowerer, node: cst.BooleanOperation) -> ir.Expr:
    """``a and b and c`` is one operation on three, as in CPython's tree; parentheses make one of their own."""
    number = low.new(node)
    operator, values = type(node.operator), [node.right]
    left = node.left
    while isinstance(left, cst.BooleanOperation) and type(left.operator) is operator and not left.lpar:
        values.append(left.right)
        left = left.left
    values.append(left)
    return ir.BoolOp(number, _OPERATORS[operator], tuple(low.expr(value) for value in reversed(values)))


def _comparison(low: Lowerer, node: cst.Comparison) -> ir.Expr:
    number = low.new(node)
    left = low.expr(node.left)
    ops = tuple(_OPERATORS[type(target.operator)] for target in node.comparisons)
    return ir.Compare(number, left, ops, tuple(low.expr(target.comparator) for target in node.comparisons))


def _if_exp(low: Lowerer, node: cst.IfExp) -> ir.Expr:
    return ir.IfExp(low.new(node), low.expr(node.test), low.expr(node.body), low.expr(node.orelse))


def _subscript(low: Lowerer, node: cst.Subscript) -> ir.Expr:
    number = low.new(node)
    value = low.expr(node.value)
    if len(node.slice) == 1 and not isinstance(node.slice[0].comma, cst.Comma):
        return ir.Subscript(number, value, _index(low, node.slice[0]))
    index = ir.Tuple(low.new(node), tuple(_index(low, element) for element in node.slice))
    return ir.Subscript(number, value, index)


def _index(low: Lowerer, element: cst.SubscriptElement) -> ir.Expr:
    part = element.slice
    if isinstance(part, cst.Slice):
        return ir.Slice(low.new(part), low.maybe(part.lower), low.maybe(part.upper), low.maybe(part.step))
    assert isinstance(part, cst.Index)  # noqa: S101 (the only other kind)
    return ir.Starred(low.new(part), low.expr(part.value)) if part.star else low.expr(part.value)


def _tuple(low: Lowerer, node: cst.Tuple) -> ir.Expr:
    return ir.Tuple(low.new(node), low.items(node.elements))


def _list(low: Lowerer, node: cst.List) -> ir.Expr:
    return ir.List(low.new(node), low.items(node.elements))


def _set(low: Lowerer, node: cst.Set) -> ir.Expr:
    return ir.Set(low.new(node), low.items(node.elements))


def _dict(low: Lowerer, node: cst.Dict) -> ir.Expr:
    number = low.new(node)
    keys: list[ir.Expr | None] = []
    values: list[ir.Expr] = []
    for element in node.elements:
        keys.append(low.expr(element.key) if isinstance(element, cst.DictElement) else None)
        values.append(low.expr(element.value))
    return ir.Dict(number, tuple(keys), tuple(values))


def _comprehension(
    low: Lowerer, node: cst.ListComp | cst.SetComp | cst.GeneratorExp | cst.DictComp
) -> ir.Expr:
    number = low.new(node)
    generators: list[ir.Generator] = []
    clause: cst.CompFor | None = node.for_in
    while clause is not None:
        target, source = low.expr(clause.target), low.expr(clause.iter)
        tests = tuple(low.expr(test.test) for test in clause.ifs)
        generators.append(ir.Generator(low.new(clause), target, source, tests))
        clause = clause.inner_for_in
    if isinstance(node, cst.DictComp):
        return ir.Comprehension(number, "dict", low.expr(node.key), low.expr(node.value), tuple(generators))
    kind = {cst.ListComp: "list", cst.SetComp: "set"}.get(type(node), "generator")
    return ir.Comprehension(number, kind, None, low.expr(node.elt), tuple(generators))


def _lambda(low: Lowerer, node: cst.Lambda) -> ir.Expr:
    return ir.Lambda(low.new(node), low.params(node.params), low.expr(node.body))


def _await(low: Lowerer, node: cst.Await) -> ir.Expr:
    return ir.Await(low.new(node), low.expr(node.expression))


def _yield(low: Lowerer, node: cst.Yield) -> ir.Expr:
    low.yields[-1] = True
    number = low.new(node)
    if isinstance(node.value, cst.From):
        return ir.Yield(number, low.expr(node.value.item), source=True)
    return ir.Yield(number, low.maybe(node.value), source=False)


def _named(low: Lowerer, node: cst.NamedExpr) -> ir.Expr:
    return ir.NamedExpr(low.new(node), low.expr(node.target), low.expr(node.value))


_EXPRESSIONS: dict[type[cst.CSTNode], Callable[[Lowerer, Any], ir.Expr]] = {
    cst.Name: _name, cst.Attribute: _attribute, cst.Integer: _literal, cst.Float: _literal, cst.Imaginary: _literal,
    cst.SimpleString: _literal, cst.Ellipsis: _ellipsis, cst.ConcatenatedString: _concatenated,
    cst.FormattedString: _formatted, cst.Call: _call, cst.BinaryOperation: _binary, cst.UnaryOperation: _unary,
    cst.BooleanOperation: _boolean, cst.Comparison: _comparison, cst.IfExp: _if_exp, cst.Subscript: _subscript,
    cst.Tuple: _tuple, cst.List: _list, cst.Set: _set, cst.Dict: _dict, cst.ListComp: _comprehension,
    cst.SetComp: _comprehension, cst.GeneratorExp: _comprehension, cst.DictComp: _comprehension,
    cst.Lambda: _lambda, cst.Await: _await, cst.Yield: _yield, cst.NamedExpr: _named,
}  # fmt: skip
if hasattr(cst, "TemplatedString"):
    _EXPRESSIONS[cst.TemplatedString] = _formatted


# Statements ------------------------------------------------------------------------------------------------------


def _assign(low: Lowerer, node: cst.Assign) -> ir.Stmt:
    number = low.new(node)
    targets = tuple(low.expr(target.target) for target in node.targets)
    return ir.Assign(number, targets, low.expr(node.value))


def _aug_assign(low: Lowerer, node: cst.AugAssign) -> ir.Stmt:
    number = low.new(node)
    return ir.AugAssign(number, low.expr(node.target), _OPERATORS[type(node.operator)], low.expr(node.value))


def _ann_assign(low: Lowerer, node: cst.AnnAssign) -> ir.Stmt:
    number = low.new(node)
    target, annotation = low.expr(node.target), low.expr(node.annotation.annotation)
    return ir.AnnAssign(number, target, annotation, low.maybe(node.value))


def _expr_stmt(low: Lowerer, node: cst.Expr) -> ir.Stmt:
    return ir.ExprStmt(low.new(node), low.expr(node.value))


def _return(low: Lowerer, node: cst.Return) -> ir.Stmt:
    return ir.Return(low.new(node), low.maybe(node.value))


def _raise(low: Lowerer, node: cst.Raise) -> ir.Stmt:
    return ir.Raise(low.new(node), low.maybe(node.exc))


def _assert(low: Lowerer, node: cst.Assert) -> ir.Stmt:
    return ir.Assert(low.new(node), low.expr(node.test), low.maybe(node.msg))


def _delete(low: Lowerer, node: cst.Del) -> ir.Stmt:
    return ir.Delete(low.new(node), (low.expr(node.target),))


def _pass(low: Lowerer, node: cst.Pass) -> ir.Stmt:
    return ir.Pass(low.new(node))


def _break(low: Lowerer, node: cst.Break) -> ir.Stmt:
    return ir.Break(low.new(node))


def _continue(low: Lowerer, node: cst.Continue) -> ir.Stmt:
    return ir.Continue(low.new(node))


def _global(low: Lowerer, node: cst.Global) -> ir.Stmt:
    return ir.Global(low.new(node), tuple(item.name.value for item in node.names))


def _nonlocal(low: Lowerer, node: cst.Nonlocal) -> ir.Stmt:
    return ir.Nonlocal(low.new(node), tuple(item.name.value for item in node.names))


def _dotted(node: cst.BaseExpression | None) -> str:
    if isinstance(node, cst.Attribute):
        return f"{_dotted(node.value)}.{node.attr.value}"
    return node.value if isinstance(node, cst.Name) else ""


def _alias(low: Lowerer, node: cst.ImportAlias) -> ir.Alias:
    asname = None if node.asname is None else _dotted(node.asname.name)
    return ir.Alias(low.new(node), _dotted(node.name), asname)


def _import(low: Lowerer, node: cst.Import) -> ir.Stmt:
    return ir.Import(low.new(node), tuple(_alias(low, alias) for alias in node.names))


def _import_from(low: Lowerer, node: cst.ImportFrom) -> ir.Stmt:
    number = low.new(node)
    names = None if isinstance(node.names, cst.ImportStar) else tuple(_alias(low, a) for a in node.names)
    return ir.ImportFrom(number, _dotted(node.module), len(node.relative), names)


def _if(low: Lowerer, node: cst.If) -> ir.Stmt:
    number = low.new(node)
    test, body = low.expr(node.test), low.suite(node.body)
    if isinstance(node.orelse, cst.If):
        return ir.If(number, test, body, (low.stmt(node.orelse),))
    return ir.If(number, test, body, _else(low, node.orelse))


def _else(low: Lowerer, node: cst.Else | None) -> tuple[ir.Stmt, ...]:
    return () if node is None else low.suite(node.body)


def _for(low: Lowerer, node: cst.For) -> ir.Stmt:
    number = low.new(node)
    target, source = low.expr(node.target), low.expr(node.iter)
    body, orelse = low.suite(node.body), _else(low, node.orelse)
    return ir.For(number, target, source, body, orelse, low.count - number)


def _while(low: Lowerer, node: cst.While) -> ir.Stmt:
    return ir.While(low.new(node), low.expr(node.test), low.suite(node.body), _else(low, node.orelse))


def _with(low: Lowerer, node: cst.With) -> ir.Stmt:
    number = low.new(node)
    items = []
    for item in node.items:
        context = low.expr(item.item)
        target = None if item.asname is None else low.expr(item.asname.name)
        items.append(ir.WithItem(low.new(item), context, target))
    return ir.With(number, tuple(items), low.suite(node.body))


def _try(low: Lowerer, node: cst.Try | cst.TryStar) -> ir.Stmt:
    number = low.new(node)
    body = low.suite(node.body)
    handlers = tuple(_handler(low, handler) for handler in node.handlers)
    orelse = _else(low, node.orelse)
    final = () if node.finalbody is None else low.suite(node.finalbody.body)
    return ir.Try(number, body, handlers, orelse, final)


def _handler(low: Lowerer, node: cst.ExceptHandler | cst.ExceptStarHandler) -> ir.Handler:
    number = low.new(node)
    kind = low.maybe(node.type)
    name = None if node.name is None else _dotted(node.name.name)
    return ir.Handler(number, kind, name, low.suite(node.body))


def _function(low: Lowerer, node: cst.FunctionDef) -> ir.Stmt:
    number = low.new(node)
    decorators = tuple(low.expr(decorator.decorator) for decorator in node.decorators)
    params = low.params(node.params)
    returns = None if node.returns is None else low.expr(node.returns.annotation)
    low.yields.append(False)
    body = low.suite(node.body)
    is_generator = low.yields.pop()
    is_async = node.asynchronous is not None
    return ir.FunctionDef(number, node.name.value, params, body, decorators, returns, is_generator, is_async)


def _class(low: Lowerer, node: cst.ClassDef) -> ir.Stmt:
    number = low.new(node)
    decorators = tuple(low.expr(decorator.decorator) for decorator in node.decorators)
    bases = low.args([*node.bases, *node.keywords])
    return ir.ClassDef(number, node.name.value, bases, low.suite(node.body), decorators)


def _match(low: Lowerer, node: cst.Match) -> ir.Stmt:
    number = low.new(node)
    return ir.Match(number, low.expr(node.subject), tuple(_case(low, case) for case in node.cases))


def _case(low: Lowerer, node: cst.MatchCase) -> ir.Case:
    number = low.new(node)
    pattern = node.pattern
    literal = low.expr(pattern.value) if isinstance(pattern, cst.MatchValue) else None
    irrefutable = isinstance(pattern, cst.MatchAs) and pattern.pattern is None and node.guard is None
    captures = tuple(_captures(pattern))
    return ir.Case(number, literal, captures, irrefutable, low.maybe(node.guard), low.suite(node.body))


def _captures(pattern: cst.CSTNode) -> list[str]:
    names: list[str] = []
    stack: list[cst.CSTNode] = [pattern]
    while stack:
        node = stack.pop()
        if isinstance(node, (cst.MatchAs, cst.MatchStar)) and node.name is not None:
            names.append(node.name.value)
        if isinstance(node, cst.MatchMapping) and node.rest is not None:
            names.append(node.rest.value)
        stack.extend(node.children)
    return sorted(names)


_STATEMENTS: dict[type[cst.CSTNode], Callable[[Lowerer, Any], ir.Stmt]] = {
    cst.Assign: _assign, cst.AugAssign: _aug_assign, cst.AnnAssign: _ann_assign, cst.Expr: _expr_stmt,
    cst.Return: _return, cst.Raise: _raise, cst.Assert: _assert, cst.Del: _delete, cst.Pass: _pass,
    cst.Break: _break, cst.Continue: _continue, cst.Global: _global, cst.Nonlocal: _nonlocal, cst.Import: _import,
    cst.ImportFrom: _import_from, cst.If: _if, cst.For: _for, cst.While: _while, cst.With: _with, cst.Try: _try,
    cst.TryStar: _try, cst.FunctionDef: _function, cst.ClassDef: _class, cst.Match: _match,
}  # fmt: skip
