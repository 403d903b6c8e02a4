"""Constructor arguments that are required and known by name get the usual values, and the report says which."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import audit_here

from lossaudit.fuzz import FuzzOptions, TargetError

SOURCE = """
import torch
from torch.nn import functional as F

class Focal:
    def __init__(self, gamma, alpha, weight):
        self.gamma, self.alpha = gamma, alpha
        assert weight is None

    def __call__(self, scores, labels):
        losses = F.binary_cross_entropy_with_logits(scores, labels, reduction="none")
        sign = torch.where(labels > 0.5, 1.0, -1.0)
        missed = torch.exp(self.gamma * F.logsigmoid(-scores * sign))
        return (torch.where(labels > 0.5, self.alpha, 1 - self.alpha) * missed * losses).mean()

class Wraps:
    def __init__(self, main_loss, num_classes):
        self.main_loss, self.num_classes = main_loss, num_classes

    def __call__(self, logits, labels):
        return self.main_loss(logits, labels)

class WrapsAndReduces(torch.nn.Module):
    def __init__(self, loss, reduction="mean"):
        super().__init__()
        self.loss, self.reduction = loss, reduction

    def forward(self, scores, labels):
        value = self.loss(scores, labels)
        return value if self.reduction == "none" else getattr(value, self.reduction)()

class Odd:
    def __init__(self, gamma, schedule):
        pass

    def __call__(self, logits, labels):
        return logits.sum()
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "needy_losses.py"
    file.write_text(SOURCE, encoding="utf-8")
    return file


def test_usual_values_are_given_and_told(path: Path) -> None:
    report = audit_here(f"{path}:Focal", FuzzOptions(max_examples=5))
    assert report.reference is not None
    assert report.reference.name == "sigmoid_focal_loss"
    assert report.reference.parameters["gamma"] == 2.0
    told = " ".join(report.assumptions)
    for words in (
        "gamma was given as 2.0",
        "alpha was given as 0.25",
        "weight was given as None",
        "--init gamma=",
    ):
        assert words in told


def test_a_criterion_is_known_by_the_end_of_its_name(path: Path) -> None:
    report = audit_here(f"{path}:Wraps", FuzzOptions(max_examples=5))
    assert report.reference is not None
    assert "main_loss was given as torch.nn." in " ".join(report.assumptions)


def test_an_unknown_name_is_asked_for(path: Path) -> None:
    with pytest.raises(TargetError, match="needs the constructor argument schedule"):
        audit_here(f"{path}:Odd")


def test_a_function_gets_the_usual_value_of_a_number_that_it_requires(tmp_path: Path) -> None:
    file = tmp_path / "needy_functions.py"
    file.write_text(
        "import torch\n"
        "def smooth(input, target, beta):\n"
        "    error = (input - target).abs()\n"
        "    return torch.where(error < beta, 0.5 * error * error / beta, error - 0.5 * beta).mean()\n",
        encoding="utf-8",
    )
    report = audit_here(f"{file}:smooth", FuzzOptions(max_examples=5))
    assert report.verdict == "conforms"
    assert report.reference is not None
    assert report.reference.name in {"smooth_l1_loss", "huber_loss"}
    assert "beta was given as 1.0" in " ".join(report.assumptions)


def test_who_does_not_take_no_weights_is_given_some(tmp_path: Path) -> None:
    file = tmp_path / "needy_weights.py"
    file.write_text(
        "def weighted(logits, target, weight):\n"
        "    own = -logits.log_softmax(1).gather(1, target.unsqueeze(1)).squeeze(1)\n"
        "    return (weight[target] * own).sum() / weight[target].sum()\n",
        encoding="utf-8",
    )
    report = audit_here(f"{file}:weighted", FuzzOptions(max_examples=5))
    assert report.verdict == "conforms"
    assert report.reference is not None
    assert report.reference.parameters["weight"] == [1.0, 2.0, 3.0]
    assert "weight was given as torch.tensor([1.0, 2.0, 3.0])" in " ".join(report.assumptions)
    named = FuzzOptions(
        max_examples=5, init={"weight": [4.0, 2.0, 1.0]}, reference="cross_entropy:weight=[4.0,2.0,1.0]"
    )
    assert audit_here(f"{file}:weighted", named).verdict == "conforms"


def test_what_a_base_requires_is_handed_on_by_keyword(tmp_path: Path) -> None:
    file = tmp_path / "derived_losses.py"
    file.write_text(
        "import torch\n"
        "from torch import nn\n"
        "from torch.nn import functional as F\n"
        "class Base(nn.Module):\n"
        "    def __init__(self, num_classes, embedding_size, scale=8.0):\n"
        "        super().__init__()\n"
        "        self.scale = scale\n"
        "        self.weight = nn.Parameter(torch.randn(num_classes, embedding_size))\n"
        "class Cosine(Base):\n"
        "    def __init__(self, *args, margin=0.35, **kwargs):\n"
        "        super().__init__(*args, **kwargs)\n"
        "        self.margin = margin\n"
        "    def forward(self, embeddings, labels):\n"
        "        cosine = F.linear(F.normalize(embeddings), F.normalize(self.weight))\n"
        "        own = F.one_hot(labels, len(self.weight))\n"
        "        return F.cross_entropy(self.scale * (cosine - self.margin * own), labels)\n",
        encoding="utf-8",
    )
    report = audit_here(f"{file}:Cosine", FuzzOptions(max_examples=5))
    assert report.verdict == "conforms"
    assert report.reference is not None
    assert report.reference.name == "cosface"
    told = " ".join(report.assumptions)
    assert "num_classes was given as 3" in told
    assert "embedding_size was given as 4" in told


def test_a_reduction_is_not_judged_of_what_an_assumed_criterion_has_reduced(path: Path) -> None:
    report = audit_here(f"{path}:WrapsAndReduces", FuzzOptions(max_examples=5))
    assert report.reference is not None
    assert [finding.code for finding in report.findings] == []
