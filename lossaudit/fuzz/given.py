"""A reference that the user names: ``NAME[:k=v,...]`` of the registry, or a function ``module:name`` of their own."""

from __future__ import annotations

import difflib
import json
import re
from typing import TYPE_CHECKING, Any

import torch

from lossaudit.fuzz import TargetError
from lossaudit.fuzz.model import ReferenceSpec, Terms
from lossaudit.fuzz.recognition.search import Asked
from lossaudit.fuzz.references import all_references
from lossaudit.fuzz.spaces import all_spaces
from lossaudit.fuzz.subject import single
from lossaudit.fuzz.target import load, parse_target

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from lossaudit.fuzz.model import Formula, Params, Space


REDUCTION = "reduction"
BETWEEN = re.compile(r",(?![^\[]*\])")
"""A comma between parameters, and none within a list."""


def asked_reference(text: str | None) -> Asked | None:
    """Look up what ``--reference`` names.

    Raises:
        TargetError: There is no such reference, parameter or function.
    """
    if text is None:
        return None
    name, _, rest = text.partition(":")
    spec = all_references().get(name)
    if spec is not None:
        params = _parameters(spec, rest)
        return Asked(spec, params, params.pop(REDUCTION, None))
    if rest and "=" not in rest:
        return Asked(own_reference(load(parse_target(text)), text))
    close = difflib.get_close_matches(name, all_references(), n=3)
    hint = f"did you mean {' or '.join(close)}?" if close else f"there are {', '.join(all_references())}"
    raise TargetError(f"there is no reference named {name}", hint)


def _parameters(spec: ReferenceSpec, text: str) -> dict[str, Any]:
    params: dict[str, Any] = {}
    for part in filter(None, BETWEEN.split(text)):
        name, equals, value = part.partition("=")
        if name == REDUCTION and value not in spec.reductions:
            raise TargetError(f"{spec.name} has no reduction {value}", f"it has {', '.join(spec.reductions)}")
        if not equals or (name != REDUCTION and spec.parameter(name) is None):
            known = ", ".join([*(parameter.name for parameter in spec.parameters), REDUCTION])
            raise TargetError(f"{spec.name} has no parameter {name}", f"it has {known}")
        try:
            known_value = json.loads(value)
        except json.JSONDecodeError:
            known_value = value
        is_vector = isinstance(known_value, list)
        params[name] = torch.tensor(known_value, dtype=torch.float64) if is_vector else known_value
    return params


def own_reference(function: Callable[..., Any], text: str) -> ReferenceSpec:
    """A user's function as a reference: called like the target, in float64, reduced as it comes.

    Args:
        function: What is called with the arguments of the loss.
        text: How the report names it.

    Raises:
        TargetError: It cannot be called.
    """
    if not callable(function):
        raise TargetError(f"the reference {text} is a {type(function).__name__}, not a function")

    def bind(space: Space) -> Formula:
        def formula(prediction: Tensor, target: Tensor, _: Params) -> Terms:
            value = torch.as_tensor(single(function(*space.cut(prediction, target))))
            return Terms(value, torch.ones_like(value))

        return formula

    return ReferenceSpec(
        name=text,
        summary=f"the user's function {text}",
        source=text,
        spaces=tuple(all_spaces()),
        formula=bind(next(iter(all_spaces().values()))),
        bind=bind,
        reductions=("given",),
    )
