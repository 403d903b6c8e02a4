"""Fixes in code that uses loss libraries of PyTorch, proved by running the libraries against formulas written out here."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812

from tests.frameworks.proofs import Proof, Result, needs, prove
from tests.test_fixes_proofs import BINARY, CLASSES, MANY, ROWS, cross_entropy, soft, value_and_gradient

pytestmark = needs()

HEADER = "import torch\nfrom torch import nn\n{imports}\n\n\ndef loss(z, y):\n    return {call}\n"
MAPS = (2, 3, 2, 2)
"""Raw scores of two images of four pixels and three classes."""
MASK = (2, 1, 2, 2)
LABELS = torch.tensor([[[0, 2], [1, 1]], [[2, 0], [0, 1]]])
REGION = torch.tensor([[[[1.0, 0.0], [1.0, 1.0]]], [[[0.0, 0.0], [1.0, 0.0]]]], dtype=torch.float64)
SMOOTH = (ROWS + 0.1) / (ROWS + 0.1).sum(1, keepdim=True)
"""Targets without a zero, where torchmetrics' divergence has no gradient."""


def focal(z: torch.Tensor, y: torch.Tensor, alpha: float = 1.0) -> torch.Tensor:
    """Lin et al. 2017, for classes that exclude each other, gamma 2."""
    log_p = z.log_softmax(1).gather(1, y.unsqueeze(1))
    return -(alpha * (1 - log_p.exp()) ** 2 * log_p).mean()


def binary_focal(z: torch.Tensor, y: torch.Tensor, alpha: float | None = None) -> torch.Tensor:
    """Lin et al. 2017, for decisions, gamma 2; ``alpha`` weighs what is there, its rest what is not."""
    hit = torch.where(y == 1, z.sigmoid(), 1 - z.sigmoid())
    weight = 1.0 if alpha is None else torch.where(y == 1, alpha, 1 - alpha)
    return -(weight * (1 - hit) ** 2 * torch.where(y == 1, F.logsigmoid(z), F.logsigmoid(-z))).mean()


def weighted_binary_focal(z: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return binary_focal(z, y, 0.25)


def half_focal(z: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """As kornia averages it: over the classes too."""
    return focal(z, y, 0.5) / z.size(1)


def smoothed(z: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return F.cross_entropy(z, y, label_smoothing=0.1)


def dice_of_all(z: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """One minus the Dice coefficient of all pixels of the batch."""
    p = z.sigmoid()
    return 1 - 2 * (p * y).sum() / (p.sum() + y.sum())


def dice_of_each(z: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """The mean over images of one minus their Dice coefficient, smoothed by 1e-5 as in MONAI."""
    p = z.sigmoid()
    overlap, size = (p * y).sum((1, 2, 3)), (p + y).sum((1, 2, 3))
    return (1 - (2 * overlap + 1e-5) / (size + 1e-5)).mean()


def dice_of_classes(z: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """The mean over classes of one minus the Dice coefficient of all pixels of the batch."""
    p, hot = z.softmax(1), F.one_hot(y, 3).movedim(-1, 1)
    axes = (0, 2, 3)
    return (1 - 2 * (p * hot).sum(axes) / (p + hot).sum(axes)).mean()


def binary(z: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return F.binary_cross_entropy_with_logits(z, y)


def divergence(z: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """That of smoothed probabilities, of which none is lost to rounding."""
    return F.kl_div((0.9 * z.softmax(1) + 1 / 30).log(), y, reduction="batchmean")


def asymmetric(z: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Ridnik et al. 2021, with the defaults and the mean of timm: gamma 1 and 4, a shift of 0.05."""
    p = z.sigmoid()
    shifted = (p - 0.05).clamp(min=0)
    positive = y * (1 - p) * p.log()
    negative = (1 - y) * shifted**4 * (1 - shifted).log()
    return -(positive + negative).sum(1).mean()


CASES: dict[str, list[tuple[str, str, str, tuple[int, ...], torch.Tensor, Any]]] = {
    "torchvision": [
        ("LA105", "import torchvision", "torchvision.ops.sigmoid_focal_loss(z.sigmoid(), y, reduction='mean')", (4,), BINARY, weighted_binary_focal),
        ("LA105", "from torchvision.ops import sigmoid_focal_loss",
         "sigmoid_focal_loss(nn.Sequential(nn.Identity(), nn.Sigmoid())(z), y, alpha=-1, reduction='mean')", MASK, REGION, binary_focal),
    ],
    "timm": [
        ("LA101", "from timm.loss import LabelSmoothingCrossEntropy", "LabelSmoothingCrossEntropy(0.1)(torch.softmax(z, 1), y)", MANY, CLASSES, smoothed),
        ("LA101", "from timm.loss import SoftTargetCrossEntropy as Soft", "Soft()(target=y, x=torch.softmax(z, -1))", MANY, ROWS, soft),
        ("LA105", "from timm.loss import BinaryCrossEntropy", "BinaryCrossEntropy(smoothing=0.0)(torch.sigmoid(z), y)", MANY, ROWS.round(), binary),
        ("LA105", "from timm.loss import AsymmetricLossMultiLabel", "AsymmetricLossMultiLabel()(z.sigmoid(), y)", MANY, ROWS.round(), asymmetric),
        ("LA106", "from timm.loss import LabelSmoothingCrossEntropy", "LabelSmoothingCrossEntropy(0.1)(z.sigmoid(), y)", MANY, CLASSES, smoothed),
    ],
    "kornia": [
        ("LA101", "import kornia", "kornia.losses.focal_loss(torch.softmax(z, 1), y, alpha=0.5, reduction='mean')", MAPS, LABELS, half_focal),
        ("LA105", "from kornia.losses import BinaryFocalLossWithLogits",
         "BinaryFocalLossWithLogits(alpha=0.25, reduction='mean')(z.sigmoid(), y)", MASK, REGION, weighted_binary_focal),
    ],
    "monai": [
        ("LA105", "from monai.losses import DiceLoss", "DiceLoss(sigmoid=True)(torch.sigmoid(z), y)", MASK, REGION, dice_of_each),
        ("LA105", "from monai.losses import FocalLoss", "FocalLoss(gamma=2.0)(torch.sigmoid(z), y)", MASK, REGION, binary_focal),
        ("LA101", "from monai.losses import FocalLoss",
         "FocalLoss(use_softmax=True, to_onehot_y=True)(torch.softmax(z, 1), y.unsqueeze(1)) * 3", MAPS, LABELS, focal),
    ],
    "segmentation_models_pytorch": [
        ("LA101", "import segmentation_models_pytorch as smp", "smp.losses.DiceLoss(mode='multiclass')(z.softmax(1), y)", MAPS, LABELS, dice_of_classes),
        ("LA105", "import segmentation_models_pytorch as smp", "smp.losses.DiceLoss('binary', from_logits=True)(z.sigmoid(), y)", MASK, REGION, dice_of_all),
        ("LA105", "import segmentation_models_pytorch as smp", "smp.losses.SoftBCEWithLogitsLoss()(z.sigmoid(), y)", MASK, REGION, binary),
        ("LA106", "from segmentation_models_pytorch.losses import SoftCrossEntropyLoss",
         "SoftCrossEntropyLoss(smooth_factor=0.0)(z.sigmoid(), y)", MAPS, LABELS, cross_entropy),
    ],
    "pytorch_toolbelt": [
        ("LA105", "import pytorch_toolbelt.losses as L", "L.BinaryFocalLoss()(z.sigmoid(), y)", MASK, REGION, binary_focal),
        ("LA101", "import pytorch_toolbelt.losses as L", "L.SoftCrossEntropyLoss()(z.softmax(1), y)", MANY, CLASSES, cross_entropy),
    ],
    # No contract says what its functions must be given, so no activation goes; what depends on its reductions is mended around it
    "torchmetrics": [
        ("LA309", "from torchmetrics.functional import kl_divergence", "kl_divergence(y, 0.9 * torch.softmax(z, 1) + 1 / 30) / len(z)", MANY, SMOOTH, divergence),
        ("LA309", "import torchmetrics.functional as tm", "tm.regression.kl_divergence(y, z.softmax(-1).mul(0.9) + 1 / 30, reduction='mean') / z.size(0)",
         MANY, SMOOTH, divergence),
    ],
}  # fmt: skip
PROOFS = [
    pytest.param(
        Proof(code, HEADER.format(imports=imports, call=call), shape, target, reference),
        marks=[mark for mark in needs(package) if mark.name == "skipif"],
        id=f"{package}-{code}-{number}",
    )
    for package, cases in CASES.items()
    for number, (code, imports, call, shape, target, reference) in enumerate(cases)
]


@pytest.fixture(scope="module", autouse=True)
def operators_of_torchvision() -> Iterator[None]:
    """A torchvision that was built for CUDA finds none of its operators beside a PyTorch without, and misses two as it is imported.

    No loss needs them; their names are enough.
    """
    library = torch.library.Library("torchvision", "FRAGMENT")
    try:
        import torchvision  # noqa: F401
    except ModuleNotFoundError:
        pass
    except RuntimeError:
        for name in [one for one in sys.modules if one.partition(".")[0] == "torchvision"]:
            del sys.modules[name]
        for name in ("nms", "qnms"):
            library.define(f"{name}(Tensor boxes, Tensor scores, float threshold) -> Tensor")
    yield
    library._destroy()


def run(program: dict[str, Any], scores: torch.Tensor, target: torch.Tensor) -> Result:
    value, gradient = value_and_gradient(program["loss"], scores, target)
    return value.double(), gradient.double()


@pytest.mark.parametrize("case", PROOFS)
def test_an_unsafe_fix_gives_the_reference(case: Proof, tmp_path: Path) -> None:
    prove(case, run, tmp_path, rtol=1e-4)  # MONAI computes in float32
