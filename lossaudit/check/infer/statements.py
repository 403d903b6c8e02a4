"""Executing statements."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from lossaudit.check import ir
from lossaudit.check.events import LoopDone
from lossaudit.check.infer import acts, calls, datasets, objects, visits
from lossaudit.check.infer.autocast import entered_autocast
from lossaudit.check.infer.frame import Arguments, Flow, Frame
from lossaudit.check.infer.guards import tested_values
from lossaudit.check.infer.heap import Changes
from lossaudit.check.infer.mutation import note_mutation
from lossaudit.check.infer.ops import apply_op, unpacked_shape
from lossaudit.check.once import Once
from lossaudit.check.project import Module
from lossaudit.check.reasoning.terms import asks_for_device
from lossaudit.check.reasoning.trace import Nested
from lossaudit.check.values import (
    ABSENT,
    NONE,
    UNKNOWN,
    BoundMethod,
    ClassVal,
    Const,
    DictVal,
    External,
    Function,
    Instance,
    LazyImport,
    ListVal,
    Partial,
    Site,
    Tensor,
    TupleVal,
    Union,
    Unknown,
    Value,
    alternatives,
    constant,
    integer,
    join,
)

if TYPE_CHECKING:
    from lossaudit.check.infer.engine import Interpreter

MAX_UNROLLED_NODES = 600
"""A loop over known items is unrolled if that runs at most this many nodes; otherwise its body runs twice."""

# Assignments -----------------------------------------------------------------------------------------------------


def _assign_stmt(interp: Interpreter, frame: Frame, node: ir.Assign) -> Flow:
    value = interp.eval(frame, node.value)
    for target in node.targets:
        assign(interp, frame, target, value)
    if len(node.targets) == 1 and isinstance(node.targets[0], ir.Name):
        frame.assigned[node.id] = value
    return Flow.NEXT


def _ann_assign(interp: Interpreter, frame: Frame, node: ir.AnnAssign) -> Flow:
    if node.value is not None:
        assign(interp, frame, node.target, interp.eval(frame, node.value))
    return Flow.NEXT


def _aug_assign(interp: Interpreter, frame: Frame, node: ir.AugAssign) -> Flow:
    before = interp.eval(frame, node.target)
    value = interp.eval(frame, node.value)
    if node.op == "+" and isinstance(before, ListVal):
        more = interp.elements(value)
        acts.collected(interp, frame, before, value, frame.site(node.id))
        interp.extend(before, more)
        return Flow.NEXT
    if isinstance(before, Union) and node.op in ("+", "-") and not isinstance(node.target, ir.Subscript):
        acts.collected(interp, frame, before, value, frame.site(node.id))
    after = interp.binary(frame, node.op, before, value, frame.site(node.id))
    if isinstance(after, Tensor):
        note_mutation(frame, before, after, frame.site(node.id), f"{node.op}=")
    if isinstance(before, Tensor) and isinstance(after, Tensor):
        after = interp.mutate(before, after)
    assign(interp, frame, node.target, after)
    return Flow.NEXT


def assign(interp: Interpreter, frame: Frame, target: ir.Expr, value: Value) -> None:
    """Bind ``value`` to an assignment target."""
    if isinstance(target, ir.Name):
        interp.bind_name(frame, target.name, value)
    elif isinstance(target, ir.Attribute):
        owner = interp.eval(frame, target.value)
        acts.attribute(interp, target.attr, frame.site(target.id))
        if isinstance(owner, Tensor) and target.attr == "data":
            interp.mutate(owner, interp.opaque_tensor(frame.site(target.id)))
        objects.set_attribute(interp, frame, owner, target.attr, value, frame.site(target.id))
    elif isinstance(target, ir.Subscript):
        _assign_item(interp, frame, target, value)
    elif isinstance(target, (ir.Tuple, ir.List)):
        _unpack(interp, frame, target.items, value)
    elif isinstance(target, ir.Starred):
        assign(interp, frame, target.value, value)


def _assign_item(interp: Interpreter, frame: Frame, target: ir.Subscript, value: Value) -> None:
    owner = interp.eval(frame, target.value)
    index = interp.eval(frame, target.index)
    key = constant(index)
    if isinstance(owner, DictVal):
        if isinstance(key, (str, int, float)):
            interp.heap.set(owner.entries, key, value)
        else:
            interp.heap.set_field(owner, "rest", value if owner.rest is None else join([owner.rest, value]))
    elif isinstance(owner, ListVal):
        place = integer(index)
        if place is not None and -len(owner.items) <= place < len(owner.items):
            items = list(owner.items)
            items[place] = value
            interp.heap.assign(owner.items, items)
        else:
            interp.heap.set_field(owner, "rest", UNKNOWN)
    elif isinstance(owner, Tensor):
        args = {"input": owner, "index": index, "value": value}
        after = apply_op(interp, frame, interp.contracts.ops["setitem"], args, frame.site(target.id))
        note_mutation(frame, owner, after, frame.site(target.id), "[...] =")
        if isinstance(after, Tensor):
            interp.mutate(owner, after)
    elif isinstance(owner, Unknown):
        args = {"input": owner, "index": index, "value": value}
        after = Tensor("setitem", args, frame.site(target.id), certain=False)
        note_mutation(frame, owner, after, after.site, "[...] =")
    elif isinstance(owner, Instance):
        _assign_instance_item(interp, owner, key, index, value)


def _assign_instance_item(
    interp: Interpreter, owner: Instance, key: object, index: Value, value: Value
) -> None:
    if isinstance(key, str):
        interp.heap.set(owner.attrs, key, value)
    place = integer(index)
    if owner.items is None:
        return
    if place is not None and -len(owner.items) <= place < len(owner.items):
        items = list(owner.items)
        items[place] = value
        interp.heap.assign(owner.items, items)
    elif isinstance(key, str) and owner.container == "dict":
        interp.heap.assign(owner.items, [*owner.items, value])
    elif place is None:
        interp.heap.set_field(owner, "open_items", value=True)


def _unpack(interp: Interpreter, frame: Frame, targets: tuple[ir.Expr, ...], value: Value) -> None:
    value = interp.force(value)
    if isinstance(value, Union):
        columns = [_columns(interp, frame, targets, one) for one in value.alternatives]
        merged = [join(parts) for parts in zip(*columns, strict=True)]
    else:
        merged = _columns(interp, frame, targets, value)
    for target, part in zip(targets, merged, strict=True):
        assign(interp, frame, target, part)


def _columns(interp: Interpreter, frame: Frame, targets: tuple[ir.Expr, ...], value: Value) -> list[Value]:
    """What each target gets."""
    if isinstance(value, Tensor):
        ops = interp.contracts.ops
        site = value.site
        return [
            apply_op(interp, frame, ops["getitem"], {"input": value, "index": Const(i)}, site)
            for i in range(len(targets))
        ]
    starred = any(isinstance(target, ir.Starred) for target in targets)
    if isinstance(value, Unknown) and value.origin == "size" and value.of is not None and not starred:
        return list(unpacked_shape(value.of, len(targets), frame.site(targets[0].id)))
    more = interp.elements(value)
    star = next((i for i, target in enumerate(targets) if isinstance(target, ir.Starred)), None)
    if more.rest is not None or any(ABSENT in alternatives(item) for item in more.items):
        is_exact_tuple = isinstance(value, TupleVal) and len(value.items) >= len(targets) and star is None
        if is_exact_tuple:
            return list(more.items[: len(targets)])
        whole = interp.any_element(more)
        return [ListVal([], whole) if i == star else whole for i in range(len(targets))]
    items = more.items
    if star is None:
        return [items[i] if i < len(items) else UNKNOWN for i in range(len(targets))]
    tail = len(targets) - star - 1
    middle = items[star : len(items) - tail]
    last = items[len(items) - tail :] if tail else []
    first = [items[i] if i < len(items) else UNKNOWN for i in range(star)]
    return [*first, ListVal(list(middle)), *last, *([UNKNOWN] * (tail - len(last)))]


def _delete(interp: Interpreter, frame: Frame, node: ir.Delete) -> Flow:
    for target in node.targets:
        if isinstance(target, ir.Name):
            interp.heap.delete(frame.scope.vars, target.name)
        elif isinstance(target, ir.Attribute):
            owner = interp.eval(frame, target.value)
            if isinstance(owner, Instance):
                interp.heap.delete(owner.attrs, target.attr)
        elif isinstance(target, ir.Subscript):
            owner, key = interp.eval(frame, target.value), constant(interp.eval(frame, target.index))
            if isinstance(owner, DictVal) and isinstance(key, (str, int)):
                interp.heap.delete(owner.entries, key)
    return Flow.NEXT


# Simple statements -----------------------------------------------------------------------------------------------


def _expr(interp: Interpreter, frame: Frame, node: ir.ExprStmt) -> Flow:
    interp.eval(frame, node.value)
    return Flow.NEXT


def _return(interp: Interpreter, frame: Frame, node: ir.Return) -> Flow:
    value = NONE if node.value is None else interp.eval(frame, node.value)
    frame.returns.append(calls.returned(frame, value, node))
    return Flow.RETURN


def _raise(interp: Interpreter, frame: Frame, node: ir.Raise) -> Flow:
    if node.value is not None:
        interp.eval(frame, node.value)
    return Flow.RAISE


def _assert(interp: Interpreter, frame: Frame, node: ir.Assert) -> Flow:
    interp.eval(frame, node.test)
    frame.guards += tested_values(interp, frame, node.test)
    return Flow.NEXT


def _pass(interp: Interpreter, frame: Frame, node: ir.Pass) -> Flow:
    return Flow.NEXT


def _break(interp: Interpreter, frame: Frame, node: ir.Break) -> Flow:
    return Flow.BREAK


def _continue(interp: Interpreter, frame: Frame, node: ir.Continue) -> Flow:
    return Flow.CONTINUE


def _global(interp: Interpreter, frame: Frame, node: ir.Global) -> Flow:
    frame.scope.globals |= set(node.names)
    return Flow.NEXT


def _nonlocal(interp: Interpreter, frame: Frame, node: ir.Nonlocal) -> Flow:
    frame.scope.nonlocals |= set(node.names)
    return Flow.NEXT


# Imports ---------------------------------------------------------------------------------------------------------


def _import(interp: Interpreter, frame: Frame, node: ir.Import) -> Flow:
    for alias in node.names:
        top = alias.name if alias.asname is not None else alias.name.partition(".")[0]
        interp.bind_name(frame, alias.asname or top, _imported_module(interp, frame.module, top))
        if alias.asname is None and "." in alias.name:
            _imported_module(interp, frame.module, alias.name)
    return Flow.NEXT


def _imported_module(interp: Interpreter, importer: Module, dotted: str) -> Value:
    module = interp.project.resolve(importer, dotted, 0)
    return External(interp.contracts.canonical(dotted)) if module is None else LazyImport(module.place, None)


def _import_from(interp: Interpreter, frame: Frame, node: ir.ImportFrom) -> Flow:
    module = interp.project.resolve(frame.module, node.module, node.level)
    if node.names is None:
        frame.scope.stars.append(node.module if module is None else module.place)
        return Flow.NEXT
    for alias in node.names:
        interp.bind_name(frame, alias.asname or alias.name, _imported_name(interp, module, node, alias.name))
    return Flow.NEXT


def _imported_name(interp: Interpreter, module: Module | None, node: ir.ImportFrom, name: str) -> Value:
    dotted = f"{node.module}.{name}"
    if node.level == 0 and dotted in interp.contracts.declared:
        return External(dotted)
    if module is not None:
        return LazyImport(module.place, name)
    if node.level:
        return UNKNOWN
    return interp.external(dotted)


def imported_values(interp: Interpreter, importer: Module, node: ir.Import | ir.ImportFrom) -> list[Value]:
    """What an import statement binds, before anybody reads it; of a star, the module."""
    if isinstance(node, ir.Import):
        return [_imported_module(interp, importer, alias.name.partition(".")[0]) for alias in node.names]
    module = interp.project.resolve(importer, node.module, node.level)
    if node.names is None:
        return [] if module is None else [LazyImport(module.place, None)]
    return [_imported_name(interp, module, node, alias.name) for alias in node.names]


# Branches --------------------------------------------------------------------------------------------------------


def _if(interp: Interpreter, frame: Frame, node: ir.If) -> Flow:
    if frame.function is None and _is_main_test(node.test):
        frame.module.main_blocks.append(node.body)
        return Flow.NEXT
    test = interp.eval(frame, node.test)
    truth = interp.truth(test)
    if truth is not None:
        return interp.exec_block(frame, node.body if truth else node.orelse)
    if not asks_for_device(test):
        return _if_branches(interp, frame, node, test)
    before, frame.contexts = frame.contexts, frame.contexts | {"device_guard"}
    flow = _if_branches(interp, frame, node, test)
    frame.contexts = before
    return flow


def _if_branches(interp: Interpreter, frame: Frame, node: ir.If, test: Value) -> Flow:
    before = frame.guards
    tested = (*before, *tested_values(interp, frame, node.test))
    flows: list[Flow] = []

    def side(*, holds: bool) -> Flow:
        frame.guards = tested
        flows.append(_narrowed(interp, frame, node, holds=holds))
        return flows[-1]

    flow = branch(interp, frame, [lambda: side(holds=True), lambda: side(holds=False)], test)
    leaves = any(one is not Flow.NEXT for one in flows)  # what follows runs on one side of the test only
    frame.guards = tested if leaves else before
    return flow


def _narrowed(interp: Interpreter, frame: Frame, node: ir.If, *, holds: bool) -> Flow:
    """One branch of an ``if``, with what its test says about a name that was compared with None."""
    test = node.test
    negated = False
    while isinstance(test, ir.UnaryOp) and test.op == "not":
        test, negated = test.operand, not negated
    subject = test.left if isinstance(test, ir.Compare) and len(test.ops) == 1 else None
    compares_none = (
        isinstance(test, ir.Compare)
        and isinstance(test.comparators[0], ir.Constant)
        and test.comparators[0].value is None
    )
    if isinstance(subject, ir.Name) and compares_none and isinstance(test, ir.Compare):
        is_none = (test.ops[0] in ("is", "==")) is (holds is not negated)
        value = interp.lookup(frame, subject.name)
        kept = [one for one in alternatives(value) if not _contradicts_none(one, is_none=is_none)]
        if kept and isinstance(value, Union):
            interp.bind_name(frame, subject.name, join(kept))
    return interp.exec_block(frame, node.body if holds else node.orelse)


def _contradicts_none(value: Value, *, is_none: bool) -> bool:
    if isinstance(value, Const):
        return (value.value is None) is not is_none
    return is_none and not isinstance(value, Unknown)


def _is_main_test(test: ir.Expr) -> bool:
    if not (isinstance(test, ir.Compare) and test.ops == ("==",)):
        return False
    sides = (test.left, test.comparators[0])
    names = {side.name for side in sides if isinstance(side, ir.Name)}
    texts = {side.value for side in sides if isinstance(side, ir.Constant)}
    return names == {"__name__"} and texts == {"__main__"}


def branch(
    interp: Interpreter, frame: Frame, bodies: list[Callable[[], Flow]], test: Value | None = None
) -> Flow:
    """Run alternatives one by one from the same state and continue from the join of those that go on."""
    going_on: list[Changes] = []
    flows: list[Flow] = []
    number = interp.ways.choice()
    with interp.recorder.choice(test) as choice:
        for place, body in enumerate(bodies):
            interp.heap.begin()
            try:
                with interp.recorder.option(choice) as record, interp.ways.kept():
                    interp.ways.take(number, (place,), frame.since)
                    flow = body()
            except BaseException:
                interp.heap.retreat()
                raise
            changes = interp.heap.retreat()
            flows.append(flow)
            record.leaves = flow is not Flow.NEXT
            if flow is Flow.NEXT:
                going_on.append(changes)
            else:
                _leave(frame, flow, changes)
            if flow is Flow.RAISE and choice is not None:
                choice.options.pop()
    interp.heap.merge(going_on)
    if going_on:
        if len(going_on) < len(flows):
            interp.ways.take(number, (p for p, flow in enumerate(flows) if flow is Flow.NEXT), frame.since)
        return Flow.NEXT
    return next((flow for flow in flows if flow is not Flow.RAISE), Flow.RAISE)


def _leave(frame: Frame, flow: Flow, changes: Changes) -> None:
    """Keep what a path that leaves the block had changed, for where it arrives."""
    if flow is Flow.RETURN:
        frame.exits.append(changes)
    elif flow in (Flow.BREAK, Flow.CONTINUE) and frame.loop_exits:
        frame.loop_exits[-1].append(changes)


def _match(interp: Interpreter, frame: Frame, node: ir.Match) -> Flow:
    subject = interp.eval(frame, node.subject)
    bodies: list[Callable[[], Flow]] = []
    for case in node.cases:
        verdict = _matches(interp, frame, subject, case)
        if verdict is False:
            continue
        bodies.append(lambda case=case: _run_case(interp, frame, case))  # type: ignore[misc]
        if verdict is True or case.irrefutable:
            break
    else:
        bodies.append(lambda: Flow.NEXT)
    return bodies[0]() if len(bodies) == 1 else branch(interp, frame, bodies)


def _matches(interp: Interpreter, frame: Frame, subject: Value, case: ir.Case) -> bool | None:
    if case.literal is None or not isinstance(subject, Const):
        return None
    wanted = interp.eval(frame, case.literal)
    if not isinstance(wanted, Const):
        return None
    if wanted.value != subject.value:
        return False
    return True if case.guard is None else None


def _run_case(interp: Interpreter, frame: Frame, case: ir.Case) -> Flow:
    for name in case.captures:
        interp.bind_name(frame, name, UNKNOWN)
    if case.guard is not None:
        interp.eval(frame, case.guard)
    return interp.exec_block(frame, case.body)


def _try(interp: Interpreter, frame: Frame, node: ir.Try) -> Flow:
    """The body, or any of its handlers; a handler starts from what the body had left behind."""

    def normal() -> Flow:
        flow = interp.exec_block(frame, node.body)
        return interp.exec_block(frame, node.orelse) if flow is Flow.NEXT and node.orelse else flow

    def handled(handler: ir.Handler) -> Flow:
        if handler.name is not None:
            interp.bind_name(frame, handler.name, UNKNOWN)
        return interp.exec_block(frame, handler.body)

    bodies: list[Callable[[], Flow]] = [normal]
    bodies += [lambda handler=handler: handled(handler) for handler in node.handlers]  # type: ignore[misc]
    flow = normal() if len(bodies) == 1 else branch(interp, frame, bodies)
    final = interp.exec_block(frame, node.final)
    return flow if final is Flow.NEXT else final


def _with(interp: Interpreter, frame: Frame, node: ir.With) -> Flow:
    before = frame.contexts, frame.autocast
    for item in node.items:
        value = interp.eval(frame, item.context)
        frame.contexts = calls.entered(frame.contexts, context_names(interp, value))
        frame.autocast = entered_autocast(interp, value, frame.site(item.context.id)) or frame.autocast
        if item.target is not None:
            assign(interp, frame, item.target, _entered(interp, value))
    flow = interp.exec_block(frame, node.body)
    frame.contexts, frame.autocast = before
    return flow


def _entered(interp: Interpreter, value: Value) -> Value:
    """What ``as`` binds: iterators of progress bars and the like are themselves."""
    is_context = isinstance(value, Instance) and isinstance(value.cls, External)
    return UNKNOWN if is_context and not datasets.is_loader(interp, value) else value


def context_names(interp: Interpreter, value: Value) -> frozenset[str]:
    """Which of the contexts that rules ask for ``value`` opens."""
    name = (
        value.cls.name if isinstance(value, Instance) else value.name if isinstance(value, External) else ""
    )
    kind = interp.contracts.contexts.get(name)
    if kind == "grad_if":
        first = constant(
            value.bound.get("argument 0", value.bound.get("mode")) if isinstance(value, Instance) else None
        )
        switched = "enable_grad" if first is True else "no_grad" if first is False else ""
        return frozenset({switched}) if switched else frozenset()
    return frozenset() if kind is None else frozenset({kind})


# Loops -----------------------------------------------------------------------------------------------------------


def _for(interp: Interpreter, frame: Frame, node: ir.For) -> Flow:
    more = interp.elements(interp.eval(frame, node.iter))
    count = len(more.items)
    if more.rest is None and (count <= 2 or count * node.size <= MAX_UNROLLED_NODES):
        flow = _unrolled(interp, frame, node, more.items)
    else:
        element = interp.any_element(more)

        def start() -> None:
            assign(interp, frame, node.target, datasets.anew(element))

        flow = _repeated(interp, frame, node, start)
    if flow is not Flow.NEXT:
        return flow
    return interp.exec_block(frame, node.orelse) if node.orelse else Flow.NEXT


def _unrolled(interp: Interpreter, frame: Frame, node: ir.For, items: list[Value]) -> Flow:
    loop = Nested()
    for item in items:
        options = alternatives(item)
        present = [one for one in options if one is not ABSENT]
        if not present:
            continue

        value = join(present)

        def body(value: Value = value) -> Flow:
            assign(interp, frame, node.target, value)
            return _iteration(interp, frame, node.body, loop)

        flow = body() if len(present) == len(options) else branch(interp, frame, [body, lambda: Flow.NEXT])
        if flow is Flow.BREAK:
            break
        if flow in (Flow.RETURN, Flow.RAISE):
            return flow
    _loop_done(interp, frame, loop, frame.site(node.id))
    return Flow.NEXT


def _iteration(interp: Interpreter, frame: Frame, body: tuple[ir.Stmt, ...], loop: Nested) -> Flow:
    """One pass through a loop body; the paths that left it early join where the pass ends."""
    frame.loop_exits.append([])
    try:
        with interp.recorder.loop_pass(loop), interp.ways.kept():
            flow = interp.exec_block(frame, body)
    finally:
        left = frame.loop_exits.pop()
    for changes in left:
        interp.heap.weaken(changes)
    if flow is Flow.CONTINUE or (flow in (Flow.RETURN, Flow.RAISE) and left):
        return Flow.NEXT
    return flow


def _repeated(interp: Interpreter, frame: Frame, node: ir.For | ir.While, start: Callable[[], None]) -> Flow:
    """A loop of unknown length: two passes, each a path that can really be taken; then the join of both ends."""
    _widen(interp, frame, node)
    ends: list[Changes] = []
    loop = Nested(repeats=True)
    interp.heap.begin(repeats=True)
    try:
        for last in (False, True):
            start()
            flow = _iteration(interp, frame, node.body, loop)
            if last or flow is not Flow.NEXT:
                break
            ends.append(_snapshot(interp))
    except BaseException:
        interp.heap.retreat()
        raise
    ends.append(interp.heap.retreat())
    interp.heap.merge(ends)
    _loop_done(interp, frame, loop, frame.site(node.id))
    return flow if flow in (Flow.RETURN, Flow.RAISE) and len(ends) == 1 else Flow.NEXT


def _loop_done(interp: Interpreter, frame: Frame, loop: Nested, site: Site) -> None:
    if loop.passes:
        interp.recorder.close(loop)
        interp.emit(LoopDone, lambda: LoopDone(site, frame.contexts, loop))


def _snapshot(interp: Interpreter) -> Changes:
    """The changes so far, without taking them back for good."""
    changes = interp.heap.retreat()
    interp.heap.begin(repeats=True)
    interp.heap.merge([changes])
    return changes


def _widen(interp: Interpreter, frame: Frame, node: ir.For | ir.While) -> None:
    """Numbers and flags that the loop changes are not constant in it."""
    for target in _changed_in(node):
        if isinstance(target, ir.Name):
            held = frame.scope.vars.get(target.name)
            if isinstance(held, Const):
                interp.bind_name(frame, target.name, _varying(held))
        elif isinstance(target, ir.Attribute) and isinstance(target.value, ir.Name):
            owner = frame.scope.vars.get(target.value.name)
            held = owner.attrs.get(target.attr) if isinstance(owner, Instance) else None
            if isinstance(owner, Instance) and isinstance(held, Const):
                interp.heap.set(owner.attrs, target.attr, _varying(held))


def _varying(held: Const) -> Value:
    """What is known of a constant that a loop changes: a number starts as a number."""
    is_number = isinstance(held.value, (int, float)) and not isinstance(held.value, bool)
    return Unknown(origin="number") if is_number else UNKNOWN


@Once
def _changed_in(node: ir.For | ir.While) -> tuple[ir.Expr, ...]:
    """The names and attributes that a loop body assigns."""
    return tuple(target for one in ir.walk(node.body) for target in _plain_targets(one))


def _plain_targets(node: ir.Node) -> tuple[ir.Expr, ...]:
    if isinstance(node, ir.Assign):
        return node.targets
    return (node.target,) if isinstance(node, ir.AugAssign) else ()


def _while(interp: Interpreter, frame: Frame, node: ir.While) -> Flow:
    _widen(interp, frame, node)  # before the test is read
    if interp.truth(interp.eval(frame, node.test)) is False:
        return interp.exec_block(frame, node.orelse) if node.orelse else Flow.NEXT
    return _repeated(interp, frame, node, lambda: None)


# Definitions -----------------------------------------------------------------------------------------------------


def _function(interp: Interpreter, frame: Frame, node: ir.FunctionDef) -> Flow:
    function = interp.make_function(frame, node.name, node)
    value: Value = function
    name = node.name
    for decorator in reversed(node.decorators):
        if isinstance(decorator, ir.Attribute) and decorator.attr in ("setter", "deleter"):
            name = f"{node.name}.{decorator.attr}"
            continue
        value = _decorated(interp, frame, decorator, value)
    interp.bind_name(frame, name, value)
    return Flow.NEXT


_DECORATOR_KINDS = {
    "builtins.staticmethod": "static", "builtins.classmethod": "class", "builtins.property": "property",
    "functools.cached_property": "property", "abc.abstractproperty": "property", "torch.jit.unused": "function",
}  # fmt: skip


def _decorated(interp: Interpreter, frame: Frame, decorator: ir.Expr, value: Value) -> Value:
    """A decorated function: itself, unless a decorator of the project returns another function."""
    wrapper = interp.eval(frame, decorator)
    function = value if isinstance(value, Function) else None
    contexts = context_names(interp, wrapper)
    if function is not None and contexts:
        autocast = entered_autocast(interp, wrapper, frame.site(decorator.id))
        return interp.replace_function(function, contexts=function.contexts | contexts, autocast=autocast)
    if isinstance(wrapper, External) and wrapper.name not in interp.contracts.derivatives:
        kind = _DECORATOR_KINDS.get(wrapper.name)
        return (
            interp.replace_function(function, kind=kind)
            if function is not None and kind is not None
            else value
        )
    if isinstance(wrapper, (Function, BoundMethod, Partial, External)):
        site = frame.site(decorator.id)
        result = visits.decorated(
            interp, wrapper, lambda: calls.call_value(interp, frame, wrapper, Arguments([value]), site)
        )
        return result if isinstance(result, (Function, BoundMethod, ClassVal, Partial)) else value
    return value


def _class(interp: Interpreter, frame: Frame, node: ir.ClassDef) -> Flow:
    cls = objects.define_class(interp, frame, node)
    value: Value = cls
    for decorator in reversed(node.decorators):
        value = _decorated(interp, frame, decorator, value)
    interp.note_class(cls)
    interp.bind_name(frame, node.name, value if isinstance(value, ClassVal) else cls)
    return Flow.NEXT


STATEMENTS: dict[type[ir.Node], Callable[[Interpreter, Frame, Any], Flow]] = {
    ir.Assign: _assign_stmt, ir.AugAssign: _aug_assign, ir.AnnAssign: _ann_assign, ir.ExprStmt: _expr,
    ir.Return: _return, ir.Raise: _raise, ir.Assert: _assert, ir.Delete: _delete, ir.Pass: _pass,
    ir.Break: _break, ir.Continue: _continue, ir.Global: _global, ir.Nonlocal: _nonlocal, ir.Import: _import,
    ir.ImportFrom: _import_from, ir.If: _if, ir.For: _for, ir.While: _while, ir.With: _with, ir.Try: _try,
    ir.Match: _match, ir.FunctionDef: _function, ir.LazyFunctionDef: _function,
    ir.ClassDef: _class,
}  # fmt: skip
