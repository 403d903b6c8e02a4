"""Which file a dotted name means, and the compact form of each file, loaded when it is first needed."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath

from lossaudit.check import ir, looks
from lossaudit.check.infer.heap import Scope
from lossaudit.check.notebooks import python_of
from lossaudit.check.source import NEWLINE, TOO_DEEP, SourceError, decode, lower

_MARKERS = ("pyproject.toml", "setup.py", "setup.cfg", ".git")
_MAX_CLIMB = 6
MAX_FILE_BYTES = 20_000_000
"""A larger file is data that happens to be called .py."""


@dataclass(slots=True, eq=False)
class Module:
    """A file of the project, or a folder that serves as a package (then ``is_namespace``).

    ``state`` goes from ``new`` through ``running`` to ``done`` as the top level is interpreted; ``main_blocks`` are the
    bodies under ``if __name__ == "__main__"``, which run after every top level.
    """

    path: Path
    name: str
    is_namespace: bool = False
    scope: Scope = field(default_factory=Scope)
    state: str = "new"
    main_blocks: list[tuple[ir.Stmt, ...]] = field(default_factory=list)
    code: ir.ModuleIR | None = None
    error: SourceError | None = None
    paths: tuple[Path, ...] = ()
    source: bytes = b""
    filename: str = field(init=False)
    """The path as findings print it."""
    _lines: list[str] = field(default_factory=list)

    def text_of(self, node: int) -> str:
        """The whole rows on which a node stands, or all of the file where that is not known."""
        if not self._lines:
            self._lines = NEWLINE.split(decode(self.source))
        if self.code is None or self.code.rows is None:
            return "\n".join(self._lines)
        first, last = self.code.rows(node)
        return "\n".join(self._lines[first - 1 : last])

    def __post_init__(self) -> None:
        self.filename = str(self.path)

    @property
    def folder(self) -> Path:
        """Where relative imports of one dot look."""
        return self.path if self.is_namespace else self.path.parent


class Project:
    """The files that are checked, and whatever they import that lies beside them."""

    def __init__(
        self,
        files: Sequence[Path],
        roots: Sequence[Path] = (),
        sources: Mapping[Path, bytes] | None = None,
    ) -> None:
        self._sources = {_normal(path): source for path, source in (sources or {}).items()}
        self.files = {_normal(path): path for path in files}
        self.extra_roots = [_normal(root) for root in roots]
        self._common = _common_folder(self.files)
        self._modules: dict[Path, Module] = {}
        self._found: dict[tuple[Path, str], Module | None] = {}
        self._kinds: dict[Path, str] = {}
        self._listings: dict[Path, frozenset[str]] = {}
        self._climbs: dict[Path, tuple[Path, ...]] = {}
        self._outside: set[Path] = set()

    @property
    def asked(self) -> tuple[str, ...]:
        """What the disk was asked so far, besides the bytes of the files that were given (see :mod:`lossaudit.check.cache`)."""
        return (
            *map(looks.asks_kind, self._kinds),
            *map(looks.asks_listing, self._listings),
            *map(looks.asks_content, self._outside),
        )

    def module(self, path: Path) -> Module:
        """The module of a file (its code is loaded by :meth:`load`)."""
        normal = _normal(path)
        if normal not in self._modules:
            given = self.files.get(normal, path)
            self._modules[normal] = Module(
                given, normal.parent.name if normal.stem == "__init__" else normal.stem
            )
        return self._modules[normal]

    def loaded(self) -> Iterator[Module]:
        """Every module that was touched so far."""
        yield from self._modules.values()

    def load(self, module: Module) -> ir.ModuleIR | None:
        """The compact form of a module; None (and ``module.error``) where it cannot be read."""
        if module.is_namespace or module.code is not None or module.error is not None:
            return module.code
        try:
            module.source = self.read(module.path)
            module.code = lower(module.source)
            module.paths = tuple(_path_additions(module))
        except SourceError as error:
            module.error = error
        except RecursionError:
            module.error = SourceError("E001", TOO_DEEP)
        return module.code

    def read(self, path: Path) -> bytes:
        """The Python in a file: what the run was given for it, else what is on the disk.

        Raises:
            SourceError: E003, it cannot be read; E001 or E002, it is a notebook that is broken.
        """
        normal = _normal(path)
        given = self._sources.get(normal) if self._sources else None
        if given is None and normal not in self.files:
            self._outside.add(normal)
        return python_of(path, read(path)) if given is None else given

    # Names

    def resolve(self, importer: Module, dotted: str, level: int) -> Module | None:
        """The module that ``from <dots><dotted> import`` or ``import <dotted>`` in ``importer`` means."""
        if level:
            folder = _normal(importer.folder)
            for _ in range(level - 1):
                folder = folder.parent
            return self._below(folder, dotted)
        top = dotted.partition(".")[0]
        if top in sys.stdlib_module_names:
            return None
        for root in self._roots(importer):
            found = self._below(root, dotted)
            if found is not None:
                return found
        return None

    def modules_named(self, dotted: str) -> Iterator[Module]:
        """The given files that are imported by this dotted name."""
        wanted = tuple(dotted.split("."))
        for normal, path in self.files.items():
            parts = normal.with_suffix("").parts
            parts = parts[:-1] if parts[-1] == "__init__" else parts
            if parts[-len(wanted) :] == wanted and len(wanted) >= self._package_depth(normal):
                yield self.module(path)

    def _package_depth(self, path: Path) -> int:
        """How many parts the dotted name of a file has at least: one a package around it, and its own."""
        depth = 0 if path.stem == "__init__" else 1
        folder = path.parent
        while self._kind(folder / "__init__.py") == "file" and folder.parent != folder:
            depth, folder = depth + 1, folder.parent
        return depth

    def submodule(self, module: Module, name: str) -> Module | None:
        """``module.name`` where it is a file or folder below a package."""
        if module.is_namespace or module.path.name == "__init__.py":
            return self._below(_normal(module.folder), name)
        return None

    def submodule_names(self, module: Module) -> frozenset[str]:
        """The names that :meth:`submodule` may know."""
        if not (module.is_namespace or module.path.name == "__init__.py"):
            return frozenset()
        folder = _normal(module.folder)
        return frozenset(name.partition(".")[0] for name in self._listing(folder))

    def _below(self, folder: Path, dotted: str) -> Module | None:
        key = (folder, dotted)
        if key not in self._found:
            self._found[key] = self._look(folder, dotted)
        return self._found[key]

    def _look(self, folder: Path, dotted: str) -> Module | None:
        path = folder.joinpath(*dotted.split(".")) if dotted else folder
        if dotted and self._kind(path.with_name(path.name + ".py")) == "file":
            return self.module(path.with_name(path.name + ".py"))
        if self._kind(path) != "folder":
            return None
        if self._kind(path / "__init__.py") == "file":
            return self.module(path / "__init__.py")
        if not self._holds_python(path):
            return None
        return self._modules.setdefault(path, Module(path, path.name, is_namespace=True, state="done"))

    def _kind(self, path: Path) -> str:
        if path not in self._kinds:
            self._kinds[path] = looks.kind(path)
        return self._kinds[path]

    def _holds_python(self, folder: Path) -> bool:
        return any(name.endswith(".py") for name in self._listing(folder))

    def _listing(self, folder: Path) -> frozenset[str]:
        if folder not in self._listings:
            self._listings[folder] = frozenset(looks.listing(folder))
        return self._listings[folder]

    def _roots(self, importer: Module) -> Iterator[Path]:
        folder = _normal(importer.folder)
        if folder not in self._climbs:
            self._climbs[folder] = tuple(self._climb(folder))
        seen: set[Path] = set()
        for root in (*importer.paths, *self._climbs[folder], *self.extra_roots):
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


def read(path: Path) -> bytes:
    """The bytes of a file.

    Raises:
        SourceError: E003, it cannot be read.
    """
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise SourceError("E003", f"larger than {MAX_FILE_BYTES // 1_000_000} MB: not read")
        return path.read_bytes()
    except OSError as error:
        raise SourceError("E003", f"cannot be read: {error.strerror or error}") from error


def _normal(path: Path) -> Path:
    return Path(path).absolute() if ".." not in PurePath(path).parts else Path(path).resolve()


def _common_folder(files: Iterable[Path]) -> Path:
    folders = [list(path.parent.parts) for path in files]
    if not folders:
        return Path.cwd()
    common = folders[0]
    for parts in folders[1:]:
        length = next((i for i, (a, b) in enumerate(zip(common, parts, strict=False)) if a != b), None)
        common = common[: min(len(common), len(parts)) if length is None else length]
    return Path(*common)


def _path_additions(module: Module) -> Iterator[Path]:
    """The folders that plain ``sys.path.insert`` and ``append`` calls in the file add."""
    if module.code is None:
        return
    for statement in module.code.body:
        value = statement.value if isinstance(statement, ir.ExprStmt) else None
        if not (isinstance(value, ir.Call) and value.args and _dotted(value.func).startswith("sys.path.")):
            continue
        found = _path_value(value.args[-1].value, module)
        if found is not None:
            yield _normal(_normal(module.folder) / found).resolve()


def _dotted(node: ir.Expr) -> str:
    if isinstance(node, ir.Attribute):
        return f"{_dotted(node.value)}.{node.attr}"
    return node.name if isinstance(node, ir.Name) else ""


def _path_value(node: ir.Expr, module: Module) -> Path | None:
    """The path that a plain expression of ``__file__``, ``os.path`` and ``Path`` stands for."""
    if isinstance(node, ir.Constant):
        return Path(node.value) if isinstance(node.value, str) else None
    if isinstance(node, ir.Name):
        return _normal(module.path) if node.name == "__file__" else None
    if isinstance(node, ir.Attribute) and node.attr == "parent":
        inner = _path_value(node.value, module)
        return None if inner is None else inner.parent
    if isinstance(node, ir.BinOp) and node.op == "/":
        return _joined([node.left, node.right], module)
    return _path_call(node, module) if isinstance(node, ir.Call) else None


def _path_call(node: ir.Call, module: Module) -> Path | None:
    name = _dotted(node.func).rpartition(".")[2]
    arguments = [arg.value for arg in node.args]
    if name == "join":
        return _joined(arguments, module)
    if not arguments:
        target = node.func.value if isinstance(node.func, ir.Attribute) else None
        return _path_value(target, module) if target is not None and name in ("resolve", "absolute") else None
    inner = _path_value(arguments[0], module)
    if inner is None:
        return None
    return inner.parent if name == "dirname" else inner if name in _SAME_PATH else None


_SAME_PATH = ("abspath", "realpath", "Path", "str", "normpath")


def _joined(parts: list[ir.Expr], module: Module) -> Path | None:
    found = [_path_value(part, module) for part in parts]
    known = [path for path in found if path is not None]
    return Path(*known) if known and len(known) == len(found) else None
