"""compile, vmap and grad: asked for on request, and of nobody else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from conftest import audit_here

from lossaudit.fuzz import FuzzOptions

if TYPE_CHECKING:
    from pathlib import Path

ALL = frozenset({"compile", "vmap", "grad"})
HEAD = "import torch\nfrom torch.nn import functional\n"
LOOKS = HEAD + (
    "def loss(logits, labels):\n"
    "    scale = 1.0 if labels.max().item() >= 0 else 0.0\n"
    "    return scale * functional.cross_entropy(logits, labels)\n"
)
OLD_STYLE = HEAD + (
    "class Square(torch.autograd.Function):\n"
    "    @staticmethod\n"
    "    def forward(ctx, error):\n"
    "        ctx.save_for_backward(error)\n"
    "        return error**2\n"
    "    @staticmethod\n"
    "    def backward(ctx, grad):\n"
    "        return 2 * ctx.saved_tensors[0] * grad\n"
    "def loss(prediction, target):\n"
    "    return Square.apply(prediction - target).mean()\n"
)
COMPILED = HEAD + (
    "def loss(prediction, target):\n"
    "    factor = 2.0 if torch.compiler.is_compiling() else 1.0\n"
    "    return factor * ((prediction - target) ** 2).mean()\n"
)


@pytest.mark.parametrize(
    ("transform", "source", "code"),
    [("vmap", LOOKS, "LF406"), ("grad", OLD_STYLE, "LF406"), ("compile", COMPILED, "LF101")],
)
def test_what_fails_under_a_transform_is_found_on_request_only(
    transform: str, source: str, code: str, tmp_path: Path
) -> None:
    path = tmp_path / f"under_{transform}.py"
    path.write_text(source)
    asked = audit_here(f"{path}:loss", FuzzOptions(max_examples=4, transforms=frozenset({transform})))
    assert [finding.code for finding in asked.findings] == [code]
    assert f"torch.{'func.' if transform != 'compile' else ''}{transform}" in asked.findings[0].message
    assert audit_here(f"{path}:loss", FuzzOptions(max_examples=4)).verdict == "conforms"


@pytest.mark.parametrize("name", ["CrossEntropyLoss", "MSELoss", "BCEWithLogitsLoss", "KLDivLoss"])
def test_losses_of_torch_go_through_all(name: str) -> None:
    report = audit_here(f"torch.nn:{name}", FuzzOptions(max_examples=4, transforms=ALL))
    assert report.verdict == "conforms", report.findings
