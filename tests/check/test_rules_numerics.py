"""LA401 to LA410, and the facts of the engine on which they rest. Each case is a line of code and what is said of it."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent, indent

import pytest

from lossaudit.check import CheckOptions, check_files
from lossaudit.check.detectors.numerics import rounded
from lossaudit.check.kinds import Dtype

HEAD = """
import math
import torch
import torch.nn as nn
import torch.nn.functional as F

net = nn.Linear(8, 3)
loss = None
"""
TRAINED = """

def train(x, y, t):
    compute(x, y, t).mean().backward()
"""
NUMERICS = frozenset(f"LA4{number:02d}" for number in range(1, 11))


def found(tmp_path: Path, source: str, codes: frozenset[str] = NUMERICS) -> list[str]:
    path = tmp_path / "code.py"
    path.write_text(HEAD + dedent(source), encoding="utf-8")
    return [finding.code for finding in check_files([path], CheckOptions(select=codes)).findings]


def in_function(body: str) -> str:
    """The code as a function whose result is trained on."""
    return "def compute(x, y, t):\n" + indent(dedent(body).strip(), "    ") + TRAINED


WRONG = [
    ("LA401", "return torch.log(torch.softmax(x, dim=1))"),
    ("LA401", "return F.softmax(net(x), dim=1).gather(1, y[:, None]).log()"),
    ("LA401", "e = torch.exp(x - x.amax(1, keepdim=True))\nreturn torch.log(e / e.sum(1, keepdim=True))"),
    ("LA401", "p = nn.Softmax(dim=1)(x)\nreturn -torch.log(p[torch.arange(len(y)), y]).mean()"),
    ("LA402", "return torch.log(torch.sigmoid(x - y))"),
    ("LA402", "return (1 - torch.sigmoid(x)).log()"),
    ("LA402", "return torch.log1p(-torch.sigmoid(x))"),
    ("LA402", "return torch.log(1 - torch.sigmoid(net(x)).squeeze(1))"),
    ("LA403", "return 1 / (1 + torch.exp(-x))"),
    ("LA403", "return (1 + (-x).exp()) ** -1"),
    ("LA403", "return torch.exp(x) / (torch.exp(x) + 1)"),
    ("LA403", "return 2 / (1 + torch.exp(-x)) - 1"),
    ("LA403", "e = net(x).exp()\nreturn e / (e.sum(1, keepdim=True) + 1e-8)"),
    ("LA403", "return torch.log1p(torch.exp(x))"),
    ("LA404", "return -(1 - x.clamp(1e-9, 1 - 1e-9)).log()"),
    ("LA404", "return torch.acos(torch.clamp(x, -1 + 1e-8, 1 - 1e-8))"),
    ("LA404", "return torch.log(1 + 1e-9 - torch.sigmoid(x))"),
    ("LA404", "return torch.log(torch.softmax(x, 1) + 1e-50)"),
    ("LA404", "return torch.log1p(-torch.sigmoid(x.half()).clamp(max=1 - 1e-6))"),
    (
        "LA404",
        "with torch.autocast('cuda'):\n    p = torch.sigmoid(net(x)).clamp(max=1 - 1e-6)\n    return -(1 - p).log()",
    ),
    ("LA405", "return torch.log(torch.exp(x).sum(dim=1))"),
    ("LA405", "return x - x.exp().sum(1, keepdim=True).log()"),
    ("LA406", "return torch.log(F.relu(x))"),
    ("LA406", "return torch.log(x.clamp(min=0)).sum()"),
    ("LA406", "return torch.log(torch.softmax(x, 1) * (y > 0))"),
    ("LA406", "return torch.log(1 - torch.softmax(x, 1)[:, 0])"),
    ("LA406", "return -torch.log(2 * (x * y).sum() / (x.sum() + y.sum() + 1))"),
    ("LA407", "m = (y > 0).float()\nreturn (F.mse_loss(x, y, reduction='none') * m).sum() / m.sum()"),
    ("LA407", "m = y != -1\nreturn (x.abs() * m).sum() / m.float().sum()"),
    ("LA407", "m = y.ne(0)\nreturn (net(x) * m).sum() / torch.count_nonzero(m)"),
    ("LA408", "return torch.sqrt(F.mse_loss(x, y))"),
    ("LA408", "return ((x - y) ** 2).sum(dim=1).sqrt().mean()"),
    ("LA408", "d = net(x) - y\nreturn (d * d).sum(1) ** 0.5"),
    ("LA408", "return torch.sqrt(F.relu(x))"),
    ("LA408", "return torch.acos(F.cosine_similarity(x, y)).mean()"),
    ("LA408", "return torch.acos(x.clamp(-1, 1)).mean()"),
    ("LA408", "return torch.acos(F.linear(F.normalize(x), F.normalize(y)))"),
    (
        "LA408",
        "n = torch.sqrt(torch.sum(x**2, dim=1, keepdim=True))\nreturn (x / (n + 1e-10) - y).abs().mean()",
    ),
    ("LA408", "n = (x * x).sum(1).sqrt().clamp(min=1e-8)\nreturn (y / n).mean()"),
    ("LA408", "c = F.linear(F.normalize(x), F.normalize(y))\nreturn torch.sqrt(1 - c**2).mean()"),
    ("LA408", "c = F.cosine_similarity(x, y)\nreturn (1.0 - c.pow(2)).clamp(0, 1).sqrt().mean()"),
    ("LA409", "return torch.log(torch.sigmoid(x).prod(dim=1))"),
    ("LA409", "return F.softmax(x, 1).prod(1).log().mean()"),
    ("LA410", "with torch.autocast('cuda'):\n    return F.binary_cross_entropy(x, y)"),
    ("LA410", "with torch.cuda.amp.autocast():\n    return nn.BCELoss()(x, y)"),
    (
        "LA410",
        "with torch.amp.autocast(device_type='cuda' if t else 'cpu'):\n    return F.binary_cross_entropy(x, y)",
    ),
]


@pytest.mark.parametrize(("code", "body"), WRONG)
def test_is_found(tmp_path: Path, code: str, body: str) -> None:
    assert found(tmp_path, in_function(body)) == [code]


RIGHT = [
    "return torch.asin(torch.where(x.abs() > t, x.abs() / y, x)).mean()",
    "return 1 / (1 + torch.exp(-t * (x - y)))",
    "return 1 / (1 + torch.exp(0.05 * (x - 12)))",
    "z = torch.log(x / (1 - x)).mean(1)\nreturn torch.exp(z) / (1 + torch.exp(z))",
    "return torch.log(torch.softmax(x, 1) + 1e-8)",
    "return torch.log(torch.softmax(x, 1).clamp(min=1e-8))",
    "return torch.log(torch.softmax(x, 2).mean(0))",
    "with torch.no_grad():\n    return torch.log(torch.softmax(x, 1))",
    "return torch.log(torch.sigmoid(x) * 0.9 + 0.05)",
    "return torch.log(torch.sigmoid(x) + 1e-6)",
    "return 1 / (1 + torch.exp(-x.abs()))",
    "return 1 / (1 + (x - y) ** 2)",
    "return 1 / (1 + torch.exp(-(x - y) ** 2)) if t else 1 / (1 + math.exp(-t))",
    "e = torch.exp(x - x.max(dim=1, keepdim=True)[0].detach())\nreturn e / e.sum(1, keepdim=True)",
    "return torch.exp(x) / torch.exp(y).sum(1, keepdim=True)",
    "e = torch.exp(x)\nreturn e / (e * y).sum(1, keepdim=True)",
    "s = F.normalize(x) @ F.normalize(y).t() / t\nreturn torch.log(torch.exp(s).sum(1))",
    "s = F.log_softmax(x, 1)\nreturn torch.log(torch.exp(s).sum(1))",
    "m = x.amax(1, keepdim=True)\nreturn m + torch.log(torch.exp(x - m).sum(1, keepdim=True))",
    "return torch.log(1 + torch.exp(x).sum(1))",
    "return x.clamp(1e-6, 1 - 1e-6)",
    "return x.double().clamp(1e-12, 1 - 1e-12)",
    "return torch.log(x + 1e-20)",
    "return torch.log(1 - x + 1e-9)",
    "with torch.autocast('cuda'):\n    p = net(x).sum() + 1e-8\nreturn p",
    "return torch.log(x)",
    "return torch.log(F.relu(x) + 1e-6)",
    "return torch.log(F.softplus(x))",
    "keep = y > 0\nreturn torch.log(F.relu(x)[keep])",
    "return torch.log((2 * (x * y).sum() + 1) / (x.sum() + y.sum() + 1))",
    "return (x * y).sum() / y.sum()",
    "m = (y > 0).float()\nreturn (x.abs() * m).sum() / m.sum().clamp(min=1)",
    "m = (y > 0).float()\nreturn (x.abs() * m).sum() / (m.sum() + 1e-8)",
    "m = (y > 0).float()\nreturn (x.abs() * m).sum() / max(m.sum().item(), 1)",
    "m = (y > 0).float()\nn = m.sum()\nif n == 0:\n    return x.sum() * 0\nreturn (x.abs() * m).sum() / n",
    "m = (y > 0).float()\nif m.any():\n    return (x.abs() * m).sum() / m.sum()",
    "m = (y > 0).float()\nn = int(m.sum())\nif n > 0:\n    return (x.abs() * m).sum() / m.sum()",
    "m = (y > 0).float()\nreturn (x.abs() * m).sum() / m.sum() if m.sum() > 0 else x.sum() * 0",
    "m = (y > 0).float()\nassert m.sum() > 0\nreturn (x.abs() * m).sum() / m.sum()",
    "if not (y > 0).any():\n    return x.sum() * 0\nm = (y > 0).float()\nreturn (x.abs() * m).sum() / m.sum()",
    "right = net(x).argmax(1) == y\nm = y > 0\nreturn (right & m).sum() / m.sum()",
    "same = y[:, None] == y[None, :]\nreturn (x.abs() * same).sum(1) / same.sum(1)",
    "top = (y > t).float()\nreturn y[x > t].float().mean() / top.mean()",
    "n = torch.sqrt(torch.sum(x**2, dim=1, keepdim=True))\nreturn (x / n - y).abs().mean()",
    "n = torch.sqrt(torch.sum(x**2, dim=1, keepdim=True) + 1e-10)\nreturn (x / (n + 1e-10) - y).abs().mean()",
    "return torch.sqrt(1 - x**2).mean()",
    "return torch.sqrt(F.mse_loss(x, y) + 1e-8)",
    "return torch.sqrt(x)",
    "return net.weight.pow(2).sum(0).sqrt()",
    "return torch.norm(x - y, dim=1) + torch.cdist(x, y)",
    "return (1 - torch.exp(-x.abs())) ** 2",
    "return torch.acos(x.clamp(-1 + 1e-6, 1 - 1e-6))",
    "d = ((x - y) ** 2).sum(1)\nreturn torch.sqrt(d + (d == 0) * 1e-12)",
    "return torch.log(torch.prod(x[:, 2:] - x[:, :2], dim=1) + 1)",
    "return torch.log(1 - torch.prod(1 - torch.sigmoid(x), dim=1) + 1e-6)",
    "with torch.autocast('cpu'):\n    return F.binary_cross_entropy(x, y)",
    "with torch.autocast('cuda', enabled=False):\n    return F.binary_cross_entropy(x, y)",
    "with torch.autocast('cuda', enabled=t):\n    return F.binary_cross_entropy(x, y)",
    "with torch.autocast('cuda'):\n    with torch.autocast('cuda', enabled=False):\n        return F.binary_cross_entropy(x, y)",
    "with torch.autocast('cuda'):\n    p = net(x)\nreturn F.binary_cross_entropy(torch.sigmoid(p.float()), y)",
]


@pytest.mark.parametrize("body", RIGHT)
def test_is_silent(tmp_path: Path, body: str) -> None:
    assert found(tmp_path, in_function(body)) == []


def test_an_angle_behind_a_choice_and_a_learned_matrix_is_trained(tmp_path: Path) -> None:
    source = """
    class Margin(nn.Module):
        def __init__(self, classes, eps=1e-8):
            super().__init__()
            self.eps = eps
            self.weight = nn.Parameter(torch.randn(classes, 8))

        def forward(self, x, target):
            cosine = torch.matmul(F.normalize(x), F.normalize(self.weight).t())
            angle = torch.acos(torch.clamp(cosine, -1 + self.eps, 1 - self.eps))
            return torch.cos(torch.where(target.bool(), angle + 0.5, angle))
    """
    assert found(tmp_path, source) == ["LA404"]


def test_a_parameter_made_of_data_is_trained_all_the_same(tmp_path: Path) -> None:
    source = """
    class Sampled(nn.Module):
        def __init__(self, count):
            super().__init__()
            self.weights = nn.Parameter(torch.Tensor(count, 8))

        def forward(self, x, label):
            return -torch.log(torch.sigmoid((x * self.weights[label]).sum(1))).sum() / len(x)
    """
    assert found(tmp_path, source) == ["LA402"]


NOT_TRAINED = [
    "return ((x - y) ** 2).sum(dim=1).sqrt()",
    "return torch.acos(x.clamp(-1, 1))",
    "cost = -torch.log(torch.softmax(net(x), 1))[:, y]\nreturn linear_sum_assignment(cost.tolist())",
    "near = ((net(x) - y) ** 2).sum(1).sqrt().topk(9)[1]\nreturn F.cross_entropy(net(x)[near], y[near])",
    "hit = torch.log(torch.sigmoid(net(x))) > t\nreturn torch.where(hit, net(x), y).mean()",
    "return (torch.log(torch.softmax(net(x), 1)).argmax(1) == y).float().mean()",
    "return x.clamp(1e-9, 1 - 1e-9).log().mean()",
    "return (1 - x.clamp(1e-50, 1 - 1e-6)).log().mean()",
]


@pytest.mark.parametrize("body", NOT_TRAINED)
def test_what_is_not_trained_through_is_silent(tmp_path: Path, body: str) -> None:
    """Geometry, matching costs, assignments, conditions and metrics take logarithms and roots as they like."""
    assert found(tmp_path, in_function(body).removesuffix(TRAINED)) == []


def test_the_same_geometry_counts_once_a_loss_is_made_of_it(tmp_path: Path) -> None:
    source = """
    def distance(a, b):
        return ((a - b) ** 2).sum(dim=1).sqrt()

    def rank(bank, queries):
        return distance(bank, queries).topk(5)
    """
    assert found(tmp_path, source) == []
    training = """
    def train(x, y):
        distance(net(x), net(y)).sum().backward()
    """
    assert found(tmp_path, source + training) == ["LA408"]


def test_a_decorator_holds_for_the_function_when_nothing_calls_it(tmp_path: Path) -> None:
    source = """
    @torch.no_grad()
    def report(x, y):
        return torch.sqrt(F.mse_loss(x, y))

    @torch.autocast("cuda")
    def step(x, y):
        return F.binary_cross_entropy(x, y)
    """
    assert found(tmp_path, source) == ["LA410"]


def test_a_default_counts_where_no_caller_is_in_sight(tmp_path: Path) -> None:
    source = """
    class Bernoulli(nn.Module):
        def __init__(self, eps=1e-9):
            super().__init__()
            self.eps = eps

        def forward(self, p, y):
            p = p.clamp(self.eps, 1 - self.eps)
            return -(y * p.log() + (1 - y) * (1 - p).log()).mean()
    """
    assert found(tmp_path, source) == ["LA404"]
    assert found(tmp_path, source + "\n    criterion = Bernoulli(1e-4)\n") == []


def test_a_test_in_the_caller_guards_the_callee(tmp_path: Path) -> None:
    source = """
    class Masked(nn.Module):
        def forward(self, x, y):
            valid = (y > 0).float()
            return self.average(x.abs(), valid) if valid.sum() > 0 else x.sum() * 0

        def average(self, error, valid):
            return (error * valid).sum() / valid.sum()
    """
    assert found(tmp_path, source) == []


def test_the_trail_names_the_softmax_in_the_other_file(tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text("import torch\n\n\ndef head(x):\n    return torch.softmax(x, dim=1)\n")
    train = tmp_path / "train.py"
    train.write_text(
        "import torch\nfrom model import head\n\n\ndef loss(x, y):\n    return -(y * torch.log(head(x))).sum(1).mean()\n"
    )
    (finding,) = check_files([train], CheckOptions(select=NUMERICS)).findings
    first = finding.trail[0].span
    assert (Path(first.filename).name, first.start.row) == (
        "model.py",
        5,
    )


KINDS = [
    ("LA105", "return F.binary_cross_entropy_with_logits(1 / (1 + torch.exp(-net(x))), y)"),
    ("LA105", "return F.binary_cross_entropy_with_logits((1 + torch.exp(-net(x))).reciprocal(), y)"),
    ("LA106", "e = torch.exp(net(x))\nreturn F.cross_entropy(e / (1 + e), y)"),
    ("LA101", "e = torch.exp(net(x))\nreturn F.cross_entropy(e / e.sum(1, keepdim=True), y)"),
    (
        "LA101",
        "z = net(x)\ne = (z - z.amax(1, keepdim=True)).exp()\nreturn F.cross_entropy(e / e.sum(1, keepdim=True), y)",
    ),
    ("LA102", "z = net(x)\nreturn F.cross_entropy(z - torch.logsumexp(z, 1, keepdim=True), y)"),
    ("LA102", "z = net(x)\nreturn F.cross_entropy(z - z.exp().sum(1, keepdim=True).log(), y)"),
]


@pytest.mark.parametrize(("code", "body"), KINDS)
def test_a_hand_written_activation_has_the_kind_of_the_function(tmp_path: Path, code: str, body: str) -> None:
    inputs = frozenset(f"LA1{number:02d}" for number in range(1, 14))
    assert found(tmp_path, in_function(body), inputs) == [code]


NO_KIND = [
    "return F.cross_entropy(torch.exp(net(x)) / torch.exp(y).sum(1, keepdim=True), y)",
    "z = net(x)\nreturn F.cross_entropy(z - torch.logsumexp(y, 1, keepdim=True), y)",
    "return F.binary_cross_entropy_with_logits(2 / (1 + torch.exp(-net(x))) - 1, y)",
    "return F.nll_loss(net(x) - torch.logsumexp(net(x), 1, keepdim=True), y)",
]


@pytest.mark.parametrize("body", NO_KIND)
def test_what_only_resembles_an_activation_has_no_kind(tmp_path: Path, body: str) -> None:
    inputs = frozenset(f"LA1{number:02d}" for number in range(1, 14))
    assert found(tmp_path, in_function(body), inputs) == []


@pytest.mark.parametrize(
    ("value", "dtype", "expected"),
    [
        (1 - 1e-9, Dtype.FLOAT32, 1.0), (1 - 1e-6, Dtype.FLOAT16, 1.0), (1 - 1e-3, Dtype.BFLOAT16, 1.0),
        (1e-8, Dtype.FLOAT16, 0.0), (1e-50, Dtype.FLOAT32, 0.0), (0.5, Dtype.FLOAT16, 0.5), (1e-8, Dtype.BFLOAT16, 1e-8),
    ],
)  # fmt: skip
def test_numbers_are_rounded_as_the_element_type_does(value: float, dtype: Dtype, expected: float) -> None:
    assert rounded(value, dtype) == pytest.approx(expected, rel=1e-2, abs=0)
