"""Mixed precision: which regions are open, and in which type the operations inside compute."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lossaudit.check.infer.transfer import dtype_of
from lossaudit.check.kinds import Dtype
from lossaudit.check.values import (
    NONE,
    Autocast,
    Const,
    External,
    Instance,
    Site,
    Value,
    alternatives,
    constant,
)

if TYPE_CHECKING:
    from lossaudit.check.infer.engine import Interpreter
    from lossaudit.check.infer.frame import Frame

_FIXED_DEVICE = "torch.cuda.amp.autocast"
"""The old name of the region: always the GPU's, its first argument is ``enabled``."""


def entered_autocast(interp: Interpreter, value: Value, site: Site) -> Autocast | None:
    """The region that a context manager or decorator opens on the GPU; None if ``value`` is another thing.

    A region that is switched off, that is the CPU's, or whose switch is not in sight counts as off.
    """
    name = (
        value.cls.name if isinstance(value, Instance) else value.name if isinstance(value, External) else ""
    )
    if interp.contracts.contexts.get(name) != "autocast":
        return None
    bound = value.bound if isinstance(value, Instance) else {}
    is_fixed = name == _FIXED_DEVICE
    device = Const("cuda") if is_fixed else _argument(bound, 0, "device_type")
    enabled = _argument(bound, 0, "enabled") if is_fixed else _argument(bound, 2, "enabled")
    dtype = _argument(bound, 1, "dtype")
    is_on = enabled is NONE or constant(enabled) is True
    reaches_gpu = any(str(constant(one)).partition(":")[0] == "cuda" for one in alternatives(device))
    computed = Dtype.FLOAT16 if dtype is NONE else dtype_of(dtype) or Dtype.FLOAT
    return Autocast(site, computed if is_on and reaches_gpu else None)


def _argument(bound: dict[str, Value], place: int, name: str) -> Value:
    return bound.get(name, bound.get(f"argument {place}", NONE))


def mixed_dtype(interp: Interpreter, frame: Frame, op: str, otherwise: Dtype) -> Dtype:
    """The element type of a result: that of the region, where it decides, or else what the operands say."""
    if frame.autocast is None or frame.autocast.dtype is None or otherwise is Dtype.FLOAT64:
        return otherwise
    if op in interp.contracts.autocast_half:
        return frame.autocast.dtype
    return Dtype.FLOAT32 if op in interp.contracts.autocast_full else otherwise
