"""The compact form of a Python file on which inference runs: small picklable nodes, without positions.

Every node carries ``id``, a number that tells where it lies in the text: :mod:`lossaudit.check.positions` reads it, only for
files that take part in a finding. What the number means is the front end's business (:mod:`lossaudit.check.source`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields


@dataclass(slots=True)
class Node:
    """Anything that has a place in the source."""

    id: int


class Expr(Node):
    """An expression."""

    __slots__ = ()


class Stmt(Node):
    """A statement."""

    __slots__ = ()


# Expressions -----------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Name(Expr):
    name: str


@dataclass(slots=True)
class Attribute(Expr):
    value: Expr
    attr: str


@dataclass(slots=True)
class Constant(Expr):
    """A number, a string, bytes, True, False, None or ``...``."""

    value: object


@dataclass(slots=True)
class Arg(Node):
    """One argument of a call; ``star`` is ``""``, ``"*"`` or ``"**"``."""

    value: Expr
    keyword: str | None
    star: str


@dataclass(slots=True)
class Call(Expr):
    func: Expr
    args: tuple[Arg, ...]


@dataclass(slots=True)
class BinOp(Expr):
    left: Expr
    op: str
    right: Expr


@dataclass(slots=True)
class UnaryOp(Expr):
    op: str
    operand: Expr


@dataclass(slots=True)
class BoolOp(Expr):
    op: str
    values: tuple[Expr, ...]


@dataclass(slots=True)
class Compare(Expr):
    left: Expr
    ops: tuple[str, ...]
    comparators: tuple[Expr, ...]


@dataclass(slots=True)
class IfExp(Expr):
    test: Expr
    body: Expr
    orelse: Expr


@dataclass(slots=True)
class Slice(Expr):
    lower: Expr | None
    upper: Expr | None
    step: Expr | None


@dataclass(slots=True)
class Subscript(Expr):
    """``value[index]``; several indices are one :class:`Tuple`."""

    value: Expr
    index: Expr


@dataclass(slots=True)
class Starred(Expr):
    value: Expr


@dataclass(slots=True)
class Tuple(Expr):
    items: tuple[Expr, ...]


@dataclass(slots=True)
class List(Expr):
    items: tuple[Expr, ...]


@dataclass(slots=True)
class Set(Expr):
    items: tuple[Expr, ...]


@dataclass(slots=True)
class Dict(Expr):
    """A dict display; a key of None stands for ``**value``."""

    keys: tuple[Expr | None, ...]
    values: tuple[Expr, ...]


@dataclass(slots=True)
class Generator(Node):
    """One ``for target in iter if ...`` of a comprehension."""

    target: Expr
    iter: Expr
    ifs: tuple[Expr, ...]


@dataclass(slots=True)
class Comprehension(Expr):
    """``kind`` is ``list``, ``set``, ``generator`` or ``dict`` (then ``key`` is not None)."""

    kind: str
    key: Expr | None
    element: Expr
    generators: tuple[Generator, ...]


@dataclass(slots=True)
class Param(Node):
    """A parameter; ``kind`` is ``posonly``, ``normal``, ``*``, ``kwonly`` or ``**``."""

    name: str
    kind: str
    default: Expr | None
    annotation: Expr | None


@dataclass(slots=True)
class Lambda(Expr):
    params: tuple[Param, ...]
    body: Expr


@dataclass(slots=True)
class JoinedStr(Expr):
    """An f-string: only the expressions in it matter."""

    values: tuple[Expr, ...]


@dataclass(slots=True)
class Await(Expr):
    value: Expr


@dataclass(slots=True)
class Yield(Expr):
    """``yield value`` or, with ``source``, ``yield from value``."""

    value: Expr | None
    source: bool


@dataclass(slots=True)
class NamedExpr(Expr):
    target: Expr
    value: Expr


@dataclass(slots=True)
class Opaque(Expr):
    """An expression of a form that inference does not know; its parts are evaluated and forgotten."""

    parts: tuple[Expr, ...]


# Statements ------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Assign(Stmt):
    targets: tuple[Expr, ...]
    value: Expr


@dataclass(slots=True)
class AugAssign(Stmt):
    target: Expr
    op: str
    value: Expr


@dataclass(slots=True)
class AnnAssign(Stmt):
    target: Expr
    annotation: Expr
    value: Expr | None


@dataclass(slots=True)
class ExprStmt(Stmt):
    value: Expr


@dataclass(slots=True)
class Return(Stmt):
    value: Expr | None


@dataclass(slots=True)
class Raise(Stmt):
    value: Expr | None


@dataclass(slots=True)
class Assert(Stmt):
    test: Expr
    message: Expr | None


@dataclass(slots=True)
class Delete(Stmt):
    targets: tuple[Expr, ...]


@dataclass(slots=True)
class Pass(Stmt):
    pass


@dataclass(slots=True)
class Break(Stmt):
    pass


@dataclass(slots=True)
class Continue(Stmt):
    pass


@dataclass(slots=True)
class Global(Stmt):
    names: tuple[str, ...]


@dataclass(slots=True)
class Nonlocal(Stmt):
    names: tuple[str, ...]


@dataclass(slots=True)
class Alias(Node):
    """``name as asname`` of an import."""

    name: str
    asname: str | None


@dataclass(slots=True)
class Import(Stmt):
    names: tuple[Alias, ...]


@dataclass(slots=True)
class ImportFrom(Stmt):
    """``from ..module import names``; ``level`` counts the dots; ``names`` of None is a star."""

    module: str
    level: int
    names: tuple[Alias, ...] | None


@dataclass(slots=True)
class If(Stmt):
    test: Expr
    body: tuple[Stmt, ...]
    orelse: tuple[Stmt, ...]


@dataclass(slots=True)
class For(Stmt):
    """``size`` counts the nodes of the loop: it bounds unrolling."""

    target: Expr
    iter: Expr
    body: tuple[Stmt, ...]
    orelse: tuple[Stmt, ...]
    size: int


@dataclass(slots=True)
class While(Stmt):
    test: Expr
    body: tuple[Stmt, ...]
    orelse: tuple[Stmt, ...]


@dataclass(slots=True)
class WithItem(Node):
    context: Expr
    target: Expr | None


@dataclass(slots=True)
class With(Stmt):
    items: tuple[WithItem, ...]
    body: tuple[Stmt, ...]


@dataclass(slots=True)
class Handler(Node):
    type: Expr | None
    name: str | None
    body: tuple[Stmt, ...]


@dataclass(slots=True)
class Try(Stmt):
    body: tuple[Stmt, ...]
    handlers: tuple[Handler, ...]
    orelse: tuple[Stmt, ...]
    final: tuple[Stmt, ...]


@dataclass(slots=True)
class FunctionDef(Stmt):
    name: str
    params: tuple[Param, ...]
    body: tuple[Stmt, ...]
    decorators: tuple[Expr, ...]
    returns: Expr | None
    is_generator: bool
    is_async: bool


class LazyFunctionDef(FunctionDef):
    """A function whose body is made when it is first asked for: most functions of a repository never run."""

    __slots__ = ("_lower", "_made")

    def __init__(
        self,
        id: int,  # noqa: A002 (the name of the field)
        name: str,
        params: tuple[Param, ...],
        decorators: tuple[Expr, ...],
        returns: Expr | None,
        is_async: bool,
        lower: Callable[[], tuple[tuple[Stmt, ...], bool]],
    ) -> None:
        self.id = id
        self.name = name
        self.params = params
        self.decorators = decorators
        self.returns = returns
        self.is_async = is_async
        self._lower: Callable[[], tuple[tuple[Stmt, ...], bool]] | None = lower
        self._made: tuple[tuple[Stmt, ...], bool] = ((), False)

    def _force(self) -> tuple[tuple[Stmt, ...], bool]:
        if self._lower is not None:
            self._made = self._lower()
            self._lower = None
        return self._made

    @property
    def body(self) -> tuple[Stmt, ...]:  # type: ignore[override]
        """The statements of the function."""
        return self._force()[0]

    @property
    def is_generator(self) -> bool:  # type: ignore[override]
        """Whether the function yields."""
        return self._force()[1]


@dataclass(slots=True)
class ClassDef(Stmt):
    name: str
    bases: tuple[Arg, ...]
    body: tuple[Stmt, ...]
    decorators: tuple[Expr, ...]


@dataclass(slots=True)
class Case(Node):
    """One case of ``match``: ``captures`` are the names it binds, ``literal`` the constant it equals, if it is one."""

    literal: Expr | None
    captures: tuple[str, ...]
    irrefutable: bool
    guard: Expr | None
    body: tuple[Stmt, ...]


@dataclass(slots=True)
class Match(Stmt):
    subject: Expr
    cases: tuple[Case, ...]


@dataclass(slots=True)
class ModuleIR:
    """A whole file. ``count`` is the number of ordinals that the walk gave out; ``rows`` tells the rows of a node.

    It is None where the numbers of the nodes do not tell where they stand.
    """

    body: tuple[Stmt, ...]
    count: int
    rows: Callable[[int], tuple[int, int]] | None = field(default=None, compare=False)


_child_fields: dict[type[Node], tuple[str, ...]] = {}
"""The names of the fields of a kind of node that can hold nodes; filled as kinds are met."""


def _fields_of(kind: type[Node]) -> tuple[str, ...]:
    names = _child_fields.get(kind)
    if names is None:
        names = _child_fields[kind] = tuple(f.name for f in fields(kind) if f.name != "id")
    return names


def children(node: Node) -> Iterator[Node]:
    """The nodes directly below ``node``."""
    for name in _fields_of(type(node)):
        value = getattr(node, name)
        if isinstance(value, Node):
            yield value
        elif isinstance(value, tuple):
            for item in value:
                if isinstance(item, Node):
                    yield item


def walk(nodes: tuple[Node, ...]) -> Iterator[Node]:
    """``nodes`` and everything below them."""
    stack = list(reversed(nodes))
    while stack:
        node = stack.pop()
        yield node
        stack.extend(reversed(list(children(node))))


_block_fields: dict[type[Node], tuple[str, ...]] = {}
"""The names of the fields of a kind of node that hold statements, or nodes that do."""
_BLOCKS = frozenset({"body", "orelse", "handlers", "final", "cases"})


def statements(body: tuple[Stmt, ...]) -> Iterator[Node]:
    """The statements of a block, and those within them, in the order of :func:`walk`; expressions are not looked into."""
    stack: list[Node] = list(reversed(body))
    while stack:
        node = stack.pop()
        yield node
        kind = type(node)
        names = _block_fields.get(kind)
        if names is None:
            names = _block_fields[kind] = tuple(name for name in _fields_of(kind) if name in _BLOCKS)
        for name in reversed(names):
            stack.extend(reversed(getattr(node, name)))
