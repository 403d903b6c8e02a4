"""LA505, LA506, LA507: what a training loop does to gradients and graphs from one step to the next."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from lossaudit.check.detectors import Hit, detector
from lossaudit.check.events import LoopDone
from lossaudit.check.fixes.remedy import Remedy
from lossaudit.check.kinds import Kind
from lossaudit.check.reasoning.gradients import held_layers, obstacles, parts
from lossaudit.check.reasoning.terms import LIMIT
from lossaudit.check.reasoning.trace import (
    Act,
    Collected,
    Nested,
    Path,
    all_acts,
    paths,
    repeated_acts,
    stepping_loop,
)
from lossaudit.check.values import (
    ABSENT,
    UNKNOWN,
    Instance,
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
    tensors,
)

# LA506: clearing the gradients ---------------------------------------------------------------------------------------

_CLEARING = ("clear", "gradient", "opaque")


@detector("LA506", LoopDone)
def missing_zero_grad(event: LoopDone) -> Iterator[Hit]:
    """The gradients of one step reach the next, or are cleared before they are used."""
    record = stepping_loop(event.loop)
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
    cleared = [held_layers(act.value) for act in acts if act.kind == "clear"]
    for optimizer in optimizers:
        own = held_layers(optimizer)
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
    record = stepping_loop(event.loop)
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
