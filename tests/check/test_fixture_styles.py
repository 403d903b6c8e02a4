"""Every static rule is shown in several styles, and beside what only looks like it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from lossaudit.check.detectors import registered_codes

FIXTURES = Path(__file__).parents[2] / "fixtures" / "check"


def sources(style: Path) -> str:
    files = [style] if style.is_file() else sorted(style.rglob("*.py"))
    return "\n".join(file.read_text(encoding="utf-8") for file in files if file.suffix == ".py")


@pytest.mark.parametrize("code", sorted(registered_codes()))
def test_a_code_has_three_wrong_styles_and_a_look_alike(code: str) -> None:
    styles = [sources(style) for style in sorted((FIXTURES / code).iterdir())]
    wrong = [text for text in styles if re.search(rf"# expect:.*\b{code}\b", text)]
    silent = [text for text in styles if f"{code}" not in "".join(re.findall(r"# expect:.*", text))]
    assert len(wrong) >= 3
    assert silent
