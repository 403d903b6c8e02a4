"""What ``lossaudit check`` shows a person: headline, place, code frame, trail, help."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from click import style

from lossaudit.findings import Applicability, Finding, Position, Severity, Span, TrailStep
from lossaudit.report.source import displayed, left_edge, line_of, read_lines, underline, window
from lossaudit.rulebook import load_rules

CONTEXT_LINES = 2
MIN_ROOM = 30
"""In a terminal that is narrower than sense a row of code still takes so many cells."""
_FLAGS = {Applicability.SAFE: "--fix", Applicability.UNSAFE: "--fix --unsafe-fixes"}
COLOUR = {Severity.ERROR: "red", Severity.WARNING: "yellow", Severity.INFO: "cyan"}


def render_full(findings: Sequence[Finding], checked: int, width: int | None = None) -> str:
    """Every finding as a small story, then one line that counts them. Rows of code are cut to a terminal of ``width`` cells."""
    blocks = [_story(finding, width) for finding in findings]
    blocks.append(summary(findings, checked))
    return "\n".join(blocks) + "\n"


def render_concise(findings: Sequence[Finding], checked: int) -> str:
    """One line a finding, for terminals that jump to ``file:row:column``, then the count."""
    lines = []
    for finding in findings:
        rule = load_rules()[finding.code]
        code = style(finding.code, fg=COLOUR[rule.severity], bold=True)
        lines.append(f"{_place(finding.span)}: {code} {finding.message}")
    return "\n".join([*lines, summary(findings, checked)]) + "\n"


def summary(findings: Sequence[Finding], checked: int) -> str:
    """How many findings of which severity, in how many files."""
    places = len({finding.span.filename for finding in findings})
    total = max(checked, places)  # a file that cannot be opened was not checked, and has a finding
    files = f"{total} {'file' if total == 1 else 'files'}"
    if not findings and not checked:
        return "No files were checked."
    if not findings:
        return style("No loss bugs found", fg="green", bold=True) + f" in {files}."
    counts = Counter(load_rules()[finding.code].severity for finding in findings)
    parts = [
        f"{counts[severity]} {severity.value}{'s' if counts[severity] > 1 and severity is not Severity.INFO else ''}"
        for severity in Severity
        if counts[severity]
    ]
    found = f"Found {', '.join(parts)} in {places} of {files}." if checked else f"Found {', '.join(parts)}."
    return "\n".join([found, *_fixable(findings)])


def _fixable(findings: Sequence[Finding]) -> list[str]:
    """How many of them can be fixed, and by which options."""
    counts = Counter(finding.fix.applicability for finding in findings if finding.fix is not None)
    parts = [f"{counts[kind]} with {flags}" for kind, flags in _FLAGS.items() if counts[kind]]
    return [f"Fixable: {', '.join(parts)}."] if parts else []


def _story(finding: Finding, width: int | None) -> str:
    rule = load_rules()[finding.code]
    colour = COLOUR[rule.severity]
    code = style(finding.code, fg=colour, bold=True)
    lines = [
        f"{code} {style(rule.name, fg=colour)}: {style(finding.message, bold=True)}",
        f"  {style('-->', fg='blue')} {_place(finding.span)}",
        *_frame(finding.span, colour, width),
    ]
    if finding.trail:
        lines.append(_label("trail"))
        lines += [line for number, step in enumerate(finding.trail, 1) for line in _step(number, step, width)]
    if finding.help:
        lines.append(f"{_label('help')} {finding.help}")
    if finding.fix is not None:
        lines.append(f"{_label('fix')} {finding.fix.message} ({_FLAGS[finding.fix.applicability]})")
    lines.append(f"{_label('rule')} lossaudit rule {finding.code}")
    return "\n".join(lines) + "\n"


def _frame(span: Span, colour: str, terminal: int | None) -> list[str]:
    source = read_lines(span.filename, span.cell)
    if not 1 <= span.start.row <= len(source):
        return []
    first = max(1, span.start.row - CONTEXT_LINES)
    last = min(len(source), span.start.row + CONTEXT_LINES)
    width = len(str(last))
    bar = style("|", fg="blue")
    lines = [f"{' ' * width} {bar}"]
    before, cells = underline(span, source[span.start.row - 1])
    room = _room(terminal, width + len(" | "))
    left = left_edge(before, cells, room) if room else 0
    for row in range(first, last + 1):
        text = displayed(source[row - 1])
        shown = window(text, left, room) if room else text
        lines.append(f"{style(f'{row:>{width}}', fg='blue')} {bar} {shown}".rstrip())
        if row == span.start.row:
            carets = "^" * (min(cells, room - (before - left)) if room else cells)
            lines.append(f"{' ' * width} {bar} {' ' * (before - left)}{style(carets, fg=colour, bold=True)}")
    lines.append(f"{' ' * width} {bar}")
    return lines


def _step(number: int, step: TrailStep, terminal: int | None) -> list[str]:
    code = line_of(step.span)
    lines = [f"    {number}. {_place(step.span)}: {step.message}"]
    if code:
        margin = " " * 7
        room = _room(terminal, len(margin))
        lines.append(margin + style(_around(code, step.span, room) if room else displayed(code), dim=True))
    return lines


def _around(code: str, span: Span, room: int) -> str:
    """A stripped row of code, cut to a window that shows the beginning of the span."""
    rows = read_lines(span.filename, span.cell)
    row = rows[span.start.row - 1]
    indent = len(row) - len(row.lstrip())
    before, cells = underline(span, row)
    before = max(before - underline(replace(span, start=Position(span.start.row, indent + 1)), row)[0], 0)
    return window(displayed(code), left_edge(before, cells, room), room)


def _room(terminal: int | None, margin: int) -> int:
    """How many cells a row of code may take beside a margin; 0 where it is not cut."""
    return 0 if terminal is None else max(terminal - margin, MIN_ROOM)


def _label(word: str) -> str:
    return f"  {style('=', fg='blue')} {style(word, bold=True)}:"


def _place(span: Span) -> str:
    cell = f":cell {span.cell}" if span.cell is not None else ""
    return f"{style(span.filename, bold=True)}{cell}:{span.start.row}:{span.start.column}"
