"""Whatever it is fed, ``check`` neither raises nor hangs nor blames itself, and says the same twice."""

from __future__ import annotations

import contextlib
import io
import itertools
import os
import random
import time
import tokenize
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lossaudit.check import CheckOptions, CheckResult, check_files
from lossaudit.check.infer.budget import (
    INHERITED_STEPS,
    MAX_STEPS,
    OWN_STEPS,
    PLAIN_STEPS,
    SHARED_STEPS,
    Budget,
)
from lossaudit.check.infer.frame import OutOfBudget
from lossaudit.check.project import Project
from lossaudit.check.source import TOO_DEEP, refuse_deep_nesting
from lossaudit.rulebook import load_rules
from tests.marks import FIXTURES

ALL_RULES = frozenset(load_rules())
EXAMPLES = int(os.environ.get("LOSSAUDIT_FUZZ_EXAMPLES", "8"))
FAST = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize="LOSSAUDIT_FUZZ_EXAMPLES" not in os.environ,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    print_blob=False,
)
MODULE = Path("/nowhere/module.py")


def check(text: str) -> CheckResult:
    """The result on one module of this text; a failure of the analysis itself is raised."""
    sources = {MODULE: text.encode("utf-8", errors="replace")}
    return check_files([MODULE], CheckOptions(select=ALL_RULES, debug=True, sources=sources))


def holds(text: str) -> None:
    first = check(text)
    assert "E004" not in {finding.code for finding in first.findings}
    assert check(text) == first


# Random programs: a small grammar over the words that the engine knows ---------------------------------------------

NAMES = ("x", "y", "self", "model", "loss", "criterion", "target", "total", "opt", "p", "C", "f")
MEMBERS = (
    "fc",
    "weight",
    "data",
    "T",
    "shape",
    "grad",
    "training",
    "reduction",
    "loss",
    "logits",
    "forward",
    "items",
    "__init__",
)
METHODS = (
    "softmax", "log", "exp", "sum", "mean", "view", "backward", "step", "zero_grad", "item", "detach", "to", "append", "update", "permute",
    "transpose", "squeeze", "unsqueeze", "scatter_", "add_", "clamp", "argmax", "size", "get", "pop", "extend", "keys", "train", "eval",
    "register_buffer", "format", "sigmoid", "long", "float", "max", "split", "chunk", "topk",
)  # fmt: skip
FUNCTIONS = (
    "torch.softmax", "torch.log", "torch.exp", "torch.cat", "torch.stack", "torch.where", "torch.zeros", "torch.tensor", "torch.no_grad",
    "torch.autocast", "F.cross_entropy", "F.nll_loss", "F.binary_cross_entropy", "F.kl_div", "F.one_hot", "F.softmax", "nn.Linear", "nn.Sequential",
    "nn.ModuleList", "nn.ModuleDict", "nn.CrossEntropyLoss", "nn.BCELoss", "nn.Softmax", "nn.Module", "nn.DataParallel", "partial", "super", "len",
    "range", "zip", "enumerate", "dict", "list", "tuple", "getattr", "setattr", "isinstance", "map", "sum", "next", "f", "C", "copy.deepcopy",
    "model", "criterion",
)  # fmt: skip
OPERATORS = ("+", "-", "*", "/", "//", "%", "**", "@", "&", "|", "==", "<", "is", "in", "and", "or")
CONSTANTS = (
    "0",
    "1",
    "-1",
    "2",
    "0.5",
    "1e-9",
    "True",
    "None",
    "'mean'",
    "'none'",
    "...",
    "10**400",
    "1e400",
    "'x' * 3",
    "b'x'",
    "1j",
    "()",
    "[]",
    "{}",
)


def _call(parts: tuple[str, list[str], str]) -> str:
    name, arguments, keyword = parts
    return f"{name}({', '.join([*arguments, keyword] if keyword else arguments)})"


def _grown(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    arguments = st.lists(inner, max_size=3)
    keyword = st.one_of(
        st.just(""),
        st.builds(
            lambda k, v: f"{k}={v}",
            st.sampled_from(("dim", "reduction", "weight", "log_target", "key")),
            inner,
        ),
        st.builds("*{}".format, inner),
        st.builds("**{}".format, inner),
    )
    return st.one_of(
        st.tuples(st.sampled_from(FUNCTIONS), arguments, keyword).map(_call),
        st.builds(lambda a, m, rest: f"{a}.{m}({', '.join(rest)})", inner, st.sampled_from(METHODS), arguments),
        st.builds(lambda a, m: f"{a}.{m}", inner, st.sampled_from(MEMBERS)),
        st.builds(lambda a, op, b: f"({a} {op} {b})", inner, st.sampled_from(OPERATORS), inner),
        st.builds(lambda a, b: f"{a}[{b}]", inner, inner),
        st.builds(lambda a, b: f"{a}[{b}:, None, ..., ::-1]", inner, inner),
        st.builds(lambda a, b, c: f"({a} if {b} else {c})", inner, inner, inner),
        st.builds(lambda a, b: f"[{a} for x in {b} if x]", inner, inner),
        st.builds(lambda a, b, c: f"{{{a}: {b} for x, y in {c}}}", inner, inner, inner),
        st.builds(lambda a: f"(lambda x, *y, **z: {a})", inner),
        st.builds(lambda a, b: f"({a}, *{b})", inner, inner),
        st.builds(lambda a, b: f"{{'k': {a}, **{b}}}", inner, inner),
        st.builds(lambda a: f"(x := {a})", inner),
        st.builds(lambda a: f"(not -{a})", inner),
        st.builds(lambda a: f"f'{{{a}!r:>{{x}}}}'", st.sampled_from(NAMES)),
    )  # fmt: skip


EXPRESSIONS = st.recursive(st.sampled_from(NAMES + CONSTANTS), _grown, max_leaves=8)


def _indent(lines: list[str]) -> list[str]:
    return [f"    {line}" for line in lines]


def _nested(body: st.SearchStrategy[list[str]]) -> st.SearchStrategy[list[str]]:
    block = body.map(_indent)
    names = st.sampled_from(NAMES)
    parameters = st.sampled_from(("", "x", "self, x, y=1", "*x, **y", "x, /, y, *, loss=None"))
    bases = st.sampled_from(("", "nn.Module", "C", "nn.CrossEntropyLoss", "dict", "x", "nn.Module, C"))
    decorators = st.sampled_from(
        ("", "@property", "@torch.no_grad()", "@staticmethod", "@f", "@dataclass", "@partial(f, 1)")
    )
    return st.one_of(
        st.builds(lambda e, b, c: [f"if {e}:", *b, "else:", *c], EXPRESSIONS, block, block),
        st.builds(lambda n, e, b: [f"for {n} in {e}:", *b], st.sampled_from((*NAMES, "x, y", "x, *y", "self.fc", "x[0]")), EXPRESSIONS, block),
        st.builds(lambda e, b: [f"while {e}:", *b], EXPRESSIONS, block),
        st.builds(lambda e, n, b: [f"with {e} as {n}:", *b], EXPRESSIONS, names, block),
        st.builds(lambda b, c: ["try:", *b, "except (ValueError, f) as x:", *c, "finally:", *b], block, block),
        st.builds(lambda d, n, p, b: [*([d] if d else []), f"def {n}({p}):", *b], decorators, st.sampled_from(("f", "forward", "__init__", "training_step", "__call__")), parameters, block),
        st.builds(lambda base, b: [f"class C({base}):", *b], bases, block),
        st.builds(lambda e, b, c: [f"match {e}:", "    case {'k': x, **y}:", *_indent(b), "    case [x, *_] | C(fc=x):", *_indent(c)], EXPRESSIONS, block, block),
    )  # fmt: skip


SIMPLE = st.one_of(
    st.builds(lambda n, e: [f"{n} = {e}"], st.sampled_from((*NAMES, "self.fc", "self.loss", "x[0]", "x.data", "x, y", "x, *y", "[x, (y, p)]")), EXPRESSIONS),
    st.builds(lambda n, op, e: [f"{n} {op}= {e}"], st.sampled_from((*NAMES, "self.loss", "x[0]")), st.sampled_from(("+", "-", "*", "/", "@")), EXPRESSIONS),
    EXPRESSIONS.map(lambda e: [e]),
    EXPRESSIONS.map(lambda e: [f"return {e}"]),
    EXPRESSIONS.map(lambda e: [f"yield {e}"]),
    EXPRESSIONS.map(lambda e: [f"raise {e}"]),
    EXPRESSIONS.map(lambda e: [f"assert {e}, x"]),
    st.sampled_from((["pass"], ["del x, self.fc, x[0]"], ["global x"], ["import x.y as f"], ["from .module import *"], ["from . import module as model"], ["break"], ["x: f = 1"])),
)  # fmt: skip
BLOCKS = st.recursive(
    SIMPLE,
    lambda inner: st.one_of(_nested(inner), st.builds(lambda a, b: a + b, inner, inner)),
    max_leaves=12,
)
PRELUDE = "import copy, torch\nimport torch.nn as nn\nimport torch.nn.functional as F\nfrom functools import partial\nfrom dataclasses import dataclass\n"


@FAST
@given(st.lists(BLOCKS, min_size=1, max_size=4))
def test_random_programs(blocks: list[list[str]]) -> None:
    holds(PRELUDE + "\n".join(line for block in blocks for line in block) + "\n")


# Mutated real files ------------------------------------------------------------------------------------------------

REAL = sorted((FIXTURES / "check").rglob("*.py")) + sorted((FIXTURES / "programs").rglob("*.py"))


def _without_tokens(text: str, draw: random.Random) -> str:
    tokens = [
        token
        for token in tokenize.generate_tokens(io.StringIO(text).readline)
        if token.string.strip() and token.type != tokenize.COMMENT
    ]
    lines = text.splitlines(keepends=True)
    for token in sorted(draw.sample(tokens, min(3, len(tokens))), key=lambda one: one.start, reverse=True):
        row, column = token.start
        if token.end[0] == row:
            lines[row - 1] = lines[row - 1][:column] + lines[row - 1][token.end[1] :]
    return "".join(lines)


def _names_exchanged(text: str, draw: random.Random) -> str:
    tokens = [
        token for token in tokenize.generate_tokens(io.StringIO(text).readline) if token.type == tokenize.NAME
    ]
    lines = text.splitlines(keepends=True)
    for token in sorted(draw.sample(tokens, min(8, len(tokens))), key=lambda one: one.start, reverse=True):
        row, column = token.start
        lines[row - 1] = lines[row - 1][:column] + draw.choice(tokens).string + lines[row - 1][token.end[1] :]
    return "".join(lines)


def _block_again(text: str, draw: random.Random) -> str:
    lines = text.splitlines(keepends=True)
    start = draw.randrange(len(lines))
    block = lines[start : start + draw.randint(1, 12)]
    at = draw.randrange(len(lines))
    return "".join([*lines[:at], *block * draw.randint(1, 3), *lines[at:]])


def _lines_exchanged(text: str, draw: random.Random) -> str:
    lines = text.splitlines(keepends=True)
    for _ in range(3):
        a, b = draw.randrange(len(lines)), draw.randrange(len(lines))
        lines[a], lines[b] = lines[b], lines[a]
    return "".join(lines)


def _indented(text: str, draw: random.Random) -> str:
    lines = text.splitlines(keepends=True)
    start = draw.randrange(len(lines))
    for place in range(start, min(start + draw.randint(1, 8), len(lines))):
        lines[place] = f"    {lines[place]}" if draw.random() < 0.5 else lines[place].removeprefix("    ")
    return "".join(lines)


def _cut(text: str, draw: random.Random) -> str:
    return text[: draw.randrange(len(text))]


MUTATIONS: tuple[Callable[[str, random.Random], str], ...] = (
    _without_tokens, _names_exchanged, _names_exchanged, _block_again, _block_again, _lines_exchanged, _indented, _cut,
)  # fmt: skip


@FAST
@given(
    st.sampled_from(REAL), st.lists(st.sampled_from(MUTATIONS), min_size=1, max_size=2), st.integers(0, 2**32)
)
def test_mutated_files(path: Path, mutations: list[Callable[[str, random.Random], str]], seed: int) -> None:
    draw, text = random.Random(seed), path.read_text(encoding="utf-8")  # noqa: S311 (no secrets)
    with contextlib.suppress(
        tokenize.TokenError, SyntaxError, ValueError, IndexError
    ):  # no Python any more: good enough
        for mutate in mutations:
            text = mutate(text, draw)
    holds(text)


@FAST
@given(st.binary(max_size=200))
def test_random_bytes(data: bytes) -> None:
    source = b"import torch\nloss = 1\n" + data
    result = check_files([MODULE], CheckOptions(select=ALL_RULES, debug=True, sources={MODULE: source}))
    assert "E004" not in {finding.code for finding in result.findings}


# What could hang ---------------------------------------------------------------------------------------------------

HEAD = "import torch\nimport torch.nn as nn\nimport torch.nn.functional as F\n"
LARGE = {
    "nested calls": HEAD + "y = " + "torch.exp(" * 500 + "loss" + ")" * 500,
    "a long sum": HEAD + "loss = x\nloss = " + " + ".join(["loss"] * 5000),
    "a long chain": HEAD + "loss = x" + ".exp()" * 3000,
    "deep blocks": HEAD + "".join(f"{' ' * depth}if loss:\n" for depth in range(90)) + " " * 90 + "pass\n",
    "branches after branches": HEAD + "def f(x):\n    loss = x\n" + "".join(f"    if x > {i}:\n        loss = loss + F.nll_loss(x, x)\n" for i in range(60)) + "    return loss\n",
    "loops in loops": HEAD + "def f(x):\n" + "".join(f"{'    ' * (d + 1)}for i{d} in range(50):\n" for d in range(18)) + "    " * 19 + "loss = F.cross_entropy(x, x)\n",
    "recursion": HEAD + "def f(x, n):\n    loss = F.cross_entropy(f(x, n - 1), x)\n    return g(loss, n)\ndef g(x, n):\n    return f(f(x, n), n)\nf(x, 3)\n",
    "recursion through objects": HEAD + "class A(nn.Module):\n    def __init__(self):\n        super().__init__()\n        self.a = A()\n    def forward(self, x):\n        return F.cross_entropy(self.a(x), self.a.a.a(x))\nA()(x)\n",
    "a class that is its own base": HEAD + "class A(A):\n    loss = 1\nclass B(A):\n    pass\nclass A(B):\n    pass\nA().loss\n",
    "a list in itself": HEAD + "loss = []\nloss.append(loss)\nd = {}\nd['x'] = d\nfor l in loss:\n    for m in l:\n        F.cross_entropy(m, d)\n",
    "a module in itself": HEAD + "m = nn.Sequential(nn.Linear(1, 1))\nm.append(m)\nm.add_module('m', m)\nloss = F.cross_entropy(m(x), m.train())\nm.eval()\n",
    "a doubling": HEAD + "x = [loss]\n" + "x = x + x\n" * 60 + "for i in x:\n    F.cross_entropy(i, i)\n",
    "a doubling text": HEAD + "loss = 'x'\n" + "loss = loss + loss\n" * 60,
    "a tower": HEAD + "loss = 9 ** 9 ** 9 ** 9\ny = 1 << 10 ** 12\nz = 'x' * 10 ** 12\nw = [1] * 10 ** 12\nv = range(10 ** 12)\n",
    "a wide call": HEAD + "def f(*a, **k):\n    return F.cross_entropy(*a, **k)\nloss = f(" + ", ".join(["x"] * 3000) + ")\n",
}  # fmt: skip
MAX_SECONDS = 60.0


@pytest.mark.parametrize("text", LARGE.values(), ids=LARGE.keys())
def test_what_could_hang_ends(text: str) -> None:
    start = time.process_time()
    result = check(text)
    assert "E004" not in {finding.code for finding in result.findings}
    assert time.process_time() - start < MAX_SECONDS


NESTED = {
    "lambdas on one row": "loss = " + "lambda: " * 30_000 + "1\n",
    "lambdas on many rows": "loss = (" + "lambda:\n" * 30_000 + "1)\n",
    "lambdas after newer syntax": "type loss = (" + "lambda:\n" * 30_000 + "1)\n",
    "negations after newer syntax": "type loss = " + "not " * 30_000 + "1\n",
    "signs after newer syntax": "type loss = " + "-+~" * 10_000 + "1\n",
    "powers after newer syntax": "type loss = " + "2**" * 30_000 + "1\n",
    "conditions after newer syntax": "type loss = " + "1 if x else \\\n" * 30_000 + "1\n",
    "brackets after newer syntax": "type loss = " + "[" * 30_000 + "]" * 30_000 + "\n",
}


@pytest.mark.parametrize("text", NESTED.values(), ids=NESTED.keys())
@pytest.mark.parametrize("vocabulary", ["import torch\n", ""], ids=["analysed", "only parsed"])
def test_what_a_parser_cannot_nest_is_told(text: str, vocabulary: str) -> None:
    """A parser whose stack is full takes the process with it; what it is given instead of such text is nothing."""
    text = vocabulary + (text if vocabulary else text.replace("loss", "x"))
    assert [(finding.code, finding.message) for finding in check(text).findings] == [("E001", TOO_DEEP)]


@pytest.mark.parametrize(
    "text",
    [
        "x = [" + "lambda: not -1, " * 2_000 + "]\n",
        "x = lambda: not -1\n" * 2_000,
        "x = " + "1 - -1, " * 2_000 + "\n",
    ],
    ids=["items", "rows", "signs"],
)
def test_much_is_not_deep(text: str) -> None:
    refuse_deep_nesting(text)


def test_objects_that_build_their_own_kind_cost_little() -> None:
    _, steps = counted_check(LARGE["recursion through objects"])
    assert steps < 2_000


def test_functions_that_call_the_next_two_cost_little() -> None:
    """The paths through them are as many as the Fibonacci numbers; what the last one does wrong is still told."""
    functions = [f"def f{i}(x, y):\n    return f{i + 1}(x, y) + f{i + 2}(x, y)\n" for i in range(300)]
    wrong = "def f{}(x, y):\n    return F.cross_entropy(torch.softmax(x, 1), y)\n"
    text = HEAD + "".join(functions) + wrong.format(300) + wrong.format(301)
    result, steps = counted_check(text)
    assert [finding.code for finding in result.findings].count("LA101") == 2
    assert steps < 5 * SHARED_STEPS


def test_methods_are_judged_although_their_constructor_is_too_long_to_be_followed() -> None:
    """What it left on the object is then not known: nothing that rests on it is told."""
    long = "        x = F.cross_entropy(x.a, x.b)\n" * MAX_STEPS
    text = HEAD + (
        "class Task:\n    def __init__(self, x):\n"
        + long
        + "        self.act, self.raw = torch.sigmoid, None\n\n"
        "    def wrong(self, x, y):\n        return F.cross_entropy(torch.softmax(x, 1), y)\n\n"
        "    def open(self, x, y):\n        return F.binary_cross_entropy_with_logits(self.act(x), y)\n"
    )
    assert [finding.code for finding in check(text).findings] == ["LA101"]


def test_every_root_has_steps_of_its_own() -> None:
    """However much the first ones take."""
    budget = Budget()
    for _ in range(3 * SHARED_STEPS // MAX_STEPS):
        budget.begin()
        with pytest.raises(OutOfBudget):
            take(budget, MAX_STEPS + 1)
    budget.begin()
    take(budget, OWN_STEPS)


def test_what_interrupts_a_root_takes_none_of_its_steps() -> None:
    budget = Budget()
    budget.begin()
    take(budget, MAX_STEPS - 1)
    with budget.apart():
        take(budget, MAX_STEPS - 1)
    budget.take()
    with pytest.raises(OutOfBudget):
        budget.take()


def test_a_call_with_a_share_of_its_own_ends_before_its_root() -> None:
    budget = Budget()
    budget.begin()
    with pytest.raises(OutOfBudget), budget.at_most(10):
        take(budget, 11)
    assert not budget.is_spent
    take(budget, OWN_STEPS - 11)


_LONG = "def prepare(x):\n{}    return x\n"
_CALLER = """
import torch
import torch.nn as nn
from helpers import {imported}

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(8, 4)

    def forward(self, x):
        return torch.softmax(self.head(x), 1)

def train(loader):
    model = Net()
    criterion = nn.CrossEntropyLoss()
    for x, y in loader:
        {call}
"""
_FIT = "def fit(model, criterion, x, y):\n{}    return criterion(model(x), y)\n"


@pytest.mark.parametrize(
    ("helper", "call"),
    [
        (_LONG, "criterion(model(prepare(x)), y).backward()"),
        (_FIT, "fit(model, criterion, x, y).backward()"),
    ],
)
def test_long_code_of_another_file_hides_nothing_of_the_home(tmp_path: Path, helper: str, call: str) -> None:
    """What prepares plain data is given up; what is given the model and the criterion is followed to its end."""
    steps = "".join(f"    x = x + {i}\n" for i in range(2 * PLAIN_STEPS))
    (tmp_path / "helpers.py").write_text(helper.format(steps))
    imported = "prepare" if helper is _LONG else "fit"
    (tmp_path / "train.py").write_text(_CALLER.format(imported=imported, call=call))
    result = check_files([tmp_path / "train.py", tmp_path / "helpers.py"], CheckOptions())
    assert [finding.code for finding in result.findings] == ["LA101"]


def test_a_function_of_another_file_has_steps_enough_to_build_a_deep_network(tmp_path: Path) -> None:
    """As many layers as a residual network has, and what comes after the last one."""
    layers = "".join(f"        self.layer{i} = Block({i}, {i})\n" for i in range(50))
    calls = "".join(f"        x = self.layer{i}(x)\n" for i in range(50))
    (tmp_path / "networks.py").write_text(
        "import torch\nimport torch.nn as nn\n\n"
        "class Block(nn.Module):\n    def __init__(self, i, o):\n        super().__init__()\n        self.a = nn.Linear(i, o)\n\n"
        "    def forward(self, x):\n        return x + self.a(x)\n\n"
        f"class Net(nn.Module):\n    def __init__(self):\n        super().__init__()\n{layers}\n"
        f"    def forward(self, x):\n{calls}        return torch.softmax(x, 1)\n\n"
        "def build(name):\n    return Net()\n"
    )
    (tmp_path / "train.py").write_text(
        "import torch.nn.functional as F\nfrom networks import build\n\n"
        "def train(x, y):\n    model = build('deep')\n    F.cross_entropy(model(x), y).backward()\n"
    )
    result = check_files([tmp_path / "train.py", tmp_path / "networks.py"], CheckOptions())
    assert [finding.code for finding in result.findings] == ["LA101"]


def test_a_constructor_that_is_given_up_leaves_nothing_half_built(tmp_path: Path) -> None:
    """What the rest of it would have set is not known: the flag that says which loss it is, for one."""
    filler = "".join(f"        self.a{i} = {i}\n" for i in range(2 * PLAIN_STEPS))
    (tmp_path / "settings.py").write_text(
        f"class Settings:\n    soft = True\n    def __init__(self, soft):\n{filler}        self.soft = soft\n"
    )
    (tmp_path / "train.py").write_text(
        "import torch\nimport torch.nn.functional as F\nfrom settings import Settings\n"
        "def loss(x, y):\n    if Settings(False).soft:\n        x = torch.softmax(x, 1)\n    return F.cross_entropy(x, y)\n"
    )
    assert not check_files([tmp_path / "train.py", tmp_path / "settings.py"], CheckOptions()).findings


def take(budget: Budget, steps: int) -> None:
    for _ in range(steps):
        budget.take()


def counted_check(text: str) -> tuple[CheckResult, int]:
    """The result on one module, and how many calls and statements the check ran."""
    return counted(lambda: check(text))


def counted(run: Callable[[], CheckResult]) -> tuple[CheckResult, int]:
    """The result, and how many calls and statements were run for it."""
    counter = itertools.count()
    take = Budget.take
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Budget, "take", lambda self: (next(counter), take(self))[1])
        result = run()
    return result, next(counter)


def test_what_many_classes_inherit_from_another_file_costs_no_more_than_one_share(tmp_path: Path) -> None:
    """A base with sixty methods, of which eight classes inherit: what these define themselves is judged all the same."""
    body = "".join(f"        loss = loss + {i} * F.mse_loss(self(x), y)\n" for i in range(100))
    methods = "".join(f"    def method{i}(self, x, y, loss):\n{body}        return loss\n" for i in range(60))
    classes = "".join(
        f"class Net{i}(Base):\n    def forward(self, x):\n        return torch.softmax(x, 1)\n\n"
        f"    def training_loss(self, x, y):\n        return F.cross_entropy(self(x), y)\n\n"
        for i in range(8)
    )
    head = "import torch\nimport torch.nn as nn\nimport torch.nn.functional as F\n"
    (tmp_path / "base.py").write_text(f"{head}class Base(nn.Module):\n{methods}")
    (tmp_path / "nets.py").write_text(f"{head}from base import Base\n{classes}")
    files = [tmp_path / "nets.py"]
    result, steps = counted(lambda: check_files(files, CheckOptions(select=frozenset({"LA101"}))))
    assert [finding.code for finding in result.findings] == ["LA101"] * 8
    assert steps < INHERITED_STEPS + MAX_STEPS + 8 * OWN_STEPS


def test_import_cycles_end(tmp_path: Path) -> None:
    package = tmp_path / "package"
    package.mkdir()
    (package / "__init__.py").write_text("from .a import *\nfrom .b import loss\n")
    (package / "a.py").write_text(
        "from . import b\nfrom .b import *\nfrom .c import loss as other\nimport package\nx = package.a.x\n"
    )
    (package / "b.py").write_text(
        "from .a import loss, x\nfrom package import loss\nfrom .a import *\nloss = loss\n"
    )
    (package / "c.py").write_text("from .c import loss\nfrom .d import missing\nloss(x)\n")
    result = check_files(sorted(package.rglob("*.py")), CheckOptions(select=ALL_RULES, debug=True))
    assert result.findings == ()


def test_a_net_of_star_imports_is_searched_once(tmp_path: Path) -> None:
    """Each file takes all names of the two before it: the ways to the first are as many as the Fibonacci numbers."""
    for place in range(40):
        before = [f"from m{one} import *\n" for one in (place - 1, place - 2) if one >= 0]
        (tmp_path / f"m{place}.py").write_text("".join(before))
    (tmp_path / "m0.py").write_text("import torch.nn.functional as F\nloss = F.cross_entropy\n")
    (tmp_path / "main.py").write_text(
        "import torch\nfrom m39 import *\n\n"
        "def train(x, y):\n    return loss(torch.softmax(missing(x), 1), y)\n"
    )
    counted = itertools.count()
    submodule = Project.submodule
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Project, "submodule", lambda *given: (next(counted), submodule(*given))[1])
        result = check_files(sorted(tmp_path.glob("*.py")), CheckOptions(select=ALL_RULES, debug=True))
    assert [finding.code for finding in result.findings] == ["LA101"]
    assert next(counted) < 10_000
