"""``--fix`` and its companions as a user meets them."""

from __future__ import annotations

from pathlib import Path

import pytest

from lossaudit.check.audit import CheckRun, Request, run
from lossaudit.check.fix import WriteError
from lossaudit.rulebook import load_rules

RULES = frozenset(code for code in load_rules() if code.startswith("LA"))

SOURCE = """\
import torch
import torch.nn as nn


def f(x, y):
    z = nn.functional.linear(x, x)
    a = torch.log(torch.softmax(z, 1))  # kept
    q = z.softmax(
        1
    )
    loss = nn.functional.cross_entropy(q, y)  # type: ignore
    return loss + a.sum()
"""
SAFE = SOURCE.replace("torch.log(torch.softmax(z, 1))", "torch.log_softmax(z, 1)")
UNSAFE = SAFE.replace("z.softmax(\n        1\n    )", "z")


def check(
    folder: Path, change: str = "none", *, unsafe: bool = False, names: tuple[str, ...] = ()
) -> CheckRun:
    paths = tuple(folder / name for name in names) or (folder,)
    return run(Request(paths, folder, RULES, change=change, unsafe=unsafe))  # type: ignore[arg-type]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "a.py"
    path.write_text(SOURCE)
    return path


def test_safe_fixes_are_made_and_the_rest_is_reported(file: Path) -> None:
    outcome = check(file.parent, "fix")
    assert file.read_text() == SAFE
    assert [finding.code for finding in outcome.findings] == ["LA101"]
    assert [finding.code for change in outcome.changes for finding in change.mended] == ["LA401"]
    assert outcome.exit_code == 1


def test_unsafe_fixes_need_leave_and_the_second_run_changes_nothing(file: Path) -> None:
    assert check(file.parent, "fix", unsafe=True).exit_code == 0
    assert file.read_text() == UNSAFE
    assert check(file.parent, "fix", unsafe=True).changes == ()


def test_diff_writes_nothing_and_leaves_with_one_while_there_is_something_to_fix(file: Path) -> None:
    outcome = check(file.parent, "diff")
    assert file.read_text() == SOURCE
    assert "-    a = torch.log(torch.softmax(z, 1))  # kept\n" in outcome.changes[0].diff
    assert "+    a = torch.log_softmax(z, 1)  # kept\n" in outcome.changes[0].diff
    assert outcome.exit_code == 1
    file.write_text(SAFE)
    assert (check(file.parent, "diff").exit_code, check(file.parent, "diff").changes) == (0, ())


def test_suppressed_findings_are_never_fixed(file: Path) -> None:
    text = SOURCE.replace("# kept", "# lossaudit: ignore[LA401] measured")
    file.write_text(text)
    assert check(file.parent, "fix").changes == ()
    assert file.read_text() == text


MODELS = """\
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(8, 3)

    def forward(self, x):
        return self.fc(x).softmax(dim=1)
"""
TRAIN = """\
from torch import nn
from models import Net

criterion = nn.CrossEntropyLoss()
model = Net()


def step(x, y):
    return criterion(model(x), y)
"""


def test_files_that_were_not_asked_for_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "models.py").write_text(MODELS)
    (tmp_path / "train.py").write_text(TRAIN)
    outcome = check(tmp_path, "fix", unsafe=True, names=("train.py",))
    assert [(finding.code, finding.fix) for finding in outcome.findings] == [("LA101", None)]
    assert (tmp_path / "models.py").read_text() == MODELS
    assert check(tmp_path, "fix", unsafe=True).findings == ()
    assert (tmp_path / "models.py").read_text() == MODELS.replace(".softmax(dim=1)", "")


def test_a_fix_that_would_move_the_mistake_is_taken_back(tmp_path: Path) -> None:
    """Without the softmax of the model, its logarithm elsewhere would be of raw scores."""
    train = TRAIN.replace(
        "    return criterion(model(x), y)",
        "    nn.NLLLoss()(model(x).log(), y).backward()\n    return criterion(model(x), y)",
    )
    (tmp_path / "models.py").write_text(MODELS)
    (tmp_path / "train.py").write_text(train)
    before = {finding.code for finding in check(tmp_path).findings}
    after = {finding.code for finding in check(tmp_path, "fix", unsafe=True).findings}
    assert "LA101" in before
    assert after <= before


def test_a_file_that_changed_meanwhile_is_not_overwritten(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lossaudit.check import audit

    write = audit.write_all

    def late(files: object) -> None:
        file.write_text("x = 1\n")
        write(files)  # type: ignore[arg-type]

    monkeypatch.setattr(audit, "write_all", late)
    with pytest.raises(WriteError, match="changed while it was checked"):
        check(file.parent, "fix")
    assert file.read_text() == "x = 1\n"


class TestAddIgnore:
    TANGLED = '''\
import torch
from torch.nn.functional import cross_entropy as ce


def f(z, y):
    a = ce(torch.softmax(z, 1), y)  # keep
    print(f"""
       {ce(torch.softmax(z, 1), y)}
    """)
    w = 1 + \\
        ce(torch.softmax(z, 1), y)  # noqa: E501
    v = sum([
        ce(torch.softmax(z, 1), y),  # lossaudit: ignore[LA102] see #12
    ])
    # lossaudit: ignore[LA104]
    return a + w + v
'''
    IGNORED = '''\
import torch
from torch.nn.functional import cross_entropy as ce


def f(z, y):
    a = ce(torch.softmax(z, 1), y)  # keep  # lossaudit: ignore[LA101]
    print(f"""
       {ce(torch.softmax(z, 1), y)}
    """)  # lossaudit: ignore[LA101]
    w = 1 + \\
        ce(torch.softmax(z, 1), y)  # noqa: E501  # lossaudit: ignore[LA101]
    v = sum([
        ce(torch.softmax(z, 1), y),  # lossaudit: ignore[LA101] see #12
    ])
    return a + w + v
'''

    def test_comments_stand_where_they_can_and_the_run_is_clean(self, tmp_path: Path) -> None:
        path = tmp_path / "a.py"
        path.write_text(self.TANGLED)
        assert check(tmp_path, "ignore").findings == ()
        assert path.read_text() == self.IGNORED
        assert check(tmp_path).findings == ()
        assert check(tmp_path, "ignore").changes == ()

    def test_line_ends_and_a_missing_last_one_stay(self, tmp_path: Path) -> None:
        path = tmp_path / "a.py"
        path.write_bytes(
            b"import torch\r\nx = torch.rand(2, 2)\r\ny = torch.nn.functional.cross_entropy(x.softmax(1), x)"
        )
        check(tmp_path, "ignore")
        assert path.read_bytes().endswith(b"x.softmax(1), x)  # lossaudit: ignore[LA101]")
        assert path.read_bytes().count(b"\r\n") == 2

    def test_a_file_that_does_not_parse_keeps_its_text(self, tmp_path: Path) -> None:
        path = tmp_path / "a.py"
        path.write_text("import torch\ndef f(:\n    torch.nn.CrossEntropyLoss()\n")
        outcome = check(tmp_path, "ignore")
        assert [finding.code for finding in outcome.findings] == ["E001"]
        assert outcome.changes == ()

    def test_a_file_level_comment_accepts_everywhere(self, tmp_path: Path) -> None:
        path = tmp_path / "a.py"
        path.write_text("# lossaudit: ignore-file[LA101] reference code\n" + self.TANGLED)
        outcome = check(tmp_path)
        assert {finding.code for finding in outcome.findings} == {"LA001"}


class TestUnusedSuppressions:
    @pytest.mark.parametrize(
        ("before", "after"),
        [
            ("x = 1  # lossaudit: ignore[LA101] old\n", "x = 1\n"),
            ("# lossaudit: ignore[LA101]\nx = 1\n", "x = 1\n"),
            ("x = 1  # noqa: E501, LA101\n", "x = 1  # noqa: E501\n"),
            ("x = 1  # noqa: LA101\n", "x = 1\n"),
            ("x = 1  # lossaudit: ignore[LA101]  # type: ignore\n", "x = 1  # type: ignore\n"),
            ("x = 1  # why  # lossaudit: ignore[LA101] see #7\n", "x = 1  # why\n"),
            ("x = 1  # lossaudit: ignore[LA101, LA001] in advance\n", None),
            ("x = '# lossaudit: ignore[LA101]'\n", None),
        ],
    )
    def test_what_goes_and_what_stays(self, tmp_path: Path, before: str, after: str | None) -> None:
        path = tmp_path / "a.py"
        path.write_text(before)
        check(tmp_path, "fix")
        assert path.read_text() == (before if after is None else after)

    def test_undecodable_bytes_and_lone_returns_harm_nothing(self, tmp_path: Path) -> None:
        undecodable = b"import torch  # noqa: LA101\nx = '\xfc'  # CrossEntropyLoss\n"
        returns = b"x = 1  # a\ry = 2  # lossaudit: ignore[LA101]\rz = 3\n"
        (tmp_path / "a.py").write_bytes(undecodable)
        (tmp_path / "b.py").write_bytes(returns)
        for change in ("fix", "ignore"):
            codes = {finding.code for finding in check(tmp_path, change).findings}
            assert "E002" in codes
        assert (tmp_path / "a.py").read_bytes() == undecodable
        assert (tmp_path / "b.py").read_bytes() == returns

    def test_one_code_of_several_goes(self, tmp_path: Path) -> None:
        path = tmp_path / "a.py"
        line = "y = torch.nn.functional.cross_entropy(x.softmax(1), x)  # lossaudit: ignore[{}] why\n"
        path.write_text("import torch\nx = torch.rand(2, 2)\n" + line.format("LA104, LA101"))
        check(tmp_path, "fix")
        assert path.read_text().endswith(line.format("LA101"))
