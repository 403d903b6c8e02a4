"""Notebooks: cells in order as one module, magics left out, places told by cell."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from lossaudit.cli import cli
from lossaudit.notebooktext import NotebookError, read_notebook


def notebook(*cells: str, **more: object) -> bytes:
    """Code cells; a text that starts with ``# %% [markdown]`` makes a Markdown cell."""
    made = [
        {
            "cell_type": "markdown" if "[markdown]" in cell else "code",
            "source": cell.splitlines(keepends=True),
        }
        for cell in cells
    ]
    return json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": made, **more}).encode()


def check(path: Path, *options: str) -> Result:
    return CliRunner().invoke(cli, ["check", str(path), "--isolated", *options])


def places(result: Result) -> list[tuple[str, int, int, int]]:
    found = json.loads(result.stdout)
    return [(one["code"], one["cell"], one["location"]["row"], one["location"]["column"]) for one in found]


TRAINING = (
    "%matplotlib inline\n!pip install torch\nimport torch\nimport torch.nn as nn",
    "# %% [markdown]\n# A model",
    (
        "class Net(nn.Module):\n    def __init__(self):\n        super().__init__()\n        self.fc = nn.Linear(4, 3)\n\n"
        "    def forward(self, x):\n        return torch.softmax(self.fc(x), dim=1)"
    ),
    "net, criterion = Net(), nn.CrossEntropyLoss()",
    "%%time\nfor x, y in loader:\n    loss = criterion(net(x), y)\n    !nvidia-smi",
)


def test_a_finding_goes_through_cells_and_is_told_by_cell(tmp_path: Path) -> None:
    path = tmp_path / "train.ipynb"
    path.write_bytes(notebook(*TRAINING))
    result = check(tmp_path, "--output-format", "json")
    assert result.exit_code == 1
    assert places(result) == [("LA101", 4, 3, 12)]
    (finding,) = json.loads(result.stdout)
    assert next((step["cell"], step["row"]) for step in finding["trail"]) == (2, 7)
    assert [edit["cell"] for edit in finding["fix"]["edits"]] == [2, 2]


def test_the_terminal_shows_the_cell_and_its_lines(tmp_path: Path) -> None:
    path = tmp_path / "train.ipynb"
    path.write_bytes(notebook(*TRAINING))
    assert f"{path}:cell 4:3:12: LA101" in check(path, "--output-format", "concise").stdout
    full = check(path).stdout
    assert "3 |     loss = criterion(net(x), y)" in full
    assert "4 |     !nvidia-smi" in full
    assert "return torch.softmax(self.fc(x), dim=1)" in full


@pytest.mark.parametrize(
    ("cell", "python"),
    [
        ("%cd x\ny = 1", ["", "y = 1"]),
        ("if x:\n    !ls\nelse:\n    pass", ["if x:", "    pass", "else:", "    pass"]),
        ("files = !ls *.py\nn = %time len(files)", ["files = None", "n = None"]),
        ("!pip install \\\n    torch \\\n    numpy\nx = 1", ["", "", "", "x = 1"]),
        ("if x:\n    !tar -c \\\n      -f y\nz = 1", ["if x:", "    pass", "", "z = 1"]),
        ("pip install torch\ncd ../work\nx = 1", ["", "", "x = 1"]),
        ("cat = {}\ncat [0] = 1\n!ls", ["cat = {}", "cat [0] = 1", ""]),
        ("?torch.nn\ntorch.nn??\nx = 1", ["", "", "x = 1"]),
        ("%%bash\nls\nrm -r *", ["", "", ""]),
        ("%%capture out\nx = 1", ["", "x = 1"]),
        ("x = (a\n% b)\ny = 'a?'", ["x = (a", "% b)", "y = 'a?'"]),
        ("text = '''\n%not a magic\n'''\n%time f()", ["text = '''", "%not a magic", "'''", ""]),
        ("await f()", ["await f()"]),
    ],
)
def test_magics_are_left_out_and_no_line_moves(cell: str, python: list[str]) -> None:
    assert list(read_notebook(notebook(cell)).python[0]) == python


def test_suppressions_in_cells(tmp_path: Path) -> None:
    path = tmp_path / "train.ipynb"
    accepted = TRAINING[4].replace("net(x), y)", "net(x), y)  # lossaudit: ignore[LA101] on purpose")
    path.write_bytes(notebook(*TRAINING[:4], accepted))
    assert check(path).exit_code == 0
    path.write_bytes(notebook(*TRAINING[:4], accepted, "z = 1  # lossaudit: ignore[LA102]"))
    assert places(check(path, "--output-format", "json")) == [("LA001", 5, 1, 8)]


def test_a_baseline_knows_lines_of_cells(tmp_path: Path) -> None:
    path, baseline = tmp_path / "train.ipynb", str(tmp_path / "baseline.json")
    path.write_bytes(notebook(*TRAINING))
    check(path, "--write-baseline", baseline)
    assert "loss = criterion(net(x), y)" in Path(baseline).read_text()
    path.write_bytes(notebook("a = 1", *TRAINING))
    assert check(path, "--baseline", baseline).exit_code == 0


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "the notebook is not JSON"),
        (b'{"cells": [', "the notebook is not JSON"),
        (b"[1, 2]", "no notebook: it has no `nbformat`"),
        (b"[" * 100_000, "the notebook is not JSON that can be read"),
        (b'\xff\xfe{"nbformat": 4}', "not UTF-8"),
    ],
)
def test_what_is_no_notebook_is_said_in_one_line(tmp_path: Path, data: bytes, message: str) -> None:
    path = tmp_path / "broken.ipynb"
    path.write_bytes(data)
    result = check(path, "--output-format", "concise")
    first = result.stdout.splitlines()[0]
    assert message in first
    assert ("E002" if "UTF-8" in message else "E001") in first
    assert result.exit_code == 2


def test_a_cell_that_is_not_python_is_named_and_the_others_are_checked(tmp_path: Path) -> None:
    path = tmp_path / "train.ipynb"
    path.write_bytes(
        notebook(*TRAINING[:-1], "y = (2,\nz = 3", "total = += 1  # lossaudit: ignore[LA101]", TRAINING[-1])
    )
    found = places(check(path, "--output-format", "json"))
    assert [(code, cell) for code, cell, _, _ in found] == [("E001", 4), ("E001", 5), ("LA101", 6)]
    result = check(path, "--output-format", "concise")
    assert f"{path}:cell 4:1:5: E001" in result.stdout
    assert result.stdout.count("; this cell is left out") == 2
    assert result.exit_code == 1
    assert check(path, "--select", "LA402").exit_code == 1


def test_a_broken_cell_stays_as_it_is_when_others_are_fixed(tmp_path: Path) -> None:
    path = tmp_path / "train.ipynb"
    path.write_bytes(notebook(*TRAINING[:-1], "y = (2,\nz = 3", TRAINING[-1]))
    before = read_notebook(path.read_bytes()).cells
    result = check(path, "--fix", "--unsafe-fixes")
    after = read_notebook(path.read_bytes()).cells
    assert [one == other for one, other in zip(before, after, strict=True)] == [True, False, True, True, True]
    assert after[1][-1] == "        return self.fc(x)"
    assert "E001" in result.stdout
    assert result.exit_code == 1


def test_what_broken_cells_said_is_remembered(tmp_path: Path) -> None:
    path = tmp_path / "train.ipynb"
    path.write_bytes(notebook(*TRAINING, "y = (2,"))
    (tmp_path / "other.py").write_text("import torch\n")
    runner, options = CliRunner(), ["check", str(tmp_path), "--output-format", "concise"]
    first = runner.invoke(cli, options)
    (tmp_path / "other.py").write_text("import torch.nn\n")
    later = [runner.invoke(cli, options) for _ in range(2)]
    assert "E001" in first.stdout
    assert {(one.stdout, one.exit_code) for one in later} == {(first.stdout, first.exit_code)}


def test_a_notebook_without_a_cell_of_python_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "train.ipynb"
    path.write_bytes(notebook("y = (2,\nz = 3"))
    result = check(path, "--output-format", "concise")
    assert f"{path}:cell 1:1:5: E001" in result.stdout
    assert result.exit_code == 2


@pytest.mark.parametrize(
    "document",
    [
        {
            "nbformat": 4,
            "metadata": {"kernelspec": {"language": "R"}},
            "cells": [{"cell_type": "code", "source": "x <- 1"}],
        },
        {"nbformat": 4, "cells": None},
        {
            "nbformat": 4,
            "cells": [None, 3, {"cell_type": "code"}, {"cell_type": "code", "source": [1, None]}],
        },
        {"nbformat": 4, "metadata": [], "cells": {}},
        {"nbformat": 3, "worksheets": [None, {"cells": 3}]},
    ],
)
def test_odd_notebooks_are_silent(tmp_path: Path, document: object) -> None:
    path = tmp_path / "odd.ipynb"
    path.write_text(json.dumps(document))
    assert check(path).exit_code == 0


def test_the_third_format_has_worksheets() -> None:
    cell = {"cell_type": "code", "input": ["x = 1\n", "y = 2"]}
    read = read_notebook(json.dumps({"nbformat": 3, "worksheets": [{"cells": [cell]}]}).encode())
    assert read.source == b"x = 1\ny = 2\n"


def test_lone_surrogates_and_rows() -> None:
    read = read_notebook(
        b'{"nbformat": 4, "cells": [{"cell_type": "code", "source": "x = \'\\ud800\'\\ny = 1"}]}'
    )
    assert read.source.decode().splitlines()[1] == "y = 1"
    assert [read.place(row) for row in (1, 2)] == [(1, 1), (1, 2)]


def test_pictures_do_not_count_as_code(tmp_path: Path) -> None:
    path = tmp_path / "train.ipynb"
    path.write_bytes(notebook(*TRAINING, attachments="x" * 1_500_000))
    assert places(check(path, "--output-format", "json")) == [("LA101", 4, 3, 12)]


def test_not_a_notebook_is_an_exception_with_a_place() -> None:
    with pytest.raises(NotebookError) as caught:
        read_notebook(b'{\n  "nbformat": 4,\n  oops\n}')
    assert (caught.value.row, caught.value.column) == (3, 3)
