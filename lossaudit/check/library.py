"""What is the same whichever file is analysed: the answers of the disk, and files in their compact form.

One :class:`Library` serves all units of a process (:mod:`lossaudit.check.units`). Nothing in it changes once it is known. Every
answer comes with the questions to the disk on which it rests (:mod:`lossaudit.check.looks`), also when it is given again from
memory: so each unit knows all that it looked at, whoever looked first.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import compress
from pathlib import Path
from typing import Any, TypeVar

from lossaudit.check import ir, looks
from lossaudit.check.exports import changes_path, exported, star_imports
from lossaudit.check.looks import common_folder, normal
from lossaudit.check.notebooks import broken_cells, python_of
from lossaudit.check.source import NEWLINE, TOO_DEEP, SourceError, decode, lower, read
from lossaudit.notebooktext import is_notebook

_MARKERS = ("pyproject.toml", "setup.py", "setup.cfg", ".git")
_MAX_CLIMB = 6
Questions = int
"""A set of questions, a bit each by the order in which one library was asked: units ask the same thousands of them."""
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a dotted name leads: a file, or a folder that serves as a package."""

    path: Path
    is_namespace: bool = False


@dataclass(slots=True, eq=False)
class Parsed:
    """A file in its compact form; where it cannot be read there is an ``error`` and no ``code``.

    ``paths`` are the folders that the file itself puts on the path of imports.
    """

    source: bytes = b""
    code: ir.ModuleIR | None = None
    error: SourceError | None = None
    paths: tuple[Path, ...] = ()
    _lines: list[str] = field(default_factory=list)

    def text_of(self, node: int) -> str:
        """The whole rows on which a node stands, or all of the file where that is not known."""
        if not self._lines:
            self._lines = NEWLINE.split(decode(self.source))
        if self.code is None or self.code.rows is None:
            return "\n".join(self._lines)
        first, last = self.code.rows(node)
        return "\n".join(self._lines[first - 1 : last])


class Library:
    """Answers of the disk about one set of files, and these files in their compact form.

    Args:
        given: The files that are checked: where each lies, and how it was named.
        roots: Further folders from which imports are resolved.
        sources: What files are taken to hold instead of what is on the disk.
    """

    def __init__(
        self,
        given: Mapping[Path, str],
        roots: Sequence[Path] = (),
        sources: Mapping[Path, bytes] | None = None,
    ) -> None:
        self.given = given
        self._by_name = {name: path for path, name in given.items()}
        self._sources = sources or {}
        self._extra_roots = roots
        self._common = common_folder(given)
        self.answers: dict[str, str] = {}
        self._places: dict[str, Questions] = {}
        self.held = 0
        """The bytes of source whose compact form is kept."""
        self._memory: dict[tuple[Any, ...], tuple[Any, Questions]] = {}
        self._asked: Questions = 0

    def where(self, path: Path) -> Path:
        """Where a file or folder lies, whichever way it is named."""
        return self._by_name.get(str(path)) or normal(path)

    def name(self, path: Path) -> tuple[str, Questions]:
        """How findings name the file that lies here."""
        return self._remembered(("name", path), lambda: self._name(path))

    def parsed(self, path: Path) -> tuple[Parsed, Questions]:
        """The compact form of the file that lies here."""
        return self._remembered(("parsed", path), lambda: self._parse(path))

    def text(self, path: Path) -> tuple[bytes | SourceError, Questions]:
        """The Python in the file that lies here, or why it cannot be read."""
        return self._remembered(("text", path), lambda: self._text(path))

    def broken_cells(self, path: Path) -> tuple[tuple[SourceError, ...], Questions]:
        """Why cells of the notebook that lies here are left out, if it is one and others are Python."""
        return self._remembered(("broken", path), lambda: self._broken_cells(path))

    def resolve(
        self, folder: Path, paths: tuple[Path, ...], dotted: str, level: int
    ) -> tuple[Place | None, Questions]:
        """Where ``from <dots><dotted> import`` leads in a file of this folder that puts ``paths`` on the path."""
        key = ("resolve", folder, paths, dotted, level)
        return self._remembered(key, lambda: self._resolve(folder, paths, dotted, level))

    def below(self, folder: Path, name: str) -> tuple[Place | None, Questions]:
        """The module or package of this name in a folder."""
        return self._remembered(("below", folder, name), lambda: self._below(folder, name))

    def names_below(self, folder: Path) -> tuple[frozenset[str], Questions]:
        """The names that :meth:`below` may know."""
        return self._remembered(
            ("names", folder),
            lambda: frozenset(name.partition(".")[0] for name in self._listing(folder)),
        )

    def packages(self, folder: Path) -> tuple[tuple[Path, ...], Questions]:
        """The files that Python runs before a module in this folder: of the packages around it, the outermost first."""
        return self._remembered(("packages", folder), lambda: self._packages(folder))

    def named(self, dotted: str) -> tuple[tuple[Path, ...], Questions]:
        """The given files that are imported by this dotted name."""
        return self._remembered(("named", dotted), lambda: tuple(self._named(tuple(dotted.split(".")))))

    def exports(self, path: Path) -> tuple[frozenset[str] | None, Questions]:
        """The names that may come out of a file, or of what it imports with a star; None where that could be any."""
        return self._remembered(("exports", path), lambda: self._exports(path))

    # Remembering

    def _remembered(self, key: tuple[Any, ...], find: Callable[[], T]) -> tuple[T, Questions]:
        known = self._memory.get(key)
        if known is None:
            outer, self._asked = self._asked, 0
            try:
                value = find()
            finally:
                asked, self._asked = self._asked, outer
            known = self._memory[key] = value, asked
        self._asked |= known[1]
        return known

    def _ask(self, question: str, find: Callable[[], str]) -> str:
        answer = self.answers.get(question)
        if answer is None:
            answer = find()
            self._places[question] = 1 << len(self.answers)
            self.answers[question] = answer
        self._asked |= self._places[question]
        return answer

    def told(self, questions: Questions) -> tuple[str, ...]:
        """The questions by their texts, in an order that does not depend on what was asked before."""
        bits = (bit == "1" for bit in reversed(f"{questions:b}"))
        return tuple(sorted(compress(self.answers, bits)))

    def _name(self, path: Path) -> str:
        found = self.given.get(path, "")
        self._ask(looks.asks_name(path), lambda: found)
        return found or str(path)

    # Files

    def _parse(self, path: Path) -> Parsed:
        parsed = Parsed()
        try:
            parsed.source = self._source(path)
            parsed.code = lower(parsed.source)
            self.held += len(parsed.source)
            parsed.paths = tuple(_path_additions(path, parsed.code))
        except SourceError as error:
            parsed.error = error
        except RecursionError:
            parsed.error = SourceError("E001", TOO_DEEP)
        return parsed

    def _text(self, path: Path) -> bytes | SourceError:
        try:
            return self._source(path)
        except SourceError as error:
            return error

    def _broken_cells(self, path: Path) -> tuple[SourceError, ...]:
        try:
            return broken_cells(path, self._data(path)) if is_notebook(path) else ()
        except SourceError:
            return ()

    def _exports(self, path: Path) -> frozenset[str] | None:
        names: set[str] = set()
        seen, stack = {path}, [path]
        while stack:
            file = stack.pop()
            (own, stars), _ = self._remembered(("outside", file), partial(self._outside, file))
            if own is None:
                return None
            names |= own
            stack += [star for star in stars if star not in seen]
            seen.update(stars)
        return frozenset(names)

    def _outside(self, path: Path) -> tuple[frozenset[str] | None, tuple[Path, ...]]:
        """The names of one file, None where nothing can be said of its imports; and the files that it imports with a star."""
        if path.suffix != ".py":
            return self.names_below(path)[0], ()
        source = self._text(path)
        if isinstance(source, SourceError):
            return frozenset(), ()
        text = source.decode(errors="replace")
        imports = star_imports(text)
        if imports and changes_path(text):
            return None, ()
        places = [self.resolve(path.parent, (), dotted, level)[0] for dotted, level in imports]
        names = exported(text)
        if path.stem == "__init__":
            names |= {name for name in self.names_below(path.parent)[0] if not name.startswith("_")}
        return names, tuple(place.path for place in places if place is not None)

    def _source(self, path: Path) -> bytes:
        """The Python in a file: what the run was given for it, else what is on the disk.

        Raises:
            SourceError: E003, it cannot be read; E001 or E002, it is a notebook that is broken.
        """
        return python_of(path, self._data(path))

    def _data(self, path: Path) -> bytes:
        given = self._sources.get(path)
        if given is not None:
            return given
        try:
            data = read(path)
        except SourceError:
            self._ask(looks.asks_content(path), lambda: "")
            raise
        self._ask(looks.asks_content(path), lambda: looks.digest(data))
        return data

    # Names

    def _resolve(self, folder: Path, paths: tuple[Path, ...], dotted: str, level: int) -> Place | None:
        if level:
            for _ in range(level - 1):
                folder = folder.parent
            return self.below(folder, dotted)[0]
        top = dotted.partition(".")[0]
        if top in sys.stdlib_module_names:
            return None
        for root in self._roots(folder, paths):
            found, _ = self.below(root, dotted)
            if found is not None:
                return found
        return None

    def _named(self, wanted: tuple[str, ...]) -> Iterator[Path]:
        for path in self.given:
            parts = path.with_suffix("").parts
            parts = parts[:-1] if parts[-1] == "__init__" else parts
            if parts[-len(wanted) :] == wanted and len(wanted) >= self._package_depth(path):
                yield path

    def _package_depth(self, path: Path) -> int:
        """How many parts the dotted name of a file has at least: one a package around it, and its own."""
        around = len(self.packages(path.parent)[0])
        return around if path.stem == "__init__" else around + 1

    def _packages(self, folder: Path) -> tuple[Path, ...]:
        own = folder / "__init__.py"
        if self._kind(own) != "file" or folder.parent == folder:
            return ()
        return (*self.packages(folder.parent)[0], own)

    def _below(self, folder: Path, dotted: str) -> Place | None:
        path = folder.joinpath(*dotted.split(".")) if dotted else folder
        if dotted and self._kind(path.with_name(path.name + ".py")) == "file":
            return Place(path.with_name(path.name + ".py"))
        if self._kind(path) != "folder":
            return None
        if self._kind(path / "__init__.py") == "file":
            return Place(path / "__init__.py")
        holds_python = any(name.endswith(".py") for name in self._listing(path))
        return Place(path, is_namespace=True) if holds_python else None

    def _kind(self, path: Path) -> str:
        return self._ask(looks.asks_kind(path), lambda: looks.kind(path))

    def _listing(self, folder: Path) -> Sequence[str]:
        return self._remembered(("listing", folder), lambda: self._list(folder))[0]

    def _list(self, folder: Path) -> Sequence[str]:
        names = looks.listing(folder)
        self._ask(looks.asks_listing(folder), lambda: looks.digest_of_names(names))
        return names

    def _roots(self, folder: Path, paths: tuple[Path, ...]) -> Iterator[Path]:
        climb, _ = self._remembered(("climb", folder), lambda: tuple(self._climb(folder)))
        seen: set[Path] = set()
        for root in (*paths, *climb, *self._extra_roots):
            for candidate in (root, root / "src"):
                if candidate not in seen:
                    seen.add(candidate)
                    yield candidate

    def _climb(self, folder: Path) -> Iterator[Path]:
        """The folder itself and its ancestors, up to the top of the project as far as that can be told."""
        yield folder
        inside_package = self._kind(folder / "__init__.py") == "file"
        current = folder
        for _ in range(_MAX_CLIMB):
            if any(self._kind(current / marker) for marker in _MARKERS) or current.parent == current:
                return
            is_below_common = self._common in current.parents
            if not (inside_package or is_below_common):
                return
            current = current.parent
            inside_package = self._kind(current / "__init__.py") == "file"
            yield current


def _path_additions(file: Path, code: ir.ModuleIR) -> Iterator[Path]:
    """The folders that plain ``sys.path.insert`` and ``append`` calls in the file add."""
    for statement in code.body:
        value = statement.value if isinstance(statement, ir.ExprStmt) else None
        if not (isinstance(value, ir.Call) and value.args and _dotted(value.func).startswith("sys.path.")):
            continue
        found = _path_value(value.args[-1].value, file)
        if found is not None:
            # By its name, as the user gave it: not where a link leads.
            yield Path(os.path.normpath(file.parent / found))


def _dotted(node: ir.Expr) -> str:
    if isinstance(node, ir.Attribute):
        return f"{_dotted(node.value)}.{node.attr}"
    return node.name if isinstance(node, ir.Name) else ""


def _path_value(node: ir.Expr, file: Path) -> Path | None:
    """The path that a plain expression of ``__file__``, ``os.path`` and ``Path`` stands for."""
    if isinstance(node, ir.Constant):
        return Path(node.value) if isinstance(node.value, str) else None
    if isinstance(node, ir.Name):
        return file if node.name == "__file__" else None
    if isinstance(node, ir.Attribute) and node.attr == "parent":
        inner = _path_value(node.value, file)
        return None if inner is None else inner.parent
    if isinstance(node, ir.BinOp) and node.op == "/":
        return _joined([node.left, node.right], file)
    return _path_call(node, file) if isinstance(node, ir.Call) else None


def _path_call(node: ir.Call, file: Path) -> Path | None:
    name = _dotted(node.func).rpartition(".")[2]
    arguments = [arg.value for arg in node.args]
    if name == "join":
        return _joined(arguments, file)
    if not arguments:
        target = node.func.value if isinstance(node.func, ir.Attribute) else None
        return _path_value(target, file) if target is not None and name in ("resolve", "absolute") else None
    inner = _path_value(arguments[0], file)
    if inner is None:
        return None
    return inner.parent if name == "dirname" else inner if name in _SAME_PATH else None


_SAME_PATH = ("abspath", "realpath", "Path", "str", "normpath")


def _joined(parts: list[ir.Expr], file: Path) -> Path | None:
    found = [_path_value(part, file) for part in parts]
    known = [path for path in found if path is not None]
    return Path(*known) if known and len(known) == len(found) else None
