"""LA503: where the tensors of a loss lie."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from lossaudit.check.detectors import Hit, detector
from lossaudit.check.events import FunctionReturn
from lossaudit.check.infer.transfer import sequence
from lossaudit.check.reasoning.gradients import parts
from lossaudit.check.reasoning.losses import (
    is_loss_function,
    returned_tensors,
)
from lossaudit.check.reasoning.terms import LIMIT, NUMBERS
from lossaudit.check.values import (
    ABSENT,
    ClassVal,
    Const,
    DictVal,
    Instance,
    ListVal,
    Tensor,
    TupleVal,
    Union,
    Unknown,
    Value,
    alternatives,
    constant,
    operands,
    tensors,
)

# LA503: the device of what a loss makes -----------------------------------------------------------------------------

_MADE_ON_THE_CPU = frozenset({
    "zeros", "ones", "empty", "rand", "full", "tensor", "float_tensor", "long_tensor", "as_tensor", "from_numpy", "arange",
    "eye", "linspace", "randint", "hann_window",
})  # fmt: skip
_MADE_LIKE_ANOTHER = frozenset({
    "zeros_like", "ones_like", "empty_like", "rand_like", "full_like", "new_zeros", "new_ones", "new_empty", "new_full",
    "new_tensor",
})  # fmt: skip
_TAKES_A_DEVICE = _MADE_ON_THE_CPU | _MADE_LIKE_ANOTHER
_FROM_ANY_DEVICE = frozenset({
    ("getitem", "index"), ("setitem", "index"),
    ("ctc_loss", "targets"), ("ctc_loss", "input_lengths"), ("ctc_loss", "target_lengths"),
})  # fmt: skip
"""Arguments that PyTorch takes from the CPU wherever the others lie."""
_NO_OPERANDS = frozenset({"dim", "keepdim", "dtype", "device", "index", "size", "args", "data"})
"""Parameters in which a tensor, if there is one, need not lie where the operation is computed."""
_WORDS = {
    "cuda": "`.cuda()` picks a GPU inside a loss",
    "cpu": "`.cpu()` moves a part of the loss to the CPU",
    "cuda_tensor": "a tensor made on the GPU inside a loss",
}


@detector("LA503", FunctionReturn, of_definitions=True, needs="here:reduced | loss")
def hard_coded_device(event: FunctionReturn) -> Iterator[Hit]:
    """A loss fixes the device of a tensor that takes part in it."""
    if not any(True for _ in returned_tensors(event.value)) or not is_loss_function(event):
        return
    search = _DeviceSearch(event.since, frozenset(_handed_in(event)))
    for term in returned_tensors(event.value):
        if _reads_input(term, event.since):
            search.visit(term)
    for made, words in search.found:
        yield Hit(
            "LA503",
            made.site,
            words,
            (),
            "follow the input: pass `device=` of the prediction, or use `zeros_like`, `new_zeros`, `.to(x.device)`",
        )


def _handed_in(event: FunctionReturn) -> Iterator[int]:
    """The identities of the constants that the loss gets from outside: a device among them is the caller's choice."""
    receiver = event.receiver if isinstance(event.receiver, Instance) else None
    held = [one for one in event.parameters if one is not receiver]
    if receiver is not None:
        held += [*receiver.given, *(one for one in receiver.attrs.values() if not isinstance(one, Const))]
    seen: set[int] = set()
    for _ in range(_CONFIGURATION_DEPTH + 1):
        fresh = {id(one): one for one in held if id(one) not in seen}
        seen |= fresh.keys()
        yield from (key for key, one in fresh.items() if isinstance(one, Const))
        held = [part for one in fresh.values() for part in (*parts(one), *_settings(one))]


def _settings(value: Value) -> list[Value]:
    """What an object holds, and what its class holds for it."""
    if not isinstance(value, Instance):
        return []
    of_class = value.cls.scope.vars.values() if isinstance(value.cls, ClassVal) else ()
    return [*value.attrs.values(), *of_class]


_CONFIGURATION_DEPTH = 3
"""How deeply settings lie in the objects that hold them."""


def _reads_input(term: Tensor, since: int) -> bool:
    """Whether anything from outside the call takes part: without it there is no device to differ from."""
    stack, seen = [term], set[int]()
    while stack and len(seen) < LIMIT:
        one = stack.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        if one.ident < since:
            return True
        if one.op in NUMBERS:
            continue
        stack += operands(one)
        if any(_is_input(value) for value in one.args.values()):
            return True
    return False


def _is_input(value: Value) -> bool:
    return any(
        isinstance(one, Unknown) and not (one.is_scalar or one.origin in ("size", "number"))
        for one in alternatives(value)
    )


@dataclass(slots=True)
class _DeviceSearch:
    """Walks from the result towards what it was made of, up to whatever puts a value on the right device."""

    since: int
    handed_in: frozenset[int]
    found: list[tuple[Tensor, str]] = field(default_factory=list)
    seen: set[tuple[int, bool]] = field(default_factory=set)

    def visit(self, value: Value) -> None:
        """Look at a value and, unless its device is settled, at its operands.

        What is only a record, such as ``torch.tensor([term])`` beside the loss or the mean of such numbers, meets no other tensor:
        where it lies matters to nobody.
        """
        stack = [(value, False)]
        while stack and len(self.seen) < LIMIT:
            one, meets = stack.pop()
            if (id(one), meets) in self.seen:
                continue
            self.seen.add((id(one), meets))
            if isinstance(one, Union):
                stack += [(option, meets) for option in _without_what_is_moved(one)]
            elif isinstance(one, (TupleVal, ListVal)):
                stack += [(item, meets or len(one.items) > 1) for item in one.items]
            elif isinstance(one, DictVal):
                stack += [(entry, meets) for entry in one.entries.values()]
            elif isinstance(one, Tensor) and one.ident >= self.since:
                stack += self._term(one, meets=meets)

    def _term(self, term: Tensor, *, meets: bool) -> list[tuple[Value, bool]]:
        """What is left to look at below ``term``, and whether it meets another tensor there or above."""
        if term.op in NUMBERS or _is_plain_number(term, self.since):
            return []
        if not term.guarded:
            words = "" if self._is_configured(term) else _fixed_device(term)
            if words:
                if meets or term.op not in _TAKES_A_DEVICE:
                    self.found.append((term, words))
                return []
        if term.guarded or _settles_device(term):
            return []
        held = {name: value for name, value in term.args.items() if (term.op, name) not in _FROM_ANY_DEVICE}
        mates = [name for name, value in held.items() if name not in _NO_OPERANDS and _may_be_tensor(value)]
        return [(value, meets or any(mate != name for mate in mates)) for name, value in held.items()]

    def _is_configured(self, term: Tensor) -> bool:
        """Whether the device is a setting that came from outside the loss."""
        named = (term.arg("device"), *_destinations(term))
        return any(id(value) in self.handed_in for value in named)


def _may_be_tensor(value: Value) -> bool:
    return bool(tensors(value)) or _is_input(value)


def _without_what_is_moved(union: Union) -> list[Value]:
    """Of ``x`` and ``x`` moved under a condition on devices, the moved one speaks for both."""
    options = union.alternatives
    return [one for one in options if not any(_is_moved(other, one) for other in options)]


def _is_moved(moved: Value, source: Value, depth: int = 8) -> bool:
    """Whether ``moved`` is ``source`` after a move that a device decided, or both are the same operation on such a pair."""
    if not isinstance(moved, Tensor) or not isinstance(source, Tensor) or moved is source or depth == 0:
        return False
    if moved.guarded and any(one is source for one in alternatives(moved.args.get("input", ABSENT))):
        return True
    if moved.op != source.op or moved.site != source.site:
        return False
    return any(_is_moved(one, source.args.get(name, ABSENT), depth - 1) for name, one in moved.args.items())


def _is_plain_number(term: Tensor, since: int) -> bool:
    """A tensor without dimensions that no input went into: it mixes with every device."""
    return term.shape.rank == 0 and not _reads_input(term, since)


def _fixed_device(term: Tensor) -> str:
    """How ``term`` fixes its device, in words; empty if it does not."""
    if term.home:
        return ""  # the other frameworks make a tensor on the device that was chosen for the program
    if term.op in _TAKES_A_DEVICE:
        return _made_on(term)
    if term.op == "cuda":
        return _WORDS["cuda"] if _names_no_tensor(term.arg("device")) else ""
    if term.op in ("cpu", "cuda_tensor"):
        return _WORDS[term.op]
    if term.op == "to":
        device = next((text for text in map(_device_text, _destinations(term)) if text), "")
        return f'`.to("{device}")` fixes the device inside a loss' if device else ""
    return ""


def _made_on(term: Tensor) -> str:
    device = term.arg("device")
    text = _device_text(device) if device is not None else ""
    if text:
        return f'`device="{text}"` inside a loss: the other operands may lie elsewhere'
    names_none = device is None or constant(device) is None
    if term.op in _MADE_ON_THE_CPU and names_none and _has_dimensions(term) and _keeps_no_device(term):
        return "a tensor made without `device=` lies on the CPU, whatever the loss is given"
    return ""


def _has_dimensions(term: Tensor) -> bool:
    """Whether it is no plain number; ``zeros(x.shape)`` has the dimensions of a batch."""
    if term.shape.least_rank >= 1:
        return True
    lengths = sequence(term.arg("size")) or ()
    return any(isinstance(length, Unknown) and length.origin == "size" for length in lengths)


def _keeps_no_device(term: Tensor) -> bool:
    """``as_tensor`` and ``from_numpy`` of something unknown may be given a tensor that lies anywhere."""
    data = term.arg("data")
    if term.op == "as_tensor":
        return isinstance(data, (ListVal, TupleVal))
    return True


def _names_no_tensor(device: Value | None) -> bool:
    """Whether ``.cuda(device)`` says nothing, or names a number."""
    return device is None or isinstance(device, Const)


def _device_text(value: Value | None) -> str:
    text = constant(value)
    root = text.partition(":")[0] if isinstance(text, str) else ""
    return str(text) if root in ("cuda", "cpu", "mps", "xpu") else ""


def _destinations(term: Tensor) -> list[Value]:
    args = term.arg("args")
    listed = list(args.items) if isinstance(args, TupleVal) else []
    named = term.arg("device")
    return listed if named is None else [*listed, named]


def _settles_device(term: Tensor) -> bool:
    """``.to(...)`` of anything that can be a device or a tensor puts its operand in the right place."""
    if term.op == "cuda":
        return True
    return term.op == "to" and any(not _is_dtype(value) for value in _destinations(term))


def _is_dtype(value: Value) -> bool:
    from lossaudit.check.infer.transfer import dtype_of  # noqa: PLC0415

    return dtype_of(value) is not None or isinstance(constant(value), bool)
