"""In-place operations on what a caller handed in."""

from __future__ import annotations

from lossaudit.check.events import Mutation
from lossaudit.check.infer.frame import Frame
from lossaudit.check.values import Site, Tensor, Unknown, Value

_VIEWS = (
    "view",
    "view_as",
    "flatten",
    "squeeze",
    "unsqueeze",
    "unflatten",
    "transpose",
    "t",
    "movedim",
    "permute",
    "detach",
)
"""Operations whose result shares its memory with the first operand (``reshape`` does wherever it can)."""


def note_mutation(frame: Frame, target: Value, result: Value, site: Site, operation: str) -> None:
    """Remember an in-place operation on ``target``, if that is an unseen caller's value or a view of it."""
    argument = argument_behind(target)
    if argument is not None:
        frame.mutations.append(Mutation(site, argument, result, operation))


def argument_behind(value: Value) -> Unknown | None:
    """The handed-in value of which ``value`` is a view, or which it is."""
    while isinstance(value, Tensor) and value.op in _VIEWS and "input" in value.args:
        value = value.args["input"]
    return value if isinstance(value, Unknown) and value.argument else None
