"""Every page of the rulebook keeps the format of CONTRIBUTING.md, and its numbers are true."""

from __future__ import annotations

import ast
import re
from collections import Counter

import pytest

from lossaudit import rulebook
from lossaudit.check.contracts import framework_names
from lossaudit.findings import Severity
from tests import rulepages
from tests.rulepages import Page

SECTIONS = [
    "What it is",
    "Why it hurts",
    "Wrong",
    "Right",
    "When it is fine",
    "How to silence",
    "Fuzz",
    "References",
]
# A page about a file that could not be judged has nothing to measure and no loss to show.
PROBLEM_SECTIONS = ["What it is", "What to do"]
FRAMEWORKS = ["pytorch", "paddle", "keras", "jax"]
FRONT_MATTER = {"code", "name", "severity", "fix", "since", "frameworks"}
NUMBER = re.compile(r"\d+(?:\.\d+)?(?:e[+-]?\d+)?")
# Such a number in the prose is a result; it must stand in the output of a measured block.
PRECISE = re.compile(r"\d+\.\d{2,}|\d+(?:\.\d+)?e[+-]?\d+")

PAGES = [rulepages.read_page(path) for path in rulepages.page_paths()]
RULE_PAGES = [page for page in PAGES if not page.code.startswith("E")]


def by_code(page: Page) -> str:
    return page.code


every_page = pytest.mark.parametrize("page", PAGES, ids=by_code)
every_rule_page = pytest.mark.parametrize("page", RULE_PAGES, ids=by_code)


@every_page
def test_front_matter_is_complete_and_typed(page: Page) -> None:
    meta = page.meta
    assert set(meta) == FRONT_MATTER
    assert re.fullmatch(r"(E00|LA|LF)\d+", meta["code"])
    assert re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", meta["name"])
    assert meta["severity"] in {severity.value for severity in Severity}
    assert meta["fix"] in {"safe", "unsafe", "none"}
    assert isinstance(meta["since"], str)
    assert re.fullmatch(r"\d+\.\d+\.\d+", meta["since"])
    assert meta["frameworks"] == [name for name in FRAMEWORKS if name in meta["frameworks"]]
    assert set(meta["frameworks"]) <= set(framework_names())  # a page promises what there are contracts for


@every_page
def test_file_name_and_title_repeat_code_and_name(page: Page) -> None:
    assert page.path.stem == f"{page.code}-{page.meta['name']}"
    assert page.title == f"{page.code} {page.meta['name']}"


def test_codes_and_names_are_unique() -> None:
    for key in ("code", "name"):
        counts = Counter(page.meta[key] for page in PAGES)
        assert [value for value, count in counts.items() if count > 1] == []


@every_page
def test_summary_is_one_sentence(page: Page) -> None:
    assert re.fullmatch(r"[A-Z`].*[^.]\.", page.summary), page.summary
    assert not re.search(r"[.!?] [A-Z]", page.summary), page.summary
    assert len(page.summary) <= 160


@every_page
def test_sections_are_present_in_order(page: Page) -> None:
    assert list(page.sections) == (PROBLEM_SECTIONS if page.code.startswith("E") else SECTIONS)
    assert [name for name, text in page.sections.items() if not text] == []


@every_page
def test_the_loader_reads_the_same(page: Page) -> None:
    rule = rulebook.load_rules()[page.code]
    assert (rule.name, rule.fix, rule.since) == (page.meta["name"], page.meta["fix"], page.meta["since"])
    assert rule.severity.value == page.meta["severity"]
    assert rule.frameworks == tuple(page.meta["frameworks"])
    assert rule.summary == page.summary


@every_rule_page
def test_why_it_hurts_is_measured_and_quoted(page: Page) -> None:
    pairs = page.measured()
    assert pairs
    assert {block.section for block, _ in pairs} == {"Why it hurts"}
    prose = re.sub(r"```.*?```|`[^`]*`", "", page.sections["Why it hurts"], flags=re.DOTALL)
    printed = {number for _, output in pairs for number in NUMBER.findall(output)}
    quoted = set(NUMBER.findall(prose))
    assert printed & quoted, "the prose quotes no measured number"
    assert [number for number in quoted - printed if PRECISE.fullmatch(number)] == []


@pytest.fixture(scope="module")
def outputs() -> dict[tuple[str, int], str]:
    """What every measured block of every page prints, run in one process."""
    blocks = [(page.code, block) for page in RULE_PAGES for block, _ in page.measured()]
    printed = rulepages.run_measured([block.text for _, block in blocks])
    return {(code, block.line): text for (code, block), text in zip(blocks, printed, strict=True)}


@every_rule_page
def test_measured_blocks_print_what_the_page_says(page: Page, outputs: dict[tuple[str, int], str]) -> None:
    for block, expected in page.measured():
        assert outputs[page.code, block.line] == expected, f"{page.path.name}:{block.line}"


@every_rule_page
def test_examples_stand_in_their_sections_and_parse(page: Page) -> None:
    for role, section in (("wrong", "Wrong"), ("right", "Right")):
        assert {block.section for block in page.blocks if block.role == role} == {section}
        for program in page.programs(role):
            for name, source in program.files.items():
                ast.parse(source, filename=f"{page.path.name}:{name}", feature_version=(3, 10))


@every_rule_page
def test_fuzzed_examples_name_a_callable_of_their_block(page: Page) -> None:
    for program in (*page.programs("wrong"), *page.programs("right")):
        if not page.code.startswith("LF"):
            assert program.target is None
            continue
        (source,) = program.files.values()
        names = {
            node.name for node in ast.parse(source).body if isinstance(node, ast.FunctionDef | ast.ClassDef)
        }
        assert program.target in names


@every_rule_page
def test_silencing_names_the_code(page: Page) -> None:
    assert page.code in page.sections["How to silence"]


@every_page
def test_lines_fit_a_terminal(page: Page) -> None:
    long = [line for line in page.path.read_text(encoding="utf-8").splitlines() if len(line) > 110]
    assert [line for line in long if "http" not in line] == []
