"""LA301 to LA311: what proves each rule, and the look-alikes on which it is silent."""

from __future__ import annotations

from pathlib import Path

import pytest

from lossaudit.check import CheckOptions, check_files

CODES = frozenset(f"LA{number}" for number in range(301, 312))
HEADER = """\
import copy
from functools import partial
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader

net = nn.Linear(8, 3)
column = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 1))
"""


def found(folder: Path, body: str) -> list[tuple[str, str]]:
    """(code, the line that is reported) of every finding in ``body``."""
    path = folder / "sample.py"
    path.write_text(HEADER + body, encoding="utf-8")
    lines = path.read_text(encoding="utf-8").splitlines()
    findings = check_files([path], CheckOptions(select=CODES, debug=True)).findings
    return [(one.code, lines[one.span.start.row - 1].strip()) for one in findings]


def lines(folder: Path, body: str, code: str) -> list[str]:
    everything = found(folder, body)
    assert {one for one, _ in everything} <= {code}
    return [line for _, line in everything]


# LA301 -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "reduced",
    [
        "if self_reduce:\n        loss = loss.mean()",
        "loss = loss[0]",
        "loss = loss.max()",
        "loss = loss.mean(dim=-1)",
        "loss = loss.mean(dim=(0, 1))",
        "loss = loss.topk(3).values.mean()",
        "loss = torch.dot(loss, weight)",
        "loss = 2 * loss\n    if self_reduce:\n        loss = loss.mean()\n    loss = loss + 1",
    ],
)
def test_a_loss_that_may_be_one_number_is_not_reported(tmp_path: Path, reduced: str) -> None:
    body = f"""
def step(x, y, weight, self_reduce):
    loss = F.cross_entropy(net(x), y, reduction="none")
    {reduced}
    loss.backward()
"""
    assert found(tmp_path, body) == []


def test_a_batch_of_one_made_in_sight_is_one_number(tmp_path: Path) -> None:
    body = """
def step(x, y):
    F.cross_entropy(net(x).unsqueeze(0), y, reduction="none").backward()
"""
    assert found(tmp_path, body) == []


def test_what_another_method_does_to_the_criterion_may_come_later(tmp_path: Path) -> None:
    body = """
class Both(nn.Module):
    def __init__(self, reduction="mean"):
        super().__init__()
        self.reduction = reduction

    def forward(self, p, y):
        loss = F.l1_loss(p, y, reduction="none")
        return loss.mean() if self.reduction == "mean" else loss

class Learner:
    def fit(self, x, y):
        self.criterion = Both()
        self.train(x, y)
        return self.score(x, y)

    def score(self, x, y):
        self.criterion.reduction = "none"
        return self.criterion(net(x), y)

    def train(self, x, y):
        self.criterion(net(x), y).backward()
"""
    assert found(tmp_path, body) == []


def test_the_old_argument_switches_the_reduction_off_too(tmp_path: Path) -> None:
    body = """
def step(x, y):
    loss = 2 * F.cross_entropy(net(x), y, reduce=False)
    loss.backward()
"""
    assert ("LA301", "loss.backward()") in found(tmp_path, body)


# LA302, LA303 ------------------------------------------------------------------------------------------------------


def test_the_old_argument_decides_over_the_reduction_of_a_divergence(tmp_path: Path) -> None:
    body = """
def loss(p, q):
    return F.kl_div(p, q, size_average=False)
"""
    assert lines(tmp_path, body, "LA303") == ["return F.kl_div(p, q, size_average=False)"]


@pytest.mark.parametrize("argument", ["size_average=None", "reduce=None", "size_average=average"])
def test_what_may_be_the_default_is_not_an_old_argument(tmp_path: Path, argument: str) -> None:
    body = f"""
def loss(p, q, average=None):
    return F.mse_loss(p, q, {argument})
"""
    assert found(tmp_path, body) == []


def test_an_old_argument_of_a_partial_is_reported_once_and_there(tmp_path: Path) -> None:
    body = """
summed = partial(F.mse_loss, size_average=False)
def loss(p, q):
    return summed(p, q)
"""
    assert lines(tmp_path, body, "LA303") == ["summed = partial(F.mse_loss, size_average=False)"]


def test_a_reduction_that_is_not_known_is_not_the_mean(tmp_path: Path) -> None:
    body = """
class Distillation(nn.Module):
    def __init__(self, reduction):
        super().__init__()
        self.kl = nn.KLDivLoss(reduction=reduction)

    def forward(self, p, q):
        return self.kl(p, q) + F.kl_div(p, q, reduction=self.kl.reduction)
"""
    assert found(tmp_path, body) == []


# LA304 -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "expression",
    [
        "-(F.softmax(logits, dim=1) * F.log_softmax(logits, dim=1)).mean()",  # an entropy
        "-(F.softmax(logits / 2, 1) * F.log_softmax(logits / 2, 1)).mean()",
        "-(q * F.log_softmax(logits, dim=1)).mean(0).sum()",
        "-(q * F.log_softmax(logits, dim=1)).mean() * logits.size(1)",
        "-(q * F.log_softmax(logits, dim=1)).mean() * 10",
        "-(F.log_softmax(logits, dim=1).gather(1, labels) * q).mean()",
        "-(0.1 * F.log_softmax(logits, dim=1)).mean()",
        "-(q * F.logsigmoid(logits)).mean()",
    ],
)
def test_other_means_of_log_probabilities(tmp_path: Path, expression: str) -> None:
    assert found(tmp_path, f"def loss(logits, labels, q):\n    return {expression}\n") == []


@pytest.mark.parametrize(
    "expression",
    [
        "0.5 * -(q * F.log_softmax(logits, dim=1)).mean()",
        "torch.mean(-q.float() * F.log_softmax(logits / 4, -1))",
        "(-(F.softmax(q / 4, 1) * F.log_softmax(logits / 4, 1))).mean() * 4.0**0.5",
        "-(q * F.log_softmax(logits, dim=1)).mean(dim=1).sum()",
    ],
)
def test_soft_targets_averaged_over_the_classes(tmp_path: Path, expression: str) -> None:
    body = f"def loss(logits, q):\n    return {expression}\n"
    assert lines(tmp_path, body, "LA304") == [f"return {expression}"]


# LA305 -------------------------------------------------------------------------------------------------------------

MASKED = """
def loss(predicted, target, lengths, mask=None, flag=None):
    error = F.mse_loss(predicted, target, reduction="none")
    {}
"""


@pytest.mark.parametrize(
    "rest",
    [
        "return (error * (target != -1)).mean() / (target != -1).float().mean()",
        "kept = (target != -1).float()\n    return (error * kept).mean() * kept.numel() / kept.sum()",
        "return (error * mask).mean()",
        "return (error * (error > 0.5)).mean()",
        "return (error * (torch.sigmoid(predicted) > 0.5)).mean()",
        "return (error * (target == 1)).mean() + (error * (target == 0)).mean()",
        "return (error * (flag > 5)).sum(dim=1).mean()",
        "return (error * (target > 0)).mean() + 2 * (error * (target <= 0)).mean()",
        "if flag:\n        error = error * (target != -1)\n    return error.mean()",
    ],
)
def test_masks_that_are_accounted_for_or_are_none(tmp_path: Path, rest: str) -> None:
    assert found(tmp_path, MASKED.format(rest)) == []


def test_a_mask_that_the_collate_function_makes(tmp_path: Path) -> None:
    body = """
def collate(batch):
    lengths = torch.tensor([len(x) for x in batch])
    mask = torch.arange(10)[None] < lengths[:, None]
    return batch, mask

def train(data):
    for x, mask in DataLoader(data, collate_fn=collate):
        loss = (F.mse_loss(net(x), x, reduction="none") * mask.float()).mean()
        loss.backward()
"""
    assert lines(tmp_path, body, "LA305") == [
        'loss = (F.mse_loss(net(x), x, reduction="none") * mask.float()).mean()'
    ]


# LA306 -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "assignment",
    [
        "self.criterion = copy.copy(criterion)\n        self.criterion.reduction = 'none'",
        "self.criterion = criterion\n        self.reduction = 'none'",
        "self.criterion = criterion\n        self.criterion.weight = None",
        "self.criterion = criterion\n        self.criterion.reduction = criterion.reduction",
        "self.criterion = nn.L1Loss()\n        self.criterion.reduction = 'none'",
    ],
)
def test_a_criterion_that_is_copied_or_only_kept(tmp_path: Path, assignment: str) -> None:
    body = f"""
class Wrapper(nn.Module):
    def __init__(self, criterion):
        super().__init__()
        {assignment}

    def forward(self, p, y):
        return self.criterion(p, y).mean()

wrapped = Wrapper(nn.L1Loss())
"""
    assert found(tmp_path, body) == []


def test_a_context_manager_changes_and_restores(tmp_path: Path) -> None:
    body = """
class PerSample:
    def __init__(self, criterion):
        self.criterion = criterion

    def __enter__(self):
        self.before = self.criterion.reduction
        self.criterion.reduction = "none"
        return self.criterion

    def __exit__(self, *error):
        self.criterion.reduction = self.before
"""
    assert found(tmp_path, body) == []


def test_a_generator_that_changes_and_restores_is_a_context_manager(tmp_path: Path) -> None:
    body = """
def replaced(owner, name, value):
    before = getattr(owner, name)
    setattr(owner, name, value)
    yield owner
    setattr(owner, name, before)

def per_sample(criterion, p, y):
    with replaced(criterion, "reduction", "none"):
        return criterion(p, y)

def loss(p, y):
    return per_sample(nn.L1Loss(), p, y).mean()
"""
    assert found(tmp_path, body) == []


def test_a_change_that_is_put_back_is_not_reported(tmp_path: Path) -> None:
    body = """
class PerSample:
    def __init__(self, criterion, model):
        if not hasattr(criterion, "reduction"):
            criterion.reduction = model.reduction
        self.criterion = criterion

    def __call__(self, p, y):
        before = self.criterion.reduction
        self.criterion.reduction = "none"
        losses = self.criterion(p, y)
        self.criterion.reduction = before
        return losses

wrapped = PerSample(nn.L1Loss(), net)
"""
    assert lines(tmp_path, body, "LA306") == []


def test_a_change_is_reported_where_something_else_is_put_in_its_place(tmp_path: Path) -> None:
    body = """
class PerSample:
    def __init__(self, criterion):
        self.criterion = criterion

    def __call__(self, p, y):
        before = self.criterion.weight
        self.criterion.reduction = "none"
        losses = self.criterion(p, y)
        self.criterion.weight = before
        return losses

wrapped = PerSample(nn.CrossEntropyLoss())
"""
    assert lines(tmp_path, body, "LA306") == ['self.criterion.reduction = "none"']


def test_a_loss_that_only_a_registry_builds_is_read_by_itself(tmp_path: Path) -> None:
    body = """
class Old(nn.Module):
    def __init__(self):
        super().__init__()
        self.l1 = nn.L1Loss(size_average=False)

    def forward(self, p, y):
        return self.l1(p, y)

class New(nn.Module):
    def forward(self, p, y):
        return F.l1_loss(p, y)

LOSSES = {"old": Old, "new": New}

def build(name):
    return LOSSES[name]()
"""
    assert lines(tmp_path, body, "LA303") == ["self.l1 = nn.L1Loss(size_average=False)"]


@pytest.mark.parametrize("handed", ["nn.L1Loss()", "learner().criterion", "shared"])
def test_the_change_is_found_whatever_is_handed_in(tmp_path: Path, handed: str) -> None:
    body = f"""
from elsewhere import learner
shared = nn.L1Loss()

class Wrapper(nn.Module):
    def __init__(self, criterion):
        super().__init__()
        self.criterion = criterion

    def forward(self, p, y):
        self.criterion.reduction = "none"
        return self.criterion(p, y).mean()

wrapped = Wrapper({handed})
"""
    assert lines(tmp_path, body, "LA306") == ['self.criterion.reduction = "none"']


# LA307 -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        "target = copy.deepcopy(target)\n    target[target == 255] = 0",
        "target = target.masked_fill(target == 255, 0)\n    target[target == 0] = 1",
        "target = F.one_hot(target, 3)\n    target[target == 1] = 0",
        "log['loss'] = 1",
        "log[0] = 1",
        "total += F.mse_loss(predicted, target)",
        "predicted = predicted + 1\n    predicted += 1",
        "predicted.requires_grad_()",
        "predicted.detach_()",
    ],
)
def test_what_is_no_change_of_the_callers_tensors(tmp_path: Path, change: str) -> None:
    body = f"""
def loss(predicted, target, log, total):
    {change}
    return F.mse_loss(predicted, target) + total
"""
    assert found(tmp_path, body) == []


@pytest.mark.parametrize(
    "change",
    [
        "target[target == 255] = 0",
        "target[:, 0] = 0",
        "target.clamp_(0, 1)",
        "target.view(-1).clamp_(0, 1)",
        "predicted /= 2",
    ],
)
def test_changes_of_the_callers_tensors(tmp_path: Path, change: str) -> None:
    body = f"""
def loss(predicted, target):
    {change}
    return F.mse_loss(predicted, target)
"""
    assert lines(tmp_path, body, "LA307") == [change]


def test_outside_a_loss_a_change_in_place_is_nobodys_business(tmp_path: Path) -> None:
    body = """
def remap(target):
    target[target == 255] = 0
    return target

def scale_(target):
    target.mul_(2)
    return F.mse_loss(target, target)
"""
    assert found(tmp_path, body) == []


# LA308 -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "pair",
    [
        "column(x), y.view(-1, 1)",
        "column(x).squeeze(1), y.view(-1)",
        "column(x), y",
        "column(x), torch.tensor([1.0])",
        "column(x), y.view(-1).unsqueeze(1)",
        "net(x), y.view(-1)",
        "column(x)[:, 0], y.flatten()",
        "column(x), y.view_as(column(x))",
    ],
)
def test_shapes_that_fit_or_are_not_known(tmp_path: Path, pair: str) -> None:
    assert found(tmp_path, f"def loss(x, y):\n    return F.mse_loss({pair})\n") == []


@pytest.mark.parametrize(
    "pair",
    [
        "column(x), y.view(-1)",
        "column(x), r.flatten() + 0.99 * y",
        "y.reshape(-1), torch.sigmoid(column(x))",
        "column(x).squeeze(), y.view(-1, 1)",
        "column(x), torch.randn(64)",
        "column(x), torch.tensor([0.5 * one for one in y])",
    ],
)
def test_a_column_and_a_vector(tmp_path: Path, pair: str) -> None:
    body = f"def loss(x, y, r):\n    return F.smooth_l1_loss({pair})\n"
    assert lines(tmp_path, body, "LA308") == [f"return F.smooth_l1_loss({pair})"]


def test_a_difference_by_hand_counts_where_it_is_averaged(tmp_path: Path) -> None:
    body = """
def loss(x, y):
    return (column(x) - y.view(-1)).pow(2).mean()

def pairs(x, y):
    return column(x) - y.view(-1)
"""
    assert lines(tmp_path, body, "LA308") == ["return (column(x) - y.view(-1)).pow(2).mean()"]


# LA309 -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "expression",
    [
        "F.cross_entropy(net(x), y, reduction='sum') / x.size(0)",
        "F.cross_entropy(net(x), y) / len(parts)",
        "F.cross_entropy(net(x), y) / x.size(1)",
        "F.cross_entropy(net(x), y) * x.size(0) / total",
        "F.cross_entropy(net(x), y) * (x.size(0) / total)",
        "F.cross_entropy(net(x), y, reduction=how) / x.size(0)",
        "(F.cross_entropy(net(x), y) + F.cross_entropy(net(x), y)) / 2",
        "sum(F.cross_entropy(net(part), y) for part in parts) / len(parts)",
        "F.cross_entropy(net(x), y) / other.size(0)",
        "F.cross_entropy(net(x), y).item() / x.size(0)",
    ],
)
def test_other_divisions_of_a_mean(tmp_path: Path, expression: str) -> None:
    assert found(tmp_path, f"def loss(x, y, parts, total, how, other):\n    return {expression}\n") == []


@pytest.mark.parametrize(
    "count", ["x.size(0)", "x.shape[0]", "len(y)", "y.numel()", "float(len(x))", "max(len(x), 1)"]
)
def test_a_mean_divided_by_the_size_of_its_batch(tmp_path: Path, count: str) -> None:
    body = f"def loss(x, y):\n    n = {count}\n    return 2 * F.cross_entropy(net(x), y) / n\n"
    assert lines(tmp_path, body, "LA309") in ([], ["return 2 * F.cross_entropy(net(x), y) / n"])


def test_a_number_of_the_log_is_no_loss(tmp_path: Path) -> None:
    body = """
def step(x, y, log):
    loss = F.cross_entropy(net(x), y)
    log(loss / x.size(0))
    loss.backward()
"""
    assert found(tmp_path, body) == []


# LA310 -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "term",
    [
        "torch.sum(1 + v - m.pow(2) - v.exp(), dim=1).mean()",
        "torch.sum(1 + v - m.pow(2) - v.exp()) / x.size(0)",
        "beta * torch.sum(1 + v - m.pow(2) - v.exp())",
        "m.pow(2).sum()",
        "sum(p.abs().sum() for p in net.parameters())",
        "nn.Parameter(torch.zeros(3)).exp().sum()",
        "torch.stack([F.mse_loss(m, v), F.l1_loss(m, v)]).sum()",
    ],
)
def test_sums_that_do_not_grow_with_the_batch(tmp_path: Path, term: str) -> None:
    body = f"def loss(x, y, m, v, beta):\n    return F.mse_loss(x, y) + {term}\n"
    assert found(tmp_path, body) == []


def test_the_addition_at_which_the_two_meet(tmp_path: Path) -> None:
    body = """
def loss(x, y, m, v):
    kl = -0.5 * torch.sum(1 + v - m * m - torch.exp(v))
    mean = F.mse_loss(x, y) + F.l1_loss(x, y)
    mixed = mean + 0.1 * kl
    return mixed + F.l1_loss(x, y)

def sparse(x, y):
    hidden = torch.relu(net(x))
    return F.mse_loss(hidden, y) + 0.001 * hidden.sum()
"""
    assert lines(tmp_path, body, "LA310") == [
        "mixed = mean + 0.1 * kl",
        "return F.mse_loss(hidden, y) + 0.001 * hidden.sum()",
    ]


# LA311 -------------------------------------------------------------------------------------------------------------

SEQUENCES = """
rnn = nn.GRU(16, 32, batch_first=True)
maps = nn.Conv2d(3, 5, 1)
pool = nn.AdaptiveAvgPool2d(1)
out = nn.Linear(32, 9)

def loss(x, y, n):
    h, _ = rnn(x)
    return {}
"""


@pytest.mark.parametrize(
    "expression",
    [
        "F.cross_entropy(out(h).transpose(1, 2), y)",
        "F.cross_entropy(out(h).movedim(-1, 1), y)",
        "F.cross_entropy(out(h).reshape(-1, 9), y.reshape(-1))",
        "F.cross_entropy(out(h[:, -1]), y)",
        "F.cross_entropy(out(h).mean(dim=1), y)",
        "F.cross_entropy(out(h).view(n, 9, 1), y)",
        "F.cross_entropy(out(x), y)",
        "F.cross_entropy(maps(pool(x)).view(-1, 5), y.view(-1))",
        "F.cross_entropy(maps(x).view(-1, 5), y)",
        "F.cross_entropy(maps(x).flatten(2), y.flatten(1))",
    ],
)
def test_classes_that_are_where_they_are_read(tmp_path: Path, expression: str) -> None:
    assert found(tmp_path, SEQUENCES.format(expression)) == []


@pytest.mark.parametrize(
    "expression",
    [
        "F.cross_entropy(out(h), y)",
        "F.nll_loss(F.log_softmax(out(h), dim=-1), y)",
        "F.cross_entropy(out(h).view(n, 9, -1), y)",
        "F.cross_entropy(maps(x).reshape(-1, 5), y.flatten())",
    ],
)
def test_classes_that_are_elsewhere(tmp_path: Path, expression: str) -> None:
    assert lines(tmp_path, SEQUENCES.format(expression), "LA311") == [f"return {expression}"]
