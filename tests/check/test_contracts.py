"""What users declare of their own losses and models in ``[tool.lossaudit.contracts]``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lossaudit import config
from lossaudit.check import CheckOptions, Declared, check_files
from lossaudit.check.contracts.user import INPUTS, YIELDS
from lossaudit.config import ConfigError, find_configuration

LOSS = Declared("mylib.losses.FocalLoss", input="logits")
MODEL = Declared("mylib.models.Net", yields="softmax")


def found(folder: Path, *declared: Declared) -> list[tuple[str, str, int]]:
    result = check_files(sorted(folder.rglob("*.py")), CheckOptions(contracts=declared))
    return [(one.code, Path(one.span.filename).name, one.span.start.row) for one in result.findings]


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


NOT_INSTALLED = """\
import torch
from mylib.losses import FocalLoss
from mylib import models

criterion = FocalLoss(gamma=2.0)
net = models.Net(10)


def train(x, y):
    loss = criterion(torch.softmax(x, dim=1), y)
    return loss + criterion(net(x), y) + criterion(x, y)
"""


def test_a_library_that_is_not_installed_is_judged_by_its_contract(tmp_path: Path) -> None:
    write(tmp_path, {"train.py": NOT_INSTALLED})
    assert found(tmp_path) == []
    assert found(tmp_path, LOSS) == [("LA101", "train.py", 10)]
    assert found(tmp_path, LOSS, MODEL) == [("LA101", "train.py", 10), ("LA101", "train.py", 11)]


IN_THE_TREE = """\
import torch


class FocalLoss(torch.nn.Module):
    def forward(self, scores, target):
        return external_kernel(scores, target)
"""
USES_IT = """\
import torch
from mylib.losses import FocalLoss

criterion = FocalLoss()


def train(x, y):
    return criterion(torch.softmax(x, dim=1), y)
"""


@pytest.mark.parametrize(
    "spelling",
    ["from mylib.losses import FocalLoss", "from mylib import FocalLoss", "from .losses import FocalLoss"],
)
def test_a_contract_wins_over_the_code_in_the_tree(tmp_path: Path, spelling: str) -> None:
    text = USES_IT.replace("from mylib.losses import FocalLoss", spelling)
    package = {"mylib/__init__.py": "from mylib.losses import FocalLoss\n", "mylib/losses.py": IN_THE_TREE}
    write(tmp_path, {**package, "mylib/train.py": text})
    assert found(tmp_path) == []
    assert found(tmp_path, LOSS) == [("LA101", "train.py", 8)]


def test_a_contract_can_silence_what_the_code_seems_to_say(tmp_path: Path) -> None:
    seems_to_take_logits = "import torch\n\n\nclass FocalLoss(torch.nn.CrossEntropyLoss):\n    pass\n"
    write(tmp_path, {"mylib/__init__.py": "", "mylib/losses.py": seems_to_take_logits, "train.py": USES_IT})
    assert found(tmp_path) == [("LA101", "train.py", 8)]
    assert found(tmp_path, Declared("mylib.losses.FocalLoss", input="probabilities")) == []


def test_another_module_of_the_same_last_name_is_another_module(tmp_path: Path) -> None:
    uses_it = USES_IT.replace("mylib", "other")
    write(tmp_path, {"other/__init__.py": "", "other/losses.py": IN_THE_TREE, "other/train.py": uses_it})
    assert found(tmp_path, Declared("losses.FocalLoss", input="logits")) == []


def test_functions_and_the_place_of_the_prediction(tmp_path: Path) -> None:
    text = """\
import torch
from mylib.losses import focal, keyed
from mylib.nets import squash


def train(x, y):
    loss = focal(y, squash(x)) + focal(squash(x), x)
    return loss + keyed(target=y, pred=squash(x))
"""
    write(tmp_path, {"train.py": text})
    declared = (
        Declared("mylib.losses.focal", input="binary-logits", prediction=1),
        Declared("mylib.losses.keyed", input="binary-logits", prediction="pred"),
        Declared("mylib.nets.squash", yields="sigmoid"),
    )
    assert found(tmp_path, *declared) == [("LA105", "train.py", 7), ("LA105", "train.py", 8)]


def test_the_configuration_and_the_engine_allow_the_same_words() -> None:
    assert tuple(INPUTS) == config.LOSS_INPUTS
    assert tuple(YIELDS) == config.MODEL_OUTPUTS


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ('"FocalLoss" = { input = "logits" }', "not a dotted name"),
        ('"a.B" = { imput = "logits" }', "unknown key `imput`; did you mean input?"),
        ('"a.B" = { zzz = 1 }', "known keys: input, yields, prediction"),
        (
            '"a.B" = { input = "logit" }',
            "`input` is 'logit'; allowed are logits, probabilities, log-probabilities, ",
        ),
        (
            '"a.B" = { yields = ["softmax"] }',
            "allowed are logits, softmax, log-softmax, sigmoid, log-sigmoid",
        ),
        ('"a.B" = { }', "say either `input`"),
        ('"a.B" = { input = "logits", yields = "softmax" }', "say either `input`"),
        ('"a.B" = { input = "logits", prediction = -1 }', "`prediction` is -1"),
        ('"a.B" = { input = "logits", prediction = "class" }', "`prediction` is 'class'"),
        ('"a.B" = { yields = "softmax", prediction = 0 }', "the place of a loss's argument"),
        ('"a.B" = "logits"', "contracts"),
    ],
)
def test_a_contract_that_says_nothing_usable_is_an_error(tmp_path: Path, entry: str, message: str) -> None:
    (tmp_path / "pyproject.toml").write_text(f"[tool.lossaudit.contracts]\n{entry}\n")
    with pytest.raises(ConfigError) as caught:
        find_configuration([tmp_path])
    assert message in str(caught.value)
    assert "pyproject.toml" in str(caught.value)


def test_the_command_reads_contracts_from_the_configuration(tmp_path: Path) -> None:
    from click.testing import CliRunner

    from lossaudit.cli import cli

    write(tmp_path, {"train.py": NOT_INSTALLED})
    (tmp_path / "lossaudit.toml").write_text('[contracts]\n"mylib.losses.FocalLoss" = { input = "logits" }\n')
    result = CliRunner().invoke(cli, ["check", str(tmp_path), "--output-format", "json"])
    assert [one["code"] for one in json.loads(result.stdout)] == ["LA101"]
