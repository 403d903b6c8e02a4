"""Roots that cannot show anything are not run, and what a text mentions is never read too short."""

from __future__ import annotations

from pathlib import Path

import pytest

from lossaudit.check import CheckOptions, check_files
from lossaudit.check.contracts import load_contracts
from lossaudit.check.detectors import Detectors
from lossaudit.check.infer.engine import Interpreter
from lossaudit.check.infer.reach import signs_of_words
from lossaudit.check.mentions import (
    COMPARISON,
    CONFIGURED,
    DIVISION,
    FRACTION,
    FULL,
    POWER,
    SMALL,
    TINY,
    mentions,
)


@pytest.mark.parametrize(
    ("text", "mentioned"),
    [
        ("F.cross_entropy(x, y)", {"F", "cross_entropy", ".cross_entropy"}),
        ("getattr(F, 'nll_loss')", {"getattr", "nll_loss", ".nll_loss"}),
        ('f"{a["log"]}"', {"log"}),
        ('f"a loss of {F.nll_loss(x / n, y)} or so"', {".nll_loss", DIVISION}),
        ("getattr(F, f'{kind if kind else 1}_loss')", {"_loss", "kind"}),
        ('"a \\\n b", F.nll_loss(x), "c d"', {".nll_loss"}),
        ('f"""a {b}\n""" + x.log() / y.exp() + "c d"', {"b", ".log", ".exp", DIVISION}),
        ("import_module(f'losses.{name}')", {"losses", "name"}),
        ("criterion.reduction = 'none'", {CONFIGURED}),
        ("setattr(criterion, 'reduction', 'none')", {CONFIGURED}),
        ("x ** 0.5", {POWER, FRACTION}),
        ("x**-2", {POWER, TINY, SMALL, FRACTION}),
        ("x / n", {DIVISION}),
        ("x / 2 ** n", {DIVISION}),
        ("x / 2", {FRACTION}),
        ("x /= n", {DIVISION}),
        ("x + 1e-8", {TINY, SMALL}),
        ("x.clamp(max=0.999)", {SMALL}),
        ("y = x.mean()", {f"x{FULL}"}),
        ("y = x.sum(dim)", {f"x{FULL}"}),
        ("y = (a * b).sum(\n)", {FULL}),
        ("y = x ** n", {POWER}),
        ("y = x ** 2 ** n", {POWER}),
        ("eps = 10 ** -8", {TINY, SMALL, FRACTION}),
        ("y = np.linalg.norm(x)", {"np", "linalg", ".norm"}),
        ("y = x > 0", {COMPARISON}),
        ("y = x.gt(0)", {".gt"}),
        ("if (x > 0).any():", {COMPARISON}),
        ("if len(x) == 3 and f(a != b):", {COMPARISON}),
        ("if x[1:2] != 3: y = a <= b", {COMPARISON}),
        ("if (y := a > b).any():", {COMPARISON}),
        ("if y := a > b:", {COMPARISON}),
        ("y = f(a\n    if a else b > c)", {COMPARISON}),
        ("if f(')', a > b):", {COMPARISON}),
        ("assert a, f(b\n    > c)", {COMPARISON}),
        ("return a < b < c", {COMPARISON}),
    ],
)
def test_what_is_mentioned(text: str, mentioned: set[str]) -> None:
    assert mentioned <= mentions(text).words


@pytest.mark.parametrize(
    ("text", "absent"),
    [
        ("f(*args, **kwargs)", POWER),
        ("def f(\n    **kwargs): pass", POWER),
        ("x = 1  # the log of it", "log"),
        ('"""The log of it."""', "log"),
        ("raise ValueError('no log of it')", "log"),
        ("f'no log of {it}'", "log"),
        ("criterion.reduction == 'none'", CONFIGURED),
        ("y = x.sum(dim=1)", f"x{FULL}"),
        ("y = x.mean(-1)", f"x{FULL}"),
        ("y = x.mean((1, 2))", f"x{FULL}"),
        ("y = 1.0", SMALL),
        ("width = x // 2", DIVISION),
        ("path = folder / 'x' / f'{name}'", DIVISION),
        ("def f(x, /, y): pass", DIVISION),
        ("y = x / 2 + 1", DIVISION),
        ("y = x ** 2 + 1", POWER),
        ("y = 2 ** n", POWER),
        ("y = kind == 'mean'", COMPARISON),
        ("if x.dim() == 3:", COMPARISON),
        ("    elif kind == '(' and n[0] >= 2: return x", COMPARISON),
        ("while a < b:", COMPARISON),
        ("assert a != b, 'no'", COMPARISON),
        ("def f(x) -> int:", COMPARISON),
    ],
)
def test_what_is_not_mentioned(text: str, absent: str) -> None:
    assert absent not in mentions(text).words


def test_what_is_only_taken_from_a_name() -> None:
    text = "y = math.sqrt(x) + x.log() / np.log(x) + other(np)"
    found = mentions(text, frozenset({"math", "np"}))
    assert found.below == {"math": frozenset({"sqrt", ".sqrt"})}
    assert {"math", ".sqrt", ".log", "np"} <= found.words


def test_every_rule_on_frequent_events_says_what_it_needs() -> None:
    """A rule that needs nothing has every function of a repository run."""
    detectors = Detectors(None)
    assert frozenset() not in detectors.needs
    assert frozenset() not in detectors.needs_of_definitions


def test_what_a_rule_needs_can_be_given() -> None:
    """A sign that nothing gives keeps a rule from ever firing."""
    detectors = Detectors(None)
    given = frozenset().union(*signs_of_words(load_contracts()).values())
    found_otherwise = {"trained", "stored", "criterion", "reduced"}
    asked = {sign.rpartition(":")[2] for alternative in detectors.needs for sign in alternative}
    assert asked - given - found_otherwise == set()


_BARREN = """
import torch

class Blocks(torch.nn.Module):
    def __init__(self, width):
        super().__init__()
        self.first = torch.nn.Linear(width, width)

    def forward(self, x):
        return self.first(x).relu()

def count(rows):
    return len([row for row in rows if row])
"""
_TRAINED = """
import torch.nn.functional as F
from helpers import confidence

class Head:
    def step(self, x, y):
        return self.judge(confidence(x), y)

    def judge(self, p, y):
        return F.cross_entropy(p, y)

    def describe(self):
        return "softmax"
"""
_HELPERS = "import torch\ndef confidence(x):\n    return torch.softmax(x, dim=1)\n"


def test_only_roots_that_can_show_something_are_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in (("barren", _BARREN), ("trained", _TRAINED), ("helpers", _HELPERS)):
        (tmp_path / f"{name}.py").write_text(text)
    run = recorded_roots(monkeypatch)
    result = check_files(sorted(tmp_path.glob("*.py")), CheckOptions(select=frozenset({"LA101"})))
    assert [finding.code for finding in result.findings] == ["LA101"]
    assert sorted(run) == ["judge", "step"]


_QUOTIENT = """
{imports}
import torch.nn as nn

class Head(nn.Module):  # loss
    def forward(self, x, rows):
        return x / {total}
"""


@pytest.mark.parametrize(
    ("imports", "total", "is_run"),
    [
        ("import torch", "sum(rows > 0)", False),
        ("import torch", "(rows > 0).sum()", True),
        ("import torch", "rows.gt(0).sum()", True),
        ("import torch", "rows.sum()", False),
        ("import torch", "torch.count_nonzero(rows)", True),
        ("from torch import sum", "sum(rows > 0)", True),
        ("from torch import *", "sum(rows > 0)", True),
    ],
)
def test_what_is_pythons_own_is_no_operation_and_a_quotient_counts_what_was_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, imports: str, total: str, is_run: bool
) -> None:
    assert (
        roots(tmp_path, monkeypatch, _QUOTIENT.format(imports=imports, total=total), "LA407") != []
    ) is is_run


_STATEFUL = """
import torch

class Weighted:  # loss
    def __init__(self, weight):
        self.weight = weight
        self.calls = 0

    def __call__(self, x, y):
        {change}
        return (self.weight * (x - y)).mean()
"""


@pytest.mark.parametrize(
    ("change", "is_run"),
    [
        ("self.weight = self.weight[y]", True),
        ("self.weight *= x.std()", True),
        ("self.weight = self.weight if x is None else self.weight / x.sum()", True),
        ("self.last = None; self.weight, rest = self.weight[y], None", True),
        ("self.last = None; setattr(self, 'weight', self.weight[y])", True),
        ("x.last = y.last", False),
        ("self.calls += 1", False),
        ("self.last = [x, y]", False),
        ("self.is_called = x is not None", False),
        ("self.last = None", False),
    ],
)
def test_a_criterion_is_run_for_its_state_if_that_may_be_made_of_what_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str, is_run: bool
) -> None:
    assert (roots(tmp_path, monkeypatch, _STATEFUL.format(change=change), "LA508") != []) is is_run


_STORED = """
import torch
from torch import nn

class Part({base}):  # loss
    def __init__(self, depth):
        super().__init__()
        self.rows = {rows}

    def {method}(self, x):
        return x * self.rows
"""


@pytest.mark.parametrize(
    ("base", "rows", "method", "is_run"),
    [
        ("nn.Module", "torch.arange(4)", "forward", True),
        ("nn.Module", "[i for i in range(depth)]", "forward", False),
        ("nn.Module", "torch.arange(4)", "weigh", False),
        ("list", "torch.arange(4)", "forward", False),
    ],
)
def test_only_modules_that_make_tensors_are_built_for_what_they_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, base: str, rows: str, method: str, is_run: bool
) -> None:
    text = _STORED.format(base=base, rows=rows, method=method)
    assert (roots(tmp_path, monkeypatch, text, "LA208") != []) is is_run


_NORM = "import torch\ndef norm(x):\n    return torch.sqrt((x * x).sum(1))\n"
_USER = """
import torch.nn as nn
from norms import norm
from means import mean_of

class Head(nn.Module):  # loss
    def {method}(self, x, y):
        return {value}
"""


@pytest.mark.parametrize(
    ("method", "value", "is_run"),
    [
        ("forward", "norm(x)", True),
        ("distance", "norm(x - y).mean()", True),
        ("distance", "mean_of(norm(x - y))", False),
    ],
)
def test_a_file_is_run_for_what_is_optimised_if_it_has_a_part_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str, value: str, is_run: bool
) -> None:
    """Where the operation and what optimises it stand in other files, those tell of it."""
    (tmp_path / "norms.py").write_text(_NORM)
    (tmp_path / "means.py").write_text("def mean_of(x):\n    return x.mean()\n")
    text = _USER.format(method=method, value=value)
    assert (method in roots(tmp_path, monkeypatch, text, "LA408")) is is_run


def test_a_comparison_alone_gives_a_file_no_part_in_a_quotient(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "shares.py").write_text(
        "import torch\ndef share(x, m):\n    return (x * m).sum(1) / m.sum(1)\n"
    )
    (tmp_path / "means.py").write_text("def mean_of(x):\n    return x.mean()\n")
    text = "from shares import share\nfrom means import mean_of\ndef f(x):  # loss\n    return mean_of(share(x, x > 0))\n"
    assert "f" not in roots(tmp_path, monkeypatch, text, "LA407")


@pytest.mark.parametrize(
    ("text", "is_run"),
    [
        ("import torch\ndef f(softmax, y):  # loss\n    return softmax + y\n", False),
        ("from torch import softmax\ndef f(x, y):  # loss\n    return softmax(x) + y\n", True),
        ("from torch import *\ndef f(x, y):  # loss\n    return softmax(x) + y\n", True),
        ("import torch\ndef f(x):  # loss\n    from torch import softmax\n    return softmax(x)\n", True),
        ("import torch\ndef softmax(y):  # loss\n    return y\n", False),
        ("import torch\ndef f(y):  # loss\n    return y.softmax(0)\n", True),
    ],
)
def test_a_word_that_is_a_local_name_is_no_sign(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, is_run: bool
) -> None:
    assert (roots(tmp_path, monkeypatch, text, "LA110") != []) is is_run


_OBJECTS = """
import torch
from torch import nn
from steps import Step

class Net(nn.Module):
    def forward(self, x):
        return torch.softmax(x, 1)

step = Step({given})
"""
_STEP = """
import torch.nn.functional as F

class Step:
    def __init__(self, model):
        self.model = model

    def run(self, x, y):
        return F.cross_entropy(self.model(x), y)
"""


@pytest.mark.parametrize(("given", "runs"), [("Net()", ["run"]), ("3", [])])
def test_objects_of_other_files_are_run_if_they_are_given_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str, runs: list[str]
) -> None:
    (tmp_path / "steps.py").write_text(_STEP)
    found = roots(tmp_path, monkeypatch, _OBJECTS.format(given=given), "LA101")
    assert [name for name in found if name == "run"] == runs


_LATE = """
import importlib
import torch.nn as nn
rows = 3
criterion = nn.CrossEntropyLoss()

def judge(x, y, name="focal"):  # loss
    {body}
"""


@pytest.mark.parametrize(
    ("body", "is_run"),
    [
        ("return importlib.import_module('criteria').focal(x.softmax(1), y)", True),
        ("return importlib.import_module('criteria.' + name).entropy(x.softmax(1), y)", True),
        ("return importlib.import_module(f'criteria.{name}').entropy(x.softmax(1), y)", True),
        ("return globals()[x](x.softmax(1), y)", True),
        ("return x.globals", False),
        ("return rows", False),
    ],
)
def test_what_is_looked_up_late_is_reached(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str, is_run: bool
) -> None:
    """What ``import_module`` and ``globals`` give need not be named in the text."""
    (tmp_path / "criteria").mkdir()
    (tmp_path / "criteria" / "__init__.py").write_text("from criteria.focal import entropy as focal\n")
    entropy = "import torch.nn.functional as F\ndef entropy(x, y):\n    return F.cross_entropy(x, y)\n"
    (tmp_path / "criteria" / "focal.py").write_text(entropy)
    assert (roots(tmp_path, monkeypatch, _LATE.format(body=body), "LA101") != []) is is_run


_IMPORTING = """
import importlib
from importlib import import_module
import torch.nn as nn
from doors import give, handed_on
import doors
from doors import give as other

criterion = nn.CrossEntropyLoss()

def judge(x, y, name):  # loss
    {body}
"""
_DOORS = """
from importlib import import_module

def give(name, *, fallback=""):
    return import_module(name)

def handed_on(version, name="numpy"):
    return give(name)

def kept(name):
    return import_module("criteria")

def waiting(name):
    def load():
        return import_module(name)
    return load

tables, criteria = waiting("pandas"), waiting("criteria")
"""


@pytest.mark.parametrize(
    ("body", "is_run"),
    [
        ("return importlib.import_module('numpy').focal(x.softmax(1), y)", False),
        ("return import_module('numpy').focal(x.softmax(1), y)", False),
        ("return import_module('criteria').focal(x.softmax(1), y)", True),
        ("load = import_module; return load('criteria').focal(x.softmax(1), y)", True),
        ("return give('numpy').focal(x.softmax(1), y)", False),
        ("return give('criteria').focal(x.softmax(1), y)", True),
        ("return give(name='criteria').focal(x.softmax(1), y)", True),
        ("return give(*['criteria']).focal(x.softmax(1), y)", True),
        ("return other('criteria').focal(x.softmax(1), y)", True),
        ("return doors.give('criteria').focal(x.softmax(1), y)", True),
        ("return doors.give('numpy').focal(x.softmax(1), y)", False),
        ("return getattr(doors, 'give')('criteria').focal(x.softmax(1), y)", True),
        ("return [give][0]('criteria').focal(x.softmax(1), y)", True),
        ("from doors import give as load; return load('criteria').focal(x.softmax(1), y)", True),
        ("from doors import give; return give('numpy').focal(x.softmax(1), y)", False),
        ("name = 'criteria'; return give(name).focal(x.softmax(1), y)", True),
        ("return handed_on(1).focal(x.softmax(1), y)", False),
        ("return handed_on(1, 'criteria').focal(x.softmax(1), y)", True),
        ("return (lambda kind: give(kind))('criteria').focal(x.softmax(1), y)", True),
        ("return doors.kept('numpy').focal(x.softmax(1), y)", True),
        ("return doors.tables().focal(x.softmax(1), y)", False),
        ("return doors.criteria().focal(x.softmax(1), y)", True),
        ("return globals()['give']('criteria').focal(x.softmax(1), y)", True),
    ],
)
def test_what_is_imported_by_name_shows_where_it_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str, is_run: bool
) -> None:
    """Of a constant that names no file of the project nothing comes that the text need not name."""
    (tmp_path / "doors.py").write_text(_DOORS)
    (tmp_path / "criteria").mkdir()
    (tmp_path / "criteria" / "__init__.py").write_text("from criteria.focal import entropy as focal\n")
    entropy = "import torch.nn.functional as F\ndef entropy(x, y):\n    return F.cross_entropy(x, y)\n"
    (tmp_path / "criteria" / "focal.py").write_text(entropy)
    assert (roots(tmp_path, monkeypatch, _IMPORTING.format(body=body), "LA101") != []) is is_run


_CALLED = """
import torch
from torch import nn

class Scale{base}:  # loss
    def {method}(self, rows):
        return torch.sqrt(rows)
"""


@pytest.mark.parametrize(
    ("base", "method", "is_run"),
    [
        ("(nn.Module)", "forward", True),
        ("(nn.Module)", "scale", False),
        ("", "forward", False),
        ("", "__call__", False),
    ],
)
def test_only_what_computes_the_result_of_a_model_is_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, base: str, method: str, is_run: bool
) -> None:
    text = _CALLED.format(base=base, method=method)
    assert (method in roots(tmp_path, monkeypatch, text, "LA408")) is is_run


def test_a_softmax_elsewhere_matters_where_a_distribution_is_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = """
import torch  # loss

def confidence(x):
    return torch.softmax(x, 0)

def show(x):
    return confidence(x)

def draw(x):
    return torch.distributions.Categorical(confidence(x)).sample()
"""
    assert roots(tmp_path, monkeypatch, text, "LA108") == ["confidence", "draw"]


def test_a_search_that_is_gone_on_with_sees_what_came_since(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The table is empty when the first function is searched, which finds nothing."""
    text = """
import torch.nn as nn
CRITERIA = []  # loss

def first(x, y):
    return [one for one in CRITERIA]

def fill():
    CRITERIA.append(nn.CrossEntropyLoss())

def last(x, y):
    return [first(x, y), CRITERIA[0](x.softmax(1), y)]
"""
    assert roots(tmp_path, monkeypatch, text, "LA101") == ["fill", "last"]


@pytest.mark.parametrize(
    ("root", "is_run"),
    [
        ("math.sqrt(x)", False),
        ("torch.sqrt(x)", True),
        ("x.sqrt()", True),
        ("(lambda math: math.sqrt(x))(torch)", True),
    ],
)
def test_what_is_taken_from_a_module_without_contracts_is_no_operation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, root: str, is_run: bool
) -> None:
    text = f"import math\nimport torch  # loss\nclass Net(torch.nn.Module):\n    def forward(self, x):\n        return {root}\n"
    assert (roots(tmp_path, monkeypatch, text, "LA408") != []) is is_run


def test_a_function_that_is_made_twice_is_followed_in_both_of_its_surroundings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = """
import torch
from torch import nn  # loss

def maker(kind):
    def make():
        return kind()
    return make

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.parts = nn.ModuleList([{first}(), {second}()])

    def forward(self, x):
        return self.parts[1](self.parts[0](x))

plain, soft = maker(nn.ReLU), maker(nn.Softmax)
"""
    for first, second in (("plain", "soft"), ("soft", "plain")):
        written = text.replace("{first}", first).replace("{second}", second)
        assert "forward" in roots(tmp_path, monkeypatch, written, "LA108")


def test_a_word_of_pythons_own_hides_no_operation_of_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The text that is read first mentions ``sum`` as Python's own, another module hands over the framework's."""
    text = """
import torch  # loss
import means

class Head(torch.nn.Module):
    def forward(self, x, rows):
        return x / means.total(rows > 0, sum([1]))
"""
    (tmp_path / "means.py").write_text("from torch import sum as total\n")
    assert "forward" in roots(tmp_path, monkeypatch, text, "LA407")


def recorded_roots(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the functions that are run as roots from now on."""
    run: list[str] = []
    original = Interpreter.run_root_function

    def recorded(self: Interpreter, function: object, receiver: object = None) -> object:
        run.append(function.name)  # type: ignore[attr-defined]
        return original(self, function, receiver)  # type: ignore[arg-type]

    monkeypatch.setattr(Interpreter, "run_root_function", recorded)
    return run


def roots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, code: str) -> list[str]:
    """The functions of a file that are run as roots for a rule."""
    (tmp_path / "module.py").write_text(text)
    run = recorded_roots(monkeypatch)
    check_files([tmp_path / "module.py"], CheckOptions(select=frozenset({code})))
    return run
