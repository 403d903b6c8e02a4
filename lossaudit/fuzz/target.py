"""From ``module:Attr`` or ``path/file.py:Attr`` to something that can be called with two tensors."""

from __future__ import annotations

import ast
import difflib
import functools
import importlib
import importlib.util
import inspect
import sys
import types
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lossaudit.fuzz import TargetError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

CRITERION_NAMES = frozenset(
    {"loss_fcn", "loss_fn", "loss_func", "criterion", "base_loss", "base_criterion", "loss", "wrapped"}
)
CLASS_COUNT_NAMES = frozenset(
    {"num_classes", "n_classes", "nclasses", "classes", "num_class", "n_class", "class_num", "nb_classes"}
)
CLASS_SIZE_NAMES = (
    "samples_per_class",
    "samples_per_cls",
    "class_counts",
    "cls_num_list",
    "counts",
    "num_per_class",
)
"""How many samples each class has."""
EMBEDDING_NAMES = frozenset(
    {"embedding_size", "embedding_dim", "feat_dim", "feature_dim", "in_features", "emb_size"}
)
ASSUMED_CLASS_COUNT = 3
ASSUMED_EMBEDDING_SIZE = 4
TENSORS = 2
"""The first arguments of a function, which are the loss's own inputs whatever they are called."""
# What a required argument of such a name is given: the values of the papers, or those that change nothing.
USUAL_VALUES: dict[str, Any] = {
    "gamma": 2.0,
    "focusing": 2.0,
    "alpha": 0.25,
    "beta": 1.0,
    "delta": 1.0,
    "margin": 1.0,
    "temperature": 0.5,
    "tau": 0.5,
    "smoothing": 0.1,
    "label_smoothing": 0.1,
    "epsilon": 0.1,
    "eps": 1e-6,
    "quantile": 0.5,
    "max_val": 1.0,
    "data_range": 1.0,
    "reduction": "mean",
    "ignore_index": -100,
    "weight": None,
    "weights": None,
    "class_weight": None,
    "class_weights": None,
    "pos_weight": None,
    "size_average": None,
    "reduce": None,
}
TENSOR = "torch.tensor"
USUAL_WEIGHTS = f"{TENSOR}({[float(number) for number in range(1, ASSUMED_CLASS_COUNT + 1)]})"
WEIGHT_NAMES = frozenset({"weight", "weights", "class_weight", "class_weights"})
"""Required, they may be meant to be there: who does not take None is given one weight for each class."""
USUAL_SIZES = [100, 30, 10]
"""As lists of them are usually given; who does not take a list is given a tensor."""
CRITERIA = ("BCEWithLogitsLoss", "CrossEntropyLoss", "BCELoss", "NLLLoss")


@dataclass(frozen=True, slots=True)
class Location:
    """Where a target lies: ``module`` is a dotted name or the path of a file."""

    module: str
    attribute: str

    @property
    def is_file(self) -> bool:
        """Whether the module is given by its file."""
        return self.module.endswith(".py") or "/" in self.module


@dataclass(frozen=True, slots=True)
class Build:
    """One way to get a callable of the target.

    Args:
        loss: What is called with a prediction and a target.
        init: Constructor arguments that the user gave.
        assumed: Constructor arguments that were assumed, by name, as source for the repro.
        touched: Attributes of handed-over criteria that the construction changed.
        rebuild: Builds it anew with other constructor arguments; None where there is no constructor.
        parameters: Names of the constructor's parameters.
        how: How the callable came about, for the repro: ``class``, ``factory``, ``function`` or ``instance``.
    """

    loss: Callable[..., Any]
    init: Mapping[str, Any] = field(default_factory=dict)
    assumed: Mapping[str, str] = field(default_factory=dict)
    touched: tuple[str, ...] = ()
    rebuild: Callable[[Mapping[str, Any]], Callable[..., Any]] | None = None
    parameters: tuple[str, ...] = ()
    how: str = "function"


def parse_target(text: str) -> Location:
    """Split a target.

    Raises:
        TargetError: There is no attribute in it.
    """
    module, colon, attribute = text.rpartition(":")
    if not colon or not module or not attribute:
        raise TargetError(
            f"{text!r} names no loss: a target is module:Attr or path/file.py:Attr",
            f"for instance {(text.rstrip(':') or 'my_package.losses')}:MyLoss",
        )
    return Location(module, attribute)


def load(location: Location) -> Any:
    """Import the module and fetch the attribute.

    Raises:
        TargetError: The module, the file or the attribute is missing, or the import fails.
    """
    module = _import_file(location) if location.is_file else _import_module(location.module)
    found: Any = module
    for part in location.attribute.split("."):
        if not hasattr(found, part):
            raise _missing_attribute(found, part, location)
        found = getattr(found, part)
    return _readable(found)


def _readable(found: Any) -> Any:
    """A function that ``torch.jit`` has compiled, with the signature, defaults and constants of what it was compiled from."""
    import torch

    if not isinstance(found, torch.jit.ScriptFunction):
        return found

    @functools.wraps(getattr(found, "_torchdynamo_inline", found))
    def called(*arguments: Any, **options: Any) -> Any:
        return found(*arguments, **options)

    return called


def _import_file(location: Location) -> types.ModuleType:
    path = Path(location.module)
    if not path.is_file():
        raise _missing_file(path)
    if (path.resolve().parent / "__init__.py").exists():
        return _import_from_package(path)
    # The folder of the file is where its own imports look, as if it had been run.
    folder = str(path.resolve().parent)
    if folder not in sys.path:
        sys.path.insert(1, folder)
    name = (
        path.stem if path.stem.isidentifier() and path.stem not in sys.modules else f"_lossaudit_{path.stem}"
    )
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise TargetError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    with _import_errors(str(path)):
        spec.loader.exec_module(module)
    return module


def _import_from_package(path: Path) -> types.ModuleType:
    """A file of a package by its dotted name, so that its relative imports work."""
    root, dotted = package_of(path)
    if str(root) not in sys.path:
        sys.path.insert(1, str(root))
    module = _import_module(dotted)
    if Path(module.__file__ or "").resolve() != path.resolve():
        raise TargetError(f"{path} cannot be imported: another {dotted} comes first, {module.__file__}")
    return module


def package_of(path: Path) -> tuple[Path, str]:
    """The folder that must be on ``sys.path`` for a file of a package, and the file's dotted name."""
    parts = [] if path.name == "__init__.py" else [path.stem]
    folder = path.resolve().parent
    while (folder / "__init__.py").exists():
        parts.append(folder.name)
        folder = folder.parent
    return folder, ".".join(reversed(parts)) or path.stem


def _import_module(name: str) -> types.ModuleType:
    with _import_errors(name):
        return importlib.import_module(name)
    raise AssertionError("unreachable")  # pragma: no cover (for the type checker)


@contextmanager
def _import_errors(name: str) -> Iterator[None]:
    """Turn whatever an import raises into one line."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise _missing_module(name, error.name or name) from None
    except SyntaxError as error:
        raise TargetError(
            f"{name} cannot be imported: {error.msg} ({error.filename}, line {error.lineno})"
        ) from None
    except Exception as error:  # noqa: BLE001 (user code may raise anything)
        raise TargetError(f"{name} cannot be imported: {type(error).__name__}: {first_line(error)}") from None


def first_line(error: BaseException) -> str:
    """The first line of an error's text, cut to a readable length."""
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else "no message"


def _missing_file(path: Path) -> TargetError:
    folder = path.parent if path.parent.is_dir() else Path()
    close = difflib.get_close_matches(path.name, [entry.name for entry in folder.glob("*.py")], n=3)
    hint = f"did you mean {_names([str(folder / name) for name in close])}?" if close else None
    return TargetError(f"there is no file {path}", hint)


def _missing_module(wanted: str, missing: str) -> TargetError:
    if missing == "torch":
        return TargetError(f"{wanted} needs torch, which is not installed", "pip install 'lossaudit[fuzz]'")
    if missing != wanted and not wanted.startswith(f"{missing}."):
        parent = missing.rpartition(".")[0]
        if not (parent and wanted.startswith(parent)):
            return TargetError(
                f"{wanted} cannot be imported: it needs the module {missing}, which is not installed"
            )
    parent, _, last = missing.rpartition(".")
    places = getattr(sys.modules.get(parent), "__path__", ()) if parent else ["."]
    names = sorted({name for place in places for name in _modules_in(Path(place))})
    close = difflib.get_close_matches(last, names, n=3)
    found = f"; {parent} was found" if parent else ""
    hint = None
    if close:
        hint = f"did you mean {_names([f'{parent}.{name}' if parent else name for name in close])}?"
    elif Path(f"{wanted.replace('.', '/')}.py").exists():
        hint = f"there is a file {wanted.replace('.', '/')}.py: name it by its path"
    return TargetError(
        f"there is no module named {missing}{found} (looked in the current folder and sys.path)", hint
    )


def _modules_in(folder: Path) -> Iterator[str]:
    for entry in folder.iterdir() if folder.is_dir() else ():
        if entry.suffix == ".py" or (entry / "__init__.py").exists():
            yield entry.stem


def _missing_attribute(holder: Any, name: str, location: Location) -> TargetError:
    names = [known for known in dir(holder) if not known.startswith("_")]
    folded = {known.lower(): known for known in names}
    close = difflib.get_close_matches(name.lower(), folded, n=3, cutoff=0.5)
    hint = f"did you mean {_names([folded[key] for key in close])}?" if close else None
    return TargetError(f"{location.module} has no attribute {name}", hint)


def _names(names: list[str]) -> str:
    return " or ".join(names)


def builds(found: Any, init: Mapping[str, Any]) -> list[Build]:
    """Every way to make a loss of what was found, the plainest first.

    There are several when a required argument must be assumed (a criterion to wrap).

    Raises:
        TargetError: It is no callable, or needs constructor arguments that nobody can guess.
    """
    if inspect.isclass(found):
        return _construct(found, init, "class")
    if not callable(found):
        raise TargetError(f"the target is a {type(found).__name__}, not something that can be called")
    if init:
        return _from_function(found, init)
    if _is_factory(found):
        return _construct(found, init, "factory")
    return [Build(found, how="instance")] if _is_instance(found) else _bound(found, init)


def _is_instance(found: Any) -> bool:
    return not isinstance(found, (types.FunctionType, types.BuiltinFunctionType, functools.partial))


def _from_function(found: Any, init: Mapping[str, Any]) -> list[Build]:
    """A function with ``--init``: a factory when it can be called without tensors, else the arguments are bound."""
    if _is_factory(found, init):
        return _construct(found, init, "factory")
    if _is_instance(found):
        raise TargetError("--init was given, but the target is an instance already", "name its class instead")
    return _bound(found, init)


def _bound(found: Any, init: Mapping[str, Any]) -> list[Build]:
    """A function of tensors with the numbers that it also requires: those that were given, and those known by name."""
    beside = [name for name in (_required(found) or [])[TENSORS:] if name not in init]
    made = []
    for assumed in _in_other_forms(_known(beside)):
        values = {**{name: _evaluate(source) for name, source in assumed.items()}, **_tensors(init)}
        made.append(Build(functools.partial(found, **values) if values else found, dict(init), assumed))
    return made


def _in_other_forms(assumed: dict[str, str]) -> list[dict[str, str]]:
    """What is assumed, first without class weights and with a list of the sizes of classes, then with tensors, where they are required."""
    tensors = dict.fromkeys(WEIGHT_NAMES & assumed.keys(), USUAL_WEIGHTS)
    tensors |= {name: _as_tensor(assumed[name]) for name in assumed if name in CLASS_SIZE_NAMES}
    return [assumed, {**assumed, **tensors}] if tensors else [assumed]


def _as_tensor(source: str) -> str:
    return f"{TENSOR}({[float(number) for number in ast.literal_eval(source)]})"


def _is_factory(found: Any, init: Mapping[str, Any] | None = None) -> bool:
    """Whether a function is complete without arguments: a loss needs at least two."""
    if _is_instance(found):
        return False
    required = _required(found)
    return required is not None and not [name for name in required if name not in (init or {})]


def _required(found: Any) -> list[str] | None:
    """Names of the parameters that must be given; None when the signature is hidden."""
    try:
        signature = inspect.signature(found)
    except (TypeError, ValueError):
        return None
    kinds = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    parameters = [parameter for parameter in signature.parameters.values() if parameter.kind not in kinds]
    if not parameters and len(signature.parameters) > 0:
        return None
    return [parameter.name for parameter in parameters if parameter.default is inspect.Parameter.empty]


def _construct(found: Any, init: Mapping[str, Any], how: str) -> list[Build]:
    missing = [name for name in _required(found) or [] if name not in init]
    alternatives = _assumptions(missing, getattr(found, "__name__", str(found)))
    known = _parameter_names(found)
    unknown = [name for name in init if known and name not in known]
    if unknown and not _takes_any_keyword(found):
        close = difflib.get_close_matches(unknown[0], known, n=3)
        hint = f"did you mean {_names(close)}?" if close else f"it takes {', '.join(known)}"
        raise TargetError(f"{getattr(found, '__name__', found)} takes no argument {unknown[0]}", hint)
    made, failed = _build_each(found, init, alternatives, how, known)
    if made or failed is None:
        return made
    hidden = _known([name for name in _handed_on(found) if name not in init])
    if hidden:
        made, failed = _build_each(found, init, [one | hidden for one in alternatives], how, known)
    if failed is not None and not made:
        raise failed
    return made


def _build_each(
    found: Any, init: Mapping[str, Any], alternatives: list[dict[str, str]], how: str, known: list[str]
) -> tuple[list[Build], TargetError | None]:
    """A loss for each of the alternatives with which it can be built, and what was wrong with the first that cannot."""
    tried = [_built(found, init, assumed, how, known) for assumed in alternatives]
    failures = (one for one in tried if isinstance(one, TargetError))
    return [one for one in tried if isinstance(one, Build)], next(failures, None)


def _built(
    found: Any, init: Mapping[str, Any], assumed: Mapping[str, str], how: str, known: list[str]
) -> Build | TargetError:
    """The loss, or why there is none."""
    try:
        return _build(found, init, assumed, how, known)
    except TargetError as error:
        return error


def _handed_on(found: Any) -> list[str]:
    """Names of the arguments that the bases of a class require, and its own constructor takes as ``**kwargs``."""
    names: list[str] = []
    for owner in found.__mro__ if inspect.isclass(found) else ():
        own = vars(owner).get("__init__")
        if own is None:
            continue
        required = _required(own)
        names += (required or [])[1:]
        if required is None or not _takes_any_keyword(own):
            break
    return list(dict.fromkeys(names))


def _build(
    found: Any, init: Mapping[str, Any], assumed: Mapping[str, str], how: str, known: list[str]
) -> Build:
    import torch

    def make(overrides: Mapping[str, Any]) -> Any:
        arguments = {
            **{name: _evaluate(source) for name, source in assumed.items()},
            **_tensors(init),
            **overrides,
        }
        # The same numbers whenever it is built: losses that learn draw their first rows at random.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return found(**arguments)

    with watched_construction() as touched:
        try:
            loss = make({})
        except Exception as error:  # noqa: BLE001 (user code may raise anything)
            raise TargetError(
                f"{getattr(found, '__name__', found)} cannot be built: {type(error).__name__}: {first_line(error)}",
                "give its arguments with --init name=value",
            ) from None
    if not callable(loss):
        raise TargetError(
            f"{getattr(found, '__name__', found)}() gives a {type(loss).__name__}, not something that can be called"
        )
    return Build(loss, dict(init), dict(assumed), tuple(touched), make, tuple(known), how)


def _evaluate(source: str) -> Any:
    """The assumed value: one of the sources written below, never user text."""
    if source.startswith(TENSOR):
        import torch

        return torch.tensor(ast.literal_eval(source.removeprefix(f"{TENSOR}(").removesuffix(")")))
    if source.startswith("torch.nn."):
        from torch import nn

        return getattr(nn, source.removeprefix("torch.nn.").removesuffix("()"))()
    return ast.literal_eval(source)


def _assumptions(missing: list[str], name: str) -> list[dict[str, str]]:
    fixed = _known(missing)
    unknown = [
        parameter for parameter in missing if parameter not in fixed and not _names_criterion(parameter)
    ]
    if unknown:
        wanted = ", ".join(unknown)
        noun = "argument" if len(unknown) == 1 else "arguments"
        raise TargetError(
            f"{name} needs the constructor {noun} {wanted}",
            "give " + " ".join(f"--init {parameter}=VALUE" for parameter in unknown),
        )
    wrapped = [parameter for parameter in missing if parameter not in fixed]
    if not wrapped:
        return _in_other_forms(fixed)
    return [{**fixed, **dict.fromkeys(wrapped, f"torch.nn.{criterion}()")} for criterion in CRITERIA]


def _known(missing: list[str]) -> dict[str, str]:
    """The values, as source, of required arguments that are known by their names."""
    fixed = {parameter: repr(USUAL_VALUES[parameter]) for parameter in missing if parameter in USUAL_VALUES}
    fixed |= {parameter: repr(USUAL_SIZES) for parameter in missing if parameter in CLASS_SIZE_NAMES}
    fixed |= {parameter: str(ASSUMED_EMBEDDING_SIZE) for parameter in missing if parameter in EMBEDDING_NAMES}
    return fixed | {
        parameter: str(ASSUMED_CLASS_COUNT) for parameter in missing if parameter in CLASS_COUNT_NAMES
    }


def _names_criterion(parameter: str) -> bool:
    return parameter in CRITERION_NAMES or parameter.endswith(("_loss", "_loss_fn", "_criterion"))


def _parameter_names(found: Any) -> list[str]:
    try:
        parameters = inspect.signature(found).parameters.values()
    except (TypeError, ValueError):
        return []
    kinds = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [parameter.name for parameter in parameters if parameter.kind not in kinds]


def _takes_any_keyword(found: Any) -> bool:
    parameters = inspect.signature(found).parameters.values()
    return any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters)


def _tensors(init: Mapping[str, Any]) -> dict[str, Any]:
    """JSON lists of numbers become tensors: that is what a loss means by a list of weights."""
    import torch

    def is_numbers(value: Any) -> bool:
        return (
            isinstance(value, list) and bool(value) and all(isinstance(item, (int, float)) for item in value)
        )

    return {
        name: torch.tensor([float(item) for item in value]) if is_numbers(value) else value
        for name, value in init.items()
    }


@contextmanager
def watched_construction() -> Iterator[list[str]]:
    """Report attributes of modules that are handed to a constructor and come out changed.

    Watches every ``__init__`` that runs, so a wrapper is seen wherever it is built: by its class or in a factory.
    """
    from torch import nn

    handed: dict[int, tuple[str, Any, dict[str, Any]]] = {}
    touched: list[str] = []

    def watch(frame: types.FrameType, event: str, _argument: Any) -> None:
        if event != "call" or frame.f_code.co_name != "__init__":
            return
        module_name = frame.f_globals.get("__name__", "")
        if module_name == "torch" or module_name.startswith("torch."):
            return
        owner = frame.f_locals.get(next(iter(frame.f_code.co_varnames), ""))
        for name, value in list(frame.f_locals.items()):
            if isinstance(value, nn.Module) and value is not owner and id(value) not in handed:
                handed[id(value)] = (name, value, simple_state(value))

    if sys.getprofile() is not None:  # a profiler is at work, and it could not be put back
        yield touched
        return
    sys.setprofile(watch)
    try:
        yield touched
    finally:
        sys.setprofile(None)
    for name, module, before in handed.values():
        touched += changes(name, before, simple_state(module))


def simple_state(holder: Any) -> dict[str, Any]:
    """The attributes of an object that are plain values, for comparing before and after."""
    state = vars(holder) if hasattr(holder, "__dict__") else {}
    plain = (str, int, float, bool, type(None))
    return {
        name: value
        for name, value in state.items()
        if isinstance(value, plain) and name != "training" and not name.startswith("_")
    }


def changes(name: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Sentences about attributes that changed from ``before`` to ``after``."""
    return [
        f"{name}.{attribute} from {before[attribute]!r} to {after.get(attribute)!r}"
        for attribute in before
        if after.get(attribute) != before[attribute]
    ]
