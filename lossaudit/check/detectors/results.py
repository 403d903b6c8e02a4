"""What a result is made of: the terms that a loss adds up, scales and averages, from the result inwards.

A reduction can only be judged by what is done with its value later: ``(loss * mask).mean()`` is right when it is divided by
``mask.mean()``. Rules on reductions therefore start from a value that a function returns or that is back-propagated.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from lossaudit.check.events import Backward, FunctionReturn
from lossaudit.check.values import (
    UNKNOWN,
    DictVal,
    ListVal,
    Tensor,
    TupleVal,
    Value,
    alternatives,
    join,
    number,
)

_INWARDS = {
    "add": ("input", "other"),
    "sub": ("input", "other"),
    "mul": ("input", "other"),
    "div": ("input", "other"),
    "neg": ("input",),
    "mean": ("input",),
    "sum": ("input",),
    "to": ("input",),
    "float": ("input",),
    "clone": ("input",),
    "view": ("input",),
    "squeeze": ("input",),
    "nan_to_num": ("input",),
    "stack": ("tensors",),
    "cat": ("tensors",),
    "abs": ("input",),
    "square": ("input",),
    "pow": ("input",),
    "sqrt": ("input",),
}
_MAX_PARTS = 200


@dataclass(frozen=True, slots=True)
class Part:
    """One expression in a result: the terms that it is on the several paths, and what it is later scaled by."""

    terms: tuple[Tensor, ...]
    factors: tuple[Value, ...] = ()
    divisors: tuple[Value, ...] = ()

    @property
    def op(self) -> str:
        """The operation."""
        return self.terms[0].op

    @property
    def term(self) -> Tensor:
        """The term of the first path."""
        return self.terms[0]

    def operand(self, name: str) -> Value:
        """The operand of that name, joined over the paths."""
        return join(value for term in self.terms if (value := term.arg(name)) is not None)


def parts(event: FunctionReturn | Backward) -> Iterator[Part]:
    """The expressions of which the result is made, each once, outermost first. Nothing in inference code."""
    if _latest.event is not event:
        _latest.event = event
        _latest.parts = [] if event.in_inference else list(_taken_apart(event.value))
    yield from _latest.parts


@dataclass(slots=True)
class _Latest:
    """Several rules ask for the parts of the same event, one after the other."""

    event: FunctionReturn | Backward | None = None
    parts: list[Part] = field(default_factory=list)


_latest = _Latest()


def _taken_apart(value: Value) -> Iterator[Part]:
    queue = [Part(group) for group in _groups(value)]
    seen: set[tuple[int, ...]] = set()
    while queue and len(seen) < _MAX_PARTS:
        part = queue.pop(0)
        key = tuple(term.ident for term in part.terms)
        if key in seen or any(term.detached or term.inference for term in part.terms):
            continue
        seen.add(key)
        yield part
        queue += _inner(part)


def _inner(part: Part) -> Iterator[Part]:
    """The operands of a part, with what they are multiplied and divided by."""
    for name in _INWARDS.get(part.op, ()):
        factors, divisors = part.factors, part.divisors
        if part.op == "mul":
            factors = (*factors, part.operand("other" if name == "input" else "input"))
        elif part.op == "div" and name == "input":
            divisors = (*divisors, part.operand("other"))
        elif part.op == "div":
            continue
        for group in _groups(part.operand(name)):
            yield Part(group, factors, divisors)


def _groups(value: Value) -> Iterator[tuple[Tensor, ...]]:
    """The tensors in a value, those of one expression together: each path may have left another term there."""
    found: dict[tuple[object, str], list[Tensor]] = {}
    for one in _flattened(value):
        found.setdefault((one.site, one.op), []).append(one)
    yield from (tuple(group) for group in found.values())


def _flattened(value: Value, depth: int = 0) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
        return
    if depth > 4:
        return
    for one in alternatives(value):
        items: list[Value] = []
        if isinstance(one, (TupleVal, ListVal)):
            items = [*one.items, *([one.rest] if one.rest is not None else [])]
        elif isinstance(one, DictVal):
            items = list(one.entries.values())
        elif one is not value:
            items = [one]
        for item in items:
            yield from _flattened(item, depth + 1)


def unscaled(value: Tensor) -> Tensor:
    """``value`` without signs, constant factors and changes of element type or place."""
    while True:
        inner, other = value.arg("input"), value.arg("other")
        keeps = value.op in _SAME_NUMBERS or (value.op in ("mul", "div") and number(other) is not None)
        if keeps and isinstance(inner, Tensor):
            value = inner
        elif value.op == "mul" and number(inner) is not None and isinstance(other, Tensor):
            value = other
        else:
            return value


_SAME_NUMBERS = (
    "neg",
    "to",
    "float",
    "double",
    "half",
    "bfloat16",
    "clone",
    "contiguous",
    "device_move",
    "nan_to_num",
)


def reached(term: Tensor, ops: tuple[str, ...], limit: int = 100) -> Iterator[Tensor]:
    """``term`` and the terms that lie below it on every path, behind operations of ``ops`` alone, each once."""
    seen: set[int] = set()
    stack = [term]
    while stack and len(seen) < limit:
        one = stack.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        if one.op in ops:
            stack += [value for value in one.args.values() if isinstance(value, Tensor)]


def leaves(value: Value | None, limit: int = 200) -> set[int]:
    """The identities of the values at which the computation of ``value`` starts, and of every term on the way."""
    seen: set[int] = set()
    stack: list[Value] = [] if value is None else [value]
    while stack and len(seen) < limit:
        one = stack.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        if isinstance(one, Tensor):
            stack += one.args.values()
        elif isinstance(one, (TupleVal, ListVal)):
            stack += one.items
        else:
            stack += [part for part in alternatives(one) if part is not one]
    return seen


def mentions(value: Value | None, wanted: Value, limit: int = 200) -> bool:
    """Whether ``wanted`` takes part in the computation of ``value``. Nothing can be said of what is wholly unknown."""
    return wanted is not UNKNOWN and id(wanted) in leaves(value, limit)
