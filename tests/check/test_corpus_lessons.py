"""What reading findings in released packages taught: the forms that were accused wrongly, and what must still be found."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

from lossaudit.check import CheckOptions, check_files
from lossaudit.check.detectors import registered_codes

HEAD = """
import torch
import torch.nn as nn
import torch.nn.functional as F

criterion = nn.CrossEntropyLoss()
"""


def found(tmp_path: Path, source: str) -> list[str]:
    path = tmp_path / "code.py"
    path.write_text(HEAD + dedent(source), encoding="utf-8")
    codes = frozenset(registered_codes()) - {"LA205"}
    return [finding.code for finding in check_files([path], CheckOptions(select=codes)).findings]


def test_a_centred_tensor_is_no_loss(tmp_path: Path) -> None:
    """A positional encoding that is normalised: a function of two arguments that holds a mean, and no number."""
    source = """
    def encoding(length, width):
        pe = torch.zeros(length, width)
        pe[:, 0::2] = torch.sin(torch.arange(0, length).unsqueeze(1) * torch.arange(0, width, 2))
        pe = pe - pe.mean()
        return pe / (pe.std() * 10)
    """
    assert found(tmp_path, source) == []


def test_a_loss_with_a_new_tensor_is_still_bound_to_the_cpu(tmp_path: Path) -> None:
    source = """
    def ordinal(logits, target):
        steps = torch.arange(10)
        return ((logits.softmax(1) * steps).sum(1) - target).abs().mean()
    """
    assert found(tmp_path, source) == ["LA503"]


def test_a_score_of_hard_decisions_is_no_loss(tmp_path: Path) -> None:
    """Counts from which no gradient comes; one of them happens not to be needed."""
    source = """
    def f_score(prediction, target):
        hard = prediction.sigmoid() > 0.5
        right = hard == target.bool()
        hits = torch.logical_and(right, target == 1).sum()
        rejections = torch.logical_and(right, target == 0).sum()
        misses = torch.logical_and(~right, target == 1).sum()
        return hits / (hits + misses + 1)
    """
    assert found(tmp_path, source) == []


NORMALISER = """
class Normaliser(nn.Module):
    def __init__(self, last):
        super().__init__()
        self.last = last
        self.shift, self.scale = torch.zeros(3), torch.ones(3)

    def forward(self, x, undo):
        x = F.relu(x)
        if not undo:
            {assigns}
            return (x - self.shift) / self.scale
        return x * self.scale + self.shift
"""


def test_a_state_that_forward_assigns_is_no_weight(tmp_path: Path) -> None:
    anew = "self.shift, self.scale = x.mean(0, keepdim=True), x.std(0, keepdim=True) + 1e-5"
    assert found(tmp_path, NORMALISER.format(assigns=anew)) == []
    assert set(found(tmp_path, NORMALISER.format(assigns="pass"))) == {"LA208"}


TABLE = """
class OneHot(nn.Module):
    def __init__(self, kinds):
        super().__init__()
        self.table = torch.eye(kinds)
        self.out = nn.Linear(kinds, 2)

    def forward(self, kind):
        return self.out(self.table[kind.long()]{moved})
"""


def test_a_table_whose_rows_are_moved_after_the_look_up_is_no_surprise(tmp_path: Path) -> None:
    assert found(tmp_path, TABLE.format(moved=".to(self.out.weight.device)")) == []
    assert found(tmp_path, TABLE.format(moved="")) == ["LA208"]
