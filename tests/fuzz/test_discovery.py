"""Losses are found by what their code does; nothing is imported while looking."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from conftest import FIXTURES, ROOT

from lossaudit.fuzz import TargetError
from lossaudit.fuzz.discover import discover, is_place

PACKAGE = {
    "shop/__init__.py": "raise RuntimeError('looking must not import')\n",
    "shop/base.py": """
        from torch import nn

        class Criterion(nn.Module):
            def forward(self, prediction, target):
                raise NotImplementedError
    """,
    "shop/pieces.py": """
        import torch
        from torch.nn import functional as F

        from .base import Criterion

        class Plain(Criterion):
            def forward(self, prediction, target):
                return ((prediction - target) ** 2).mean()

        class Derived(torch.nn.CrossEntropyLoss):
            pass

        class Held(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.inner = torch.nn.BCEWithLogitsLoss()

            def forward(self, scores, labels):
                value = self.inner(scores, labels)
                return value, {"log": value.item()}

        class Attention(torch.nn.Module):
            def forward(self, query, key):
                return torch.softmax(query @ key.T, -1)

        class Classifier(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.layer = torch.nn.Linear(3, 3)

            def forward(self, images, labels):
                return F.cross_entropy(self.layer(images), labels)

        class _Hidden(Criterion):
            def forward(self, prediction, target):
                return F.mse_loss(prediction, target)

        def through_helper(scores, labels):
            return _reduce(F.logsigmoid(scores) * labels)

        def _reduce(values):
            return -values.mean()

        def accuracy(logits, labels):
            return (logits.argmax(1) == labels).float().mean()

        def rotate(image, angle):
            return image * torch.cos(angle)

        def train_loss(model, images, labels):
            return F.cross_entropy(model(images), labels)

        @torch.no_grad()
        def loss_without_gradient(scores, labels):
            return (scores - labels).abs().mean()

        def temperature_loss(scores):
            return scores.mean()
    """,
    "shop/tests/test_pieces.py": "import torch\ndef test_loss(prediction, target):\n    return (prediction - target).mean()\n",
    "shop/broken.py": "import torch\ndef loss(prediction, target:\n",
}


@pytest.fixture
def package(tmp_path: Path) -> Path:
    for name, text in PACKAGE.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text), encoding="utf-8")
    return tmp_path / "shop"


def test_losses_are_found_by_what_they_do(package: Path) -> None:
    found = discover(str(package))
    names = [loss.target.rpartition(":")[2] for loss in found.losses]
    assert names == ["Plain", "Derived", "Held", "through_helper"]
    reasons = {left.target.rpartition(":")[2]: left.reason for left in found.left_out}
    assert "abstract" in reasons["Criterion"]
    assert "private" in reasons["_Hidden"]
    assert "model" in reasons["Classifier"]
    assert "calls its argument model" in reasons["train_loss"]
    assert "without gradients" in reasons["loss_without_gradient"]
    assert "two tensors" in reasons["temperature_loss"]
    assert "Attention" not in names
    assert "accuracy" not in names


def test_the_name_alone_proves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "names.py"
    path.write_text(
        "import torch\n"
        "def loss(first, second):\n    return first\n"
        "def masked_loss_inputs(input, target, mask=None):\n"
        "    return (input, target) if mask is None else (input * mask, target * mask)\n"
        "def mask_for_loss(input, target, mask=None):\n"
        "    if mask is None:\n        return input, target\n"
        "    return input * mask, target * mask\n"
        "def measure(first, second):\n    return -torch.log_softmax(first, 1).gather(1, second).mean()\n",
        encoding="utf-8",
    )
    assert [loss.target for loss in discover(str(path)).losses] == [f"{path}:measure"]


def test_a_product_of_vectors_is_a_number_and_what_is_listed_or_negated_a_tensor(tmp_path: Path) -> None:
    path = tmp_path / "losses.py"
    path.write_text(
        "import torch\n"
        "from torch.nn import functional as F\n"
        "def lovasz(errors, steps):\n    return torch.dot(F.relu(errors), steps)\n"
        "def discriminator(real, fake):\n    return F.softplus(-real).mean() + F.softplus(fake).mean()\n"
        "def triplets(anchor, positive, negative, margin=0.2):\n"
        "    a, p, n = (F.normalize(row, dim=-1) for row in (anchor, positive, negative))\n"
        "    return ((a - p).square().sum(-1) - (a - n).square().sum(-1) + margin).clamp(min=0).mean()\n"
        "def in_batch(first, second, tau=0.1):\n"
        "    z = F.normalize(torch.cat([first, second]), dim=1)\n"
        "    others = (z @ z.T / tau).fill_diagonal_(-1e9)\n"
        "    return F.cross_entropy(others, torch.arange(len(z)).roll(len(z) // 2))\n"
        "def masked(scores, labels):\n"
        "    return torch.where(labels != 0, F.logsigmoid(scores), scores).mean()\n",
        encoding="utf-8",
    )
    names = [loss.target.rpartition(":")[2] for loss in discover(str(path)).losses]
    assert names == ["lovasz", "discriminator", "triplets", "in_batch", "masked"]


def test_a_loss_by_its_own_name_is_one_though_it_takes_the_most_likely_class(tmp_path: Path) -> None:
    path = tmp_path / "losses.py"
    path.write_text(
        "from torch import nn\n"
        "from torch.nn import functional as F\n"
        "class DiceLoss(nn.Module):\n"
        "    def forward(self, logits, mask):\n"
        "        p = F.one_hot(logits.argmax(1), 3)\n"
        "        return 1 - (p * F.one_hot(mask, 3)).sum() / len(p)\n"
        "class Agreement(nn.Module):\n"
        "    def forward(self, logits, mask):\n"
        "        return (logits.argmax(1) == mask).float().mean()\n",
        encoding="utf-8",
    )
    found = discover(str(path))
    assert [loss.target.rpartition(":")[2] for loss in found.losses] == ["DiceLoss"]
    assert [(left.target.rpartition(":")[2], left.reason) for left in found.left_out] == [
        ("Agreement", "it goes through argmax: a metric")
    ]


def test_every_correct_fixture_is_found() -> None:
    path = FIXTURES / "correct" / "cross_entropy.py"
    names = {loss.target.rpartition(":")[2] for loss in discover(str(path)).losses}
    assert {"by_logsumexp", "by_one_hot", "Reductions", "TorchItself", "SmoothingByRows", "in_numpy"} <= names


def test_an_installed_package_is_found_by_name_and_not_imported() -> None:
    found = discover("torch.nn.modules.loss")
    names = {loss.target for loss in found.losses}
    assert {"torch.nn.modules.loss:CrossEntropyLoss", "torch.nn.modules.loss:KLDivLoss"} <= names
    assert not any(":_" in name for name in names)


@pytest.mark.parametrize("place", ["no_such_place_anywhere", "./nothing", "torch.no_such_part"])
def test_a_place_that_is_not_there(place: str) -> None:
    with pytest.raises(TargetError, match="there is no file, folder or installed module"):
        discover(place)


def test_a_target_is_no_place() -> None:
    assert not is_place("losses:MyLoss")
    assert not is_place("src/losses.py:MyLoss")
    assert is_place(str(FIXTURES))


def run(arguments: list[str], cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "lossaudit", "fuzz", "--isolated", *arguments]
    return subprocess.run(
        command, check=False, capture_output=True, text=True, cwd=cwd, env=environment, timeout=240
    )


LOSSES = """
import torch
from torch.nn import functional as F

def right(logits, labels):
    return F.cross_entropy(logits, labels)

def wrong(logits, labels):
    return F.cross_entropy(torch.softmax(logits, 1), labels)

def breaks(logits, labels):
    raise OSError("no such loss")
    return F.cross_entropy(logits, labels)
"""


def test_a_folder_is_fuzzed_with_one_report_a_loss_whatever_the_number_of_jobs(tmp_path: Path) -> None:
    (tmp_path / "losses.py").write_text(LOSSES, encoding="utf-8")
    unhurried = ["--max-examples", "5", "--max-time", "100"]
    arguments = [".", "--output-format", "json", *unhurried]
    one, three = run([*arguments, "--jobs", "1"], tmp_path), run([*arguments, "--jobs", "3"], tmp_path)
    assert one.stdout == three.stdout
    reports = json.loads(one.stdout)
    assert {report["target"]: report["verdict"] for report in reports} == {
        "losses.py:right": "conforms",
        "losses.py:wrong": "diverges",
        "losses.py:breaks": "error",
    }
    assert one.returncode == 1
    assert one.stderr == ""


def test_a_file_of_a_package_is_imported_as_a_part_of_it(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "__init__.py").write_text("", encoding="utf-8")
    (folder / "parts.py").write_text("scale = 1.0\n", encoding="utf-8")
    (folder / "losses.py").write_text("from .parts import scale\n" + LOSSES, encoding="utf-8")
    done = run(["mine/losses.py:right", "--output-format", "concise"], tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.filterwarnings(
    "ignore:os.fork:RuntimeWarning"
)  # of JAX, if other tests here imported it; what forks is replaced at once
def test_ctrl_c_ends_with_what_was_found_so_far(tmp_path: Path) -> None:
    (tmp_path / "losses.py").write_text(LOSSES, encoding="utf-8")
    (tmp_path / "waits.py").write_text(
        "import pathlib, time\npathlib.Path('started').touch()\ntime.sleep(60)\n" + LOSSES, encoding="utf-8"
    )
    command = [
        sys.executable,
        "-m",
        "lossaudit",
        "fuzz",
        "--isolated",
        "--jobs",
        "1",
        "--output-format",
        "json",
    ]
    process = subprocess.Popen(
        [*command, "losses.py:right", "waits.py:right"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell that starts jobs in the background lets them ignore SIGINT, and so would we.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
    )
    deadline = time.monotonic() + 120
    while not (tmp_path / "started").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Interrupted" in err
    assert [report["target"] for report in json.loads(out)] == ["losses.py:right"]


FAMILY = {
    "family/__init__.py": "",
    "family/root.py": """
        from torch import nn

        class Root(nn.Module):
            def reset(self):
                pass

            def combine(self, first, second):
                raise NotImplementedError

            def forward(self, first, second=None):
                self.reset()
                return self.combine(first, second)
    """,
    # The base alone is mentioned here, no library.
    "family/bases.py": "from .root import Root\n\nclass RootLoss(Root):\n    weight = 1\n",
    "family/asymmetric_loss.py": """
        from .bases import RootLoss

        class Leaf(RootLoss):
            def combine(self, first, second):
                return (first - second).square().mean()
    """,
    "family/shop_metrics.py": """
        import torch

        def squared(first, second):
            return torch.log(1 + (first - second) ** 2).mean()
    """,
    "family/loss_helpers.py": """
        import torch
        from torch import nn

        class Reducer(nn.Module):
            def forward(self, parts, rows):
                return (parts["losses"] * rows).mean()

        def matches(first, second):
            return first * second.t()

        def compute_weights(counts, power):
            '''The weights of the classes, for a loss.'''
            return counts ** power

        def make_loss(weight=None, pos_weight=None) -> nn.Module:
            return nn.BCEWithLogitsLoss(weight=weight, pos_weight=pos_weight)
    """,
}


def test_a_loss_is_found_through_bases_in_files_that_mention_no_library(tmp_path: Path) -> None:
    for name, text in FAMILY.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(textwrap.dedent(text), encoding="utf-8")
    found = discover(str(tmp_path / "family"))
    reasons = {left.target.rpartition(":")[2]: left.reason for left in found.left_out}
    assert [loss.target.rpartition(":")[2] for loss in found.losses] == ["Leaf"]
    assert reasons["RootLoss"] == "it is abstract"
    assert reasons["squared"] == "it lies among the metrics"
    assert reasons["Reducer"] == "its argument parts is a mapping"
    assert reasons["make_loss"] == "it returns a Module"
    assert not {"matches", "compute_weights"} & set(reasons)
    alone = discover(str(tmp_path / "family" / "asymmetric_loss.py"))
    assert [loss.target.rpartition(":")[2] for loss in alone.losses] == ["Leaf"]
