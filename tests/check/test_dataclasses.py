"""Dataclasses: which fields the constructor takes, and what ``__post_init__`` makes of them."""

from __future__ import annotations

import pytest

from tests.check.test_robustness import check

HEAD = """\
from dataclasses import InitVar, dataclass, field

import torch
import torch.nn.functional as F


@dataclass
class Base:
    raw: torch.Tensor
    made: torch.Tensor = field(init=False)
    other: torch.Tensor = None

"""


@pytest.mark.parametrize(
    ("body", "use", "codes"),
    [
        ("def __post_init__(self):\n        self.made = self.raw.sigmoid()", "Base(z).made", ["LA105"]),
        ("def __post_init__(self):\n        self.made = self.raw.sigmoid()", "Base(z).raw", []),
        ("def name(self): return 1", "Base(z, torch.sigmoid(z)).other", ["LA105"]),
        ("def name(self): return 1", "Base(z, torch.sigmoid(z)).made", []),
        ("scale: InitVar[bool] = True\n\n    def __post_init__(self, scale):\n        self.made = self.raw.sigmoid() if scale else self.raw",
         "Base(z).made", []),
    ],
)  # fmt: skip
def test_fields_that_are_made_after_the_others(body: str, use: str, codes: list[str]) -> None:
    text = f"{HEAD}    {body}\n\n\ndef loss(z, y):\n    return F.binary_cross_entropy_with_logits({use}, y)\n"
    assert [finding.code for finding in check(text).findings] == codes
