"""Rewrites of what a loss is handed: the prediction, the target, their order."""

from __future__ import annotations

import ast

from lossaudit.check.fixes.losses import argument_of, is_parameter
from lossaudit.check.fixes.make import Desk, Draft, rewrite
from lossaudit.check.fixes.remedy import Remedy
from lossaudit.check.fixes.text import Text, Unclear
from lossaudit.findings import Edit

_CONVERSIONS = ("float", "long", "double", "half", "int", "bool")


@rewrite("convert-target")
def convert_target(desk: Desk, remedy: Remedy) -> Draft:
    """The target gets another element type. Sites: the loss call. Words: ``float`` or ``long``."""
    (site,) = remedy.sites
    (kind,) = remedy.words
    text = desk.text(site)
    target = argument_of(text, site, 1, "target")
    return Draft(f"Convert the target: `.{kind}()`", _converted(text, target, kind), elsewhere=True)


def _converted(text: Text, target: ast.expr, kind: str) -> tuple[Edit, ...]:
    func = target.func if isinstance(target, ast.Call) else None
    is_conversion = (
        isinstance(func, ast.Attribute) and func.attr in _CONVERSIONS and not text.is_imported(func)
    )
    if isinstance(target, ast.Call) and isinstance(func, ast.Attribute) and is_conversion and not target.args:
        end = text.end(func)
        return (text.replace(end - len(func.attr), end, kind),)
    return text.append_method(target, f".{kind}()")


@rewrite("swap-arguments")
def swap_arguments(desk: Desk, remedy: Remedy) -> Draft:
    """Prediction and target change places. Sites: the loss call."""
    (site,) = remedy.sites
    text = desk.text(site)
    one, other = argument_of(text, site, 0, "input"), argument_of(text, site, 1, "target")
    if is_parameter(text, one) and is_parameter(text, other):
        call = text.node(site.node, ast.Call)
        if not text.dotted(call.func):
            raise Unclear  # a wrapper passes on what its callers gave it, and they are at fault
    edits = (text.replace_node(one, text.source(other)), text.replace_node(other, text.source(one)))
    return Draft("Swap the arguments", edits)


@rewrite("move-classes")
def move_classes(desk: Desk, remedy: Remedy) -> Draft:
    """The last dimension of the prediction becomes dimension 1. Sites: the loss call. Words: the rank, where it is known."""
    (site,) = remedy.sites
    text = desk.text(site)
    prediction = argument_of(text, site, 0, "input")
    if is_parameter(text, prediction):
        raise Unclear
    method = ".transpose(1, 2)" if remedy.words == ("3",) else ".movedim(-1, 1)"
    return Draft(f"Move the classes: `{method}`", text.append_method(prediction, method))
