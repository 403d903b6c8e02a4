"""Abstract values: what a name may hold, as far as reading the code tells.

Tensors form a term graph: each knows the operation that made it and the values that went in. Detectors match on that graph,
so it does not matter through which variables, functions, attributes or files a value went.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from lossaudit.check import ir
from lossaudit.check.kinds import ANY_SHAPE, Dtype, Kind, Shape, join_shapes

if TYPE_CHECKING:
    from lossaudit.check.contracts import Entry
    from lossaudit.check.infer.heap import Scope
    from lossaudit.check.library import Place
    from lossaudit.check.project import Module

if TYPE_CHECKING:
    from dataclasses import dataclass as immutable
else:

    def immutable(**options):
        """A dataclass of which only the type checker sees that nobody changes it: to make a tensor takes a fifth of the time."""
        return dataclass(**{**options, "frozen": False})


MAX_DEPTH = 120
"""A term deeper than this forgets its operands and keeps its facts."""
MAX_ALTERNATIVES = 6
"""A union of more alternatives than this is unknown."""
MAX_ITEMS = 4096
"""A sequence of more items than this is known by what its items have in common."""
MAX_ROUTE = 6
"""A trail longer than this drops its middle."""

_fresh = itertools.count()


def fresh_ident() -> int:
    """An identity that no value has yet: whatever is made later has a greater one."""
    return next(_fresh)


class Site(NamedTuple):
    """A place in the source: a file and the ordinal of a node in it."""

    path: str
    node: int


class Step(NamedTuple):
    """One step of a value's journey, in words."""

    site: Site
    words: str


class Autocast(NamedTuple):
    """A region of mixed precision, opened at ``site``; ``dtype`` is what the layers compute in, None where it is off."""

    site: Site
    dtype: Dtype | None


class Value:
    """What a name may hold. Compared by identity; values are immutable unless their docstring says otherwise."""

    __slots__ = ()


ITERATED = "an element"
"""The origin of what an unknown value yields."""
BATCH = "batch"
"""The operation of a tensor that a dataset or a data loader yields: its operand is data of which nothing is known."""


SETTINGS = "argparse.Namespace"
PARAMETERS = "parameters"
"""The origin of an object whose attributes were read from the command line."""


@immutable(frozen=True, slots=True, eq=False)
class Unknown(Value):
    """Nothing is known. ``origin`` is the dotted external name that made it, where there is one.

    ``foreign`` marks arrays of a library that is not under contract; ``data`` marks what a data loader yields.
    ``argument`` is the parameter through which a caller that we do not see handed it in, ``usual`` that parameter's default;
    ``parameter`` marks that value and its parts. ``of`` is the value of which this one is the shape (``origin`` is then
    ``size``) or the part ``at``; ``owner`` is the value that it was read from, and ``name`` the attribute that it is there,
    where that is known; ``site`` is the call or access that yielded it, ``given`` what that call was handed; ``dtype`` the
    element type of a foreign array, where a conversion names it, and ``shape`` its shape, where its making tells. Two uses of one
    unknown value are the same object.
    """

    origin: str = ""
    foreign: bool = False
    data: bool = False
    argument: str = ""
    of: Value | None = None
    at: Value | None = None
    usual: Value | None = None
    parameter: bool = False
    owner: Value | None = None
    name: str = ""
    site: Site | None = None
    dtype: Dtype = Dtype.UNKNOWN
    given: tuple[Value, ...] = ()
    shape: Shape = ANY_SHAPE

    @property
    def is_scalar(self) -> bool:
        """Whether it is a number, a flag or a text, never a tensor."""
        return self.origin in SCALARS

    @property
    def is_setting(self) -> bool:
        """Whether it was read from the command line: no tensor, and nothing that is trained."""
        return isinstance(self.owner, Unknown) and self.owner.origin == SETTINGS

    @property
    def is_given(self) -> bool:
        """Whether it came from outside, as it is: an argument of an unseen caller or what a loader yields, or a part of that."""
        return bool(self.argument) or self.data or self.origin == ITERATED

    @property
    def is_usually_number(self) -> bool:
        """Whether it is a number, or came through a parameter whose default is one."""
        return self.is_scalar or number(self.usual) is not None

    @property
    def may_be_none(self) -> bool:
        """Whether None is the default of the parameter that it came through."""
        return isinstance(self.usual, Const) and self.usual.value is None

    def unshaped(self) -> Unknown:
        """What was made of an array, or read from it, in a way that says nothing of the shape."""
        return self if self.shape is ANY_SHAPE else replace(self, shape=ANY_SHAPE)

    def item(self, index: Value) -> Unknown:
        """A part of it, of which no more is known."""
        origin = ITERATED if self.argument else self.origin
        whole = None if self is UNKNOWN else self
        return Unknown(
            origin=origin, data=self.data, of=whole, at=index, parameter=self.parameter, owner=self
        )


SCALARS = frozenset({"int", "float", "bool", "str"})
"""Origins of unknown values that are plain Python scalars."""


UNKNOWN = Unknown()


@immutable(frozen=True, slots=True, eq=False)
class Absent(Value):
    """Stands in a list for an item that is only there on some paths."""


ABSENT = Absent()


@immutable(frozen=True, slots=True, eq=False)
class LazyImport(Value):
    """An imported name of the project that nobody has read yet; ``name`` of None is the module itself.

    It holds no module: what a process keeps of top levels would hold one of every file that they name.
    """

    place: Place
    name: str | None


@immutable(frozen=True, slots=True, eq=False)
class Const(Value):
    """A constant of a builtin type."""

    value: object


NONE = Const(None)


@immutable(frozen=True, slots=True, eq=False)
class External(Value):
    """A name outside the project, by its canonical dotted name."""

    name: str


@immutable(frozen=True, slots=True, eq=False)
class ModuleVal(Value):
    """A module of the project."""

    module: Module


@immutable(frozen=True, slots=True, eq=False)
class Tensor(Value):
    """A tensor: the operation ``op`` applied to ``args``.

    ``ident`` is shared by every value that is the same object at run time, so that in-place operations reach all its
    names. ``origin`` is the term that gave the value its kind; ``route`` how it travelled since. ``certain`` says that
    it is proven to be a tensor (and not, say, an array that has a method of the same name). ``class_dim`` is the
    dimension over which probabilities sum to one. ``batched`` says that dimension 0 is known to be the batch;
    ``unrecorded`` that it was made where autograd records nothing; ``guarded`` that a condition on a tensor's device decided.
    ``stored`` is the assignment that made it a plain attribute of a module while the module was built. ``guards`` are the
    conditions that were tested on the way to the operation, each the values that it mentions. ``home`` is the framework of the
    operation, where that is not PyTorch or one that speaks like it.
    """

    op: str
    args: dict[str, Value]
    site: Site
    kind: Kind = Kind.UNKNOWN
    class_dim: int | None = None
    shape: Shape = ANY_SHAPE
    dtype: Dtype = Dtype.UNKNOWN
    origin: Tensor | None = None
    route: tuple[Step, ...] = ()
    certain: bool = True
    detached: bool = False
    inference: bool = False
    batched: bool = False
    data: bool = False
    unrecorded: bool = False
    guarded: bool = False
    module: Instance | None = None
    depth: int = 1
    stored: Site | None = None
    guards: tuple[TupleVal, ...] = ()
    home: str = ""
    ident: int = field(default_factory=lambda: next(_fresh))

    @property
    def source(self) -> Tensor:
        """The term at which the kind arose."""
        return self if self.origin is None else self.origin

    def arg(self, name: str) -> Value | None:
        """The operand or attribute bound to parameter ``name``."""
        return self.args.get(name)

    def const(self, name: str) -> object:
        """The constant bound to ``name``; ``NotImplemented`` where it is absent or not constant."""
        value = self.args.get(name)
        return value.value if isinstance(value, Const) else NotImplemented

    def moved(self, step: Step) -> Tensor:
        """The same tensor one step further on its way."""
        if self.route and self.route[-1] == step:
            return self
        route = (*self.route, step)
        if len(route) > MAX_ROUTE:
            route = (*route[: MAX_ROUTE // 2], *route[-MAX_ROUTE // 2 :])
        return replace(self, route=route)


@immutable(frozen=True, slots=True, eq=False)
class Function(Value):
    """A function of the project with its closure; ``kind`` is ``function``, ``static``, ``class`` or ``property``."""

    name: str
    node: ir.FunctionDef | ir.Lambda
    module: Module
    closure: Scope
    defaults: dict[str, Value]
    owner: ClassVal | None = None
    kind: str = "function"
    contexts: frozenset[str] = frozenset()
    autocast: Autocast | None = None

    @property
    def label(self) -> str:
        """The name that trails use."""
        return f"{self.owner.name}.{self.name}" if self.owner is not None else self.name


@immutable(frozen=True, slots=True, eq=False)
class BoundMethod(Value):
    """A function of the project with its first argument bound."""

    function: Function
    receiver: Value


@immutable(frozen=True, slots=True, eq=False)
class ExternalMethod(Value):
    """A method that is not defined in the project, on a value."""

    receiver: Value
    name: str


@immutable(frozen=True, slots=True, eq=False)
class Partial(Value):
    """``functools.partial`` of a callable."""

    function: Value
    positional: tuple[Value, ...]
    keywords: dict[str, Value]


@dataclass(slots=True, eq=False)
class ClassVal(Value):
    """A class of the project. ``mro`` holds classes of the project and external names."""

    name: str
    node: ir.ClassDef
    module: Module
    scope: Scope
    mro: tuple[ClassVal | External, ...] = ()
    is_dataclass: bool = False

    @property
    def externals(self) -> tuple[str, ...]:
        """The dotted names of the external bases, nearest first."""
        return tuple(base.name for base in self.mro if isinstance(base, External))

    @property
    def is_plain(self) -> bool:
        """Whether no base but those of the standard library comes from outside: ``ABC`` makes no class a module."""
        return all(name.partition(".")[0] in sys.stdlib_module_names for name in self.externals)


@dataclass(slots=True, eq=False)
class Instance(Value):
    """An object with attributes; mutable through the heap only.

    ``entry`` and ``bound`` hold the contract of the nearest base under contract and the arguments that its constructor
    got; ``items`` the modules of a container, in order, ``open_items`` that there may be more. ``given`` holds what the
    constructor of a class of the project was called with, ``initial`` what the attributes were when it was done.
    """

    cls: ClassVal | External
    site: Site
    attrs: dict[str, Value] = field(default_factory=dict)
    entry: Entry | None = None
    bound: dict[str, Value] = field(default_factory=dict)
    items: list[Value] | None = None
    container: str = ""
    open_items: bool = False
    given: tuple[Value, ...] = ()
    initial: dict[str, Value] = field(default_factory=dict)

    @property
    def class_name(self) -> str:
        """The bare name of the class."""
        return self.cls.name.rpartition(".")[2]

    @property
    def bases(self) -> tuple[str, ...]:
        """The dotted names of the external classes of which it is an object, nearest first."""
        return (self.cls.name,) if isinstance(self.cls, External) else self.cls.externals


@immutable(frozen=True, slots=True, eq=False)
class Super(Value):
    """``super()``: attribute lookup on ``receiver`` after ``after`` in the resolution order."""

    receiver: Value
    after: ClassVal


@immutable(frozen=True, slots=True, eq=False)
class TupleVal(Value):
    """A tuple; ``names`` are the field names of a named one. ``rest`` stands for unknown further items."""

    items: tuple[Value, ...]
    names: tuple[str, ...] = ()
    rest: Value | None = None

    def __post_init__(self) -> None:
        if len(self.items) > MAX_ITEMS:
            items, rest = bounded(self.items, self.rest)
            object.__setattr__(self, "items", tuple(items))
            object.__setattr__(self, "rest", rest)


@dataclass(slots=True, eq=False)
class ListVal(Value):
    """A list, a set or a generator, mutable through the heap only. ``rest`` stands for unknown further items."""

    items: list[Value]
    rest: Value | None = None

    def __post_init__(self) -> None:
        if len(self.items) > MAX_ITEMS:
            self.items, self.rest = bounded(self.items, self.rest)


def bounded(items: Sequence[Value], rest: Value | None) -> tuple[list[Value], Value | None]:
    """The items of a sequence and what stands for further ones; of too many items, only what they have in common."""
    if len(items) <= MAX_ITEMS:
        return list(items), rest
    return [], join([*items[:MAX_ALTERNATIVES], UNKNOWN])


@dataclass(slots=True, eq=False)
class DictVal(Value):
    """A dict with constant keys, mutable through the heap only. ``rest`` stands for entries under unknown keys."""

    entries: dict[object, Value]
    rest: Value | None = None


@immutable(frozen=True, slots=True, eq=False)
class Union(Value):
    """One of several alternatives, by the path that was taken."""

    alternatives: tuple[Value, ...]


def alternatives(value: Value) -> tuple[Value, ...]:
    """The alternatives of a union; the value itself otherwise."""
    return value.alternatives if type(value) is Union else (value,)


def join(values: Iterable[Value]) -> Value:
    """What holds whichever of ``values`` it is."""
    values = list(values)
    if len(values) == 1:
        return values[0]
    if len(values) == 2 and values[0] is values[1] and type(values[0]) is not Union:
        return values[0]
    kept: list[Value] = []
    for value in values:
        for one in alternatives(value):
            _keep(kept, one)
    if len(kept) == 1:
        return kept[0]
    if not kept:
        return UNKNOWN
    if len(kept) > MAX_ALTERNATIVES:
        return Union((*kept[: MAX_ALTERNATIVES - 1], UNKNOWN))
    return Union(tuple(kept))


def _keep(kept: list[Value], one: Value) -> None:
    """Add an alternative that is not there yet; where there are too many, only the first are told apart."""
    for place, other in enumerate(kept):
        if same(one, other):
            if isinstance(one, Unknown) and one is not other:
                kept[place] = _blurred(one, other)
            return
    if len(kept) <= MAX_ALTERNATIVES:
        kept.append(one)


def _blurred(left: Unknown, right: Value) -> Unknown:
    """One of two unknown values, it is not known which: a third one."""
    if not isinstance(right, Unknown):
        return Unknown(left.origin, left.foreign)
    return Unknown(
        left.origin, left.foreign, left.data and right.data, shape=join_shapes(left.shape, right.shape)
    )


def same(left: Value, right: Value) -> bool:
    """Whether two values need not be told apart."""
    if left is right:
        return True
    alike = _ALIKE.get(type(left)) if type(left) is type(right) else None
    return alike is not None and alike(left, right)


_ALIKE: dict[type[Value], Callable[[Any, Any], bool]] = {
    Unknown: lambda left, right: left.foreign == right.foreign and left.origin == right.origin,
    Const: lambda left, right: type(left.value) is type(right.value) and bool(left.value == right.value),
    External: lambda left, right: left.name == right.name,
    Tensor: lambda left, right: left.ident == right.ident and left.op == right.op and left.site == right.site,
    Function: lambda left, right: left.node is right.node and left.closure is right.closure,
    BoundMethod: lambda left, right: same(left.function, right.function) and left.receiver is right.receiver,
    ModuleVal: lambda left, right: left.module.path == right.module.path,
}
"""What two values of one type, that are not one object, must have in common to be the same."""


def feasible(value: Value) -> tuple[Value, ...]:
    """The alternatives that can be a tensor or a callable at all: None would have raised."""
    if type(value) is not Union:
        return (value,)
    kept = tuple([one for one in value.alternatives if not _is_nothing(one)])
    return kept or value.alternatives


def _is_nothing(value: Value) -> bool:
    return value is ABSENT or (type(value) is Const and value.value is None)


def tensors(value: Value | None) -> tuple[Tensor, ...]:
    """The alternatives of ``value`` if each of them is a tensor; nothing otherwise. This is what proof rests on."""
    if type(value) is Tensor:
        return (value,)
    if type(value) is not Union:
        return ()
    options = feasible(value)
    found = tuple([one for one in options if type(one) is Tensor])
    return found if len(found) == len(options) else ()


def sole_tensor(value: Value | None) -> Tensor | None:
    """A tensor that speaks for all alternatives: they agree on kind and class dimension. None otherwise."""
    if type(value) is Tensor:
        return value
    options = tensors(value)
    if not options or len({(option.kind, option.class_dim) for option in options}) > 1:
        return None
    return options[0]


def common_kind(value: Value | None) -> Kind:
    """The kind that ``value`` has on every path; UNKNOWN otherwise."""
    kinds = {tensor.kind for tensor in tensors(value)}
    return kinds.pop() if len(kinds) == 1 else Kind.UNKNOWN


def common_shape(value: Value | None) -> Shape:
    """What the shapes of all alternatives agree on."""
    if type(value) is Tensor:
        return value.shape
    options = tensors(value)
    if not options:
        return ANY_SHAPE
    shape = options[0].shape
    for other in options[1:]:
        shape = join_shapes(shape, other.shape)
    return shape


def operands(term: Tensor) -> list[Tensor]:
    """The tensors that went into ``term``, through unions, tuples and lists of arguments."""
    return tensor_operands(term.args)


def tensor_operands(args: Mapping[str, Value]) -> list[Tensor]:
    """The tensors among arguments, through unions, tuples and lists."""
    found: list[Tensor] = []
    for value in args.values():
        kind = type(value)
        if kind is Tensor:
            found.append(value)  # type: ignore[arg-type]
        elif kind is Union or kind is TupleVal or kind is ListVal:
            _collect_tensors(value, found)
    return found


def _collect_tensors(value: Value, found: list[Tensor]) -> None:
    stack = [value]
    while stack:
        one = stack.pop()
        if isinstance(one, Tensor):
            found.append(one)
        elif isinstance(one, Union):
            stack.extend(reversed(one.alternatives))
        elif isinstance(one, (TupleVal, ListVal)):
            stack.extend(reversed(one.items))
            if one.rest is not None:
                stack.append(one.rest)


def walk_terms(term: Tensor, limit: int = 400) -> Iterator[Tensor]:
    """``term`` and what it was computed from, each once, nearest first."""
    seen: set[int] = set()
    queue = [term]
    while queue and len(seen) < limit:
        current = queue.pop(0)
        if id(current) not in seen:
            seen.add(id(current))
            yield current
            queue.extend(operands(current))


def constant(value: Value | None) -> object:
    """The constant that ``value`` is; ``NotImplemented`` otherwise."""
    return value.value if isinstance(value, Const) else NotImplemented


def integer(value: Value | None) -> int | None:
    """The integer that ``value`` is known to be."""
    found = constant(value)
    return found if isinstance(found, int) and not isinstance(found, bool) else None


def number(value: Value | None) -> float | None:
    """The number that ``value`` is known to be."""
    found = constant(value)
    return float(found) if isinstance(found, (int, float)) and not isinstance(found, bool) else None
