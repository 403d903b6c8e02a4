"""Results that are remembered: used while everything that they rest on is as it was, and never longer."""

from __future__ import annotations

from pathlib import Path

import pytest

from lossaudit.check import CheckOptions, CheckResult, check_files, run
from lossaudit.check.cache import MAX_ENTRIES, SUFFIX

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
def no_analysis(monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on, whoever analyses fails."""

    def refuse(*_: object) -> None:
        pytest.fail("it was analysed again")

    monkeypatch.setattr(run, "run", refuse)


def test_the_second_run_recalls_the_first_with_trails_and_fixes(
    project: Path, request: pytest.FixtureRequest
) -> None:
    first = checked(project, "models.py", "train.py")
    assert codes(first) == ["LA101"]
    assert first.findings[0].trail
    assert first.findings[0].fix is not None
    request.getfixturevalue("no_analysis")
    assert checked(project, "models.py", "train.py") == first


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
def test_a_corrupt_entry_is_rebuilt(project: Path, rubbish: bytes, request: pytest.FixtureRequest) -> None:
    first = checked(project, "train.py")
    (entry,) = (project / "cache").glob(f"*{SUFFIX}")
    entry.write_bytes(rubbish)
    assert checked(project, "train.py") == first
    request.getfixturevalue("no_analysis")
    assert checked(project, "train.py") == first


def test_the_folder_does_not_grow_without_end(project: Path) -> None:
    for number in range(MAX_ENTRIES + 3):
        (project / "other.py").write_text(f"x = {number}\n")
        checked(project, "other.py")
    assert len(list((project / "cache").iterdir())) == MAX_ENTRIES
