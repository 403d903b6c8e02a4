"""Rewrites of losses where they are built or called: another loss, other settings."""

from __future__ import annotations

import ast

from lossaudit.check.contracts import LossClass, LossFunction
from lossaudit.check.contracts.schema import parse_signature
from lossaudit.check.fixes.make import Desk, Draft, rewrite
from lossaudit.check.fixes.remedy import Remedy
from lossaudit.check.fixes.text import Text, Unclear
from lossaudit.check.values import Site
from lossaudit.findings import Edit

_OLD = ("size_average", "reduce")


def canonical(desk: Desk, text: Text, func: ast.expr) -> str:
    """The name under which the contracts know what a call calls."""
    dotted = text.dotted(func)
    if not dotted:
        raise Unclear
    return desk.contracts.canonical(dotted)


def renamed(desk: Desk, text: Text, func: ast.expr, old: str, new: str) -> tuple[Edit, ...]:
    """Another function or class of the framework in the place of one; both by their dotted names."""
    if canonical(desk, text, func) != old:
        raise Unclear
    prefix, _, leaf = new.rpartition(".")
    if isinstance(func, ast.Attribute) and prefix == old.rpartition(".")[0]:
        end = text.end(func)
        return (text.replace(end - len(func.attr), end, leaf),)
    name, imports = text.name_of(new, func)
    return (text.replace_node(func, name), *imports)


@rewrite("other-loss")
def other_loss(desk: Desk, remedy: Remedy) -> Draft:
    """One loss in the place of another that takes the same arguments.

    Sites: where the criterion is built, or the functional call. Words: pairs of dotted names, old and new, of which one fits.
    """
    (site,) = remedy.sites
    text = desk.text(site)
    call = text.node(site.node, ast.Call)
    name = canonical(desk, text, call.func)
    new = dict(zip(remedy.words[::2], remedy.words[1::2], strict=True)).get(name)
    if new is None:
        raise Unclear
    message = f"Use `{new.rpartition('.')[2]}`"
    return Draft(message, renamed(desk, text, call.func, name, new), elsewhere=True)


@rewrite("set-argument")
def set_argument(desk: Desk, remedy: Remedy) -> Draft:
    """A keyword argument of a call gets a value. Sites: the call. Words: the name and the value as it is written."""
    (site,) = remedy.sites
    name, value = remedy.words
    text = desk.text(site)
    call = text.node(site.node, ast.Call)
    return Draft(f"Pass `{name}={value}`", (set_keyword(desk, text, call, name, value),), elsewhere=True)


def set_keyword(desk: Desk, text: Text, call: ast.Call, name: str, value: str) -> Edit:
    """``name=value`` among the arguments of a call, in the place of another value of that name."""
    if any(one.arg is None for one in call.keywords) or any(
        isinstance(one, ast.Starred) for one in call.args
    ):
        raise Unclear
    found = text.keyword(call, name)
    if found is not None:
        return text.replace(text.start(found), text.end(found), f"{name}={value}")
    if any(text.keyword(call, old) for old in _OLD) or name in positional_names(desk, text, call):
        raise Unclear
    return text.add_argument(call, f"{name}={value}")


def positional_names(desk: Desk, text: Text, call: ast.Call) -> list[str]:
    """The names of the parameters that the positional arguments of a library's loss go to."""
    entry = desk.contracts.entries.get(canonical(desk, text, call.func))
    if isinstance(entry, LossClass):
        signature = entry.loss.init
    elif isinstance(entry, LossFunction):
        signature = entry.loss.signature
    else:
        raise Unclear
    names = [parameter.name for parameter in parse_signature(signature) if not parameter.keyword_only]
    if len(call.args) > len(names):
        raise Unclear
    return names[: len(call.args)]


@rewrite("drop-argument")
def drop_argument(desk: Desk, remedy: Remedy) -> Draft:
    """A keyword argument goes. Sites: the call. Words: its name."""
    (site,) = remedy.sites
    (name,) = remedy.words
    text = desk.text(site)
    call = text.node(site.node, ast.Call)
    found = text.keyword(call, name)
    if found is None:
        raise Unclear
    return Draft(f"Drop `{name}`", (text.remove_argument(call, found),), elsewhere=True)


@rewrite("reduction")
def reduction(desk: Desk, remedy: Remedy) -> Draft:
    """``size_average`` and ``reduce`` become ``reduction``. Sites: the call. Words: what they amount to."""
    (site,) = remedy.sites
    (meant,) = remedy.words
    text = desk.text(site)
    call = text.node(site.node, ast.Call)
    if any(one.arg is None for one in call.keywords) or any(
        isinstance(one, ast.Starred) for one in call.args
    ):
        raise Unclear
    old = [one for one in call.keywords if one.arg in (*_OLD, "reduction")]
    start = len(call.args)
    if not any(one.arg in _OLD for one in old):
        names = positional_names(desk, text, call)
        start = next((place for place, name in enumerate(names) if name in _OLD), start)
        if any(name not in (*_OLD, "reduction") for name in names[start:]):
            raise Unclear
    arguments: list[ast.expr | ast.keyword] = [*call.args[start:], *old]
    arguments.sort(key=text.start)
    if not arguments:
        raise Unclear
    first, *others = arguments
    edits = [text.replace(text.start(first), text.end(first), f'reduction="{meant}"')]
    edits += [text.remove_argument(call, one) for one in others]
    return Draft(f'Write `reduction="{meant}"`', tuple(edits))


@rewrite("named-base-arguments")
def named_base_arguments(desk: Desk, remedy: Remedy) -> Draft:
    """``super().__init__(size_average, reduce, reduction)`` with the names of the parameters. Sites: the call."""
    (site,) = remedy.sites
    text = desk.text(site)
    call = text.node(site.node, ast.Call)
    func = call.func
    if not (isinstance(func, ast.Attribute) and func.attr == "__init__"):
        raise Unclear
    arguments = call.args if isinstance(func.value, ast.Call) else call.args[1:]
    edits = []
    for argument in arguments:
        name = argument.id if isinstance(argument, ast.Name) else "reduction"
        is_text = isinstance(argument, ast.Constant) and isinstance(argument.value, str)
        if name not in (*_OLD, "reduction") or not (is_text or isinstance(argument, ast.Name)):
            raise Unclear
        if text.keyword(call, name) is not None:
            raise Unclear
        edits.append(text.insert(text.start(argument), f"{name}="))
    return Draft("Pass them by name", tuple(edits))


@rewrite("named-loss")
def named_loss(desk: Desk, remedy: Remedy) -> Draft:
    """``compile(loss="binary_crossentropy")`` becomes a loss object that is told what it gets.

    Sites: the call. Words: the dotted name of the class, and its argument.
    """
    (site,) = remedy.sites
    dotted, argument = remedy.words
    text = desk.text(site)
    call = text.node(site.node, ast.Call)
    given = text.keyword(call, "loss")
    if given is None or not isinstance(given.value, ast.Constant) or not isinstance(given.value.value, str):
        raise Unclear
    leaf = dotted.rpartition(".")[2]
    for spelled in (dotted, f"tensorflow.{dotted}"):
        try:
            name, _ = text.name_of(spelled, call)
        except Unclear:
            continue
        edit = text.replace_node(given.value, f"{name}({argument})")
        return Draft(f"Use `{leaf}({argument})`", (edit,), elsewhere=True)
    raise Unclear


@rewrite("call-the-criterion")
def call_the_criterion(desk: Desk, remedy: Remedy) -> Draft:
    """``nn.CrossEntropyLoss(prediction, target)`` becomes ``nn.CrossEntropyLoss()(prediction, target)``. Sites: the call."""
    (site,) = remedy.sites
    text = desk.text(site)
    call = text.node(site.node, ast.Call)
    if len(call.args) != 2 or call.keywords:
        raise Unclear
    canonical(desk, text, call.func)
    return Draft("Build the criterion, then call it", (text.insert(text.end(call.func), "()"),))


def is_parameter(text: Text, node: ast.expr) -> bool:
    """Whether an argument is a parameter of the function that passes it on: other callers may have passed another value."""
    scope = text.scope(node)
    arguments = getattr(scope, "args", None)
    if not isinstance(node, ast.Name) or arguments is None:
        return False
    return any(isinstance(one, ast.arg) and one.arg == node.id for one in ast.walk(arguments))


def argument_of(text: Text, site: Site, place: int, name: str) -> ast.expr:
    """The argument of a loss call at a place, or of a name."""
    call = text.node(site.node, ast.Call)
    found = text.keyword(call, name)
    if found is not None:
        return found.value
    if place < len(call.args) and not any(isinstance(one, ast.Starred) for one in call.args):
        return call.args[place]
    raise Unclear
