"""The losses of segmentation_models_pytorch (signatures as of 0.3 to 0.5).

``mode`` says whether classes exclude each other, ``from_logits`` whether the loss applies the activation itself.
"""

from __future__ import annotations

from lossaudit.check.contracts.schema import Framework, Loss, When

PACKAGE = "segmentation_models_pytorch.losses."
_CALL = "y_pred: input, y_true: target"
_SOFTMAX = (("expects", "logits"), ("applies", "softmax"))
_SIGMOID = (("expects", "binary_logits"), ("applies", "a sigmoid"))


def activations(*given: tuple[str, object]) -> tuple[When, ...]:
    """What the modes mean for a loss that applies the activation, if the ``given`` arguments hold."""
    modes = (("multiclass", _SOFTMAX), ("binary", _SIGMOID), ("multilabel", _SIGMOID))
    return tuple(When("mode", mode, changes, also=given) for mode, changes in modes)


FROM_LOGITS = activations(("from_logits", True))
OVERLAP = (
    "mode, classes=None, log_loss=False, from_logits=True, smooth=0.0, ignore_index=None, eps=1e-07, **kwargs"
)
FOCAL = (
    "mode, alpha=None, gamma=2.0, ignore_index=None, from_logits=True, eps=1e-07, reduction='mean', **kwargs"
)
_TVERSKY = "mode, classes=None, log_loss=False, from_logits=True, smooth=0.0, ignore_index=None, eps=1e-07, alpha=0.5, beta=0.5, gamma=1.0, **kwargs"


def _by_mode(name: str, cls: str, init: str) -> Loss:
    return Loss(name, (PACKAGE + cls,), init, call=_CALL, when=FROM_LOGITS)


FRAMEWORK = Framework(
    name="segmentation_models_pytorch",
    roots=("segmentation_models_pytorch",),
    prefixes=tuple(
        (f"{PACKAGE}{module}.", PACKAGE) for module in ("dice", "jaccard", "focal", "tversky", "lovasz", "soft_bce", "soft_ce", "constants")
    ),
    constants=(
        (PACKAGE + "BINARY_MODE", "binary"),
        (PACKAGE + "MULTICLASS_MODE", "multiclass"),
        (PACKAGE + "MULTILABEL_MODE", "multilabel"),
    ),
    losses=(
        _by_mode("dice_loss", "DiceLoss", OVERLAP),
        _by_mode("jaccard_loss", "JaccardLoss", OVERLAP),
        _by_mode("tversky_loss", "TverskyLoss", _TVERSKY),
        _by_mode("focal_loss", "FocalLoss", FOCAL),
        # Its binary form is a hinge on the margins of the scores, which applies no sigmoid
        Loss("lovasz_loss", (PACKAGE + "LovaszLoss",), "mode, per_image=False, ignore_index=None, from_logits=True", call=_CALL,
             when=(When("mode", "multiclass", _SOFTMAX),)),
        Loss("soft_cross_entropy", (PACKAGE + "SoftCrossEntropyLoss",), "reduction='mean', smooth_factor=None, ignore_index=-100, dim: class_dim=1",
             call=_CALL, expects="logits", target_expects="class_indices", applies="log-softmax", class_dim=1),
        Loss("soft_bce_with_logits", (PACKAGE + "SoftBCEWithLogitsLoss",),
             "weight=None, ignore_index=-100, reduction='mean', smooth_factor=None, pos_weight=None", call=_CALL,
             expects="binary_logits", target_expects="binary", applies="a sigmoid"),
    ),
)  # fmt: skip
