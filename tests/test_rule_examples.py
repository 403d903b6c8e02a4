"""The examples of every rule page: the wrong one gives exactly this code, the right one gives nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from lossaudit.check import CheckOptions, check_files
from lossaudit.check.suppress import apply_suppressions
from lossaudit.rulebook import load_rules
from tests.rulepages import Page, Program, Role, page_paths, read_page

STATIC_RULES = frozenset(code for code in load_rules() if code.startswith("LA"))
PAGES = [read_page(path) for path in page_paths()]


def examples(prefix: str, role: Role) -> list[object]:
    return [
        pytest.param(page, program, id=f"{page.code}-{role}-{number}")
        for page in PAGES
        if page.code.startswith(prefix)
        for number, program in enumerate(page.programs(role), 1)
    ]


def statically_found(program: Program, folder: Path) -> set[str]:
    files = [path for path in program.write(folder) if path.suffix == ".py"]
    findings = check_files(files, CheckOptions(select=STATIC_RULES)).findings
    return {finding.code for finding in apply_suppressions(findings, files, STATIC_RULES)}


@pytest.mark.parametrize(("page", "program"), examples("LA", "wrong"))
def test_check_finds_exactly_this_code_in_the_wrong_example(
    page: Page, program: Program, tmp_path: Path
) -> None:
    assert statically_found(program, tmp_path) == {page.code}


@pytest.mark.parametrize(("page", "program"), examples("LA", "right"))
def test_check_finds_nothing_in_the_right_example(page: Page, program: Program, tmp_path: Path) -> None:
    assert statically_found(program, tmp_path) == set()
