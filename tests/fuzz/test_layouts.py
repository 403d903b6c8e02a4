"""Losses that want their arguments arranged otherwise: right ones are recognised and left alone, wrong ones are named."""

from __future__ import annotations

import ast
import re

import pytest
from conftest import FIXTURES, Planted, audit_here, ids, planted

from lossaudit.fuzz import FuzzOptions
from lossaudit.fuzz.spaces import all_spaces

EQUALS = re.compile(r"Equals: (\w+) in (its usual layout|\w+)")
RIGHT = FIXTURES / "layouts" / "right.py"
FORMS = {
    node.name: EQUALS.search(ast.get_docstring(node) or "")
    for node in ast.parse(RIGHT.read_text(encoding="utf-8")).body
    if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_")
}
WRONG = [loss for loss in planted("layouts") if loss.codes]
LAYOUTS = [space for space in all_spaces().values() if space.layout]


@pytest.mark.parametrize("name", FORMS)
def test_right_loss_in_another_layout_conforms(name: str) -> None:
    said = FORMS[name]
    assert said is not None, "its docstring says what it equals"
    report = audit_here(f"{RIGHT}:{name}")
    assert report.findings == ()
    assert report.reference is not None
    assert report.reference.name == said[1]
    words = {space.words for space in LAYOUTS if space.layout == said[2]}
    taken = next(line for line in report.assumptions if line.startswith("it takes "))
    assert any(text in taken for text in words) is (said[2] != "its usual layout"), taken


@pytest.mark.parametrize("loss", WRONG, ids=ids(WRONG))
def test_wrong_loss_in_another_layout_is_named(loss: Planted) -> None:
    report = audit_here(loss.target)
    assert tuple(finding.code for finding in report.findings) == loss.codes
    assert {finding.diagnosis.mistake for finding in report.findings if finding.diagnosis} == {loss.diagnosis}


def test_what_is_shown_runs(capsys: pytest.CaptureFixture[str]) -> None:
    report = audit_here(
        f"{FIXTURES / 'layouts' / 'wrong.py'}:tokens_softmax_twice", FuzzOptions(max_examples=8)
    )
    (finding,) = report.findings
    steps = finding.counterexample["prediction"]
    assert finding.counterexample["shape"] == [len(steps), len(steps[0]), len(steps[0][0])]
    exec(compile(finding.repro, "repro", "exec"), {})  # noqa: S102 (our own text)
    shown = float(re.search(r"tensor\(([\d.]+)", capsys.readouterr().out)[1])  # type: ignore[index]
    assert shown == pytest.approx(finding.evidence["actual"], rel=1e-4)


def test_layouts_hold_what_their_space_holds() -> None:
    for space in LAYOUTS:
        usual = all_spaces()[space.kind]
        assert space.name == f"{space.layout}/{usual.name}"
        assert space.magnitudes == usual.magnitudes
        assert usual.target_profiles[0] in space.target_profiles
        assert set(space.target_profiles) <= set(usual.target_profiles)
