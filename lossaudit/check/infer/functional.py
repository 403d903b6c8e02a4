"""Frameworks in which models and objectives are functions: applying a module to its parameters, and differentiating an objective."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from lossaudit.check.contracts.schema import Runner, parse_signature
from lossaudit.check.infer import objects
from lossaudit.check.infer.frame import Arguments, Frame
from lossaudit.check.infer.ops import back_propagate, bind
from lossaudit.check.values import (
    NONE,
    UNKNOWN,
    Const,
    External,
    Instance,
    Partial,
    Site,
    Tensor,
    TupleVal,
    Union,
    Value,
    constant,
)

if TYPE_CHECKING:
    from lossaudit.check.infer.engine import Interpreter

_SUFFIX = "()"
_OBJECTIVE = "fun, argnums=0, has_aux=False, *args, **kwargs"
_HAS_AUX = "has_aux"


def apply_module(
    interp: Interpreter, frame: Frame, runner: Runner, module: Instance, arguments: Arguments, site: Site
) -> Value:
    """``model.apply(variables, x)``: what calling the model on ``x`` yields, beside its state where that is asked for."""
    bound = bind(runner.signature, arguments)
    own = {one.spelling for one in parse_signature(runner.signature)}
    given = bound.get("args")
    positional = list(given.items) if isinstance(given, TupleVal) else []
    keywords = {name: value for name, value in arguments.keywords.items() if name not in own}
    open_from = len(positional) if arguments.open_from is not None else None
    inner = Arguments(positional, keywords, open_from, arguments.open_keywords)
    callee = _method_of(interp, frame, module, bound.get("method", NONE), site)
    value = interp.call(frame, callee, inner, site)
    if constant(bound.get("mutable", NONE)) in (None, False):
        return value
    return TupleVal((value, UNKNOWN)) if "mutable" in arguments.keywords else UNKNOWN


def _method_of(interp: Interpreter, frame: Frame, module: Instance, method: Value, site: Site) -> Value:
    """The module itself, or the method of it that the call names."""
    name = constant(method)
    if name is None:
        return module
    if isinstance(name, str):
        return objects.get_attribute(interp, frame, module, name, site)
    return method


def derivative(
    interp: Interpreter, frame: Frame, name: str, arguments: Arguments, site: Site
) -> Value | None:
    """``jax.value_and_grad(objective)``, and the call of what that returns; None if ``name`` is neither."""
    derivatives = interp.contracts.derivatives
    if name in derivatives:
        return _derived(name, arguments)
    yields = derivatives.get(name.removesuffix(_SUFFIX)) if name.endswith(_SUFFIX) else None
    return None if yields is None else _differentiate(interp, frame, yields, arguments, site)


def _derived(name: str, arguments: Arguments) -> Value:
    """A function that is called like the objective."""
    bound = bind(_OBJECTIVE, arguments)
    objective = bound.get("fun")
    if objective is None:
        return UNKNOWN
    has_aux = bound.get(_HAS_AUX, Const(value=False))
    return Partial(External(name + _SUFFIX), (objective,), {_HAS_AUX: has_aux})


def _differentiate(interp: Interpreter, frame: Frame, yields: str, arguments: Arguments, site: Site) -> Value:
    """Call the objective, and back-propagate what it returns. The value that comes back belongs to no graph."""
    objective, *rest = arguments.positional
    keywords = {name: value for name, value in arguments.keywords.items() if name != _HAS_AUX}
    open_from = None if arguments.open_from is None else max(arguments.open_from - 1, 0)
    value = interp.call(frame, objective, Arguments(rest, keywords, open_from, arguments.open_keywords), site)
    has_aux = constant(arguments.keywords.get(_HAS_AUX))
    if has_aux is False:
        loss, outside = value, _outside(value)
    elif has_aux is True and isinstance(value, TupleVal) and value.items:
        loss, outside = value.items[0], _outside(value)
    else:
        return UNKNOWN
    back_propagate(interp, frame, loss, site)
    if yields == "value_and_gradient":
        return TupleVal((outside, UNKNOWN))
    return TupleVal((UNKNOWN, *outside.items[1:])) if isinstance(outside, TupleVal) else UNKNOWN


def _outside(value: Value) -> Value:
    """A value as it is when the differentiation is over: numbers."""
    if isinstance(value, Tensor):
        return replace(value, detached=True)
    if isinstance(value, Union):
        return Union(tuple(_outside(one) for one in value.alternatives))
    if isinstance(value, TupleVal):
        return TupleVal(tuple(_outside(one) for one in value.items), value.names, value.rest)
    return value
