"""CPython's parser and LibCST give one compact form, and the same places in the text."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from pathlib import Path

import pytest

from lossaudit.check import CheckOptions, check_files, ir, lower, lower_ast
from lossaudit.findings import Finding
from tests.marks import FIXTURES

COUNTS = {"id", "size"}


def shape(node: object) -> object:
    """A node without ordinals and sizes; f-strings that stand side by side are one."""
    if isinstance(node, tuple):
        return tuple(shape(item) for item in node)
    if isinstance(node, ir.JoinedStr):
        return ("JoinedStr", *parts_of(node))
    if isinstance(node, ir.Node):
        kind = ir.FunctionDef if isinstance(node, ir.FunctionDef) else type(node)
        fields = [field.name for field in dataclasses.fields(kind) if field.name not in COUNTS]
        return (kind.__name__, *(shape(getattr(node, name)) for name in fields))
    return node


def parts_of(node: ir.JoinedStr) -> list[object]:
    parts: list[object] = []
    for part in node.values:
        parts += parts_of(part) if isinstance(part, ir.JoinedStr) else [shape(part)]
    return parts


@pytest.mark.parametrize("folder", ["check", "programs", "seeds"])
def test_both_front_ends_give_the_same_form(folder: str) -> None:
    for path in sorted((FIXTURES / folder).rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        assert shape(lower_ast.lower(text).body) == shape(lower.lower(text).body), path


@pytest.mark.parametrize(
    "text", ["a and b and c", "(a and b) and c", "a or b and c and d or (e or f)", "not a and b and c"]
)
def test_chains_of_and_and_or_are_one_operation(text: str) -> None:
    assert shape(lower_ast.lower(text).body) == shape(lower.lower(text).body)


def test_findings_do_not_depend_on_the_front_end(monkeypatch: pytest.MonkeyPatch) -> None:
    files = sorted((FIXTURES / "programs").rglob("*.py"))[:40]
    fast = without_fixes(check_files(files, CheckOptions()).findings)

    def refuse(*_: object, **__: object) -> None:
        raise lower_ast.Unsupported

    monkeypatch.setattr(lower_ast, "lower", refuse)
    monkeypatch.setattr(lower_ast, "parse", refuse)
    slow = without_fixes(check_files(files, CheckOptions()).findings)
    assert slow == fast
    assert fast


def without_fixes(findings: Iterable[Finding]) -> list[Finding]:
    """Fixes are made from CPython's tree only."""
    return [dataclasses.replace(finding, fix=None) for finding in findings]


def test_newer_syntax_than_the_running_python_is_read(tmp_path: Path) -> None:
    path = tmp_path / "generic.py"
    path.write_text(
        "from torch import nn\n\n\ndef first[T](items: list[T]) -> T:\n    return items[0]\n\n\n"
        "def loss(x, y):\n    return nn.CrossEntropyLoss()(x.softmax(1), y)\n"
    )
    (finding,) = check_files([path], CheckOptions()).findings
    assert (finding.code, finding.span.start.row) == ("LA101", 9)
