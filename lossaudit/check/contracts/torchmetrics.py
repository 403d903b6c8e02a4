"""The functional metrics of torchmetrics that pass a gradient and are trained with (signatures as of 1.x)."""

from __future__ import annotations

from lossaudit.check.contracts.schema import Framework, Loss

_FUNCTIONAL = "torchmetrics.functional."
_CALL = "preds: input, target"


def _regression(name: str) -> Loss:
    return Loss(name, functions=(_FUNCTIONAL + name,), signature=_CALL + ", *args, **kwargs", symmetric=True)


FRAMEWORK = Framework(
    name="torchmetrics",
    roots=("torchmetrics",),
    prefixes=tuple((f"torchmetrics.functional.{module}.", _FUNCTIONAL) for module in ("regression", "classification", "image")),
    losses=(
        _regression("mean_squared_error"),
        _regression("mean_absolute_error"),
        # It turns what is outside [0, 1] into probabilities by itself
        Loss("hinge_loss", functions=(_FUNCTIONAL + "hinge_loss",), signature=_CALL + ", *args, **kwargs"),
        Loss("kl_divergence", functions=(_FUNCTIONAL + "kl_divergence",), signature="p: input, q: target, log_prob=False, reduction='mean'"),
    ),
)  # fmt: skip
