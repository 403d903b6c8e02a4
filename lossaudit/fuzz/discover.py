"""Finds the losses of a file, a folder or an installed package by reading; nothing is imported.

What counts is evidence in the code: a class that leads to ``torch.nn``'s own losses, a function of two tensors whose result
is reduced to a number or handed over from a known loss. A name alone proves nothing; where the code is that of a distance or
of a model as well, the name, the module or the docstring must say that it is a loss. Whatever is left out is told with the reason.
"""

from __future__ import annotations

import ast
import importlib.util
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lossaudit.fuzz import TargetError
from lossaudit.fuzz.reading import ARGMAX, Function, Library, Module, Reader, leads_to
from lossaudit.fuzz.target import package_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PRIVATE = "it is private"
SKIPPED_FOLDERS = frozenset(
    {"tests", "test", "build", "dist", "node_modules", "__pycache__", "site-packages"}
)
MARKS = (b"torch", b"numpy", b"Loss")
"""A file with none of these holds no loss; a subclass of a loss may mention its base alone."""
METRIC = re.compile(r"(?:^|_)metric$|metrics$")
"""Names of metrics and of modules of them; neither ``asymmetric`` nor ``metric_learning`` is one."""
HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
BASES = frozenset({"torch.nn.modules.loss", "torch.nn"})
FUNCTION_BASES = frozenset({"torch.autograd.Function", "torch.autograd.function.Function"})


@dataclass(frozen=True, slots=True)
class Found:
    """A loss that was found: ``target`` is what ``lossaudit fuzz`` takes, ``evidence`` why it was taken for one."""

    target: str
    evidence: str


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Something that looked like a loss from afar, and why it is none, or none that can be called."""

    target: str
    reason: str


@dataclass(frozen=True, slots=True)
class Discovery:
    """The losses of one place, in the order of files and lines, and what was left out."""

    losses: tuple[Found, ...]
    left_out: tuple[LeftOut, ...] = ()


def is_place(text: str) -> bool:
    """Whether an argument of the command line names a place to search rather than one loss."""
    return Path(text).exists() or ":" not in text


def discover(place: str) -> Discovery:
    """Find the losses of a place.

    Args:
        place: A Python file, a folder, or the name of an installed package or module.

    Raises:
        TargetError: There is no such place, or a file that was named cannot be parsed.
    """
    library = _library(place)
    losses: list[Found] = []
    left_out: list[LeftOut] = []
    reader = Reader(library)
    for module in library.modules:
        for node in module.tree.body if module.judged else ():
            verdict = _judge(reader, module, node)
            if isinstance(verdict, Found):
                losses.append(verdict)
            elif verdict is not None:
                left_out.append(verdict)
    return Discovery(tuple(losses), tuple(left_out))


def _library(place: str) -> Library:
    path = Path(place)
    if path.is_file():
        module = _read(path, package_of(path)[1], str(path))
        if module is None or module.parsed is None:
            raise TargetError(f"{place} cannot be parsed as Python")
        return Library([module], _finder(path))
    if path.is_dir():
        return Library(_modules(path, str), _finder(path / "__init__.py"))
    root, name = _installed(place)
    if root.is_file():
        module = _read(root, package_of(root)[1], name)
        return Library([] if module is None else [module], _finder(root))
    modules = _modules(root, lambda file: _name_below(root, name, file))
    return Library(modules, _finder(root / "__init__.py"))


def _finder(file: Path) -> Callable[[str], Module | None]:
    """Reads the other files of the package that a file belongs to."""
    root, name = package_of(file)
    package = name.partition(".")[0]

    def find(dotted: str) -> Module | None:
        if dotted.partition(".")[0] != package:
            return None
        place = root.joinpath(*dotted.split("."))
        found = next(filter(Path.is_file, (place.with_suffix(".py"), place / "__init__.py")), None)
        return None if found is None else _read(found, dotted, dotted)

    return find


def _modules(root: Path, shown: Callable[[Path], str]) -> list[Module]:
    read = (_read(file, package_of(file)[1], shown(file)) for file in _files(root))
    return [module for module in read if module is not None]


def _files(root: Path) -> Iterator[Path]:
    for file in sorted(root.rglob("*.py")):
        parts = file.relative_to(root).parts
        if any(part in SKIPPED_FOLDERS or part.startswith(".") for part in parts[:-1]):
            continue
        if not (file.name.startswith("test_") or file.stem.endswith("_test") or file.name == "conftest.py"):
            yield file


def _read(file: Path, dotted: str, shown: str) -> Module | None:
    """A file of the library; None where it cannot be read."""
    try:
        text = file.read_bytes()
    except OSError:
        return None
    judged = any(mark in text for mark in MARKS)
    return Module(dotted, shown, text, is_package=file.name == "__init__.py", judged=judged)


def _name_below(root: Path, name: str, file: Path) -> str:
    parts = file.relative_to(root).with_suffix("").parts
    return ".".join([name, *(part for part in parts if part != "__init__")])


def _installed(name: str) -> tuple[Path, str]:
    """Where an installed package or module lies, found without importing any of it.

    Raises:
        TargetError: It is not installed.
    """
    head, *rest = name.split(".")
    try:
        spec = importlib.util.find_spec(head) if head.isidentifier() else None
    except (ImportError, ValueError):
        spec = None
    places = [] if spec is None else [Path(place) for place in spec.submodule_search_locations or ()]
    if spec is not None and not places and not rest and spec.origin and Path(spec.origin).is_file():
        return Path(spec.origin), name
    for place in places:
        folder = place.joinpath(*rest)
        for candidate in (folder, folder.with_suffix(".py") if rest else folder):
            if candidate.exists():
                return candidate, name
    raise TargetError(
        f"there is no file, folder or installed module {name}",
        "name one loss as module:Attr or path/file.py:Attr, or a place with losses: a file, a folder, a package",
    )


def _judge(reader: Reader, module: Module, node: ast.stmt) -> Found | LeftOut | None:
    if isinstance(node, ast.ClassDef):
        target = f"{module.shown}:{node.name}"
        answer = _class(reader, module, node)
    elif isinstance(node, ast.FunctionDef):
        target = f"{module.shown}:{node.name}"
        answer = _function(reader, module, node)
    else:
        return None
    if answer is None:
        return None
    if answer[0] and _says_metric(module.name):
        answer = False, "it lies among the metrics"
    looks, reason = answer
    return Found(target, reason) if looks else LeftOut(target, reason)


def _says_metric(dotted: str) -> bool:
    """Whether a part of a dotted name is that of a metric."""
    return any(METRIC.search(HUMP.sub("_", part).lower()) for part in dotted.split("."))


Answer = tuple[bool, str] | None
"""Whether it is a loss, and why or why not; None where nothing even looks like one."""


def _class(reader: Reader, module: Module, node: ast.ClassDef) -> Answer:
    library = reader.library
    chain = library.bases(module, node)
    if leads_to(chain, FUNCTION_BASES):
        return None
    is_module = any(base.startswith("torch.nn") for base in chain)
    own_loss = next((base for base in chain if _is_torch_loss(base)), None)
    entry = "forward" if is_module and library.method(module, node, "forward") else "__call__"
    called = library.method(module, node, entry)
    if called is None:
        inherits = own_loss is not None and own_loss.endswith("Loss") and not node.name.startswith("_")
        return (True, f"derives from {own_loss}") if inherits else None
    function = reader.read(called)
    named = _named_a_loss(module, node) or _named_a_loss(called.module, called.node)
    if len(function.tensors) < 2:
        return (False, "it is not called with two tensors") if named or own_loss else None
    if node.name.startswith("_"):
        return (False, PRIVATE) if named or own_loss or function.calls_loss else None
    if library.is_abstract(module, node, entry):
        return (False, "it is abstract") if named or own_loss else None
    if own_loss is not None:
        return True, f"derives from {own_loss}"
    if library.holds_layers(module, node):
        return (False, "it holds layers with weights: a model") if named or function.calls_loss else None
    is_metric = any(map(_says_metric, (node.name, *chain)))
    own = _says_loss(node.name, node) and not is_metric
    return _by_evidence(function, named=named, told=named or (is_module and not is_metric), own=own)


def _function(reader: Reader, module: Module, node: ast.FunctionDef) -> Answer:
    function = reader.read(reader.library.function(module, node))
    named = _named_a_loss(module, node)
    if len(function.tensors) < 2:
        return (False, "it does not take two tensors") if named else None
    if node.name.startswith("_"):
        return (False, PRIVATE) if named or function.calls_loss else None
    if function.calls_argument:
        return (False, f"it calls its argument {function.calls_argument}: a step, no loss") if named else None
    # A file of losses holds helpers too: that one combines two tensors proves nothing.
    own = _says_loss(node.name, node) and not _does_something_else(node.name)
    return _by_evidence(function, named=own, told=named or function.logarithmic, own=own)


def _by_evidence(function: Function, *, named: bool, told: bool, own: bool) -> Answer:
    """What the code of a function of two tensors says.

    Args:
        function: What was read of it.
        named: Whether its name says that it is a loss.
        told: Whether anything but the reduction to a number says so: the name, the base class, a logarithm.
        own: Whether its own name or docstring says so, not only that of its file: an argmax in it is a mistake then.
    """
    if function.raises_only:
        return (False, "it is abstract") if named else None
    if function.unfit:
        return (False, function.unfit) if named or function.reduced else None
    if function.without_gradient and not (own and function.without_gradient == ARGMAX):
        return (False, f"{function.without_gradient}: a metric") if named else None
    if function.calls_loss:
        return True, f"returns {function.calls_loss}"
    if function.reduced and (told or function.has_reduction):
        return True, f"reduces {' and '.join(function.tensors[:2])} to a number"
    if named and (function.has_reduction or function.combines):
        return True, f"combines {' and '.join(function.tensors[:2])}"
    if function.reduced:
        return False, "it gives a number of two tensors, but nothing says that it is a loss"
    return (False, "nothing in it combines two tensors") if named else None


def _is_torch_loss(base: str) -> bool:
    parent, _, name = base.rpartition(".")
    return parent in BASES and (name.endswith("Loss") or name in {"_Loss", "_WeightedLoss"})


VERBS = frozenset(
    {"compute", "calculate", "get", "make", "create", "build", "resolve", "load", "convert", "prepare"}
)
WORDS = ("loss", "criterion", "entropy", "divergence", "likelihood", "objective", "penalty", "nll")


def _named_a_loss(module: Module, node: ast.ClassDef | ast.FunctionDef) -> bool:
    """Whether the name, the file or the first line of the docstring says that it is a loss."""
    return _says_loss(node.name, node) or _says_loss(module.name.rpartition(".")[2], node)


def _does_something_else(name: str) -> bool:
    """Whether a name that begins with a verb says that something else is made: ``compute_class_weights``."""
    words = HUMP.sub("_", name).lower().split("_")
    return words[0] in VERBS and not any(word in part for word in WORDS for part in words)


def _says_loss(name: str, node: ast.ClassDef | ast.FunctionDef) -> bool:
    """Whether a name or the first line of the docstring has a word for a loss."""
    first = (ast.get_docstring(node) or "").strip().partition("\n")[0]
    return any(word in text.lower() for word in WORDS for text in (name, first))
