"""Failures are kept, replayed, tried first by the next run, and written down as tests."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import ROOT, audit_here

from lossaudit.fuzz import FuzzOptions, TargetError, campaign, keep, written
from lossaudit.fuzz.engine import replay
from lossaudit.fuzz.target import builds, load, parse_target

LOSSES = """
import os
import torch
from torch.nn import functional as F

MENDED = os.environ.get("MENDED") == "1"


def value(logits, labels):
    return F.cross_entropy(logits if MENDED else torch.softmax(logits, 1), labels)


def first_of_two(logits, labels):
    return value(logits, labels), logits.detach().argmax(1)


def mapping(logits, labels):
    return {"accuracy": 0.5, "loss": value(logits, labels)}


def forgets_what_is_ignored(logits, labels, ignore_index=-100):
    kept = labels != ignore_index
    labels = labels.clone() if MENDED else labels
    labels[~kept] = 0
    losses = F.cross_entropy(logits, labels, reduction="none") * kept
    return losses.sum() / kept.sum()


def gradient(logits, labels):
    log_p = torch.log_softmax(logits, 1)
    weight = 1 if MENDED else 2 - (logits.sum() * 0 + 1) + (logits - logits.detach()).sum()
    return (F.nll_loss(log_p, labels) * weight)


def no_gradient(logits, labels):
    loss = F.cross_entropy(logits, labels)
    return loss if MENDED else loss.detach()


def overflow(scores, labels):
    if MENDED:
        return F.binary_cross_entropy_with_logits(scores, labels)
    return (torch.log(1 + torch.exp(scores)) - scores * labels).mean()


def writes(logits, labels):
    if not MENDED:
        with torch.no_grad():
            logits.sub_(logits.max(1, keepdim=True).values)
    return F.cross_entropy(logits, labels)


def widens(logits, labels):
    return F.cross_entropy(logits, labels).to(logits.dtype if MENDED else torch.float64)


class Drifts:
    def __init__(self):
        self.calls = 0

    def __call__(self, logits, labels):
        self.calls += not MENDED
        return F.cross_entropy(logits, labels) * (1 + self.calls)  if not MENDED else F.cross_entropy(logits, labels)
"""
CODES = {
    "value": "LF101",
    "first_of_two": "LF101",
    "mapping": "LF101",
    "forgets_what_is_ignored": "LF401",
    "gradient": "LF102",
    "no_gradient": "LF202",
    "overflow": "LF301",
    "writes": "LF401",
    "widens": "LF403",
    "Drifts": "LF402",
}
QUICK = FuzzOptions(max_examples=5)


@pytest.fixture
def losses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "kept_losses.py"
    path.write_text(LOSSES, encoding="utf-8")
    monkeypatch.delenv("MENDED", raising=False)
    return path


def test_each_written_test_fails_on_the_wrong_loss_and_passes_on_the_mended_one(losses: Path) -> None:
    reports = [audit_here(f"{losses}:{name}", QUICK) for name in CODES]
    for report, code in zip(reports, CODES.values(), strict=True):
        assert code in [finding.code for finding in report.findings], report
    path = losses.parent / "test_written.py"
    count, left = written.write(path, reports)
    assert not left
    text = path.read_text(encoding="utf-8")
    assert "lossaudit." not in text.replace("lossaudit fuzz", "")
    assert _outcome(path, mended=False) == (0, count)
    assert _outcome(path, mended=True) == (count, 0)


def _outcome(path: Path, *, mended: bool) -> tuple[int, int]:
    """How many tests pass and fail, in an interpreter that does not know lossaudit."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    report = path.with_suffix(".xml")
    subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={report}", str(path)],
        check=False, capture_output=True, timeout=240, cwd=path.parent,
        env={**environment, "MENDED": "1" if mended else "0"},
    )  # fmt: skip
    import xml.etree.ElementTree as ET

    suite = next(ET.parse(report).iter("testsuite"))  # noqa: S314 (we have just written it)
    failed = int(suite.attrib["failures"])
    assert suite.attrib["errors"] == "0"
    return int(suite.attrib["tests"]) - failed, failed


def test_somebody_elses_file_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "test_mine.py"
    path.write_text("def test_mine(): pass\n", encoding="utf-8")
    with pytest.raises(FileExistsError, match="was not written by lossaudit"):
        written.write(path, [])
    assert path.read_text(encoding="utf-8") == "def test_mine(): pass\n"


def test_failures_are_kept_once_and_git_ignores_them(losses: Path) -> None:
    target = f"{losses}:value"
    first = keep.keep(losses.parent, audit_here(target, QUICK), QUICK)
    again = keep.keep(losses.parent, audit_here(target, replace(QUICK, seed=5)), replace(QUICK, seed=5))
    (kept,) = keep.load_all(losses.parent)
    assert first.findings[0].id == again.findings[0].id == kept.id
    assert keep.load(losses.parent, kept.id) == kept
    assert (losses.parent / ".lossaudit" / ".gitignore").read_text(encoding="utf-8") == "*\n"
    assert keep.of_target(losses.parent, target, QUICK) == (kept.case,)
    assert keep.of_target(losses.parent, target, replace(QUICK, init={"a": 1})) == ()


RARE = """
from torch.nn import functional as F


def loss(logits, labels):
    value = F.cross_entropy(logits, labels)
    return value + 1 if labels.numel() == 6 and labels.sum() == 6 else value
"""


def test_the_next_run_starts_with_what_earlier_ones_found(tmp_path: Path) -> None:
    """One example finds nothing here, unless it is the kept one."""
    path = tmp_path / "rare_losses.py"
    path.write_text(RARE, encoding="utf-8")
    target, short = f"{path}:loss", FuzzOptions(reference="cross_entropy", max_examples=1, seed=1)
    assert _codes(target, short, tmp_path) == []
    assert "LF101" in _codes(target, replace(short, max_examples=400, seed=0), tmp_path)
    assert "LF101" in _codes(target, short, tmp_path)
    assert _codes(target, short, None) == []


def _codes(target: str, options: FuzzOptions, memory: Path | None) -> list[str]:
    (report,) = campaign.run([(target, options)], 1, memory=memory).reports
    assert report.error is None
    return [finding.code for finding in report.findings]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"version": 1, "id": 3}', "\x00"])
def test_a_broken_file_is_no_failure(tmp_path: Path, text: str) -> None:
    folder = tmp_path / ".lossaudit" / "failures"
    folder.mkdir(parents=True)
    (folder / "abcd1234.json").write_text(text, encoding="utf-8")
    assert keep.load_all(tmp_path) == ()
    assert keep.load(tmp_path, "../secret") is None


def _replayed(losses: Path, name: str, mended: bool, monkeypatch: pytest.MonkeyPatch) -> str | None:
    report = audit_here(f"{losses}:{name}", QUICK)
    (finding,) = [finding for finding in report.findings if finding.code == CODES[name]]
    monkeypatch.setenv("MENDED", "1" if mended else "0")
    made = builds(load(parse_target(f"{losses}:{name}")), {})
    case = json.loads(json.dumps(finding.case))
    return replay(report.target, made, replace(QUICK, kept=(case,)), finding.code)


@pytest.mark.parametrize("name", ["value", "gradient", "overflow", "writes", "widens"])
def test_a_replay_tells_the_mended_from_the_failing(
    losses: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _replayed(losses, name, mended=False, monkeypatch=monkeypatch)
    monkeypatch.delenv("MENDED")
    assert _replayed(losses, name, mended=True, monkeypatch=monkeypatch) is None


def test_a_target_that_takes_other_inputs_now_cannot_be_replayed(losses: Path) -> None:
    report = audit_here(f"{losses}:value", QUICK)
    other = losses.parent / "other.py"
    other.write_text(
        "import torch\ndef value(scores, labels):\n"
        "    return torch.nn.functional.binary_cross_entropy_with_logits(scores, labels)\n",
        encoding="utf-8",
    )
    made = builds(load(parse_target(f"{other}:value")), {})
    with pytest.raises(TargetError, match="does not take this input any more"):
        replay(f"{other}:value", made, replace(QUICK, kept=(report.findings[0].case,)), "LF101")


def test_the_next_run_starts_with_what_was_kept(losses: Path) -> None:
    """A defect that hides from a short run is found again because its input is remembered."""
    path = losses.parent / "rare.py"
    path.write_text(
        "import torch\ndef rare(scores, labels):\n"
        "    loss = torch.nn.functional.binary_cross_entropy_with_logits(scores, labels)\n"
        "    return loss * 2 if (scores == 7.001953125).any() else loss\n",
        encoding="utf-8",
    )
    target = f"{path}:rare"
    assert audit_here(target, QUICK).verdict == "conforms"
    case = {
        "space": "scores-labels", "prediction": [7.001953125], "target": [1.0], "shapes": [[1], [1]], "integers": False,
        "dtype": "float32", "layout": "contiguous", "magnitude": "ordinary", "targets": "random",
    }  # fmt: skip
    plain, remembering = audit_here(target, QUICK), audit_here(target, replace(QUICK, kept=(case,)))
    assert [finding.code for finding in remembering.findings] == ["LF101"]
    assert remembering.statistics["examples"] >= plain.statistics["examples"]


def run(*arguments: str, cwd: Path, mended: bool = False) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "MENDED": "1" if mended else "0"}
    command = [sys.executable, "-m", "lossaudit", *arguments]
    return subprocess.run(
        command, check=False, capture_output=True, text=True, cwd=cwd, env=environment, timeout=240
    )


def test_replay_on_the_command_line(losses: Path) -> None:
    cwd = losses.parent
    found = run("fuzz", "kept_losses.py:value", "--output-format", "json", "--max-examples", "5", cwd=cwd)
    identity = json.loads(found.stdout)[0]["findings"][0]["id"]
    failing, fixed = (run("replay", identity, cwd=cwd, mended=mended) for mended in (False, True))
    assert (failing.returncode, fixed.returncode) == (1, 0), failing.stderr + fixed.stderr
    assert "still failing" in failing.stdout
    assert "fixed" in fixed.stdout
    losses.unlink()
    gone = run("replay", identity, cwd=cwd)
    assert gone.returncode == 2
    assert "cannot be replayed" in gone.stderr
    assert run("replay", "00000000", cwd=cwd).returncode == 2


def test_two_runs_print_the_same_though_the_second_remembers(losses: Path) -> None:
    options = ("--output-format", "json", "--max-examples", "5", "--max-time", "100")
    arguments = ("fuzz", "kept_losses.py:overflow", *options)
    assert run(*arguments, cwd=losses.parent).stdout == run(*arguments, cwd=losses.parent).stdout
