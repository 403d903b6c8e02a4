"""What the interpreter tells the detectors while it runs the code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from lossaudit.check.contracts.schema import Loss
from lossaudit.check.reasoning.trace import Nested
from lossaudit.check.values import Autocast, Function, Instance, Site, Tensor, Unknown, Value


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened at ``site``; ``contexts`` names what was active (``no_grad``, ``autocast``, ``inference``)."""

    site: Site
    contexts: frozenset[str]

    @property
    def in_inference(self) -> bool:
        """Whether nothing is trained here: under ``no_grad``, in ``predict``, or below ``model.eval()``."""
        return bool(self.contexts & {"no_grad", "inference"})


@dataclass(frozen=True, slots=True)
class LossCall(Event):
    """A loss under contract was called. ``args`` joins the constructor's and the call's arguments, by name.

    ``criterion`` is the loss object, None for the functional form; ``term`` is the value that the call yields;
    ``preset`` names the arguments that were not given at the call but with a ``functools.partial``; ``autocast`` the region
    of mixed precision in which it happens.
    """

    loss: Loss
    args: dict[str, Value]
    criterion: Instance | None
    term: Tensor
    preset: frozenset[str] = frozenset()
    autocast: Autocast | None = None


@dataclass(frozen=True, slots=True)
class OpEvent(Event):
    """An operation made a tensor."""

    term: Tensor


@dataclass(frozen=True, slots=True)
class TrainedOp(Event):
    """An operation has turned out to take part in something that is optimised; each is told once, after the fact.

    ``by_hand`` says that the function in which it stands states its gradient itself.
    """

    term: Tensor
    by_hand: bool = False


@dataclass(frozen=True, slots=True)
class Backward(Event):
    """``value`` is back-propagated: by ``.backward()``, or because a framework does so with a step's result.

    ``gradient`` is what an explicit call passes to start from, None where it passes nothing; ``forced`` is where
    ``requires_grad`` was set on that very value; ``inherited`` are the contexts that were active where the function was called.
    """

    value: Value
    explicit: bool
    gradient: Value | None = None
    forced: Site | None = None
    inherited: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Construct(Event):
    """An object was built."""

    instance: Instance


@dataclass(frozen=True, slots=True)
class PartialCall(Event):
    """``functools.partial(function, ..., **keywords)``."""

    function: Value
    keywords: dict[str, Value]


@dataclass(frozen=True, slots=True)
class AttrAssign(Event):
    """``target.name = value`` was executed in ``function``; ``before`` is what an object's attribute held until then.

    ``target`` is an object, a tensor, or an unknown value that was handed in; ``handed_in`` says that the function, or the
    constructor of the object to which the method belongs, got it as an argument. Within a ``forward``, terms with an ``ident``
    from ``since`` on were made during that call.
    """

    target: Value
    name: str
    value: Value
    function: Function | None
    handed_in: bool = False
    before: Value | None = None
    since: int | None = None


@dataclass(frozen=True, slots=True)
class ExternalCall(Event):
    """Something outside the project, and not a tensor operation, was called: ``optimizer.step()``, ``torch.save(...)``."""

    name: str
    receiver: Value | None
    positional: tuple[Value, ...]
    keywords: dict[str, Value]


@dataclass(frozen=True, slots=True)
class DistributionMade(Event):
    """A distribution over classes was built, which reads them along the last dimension of ``probs`` or ``logits`` in ``args``."""

    args: dict[str, Value]


@dataclass(frozen=True, slots=True)
class Mutation:
    """An in-place operation at ``site`` on ``argument``, a value that was handed in, or on a view of it.

    ``result`` is what the operation made of it; ``operation`` is how it is written.
    """

    site: Site
    argument: Unknown
    result: Value
    operation: str


@dataclass(frozen=True, slots=True)
class LoopDone(Event):
    """A loop was run; ``loop`` holds what its passes did."""

    loop: Nested


@dataclass(frozen=True, slots=True)
class BaseInit(Event):
    """The constructor of the external class ``base`` is run on ``instance``, an object of the project's subclass."""

    instance: Value
    base: str
    positional: tuple[Value, ...]
    keywords: dict[str, Value]


@dataclass(frozen=True, slots=True)
class FunctionReturn(Event):
    """A function of the project returned ``value``, in which there are tensors.

    ``parameters`` are the values with which it was called; ``mutations`` are the changes of handed-in values on the way.
    Terms with an ``ident`` from ``since`` on were made during the call. ``assigned`` holds what the plain assignments to one
    name bound last, by the ordinal of the statement.
    """

    function: Function
    value: Value
    parameters: tuple[Value, ...] = ()
    mutations: tuple[Mutation, ...] = ()
    receiver: Value | None = None
    since: int = 0
    assigned: Mapping[int, Value] = field(default_factory=dict)
