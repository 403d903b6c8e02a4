"""What one pass through a loop did to gradients and to what outlives the pass, in order, with its branches.

The interpreter records while it runs a loop body; detectors ask for the paths. A record holds only what rules about training
loops need: backward passes, optimizer steps, cleared gradients, values that are collected, and calls that may do any of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Literal

from lossaudit.check.values import Instance, Site, Value

MAX_PATHS = 128
"""A pass with more paths than this is not judged."""

ActKind = Literal["backward", "step", "clear", "gradient", "opaque"]


@dataclass(frozen=True, slots=True)
class Act:
    """One thing that happened at ``site``.

    ``backward`` propagates ``value`` (``through`` is the wrapper that does it, if not the tensor itself); ``step`` and ``clear``
    are an optimizer's, which is ``value`` (``through`` a gradient scaler); ``gradient`` reads or writes a ``.grad``; ``opaque`` is
    a call into the unknown that may do any of these.
    """

    kind: ActKind
    site: Site
    value: Value | None = None
    through: Value | None = None
    keeps_graph: bool = False


@dataclass(frozen=True, slots=True)
class Collected:
    """``value`` was added to ``before``, or appended to it; ``recorded`` says whether autograd records the addition."""

    site: Site
    before: Value
    value: Value
    recorded: bool


@dataclass(slots=True)
class Choice:
    """Alternatives of which one is taken; ``test`` is the condition that decides, where it is one value."""

    test: Value | None
    options: list[Sequence] = field(default_factory=list)


@dataclass(slots=True)
class Nested:
    """A loop or a call within the pass: what leaves it early goes on behind it. ``repeats`` says that it is a loop of unknown length."""

    repeats: bool = False
    passes: list[Sequence] = field(default_factory=list)


@dataclass(slots=True)
class Sequence:
    """What happened one after the other; ``leaves`` says that the rest of the enclosing pass does not follow."""

    items: list[Act | Choice | Nested] = field(default_factory=list)
    collected: list[Collected] = field(default_factory=list)
    leaves: bool = False


@dataclass(frozen=True, slots=True)
class Path:
    """One way through a pass: what it did, and by which conditions it came to be."""

    acts: tuple[Act, ...] = ()
    tests: tuple[Value | None, ...] = ()
    leaves: bool = False


class Recorder:
    """Builds the record while the interpreter runs; outside of loops, and when nobody listens, it is idle."""

    def __init__(self, *, enabled: bool) -> None:
        self.enabled = enabled
        self._open: list[Sequence] = []

    @property
    def active(self) -> bool:
        """Whether what happens now is recorded."""
        return bool(self._open)

    def note(self, make: Callable[[], Act]) -> None:
        """Record one act, if anybody listens."""
        if self._open:
            self._open[-1].items.append(make())

    def collect(self, make: Callable[[], Collected]) -> None:
        """Record that something was added up or kept."""
        if self._open:
            self._open[-1].collected.append(make())

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Record nothing: what runs is tried only for its effects."""
        outer, self._open = self._open, []
        try:
            yield
        finally:
            self._open = outer

    def loop_pass(self, loop: Nested) -> AbstractContextManager[None]:
        """Record one pass of ``loop``."""
        return self._pass_of(loop) if self.enabled else nullcontext()

    @contextmanager
    def _pass_of(self, loop: Nested) -> Iterator[None]:
        with self._sequence() as sequence:
            loop.passes.append(sequence)
            yield

    def close(self, nested: Nested) -> None:
        """The loop or call is over: it becomes an item of what surrounds it."""
        if self._open and any(_says_something(one) for one in nested.passes):
            self._open[-1].items.append(nested)

    def call(self) -> AbstractContextManager[None]:
        """Record a call of a function."""
        return self._call() if self._open else nullcontext()

    @contextmanager
    def _call(self) -> Iterator[None]:
        nested = Nested()
        with self.loop_pass(nested):
            yield
        self.close(nested)

    def choice(self, test: Value | None = None) -> AbstractContextManager[Choice | None]:
        """Record a branch."""
        return self._choice(test) if self._open else nullcontext()

    @contextmanager
    def _choice(self, test: Value | None) -> Iterator[Choice]:
        choice = Choice(test)
        yield choice
        if any(_says_something(option) for option in choice.options):
            self._open[-1].items.append(choice)

    def option(self, choice: Choice | None) -> AbstractContextManager[Sequence]:
        """Record one alternative of ``choice``."""
        return nullcontext(Sequence()) if choice is None else self._option(choice)

    @contextmanager
    def _option(self, choice: Choice) -> Iterator[Sequence]:
        with self._sequence() as sequence:
            choice.options.append(sequence)
            yield sequence

    @contextmanager
    def _sequence(self) -> Iterator[Sequence]:
        """One more level of the record; what it collected is also collected by the level around it."""
        sequence = Sequence()
        self._open.append(sequence)
        try:
            yield sequence
        finally:
            self._open.pop()
            if self._open:
                self._open[-1].collected += sequence.collected


def all_acts(sequence: Sequence) -> Iterator[Act]:
    """Every act of a pass, in branches and inner loops too."""
    for item in sequence.items:
        if isinstance(item, Act):
            yield item
        else:
            for inner in item.options if isinstance(item, Choice) else item.passes:
                yield from all_acts(inner)


def repeated_acts(sequence: Sequence) -> Iterator[Act]:
    """The acts of a pass that an inner loop does again and again."""
    for item in sequence.items:
        if isinstance(item, Act):
            continue
        is_loop = isinstance(item, Nested) and item.repeats
        for inner in item.options if isinstance(item, Choice) else item.passes:
            yield from all_acts(inner) if is_loop else repeated_acts(inner)


def paths(sequence: Sequence) -> list[Path] | None:
    """Every way through a pass; an inner loop counts as one pass of it. None if there are too many."""
    done: list[Path] = []
    going = [Path()]
    for item in sequence.items:
        if isinstance(item, Act):
            going = [Path((*path.acts, item), path.tests) for path in going]
            continue
        tails = _tails(item)
        if tails is None or len(going) * len(tails) + len(done) > MAX_PATHS:
            return None
        extended = [_extended(path, tail) for path in going for tail in tails]
        done += [path for path in extended if path.leaves]
        going = [path for path in extended if not path.leaves]
    if sequence.leaves:
        going = [Path(path.acts, path.tests, leaves=True) for path in going]
    return done + going


def _extended(path: Path, tail: Path) -> Path:
    return Path((*path.acts, *tail.acts), (*path.tests, *tail.tests), tail.leaves)


def _tails(item: Choice | Nested) -> list[Path] | None:
    if isinstance(item, Nested):
        inner = paths(item.passes[-1])
        return None if inner is None else [Path(one.acts, one.tests) for one in inner]
    out: list[Path] = []
    for option in item.options:
        inner = paths(option)
        if inner is None:
            return None
        out += [Path(one.acts, (item.test, *one.tests), one.leaves) for one in inner]
    return out


def _says_something(sequence: Sequence) -> bool:
    return sequence.leaves or bool(sequence.items)


def stepping_loop(loop: Nested) -> tuple[list[Act], list[Instance]] | None:
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


def is_optimizer(value: Value | None) -> bool:
    """An optimizer of the framework itself, whose methods are known."""
    name = value.cls.name if isinstance(value, Instance) else ""
    return name.startswith("torch.optim.") and not name.startswith(
        ("torch.optim.lr_scheduler.", "torch.optim.swa_utils.")
    )
