"""Rewrites of functions that are written out by hand into the library's."""

from __future__ import annotations

import ast
from dataclasses import dataclass

from lossaudit.check.fixes.activations import family
from lossaudit.check.fixes.flow import assigned_name, reads
from lossaudit.check.fixes.logarithms import logarithm
from lossaudit.check.fixes.make import Desk, Draft, rewrite
from lossaudit.check.fixes.remedy import Remedy
from lossaudit.check.fixes.text import Text, Unclear
from lossaudit.findings import Edit


@dataclass(frozen=True, slots=True)
class Power:
    """``exp(argument)`` as it stands in an expression: in place, or by a name that ``read`` reads."""

    argument: ast.expr
    definition: ast.Call | None
    read: ast.Name | None


def exponential(text: Text, node: ast.expr) -> ast.expr:
    """``x`` in ``torch.exp(x)`` or ``x.exp()``."""
    if not isinstance(node, ast.Call) or node.keywords:
        raise Unclear
    func = node.func
    if (
        not node.args
        and isinstance(func, ast.Attribute)
        and func.attr == "exp"
        and not text.is_imported(func)
    ):
        return func.value
    if len(node.args) == 1 and text.dotted(func) == "torch.exp":
        return node.args[0]
    raise Unclear


def power(text: Text, node: ast.expr) -> Power:
    """An exponential, or a name that is bound to one."""
    if not isinstance(node, ast.Name):
        return Power(exponential(text, node), None, None)
    for call in ast.walk(text.scope(node)):
        named = assigned_name(text, call) if isinstance(call, ast.Call) else None
        if (
            isinstance(call, ast.Call)
            and named is not None
            and named[0] == node.id
            and node in reads(text, *named)
        ):
            return Power(exponential(text, call), call, node)
    raise Unclear


def one_plus(node: ast.expr) -> ast.expr:
    """``x`` in ``1 + x`` or ``x + 1``."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        for one, other in ((node.left, node.right), (node.right, node.left)):
            if is_one(one):
                return other
    raise Unclear


def is_one(node: ast.expr) -> bool:
    """The number one, as an integer or not."""
    return isinstance(node, ast.Constant) and not isinstance(node.value, (bool, str)) and node.value == 1


def summed(text: Text, node: ast.expr) -> tuple[ast.expr, list[str]]:
    """``x`` and the arguments of the sum, in ``x.sum(...)`` or ``torch.sum(x, ...)``."""
    if not isinstance(node, ast.Call) or any(
        one.arg not in ("dim", "keepdim", "axis") for one in node.keywords
    ):
        raise Unclear
    func = node.func
    settings = [text.source(one) for one in node.args]
    keywords = [text.text[text.start(one) : text.end(one)] for one in node.keywords]
    if isinstance(func, ast.Attribute) and func.attr == "sum" and not text.is_imported(func):
        return func.value, [*settings, *keywords]
    if text.dotted(func) == "torch.sum" and node.args:
        return node.args[0], [*settings[1:], *keywords]
    raise Unclear


def called(
    text: Text, whole: ast.expr, argument: ast.expr, name: str, settings: list[str], sign: str = ""
) -> Edit:
    """``name(argument, settings)`` in the place of ``whole``."""
    if isinstance(argument, (ast.GeneratorExp, ast.Starred, ast.NamedExpr)):
        raise Unclear
    source = text.operand(argument) if sign else text.source(argument)
    return text.replace_node(whole, f"{name}({', '.join([sign + source, *settings])})")


@rewrite("sigmoid")
def sigmoid(desk: Desk, remedy: Remedy) -> Draft:
    """``1 / (1 + exp(-x))`` becomes ``sigmoid(x)``. Sites: the quotient."""
    (site,) = remedy.sites
    text = desk.text(site)
    whole = text.node(site.node, ast.expr)
    score = exponential(text, one_plus(_denominator(text, whole)))
    name, imports = text.name_of("torch.sigmoid", whole)
    if isinstance(score, ast.UnaryOp) and isinstance(score.op, ast.USub):
        edit = called(text, whole, score.operand, name, [])
    else:
        edit = called(text, whole, score, name, [], "-")
    return Draft("Use `torch.sigmoid`", (edit, *imports))


def _denominator(text: Text, node: ast.expr) -> ast.expr:
    """``x`` in ``1 / x``, ``x.reciprocal()`` or ``x ** -1``."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div) and is_one(node.left):
        return node.right
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow):
        exponent = node.right
        if (
            isinstance(exponent, ast.UnaryOp)
            and isinstance(exponent.op, ast.USub)
            and is_one(exponent.operand)
        ):
            return node.left
    if isinstance(node, ast.Call) and not node.keywords and isinstance(node.func, ast.Attribute):
        if not node.args and node.func.attr == "reciprocal":
            return node.func.value
        if len(node.args) == 1 and text.dotted(node.func) == "torch.reciprocal":
            return node.args[0]
    raise Unclear


def _of_torch(text: Text, call: ast.Call) -> ast.expr:
    if family(text, call.func) != "torch":
        raise Unclear
    return logarithm(text, call)


@rewrite("softplus")
def softplus(desk: Desk, remedy: Remedy) -> Draft:
    """``log(1 + exp(x))`` and ``log1p(exp(x))`` become ``softplus(x)``. Sites: the logarithm."""
    (site,) = remedy.sites
    text = desk.text(site)
    whole = text.node(site.node, ast.Call)
    argument = _of_torch(text, whole)
    func = whole.func
    leaf = func.attr if isinstance(func, ast.Attribute) else text.dotted(func).rpartition(".")[2]
    score = exponential(text, argument if leaf == "log1p" else one_plus(argument))
    name, imports = text.name_of("torch.nn.functional.softplus", whole)
    return Draft("Use `softplus`", (called(text, whole, score, name, []), *imports))


@rewrite("softmax")
def softmax(desk: Desk, remedy: Remedy) -> Draft:
    """``exp(x) / exp(x).sum(dim, keepdim=True)`` becomes ``softmax(x, dim)``. Sites: the quotient. Words: the dimension."""
    (site,) = remedy.sites
    (dim,) = remedy.words
    text = desk.text(site)
    whole = text.node(site.node, ast.BinOp)
    below, settings = summed(text, whole.right)
    if "keepdim=True" not in settings and settings[1:] != ["True"]:
        raise Unclear
    above, under = power(text, whole.left), power(text, below)
    name, imports = text.name_of("torch.softmax", whole)
    message = "Use `torch.softmax`"
    if above.definition is None and under.definition is None:
        if ast.dump(above.argument) != ast.dump(under.argument):
            raise Unclear
        return Draft(message, (called(text, whole, above.argument, name, [f"dim={dim}"]), *imports))
    if above.definition is None or above.definition is not under.definition or above.read is None:
        raise Unclear
    edits = _exponential_taken_off(text, above.definition, [above.read, under.read])
    return Draft(message, (*edits, called(text, whole, above.read, name, [f"dim={dim}"]), *imports))


def _exponential_taken_off(
    text: Text, definition: ast.Call, expected: list[ast.Name | None]
) -> tuple[Edit, ...]:
    """``p = exp(x)`` becomes ``p = x``, if nothing but ``expected`` reads ``p``."""
    named = assigned_name(text, definition)
    if named is None or {id(one) for one in reads(text, *named)} != {id(one) for one in expected}:
        raise Unclear
    return text.unwrap(definition, exponential(text, definition))


@rewrite("logsumexp")
def logsumexp(desk: Desk, remedy: Remedy) -> Draft:
    """``log(exp(x).sum(dim))`` becomes ``logsumexp(x, dim)``. Sites: the logarithm."""
    (site,) = remedy.sites
    text = desk.text(site)
    whole = text.node(site.node, ast.Call)
    argument = _of_torch(text, whole)
    name, imports = text.name_of("torch.logsumexp", whole)
    message = "Use `torch.logsumexp`"
    total: ast.expr = argument
    outside: tuple[Edit, ...] = ()
    if isinstance(argument, ast.Name):
        total, outside = _sum_behind(text, whole, argument)
    inner, settings = summed(text, total)
    if not settings or settings[0].startswith("keepdim"):
        raise Unclear
    found = power(text, inner)
    edits: tuple[Edit, ...] = ()
    if found.definition is not None:
        edits = _exponential_taken_off(text, found.definition, [found.read])
    source = found.argument if found.read is None else found.read
    place = total if outside else whole
    return Draft(message, (*edits, *outside, called(text, place, source, name, settings), *imports))


def _sum_behind(text: Text, whole: ast.Call, read: ast.Name) -> tuple[ast.expr, tuple[Edit, ...]]:
    """The sum that a name is bound to, if only the logarithm reads it; the logarithm is then taken off the name."""
    for node in ast.walk(text.scope(read)):
        named = assigned_name(text, node) if isinstance(node, ast.Call) else None
        if (
            isinstance(node, ast.Call)
            and named is not None
            and named[0] == read.id
            and reads(text, *named) == [read]
        ):
            return node, text.unwrap(whole, read)
    raise Unclear
