"""Functions written out by hand, recognised on the term graph: sigmoid, softmax, softplus, logsumexp, log-softmax.

What is recognised is the algebra, not the spelling: the parts may come from variables, helper functions or attributes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from lossaudit.check.kinds import Kind
from lossaudit.check.values import (
    BATCH,
    UNKNOWN,
    Const,
    External,
    ListVal,
    Tensor,
    TupleVal,
    Unknown,
    Value,
    integer,
    number,
    tensors,
)

LAYOUT = frozenset({
    "identity", "to", "device_move", "contiguous", "clone", "requires_grad_", "float", "double", "half", "bfloat16",
    "view", "view_as", "flatten", "unflatten", "squeeze", "unsqueeze", "permute", "transpose", "t", "movedim", "expand",
    "repeat_interleave", "flip", "roll", "variable", BATCH,
})  # fmt: skip
"""Operations after which every number is still there, unchanged."""
SELECTION = frozenset({
    "getitem", "select", "narrow", "index_select", "gather", "take", "chunk", "unbind", "masked_select", "diag",
})  # fmt: skip
"""Operations after which some of the numbers are there, unchanged."""
EPSILON_LIMIT = 1e-2
"""A constant added to a sum up to this size is an epsilon."""
_MAX_DEPTH = 8
_DRAWS = frozenset({
    "dropout", "bernoulli", "multinomial", "zeros", "zeros_like", "new_zeros", "randint", "gumbel_softmax", "opaque",
    "hidden", "recurrent",
})  # fmt: skip
"""Operations of which two calls with equal arguments need not give equal results."""

Args = Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class Form:
    """``name`` applied to ``argument``, written out; ``power`` is the exponential in it, ``scale`` a constant factor."""

    name: Literal["sigmoid", "softmax", "softplus", "logsumexp", "log_softmax"]
    argument: Value
    power: Tensor | None
    dim: int | None = None
    scale: float = 1.0


def sole(value: Value | None) -> Tensor | None:
    """The one tensor that ``value`` is on every path."""
    found = tensors(value)
    return found[0] if len(found) == 1 else None


def strip(value: Value | None, through: frozenset[str] = LAYOUT) -> Tensor | None:
    """The term below the operations in ``through``."""
    term = sole(value)
    while term is not None and term.op in through:
        below = sole(term.arg("input"))
        if below is None:
            break
        term = below
    return term


def same_term(left: Value | None, right: Value | None, depth: int = _MAX_DEPTH) -> bool:
    """Whether two values are certainly equal numbers."""
    if left is None or right is None or depth == 0:
        return False
    if isinstance(left, Unknown) or isinstance(right, Unknown):
        return _same_unknown(left, right, depth)
    if left is right:
        return True
    if isinstance(left, Const) and isinstance(right, Const):
        return type(left.value) is type(right.value) and bool(left.value == right.value)
    if isinstance(left, External) and isinstance(right, External):
        return left.name == right.name
    if isinstance(left, (TupleVal, ListVal)) and isinstance(right, (TupleVal, ListVal)):
        is_plain = left.rest is None and right.rest is None and len(left.items) == len(right.items)
        return is_plain and all(
            same_term(a, b, depth - 1) for a, b in zip(left.items, right.items, strict=True)
        )
    return isinstance(left, Tensor) and isinstance(right, Tensor) and _same_tensor(left, right, depth)


def _same_unknown(left: Value, right: Value, depth: int) -> bool:
    """The same value, or the same part of the same value; what stands for every part of a batch is no proof."""
    if not isinstance(left, Unknown) or not isinstance(right, Unknown) or UNKNOWN in (left, right):
        return False
    if left.of is not None and left.of is right.of:
        return same_term(left.at, right.at, depth - 1)
    return left is right and not left.data and left.origin == ""


def _same_tensor(left: Tensor, right: Tensor, depth: int) -> bool:
    if left.op != right.op or left.module is not right.module:
        return False
    if left.ident == right.ident and left.site == right.site:
        return True
    if left.op in _DRAWS or not left.args or left.args.keys() != right.args.keys():
        return False
    return all(same_term(value, right.args[name], depth - 1) for name, value in left.args.items())


def sides(args: Args) -> tuple[tuple[Value | None, Value | None], ...]:
    """The two operands, in both orders."""
    left, right = args.get("input"), args.get("other")
    return (left, right), (right, left)


def exponential(value: Value | None) -> Tensor | None:
    """``value`` as an exponential of something, up to layout."""
    term = strip(value)
    return term if term is not None and term.op == "exp" else None


def one_plus_exponential(value: Value | None) -> Tensor | None:
    """The exponential in ``1 + exp(z)``."""
    term = strip(value)
    if term is None or term.op != "add":
        return None
    for one, other in sides(term.args):
        if number(one) == 1:
            return exponential(other)
    return None


def summed_exponential(value: Value | None) -> tuple[Tensor, Tensor] | None:
    """``exp(z).sum(dim)``, up to layout and a small epsilon: the exponential and the sum."""
    term = without_epsilon(value)
    if term is None or term.op != "sum":
        return None
    power = exponential(term.arg("input"))
    return None if power is None else (power, term)


def without_epsilon(value: Value | None) -> Tensor | None:
    """The term below layout changes and an added epsilon."""
    term = strip(value)
    if term is not None and term.op == "add":
        for one, other in sides(term.args):
            found = number(one)
            if found is not None and 0 <= found <= EPSILON_LIMIT:
                return strip(other)
    return term


# Forms -----------------------------------------------------------------------------------------------------------


def quotient(numerator: Value | None, denominator: Value | None) -> Form | None:
    """``1 / (1 + exp(z))``, ``exp(z) / (1 + exp(z))`` and ``exp(z) / exp(z).sum()``."""
    power = one_plus_exponential(denominator)
    if power is not None:
        return _sigmoid(numerator, power)
    found = summed_exponential(denominator)
    above = exponential(numerator)
    if found is None or above is None or not same_term(above, found[0]):
        return None
    return Form("softmax", argument_of(above), above, integer(found[1].arg("dim")))


def _sigmoid(numerator: Value | None, power: Tensor) -> Form | None:
    scale = number(numerator)
    if scale is not None:
        return Form("sigmoid", argument_of(power), power, scale=scale) if scale != 0 else None
    above = exponential(numerator)
    return (
        Form("sigmoid", argument_of(above), above) if above is not None and same_term(above, power) else None
    )


def argument_of(power: Tensor) -> Value:
    """What stands in the exponential."""
    return power.args.get("input", UNKNOWN)


def logarithm(argument: Value | None) -> Form | None:
    """``log(1 + exp(z))`` and ``log(exp(z).sum())``."""
    power = one_plus_exponential(argument)
    if power is not None:
        return Form("softplus", argument_of(power), power)
    found = summed_exponential(argument)
    if found is None:
        return None
    return Form("logsumexp", argument_of(found[0]), found[0], integer(found[1].arg("dim")))


def difference(left: Value | None, right: Value | None) -> Form | None:
    """``z - logsumexp(z)``, with the library's function or a written-out one."""
    term = strip(right)
    if term is None:
        return None
    whole, dim = term.arg("input"), integer(term.arg("dim"))
    if term.op == "log":
        form = logarithm(whole)
        if form is None or form.name != "logsumexp":
            return None
        whole, dim = form.argument, form.dim
    elif term.op != "logsumexp":
        return None
    is_same = same_term(strip(left), strip(whole)) or same_term(left, whole)
    return Form("log_softmax", whole or UNKNOWN, None, dim) if is_same else None


def form_of(op: str, args: Args) -> Form | None:
    """The function that an operation completes, if it is one written out by hand."""
    if op == "div":
        return quotient(args.get("input"), args.get("other"))
    if op == "reciprocal" or (op == "pow" and number(args.get("exponent", args.get("other"))) == -1):
        return quotient(Const(1), args.get("input"))
    if op == "log":
        return logarithm(args.get("input"))
    if op == "log1p":
        power = exponential(args.get("input"))
        return None if power is None else Form("softplus", argument_of(power), power)
    if op == "sub":
        return difference(args.get("input"), args.get("other"))
    return None


def written_out(term: Tensor) -> Form | None:
    """The function that ``term`` is, if it is one written out by hand."""
    return form_of(term.op, term.args)


KINDS = {"sigmoid": Kind.SIGMOID, "softmax": Kind.PROBABILITY, "log_softmax": Kind.LOG_PROBABILITY}
"""The kind of the forms that have one."""


# What rules ask ----------------------------------------------------------------------------------------------------


def is_softmax(term: Tensor) -> bool:
    """Whether the term is a softmax, the library's or a written-out one."""
    if term.op == "softmax":
        return True
    form = written_out(term)
    return form is not None and form.name == "softmax"


def is_sigmoid(term: Tensor) -> bool:
    """Whether the term is a sigmoid, the library's or a written-out one."""
    if term.op == "sigmoid":
        return True
    form = written_out(term)
    return form is not None and form.name == "sigmoid" and form.scale == 1


def is_softplus(term: Tensor) -> bool:
    """Whether the term is ``log(1 + exp(z))``, the library's or a written-out one."""
    if term.op == "softplus":
        return number(term.arg("beta")) == 1
    form = written_out(term)
    return form is not None and form.name == "softplus"


def one_minus(value: Value | None) -> Value | None:
    """``x`` in ``1 - x``."""
    term = strip(value)
    if term is None:
        return None
    if term.op == "sub" and number(term.arg("input")) == 1:
        return term.arg("other")
    if term.op == "rsub" and number(term.arg("other")) == 1:
        return term.arg("input")
    if term.op == "add":
        for one, other in sides(term.args):
            negated = strip(other)
            if number(one) == 1 and negated is not None and negated.op == "neg":
                return negated.arg("input")
    return None


def selected(value: Value | None) -> tuple[Tensor, ...]:
    """The terms whose numbers, or some of them, ``value`` holds; nothing unless it is a tensor on every path."""
    found: list[Tensor] = []
    for term in tensors(value):
        below = strip(term, LAYOUT | SELECTION)
        if below is None:
            return ()
        found.append(below)
    return tuple(found)
