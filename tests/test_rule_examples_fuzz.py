"""The examples of the dynamic rules, run by ``fuzz``: the wrong one shows this code, the right one conforms."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lossaudit.findings import TargetReport
from lossaudit.fuzz import FuzzOptions, fuzz_target
from tests.rulepages import Page, Program
from tests.test_rule_examples import examples


def fuzz(program: Program, folder: Path) -> TargetReport:
    (path,) = program.write(folder)
    init = dict(pair.split("=", 1) for pair in program.init)
    options = FuzzOptions(
        init={name: json.loads(value) for name, value in init.items()}, reference=program.reference
    )
    return fuzz_target(f"{path}:{program.target}", options)


@pytest.mark.parametrize(("page", "program"), examples("LF", "wrong"))
def test_fuzz_finds_this_code_in_the_wrong_example(page: Page, program: Program, tmp_path: Path) -> None:
    report = fuzz(program, tmp_path)
    codes = {finding.code for finding in report.findings}
    assert page.code in codes, report
    assert codes <= {page.code, *program.also}, report


@pytest.mark.parametrize(("page", "program"), examples("LF", "right"))
def test_the_right_example_conforms(page: Page, program: Program, tmp_path: Path) -> None:
    report = fuzz(program, tmp_path)
    assert (report.verdict, report.findings) == ("conforms", ()), report
