"""The target as the fuzzer sees it: called with one case, observed from all sides."""

from __future__ import annotations

import contextlib
import functools
import inspect
import itertools
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import nn

from lossaudit.fuzz import surroundings
from lossaudit.fuzz.limits import Limits, asked_by, nested_codes
from lossaudit.fuzz.memory import Restored, has_state
from lossaudit.fuzz.model import Observation
from lossaudit.fuzz.spaces import all_spaces
from lossaudit.fuzz.target import first_line, simple_state
from lossaudit.fuzz.twins import converted
from lossaudit.fuzz.unreduced import as_held
from lossaudit.fuzz.wire import IDLE, Avoided

if TYPE_CHECKING:
    from torch import Tensor

    from lossaudit.fuzz.model import Case, Space
    from lossaudit.fuzz.target import Build

DTYPES = {
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
    "float32": torch.float32,
    "float64": torch.float64,
}
IGNORED_BY_DEFAULT = -100
"""What the criteria of ``torch.nn`` take for ``ignore_index`` where none is named."""
DEEPEST_PART = 2
"""How deep the parts of a loss are looked at."""
OUT_OF_MEMORY = ("can't allocate memory", "not enough memory", "Unable to allocate", "out of memory")


@dataclass(frozen=True, slots=True)
class Interface:
    """How the target wants its arguments.

    ``swapped``: target first. ``arrays``: NumPy arrays instead of tensors. ``integer_labels``: labels as int64.
    ``order``: for spaces of several parts, which of them comes first, second, ...; empty for their usual order.
    """

    space: str
    swapped: bool = False
    arrays: bool = False
    integer_labels: bool = False
    order: tuple[int, ...] = ()

    def arranged(self, arguments: Sequence[Any]) -> list[Any]:
        """The arguments in the order in which the target wants them."""
        if self.order:
            return [arguments[place] for place in self.order]
        return list(reversed(arguments)) if self.swapped else list(arguments)


Announce = Callable[[str, "Case | None", "Interface | None"], None]


@runtime_checkable
class AnnouncesAhead(Protocol):
    """Who can be told of many calls before the first of them: each then costs no more than its number."""

    def several(
        self, stage: str, cases: Sequence[Case], interface: Interface
    ) -> Callable[[int], None] | None:
        """What announces the call on the case of a number; None where each call must be announced by itself."""


NOTHING = contextlib.nullcontext()


def silent(_stage: str, _case: Case | None, _interface: Interface | None) -> None:
    """Announce nothing: for a target that runs in its caller's own process."""


@dataclass(frozen=True, slots=True)
class Subject:
    """A built target with one interface.

    ``shim`` stands in for CUDA calls where there is no CUDA, so that values can still be judged. ``guarded``: settings of
    torch that a call changes are put back after it. ``stage`` is what is announced of a call unless something else is said.
    """

    build: Build
    interface: Interface
    call: Mapping[str, Any]
    announce: Announce
    shim: Callable[[], Any] | None = None
    guarded: bool = True
    stage: str = "call"

    def at_dtype(self, dtype: str) -> Callable[..., Any]:
        """The loss with its own parameters and buffers at a dtype, as ``.to(dtype)`` would leave it."""
        loss: Callable[..., Any] = self.build.loss
        if dtype == "float32" or not isinstance(loss, (nn.Module, functools.partial)):
            return loss
        wanted = DTYPES[dtype]
        made: Callable[..., Any] = converted(
            loss, lambda tensor: tensor.to(wanted) if tensor.is_floating_point() else tensor
        )
        return made

    def with_loss(self, loss: Callable[..., Any]) -> Subject:
        """The same subject around another callable."""
        return replace(self, build=replace(self.build, loss=loss))

    def observe(
        self, case: Case, *, gradient: bool = True, stage: str | None = None, remembers: bool = False
    ) -> Observation:
        """Call the target once on a case; whatever it does is data.

        Args:
            case: The input.
            gradient: Whether to ask for the gradient as well.
            stage: What is going on, for who watches over the process; None for the usual.
            remembers: Whether what the call changes in the target stays; else it is as it was before.
        """
        try:
            self.announce(stage or self.stage, case, self.interface)
        except Avoided as avoided:
            return Observation(error=str(avoided), error_type="Avoided")
        if self.interface.arrays:
            seen = _observe_arrays(self, case, remembers)
        else:
            directly = None if remembers else self._directly(case, gradient)
            seen = directly or self._observe(case, gradient, remembers)
        self.announce(IDLE, None, None)  # not after a crash: the parent wants to know what was running
        return seen

    def observe_all(self, cases: Sequence[Case], go_on: Callable[[], bool]) -> list[Observation]:
        """The same of many cases, one call after the other; ends early where, before a call, ``go_on`` says no.

        What surrounds the calls is done for all at once, which costs less than half: no processor likes to be torn from one
        thing to the next.
        """
        announce = self._ahead(cases)
        if announce is None:
            return [self.observe(case) for case in itertools.takewhile(lambda _: go_on(), cases)]
        made = [self._made(case, gradient=True) for case in cases]
        seen: list[Observation | None] = []
        for number, (case, (given, _)) in enumerate(zip(cases, made, strict=True)):
            if not go_on():
                break
            announce(number)
            seen.append(self._tried(case, given, gradient=True))
        self.announce(IDLE, None, None)
        return [
            found if found is not None and _left_alone(found, *arguments, True) else self.observe(case)
            for case, arguments, found in zip(cases, made, seen, strict=False)
        ]

    def _ahead(self, cases: Sequence[Case]) -> Callable[[int], None] | None:
        """How to announce calls that can be made with the very leaves; None where they cannot, or each must be told of by itself."""
        if self.interface.arrays or len(cases) < 2 or all_spaces()[cases[0].space].rearranged:
            return None
        announcer: object = self.announce
        if isinstance(announcer, AnnouncesAhead):
            return announcer.several(self.stage, cases, self.interface)
        return lambda number: self.announce(self.stage, cases[number], self.interface)

    def _directly(self, case: Case, gradient: bool) -> Observation | None:
        """What nearly every call comes to, with nothing of ours in the graph; None where it must be made with more care.

        The loss gets the very leaf, which lies in memory as the case wants it. A loss that writes to it is refused by
        autograd; that, and whatever else is out of the ordinary (an argument that was written to, a backward that fails),
        is for :meth:`_observe`.
        """
        if all_spaces()[case.space].rearranged:
            return None  # the arguments are cut out of the leaf, within the graph
        given, kept = self._made(case, gradient)
        seen = self._tried(case, given, gradient)
        return seen if seen is not None and _left_alone(seen, given, kept, gradient) else None

    def _made(self, case: Case, gradient: bool) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
        """The leaf and the target of a call, and the numbers that they hold."""
        numbers, labels = numbers_of(case, self.interface)
        return (arrange(numbers, case.layout).requires_grad_(gradient), labels.clone()), (numbers, labels)

    def _tried(self, case: Case, given: tuple[Tensor, Tensor], gradient: bool) -> Observation | None:
        """What a call on a leaf came to; None where it wrote to it."""
        try:
            return self._seen(case, given[0], gradient, given)
        except (Exception, SystemExit) as error:  # noqa: BLE001 (user code may raise anything)
            return None if _is_about_leaf(error) else _raised(error)

    def _seen(
        self,
        case: Case,
        leaf: Tensor,
        gradient: bool,
        given: Sequence[Tensor],
        remembers: bool = False,
    ) -> Observation:
        """Value and gradient of one call."""
        loss = self.at_dtype(case.dtype)
        if torch.is_grad_enabled():
            seen = _describe(self.invoke(loss, *given, remembers=remembers), leaf, gradient)
        else:
            with torch.enable_grad():
                seen = _describe(self.invoke(loss, *given, remembers=remembers), leaf, gradient)
        if seen.value is None or not seen.value.ndim:
            return seen
        return replace(seen, value=as_held(case, seen.value))

    def _observe(self, case: Case, gradient: bool, remembers: bool) -> Observation:
        prediction, target = packed(case, self.interface)
        leaf = prediction.requires_grad_(gradient)
        space = all_spaces()[case.space]
        try:
            given = _arguments(space, case, leaf, target)
            seen = self._seen(case, leaf, gradient, given, remembers)
            if seen.error is not None:
                return seen
            mutated = _mutated(space.names, given, space.cut(leaf, case.target))
            return replace(seen, mutated=mutated) if mutated else seen
        except (Exception, SystemExit) as error:  # noqa: BLE001 (user code may raise anything)
            return _raised(error)

    def custom_backward(self, case: Case) -> bool:
        """Whether a hand-written backward takes part in the gradient. It costs a call."""
        prediction, target = packed(case, self.interface)
        value = self.trained(case, prediction.requires_grad_(), target)
        return isinstance(value, torch.Tensor) and _hand_written(value)

    def trained(self, case: Case, prediction: Tensor, target: Tensor) -> Any:
        """What one call with gradients gives for these two; of them, those that require one are learned."""
        parts = all_spaces()[case.space].cut(prediction, target)
        with torch.enable_grad():  # of leaves a copy: a loss may write to what it is given
            return single(self.invoke(self.at_dtype(case.dtype), *[part.clone() for part in parts]))

    def invoke(self, loss: Callable[..., Any], *arguments: Any, remembers: bool = False) -> Any:
        """The bare call, with the arguments in the order of the space; as :meth:`observe`, it leaves no trace in the loss."""
        ordered = self.interface.arranged(arguments)
        settings = surroundings.settings() if self.guarded else None
        try:
            if self.shim is None and (remembers or not has_state(loss)):
                return loss(*ordered, **self.call)
            with NOTHING if remembers else Restored(loss), NOTHING if self.shim is None else self.shim():
                return loss(*ordered, **self.call)
        finally:
            if settings is not None:
                surroundings.put_back(settings)


def _arguments(space: Space, case: Case, leaf: Tensor, target: Tensor) -> list[Tensor]:
    """The arguments of one call, those that are learned in the layout of the case."""
    parts = zip(space.cut(leaf, target), space.learned, strict=True)
    return [arrange(part, case.layout) if learned else part for part, learned in parts]


def _left_alone(
    seen: Observation, given: tuple[Tensor, Tensor], kept: tuple[Tensor, Tensor], gradient: bool
) -> bool:
    """Whether a call that has nothing odd about its backward, or that raised, left its arguments as they were."""
    if seen.error is not None:
        return True
    leaf, target = given
    unchanged = leaf.requires_grad is gradient and same(leaf, kept[0]) and same(target, kept[1])
    return unchanged and seen.backward_error is None


def _is_about_leaf(error: BaseException | None) -> bool:
    """Whether autograd refused a write to a leaf, whatever the loss made of that."""
    while error is not None:
        if "leaf Variable" in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False


def _raised(error: BaseException) -> Observation:
    """What a call raised; running out of memory is for the parent, whose limit it was.

    Raises:
        MemoryError: The call asked for more memory than it may have.
    """
    text = str(error)
    if isinstance(error, MemoryError) or any(words in text for words in OUT_OF_MEMORY):
        raise MemoryError from None
    return Observation(error=first_line(error), error_type=type(error).__name__)


def tensors(case: Case, interface: Interface) -> tuple[Tensor, ...]:
    """Fresh arguments of a call in the order of the space, contiguous."""
    return tuple(part.contiguous() for part in all_spaces()[case.space].cut(*packed(case, interface)))


def packed(case: Case, interface: Interface) -> tuple[Tensor, Tensor]:
    """Fresh tensors of a case, contiguous: what is learned, and the rest."""
    prediction, target = numbers_of(case, interface)
    return prediction.clone(), target.clone()


def numbers_of(case: Case, interface: Interface) -> tuple[Tensor, Tensor]:
    """The same, which may be the tensors of the case itself."""
    dtype = DTYPES[case.dtype]
    prediction = case.prediction.to(dtype)
    if not case.target.is_floating_point():
        return prediction, case.target
    return prediction, case.target.long() if interface.integer_labels else case.target.to(dtype)


def arrange(prediction: Tensor, layout: str, *, stacked: bool = False) -> Tensor:
    """The same numbers in another memory layout; if they are ``stacked``, those of many cases, each in that layout."""
    if layout == "contiguous":
        # A copy, so that a loss which writes in place writes to it and not to the leaf, which autograd would refuse.
        return prediction.clone(memory_format=torch.contiguous_format)
    dimensions = prediction.ndim - stacked
    if layout == "transposed" and dimensions > 1:
        # Classes last in memory, as [N, L, C] turned to [N, C, L]; of a matrix, the samples.
        last = stacked + (dimensions > 2)
        return prediction.movedim(last, -1).clone(memory_format=torch.contiguous_format).movedim(-1, last)
    return torch.stack([prediction, torch.zeros_like(prediction)], -1).select(-1, 0)


def single(result: Any) -> Any:
    """The loss among what a target returns: the first of several, or what a mapping has under ``loss``."""
    for key in keys_of_single(result):
        result = result[key]
    return result


def keys_of_single(result: Any) -> tuple[Any, ...]:
    """Under which key or index :func:`single` finds the loss; none where it is all that is returned."""
    if isinstance(result, Mapping) and result:
        return ("loss" if "loss" in result else next(iter(result)),)
    return (0,) if isinstance(result, (tuple, list)) and result else ()


def _mutated(names: Sequence[str], now: Sequence[Tensor], before: Sequence[Tensor]) -> tuple[str, ...]:
    """Which of the arguments a call has written to."""
    return tuple(
        name
        for name, after, then in zip(names, now, before, strict=True)
        if not same(after, then if then.dtype is after.dtype else then.to(after.dtype))
    )


def same(first: Tensor, second: Tensor) -> bool:
    """Equality in which NaN equals NaN; the plain comparison settles nearly all."""
    return torch.equal(first, second) or torch.equal(
        first.detach().double().nan_to_num(nan=0.5), second.detach().double().nan_to_num(nan=0.5)
    )


def _describe(result: Any, leaf: Tensor, gradient: bool) -> Observation:
    value = single(result)
    if not isinstance(value, torch.Tensor):
        try:
            number = torch.as_tensor(np.asarray(value, dtype=np.float64))
        except (TypeError, ValueError):
            return Observation(error=f"it returns a {type(value).__name__}", error_type="ReturnType")
        return Observation(number, dtype=type(value).__name__)
    slope, backward_error = None, None
    if gradient and value.requires_grad:
        try:
            total = value.sum() if value.ndim else value
            (slope,) = torch.autograd.grad(total, leaf, allow_unused=True)
        except Exception as error:  # noqa: BLE001 (a hand-written backward may raise anything)
            backward_error = f"{type(error).__name__}: {first_line(error)}"
    return Observation(
        value=value.detach().double(),
        gradient=None if slope is None else slope.double(),
        dtype=str(value.dtype).removeprefix("torch."),
        differentiable=slope is not None or backward_error is not None,
        backward_error=backward_error,
    )


def _hand_written(value: Tensor) -> bool:
    """Whether a hand-written ``autograd.Function`` takes part in the graph."""
    return any(
        base is torch.autograd.function.BackwardCFunction
        for node in _nodes(value)
        for base in type(node).__mro__
    )


def refuses_a_second_backward(slope: Tensor) -> bool:
    """Whether the graph of a gradient ends where its author has said that it may be differentiated once only."""
    return any(type(node).__name__ == "Error" for node in _nodes(slope))


def _nodes(value: Tensor) -> Iterator[Any]:
    """The nodes of an autograd graph, each once."""
    waiting, seen = [value.grad_fn], set()
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        yield node
        waiting += [following for following, _ in node.next_functions]


def _observe_arrays(subject: Subject, case: Case, remembers: bool) -> Observation:
    try:
        given = [tensor.numpy() for tensor in tensors(case, subject.interface)]
        before = [array.copy() for array in given]
        with np.errstate(all="ignore"):
            result = single(subject.invoke(subject.build.loss, *given, remembers=remembers))
        value = as_held(case, torch.from_numpy(np.array(result, dtype=np.float64)))
    except (Exception, SystemExit) as error:  # noqa: BLE001 (user code may raise anything)
        return _raised(error)
    names = zip(all_spaces()[case.space].names, given, before, strict=True)
    mutated = tuple(name for name, now, then in names if not np.array_equal(now, then, equal_nan=True))
    return Observation(value, dtype=str(getattr(result, "dtype", type(result).__name__)), mutated=mutated)


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the target says of itself: values by the name under which it keeps them, and bare numbers in its code.

    ``own`` are the names that are the target's, and not only those of a part that it holds; ``beside`` are bare numbers in
    the functions that it calls. ``limits`` are small numbers of its dtype that its code asks for.
    """

    named: dict[str, Any]
    constants: tuple[float, ...]
    own: frozenset[str]
    beside: tuple[float, ...] = ()
    limits: Limits = field(default_factory=Limits)

    def numbers(self) -> list[float]:
        """Every number in sight, each once."""
        values = [value for value in self.named.values() if _is_number(value)]
        return list(dict.fromkeys([*values, *self.constants, *self.limits.asked.values()]))


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def gather_evidence(build: Build, call: Mapping[str, Any]) -> Evidence:
    """Read attributes, buffers, defaults, closures and constants of a target."""
    loss = build.loss
    named: dict[str, Any] = {}
    constants: list[float] = []
    for function in _functions(loss):
        named |= _defaults(function)
        constants += _constants(function.__code__)
        for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=False):
            _keep(named, name, _cell(cell))
        for name in function.__code__.co_names:
            _keep_measured(named, name, function.__globals__.get(name))
    own = {*named, *build.parameters, *build.init, *call}
    _attributes(loss, named, depth=DEEPEST_PART)
    own |= {name for name in named if hasattr(loss, name)}
    if isinstance(loss, functools.partial):
        for name, value in loss.keywords.items():
            _keep(named, name, value)
        own |= loss.keywords.keys()
    for name, value in {**build.init, **call}.items():
        if name not in named:
            _keep(named, name, value)
    called = _called(loss)
    beside = [number for function in called for number in _numbers_of(function)]
    return Evidence(
        named, tuple(dict.fromkeys(constants)), frozenset(own), tuple(dict.fromkeys(beside)), asked_by(called)
    )


def _called(loss: Any) -> list[types.FunctionType]:
    """The functions of its own module that a loss calls by a bare name, and those that these call."""
    found = list(_functions(loss))
    for function in found:  # it grows while it is gone through
        named = (function.__globals__.get(name) for name in function.__code__.co_names)
        found += [
            other
            for other in named
            if isinstance(other, types.FunctionType)
            and other.__module__ == function.__module__
            and other not in found
        ]
    return found


def _numbers_of(function: types.FunctionType) -> list[float]:
    """The numbers in the code of a function, and those that stand for what it is not given."""
    defaults = [float(value) for value in function.__defaults__ or () if _is_number(value)]
    return [*_constants(function.__code__), *defaults]


def _cell(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:
        return None


def _keep(named: dict[str, Any], name: str, value: Any) -> None:
    if isinstance(value, (bool, int, float, str, torch.Tensor)):
        named[name] = value
    elif isinstance(value, np.ndarray) and value.dtype.kind in "fiu":
        named[name] = torch.as_tensor(value)
    elif isinstance(value, (list, tuple)) and value and all(_is_number(item) for item in value):
        named[name] = torch.tensor([float(item) for item in value])


def _keep_measured(named: dict[str, Any], name: str, value: Any) -> None:
    """Keep a number, tensor or list of numbers that a name in the code may mean: a constant of its module, in capitals or not."""
    if not isinstance(value, (bool, str)):
        _keep(named, name.lower(), value)


def _attributes(holder: Any, named: dict[str, Any], depth: int) -> None:
    """Attributes of the object and of what it holds; the outer one wins over the inner of the same name."""
    if isinstance(holder, (types.FunctionType, types.BuiltinFunctionType, functools.partial, type)):
        return
    state = dict(vars(holder)) if hasattr(holder, "__dict__") else {}
    inner = list(state.pop("_modules", {}).values()) if isinstance(holder, nn.Module) else []
    for table in ("_parameters", "_buffers"):
        state.update(state.pop(table, None) or {})
    if depth:
        for part in [*inner, *(value for value in state.values() if hasattr(value, "__dict__"))]:
            if part is not None and not isinstance(part, torch.Tensor):
                _attributes(part, named, depth - 1)
    for name, value in state.items():
        unsaid = depth < DEEPEST_PART and _is_default_of_torch(holder, name, value)
        if not (name.startswith("_") or name == "training" or unsaid):
            _keep(named, name, value)


def _is_default_of_torch(part: Any, name: str, value: Any) -> bool:
    """Whether it is the index that a criterion of torch ignores unless it is told otherwise: who holds the criterion never named it."""
    return (
        name == "ignore_index"
        and value == IGNORED_BY_DEFAULT
        and type(part).__module__.startswith("torch.nn.")
    )


def _functions(loss: Any) -> list[Any]:
    """The Python functions that make up a loss: itself, or the methods that its class defines."""
    if isinstance(loss, functools.partial):
        return _functions(loss.func)
    if isinstance(loss, types.MethodType):
        return _functions(loss.__func__)
    if isinstance(loss, types.FunctionType):
        inner = inspect.unwrap(loss)
        return [inner if isinstance(inner, types.FunctionType) else loss]
    found: list[Any] = []
    for owner in type(loss).__mro__:
        if owner.__module__.split(".")[0] in {"torch", "builtins"}:
            continue
        found += [item for item in vars(owner).values() if isinstance(item, types.FunctionType)]
        found += [item.__func__ for item in vars(owner).values() if isinstance(item, staticmethod)]
    return found


def _defaults(function: types.FunctionType) -> dict[str, Any]:
    named: dict[str, Any] = {}
    if function.__name__ == "__init__":
        return named
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.default is not inspect.Parameter.empty:
            _keep(named, name, parameter.default)
    return named


def _constants(code: types.CodeType) -> list[float]:
    return [float(item) for each in nested_codes(code) for item in each.co_consts if _is_number(item)]


def loss_state(loss: Any) -> dict[str, Any]:
    """Plain attributes of a loss and of the modules it holds, by dotted name."""
    state = dict(simple_state(loss))
    if isinstance(loss, nn.Module):
        for path, module in loss.named_modules():
            state.update(
                {f"{path}.{name}".lstrip("."): value for name, value in simple_state(module).items()}
            )
    return state
