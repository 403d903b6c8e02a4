"""The examples of docs/fuzz.md are run as they stand there."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

TEXT = (ROOT / "docs" / "fuzz.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```(\w+)(?: file=(\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BLOCKS = BLOCK.findall(TEXT)
COMMANDS = [line for kind, _, text in BLOCKS if kind == "sh" for line in text.splitlines()]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for _, name, text in BLOCKS:
        if name:
            (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


def run(arguments: list[str], cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, *arguments],
        check=False, capture_output=True, text=True, cwd=cwd, env=environment, timeout=240,
    )  # fmt: skip


@pytest.mark.parametrize("line", COMMANDS)
def test_command(line: str, folder: Path) -> None:
    command, _, comment = line.partition("#")
    program, *arguments = shlex.split(command)
    assert program == "lossaudit"
    done = run(["-m", "lossaudit", *arguments], folder)
    assert f"exit code {done.returncode}" in comment, done.stdout + done.stderr
    assert "Error" not in done.stderr


def test_python(folder: Path) -> None:
    (source,) = [text for kind, name, text in BLOCKS if kind == "python" and not name]
    done = run(["-c", source], folder)
    assert done.returncode == 0, done.stderr


def test_every_command_of_the_page_is_checked() -> None:
    assert len(COMMANDS) == TEXT.count("# exit code")
