"""The losses of pytorch_toolbelt (signatures as of 0.6 to 0.8)."""

from __future__ import annotations

from lossaudit.check.contracts.schema import Framework, Loss, When
from lossaudit.check.contracts.segmentation_models_pytorch import FROM_LOGITS, OVERLAP

_LOSS = "pytorch_toolbelt.losses."
_CALL = "inputs: input, targets: target"
_OUTPUT = "output: input, target"


def _binary(name: str, cls: str, init: str, call: str, *, function: str = "", target: str = "binary") -> Loss:
    functions = (_LOSS + function,) if function else ()
    return Loss(name, (_LOSS + cls,), init, functions, f"{call}, {init}", call,
                expects="binary_logits", target_expects=target, applies="a sigmoid")  # fmt: skip


FRAMEWORK = Framework(
    name="pytorch_toolbelt",
    roots=("pytorch_toolbelt",),
    prefixes=tuple(
        (f"{_LOSS}{module}.", _LOSS)
        for module in ("dice", "jaccard", "focal", "functional", "soft_bce", "soft_ce", "balanced_bce", "quality_focal_loss", "bitempered_loss", "soft_f1")
    ),
    losses=(
        Loss("dice_loss", (_LOSS + "DiceLoss",), OVERLAP, call="y_pred: input, y_true: target", when=FROM_LOGITS),
        Loss("jaccard_loss", (_LOSS + "JaccardLoss",), OVERLAP, call="y_pred: input, y_true: target", when=FROM_LOGITS),
        Loss("binary_focal_loss", (_LOSS + "BinaryFocalLoss",),
             "alpha=None, gamma=2.0, ignore_index=None, reduction='mean', normalized=False, reduced_threshold=None, activation='sigmoid', **kwargs",
             call=_CALL, target_expects="binary",
             when=(When("activation", "sigmoid", (("expects", "binary_logits"), ("applies", "a sigmoid"))),)),
        Loss("focal_loss", (_LOSS + "CrossEntropyFocalLoss",),
             "gamma=2.0, reduction='mean', normalized=False, reduced_threshold=None, ignore_index=-100, **kwargs",
             (_LOSS + "softmax_focal_loss_with_logits",),
             _OUTPUT + ", class_weights=None, gamma=2.0, reduction='mean', normalized=False, reduced_threshold=None, eps=1e-06, ignore_index=-100",
             _CALL, expects="logits", target_expects="class_indices", applies="log-softmax", class_dim=1),
        Loss("soft_cross_entropy", (_LOSS + "SoftCrossEntropyLoss",), "reduction='mean', smooth_factor=0.0, ignore_index=-100, dim: class_dim=1",
             expects="logits", target_expects="class_indices", applies="log-softmax", class_dim=1),
        Loss("bi_tempered_logistic_loss", (_LOSS + "BiTemperedLogisticLoss",), "t1, t2, smoothing=0.0, ignore_index=None, reduction='mean'",
             call="predictions: input, targets: target", expects="logits", applies="a tempered softmax"),
        _binary("soft_bce_with_logits", "SoftBCEWithLogitsLoss",
                "weight=None, ignore_index=-100, reduction='mean', smooth_factor=None, pos_weight=None", "input, target"),
        _binary("balanced_bce_with_logits", "BalancedBCEWithLogitsLoss", "gamma=1.0, reduction='mean', ignore_index=None", _OUTPUT),
        _binary("quality_focal_loss", "QualityFocalLoss", "beta=2, reduction='mean'", "predictions: input, targets: target", target=""),
        _binary("soft_f1_loss", "BinarySoftF1Loss", "ignore_index=None, eps=1e-06", "preds: input, targets: target"),
        Loss("soft_f1_loss", (_LOSS + "SoftF1Loss",), "ignore_index=None, eps=1e-06", call="preds: input, targets: target",
             expects="logits", applies="softmax"),
    ),
)  # fmt: skip
