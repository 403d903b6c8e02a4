"""The references as a reader wants them: names, formulas, sources, parameters; without running anything."""

from __future__ import annotations

import difflib
import importlib.util
from typing import TYPE_CHECKING, Any

from lossaudit.findings import ReferenceEntry, ReferenceParameter
from lossaudit.fuzz import TargetError

if TYPE_CHECKING:
    from lossaudit.fuzz.model import Parameter, ReferenceSpec


def entries() -> list[ReferenceEntry]:
    """Every reference, by name.

    Raises:
        TargetError: torch is not installed, or a package that adds references cannot be loaded.
    """
    if importlib.util.find_spec("torch") is None:
        raise TargetError(
            "the references are formulas in torch, which is not installed", "pip install 'lossaudit[fuzz]'"
        )
    from lossaudit.fuzz.references import all_references

    return [_entry(spec) for _, spec in sorted(all_references().items())]


def find(name: str) -> ReferenceEntry:
    """The reference of this name.

    Raises:
        TargetError: There is none; the hint names the closest ones.
    """
    known = {entry.name: entry for entry in entries()}
    if name in known:
        return known[name]
    folded = name.lower().replace("-", "_")
    close = difflib.get_close_matches(folded, known, n=3) or [other for other in known if folded in other][:3]
    hint = f"did you mean {' or '.join(close)}?" if close else "`lossaudit references` lists them all"
    raise TargetError(f"there is no reference named {name}", hint)


def _entry(spec: ReferenceSpec) -> ReferenceEntry:
    from lossaudit.fuzz.mistakes import mistakes_of
    from lossaudit.fuzz.spaces import all_spaces

    spaces = [all_spaces()[name] for name in spec.spaces]
    known = mistakes_of(spec.name)
    return ReferenceEntry(
        name=spec.name,
        formula=spec.summary,
        source=spec.source,
        domain=tuple(f"{space.prediction}; {space.target}" for space in spaces),
        parameters=tuple(_parameter(parameter) for parameter in spec.parameters),
        reductions=spec.reductions,
        laws=tuple(sorted(spec.laws)),
        conventions=tuple(mistake.id for mistake in known if mistake.convention),
        mistakes=tuple(mistake.id for mistake in known if not mistake.convention),
    )


def _parameter(parameter: Parameter) -> ReferenceParameter:
    bounds = (parameter.low, parameter.high) if parameter.kind == "number" else None
    return ReferenceParameter(
        parameter.name, parameter.kind, _plain(parameter.neutral), bounds, parameter.aliases
    )


def _plain(value: Any) -> Any:
    return value if isinstance(value, (bool, int, float, str, type(None))) else str(value)
