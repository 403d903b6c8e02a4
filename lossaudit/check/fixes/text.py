"""One source file as rewrites see it: its nodes by place, its names, its comments, and edits of it."""

from __future__ import annotations

import ast
import io
import re
import sys
import tokenize
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import TypeVar

from lossaudit.check import lower_ast
from lossaudit.findings import Edit, Position, Span
from lossaudit.sourcetext import decode, split_lines

N = TypeVar("N", bound=ast.AST)
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)

_ATOMS = (
    ast.Name, ast.Attribute, ast.Subscript, ast.Call, ast.Constant, ast.List, ast.Dict, ast.Set, ast.ListComp,
    ast.DictComp, ast.SetComp, ast.JoinedStr, ast.Tuple,
)  # fmt: skip
_UNMOVABLE = (ast.Starred, ast.GeneratorExp, ast.NamedExpr, ast.Yield, ast.YieldFrom, ast.Await)
_REST_OF_LINE = re.compile(r"[ \t\f]*(#[^\r\n]*)?(\r\n|\n|\r|\Z)")
_END_OF_ITEM = re.compile(r"[ \t]*,?[ \t]*(\r\n|\n|\r)")
_BETWEEN_ITEMS = re.compile(r"\s*,\s*")
_AFTER_LAST = re.compile(r"\s*,?\s*\)")
_NEW_IMPORTS = (
    ("torch.nn.functional", "import torch.nn.functional as F", "F"),
    ("torch", "import torch", "torch"),
)
"""What may be imported for a function below a module: the module, the statement, and the name that it binds."""


class Unclear(Exception):  # noqa: N818 (no error: there is just no fix)
    """No edit is right beyond doubt."""


class Text:
    """A parsed file. Offsets count characters of the decoded text.

    Raises:
        Unclear: The running Python cannot parse the file.
    """

    def __init__(self, filename: str, source: bytes) -> None:
        self.filename = filename
        self.text, _ = decode(source)
        try:
            self.tree = lower_ast.parse(self.text)
        except lower_ast.Unsupported as error:
            raise Unclear from error
        self._lines = split_lines(self.text)
        self._starts = [0]
        for line in self._lines:
            self._starts.append(self._starts[-1] + len(line))
        self._places: dict[tuple[int, int, int, int], list[ast.AST]] = {}
        self._parents: dict[ast.AST, ast.AST] = {}
        for node in ast.walk(self.tree):
            for child in ast.iter_child_nodes(node):
                self._parents[child] = node
            if isinstance(node, (ast.expr, ast.stmt)):
                place = (node.lineno, node.col_offset, node.end_lineno or 0, node.end_col_offset or 0)
                self._places.setdefault(place, []).append(node)

    # Nodes

    def node(self, number: int, kind: type[N]) -> N:
        """The node of a kind with the number of a :class:`~lossaudit.check.values.Site`."""
        for node in self._places.get(lower_ast.unpack(number), ()):
            if isinstance(node, kind) and not self._is_misplaced(node):
                return node
        raise Unclear

    def _is_misplaced(self, node: ast.AST) -> bool:
        """Before Python 3.12, the places of what stands in an f-string are not to be relied on."""
        return sys.version_info < (3, 12) and any(
            isinstance(one, ast.JoinedStr) for one in self.ancestors(node)
        )

    def parent(self, node: ast.AST) -> ast.AST:
        """The node directly above."""
        return self._parents.get(node, self.tree)

    def ancestors(self, node: ast.AST) -> Iterator[ast.AST]:
        """The nodes above ``node``, nearest first."""
        while node in self._parents:
            node = self._parents[node]
            yield node

    def statement(self, node: ast.AST) -> ast.stmt:
        """The statement that ``node`` is, or is a part of."""
        for one in (node, *self.ancestors(node)):
            if isinstance(one, ast.stmt):
                return one
        raise Unclear

    def scope(self, node: ast.AST) -> ast.AST:
        """The function in which ``node`` is evaluated, or the module."""
        for one in self.ancestors(node):
            if isinstance(one, FUNCTIONS):
                return one
        return self.tree

    def contains(self, outer: ast.AST, inner: ast.AST) -> bool:
        """Whether ``inner`` is ``outer`` or a part of it."""
        return outer is inner or outer in self.ancestors(inner)

    # Places

    def start(self, node: ast.expr | ast.stmt | ast.keyword) -> int:
        """The offset at which a node begins."""
        return self._offset(node.lineno, node.col_offset)

    def end(self, node: ast.expr | ast.stmt | ast.keyword) -> int:
        """The offset at which a node ends."""
        return self._offset(node.end_lineno or 0, node.end_col_offset or 0)

    def source(self, node: ast.expr | ast.stmt) -> str:
        """The text of a node."""
        return self.text[self.start(node) : self.end(node)]

    def _offset(self, row: int, column: int) -> int:
        """The offset of a place that CPython counts in bytes of UTF-8."""
        line = self._lines[row - 1] if row <= len(self._lines) else ""
        return self._starts[row - 1] + len(line.encode()[:column].decode(errors="replace"))

    def _position(self, offset: int) -> Position:
        row = min(bisect_right(self._starts, offset), len(self._lines)) or 1
        return Position(row, offset - self._starts[row - 1] + 1)

    # Edits

    def replace(self, start: int, end: int, content: str) -> Edit:
        """Put ``content`` in the place of the text between two offsets; comments in it must come back in ``content``."""
        for comment in self._comments:
            if start <= comment < end and "#" not in content:
                raise Unclear
        return Edit(Span(self.filename, self._position(start), self._position(end)), content)

    def replace_node(self, node: ast.expr, content: str) -> Edit:
        """Put ``content``, an atom, in the place of an expression."""
        return self.replace(self.start(node), self.end(node), content)

    def insert(self, offset: int, content: str) -> Edit:
        """Insert ``content``."""
        return self.replace(offset, offset, content)

    def unwrap(self, outer: ast.expr, inner: ast.expr) -> tuple[Edit, ...]:
        """Leave of ``outer`` only ``inner``, a part of it, in parentheses where they are needed."""
        opening, closing = ("(", ")") if self.needs_parentheses(inner, outer) else ("", "")
        before = self.text[max(self.start(outer) - 1, 0)]
        if not opening and (before.isalnum() or before == "_"):
            opening = " "
        return (
            self.replace(self.start(outer), self.start(inner), opening),
            self.replace(self.end(inner), self.end(outer), closing),
        )

    def needs_parentheses(self, inner: ast.expr, place: ast.expr) -> bool:
        """Whether ``inner`` needs parentheses in the place of another expression."""
        if isinstance(inner, _UNMOVABLE):
            raise Unclear
        parent = self.parent(place)
        is_argument = (isinstance(parent, ast.Call) and parent.func is not place) or isinstance(
            parent, ast.keyword
        )
        if isinstance(inner, _ATOMS):
            is_literal = isinstance(inner, ast.Constant) or self.text[self.start(inner)] != "("
            is_bare = isinstance(inner, ast.Tuple) and is_literal
            return is_bare or (
                inner.lineno != inner.end_lineno and not is_argument and not _is_bracketed(inner)
            )
        is_alone = (
            isinstance(parent, (ast.Assign, ast.Return, ast.AnnAssign)) and inner.lineno == inner.end_lineno
        )
        return not (is_argument or is_alone)

    def remove_last_item(self, before: ast.expr, last: ast.expr) -> Edit:
        """Take the last of several items out: its line, if it has one of its own, else it and the comma before it."""
        line = self._starts[last.lineno - 1]
        rest = _END_OF_ITEM.match(self.text, self.end(last))
        if rest is not None and not self.text[line : self.start(last)].strip():
            return self.replace(line, rest.end(), "")
        if _BETWEEN_ITEMS.fullmatch(self.text, self.end(before), self.start(last)) is None:
            raise Unclear
        return self.replace(self.end(before), self.end(last), "")

    def add_argument(self, call: ast.Call, argument: str) -> Edit:
        """Add ``argument`` after the last one of a call."""
        items = self.items(call)
        if not items:
            closing = self.end(call) - 1
            return self.insert(closing, argument)
        end = self.end(items[-1])
        rest = _AFTER_LAST.fullmatch(self.text, end, self.end(call))
        if rest is None:
            raise Unclear
        return self.insert(end, f", {argument}")

    def remove_argument(self, call: ast.Call, argument: ast.expr | ast.keyword) -> Edit:
        """Take one argument out of a call, with the comma that parts it from another."""
        items = self.items(call)
        place = items.index(argument)
        if place:
            start, end = self.end(items[place - 1]), self.end(argument)
            between = (start, self.start(argument))
        elif len(items) > 1:
            start, end = self.start(argument), self.start(items[1])
            between = (self.end(argument), end)
        else:
            return self.replace(self.start(argument), self.end(argument), "")
        if _BETWEEN_ITEMS.fullmatch(self.text, *between) is None:
            raise Unclear
        return self.replace(start, end, "")

    def items(self, call: ast.Call) -> list[ast.expr | ast.keyword]:
        """The arguments of a call in the order of the text."""
        return sorted([*call.args, *call.keywords], key=lambda one: (one.lineno, one.col_offset))

    def keyword(self, call: ast.Call, name: str) -> ast.keyword | None:
        """The keyword argument ``name`` of a call."""
        return next((one for one in call.keywords if one.arg == name), None)

    def append_method(self, node: ast.expr, method: str) -> tuple[Edit, ...]:
        """Call a method on the value of an expression: ``x`` becomes ``x.method``."""
        if self.operand(node) == self.source(node):
            return (self.insert(self.end(node), method),)
        return (self.insert(self.start(node), "("), self.insert(self.end(node), f"){method}"))

    def dot(self, attribute: ast.Attribute) -> int:
        """The offset of the dot before an attribute's name."""
        return self.text.rindex(".", self.end(attribute.value), self.end(attribute))

    def delete_lines(self, statement: ast.stmt) -> Edit:
        """Take out the lines of a statement that has them for itself, and is not alone in its block."""
        blocks = (block for _, block in ast.iter_fields(self.parent(statement)) if isinstance(block, list))
        if any(statement in block and len(block) < 2 for block in blocks):
            raise Unclear
        start = self._starts[statement.lineno - 1]
        rest = _REST_OF_LINE.match(self.text, self.end(statement))
        if rest is None or self.text[start : self.start(statement)].strip():
            raise Unclear
        if rest[1]:
            return self.replace(self.start(statement), rest.start(1), "")
        return self.replace(start, rest.end(), "")

    def operand(self, node: ast.expr) -> str:
        """The text of an expression as an operand or before a dot: in parentheses unless it is an atom."""
        if isinstance(node, _UNMOVABLE):
            raise Unclear
        is_atom = isinstance(node, _ATOMS) and not isinstance(node, ast.Tuple)
        if isinstance(node, ast.Constant) and not isinstance(node.value, str):
            is_atom = False
        return self.source(node) if is_atom else f"({self.source(node)})"

    @cached_property
    def _comments(self) -> list[int]:
        """The offsets of all comments."""
        tokens = tokenize.generate_tokens(io.StringIO(self.text, newline="").readline)
        try:
            return [
                self._starts[token.start[0] - 1] + token.start[1]
                for token in tokens
                if token.type == tokenize.COMMENT
            ]
        except (tokenize.TokenError, SyntaxError, IndexError) as error:
            raise Unclear from error

    # Names

    @cached_property
    def bindings(self) -> Counter[str]:
        """How often each name is bound anywhere in the file."""
        return Counter(name for name, _ in bound_names(self.tree))

    @cached_property
    def _imports(self) -> dict[str, tuple[str, ast.stmt]]:
        """The names that one import, and nothing else in the file, binds: the dotted name of each, and the statement."""
        found: dict[str, tuple[str, ast.stmt]] = {}
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    top = alias.name.partition(".")[0]
                    found[alias.asname or top] = (alias.name if alias.asname else top, node)
            elif isinstance(node, ast.ImportFrom) and not node.level:
                for alias in node.names:
                    found[alias.asname or alias.name] = (f"{node.module}.{alias.name}", node)
        return {name: entry for name, entry in found.items() if self._is_bound_alike(name, entry[0])}

    def _is_bound_alike(self, name: str, dotted: str) -> bool:
        """Whether every binding of ``name`` in the file is an import of the same thing."""
        same = 0
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    top = alias.name.partition(".")[0]
                    same += (alias.asname or top) == name and (alias.name if alias.asname else top) == dotted
            elif isinstance(node, ast.ImportFrom) and not node.level:
                same += sum(
                    (alias.asname or alias.name) == name and f"{node.module}.{alias.name}" == dotted
                    for alias in node.names
                )
        return same == self.bindings[name]

    def dotted(self, node: ast.expr) -> str:
        """The dotted name that an expression means by the imports of the file; empty where they do not tell."""
        if isinstance(node, ast.Attribute):
            base = self.dotted(node.value)
            return f"{base}.{node.attr}" if base else ""
        if isinstance(node, ast.Name) and node.id in self._imports:
            return self._imports[node.id][0]
        return ""

    def is_imported(self, node: ast.expr) -> bool:
        """Whether the first name of a dotted expression is bound by an import, possibly one of several bindings."""
        while isinstance(node, ast.Attribute):
            node = node.value
        return isinstance(node, ast.Name) and any(
            isinstance(statement, (ast.Import, ast.ImportFrom)) and name == node.id
            for name, statement in bound_names(self.tree)
        )

    def imports(self, package: str) -> bool:
        """Whether the file imports anything of a package."""
        return any(
            _imports(node, package)
            for node in ast.walk(self.tree)
            if isinstance(node, (ast.Import, ast.ImportFrom))
        )

    def name_of(self, dotted: str, place: ast.AST) -> tuple[str, tuple[Edit, ...]]:
        """How to write a function of the framework at ``place``, and the import that this needs."""
        spellings = [
            name + dotted[len(known) :]
            for name, (known, statement) in self._imports.items()
            if (dotted == known or dotted.startswith(f"{known}.")) and self._is_in_sight(statement, place)
        ]
        if spellings:
            return min(spellings, key=lambda name: (name.count("."), len(name))), ()
        for module, statement, name in _NEW_IMPORTS:
            if dotted.startswith(f"{module}.") and not self.bindings[name]:
                return name + dotted[len(module) :], (self._new_import(statement, place),)
        raise Unclear

    def _is_in_sight(self, statement: ast.stmt, place: ast.AST) -> bool:
        """Whether an import at the top level of the file has been made when ``place`` runs."""
        if statement not in self.tree.body:
            return False
        return self.scope(place) is not self.tree or statement.lineno < self.statement(place).lineno

    def _new_import(self, line: str, place: ast.AST) -> Edit:
        """An import after the first one of the framework, else after the imports at the top of the file."""
        body = self.tree.body
        imports = [one for one in body if isinstance(one, (ast.Import, ast.ImportFrom))]
        torch = [one for one in imports if _imports(one, "torch")]
        if not torch and self.imports("torch"):
            raise Unclear  # the file imports the framework late, on purpose
        head = list(_head(body))
        after = torch[0] if torch else head[-1] if head else None
        if after is None:
            first = body[0]
            decorators = getattr(first, "decorator_list", [])
            row = min([first.lineno, *(one.lineno for one in decorators)])
            return self.insert(self._starts[row - 1], line + self.newline)
        if self.scope(place) is self.tree and after.lineno >= self.statement(place).lineno:
            raise Unclear
        rest = _REST_OF_LINE.match(self.text, self.end(after))
        if rest is None:
            raise Unclear
        if not rest[2]:
            return self.insert(rest.end(), self.newline + line)
        return self.insert(rest.end(), line + self.newline)

    @cached_property
    def newline(self) -> str:
        """How the lines of the file end."""
        first = self._lines[0] if self._lines else ""
        return "\r\n" if first.endswith("\r\n") else "\r" if first.endswith("\r") else "\n"


def _is_bracketed(node: ast.expr) -> bool:
    """Whether line breaks in the node stand in brackets of its own."""
    if isinstance(node, (ast.List, ast.Dict, ast.Set, ast.ListComp, ast.DictComp, ast.SetComp)):
        return True
    if isinstance(node, ast.Call):
        return node.func.lineno == node.func.end_lineno or _is_bracketed(node.func)
    return isinstance(node, ast.Subscript) and node.value.lineno == node.value.end_lineno


def _imports(node: ast.Import | ast.ImportFrom, package: str) -> bool:
    names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
    return any(name.partition(".")[0] == package for name in names) and not getattr(node, "level", 0)


def _head(body: Sequence[ast.stmt]) -> Iterator[ast.stmt]:
    """The docstring and the imports with which a file begins."""
    for place, node in enumerate(body):
        is_docstring = place == 0 and isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if not is_docstring and not isinstance(node, (ast.Import, ast.ImportFrom)):
            return
        yield node


def bound_names(tree: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    """Every binding of a name in ``tree``, with the node that makes it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            yield node.id, node
        elif isinstance(node, ast.arg):
            yield node.arg, node
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield node.name, node
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            for alias in node.names:
                yield alias.asname or alias.name.partition(".")[0], node
        elif isinstance(node, (ast.ExceptHandler, ast.MatchAs, ast.MatchStar)) and node.name:
            yield node.name, node
        elif isinstance(node, ast.MatchMapping) and node.rest:
            yield node.rest, node
