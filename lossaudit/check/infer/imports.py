"""The top levels of files that others import: each is run once a process, and lent to the units that need it.

What a top level leaves is a function of the contents of the files that it reaches, if it is run by itself, in a state that nothing
else has touched. That is how it is run here: by an interpreter of its own, in which the files that it imports are lent in their turn.
A unit uses what stands there as if it had run it; what it writes to is put back when the unit is done (:class:`Heap`). So nothing
depends on which units were looked at before, or by which process.

Files that read each other's names in a ring are run together, from whichever of them is read first: the state of a ring depends on where
it is entered, so each entry has a state of all of them, and is lent with it. A unit that holds one of them in another state already runs
what it needs itself. What it enters in tables and globals of other files (they register themselves somewhere, or set a handler) is taken
back, and entered again where it is lent. Not lent, but run anew by each unit, are files that change otherwise what others hold, and files
that need the home, which a unit runs aloud.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from lossaudit.check import ir
from lossaudit.check.infer.heap import Change, ForeignWrite, Heap, Scope
from lossaudit.check.library import Library, Place, Questions
from lossaudit.check.project import Module, Project
from lossaudit.check.reasoning.gradients import parts
from lossaudit.check.values import (
    BoundMethod,
    ClassVal,
    DictVal,
    Function,
    Instance,
    ListVal,
    ModuleVal,
    Partial,
    Site,
    Tensor,
    Union,
    Unknown,
    Value,
)

if TYPE_CHECKING:
    from lossaudit.check.infer.engine import Tools


class NotLent(Exception):  # noqa: N818 (it ends a run, it is not an error)
    """A top level needs a file that is not lent."""


class InRing(Exception):  # noqa: N818 (it ends a run, it is not an error)
    """A top level needs the file at ``path``, for which it is run: the file that began has to run it in its own state."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.path = path


@dataclass(frozen=True, slots=True)
class TopLevel:
    """What the top level of a file left, and what a unit must know that uses it.

    Args:
        modules: The file, and those that were run in its state because they need it in their turn; none if it is not lent.
        asked: The questions to the disk on which all of this rests.
        reached: The files whose top levels ran for it.
        rings: What it was lent in its turn of more than one file.
        named: The files that were named meanwhile.
        tables: The tables that were left empty, by identity.
        current: What tensors became through in-place operations.
        forced: The values whose gradient was asked for.
        costly: The functions that used up their share of the steps.
        entered: What it entered in lent files: a class in a registry, a global that a function of theirs sets.
    """

    modules: tuple[Module, ...]
    asked: Questions
    reached: frozenset[Path] = frozenset()
    rings: tuple[TopLevel, ...] = ()
    named: tuple[Place, ...] = ()
    tables: Mapping[int, DictVal] = field(default_factory=dict)
    current: Mapping[int, Tensor] = field(default_factory=dict)
    forced: Mapping[int, tuple[Value, Site]] = field(default_factory=dict)
    costly: Mapping[int, ir.Node] = field(default_factory=dict)
    entered: tuple[Change, ...] = ()


class Imports:
    """The top levels that one process has run; ``lent`` are the identities of all that they hold and that could be changed."""

    def __init__(self, library: Library, tools: Tools) -> None:
        self._library = library
        self._tools = tools
        self._known: dict[Path, TopLevel] = {}
        self._running: list[Path] = []
        self._ringed: set[tuple[Path, Path]] = set()
        self._kept: list[object] = []
        self.lent: set[int] = set()
        self._places: set[int] = set()

    def heap(self) -> Heap:
        """A heap for a unit: what it changes of what is lent can be put back."""
        return Heap(self.lent, self._places)

    def top_level(self, path: Path) -> TopLevel:
        """What the top level of a file leaves.

        Raises:
            InRing: It needs a file whose top level is running, or is that file.
        """
        known = self._known.get(path)
        if known is None:
            if path in self._running:
                raise InRing(path)
            self._running.append(path)
            try:
                known = self._known[path] = self._run(path)
            except InRing as ring:
                self._ringed.add((ring.path, path))
                raise
            finally:
                self._running.pop()
        return known

    def is_in_ring(self, entry: Path | None, path: Path) -> bool:
        """Whether the file at ``path`` was found to need ``entry``, which runs and needs it."""
        return entry is not None and (entry, path) in self._ringed

    def _run(self, path: Path) -> TopLevel:
        from lossaudit.check.infer.engine import Interpreter  # noqa: PLC0415 (an interpreter uses what is lent)

        project = Project(self._library)
        heap = Heap(self.lent, self._places, is_strict=True)
        interp = Interpreter(project, self._tools, _nowhere(), self, heap, entry=path)
        try:
            interp.run_top_level(project.module(path))
        except (NotLent, ForeignWrite, RecursionError):
            return TopLevel((), project.asked)
        finally:
            entered = heap.give_back()
        self._lend([module.scope for module in interp.ran])
        self._lend([change.value for change in entered if isinstance(change.value, Value)])
        return TopLevel(
            tuple(interp.ran),
            project.asked,
            frozenset({*interp.borrowed, *(module.path for module in interp.ran)}),
            tuple(interp.rings.values()),
            tuple(one.place for one in project.modules if one not in interp.ran),
            interp.registries,
            heap.current,
            interp.forced,
            interp.budget.costly,
            entered,
        )

    def _lend(self, stack: list[Value | Scope]) -> None:
        """Note everything that these hold and that could be changed."""
        seen: set[int] = set()
        while stack:
            one = stack.pop()
            if id(one) in seen or id(one) in self.lent:
                continue
            seen.add(id(one))
            if isinstance(one, Scope):
                one.is_lent = True
                if one.parent is None:
                    self._places.add(id(one.vars))
            elif isinstance(one, DictVal):
                self._places.add(id(one.entries))
            containers = tuple(_containers(one))
            self._kept += containers
            self.lent.update(map(id, containers))
            stack += _held(one)


def _nowhere() -> Module:
    """The home of what has none."""
    return Module(Path(), "", "", Place(Path()))


def _containers(holder: Value | Scope) -> Iterator[object]:
    """What can be changed of a value or scope itself."""
    if isinstance(holder, Scope):
        yield from (holder, holder.vars)
    elif isinstance(holder, ClassVal):
        yield holder
    elif isinstance(holder, Instance):
        yield from (holder, holder.attrs, holder.bound, holder.initial)
        if holder.items is not None:
            yield holder.items
    elif isinstance(holder, ListVal):
        yield from (holder, holder.items)
    elif isinstance(holder, DictVal):
        yield from (holder, holder.entries)


def _held(holder: Value | Scope) -> Iterable[Value | Scope]:
    """What a value or scope leads to, but for other files."""
    if isinstance(holder, Scope):
        return holder.vars.values() if holder.parent is None else (*holder.vars.values(), holder.parent)
    if isinstance(holder, ClassVal):
        return (holder.scope, *holder.mro)
    if isinstance(holder, Function):
        owner = () if holder.owner is None else (holder.owner,)
        return (holder.closure, *holder.defaults.values(), *owner)
    if isinstance(holder, Instance):
        held = (*holder.attrs.values(), *holder.bound.values(), *holder.initial.values())
        return (holder.cls, *held, *(holder.items or ()), *holder.given)
    if isinstance(holder, BoundMethod):
        return (holder.function, holder.receiver)
    if isinstance(holder, Partial):
        return (holder.function, *holder.positional, *holder.keywords.values())
    if isinstance(holder, Tensor):
        return (*holder.args.values(), *(() if holder.module is None else (holder.module,)))
    if isinstance(holder, Union):
        return holder.alternatives
    if isinstance(holder, Unknown):
        return (*(one for one in (holder.of, holder.at, holder.usual, holder.owner) if one), *holder.given)
    return () if isinstance(holder, ModuleVal) else parts(holder)
