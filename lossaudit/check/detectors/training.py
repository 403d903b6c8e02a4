"""LA5: autograd, devices, the training step."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

from lossaudit.check import ir
from lossaudit.check.detectors import Hit, detector
from lossaudit.check.events import AttrAssign, Backward, FunctionReturn, LoopDone, OpEvent
from lossaudit.check.fixes.remedy import Remedy
from lossaudit.check.infer.transfer import sequence
from lossaudit.check.kinds import Dtype, Kind
from lossaudit.check.reasoning.gradients import first_cuts, is_cut, layers_of, obstacles, parts, summands
from lossaudit.check.reasoning.liveness import lost_assignments
from lossaudit.check.reasoning.losses import (
    has_forward_of_two,
    is_criterion,
    is_loss_function,
    returned_tensors,
)
from lossaudit.check.reasoning.terms import LIMIT, reads_layers, unknown_leaves, weighted_terms
from lossaudit.check.reasoning.trace import (
    Act,
    Collected,
    Nested,
    Path,
    all_acts,
    is_optimizer,
    paths,
    repeated_acts,
)
from lossaudit.check.values import (
    ABSENT,
    PARAMETERS,
    UNKNOWN,
    ClassVal,
    Const,
    DictVal,
    Instance,
    ListVal,
    Site,
    Step,
    Tensor,
    TupleVal,
    Union,
    Unknown,
    Value,
    alternatives,
    constant,
    number,
    operands,
    tensors,
    walk_terms,
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
_NUMBERS = ("size", "numel", "item", "tolist")
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
        if one.op in _NUMBERS:
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
        if term.op in _NUMBERS or _is_plain_number(term, self.since):
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


# LA506: clearing the gradients ---------------------------------------------------------------------------------------

_CLEARING = ("clear", "gradient", "opaque")


@detector("LA506", LoopDone)
def missing_zero_grad(event: LoopDone) -> Iterator[Hit]:
    """The gradients of one step reach the next, or are cleared before they are used."""
    record = _stepping_loop(event.loop)
    if record is None:
        return
    acts, optimizers = record
    backwards = [act for act in acts if act.kind == "backward"]
    if not any(act.kind in _CLEARING for act in acts):
        steps = [act for act in acts if act.kind == "step" and _same_scaler(act, backwards)]
        if steps:
            trail = (Step(steps[0].site, "this step uses the sum of all gradients since the loop began"),)
            for act in _before_a_step(event.loop):
                yield Hit(
                    "LA506",
                    act.site,
                    "no `zero_grad()` in this loop: the gradients of all steps add up",
                    trail,
                    _CLEAR_ONCE,
                )
        return
    ways = paths(event.loop.passes[-1])
    if ways is None:
        return
    yield from _never_cleared(acts, ways, optimizers)
    for optimizer in optimizers:
        yield from _cleared_before_use(ways, optimizer)
        if not _accumulates_inside(event.loop):
            yield from _cleared_in_the_window(ways, optimizer)


_CLEAR_ONCE = "call `optimizer.zero_grad()` once for each step, before `.backward()` or after `.step()`"


def _stepping_loop(loop: Nested) -> tuple[list[Act], list[Instance]] | None:
    """The acts of the last pass and the optimizers that step in it, if the same objects stepped in the pass before."""
    if len(loop.passes) < 2:
        return None
    first, last = (list(all_acts(one)) for one in loop.passes[-2:])
    before = {id(act.value) for act in first if act.kind == "step"}
    optimizers = {
        id(act.value): act.value
        for act in last
        if act.kind == "step" and isinstance(act.value, Instance) and id(act.value) in before
    }
    if not optimizers or len(optimizers) < len({id(act.value) for act in last if act.kind == "step"}):
        return None
    return last, list(optimizers.values())


def _same_scaler(step: Act, backwards: list[Act]) -> bool:
    """A step through an unknown object counts if that object scaled the loss: only a gradient scaler does both."""
    if step.through is None:
        return True
    scales = [
        one for act in backwards for one in alternatives(act.value or ABSENT) if isinstance(one, Tensor)
    ]
    return any(one.op == "grad_scale" and _is_same(one.arg("by"), step.through) for one in scales)


def _is_same(left: Value | None, right: Value | None) -> bool:
    return left is right and left is not None


def _before_a_step(loop: Nested) -> list[Act]:
    """The backward passes that stand before a step on some path; all of them where the paths are too many."""
    return [act for act in all_acts(loop.passes[-1]) if act.kind == "backward"]


def _never_cleared(acts: list[Act], ways: list[Path], optimizers: list[Instance]) -> Iterator[Hit]:
    """Of several optimizers one whose layers none of the others clears: their gradients add up from step to step."""
    if any(act.kind in ("gradient", "opaque") for act in acts):
        return
    cleared = [_held_layers(act.value) for act in acts if act.kind == "clear"]
    for optimizer in optimizers:
        own = _held_layers(optimizer)
        if not own or not all(theirs and theirs.isdisjoint(own) for theirs in cleared):
            continue
        for backward, step in _used_by(ways, optimizer):
            found = obstacles(backward.value or UNKNOWN, past_layers=True)
            if found.open or found.layers & own:
                trail = (Step(step.site, "this step uses the sum of all gradients since the loop began"),)
                message = "no `zero_grad()` in this loop clears what this loss trains: the gradients of all steps add up"
                yield Hit("LA506", backward.site, message, trail, _CLEAR_ONCE)


def _used_by(ways: list[Path], optimizer: Instance) -> list[tuple[Act, Act]]:
    """The backward passes that stand last before a step of ``optimizer``, each with that step."""
    found: dict[Site, tuple[Act, Act]] = {}
    for way in ways:
        backward: Act | None = None
        for act in way.acts:
            if act.kind == "backward":
                backward = act
            elif act.kind == "step" and act.value is optimizer and backward is not None:
                found[backward.site] = (backward, act)
    return list(found.values())


def _cleared_before_use(ways: list[Path], optimizer: Instance) -> Iterator[Hit]:
    """``backward``, ``zero_grad``, ``step``: on every path that clears and then steps, nothing comes in between."""
    found: dict[object, tuple[Act, Act]] = {}
    for way in ways:
        since_clear: Act | None = None
        backward: Act | None = None
        for act in way.acts:
            if act.kind == "clear" and act.value is optimizer:
                since_clear = act if backward is not None else None
            elif act.kind in ("backward", "opaque", "gradient", "clear"):
                backward = act if act.kind == "backward" else backward
                since_clear = None
            elif act.kind == "step" and act.value is optimizer:
                if since_clear is None or backward is None:
                    return
                found[backward.site] = (backward, since_clear)
            elif act.kind == "step" and since_clear is None:
                backward = None  # another optimizer used those gradients
    for backward, clear in found.values():
        trail = (Step(clear.site, "these gradients are set to zero here"),)
        yield Hit(
            "LA506",
            backward.site,
            "the gradients are set to zero before the optimizer uses them",
            trail,
            _CLEAR_ONCE,
        )


def _cleared_in_the_window(ways: list[Path], optimizer: Instance) -> Iterator[Hit]:
    """``zero_grad`` at every micro-batch, ``step`` at every k-th: only the last micro-batch counts."""
    window = _accumulation(ways)
    if window is None or not all(_clears_first(way, optimizer) for way in ways):
        return
    steps = [act for way in ways for act in way.acts if act.kind == "step"]
    trail = (Step(steps[0].site, "the optimizer steps only now and then"),)
    message = (
        "the gradients of the earlier micro-batches are set to zero before the step that was to use them"
    )
    for act in _backwards(ways):
        yield Hit(
            "LA506", act.site, message, trail, "clear the gradients after `.step()`, not at each micro-batch"
        )


def _accumulates_inside(loop: Nested) -> bool:
    """Whether the backward passes belong to an inner loop: then that loop goes over the micro-batches, and this one over epochs."""
    return any(act.kind == "backward" for act in repeated_acts(loop.passes[-1]))


def _clears_first(way: Path, optimizer: Instance) -> bool:
    """Whether this path clears before its backward pass, and not again behind it."""
    kinds = [act.kind for act in way.acts if act.kind != "clear" or act.value is optimizer]
    return "clear" in kinds and "backward" in kinds and kinds.index("clear") < kinds.index("backward")


def _backwards(ways: list[Path]) -> list[Act]:
    return list({act.site: act for way in ways for act in way.acts if act.kind == "backward"}.values())


@dataclass(frozen=True, slots=True)
class _Window:
    """Accumulation: a backward pass on every path, a step only where a remainder says so."""

    every: Value | None


def _accumulation(ways: list[Path]) -> _Window | None:
    """The window, if this is gradient accumulation and nothing else."""
    if any(act.kind in ("opaque", "gradient") for way in ways for act in way.acts):
        return None
    stepping = [way for way in ways if any(act.kind == "step" for act in way.acts)]
    waiting = [way for way in ways if way not in stepping]
    if not stepping or not waiting:
        return None
    counts = {sum(act.kind == "backward" for act in way.acts) for way in ways}
    if len(counts) != 1 or 0 in counts or not all(_backwards_first(way) for way in stepping):
        return None
    shared = [
        test for test in stepping[0].tests if any(test is other for way in waiting for other in way.tests)
    ]
    periods = [period for test in shared for period in _periods(test)]
    return _Window(periods[0]) if periods else None


def _backwards_first(way: Path) -> bool:
    kinds = [act.kind for act in way.acts if act.kind in ("backward", "step")]
    return "backward" not in kinds[kinds.index("step") :]


def _periods(test: Value | None) -> list[Value]:
    """The k of ``i % k == 0``, in a condition that may hold more."""
    out: list[Value] = []
    stack: list[Value] = [] if test is None else [test]
    steps = 0
    while stack and steps < LIMIT:
        steps += 1
        value = stack.pop()
        if isinstance(value, Union):
            stack += value.alternatives
        elif isinstance(value, Tensor) and value.op in ("eq", "ne", "logical_not", "logical_and"):
            stack += value.args.values()
        elif isinstance(value, Tensor) and value.op == "remainder":
            out.append(value.args.get("other", ABSENT))
        elif isinstance(value, Unknown) and isinstance(value.owner, TupleVal):
            left_and_right = value.owner.items
            if value.name == "%":
                out.append(left_and_right[1])
            elif value.name in ("==", "!="):
                stack += left_and_right
    return out


# LA507: the scale of accumulated gradients ---------------------------------------------------------------------------


@detector("LA507", LoopDone)
def accumulation_scale(event: LoopDone) -> Iterator[Hit]:
    """Gradients of k micro-batches add up, and the mean loss of each is not divided by k."""
    record = _stepping_loop(event.loop)
    ways = paths(event.loop.passes[-1]) if record is not None else None
    window = _accumulation(ways) if ways is not None else None
    if record is None or ways is None or window is None or constant(window.every) == 1:
        return
    if _accumulates_inside(event.loop):
        return
    acts, _ = record
    backwards = _backwards(ways)
    steps = [act for act in acts if act.kind == "step"]
    clears_with_steps = all(_clears_only_after_steps(way) for way in ways)
    if not clears_with_steps or not all(_same_scaler(step, backwards) for step in steps):
        return
    for act in backwards:
        if act.through is None and _is_undivided_mean(act.value, number(window.every)):
            trail = (Step(steps[0].site, "the optimizer steps here, every few micro-batches"),)
            message = "the gradients of several micro-batches add up, and the mean loss is not divided by their number"
            yield Hit(
                "LA507",
                act.site,
                message,
                trail,
                "divide the loss by the number of micro-batches before `.backward()`",
                Remedy("divide-before-backward", (act.site, steps[0].site)),
            )


def _clears_only_after_steps(way: Path) -> bool:
    """A window ends with a step, and only then are the gradients cleared."""
    kinds = [act.kind for act in way.acts]
    return ("clear" in kinds) is ("step" in kinds)


def _is_undivided_mean(value: Value | None, every: float | None) -> bool:
    """A sum of functions of means in which nothing can be the number of micro-batches.

    Who multiplies by 1/4 for four of them, has 1/4 for the weight of a term, or for the sum of all weights.
    """
    options = alternatives(value) if value is not None else ()
    weights = [_weights_of_means(one) for one in options]
    return bool(weights) and all(one and not _may_divide(one, every) for one in weights)


def _may_divide(weights: tuple[float, ...], every: float | None) -> bool:
    if not every:
        return max(weights) <= _LARGEST_SHARE
    return (
        any(math.isclose(one * every, 1.0, rel_tol=0.02) for one in (*weights, sum(weights)))
        or max(weights) * every < 1
    )


_LARGEST_SHARE = 0.5
"""Of two micro-batches, which are the fewest."""


_OF_A_NUMBER = frozenset(
    {"exp", "expm1", "log", "log1p", "sqrt", "square", "pow", "sigmoid", "softplus", "clamp", "abs"}
)
"""Functions of the mean loss itself: how large their gradient is has nothing to do with how many such losses are added."""


def _weights_of_means(value: Value | None) -> tuple[float, ...] | None:
    """The size of the constant weight of each summand that is a mean, or a function or product of means; None for anything else."""
    if number(value) is not None:
        return ()
    if not isinstance(value, Tensor):
        return None
    if value.kind is Kind.LOSS:
        return (1.0,) if constant(value.arg("reduction")) in ("mean", "batchmean") else None
    if value.op == "mean":
        return (1.0,) if constant(value.arg("dim")) is None else None
    if value.op in ("grad_scale", "neg"):
        return _weights_of_means(value.arg("input"))
    sides = [value.arg(name) for name in ("input", "other")]
    if value.op in ("add", "sub"):
        left, right = (_weights_of_means(one) for one in sides)
        return None if left is None or right is None else left + right
    if value.op == "mul":
        return _weighted(*sides)
    is_function = value.op in _OF_A_NUMBER and not any(
        tensors(one) for name, one in value.args.items() if name != "input"
    )
    return (1.0,) if is_function and _weights_of_means(value.arg("input")) else None


def _weighted(left: Value | None, right: Value | None) -> tuple[float, ...] | None:
    """A product of two of these, or of one of them and a number."""
    factor = next((found for one in (left, right) if (found := number(one)) is not None), None)
    first, second = _weights_of_means(left), _weights_of_means(right)
    if first is None or second is None:
        return None
    if factor is not None:
        return tuple(abs(factor) * one for one in first + second)
    return tuple(one * other for one in first for other in second)


# LA501, LA502, LA504: what is back-propagated and not connected ------------------------------------------------------


@detector("LA501", Backward)
def detached_loss(event: Backward) -> Iterator[Hit]:
    """No gradient of what is back-propagated, or of one of its terms, can get past a cut."""
    if "inference" in event.contexts:
        return
    found = obstacles(event.value)
    if found.open:
        yield from _decoration(event)
        return
    cuts = [] if found.decides else first_cuts(found.cuts)
    if cuts and not any(_is_flagged_result(cut) for cut in cuts):
        others = tuple(Step(cut.site, "another cut") for cut in cuts[1:])
        steps = _way_to_backward(event, cuts[0])
        yield Hit(
            "LA501",
            cuts[0].site,
            f"{_cut_words(cuts[0])} cuts the loss from the predictions: nothing is trained",
            (*others, *steps),
            _KEEP_HISTORY,
        )


@detector("LA501", LoopDone)
def detached_from_its_optimizer(event: LoopDone) -> Iterator[Hit]:
    """An optimizer steps in every pass, and each way from a loss to the layers that it holds is cut."""
    record = _stepping_loop(event.loop)
    if record is None or any(act.kind in ("opaque", "gradient") for act in record[0]):
        return
    acts, optimizers = record
    losses = [act.value or UNKNOWN for act in acts if act.kind == "backward"]
    found = [obstacles(loss, past_layers=True) for loss in losses]
    if any(one.open for one in found):
        return
    reached = {layer for one in found for layer in one.layers}
    for optimizer in optimizers if reached else ():
        own = _held_layers(optimizer)
        cuts = [
            cut
            for one in found
            for cut in one.cuts
            if any(id(part.module) in own for part in walk_terms(cut, LIMIT))
        ]
        if cuts and own.isdisjoint(reached):
            cut = min(cuts, key=lambda one: one.site)
            step = next(act for act in acts if act.kind == "step" and act.value is optimizer)
            words = "this optimizer steps in every pass, and no gradient reaches what it holds"
            message = f"{_cut_words(cut)} cuts these layers from every loss of the loop: they are not trained"
            yield Hit("LA501", cut.site, message, (Step(step.site, words),), _CUT_FOR_THE_OTHERS)


_CUT_FOR_THE_OTHERS = (
    "cut where another model is trained, and give the loss of this one the value with its history"
)


def _held_layers(optimizer: Value | None) -> set[int]:
    """The layers whose parameters an optimizer was given; none where it may hold others, and of anything else."""
    if not isinstance(optimizer, Instance) or not is_optimizer(optimizer):
        return set()
    given = optimizer.bound.get("argument 0", optimizer.bound.get("params"))
    module = given.owner if isinstance(given, Unknown) and given.name == PARAMETERS else None
    return (layers_of(module) if isinstance(module, Instance) else None) or set()


_KEEP_HISTORY = "back-propagate the loss itself, and take `.item()` or `.detach()` of it only for logs"
_CUT_WORDS = {
    "detach": "`.detach()` (or `.data`)",
    "tensor": "`torch.tensor()`",
    "variable": "`Variable()`",
    "float_tensor": "a new tensor",
    "long_tensor": "a new tensor",
    "cuda_tensor": "a new tensor",
}


def _cut_words(cut: Tensor) -> str:
    return _CUT_WORDS.get(cut.op, f"`.{cut.op}()`")


def _way_to_backward(event: Backward, cut: Tensor) -> tuple[Step, ...]:
    words = "this value is back-propagated" if event.explicit else "what this returns is back-propagated"
    return (Step(event.site, words),) if event.site != cut.site else ()


def _decoration(event: Backward) -> Iterator[Hit]:
    """A summand without any gradient beside one that has some: it changes the number and nothing else.

    What is cut there and trained by another summand may stand for its value alone. A loss under contract compares: nothing is left of that.
    """
    terms = [term for one in alternatives(event.value) for term in summands(one)]
    judged = [(term, obstacles(term)) for term in terms] if len(terms) > 1 else []
    live = {one.ident for term, found in judged if found.open for one in walk_terms(term, LIMIT)}
    dead = [
        (term, found.cuts) for term, found in judged if not (found.open or found.decides or found.unrecorded)
    ]
    if any(is_cut(term) and _reads(term, live) for term, _ in dead):
        return  # ``shown.detach() - trained.detach() + trained``: the slope of one, the value of another
    for term, every in dead:
        for cut in first_cuts(every)[:1]:
            if term.kind is Kind.LOSS or not _reads(cut, live):
                message = (
                    f"{_cut_words(cut)} cuts this term of the loss from the predictions: it trains nothing"
                )
                yield Hit("LA501", cut.site, message, _way_to_backward(event, cut), _KEEP_HISTORY)


def _reads(cut: Tensor, live: set[int]) -> bool:
    return any(part.ident in live for one in operands(cut) for part in weighted_terms(one))


@detector("LA502", Backward)
def loss_under_no_grad(event: Backward) -> Iterator[Hit]:
    """What is back-propagated was computed where autograd records nothing.

    Where a caller opened the region around the whole step, that call raises; what the step says is right for its other callers.
    """
    if "no_grad" in event.inherited:
        return
    found = obstacles(event.value)
    if found.open or found.decides or first_cuts(found.cuts):
        return
    for term in found.unrecorded:
        made = next((one for one in weighted_terms(term) if one.kind is Kind.LOSS), term)
        if made.kind is Kind.LOSS or reads_layers(made):
            trail = _way_to_backward(event, made)
            message = "this loss is computed under `no_grad` or `inference_mode`, and then back-propagated"
            yield Hit(
                "LA502",
                made.site,
                message,
                trail,
                "compute the loss outside of the region, or under `torch.enable_grad()`",
            )
            return


@detector("LA502", Backward)
def summand_under_no_grad(event: Backward) -> Iterator[Hit]:
    """A loss computed under ``no_grad`` of what another summand trains, and added to that.

    The loss of another model, or of the data, is a constant that may be meant; so is a sum that was itself formed there.
    """
    if event.in_inference or "no_grad" in event.inherited or not isinstance(event.value, Tensor):
        return
    if any(part.unrecorded and part.op in ("add", "sub") for part in weighted_terms(event.value)):
        return
    terms = list(summands(event.value))
    trained = {
        part.ident
        for term in terms
        if not term.unrecorded and obstacles(term).open
        for part in walk_terms(term, LIMIT)
        if part is not term and part.module is not None and not (part.unrecorded or part.detached)
    }
    for term in terms:
        if term.unrecorded and term.kind is Kind.LOSS and _is_computed_from(term, trained):
            yield Hit(
                "LA502",
                term.site,
                "this term of the loss is computed under `no_grad` or `inference_mode`: it trains nothing",
                _way_to_backward(event, term),
                "compute it outside of the region; a frozen network is frozen by `requires_grad_(False)`",
            )


def _is_computed_from(term: Tensor, wanted: set[int]) -> bool:
    """Whether one of ``wanted`` went into ``term``, also through what an unknown function was given; decisions have no slope."""
    stack: list[Value] = [term]
    seen: set[int] = set()
    while stack and len(seen) < LIMIT:
        value = stack.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, Tensor):
            if value.ident in wanted:
                return True
            has_slope = not is_cut(value) and value.dtype not in (Dtype.INT, Dtype.BOOL)
            stack += value.args.values() if has_slope else ()
        else:
            stack += value.given if isinstance(value, Unknown) else parts(value)
    return False


@detector("LA504", AttrAssign, needs="loss")
def requires_grad_assigned(event: AttrAssign) -> Iterator[Hit]:
    """``loss.requires_grad = True``."""
    if event.name == "requires_grad" and constant(event.value) is True and _is_connected_loss(event.target):
        yield _flagged(event.site)


@detector("LA504", OpEvent, needs="loss", ops=("requires_grad_", "variable"))
def requires_grad_called(event: OpEvent) -> Iterator[Hit]:
    """``loss.requires_grad_()``, ``Variable(loss, requires_grad=True)``."""
    if _is_flagged_variable(event.term):
        yield _flagged(event.site)


@detector("LA504", Backward)
def requires_grad_before_backward(event: Backward) -> Iterator[Hit]:
    """The flag was set on the very value that is back-propagated, whatever computed it."""
    if event.forced is not None and all(_is_result(one) for one in alternatives(event.value)):
        yield _flagged(event.forced)
    found = obstacles(event.value)
    if "inference" in event.contexts or found.open or found.decides:
        return
    yield from (_flagged(cut.site) for cut in first_cuts(found.cuts) if _is_flagged_result(cut))


def _is_result(value: Value) -> bool:
    """Whether it was computed: no parameter of the function, and no number that was written down."""
    if isinstance(value, Tensor):
        return reads_layers(value) or any(True for _ in unknown_leaves(value))
    return isinstance(value, Unknown) and not value.parameter


def _flagged(site: Site) -> Hit:
    message = (
        "`requires_grad` is set on the loss: that silences the error of `.backward()` and trains nothing"
    )
    return Hit(
        "LA504",
        site,
        message,
        (),
        "find out why the loss is not connected: frozen parameters, or a cut before it",
    )


def _is_flagged_variable(term: Tensor) -> bool:
    return _sets_flag(term) and _is_connected_loss(term.arg("input") or term.arg("data"))


def _is_flagged_result(term: Tensor) -> bool:
    """The same of anything that was computed: it is a loss, for it is back-propagated."""
    operand = term.arg("input") or term.arg("data") or UNKNOWN
    return _sets_flag(term) and all(_is_result(one) for one in alternatives(operand))


def _sets_flag(term: Tensor) -> bool:
    return term.op in ("requires_grad_", "variable") and constant(term.arg("requires_grad")) is True


def _is_connected_loss(value: Value | None) -> bool:
    """A loss on every path, computed where autograd records."""
    options = tensors(value)
    return bool(options) and all(
        not one.unrecorded and any(part.kind is Kind.LOSS for part in weighted_terms(one)) for one in options
    )


# LA505: the graph that outlives its step -----------------------------------------------------------------------------

_CARRYING = frozenset({
    "add", "sub", "mul", "div", "sum", "mean", "neg", "stack", "cat", "clone", "cpu", "cuda", "to", "float", "double", "view", "squeeze",
    "unsqueeze", "flatten", "grad_scale",
})  # fmt: skip


@detector("LA505", LoopDone)
def loss_accumulates_graph(event: LoopDone) -> Iterator[Hit]:
    """What was back-propagated in an earlier pass is still held, with its graph, when the next one is added."""
    if not event.loop.repeats:
        return  # over the few items of a list that is written out, nothing grows
    spent: dict[int, Site] = {}
    for number_of_pass, record in enumerate(event.loop.passes):
        if number_of_pass:
            for one in record.collected:
                yield from _grown(one, spent)
        for act in all_acts(record):
            if act.kind == "backward" and not act.keeps_graph and act.value is not None:
                spent |= _sites_of(act.value)


def _begins_anew(one: Collected, spent: dict[int, Site]) -> bool:
    """Whether some path of the loop puts something else in the place of what was collected: then memory grows for a while only.

    The number from which a sum started is unknown within the loop; a constant was put there by the loop itself.
    """
    return any(
        not isinstance(held, Unknown) and not _sites_of(held).keys() & spent.keys()
        for held in alternatives(one.before)
    )


def _grown(one: Collected, spent: dict[int, Site]) -> Iterator[Hit]:
    if not one.recorded or not spent or _begins_anew(one, spent):
        return
    before = {site for key, site in _sites_of(one.before).items() if key in spent}
    added = [site for key, site in _sites_of(one.value).items() if key not in spent]
    grows = {site for site in before if added.count(site) == 1}
    if grows:
        trail = (Step(min(grows), "this loss has been back-propagated"),)
        message = "the loss is kept with its graph: memory grows with every step of the loop"
        yield Hit(
            "LA505",
            one.site,
            message,
            trail,
            "keep the number: `loss.item()`, or `loss.detach()` without waiting for the GPU",
            Remedy("detach-kept-loss", (one.site, min(grows))),
        )


def _sites_of(value: Value) -> dict[int, Site]:
    """The losses that ``value`` carries with their graphs, by identity; what it may carry does not count."""
    out: dict[int, Site] = {}
    stack, steps = list(alternatives(value)), 0
    while stack and steps < LIMIT:
        steps += 1
        one = stack.pop()
        if isinstance(one, Unknown):
            if one.site is not None and not one.foreign:
                out[-id(one)] = one.site
        elif isinstance(one, Tensor):
            if not (one.detached or one.unrecorded):
                out[one.ident] = one.site
                stack += (
                    [value for name, value in one.args.items() if name != "by"] if one.op in _CARRYING else []
                )
        elif not isinstance(one, Union):
            stack += parts(one)
    return out


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
        return value.op not in _NUMBERS and _reads_the_batch(value, settings)
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
    return term.ident >= since and term.op not in _NUMBERS and _is_surely_tensor(term)


_lost_cache: dict[int, tuple[ir.FunctionDef, list[ir.Assign]]] = {}


def _lost_in(node: ir.FunctionDef) -> list[ir.Assign]:
    """Computed once for each function; the node is kept so that its identity stays its own."""
    if id(node) not in _lost_cache:
        _lost_cache[id(node)] = (node, lost_assignments(node))
    return _lost_cache[id(node)][1]
