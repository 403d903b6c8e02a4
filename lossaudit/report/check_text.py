"""What ``lossaudit check`` shows a person: headline, place, code frame, trail, help."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from click import style

from lossaudit.findings import Applicability, Finding, Severity, Span, TrailStep
from lossaudit.report.source import displayed, line_of, read_lines, underline
from lossaudit.rulebook import load_rules

CONTEXT_LINES = 2
_FLAGS = {Applicability.SAFE: "--fix", Applicability.UNSAFE: "--fix --unsafe-fixes"}
_COLOUR = {Severity.ERROR: "red", Severity.WARNING: "yellow", Severity.INFO: "cyan"}


def render_full(findings: Sequence[Finding], checked: int) -> str:
    """Every finding as a small story, then one line that counts them."""
    blocks = [_story(finding) for finding in findings]
    blocks.append(summary(findings, checked))
    return "\n".join(blocks) + "\n"


def render_concise(findings: Sequence[Finding], checked: int) -> str:
    """One line a finding, for terminals that jump to ``file:row:column``, then the count."""
    lines = []
    for finding in findings:
        rule = load_rules()[finding.code]
        code = style(finding.code, fg=_COLOUR[rule.severity], bold=True)
        lines.append(f"{_place(finding.span)}: {code} {finding.message}")
    return "\n".join([*lines, summary(findings, checked)]) + "\n"


def summary(findings: Sequence[Finding], checked: int) -> str:
    """How many findings of which severity, in how many files."""
    files = f"{checked} {'file' if checked == 1 else 'files'}"
    if not findings:
        return style("No loss bugs found", fg="green", bold=True) + f" in {files}."
    counts = Counter(load_rules()[finding.code].severity for finding in findings)
    parts = [
        f"{counts[severity]} {severity.value}{'s' if counts[severity] > 1 and severity is not Severity.INFO else ''}"
        for severity in Severity
        if counts[severity]
    ]
    places = len({finding.span.filename for finding in findings})
    found = f"Found {', '.join(parts)} in {places} of {files}."
    return "\n".join([found, *_fixable(findings)])


def _fixable(findings: Sequence[Finding]) -> list[str]:
    """How many of them can be fixed, and by which options."""
    counts = Counter(finding.fix.applicability for finding in findings if finding.fix is not None)
    parts = [f"{counts[kind]} with {flags}" for kind, flags in _FLAGS.items() if counts[kind]]
    return [f"Fixable: {', '.join(parts)}."] if parts else []


def _story(finding: Finding) -> str:
    rule = load_rules()[finding.code]
    colour = _COLOUR[rule.severity]
    code = style(finding.code, fg=colour, bold=True)
    lines = [
        f"{code} {style(rule.name, fg=colour)}: {style(finding.message, bold=True)}",
        f"  {style('-->', fg='blue')} {_place(finding.span)}",
        *_frame(finding.span, colour),
    ]
    if finding.trail:
        lines.append(_label("trail"))
        lines += [line for number, step in enumerate(finding.trail, 1) for line in _step(number, step)]
    if finding.help:
        lines.append(f"{_label('help')} {finding.help}")
    if finding.fix is not None:
        lines.append(f"{_label('fix')} {finding.fix.message} ({_FLAGS[finding.fix.applicability]})")
    lines.append(f"{_label('rule')} lossaudit rule {finding.code}")
    return "\n".join(lines) + "\n"


def _frame(span: Span, colour: str) -> list[str]:
    source = read_lines(span.filename, span.cell)
    if not 1 <= span.start.row <= len(source):
        return []
    first = max(1, span.start.row - CONTEXT_LINES)
    last = min(len(source), span.start.row + CONTEXT_LINES)
    width = len(str(last))
    bar = style("|", fg="blue")
    lines = [f"{' ' * width} {bar}"]
    for row in range(first, last + 1):
        text = source[row - 1]
        lines.append(f"{style(f'{row:>{width}}', fg='blue')} {bar} {displayed(text)}".rstrip())
        if row == span.start.row:
            before, cells = underline(span, text)
            lines.append(f"{' ' * width} {bar} {' ' * before}{style('^' * cells, fg=colour, bold=True)}")
    lines.append(f"{' ' * width} {bar}")
    return lines


def _step(number: int, step: TrailStep) -> list[str]:
    code = line_of(step.span)
    lines = [f"    {number}. {_place(step.span)}: {step.message}"]
    if code:
        lines.append(f"       {style(displayed(code), dim=True)}")
    return lines


def _label(word: str) -> str:
    return f"  {style('=', fg='blue')} {style(word, bold=True)}:"


def _place(span: Span) -> str:
    cell = f":cell {span.cell}" if span.cell is not None else ""
    return f"{style(span.filename, bold=True)}{cell}:{span.start.row}:{span.start.column}"
