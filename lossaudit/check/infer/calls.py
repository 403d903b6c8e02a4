"""Calling things: functions of the project, classes, modules, contracts, and what is known of the standard library."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from lossaudit.check import ir
from lossaudit.check.contracts import LayerClass, LossClass, LossFunction, OpFunction
from lossaudit.check.contracts.schema import parse_signature
from lossaudit.check.events import BaseInit, Construct, DistributionMade, ExternalCall, FunctionReturn
from lossaudit.check.infer import (
    acts,
    arrays,
    builtins,
    datasets,
    dead_ends,
    functional,
    methods,
    objects,
    visits,
)
from lossaudit.check.infer.frame import Arguments, Flow, Frame, OutOfBudget
from lossaudit.check.infer.heap import Scope
from lossaudit.check.infer.ops import apply_loss, apply_op, bind
from lossaudit.check.kinds import Kind
from lossaudit.check.reasoning.gradients import holds_tensors
from lossaudit.check.reasoning.terms import weighted_terms
from lossaudit.check.values import (
    ABSENT,
    NONE,
    SCALARS,
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
    Partial,
    Site,
    Step,
    Tensor,
    TupleVal,
    Union,
    Unknown,
    Value,
    alternatives,
    feasible,
    fresh_ident,
    join,
)

if TYPE_CHECKING:
    from lossaudit.check.infer.engine import Interpreter

MAX_CALL_DEPTH = 40
MAX_SELF_CALLS = 6
"""How many calls of one function may be open, each on an object of its own: trees and nested blocks go on in the unknown below."""
MAX_MUTATIONS = 20
"""How many changes of handed-in tensors a call tells its caller about."""
INFERENCE_NAMES = frozenset(
    {"predict", "predict_step", "predict_proba", "predict_log_proba", "infer", "inference"}
)
"""Methods that by their contract with the caller produce predictions and train nothing."""
FORWARD_NAMES = frozenset({"forward", "__call__"})
"""Methods that run when an object is called."""


def call_value(interp: Interpreter, frame: Frame, callee: Value, arguments: Arguments, site: Site) -> Value:
    """The result of calling ``callee``."""
    interp.tick()
    callee = interp.force(callee)
    if interp.declared:
        callee = interp.under_contract(callee)
    if isinstance(callee, Union):
        return _call_alternatives(interp, frame, callee, arguments, site)
    if isinstance(callee, Function):
        return run_function(interp, frame, callee, arguments, site)
    if isinstance(callee, BoundMethod):
        return run_function(interp, frame, callee.function, arguments, site, receiver=callee.receiver)
    if isinstance(callee, Partial):
        return call_value(interp, frame, callee.function, _with_partial(callee, arguments), site)
    if isinstance(callee, ClassVal):
        return objects.instantiate(interp, frame, callee, arguments, site)
    if isinstance(callee, External):
        return call_external(interp, frame, callee.name, arguments, site)
    if isinstance(callee, ExternalMethod):
        return methods.call_method(interp, frame, callee, arguments, site)
    if isinstance(callee, Instance):
        return call_instance(interp, frame, callee, arguments, site)
    if not isinstance(callee, Unknown):
        return Unknown()
    return _call_unknown(interp, callee, arguments, site)


def _call_unknown(interp: Interpreter, callee: Unknown, arguments: Arguments, site: Site) -> Value:
    if callee.foreign:
        return arrays.method(callee, arguments)
    acts.unknown_call(interp, callee, arguments, site)
    first = arguments.positional[0] if len(arguments.positional) == 1 else None
    if (
        callee.name == "scale"
        and isinstance(first, Tensor)
        and any(one.kind is Kind.LOSS for one in weighted_terms(first))
    ):
        return Tensor("grad_scale", {"input": first, "by": callee.owner or UNKNOWN}, site, certain=False)
    return Unknown(owner=callee, site=site, given=tuple(arguments.all_values()))


def _call_alternatives(
    interp: Interpreter, frame: Frame, callee: Union, arguments: Arguments, site: Site
) -> Value:
    """Call each alternative; a finding stands only if every alternative gives it."""
    options = feasible(callee)
    if len(options) == 1:
        return call_value(interp, frame, options[0], arguments, site)
    results: list[Value] = []
    left = []
    with interp.findings.unanimous() as vote, interp.recorder.choice() as choice:
        for option in options:
            interp.heap.begin()
            with vote.ballot(), interp.recorder.option(choice):
                results.append(call_value(interp, frame, option, arguments, site))
            left.append(interp.heap.retreat())
    interp.heap.merge(left)
    return join(results)


def _with_partial(partial: Partial, arguments: Arguments) -> Arguments:
    shift = len(partial.positional)
    return Arguments(
        [*partial.positional, *arguments.positional],
        {**partial.keywords, **arguments.keywords},
        None if arguments.open_from is None else arguments.open_from + shift,
        arguments.open_keywords,
        arguments.preset | (partial.keywords.keys() - arguments.keywords.keys()),
    )


def entered(active: frozenset[str], opened: frozenset[str]) -> frozenset[str]:
    """The contexts inside a region: ``enable_grad`` ends the effect of a ``no_grad`` around it."""
    return (active - {"no_grad"} if "enable_grad" in opened else active) | opened


# Functions of the project ----------------------------------------------------------------------------------------


def run_function(
    interp: Interpreter,
    frame: Frame,
    function: Function,
    arguments: Arguments,
    site: Site,
    receiver: Value | None = None,
) -> Value:
    """Interpret the body with these arguments; recursion and great depth end in unknown."""
    if receiver is None and _is_method_on(function, arguments):
        receiver, *others = arguments.positional
        arguments = replace(arguments, positional=others)
    key = (id(function.node), id(receiver))
    if _is_too_deep(interp, key):
        acts.opaque(interp, site)
        return UNKNOWN
    contexts = entered(frame.contexts, function.contexts)
    if function.name in INFERENCE_NAMES:
        contexts |= {"inference"}
    since = fresh_ident()
    outer_forward = interp.forward_since
    if function.owner is not None and function.name in FORWARD_NAMES:
        interp.forward_since = since if outer_forward is None else outer_forward
    scope = Scope(parent=function.closure)
    inner = Frame(
        function.module,
        scope,
        function,
        receiver,
        contexts,
        guards=frame.guards,
        since=since,
        inherited=frame.contexts,
    )
    inner.autocast = function.autocast or frame.autocast
    scope.vars |= bind_parameters(interp, function, arguments, receiver)
    inner.parameters = tuple(scope.vars.values())
    is_general = not contexts and all(isinstance(one, Unknown) or one is receiver for one in inner.parameters)
    interp.stack.append(key)
    begun = interp.budget.taken
    try:
        with interp.recorder.call(), interp.ways.kept():
            value = _run_within_share(interp, inner, function, arguments, receiver)
    except OutOfBudget:
        interp.budget.blame(function.node, begun)
        raise
    finally:
        interp.stack.pop()
        interp.forward_since = outer_forward
    if value is None:
        acts.opaque(interp, site)
        return UNKNOWN
    frame.mutations += inner.mutations[:MAX_MUTATIONS]
    interp.called.add(key)
    if is_general:
        interp.covered.add(key)
    if holds_tensors(value):
        interp.emit(
            FunctionReturn,
            lambda: FunctionReturn(
                site,
                inner.contexts,
                function,
                value,
                inner.parameters,
                tuple(inner.mutations),
                receiver,
                since,
                inner.assigned,
            ),
        )
    return value


def _is_method_on(function: Function, arguments: Arguments) -> bool:
    """Whether a method is called with its object as an argument: through the class, or by a decorator that hands it on."""
    if function.owner is None or function.kind != "function" or arguments.open_from is not None:
        return False
    first = next(iter(arguments.positional), None)
    return isinstance(first, Instance) and isinstance(first.cls, ClassVal) and function.owner in first.cls.mro


def _is_too_deep(interp: Interpreter, key: tuple[int, int]) -> bool:
    """Whether a call of this function, on this object, is not followed any more."""
    stack, node = interp.stack, key[0]
    if stack and interp.budget.is_costly(node):
        return True
    if len(stack) < MAX_SELF_CALLS:
        return key in stack
    is_nested = sum(one == node for one, _ in stack) >= MAX_SELF_CALLS
    return is_nested or len(stack) >= MAX_CALL_DEPTH or key in stack


def _run_within_share(
    interp: Interpreter, frame: Frame, function: Function, arguments: Arguments, receiver: Value | None
) -> Value | None:
    steps = visits.share_of(interp, function, arguments, receiver)
    if steps is None:
        return _run_body(interp, frame, function)
    return visits.within(interp, steps, function, receiver, lambda: _run_body(interp, frame, function))


def _run_body(interp: Interpreter, frame: Frame, function: Function) -> Value:
    node = function.node
    if isinstance(node, ir.Lambda):
        return interp.eval(frame, node.body)
    flow = interp.exec_block(frame, dead_ends.body_to_run(interp, function, node))
    for changes in frame.exits:
        if flow is Flow.NEXT:
            interp.heap.weaken(changes)
    if flow is not Flow.NEXT and frame.exits:
        interp.heap.merge(frame.exits)
    if node.is_generator:
        return ListVal([], rest=join(frame.yields) if frame.yields else UNKNOWN)
    values = list(frame.returns)
    if flow is Flow.NEXT:
        values.append(NONE)
    if not values:
        return UNKNOWN  # it always raises: an abstract method
    return join(values)


def returned(frame: Frame, value: Value, node: ir.Return) -> Value:
    """Note on the tensors in ``value`` that this function returned them."""
    function = frame.function
    if function is None:
        return value
    return _moved(value, Step(frame.site(node.id), f"returned by `{function.label}`"))


def _moved(value: Value, step: Step) -> Value:
    if isinstance(value, Tensor):
        return value.moved(step) if value.kind not in (Kind.UNKNOWN, Kind.LOSS) else value
    if isinstance(value, Union):
        return Union(tuple(_moved(one, step) for one in value.alternatives))
    if isinstance(value, TupleVal) and len(value.items) <= 8:
        return TupleVal(tuple(_moved(one, step) for one in value.items), value.names, value.rest)
    return value


def bind_parameters(
    interp: Interpreter, function: Function, arguments: Arguments, receiver: Value | None
) -> dict[str, Value]:
    """The variables with which a body starts."""
    positional = list(arguments.certain_positional())
    if receiver is not None:
        positional.insert(0, receiver)
    keywords = dict(arguments.keywords)
    out: dict[str, Value] = {}
    for param in function.node.params:
        if param.kind == "*":
            rest = UNKNOWN if arguments.open_from is not None else None
            out[param.name] = TupleVal(tuple(positional), rest=rest)
            positional = []
        elif param.kind == "**":
            out[param.name] = DictVal(
                dict(keywords.items()), rest=UNKNOWN if arguments.open_keywords else None
            )
        elif param.kind != "kwonly" and positional:
            out[param.name] = _received(positional.pop(0), param.name)
        elif param.name in keywords and param.kind != "posonly":
            out[param.name] = _received(keywords.pop(param.name), param.name)
        elif arguments.is_open:
            out[param.name] = _open_parameter(interp, function, param)
        else:
            out[param.name] = function.defaults.get(param.name, UNKNOWN)
    return out


def _open_parameter(interp: Interpreter, function: Function, param: ir.Param) -> Unknown:
    """What a caller whom nobody sees may have passed. A value of its own: what is computed from it twice is equal.

    An annotation that promises a plain Python scalar is believed.
    """
    promised = _annotation(interp, function, param).removeprefix("builtins.")
    return Unknown(
        origin=promised if promised in SCALARS else "",
        argument=param.name,
        usual=function.defaults.get(param.name),
        parameter=True,
    )


def _annotation(interp: Interpreter, function: Function, param: ir.Param) -> str:
    """The dotted name of a plain annotation."""
    node = param.annotation
    if not isinstance(node, (ir.Name, ir.Attribute)):
        return ""
    value = interp.eval(Frame(function.module, function.closure), node)
    return value.name if isinstance(value, External) else ""


def _received(value: Value, name: str) -> Value:
    """What the body sees of an argument: of a wholly unknown one, at least that it was handed in."""
    return Unknown(argument=name) if value is UNKNOWN else value


# Modules and losses ----------------------------------------------------------------------------------------------


def call_instance(
    interp: Interpreter, frame: Frame, callee: Instance, arguments: Arguments, site: Site
) -> Value:
    """``obj(...)``: its own ``__call__``, its ``forward``, or what its contract says."""
    inner = _module_frame(frame, callee)
    own = objects.lookup_class(callee.cls, "__call__")
    if isinstance(own, Function):
        return run_function(interp, inner, own, arguments, site, receiver=callee)
    forward = callee.attrs.get("forward") or objects.lookup_class(callee.cls, _forward_name(interp, callee))
    if isinstance(forward, Function):
        return run_function(interp, inner, forward, arguments, site, receiver=callee)
    if forward is not None:
        return call_value(interp, inner, forward, arguments, site)
    return apply_entry(interp, inner, callee, arguments, site)


def _module_frame(frame: Frame, callee: Instance) -> Frame:
    """The caller's frame; below a module in evaluation mode nothing is trained."""
    mode = callee.attrs.get(objects.TRAINING)
    if isinstance(mode, Const) and mode.value is False and "inference" not in frame.contexts:
        return replace(frame, contexts=frame.contexts | {"inference"})
    return frame


def _forward_name(interp: Interpreter, callee: Instance) -> str:
    names = () if isinstance(callee.cls, External) else callee.cls.externals
    return next(
        (interp.contracts.module_bases[n] for n in names if n in interp.contracts.module_bases), "forward"
    )


def apply_entry(
    interp: Interpreter, frame: Frame, callee: Instance, arguments: Arguments, site: Site
) -> Value:
    """Call an object by the contract of its nearest base that has one."""
    if callee.container == "sequential":
        return _run_sequential(interp, frame, callee, arguments, site)
    if callee.container == "graph":
        return callee.bound.get("outputs", UNKNOWN)
    entry = callee.entry
    if isinstance(entry, LossClass):
        own = {name: callee.attrs.get(name, value) for name, value in callee.bound.items()}
        args = {**own, **bind(entry.loss.call, arguments, with_defaults=False)}
        return apply_loss(interp, frame, entry.loss, args, site, callee)
    if isinstance(entry, LayerClass):
        args = {**bind(entry.layer.call, arguments), **callee.bound}
        first = next(iter(args.values()), UNKNOWN)
        op = entry.op
        named = (
            args
            if "input" in args or "query" in args or "x1" in args or "input1" in args
            else {"input": first, **args}
        )
        return apply_op(interp, frame, op, named, site, module=callee)
    return UNKNOWN


def _run_sequential(
    interp: Interpreter, frame: Frame, callee: Instance, arguments: Arguments, site: Site
) -> Value:
    positional = arguments.certain_positional()
    value = positional[0] if positional else UNKNOWN
    for item in callee.items or []:
        options = alternatives(item)
        results = [
            value
            if one is ABSENT
            else call_value(interp, frame, one, Arguments([value]), _item_site(one, site))
            for one in options
        ]
        value = join(results)
    return value


def _item_site(item: Value, site: Site) -> Site:
    """An operation inside a ``Sequential`` happens, for the reader, where its layer is written."""
    return item.site if isinstance(item, Instance) and isinstance(item.cls, External) else site


# Externals -------------------------------------------------------------------------------------------------------


def call_external(interp: Interpreter, frame: Frame, name: str, arguments: Arguments, site: Site) -> Value:
    """Call something outside the project by its dotted name."""
    special = builtins.FUNCTIONS.get(name)
    if special is not None:
        return special(interp, frame, arguments, site)
    contracts = interp.contracts
    entry = contracts.entries.get(name)
    if isinstance(entry, OpFunction):
        return _call_op(interp, frame, entry, arguments, site)
    if isinstance(entry, LossFunction):
        bound = bind(entry.loss.signature, arguments)
        return apply_loss(interp, frame, entry.loss, bound, site, preset=arguments.preset)
    if entry is not None or name in contracts.containers or name in contracts.module_bases:
        return build_external(interp, frame, name, arguments, site)
    if name in contracts.factories:
        return build_external(interp, frame, contracts.factories[name], arguments, site)
    handed = _handed_through(interp, frame, name, arguments, site)
    if handed is not None:
        return handed
    inplace = contracts.entries.get(name.removesuffix("_")) if name.endswith("_") else None
    if isinstance(inplace, OpFunction):
        return _call_in_place(interp, frame, inplace, arguments, site)
    made = functional.derivative(interp, frame, name, arguments, site)
    if made is None:
        made = _call_on_class(interp, frame, name, arguments, site)
    if made is not None:
        return made
    return _call_unseen(interp, frame, name, arguments, site)


def _call_unseen(interp: Interpreter, frame: Frame, name: str, arguments: Arguments, site: Site) -> Value:
    """Call something of which no more is known than what it is named."""
    contracts = interp.contracts
    interp.emit(ExternalCall, lambda: _external_call(frame, name, None, arguments, site))
    acts.external_call(interp, name, None, arguments, site)
    if name in contracts.distributions:
        bound = bind(contracts.distributions[name], arguments)
        interp.emit(DistributionMade, lambda: DistributionMade(site, frame.contexts, bound))
    if name in contracts.refusals:
        signature, parameter = contracts.refusals[name]
        frame.guards += (TupleVal((bind(signature, arguments).get(parameter, UNKNOWN),)),)
    if contracts.is_foreign(name):
        return arrays.called(name, arguments, site)
    builds = name.rpartition(".")[2][:1].isupper() or name in contracts.contexts
    return build_external(interp, frame, name, arguments, site) if builds else Unknown(origin=name, site=site)


def _handed_through(
    interp: Interpreter, frame: Frame, name: str, arguments: Arguments, site: Site
) -> Value | None:
    """What comes back of something that only passes on what it is handed; None for anything else."""
    contracts = interp.contracts
    if name in contracts.wrappers:
        return arguments.positional[0] if arguments.positional else UNKNOWN
    if name in contracts.splitters:
        return datasets.split(interp, name, arguments, site)
    if name in contracts.callers:
        return _call_through(interp, frame, contracts.callers[name], arguments, site)
    return prepared(arguments) if name in contracts.preparers else None


def _call_through(
    interp: Interpreter, frame: Frame, signature: str, arguments: Arguments, site: Site
) -> Value:
    """``checkpoint(layer, x)``: what the function that is handed over makes of the rest."""
    bound = bind(signature, arguments, with_defaults=False)
    function, handed = bound.get("function", UNKNOWN), bound.get("args", UNKNOWN)
    named = {parameter.spelling for parameter in parse_signature(signature)}
    keywords = {key: value for key, value in arguments.keywords.items() if key not in named}
    if isinstance(handed, TupleVal):
        start = None if handed.rest is None else len(handed.items)
        return interp.call(frame, function, Arguments(list(handed.items), keywords, start), site)
    return interp.call(frame, function, Arguments([handed], keywords), site)


def _call_on_class(
    interp: Interpreter, frame: Frame, name: str, arguments: Arguments, site: Site
) -> Value | None:
    """``nn.Module.__init__(self)`` and ``AutoModel.from_pretrained(name)``: methods that are called on a class."""
    owner, _, method = name.rpartition(".")
    if method == "__init__" and arguments.positional:
        return _run_base(interp, frame, owner, arguments, site)
    if name in interp.contracts.record_builders:
        return build_external(interp, frame, owner, arguments, site)
    if method in interp.contracts.builders and interp.contracts.is_module_class(owner):
        return build_external(interp, frame, owner, Arguments(open_from=0, open_keywords=True), site)
    return None


def _run_base(interp: Interpreter, frame: Frame, base: str, arguments: Arguments, site: Site) -> Value:
    """``nn.Module.__init__(self, ...)``."""
    instance, *rest = arguments.positional
    shift = None if arguments.open_from is None else max(arguments.open_from - 1, 0)
    if isinstance(instance, Instance):
        own = Arguments(list(rest), arguments.keywords, shift, arguments.open_keywords)
        objects.construct_external(interp, instance, own)
    interp.emit(
        BaseInit, lambda: BaseInit(site, frame.contexts, instance, base, tuple(rest), arguments.keywords)
    )
    return NONE


def _external_call(
    frame: Frame, name: str, receiver: Value | None, arguments: Arguments, site: Site
) -> ExternalCall:
    return ExternalCall(site, frame.contexts, name, receiver, tuple(arguments.positional), arguments.keywords)


def _call_op(interp: Interpreter, frame: Frame, entry: OpFunction, arguments: Arguments, site: Site) -> Value:
    args = bind(entry.op.signature, arguments)
    return apply_op(interp, frame, entry.op, args, site)


def _call_in_place(
    interp: Interpreter, frame: Frame, entry: OpFunction, arguments: Arguments, site: Site
) -> Value:
    """``torch.relu_(x)``: the operation, and ``x`` has become its result."""
    value = _call_op(interp, frame, entry, arguments, site)
    before = arguments.positional[0] if arguments.positional else UNKNOWN
    both = isinstance(before, Tensor) and isinstance(value, Tensor)
    return interp.mutate(before, value) if both else value  # type: ignore[arg-type]


def build_external(
    interp: Interpreter, frame: Frame, name: str, arguments: Arguments, site: Site
) -> Instance:
    """An instance of an external class."""
    container = interp.contracts.containers.get(name, "")
    instance = Instance(
        External(name),
        site,
        entry=interp.contracts.entries.get(name),
        items=[] if container in objects.HOLDERS else None,
        container=container,
    )
    interp.heap.born(instance, instance.attrs)
    is_bound = interp.contracts.data_signature([name]) is not None
    if instance.entry is not None or container or is_bound:
        objects.construct_external(interp, instance, arguments)
    else:
        positional = {f"argument {place}": value for place, value in enumerate(arguments.positional)}
        instance.bound = {**positional, **arguments.keywords}
    interp.emit(Construct, lambda: Construct(site, frame.contexts, instance))
    return instance


def prepared(arguments: Arguments) -> Value:
    """What a preparing call gives back: its arguments, wrapped."""
    if len(arguments.positional) == 1:
        return arguments.positional[0]
    return TupleVal(tuple(arguments.positional), rest=UNKNOWN if arguments.open_from is not None else None)
