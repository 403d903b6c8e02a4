"""Rewrites of an activation where it is applied: taken away, or made its logarithm."""

from __future__ import annotations

import ast
from dataclasses import dataclass

from lossaudit.check.fixes.flow import assigned_name, keeps_value, reads
from lossaudit.check.fixes.losses import argument_of
from lossaudit.check.fixes.make import Desk, Draft, rewrite
from lossaudit.check.fixes.remedy import Remedy
from lossaudit.check.fixes.text import Text, Unclear
from lossaudit.check.values import Site
from lossaudit.findings import Edit

FUNCTIONAL = "torch.nn.functional."
_NAMESPACES = (
    "torch.",
    FUNCTIONAL,
    "torch.special.",
    "paddle.nn.functional.",
    "jax.nn.",
    "flax.linen.",
    "flax.nnx.",
)
"""Where ``softmax`` and ``log_softmax`` stand side by side and take the same arguments."""
_NAMES = ("softmax", "log_softmax", "sigmoid")
_FUNCTIONS = (*_NAMES, "expit")
_OPERANDS = ("input", "x", "logits")
"""What the frameworks call the argument of an activation."""


@dataclass(frozen=True, slots=True)
class Applied:
    """An activation applied in the text: the whole call, what it is applied to, and how it is written.

    ``spelling`` is ``function``, ``method`` (of the tensor), ``module``, or ``layer`` for one that is built there with an activation.
    """

    call: ast.Call
    operand: ast.expr
    spelling: str


def applied(text: Text, site: Site, *, is_module: bool) -> Applied:
    """The application of an activation at a site."""
    call = text.node(site.node, ast.Call)
    func = call.func
    if any(isinstance(one, ast.Starred) for one in call.args) or any(
        one.arg is None for one in call.keywords
    ):
        raise Unclear
    if is_module:
        if len(call.args) == 1 and not call.keywords:
            return Applied(call, call.args[0], "module")
        raise Unclear
    if isinstance(func, ast.Attribute) and not text.is_imported(func):
        if func.attr in _NAMES and _only_settings(call):
            return Applied(call, func.value, "method")
        if func.attr in _NAMES or not call.args:
            raise Unclear  # a function that an object keeps, or a method: the text does not tell
    if isinstance(func, ast.Call):
        activation = text.keyword(func, "activation")
        if activation is None or len(call.args) != 1:
            raise Unclear
        return Applied(call, call.args[0], "layer")
    dotted = text.dotted(func)
    if dotted.rpartition(".")[2] not in _FUNCTIONS if dotted else _may_do_more(text):
        raise Unclear
    named = (keyword.value for keyword in call.keywords if keyword.arg in _OPERANDS)
    operand = call.args[0] if call.args else next(named, None)
    if operand is None:
        raise Unclear
    return Applied(call, operand, "function")


def _may_do_more(text: Text) -> bool:
    """Whether what yields an activation may be a layer with one, or a whole model that is applied to its parameters."""
    return any(text.imports(package) for package in ("keras", "tensorflow", "jax", "flax"))


def family(text: Text, *functions: ast.expr) -> str:
    """The framework of the first function that an import names; of methods alone PyTorch, unless the file imports Paddle."""
    for function in functions:
        dotted = text.dotted(function)
        if dotted:
            return dotted.partition(".")[0]
    return "" if text.imports("paddle") else "torch"


def _only_settings(call: ast.Call) -> bool:
    """Whether the arguments are settings only, so that the value is what stands before the dot."""
    plain = all(_is_integer(one) for one in call.args) and len(call.args) <= 1
    return plain and all(one.arg in ("dim", "dtype", "axis") for one in call.keywords)


def _is_integer(node: ast.expr) -> bool:
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        node = node.operand
    return isinstance(node, ast.Constant) and type(node.value) is int


def logarithmic(text: Text, one: Applied) -> tuple[Edit, ...]:
    """``softmax`` becomes ``log_softmax``, its arguments stay."""
    if one.spelling in ("module", "layer"):
        raise Unclear
    func = one.call.func
    if one.spelling == "method":
        if family(text) != "torch":
            raise Unclear
        assert isinstance(func, ast.Attribute)  # noqa: S101 (so `applied` made it)
        end = text.end(func)
        return (text.replace(end - len(func.attr), end, "log_softmax"),)
    name, imports = _beside(text, func, "softmax", "log_softmax")
    return (text.replace_node(func, name), *imports)


def _beside(text: Text, func: ast.expr, old: str, new: str) -> tuple[str, tuple[Edit, ...]]:
    """How to write the function ``new`` where the function ``old`` of the framework is written."""
    dotted = text.dotted(func)
    if dotted not in {namespace + old for namespace in _NAMESPACES}:
        raise Unclear
    if isinstance(func, ast.Attribute):
        return f"{text.source(func.value)}.{new}", ()
    namespace = FUNCTIONAL if family(text, func) == "torch" else dotted[: -len(old)]
    return text.name_of(namespace + new, func)


def chain_top(text: Text, node: ast.expr, within: ast.AST) -> ast.expr:
    """The largest expression that begins with ``node`` by methods and indices only: ``node.view(-1)[mask]``."""
    while node is not within:
        parent = text.parent(node)
        if isinstance(parent, ast.Attribute) and parent.value is node:
            call = text.parent(parent)
            if not (isinstance(call, ast.Call) and call.func is parent):
                break
            node = call
        elif isinstance(parent, ast.Subscript) and parent.value is node:
            node = parent
        else:
            break
    return node


def is_local(text: Text, one: Applied, use: ast.expr) -> bool:
    """Whether nothing but ``use`` sees the value: it is part of it, or bound to a name that only ``use`` reads."""
    if text.contains(use, one.call):
        return True
    top = chain_top(text, one.call, text.tree)
    named = assigned_name(text, top)
    if named is None or text.scope(use) is not text.scope(one.call):
        return False
    found = reads(text, *named)
    return bool(found) and all(text.contains(use, read) for read in found)


def _use(text: Text, remedy: Remedy) -> ast.expr | None:
    """What the loss call, the second site, gets as its prediction: by its place or its name, the words. None in another file."""
    site = remedy.sites[1]
    return (
        argument_of(text, site, int(remedy.words[0]), remedy.words[1]) if site.path == text.filename else None
    )


@rewrite("remove-activation")
def remove_activation(desk: Desk, remedy: Remedy) -> Draft:
    """``softmax(z)`` becomes ``z`` where its value goes into the loss and nowhere else.

    Sites: the activation, the loss call, and, for a module, its constructor. Words: the place and the name of the prediction
    among the arguments of the loss; ``local`` where nothing else may be changed.
    """
    site, _, *built = remedy.sites
    text = desk.text(site)
    if built and built[0] == site:
        return _remove_layer(text, site)
    one = applied(text, site, is_module=bool(built))
    message = f"Remove `{_label(one)}`"
    use = _use(text, remedy)
    if use is not None and is_local(text, one, use):
        return Draft(message, _taken_away(text, one))
    if use is not None and _reads_it(text, one, use):
        if one.spelling == "layer" or not keeps_value(text, one.operand, one.call, use):
            raise Unclear
        name = text.source(one.operand)
        return Draft(f"Pass `{name}` to the loss", (text.replace_node(use, text.operand(one.operand)),))
    if "local" in remedy.words or not _is_handed_out(text, one):
        raise Unclear
    return Draft(message, _taken_away(text, one), elsewhere=True)


def _taken_away(text: Text, one: Applied) -> tuple[Edit, ...]:
    """Only the operand is left; nothing of ``x = softmax(x)``. A layer loses its activation."""
    layer = one.call.func
    if one.spelling == "layer" and isinstance(layer, ast.Call):
        return tuple(
            text.remove_argument(layer, keyword) for keyword in layer.keywords if keyword.arg == "activation"
        )
    named = assigned_name(text, one.call)
    if named is not None and isinstance(one.operand, ast.Name) and one.operand.id == named[0]:
        return (text.delete_lines(named[1]),)
    return text.unwrap(one.call, one.operand)


@rewrite("log-activation")
def log_activation(desk: Desk, remedy: Remedy) -> Draft:
    """``softmax(z)`` becomes ``log_softmax(z)`` where its value goes into the loss and nowhere else. Sites and words: as above."""
    site, _, *built = remedy.sites
    message = "Use `log_softmax`"
    if built:
        text = desk.text(built[0])
        func = text.node(built[0].node, ast.Call).func
        if not isinstance(func, ast.Attribute) or text.dotted(func) != "torch.nn.Softmax":
            raise Unclear
        end = text.end(func)
        return Draft(
            "Use `LogSoftmax`", (text.replace(end - len(func.attr), end, "LogSoftmax"),), elsewhere=True
        )
    text = desk.text(site)
    one = applied(text, site, is_module=False)
    use = _use(text, remedy)
    if (use is None or not is_local(text, one, use)) and not _is_handed_out(text, one):
        raise Unclear
    return Draft(message, logarithmic(text, one), elsewhere=True)


@rewrite("set-dimension")
def set_dimension(desk: Desk, remedy: Remedy) -> Draft:
    """A softmax gets another dimension. Sites: its call, or the constructor of the module. Words: the dimension; ``module``."""
    (site,) = remedy.sites
    dim = remedy.words[0]
    text = desk.text(site)
    call = text.node(site.node, ast.Call)
    keyword = next((one for one in call.keywords if one.arg in ("dim", "axis")), None)
    name = "dim" if family(text, call.func) == "torch" else "axis"
    message = f"Use `{name if keyword is None else keyword.arg}={dim}`"
    if keyword is not None:
        return Draft(message, (text.replace_node(keyword.value, dim),), elsewhere=True)
    spelling = "module" if remedy.words[1:] == ("module",) else applied(text, site, is_module=False).spelling
    if spelling == "layer":
        raise Unclear
    place = 1 if spelling == "function" else 0
    if any(one.arg is None for one in call.keywords) or any(
        isinstance(one, ast.Starred) for one in call.args
    ):
        raise Unclear
    if len(call.args) > place:
        if not _is_integer(call.args[place]):
            raise Unclear
        return Draft(message, (text.replace_node(call.args[place], dim),), elsewhere=True)
    return Draft(message, (text.add_argument(call, f"{name}={dim}"),), elsewhere=True)


def _label(one: Applied) -> str:
    func = one.call.func
    if one.spelling == "layer":
        return "activation"
    return (
        func.attr
        if isinstance(func, ast.Attribute)
        else func.id
        if isinstance(func, ast.Name)
        else "the activation"
    )


def _reads_it(text: Text, one: Applied, use: ast.expr) -> bool:
    """Whether ``use`` is the very name that the activation was bound to, in the same function."""
    named = assigned_name(text, one.call)
    if named is None or text.scope(use) is not text.scope(one.call) or not isinstance(use, ast.Name):
        return False
    return use in reads(text, *named)


def _is_handed_out(text: Text, one: Applied) -> bool:
    """Whether a function makes the value only to return it."""
    top = chain_top(text, one.call, text.tree)
    named = assigned_name(text, top)
    places: list[ast.expr] = [top] if named is None else list(reads(text, *named))
    return bool(places) and all(_is_returned(text, place) for place in places)


def _is_returned(text: Text, place: ast.expr) -> bool:
    """Whether an expression is returned as it is, or as a part of what is returned."""
    node: ast.AST = place
    for parent in text.ancestors(place):
        if isinstance(parent, (ast.Return, ast.Lambda)):
            return True
        is_part = isinstance(parent, (ast.Tuple, ast.List, ast.keyword, ast.Dict, ast.IfExp)) or (
            isinstance(parent, ast.Call) and _is_plain_record(parent, node)
        )
        if not is_part:
            return False
        node = parent
    return False


def _is_plain_record(call: ast.Call, argument: ast.AST) -> bool:
    """``Output(logits=...)``: a class, by its name, is built around the value."""
    name = call.func.id if isinstance(call.func, ast.Name) else getattr(call.func, "attr", "")
    return argument is not call.func and (name[:1].isupper() or name == "dict")


# A layer of a container ----------------------------------------------------------------------------------------------


def _remove_layer(text: Text, site: Site) -> Draft:
    """The last layer of ``nn.Sequential(...)`` is taken out, or is not put into the list of layers."""
    layer = text.node(site.node, ast.Call)
    statement = text.statement(layer)
    _refuse_indexed(text, statement)
    message = f"Remove the last layer, `{text.source(layer.func)}`"
    container = text.parent(layer)
    if isinstance(statement, ast.Expr) and isinstance(container, ast.Call) and container is statement.value:
        _refuse_unless_appended(text, container, layer)
        return Draft(message, (text.delete_lines(statement),), elsewhere=True)
    item: ast.expr = layer
    if isinstance(container, ast.Tuple) and len(container.elts) == 2:
        item, container = container, text.parent(container)  # ("softmax", nn.Softmax()) of an OrderedDict
    items: list[ast.expr] = []
    if isinstance(container, ast.List):
        items = container.elts
    elif (
        isinstance(container, ast.Call)
        and text.dotted(container.func) in _SEQUENTIAL
        and not container.keywords
    ):
        items = container.args
    if len(items) < 2 or items[-1] is not item:
        raise Unclear
    return Draft(message, (text.remove_last_item(items[-2], item),), elsewhere=True)


_SEQUENTIAL = ("torch.nn.Sequential", "torch.nn.modules.container.Sequential", "paddle.nn.Sequential")


def _refuse_unless_appended(text: Text, call: ast.Call, layer: ast.Call) -> None:
    """``layers.append(layer)``, once: in a loop there are layers after it."""
    func = call.func
    is_append = isinstance(func, ast.Attribute) and func.attr in ("append", "add_module")
    is_repeated = any(isinstance(one, (ast.For, ast.While)) for one in text.ancestors(call))
    if not is_append or is_repeated or call.keywords or call.args[-1] is not layer:
        raise Unclear


def _refuse_indexed(text: Text, statement: ast.stmt) -> None:
    """Code that takes layers by their place counts on the one that would go."""
    targets = statement.targets if isinstance(statement, ast.Assign) else []
    names = {getattr(target, "attr", getattr(target, "id", None)) for target in targets}
    for node in ast.walk(text.tree):
        if isinstance(node, ast.Subscript):
            base = getattr(node.value, "attr", getattr(node.value, "id", None))
            if base is not None and base in names:
                raise Unclear
