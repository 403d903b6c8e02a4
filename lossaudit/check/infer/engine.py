"""The interpreter: state, names, and what is run as a root.

One interpreter analyses one file, its *home*. Roots are the top level of the home, its ``__main__`` block, then every function and
method in it with unknown arguments, and the methods of the objects that these roots build, whichever file defines their class.
Everything else is run where it is called; of other files the top level, without a word, when a name in them is first read.
"""

from __future__ import annotations

import builtins as python_builtins
from collections.abc import Callable, Iterable, Iterator, Set
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeGuard, TypeVar

from lossaudit.check import ir
from lossaudit.check.contracts import Contracts
from lossaudit.check.detectors import Collector, Detectors, Hit, Judge, Needs
from lossaudit.check.events import Backward, Event, LoopDone, TrainedOp
from lossaudit.check.infer import calls, datasets, expressions, objects
from lossaudit.check.infer.budget import MAX_STEPS, OBJECT_STEPS, Budget
from lossaudit.check.infer.expressions import EXPRESSIONS
from lossaudit.check.infer.frame import Arguments, Flow, Frame, OutOfBudget
from lossaudit.check.infer.heap import Heap, Scope
from lossaudit.check.infer.imports import Imports, InRing, NotLent, TopLevel
from lossaudit.check.infer.ops import apply_op
from lossaudit.check.infer.reach import Reach, Texts
from lossaudit.check.infer.statements import STATEMENTS, assign
from lossaudit.check.infer.visits import is_given_code
from lossaudit.check.infer.ways import Ways
from lossaudit.check.project import Module, Project
from lossaudit.check.reasoning.losses import has_forward_of_two, is_criterion
from lossaudit.check.reasoning.trace import Recorder
from lossaudit.check.reasoning.trained import OBJECTIVES, Trained, is_only_data
from lossaudit.check.values import (
    ABSENT,
    ITERATED,
    UNKNOWN,
    Autocast,
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
    Site,
    Tensor,
    TupleVal,
    Union,
    Unknown,
    Value,
    alternatives,
    bounded,
    constant,
    join,
)

MAX_INSTANCES = 3
"""How many objects of one class have their methods run as roots."""
MAX_FILLING = 40
"""How many files are run in a unit only because they might register themselves somewhere."""
MISSING = "missing"
"""The origin of what is imported from a module that has no such name."""

_BUILTINS = frozenset(dir(python_builtins))
E_ = TypeVar("E_", bound=Event)


@dataclass(frozen=True, slots=True)
class Tools:
    """What all units of a process share: none of it changes while code runs.

    ``words`` are the signs that words give, ``methods`` the names of tensor methods that a class of the project defines too,
    ``texts`` what the texts of functions mention, found when it is first asked for.
    """

    contracts: Contracts
    detectors: Detectors
    methods: frozenset[str]
    words: dict[str, frozenset[str]]
    texts: Texts = field(default_factory=dict)


class Interpreter:
    """The analysis of one file. All code in :mod:`lossaudit.check.infer` works on its state."""

    def __init__(
        self,
        project: Project,
        tools: Tools,
        home: Module,
        imports: Imports | None = None,
        heap: Heap | None = None,
        entry: Path | None = None,
    ) -> None:
        self.project = project
        self.home = home
        self.contracts = tools.contracts
        self.detectors = tools.detectors
        self.findings = Collector()
        self.project_methods = tools.methods
        self.heap = heap or Heap()
        self.borrowed: set[Path] = set()
        self.rings: dict[int, TopLevel] = {}
        self.ran: list[Module] = []
        self._entry = entry
        self._imports = imports
        self._settled_names: dict[int, tuple[LazyImport, Value]] = {}
        self._forcing: set[int] = set()
        self.stack: list[tuple[int, int]] = []
        self.covered: set[tuple[int, int]] = set()
        self.called: set[tuple[int, int]] = set()
        self.assigning: set[tuple[int, str]] = set()
        self.class_stack: list[ClassVal] = []
        self.instances: dict[int, list[Instance]] = {}
        self.classes: list[ClassVal] = []
        self.functions: list[Function] = []
        self.recorder = Recorder(enabled=LoopDone in self.detectors.events)
        self.trained = Trained(self.contracts)
        self.forward_since: int | None = None
        self._only_definitions = False
        self._tried: list[Instance] = []
        self.forced: dict[int, tuple[Value, Site]] = {}
        self.building: list[Instance] = []
        self.unfinished: dict[int, Instance] = {}
        self.declared: dict[int, External] = {}
        self.unsettled: list[tuple[dict[str, Value], str]] = []
        self.reach = Reach(self, tools.words, tools.texts)
        self.dead_ends: dict[int, tuple[ir.Stmt, ...]] = {}
        self.ways = Ways()
        self._silence = 0
        self._is_abroad = False
        self.registries: dict[int, DictVal] = {}
        self._may_fill = MAX_FILLING
        self._followed: set[int] = set()
        self.budget = Budget()

    # Limits and events

    def tick(self) -> None:
        """Count one step.

        Raises:
            OutOfBudget: The present root has had its share.
        """
        self.budget.take()

    def emit(self, kind: type[E_], make: Callable[[], E_], op: str = "") -> None:
        """Tell the detectors, if any of them listens to this kind of event, about this operation if it is about one."""
        if self._silence:
            return
        judges = self.detectors.judges(kind, op, only_of_definitions=self._only_definitions)
        is_objective = (
            kind in OBJECTIVES and TrainedOp in self.detectors.events and not self._only_definitions
        )
        if judges or is_objective:
            event = make()
            self.ways.note(event, self._ask(judges, event))
            if is_objective:
                self._tell_trained(event)

    def _ask(self, judges: Iterable[Judge], event: Event) -> list[Hit]:
        hits = [hit for judge in judges for hit in judge(event)]
        self.findings.add(hits)
        return hits

    def _tell_trained(self, event: Event) -> None:
        """Tell of the operations that take part in what ``event`` optimises."""
        by_hand = self.trained.is_by_hand(event)
        for term, below_layer in self.trained.reached(event, remember=not self.findings.votes):
            judges = self.detectors.judges(TrainedOp, term.op, only_of_definitions=False)
            if judges and not is_only_data(term, below_layer=below_layer):
                self._ask(judges, TrainedOp(term.site, event.contexts, term, by_hand))

    @contextmanager
    def silent(self) -> Iterator[None]:
        """Run code only for its effects."""
        self._silence += 1
        try:
            with self.recorder.paused():
                yield
        finally:
            self._silence -= 1

    # Running

    def eval(self, frame: Frame, node: ir.Expr) -> Value:
        """The value of an expression."""
        handler = EXPRESSIONS.get(type(node))
        return UNKNOWN if handler is None else handler(self, frame, node)

    def exec_block(self, frame: Frame, body: tuple[ir.Stmt, ...]) -> Flow:
        """Run statements until one of them leaves the block."""
        for statement in body:
            self.tick()
            flow = STATEMENTS[type(statement)](self, frame, statement)
            if flow is not Flow.NEXT:
                return flow
        return Flow.NEXT

    def assign(self, frame: Frame, target: ir.Expr, value: Value) -> None:
        """Bind ``value`` to an assignment target."""
        assign(self, frame, target, value)

    def binary(self, frame: Frame, op: str, left: Value, right: Value, site: Site) -> Value:
        """``left op right``."""
        return expressions.binary(self, frame, op, left, right, site)

    def call(self, frame: Frame, callee: Value, arguments: Arguments, site: Site) -> Value:
        """The result of calling ``callee``."""
        return calls.call_value(self, frame, callee, arguments, site)

    def truth(self, value: Value) -> bool | None:
        """Whether ``value`` is true; None where that is open."""
        if type(value) is not Union:
            return _truth_of(value)
        verdicts = {_truth_of(one) for one in alternatives(value)}
        return verdicts.pop() if len(verdicts) == 1 else None

    # Names

    def lookup(self, frame: Frame, name: str) -> Value:
        """The value of a name, by scopes."""
        scope: Scope | None = frame.scope
        if name in frame.scope.globals:
            scope = frame.module.scope
        first = True
        while scope is not None:
            if name in scope.vars and (first or not scope.is_class):
                return self._settled(scope, name)
            first = False
            scope = scope.parent
        return self._outer_name(frame, name)

    def _settled(self, scope: Scope, name: str) -> Value:
        value = scope.vars[name]
        if type(value) is LazyImport:
            value = self._imported(scope, name, value)
        return self.heap.latest(value)

    def _imported(self, scope: Scope, name: str, value: LazyImport) -> Value:
        """What an imported name of a scope stands for, found once: in a scope that is lent it does not show."""
        if not scope.is_lent:
            scope.vars[name] = settled = self.force(value)
            return settled
        if id(value) not in self._settled_names:
            self._settled_names[id(value)] = value, self.force(value)
        return self._settled_names[id(value)][1]

    def _outer_name(self, frame: Frame, name: str) -> Value:
        if name == "__name__":
            return UNKNOWN
        if name == "__class__" and frame.function is not None and frame.function.owner is not None:
            return frame.function.owner
        found = self._starred(frame.module, name, {frame.module.filename})
        if found is not None:
            return found
        return External(f"builtins.{name}") if name in _BUILTINS else UNKNOWN

    def _starred(self, module: Module, name: str, searched: set[str]) -> Value | None:
        """A name that came with ``from ... import *``, looked for in each file once: such imports form nets and cycles."""
        for star in reversed(module.scope.stars):
            if isinstance(star, str):
                dotted = self.contracts.canonical(f"{star}.{name}")
                if dotted in self.contracts.names or dotted in self.contracts.constants:
                    return self.external(dotted)
            elif name not in _BUILTINS and self._may_export(self.project.at(star), {name}):
                found = self._found_in(self.project.at(star), name, searched)
                if not (found is None or (isinstance(found, Unknown) and found.origin == MISSING)):
                    return found
        return None

    def external(self, dotted: str) -> Value:
        """What a dotted name outside the project stands for."""
        name = self.contracts.canonical(dotted)
        constants = self.contracts.constants
        return Const(constants[name]) if name in constants else External(name)

    def bind_name(self, frame: Frame, name: str, value: Value) -> None:
        """``name = value`` in the scope that the name belongs to."""
        scope = frame.scope
        if name in scope.globals:
            scope = frame.module.scope
        elif name in scope.nonlocals:
            outer = scope.parent
            while outer is not None and name not in outer.vars:
                outer = outer.parent
            scope = outer or scope
        self.heap.set(scope.vars, name, value)

    def force(self, value: Value) -> Value:
        """Load an imported name that nobody had read yet."""
        if isinstance(value, Union) and LazyImport in map(type, value.alternatives):
            return join(map(self.force, value.alternatives))
        if not isinstance(value, LazyImport):
            return value
        if value.name is None:
            return ModuleVal(self.project.at(value.place))
        return self.module_attribute(self.project.at(value.place), value.name)

    def _may_export(self, module: Module, names: Set[str]) -> bool:
        """Whether one of the names may come out of a file that was imported with a star."""
        exported = self.project.exports(module)
        return exported is None or not exported.isdisjoint(names)

    def starred_modules(self, module: Module, names: Set[str]) -> Iterator[Module]:
        """The modules of the project from which some of ``names`` may have come into ``module`` with a star, each once."""
        seen = {module.path}
        if not module.scope.stars:
            return
        wanted = names - module.scope.vars.keys() - _BUILTINS
        stack = list(module.scope.stars)
        while stack:
            star = stack.pop()
            if not isinstance(star, str) and star.path not in seen:
                seen.add(star.path)
                other = self.project.at(star)
                if not self._may_export(other, wanted):
                    continue
                self.run_module(other)
                stack += other.scope.stars
                yield other

    def module_attribute(self, module: Module, name: str) -> Value:
        """``module.name``, running the module's top level if that has not happened yet."""
        found = self._found_in(module, name, set())
        return Unknown(origin=MISSING) if found is None else found

    def _found_in(self, module: Module, name: str, searched: set[str]) -> Value | None:
        """The same, None where it is missing there and in what is imported with a star from files not yet ``searched``."""
        if module.filename in searched:
            return None
        searched.add(module.filename)
        module = self.project.own(module)
        self.run_module(module)
        value = module.scope.vars.get(name)
        if isinstance(value, LazyImport):
            if value.place.path == module.path and value.name == name:
                return UNKNOWN
            if id(value) not in self._forcing:  # an import cycle finds nothing here, and ends
                self._forcing.add(id(value))
                try:
                    return self._imported(module.scope, name, value)
                finally:
                    self._forcing.discard(id(value))
        elif value is not None:
            return self.heap.latest(value)
        submodule = self.project.submodule(module, name)
        if submodule is not None:
            return ModuleVal(submodule)
        return self._starred(module, name, searched)

    # Data

    def elements(self, value: Value) -> ListVal:
        """What iterating over ``value`` yields."""
        value = self.force(value)
        if isinstance(value, ListVal):
            return value
        if isinstance(value, TupleVal):
            return ListVal(list(value.items), value.rest)
        if isinstance(value, DictVal):
            self.opened(value)
            return ListVal([Const(key) for key in value.entries], None if value.rest is None else UNKNOWN)
        if isinstance(value, Instance):
            return self._instance_elements(value)
        if isinstance(value, Tensor):
            return ListVal([], self._row(value))
        if isinstance(value, Union):
            return ListVal([], join(self.any_element(self.elements(one)) for one in value.alternatives))
        if isinstance(value, Const) and isinstance(value.value, str) and len(value.value) <= 16:
            return ListVal([Const(letter) for letter in value.value])
        if isinstance(value, Unknown):
            return ListVal([], _part_of(value))
        return ListVal([], UNKNOWN)

    def _row(self, value: Tensor) -> Value:
        """One element along dimension 0 of a tensor."""
        frame = Frame(self.project.module(Path(value.site.path)), Scope())
        args: dict[str, Value] = {"input": value, "index": Const(0)}
        return apply_op(self, frame, self.contracts.ops["getitem"], args, value.site)

    def _instance_elements(self, value: Instance) -> ListVal:
        if value.items is not None:
            return ListVal(list(value.items), UNKNOWN if value.open_items else None)
        if datasets.is_loader(self, value):
            return ListVal([], datasets.batch(self, value))
        return ListVal([], datasets.element(self, value))

    def extend(self, value: ListVal, more: ListVal) -> None:
        """``value.extend(more)``."""
        rests = [rest for rest in (more.rest, value.rest) if rest is not None]
        items, rest = bounded([*value.items, *more.items], join(rests) if rests else None)
        self.heap.assign(value.items, items)
        if rest is not value.rest:
            self.heap.set_field(value, "rest", rest)

    def any_element(self, more: ListVal) -> Value:
        """One value that stands for every element."""
        values = [one for item in more.items for one in alternatives(item) if one is not ABSENT]
        if more.rest is not None:
            values.append(more.rest)
        return join(values) if values else UNKNOWN

    def dict_item(self, value: DictVal, key: Value) -> Value | None:
        """``value[key]``; for a key that is not constant, the join of all entries."""
        self.opened(value)
        wanted = constant(key)
        if wanted is NotImplemented or not isinstance(wanted, (str, int, float, bool, type(None))):
            rest = [] if value.rest is None else [value.rest]
            options = [*value.entries.values(), *rest]
            return join(self.force(one) for one in options) if options else None
        found = value.entries.get(wanted)
        return value.rest if found is None else self.heap.latest(self.force(found))

    def mutate(self, before: Tensor, after: Tensor) -> Tensor:
        """An in-place operation: all names of ``before`` hold ``after`` from now on."""
        renewed = replace(after, ident=before.ident)
        self.heap.mutate(before, renewed)
        return renewed

    def opaque_tensor(self, site: Site) -> Tensor:
        """A tensor of which nothing is known."""
        return Tensor("opaque", {}, site)

    # Definitions

    def make_function(self, frame: Frame, name: str, node: ir.FunctionDef | ir.Lambda) -> Function:
        """A function value with its closure and its defaults, which Python evaluates here and now."""
        defaults = {
            param.name: self.eval(frame, param.default) for param in node.params if param.default is not None
        }
        owner = self.class_stack[-1] if frame.scope.is_class and self.class_stack else None
        closure = frame.scope
        while closure.is_class and closure.parent is not None:
            closure = closure.parent
        function = Function(name, node, frame.module, closure, defaults, owner)
        if isinstance(node, ir.FunctionDef) and owner is None and not self._is_abroad:
            self.functions.append(function)
        return function

    def replace_function(
        self,
        function: Function,
        *,
        kind: str | None = None,
        contexts: frozenset[str] | None = None,
        autocast: Autocast | None = None,
    ) -> Function:
        """The function under a decorator that we understand."""
        new_contexts = function.contexts if contexts is None else contexts
        new = replace(
            function,
            kind=kind or function.kind,
            contexts=new_contexts,
            autocast=autocast or function.autocast,
        )
        self.functions = [new if one is function else one for one in self.functions]
        return new

    def force_gradient(self, value: Value, site: Site) -> None:
        """``requires_grad`` was set on a value."""
        for one in alternatives(value):
            if isinstance(one, (Tensor, Unknown)) and one is not UNKNOWN:
                self.forced[one.ident if isinstance(one, Tensor) else -id(one)] = (one, site)

    def forced_gradient(self, value: Value) -> Site | None:
        """Where ``requires_grad`` was set on ``value``."""
        keys = (one.ident if isinstance(one, Tensor) else -id(one) for one in alternatives(value))
        return next((self.forced[key][1] for key in keys if key in self.forced), None)

    def note_class(self, cls: ClassVal) -> None:
        """Remember a class of the home, to run its methods as roots."""
        if cls.module is self.home:
            self.classes.append(cls)

    def note_instance(self, instance: Instance) -> None:
        """Remember an object that a root built; what only some alternatives build is not."""
        if isinstance(instance.cls, ClassVal) and not (self.findings.votes or self._is_abroad):
            known = self.instances.setdefault(id(instance.cls.node), [])
            if all(one.site != instance.site for one in known) and len(known) < MAX_INSTANCES:
                known.append(instance)

    def note_write(self, instance: Instance) -> None:
        """An attribute was assigned."""
        self.heap.version += 1

    # Declared contracts

    def _declare(self, dotted: str) -> None:
        """Find a class or function of the project for which the user declared a contract: it takes the place of the code."""
        where, _, name = dotted.rpartition(".")
        for module in list(self.project.modules_named(where)):
            for one in alternatives(self.module_attribute(module, name)):
                if isinstance(one, (ClassVal, Function)):
                    self.declared[id(one.node)] = External(dotted)

    def under_contract(self, callee: Value) -> Value:
        """What is called: the declared contract of a class or function where it has one."""
        if isinstance(callee, (ClassVal, Function)):
            return self.declared.get(id(callee.node), callee)
        return callee

    # Roots

    def run_module(self, module: Module) -> None:
        """Run the top level of a file once, or borrow what it left when it was run by itself."""
        if module.state == "new" and not self._borrow(module):
            self.run_top_level(module)

    def _borrow(self, module: Module) -> bool:
        """Use what the top level of another file left elsewhere, unless the home takes part in that, or a file that is at hand in another state.

        Raises:
            NotLent: This run may only use what is lent.
            InRing: The file needs one that is run further out.
        """
        if self._imports is None or module is self.home:
            return False
        if self._imports.is_in_ring(self._entry, module.path):
            return False
        try:
            top = self._imports.top_level(module.path)
        except InRing as ring:
            if ring.path != self._entry:
                raise
            return False
        self.project.note(top.asked)
        if self.heap.is_strict and not top.modules:
            raise NotLent
        rings = {id(one): one for one in (top, *top.rings) if len(one.modules) > 1}
        lent = [*top.modules, *(one for ring in rings.values() for one in ring.modules)]
        if not lent or self.home.path in top.reached or not all(map(self.project.may_borrow, lent)):
            return False
        for one in lent:
            self.project.borrow(one)
        self._take_over(top)
        self.rings |= rings
        return True

    def _take_over(self, top: TopLevel) -> None:
        """Know what one must know who uses what a top level left."""
        for one in top.named:
            self.project.at(one)
        self.borrowed |= top.reached
        self.registries |= top.tables
        self.heap.current |= top.current
        self.forced |= top.forced
        self.budget.costly |= top.costly
        self.heap.enter(top.entered)

    def run_top_level(self, module: Module) -> None:
        """Run the top level of a file here."""
        module.state = "running"
        self.ran.append(module)
        code = self.project.load(module)
        if code is not None:
            module.scope.vars.setdefault("__file__", Const(module.filename))
            with self._apart(abroad=module is not self.home):
                self.exec_block(Frame(module, module.scope), code.body)
            self.registries |= {
                id(one): one for one in _tables(module) if not one.entries and one.rest is None
            }
        module.state = "done"

    def opened(self, table: DictVal) -> None:
        """A table is read. If its file left it empty, then first runs what was imported and of which nobody has read a name.

        An import runs a file in Python even if nothing is taken from it, and some files register themselves in tables of others.
        What stands in a table that was filled from too many files to run them all is not known.
        """
        if id(table) not in self.registries or self._is_abroad:
            return
        self._name_submodules()
        while waiting := self.project.take_waiting(self._may_fill):
            self._may_fill -= len(waiting)
            for module in waiting:
                self.run_module(module)
            self._name_submodules()
        if self.project.is_waiting:
            self.heap.settle(table, "rest", UNKNOWN)

    def _name_submodules(self) -> None:
        """``from package import module`` names a file as well, which shows only when the package has run without binding the name."""
        for module in self.project.modules:
            if module.state != "new" and id(module) not in self._followed:
                if module.state == "done":
                    self._followed.add(id(module))
                for value in module.scope.vars.values():
                    if self._is_unread(value) and value.name is not None:
                        self.project.submodule(self.project.at(value.place), value.name)

    def _is_unread(self, value: Value) -> TypeGuard[LazyImport]:
        return isinstance(value, LazyImport) and id(value) not in self._settled_names

    @contextmanager
    def _apart(self, *, abroad: bool) -> Iterator[None]:
        """Run a top level wherever it is first needed: nothing of what is under way there reaches it.

        What it binds stays, also when the branch that needed it is taken back; it has a budget of its own. What is wrong in
        another file than the home is told by the unit of that file.
        """
        outer = self._silence, self._is_abroad, self.forward_since
        stack, classes, building, journals = self.stack, self.class_stack, self.building, self.heap.journals
        self._silence, self._is_abroad, self.forward_since = int(abroad), abroad, None
        self.stack, self.class_stack, self.building, self.heap.journals = [], [], [], []
        try:
            with self.recorder.paused(), self.budget.apart():
                yield
        except OutOfBudget:
            while self.heap.journals:
                self.heap.retreat()
        finally:
            self.stack, self.class_stack, self.building, self.heap.journals = (
                stack,
                classes,
                building,
                journals,
            )
            self._silence, self._is_abroad, self.forward_since = outer

    def run_root(self, body: Callable[[], object], most: int = MAX_STEPS) -> None:
        """Run something with a fresh budget of at most so many steps; what exceeds it ends silently."""
        self.budget.begin(most)
        self.stack.clear()
        self.class_stack.clear()
        self.forward_since = None
        self.ways.begin()
        try:
            body()
        except (OutOfBudget, RecursionError):
            while self.heap.journals:
                self.heap.retreat()
        self.findings.take_back(self.ways.taken_back())

    def roots(self) -> Iterator[Callable[[], object]]:
        """Everything that is run for the home, one after the other: what an earlier one builds decides what comes later."""
        for dotted in sorted(self.contracts.declared):
            yield lambda name=dotted: self.run_root(lambda: self._declare(name))  # type: ignore[misc]
        yield lambda: self.run_root(lambda: self.run_module(self.home))
        yield lambda: self.run_root(self._run_main_blocks)
        for function in self._not_yet_run(at_home=True):
            yield lambda one=function: self._run_definition(one)  # type: ignore[misc]
        for cls in self.classes:
            yield lambda one=cls: self._run_class(one)  # type: ignore[misc]
        for cls, built in self._built_of_elsewhere():
            yield lambda one=cls, objects=built: self._run_class_of_elsewhere(one, objects)  # type: ignore[misc]
        for function in self._not_yet_run(at_home=False):
            yield lambda one=function: self._run_definition(one)  # type: ignore[misc]

    def _run_main_blocks(self) -> None:
        """Run what stands under ``if __name__ == "__main__"``."""
        frame = Frame(self.home, self.home.scope)
        for body in self.home.main_blocks:
            self.exec_block(frame, body)

    def _not_yet_run(self, *, at_home: bool) -> Iterator[Function]:
        """The functions that were made so far, and those that are made meanwhile: of the home, or closures of other files."""
        place = 0
        while place < len(self.functions):
            if (self.functions[place].module is self.home) is at_home:
                yield self.functions.pop(place)
            else:
                place += 1

    def _built_of_elsewhere(self) -> Iterator[tuple[ClassVal, list[Instance]]]:
        """The classes of other files of which the text of the home builds objects, and gives them something to work with.

        What those build in their turn belongs to the files that say so, and is run here where a method calls it. An object that
        is given plain data only shows what the file of its class shows.
        """
        done: dict[int, int] = {}
        while True:
            fresh = [
                (key, built[done.get(key, 0) :])
                for key, built in self.instances.items()
                if len(built) > done.get(key, 0)
            ]
            if not fresh:
                return
            for key, built in reversed(fresh):  # what was built last holds, and calls, what was built before
                done[key] = done.get(key, 0) + len(built)
                cls = built[0].cls
                here = [
                    one for one in built if one.site.path == self.home.filename and is_given_code(one.given)
                ]
                if here and isinstance(cls, ClassVal) and cls.module is not self.home:
                    yield cls, here

    def _run_definition(self, function: Function) -> None:
        """Run a function as a root, if that can show anything.

        One that was called already has done what it does to others with what it is really given: with unknown arguments it would
        put something unknown in the place of what it entered in a table.
        """
        if not self.reach.gives(function, self.detectors.needs):
            return
        was_called = (id(function.node), id(None)) in self.called
        if was_called:
            self.heap.begin()
        self.run_root(lambda: self.run_root_function(function))
        if was_called:
            self.heap.keep_additions()

    def run_root_function(self, function: Function, receiver: Value | None = None) -> Value:
        """Run a function with unknown arguments."""
        frame = Frame(function.module, function.closure)
        arguments = Arguments(open_from=0, open_keywords=True)
        site = Site(function.module.filename, function.node.id)
        bound = receiver if function.kind != "static" else None
        value = calls.run_function(self, frame, function, arguments, site, receiver=bound)
        self._training_step(function, receiver, value, site)
        return value

    def _training_step(self, function: Function, receiver: Value | None, value: Value, site: Site) -> None:
        """What a framework's training step returns is back-propagated."""
        if not isinstance(receiver, Instance) or not isinstance(receiver.cls, ClassVal):
            return
        if any((base, function.name) in self.contracts.training_steps for base in receiver.cls.externals):
            loss: Value | None = value
            if isinstance(value, DictVal):
                loss = value.entries.get("loss")
            if isinstance(value, TupleVal):
                loss = value.items[0] if value.items else None
            if loss is not None and constant(receiver.attrs.get("automatic_optimization")) is not False:
                self.emit(Backward, lambda: Backward(site, frozenset(), loss, explicit=False))

    def _run_class_of_elsewhere(self, cls: ClassVal, built: list[Instance]) -> None:
        """Run the methods of a class of another file on the objects that roots of the home built.

        A ``forward`` that the home calls has been run on what it is really given.
        """
        if self.reach.gives(cls, self.detectors.needs):
            self._run_methods(cls, built, spare=calls.FORWARD_NAMES, most=OBJECT_STEPS)

    def _run_class(self, cls: ClassVal) -> None:
        """Run every method of a class of the home, on the objects that were built of it or on one with unknown arguments.

        Each starts from the state that the constructor left, and from what other methods added to it: in which order a
        caller runs them is not known.
        """
        if not self.reach.gives(cls, self.detectors.needs):
            return
        built = self.instances.get(id(cls.node))
        if (
            built
            and self.detectors.of_definitions
            and is_criterion(built[0])
            and has_forward_of_two(built[0])
        ):
            self._only_definitions = True
            try:
                self._run_methods(cls, self._with_unknown_arguments(cls))
            finally:
                self._only_definitions = False
                self.instances[id(cls.node)] = built
        self._run_methods(cls, built or self._with_unknown_arguments(cls))

    def _with_unknown_arguments(self, cls: ClassVal) -> list[Instance]:
        frame = Frame(cls.module, cls.module.scope)
        site = Site(cls.module.filename, cls.node.id)
        arguments = Arguments(open_from=0, open_keywords=True)
        made: list[Value] = []
        self.run_root(lambda: made.append(objects.instantiate(self, frame, cls, arguments, site)))
        self.instances.pop(id(cls.node), None)
        if not made and not any(base in self.contracts.entries for base in cls.externals):
            made.append(
                objects.of_unknown_state(self, cls, site)
            )  # the constructor was more than the budget allows
        found = [one for one in made if isinstance(one, Instance)]
        self._tried += found  # kept: what is remembered of an object goes by its identity
        return found

    def _run_methods(
        self,
        cls: ClassVal,
        built: list[Instance],
        *,
        spare: frozenset[str] = frozenset(),
        most: int = MAX_STEPS,
    ) -> None:
        for instance in built:
            for function in self._methods(cls):
                done = self.called if function.name in spare else self.covered
                if (id(function.node), id(instance)) in done:
                    continue
                is_inherited = function.module not in (self.home, cls.module)
                if is_inherited and self.budget.inherited <= 0:
                    continue
                if not self.reach.gives(BoundMethod(function, instance), self._needs()):
                    continue
                objects.set_training(self, instance, Const(value=True))
                self.heap.begin()
                self.run_root(lambda f=function, i=instance: self.run_root_function(f, receiver=i), most)  # type: ignore[misc]
                if is_inherited:
                    self.budget.inherited -= self.budget.taken
                self.heap.keep_additions()
                self._unsettle()

    def _needs(self) -> Needs:
        return self.detectors.needs_of_definitions if self._only_definitions else self.detectors.needs

    def _unsettle(self) -> None:
        """What one object changed on another is not known when the next method runs."""
        for attributes, name in self.unsettled:
            self.heap.set(attributes, name, UNKNOWN)
        self.unsettled.clear()

    def _methods(self, cls: ClassVal) -> Iterable[Function]:
        seen: set[str] = set()
        for base in cls.mro:
            if isinstance(base, ClassVal):
                for name, member in list(base.scope.vars.items()):  # a method that runs may add to it
                    is_new = name not in seen and name != "__init__"
                    seen.add(name)
                    if is_new and isinstance(member, Function):
                        yield member


def _tables(module: Module) -> Iterator[DictVal]:
    """The dictionaries that a file, its classes and its objects hold."""
    for value in module.scope.vars.values():
        held: Iterable[Value] = (value,)
        if isinstance(value, Instance):
            held = value.attrs.values()
        elif isinstance(value, ClassVal):
            held = value.scope.vars.values()
        yield from (one for one in held if isinstance(one, DictVal))


def _part_of(value: Unknown) -> Unknown:
    """What an unknown value yields: the parts of one such part are the same value, so that a batch is known by identity."""
    if value.foreign or value.data or value.origin == ITERATED:
        return value.unshaped()
    return Unknown(origin=ITERATED, parameter=value.parameter)


def _truth_of(value: Value) -> bool | None:
    if isinstance(value, Const):
        return bool(value.value)
    if isinstance(value, (Function, ClassVal, ModuleVal)):
        return True
    if isinstance(value, Instance):
        return None if value.items is not None or isinstance(value.cls, External) else True
    if isinstance(value, (TupleVal, ListVal)):
        if value.items and not all(ABSENT in alternatives(item) for item in value.items):
            return True
        return False if value.rest is None and not value.items else None
    if isinstance(value, DictVal):
        return True if value.entries else False if value.rest is None else None
    return None
