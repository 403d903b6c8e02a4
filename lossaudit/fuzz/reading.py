"""What a function's code says of its result, read from syntax alone: for discovery, which must not import what it finds."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

DEEPEST = 6
"""How many calls, bases or re-exports are followed."""
FUNCTIONAL = ("torch.nn.functional.", "torch.")
FUNCTIONAL_LOSSES = frozenset(
    {
        "binary_cross_entropy", "binary_cross_entropy_with_logits", "cosine_embedding_loss", "cross_entropy", "ctc_loss",
        "gaussian_nll_loss", "hinge_embedding_loss", "huber_loss", "kl_div", "l1_loss", "margin_ranking_loss", "mse_loss",
        "multi_margin_loss", "multilabel_margin_loss", "multilabel_soft_margin_loss", "nll_loss", "poisson_nll_loss",
        "smooth_l1_loss", "soft_margin_loss", "triplet_margin_loss", "triplet_margin_with_distance_loss",
    }
)  # fmt: skip
REDUCERS = frozenset({"mean", "sum", "average", "nanmean", "nansum"})
PRODUCTS = frozenset({"dot", "vdot", "inner"})
"""Products of two vectors, which are numbers."""
DIMENSION_WORDS = frozenset({"dim", "axis", "keepdim"})
NUMERIC_MODULES = ("torch", "numpy")
MAPPING_METHODS = frozenset({"keys", "items", "values"})
NO_LOSS = frozenset({"Module", "Callable", "str", "bool", "int", "None"})
"""What a function that says so of its result does not compute: a loss."""
LAYERS = frozenset(
    {"Linear", "LazyLinear", "Bilinear", "Embedding", "EmbeddingBag", "LSTM", "GRU", "RNN", "LSTMCell", "GRUCell",
     "MultiheadAttention", "Transformer", "TransformerEncoder", "TransformerDecoder", "TransformerEncoderLayer",
     "LayerNorm", "GroupNorm", "BatchNorm1d", "BatchNorm2d", "BatchNorm3d", "Conv1d", "Conv2d", "Conv3d",
     "ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d"}
)  # fmt: skip
NOT_TENSORS = frozenset(
    {
        "int",
        "float",
        "str",
        "bool",
        "dict",
        "Dict",
        "Callable",
        "Module",
        "Sequence",
        "Mapping",
        "List",
        "list",
        "Config",
        "device",
        "dtype",
        "Size",
        "Generator",
    }
)
HARD = frozenset({"argmax", "argmin"})
ARGMAX = "it goes through argmax"
LOGARITHMS = frozenset(
    {"log_softmax", "logsigmoid", "log", "logsumexp", "log1p", "softplus", "log2", "log10"}
)


@dataclass(eq=False)
class Module:
    """One file: its dotted name, how its targets are written, and its text.

    ``judged``: whether losses are looked for in it; what others lead to is found in every file.
    """

    name: str
    shown: str
    text: bytes
    is_package: bool = False
    judged: bool = True

    @cached_property
    def parsed(self) -> ast.Module | None:
        """The syntax tree; None where the text is no Python. Most files of a package are never asked for theirs."""
        try:
            return ast.parse(self.text)
        except (SyntaxError, ValueError, RecursionError):
            return None

    @property
    def tree(self) -> ast.Module:
        """The syntax tree, empty where there is none."""
        return self.parsed or ast.Module([], [])

    @cached_property
    def imports(self) -> dict[str, str]:
        """Local names and the dotted names that they stand for."""
        found: dict[str, str] = {}
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    found[alias.asname or alias.name.partition(".")[0]] = (
                        alias.name if alias.asname else alias.name.partition(".")[0]
                    )
            elif isinstance(node, ast.ImportFrom):
                origin = self._origin(node)
                for alias in node.names:
                    found[alias.asname or alias.name] = f"{origin}.{alias.name}"
        return found

    @cached_property
    def definitions(self) -> dict[str, ast.ClassDef | ast.FunctionDef]:
        """Classes and functions at the top level."""
        return {
            node.name: node for node in self.tree.body if isinstance(node, (ast.ClassDef, ast.FunctionDef))
        }

    def _origin(self, node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module or ""
        parts = self.name.split(".")
        kept = parts[: len(parts) - node.level + self.is_package]
        return ".".join([*kept, *([node.module] if node.module else [])])

    def dotted(self, node: ast.expr) -> str | None:
        """The dotted name of an expression, with its first part resolved through the imports."""
        parts: list[str] = []
        while isinstance(node, ast.Attribute):
            parts.append(node.attr)
            node = node.value
        if not isinstance(node, ast.Name):
            return None
        head = self.imports.get(node.id)
        if head is None:
            head = f"{self.name}.{node.id}" if node.id in self.definitions else node.id
        return ".".join([head, *reversed(parts)])


@dataclass(frozen=True)
class Called:
    """A function with the file and the class that it stands in."""

    module: Module
    node: ast.FunctionDef
    owner: ast.ClassDef | None = None


class Library:
    """The files of one place, and what their names lead to, there and in the package that the place is a part of.

    Args:
        modules: The files in which losses are looked for.
        find: Reads another file by its dotted name; None where there is none.
    """

    def __init__(
        self, modules: Iterable[Module], find: Callable[[str], Module | None] = lambda _: None
    ) -> None:
        self.modules = tuple(modules)
        self.find = find
        self.by_name: dict[str, Module | None] = {module.name: module for module in self.modules}
        self.attributes: dict[int, dict[str, tuple[Module, ast.expr]]] = {}

    def resolve(self, dotted: str, depth: int = 0) -> tuple[Module, ast.ClassDef | ast.FunctionDef] | None:
        """The definition to which a dotted name leads, through re-exports."""
        owner, _, name = dotted.rpartition(".")
        module = self._module(owner)
        if module is None or depth > DEEPEST:
            return None
        if name in module.definitions:
            return module, module.definitions[name]
        onward = module.imports.get(name)
        return None if onward is None else self.resolve(onward, depth + 1)

    def _module(self, dotted: str) -> Module | None:
        if dotted not in self.by_name:
            self.by_name[dotted] = self.find(dotted)
        return self.by_name[dotted]

    def bases(self, module: Module, node: ast.ClassDef, depth: int = 0) -> tuple[str, ...]:
        """Dotted names of all bases, followed through the files of the library."""
        found: list[str] = []
        for base in node.bases:
            dotted = module.dotted(base.value if isinstance(base, ast.Subscript) else base)
            if dotted is None:
                continue
            known = self.resolve(dotted)
            found.append(dotted)
            if known is not None and isinstance(known[1], ast.ClassDef) and depth < DEEPEST:
                found += self.bases(known[0], known[1], depth + 1)
        return tuple(found)

    def lineage(
        self, module: Module, node: ast.ClassDef, depth: int = 0
    ) -> Iterator[tuple[Module, ast.ClassDef]]:
        """The class and its bases within the library, nearest first."""
        yield module, node
        for base in node.bases if depth < DEEPEST else ():
            dotted = module.dotted(base.value if isinstance(base, ast.Subscript) else base)
            known = None if dotted is None else self.resolve(dotted)
            if known is not None and isinstance(known[1], ast.ClassDef):
                yield from self.lineage(known[0], known[1], depth + 1)

    def method(self, module: Module, node: ast.ClassDef, name: str) -> Called | None:
        """A method by name, its own or inherited within the library."""
        for home, owner in self.lineage(module, node):
            for item in owner.body:
                if isinstance(item, ast.FunctionDef) and item.name == name:
                    return Called(home, item, node)
        return None

    def function(self, module: Module, node: ast.FunctionDef) -> Called:
        """A function of the top level."""
        return Called(module, node)

    def is_abstract(self, module: Module, node: ast.ClassDef, entry: str) -> bool:
        """Whether an abstract method is nowhere defined, or the entry leads to one that is not implemented."""
        open_names: set[str] = set()
        for _, owner in reversed(list(self.lineage(module, node))):
            for item in owner.body:
                if isinstance(item, ast.FunctionDef):
                    abstract = any("abstract" in ast.unparse(mark) for mark in item.decorator_list)
                    open_names = open_names | {item.name} if abstract else open_names - {item.name}
        return bool(open_names) or any(map(is_left_open, self._reached(module, node, entry)))

    def _reached(self, module: Module, node: ast.ClassDef, entry: str) -> Iterator[ast.FunctionDef]:
        """The methods that a call of one method leads to on the same instance, itself left out."""
        waiting, seen = [entry], {entry}
        while waiting:
            called = self.method(module, node, waiting.pop())
            for name in own_calls(called.node) if called is not None else ():
                onward = None if name in seen else self.method(module, node, name)
                seen.add(name)
                if onward is not None:
                    waiting.append(name)
                    yield onward.node

    def assigned(self, module: Module, node: ast.ClassDef) -> dict[str, tuple[Module, ast.expr]]:
        """What ``__init__`` assigns to attributes of the instance."""
        if id(node) not in self.attributes:
            self.attributes[id(node)] = self._assigned(module, node)
        return self.attributes[id(node)]

    def _assigned(self, module: Module, node: ast.ClassDef) -> dict[str, tuple[Module, ast.expr]]:
        found: dict[str, tuple[Module, ast.expr]] = {}
        for home, owner in reversed(list(self.lineage(module, node))):
            for item in owner.body:
                if isinstance(item, ast.FunctionDef) and item.name == "__init__":
                    for line in ast.walk(item):
                        if isinstance(line, ast.Assign):
                            for target in line.targets:
                                if isinstance(target, ast.Attribute):
                                    found[target.attr] = (home, line.value)
        return found

    def holds_layers(self, module: Module, node: ast.ClassDef) -> bool:
        """Whether the constructor builds layers with weights of ``torch.nn``."""
        for home, value in self.assigned(module, node).values():
            for call in ast.walk(value):
                name = home.dotted(call.func) if isinstance(call, ast.Call) else None
                if name is not None and name.startswith("torch.nn.") and name.rpartition(".")[2] in LAYERS:
                    return True
        return False


def leads_to(chain: tuple[str, ...], wanted: frozenset[str]) -> bool:
    """Whether a class derives from one of several."""
    return any(base in wanted for base in chain)


@dataclass
class Function:
    """What was read of a function.

    ``calls_loss`` names the known loss whose value it returns; ``calls_argument`` an argument that it calls;
    ``without_gradient`` why nothing can flow back; ``unfit`` why it cannot be called as a loss.
    """

    tensors: list[str] = field(default_factory=list)
    has_reduction: bool = False
    reduced: bool = False
    combines: bool = False
    logarithmic: bool = False
    raises_only: bool = False
    calls_loss: str = ""
    calls_argument: str = ""
    without_gradient: str = ""
    unfit: str = ""


class Reader:
    """Reads functions of one library; follows calls to functions and methods that the library holds."""

    def __init__(self, library: Library) -> None:
        self.library = library
        self.known: dict[int, tuple[str, bool]] = {}

    def read(self, called: Called) -> Function:
        """Read one function."""
        node = called.node
        names = _parameters(node, method=called.owner is not None)
        used = _used_as_tensors(node)
        tensors = [
            argument.arg
            for argument, optional in names
            if _may_be_tensor(argument, optional, used, called.owner)
        ]
        function = Function(
            tensors=tensors,
            has_reduction=any(argument.arg in {"reduction", "size_average"} for argument, _ in names)
            or (called.owner is not None and self._constructor_has_reduction(called)),
            raises_only=raises_only(node),
            calls_argument=_called_argument(node, {argument.arg for argument, _ in names}),
            logarithmic=_calls(node, LOGARITHMS),
            combines=_combines(node, set(tensors)),
            unfit=_unfit(node, tensors),
        )
        scope = _Scope(self, called)
        for value in _returned(node):
            loss = scope.loss(value)
            function.calls_loss = function.calls_loss or loss
            function.reduced = function.reduced or bool(loss) or scope.reduced(value)
        function.without_gradient = _without_gradient(node) if not function.calls_loss else ""
        return function

    def _constructor_has_reduction(self, called: Called) -> bool:
        assert called.owner is not None  # noqa: S101 (for the type checker)
        made = self.library.method(called.module, called.owner, "__init__")
        arguments = [] if made is None else [*made.node.args.args, *made.node.args.kwonlyargs]
        return any(argument.arg in {"reduction", "size_average"} for argument in arguments)

    def deeper(self, called: Called) -> tuple[str, bool]:
        """Loss and reduction of what a call returns; nothing while it is being read, so that recursion ends."""
        key = id(called.node)
        if key not in self.known:
            self.known[key] = ("", False)
            scope = _Scope(self, called)
            answers = [(scope.loss(value), scope.reduced(value)) for value in _returned(called.node)]
            found = next((loss for loss, _ in answers if loss), "")
            self.known[key] = (found, any(reduced for _, reduced in answers))
        return self.known[key]


class _Scope:
    """The expressions of one function: which are numbers, and which come from a known loss."""

    def __init__(self, reader: Reader, called: Called) -> None:
        self.reader, self.called, self.module = reader, called, called.module
        self.losses: dict[int, str] = {}
        self.numbers: dict[int, bool] = {}
        self.locals: dict[str, list[ast.expr]] = {}
        for line in ast.walk(called.node):
            if isinstance(line, ast.Assign):
                for target in line.targets:
                    if isinstance(target, ast.Name):
                        self.locals.setdefault(target.id, []).append(line.value)
            elif (
                isinstance(line, (ast.AugAssign, ast.AnnAssign))
                and isinstance(line.target, ast.Name)
                and line.value
            ):
                self.locals.setdefault(line.target.id, []).append(line.value)

    def loss(self, value: ast.expr) -> str:
        """The known loss whose value an expression hands on; empty where there is none."""
        if id(value) not in self.losses:
            self.losses[id(value)] = ""  # while it is looked at: a name may be assigned from itself
            if isinstance(value, ast.Call):
                self.losses[id(value)] = self._loss_of_call(value)
            else:
                self.losses[id(value)] = next(filter(None, map(self.loss, self._parts(value))), "")
        return self.losses[id(value)]

    def _loss_of_call(self, call: ast.Call) -> str:
        name = self.module.dotted(call.func) or ""
        last = name.rpartition(".")[2]
        if last in FUNCTIONAL_LOSSES and name.startswith(FUNCTIONAL):
            return f"the value of {last}"
        target = self._target(call)
        if isinstance(target, str):
            return target
        if target is not None:
            found, _ = self.reader.deeper(target)
            if found:
                return found
        if isinstance(call.func, ast.Attribute) and not self._is_module(call.func.value):
            return self.loss(call.func.value)  # cross_entropy(...).mean()
        numeric = name.startswith(NUMERIC_MODULES)
        return next(filter(None, map(self.loss, call.args)), "") if numeric else ""

    def _target(self, call: ast.Call) -> Called | str | None:
        """The function or method that a call runs, or in words the torch loss that it builds or holds."""
        func = call.func
        owner = self.called.owner
        if (
            isinstance(func, ast.Attribute)
            and isinstance(func.value, ast.Name)
            and func.value.id == "self"
            and owner
        ):
            method = self.reader.library.method(self.module, owner, func.attr)
            if method is not None:
                return method
            held = self.reader.library.assigned(self.module, owner).get(func.attr)
            built = held[1] if held is not None else None
            return self._built(held[0], built) if held is not None and isinstance(built, ast.Call) else None
        if isinstance(func, ast.Call):
            return self._built(self.module, func)
        known = self.reader.library.resolve(self.module.dotted(func) or "")
        return Called(*known) if known is not None and isinstance(known[1], ast.FunctionDef) else None  # type: ignore[arg-type]

    def _built(self, module: Module, call: ast.Call) -> Called | str | None:
        """What calling the instance that a constructor gives runs."""
        name = module.dotted(call.func) or ""
        if name.startswith("torch.nn.") and name.endswith("Loss"):
            return f"the value of {name}"
        known = self.reader.library.resolve(name)
        if known is not None and isinstance(known[1], ast.ClassDef):
            return self.reader.library.method(known[0], known[1], "forward")
        return None

    def reduced(self, value: ast.expr) -> bool:
        """Whether an expression is a number however large the input is."""
        if id(value) not in self.numbers:
            self.numbers[id(value)] = False
            self.numbers[id(value)] = self._reduced(value)
        return self.numbers[id(value)]

    def _reduced(self, value: ast.expr) -> bool:
        if isinstance(value, ast.Call):
            return self._call_reduced(value)
        if isinstance(value, ast.BinOp):
            sides = [self.reduced(side) for side in (value.left, value.right)]
            return all(sides) or (any(sides) and self._is_plain(value.right if sides[0] else value.left))
        return any(map(self.reduced, self._parts(value)))

    def _call_reduced(self, call: ast.Call) -> bool:
        func = call.func
        keywords = {keyword.arg for keyword in call.keywords}
        if isinstance(func, ast.Attribute) and not keywords & DIMENSION_WORDS:
            taken = 1 if func.attr in REDUCERS else 2 if func.attr in PRODUCTS else 0
            given = len(call.args) + (not self._is_module(func.value))
            if taken and given == taken:
                return True
        target = self._target(call)
        if isinstance(target, Called) and self.reader.deeper(target)[1]:
            return True
        if isinstance(func, ast.Attribute) and not self._is_module(func.value):
            return self.reduced(func.value)
        name = self.module.dotted(func) or ""
        return name.startswith(NUMERIC_MODULES) and bool(call.args) and self.reduced(call.args[0])

    def _is_module(self, node: ast.expr) -> bool:
        return (self.module.dotted(node) or "").startswith(NUMERIC_MODULES)

    def _is_plain(self, node: ast.expr) -> bool:
        """A constant, an attribute of the instance, or a name that nothing is assigned to: a weight, as far as one sees."""
        if isinstance(node, ast.UnaryOp):
            return self._is_plain(node.operand)
        return isinstance(node, (ast.Constant, ast.Attribute)) or (
            isinstance(node, ast.Name) and node.id not in self.locals
        )

    def _parts(self, value: ast.expr) -> list[ast.expr]:
        """The expressions that an expression hands on."""
        if isinstance(value, ast.Name):
            return self.locals.get(value.id, [])
        if isinstance(value, ast.IfExp):
            return [value.body, value.orelse]
        if isinstance(value, ast.BinOp):
            return [value.left, value.right]
        if isinstance(value, ast.UnaryOp):
            return [value.operand]
        if isinstance(value, ast.Tuple):
            return value.elts[:1]
        if isinstance(value, ast.Dict):
            return list(value.values)
        return [value.value] if isinstance(value, ast.Subscript) else []


def _parameters(node: ast.FunctionDef, *, method: bool) -> list[tuple[ast.arg, bool]]:
    """Parameters that can be given by position or name, and whether each has a default other than None."""
    positional = [*node.args.posonlyargs, *node.args.args]
    defaults: list[ast.expr | None] = [None] * (len(positional) - len(node.args.defaults)) + list(
        node.args.defaults
    )
    pairs = list(zip(positional, defaults, strict=True))[1 if method else 0 :]
    pairs += zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True)

    def plain(default: ast.expr | None) -> bool:
        return default is not None and not (isinstance(default, ast.Constant) and default.value is None)

    return [(argument, plain(default)) for argument, default in pairs]


def _may_be_tensor(argument: ast.arg, optional: bool, used: set[str], owner: ast.ClassDef | None) -> bool:
    if optional:
        return False
    if argument.annotation is None:
        return argument.arg in used or owner is not None
    words = ast.unparse(argument.annotation)
    if "Tensor" in words or "array" in words.lower():
        return not words.startswith(("List", "list", "Sequence", "Dict", "dict"))
    return words.rpartition(".")[2].partition("[")[0] not in NOT_TENSORS and argument.arg in used


def _used_as_tensors(node: ast.FunctionDef) -> set[str]:
    """Names that take part in arithmetic, have their attributes asked for, or are handed to torch or NumPy."""
    used: set[str] = set()
    for part in ast.walk(node):
        if isinstance(part, ast.BinOp):
            used |= _names((part.left, part.right))
        elif isinstance(part, (ast.Attribute, ast.Subscript)) and isinstance(part.value, ast.Name):
            used.add(part.value.id)
        elif isinstance(part, ast.Compare):
            used |= _names((part.left, *part.comparators))
        elif isinstance(part, ast.UnaryOp) and isinstance(part.op, ast.USub):
            used |= _names([part.operand])
        elif isinstance(part, (ast.comprehension, ast.For)) and isinstance(part.iter, (ast.Tuple, ast.List)):
            used |= _names(part.iter.elts)
        elif isinstance(part, ast.Call):
            used |= _names(part.args) | _names(keyword.value for keyword in part.keywords)
    return used


def _names(parts: Iterable[ast.expr]) -> set[str]:
    """The names among expressions, those that a list or tuple among them holds included: ``torch.cat([first, second])``."""
    found: set[str] = set()
    for part in parts:
        if isinstance(part, ast.Name):
            found.add(part.id)
        elif isinstance(part, (ast.List, ast.Tuple)):
            found |= _names(part.elts)
    return found


def _returned(node: ast.FunctionDef) -> list[ast.expr]:
    """What a function returns, the functions inside it left aside."""
    found: list[ast.expr] = []
    waiting: list[ast.AST] = list(node.body)
    while waiting:
        part = waiting.pop(0)
        if isinstance(part, ast.Return) and part.value is not None:
            found.append(part.value)
        if not isinstance(part, (ast.FunctionDef, ast.Lambda, ast.ClassDef)):
            waiting += ast.iter_child_nodes(part)
    return found


def own_calls(node: ast.FunctionDef) -> list[str]:
    """Names of the methods that a method calls on ``self``."""
    return [
        call.func.attr
        for call in ast.walk(node)
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and isinstance(call.func.value, ast.Name)
        and call.func.value.id == "self"
    ]


def _as_mapping(node: ast.FunctionDef, names: list[str]) -> str:
    """An argument that is used as a mapping: its keys are asked for, or it is indexed with a text."""
    for part in ast.walk(node):
        asked = isinstance(part, ast.Attribute) and part.attr in MAPPING_METHODS
        indexed = isinstance(part, ast.Subscript) and _is_text(part.slice)
        holder = getattr(part, "value", None) if asked or indexed else None
        if isinstance(holder, ast.Name) and holder.id in names:
            return holder.id
    return ""


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _result_says(node: ast.FunctionDef) -> str:
    """The annotation of a result that is no number; empty where nothing says so."""
    words = "" if node.returns is None else ast.unparse(node.returns).rpartition(".")[2].partition("[")[0]
    return words if words in NO_LOSS else ""


def raises_only(node: ast.FunctionDef) -> bool:
    """Whether a function has no body, or only raises."""
    body = [
        line
        for line in node.body
        if not (isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant))
    ]
    return all(isinstance(line, (ast.Raise, ast.Pass)) for line in body)


def _unfit(node: ast.FunctionDef, tensors: list[str]) -> str:
    """Why a function cannot be called as a loss; empty where nothing says so."""
    mapping, result = _as_mapping(node, tensors), _result_says(node)
    if mapping:
        return f"its argument {mapping} is a mapping"
    if _hands_back(node, tensors):
        return "it hands its arguments back"
    return f"it returns a {result}" if result and result != "None" else "it returns nothing" if result else ""


def _hands_back(node: ast.FunctionDef, tensors: list[str]) -> bool:
    """Whether a function returns several of its own tensors: it prepares them for a loss."""
    values = [branch for value in _returned(node) for branch in _branches(value)]
    return any(
        isinstance(value, ast.Tuple)
        and len(value.elts) > 1
        and all(isinstance(item, ast.Name) and item.id in tensors for item in value.elts)
        for value in values
    )


def _branches(value: ast.expr) -> list[ast.expr]:
    """Both sides of a conditional expression."""
    if isinstance(value, ast.IfExp):
        return [*_branches(value.body), *_branches(value.orelse)]
    return [value]


def is_left_open(node: ast.FunctionDef) -> bool:
    """Whether a method does nothing but say that it is not implemented."""
    raised = [ast.unparse(line.exc) for line in node.body if isinstance(line, ast.Raise) and line.exc]
    return raises_only(node) and any("NotImplementedError" in words for words in raised)


def _called_argument(node: ast.FunctionDef, names: set[str]) -> str:
    for part in ast.walk(node):
        if isinstance(part, ast.Call) and isinstance(part.func, ast.Name) and part.func.id in names:
            return part.func.id
    return ""


def _combines(node: ast.FunctionDef, tensors: set[str]) -> bool:
    """Whether one expression holds two of the tensors, or what was made of them."""
    origins: dict[str, set[str]] = {name: {name} for name in tensors}

    def sources(part: ast.AST) -> set[str]:
        found = (origins.get(name.id, set()) for name in ast.walk(part) if isinstance(name, ast.Name))
        return set().union(*found)

    for line in ast.walk(node):
        if isinstance(line, ast.Assign):
            for target in line.targets:
                for name in ast.walk(target):
                    if isinstance(name, ast.Name):
                        origins[name.id] = origins.get(name.id, set()) | sources(line.value)
        if isinstance(line, (ast.BinOp, ast.Call)) and len(sources(line)) > 1:
            return True
    return False


def _without_gradient(node: ast.FunctionDef) -> str:
    """Why nothing can flow back through what a function returns; empty where nothing says so."""
    if any(
        "no_grad" in ast.unparse(mark) or "inference_mode" in ast.unparse(mark)
        for mark in node.decorator_list
    ):
        return "it runs without gradients"
    for value in _returned(node):
        if _is_call_of(value, {"item", "tolist"}):
            return "it returns a Python number"
    return ARGMAX if _calls(node, HARD) and not _calls(node, LOGARITHMS) else ""


def _calls(node: ast.FunctionDef, names: frozenset[str]) -> bool:
    """Whether a function or method of one of these names is called."""
    return any(
        isinstance(call, ast.Call) and getattr(call.func, "attr", getattr(call.func, "id", "")) in names
        for call in ast.walk(node)
    )


def _is_call_of(value: ast.expr, names: set[str]) -> bool:
    return isinstance(value, ast.Call) and isinstance(value.func, ast.Attribute) and value.func.attr in names
