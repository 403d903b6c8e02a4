"""A device of its own beside the CPU, made with torch's Python backend, and what lossaudit says there. Run by ``test_devices.py``.

The numbers lie on the CPU; to torch the tensors are elsewhere: an operation on tensors of both is refused, as CUDA does. A process can
have one such device, and cannot let go of it, so this is a script.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

from lossaudit.fuzz import FuzzOptions, devices, engine
from lossaudit.fuzz.target import Build

NAME = "elsewhere"


class Away(Tensor):
    """A tensor on the other device."""

    numbers: Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, numbers: Tensor) -> Away:
        made: Away = Tensor._make_wrapper_subclass(
            cls, numbers.shape, dtype=numbers.dtype, strides=numbers.stride(), device=f"{NAME}:0"
        )
        made.numbers = numbers
        return made

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, *args, **(kwargs or {}))


def _run(func: Any, *args: Any, **kwargs: Any) -> Any:
    """One operation, made on the CPU with the numbers."""
    tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
    away = [isinstance(tensor, Away) for tensor in tensors]
    on_cpu = any(not there and tensor.ndim for there, tensor in zip(away, tensors, strict=True))
    if any(away) and on_cpu and "copy" not in str(func):
        raise RuntimeError(f"Expected all tensors to be on the same device, found {NAME}:0 and cpu")
    wanted = kwargs.pop("device", None)
    stays = any(away) if wanted is None else torch.device(wanted).type == NAME
    args, kwargs = tree_map(_numbers, (args, kwargs))
    result = func(*args, **kwargs)
    return tree_map(lambda leaf: Away(leaf) if stays and isinstance(leaf, Tensor) else leaf, result)


def _numbers(leaf: Any) -> Any:
    return leaf.numbers if isinstance(leaf, Away) else leaf


class Weighted(nn.Module):
    """A right loss that holds a tensor, which goes along."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("weight", torch.tensor([1.0, 2.0, 0.5]))

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        return functional.cross_entropy(logits, labels, weight=self.weight)


def twice_elsewhere(logits: Tensor, labels: Tensor) -> Tensor:
    """A loss with a branch for devices that is wrong."""
    loss = functional.cross_entropy(logits, labels)
    return loss if logits.device.type == "cpu" else 2 * loss


def refuses_elsewhere(logits: Tensor, labels: Tensor) -> Tensor:
    """A loss that runs on the CPU only."""
    if logits.device.type != "cpu":
        raise NotImplementedError("no kernel")
    return functional.cross_entropy(logits, labels)


def main() -> None:
    """Print what is found of each loss, by its name."""
    _setup_privateuseone_for_python_backend(NAME)
    library = torch.library.Library("_", "IMPL")  # what it registers lasts as long as it does
    library.fallback(_run, "PrivateUse1")
    devices.present = lambda: (NAME,) if devices._usable(NAME) else ()
    losses = {"torch": nn.CrossEntropyLoss(), "weighted": Weighted(), "twice": twice_elsewhere}
    losses["refuses"] = refuses_elsewhere
    found = {}
    for name, loss in losses.items():
        report = engine.audit(f"here:{name}", [Build(loss)], FuzzOptions(max_examples=1))
        found[name] = {
            "devices": report.statistics["devices"],
            "findings": [(finding.code, finding.message) for finding in report.findings],
        }
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main()
