"""Device-bound code, shown on a machine that has no other device.

A first look is taken with tensors of our own, which load nothing (``elsewhere``); torch's fake tensors are asked about what
mixes devices there, or fails. These carry a device and no numbers, so mixing devices raises as it would on the real one.
Whatever else they cannot do (data-dependent shapes, kernels that a build without CUDA lacks) says nothing about the loss.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import torch
from torch.overrides import TorchFunctionMode

from lossaudit.fuzz.elsewhere import Away, two_devices
from lossaudit.fuzz.memory import Restored
from lossaudit.fuzz.subject import single, tensors
from lossaudit.fuzz.target import first_line
from lossaudit.fuzz.twins import converted
from lossaudit.fuzz.unreduced import as_held
from lossaudit.fuzz.wire import FAKE, IDLE, Avoided

if TYPE_CHECKING:
    from torch import Tensor

    from lossaudit.fuzz.model import Case
    from lossaudit.fuzz.subject import Subject

FAKE_DEVICE = "cuda"
MISMATCH_TYPES = frozenset({"FakeTensorDeviceMismatchError"})
MISMATCH_WORDS = ("found at least two devices", "found two different devices", "Device Propagation")
NO_CUDA_WORDS = (
    "not compiled with CUDA",
    "no NVIDIA driver",
    "No CUDA GPUs",
    "CUDA driver",
    "support for cuda",
)


def wants_cuda(error: str) -> bool:
    """Whether an error says that CUDA was asked for where there is none."""
    return any(words in error for words in NO_CUDA_WORDS)


@cache
def present() -> tuple[str, ...]:
    """The devices besides the CPU on which a tensor can really be made, in this process."""
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    return tuple(name for name, available in there.items() if available and _usable(name))


def _usable(device: str) -> bool:
    try:
        return bool((torch.ones(2, device=device) * 2).sum().item() == 4)
    except Exception:  # noqa: BLE001 (a driver that is not there, or a process that may not ask for its memory)
        return False


def run_on(device: str, subject: Subject, case: Case) -> tuple[Tensor | None, str | None]:
    """The value of a call whose arguments are on a device, and the error that it raises.

    Returns:
        Value in float64 on the CPU and None; None and the error; twice None where nothing can be said.
    """
    given = [part.to(device) for part in tensors(case, subject.interface)]
    loss = subject.at_dtype(case.dtype)
    moved = converted(loss, lambda tensor: tensor.to(device))
    try:
        value = single(subject.invoke(moved, *given))
    except torch.cuda.OutOfMemoryError:
        return None, None
    except Exception as error:  # noqa: BLE001 (user code may raise anything)
        return None, f"{type(error).__name__}: {first_line(error)}"
    if not isinstance(value, torch.Tensor):
        return None, None
    return as_held(case, value.detach().double().cpu()), None


class CudaShim(TorchFunctionMode):
    """Takes every request for CUDA as one for the device at hand, so that a loss with ``.cuda()`` can be judged."""

    def __init__(self, device: str = "cpu") -> None:
        super().__init__()
        self.device = device

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Replace the device in the arguments of whatever is called."""
        if func is torch.Tensor.cuda:
            return args[0].to(self.device)
        if func is torch.Tensor.to or (kwargs and "device" in kwargs):
            args = tuple(self._here(item) for item in args)
            kwargs = {name: self._here(value) for name, value in (kwargs or {}).items()}
        return func(*args, **(kwargs or {}))

    def _here(self, value: Any) -> Any:
        is_cuda = isinstance(value, (str, torch.device)) and str(value).split(":")[0] == "cuda"
        return torch.device(self.device) if is_cuda else value


def device_bound(subject: Subject, case: Case) -> str | None:
    """Why a target is bound to a device, in one sentence; None when it is not, or nothing can be said."""
    if subject.shim is not None:
        return "it asks for CUDA itself, whatever device its arguments are on: on the CPU it fails"
    try:
        subject.announce(FAKE, case, subject.interface)
    except Avoided:
        return None
    reason = None if _stays_together(subject, case) else _run_fake(subject, case)
    subject.announce(IDLE, None, None)
    return reason


def _stays_together(subject: Subject, case: Case) -> bool:
    """A first look that saves loading the fake tensors: whether a call ends, with none of its tensors left on the CPU."""
    loss = subject.build.loss
    given = [Away(tensor) for tensor in tensors(case, subject.interface)]
    try:
        with Restored(loss), torch.no_grad(), two_devices():
            subject.invoke(
                converted(loss, lambda tensor: Away(tensor.detach().clone())), *given, remembers=True
            )
    except Exception:  # noqa: BLE001 (fake tensors tell why)
        return False
    return True


def _run_fake(subject: Subject, case: Case) -> str | None:
    from torch._subclasses.fake_tensor import FakeTensorMode

    given = tensors(case, subject.interface)
    try:
        # allow_non_fake_inputs: a tensor that the loss keeps for itself is a CPU tensor, which is the point.
        # What it keeps is looked after outside of the mode, in which a copy of it would hold no numbers.
        with (
            Restored(subject.build.loss),
            torch.no_grad(),
            FakeTensorMode(allow_non_fake_inputs=True),
            CudaShim(FAKE_DEVICE),
        ):
            loss = _moved(subject.build.loss)
            fake = [torch.empty(tensor.shape, dtype=tensor.dtype, device=FAKE_DEVICE) for tensor in given]
            subject.invoke(loss, *fake, remembers=True)
    except Exception as error:  # noqa: BLE001 (only one kind says anything)
        return _mismatch(error)
    return None


def _mismatch(error: BaseException) -> str | None:
    text = str(error)
    if type(error).__name__ in MISMATCH_TYPES or any(words in text for words in MISMATCH_WORDS):
        return f"with its arguments on a GPU it mixes devices: {first_line(error)}"
    return None


def _moved(loss: Any) -> Any:
    """The loss as ``.to("cuda")`` would leave it: parameters and buffers moved, plain attributes not; and so is what is given."""
    return converted(loss, lambda tensor: torch.empty(tensor.shape, dtype=tensor.dtype, device=FAKE_DEVICE))
