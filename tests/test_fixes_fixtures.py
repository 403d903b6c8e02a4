"""Fixes over all wrong fixtures and all wrong examples: they settle, parse, mend what they promise and touch nothing else."""

from __future__ import annotations

import ast
import difflib
import io
import shutil
import tokenize
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lossaudit.check.audit import CheckRun, Request, run
from lossaudit.findings import FileChange, Severity
from lossaudit.rulebook import load_rules
from tests.marks import FIXTURES, Project, projects_below
from tests.rulepages import page_paths, read_page

RULES = frozenset(
    code
    for code, rule in load_rules().items()
    if code.startswith("LA") and rule.severity is not Severity.INFO
)
FIXABLE = sorted(code for code, rule in load_rules().items() if rule.fix != "none")
PROJECTS = [
    project
    for project in projects_below(FIXTURES / "check", depth=1)
    if project.path.parent.name in FIXABLE and project.marks("expect")
]
EXAMPLES = [
    (page.code, program)
    for page in map(read_page, page_paths())
    if page.code in FIXABLE
    for program in page.programs("wrong")
]


def copied(project: Project, folder: Path) -> Path:
    if project.path.is_file():
        shutil.copy(project.path, folder)
    else:
        shutil.copytree(project.path, folder, dirs_exist_ok=True)
    return folder


def check(folder: Path, change: str) -> CheckRun:
    return run(Request((folder,), folder, RULES, change=change, unsafe=True))  # type: ignore[arg-type]


def texts(folder: Path) -> dict[str, str]:
    return {str(path): path.read_bytes().decode() for path in sorted(folder.rglob("*.py"))}


def comments(text: str) -> Counter[str]:
    tokens = tokenize.generate_tokens(io.StringIO(text, newline="").readline)
    return Counter(token.string for token in tokens if token.type == tokenize.COMMENT)


def touched(changes: Iterable[FileChange]) -> int:
    """How many lines the edits that were made lie on, at most."""
    edits = {edit for change in changes for one in change.mended if one.fix for edit in one.fix.edits}
    return sum(edit.span.end.row - edit.span.start.row + 1 for edit in edits)


def assert_fixes_hold(folder: Path) -> CheckRun:
    before_texts = texts(folder)
    before = check(folder, "none")
    after = check(folder, "fix")
    after_texts = texts(folder)
    counts = [Counter(finding.code for finding in one.findings) for one in (before, after)]
    assert counts[1] <= counts[0], "a fix made a new finding"
    assert [finding for finding in after.findings if finding.fix] == []
    mended = Counter(finding.code for change in after.changes for finding in change.mended)
    assert all(counts[0][code] - counts[1][code] >= 1 for code in mended)
    changed_lines = 0
    for name, text in before_texts.items():
        ast.parse(after_texts[name])
        if "LA001" not in mended:
            assert comments(text) == comments(after_texts[name]), "a comment was lost"
        matcher = difflib.SequenceMatcher(
            None, text.splitlines(), after_texts[name].splitlines(), autojunk=False
        )
        changed_lines += sum(end - start for tag, start, end, *_ in matcher.get_opcodes() if tag != "equal")
    assert changed_lines <= touched(after.changes), "lines changed that no edit touches"
    assert check(folder, "fix").changes == ()
    assert texts(folder) == after_texts
    return after


@pytest.mark.parametrize("project", PROJECTS, ids=str)
def test_fixes_of_fixtures(project: Project, tmp_path: Path) -> None:
    assert_fixes_hold(copied(project, tmp_path))


@pytest.mark.parametrize(("code", "program"), EXAMPLES, ids=[code for code, _ in EXAMPLES])
def test_fixes_of_wrong_examples(code: str, program: object, tmp_path: Path) -> None:
    program.write(tmp_path)  # type: ignore[attr-defined]
    assert_fixes_hold(tmp_path)


@pytest.mark.parametrize("code", FIXABLE)
def test_a_page_that_promises_a_fix_has_a_finding_that_gets_one(code: str, tmp_path: Path) -> None:
    """Of the kind that the page names, among the fixtures of the rule and its example."""
    wanted = load_rules()[code].fix
    found: set[str] = set()
    for number, project in enumerate(one for one in PROJECTS if one.path.parent.name == code):
        (tmp_path / str(number)).mkdir()
        copied(project, tmp_path / str(number))
    for example, program in EXAMPLES:
        if example == code:
            program.write(tmp_path / "page")
    for folder in sorted(tmp_path.iterdir()):
        found |= {
            one.fix.applicability.value
            for one in check(folder, "none").findings
            if one.fix and one.code == code
        }
    assert wanted in found


SMALL = [path for path in sorted((FIXTURES / "check").glob("*/basic.py")) if path.parent.name in FIXABLE]


def shifted(text: str, row: int) -> str:
    """A comment line is put in, where a statement may begin."""
    lines = text.splitlines(keepends=True)
    return "".join([*lines[: row % len(lines)], "# a remark\n", *lines[row % len(lines) :]])


def nested(text: str, _: int) -> str:
    return "if True:\n" + "".join(
        f"    {line}" if line.strip() else line for line in text.splitlines(keepends=True)
    )


def without_line(text: str, row: int) -> str:
    lines = text.splitlines(keepends=True)
    del lines[row % len(lines)]
    return "".join(lines)


def renamed(text: str, _: int) -> str:
    return text.replace("logits", "F").replace("loss", "torch")


MUTATIONS = [
    shifted,
    nested,
    without_line,
    renamed,
    lambda text, _: text.replace("\n", "\r\n"),
    lambda text, _: text.replace("    ", "\t"),
    lambda text, _: text.rstrip("\n"),
    lambda text, _: text.replace("(", "(\n", 1),
    lambda text, _: text.replace("softmax(", "softmax(  # of the scores\n        "),
    lambda text, _: text.replace("return ", "return \\\n        "),
    lambda text, _: "\ufeff" + text.removeprefix("\ufeff"),
    lambda text, _: text.replace("from torch import nn\n", "from torch import nn\nfrom torch.nn import *\n"),
    lambda text, _: text.replace("F.", "F . "),
    lambda text, _: f"{text}\nF = None\n",
    lambda text, _: text.replace("(z", "((z)").replace("(x)", "((x))"),
    lambda text, _: text.replace(
        "import torch.nn.functional as F\n", "from torch.nn import functional as F\n"
    ),
]


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
@given(
    st.sampled_from(SMALL),
    st.lists(st.tuples(st.sampled_from(MUTATIONS), st.integers(0, 200)), min_size=1, max_size=3),
)
def test_mutated_programs_settle_and_parse(
    tmp_path_factory: pytest.TempPathFactory, path: Path, mutations: list[tuple[object, int]]
) -> None:
    text = path.read_text()
    for mutate, row in mutations:
        text = mutate(text, row)  # type: ignore[operator]
    file = tmp_path_factory.mktemp("mutated") / "a.py"
    file.write_bytes(text.encode())
    try:
        ast.parse(text.encode())
    except SyntaxError:
        check(file.parent, "fix")
        assert file.read_bytes() == text.encode()
        return
    check(file.parent, "fix")
    settled = file.read_bytes()
    ast.parse(settled)
    after = settled.decode()
    assert comments(text.removeprefix("\ufeff")) == comments(after.removeprefix("\ufeff")), (
        "a comment was lost"
    )
    assert after.startswith("\ufeff") == text.startswith("\ufeff")
    assert after.endswith("\n") == text.endswith("\n")
    assert {"\r\n" in after, "\n" in after.replace("\r\n", "")} == {
        "\r\n" in text,
        "\n" in text.replace("\r\n", ""),
    }
    assert check(file.parent, "fix").changes == ()
    assert file.read_bytes() == settled
