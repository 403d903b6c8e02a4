"""Operations and losses under contract: binding their arguments and making the term that they yield."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from lossaudit.check.contracts import Entry, LossClass
from lossaudit.check.contracts.schema import REQUIRED, Loss, Op, Parameter, parse_signature
from lossaudit.check.events import Backward, LossCall, OpEvent
from lossaudit.check.infer.autocast import mixed_dtype
from lossaudit.check.infer.frame import Arguments, Frame
from lossaudit.check.infer.transfer import KIND_RULES, SHAPE_RULES, KindFact, result_dtype
from lossaudit.check.kinds import Dtype, Kind, Shape
from lossaudit.check.reasoning.losses import TRAINABLE
from lossaudit.check.reasoning.reductions import reduction_of
from lossaudit.check.reasoning.trace import Act
from lossaudit.check.values import (
    MAX_DEPTH,
    NONE,
    UNKNOWN,
    Const,
    External,
    Instance,
    ListVal,
    Site,
    Step,
    Tensor,
    TupleVal,
    Union,
    Unknown,
    Value,
    common_shape,
    constant,
    feasible,
    integer,
    join,
    sole_tensor,
    tensor_operands,
)

if TYPE_CHECKING:
    from lossaudit.check.infer.engine import Interpreter

_KEEPS_BATCH = ("same", "linear", "conv1", "conv2", "conv3", "pool", "embedding", "broadcast")


def bind(signature: str, arguments: Arguments, *, with_defaults: bool = True) -> dict[str, Value]:
    """Bind call arguments to the names of a contract's signature. What is not certain is absent or unknown."""
    parameters = parse_signature(signature)
    bound: dict[str, Value] = {}
    plain = [p for p in parameters if not p.keyword_only and not p.star]
    star = next((p for p in parameters if p.star == "*"), None)
    positional = arguments.certain_positional()
    for parameter, value in zip(plain, positional, strict=False):
        bound[parameter.name] = value
    if star is not None:
        rest = UNKNOWN if arguments.open_from is not None else None
        bound[star.name] = TupleVal(tuple(positional[len(plain) :]), rest=rest)
    names = {p.spelling: p.name for p in parameters if p.star != "**"}
    takes_any = any(p.star == "**" for p in parameters)
    is_open = arguments.is_open
    for keyword, value in arguments.keywords.items():
        name = names.get(keyword) or names.get(NUMPY_SPELLINGS.get(keyword, ""))
        if name is not None or takes_any or star is not None:
            bound[name or keyword] = value
        else:
            is_open = True  # the signature is not the one that we know: its defaults prove nothing
    if with_defaults:
        _add_defaults(parameters, bound, is_open=is_open)
    return bound


NUMPY_SPELLINGS = {"axis": "dim", "keepdims": "keepdim", "x": "input", "x2": "other"}
"""What PyTorch takes beside its own spelling, and other frameworks' methods use."""


def _add_defaults(parameters: tuple[Parameter, ...], bound: dict[str, Value], *, is_open: bool) -> None:
    for parameter in parameters:
        if parameter.name not in bound and parameter.default is not REQUIRED and not parameter.star:
            bound[parameter.name] = UNKNOWN if is_open else Const(parameter.default)


def apply_op(
    interp: Interpreter,
    frame: Frame,
    op: Op,
    args: dict[str, Value],
    site: Site,
    *,
    certain: bool = True,
    module: Instance | None = None,
) -> Value:
    """The value of an operation. Unions of its first operand are taken apart; a finding stands if all parts give it."""
    first = next(iter(args), None)
    operand = args.get(first) if first is not None else None
    is_split = isinstance(operand, Union) and sole_tensor(operand) is None and op.result != "backward"
    if is_split and operand is not None and first is not None:
        results = []
        with interp.findings.unanimous() as vote:
            for option in feasible(operand):
                with vote.ballot():
                    made = apply_op(
                        interp, frame, op, {**args, first: option}, site, certain=certain, module=module
                    )
                results.append(made)
        return join(results)
    if isinstance(operand, Unknown) and operand.foreign and not certain:
        # Arithmetic of another library's arrays; a function or layer of ours would make a tensor of them
        return replace(operand.unshaped(), dtype=Dtype.BOOL) if op.dtype == "bool" else operand.unshaped()
    term = make_term(interp, frame, op, args, site, certain=certain, module=module)
    interp.emit(OpEvent, lambda: OpEvent(site, frame.contexts, term), op.name)
    if op.activation is not None:
        return _activated(interp, frame, op.activation, args, term)
    return _result(interp, frame, op, term, args)


def _activated(
    interp: Interpreter, frame: Frame, activation: tuple[str, str], args: dict[str, Value], term: Tensor
) -> Value:
    """``Dense(10, activation="softmax")``: the activation that an argument holds, applied to the result."""
    parameter, namespace = activation
    given = args.get(parameter, NONE)
    name = constant(given)
    if name is None:
        return term
    callee = External(interp.contracts.canonical(namespace + name)) if isinstance(name, str) else given
    return interp.call(frame, callee, Arguments([term]), term.site)


def make_term(
    interp: Interpreter,
    frame: Frame,
    op: Op,
    args: dict[str, Value],
    site: Site,
    *,
    certain: bool = True,
    module: Instance | None = None,
) -> Tensor:
    """The term of an operation, with all facts that its contract gives."""
    operand = next(iter(args.values()), None)
    source = sole_tensor(operand)
    fact = KIND_RULES[op.kind](args, source)
    inputs = tensor_operands(args)
    depth = 1 + max([one.depth for one in inputs], default=0)
    begins = _begins_gradient(op, module)
    return Tensor(
        op.name,
        args if depth <= MAX_DEPTH else {},
        site,
        kind=fact.kind,
        class_dim=fact.class_dim,
        shape=SHAPE_RULES[op.shape](args, common_shape(operand)),
        dtype=mixed_dtype(interp, frame, op.name, result_dtype(op.dtype, args, source)),
        origin=fact.origin,
        route=_route(fact, source),
        certain=certain or any(one.certain for one in inputs),
        detached=op.detaches or (not begins and _all_detached(args, inputs)),
        inference=_in_inference(frame)
        or (not begins and bool(inputs) and all(one.inference for one in inputs)),
        unrecorded="no_grad" in frame.contexts,
        guarded="device_guard" in frame.contexts,
        batched=_is_batched(op, args, operand),
        data=(isinstance(operand, Unknown) and operand.data)
        or (bool(inputs) and all(one.data for one in inputs)),
        module=module,
        depth=depth if depth <= MAX_DEPTH else 1,
        guards=frame.guards,
        home=op.home,
    )


def _begins_gradient(op: Op, module: Instance | None) -> bool:
    """Whether the operation has weights of its own: their gradient does not ask where its input came from."""
    return op.name == "parameter" or (module is not None and op.name in TRAINABLE)


def _all_detached(args: dict[str, Value], inputs: list[Tensor]) -> bool:
    """Whether nothing that went in can carry a gradient; what a caller hands in may, an index never does."""
    if not (inputs and all(one.detached for one in inputs)):
        return False
    operands = (args.get("input"), args.get("other"))
    return not any(isinstance(one, Unknown) and one.parameter and not one.is_scalar for one in operands)


def _route(fact: KindFact, source: Tensor | None) -> tuple[Step, ...]:
    """The journey of a kind goes on through the operations that keep it."""
    if fact.origin is None or source is None or source.source is not fact.origin:
        return ()
    return source.route


def _in_inference(frame: Frame) -> bool:
    return bool(frame.contexts & {"no_grad", "inference"})


def _is_batched(op: Op, args: dict[str, Value], operand: Value | None) -> bool:
    """Dimension 0 stays the batch through layers, and through flattening what comes after it."""
    if isinstance(operand, Unknown):
        source_batched = operand.data
    else:
        tensor = sole_tensor(operand)
        source_batched = tensor is not None and tensor.batched
    if not source_batched:
        return False
    return op.shape in _KEEPS_BATCH or (op.shape == "flatten" and integer(args.get("start_dim")) == 1)


def _result(interp: Interpreter, frame: Frame, op: Op, term: Tensor, args: dict[str, Value]) -> Value:
    """The Python value that the operation returns, as its contract's ``result`` says."""
    kind = op.result
    if kind == "tensor":
        return term
    if kind == "list":
        return ListVal([], rest=term)
    if kind == "foreign":
        return Unknown(foreign=True, owner=term, shape=term.shape)
    if kind == "backward":
        start = None if constant(args.get("gradient")) is None else args.get("gradient")
        keeps = any(
            constant(args.get(name)) not in (None, False) for name in ("retain_graph", "create_graph")
        )
        back_propagate(interp, frame, args["input"], term.site, keeps_graph=keeps, start=start)
        return NONE
    if kind == "record":
        return _record(interp, frame, op, term)
    return _composite(kind, term)


def _record(interp: Interpreter, frame: Frame, op: Op, term: Tensor) -> Instance:
    """An object with one tensor an attribute, as models return that have several outputs."""
    ops = interp.contracts.ops
    attrs: dict[str, Value] = {
        name: make_term(interp, frame, ops[kind], {"input": term}, term.site, module=term.module)
        for name, kind in op.fields
    }
    return Instance(External(op.name), term.site, attrs=attrs)


def back_propagate(
    interp: Interpreter,
    frame: Frame,
    value: Value,
    site: Site,
    *,
    through: Value | None = None,
    keeps_graph: bool = False,
    start: Value | None = None,
) -> None:
    """``value.backward(start)``, or the same done by a wrapper."""
    interp.recorder.note(lambda: Act("backward", site, value, through, keeps_graph))
    forced = interp.forced_gradient(value)
    interp.emit(
        Backward,
        lambda: Backward(
            site,
            frame.contexts,
            value,
            explicit=True,
            gradient=start,
            forced=forced,
            inherited=frame.inherited,
        ),
    )


def _composite(kind: str, term: Tensor) -> Value:
    if kind == "extremum":
        return _extremum(term)
    if kind == "values_indices":
        return TupleVal((term, _indices(term)), ("values", "indices"))
    if kind == "recurrent":
        state = TupleVal((UNKNOWN, UNKNOWN))
        return TupleVal((term, state))
    if kind == "pair":
        return TupleVal((term, UNKNOWN))
    if kind == "size" and constant(term.args.get("dim")) is None:
        return shape_value(term.args.get("input"), term.site)
    return UNKNOWN if kind == "opaque" else term


def _extremum(term: Tensor) -> Value:
    """``max`` with a dimension gives values and indices; with another tensor, or nothing, a tensor."""
    dim = term.args.get("dim")
    if dim is None or constant(dim) is None or sole_tensor(dim) is not None:
        return term
    return TupleVal((term, _indices(term)), ("values", "indices"))


def _indices(term: Tensor) -> Tensor:
    source = term.args.get("input")
    args = {"input": source if source is not None else UNKNOWN}
    return Tensor("argmax", args, term.site, kind=Kind.HARD, shape=term.shape, certain=term.certain)


def shape_value(value: Value | None, site: Site) -> Value:
    """What ``x.shape`` is: known lengths as constants, others as sizes of ``x``."""
    tensor = sole_tensor(value)
    if tensor is None or not tensor.shape.exact:
        return Unknown(origin="size", of=None if value is UNKNOWN else value)
    items = [
        Const(length) if isinstance(length, int) else size_of(tensor, place, site)
        for place, length in enumerate(tensor.shape.dims)
    ]
    return TupleVal(tuple(items))


def size_of(value: Value, dim: int, site: Site) -> Tensor:
    """The length of one dimension, as a term."""
    return Tensor(
        "size", {"input": value, "dim": Const(dim)}, site, shape=Shape((), exact=True), certain=False
    )


def unpacked_shape(value: Value, rank: int, site: Site) -> tuple[Tensor, ...]:
    """What ``a, b, c = x.shape`` binds: unpacking tells how many dimensions there are."""
    sizes = (size_of(value, dim, site) for dim in range(rank))
    return tuple(replace(size, args={**size.args, "rank": Const(rank)}) for size in sizes)


def apply_loss(
    interp: Interpreter,
    frame: Frame,
    loss: Loss,
    args: dict[str, Value],
    site: Site,
    criterion: Instance | None = None,
    preset: frozenset[str] = frozenset(),
) -> Tensor:
    """The value of a loss under contract, and the event that tells the detectors.

    The term's arguments begin with the prediction and the target.
    """
    loss = as_called(loss, args)
    roles = [name for name in (loss.prediction, loss.target) if name in args]
    args = {name: args[name] for name in (*roles, *args)}
    inputs = [one for name in roles for one in _as_tensors(args.get(name))]
    depth = 1 + max((one.depth for one in inputs), default=0)
    prediction = sole_tensor(args.get(loss.prediction))
    term = Tensor(
        loss.name,
        args if depth <= MAX_DEPTH else {},
        site,
        kind=Kind.LOSS,
        shape=SHAPE_RULES["scalar" if reduction_of(args) in ("mean", "sum", "batchmean") else "unknown"](
            {}, _ANY
        ),
        inference=_in_inference(frame) or (prediction is not None and prediction.inference),
        unrecorded="no_grad" in frame.contexts,
        module=criterion,
        depth=depth if depth <= MAX_DEPTH else 1,
        home=loss.home,
    )
    interp.emit(
        LossCall, lambda: LossCall(site, frame.contexts, loss, args, criterion, term, preset, frame.autocast)
    )
    return term


def as_called(loss: Loss, args: dict[str, Value]) -> Loss:
    """The contract under these arguments: ``from_logits=True`` and its like decide what a loss expects."""
    changes: dict[str, Any] = {}
    for case in loss.when:
        given = [(constant(args.get(parameter)), value) for parameter, value in case.conditions]
        if any(found is not NotImplemented and found != value for found, value in given):
            continue
        is_open = any(found is NotImplemented for found, _ in given)
        changes |= {field: "" if is_open else value for field, value in case.changes}
    if "class_dim" in args:
        changes["class_dim"] = integer(args["class_dim"])
    return replace(loss, **changes) if changes else loss


_ANY = common_shape(None)


def _as_tensors(value: Value | None) -> list[Tensor]:
    return [one for one in feasible(value) if isinstance(one, Tensor)] if value is not None else []


def loss_of(entry: Entry | None) -> Loss | None:
    """The loss that an object with this contract is."""
    return entry.loss if isinstance(entry, LossClass) else None
