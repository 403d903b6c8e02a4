"""The rulebook on the terminal: one page, or the list of all."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from typing import Any

from rich import box
from rich.console import Console, RenderableType
from rich.markdown import Markdown
from rich.table import Table

from lossaudit.rulebook import Rule

PLAIN_WIDTH = 110
_COLOUR = {"error": "red", "warning": "yellow", "info": "cyan"}


def render_rule(rule: Rule, output_format: str, *, wants_colour: bool) -> str:
    """One page: JSON, Markdown as it stands in the file, or set for a terminal."""
    if output_format == "json":
        return json.dumps({**_as_json(rule), "text": rule.text}, indent=2, ensure_ascii=False) + "\n"
    head = f"{rule.severity.value}, fix: {rule.fix}, since {rule.since}"
    if not wants_colour:
        return f"{rule.text}\n{head}\n{rule.url}\n"
    return _set(Markdown(rule.text), wants_colour=True) + f"\n{head}\n{rule.url}\n"


def render_rules(rules: Sequence[Rule], output_format: str, *, wants_colour: bool) -> str:
    """Every rule, a line each."""
    if output_format == "json":
        return json.dumps([_as_json(rule) for rule in rules], indent=2, ensure_ascii=False) + "\n"
    table = Table("code", "name", "severity", "fix", "what it is", box=box.SIMPLE_HEAD)
    for rule in rules:
        severity = f"[{_COLOUR[rule.severity.value]}]{rule.severity.value}[/]"
        table.add_row(
            rule.code, rule.name, severity, "-" if rule.fix == "none" else rule.fix, Markdown(rule.summary)
        )
    return _set(table, wants_colour=wants_colour)


def _set(renderable: RenderableType, *, wants_colour: bool) -> str:
    buffer = io.StringIO()
    console = Console(
        file=buffer,
        force_terminal=wants_colour,
        no_color=not wants_colour,
        width=None if wants_colour else PLAIN_WIDTH,
        highlight=False,
    )
    console.print(renderable)
    return "\n".join(line.rstrip() for line in buffer.getvalue().splitlines()) + "\n"


def _as_json(rule: Rule) -> dict[str, Any]:
    return {
        "code": rule.code,
        "name": rule.name,
        "severity": rule.severity.value,
        "fix": rule.fix,
        "since": rule.since,
        "frameworks": list(rule.frameworks),
        "summary": rule.summary,
        "default": rule.enabled_by_default,
        "url": rule.url,
    }
