"""The losses of kornia (signatures as of 0.7 and 0.8). The segmentation losses take raw logits."""

from __future__ import annotations

from lossaudit.check.contracts.schema import Framework, Loss

_LOSS = "kornia.losses."
_CALL = "pred: input, target"


def _segmentation(name: str, cls: str, init: str, applies: str, class_dim: int | None = None) -> Loss:
    """A loss over classes at dimension 1. The function takes what the constructor takes, after its two tensors."""
    signature = f"{_CALL}, {init}" if init else _CALL
    return Loss(name, (_LOSS + cls,), init, (_LOSS + name,), signature, _CALL,
                expects="logits", target_expects="class_indices", applies=applies, class_dim=class_dim)  # fmt: skip


_IGNORE = "weight=None, ignore_index=-100"

FRAMEWORK = Framework(
    name="kornia",
    roots=("kornia",),
    prefixes=tuple(
        (f"kornia.losses.{module}.", _LOSS) for module in ("dice", "focal", "tversky", "lovasz_softmax", "lovasz_hinge", "divergence")
    ),
    losses=(
        _segmentation("focal_loss", "FocalLoss", "alpha, gamma=2.0, reduction='none', " + _IGNORE, "log-softmax", 1),
        _segmentation("dice_loss", "DiceLoss", "average='micro', eps=1e-08, " + _IGNORE, "softmax"),
        _segmentation("tversky_loss", "TverskyLoss", "alpha, beta, eps=1e-08, ignore_index=-100", "softmax"),
        _segmentation("lovasz_softmax_loss", "LovaszSoftmaxLoss", "weight=None", "softmax"),
        Loss("binary_focal_loss_with_logits", (_LOSS + "BinaryFocalLossWithLogits",),
             "alpha=0.25, gamma=2.0, reduction='none', pos_weight=None, " + _IGNORE, (_LOSS + "binary_focal_loss_with_logits",),
             _CALL + ", alpha=0.25, gamma=2.0, reduction='none', pos_weight=None, " + _IGNORE, _CALL,
             expects="binary_logits", target_expects="binary", applies="a sigmoid"),
        # A hinge on the margins of the scores: it applies no sigmoid, and neither must the model
        Loss("lovasz_hinge_loss", (_LOSS + "LovaszHingeLoss",), "", (_LOSS + "lovasz_hinge_loss",), _CALL, _CALL),
        Loss("kl_div_loss_2d", functions=(_LOSS + "kl_div_loss_2d", _LOSS + "js_div_loss_2d"), signature=_CALL + ", reduction='mean'"),
    ),
)  # fmt: skip
