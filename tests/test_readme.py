"""The README's consoles show what the commands really print: each is run as it is typed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.marks import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
CONSOLES = re.findall(r"```console\n\$ (?P<command>[^\n]+)\n(?P<output>.*?)```", README, flags=re.DOTALL)


def run(command: str, folder: Path) -> str:
    """Run a command line in the shell, with this Python's ``lossaudit`` first on the path."""
    (folder / "lossaudit").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m lossaudit "$@"\n')
    (folder / "lossaudit").chmod(0o755)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        ["sh", "-c", command],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    return done.stdout


def test_each_half_is_shown() -> None:
    assert [command.split()[1] for command, _ in CONSOLES] == ["check", "fuzz"]


@pytest.mark.parametrize(("command", "output"), CONSOLES)
def test_the_output_is_the_one_that_the_command_prints(command: str, output: str, tmp_path: Path) -> None:
    assert run(command, tmp_path) == output


def test_the_pre_commit_snippet_names_the_hook_that_exists() -> None:
    (snippet,) = re.findall(r"```yaml\n(repos:.*?)```", README, flags=re.DOTALL)
    (repository,) = yaml.safe_load(snippet)["repos"]
    hooks = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8"))
    assert {hook["id"] for hook in repository["hooks"]} <= {hook["id"] for hook in hooks}


@pytest.mark.parametrize("goal", re.findall(r"^    make (\w+)", README, flags=re.MULTILINE))
def test_the_make_goals_exist(goal: str) -> None:
    assert re.search(rf"^{goal}:", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE)
