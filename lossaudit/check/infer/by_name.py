"""Imports by name: which modules ``import_module`` may be told to give, read from the calls in a text.

A function that hands one of its parameters on to ``import_module`` is a *door*, and so is what hands one on to a door. Which files
a door opens stands where it is called: with constants in most texts. What is not read here may be any file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from lossaudit.check import ir
from lossaudit.check.infer.heap import Scope
from lossaudit.check.infer.objects import assigned_in
from lossaudit.check.mentions import is_sentence
from lossaudit.check.once import Once
from lossaudit.check.project import Module
from lossaudit.check.values import Const, Function

IMPORT_MODULE = "import_module"
IMPORTS = f"importlib.{IMPORT_MODULE}"


@dataclass(frozen=True, slots=True, eq=False)
class Door:
    """The place of the parameter that names a module, in the calls of a function; ``module`` is the file that imports it.

    That is None for ``import_module`` itself: it imports for the file that calls it.
    """

    name: str
    place: int
    parameter: str
    module: Module | None


GLOBALS = "globals"
"""What gives a text all that its own file binds, without a mention."""
IMPORTER = Door(IMPORT_MODULE, 0, "", None)


@dataclass(frozen=True, slots=True)
class Handed:
    """What a text hands to a door: ``modules`` by their names, and ``parameters`` of its own; None for what cannot be told."""

    modules: frozenset[str]
    parameters: frozenset[str]


def handed(function: Function, door: Door) -> Handed | None:
    """What the calls of ``door`` in the text of a function hand to it."""
    uses = _uses(function.node)
    if door.name in uses.others:
        return None
    modules: set[str] = set()
    parameters: set[str] = set()
    for call in uses.calls.get(door.name, ()):
        if any(one.star for one in call.args):
            return None
        argument = _argument(call, door)
        variable = argument.name if isinstance(argument, ir.Name) else None
        if variable is not None and _is_own(function, uses, variable):
            parameters.add(variable)
            given: object = _default(function, variable)
        elif variable is not None:
            given = _around(function, uses, variable)
        else:
            given = None if argument is None else _constant(argument)
        if isinstance(given, str):
            modules.add(given)
        elif given is not None:
            return None
    return Handed(frozenset(modules), frozenset(parameters))


@Once
def asks_for_globals(node: ir.FunctionDef | ir.Lambda) -> bool:
    """Whether a text that mentions ``globals`` may mean the function: no parameter, and no attribute of its object."""
    own = {one.name for one in node.params}
    receiver = node.params[0].name if node.params else ""
    attributes = [one for one in ir.walk((node,)) if isinstance(one, ir.Attribute) and one.attr == GLOBALS]
    if any(not (isinstance(one.value, ir.Name) and one.value.name == receiver) for one in attributes):
        return True
    names = (one for one in ir.walk((node,)) if not isinstance(one, ir.Attribute))
    return any(GLOBALS in _named(one) for one in names) and GLOBALS not in own


def door_of(function: Function, parameter: str, module: Module) -> Door | None:
    """The door that a parameter of a function makes of it; None where its calls do not show by its name."""
    names = [one.name for one in function.node.params if one.kind in ("posonly", "normal")]
    if function.owner is not None or isinstance(function.node, ir.Lambda):
        return None
    return Door(function.name, names.index(parameter) if parameter in names else -1, parameter, module)


_NOT_TOLD = object()


def _argument(call: ir.Call, door: Door) -> ir.Expr | None:
    """What a call hands to a door; None for nothing: ``import_module`` with a package is not followed."""
    positional = [one.value for one in call.args if one.keyword is None]
    if door is IMPORTER:
        return positional[0] if len(positional) == 1 else None
    if 0 <= door.place < len(positional):
        return positional[door.place]
    return next((one.value for one in call.args if one.keyword == door.parameter), None)


def _constant(node: ir.Expr) -> object:
    return node.value if isinstance(node, ir.Constant) else _NOT_TOLD


def _is_own(function: Function, uses: _Uses, name: str) -> bool:
    """Whether a variable is a parameter of the function, as it was given."""
    plain = (one.name for one in function.node.params if one.kind in ("posonly", "normal", "kwonly"))
    return name in plain and name not in uses.bound


def _default(function: Function, name: str) -> object:
    value = function.defaults.get(name)
    return None if value is None else value.value if isinstance(value, Const) else _NOT_TOLD


def _around(function: Function, uses: _Uses, name: str) -> object:
    """The constant that a variable of a function around this one holds."""
    scope: Scope | None = function.closure
    while scope is not None and scope is not function.module.scope and name not in scope.vars:
        scope = scope.parent
    if scope is None or scope is function.module.scope or name in uses.bound:
        return _NOT_TOLD
    value = scope.vars[name]
    return value.value if isinstance(value, Const) else _NOT_TOLD


# The names in a text -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Uses:
    """The calls in a text by the last name of what is called, the names that stand elsewhere, and those that are bound."""

    calls: Mapping[str, list[ir.Call]]
    others: frozenset[str]
    bound: frozenset[str]


@Once
def _uses(node: ir.Node) -> _Uses:
    calls: dict[str, list[ir.Call]] = {}
    called: set[int] = set()
    others: set[str] = set()
    bound: set[str] = set()
    for one in ir.walk((node,)):
        if isinstance(one, ir.Call) and isinstance(one.func, (ir.Name, ir.Attribute)):
            called.add(id(one.func))
            calls.setdefault(_last_name(one.func), []).append(one)
        elif id(one) not in called:
            others.update(_named(one))
        bound.update(_bound_by(one, node))
    return _Uses(calls, frozenset(others), frozenset(bound))


def _last_name(node: ir.Name | ir.Attribute) -> str:
    return node.name if isinstance(node, ir.Name) else node.attr


def _named(node: ir.Node) -> Iterator[str]:
    """The names that stand at a node itself, by which something may be known otherwise than by being called."""
    if isinstance(node, (ir.Name, ir.Attribute)):
        yield _last_name(node)
    elif isinstance(node, ir.Constant) and isinstance(node.value, str) and not is_sentence(node.value):
        yield from node.value.replace(".", " ").split()
    elif isinstance(node, ir.Alias) and node.asname not in (None, node.name):
        yield node.name


def _bound_by(node: ir.Node, whole: ir.Node) -> Iterator[str]:
    """The variables to which a node gives another value; the parameters of the whole text are given theirs by its callers."""
    for target in _targets(node):
        yield from (one.name for one in ir.walk((target,)) if isinstance(one, ir.Name))
    if isinstance(node, (ir.Lambda, ir.FunctionDef)) and node is not whole:
        yield from (one.name for one in node.params)
    if isinstance(node, (ir.FunctionDef, ir.ClassDef)) and node is not whole:
        yield node.name
    elif isinstance(node, (ir.Global, ir.Nonlocal)):
        yield from node.names
    elif isinstance(node, ir.Alias):
        yield node.asname or node.name.partition(".")[0]
    elif isinstance(node, ir.Handler) and node.name is not None:
        yield node.name
    elif isinstance(node, ir.Case):
        yield from node.captures


def _targets(node: ir.Node) -> tuple[ir.Expr, ...]:
    if isinstance(node, (ir.For, ir.NamedExpr, ir.Generator)):
        return (node.target,)
    if isinstance(node, ir.Delete):
        return node.targets
    if isinstance(node, ir.WithItem):
        return () if node.target is None else (node.target,)
    return assigned_in(node)
