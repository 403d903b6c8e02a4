"""Contracts as data: what operations yield and losses expect, one module per framework or library.

Every module of this package that holds a :data:`FRAMEWORK` is found by itself. It is named after the package whose
contracts it holds, and loaded only if that name occurs in the files that are checked; PyTorch's, whose operations
are the vocabulary of the rules, always is.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache

from lossaudit.check.contracts.schema import Dataset, Framework, Layer, Loss, Op, Pairing, Runner
from lossaudit.check.contracts.user import Declared, declared_framework

BASE = "pytorch"
"""The framework that is always loaded."""
_NOT_FRAMEWORKS = frozenset({"schema", "user"})

FOREIGN_ROOTS = frozenset({
    "numpy", "scipy", "pandas", "sklearn", "jax", "tensorflow", "keras", "paddle", "cupy", "mxnet", "mindspore", "oneflow",
    "xgboost", "lightgbm", "statsmodels", "matplotlib", "PIL", "cv2",
})  # fmt: skip
"""Packages whose arrays are not ours: a method of theirs that is named as a tensor method proves nothing."""

MAX_RENAMES = 4
"""A name reaches its canonical form in at most this many replacements of its prefix."""

_LOSS_ACTIVATIONS = ("softmax", "log_softmax", "sigmoid", "logsigmoid")


@dataclass(frozen=True, slots=True)
class LossClass:
    """The class form of a loss."""

    loss: Loss


@dataclass(frozen=True, slots=True)
class LossFunction:
    """The functional form of a loss."""

    loss: Loss


@dataclass(frozen=True, slots=True)
class LayerClass:
    """A module class that is an operation, as its own framework has it."""

    layer: Layer
    op: Op


@dataclass(frozen=True, slots=True)
class OpFunction:
    """An operation spelled as a function."""

    op: Op


Entry = LossClass | LossFunction | LayerClass | OpFunction


@dataclass(slots=True)
class Contracts:
    """The frameworks joined, indexed by dotted name."""

    frameworks: tuple[Framework, ...]
    declared: frozenset[str] = frozenset()
    entries: dict[str, Entry] = field(default_factory=dict)
    ops: dict[str, Op] = field(default_factory=dict)
    methods: dict[str, Op] = field(default_factory=dict)
    attributes: dict[str, Op] = field(default_factory=dict)
    containers: dict[str, str] = field(default_factory=dict)
    pairings: dict[str, Pairing] = field(default_factory=dict)
    runners: list[Runner] = field(default_factory=list)
    record_builders: set[str] = field(default_factory=set)
    keepers: set[str] = field(default_factory=set)
    derivatives: dict[str, str] = field(default_factory=dict)
    module_bases: dict[str, str] = field(default_factory=dict)
    training_steps: set[tuple[str, str]] = field(default_factory=set)
    objectives: set[tuple[str, str]] = field(default_factory=set)
    constants: dict[str, str | int | float] = field(default_factory=dict)
    builders: set[str] = field(default_factory=set)
    record_bases: set[str] = field(default_factory=set)
    tensor_types: set[str] = field(default_factory=set)
    transparent_methods: set[str] = field(default_factory=set)
    refusals: dict[str, tuple[str, str]] = field(default_factory=dict)
    wrappers: set[str] = field(default_factory=set)
    callers: dict[str, str] = field(default_factory=dict)
    gradients_by_hand: set[str] = field(default_factory=set)
    preparers: set[str] = field(default_factory=set)
    contexts: dict[str, str] = field(default_factory=dict)
    own_methods: set[str] = field(default_factory=set)
    autocast_half: set[str] = field(default_factory=set)
    autocast_full: set[str] = field(default_factory=set)
    loaders: dict[str, str] = field(default_factory=dict)
    datasets: dict[str, Dataset] = field(default_factory=dict)
    splitters: dict[str, tuple[str, str]] = field(default_factory=dict)
    factories: dict[str, str] = field(default_factory=dict)
    results: dict[str, tuple[str, ...]] = field(default_factory=dict)
    distributions: dict[str, str] = field(default_factory=dict)
    samplers: set[str] = field(default_factory=set)
    roots: set[str] = field(default_factory=set)
    names: set[str] = field(default_factory=set)
    step_bases: frozenset[str] = frozenset()
    """The classes of which a framework back-propagates what some method returns."""
    _known_roots: set[str] = field(default_factory=set)
    _prefixes: list[tuple[str, str]] = field(default_factory=list)
    _canonical: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for framework in self.frameworks:
            self._add(framework)
        self.step_bases = frozenset(base for base, _ in self.training_steps)
        self._known_roots = {
            name.partition(".")[0] for name in (*self.names, *(old for old, _ in self._prefixes))
        }

    def _add(self, framework: Framework) -> None:
        places = dict(framework.places)
        for op in framework.ops:
            self.ops.setdefault(op.name, op)
            spellings = [places[letter] + op.name for letter in op.where if letter != "m"]
            self.entries |= dict.fromkeys([*spellings, *op.also], OpFunction(op))
            method = (op.name,) if "m" in op.where else ()
            self.methods = dict.fromkeys((*method, *op.methods), op) | self.methods
        own = {op.name: op for op in reversed(framework.ops)}
        for layer in framework.layers:
            op = (
                own.get(layer.op) or self.ops[layer.op]
            )  # frameworks share names: a dense layer is not the same everywhere
            self.entries |= dict.fromkeys(layer.names, LayerClass(layer, op))
        for loss in framework.losses:
            self.entries |= dict.fromkeys(loss.classes, LossClass(loss))
            self.entries |= dict.fromkeys(loss.functions, LossFunction(loss))
        self.attributes |= {name: self.ops[op] for name, op in framework.attributes}
        self.containers |= dict(framework.containers)
        self.pairings |= {f"{one.owner}.{one.method}": one for one in framework.pairings}
        self.runners += framework.runners
        self.record_builders |= {f"{owner}.{method}" for owner, method in framework.record_builders}
        self.keepers |= set(framework.keepers)
        self.derivatives |= dict(framework.derivatives)
        self.module_bases |= dict(framework.module_bases)
        self.training_steps |= set(framework.training_steps)
        self.objectives |= set(framework.objectives)
        self.constants |= dict(framework.constants)
        self.builders |= set(framework.builders)
        self.record_bases |= set(framework.record_bases)
        self.tensor_types |= set(framework.tensor_types)
        self.transparent_methods |= set(framework.transparent_methods)
        self.refusals |= {name: (signature, parameter) for name, signature, parameter in framework.refusals}
        self.wrappers |= set(framework.wrappers)
        self.callers |= dict(framework.callers)
        self.gradients_by_hand |= set(framework.gradients_by_hand)
        self.preparers |= set(framework.preparers)
        self.contexts |= dict(framework.contexts)
        self.own_methods |= set(framework.own_methods)
        self.autocast_half |= set(framework.autocast_half)
        self.autocast_full |= set(framework.autocast_full)
        self.loaders |= dict(framework.loaders)
        for dataset in framework.datasets:
            self.datasets |= dict.fromkeys(dataset.names, dataset)
        self.splitters |= {name: (signature, part) for name, signature, part in framework.splitters}
        self.factories |= dict(framework.factories)
        self.results |= dict(framework.results)
        self.distributions |= dict(framework.distributions)
        self.samplers |= set(framework.samplers)
        self.roots |= set(framework.roots)
        self._prefixes += framework.prefixes
        self.names |= {
            *self.entries,
            *self.containers,
            *self.module_bases,
            *self.wrappers,
            *self.callers,
            *self.contexts,
            *self.derivatives,
            *self.loaders,
            *self.datasets,
            *self.splitters,
            *self.factories,
            *self.distributions,
            *self.samplers,
        }

    def canonical(self, dotted: str) -> str:
        """The name under which ``dotted`` is known, whichever module it was taken from."""
        known = self._canonical.get(dotted)
        if known is None:
            known = self._canonical[dotted] = self._renamed(dotted)
        return known

    def _renamed(self, dotted: str) -> str:
        for _ in range(MAX_RENAMES):
            found = next((pair for pair in self._prefixes if dotted.startswith(pair[0])), None)
            if found is None or dotted in self.names:
                break
            dotted = found[1] + dotted[len(found[0]) :]
        return dotted

    def runner_of(self, classes: Iterable[str], method: str) -> Runner | None:
        """The runner that ``method`` is on an object with these base classes; the layers beside the owner inherit from it."""
        places = {name.rpartition(".")[0] for name in classes}
        return next(
            (one for one in self.runners if one.method == method and one.owner.rpartition(".")[0] in places),
            None,
        )

    def is_module_class(self, dotted: str) -> bool:
        """Whether instances of the class are modules: called by running a layer, a loss or a container."""
        if dotted in self.module_bases or dotted in self.containers:
            return True
        return isinstance(self.entries.get(dotted), (LossClass, LayerClass))

    def data_signature(self, classes: Iterable[str]) -> str | None:
        """How the constructor of the first loader or dataset among ``classes`` is called."""
        for name in classes:
            if name in self.loaders:
                return self.loaders[name]
            if name in self.datasets:
                return self.datasets[name].signature
        return None

    def is_foreign(self, dotted: str) -> bool:
        """Whether the name belongs to an array library that is not under contract."""
        root = dotted.partition(".")[0]
        return root in FOREIGN_ROOTS and root not in self.roots

    def is_of_known_root(self, dotted: str) -> bool:
        """Whether a contract is about something in the package to which the name belongs."""
        root = dotted.partition(".")[0]
        return root in self.roots or root in self._known_roots

    def vocabulary(self) -> frozenset[str]:
        """Words of which at least one occurs in every file that can hold a finding."""
        words = {word for framework in self.frameworks for word in framework.vocabulary}
        for name, entry in self.entries.items():
            is_activation = isinstance(entry, OpFunction) and entry.op.name in _LOSS_ACTIVATIONS
            is_layer = isinstance(entry, LayerClass) and entry.layer.op in _LOSS_ACTIVATIONS
            if isinstance(entry, (LossClass, LossFunction)) or is_activation or is_layer:
                words.add(name.rpartition(".")[2])
        return frozenset(words)


@cache
def framework_names() -> tuple[str, ...]:
    """The frameworks that ship with the package, each named after the package that it describes."""
    return tuple(found.name for found in pkgutil.iter_modules(__path__) if found.name not in _NOT_FRAMEWORKS)


def mentioned(sources: Iterable[bytes]) -> frozenset[str]:
    """The frameworks whose name occurs in one of ``sources``."""
    open_names = {name: name.encode() for name in framework_names()}
    found: set[str] = set()
    for source in sources:
        found |= {name for name, text in open_names.items() if text in source}
        open_names = {name: text for name, text in open_names.items() if name not in found}
    return frozenset(found)


@cache
def load_contracts(names: frozenset[str] = frozenset(), declared: tuple[Declared, ...] = ()) -> Contracts:
    """The contracts of these frameworks, of those on which they build, of PyTorch, and those that the user declared."""
    frameworks: dict[str, Framework] = {}
    for name in (BASE, *sorted(names)):
        _load(name, frameworks)
    own = (declared_framework(declared),) if declared else ()
    return Contracts((*frameworks.values(), *own), frozenset(one.name for one in declared))


def _load(name: str, frameworks: dict[str, Framework]) -> None:
    if name not in frameworks:
        framework: Framework = importlib.import_module(f"{__name__}.{name}").FRAMEWORK
        for required in framework.requires:
            _load(required, frameworks)
        frameworks[name] = framework
