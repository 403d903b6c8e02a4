"""Whether running a piece of code can show anything that a selected rule looks for, decided without running it.

Code is *reached* if its name is mentioned in reached code and what the name stands for is in sight from there: a function by its
module, a member by the class of an object that is in sight. What is reached gives *signs*: the operations that it may apply,
whether it may call a loss, the sizes of its numbers. A rule says which signs it needs (:mod:`lossaudit.check.detectors`), and a
root without them is not run. Signs may be there for nothing; what runs never lacks them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from lossaudit.check import ir
from lossaudit.check.contracts import Contracts, LayerClass, LossClass, LossFunction, OpFunction
from lossaudit.check.detectors import COMPARED, HERE, HOME, TRAINED, Needs
from lossaudit.check.infer.builtins import FUNCTIONS
from lossaudit.check.infer.by_name import (
    GLOBALS,
    IMPORT_MODULE,
    IMPORTER,
    IMPORTS,
    Door,
    asks_for_globals,
    door_of,
    handed,
)
from lossaudit.check.infer.heap import Scope
from lossaudit.check.infer.objects import assigned_in, assigners, lookup_class
from lossaudit.check.infer.statements import imported_values
from lossaudit.check.infer.transfer import NAMED_DTYPES
from lossaudit.check.kinds import Dtype
from lossaudit.check.mentions import (
    COMPARISON,
    CONFIGURED,
    DIVISION,
    FRACTION,
    FULL,
    POWER,
    SMALL,
    TINY,
    Mentions,
    marks,
    mentions,
)
from lossaudit.check.once import Once
from lossaudit.check.project import Module
from lossaudit.check.reasoning.gradients import parts
from lossaudit.check.reasoning.losses import FORWARD, has_forward_of_two, is_called_with_two, is_criterion
from lossaudit.check.reasoning.terms import FACTORIES
from lossaudit.check.values import (
    BoundMethod,
    ClassVal,
    Const,
    DictVal,
    External,
    Function,
    Instance,
    LazyImport,
    ListVal,
    ModuleVal,
    Partial,
    Super,
    Tensor,
    TupleVal,
    Union,
    Value,
    walk_terms,
)

if TYPE_CHECKING:
    from lossaudit.check.infer.engine import Interpreter

LOSS, BACKWARD, ANYTHING = "loss", "backward", "anything"
REDUCED = "reduced"
"""A loss, a mean or a sum."""
CRITERION = "criterion"
"""An object without trainable layers that is called with two things, and in which a method may put a part or a multiple of a tensor."""
STORED = "stored"
"""A tensor that a module keeps as a plain attribute."""
HALF = "half"
# TRAINED, something that is optimised, comes with a loss, a backward pass, a model's ``forward``, and a reduction in what is no
# inherited method.
_IMPLIED = {LOSS: (LOSS, REDUCED, TRAINED), BACKWARD: (BACKWARD, TRAINED)} | {
    op: (op, COMPARED) for op in ("eq", "ne", "lt", "le", "gt", "ge")
}
_REDUCING = frozenset({"mean", "sum"})
DISTRIBUTION = "distribution"
"""A distribution over classes that is built."""
_SIGNS_BY_THEMSELVES = frozenset({CONFIGURED, TINY, SMALL, FRACTION, POWER, DIVISION, COMPARISON})
"""What is no name that has to be imported: operators, numbers, keywords, what Python itself has."""
_KNOWN_ANYWHERE = frozenset(name.rpartition(".")[2] for name in FUNCTIONS if not name.startswith("builtins."))
"""Functions of other modules that are followed although no contract is about them."""
_OWN_NAME = re.compile(r"(?<=\bdef )\w+")
_LONGEST_NAME = 60


def signs_of_words(contracts: Contracts) -> dict[str, frozenset[str]]:
    """Word -> the signs that its mention gives: every spelling of an operation or a loss in the contracts."""
    found: dict[str, set[str]] = {DIVISION: {"div"}, POWER: {"pow"}, COMPARISON: {COMPARED}}
    for name, sign in _spellings(contracts):
        last = name.rpartition(".")[2]
        for word in (last, last + "_"):
            found.setdefault(word, set()).update(_IMPLIED.get(sign, (sign,)))
    return {word: frozenset(signs) for word, signs in found.items()}


def _spellings(contracts: Contracts) -> Iterator[tuple[str, str]]:
    """Dotted names, methods and attributes, each with the sign that it gives."""
    for name, entry in contracts.entries.items():
        if isinstance(entry, OpFunction):
            yield name, entry.op.name
        else:
            yield name, entry.layer.op if isinstance(entry, LayerClass) else LOSS
    for name, op in (*contracts.methods.items(), *contracts.attributes.items()):
        yield name, BACKWARD if op.result == "backward" else op.name
    yield from contracts.contexts.items()
    yield from ((name, BACKWARD) for name in contracts.derivatives)
    yield from ((pairing.method, LOSS) for pairing in contracts.pairings.values())
    yield from ((word, BACKWARD) for word in ("backward", "manual_backward"))
    yield from ((method, TRAINED) for _, method in contracts.objectives)
    yield from ((name, DISTRIBUTION) for name in contracts.distributions)
    yield from (
        (word, HALF) for word, dtype in NAMED_DTYPES.items() if dtype in (Dtype.FLOAT16, Dtype.BFLOAT16)
    )
    yield from ((name, name.rpartition(".")[2]) for name in contracts.module_bases)
    yield from ((word, word) for word in (CONFIGURED, TINY, SMALL, FRACTION))


Texts = dict[int, tuple[ir.Node, Mentions]]
"""What the texts of functions mention, by the identity of the node, which is kept with it."""


@dataclass(slots=True)
class Reach:
    """Answers for one run of the interpreter; what is known of classes is kept, and what is known of ``texts`` for all runs."""

    interp: Interpreter
    words: dict[str, frozenset[str]]
    texts: Texts
    _words: dict[int, frozenset[str]] = field(default_factory=dict)
    _signs: dict[int, frozenset[str]] = field(default_factory=dict)
    _barren: dict[tuple[Needs, bool], _Search] = field(default_factory=dict)
    _members: dict[int, tuple[ClassVal, dict[str, list[Value]]]] = field(default_factory=dict)

    def gives(self, start: Value, needs: Needs) -> bool:
        """Whether the code that ``start`` reaches gives all signs of one of the alternatives.

        From a method, classes are reached as far as their objects are used; from elsewhere wholly, for objects that are built
        there have their methods run as roots. A search that came to nothing is gone on with: what it saw need not be seen again.
        If all of that together gives the signs, ``start`` is searched alone.
        """
        whole = not isinstance(start, BoundMethod)
        barren = self._barren.get((needs, whole))
        if barren is not None:
            further = barren.copy()
            if not further.run(start):
                self._barren[needs, whole] = further
                return False
        search = _Search(self, needs, whole)
        is_met = search.run(start)
        if not is_met:
            self._barren[needs, whole] = search
        return is_met

    def mentioned(self, function: Function) -> frozenset[str]:
        """The words in the text of a function."""
        node = function.node
        known = self.texts.get(id(node))
        if known is None:
            text = _OWN_NAME.sub("", function.module.text_of(node.id), count=1)
            known = self.texts[id(node)] = node, mentions(text, _plainly_imported(function.module))
        return self._of_frameworks(function, known[1]) if known[1].below else known[1].words

    def _of_frameworks(self, function: Function, found: Mentions) -> frozenset[str]:
        """The words without those that are only taken from modules of which no contract knows anything: ``math.sqrt``."""
        known = self._words.get(id(function.node))
        if known is None:
            strange = [names for owner, names in found.below.items() if self._is_strange(function, owner)]
            words = found.words.difference(*strange) | (found.words & _KNOWN_ANYWHERE)
            known = self._words[id(function.node)] = words
        return known

    def _is_strange(self, function: Function, name: str) -> bool:
        """Whether a name in a function stands for a module, or what is in it, of which no contract knows anything."""
        scope: Scope | None = function.closure
        while scope is not None and name not in scope.vars:
            scope = scope.parent
        bound = None if scope is None else scope.vars[name]
        return isinstance(bound, External) and not self.interp.contracts.is_of_known_root(bound.name)

    def signs_of(self, function: Function) -> frozenset[str]:
        """The signs in the text of a function.

        A name that the project or Python itself binds is not the framework's; another library's ``np.mean(x)`` reduces no tensor.
        """
        known = self._signs.get(id(function.node))
        if known is None:
            known = self._signs[id(function.node)] = frozenset(self._find_signs(function))
        return known

    def _find_signs(self, function: Function) -> Iterator[str]:
        words, bound = self.mentioned(function), function.module.scope.vars
        for word in words & self.words.keys():
            if "." + word in words or self._is_of_framework(function, word, words):
                yield from self.words[word]
        for word in words:
            if word.endswith(FULL):
                owner = bound.get(word.removesuffix(FULL))
                if not (isinstance(owner, External) and self.interp.contracts.is_foreign(owner.name)):
                    yield REDUCED

    def _is_of_framework(self, function: Function, word: str, words: frozenset[str]) -> bool:
        """Whether a word that stands alone may be the framework's, and not a local name that happens to be spelled like it."""
        if word in _SIGNS_BY_THEMSELVES:
            return True
        module = function.module.scope
        bound = module.vars.get(word)
        if bound is not None:
            return not isinstance(bound, (Function, ClassVal, LazyImport, Instance))
        may_be_imported = "import" in words or bool(module.stars) or function.closure is not module
        return may_be_imported and not _is_pythons_own(function, word, words)

    def members(self, cls: ClassVal) -> dict[str, list[Value]]:
        """Name -> what the class and its bases hold under it, and the methods that assign it on their object."""
        known = self._members.get(id(cls))
        if known is None:
            table: dict[str, list[Value]] = {}
            for base in cls.mro:
                if isinstance(base, ClassVal):
                    for name, value in base.scope.vars.items():
                        table.setdefault(name.partition(".")[0], []).append(value)
                    for name, methods in assigners(base).items():
                        found = [base.scope.vars.get(one) for one in methods if one != "__init__"]
                        table.setdefault(name, []).extend(one for one in found if one is not None)
            known = self._members[id(cls)] = cls, table
        return known[1]

    def changes(self, cls: ClassVal | External) -> bool:
        """Whether a method other than the constructor assigns an attribute what may be picked out of a tensor, or scaled."""
        bases = [base for base in cls.mro if isinstance(base, ClassVal)] if isinstance(cls, ClassVal) else []
        if all(names == ("__init__",) for base in bases for names in assigners(base).values()):
            return False
        methods = (one for base in bases for one in base.scope.vars.values() if isinstance(one, Function))
        return any(_replaces(base.node) for base in bases) or any(
            "setattr" in self.mentioned(one) for one in methods
        )

    def forwards(self, cls: ClassVal | External) -> frozenset[str]:
        """The methods of a model whose result is trained: see :meth:`lossaudit.check.reasoning.trained.Trained.reached`."""
        bases = cls.externals if isinstance(cls, ClassVal) else ()
        return self.interp.trained.forwards(bases)

    def stores(self, cls: ClassVal) -> bool:
        """Whether a module that computes something makes tensors of plain numbers where it assigns attributes."""
        is_module = any(self.interp.contracts.is_module_class(name) for name in cls.externals)
        if not is_module or lookup_class(cls, "forward") is None:
            return False
        for base in cls.mro:
            if isinstance(base, ClassVal):
                for name in {name for names in assigners(base).values() for name in names}:
                    method = base.scope.vars.get(name)
                    if isinstance(method, Function) and not FACTORIES.isdisjoint(self.signs_of(method)):
                        return True
        return False


_PYTHONS_OWN = frozenset({"abs", "all", "any", "max", "min", "pow", "range", "round", "sum"})
"""Functions of Python that have a name in common with an operation and make no tensor."""


def _is_pythons_own(function: Function, word: str, words: frozenset[str]) -> bool:
    """Whether a bare name in the text of a function certainly means what it means in Python."""
    module = function.module.scope
    is_plain = function.closure is module and "import" not in words and not module.stars
    return is_plain and word in _PYTHONS_OWN and word not in module.vars


_CONSTRUCTORS = ("__init__", "__new__", "__post_init__")
_CALLED = frozenset({"forward", "call"})
"""Members that run when an object is called, without being mentioned."""


def _plainly_imported(module: Module) -> frozenset[str]:
    """The names under which plain ``import`` statements of a file bind modules."""
    return frozenset() if module.parsed.code is None else _names_of_imports(module.parsed.code)


@Once
def _names_of_imports(code: ir.ModuleIR) -> frozenset[str]:
    """The same of its compact form."""
    imports = (one for one in code.body if isinstance(one, ir.Import))
    return frozenset(
        one.asname or one.name.partition(".")[0] for statement in imports for one in statement.names
    )


@Once
def _imports_in(function: ir.Node) -> tuple[ir.Import | ir.ImportFrom, ...]:
    """The imports in the body of a function."""
    return tuple(one for one in ir.walk((function,)) if isinstance(one, (ir.Import, ir.ImportFrom)))


@Once
def _replaces(node: ir.ClassDef) -> bool:
    """The same of the methods of one class."""
    return any(
        _may_be_picked(statement) and any(map(_holds_attribute, assigned_in(statement)))
        for method in node.body
        if isinstance(method, ir.FunctionDef) and method.name != "__init__"
        for statement in ir.statements(method.body)
    )


def _holds_attribute(target: ir.Expr) -> bool:
    """Whether an attribute is among what is assigned."""
    if isinstance(target, (ir.Tuple, ir.List)):
        return any(map(_holds_attribute, target.items))
    return isinstance(target, ir.Attribute)


_DISPLAYS = (ir.Constant, ir.List, ir.Tuple, ir.Set, ir.Dict, ir.Comprehension, ir.JoinedStr, ir.Lambda)


def _may_be_picked(node: ir.Node | None) -> bool:
    """Whether a value may be a tensor that was looked up in another one, or multiplied: no display is, no sum and no comparison."""
    if (
        isinstance(node, ir.Assign)
        and isinstance(node.targets[0], ir.Tuple)
        and isinstance(node.value, ir.Tuple)
    ):
        return any(map(_may_be_picked, node.value.items))
    if isinstance(node, (ir.Assign, ir.AnnAssign)):
        return _may_be_picked(node.value)
    if isinstance(node, ir.IfExp):
        return _may_be_picked(node.body) or _may_be_picked(node.orelse)
    if isinstance(node, (ir.BinOp, ir.AugAssign)):
        return node.op not in ("+", "-")
    return not (node is None or isinstance(node, (*_DISPLAYS, ir.UnaryOp, ir.Compare)))


@dataclass(slots=True)
class _Doors:
    """What imports files by name: the doors that are ``known`` by the names of their functions, and the nodes of these.

    ``texts`` are the functions in sight, by which they may be called; ``held`` those that something else holds than their own
    name, and ``named`` what was found by its name.
    """

    known: dict[str, list[Door]] = field(default_factory=lambda: {IMPORT_MODULE: [IMPORTER]})
    opened: set[tuple[int, str, int]] = field(default_factory=set)
    nodes: set[int] = field(default_factory=set)
    held: set[int] = field(default_factory=set)
    texts: list[Function] = field(default_factory=list)
    named: dict[int, Value] = field(default_factory=dict)

    def copy(self) -> _Doors:
        """The same, to be added to."""
        known = {name: list(doors) for name, doors in self.known.items()}
        return _Doors(
            known, set(self.opened), set(self.nodes), set(self.held), list(self.texts), dict(self.named)
        )


def _is_importer(name: str, value: Value) -> bool:
    """Whether it is ``import_module`` under its own name: what calls it shows what is imported."""
    return name == IMPORT_MODULE and isinstance(value, External) and value.name == IMPORTS


def _runs_unmentioned(name: str) -> bool:
    return name in _CALLED or (name.startswith("__") and name.endswith("__"))


@lru_cache
def _by_sign(needs: Needs) -> dict[str, list[frozenset[str]]]:
    """Sign -> the alternatives in which it takes part."""
    found: dict[str, list[frozenset[str]]] = {}
    for alternative in needs:
        for sign in alternative:
            found.setdefault(sign, []).append(alternative)
    return found


@dataclass(slots=True)
class _Search:
    """One search: everything that is in sight, and the words that were mentioned so far."""

    reach: Reach
    needs: Needs
    whole: bool
    may_reduce: bool = False
    at_home: bool = False
    words: set[str] = field(default_factory=set)
    named: set[str] = field(default_factory=set)
    signs: set[str] = field(default_factory=set)
    judged: set[str] = field(default_factory=set)
    seen: dict[int, object] = field(default_factory=dict)
    queue: list[Value] = field(default_factory=list)
    tables: list[tuple[dict[str, list[Value]], set[str]]] = field(default_factory=list)
    objects: list[Instance] = field(default_factory=list)
    modules: list[Module] = field(default_factory=list)
    containers: list[TupleVal | ListVal | DictVal] = field(default_factory=list)
    scopes: list[tuple[dict[str, Value], frozenset[str]]] = field(default_factory=list)
    looked_up: set[str] = field(default_factory=set)
    sizes: dict[int, int] = field(default_factory=dict)
    doors: _Doors = field(default_factory=_Doors)
    by_name: list[Function | LazyImport] = field(default_factory=list)

    def copy(self) -> _Search:
        """A search that goes on from here with another start."""
        tables = [(table, set(done)) for table, done in self.tables]
        signs = {sign for sign in self.signs if not sign.startswith(HERE) and sign != CRITERION}
        return _Search(
            self.reach, self.needs, self.whole, False, False, set(self.words), set(self.named), signs, set(signs), dict(self.seen), [], tables,
            list(self.objects), list(self.modules), list(self.containers), list(self.scopes), self.looked_up, dict(self.sizes),
            self.doors.copy(),
        )  # fmt: skip

    def run(self, start: Value) -> bool:
        """Follow everything to its end, or until an alternative is complete."""
        if isinstance(start, Function):
            self.by_name.append(start)
        else:
            self.queue.append(start)
        if isinstance(start, ClassVal):
            self._begin_with_class(start)
        elif isinstance(start, BoundMethod) and isinstance(start.receiver, Instance):
            self._begin_with_object(start.receiver, start.function)
        elif isinstance(start, Function):
            self._is_here(start)
        while True:
            while self.queue or self.by_name:
                if len(self.signs) > len(self.judged) and self._is_met():
                    return True
                if self.queue:
                    self._visit(self.queue.pop())
                else:
                    self._visit_by_name(self.by_name.pop())
            if self._is_met():
                return True
            self._look_up()
            if not self.queue and not self.by_name:
                return False

    def _begin_with_class(self, cls: ClassVal) -> None:
        """What only the methods of the class itself can show: other classes are roots as well."""
        forwards = self.reach.forwards(cls)
        for base in cls.mro:
            if isinstance(base, ClassVal) and not forwards.isdisjoint(base.scope.vars):
                self._add({TRAINED}, base.module)
        for member in cls.scope.vars.values():
            if isinstance(member, Function):
                self._is_here(member)
        if self.reach.stores(cls):
            self.signs.add(STORED)
        if is_called_with_two(cls) and self.reach.changes(cls):
            self.signs.add(CRITERION)

    def _begin_with_object(self, value: Instance, method: Function) -> None:
        if method.name in self.reach.forwards(value.cls):
            self._add({TRAINED}, method.module)
        if method.owner is value.cls:
            self._is_here(method)
        is_home = isinstance(value.cls, ClassVal) and value.cls.module is self.reach.interp.home
        is_called = method.name in FORWARD and has_forward_of_two(value) and is_criterion(value)
        if is_home and is_called and self.reach.changes(value.cls):
            self.signs.add(CRITERION)

    def _is_here(self, function: Function) -> None:
        """An operation in the text of a root itself: what is inherited is a root of the class that defines it."""
        signs = self.reach.signs_of(function)
        self.signs |= {f"{HERE}{sign}" for sign in signs}
        self.may_reduce = True

    def _is_met(self) -> bool:
        if self.may_reduce:
            self.signs |= {f"{where}{TRAINED}" for where in ("", HOME) if f"{where}{REDUCED}" in self.signs}
        if ANYTHING in self.signs:
            return True
        fresh = self.signs - self.judged
        self.judged = set(self.signs)
        by_sign = _by_sign(self.needs)
        return any(one <= self.signs for sign in fresh for one in by_sign.get(sign, ()))

    def _add(self, signs: Iterable[str], module: Module | None = None) -> None:
        """Signs that stand in a file; of those that a value gives it is not known where."""
        self.signs.update(signs)
        if self.at_home or module is self.reach.interp.home:
            self.signs.update(f"{HOME}{sign}" for sign in signs)

    def _mention(self, words: Iterable[str]) -> None:
        """What stands for itself: that a text mentions it too, as a local name or as Python's own, gave no signs."""
        known = self.reach.words
        for word in words:
            if self.at_home or word not in self.named:
                self.named.add(word)
                self.words.add(word)
                if word in self.doors.known:
                    self.signs.add(ANYTHING)
                self._add(known.get(word, ()))

    # Values

    def _visit(self, value: Value) -> None:
        if id(value) in self.seen:
            return
        self.seen[id(value)] = value
        handler = _VISITS.get(type(value))
        if handler is not None:
            handler(self, value)

    def _visit_by_name(self, value: Function | LazyImport) -> None:
        """What a text knows by its own name: the calls in that text show what it is given."""
        self.doors.named[id(value)] = value
        found = self.reach.interp.force(value)
        if not isinstance(found, Function) or found.name != value.name:
            self.queue.append(found)
        elif id(found) not in self.seen and (found is value or id(found) not in self.doors.named):
            self.doors.named[id(found)] = found
            self._follow(found)

    def of_function(self, function: Function) -> None:
        """A function that is held somewhere: by whom it is called, and with what, does not show."""
        self.doors.held.add(id(function.node))
        if id(function.node) in self.doors.nodes:
            self.signs.add(ANYTHING)
        self._follow(function)

    def _follow(self, function: Function) -> None:
        words = self.reach.mentioned(function)
        self.doors.texts.append(function)
        for name in words & self.doors.known.keys():
            for door in list(self.doors.known[name]):
                self._hand(function, door)
        if id(function.node) in self.seen:
            self._names_around(function, words)
            self.queue += function.defaults.values()
            return
        self.seen[id(function.node)] = function.node
        self._declared(function)
        self.words |= words
        self._add(self.reach.signs_of(function), function.module)
        self._names(function, words)
        self.queue += function.defaults.values()
        if function.owner is not None:
            self._add_class(function.owner)
            if function.name in _CONSTRUCTORS:
                self.queue += self.reach.members(function.owner)[function.name]
        if "import" in words:
            self._local_imports(function)

    def _hand(self, function: Function, door: Door) -> None:
        """The modules that the text of a function has imported by name: of files that are there, anything may come."""
        given, importer = handed(function, door), door.module or function.module
        if given is None or any(
            self.reach.interp.project.leads_to_file(importer, name) for name in given.modules
        ):
            self.signs.add(ANYTHING)
            return
        for name in given.modules:
            self._name(name)
        for parameter in given.parameters:
            self._open(function, parameter, importer)

    def _open(self, function: Function, parameter: str, importer: Module) -> None:
        """A function imports what it is told: its calls tell."""
        key = id(function.node), parameter, id(importer)
        if key in self.doors.opened:
            return
        door = door_of(function, parameter, importer)
        is_hidden = id(function.node) in self.doors.held or function.name in self.named
        if door is None or is_hidden:
            self.signs.add(ANYTHING)
            return
        self.doors.opened.add(key)
        self.doors.nodes.add(id(function.node))
        self.doors.known.setdefault(door.name, []).append(door)
        for text in list(self.doors.texts):
            if door.name in self.reach.mentioned(text):
                self._hand(text, door)

    def _declared(self, value: ClassVal | Function) -> None:
        """The user's own contract for a class or function of the project."""
        declared = self.reach.interp.declared.get(id(value.node))
        if declared is not None:
            self._name(declared.name)

    def _names(self, function: Function, words: frozenset[str]) -> None:
        """What the names in the text of a function stand for, in the scopes around it."""
        if GLOBALS in words and asks_for_globals(function.node):
            words |= function.module.scope.vars.keys()
            self.queue += function.module.scope.vars.values()
        self._names_around(function, words)
        is_home = function.module is self.reach.interp.home
        self._from_scope(function.module.scope, words, is_home=is_home)
        if is_home:
            self.scopes.append((function.module.scope.vars, words))
        for module in self.reach.interp.starred_modules(function.module, words):
            self._from_scope(module.scope, words)

    def _names_around(self, function: Function, words: frozenset[str]) -> None:
        """What the names stand for in the functions around it: the same text made twice finds another thing there each time."""
        scope: Scope | None = function.closure
        while scope is not None and scope is not function.module.scope:
            self._from_scope(scope, words, is_home=function.module is self.reach.interp.home)
            scope = scope.parent

    def _from_scope(self, scope: Scope, words: frozenset[str], *, is_home: bool = False) -> None:
        held = scope.vars
        names = held.keys() & words
        if is_home:
            self._at_home(held[name] for name in names if not _is_importer(name, held[name]))
        self._take(held, names)

    def _take(self, held: Mapping[str, Value], names: Iterable[str]) -> None:
        """What is known by a name that a text mentions."""
        seen, named = self.seen, self.doors.named
        for name in names:
            value = held[name]
            if id(value) in seen:
                continue
            if type(value) not in (Function, LazyImport) or value.name != name:  # type: ignore[attr-defined]
                if not _is_importer(name, value):
                    self.queue.append(value)
            elif id(value) not in named:
                self.by_name.append(value)  # type: ignore[arg-type]

    def _at_home(self, values: Iterable[Value]) -> None:
        """What names in the home stand for gives its signs there."""
        self.at_home = True
        for value in values:
            for one in (value, *parts(value)):
                handler = _PLAIN.get(type(one))
                if handler is not None:
                    handler(self, one)
        self.at_home = False

    def _local_imports(self, function: Function) -> None:
        for node in _imports_in(function.node):
            for value in imported_values(self.reach.interp, function.module, node):
                name = value.name if isinstance(value, (LazyImport, External)) else None
                if name is not None:  # another name for it in this text shows where the text is read
                    last = name.rpartition(".")[2]
                    self._take({last: value}, (last,))
                else:
                    self.queue.append(value)

    def of_method(self, value: BoundMethod) -> None:
        self.queue += (value.function, value.receiver)

    def of_partial(self, value: Partial) -> None:
        self.queue += (value.function, *value.positional, *value.keywords.values())

    def of_class(self, cls: ClassVal) -> None:
        """A class in sight may be instantiated, and its objects become roots."""
        self._add_class(cls)
        table = self.reach.members(cls)
        for name in table if self.whole else _CONSTRUCTORS:
            self.queue += table.get(name, ())

    def _add_class(self, cls: ClassVal) -> None:
        if -id(cls) in self.seen:
            return
        self._declared(cls)
        self.seen[-id(cls)] = cls
        for name in cls.externals:
            self._name(name)
        if any(base in self.reach.interp.contracts.step_bases for base in cls.externals):
            self._add({BACKWARD, TRAINED}, cls.module)
        self.tables.append((self.reach.members(cls), set()))

    def of_object(self, value: Instance) -> None:
        if isinstance(value.cls, ClassVal):
            self._add_class(value.cls)
        else:
            self._name(value.cls.name)
        self.of_contract(value)
        self.queue += value.items or ()
        self.objects.append(value)

    def of_contract(self, value: Instance) -> None:
        if isinstance(value.entry, LossClass):
            self._add((LOSS, REDUCED, TRAINED))
        elif isinstance(value.entry, LayerClass):
            self._add((value.entry.layer.op,))

    def of_external(self, value: External) -> None:
        self._name(value.name)

    def _name(self, name: str) -> None:
        entry = self.reach.interp.contracts.entries.get(name)
        if isinstance(entry, (LossClass, LossFunction)):
            self._add((LOSS, REDUCED, TRAINED))
        last = name.rpartition(".")[2]
        self._mention((last,))
        if last in _REDUCING:
            self._add((REDUCED,))

    def of_constant(self, value: Const) -> None:
        held = value.value
        if isinstance(held, str) and len(held) <= _LONGEST_NAME:
            self._mention((held, "." + held))
        elif isinstance(held, float):
            self._mention(marks(held))

    def of_module(self, value: ModuleVal) -> None:
        self._add_module(self.reach.interp.project.own(value.module))

    def _add_module(self, module: Module) -> None:
        if id(module) not in self.seen:
            self.seen[id(module)] = module
            self.reach.interp.run_module(module)
            self.modules.append(module)

    def of_lazy(self, value: LazyImport) -> None:
        self.queue.append(self.reach.interp.force(value))

    def of_several(self, value: Union) -> None:
        self.queue += value.alternatives

    def of_sequence(self, value: TupleVal | ListVal) -> None:
        self.containers.append(value)
        self.queue += value.items
        if value.rest is not None:
            self.queue.append(value.rest)

    def of_table(self, value: DictVal) -> None:
        self.reach.interp.opened(value)
        self.containers.append(value)
        self.queue += value.entries.values()
        if value.rest is not None:
            self.queue.append(value.rest)

    def of_super(self, value: Super) -> None:
        self.queue += (value.receiver, value.after)

    def of_tensor(self, value: Tensor) -> None:
        for term in walk_terms(value):
            if value.stored is not None and term.op in FACTORIES:
                self.signs.add(STORED)
            self._add((term.op, REDUCED) if term.op in _REDUCING else _IMPLIED.get(term.op, (term.op,)))
            if term.module is not None:
                self.queue.append(term.module)

    # Names

    def _look_up(self) -> None:
        """What the words that were mentioned mean to the objects, classes and modules in sight, and what came to these since."""
        words, seen = self.words, self.seen
        fresh = words - self.looked_up
        self.looked_up = set(words)
        for container in self.containers:
            self.queue += [one for one in parts(container) if id(one) not in seen]
        for names, mentioned in self.scopes:
            self._take(names, names.keys() & mentioned)
        for table, done in self.tables:
            for name in table.keys() & fresh if done else table.keys():
                if (
                    name not in done
                    and name not in _CONSTRUCTORS
                    and (name in words or _runs_unmentioned(name))
                ):
                    done.add(name)
                    self.queue += table[name]
            done.add("")
        for one in self.objects:
            for held in filter(None, (one.attrs, one.bound)):
                wanted = fresh if self.sizes.get(id(held)) == len(held) else words
                self.sizes[id(held)] = len(held)
                self.queue += [held[name] for name in held.keys() & wanted if id(held[name]) not in seen]
        for module in self.modules:
            names = module.scope.vars
            is_known = self.sizes.get(id(module)) == len(names)
            self._of_module(module, fresh if is_known else words)
            self.sizes[id(module)] = len(names)

    def _of_module(self, module: Module, words: set[str]) -> None:
        names, interp = module.scope.vars, self.reach.interp
        self._take(names, names.keys() & words)
        if module.scope.stars:
            attributes = {word[1:] for word in words if word.startswith(".")}
            for other in interp.starred_modules(module, attributes):
                self._add_module(other)
        for name in interp.project.submodule_names(module) & words if words else ():
            below = interp.project.submodule(module, name)
            if below is not None:
                self._add_module(below)


_VISITS: dict[type[Value], Callable[[_Search, Any], None]] = {
    Function: _Search.of_function, BoundMethod: _Search.of_method, Partial: _Search.of_partial, ClassVal: _Search.of_class,
    Instance: _Search.of_object, External: _Search.of_external, Const: _Search.of_constant, ModuleVal: _Search.of_module,
    LazyImport: _Search.of_lazy, Union: _Search.of_several, TupleVal: _Search.of_sequence, ListVal: _Search.of_sequence,
    DictVal: _Search.of_table, Super: _Search.of_super, Tensor: _Search.of_tensor,
}  # fmt: skip
_PLAIN: dict[type[Value], Callable[[_Search, Any], None]] = {
    External: _Search.of_external, Const: _Search.of_constant, Instance: _Search.of_contract,
}  # fmt: skip
"""What gives signs at once, without anything that it leads to."""
