"""The command remembers results beside the configuration, where git does not see them."""

from __future__ import annotations

import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.cli.conftest import Lossaudit

LOSS = """\
import torch
import torch.nn.functional as F
from torch import nn

head = nn.Linear(8, 3)


def step(x, y):
    return F.cross_entropy(torch.softmax(head(x), dim=1), y)
"""


@pytest.fixture
def entries(tmp_path: Path) -> Path:
    """The folder in which the command remembers; there is a wrong loss to check beside it."""
    (tmp_path / "train.py").write_text(LOSS)
    return tmp_path / ".lossaudit" / "cache"


def test_several_processes_share_one_cache(entries: Path, lossaudit: Lossaudit) -> None:
    with ThreadPoolExecutor(4) as pool:
        runs = list(pool.map(lambda _: lossaudit("check", "--output-format", "json", "train.py"), range(6)))
    assert len({run.stdout for run in runs}) == 1
    assert "LA101" in runs[0].stdout
    assert [file.suffix for file in entries.iterdir()] == [".msgpack"]


def test_git_does_not_see_it_and_clean_deletes_it(entries: Path, lossaudit: Lossaudit) -> None:
    folder = entries.parent.parent
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
    assert lossaudit("check", "train.py").returncode == 1
    assert list(entries.iterdir())
    status = subprocess.run(
        ["git", "status", "--porcelain"], cwd=folder, capture_output=True, text=True, check=True
    )
    assert ".lossaudit" not in status.stdout
    assert lossaudit("clean").returncode == 0
    assert not entries.parent.exists()
    assert "nothing" in lossaudit("clean").stdout


def test_no_cache_remembers_nothing(entries: Path, lossaudit: Lossaudit) -> None:
    assert lossaudit("check", "--no-cache", "train.py").returncode == 1
    assert not entries.exists()


def test_another_folder(entries: Path, lossaudit: Lossaudit, tmp_path: Path) -> None:
    lossaudit("check", "--cache-dir", "elsewhere/deep", "train.py")
    assert list((tmp_path / "elsewhere" / "deep").glob("*.msgpack"))
    assert not entries.exists()


def test_where_nothing_can_be_written_the_check_still_runs(entries: Path, lossaudit: Lossaudit) -> None:
    entries.parent.write_text("a file in the way\n")
    assert "LA101" in lossaudit("check", "train.py").stdout
    refused = lossaudit("check", "--cache-dir", ".lossaudit/x", "train.py")
    assert refused.returncode == 2
    assert "--cache-dir" in refused.stderr
