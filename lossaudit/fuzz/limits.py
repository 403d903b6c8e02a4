"""Small numbers that a loss takes from its dtype, as ``torch.finfo`` gives them: in each dtype they are others.

An epsilon that keeps a quotient or a logarithm finite is often ``torch.finfo(x.dtype).eps``. In float32 it is a number like any
other, and is recognised as one; in other dtypes it is theirs, or that of float32 still, where a loss computes in it.
"""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from lossaudit.fuzz.model import Case
    from lossaudit.fuzz.variants import Variant

NAMES = ("eps", "tiny", "smallest_normal", "resolution")
"""The small numbers of ``torch.finfo``."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of its dtype that a loss asks for.

    Args:
        asked: By name, as they are in float32.
        params: Which parameters of what it was recognised as are such limits.
    """

    asked: Mapping[str, float] = field(default_factory=dict)
    params: Mapping[str, str] = field(default_factory=dict)

    def of(self, params: Mapping[str, Any]) -> Limits:
        """The same, with those parameters that have the value of a limit of float32."""
        names = {value: name for name, value in self.asked.items()}
        found = {
            name: names[value]
            for name, value in params.items()
            if isinstance(value, float) and value in names
        }
        return replace(self, params=found)

    def readings(self, variant: Variant, dtype: str) -> list[Variant]:
        """What else a variant, which holds the limits of float32, may be at a dtype: the same with the limits of that dtype."""
        if not self.params or dtype == "float32":
            return []
        limits = torch.finfo(getattr(torch, dtype))
        own = {name: getattr(limits, limit) for name, limit in self.params.items()}
        return [replace(variant, params={**variant.params, **own})]

    def bounded(self, case: Case) -> Iterator[Case]:
        """A case of probabilities with all that lies within a limit of 0 and of 1 at that limit: so they are kept from the ends."""
        numbers = case.prediction
        if not self.asked or not bool(((numbers >= 0) & (numbers <= 1)).all()):
            return
        for dtype in dict.fromkeys((case.dtype, "float32")):
            for name in self.asked:
                limit = getattr(torch.finfo(getattr(torch, dtype)), name)
                yield replace(case, prediction=numbers.clamp(limit, 1 - limit))


def asked_by(functions: Iterable[types.FunctionType]) -> Limits:
    """What functions ask ``torch.finfo``, or NumPy's, for that may keep something finite."""
    asking = [
        set(code.co_names)
        for function in functions
        for code in nested_codes(function.__code__)
        if "finfo" in code.co_names
    ]
    in_float32 = torch.finfo(torch.float32)
    return Limits(
        {name: getattr(in_float32, name) for name in NAMES if any(name in names for names in asking)}
    )


def nested_codes(code: types.CodeType) -> Iterator[types.CodeType]:
    """The code of a function, and of what is defined in it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from nested_codes(constant)
