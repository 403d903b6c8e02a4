"""The end of a function that only leads to ``raise`` is left out where it can show nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from lossaudit.check import CheckOptions, check_files
from lossaudit.check.infer.engine import Interpreter

_NEAREST = """
import torch

def distance(left, right):
    return sum(a != b for a, b in zip(left, right))

def choose(name, known, errors):
    if name in known:
        return known[name]
    near = {}
    for one in known:
        near[one] = distance(f"{name}", one)
    guess = min(near, key=near.get)
    raise ValueError(f"not {name}: did you mean {guess}?")

def build(name, width):
    torch.nn.functional.cross_entropy(torch.softmax(width, 1), choose(name, {"a": 1}, []))
"""


def _steps(source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[list[str], int]:
    """The findings, and how often the loop asks for a distance."""
    file = tmp_path / "nets.py"
    file.write_text(source)
    calls: list[str] = []
    lookup = Interpreter.lookup

    def counted(self: Interpreter, frame, name: str):  # type: ignore[no-untyped-def]
        calls.append(name)
        return lookup(self, frame, name)

    monkeypatch.setattr(Interpreter, "lookup", counted)
    found = check_files([file], CheckOptions(jobs=1, cache=None)).findings
    return sorted({one.code for one in found}), calls.count("distance")


def test_a_dead_end_that_shows_nothing_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    codes, asked = _steps(_NEAREST.replace("sum(", "max("), tmp_path, monkeypatch)
    assert "LA101" in codes
    assert asked == 0


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("    guess = min", "    errors.append(name)\n    errors.count = 1\n    guess = min"),
        ("near[one] = ", "errors[one] = "),
        ("near[one] = ", "known[one](name)\n        near[one] = "),
        ("near[one] = ", "torch.nn.functional.mse_loss(one, name)\n        near[one] = "),
        ("near[one] = ", "if name == 3: return one\n        near[one] = "),
        ("max(", "torch.nn.functional.cross_entropy("),
        ("    raise", "    if guess: raise"),
        ("    near = {}", "    global guess\n    near = {}"),
    ],
)
def test_what_matters_otherwise_is_run(
    before: str, after: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = _NEAREST.replace("sum(", "max(")
    assert before in source
    assert _steps(source.replace(before, after), tmp_path, monkeypatch)[1] > 0


def test_what_is_wrong_in_a_dead_end_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = "torch.nn.functional.nll_loss(torch.softmax(known, 1), name)"
    source = _NEAREST.replace("guess = min", f"{wrong}\n    guess = min").replace(
        "torch.softmax(width", "(width"
    )
    assert _steps(source, tmp_path, monkeypatch)[0]
