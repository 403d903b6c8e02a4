"""The hook as the README says to use it: the real pre-commit, on a real git repository."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.test_check import MODELS, TRAIN
from tests.marks import ROOT

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


def git(folder: Path, *args: str) -> str:
    identity = ["-c", "user.name=A", "-c", "user.email=a@example.com", "-c", "commit.gpgsign=false"]
    command = ["git", *identity, *args]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def published(tmp_path: Path) -> tuple[Path, str]:
    """This working tree as a git repository that pre-commit can clone, and its revision."""
    copy = tmp_path / "lossaudit"
    copy.mkdir()
    for name in ("lossaudit", "rules"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE", ".pre-commit-hooks.yaml"):
        shutil.copy(ROOT / name, copy / name)
    git(copy, "init", "--quiet")
    git(copy, "add", "--all")
    git(copy, "commit", "--quiet", "--message", "as published")
    return copy, git(copy, "rev-parse", "HEAD")


def test_the_hook_stops_a_broken_commit_and_passes_a_clean_one(
    tmp_path: Path, published: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    source, revision = published
    monkeypatch.setenv("PRE_COMMIT_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("PYTHONPATH", raising=False)
    work = tmp_path / "work"
    work.mkdir()
    git(work, "init", "--quiet")
    (work / ".pre-commit-config.yaml").write_text(
        f"repos:\n  - repo: {source}\n    rev: {revision}\n    hooks:\n      - id: lossaudit\n"
    )
    (work / "models.py").write_text(MODELS)
    (work / "train.py").write_text(TRAIN)
    git(work, "add", "--all")

    def hook() -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "pre_commit", "run", "--all-files"]
        return subprocess.run(command, cwd=work, capture_output=True, text=True, check=False)

    broken = hook()
    assert broken.returncode == 1, broken.stdout + broken.stderr
    assert "train.py:8:12" in broken.stdout
    assert "LA101" in broken.stdout

    (work / "models.py").write_text(MODELS.replace("F.softmax(self.fc(x), dim=1)", "self.fc(x)"))
    git(work, "add", "--all")
    clean = hook()
    assert clean.returncode == 0, clean.stdout + clean.stderr
