"""What the interpreter tells the detectors while it runs the code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from lossaudit.check.contracts.schema import Loss
from lossaudit.check.trace import Nested
from lossaudit.check.values import Function, Instance, Site, Tensor, Value


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

    ``criterion`` is the loss object, None for the functional form; ``term`` is the value that the call yields.
    """

    loss: Loss
    args: dict[str, Value]
    criterion: Instance | None
    term: Tensor


@dataclass(frozen=True, slots=True)
class OpEvent(Event):
    """An operation made a tensor."""

    term: Tensor


@dataclass(frozen=True, slots=True)
class Backward(Event):
    """``value`` is back-propagated: by ``.backward()``, or because a framework does so with a step's result.

    ``forced`` is where ``requires_grad`` was set on that very value.
    """

    value: Value
    explicit: bool
    forced: Site | None = None


@dataclass(frozen=True, slots=True)
class Construct(Event):
    """An object was built."""

    instance: Instance


@dataclass(frozen=True, slots=True)
class AttrAssign(Event):
    """``target.name = value`` was executed in ``function``; ``before`` is what an object's attribute held until then.

    Within a ``forward``, terms with an ``ident`` from ``since`` on were made during that call.
    """

    target: Value
    name: str
    value: Value
    function: Function | None
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
class LoopDone(Event):
    """A loop was run; ``loop`` holds what its passes did."""

    loop: Nested


@dataclass(frozen=True, slots=True)
class FunctionReturn(Event):
    """A function of the project returned ``value``.

    Terms with an ``ident`` from ``since`` on were made during the call. ``assigned`` holds what the plain assignments to one name
    bound last, by the ordinal of the statement.
    """

    function: Function
    value: Value
    receiver: Value | None = None
    since: int = 0
    assigned: Mapping[int, Value] = field(default_factory=dict)
