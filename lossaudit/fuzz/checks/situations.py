"""LF2 to LF4 in the situations that a loss meets besides plain calls: autocast, odd shapes and layouts, transforms.

A situation is asked for only where the reference itself takes it, and where torch's own loss of the family does not refuse
it (``ReferenceSpec.lacks``).
"""

from __future__ import annotations

import copy
import functools
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch

from lossaudit.fuzz import devices, inputs, memory, variants
from lossaudit.fuzz.checks.laws import of_a_prediction
from lossaudit.fuzz.model import Failure, Structure
from lossaudit.fuzz.spaces import all_spaces
from lossaudit.fuzz.subject import arrange, packed, refuses_a_second_backward, single, tensors
from lossaudit.fuzz.surroundings import seed_torch
from lossaudit.fuzz.target import first_line
from lossaudit.fuzz.trial import Check, plain
from lossaudit.fuzz.unreduced import as_held

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

    from lossaudit.fuzz.model import Case
    from lossaudit.fuzz.subject import Subject
    from lossaudit.fuzz.trial import Trial
    from lossaudit.fuzz.variants import Variant

HONEST = frozenset({"ValueError", "AssertionError", "NotImplementedError"})
"""What a loss raises that refuses a shape on purpose."""
STEP_ROOM = 1e-3
VARIETY = 1.5
CONFIDENT = 8.0


def _judge_of(trial: Trial, situation: str) -> Variant | None:
    """The reference, where the situation can be asked of its family and the plain call is right."""
    variant = trial.variant
    if variant is None or trial.session.nearest or trial.subject.interface.arrays:
        return None
    if trial.value_agrees is not True:
        return None
    return None if situation in variant.spec.lacks else variant


def _two_tensors(trial: Trial) -> bool:
    return not all_spaces()[trial.case.space].parts


def _call(trial: Trial, arguments: Sequence[Tensor], case: Case | None = None) -> tuple[Any, str | None]:
    """What a call gives, or the error that it raises."""
    loss = trial.subject.at_dtype((case or trial.case).dtype)
    return _tried(lambda: single(trial.subject.invoke(loss, *arguments)))


def _tried(call: Callable[[], Any]) -> tuple[Any, str | None]:
    try:
        return call(), None
    except Exception as error:  # noqa: BLE001 (user code may raise anything)
        return None, f"{type(error).__name__}: {first_line(error)}"


def _refuses_honestly(error: str) -> bool:
    return error.split(":", maxsplit=1)[0] in HONEST


def empty_batch(trial: Trial) -> Failure | None:
    """A sum over nothing is 0, and no losses are none. A mean over nothing may be anything."""
    variant = _judge_of(trial, "empty")
    if variant is None or variant.reduction not in {"sum", "none"} or not _two_tensors(trial):
        return None
    if variant.conventions:
        return None  # a sum that is divided by the number of samples is no sum over nothing
    case = replace(trial.case, prediction=trial.case.prediction[:0], target=trial.case.target[:0])
    due = variants.expected(variant, case).value
    seen = trial.subject.observe(case, gradient=False)
    shape, target_shape = ([*part.shape] for part in tensors(case, trial.subject.interface))
    evidence = {
        "shape": shape,
        "prepare": [
            f"prediction = prediction.reshape({shape})",
            f"target = target.reshape({target_shape})",
        ],
    }
    if seen.value is None:
        if seen.error_type in HONEST | {"Avoided"}:
            return None
        message = f"an empty batch raises {seen.error_type}: {seen.error}"
        return Failure("LF405", message, case, {**evidence, "error": seen.error}, independent=True)
    shaped = variants.like(seen.value, due)
    if not bool(torch.isfinite(due).all()) or (shaped is not None and torch.equal(shaped, due)):
        return None
    message = f"an empty batch gives {plain(seen.value)} where the {variant.reduction} is {plain(due)}"
    return Failure("LF405", message, case, {**evidence, "actual": plain(seen.value)}, independent=True)


def one_output(trial: Trial) -> Failure | None:
    """[N, 1] is taken where [N] and [N, K] are: a squeeze on the way makes a matrix of it."""
    variant = _judge_of(trial, "one-output")
    reach, space = trial.session.reach[trial.case.space], all_spaces()[trial.case.space]
    if variant is None or space.parts or space.special or len(set(reach.classes) - {1}) < 2:
        return None
    if 0 not in reach.classes or any(p.kind in {"per-class", "tensor"} for p in _in_use(variant)):
        return None
    case = inputs.fill(space, Structure(classes=1, targets=reach.targets[0], seed=5), variant.params)
    again = trial.session.trial(case, trial.subject, variant)
    if again.observed.value is None and again.observed.error_type not in HONEST | {"Avoided"}:
        message = (
            f"one output for each sample, [N, 1], raises {again.observed.error_type}: {again.observed.error}"
        )
        return Failure("LF405", message, case, {"error": again.observed.error}, independent=True)
    if again.observed.value is None or again.value_agrees is not False:
        return None
    flat = replace(case, prediction=case.prediction.flatten(), target=case.target.flatten())
    if trial.session.trial(flat, trial.subject, variant).value_agrees is not True:
        return None  # these numbers are wrong in any shape
    shown = again.shown()
    message = (
        f"with one output for each sample, [N, 1], the value is {shown['actual']} where the reference is "
        f"{shown['expected']}, though [N] and [N, K] are right"
    )
    return Failure("LF405", message, case, shown, independent=True)


def _in_use(variant: Variant) -> list[Any]:
    return [p for p in variant.spec.parameters if variant.params.get(p.name) is not None]


def layouts(trial: Trial) -> Failure | None:
    """An expanded prediction and a target that is not contiguous hold the same numbers as any other."""
    if _judge_of(trial, "layouts") is None or not _two_tensors(trial) or trial.observed.mutated:
        return None
    same = _repeated(trial)
    prediction, target = tensors(same, trial.subject.interface)
    asked = [
        ("an expanded prediction", same, [prediction[:1].expand_as(prediction), target]),
        ("a target that is not contiguous", same, [prediction, arrange(target, "transposed")]),
    ]
    plain_value, failed = _call(trial, (prediction, target))
    if failed is not None or not isinstance(plain_value, torch.Tensor):
        return None
    for words, used, arguments in asked[: 2 if target.ndim > 1 else 1]:
        value, error = _call(trial, arguments)
        if error is not None and not _refuses_honestly(error):
            prepare = (
                ["prediction = prediction[:1].expand_as(prediction)"]
                if words.startswith("an expanded")
                else ["target = target.transpose(0, -1).contiguous().transpose(0, -1)"]
            )
            evidence = {"error": error, "prepare": prepare}
            return Failure("LF405", f"{words} raises {error}", used, evidence, independent=True)
        if isinstance(value, torch.Tensor) and not torch.allclose(
            value, plain_value, rtol=1e-4, atol=1e-5, equal_nan=True
        ):
            message = f"{words} gives {plain(value.detach())} where the same numbers give {plain(plain_value.detach())}"
            return Failure("LF405", message, used, {"actual": plain(value.detach())}, independent=True)
    return None


def _repeated(trial: Trial) -> Case:
    """One sample several times, with as many dimensions as the target takes."""
    reach, space = trial.session.reach[trial.case.space], all_spaces()[trial.case.space]
    structure = Structure(
        classes=reach.classes[0], extra=reach.extras[-1], features=reach.features[0], targets=reach.targets[0]
    )
    case = inputs.fill(space, structure, {} if trial.variant is None else trial.variant.params)
    count = case.prediction.shape[0]
    prediction, target = (
        part[:1].repeat_interleave(count, 0).clone() for part in (case.prediction, case.target)
    )
    return replace(case, prediction=prediction, target=target)


def autocast(trial: Trial) -> Failure | None:
    """Under ``torch.autocast`` the loss runs, and is as near to the truth as bfloat16 is."""
    variant = _judge_of(trial, "autocast")
    if variant is None:
        return None
    prepare = ["torch.autocast('cpu', dtype=torch.bfloat16).__enter__()"]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        if not _reference_runs(variant, trial.case):
            return None
        value, error = _call(trial, tensors(trial.case, trial.subject.interface))
    if error is not None:
        evidence = {"error": error, "prepare": prepare}
        return Failure(
            "LF406", f"under torch.autocast it raises {error}", trial.case, evidence, independent=True
        )
    due = trial.expected
    if due is None or not isinstance(value, torch.Tensor):
        return None
    coarse = variants.expected(variant, replace(trial.case, dtype="bfloat16")).value_tolerance
    room = coarse + due.value_tolerance
    held = as_held(trial.case, value.detach().double())
    if variants.agrees(held, due.value, room):
        return None
    shown = {"expected": plain(due.value), "actual": plain(held), "prepare": prepare}
    finite = bool(torch.isfinite(value).all())
    message = (
        f"under torch.autocast the value is {shown['actual']} where the reference is {shown['expected']}, "
        "farther off than bfloat16 is"
    )
    return Failure("LF303" if finite else "LF301", message, trial.case, shown, independent=True)


def _reference_runs(variant: Variant, case: Case) -> bool:
    try:
        variant.value(*variants.at_dtype(case, "float32"))
    except variants.UNDEFINED:
        return False
    return True


def learned_target(trial: Trial) -> Failure | None:
    """A target that requires a gradient, as a teacher's output does, changes neither value nor gradient."""
    if _judge_of(trial, "learned-target") is None or not _two_tensors(trial):
        return None
    if not trial.case.target.is_floating_point() or trial.subject.interface.integer_labels:
        return None
    prediction, target = packed(trial.case, trial.subject.interface)
    given = prediction.requires_grad_(), target.requires_grad_()
    value, error = _tried(lambda: trial.subject.trained(trial.case, *given))
    evidence: dict[str, Any] = {"prepare": ["target.requires_grad_()"]}
    if error is None and isinstance(value, torch.Tensor) and value.requires_grad:
        try:
            (slope,) = torch.autograd.grad(value.sum(), prediction, allow_unused=True)
        except Exception as failed:  # noqa: BLE001 (a hand-written backward may raise anything)
            error = f"{type(failed).__name__}: {first_line(failed)}"
        else:
            return _other_gradient(trial, slope, evidence)
    if error is None:
        return None
    message = f"a target that requires a gradient raises {error}"
    return Failure("LF406", message, trial.case, {**evidence, "error": error}, independent=True)


def _other_gradient(trial: Trial, slope: Tensor | None, evidence: dict[str, Any]) -> Failure | None:
    usual = trial.observed.gradient
    if (
        slope is None
        or usual is None
        or torch.allclose(slope.double(), usual, rtol=1e-4, atol=1e-6, equal_nan=True)
    ):
        return None
    shown = {**evidence, "expected_gradient": plain(usual), "actual_gradient": plain(slope.double())}
    message = "a target that requires a gradient changes the gradient of the prediction"
    return Failure("LF102", message, trial.case, shown, independent=True)


def double_backward(trial: Trial) -> Failure | None:
    """The second derivative of a hand-written backward, where it has one at all, is that of the reference.

    Autograd's own is right but for what the author holds constant, which may be meant.
    """
    variant = _judge_of(trial, "double-backward")
    if variant is None or trial.on_kink or trial.gradient_is_same is not True:
        return None
    if "float64" not in trial.session.reach[trial.case.space].dtypes:
        return None
    if not trial.subject.custom_backward(trial.case):
        return None
    case = replace(trial.case, dtype="float64")
    if trial.session.trial(case, trial.subject, variant).gradient_is_same is not True:
        return None
    direction = torch.randn(
        case.prediction.shape, generator=torch.Generator().manual_seed(11), dtype=torch.float64
    )

    def ours(leaf: Tensor) -> Tensor:
        given = all_spaces()[case.space].cut(leaf, packed(case, trial.subject.interface)[1])
        value, error = _call(trial, given, case)
        if error is not None:
            raise RuntimeError(error)
        return torch.as_tensor(value)

    due = _second(lambda leaf: variant.value(leaf, variants.at_dtype(case, "float64")[1]), case, direction)
    seen = _second(ours, case, direction)
    if due is None or seen is None or not bool(torch.isfinite(due).all()):
        return None
    if bool(((seen - due).abs() <= 1e-5 * (1 + due.abs().max())).all()):
        return None
    shown = {"expected_second": plain(due), "actual_second": plain(seen)}
    worst = int((seen - due).abs().argmax())
    message = (
        f"value and gradient agree, but its second derivative along one direction is "
        f"{float(seen.flatten()[worst]):.6g} where the reference's is {float(due.flatten()[worst]):.6g}"
    )
    return Failure("LF201", message, case, shown)  # a wrong formula has a wrong second derivative too


def _second(loss: Callable[[Tensor], Tensor], case: Case, direction: Tensor) -> Tensor | None:
    """The Hessian times a direction; None where autograd refuses a second backward."""
    leaf = case.prediction.clone().requires_grad_()
    try:
        with torch.enable_grad():
            total = loss(leaf).sum()
            # Who marks a backward as once differentiable refuses only where what arrives there has a gradient.
            arriving = torch.ones_like(total, requires_grad=True)
            (slope,) = torch.autograd.grad(total, leaf, arriving, create_graph=True)
            if not slope.requires_grad:
                return torch.zeros_like(leaf)
            if refuses_a_second_backward(slope):
                return None
            (second,) = torch.autograd.grad((slope * direction).sum(), leaf, allow_unused=True)
    except Exception:  # noqa: BLE001 (user code may raise anything; an honest refusal is no fault)
        return None
    return torch.zeros_like(leaf) if second is None else second.detach()


def downhill(trial: Trial) -> Failure | None:
    """With no formula at all: where a prediction is wrong, a step down the gradient does not lead farther away.

    Judged in every space that the target accepts at once, as it is not known for which it is made.
    """
    if trial.variant is not None or trial.subject.interface.arrays or not of_a_prediction(trial):
        return None
    found: Failure | None = None
    for name, subject in trial.session.subjects.items():
        pair = _right_and_wrong(trial, name)
        if pair is None:
            return None
        right, wrong = pair
        slope = subject.observe(wrong).gradient
        if slope is None or not bool(torch.isfinite(slope).all()):
            return None
        towards = (right.prediction - wrong.prediction).flatten()
        along = float(-(slope.flatten() @ towards) / (slope.norm() * towards.norm() + 1e-30))
        if along > -STEP_ROOM:
            return None
        message = (
            f"where the prediction is wrong, a step down its gradient leads away from the right one (the cosine of the "
            f"two directions is {along:.3g})"
        )
        found = found or Failure(
            "LF203", message, wrong, {"cosine": along, "actual_gradient": plain(slope)}, independent=True
        )
    return found


def _right_and_wrong(trial: Trial, name: str) -> tuple[Case, Case] | None:
    space, reach = all_spaces()[name], trial.session.reach[name]
    if space.special or not {"right", "wrong"} <= set(space.magnitudes):
        return None
    structure = Structure(classes=reach.classes[0], targets=reach.targets[0])
    right = replace(structure, magnitude="right", scale=CONFIDENT)
    wrong = replace(structure, magnitude="wrong", scale=VARIETY)
    return inputs.fill(space, right, {}), inputs.fill(space, wrong, {})


def _own_copy(subject: Subject) -> Subject:
    """A copy of the target that is one object for every dtype, as under autocast: what it keeps stays with it, and reaches no other check."""
    try:
        loss = copy.deepcopy(subject.build.loss)
    except Exception:  # noqa: BLE001 (it may hold anything)
        return subject
    return subject.with_loss(functools.partial(loss))


def order_of_calls(trial: Trial) -> Failure | None:
    """A call gives the same before and after calls in another dtype and with other shapes."""
    case, subject, reach = trial.case, _own_copy(trial.subject), trial.session.reach[trial.case.space]
    if trial.observed.value is None or subject.interface.arrays:
        return None
    space = all_spaces()[case.space]
    seed_torch(0)
    first = subject.observe(case, gradient=False, remembers=True).value
    between = [replace(case, dtype=name) for name in reach.dtypes if name != case.dtype]
    for count in reach.classes:
        structure = Structure(classes=count, features=reach.features[0], targets=reach.targets[0], seed=1)
        between.append(inputs.fill(space, structure, {} if trial.variant is None else trial.variant.params))
    for other in between:
        subject.observe(other, gradient=False, remembers=True)
        seed_torch(0)
        again = subject.observe(case, gradient=False, remembers=True)
        if first is None or (
            again.value is not None
            and first.shape == again.value.shape
            and torch.allclose(first, again.value, rtol=1e-6, atol=1e-7, equal_nan=True)
        ):
            continue
        if memory.is_meant(trial.subject, case):
            return None
        now = (
            f"raises {again.error_type}: {again.error}"
            if again.value is None
            else f"gives {plain(again.value)}"
        )
        what = (
            f"in {other.dtype}"
            if other.dtype != case.dtype
            else f"of the shape {list(other.prediction.shape)}"
        )
        message = f"after a call {what} the same call {now} where it gave {plain(first)} before"
        return Failure("LF402", message, case, {"before": plain(first)}, independent=True)
    return None


def on_device(trial: Trial) -> Failure | None:
    """On a device that is there, the loss runs and gives the same."""
    variant = _judge_of(trial, "device")
    due = trial.expected
    if variant is None or due is None or trial.case.dtype != "float32":
        return None
    for device in devices.present():
        value, error = devices.run_on(device, trial.subject, trial.case)
        if error is not None:
            message = f"on {device} it raises {error}"
            return Failure("LF404", message, trial.case, {"device": device, "error": error}, independent=True)
        if value is None or variants.agrees(value, due.value, 2 * due.value_tolerance):
            continue
        shown = {"device": device, "expected": plain(due.value), "actual": plain(value)}
        message = f"on {device} the value is {shown['actual']} where the reference is {shown['expected']}"
        return Failure("LF404", message, trial.case, shown, independent=True)
    return None


CHECKS = (
    Check("LF405", empty_batch, frequency="once"),
    Check("LF405", one_output, frequency="once"),
    Check("LF405", layouts, frequency="few"),
    Check("LF406", autocast, frequency="once"),
    Check("LF406", learned_target, frequency="once"),
    Check("LF201", double_backward, frequency="few"),
    Check("LF203", downhill, frequency="once", needs_reference=False),
    Check("LF402", order_of_calls, frequency="once", needs_reference=False),
    Check("LF404", on_device, frequency="few"),
)
