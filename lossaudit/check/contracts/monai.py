"""The losses of MONAI (signatures as of 1.3 and later).

``sigmoid=True`` and ``softmax=True`` say which activation the loss applies; with neither, it reads its input as it is.
"""

from __future__ import annotations

from lossaudit.check.contracts.schema import Framework, Loss, When

_LOSS = "monai.losses."
_CALL = "input, target"
_SOFTMAX_FIELDS = (("expects", "logits"), ("applies", "softmax"))
_SIGMOID_FIELDS = (("expects", "binary_logits"), ("applies", "a sigmoid"))
_ACTIVATIONS = (
    When("sigmoid", value=True, changes=_SIGMOID_FIELDS),
    When("softmax", value=True, changes=_SOFTMAX_FIELDS),
)

_HEAD = "include_background=True, to_onehot_y=False, sigmoid=False, softmax=False, other_act=None"
_SMOOTH = "smooth_nr=1e-05, smooth_dr=1e-05, batch=False"
_DICE = f"{_HEAD}, squared_pred=False, jaccard=False, reduction='mean', {_SMOOTH}"


def _overlap(name: str, cls: str, init: str, call: str = _CALL) -> Loss:
    return Loss(name, (_LOSS + cls,), init, call=call, when=_ACTIVATIONS)


FRAMEWORK = Framework(
    name="monai",
    roots=("monai",),
    prefixes=tuple(
        (f"monai.losses.{module}.", _LOSS) for module in ("dice", "focal_loss", "tversky", "hausdorff_loss", "cldice")
    ),
    losses=(
        _overlap("dice_loss", "DiceLoss", _DICE + ", weight=None, soft_label=False, **kwargs"),
        _overlap("dice_loss", "Dice", _DICE + ", weight=None, soft_label=False, **kwargs"),
        _overlap("masked_dice_loss", "MaskedDiceLoss", _DICE + ", weight=None, soft_label=False", _CALL + ", mask=None"),
        _overlap("generalized_dice_loss", "GeneralizedDiceLoss", _HEAD + ", w_type='square', reduction='mean', " + _SMOOTH + ", **kwargs"),
        _overlap("dice_ce_loss", "DiceCELoss", _DICE + ", weight=None, lambda_dice=1.0, lambda_ce=1.0, **kwargs"),
        _overlap("tversky_loss", "TverskyLoss", _HEAD + ", alpha=0.5, beta=0.5, reduction='mean', " + _SMOOTH + ", **kwargs"),
        _overlap("hausdorff_loss", "HausdorffDTLoss", "alpha=2.0, include_background=False, to_onehot_y=False, sigmoid=False, "
                 "softmax=False, other_act=None, reduction='mean', batch=False"),
        Loss("dice_focal_loss", (_LOSS + "DiceFocalLoss",), _DICE + ", gamma=2.0, weight=None, **kwargs", call=_CALL, when=_ACTIVATIONS),
        Loss("generalized_dice_focal_loss", (_LOSS + "GeneralizedDiceFocalLoss",),
             _HEAD + ", w_type='square', reduction='mean', " + _SMOOTH + ", gamma=2.0, **kwargs", call=_CALL, when=_ACTIVATIONS),
        Loss("focal_loss", (_LOSS + "FocalLoss",),
             "include_background=True, to_onehot_y=False, gamma=2.0, alpha=None, weight=None, reduction='mean', use_softmax=False, **kwargs",
             call=_CALL, expects="binary_logits", applies="a sigmoid", when=(When("use_softmax", value=True, changes=_SOFTMAX_FIELDS),)),
    ),
)  # fmt: skip
