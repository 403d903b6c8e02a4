"""The baseline knows findings by their line's text, so it survives code that moves."""

from __future__ import annotations

from pathlib import Path

import pytest

from lossaudit.check.baseline import BaselineError, without_baseline, write_baseline
from lossaudit.findings import Finding, Position, Span


def at(path: Path, row: int, code: str = "LA101") -> Finding:
    return Finding(code, "message", Span(str(path), Position(row, 1), Position(row, 5)))


def test_moved_findings_stay_known_and_new_ones_are_reported(tmp_path: Path) -> None:
    train, baseline = tmp_path / "train.py", tmp_path / "baseline.json"
    train.write_text("loss = bad(x)\n")
    write_baseline(baseline, [at(train, 1)])
    train.write_text("import os\n\n    loss =  bad(x)\nloss = bad(x)\n")
    assert without_baseline(baseline, [at(train, 3), at(train, 4)]) == (at(train, 4),)
    assert without_baseline(baseline, [at(train, 3, "LA102")]) == (at(train, 3, "LA102"),)


def test_the_file_does_not_depend_on_the_order_of_findings(tmp_path: Path) -> None:
    train = tmp_path / "train.py"
    train.write_text("a\nb\n")
    first, second = tmp_path / "1.json", tmp_path / "2.json"
    write_baseline(first, [at(train, 1), at(train, 2)])
    write_baseline(second, [at(train, 2), at(train, 1)])
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize("content", ["", "[]", '{"version": 99}', '{"version": 1, "findings": [{}]}'])
def test_a_broken_baseline_is_a_clear_error(tmp_path: Path, content: str) -> None:
    path = tmp_path / "baseline.json"
    path.write_text(content)
    with pytest.raises(BaselineError, match=r"baseline\.json: .*baseline"):
        without_baseline(path, [])
    with pytest.raises(BaselineError, match="cannot be read"):
        without_baseline(tmp_path / "missing.json", [])
