"""Every fixture gives exactly the findings that its marks name, on exactly those lines, under all rules."""

from __future__ import annotations

import pytest

from lossaudit.check import CheckOptions, check_files
from lossaudit.rulebook import load_rules
from tests.marks import FIXTURES, Marks, Project, projects_below

STATIC_RULES = frozenset(code for code in load_rules() if code.startswith("LA"))
PROJECTS = [
    *projects_below(FIXTURES / "check", depth=1),
    *projects_below(FIXTURES / "seeds", depth=0),
    *projects_below(FIXTURES / "programs", depth=0),
    Project(FIXTURES / "demo"),
]


@pytest.mark.parametrize("project", PROJECTS, ids=str)
def test_findings_are_the_marked_ones(project: Project) -> None:
    result = check_files(project.files, CheckOptions(select=STATIC_RULES))
    found: Marks = frozenset(
        (finding.span.filename, finding.span.start.row, finding.code) for finding in result.findings
    )
    expected = project.marks("expect")
    differences = {
        "reported without a mark": sorted(found - expected),
        "marked and not found": sorted(expected - found),
        "found though marked as a gap": sorted(found & project.marks("todo")),
    }
    assert {what: marks for what, marks in differences.items() if marks} == {}
