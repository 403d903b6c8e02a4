"""Optax: the losses of ``optax.losses``, which return one number a sample (as of 0.2.8)."""

from __future__ import annotations

from dataclasses import replace

from lossaudit.check.contracts.schema import Framework, Loss, When

_O = "optax."
_AXIS = ", axis: class_dim=-1, where=None"


def _softmax(name: str, rest: str, target: str = "distribution") -> Loss:
    """A cross-entropy of scores over classes."""
    return Loss(
        "cross_entropy",
        functions=(_O + name,),
        signature="logits: input, labels: target" + rest,
        expects="logits",
        target_expects=target,
        applies="log-softmax",
        class_dim=-1,
    )


def _sigmoid(name: str, functions: tuple[str, ...], rest: str = "") -> Loss:
    """A cross-entropy of one score a decision."""
    return Loss(
        name,
        functions=functions,
        signature="logits: input, labels: target" + rest,
        expects="binary_logits",
        target_expects="binary",
        applies="a sigmoid",
    )


def _regression(name: str, *names: str, rest: str = "") -> Loss:
    functions = tuple(_O + one for one in names)
    return Loss(
        name,
        functions=functions,
        signature="predictions: input, targets: target=None" + rest,
        symmetric=True,
    )


_LOSSES = (
    _softmax("softmax_cross_entropy", _AXIS),
    _softmax("safe_softmax_cross_entropy", ""),
    _softmax("softmax_cross_entropy_with_integer_labels", _AXIS, "class_indices"),
    _softmax("poly_loss_cross_entropy", ", *, epsilon=2.0, axis: class_dim=-1, where=None"),
    _sigmoid("binary_cross_entropy_with_logits", (_O + "sigmoid_binary_cross_entropy",)),
    _sigmoid("sigmoid_focal_loss", (_O + "sigmoid_focal_loss",), ", *, alpha=None, gamma=2.0"),
    Loss("kl_divergence", functions=(_O + "kl_divergence", _O + "convex_kl_divergence"),
         signature="log_predictions: input, targets: target" + _AXIS, expects="log_input", target_expects="distribution"),
    Loss("kl_divergence", functions=(_O + "kl_divergence_with_log_targets",),
         signature="log_predictions: input, log_targets: target" + _AXIS, expects="log_input"),
    Loss("ctc_loss", functions=(_O + "ctc_loss", _O + "ctc_loss_with_forward_probs"),
         signature="logits: input, logit_paddings, labels: target, label_paddings, *, blank_id=0, log_epsilon=-100000.0",
         expects="logits", applies="log-softmax", class_dim=-1),
    Loss("dice", functions=(_O + "losses.dice_loss", _O + "losses.multiclass_generalized_dice_loss"),
         signature="predictions: input, targets: target, *, apply_softmax=True, **kwargs",
         expects="logits", applies="softmax", when=(When("apply_softmax", value=False, changes=(("expects", ""), ("applies", ""))),)),
    Loss("dice", functions=(_O + "losses.binary_dice_loss",),
         signature="predictions: input, targets: target, *, smooth=1.0, apply_sigmoid=True", expects="binary_logits",
         applies="a sigmoid", when=(When("apply_sigmoid", value=False, changes=(("expects", ""), ("applies", ""))),)),
    _regression("mse_loss", "squared_error", "l2_loss"),
    _regression("huber_loss", "huber_loss", rest=", *, delta=1.0"),
    _regression("log_cosh", "log_cosh"),
    Loss("cosine_similarity", functions=(_O + "cosine_distance", _O + "cosine_similarity"),
         signature="predictions: input, targets: target, *, epsilon=0.0, axis: dim=-1, where=None", symmetric=True),
)  # fmt: skip

FRAMEWORK = Framework(
    name="optax",
    roots=("optax",),
    requires=("jax",),
    prefixes=(
        *(
            (f"optax.{module}.{name}", f"optax.{name}")
            for module in ("losses", "losses._classification", "losses._regression", "_src.loss")
            for name in sorted(
                function.removeprefix(_O)
                for loss in _LOSSES
                for function in loss.functions
                if not function.startswith(_O + "losses.")
            )
        ),
    ),
    losses=tuple(replace(one, home="jax") for one in _LOSSES),
)
