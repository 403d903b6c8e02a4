"""Roots that cannot show anything are not run, and what a text mentions is never read too short."""

from __future__ import annotations

from pathlib import Path

import pytest

from lossaudit.check import CheckOptions, check_files
from lossaudit.check.detectors import Detectors
from lossaudit.check.infer.engine import Interpreter
from lossaudit.check.mentions import FRACTION, FULL, POWER, SMALL, TINY, mentions


@pytest.mark.parametrize(
    ("text", "mentioned"),
    [
        ("F.cross_entropy(x, y)", {"F", "cross_entropy", ".cross_entropy"}),
        ("getattr(F, 'nll_loss')", {"getattr", "nll_loss", ".nll_loss"}),
        ('f"{a["log"]}"', {"log"}),
        ("x ** 0.5", {POWER, FRACTION}),
        ("x**-2", {POWER, TINY, SMALL, FRACTION}),
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
    run: list[str] = []
    original = Interpreter.run_root_function

    def recorded(self: Interpreter, function: object, receiver: object = None) -> object:
        run.append(function.name)  # type: ignore[attr-defined]
        return original(self, function, receiver)  # type: ignore[arg-type]

    monkeypatch.setattr(Interpreter, "run_root_function", recorded)
    result = check_files(sorted(tmp_path.glob("*.py")), CheckOptions(select=frozenset({"LA101"})))
    assert [finding.code for finding in result.findings] == ["LA101"]
    assert sorted(run) == ["judge", "step"]
