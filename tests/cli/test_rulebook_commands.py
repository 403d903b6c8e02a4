"""``lossaudit rule`` and ``lossaudit rules``."""

from __future__ import annotations

import json

from lossaudit.rulebook import load_rules
from tests.cli.conftest import Lossaudit


def test_rule_prints_the_page_by_code_and_by_name(lossaudit: Lossaudit) -> None:
    by_code = lossaudit("rule", "la101")
    by_name = lossaudit("rule", "softmax-before-cross-entropy")
    assert by_code.returncode == 0
    assert by_code.stdout == by_name.stdout
    assert load_rules()["LA101"].text in by_code.stdout


def test_rule_as_json(lossaudit: Lossaudit) -> None:
    page = json.loads(lossaudit("rule", "LA101", "--output-format", "json").stdout)
    assert page["code"] == "LA101"
    assert page["text"] == load_rules()["LA101"].text
    assert page["default"] is True


def test_unknown_rule_names_the_closest(lossaudit: Lossaudit) -> None:
    result = lossaudit("rule", "LA999")
    assert (result.returncode, result.stdout) == (2, "")
    assert "there is no rule 'LA999'" in result.stderr
    assert "softmax-before-bce" in lossaudit("rule", "softmax-befor-bce").stderr


def test_rules_lists_every_page(lossaudit: Lossaudit) -> None:
    listing = lossaudit("rules").stdout
    assert [code for code in load_rules() if code not in listing] == []
    entries = json.loads(lossaudit("rules", "--output-format", "json").stdout)
    assert [entry["code"] for entry in entries] == list(load_rules())
