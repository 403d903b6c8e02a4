"""The losses of timm (signatures as of 1.x). Every one of them takes raw logits."""

from __future__ import annotations

from lossaudit.check.contracts.schema import Framework, Loss

_LOSS = "timm.loss."
_X = "x: input, target"


def _multiclass(
    name: str, cls: str, init: str = "", *, target: str = "class_indices", call: str = _X
) -> Loss:
    return Loss(name, (_LOSS + cls,), init, call=call, expects="logits", target_expects=target, applies="log-softmax", class_dim=-1)  # fmt: skip


def _multilabel(name: str, cls: str, init: str = "", *, target: str = "binary", call: str = _X) -> Loss:
    return Loss(name, (_LOSS + cls,), init, call=call, expects="binary_logits", target_expects=target, applies="a sigmoid")  # fmt: skip


FRAMEWORK = Framework(
    name="timm",
    roots=("timm",),
    prefixes=tuple(
        (f"timm.loss.{module}.", _LOSS)
        for module in ("cross_entropy", "binary_cross_entropy", "asymmetric_loss", "jsd", "poly_loss")
    ),
    losses=(
        _multiclass("label_smoothing_cross_entropy", "LabelSmoothingCrossEntropy", "smoothing=0.1"),
        _multiclass("soft_target_cross_entropy", "SoftTargetCrossEntropy", target="distribution"),
        _multiclass("poly_cross_entropy", "PolyCrossEntropy", "epsilon=2.0, smoothing=0.0, reduction='mean'", target=""),
        _multiclass("jsd_cross_entropy", "JsdCrossEntropy", "num_splits=3, alpha=12, smoothing=0.1",
                    call="output: input, target"),
        _multiclass("asymmetric_loss_single_label", "AsymmetricLossSingleLabel", "gamma_pos=1, gamma_neg=4, eps=0.1, reduction='mean'",
                    call="inputs: input, target, reduction=None"),
        # Its target is a class index or a row of labels, by its shape
        _multilabel("binary_cross_entropy_of_classes", "BinaryCrossEntropy",
                    "smoothing=0.1, target_threshold=None, weight=None, reduction='mean', sum_classes=False, pos_weight=None, **kwargs", target=""),
        _multilabel("asymmetric_loss", "AsymmetricLossMultiLabel",
                    "gamma_neg=4, gamma_pos=1, clip=0.05, eps=1e-08, disable_torch_grad_focal_loss=False, **kwargs",
                    call="x: input, y: target"),
        _multilabel("poly_binary_cross_entropy", "PolyBinaryCrossEntropy",
                    "epsilon=2.0, gamma=0.0, alpha=None, smoothing=0.0, reduction='mean'"),
    ),
)  # fmt: skip
