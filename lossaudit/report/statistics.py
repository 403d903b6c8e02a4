"""How often each rule was broken: ``lossaudit check --statistics``."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence

from click import style

from lossaudit.findings import Finding
from lossaudit.report.check_text import COLOUR, summary
from lossaudit.rulebook import load_rules


def render_statistics(findings: Sequence[Finding], checked: int, output_format: str) -> str:
    """One line a rule, the most frequent first, then the count of all; as JSON one array."""
    counts = sorted(Counter(one.code for one in findings).items(), key=lambda pair: (-pair[1], pair[0]))
    fixable = Counter(one.code for one in findings if one.fix is not None)
    if output_format == "json":
        entries = [
            {"code": code, "name": load_rules()[code].name, "count": count, "fixable": fixable[code]}
            for code, count in counts
        ]
        return json.dumps(entries, indent=2) + "\n"
    width = max((len(str(count)) for _, count in counts), default=0)
    return "".join(
        [f"{count:>{width}}  {_named(code)}{_fixable(fixable[code])}\n" for code, count in counts]
        + [summary(findings, checked), "\n"]
    )


def _named(code: str) -> str:
    rule = load_rules()[code]
    return f"{style(code, fg=COLOUR[rule.severity], bold=True)} {rule.name}"


def _fixable(count: int) -> str:
    return f" ({count} fixable)" if count else ""
