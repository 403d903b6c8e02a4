"""Rewrites of logarithms and exponentials into the functions that do not underflow."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from contextlib import suppress

from lossaudit.check.fixes.activations import (
    FUNCTIONAL,
    Applied,
    applied,
    chain_top,
    family,
    is_local,
    logarithmic,
)
from lossaudit.check.fixes.flow import assigned_name, keeps_value, reads
from lossaudit.check.fixes.make import Desk, Draft, rewrite
from lossaudit.check.fixes.remedy import Remedy
from lossaudit.check.fixes.text import Text, Unclear
from lossaudit.findings import Edit

LOG_SIGMOID = {
    "torch": (f"{FUNCTIONAL}logsigmoid",),
    "jax": ("jax.nn.log_sigmoid", "flax.linen.log_sigmoid", "flax.nnx.log_sigmoid"),
    "paddle": ("paddle.nn.functional.log_sigmoid",),
}
"""The function in each framework; of several the first that the imports of the file can name."""
_SELECTIONS = ("gather", "take_along_axis", "take_along_dim", "index_select")


def logarithm(text: Text, call: ast.Call) -> ast.expr:
    """What a call of ``log`` is applied to: ``torch.log(x)``, ``torch.log(input=x)`` or ``x.log()``."""
    func = call.func
    if not text.is_imported(func):
        if isinstance(func, ast.Attribute) and not call.args and not call.keywords:
            return func.value
        raise Unclear
    values = [*call.args, *(one.value for one in call.keywords if one.arg in ("input", "x"))]
    if len(values) != 1 or len(call.args) + len(call.keywords) != 1 or not text.dotted(func):
        raise Unclear
    return values[0]


@rewrite("log-softmax")
def log_softmax(desk: Desk, remedy: Remedy) -> Draft:
    """``log(softmax(z, d))`` becomes ``log_softmax(z, d)``. Sites: the logarithm, the softmax."""
    site, made = remedy.sites
    if site.path != made.path:
        raise Unclear
    text = desk.text(site)
    call = text.node(site.node, ast.Call)
    argument = logarithm(text, call)
    one = applied(text, made, is_module=False)
    message = "Use `log_softmax`"
    if is_local(text, one, argument):
        _refuse_other_parts(text, one, argument)
        return Draft(message, (*logarithmic(text, one), *text.unwrap(call, argument)))
    return Draft(message, (_again(text, one, call, argument, "log_softmax"),))


def _refuse_other_parts(text: Text, one: Applied, argument: ast.expr) -> None:
    """The logarithm must be of the value itself or of entries of it, not of the parts of an expression."""
    if text.contains(argument, one.call):
        if not _selects(text, chain_top(text, one.call, argument), argument):
            raise Unclear
        return
    names = [node for node in ast.walk(argument) if isinstance(node, ast.Name)]
    named = assigned_name(text, chain_top(text, one.call, text.tree))
    read = [node for node in names if named is not None and node.id == named[0]]
    if len(read) != 1 or not _selects(text, chain_top(text, read[0], argument), argument):
        raise Unclear


def _selects(text: Text, value: ast.expr, argument: ast.expr) -> bool:
    """Whether ``argument`` is ``value``, or a call that picks entries of it: ``gather(value, 1, index)``."""
    if value is argument:
        return True
    is_call = isinstance(argument, ast.Call) and text.dotted(argument.func).rpartition(".")[2] in _SELECTIONS
    return is_call and isinstance(argument, ast.Call) and bool(argument.args) and argument.args[0] is value


def _again(text: Text, one: Applied, call: ast.Call, argument: ast.expr, name: str) -> Edit:
    """``log(p)`` becomes ``log_softmax(z, dim)`` where ``p = softmax(z, dim)`` has other readers as well."""
    named = assigned_name(text, one.call)
    if named is None or not isinstance(argument, ast.Name) or argument not in reads(text, *named):
        raise Unclear
    settings = [*one.call.args, *(keyword.value for keyword in one.call.keywords), one.operand]
    if not all(keeps_value(text, part, one.call, call) for part in settings):
        raise Unclear
    (edit, *imports) = logarithmic(text, one)
    if imports:
        raise Unclear
    start, end = text.start(one.call), text.end(one.call)
    source = text.text[start:end]
    first = text.start(one.call.func)
    func = text.source(one.call.func)
    new = func[: len(func) - len("softmax")] + name if func.endswith("softmax") else edit.content
    return text.replace_node(call, source[: first - start] + new + source[first - start + len(func) :])


@rewrite("log-sigmoid")
def log_sigmoid(desk: Desk, remedy: Remedy) -> Draft:
    """``log(sigmoid(z))`` becomes ``logsigmoid(z)``, ``log(1 - sigmoid(z))`` becomes ``logsigmoid(-z)``.

    Sites: the logarithm, the sigmoid. Words: ``complement`` for the second form.
    """
    site, made = remedy.sites
    if site.path != made.path:
        raise Unclear
    text = desk.text(site)
    call = text.node(site.node, ast.Call)
    argument = logarithm(text, call)
    one = applied(text, made, is_module=remedy.words[1:] == ("module",))
    if one.spelling == "layer":
        raise Unclear
    is_complement = remedy.words[0] == "complement"
    inner = _complemented(argument) if is_complement else argument
    names = LOG_SIGMOID.get(family(text, call.func, one.call.func), ())
    name, imports = _first_name(text, names, call)
    sign = "-" if is_complement else ""
    message = f"Use `logsigmoid({sign}x)`"
    if inner is one.call:
        return Draft(message, (*_call_of(text, call, one.operand, name, sign), *imports))
    named = assigned_name(text, one.call)
    if named is None or not isinstance(inner, ast.Name) or inner not in reads(text, *named):
        raise Unclear
    is_only_reader = reads(text, *named) == [inner]
    if keeps_value(text, one.operand, one.call, call):
        operand = text.operand(one.operand) if sign else text.source(one.operand)
        left_over = (text.delete_lines(named[1]),) if is_only_reader else ()
        return Draft(message, (text.replace_node(call, f"{name}({sign}{operand})"), *left_over, *imports))
    if not is_only_reader:
        raise Unclear
    rewritten = _call_of(text, one.call, one.operand, _first_name(text, names, one.call)[0], sign)
    return Draft(message, (*rewritten, *text.unwrap(call, inner), *imports))


def _first_name(text: Text, names: Iterable[str], place: ast.AST) -> tuple[str, tuple[Edit, ...]]:
    """How to write the first of some functions that can be written at ``place``, and the import that this needs."""
    for name in names:
        with suppress(Unclear):
            return text.name_of(name, place)
    raise Unclear


def _complemented(node: ast.expr) -> ast.expr:
    """``x`` in ``1 - x``, or in ``-x`` for ``log1p``."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Sub) and isinstance(node.left, ast.Constant):
        return node.right
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return node.operand
    raise Unclear


def _call_of(text: Text, call: ast.Call, operand: ast.expr, name: str, sign: str) -> tuple[Edit, ...]:
    """``name(operand)`` in the place of ``call``, the operand's text untouched."""
    is_wrapped = bool(sign) and text.operand(operand) != text.source(operand)
    opening, closing = (f"{name}({sign}(", "))") if is_wrapped else (f"{name}({sign}", ")")
    if isinstance(operand, (ast.Starred, ast.GeneratorExp)):
        raise Unclear
    return (
        text.replace(text.start(call), text.start(operand), opening),
        text.replace(text.end(operand), text.end(call), closing),
    )
