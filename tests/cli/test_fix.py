"""``lossaudit check --fix`` as a command: streams, exit codes, the shape of a fix in JSON."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.conftest import Lossaudit

SOURCE = """\
import torch
import torch.nn.functional as F


def loss(z, y):
    return -(y * torch.log(torch.softmax(z, 1))).sum() + F.cross_entropy(z.softmax(1), y)
"""


def test_json_tells_the_edits_and_keeps_stdout_to_itself(lossaudit: Lossaudit, tmp_path: Path) -> None:
    file = tmp_path / "a.py"
    file.write_text(SOURCE)
    findings = json.loads(lossaudit("check", "--output-format", "json").stdout)
    fixes = {finding["code"]: finding["fix"] for finding in findings}
    assert {code: fix["applicability"] for code, fix in fixes.items()} == {"LA101": "unsafe", "LA401": "safe"}
    assert set(fixes["LA101"]["edits"][0]) == {"filename", "content", "location", "end_location"}
    result = lossaudit("check", "--fix", "--unsafe-fixes", "--output-format", "json")
    assert (json.loads(result.stdout), result.stderr) == ([], "Fixed 2 findings in 1 file.\n")
    assert result.returncode == 0
    assert "torch.log_softmax(z, 1)).sum() + F.cross_entropy(z, y)" in file.read_text()


def test_diff_is_a_patch_on_stdout(lossaudit: Lossaudit, tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(SOURCE)
    result = lossaudit("check", "--fix", "--diff", "--show-fixes")
    assert result.stdout.startswith("--- a.py\n+++ a.py\n@@ ")
    assert "Would fix 1 finding in 1 file.\n" in result.stderr
    assert "1 x LA401 log-of-softmax" in result.stderr
    assert (result.returncode, (tmp_path / "a.py").read_text()) == (1, SOURCE)


def test_what_does_not_go_together_is_a_usage_error(lossaudit: Lossaudit) -> None:
    result = lossaudit("check", "--fix", "--add-ignore")
    assert (result.returncode, "do not go together" in result.stderr) == (2, True)
    assert "Traceback" not in result.stderr
