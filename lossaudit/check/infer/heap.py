"""Everything that can change while code runs, with a journal so that branches can be tried, undone and joined.

Assignments are strong while a branch runs. At its end the changes are taken back and kept aside; when all branches
have run, what they left behind is joined. Scopes, objects, lists and dicts change through :class:`Heap` only.

Some of what code works on is lent to the run by others (:mod:`lossaudit.check.infer.imports`): it is given back as it was.
"""

from __future__ import annotations

from collections.abc import Iterable, Set
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lossaudit.check.values import ABSENT, Const, Tensor, Value, join

if TYPE_CHECKING:
    from lossaudit.check.library import Place


class _Missing:
    """Marks a key that a container does not have."""


MISSING = _Missing()


@dataclass(slots=True, eq=False)
class Scope:
    """The variables of a module, a class body or a function call. ``is_class`` scopes are invisible to functions.

    ``stars`` are the files of the project, and other modules by their names, from which all names were imported. ``is_lent`` says that
    other runs see this scope too.
    """

    parent: Scope | None = None
    is_class: bool = False
    is_lent: bool = False
    vars: dict[str, Value] = field(default_factory=dict)
    stars: list[Place | str] = field(default_factory=list)
    globals: frozenset[str] = frozenset()
    nonlocals: frozenset[str] = frozenset()


Container = dict[Any, Any] | list[Value]


@dataclass(slots=True)
class Change:
    """One place that a branch changed, and what it held at the end of the branch."""

    container: Any
    key: Any
    value: Any


Changes = dict[tuple[int, Any], Change]


@dataclass(slots=True)
class Journal:
    """The first value of every place that was changed since the journal was opened.

    What was ``born`` since then is not among them: once everything is taken back, only who holds it can see it, as it was left.
    ``repeats`` says that it is the journal of a loop of unknown length.
    """

    old: dict[tuple[int, Any], Change] = field(default_factory=dict)
    born: dict[int, Any] = field(default_factory=dict)
    repeats: bool = False


class ForeignWrite(Exception):  # noqa: N818 (it ends a run, it is not an error)
    """A run that must leave alone what is lent to it was about to change it."""


_WHOLE = object()
"""The key under which a list is journaled: as a whole."""


class Heap:
    """The journaled state of one run of the interpreter.

    Args:
        lent: The identities of what others lend to this run, and that could be changed.
        places: Those among them that hold values by name, and can be entered again: the globals of a file, tables.
        is_strict: Whether the run must not change anything else of that.
    """

    def __init__(
        self, lent: Set[int] = frozenset(), places: Set[int] = frozenset(), *, is_strict: bool = False
    ) -> None:
        self._lent = lent
        self._places = places
        self.is_strict = is_strict
        self._owed: Changes = {}
        self.journals: list[Journal] = []
        self.current: dict[int, Tensor] = {}
        self.version = 0

    # Writing

    def set(self, container: dict[Any, Any], key: Any, value: Any) -> None:
        """``container[key] = value``."""
        self._note(container, key, container.get(key, MISSING))
        container[key] = value

    def delete(self, container: dict[Any, Any], key: Any) -> None:
        """``del container[key]``, if it is there."""
        if key in container:
            self._note(container, key, container[key])
            del container[key]

    def assign(self, items: list[Value], new: list[Value]) -> None:
        """``items[:] = new``."""
        self._note(items, _WHOLE, list(items))
        items[:] = new

    def set_field(self, target: Any, name: str, value: Any) -> None:
        """``target.name = value`` for a field of one of our own mutable values."""
        self._note(target, name, getattr(target, name))
        setattr(target, name, value)

    def settle(self, target: Any, name: str, value: Any) -> None:
        """``target.name = value``, in whichever branch that was found out."""
        self._owe(target, name, getattr(target, name))
        setattr(target, name, value)

    def mutate(self, old: Tensor, new: Tensor) -> None:
        """The object that ``old`` is has become ``new``: every name that holds it sees so."""
        self.set(self.current, old.ident, new)
        self.version += 1

    def latest(self, value: Value) -> Value:
        """What the object ``value`` has become through in-place operations."""
        return self.current.get(value.ident, value) if type(value) is Tensor else value

    def born(self, *containers: Any) -> None:
        """Say that these have just been made."""
        if self.journals:
            self.journals[-1].born.update({id(one): one for one in containers})

    def _note(self, container: Any, key: Any, old: Any) -> None:
        ident = id(container)
        if ident in self._lent:
            self._owe(container, key, old)
        if self.journals:
            journal = self.journals[-1]
            if ident not in journal.born and (ident, key) not in journal.old:
                journal.old[ident, key] = Change(container, key, old)

    # What is lent

    def _owe(self, container: Any, key: Any, old: Any) -> None:
        if id(container) in self._lent:
            if self.is_strict and id(container) not in self._places:
                raise ForeignWrite
            self._owed.setdefault((id(container), key), Change(container, key, old))

    def give_back(self) -> tuple[Change, ...]:
        """Leave what is lent as it was before this run, and return what was changed of it to what."""
        made: list[Change] = []
        for change in self._owed.values():
            now = _read(change.container, change.key)
            if now is not change.value:
                made.append(Change(change.container, change.key, now))
            _write(change.container, change.key, change.value)
        self._owed.clear()
        return tuple(made)

    def enter(self, changes: Iterable[Change]) -> None:
        """Change what is lent as another run did, in whichever branch that is needed."""
        for change in changes:
            self._owe(change.container, change.key, _read(change.container, change.key))
            _write(change.container, change.key, change.value)

    # Branches

    def begin(self, *, repeats: bool = False) -> None:
        """Start noting changes; ``repeats`` says that what follows is a loop of unknown length."""
        self.journals.append(Journal(repeats=repeats))

    def grows(self, items: list[Value]) -> bool:
        """Whether a running loop changes a list that was there before it: no pass tells how long it is."""
        in_loop = is_changed = False
        for journal in self.journals:
            in_loop = in_loop or journal.repeats
            if in_loop and id(items) in journal.born:
                return False
            is_changed = is_changed or (in_loop and (id(items), _WHOLE) in journal.old)
        return is_changed

    def retreat(self) -> Changes:
        """Take back everything since the last :meth:`begin`, and return what had been changed to what."""
        journal = self._close()
        out: Changes = {}
        for where, change in journal.old.items():
            out[where] = Change(change.container, change.key, _read(change.container, change.key))
            _write(change.container, change.key, change.value)
        return out

    def keep_additions(self) -> None:
        """Take back what was changed since the last :meth:`begin`, and keep what was added."""
        if not self.journals:
            return  # the run was abandoned, and everything is taken back already
        for change in self._close().old.values():
            is_empty = change.value is MISSING or (
                isinstance(change.value, Const) and change.value.value is None
            )
            if not is_empty:
                _write(change.container, change.key, change.value)

    def _close(self) -> Journal:
        journal = self.journals.pop()
        if self.journals:
            self.journals[-1].born.update(journal.born)
        return journal

    def merge(self, branches: Iterable[Changes]) -> None:
        """Continue from the join of several branches that all started here."""
        options = list(branches)
        if not options:
            return
        places = {where: change for changes in options for where, change in changes.items()}
        for where, change in places.items():
            before = _read(change.container, change.key)
            finals = [changes[where].value if where in changes else before for changes in options]
            self._note(change.container, change.key, before)
            _write(change.container, change.key, _join(finals))

    def weaken(self, changes: Changes) -> None:
        """Join changes of a path that left early into the present state."""
        here: Changes = {}
        self.merge([here, changes])


def _read(container: Any, key: Any) -> Any:
    if key is _WHOLE:
        return list(container)
    if isinstance(container, dict):
        return container.get(key, MISSING)
    return getattr(container, key)


def _write(container: Any, key: Any, value: Any) -> None:
    if key is _WHOLE:
        container[:] = value
    elif not isinstance(container, dict):
        setattr(container, key, value)
    elif value is MISSING:
        container.pop(key, None)
    else:
        container[key] = value


def _join(finals: list[Any]) -> Any:
    """A place that only some branches wrote holds what they wrote: reading it otherwise would have raised."""
    first = finals[0]
    for value in finals:
        if value is not first:
            break
    else:
        return first
    known = [value for value in finals if value is not MISSING]
    if isinstance(known[0], list):
        return _join_lists(known)
    if not all(isinstance(value, Value) for value in known):
        return known[-1]
    return join(known)


def _join_lists(options: list[list[Value]]) -> list[Value]:
    """Place by place; what only some branches have may be absent."""
    length = max(len(option) for option in options)
    return [
        join(option[place] if place < len(option) else ABSENT for option in options)
        for place in range(length)
    ]
