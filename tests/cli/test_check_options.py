"""Options of ``lossaudit check`` that a user of other linters tries first: standard input, statistics, listed files."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Lossaudit
from tests.marks import ROOT

SOURCE = """\
import torch
import torch.nn.functional as F


def loss(z, y):
    return F.cross_entropy(z.softmax(1), y) + torch.log(torch.sigmoid(z)).mean() + torch.log(torch.sigmoid(z)).sum()
"""
MENDED = SOURCE.replace("z.softmax(1)", "z").replace("torch.log(torch.sigmoid(z))", "F.logsigmoid(z)")


def piped(folder: Path, *args: str, text: str = SOURCE) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "lossaudit", "check", *args],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        input=text,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def test_standard_input_is_checked_under_the_name_that_is_given(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("x = 1\n")  # what an editor holds is not what is on the disk
    result = piped(tmp_path, "-", "--stdin-filename", "a.py")
    assert (result.returncode, result.stderr) == (1, "")
    assert "--> a.py:6:12" in result.stdout
    assert "6 |     return F.cross_entropy(z.softmax(1), y)" in result.stdout
    found = json.loads(piped(tmp_path, "-", "--output-format", "json").stdout)
    assert {(one["filename"], one["code"]) for one in found} == {("stdin.py", "LA101"), ("stdin.py", "LA402")}


def test_standard_input_is_fixed_to_standard_output_and_nothing_is_written(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(SOURCE)
    result = piped(tmp_path, "--stdin-filename", "a.py", "-", "--fix", "--unsafe-fixes")
    assert (result.returncode, result.stdout) == (0, MENDED)
    assert "Fixed 3 findings in 1 file." in result.stderr
    assert (tmp_path / "a.py").read_text() == SOURCE
    unchanged = piped(tmp_path, "-", "--fix", text=MENDED)
    assert (unchanged.returncode, unchanged.stdout) == (0, MENDED)
    diff = piped(tmp_path, "--stdin-filename", "a.py", "-", "--diff")
    assert (diff.returncode, diff.stdout.splitlines()[:2]) == (1, ["--- a.py", "+++ a.py"])


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("-", "a.py"), "goes with no other path"),
        (("a.py", "--stdin-filename", "b.py"), "there is no such path"),
        (("-", "--write-baseline", "b.json"), "do not go together"),
    ],
)
def test_misuse_of_standard_input_is_told_in_a_line(
    tmp_path: Path, args: tuple[str, ...], message: str
) -> None:
    result = piped(tmp_path, *args)
    assert (result.returncode, result.stdout, result.stderr.count("\n")) == (2, "", 1)
    assert message in result.stderr


def test_statistics_count_by_rule(lossaudit: Lossaudit, tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(SOURCE)
    result = lossaudit("check", "--statistics")
    assert result.returncode == 1
    assert result.stdout.splitlines() == [
        "2  LA402 log-of-sigmoid (2 fixable)",
        "1  LA101 softmax-before-cross-entropy (1 fixable)",
        "Found 1 error, 2 warnings in 1 of 1 file.",
        "Fixable: 2 with --fix, 1 with --fix --unsafe-fixes.",
    ]
    table = json.loads(lossaudit("check", "--statistics", "--output-format", "json").stdout)
    assert table[0] == {"code": "LA402", "name": "log-of-sigmoid", "count": 2, "fixable": 2}


def test_files_are_listed_and_not_checked(lossaudit: Lossaudit, tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("x = (")
    (tmp_path / "b.txt").write_text("x")
    (tmp_path / "build").mkdir()
    (tmp_path / "build" / "c.py").write_text("x")
    result = lossaudit("check", "--show-files")
    assert (result.returncode, result.stdout) == (0, "a.py\n")


def test_where_there_is_nothing_to_check_nothing_is_called_clean(
    lossaudit: Lossaudit, tmp_path: Path
) -> None:
    assert lossaudit("check").stdout == "No files were checked.\n"
    missing = lossaudit("check", "missing.py")
    assert missing.returncode == 2
    assert missing.stdout.endswith("\nFound 1 error.\n")
    (tmp_path / "a.py").write_text("x = (")
    both = lossaudit("check", "missing.py", "a.py")
    assert both.stdout.endswith("\nFound 2 errors in 2 of 2 files.\n")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"x = 1\ny\x00", "null bytes: this is binary data, or text in UTF-16; Python reads neither"),
        (b"\xff\xfex\x00", "the source encoding is not usable: it is not UTF-8, and no other is declared"),
        (b"# coding: klingon\n", "the source encoding is not usable: unknown encoding: klingon"),
    ],
)
def test_what_is_no_text_is_said_in_plain_words(
    lossaudit: Lossaudit, tmp_path: Path, data: bytes, message: str
) -> None:
    (tmp_path / "a.py").write_bytes(data)
    result = lossaudit("check", "--output-format", "concise")
    assert result.returncode == 2
    assert f":1: E002 {message}\n" in result.stdout


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no device that is always full")
def test_a_full_disk_is_told_without_a_traceback(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(SOURCE)
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        result = subprocess.run(
            [sys.executable, "-m", "lossaudit", "check"],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=600,
            check=False,
        )
    assert (result.returncode, "Traceback" in result.stderr) == (2, False)
    assert result.stderr.startswith("Error: the output cannot be written")
