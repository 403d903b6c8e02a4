"""``docs/configuration.md`` says what the configuration is: its keys, its examples, and what they do."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from lossaudit.check import CheckOptions, Declared, check_files
from lossaudit.config import (
    CONTRACT_KEYS,
    LOSS_INPUTS,
    MODEL_OUTPUTS,
    FuzzTarget,
    Settings,
    find_configuration,
    select_codes,
)
from tests.marks import ROOT

PAGE = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```toml pyproject\n(.*?)```", PAGE, re.DOTALL)


def rows(heading: str) -> dict[str, str]:
    """The rows of the table below a heading: first column without its quotes, and the whole line."""
    section = PAGE.split(f"## {heading}\n", 1)[1].split("\n## ", 1)[0]
    return {match[1]: match[0] for match in re.finditer(r"^\| `([\w-]+)` \|.*$", section, re.MULTILINE)}


def test_every_key_has_its_row_and_no_other() -> None:
    assert list(rows("Keys")) == list(Settings.__struct_encode_fields__)
    assert list(rows("Contracts of your own losses and models")) == list(CONTRACT_KEYS)
    assert list(rows("Targets of `lossaudit fuzz`")) == list(FuzzTarget.__struct_encode_fields__)


def test_every_allowed_word_of_a_contract_is_named() -> None:
    table = rows("Contracts of your own losses and models")
    assert re.findall(r"`([a-z-]+)`", table["input"].split("|")[2]) == list(LOSS_INPUTS)
    assert re.findall(r"`([a-z-]+)`", table["yields"].split("|")[2]) == list(MODEL_OUTPUTS)


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_example_is_accepted(tmp_path: Path, example: str) -> None:
    (tmp_path / "pyproject.toml").write_text(example)
    settings = find_configuration([tmp_path]).settings
    assert settings != Settings()
    assert select_codes(settings.select, settings.extend_select, settings.ignore)


def test_the_example_of_contracts_reports_what_the_page_says(tmp_path: Path) -> None:
    example = next(one for one in EXAMPLES if "contracts" in one)
    (tmp_path / "pyproject.toml").write_text(example)
    match = re.search(r"```python contracts=(\w+)\n(.*?)```", PAGE, re.DOTALL)
    assert match is not None
    (tmp_path / "train.py").write_text(match[2])
    declared = tuple(
        Declared(name, **one) for name, one in find_configuration([tmp_path]).settings.contracts.items()
    )
    result = check_files([tmp_path / "train.py"], CheckOptions(contracts=declared))
    last = len(match[2].splitlines())
    assert [(one.code, one.span.start.row) for one in result.findings] == [(match[1], last)]
