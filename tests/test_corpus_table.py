"""The reviewed table of the corpus holds together; the packages themselves are not fetched here."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.corpus import __main__ as corpus
from lossaudit.rulebook import load_rules

TABLE = corpus.read_table()
PINS = corpus.read_packages()


def test_every_row_is_judged_with_a_reason() -> None:
    codes = set(load_rules())
    for row in TABLE:
        assert row.verdict in corpus.VERDICTS, row
        assert row.code in codes, row
        assert len(row.reasoning) > 15, row
        assert PINS[row.package].version == row.version, row
        is_checked = any(part == "." or row.path.startswith(part) for part in PINS[row.package].parts)
        assert is_checked, row


def test_no_finding_is_listed_twice() -> None:
    assert len({row.key for row in TABLE}) == len(TABLE)


def test_the_findings_are_true() -> None:
    """At least 95 of 100 of what is right or wrong without doubt."""
    verdicts = [row.verdict for row in TABLE]
    assert verdicts.count("true") >= 95 / 100 * (verdicts.count("true") + verdicts.count("false"))


def test_the_readme_counts_the_table() -> None:
    readme = (corpus.HERE / "README.md").read_text(encoding="utf-8")
    assert corpus.summary(TABLE) in readme


@pytest.mark.parametrize("limit", [60.0])
def test_new_and_vanished_findings_are_shown(limit: float) -> None:
    known = corpus.Row("p", "1", "a.py", 3, "LA101", "true", "reason")
    missed = corpus.Row("p", "1", "b.py", 9, "LA105", "missed", "reason")
    found = ((("p", "a.py", 4, "LA101"), "words"), (("p", "b.py", 9, "LA105"), "words"))
    outcome = corpus.Outcome("p", found, limit, "done")
    new, vanished, caught = corpus.compare(outcome, [known, missed])
    assert new == ["p: a.py:4 LA101 words"]
    assert vanished == ["p: a.py:3 LA101 was true: reason"]
    assert caught == ["p: b.py:9 LA105"]


def test_a_run_that_says_nothing_has_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``python -m`` leaves with 1 where it does not find the package, as the command does where it has findings."""
    silent = tmp_path / "python"
    silent.write_text("#!/bin/sh\nexit 1\n", encoding="utf-8")
    silent.chmod(0o755)
    monkeypatch.setattr(corpus.sys, "executable", str(silent))
    assert corpus.check("p", tmp_path, (".",), 10.0).state == "failed"
