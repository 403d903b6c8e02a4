"""Fixes in notebooks: cells change as text, and every other byte of the file stays."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lossaudit.check.audit import CheckRun, Request, run
from lossaudit.check.cell_edits import edit_notebook
from lossaudit.check.fix import apply_edits, edited
from lossaudit.cli import cli
from lossaudit.findings import Edit, Position, Span
from lossaudit.notebooktext import read_notebook
from lossaudit.rulebook import load_rules
from lossaudit.sourcetext import split_lines

RULES = frozenset(code for code in load_rules() if code.startswith("LA"))

TRAINING = """\
{
 "cells": [
  {"cell_type": "markdown", "metadata": {}, "source": ["# Caf\\u00e9 \\/ *training*"]},
  {
   "cell_type": "code",
   "execution_count": 3, "id": "a1", "metadata": {"tags": ["setup"]},
   "outputs": [{"name": "stdout", "output_type": "stream", "text": ["1e-3  \\n"]}],
   "source": [
    "%matplotlib inline\\n",
    "import torch\\n",
    "import torch.nn as nn"
   ]
  },
  {"source": "class Net(nn.Module):  # caf\\u00e9\\n    def __init__(self):\\n        super().__init__()\\n        self.fc = nn.Linear(4, 3)\\n\\n    def forward(self, x):\\n        return torch.softmax(self.fc(x), dim=1)", "cell_type": "code", "metadata": {}, "outputs": [], "execution_count": null},
  {
   "cell_type": "code", "execution_count": null, "metadata": {}, "outputs": [],
   "source": [
    "net, criterion = Net(), nn.CrossEntropyLoss()\\n",
    "total = 0.0"
   ]
  },
  {
   "cell_type": "code", "execution_count": 1.50e0, "metadata": {}, "outputs": [],
   "source": [
    "%%time\\n",
    "for x, y in loader:\\n",
    "    loss = criterion(net(x), y)  # \u00e9\\n",
    "    loss.backward()\\n",
    "    !nvidia-smi\\n",
    "    total += loss\\n",
    "def f(x):\\n",
    "    return torch.log(\\n",
    "        torch.softmax(net.fc(x), dim=1)\\n",
    "    ).mean()"
   ]
  }
 ],
 "metadata": {"kernelspec": {"language": "python", "name": "python3"}},
 "nbformat": 4, "nbformat_minor": 5
}

"""
SAFE = TRAINING.replace("total += loss", "total += loss.detach()").replace(
    'torch.log(\\n",\n    "        torch.softmax(net.fc(x), dim=1)\\n",\n    "    ).mean()"',
    'torch.log_softmax(net.fc(x), dim=1).mean()"',
)
UNSAFE = SAFE.replace("return torch.softmax(self.fc(x), dim=1)", "return self.fc(x)")


def check(path: Path, change: str = "none", *, unsafe: bool = False) -> CheckRun:
    return run(Request((path,), path.parent, RULES, change=change, unsafe=unsafe))  # type: ignore[arg-type]


@pytest.fixture
def training(tmp_path: Path) -> Path:
    path = tmp_path / "train.ipynb"
    path.write_bytes(TRAINING.encode())
    return path


@pytest.mark.parametrize(("unsafe", "text"), [(False, SAFE), (True, UNSAFE)])
def test_fixes_change_the_lines_of_cells_and_no_other_byte(training: Path, unsafe: bool, text: str) -> None:
    outcome = check(training, "fix", unsafe=unsafe)
    assert training.read_bytes().decode() == text
    assert [finding.code for finding in outcome.findings] == ([] if unsafe else ["LA101"])
    assert check(training, "fix", unsafe=unsafe).changes == ()
    assert training.read_bytes().decode() == text


def test_the_diff_is_told_by_cell_and_nothing_is_written(training: Path) -> None:
    result = CliRunner().invoke(
        cli, ["check", str(training), "--isolated", "--diff", "--unsafe-fixes", "--show-fixes"]
    )
    name = training.as_posix()
    assert f"--- {name}:cell 2\n+++ {name}:cell 2\n@@ -4,4 +4,4 @@\n" in result.stdout
    assert "-        return torch.softmax(self.fc(x), dim=1)\n+        return self.fc(x)\n" in result.stdout
    assert f"--- {name}:cell 4\n" in result.stdout
    assert ":cell 3" not in result.stdout
    assert "1 x LA505 loss-accumulates-graph" in result.stderr
    assert training.read_bytes().decode() == TRAINING


def test_json_tells_edits_by_cell(training: Path) -> None:
    result = CliRunner().invoke(cli, ["check", str(training), "--isolated", "--output-format", "json"])
    found = {one["code"]: one["fix"]["edits"] for one in json.loads(result.stdout)}
    assert found["LA505"] == [
        {
            "filename": str(training),
            "cell": 4,
            "content": ".detach()",
            "location": {"row": 6, "column": 18},
            "end_location": {"row": 6, "column": 18},
        }
    ]
    assert {edit["cell"] for edit in found["LA101"]} == {2}


def test_add_ignore_writes_comments_that_hold_and_go_when_they_are_idle(training: Path) -> None:
    assert check(training, "ignore").findings == ()
    text = training.read_bytes().decode()
    assert '"    loss = criterion(net(x), y)  # \u00e9  # lossaudit: ignore[LA101]\\n"' in text
    assert '"    total += loss  # lossaudit: ignore[LA505]\\n"' in text
    assert json.loads(text)["cells"][0] == json.loads(TRAINING)["cells"][0]
    assert check(training).findings == ()
    assert check(training, "ignore").changes == ()
    training.write_text(text.replace("total += loss", "total += loss.item()"), encoding="utf-8")
    assert [finding.code for finding in check(training).findings] == ["LA001"]
    assert check(training, "fix").findings == ()
    assert '"    total += loss.item()\\n"' in training.read_bytes().decode()


def test_an_import_goes_to_the_cell_of_the_imports(tmp_path: Path) -> None:
    path = tmp_path / "a.ipynb"
    cells = [["from torch import log, sigmoid"], ["def f(x, w):\n", "    return log(sigmoid(x @ w)).mean()"]]
    made = [{"cell_type": "code", "metadata": {}, "outputs": [], "source": one} for one in cells]
    path.write_text(json.dumps({"cells": made, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))
    check(path, "fix")
    assert [one["source"] for one in json.loads(path.read_text())["cells"]] == [
        ["from torch import log, sigmoid\n", "import torch.nn.functional as F"],
        ["def f(x, w):\n", "    return F.logsigmoid(x @ w).mean()"],
    ]


def notebook(*cells: object, **more: object) -> bytes:
    made = [{"cell_type": "code", "source": cell} for cell in cells]
    return json.dumps({"nbformat": 4, "metadata": {}, "cells": made, **more}, indent=1).encode()


def edit(start: tuple[int, int], end: tuple[int, int], content: str) -> Edit:
    return Edit(Span("a.ipynb", Position(*start), Position(*end)), content)


@pytest.mark.parametrize(
    ("cells", "change", "after"),
    [
        ([["a = 1"], ["b = 2"]], edit((2, 1), (2, 1), "import m\n"), [["a = 1\n", "import m"], ["b = 2"]]),
        ([["%%bash\n", "ls"], ["b = 2"]], edit((3, 1), (3, 1), "import m\n"), [None, ["import m\n", "b = 2"]]),
        ([["a = 1\n", "b = 2\n", "c = 3"]], edit((2, 1), (3, 1), ""), [["a = 1\n", "c = 3"]]),
        ([["a = 1\n", "b = 2"], ["c = 3"]], edit((2, 1), (3, 1), ""), [["a = 1"], ["c = 3"]]),
        ([["a = 1\n", "b = 2"]], edit((2, 1), (2, 7), ""), [["a = 1"]]),
        (["a = 1\nb = 2", "c = 3"], edit((2, 1), (2, 1), "import m\n"), ["a = 1\nimport m\nb = 2", "c = 3"]),
        (["a = 1\r\nb = 2"], edit((2, 1), (2, 1), "import m\n"), ["a = 1\r\nimport m\r\nb = 2"]),
        ([["a = '\U0001f600' \"", '"\n', "b = 2"]], edit((1, 11), (2, 2), "\nc"), [["a = '\U0001f600' \"", '"\n', "c = 2"]]),
    ],
)  # fmt: skip
def test_whole_lines_stay_in_their_cells(cells: list[object], change: Edit, after: list[object]) -> None:
    found = edited("a.ipynb", notebook(*cells), [change])
    wanted = notebook(*(cells[place] if cell is None else cell for place, cell in enumerate(after)))
    assert found is not None
    assert found.decode() == wanted.decode()


@pytest.mark.parametrize(
    ("cells", "change"),
    [
        (["a = 1", "b = 2"], edit((1, 5), (2, 2), "x")),
        (["%time a = 1"], edit((1, 1), (1, 2), "x")),
        (["a = 1"], edit((1, 5), (1, 6), "(")),
        ([[]], edit((1, 1), (1, 1), "import m\n")),
    ],
)
def test_what_does_not_fit_into_a_cell_is_not_made(cells: list[object], change: Edit) -> None:
    assert edited("a.ipynb", notebook(*cells), [change]) is None


def test_other_documents_are_left_alone() -> None:
    change = edit((1, 1), (1, 2), "b")
    for data in (b"", b"[]", b'{"nbformat": 4}', b'{"nbformat": 4, "cells": 3}', b"\xff"):
        assert edit_notebook(data, [change]) is None
    r = notebook("a <- 1", metadata={"language_info": {"name": "R"}})
    assert edit_notebook(r, [change]) is None
    old = b'{"nbformat": 3, "worksheets": [{"cells": [{"cell_type": "code", "input": ["a = 1"]}]}]}'
    assert edit_notebook(old, [change]) == old.replace(b"a = 1", b"b = 1")
    marked = b"\xef\xbb\xbf" + notebook("a = 1")
    assert edit_notebook(marked, [change]) == marked.replace(b"a = 1", b"b = 1")


def test_a_notebook_of_which_nothing_was_python_may_become_python() -> None:
    assert edited("a.ipynb", notebook("2]"), [edit((1, 2), (1, 3), "")]) == notebook("2")
    assert edited("a.ipynb", notebook("2]"), [edit((1, 1), (1, 2), "")]) is None


CELL = st.lists(
    st.sampled_from(["a = 1", "b = '\u00e9'", "c = '\U0001f600\"'", "", "d = [1,", "2]", "%ls", "\tif x:\\"]),
    max_size=4,
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(CELL, st.booleans()), min_size=1, max_size=4), st.booleans(), st.data())
def test_an_edit_of_the_module_is_the_edit_of_the_notebook(
    made: list[tuple[list[str], bool]], is_ascii: bool, data: st.DataObject
) -> None:
    """Whatever the layout: either it is refused, or the module of the result is the edited module, and the rest is the same."""
    sources = [
        "\n".join(lines) if is_text else "\n".join(lines).splitlines(keepends=True) for lines, is_text in made
    ]
    before = json.dumps(
        {"nbformat": 4, "cells": [{"cell_type": "code", "source": one, "x": [1.0, "é"]} for one in sources]},
        indent=data.draw(st.sampled_from([None, 1, "\t"])),
        ensure_ascii=is_ascii,
    ).encode()
    module = read_notebook(before).source
    rows = split_lines(module.decode())
    places = [Position(row, column + 1) for row, text in enumerate(rows, 1) for column in range(len(text))]
    first, last = sorted(data.draw(st.tuples(st.sampled_from(places), st.sampled_from(places))))
    change = Edit(Span("a.ipynb", first, last), data.draw(st.sampled_from(["", "x", "x\n", "é = 2\ny = 3"])))
    after = edited("a.ipynb", before, [change])
    if after is None:
        return
    wanted = apply_edits(module, [change]).decode().split("\n")
    assert [line for line in read_notebook(after).source.decode().split("\n") if line.strip()] == [
        line for line in wanted if line.strip()
    ]
    old, new = json.loads(before), json.loads(after)
    for one, other in zip(old["cells"], new["cells"], strict=True):
        assert type(one.pop("source")) is type(other.pop("source"))
        assert one == other
    if is_ascii:
        assert change.content.isascii() is False or after.isascii() or not before.isascii()
