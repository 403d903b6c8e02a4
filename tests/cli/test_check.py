"""``lossaudit check`` as a user meets it."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Lossaudit

MODELS = """\
import torch.nn.functional as F
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(8, 3)

    def forward(self, x):
        return F.softmax(self.fc(x), dim=1)
"""
TRAIN = """\
from torch import nn
from models import Net

criterion = nn.CrossEntropyLoss()
model = Net()

def step(x, y):
    loss = criterion(model(x), y)
    return loss
"""
BROKEN_LINE = 8


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "models.py").write_text(MODELS)
    (tmp_path / "train.py").write_text(TRAIN)
    return tmp_path


@pytest.mark.usefixtures("project")
def test_text_shows_the_place_the_code_the_trail_and_the_help(lossaudit: Lossaudit) -> None:
    result = lossaudit("check", ".")
    assert result.returncode == 1, result.stderr
    assert "LA101 softmax-before-cross-entropy" in result.stdout
    assert f"--> train.py:{BROKEN_LINE}:12" in result.stdout
    assert " " * 11 + "^" * len("criterion(model(x), y)") in result.stdout
    assert "models.py:10:16" in result.stdout
    assert "= help:" in result.stdout
    assert "Found 1 error in 1 of 2 files." in result.stdout
    assert "\x1b[" not in result.stdout


@pytest.mark.usefixtures("project")
def test_json_has_the_published_shape(lossaudit: Lossaudit) -> None:
    result = lossaudit("check", ".", "--output-format", "json")
    (finding,) = json.loads(result.stdout)
    assert set(finding) == {
        "code", "name", "severity", "message", "filename", "location", "end_location", "trail", "fix", "url",
    }  # fmt: skip
    assert (finding["code"], finding["name"], finding["severity"]) == (
        "LA101", "softmax-before-cross-entropy", "error",
    )  # fmt: skip
    assert finding["filename"] == "train.py"
    assert finding["location"] == {"row": BROKEN_LINE, "column": 12}
    assert finding["end_location"] == {"row": BROKEN_LINE, "column": 34}
    assert {step["filename"] for step in finding["trail"]} == {"models.py", "train.py"}
    assert all(set(step) == {"filename", "row", "column", "message"} for step in finding["trail"])


@pytest.mark.usefixtures("project")
def test_concise_gives_one_line_a_finding(lossaudit: Lossaudit) -> None:
    result = lossaudit("check", "--output-format", "concise", ".")
    first, last, fixable = result.stdout.splitlines()
    assert first.startswith(f"train.py:{BROKEN_LINE}:12: LA101 ")
    assert last == "Found 1 error in 1 of 2 files."
    assert fixable == "Fixable: 1 with --fix --unsafe-fixes."


@pytest.mark.usefixtures("project")
def test_colour_only_when_asked_or_on_a_terminal(lossaudit: Lossaudit) -> None:
    assert "\x1b[" in lossaudit("check", ".", "--color", "always").stdout
    assert "\x1b[" in lossaudit("check", ".", FORCE_COLOR="1").stdout
    assert "\x1b[" not in lossaudit("check", ".", FORCE_COLOR="1", NO_COLOR="1").stdout


def test_a_clean_folder_and_an_empty_one_leave_with_zero(lossaudit: Lossaudit, tmp_path: Path) -> None:
    assert lossaudit("check").returncode == 0
    (tmp_path / "a.py").write_text("x = 1\n")
    result = lossaudit("check")
    assert (result.returncode, result.stdout) == (0, "No loss bugs found in 1 file.\n")


@pytest.mark.usefixtures("project")
def test_selection(lossaudit: Lossaudit) -> None:
    assert lossaudit("check", "--select", "LA4").returncode == 0
    assert lossaudit("check", "--ignore", "softmax-before-cross-entropy").returncode == 0
    assert lossaudit("check", "--ignore", "LA1").returncode == 0
    assert lossaudit("check", "--select", "LA101,LA102").returncode == 1
    assert lossaudit("check", "--select", "LA4", "--extend-select", "LA101").returncode == 1
    assert lossaudit("check", "--exit-zero").returncode == 0


def test_an_unknown_rule_is_a_usage_error_with_the_closest_names(lossaudit: Lossaudit) -> None:
    result = lossaudit("check", "--select", "softmax-before-crossentropy")
    assert result.returncode == 2
    assert "did you mean LA101 (softmax-before-cross-entropy)" in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize(
    "comment",
    ["# lossaudit: ignore[LA101] measured on purpose", "# noqa: LA101", "# noqa: E501, LA101"],
)
def test_suppression_comments(lossaudit: Lossaudit, project: Path, comment: str) -> None:
    call = "criterion(model(x), y)"
    (project / "train.py").write_text(TRAIN.replace(call, f"{call}  {comment}"))
    assert lossaudit("check").stdout == "No loss bugs found in 2 files.\n"


def test_a_suppression_in_a_string_suppresses_nothing(lossaudit: Lossaudit, project: Path) -> None:
    text = TRAIN.replace("model(x), y)", 'model(x), y); note = "# lossaudit: ignore[LA101]"')
    (project / "train.py").write_text(text)
    assert "Found 1 error" in lossaudit("check").stdout


def test_an_unused_suppression_is_reported(lossaudit: Lossaudit, tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("x = 1  # lossaudit: ignore[LA101] no longer needed\n")
    result = lossaudit("check", "--output-format", "concise")
    assert "a.py:1:8: LA001 this suppression of LA101 suppresses nothing" in result.stdout
    assert lossaudit("check", "--select", "LA001,LA102").returncode == 0


@pytest.mark.usefixtures("project")
def test_a_baseline_hides_what_it_holds_and_nothing_else(lossaudit: Lossaudit, project: Path) -> None:
    assert lossaudit("check", "--write-baseline", "known.json").returncode == 0
    assert lossaudit("check", "--baseline", "known.json").returncode == 0
    (project / "train.py").write_text("import os\n\n" + TRAIN + "\nagain = criterion(model(1), 2)\n")
    result = lossaudit("check", "--baseline", "known.json", "--output-format", "concise")
    assert result.stdout.splitlines()[0].startswith(f"train.py:{BROKEN_LINE + 5}:9: LA101")
    assert "Found 1 error" in result.stdout
    missing = lossaudit("check", "--baseline", "nowhere.json")
    assert (missing.returncode, "nowhere.json: the baseline cannot be read" in missing.stderr) == (2, True)


class TestConfiguration:
    def test_pyproject_selects_and_ignores(self, lossaudit: Lossaudit, project: Path) -> None:
        (project / "pyproject.toml").write_text('[tool.lossaudit]\nignore = ["LA101"]\n')
        assert lossaudit("check").returncode == 0
        assert lossaudit("check", "--isolated").returncode == 1
        assert lossaudit("check", "--ignore", "LA4").returncode == 1

    def test_per_file_ignores_and_exclude(self, lossaudit: Lossaudit, project: Path) -> None:
        (project / "lossaudit.toml").write_text('per-file-ignores = { "train.py" = ["LA1"] }\n')
        assert lossaudit("check").returncode == 0
        (project / "lossaudit.toml").write_text('extend-exclude = ["train.py"]\n')
        assert lossaudit("check").returncode == 0
        assert lossaudit("check", "train.py").returncode == 1
        assert lossaudit("check", "--force-exclude", "train.py").returncode == 0

    def test_the_nearest_file_wins_from_any_folder(self, lossaudit: Lossaudit, project: Path) -> None:
        (project / "pyproject.toml").write_text('[tool.lossaudit]\nignore = ["LA101"]\n')
        inner = project / "inner"
        inner.mkdir()
        (inner / "lossaudit.toml").write_text("")
        for name in ("models.py", "train.py"):
            (inner / name).write_text((project / name).read_text())
        assert lossaudit("check", str(inner)).returncode == 1
        assert lossaudit("check", str(project)).returncode == 0

    def test_an_unknown_key_is_an_error_with_the_closest_one(
        self, lossaudit: Lossaudit, project: Path
    ) -> None:
        (project / "pyproject.toml").write_text('[tool.lossaudit]\nslect = ["LA1"]\n')
        result = lossaudit("check")
        assert result.returncode == 2
        assert "pyproject.toml: unknown key `slect` in [tool.lossaudit]; did you mean select" in result.stderr
        assert "Traceback" not in result.stderr

    def test_a_wrong_type_and_broken_toml_are_errors(self, lossaudit: Lossaudit, project: Path) -> None:
        (project / "pyproject.toml").write_text('[tool.lossaudit]\nselect = "LA1"\n')
        result = lossaudit("check")
        assert (result.returncode, "tool.lossaudit.select" in result.stderr) == (2, True)
        (project / "pyproject.toml").write_text("[tool.lossaudit\n")
        assert lossaudit("check").returncode == 2


class TestBadInput:
    """A bad file is named, the others are checked, nothing ends in a traceback."""

    def check(self, lossaudit: Lossaudit, *args: str) -> tuple[int, str]:
        result = lossaudit("check", "--output-format", "concise", *args)
        assert "Traceback" not in result.stdout + result.stderr
        return result.returncode, result.stdout

    def test_syntax_error(self, lossaudit: Lossaudit, project: Path) -> None:
        (project / "broken.py").write_text("from torch import nn\nnn.CrossEntropyLoss(\ndef f(:\n")
        code, out = self.check(lossaudit)
        assert code == 1
        assert "broken.py:" in out
        assert "E001" in out
        assert f"train.py:{BROKEN_LINE}:12: LA101" in out

    def test_only_a_syntax_error_leaves_with_two(self, lossaudit: Lossaudit, tmp_path: Path) -> None:
        (tmp_path / "broken.py").write_text("import torch\ndef f(:\n    nn.CrossEntropyLoss(\n")
        code, out = self.check(lossaudit)
        assert (code, "E001" in out) == (2, True)

    def test_latin_1_bytes(self, lossaudit: Lossaudit, project: Path) -> None:
        (project / "latin.py").write_bytes(
            "# Größe\nfrom torch.nn import CrossEntropyLoss\n".encode("latin-1")
        )
        code, out = self.check(lossaudit)
        assert code == 1
        assert "latin.py:1:1: E002" in out
        assert "LA101" in out

    def test_declared_latin_1_is_read(self, lossaudit: Lossaudit, project: Path) -> None:
        declared = "# -*- coding: latin-1 -*-\n# Größe\n" + TRAIN
        (project / "train.py").write_bytes(declared.encode("latin-1"))
        _, out = self.check(lossaudit)
        assert f"train.py:{BROKEN_LINE + 2}:12: LA101" in out
        assert "E002" not in out

    def test_missing_path(self, lossaudit: Lossaudit, project: Path) -> None:
        code, out = self.check(lossaudit, "train.py", "nowhere.py")
        assert code == 1
        assert "nowhere.py:1:1: E003 cannot be opened: No such file or directory" in out
        assert "LA101" in out
        code, out = self.check(lossaudit, "nowhere.py")
        assert code == 2

    @pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="root reads everything")
    def test_unreadable_file(self, lossaudit: Lossaudit, project: Path) -> None:
        (project / "secret.py").write_text("")
        (project / "secret.py").chmod(0)
        code, out = self.check(lossaudit)
        assert (code, "secret.py:1:1: E003" in out) == (1, True)

    def test_symlink_loops(self, lossaudit: Lossaudit, project: Path) -> None:
        (project / "loop").symlink_to(project, target_is_directory=True)
        (project / "self.py").symlink_to(project / "self.py")
        code, out = self.check(lossaudit)
        assert code == 1
        assert "self.py:1:1: E003" in out
        assert out.count("LA101") == 1

    def test_empty_huge_and_nested(self, lossaudit: Lossaudit, project: Path) -> None:
        (project / "empty.py").write_text("")
        (project / "huge.py").write_text(
            "import torch.nn as nn\nc = nn.CrossEntropyLoss()\n" + "x = [1, 2, 3]\n" * 350_000
        )
        (project / "nested.py").write_text(
            "from torch.nn import CrossEntropyLoss\nx = " + "(" * 3000 + "1" + ")" * 3000 + "\n"
        )
        (project / "table.py").write_text("x = [1, 2, 3]\n" * 350_000)
        code, out = self.check(lossaudit)
        assert code == 1
        assert "huge.py:1:1: E005 not checked: 4.9 MB in one file, more than 1 MB" in out
        assert "table.py" not in out
        assert f"train.py:{BROKEN_LINE}:12: LA101" in out
