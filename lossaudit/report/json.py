"""Both reports as JSON arrays, in the published shapes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from lossaudit.findings import Finding, FuzzFinding, Span, TargetReport
from lossaudit.rulebook import load_rules


def render_check(findings: Sequence[Finding]) -> str:
    """The findings of ``lossaudit check`` as one array."""
    return _dump([as_json(finding) for finding in findings])


def render_fuzz(reports: Sequence[TargetReport]) -> str:
    """The reports of ``lossaudit fuzz`` as one array, an object a target."""
    return _dump([target_as_json(report) for report in reports])


def as_json(finding: Finding) -> dict[str, Any]:
    """One finding in the published JSON shape: rows and columns count from 1, the end column is exclusive."""
    rule = load_rules()[finding.code]
    return {
        "code": finding.code,
        "name": rule.name,
        "severity": rule.severity.value,
        "message": finding.message,
        "filename": finding.span.filename,
        **_cell(finding.span),
        **_locations(finding.span),
        "trail": [
            {
                "filename": step.span.filename,
                **_cell(step.span),
                "row": step.span.start.row,
                "column": step.span.start.column,
                "message": step.message,
            }
            for step in finding.trail
        ],
        "fix": None
        if finding.fix is None
        else {
            "applicability": finding.fix.applicability.value,
            "message": finding.fix.message,
            "edits": [
                {
                    "filename": edit.span.filename,
                    **_cell(edit.span),
                    "content": edit.content,
                    **_locations(edit.span),
                }
                for edit in finding.fix.edits
            ],
        },
        "url": rule.url,
    }


def _cell(span: Span) -> dict[str, int]:
    """The cell of a notebook in which rows count; nothing for other files."""
    return {} if span.cell is None else {"cell": span.cell}


def _locations(span: Span) -> dict[str, Any]:
    return {
        "location": {"row": span.start.row, "column": span.start.column},
        "end_location": {"row": span.end.row, "column": span.end.column},
    }


def target_as_json(report: TargetReport) -> dict[str, Any]:
    """One target's report in the published JSON shape."""
    return {
        "target": report.target,
        "reference": None
        if report.reference is None
        else {
            "name": report.reference.name,
            "parameters": report.reference.parameters,
            "recognised": report.reference.recognised,
        },
        "verdict": report.verdict,
        "findings": [_fuzz_finding(finding) for finding in report.findings],
        "statistics": report.statistics,
        "assumptions": list(report.assumptions),
        "error": report.error,
    }


def _fuzz_finding(finding: FuzzFinding) -> dict[str, Any]:
    rule = load_rules()[finding.code]
    diagnosis = finding.diagnosis
    return {
        "code": finding.code,
        "name": rule.name,
        "severity": rule.severity.value,
        "message": finding.message,
        "diagnosis": None
        if diagnosis is None
        else {"mistake": diagnosis.mistake, "message": diagnosis.message, "rule": diagnosis.rule},
        "counterexample": finding.counterexample,
        "evidence": finding.evidence,
        "repro": finding.repro,
        "id": finding.id or None,
    }


def _dump(entries: list[dict[str, Any]]) -> str:
    return json.dumps(entries, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
