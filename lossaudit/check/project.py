"""The modules of one unit: which file a dotted name means, and the scope of each file as this unit sees it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from lossaudit.check import ir
from lossaudit.check.infer.heap import Scope
from lossaudit.check.library import Library, Parsed, Place, Questions
from lossaudit.check.source import SourceError

_T = TypeVar("_T")


@dataclass(slots=True, eq=False)
class Module:
    """A file of the project, or a folder that serves as a package (then ``is_namespace``).

    ``state`` goes from ``new`` through ``running`` to ``done`` as the top level is interpreted; ``main_blocks`` are the
    bodies under ``if __name__ == "__main__"``. ``filename`` is the path as findings print it.
    """

    path: Path
    name: str
    filename: str
    place: Place
    scope: Scope = field(default_factory=Scope)
    state: str = "new"
    main_blocks: list[tuple[ir.Stmt, ...]] = field(default_factory=list)
    parsed: Parsed = field(default_factory=Parsed)

    @property
    def is_namespace(self) -> bool:
        """Whether it is a folder without a file of its own."""
        return self.place.is_namespace

    @property
    def error(self) -> SourceError | None:
        """Why the file cannot be read."""
        return self.parsed.error

    def text_of(self, node: int) -> str:
        """The whole rows on which a node stands, or all of the file where that is not known."""
        return self.parsed.text_of(node)

    @property
    def folder(self) -> Path:
        """Where relative imports of one dot look."""
        return self.path if self.is_namespace else self.path.parent


class Project:
    """The files that are checked, and whatever they import that lies beside them, as one unit looks at them."""

    def __init__(self, library: Library) -> None:
        self._library = library
        self._modules: dict[Path, Module] = {}
        self.asked: Questions = 0
        """What the disk was asked so far."""
        self._waiting: list[Module] = []

    def module(self, path: Path) -> Module:
        """The module of a file (its code is loaded by :meth:`load`)."""
        return self.at(Place(self._library.where(path)))

    def own(self, module: Module) -> Module:
        """The module of the same file as this project sees it: ``module`` may be another one's."""
        return self.at(module.place)

    def may_borrow(self, other: Module) -> bool:
        """Whether the file of another project's module is as it is there, or has not been run yet."""
        mine = self._modules.get(other.path)
        return mine is None or mine.state == "new" or mine.scope is other.scope

    def borrow(self, other: Module) -> None:
        """Let a file be what it is to another project."""
        module = self.own(other)
        module.parsed, module.scope, module.state = other.parsed, other.scope, other.state

    def note(self, asked: Questions) -> None:
        """What else the disk was asked."""
        self.asked |= asked

    def load(self, module: Module) -> ir.ModuleIR | None:
        """The compact form of a module; None (and ``module.error``) where it cannot be read."""
        if not module.is_namespace:
            module.parsed = self._noted(self._library.parsed(module.path))
        return module.parsed.code

    @property
    def modules(self) -> tuple[Module, ...]:
        """Every module that was named so far."""
        return tuple(self._modules.values())

    @property
    def is_waiting(self) -> bool:
        """Whether there are files that imports name and that nobody has asked for by :meth:`take_waiting`."""
        return bool(self._waiting)

    def take_waiting(self, most: int) -> list[Module]:
        """Files that imports name, and the packages that these belong to, each once, those first that were named first."""
        taken: list[Module] = []
        while self._waiting and len(taken) < most:
            module = self._waiting.pop(0)
            for path in self._noted(self._library.packages(module.folder)):
                self.at(Place(path))
            if module.state == "new":
                taken.append(module)
        return taken

    # Names

    def resolve(self, importer: Module, dotted: str, level: int) -> Module | None:
        """The module that ``from <dots><dotted> import`` or ``import <dotted>`` in ``importer`` means."""
        found = self._library.resolve(importer.folder, importer.parsed.paths, dotted, level)
        return self._there(self._noted(found))

    def leads_to_file(self, importer: Module, dotted: str) -> bool:
        """Whether ``import <dotted>`` in ``importer`` means a file or folder that is there; it is not run for being asked about."""
        return (
            self._noted(self._library.resolve(importer.folder, importer.parsed.paths, dotted, 0)) is not None
        )

    def modules_named(self, dotted: str) -> Iterator[Module]:
        """The given files that are imported by this dotted name."""
        for path in self._noted(self._library.named(dotted)):
            yield self.at(Place(path))

    def submodule(self, module: Module, name: str) -> Module | None:
        """``module.name`` where it is a file or folder below a package."""
        if module.is_namespace or module.path.name == "__init__.py":
            return self._there(self._noted(self._library.below(module.folder, name)))
        return None

    def submodule_names(self, module: Module) -> frozenset[str]:
        """The names that :meth:`submodule` may know."""
        if not (module.is_namespace or module.path.name == "__init__.py"):
            return frozenset()
        return self._noted(self._library.names_below(module.folder))

    def exports(self, module: Module) -> frozenset[str] | None:
        """The names that ``from module import *`` may bring; None where nothing can be said."""
        return self._noted(self._library.exports(module.path))

    def _there(self, place: Place | None) -> Module | None:
        return None if place is None else self.at(place)

    def at(self, place: Place) -> Module:
        """The module of what lies at a place."""
        module = self._modules.get(place.path)
        if module is None:
            module = self._modules[place.path] = self._new(place)
            self._waiting.append(module)
        return module

    def _new(self, place: Place) -> Module:
        path, name = place.path, self._noted(self._library.name(place.path))
        if place.is_namespace:
            return Module(path, path.name, name, place, state="done")
        return Module(path, path.parent.name if path.stem == "__init__" else path.stem, name, place)

    def _noted(self, answered: tuple[_T, Questions]) -> _T:
        value, questions = answered
        self.asked |= questions
        return value
