"""Evaluating expressions."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from lossaudit.check import ir
from lossaudit.check.infer import acts, arrays, calls, datasets, objects
from lossaudit.check.infer.frame import Arguments, Frame
from lossaudit.check.infer.guards import tested_values
from lossaudit.check.infer.heap import Scope
from lossaudit.check.infer.ops import apply_op, size_of
from lossaudit.check.infer.transfer import SLICE, is_integer
from lossaudit.check.values import (
    ABSENT,
    NONE,
    UNKNOWN,
    Const,
    DictVal,
    External,
    Function,
    Instance,
    ListVal,
    Site,
    Tensor,
    TupleVal,
    Union,
    Unknown,
    Value,
    alternatives,
    constant,
    feasible,
    integer,
    join,
)

if TYPE_CHECKING:
    from lossaudit.check.infer.engine import Interpreter


def _name(interp: Interpreter, frame: Frame, node: ir.Name) -> Value:
    return interp.lookup(frame, node.name)


def _attribute(interp: Interpreter, frame: Frame, node: ir.Attribute) -> Value:
    value = interp.eval(frame, node.value)
    return interp.force(objects.get_attribute(interp, frame, value, node.attr, frame.site(node.id)))


def _constant(interp: Interpreter, frame: Frame, node: ir.Constant) -> Value:
    return Const(node.value)


def _call(interp: Interpreter, frame: Frame, node: ir.Call) -> Value:
    callee = interp.eval(frame, node.func)
    arguments = evaluate_arguments(interp, frame, node.args)
    return calls.call_value(interp, frame, callee, arguments, frame.site(node.id))


def evaluate_arguments(interp: Interpreter, frame: Frame, nodes: tuple[ir.Arg, ...]) -> Arguments:
    """Evaluate and star-expand the arguments of a call."""
    out = Arguments()
    for node in nodes:
        value = interp.eval(frame, node.value)
        if node.star == "*":
            _expand(interp, out, value)
        elif node.star == "**":
            _expand_keywords(out, value)
        elif node.keyword is not None:
            out.keywords[node.keyword] = value
        else:
            out.positional.append(value)
    return out


def _expand(interp: Interpreter, out: Arguments, value: Value) -> None:
    more = interp.elements(value)
    uncertain = next((place for place, item in enumerate(more.items) if ABSENT in alternatives(item)), None)
    if out.open_from is None and (uncertain is not None or more.rest is not None):
        out.open_from = len(out.positional) + (len(more.items) if uncertain is None else uncertain)
    out.positional += more.items
    if more.rest is not None:
        out.positional.append(more.rest)


def _expand_keywords(out: Arguments, value: Value) -> None:
    if isinstance(value, DictVal) and value.rest is None:
        out.keywords |= {str(key): entry for key, entry in value.entries.items()}
    else:
        out.open_keywords = True


# Operators -------------------------------------------------------------------------------------------------------

_FOLDS: dict[str, Callable[[Any, Any], Any]] = {
    "+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv, "//": operator.floordiv,
    "%": operator.mod, "**": operator.pow,
}  # fmt: skip
_COMPARISONS: dict[str, Callable[[Any, Any], Any]] = {
    "==": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
    "is": operator.is_, "is not": operator.is_not,
}  # fmt: skip
_OPS = {
    "+": "add", "-": "sub", "*": "mul", "/": "div", "//": "floor_divide", "%": "remainder", "**": "pow",
    "@": "matmul", "==": "eq", "!=": "ne", "<": "lt", "<=": "le", ">": "gt", ">=": "ge", "&": "logical_and",
    "|": "logical_and", "^": "logical_and",
}  # fmt: skip
_MAX_FOLDED = 10**9


def _binop(interp: Interpreter, frame: Frame, node: ir.BinOp) -> Value:
    left = interp.eval(frame, node.left)
    right = interp.eval(frame, node.right)
    return binary(interp, frame, node.op, left, right, frame.site(node.id))


def binary(interp: Interpreter, frame: Frame, op: str, left: Value, right: Value, site: Site) -> Value:
    """``left op right``: folded for constants, joined for lists, a term for tensors and what may be one."""
    if isinstance(left, Const) and isinstance(right, Const):
        return _fold(op, left.value, right.value)
    if op in ("+", "*") and isinstance(left, (ListVal, TupleVal)):
        return _sequence_op(interp, op, left, right)
    if op == "|" and isinstance(left, DictVal) and isinstance(right, DictVal):
        return DictVal({**left.entries, **right.entries}, right.rest or left.rest)
    name = _OPS.get(op)
    if name is None or not (_may_be_tensor(left) and _may_be_tensor(right)):
        return UNKNOWN
    for side, other in ((left, right), (right, left)):
        if isinstance(side, Unknown) and side.foreign and not _is_surely_a_tensor(other):
            return arrays.combined(side, other)
    if isinstance(left, Instance) or isinstance(right, Instance):
        return UNKNOWN
    if op in ("+", "-") and isinstance(left, Tensor):
        acts.collected(interp, frame, left, right, site)
    return apply_op(
        interp, frame, interp.contracts.ops[name], {"input": left, "other": right}, site, certain=False
    )


def _is_surely_a_tensor(value: Value) -> bool:
    """Arithmetic of such a value with a number or an array of another library gives a tensor again."""
    return isinstance(value, Tensor) and value.certain


def _is_scalar(value: Value) -> bool:
    return isinstance(value, Const) or (isinstance(value, Unknown) and value.is_scalar)


def _may_be_tensor(value: Value) -> bool:
    """Whether arithmetic with it can be tensor arithmetic: numbers count, strings and containers do not."""
    if type(value) is Tensor or type(value) is Unknown:
        return True
    return any(
        isinstance(one, (Tensor, Unknown)) or (isinstance(one, Const) and isinstance(one.value, (int, float)))
        for one in feasible(value)
    )


_MAX_TEXT = 10_000
_MAX_EXPONENT = 64


def _fold(op: str, left: object, right: object) -> Value:
    function = _FOLDS.get(op)
    plain = (int, float, str)
    if function is None or not isinstance(left, plain) or not isinstance(right, plain):
        return UNKNOWN
    too_big = any(isinstance(v, (int, float)) and abs(v) > _MAX_FOLDED for v in (left, right))
    too_long = isinstance(left, str) and isinstance(right, str) and len(left) + len(right) > _MAX_TEXT
    too_steep = op == "**" and isinstance(right, (int, float)) and abs(right) > _MAX_EXPONENT
    if too_big or too_long or too_steep or isinstance(left, str) != isinstance(right, str):
        return UNKNOWN
    try:
        result = function(left, right)
    except (ArithmeticError, TypeError, ValueError):
        return UNKNOWN
    return Const(result) if isinstance(result, plain) else UNKNOWN


def _sequence_op(interp: Interpreter, op: str, left: ListVal | TupleVal, right: Value) -> Value:
    make = _same_type(left)
    if op == "*":
        times = integer(right)
        if times is not None and 0 <= times * len(left.items) <= 64 and left.rest is None:
            return make(list(left.items) * times, None)
        return make([], join([*left.items, UNKNOWN]))
    more = interp.elements(right)
    if left.rest is not None:
        return make(list(left.items), join([left.rest, *more.items, *([more.rest] if more.rest else [])]))
    return make([*left.items, *more.items], more.rest)


def _same_type(value: ListVal | TupleVal) -> Callable[[list[Value], Value | None], Value]:
    if isinstance(value, TupleVal):
        return lambda items, rest: TupleVal(tuple(items), rest=rest)
    return ListVal


def _unary(interp: Interpreter, frame: Frame, node: ir.UnaryOp) -> Value:
    value = interp.eval(frame, node.operand)
    if node.op == "not":
        truth = interp.truth(value)
        return UNKNOWN if truth is None else Const(not truth)
    if isinstance(value, Const) and isinstance(value.value, (int, float)):
        return _fold_unary(node.op, value.value)
    if not _may_be_tensor(value) or node.op == "+":
        return value if node.op == "+" else UNKNOWN
    name = "neg" if node.op == "-" else "logical_not"
    return apply_op(
        interp, frame, interp.contracts.ops[name], {"input": value}, frame.site(node.id), certain=False
    )


def _fold_unary(op: str, value: float) -> Value:
    if op == "-":
        return Const(-value)
    if op == "~":
        return Const(~value) if isinstance(value, int) else UNKNOWN
    return Const(+value)


def _boolop(interp: Interpreter, frame: Frame, node: ir.BoolOp) -> Value:
    """``a and b``, ``a or b``: the operand that decides, or the join of those that may."""
    wanted = node.op == "or"
    found: list[Value] = []
    for operand in node.values:
        value = interp.eval(frame, operand)
        truth = interp.truth(value)
        found.append(value)
        if truth is wanted:
            break
        if truth is not None and operand is not node.values[-1]:
            found.pop()
    return join(found)


def _compare(interp: Interpreter, frame: Frame, node: ir.Compare) -> Value:
    left = interp.eval(frame, node.left)
    results: list[Value] = []
    for op, comparator in zip(node.ops, node.comparators, strict=True):
        right = interp.eval(frame, comparator)
        results.append(_compare_two(interp, frame, op, left, right, frame.site(node.id)))
        left = right
    return results[0] if len(results) == 1 else _all(interp, results)


def _all(interp: Interpreter, results: list[Value]) -> Value:
    truths = [interp.truth(value) for value in results]
    if False in truths:
        return Const(value=False)
    return UNKNOWN if None in truths else Const(value=True)


def _compare_two(interp: Interpreter, frame: Frame, op: str, left: Value, right: Value, site: Site) -> Value:
    if op in ("is", "is not") or (op in ("==", "!=") and _is_none(right)):
        return _identity(left, right, negated=op in ("is not", "!="))
    if isinstance(left, Const) and isinstance(right, Const):
        return _fold_comparison(op, left.value, right.value)
    if op in ("in", "not in"):
        return _membership(interp, left, right, negated=op == "not in")
    if isinstance(left, (Instance, Function)) or (_is_scalar(left) and _is_scalar(right)):
        return Unknown(origin="bool", owner=TupleVal((left, right)), name=op)
    if _may_be_tensor(left) and _may_be_tensor(right) and (_is_tensor(left) or _is_tensor(right)):
        args = {"input": left, "other": right}
        return apply_op(interp, frame, interp.contracts.ops[_OPS[op]], args, site, certain=False)
    if (
        op in _OPS
        and _may_be_tensor(left)
        and _may_be_tensor(right)
        and not _is_text(left)
        and not _is_text(right)
    ):
        args = {"input": left, "other": right}
        return apply_op(interp, frame, interp.contracts.ops[_OPS[op]], args, site, certain=False)
    is_worded = _is_text(left) or _is_text(right)
    return Unknown(origin="bool", owner=TupleVal((left, right)), name=op) if is_worded else UNKNOWN


def _is_tensor(value: Value) -> bool:
    return any(isinstance(one, Tensor) for one in alternatives(value))


def _is_text(value: Value) -> bool:
    return isinstance(constant(value), str)


def _is_none(value: Value) -> bool:
    return isinstance(value, Const) and value.value is None


def _identity(left: Value, right: Value, *, negated: bool) -> Value:
    if not _is_none(right):
        known = isinstance(left, Const) and isinstance(right, Const)
        return Const((constant(left) is constant(right)) != negated) if known else UNKNOWN
    verdicts = {None if isinstance(one, Unknown) else _is_none(one) for one in alternatives(left)}
    if len(verdicts) == 1 and None not in verdicts:
        return Const(verdicts.pop() is not negated)
    return UNKNOWN


def _fold_comparison(op: str, left: object, right: object) -> Value:
    function = _COMPARISONS.get(op)
    if function is None:
        if isinstance(left, str) and isinstance(right, str):
            return Const((left in right) == (op == "in"))
        return UNKNOWN
    try:
        return Const(bool(function(left, right)))
    except TypeError:
        return UNKNOWN


def _membership(interp: Interpreter, left: Value, right: Value, *, negated: bool) -> Value:
    wanted = constant(left)
    if wanted is NotImplemented:
        return UNKNOWN
    if isinstance(right, DictVal) and right.rest is None:
        return Const((wanted in right.entries) != negated) if _hashable(wanted) else UNKNOWN
    if isinstance(right, (TupleVal, ListVal)) and right.rest is None:
        options = [constant(item) for item in right.items]
        if NotImplemented not in options:
            return Const((wanted in options) != negated)
    return UNKNOWN


def _hashable(value: object) -> bool:
    return isinstance(value, (str, int, float, bool, type(None), bytes))


def _if_exp(interp: Interpreter, frame: Frame, node: ir.IfExp) -> Value:
    truth = interp.truth(interp.eval(frame, node.test))
    if truth is not None:
        return interp.eval(frame, node.body if truth else node.orelse)
    before = frame.guards
    frame.guards += tested_values(interp, frame, node.test)
    value = join([interp.eval(frame, node.body), interp.eval(frame, node.orelse)])
    frame.guards = before
    return value


# Subscripts ------------------------------------------------------------------------------------------------------


def _slice(interp: Interpreter, frame: Frame, node: ir.Slice) -> Value:
    parts = (node.lower, node.upper, node.step)
    return TupleVal(tuple(NONE if p is None else interp.eval(frame, p) for p in parts), (SLICE,) * 3)


def _subscript(interp: Interpreter, frame: Frame, node: ir.Subscript) -> Value:
    value = interp.eval(frame, node.value)
    index = interp.eval(frame, node.index)
    return interp.heap.latest(get_item(interp, frame, value, index, frame.site(node.id)))


def get_item(interp: Interpreter, frame: Frame, value: Value, index: Value, site: Site) -> Value:
    """``value[index]``."""
    value = interp.force(value)
    if isinstance(value, Union):
        return join(get_item(interp, frame, one, index, site) for one in feasible(value))
    if isinstance(value, Tensor):
        return apply_op(
            interp, frame, interp.contracts.ops["getitem"], {"input": value, "index": index}, site
        )
    if isinstance(value, DictVal):
        found = interp.dict_item(value, index)
        return UNKNOWN if found is None else found
    if isinstance(value, (TupleVal, ListVal)):
        return _sequence_item(interp, value, index)
    if isinstance(value, Instance):
        return _instance_item(interp, frame, value, index, site)
    if isinstance(value, Unknown) and not value.foreign:
        return _unknown_item(value, index, site)
    if isinstance(value, Unknown):
        return arrays.item(value, index)
    return value if isinstance(value, External) else UNKNOWN


def _unknown_item(value: Unknown, index: Value, site: Site) -> Value:
    """A part of an unknown value: one of the lengths of a shape, an element, or unknown as well."""
    place = integer(index)
    if place is not None and value.origin == "size" and value.of is not None:
        return size_of(value.of, place, site)
    return value.item(index)


def _sequence_item(interp: Interpreter, value: TupleVal | ListVal, index: Value) -> Value:
    place = integer(index)
    items = value.items
    is_plain = value.rest is None and not any(ABSENT in alternatives(item) for item in items)
    if place is not None and is_plain and -len(items) <= place < len(items):
        return items[place]
    if place is not None and 0 <= place < len(items) and isinstance(value, TupleVal):
        return items[place]
    part = _slice_of(index, len(items)) if is_plain else None
    if part is not None:
        return _same_type(value)(list(items[part]), None)
    whole = (
        join([*items, *([value.rest] if value.rest is not None else [])]) if items or value.rest else UNKNOWN
    )
    if isinstance(index, TupleVal) and index.names == (SLICE,) * 3:
        return _same_type(value)([], whole)
    return whole


def _slice_of(index: Value, length: int) -> slice | None:
    if not (isinstance(index, TupleVal) and index.names == (SLICE,) * 3):
        return None
    parts = [constant(part) for part in index.items]
    if not all(part is None or isinstance(part, int) for part in parts) or length > 256 or parts[2] == 0:
        return None
    return slice(*parts)


def _instance_item(interp: Interpreter, frame: Frame, value: Instance, index: Value, site: Site) -> Value:
    own = objects.lookup_class(value.cls, "__getitem__")
    if isinstance(own, Function):
        return calls.run_function(interp, frame, own, Arguments([index]), site, receiver=value)
    key = constant(index)
    if isinstance(key, str):
        return value.attrs.get(key, UNKNOWN)
    if is_integer(index) and datasets.contract_of(interp, value) is not None:
        return datasets.element(interp, value)
    if value.items is None or value.open_items:
        return _field_item(value, index) if value.items is None else UNKNOWN
    place = integer(index)
    plain = not any(ABSENT in alternatives(item) for item in value.items)
    if place is not None and plain and -len(value.items) <= place < len(value.items):
        return value.items[place]
    part = _slice_of(index, len(value.items)) if plain else None
    if part is not None:
        cls = value.cls if isinstance(value.cls, External) else External("torch.nn.Sequential")
        return Instance(cls, value.site, items=value.items[part], container=value.container)
    return UNKNOWN if place is None and part is None and not value.items else join(value.items or [UNKNOWN])


def _field_item(value: Instance, index: Value) -> Value:
    """A model output that can be indexed like a tuple of its fields."""
    place = integer(index)
    fields = list(value.attrs.values())
    is_record = not isinstance(value.cls, External) and (
        value.cls.is_dataclass or "NamedTuple" in str(value.cls.externals)
    )
    return (
        fields[place] if is_record and place is not None and -len(fields) <= place < len(fields) else UNKNOWN
    )


# Displays --------------------------------------------------------------------------------------------------------


def _items(interp: Interpreter, frame: Frame, nodes: tuple[ir.Expr, ...]) -> tuple[list[Value], Value | None]:
    items: list[Value] = []
    rest: Value | None = None
    for node in nodes:
        if isinstance(node, ir.Starred):
            more = interp.elements(interp.eval(frame, node.value))
            items += more.items
            if more.rest is not None:
                items.append(more.rest)
        else:
            items.append(interp.eval(frame, node))
    return items, rest


def _tuple(interp: Interpreter, frame: Frame, node: ir.Tuple) -> Value:
    items, rest = _items(interp, frame, node.items)
    return TupleVal(tuple(items), rest=rest)


def _list(interp: Interpreter, frame: Frame, node: ir.List | ir.Set) -> Value:
    items, rest = _items(interp, frame, node.items)
    return ListVal(items, rest)


def _dict(interp: Interpreter, frame: Frame, node: ir.Dict) -> Value:
    out = DictVal({})
    for key_node, value_node in zip(node.keys, node.values, strict=True):
        value = interp.eval(frame, value_node)
        if key_node is None:
            if isinstance(value, DictVal):
                out.entries |= value.entries
                out.rest = value.rest or out.rest
            else:
                out.rest = UNKNOWN
            continue
        key = constant(interp.eval(frame, key_node))
        if key is not NotImplemented and _hashable(key):
            out.entries[key] = value
        else:
            out.rest = join([value, out.rest]) if out.rest is not None else value
    return out


def _comprehension(interp: Interpreter, frame: Frame, node: ir.Comprehension) -> Value:
    inner = Frame(
        frame.module, Scope(parent=frame.scope), frame.function, frame.receiver, frame.contexts, yields=frame.yields,
        guards=frame.guards, autocast=frame.autocast,
    )  # fmt: skip
    pairs, is_open = _generate(interp, inner, node, 0)
    if node.kind == "dict":
        return _dict_of(pairs, is_open=is_open)
    values = [value for _, value in pairs]
    return ListVal([], join(values) if values else UNKNOWN) if is_open else ListVal(values)


def _dict_of(pairs: list[tuple[Value, Value]], *, is_open: bool) -> DictVal:
    out = DictVal({})
    for key, value in pairs:
        plain = constant(key)
        if plain is NotImplemented or not _hashable(plain) or is_open:
            out.rest = value if out.rest is None else join([out.rest, value])
        else:
            out.entries[plain] = value
    return out


def _generate(
    interp: Interpreter, frame: Frame, node: ir.Comprehension, depth: int
) -> tuple[list[tuple[Value, Value]], bool]:
    """The elements that the comprehension yields from generator ``depth`` on, and whether there may be more."""
    if depth == len(node.generators):
        key = NONE if node.key is None else interp.eval(frame, node.key)
        return [(key, interp.eval(frame, node.element))], False
    generator = node.generators[depth]
    more = interp.elements(interp.eval(frame, generator.iter))
    is_open = more.rest is not None or len(more.items) > 32
    values = [interp.any_element(more)] if is_open else more.items
    out: list[tuple[Value, Value]] = []
    for value in values:
        interp.assign(frame, generator.target, value)
        truths = [interp.truth(interp.eval(frame, test)) for test in generator.ifs]
        if False in truths:
            continue
        pairs, inner_open = _generate(interp, frame, node, depth + 1)
        is_open = is_open or inner_open or None in truths
        out += pairs
    return out, is_open


# The rest --------------------------------------------------------------------------------------------------------


def _lambda(interp: Interpreter, frame: Frame, node: ir.Lambda) -> Value:
    return interp.make_function(frame, "<lambda>", node)


def _joined(interp: Interpreter, frame: Frame, node: ir.JoinedStr) -> Value:
    for value in node.values:
        interp.eval(frame, value)
    return Unknown(origin="str")


def _starred(interp: Interpreter, frame: Frame, node: ir.Starred) -> Value:
    interp.eval(frame, node.value)
    return UNKNOWN


def _await(interp: Interpreter, frame: Frame, node: ir.Await) -> Value:
    return interp.eval(frame, node.value)


def _yield(interp: Interpreter, frame: Frame, node: ir.Yield) -> Value:
    if node.value is not None:
        value = interp.eval(frame, node.value)
        frame.yields.append(interp.any_element(interp.elements(value)) if node.source else value)
    return UNKNOWN


def _named(interp: Interpreter, frame: Frame, node: ir.NamedExpr) -> Value:
    value = interp.eval(frame, node.value)
    interp.assign(frame, node.target, value)
    return value


def _opaque(interp: Interpreter, frame: Frame, node: ir.Opaque) -> Value:
    for part in node.parts:
        interp.eval(frame, part)
    return UNKNOWN


EXPRESSIONS: dict[type[ir.Node], Callable[[Interpreter, Frame, Any], Value]] = {
    ir.Name: _name, ir.Attribute: _attribute, ir.Constant: _constant, ir.Call: _call, ir.BinOp: _binop,
    ir.UnaryOp: _unary, ir.BoolOp: _boolop, ir.Compare: _compare, ir.IfExp: _if_exp, ir.Slice: _slice,
    ir.Subscript: _subscript, ir.Tuple: _tuple, ir.List: _list, ir.Set: _list, ir.Dict: _dict,
    ir.Comprehension: _comprehension, ir.Lambda: _lambda, ir.JoinedStr: _joined, ir.Starred: _starred,
    ir.Await: _await, ir.Yield: _yield, ir.NamedExpr: _named, ir.Opaque: _opaque,
}  # fmt: skip
