"""Attributes, classes and instances."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from lossaudit.check import ir
from lossaudit.check.contracts import LayerClass, LossClass
from lossaudit.check.events import AttrAssign, Construct
from lossaudit.check.infer import acts, arrays, calls
from lossaudit.check.infer.frame import Arguments, Frame
from lossaudit.check.infer.heap import Scope
from lossaudit.check.infer.ops import apply_op, bind, shape_value
from lossaudit.check.once import Once
from lossaudit.check.values import (
    SETTINGS,
    UNKNOWN,
    BoundMethod,
    ClassVal,
    Const,
    DictVal,
    External,
    ExternalMethod,
    Function,
    Instance,
    ListVal,
    ModuleVal,
    Site,
    Step,
    Super,
    Tensor,
    TupleVal,
    Union,
    Unknown,
    Value,
    alternatives,
    constant,
    feasible,
    join,
    same,
)

if TYPE_CHECKING:
    from lossaudit.check.infer.engine import Interpreter

TRAINING = "training"
HOLDERS = ("sequential", "list", "dict")
"""Containers that hold their modules as items."""


def get_attribute(interp: Interpreter, frame: Frame, value: Value, name: str, site: Site) -> Value:
    """``value.name``."""
    value = interp.force(value)
    acts.attribute(interp, name, site)
    if isinstance(value, Union):
        return join(get_attribute(interp, frame, one, name, site) for one in feasible(value))
    if isinstance(value, ModuleVal):
        return interp.module_attribute(value.module, name)
    if isinstance(value, External):
        return interp.external(f"{value.name}.{name}")
    if isinstance(value, Instance):
        return _instance_attribute(interp, frame, value, name, site)
    if isinstance(value, Tensor):
        return _tensor_attribute(interp, frame, value, name, site)
    if isinstance(value, ClassVal):
        return _class_attribute(interp, value, name)
    if isinstance(value, Super):
        return _super_attribute(interp, frame, value, name)
    return _plain_attribute(interp, frame, value, name, site)


def _plain_attribute(interp: Interpreter, frame: Frame, value: Value, name: str, site: Site) -> Value:
    """An attribute of a value that is neither an object of the project nor a tensor."""
    if isinstance(value, TupleVal) and name in value.names:
        return value.items[value.names.index(name)]
    if _is_placeholder(value):
        value = UNKNOWN  # None has no attributes: it has been filled since
    if isinstance(value, Unknown):
        return _unknown_attribute(interp, frame, value, name, site)
    if isinstance(value, Const) and name == "value":
        return value  # of a member of an enumeration: a plain constant has no such attribute
    if isinstance(value, (Const, ListVal, DictVal, TupleVal)):
        return ExternalMethod(value, name)
    return UNKNOWN


def _unknown_attribute(interp: Interpreter, frame: Frame, value: Unknown, name: str, site: Site) -> Value:
    if value.foreign:
        return arrays.attribute(value, name, site)
    if value.origin == SETTINGS:
        return Unknown(
            parameter=value.parameter, owner=value, name=name, site=site
        )  # `args.T` transposes nothing
    if name in ("device", "pad_token_id"):
        return Unknown(origin=name)
    if name == "shape":
        return Unknown(origin="size", of=None if value is UNKNOWN else value)
    if name in interp.contracts.attributes and name not in interp.project_methods and name != "data":
        op = interp.contracts.attributes[name]
        return apply_op(interp, frame, op, {"input": value}, site, certain=False)
    is_method = name in interp.contracts.methods or name.removesuffix("_") in interp.contracts.methods
    if is_method:
        return ExternalMethod(value, name)
    return Unknown(parameter=value.parameter, owner=value, name=name, site=site)


def _tensor_attribute(interp: Interpreter, frame: Frame, value: Tensor, name: str, site: Site) -> Value:
    if name == "shape":
        return shape_value(value, site)
    if name == "device":
        return Unknown(origin="device")
    op = interp.contracts.attributes.get(name)
    if op is not None:
        return apply_op(interp, frame, op, {"input": value}, site)
    if name == "values" and value.op in ("max", "min"):
        return value
    base = name.removesuffix("_")
    if name in interp.contracts.methods or base in interp.contracts.methods:
        return ExternalMethod(value, name)
    return Unknown(owner=value, name=name, site=site)


# Instances -------------------------------------------------------------------------------------------------------


def _instance_attribute(interp: Interpreter, frame: Frame, value: Instance, name: str, site: Site) -> Value:
    own = value.attrs.get(name)
    if own is not None and not _is_placeholder(own):
        return interp.heap.latest(own)
    found = lookup_class(value.cls, name)
    if found is not None:
        return _bind_member(interp, frame, value, found, site)
    assigned = _run_assigning_methods(interp, value, name)
    if assigned is not None:
        return assigned
    if own is not None:
        return own
    return _external_member(interp, value, name)


def _is_placeholder(value: Value) -> bool:
    """None in ``__init__`` often announces an attribute that another method fills."""
    return isinstance(value, Const) and value.value is None


def _external_member(interp: Interpreter, value: Instance, name: str) -> Value:
    is_module = is_module_instance(interp, value)
    if is_module and name == TRAINING:
        return Const(value=True)
    if is_module and name == "module":
        return value
    if name in value.bound:
        return value.bound[name]
    if isinstance(value.cls, External) or value.cls.externals:
        return ExternalMethod(value, name)
    return UNKNOWN


def _bind_member(interp: Interpreter, frame: Frame, receiver: Value, member: Value, site: Site) -> Value:
    """A member of a class, seen through an instance."""
    if isinstance(member, Union):
        return join(_bind_member(interp, frame, receiver, one, site) for one in alternatives(member))
    member = interp.force(member)
    if not isinstance(member, Function):
        return member
    if member.kind == "property":
        return calls.call_value(interp, frame, BoundMethod(member, receiver), Arguments(), site)
    if member.kind == "static":
        return member
    if member.kind == "class":
        owner = receiver.cls if isinstance(receiver, Instance) else receiver
        return BoundMethod(member, owner)
    return BoundMethod(member, receiver)


def lookup_class(cls: ClassVal | External, name: str) -> Value | None:
    """The member ``name`` of the first class in resolution order that defines it."""
    if isinstance(cls, External):
        return None
    for base in cls.mro:
        if isinstance(base, ClassVal) and name in base.scope.vars:
            return base.scope.vars[name]
    return None


def _run_assigning_methods(interp: Interpreter, value: Instance, name: str) -> Value | None:
    """An attribute that no constructor set: run, once, the methods that assign it, and join what they leave."""
    if isinstance(value.cls, External) or (id(value), name) in interp.assigning:
        return None
    interp.assigning.add((id(value), name))
    found: list[Value] = []
    for base in value.cls.mro:
        if isinstance(base, ClassVal):
            for method in assigners(base).get(name, ()):
                function = base.scope.vars.get(method)
                if isinstance(function, Function) and method != "__init__":
                    found += _assigned_by(interp, value, function, name)
    if not found:
        return None
    result = join(found)
    interp.heap.set(value.attrs, name, result)
    return result


def _assigned_by(interp: Interpreter, value: Instance, function: Function, name: str) -> list[Value]:
    interp.heap.begin()
    try:
        with interp.silent():
            interp.run_root_function(function, receiver=value)
        left = value.attrs.get(name)
    finally:
        interp.heap.retreat()
    return [] if left is None or _is_placeholder(left) else [left]


def assigners(cls: ClassVal) -> dict[str, tuple[str, ...]]:
    """Attribute -> the methods of the class that assign it on their first parameter."""
    return _assigners(cls.node)


@Once
def _assigners(node: ir.ClassDef) -> dict[str, tuple[str, ...]]:
    out: dict[str, tuple[str, ...]] = {}
    for method in node.body:
        if not isinstance(method, ir.FunctionDef) or not method.params:
            continue
        me = method.params[0].name
        for statement in ir.statements(method.body):
            for target in assigned_in(statement):
                if (
                    isinstance(target, ir.Attribute)
                    and isinstance(target.value, ir.Name)
                    and target.value.name == me
                ):
                    names = out.get(target.attr, ())
                    out[target.attr] = names if method.name in names else (*names, method.name)
    return out


def assigned_in(statement: ir.Node) -> tuple[ir.Expr, ...]:
    """The targets of an assignment."""
    if isinstance(statement, ir.Assign):
        return statement.targets
    if isinstance(statement, (ir.AugAssign, ir.AnnAssign)):
        return (statement.target,)
    return ()


def is_module_instance(interp: Interpreter, value: Instance) -> bool:
    """Whether the object is a module of a framework."""
    return any(interp.contracts.is_module_class(name) for name in value.bases)


def _make_leaf(interp: Interpreter, frame: Frame, tensor: Tensor, flag: Value, site: Site) -> None:
    """``tensor.requires_grad = True``: from now on a gradient ends here."""
    op = interp.contracts.ops["requires_grad_"]
    leaf = apply_op(interp, frame, op, {"input": tensor, "requires_grad": flag}, site)
    if isinstance(leaf, Tensor):
        interp.mutate(tensor, leaf)


def set_attribute(
    interp: Interpreter, frame: Frame, target: Value, name: str, value: Value, site: Site
) -> None:
    """``target.name = value``."""
    if name == "requires_grad" and constant(value) is True:
        interp.force_gradient(target, site)
    for one in alternatives(target):
        before: Value | None = None
        if isinstance(one, Instance):
            setter = lookup_class(one.cls, name)
            if isinstance(setter, Function) and setter.kind == "property":
                _run_setter(interp, frame, one, name, value, site)
            else:
                before = one.attrs.get(name)
                store = _travelled(interp, value, one, name, site)
                if one is not frame.receiver and isinstance(before, Const):
                    interp.unsettled.append((one.attrs, name))
                interp.heap.set(
                    one.attrs, name, store if target is one else join([store, one.attrs.get(name, store)])
                )
                interp.note_write(one)
            _emit_assignment(interp, frame, one, name, value, site, before)
        elif isinstance(one, Tensor):
            _emit_assignment(interp, frame, one, name, value, site)
            if name == "requires_grad" and constant(value) is True:
                _make_leaf(interp, frame, one, value, site)
        elif isinstance(one, ClassVal):
            interp.heap.set(one.scope.vars, name, value)
        elif isinstance(one, Unknown):
            _emit_assignment(interp, frame, one, name, value, site)


def _emit_assignment(
    interp: Interpreter,
    frame: Frame,
    target: Instance | Tensor | Unknown,
    name: str,
    value: Value,
    site: Site,
    before: Value | None = None,
) -> None:
    receiver = frame.receiver
    given = (*frame.parameters, *(receiver.given if isinstance(receiver, Instance) else ()))
    is_given = target is not receiver and any(target is one for one in given)
    handed_in = is_given or (isinstance(target, Unknown) and bool(target.argument))
    if isinstance(target, Unknown) and not handed_in:
        return
    interp.emit(
        AttrAssign,
        lambda: AttrAssign(
            site, frame.contexts, target, name, value, frame.function, handed_in, before, interp.forward_since
        ),
    )


def _run_setter(
    interp: Interpreter, frame: Frame, target: Instance, name: str, value: Value, site: Site
) -> None:
    setter = lookup_class(target.cls, f"{name}.setter")
    if isinstance(setter, Function):
        calls.call_value(interp, frame, BoundMethod(setter, target), Arguments([value]), site)


def _travelled(interp: Interpreter, value: Value, owner: Instance, name: str, site: Site) -> Value:
    is_built = any(one is owner for one in interp.building)
    if isinstance(value, Tensor) and is_built and is_module_instance(interp, owner):
        value = replace(value, stored=site)
    if isinstance(value, Tensor) and value.kind.value != "unknown":
        return value.moved(Step(site, f"stored as `{owner.class_name}.{name}`"))
    return value


# Classes ---------------------------------------------------------------------------------------------------------


def _class_attribute(interp: Interpreter, value: ClassVal, name: str) -> Value:
    found = lookup_class(value, name)
    if found is None:
        if name in interp.contracts.builders and any(
            interp.contracts.is_module_class(base) for base in value.externals
        ):
            return ExternalMethod(value, name)
        if builds_record(interp, value, name):
            return ExternalMethod(value, name)
        return Const(value.name) if name in ("__name__", "__qualname__") else UNKNOWN
    found = interp.force(found)
    if isinstance(found, Function) and found.kind == "class":
        return BoundMethod(found, value)
    return found


def builds_record(interp: Interpreter, cls: ClassVal, method: str) -> bool:
    """Whether the class inherits a method that builds an object with the keywords of the call as its attributes."""
    return any(f"{base}.{method}" in interp.contracts.record_builders for base in cls.externals)


def record(cls: ClassVal, arguments: Arguments, site: Site) -> Instance:
    """The object that such a method builds."""
    return Instance(cls, site, bound=dict(arguments.keywords))


def _super_attribute(interp: Interpreter, frame: Frame, value: Super, name: str) -> Value:
    receiver = value.receiver
    cls = receiver.cls if isinstance(receiver, Instance) else receiver
    if not isinstance(cls, ClassVal):
        return UNKNOWN
    after = cls.mro[cls.mro.index(value.after) + 1 :] if value.after in cls.mro else ()
    for base in after:
        if isinstance(base, ClassVal):
            member = base.scope.vars.get(name)
            if isinstance(member, Function) and member.kind == "function":
                return BoundMethod(member, receiver)
            if member is not None:
                return _bind_member(interp, frame, receiver, member, Site("", 0))
        elif name != "__init__" or base.name != "builtins.object":
            return ExternalMethod(value, name)
    return ExternalMethod(value, name)


def linearise(bases: list[Value]) -> tuple[ClassVal | External, ...]:
    """The resolution order after the class itself: C3 where the bases allow it, else depth first."""
    known = [base for base in bases if isinstance(base, (ClassVal, External))]
    sequences: list[list[ClassVal | External]] = [
        list(base.mro) if isinstance(base, ClassVal) else [base] for base in known
    ]
    out: list[ClassVal | External] = []
    while sequences := [sequence for sequence in sequences if sequence]:
        head = next(
            (s[0] for s in sequences if not any(_holds(o[1:], s[0]) for o in sequences)), sequences[0][0]
        )
        out.append(head)
        sequences = [[item for item in sequence if not _equal(item, head)] for sequence in sequences]
    return tuple(out)


def _equal(left: ClassVal | External, right: ClassVal | External) -> bool:
    if isinstance(left, External) and isinstance(right, External):
        return left.name == right.name
    return left is right


def _holds(items: list[ClassVal | External], wanted: ClassVal | External) -> bool:
    return any(_equal(item, wanted) for item in items)


def define_class(interp: Interpreter, frame: Frame, node: ir.ClassDef) -> ClassVal:
    """Run a class body and make the class."""
    plain = [arg for arg in node.bases if not arg.keyword and not arg.star]
    bases = [interp.force(interp.eval(frame, arg.value)) for arg in plain]
    scope = Scope(parent=frame.scope, is_class=True)
    cls = ClassVal(node.name, node, frame.module, scope)
    cls.mro = (cls, *linearise([one for base in bases for one in alternatives(base)[:1]]))
    cls.is_dataclass = any(_is_dataclass(interp, frame, one) for one in node.decorators)
    body = Frame(frame.module, scope, frame.function, frame.receiver, frame.contexts)
    interp.class_stack.append(cls)
    interp.exec_block(body, node.body)
    interp.class_stack.pop()
    return cls


def _is_dataclass(interp: Interpreter, frame: Frame, decorator: ir.Expr) -> bool:
    target = decorator.func if isinstance(decorator, ir.Call) else decorator
    value = interp.eval(frame, target)
    return isinstance(value, External) and value.name in ("dataclasses.dataclass", "attr.s", "attrs.define")


def annotated_fields(cls: ClassVal) -> list[tuple[str, Value | None]]:
    """The fields that a dataclass or a typed named tuple takes, base classes first, with their defaults."""
    out: dict[str, Value | None] = {}
    for base in reversed(cls.mro):
        if isinstance(base, ClassVal):
            for statement in base.node.body:
                if isinstance(statement, ir.AnnAssign) and isinstance(statement.target, ir.Name):
                    name = statement.target.name
                    if _is_made_later(statement.value):
                        out.pop(name, None)
                    else:
                        out[name] = base.scope.vars.get(name)
    return list(out.items())


def _is_made_later(default: ir.Expr | None) -> bool:
    """``field(init=False)``: the constructor does not take it, ``__post_init__`` sets it."""
    if not isinstance(default, ir.Call):
        return False
    settings = (one.value for one in default.args if one.keyword == "init")
    return any(isinstance(one, ir.Constant) and one.value is False for one in settings)


def instantiate(interp: Interpreter, frame: Frame, cls: ClassVal, arguments: Arguments, site: Site) -> Value:
    """Call a class of the project."""
    if any(base in ENUMERATIONS for base in cls.externals):
        return _member(cls, arguments)
    instance = Instance(cls, site)
    interp.heap.born(instance, instance.attrs)
    for base in cls.externals:
        if interp.contracts.is_module_class(base):
            instance.entry = interp.contracts.entries.get(base)
            instance.container = interp.contracts.containers.get(base, "")
            instance.items = [] if instance.container in HOLDERS else None
            break
    instance.given = tuple(arguments.all_values())
    constructor = _constructor(interp, cls)
    if isinstance(constructor, Function):
        interp.building.append(instance)
        try:
            calls.call_value(interp, frame, BoundMethod(constructor, instance), arguments, site)
        finally:
            interp.building.pop()
    elif isinstance(constructor, ClassVal):
        _fill_fields(interp, instance, constructor, arguments)
        _finish(interp, frame, instance, site)
    else:
        construct_external(interp, instance, arguments)
    if id(instance) in interp.unfinished:
        return UNKNOWN
    instance.initial = dict(instance.attrs)
    interp.note_instance(instance)
    interp.emit(Construct, lambda: Construct(site, frame.contexts, instance))
    return instance


def _constructor(interp: Interpreter, cls: ClassVal) -> Value | None:
    """The ``__init__`` that makes objects of a class, or the record whose fields they take: a subclass inherits either."""
    for base in cls.mro:
        if isinstance(base, ClassVal):
            if "__init__" in base.scope.vars:
                return base.scope.vars["__init__"]
            if base.is_dataclass:
                return base
    return cls if any(base in interp.contracts.record_bases for base in cls.externals) else None


def of_unknown_state(interp: Interpreter, cls: ClassVal, site: Site) -> Instance:
    """An object of which only the class is known: every attribute that its methods assign may hold anything."""
    instance = Instance(cls, site)
    interp.heap.born(instance, instance.attrs)
    for base in cls.mro:
        if isinstance(base, ClassVal):
            instance.attrs.update(dict.fromkeys(assigners(base), UNKNOWN))
    return instance


ENUMERATIONS = frozenset({"enum.Enum", "enum.IntEnum", "enum.StrEnum", "enum.Flag", "enum.IntFlag"})


def _member(cls: ClassVal, arguments: Arguments) -> Value:
    """``Mode("binary")``: a member stands for its value, and is the same however it is looked up."""
    wanted = arguments.positional[0] if arguments.certain_positional() else UNKNOWN
    return next(
        (one for one in cls.scope.vars.values() if isinstance(one, Const) and same(one, wanted)), UNKNOWN
    )


def _fill_fields(interp: Interpreter, instance: Instance, record: ClassVal, arguments: Arguments) -> None:
    fields = annotated_fields(record)
    values = dict(zip((name for name, _ in fields), arguments.certain_positional(), strict=False))
    values |= arguments.keywords
    for name, default in fields:
        value = values.get(name)
        if value is None:
            value = UNKNOWN if arguments.is_open or default is None else default
        interp.heap.set(instance.attrs, name, value)


def _finish(interp: Interpreter, frame: Frame, instance: Instance, site: Site) -> None:
    """Run ``__post_init__``; what fields of the type ``InitVar`` hand to it is not known."""
    function = lookup_class(instance.cls, "__post_init__")
    if isinstance(function, Function):
        arguments = Arguments(open_from=0, open_keywords=True)
        calls.call_value(interp, frame, BoundMethod(function, instance), arguments, site)


def construct_external(interp: Interpreter, instance: Instance, arguments: Arguments) -> None:
    """Run the constructor of the base under contract on ``instance``: bind its arguments, fill a container."""
    entry = instance.entry
    if isinstance(entry, LossClass):
        interp.heap.set_field(instance, "bound", bind(entry.loss.init, arguments))
    elif isinstance(entry, LayerClass):
        interp.heap.set_field(instance, "bound", bind(entry.layer.init, arguments))
    elif (signature := interp.contracts.data_signature(instance.bases)) is not None:
        bound = bind(signature, arguments, with_defaults=arguments.is_open)
        interp.heap.set_field(instance, "bound", bound)
    if instance.container == "graph":
        interp.heap.set_field(instance, "bound", bind("inputs=None, outputs=None, **kwargs", arguments))
    elif instance.container:
        fill_container(interp, instance, arguments)


def fill_container(interp: Interpreter, instance: Instance, arguments: Arguments) -> None:
    """``nn.Sequential(a, b)``, ``nn.Sequential(OrderedDict(...))``, ``nn.ModuleList([a, b])``, ``nn.ModuleDict({...})``."""
    given = arguments.positional or [value for name, value in arguments.keywords.items() if name == "layers"]
    values = [interp.force(value) for value in given]
    names: list[str] = []
    if len(values) == 1 and isinstance(values[0], DictVal):
        entries = values[0]
        names = [str(key) for key in entries.entries]
        interp.heap.set_field(instance, "open_items", entries.rest is not None)
        values = list(entries.entries.values())
    elif len(values) == 1 and (instance.container != "sequential" or isinstance(values[0], ListVal)):
        values, is_open = _container_values(values[0])
        interp.heap.set_field(instance, "open_items", is_open)
    pairs = [named_pair(value) for value in values]
    if any(pairs):
        names = [str(place) if pair is None else pair[0] for place, pair in enumerate(pairs)]
        values = [value if pair is None else pair[1] for value, pair in zip(values, pairs, strict=True)]
    interp.heap.set_field(instance, "items", values)
    for place, value in enumerate(values):
        name = names[place] if place < len(names) else str(place)
        interp.heap.set(instance.attrs, name, value)


def named_pair(value: Value) -> tuple[str, Value] | None:
    """``("name", layer)``, as some frameworks' containers take their members."""
    if not isinstance(value, TupleVal) or len(value.items) != 2:
        return None
    name = constant(value.items[0])
    return (name, value.items[1]) if isinstance(name, str) else None


def _container_values(value: Value) -> tuple[list[Value], bool]:
    if isinstance(value, (ListVal, TupleVal)):
        rest = [] if value.rest is None else [value.rest]
        return [*value.items, *rest], value.rest is not None
    if isinstance(value, Instance) and value.items is not None:
        return list(value.items), value.open_items
    return [UNKNOWN], True


def set_training(interp: Interpreter, value: Instance, mode: Value, seen: set[int] | None = None) -> None:
    """``module.train(mode)``: reaches the submodules too."""
    seen = set() if seen is None else seen
    if id(value) in seen or len(seen) > 500:
        return
    seen.add(id(value))
    interp.heap.set(value.attrs, TRAINING, mode)
    for child in [*value.attrs.values(), *(value.items or [])]:
        for one in alternatives(child):
            if isinstance(one, Instance) and is_module_instance(interp, one):
                set_training(interp, one, mode, seen)
