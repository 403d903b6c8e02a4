"""The references: one file for each family, each exporting ``REFERENCES``."""

from __future__ import annotations

from functools import cache
from importlib.metadata import EntryPoint, entry_points

from lossaudit.fuzz import TargetError
from lossaudit.fuzz.model import ReferenceSpec
from lossaudit.fuzz.registry import collect

GROUP = "lossaudit.references"


@cache
def all_references() -> dict[str, ReferenceSpec]:
    """The references by name: our own, then those of installed packages.

    A package adds some through an entry point of the group ``lossaudit.references`` that names one ``ReferenceSpec``, or a
    tuple of them.

    Raises:
        TargetError: A package's entry point cannot be loaded, holds something else, or takes a name that is taken.
    """
    found: dict[str, ReferenceSpec] = {spec.name: spec for spec in collect(__name__, "REFERENCES")}
    for entry in sorted(entry_points(group=GROUP), key=lambda entry: entry.name):
        for spec in _added(entry):
            if spec.name in found:
                raise _refused(entry, f"there is a reference named {spec.name} already")
            found[spec.name] = spec
    return found


def _added(entry: EntryPoint) -> tuple[ReferenceSpec, ...]:
    try:
        loaded = entry.load()
    except Exception as error:  # noqa: BLE001 (another package's code may raise anything)
        raise _refused(entry, f"{type(error).__name__}: {error}") from None
    specs = (loaded,) if isinstance(loaded, ReferenceSpec) else loaded
    if not isinstance(specs, (tuple, list)) or not all(isinstance(spec, ReferenceSpec) for spec in specs):
        raise _refused(entry, f"{entry.value} is neither a ReferenceSpec nor a tuple of them")
    return tuple(specs)


def _refused(entry: EntryPoint, reason: str) -> TargetError:
    owner = entry.dist.name if entry.dist is not None else entry.value
    return TargetError(f"the references of {owner} cannot be used: {reason}", f"update or uninstall {owner}")
