"""The list of references, and one of them in full."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from click import style

from lossaudit.findings import ReferenceEntry, ReferenceParameter

WIDTH = 110


def render_references(entries: Sequence[ReferenceEntry], output_format: str) -> str:
    """A line a reference: name, parameters, formula; or a JSON array."""
    if output_format == "json":
        return _dump([asdict(entry) for entry in entries])
    width = max((len(entry.name) for entry in entries), default=0)
    lines = []
    for entry in entries:
        names = ", ".join(parameter.name for parameter in entry.parameters)
        inside = f"  ({names})" if names else ""
        text = textwrap.shorten(f"{entry.formula}{inside}", max(40, WIDTH - width - 2), placeholder=" ...")
        lines.append(f"{style(f'{entry.name:<{width}}', bold=True)}  {text}")
    lines.append("")
    lines.append(
        f"{len(entries)} references. `lossaudit references NAME` shows one with its source and its domain."
    )
    return "\n".join(lines) + "\n"


def render_reference(entry: ReferenceEntry, output_format: str) -> str:
    """One reference in full, or a JSON object."""
    if output_format == "json":
        return _dump(asdict(entry))
    lines = [style(entry.name, bold=True), f"  {entry.formula}", ""]
    lines += _rows("source", [entry.source])
    lines += _rows("takes", entry.domain)
    lines += _rows("parameters", [_parameter(parameter) for parameter in entry.parameters] or ["none"])
    lines += _rows("reductions", [", ".join(entry.reductions)])
    lines += _rows("laws", [", ".join(entry.laws) or "none"])
    lines += _rows("conventions", [", ".join(entry.conventions)] if entry.conventions else [])
    lines += _rows("known mistakes", [", ".join(entry.mistakes)] if entry.mistakes else [])
    use = ",".join(f"{parameter.name}={parameter.neutral}" for parameter in entry.parameters[:1])
    lines += ["", f"  lossaudit fuzz losses.py:MyLoss --reference {entry.name}{':' + use if use else ''}"]
    return "\n".join(lines) + "\n"


def _parameter(parameter: ReferenceParameter) -> str:
    bounds = "" if parameter.bounds is None else f", {parameter.bounds[0]:g} to {parameter.bounds[1]:g}"
    known = [alias for alias in parameter.aliases if alias != parameter.name]
    also = f"; also called {', '.join(known)}" if known else ""
    return f"{parameter.name} ({parameter.kind}{bounds}), neutral {parameter.neutral!r}{also}"


def _rows(title: str, values: Sequence[str]) -> list[str]:
    lines: list[str] = []
    for number, value in enumerate(values):
        head = f"  {title + ':' if not number else '':<16}"
        lines += textwrap.wrap(value, WIDTH, initial_indent=head, subsequent_indent=" " * 18) or [head]
    return lines


def _dump(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"
