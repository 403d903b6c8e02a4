"""Methods that are not defined in the project: of tensors, modules, lists, dicts and strings."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from lossaudit.check.contracts import LossClass
from lossaudit.check.contracts.schema import Op, Pairing
from lossaudit.check.events import BaseInit, ExternalCall
from lossaudit.check.infer import acts, calls, functional, objects
from lossaudit.check.infer.frame import Arguments, Frame
from lossaudit.check.infer.mutation import note_mutation
from lossaudit.check.infer.ops import apply_op, back_propagate, bind
from lossaudit.check.values import (
    NONE,
    PARAMETERS,
    SETTINGS,
    UNKNOWN,
    ClassVal,
    Const,
    DictVal,
    External,
    ExternalMethod,
    Function,
    Instance,
    ListVal,
    Site,
    Super,
    Tensor,
    TupleVal,
    Unknown,
    Value,
    constant,
    integer,
    join,
)

if TYPE_CHECKING:
    from lossaudit.check.contracts import Contracts
    from lossaudit.check.infer.engine import Interpreter


def call_method(
    interp: Interpreter, frame: Frame, method: ExternalMethod, arguments: Arguments, site: Site
) -> Value:
    """Call ``method.receiver.method.name(...)``."""
    receiver, name = method.receiver, method.name
    if isinstance(receiver, Super):
        return _super_method(interp, frame, receiver, name, arguments, site)
    if isinstance(receiver, Instance):
        return _instance_method(interp, frame, receiver, name, arguments, site)
    if isinstance(receiver, ClassVal) and objects.builds_record(interp, receiver, name):
        return objects.record(receiver, arguments, site)
    if isinstance(receiver, ClassVal):  # a class method that builds an object, with arguments of its own
        unknown = Arguments(open_from=0, open_keywords=True)
        return objects.instantiate(interp, frame, receiver, unknown, site)
    if isinstance(receiver, (Tensor, Unknown)):
        return _tensor_method(interp, frame, receiver, name, arguments, site)
    if isinstance(receiver, ListVal):
        if name in acts.APPENDING and arguments.positional:
            acts.collected(interp, frame, receiver, arguments.positional[0], site)
        return _list_method(interp, receiver, name, arguments)
    if isinstance(receiver, DictVal):
        return _dict_method(interp, receiver, name, arguments)
    return _text_method(receiver, name, arguments)


# Tensors ---------------------------------------------------------------------------------------------------------


def find_op(contracts: Contracts, name: str) -> tuple[Op | None, bool]:
    """The operation that a tensor method is, and whether it works in place."""
    op = contracts.methods.get(name)
    if op is not None:
        return op, False
    if name.endswith("_") and not name.endswith("__"):
        return contracts.methods.get(name[:-1]), True
    return None, False


def _tensor_method(
    interp: Interpreter, frame: Frame, receiver: Tensor | Unknown, name: str, arguments: Arguments, site: Site
) -> Value:
    if isinstance(receiver, Unknown) and (receiver.foreign or name in interp.project_methods):
        if name == "backward":
            acts.opaque(interp, site)
        return receiver.unshaped() if receiver.foreign else UNKNOWN
    op, is_inplace = find_op(interp.contracts, name)
    if op is None:
        return UNKNOWN
    shift = None if arguments.open_from is None else arguments.open_from + 1
    full = Arguments([receiver, *arguments.positional], arguments.keywords, shift, arguments.open_keywords)
    args = bind(op.signature, full)
    proves = name in interp.contracts.own_methods or bool({"dim", "keepdim"} & arguments.keywords.keys())
    certain = (isinstance(receiver, Tensor) and receiver.certain) or proves
    value = apply_op(interp, frame, op, args, site, certain=certain)
    if is_inplace and not op.detaches:
        note_mutation(frame, receiver, value, site, f".{name}()")
    if op.name == "requires_grad_" and constant(args.get("requires_grad")) is True:
        interp.force_gradient(receiver, site)
    if is_inplace and isinstance(receiver, Tensor) and isinstance(value, Tensor):
        return interp.mutate(receiver, value)
    return value


# Modules ---------------------------------------------------------------------------------------------------------


def _super_method(
    interp: Interpreter, frame: Frame, receiver: Super, name: str, arguments: Arguments, site: Site
) -> Value:
    target = receiver.receiver
    if not isinstance(target, Instance):
        return UNKNOWN
    if name == "__init__":
        objects.construct_external(interp, target, arguments)
        values = tuple(arguments.positional)
        interp.emit(
            BaseInit,
            lambda: BaseInit(
                site, frame.contexts, target, _next_external(receiver), values, arguments.keywords
            ),
        )
        return NONE
    if name in ("forward", "__call__"):
        return calls.apply_entry(interp, frame, target, arguments, site)
    return _instance_method(interp, frame, target, name, arguments, site)


def _next_external(receiver: Super) -> str:
    """The external class at which ``super()`` arrives."""
    target = receiver.receiver
    cls = target.cls if isinstance(target, Instance) else target
    mro = cls.mro if isinstance(cls, ClassVal) else ()
    after = mro[mro.index(receiver.after) + 1 :] if receiver.after in mro else ()
    return next((base.name for base in after if isinstance(base, External)), "")


def _instance_method(
    interp: Interpreter, frame: Frame, receiver: Instance, name: str, arguments: Arguments, site: Site
) -> Value:
    handler = _MODULE_METHODS.get(name)
    names = receiver.bases
    runner = interp.contracts.runner_of(names, name)
    if runner is not None:
        return functional.apply_module(interp, frame, runner, receiver, arguments, site)
    if any(f"{base}.{name}" in interp.contracts.keepers for base in names):
        return receiver
    if objects.is_module_instance(interp, receiver):
        if name in interp.contracts.transparent_methods:
            return receiver
        if handler is not None:
            return handler(interp, receiver, arguments)
        if name in ("forward", "__call__"):
            return calls.apply_entry(interp, frame, receiver, arguments, site)
    if any(f"{base}.{name}" in interp.contracts.preparers for base in names):
        return calls.prepared(arguments)
    pairing = next(
        (found for base in names if (found := interp.contracts.pairings.get(f"{base}.{name}"))), None
    )
    if pairing is not None:
        pair(interp, frame, receiver, pairing, arguments, site)
        return NONE
    dotted = f"{names[0] if names else receiver.class_name}.{name}"
    interp.emit(
        ExternalCall,
        lambda: ExternalCall(
            site, frame.contexts, dotted, receiver, tuple(arguments.positional), arguments.keywords
        ),
    )
    if name in ("backward", "manual_backward") and arguments.positional:
        back_propagate(interp, frame, arguments.positional[0], site, through=receiver)
    else:
        acts.external_call(interp, dotted, receiver, arguments, site)
    parts = interp.contracts.results.get(dotted)
    if parts is not None:
        return TupleVal(tuple(Unknown(origin=part) for part in parts))
    return Unknown(origin=SETTINGS) if dotted == "argparse.ArgumentParser.parse_args" else UNKNOWN


def pair(
    interp: Interpreter, frame: Frame, model: Instance, pairing: Pairing, arguments: Arguments, site: Site
) -> None:
    """A model meets its loss: what it yields goes into what the argument names."""
    criterion = bind(pairing.signature, arguments).get(pairing.argument, NONE)
    trains_itself = any(objects.lookup_class(model.cls, method) is not None for method in pairing.unless)
    if constant(criterion) is None or isinstance(criterion, Unknown) or trains_itself:
        return
    output = interp.call(frame, model, Arguments([UNKNOWN]), site)
    for one, prediction in _pairs(interp.force(criterion), output):
        callee = interp.force(one)
        name = constant(callee)
        if isinstance(name, str):
            callee = External(interp.contracts.canonical(pairing.names + name))
        if isinstance(callee, External) and isinstance(interp.contracts.entries.get(callee.name), LossClass):
            callee = interp.call(frame, callee, Arguments(), site)
        interp.call(frame, callee, Arguments([UNKNOWN, prediction]), site)


def _pairs(criterion: Value, output: Value) -> list[tuple[Value, Value]]:
    """Which loss reads which output; nothing where that is not plain."""
    criterion, output = _sole_item(criterion), _sole_item(output)
    if isinstance(criterion, (ListVal, TupleVal)) and isinstance(output, (ListVal, TupleVal)):
        plain = criterion.rest is None and output.rest is None and len(criterion.items) == len(output.items)
        return list(zip(criterion.items, output.items, strict=True)) if plain else []
    if isinstance(criterion, DictVal) and isinstance(output, DictVal):
        shared = [key for key in criterion.entries if key in output.entries]
        return [(criterion.entries[key], output.entries[key]) for key in shared]
    several = isinstance(criterion, (ListVal, TupleVal, DictVal)) or isinstance(
        output, (ListVal, TupleVal, DictVal)
    )
    return [] if several else [(criterion, output)]


def _sole_item(value: Value) -> Value:
    is_one = isinstance(value, (ListVal, TupleVal)) and len(value.items) == 1 and value.rest is None
    return value.items[0] if is_one else value  # type: ignore[attr-defined]


def _train(interp: Interpreter, receiver: Instance, arguments: Arguments) -> Value:
    mode = (
        arguments.positional[0] if arguments.positional else arguments.keywords.get("mode", Const(value=True))
    )
    objects.set_training(interp, receiver, mode)
    return receiver


def _eval(interp: Interpreter, receiver: Instance, arguments: Arguments) -> Value:
    objects.set_training(interp, receiver, Const(value=False))
    return receiver


def _add_member(interp: Interpreter, receiver: Instance, arguments: Arguments) -> Value:
    """``add_module``, ``register_buffer``, ``register_parameter``: an attribute under a given name."""
    values = [*arguments.positional, *arguments.keywords.values()]
    name = constant(values[0]) if values else None
    if not isinstance(name, str) or len(values) < 2:
        return NONE
    interp.heap.set(receiver.attrs, name, values[1])
    if receiver.items is not None and isinstance(values[1], (Instance, Function)):
        interp.heap.assign(receiver.items, [*receiver.items, values[1]])
    return NONE


def _append(interp: Interpreter, receiver: Instance, arguments: Arguments) -> Value:
    items = receiver.items
    if items is not None and arguments.positional:
        interp.heap.set(receiver.attrs, str(len(items)), arguments.positional[0])
        interp.heap.assign(items, [*items, arguments.positional[0]])
    return receiver


def _extend(interp: Interpreter, receiver: Instance, arguments: Arguments) -> Value:
    if receiver.items is not None and arguments.positional:
        more = interp.elements(arguments.positional[0])
        interp.heap.assign(receiver.items, [*receiver.items, *more.items])
        if more.rest is not None:
            interp.heap.set_field(receiver, "open_items", value=True)
    return receiver


def _pop_module(interp: Interpreter, receiver: Instance, arguments: Arguments) -> Value:
    """``Sequential.pop()`` takes the last layer away; from another place it is not followed."""
    if not receiver.items:
        return UNKNOWN
    if arguments.all_values():
        interp.heap.set_field(receiver, "open_items", value=True)
        return UNKNOWN
    interp.heap.assign(receiver.items, receiver.items[:-1])
    return UNKNOWN


def _insert(interp: Interpreter, receiver: Instance, arguments: Arguments) -> Value:
    place = integer(arguments.positional[0]) if len(arguments.positional) == 2 else None
    if receiver.items is not None and place is not None:
        items = list(receiver.items)
        items.insert(place, arguments.positional[1])
        interp.heap.assign(receiver.items, items)
    return receiver


def _children(interp: Interpreter, receiver: Instance, arguments: Arguments) -> Value:
    if receiver.items is not None and not receiver.open_items:
        return ListVal(list(receiver.items))
    modules: list[Value] = [
        v
        for v in receiver.attrs.values()
        if isinstance(v, Instance) and objects.is_module_instance(interp, v)
    ]
    return ListVal(modules) if modules else ListVal([], rest=UNKNOWN)


def _values(interp: Interpreter, receiver: Instance, arguments: Arguments) -> Value:
    if receiver.items is None:
        return UNKNOWN
    return ListVal(list(receiver.items), rest=UNKNOWN if receiver.open_items else None)


def _parameters(interp: Interpreter, receiver: Instance, arguments: Arguments) -> Value:
    """What a module trains: nothing is known of it but whose it is."""
    return Unknown(owner=receiver, name=PARAMETERS)


_MODULE_METHODS: dict[str, Callable[[Interpreter, Instance, Arguments], Value]] = {
    "train": _train, "eval": _eval, "add_module": _add_member, "register_module": _add_member,
    "register_buffer": _add_member, "register_parameter": _add_member, "append": _append, "add": _append, "extend": _extend,
    "insert": _insert, "pop": _pop_module, "add_sublayer": _add_member, "children": _children, "values": _values, "parameters": _parameters,
}  # fmt: skip


# Builtin containers ----------------------------------------------------------------------------------------------


def _list_method(interp: Interpreter, receiver: ListVal, name: str, arguments: Arguments) -> Value:
    values = arguments.positional
    if name in ("append", "add", "appendleft") and values:
        interp.heap.assign(receiver.items, [*receiver.items, values[0]])
    elif name in ("extend", "update") and values:
        more = interp.elements(values[0])
        interp.extend(receiver, more)
    elif name == "insert" and len(values) == 2:
        _insert_item(interp, receiver, values[0], values[1])
    elif name == "pop":
        return _pop(interp, receiver, values)
    elif name == "copy":
        return ListVal(list(receiver.items), receiver.rest)
    elif name in ("clear", "reverse", "sort", "remove"):
        interp.heap.assign(receiver.items, [] if name == "clear" else receiver.items)
        interp.heap.set_field(receiver, "rest", None if name == "clear" else join([*receiver.items, UNKNOWN]))
    else:
        return UNKNOWN
    return NONE


def _insert_item(interp: Interpreter, receiver: ListVal, place: Value, value: Value) -> None:
    at = integer(place)
    items = list(receiver.items)
    items.insert(0 if at is None else at, value)
    interp.heap.assign(receiver.items, items)


def _pop(interp: Interpreter, receiver: ListVal, values: list[Value]) -> Value:
    place = integer(values[0]) if values else -1
    items = list(receiver.items)
    if place is None or not -len(items) <= place < len(items) or receiver.rest is not None:
        return join([*items, receiver.rest or UNKNOWN])
    value = items.pop(place)
    interp.heap.assign(receiver.items, items)
    return value


def _dict_method(interp: Interpreter, receiver: DictVal, name: str, arguments: Arguments) -> Value:
    values = arguments.positional
    if name in ("values", "items", "copy"):
        interp.opened(receiver)
    if name in ("get", "pop", "setdefault") and values:
        default = values[1] if len(values) > 1 else NONE
        return _lookup(interp, receiver, values[0], default, stores=name == "setdefault")
    if name == "update":
        _update(interp, receiver, arguments)
        return NONE
    rest = None if receiver.rest is None else receiver.rest
    if name == "values":
        return ListVal(list(receiver.entries.values()), rest)
    if name == "keys":
        return ListVal([Const(key) for key in receiver.entries], None if rest is None else UNKNOWN)
    if name == "items":
        pairs: list[Value] = [TupleVal((Const(key), value)) for key, value in receiver.entries.items()]
        return ListVal(pairs, None if rest is None else TupleVal((UNKNOWN, rest)))
    return DictVal(dict(receiver.entries), rest) if name == "copy" else UNKNOWN


def _lookup(interp: Interpreter, receiver: DictVal, key: Value, default: Value, *, stores: bool) -> Value:
    found = interp.dict_item(receiver, key)
    wanted = constant(key)
    if found is None or isinstance(found, Unknown):
        if wanted is not NotImplemented and receiver.rest is None:
            if stores:
                interp.heap.set(receiver.entries, wanted, default)
            return default
        return UNKNOWN
    return found if wanted is not NotImplemented and receiver.rest is None else join([found, default])


def _update(interp: Interpreter, receiver: DictVal, arguments: Arguments) -> None:
    for key, value in arguments.keywords.items():
        interp.heap.set(receiver.entries, key, value)
    for other in arguments.positional:
        if isinstance(other, DictVal):
            for name, value in other.entries.items():
                interp.heap.set(receiver.entries, name, value)
            if other.rest is not None:
                interp.heap.set_field(receiver, "rest", other.rest)
        else:
            interp.heap.set_field(receiver, "rest", UNKNOWN)


_TEXT_METHODS = frozenset(
    {"lower", "upper", "strip", "startswith", "endswith", "replace", "title", "capitalize"}
)


def _text_method(receiver: Value, name: str, arguments: Arguments) -> Value:
    text = constant(receiver)
    plain = [constant(value) for value in arguments.positional]
    if not isinstance(text, str) or name not in _TEXT_METHODS or arguments.keywords:
        return UNKNOWN
    if not all(isinstance(value, str) for value in plain) or arguments.is_open:
        return UNKNOWN
    try:
        return Const(getattr(text, name)(*plain))
    except TypeError:
        return UNKNOWN
