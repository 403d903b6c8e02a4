"""Roots that cannot show anything are not run, and what a text mentions is never read too short."""

from __future__ import annotations

from pathlib import Path

import pytest

from lossaudit.check import CheckOptions, check_files
from lossaudit.check.detectors import Detectors
from lossaudit.check.infer.engine import Interpreter
from lossaudit.check.mentions import DIVISION, FRACTION, FULL, POWER, SMALL, TINY, mentions


@pytest.mark.parametrize(
    ("text", "mentioned"),
    [
        ("F.cross_entropy(x, y)", {"F", "cross_entropy", ".cross_entropy"}),
        ("getattr(F, 'nll_loss')", {"getattr", "nll_loss", ".nll_loss"}),
        ('f"{a["log"]}"', {"log"}),
        ("x ** 0.5", {POWER, FRACTION}),
        ("x**-2", {POWER, TINY, SMALL, FRACTION}),
        ("x / 2", {DIVISION}),
        ("x + 1e-8", {TINY, SMALL}),
        ("x.clamp(max=0.999)", {SMALL}),
        ("y = x.mean()", {f"x{FULL}"}),
        ("y = x.sum(dim)", {f"x{FULL}"}),
        ("y = (a * b).sum(\n)", {FULL}),
    ],
)
def test_what_is_mentioned(text: str, mentioned: set[str]) -> None:
    assert mentioned <= mentions(text)


@pytest.mark.parametrize(
    ("text", "absent"),
    [
        ("f(*args, **kwargs)", POWER),
        ("def f(\n    **kwargs): pass", POWER),
        ("x = 1  # the log of it", "log"),
        ('"""The log of it."""', "log"),
        ("y = x.sum(dim=1)", f"x{FULL}"),
        ("y = x.mean(-1)", f"x{FULL}"),
        ("y = x.mean((1, 2))", f"x{FULL}"),
        ("y = 1.0", SMALL),
        ("width = x // 2", DIVISION),
    ],
)
def test_what_is_not_mentioned(text: str, absent: str) -> None:
    assert absent not in mentions(text)


def test_every_rule_on_frequent_events_says_what_it_needs() -> None:
    """A rule that needs nothing has every function of a repository run."""
    detectors = Detectors(None)
    assert frozenset() not in detectors.needs
    assert frozenset() not in detectors.needs_of_definitions


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
        ("import torch", "sum(rows)", False),
        ("import torch", "rows.sum()", True),
        ("from torch import sum", "sum(rows)", True),
        ("from torch import *", "sum(rows)", True),
    ],
)
def test_what_is_pythons_own_is_no_operation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, imports: str, total: str, is_run: bool
) -> None:
    assert (
        roots(tmp_path, monkeypatch, _QUOTIENT.format(imports=imports, total=total), "LA407") != []
    ) is is_run


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
