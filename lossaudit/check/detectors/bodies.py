"""LA508, LA509: what the body of a loss does with its own state and its own terms."""

from __future__ import annotations

from collections.abc import Iterator

from lossaudit.check import ir
from lossaudit.check.detectors import Hit, detector
from lossaudit.check.events import AttrAssign, FunctionReturn
from lossaudit.check.once import Once
from lossaudit.check.reasoning.liveness import lost_assignments
from lossaudit.check.reasoning.losses import (
    has_forward_of_two,
    is_criterion,
    is_loss_function,
)
from lossaudit.check.reasoning.terms import LIMIT, NUMBERS, unknown_leaves
from lossaudit.check.values import (
    ABSENT,
    Instance,
    Site,
    Tensor,
    Unknown,
    Value,
    alternatives,
    tensors,
    walk_terms,
)

# LA508: state that a loss makes of its parameters --------------------------------------------------------------------

_LOOK_UP = ("gather", "getitem", "index_select", "take", "embedding", "masked_select")
_SAME_VALUE = frozenset({
    "to", "cuda", "cpu", "float", "double", "half", "clone", "contiguous", "view", "squeeze", "unsqueeze", "detach", "flatten",
    "expand", "requires_grad_",
})  # fmt: skip


@detector("LA508", AttrAssign, of_definitions=True, needs="criterion")
def stateful_loss(event: AttrAssign) -> Iterator[Hit]:
    """A loss replaces its own parameter by what one batch makes of it."""
    owner, function = event.target, event.function
    if event.before is None or function is None or event.since is None or not isinstance(owner, Instance):
        return
    if not _is_from_before(event.before, event.since, owner.initial.get(event.name)):
        return  # an earlier statement of this call has set it anew
    if not (has_forward_of_two(owner) and is_criterion(owner)):
        return
    settings = {id(value) for value in owner.attrs.values()} | {id(event.before)}
    found = [one for one in alternatives(event.value) if isinstance(one, Tensor)]
    if any(_overwrites(one, event.before, settings, event.contexts) for one in found):
        message = f"`{event.name}` is replaced by what this batch makes of it: the next call starts from the wrong value"
        yield Hit("LA508", event.site, message, (), "keep the result in a local variable")


def _is_from_before(value: Value, since: int, initial: Value | None) -> bool:
    if isinstance(value, Tensor):
        return value.ident < since
    return value is initial


def _overwrites(value: Tensor, before: Value, settings: set[int], contexts: frozenset[str]) -> bool:
    """``before`` looked up, selected or multiplied by something of the batch."""
    term: Value = value
    while isinstance(term, Tensor) and term.op in _SAME_VALUE:
        term = term.args.get("input", ABSENT)
    if not isinstance(term, Tensor):
        return False
    first = term.args.get("weight" if term.op == "embedding" else "input", ABSENT)
    if term.op in _LOOK_UP and _holds(first, before):
        keys = [term.args[name] for name in ("index", "mask") if name in term.args] or [
            term.args.get("input", ABSENT)
        ]
        return any(_is_of_the_batch(key, settings) for key in keys)
    if term.op == "where":
        held = any(_holds(term.args.get(name, ABSENT), before) for name in ("input", "other"))
        return held and _is_of_the_batch(term.args.get("condition", ABSENT), settings)
    sides = (first, term.args.get("other", ABSENT))
    if term.op in ("mul", "div") and "no_grad" not in contexts:
        return any(
            _holds(one, before)
            and any(_is_computed_from_batch(part, settings, before) for part in tensors(other))
            for one, other in (sides, sides[::-1])
        )
    return False


def _holds(value: Value, before: Value) -> bool:
    """Whether ``value`` is what the attribute held, at most moved or reshaped."""
    for one in alternatives(value):
        term = one
        while isinstance(term, Tensor) and term.op in _SAME_VALUE and not _is_before(term, before):
            term = term.args.get("input", ABSENT)
        if _is_before(term, before):
            return True
    return False


def _is_before(value: Value, before: Value) -> bool:
    for one in alternatives(before):
        if value is one or (
            isinstance(value, Tensor) and isinstance(one, Tensor) and value.ident == one.ident
        ):
            return True
    return False


def _is_of_the_batch(value: Value, settings: set[int]) -> bool:
    """A tensor, or an argument of the call, that is no setting of the loss."""
    if isinstance(value, Tensor):
        return value.op not in NUMBERS and _reads_the_batch(value, settings)
    return isinstance(value, Unknown) and (value.parameter or value.data) and id(value) not in settings


def _is_computed_from_batch(value: Tensor, settings: set[int], before: Value) -> bool:
    """Something of the batch that is not the attribute itself: dividing by one's own sum is a normalisation."""
    own = any(_is_before(one, before) for one in walk_terms(value, LIMIT))
    return not own and _is_surely_tensor(value) and _reads_the_batch(value, settings)


def _reads_the_batch(value: Tensor, settings: set[int]) -> bool:
    is_given = any(one.op == "input" for one in walk_terms(value, LIMIT))
    return is_given or any(id(leaf) not in settings for leaf in unknown_leaves(value))


_ARITHMETIC = frozenset(
    {"add", "sub", "mul", "div", "pow", "neg", "floor_divide", "remainder", "size", "numel", "rsub"}
)
_COMPARING = frozenset({"eq", "ne", "lt", "le", "gt", "ge", "logical_and", "logical_not"})


def _is_surely_tensor(term: Tensor) -> bool:
    """Arithmetic on values of unknown type may be arithmetic on plain numbers; any other operation is a tensor's."""
    return any(one.op not in _ARITHMETIC and one.op not in _COMPARING for one in walk_terms(term, LIMIT))


# LA509: what never reaches the result --------------------------------------------------------------------------------


@detector("LA509", FunctionReturn, of_definitions=True, needs="here:reduced | loss")
def unused_loss_term(event: FunctionReturn) -> Iterator[Hit]:
    """A weight, a mask or a term of a loss is computed and lost."""
    node = event.function.node
    if not isinstance(node, ir.FunctionDef) or not event.assigned or not is_loss_function(event):
        return
    for lost in _lost_in(node):
        value = event.assigned.get(lost.id)
        target = lost.targets[0]
        if value is None or not isinstance(target, ir.Name) or target.name.startswith("_"):
            continue
        options = tensors(value)
        if options and all(_is_term(one, event.since) for one in options):
            site = Site(event.function.module.filename, lost.value.id)
            message = f"`{target.name}` is computed here and never reaches the loss"
            yield Hit(
                "LA509", site, message, (), "use it in what the loss returns, or delete the computation"
            )


def _is_term(term: Tensor, since: int) -> bool:
    return term.ident >= since and term.op not in NUMBERS and _is_surely_tensor(term)


_lost_in: Once[ir.FunctionDef, list[ir.Assign]] = Once(lost_assignments)
