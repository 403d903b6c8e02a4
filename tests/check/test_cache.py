"""Results that are remembered: used while everything that they rest on is as it was, and never longer."""

from __future__ import annotations

from pathlib import Path

import pytest

from lossaudit.check import CheckOptions, CheckResult, check_files, executors
from lossaudit.check.cache import MAX_ENTRIES, SUFFIX
from lossaudit.check.infer.engine import Interpreter
from lossaudit.check.units import Task, Workshop

PROBABILITIES = """\
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(8, 3)

    def forward(self, x):
        return torch.softmax(self.head(x), dim=1)
"""
LOGITS = PROBABILITIES.replace("torch.softmax(self.head(x), dim=1)", "self.head(x)")
TRAINING = """\
import torch.nn.functional as F
from models import Net

net = Net()


def step(x, y):
    return F.cross_entropy(net(x), y)
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A model that returns probabilities, and a training script beside it."""
    (tmp_path / "models.py").write_text(PROBABILITIES)
    (tmp_path / "train.py").write_text(TRAINING)
    (tmp_path / "cache").mkdir()
    return tmp_path


def checked(project: Path, *names: str, select: frozenset[str] | None = None) -> CheckResult:
    """What is found in files of the project, with its cache."""
    return check_files(
        [project / name for name in names], CheckOptions(select=select, cache=project / "cache")
    )


def codes(result: CheckResult) -> list[str]:
    return [finding.code for finding in result.findings]


@pytest.fixture
def analysed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that are analysed from here on."""
    names: list[str] = []
    original = Workshop.report

    def report(self: Workshop, task: Task) -> object:
        names.append(task.path.name)
        return original(self, task)

    monkeypatch.setattr(Workshop, "report", report)
    return names


def test_the_second_run_recalls_the_first_with_trails_and_fixes(
    project: Path, analysed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = checked(project, "models.py", "train.py")
    assert codes(first) == ["LA101"]
    assert first.findings[0].trail
    assert first.findings[0].fix is not None
    assert sorted(analysed) == ["models.py", "train.py"]
    monkeypatch.delattr(executors, "execute")  # not even that is needed
    assert checked(project, "models.py", "train.py") == first


def cold(project: Path, *names: str) -> CheckResult:
    """What is found without a cache."""
    return check_files([project / name for name in names])


@pytest.fixture
def tree(project: Path) -> list[str]:
    """A larger project: two training files that share a model, one that has its own, one file without losses."""
    (project / "again.py").write_text(TRAINING)
    (project / "alone.py").write_text(PROBABILITIES + TRAINING.replace("from models import Net\n", ""))
    (project / "plain.py").write_text("def double(x):\n    return 2 * x\n")
    return ["again.py", "alone.py", "models.py", "plain.py", "train.py"]


def test_a_changed_file_is_analysed_again_with_those_that_look_at_it(
    project: Path, tree: list[str], analysed: list[str]
) -> None:
    assert codes(checked(project, *tree)) == ["LA101"] * 3
    analysed.clear()
    (project / "models.py").write_text(LOGITS)
    changed = checked(project, *tree)
    assert sorted(analysed) == ["again.py", "models.py", "train.py"]
    assert changed == cold(project, *tree)
    assert codes(changed) == ["LA101"]
    analysed.clear()
    (project / "plain.py").write_text("def double(x):\n    return x + x\n")
    assert checked(project, *tree) == changed
    assert analysed == ["plain.py"]


def test_a_new_file_that_shadows_an_import(project: Path, tree: list[str], analysed: list[str]) -> None:
    checked(project, *tree)
    analysed.clear()
    (project / "models").mkdir()
    (project / "models" / "__init__.py").write_text("")  # models.py still comes first
    assert codes(checked(project, *tree)) == ["LA101"] * 3
    (project / "torch.py").write_text("nn = 1\n")
    grown = [*tree, "torch.py"]
    analysed.clear()
    assert checked(project, *grown) == cold(project, *grown)
    assert set(analysed) >= {"torch.py", "train.py", "models.py"}


def test_a_deleted_file(project: Path, tree: list[str], analysed: list[str]) -> None:
    checked(project, *tree)
    (project / "models.py").unlink()
    rest = [name for name in tree if name != "models.py"]
    analysed.clear()
    assert codes(checked(project, *rest)) == ["LA101"]
    assert sorted(analysed) == ["again.py", "train.py"]
    analysed.clear()
    assert checked(project, *rest) == cold(project, *rest)


def test_a_method_that_a_tensor_has_too_concerns_every_file(
    project: Path, tree: list[str], analysed: list[str]
) -> None:
    """A project that defines ``log`` itself may mean its own by ``x.log()``."""
    checked(project, *tree)
    analysed.clear()
    (project / "plain.py").write_text("class Journal:\n    def log(self, x):\n        return x\n")
    checked(project, *tree)
    assert set(analysed) >= {"train.py", "alone.py"}


def test_a_failure_is_not_remembered(
    project: Path, tree: list[str], analysed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as broken:
        broken.setattr(Interpreter, "run_root_function", fail)
        assert "E004" in codes(checked(project, *tree))
    analysed.clear()
    assert checked(project, *tree) == cold(project, *tree)
    assert "train.py" in analysed


def test_a_changed_model_changes_the_finding_in_the_unchanged_training_file(project: Path) -> None:
    assert codes(checked(project, "train.py")) == ["LA101"]
    (project / "models.py").write_text(LOGITS)  # it was not asked about, only imported
    assert codes(checked(project, "train.py")) == []
    (project / "models.py").write_text(PROBABILITIES)
    assert codes(checked(project, "train.py")) == ["LA101"]


def test_a_file_that_did_not_exist_where_an_import_looked_counts(project: Path) -> None:
    (project / "models.py").unlink()
    assert codes(checked(project, "train.py")) == []
    (project / "models.py").write_text(PROBABILITIES)
    assert codes(checked(project, "train.py")) == ["LA101"]


def test_other_rules_are_another_question(project: Path) -> None:
    assert codes(checked(project, "train.py", select=frozenset({"LA102"}))) == []
    assert codes(checked(project, "train.py", select=frozenset({"LA101"}))) == ["LA101"]


@pytest.mark.parametrize("rubbish", [b"", b"\x81\xa6result", b"not msgpack at all", b"\xc0"])
def test_a_corrupt_entry_is_rebuilt(project: Path, rubbish: bytes, analysed: list[str]) -> None:
    first = checked(project, "train.py")
    (entry,) = (project / "cache").glob(f"*{SUFFIX}")
    entry.write_bytes(rubbish)
    assert checked(project, "train.py") == first
    assert analysed == ["train.py", "train.py"]
    assert checked(project, "train.py") == first
    assert analysed == ["train.py", "train.py"]


def test_the_folder_does_not_grow_without_end(project: Path) -> None:
    for number in range(MAX_ENTRIES + 3):
        (project / f"other{number}.py").write_text("x = 1\n")
        checked(project, f"other{number}.py")
    assert len(list((project / "cache").iterdir())) == MAX_ENTRIES
