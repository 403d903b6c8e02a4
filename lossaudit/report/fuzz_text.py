"""What ``lossaudit fuzz`` shows a person: the verdict, the cause, the smallest counterexample, the way to see it again."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from click import style

from lossaudit.findings import FuzzFinding, Severity, TargetReport
from lossaudit.rulebook import load_rules

_UNKNOWN = "not recognised"
_COLOUR = {"conforms": "green", "diverges": "red", _UNKNOWN: "cyan", "error": "yellow"}
_WORDS = {
    "conforms": ("conforms", "conform"),
    "diverges": ("diverges", "diverge"),
    _UNKNOWN: (_UNKNOWN, _UNKNOWN),
    "error": ("could not be judged", "could not be judged"),
}
"""What is said of one target, and of several."""
_SEVERITY_COLOUR = {Severity.ERROR: "red", Severity.WARNING: "yellow", Severity.INFO: "cyan"}
WIDTH = 110


def render_full(reports: Sequence[TargetReport], *, verbose: bool = False) -> str:
    """Every target with its findings, then one line that counts the verdicts.

    Of several targets, those about which there is something to say are shown in full, or all of them where ``verbose``; a table
    lists them all.
    """
    everything = verbose or len(reports) == 1
    shown = reports if everything else [report for report in reports if report.verdict != "conforms"]
    table = [overview(reports)] if len(reports) > 1 else []
    return "\n".join([*(_target(report) for report in shown), *table, summary(reports)]) + "\n"


def render_concise(reports: Sequence[TargetReport]) -> str:
    """A line a target, two lines a finding: what is wrong, and why."""
    lines = []
    for report in reports:
        lines.append(_headline(report))
        lines += [f"  {line}" for line in (report.error or "").splitlines()]
        for finding, cause in zip(report.findings, _causes(report.findings), strict=True):
            lines.append(f"  {_title(finding)}")
            lines += [f"    {style('cause', bold=True)}: {cause}"] if cause else []
    return "\n".join([*lines, summary(reports)]) + "\n"


def summary(reports: Sequence[TargetReport]) -> str:
    """How many targets conform, diverge, were judged without a formula, or could not be judged."""
    if not reports:
        return "0 losses fuzzed."
    counts = Counter[str](_outcome(report) for report in reports)
    parts = [
        f"{counts[outcome]} {word if counts[outcome] == 1 else words}"
        for outcome, (word, words) in _WORDS.items()
        if counts[outcome]
    ]
    findings = sum(len(report.findings) for report in reports)
    targets = f"{len(reports)} {'loss' if len(reports) == 1 else 'losses'} fuzzed"
    return f"{targets}: {', '.join(parts)}; {findings} {'finding' if findings == 1 else 'findings'}."


def overview(reports: Sequence[TargetReport]) -> str:
    """A line a target: its verdict, what it was judged against, and the codes of its findings."""
    rows = [(report.target, _outcome(report), _judged_against(report), _codes(report)) for report in reports]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    lines = []
    for target, verdict, reference, codes in rows:
        coloured = style(f"{verdict:<{widths[1]}}", fg=_COLOUR[verdict])
        lines.append(f"{target:<{widths[0]}}  {coloured}  {reference:<{widths[2]}}  {codes}".rstrip())
    return "\n".join(lines) + "\n"


def _outcome(report: TargetReport) -> str:
    """The verdict. Where no formula was at hand, that nothing was found does not say that the loss is right."""
    return _UNKNOWN if report.verdict == "conforms" and report.reference is None else report.verdict


def _judged_against(report: TargetReport) -> str:
    return "-" if report.reference is None else report.reference.name


def _codes(report: TargetReport) -> str:
    if report.error:
        return textwrap.shorten(report.error, WIDTH // 2, placeholder=" ...")
    return ", ".join(dict.fromkeys(finding.code for finding in report.findings))


def _target(report: TargetReport) -> str:
    lines = [_headline(report)]
    lines += [f"  {style('=', fg='blue')} {line}" for line in report.assumptions]
    if report.error:
        lines.append(textwrap.indent(report.error, "  "))
    for finding, cause in zip(report.findings, _causes(report.findings), strict=True):
        lines += ["", *_finding(finding, cause)]
    return "\n".join(lines) + "\n"


def _against(report: TargetReport) -> str:
    if report.reference is None:
        return ""
    parameters = ", ".join(f"{name}={value!r}" for name, value in report.reference.parameters.items())
    how = "recognised" if report.reference.recognised else "given"
    return f" (reference: {report.reference.name}({parameters}), {how})"


def _headline(report: TargetReport) -> str:
    if _outcome(report) == _UNKNOWN:
        return f"{style(report.target, bold=True)}: {style('NO FINDING', bold=True)} (no known loss was recognised)"
    verdict = style(report.verdict.upper(), fg=_COLOUR[report.verdict], bold=True)
    return f"{style(report.target, bold=True)}: {verdict}{_against(report)}"


def _title(finding: FuzzFinding) -> str:
    rule = load_rules()[finding.code]
    colour = _SEVERITY_COLOUR[rule.severity]
    code, name = style(finding.code, fg=colour, bold=True), style(rule.name, fg=colour)
    return f"{code} {name}: {style(finding.message, bold=True)}"


def _causes(findings: Sequence[FuzzFinding]) -> list[str | None]:
    """The cause of each finding in words; a cause that stands above already is not told twice."""
    causes: list[str | None] = []
    told: dict[str, str] = {}
    for finding in findings:
        diagnosis = finding.diagnosis
        if diagnosis is None:
            causes.append(None)
        elif diagnosis.message in told:
            causes.append(f"the same as of {told[diagnosis.message]}")
        else:
            told[diagnosis.message] = finding.code
            see = f" (see `lossaudit rule {diagnosis.rule}`)" if diagnosis.rule else ""
            causes.append(diagnosis.message + see)
    return causes


def _finding(finding: FuzzFinding, cause: str | None) -> list[str]:
    lines = [f"  {_title(finding)}"]
    if cause is not None:
        lines.append(f"    {style('cause', bold=True)}: {cause}")
    lines += _table("smallest input", finding.counterexample)
    lines += _table("evidence", finding.evidence)
    if finding.id:
        lines.append(f"    {style('kept', bold=True)}: run it again with `lossaudit replay {finding.id}`")
    if finding.repro:
        lines.append(f"    {style('to see it again', bold=True)}:")
        lines.append(style(textwrap.indent(finding.repro.rstrip(), "      | "), dim=True))
    return lines


def _table(title: str, entries: Mapping[str, Any]) -> list[str]:
    if not entries:
        return []
    width = max(len(key) for key in entries)
    rows = [f"      {key:<{width}}  {_value(value)}" for key, value in entries.items()]
    return [f"    {style(title, bold=True)}:", *rows]


def _value(value: object) -> str:
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    return textwrap.shorten(text, WIDTH, placeholder=" ...")
