"""LA201 to LA210: what proves each rule, and what looks alike and must stay silent."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from lossaudit.check import CheckOptions, check_files

HEAD = """
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.nn.utils.rnn import pad_sequence
net = nn.Linear(8, 5)
"""


def rows(tmp_path: Path, code: str, source: str) -> list[str]:
    """The source lines on which ``code`` is reported."""
    text = HEAD + textwrap.dedent(source)
    path = tmp_path / "sample.py"
    path.write_text(text, encoding="utf-8")
    result = check_files([path], CheckOptions(select=frozenset({code}), debug=True))
    lines = text.splitlines()
    return [lines[finding.span.start.row - 1].strip() for finding in result.findings]


# LA204

SOFT = "return F.cross_entropy(logits, rows)"
SUMMED = "return -(rows * logits.log_softmax(dim=1)).sum(dim=1).mean()"

WRONG_ROWS = [
    "rows = F.one_hot(y, logits.size(1)) * (1 - s) + s",
    "rows = F.one_hot(y, logits.shape[-1]).float() * (1 - s) + s",
    "rows = torch.where(F.one_hot(y, logits.size(1)).bool(), 1 - s, s)",
    "rows = torch.full_like(logits, s).scatter_(1, y[:, None], 1 - s)",
    "rows = torch.zeros_like(logits).fill_(s / logits.size(1)).scatter_(-1, y.unsqueeze(-1), 1 - s)",
    "rows = torch.eye(10)[y] * 0.9 + 0.1",
    "rows = F.one_hot(y, 10).clamp(min=s, max=1 - s)",
    "rows = (1 - s) * F.one_hot(y, 10) + s / 9",
    "k = logits.size(1); rows = (1 - s) * F.one_hot(y, k) + s / (k - 1)",
]
RIGHT_ROWS = [
    "rows = F.one_hot(y, logits.size(1)) * (1 - s) + s / logits.size(1)",
    "rows = F.one_hot(y, 10) * (1 - s) + s / 10",
    "k = logits.size(1); rows = torch.full_like(logits, s / (k - 1)).scatter_(1, y[:, None], 1 - s)",
    "k = logits.size(1); h = F.one_hot(y, k); rows = h * (1 - s) + (1 - h) * s / (k - 1)",
    "rows = torch.full_like(logits, 0.05).scatter_(1, y[:, None], 0.9)",  # right for three classes
    "rows = F.one_hot(y, 10) * 0.9 + 0.1 * (1 - F.one_hot(y, 10)) / 9",
    "rows = F.one_hot(y, 2) * (1 - s) + (1 - F.one_hot(y, 2)) * s",  # two classes: the other one gets s
    "rows = F.one_hot(y, logits.size(1)) * (1 - s) + s / other",  # who knows what other is
    "rows = F.one_hot(y, logits.size(1)) * (1 - s) + prior",
    "rows = F.one_hot(y, logits.size(1)) + 1e-6",
    "rows = 0.3 * F.one_hot(y, 10) + 0.7 * F.one_hot(other, 10)",
    "rows = F.one_hot(y, logits.size(1)) * prior",
    "rows = F.one_hot(y, 10) * s + (1 - s) / 10",  # the other parametrisation: confidence
]


@pytest.mark.parametrize("use", [SOFT, SUMMED], ids=["target", "sum"])
@pytest.mark.parametrize("weights", WRONG_ROWS)
def test_rows_that_do_not_sum_to_one(tmp_path: Path, weights: str, use: str) -> None:
    source = f"""
    def loss(logits, y, s, prior, other):
        {weights}
        {use}
    """
    assert rows(tmp_path, "LA204", source) == [weights]


@pytest.mark.parametrize("use", [SOFT, SUMMED], ids=["target", "sum"])
@pytest.mark.parametrize("weights", RIGHT_ROWS)
def test_rows_that_sum_to_one_or_may(tmp_path: Path, weights: str, use: str) -> None:
    source = f"""
    def loss(logits, y, s, prior, other):
        {weights}
        {use}
    """
    assert rows(tmp_path, "LA204", source) == []


def test_one_row_for_all_samples(tmp_path: Path) -> None:
    source = """
    class Smooth(nn.Module):
        def __init__(self, alpha=0.1):
            super().__init__()
            self.alpha = alpha
        def forward(self, input, target):
            log_prob = nn.functional.log_softmax(input, dim=-1)
            weight = input.new_ones(input.shape[-1])
            weight[target] = 1 - self.alpha
            return (-weight * log_prob).sum(dim=-1).mean()
    """
    assert rows(tmp_path, "LA204", source) == ["weight[target] = 1 - self.alpha"]


@pytest.mark.parametrize(
    "body",
    [
        # a row for each sample, written by row and label
        "w = torch.full_like(x, s / x.size(1)); w[torch.arange(len(y)), y] += 0; return -(w * x.log_softmax(1)).sum(1).mean()",
        # one sample: there is no batch to share the row
        "w = torch.full_like(x, s); w[y] = 1 - s; return -(w * x.log_softmax(-1)).sum()",
        # class weights: the labels select the log-probability as well
        "w = torch.ones(5); w[y] = 1 - s; return -(w * F.one_hot(y, 5) * x.log_softmax(1)).sum(1).mean()",
        # a fixed class
        "w = torch.ones(5); w[0] = 1 - s; return -(w * x.log_softmax(1)).sum(1).mean()",
        # not log-probabilities
        "w = torch.ones(5); w[y] = 1 - s; return (w * x).sum(1).mean()",
    ],
)
def test_vectors_that_are_no_shared_labels(tmp_path: Path, body: str) -> None:
    assert rows(tmp_path, "LA204", f"def loss(x, y, s):\n    {body}\n") == []


@pytest.mark.parametrize(
    ("loss", "wrong"),
    [
        ("(1 - s) * nll + s * every.mean(-1)", False),
        ("(1 - s) * nll + s / x.size(-1) * every.sum(-1)", False),
        ("(1 - s - s / (x.size(-1) - 1)) * nll + s / (x.size(-1) - 1) * every.sum(-1)", False),
        ("nll + s * every.mean(-1)", False),
        ("0.5 * ((1 - s) * nll + s * every.mean(-1))", False),
        ("(1 - s) * nll + s * every.sum(-1)", True),
        ("(1 - s) * nll + s / (x.size(-1) - 1) * every.sum(-1)", True),
    ],
)
def test_smoothing_as_a_sum_of_two_losses(tmp_path: Path, loss: str, wrong: bool) -> None:
    source = f"""
    def smoothed(x, y, s):
        log_p = F.log_softmax(x, dim=-1)
        nll = -log_p.gather(-1, y[:, None]).squeeze(-1)
        every = -log_p
        return ({loss}).mean()
    """
    assert bool(rows(tmp_path, "LA204", source)) is wrong


# LA205


@pytest.mark.parametrize(
    "loss",
    [
        "-x.log_softmax(1).gather(1, y[:, None]).mean()",
        "-(F.one_hot(y, 5) * x.log_softmax(1)).sum(1).mean()",
        "-(F.one_hot(y, 5) * x.log_softmax(1)).sum()",
        "-(q * x.log_softmax(1)).sum(1).mean()",
        "(-q * x.log_softmax(1)).mean(0).sum()",
        "-x.log_softmax(1)[torch.arange(len(y)), y].mean()",
        "((a - b) ** 2).mean()",
        "torch.mean(torch.square(a - b))",
        "(a - b).abs().sum()",
        "-(y * torch.log(a + 1e-8) + (1 - y) * torch.log(1 - a + 1e-8)).mean()",
        "-(y * F.logsigmoid(x) + (1 - y) * F.logsigmoid(-x)).mean()",
    ],
)
def test_written_by_hand_and_built_in(tmp_path: Path, loss: str) -> None:
    assert rows(tmp_path, "LA205", f"def loss(x, y, q, a, b):\n    return {loss}\n") == [f"return {loss}"]


@pytest.mark.parametrize(
    "loss",
    [
        "-(q * x.log_softmax(1)).mean()",  # LA304
        "-(q * torch.log(x.softmax(1))).sum(1).mean()",  # LA401
        "-(w[y] * x.log_softmax(1).gather(1, y[:, None])).mean()",
        "F.cross_entropy(x, y, reduction='none').mean()",
        "F.nll_loss(x.log_softmax(1), y)",
        "-(x.softmax(1) * x.log_softmax(1)).sum(1).mean()",
        "((a - a.mean(0)) ** 2).mean()",
        "((a[1:] - a[:-1]) ** 2).mean()",
        "((1 - a) ** 2).mean()",
        "((a - b) ** 2).sum(1).mean()",
        "(w * (a - b) ** 2).mean()",
        "-(y * torch.log(a) + (1 - y) * torch.log(1 - a)).mean()",  # LA406
        "-(y * torch.log(a + 1e-8) + torch.log(1 - a + 1e-8)).mean()",
        "2 * -x.log_softmax(1).gather(1, y[:, None]).mean()",
    ],
)
def test_not_built_in_or_not_right(tmp_path: Path, loss: str) -> None:
    assert rows(tmp_path, "LA205", f"def loss(x, y, q, a, b, w):\n    return {loss}\n") == []


# LA203


@pytest.mark.parametrize(
    ("call", "wrong"),
    [
        ("F.cross_entropy(net(x), y.view(-1).float())", True),
        ("F.cross_entropy(net(x), y.argmax(1).float())", True),
        ("F.cross_entropy(net(x), y.float())", False),
        ("F.nll_loss(net(x).log_softmax(1), y.float())", True),
        ("F.cross_entropy(net(x), F.one_hot(y).to(x.dtype))", False),
        ("F.cross_entropy(net(x), F.one_hot(y).to(device))", False),
        ("F.cross_entropy(net(x), F.one_hot(y).to(x.device))", True),
        ("F.cross_entropy(net(x), F.one_hot(y).type_as(x))", False),
        ("F.cross_entropy(net(x), F.one_hot(y).argmax(1))", False),
        ("F.binary_cross_entropy_with_logits(net(x), (y > 0))", True),
        ("F.binary_cross_entropy_with_logits(net(x), (y > 0).float())", False),
        ("F.binary_cross_entropy_with_logits(net(x), torch.Tensor([1, 0]))", False),
        ("F.multilabel_soft_margin_loss(net(x), y.long())", False),
        ("F.mse_loss(net(x), y.long())", False),
    ],
)
def test_element_type_of_the_target(tmp_path: Path, call: str, wrong: bool) -> None:
    found = rows(tmp_path, "LA203", f"def loss(x, y, device):\n    return {call}\n")
    assert found == ([f"return {call}"] if wrong else [])


# LA201, LA202


@pytest.mark.parametrize(
    ("call", "wrong"),
    [
        ("nn.CrossEntropyLoss(net(x), y)", True),
        ("nn.CrossEntropyLoss(net(x).softmax(1), y)", True),
        ("nn.CrossEntropyLoss(x.softmax(0), ignore_index=1)", False),
        ("nn.CrossEntropyLoss(x, y).backward()", True),
        ("nn.CrossEntropyLoss(x, y).item()", True),
        ("nn.CrossEntropyLoss(w).to(x)", False),
        ("nn.CrossEntropyLoss(net(w).softmax(0))", False),
        ("nn.BCEWithLogitsLoss(pos_weight=w)(net(x), y)", False),
    ],
)
def test_tensors_in_the_constructor(tmp_path: Path, call: str, wrong: bool) -> None:
    assert bool(rows(tmp_path, "LA201", f"def loss(x, y, w):\n    return {call}\n")) is wrong


@pytest.mark.parametrize(
    ("call", "wrong"),
    [
        ("F.cross_entropy(y, net(x))", True),
        ("F.cross_entropy(teacher(x), net(x).softmax(1))", False),
        ("F.cross_entropy(y, net(x).softmax(1))", False),
        ("F.binary_cross_entropy(torch.ones_like(y), net(x).sigmoid())", True),
        ("F.binary_cross_entropy(y, net(x).sigmoid())", False),
        ("F.binary_cross_entropy(net(y).sigmoid(), net(x).sigmoid())", False),
        ("F.mse_loss(y.long(), net(x))", False),
        ("F.kl_div(y, net(x).log_softmax(1), log_target=True)", False),
    ],
)
def test_swapped_arguments(tmp_path: Path, call: str, wrong: bool) -> None:
    assert bool(rows(tmp_path, "LA202", f"def loss(x, y, teacher):\n    return {call}\n")) is wrong


# LA206, LA207


@pytest.mark.parametrize(
    ("ce", "found"),
    [
        ("F.cross_entropy(x, y, reduction='none')", []),
        ("F.cross_entropy(x, y, weight=w, reduction='none')", ["LA206"]),
        ("F.cross_entropy(x, y, weight=maybe, reduction='none')", []),
        ("F.cross_entropy(x, y, weight=None if maybe is None else maybe.to(x), reduction='none')", []),
        ("F.cross_entropy(x, y, label_smoothing=0.1, reduction='none')", ["LA206"]),
        ("0.25 * F.cross_entropy(x, y, reduction='none')", ["LA206"]),
        ("mask * F.cross_entropy(x, y, reduction='none')", []),
        ("w[y] * F.cross_entropy(x, y, reduction='none')", ["LA206"]),
        ("w[mask] * F.cross_entropy(x, y, reduction='none')", []),
        ("F.binary_cross_entropy_with_logits(x, y, weight=mask, reduction='none')", []),
        ("F.binary_cross_entropy_with_logits(x, y, pos_weight=w, reduction='none')", ["LA206"]),
        ("F.cross_entropy(x, y)", ["LA207"]),
        ("F.cross_entropy(x, y, reduction='none').mean()", ["LA207"]),
        ("F.cross_entropy(x, y, reduction=how)", []),
    ],
)
def test_focal_modulation(tmp_path: Path, ce: str, found: list[str]) -> None:
    source = f"""
    def focal(x, y, w, mask, how, maybe=None, gamma=2.0):
        ce = {ce}
        pt = torch.exp(-ce)
        return ((1 - pt) ** gamma * ce).mean()
    """
    codes = [code for code in ("LA206", "LA207") if rows(tmp_path, code, source)]
    assert codes == found


def test_exponentials_that_modulate_nothing(tmp_path: Path) -> None:
    source = """
    def report(x, y, w, task):
        ce = F.cross_entropy(x, y, weight=w)
        perplexity = torch.exp(ce)
        return (1 - torch.exp(-ce)) ** 2 * task, perplexity
    """
    assert rows(tmp_path, "LA206", source) + rows(tmp_path, "LA207", source) == []


# LA208


@pytest.mark.parametrize(
    ("stored", "used", "wrong"),
    [
        ("self.w = torch.tensor([1.0, 2.0])", "(self.w * (a - b)).mean()", True),
        ("self.w = torch.FloatTensor([1, 2, 1]) / 16", "(self.w * (a - b)).mean()", True),
        ("self.w = torch.tensor(w)", "F.cross_entropy(a, b, weight=self.w)", True),
        ("self.w = torch.tensor(w)", "(self.w * (a - b)).mean()", False),  # perhaps a single number
        ("self.w = torch.tensor([1.0, 2.0])", "(self.w.to(a) * (a - b)).mean()", False),
        ("self.w = torch.tensor([1.0, 2.0])", "(self.w.type_as(a) * (a - b)).mean()", False),
        ("self.w = torch.tensor([1.0, 2.0], device=w)", "(self.w * (a - b)).mean()", False),
        ("self.w = torch.tensor([1.0, 2.0]).cuda()", "(self.w * (a - b)).mean()", False),
        ("self.w = nn.Parameter(torch.tensor([1.0, 2.0]))", "(self.w * (a - b)).mean()", False),
        ("self.register_buffer('w', torch.tensor([1.0, 2.0]))", "(self.w * (a - b)).mean()", False),
        ("self.w = w", "(self.w * (a - b)).mean()", False),
        ("self.w = torch.linspace(0, 1, 9)", "self.w[b] * a.mean()", False),  # perhaps a number for the epoch
        ("self.w = torch.linspace(0, 1, 9)", "self.w[b] * F.cross_entropy(a, b)", True),
        ("self.w = torch.tensor([1.0, 2.0])", "(a - b).mean() * len(self.w)", False),
    ],
)
def test_tensors_that_stay_behind(tmp_path: Path, stored: str, used: str, wrong: bool) -> None:
    source = f"""
    class Loss(nn.Module):
        def __init__(self, w):
            super().__init__()
            {stored}
        def forward(self, a, b):
            return {used}
    """
    assert rows(tmp_path, "LA208", source) == ([stored] if wrong else [])


def test_a_module_that_moves_its_tensors_itself(tmp_path: Path) -> None:
    source = """
    class Loss(nn.Module):
        def __init__(self):
            super().__init__()
            self.w = torch.tensor([1.0, 2.0])
        def to(self, device):
            self.w = self.w.to(device)
            return super().to(device)
        def forward(self, a, b):
            return (self.w * (a - b)).mean()
    """
    assert rows(tmp_path, "LA208", source) == []


# LA209


@pytest.mark.parametrize(
    ("target", "call", "wrong"),
    [
        ("pad_sequence(t)", "F.cross_entropy(x, y.view(-1))", True),
        ("pad_sequence(t, padding_value=-100)", "F.cross_entropy(x, y.view(-1))", False),
        ("pad_sequence(t, padding_value=pad)", "F.cross_entropy(x, y.view(-1))", False),
        ("pad_sequence(t, padding_value=pad.pad_token_id)", "F.cross_entropy(x, y.view(-1))", True),
        (
            "pad_sequence(t, padding_value=pad.pad_token_id)",
            "F.cross_entropy(x, y, ignore_index=pad.pad_token_id)",
            False,
        ),
        ("pad_sequence(t)", "F.cross_entropy(x, y.view(-1), ignore_index=0)", False),
        ("pad_sequence(t)", "F.cross_entropy(x, y[y != 0])", False),
        ("pad_sequence(t)", "F.cross_entropy(x, y, reduction='none')", False),
        ("pad_sequence(t).masked_fill(m, -100)", "F.cross_entropy(x, y)", False),
        ("pad_sequence(t)[1:]", "F.cross_entropy(x, y.reshape(-1))", True),
        ("pad_sequence(t)", "F.mse_loss(x, y)", False),
    ],
)
def test_padding_of_the_target(tmp_path: Path, target: str, call: str, wrong: bool) -> None:
    source = f"""
    def loss(x, t, m, pad):
        y = {target}
        return {call}
    """
    assert bool(rows(tmp_path, "LA209", source)) is wrong


# LA210


@pytest.mark.parametrize(
    ("base", "call", "wrong"),
    [
        ("nn.BCELoss", "super().__init__(size_average, reduce, reduction)", True),
        ("nn.BCELoss", "super().__init__(None, None, 'none')", True),
        ("nn.BCELoss", "super().__init__(weight, size_average, reduce, reduction)", False),
        ("nn.MSELoss", "super().__init__(size_average, reduce, reduction)", False),
        ("nn.CrossEntropyLoss", "super().__init__(weight, reduction=reduction)", False),
        ("nn.Module", "super().__init__()", False),
    ],
)
def test_arguments_of_the_base(tmp_path: Path, base: str, call: str, wrong: bool) -> None:
    source = f"""
    class Loss({base}):
        def __init__(self, weight=None, size_average=None, reduce=None, reduction="mean"):
            {call}
    """
    assert bool(rows(tmp_path, "LA210", source)) is wrong
