"""Targets that end, hang or flood their process, in real children."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from conftest import FIXTURES, ROOT

from lossaudit.fuzz import FuzzOptions, fuzz_target
from lossaudit.fuzz.nursery import can_fork, environment

if TYPE_CHECKING:
    from collections.abc import Callable

CRASHES = FIXTURES / "crashes" / "crashes.py"
QUICK = FuzzOptions(max_examples=5, call_time=1.5, memory_limit_mb=1024)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("hangs", "did not return within 1.5 s"),
        ("exits", "exit code 3"),
        ("segfaults", "SIGSEGV"),
        ("allocates", "more than 1024 MB"),
        ("overflows_the_stack", "SIGSEGV"),
    ],
)
def test_a_target_that_always_crashes_is_reported_with_its_input(name: str, words: str) -> None:
    report = fuzz_target(f"{CRASHES}:{name}", QUICK)
    assert report.verdict == "diverges"
    assert [finding.code for finding in report.findings] == ["LF406"]
    (finding,) = report.findings
    assert words in finding.message
    assert finding.counterexample["prediction"]
    assert "import torch" in finding.repro


HANGS = """
import os, pathlib, time

def hangs(prediction, target):
    pathlib.Path("pid").write_text(str(os.getpid()))
    time.sleep(600)
"""


@pytest.mark.skipif(not can_fork(), reason="elsewhere the child is a plain subprocess")
def test_a_child_whose_owner_was_killed_ends(tmp_path: Path) -> None:
    (tmp_path / "losses.py").write_text(HANGS)
    code = "from lossaudit.fuzz import FuzzOptions as O, fuzz_target; fuzz_target('losses.py:hangs', O(call_time=500))"
    with subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, env=environment()) as owner:
        pid = _awaited(lambda: int((tmp_path / "pid").read_text()))
        owner.kill()
    assert pid is not None
    assert _awaited(lambda: None if Path(f"/proc/{pid}").exists() else True)


def _awaited(ask: Callable[[], Any]) -> Any:
    """The answer, once there is one."""
    end = time.monotonic() + 90
    while time.monotonic() < end:
        with contextlib.suppress(OSError, ValueError):
            answer = ask()
            if answer is not None:
                return answer
        time.sleep(0.1)
    return None


def test_the_run_goes_on_after_a_crash() -> None:
    events: list[str] = []
    report = fuzz_target(f"{CRASHES}:exits_when_large", QUICK, events.append)
    assert [finding.code for finding in report.findings] == ["LF406"]
    assert report.reference is not None
    assert report.reference.name == "cross_entropy"
    assert report.statistics["examples"] > 100
    assert any("going on" in event for event in events)


def test_a_kernel_that_dies_of_what_it_is_not_made_for_is_told_and_no_finding() -> None:
    report = fuzz_target(f"{CRASHES}:sequences", QUICK)
    assert report.findings == ()
    assert any("on an input that it may not be made for" in line for line in report.assumptions)


def test_a_kernel_that_dies_again_and_again_of_what_it_may_not_be_made_for_is_no_finding() -> None:
    report = fuzz_target(f"{CRASHES}:Spoken", QUICK)
    assert report.findings == ()
    told = (report.error or "", *report.assumptions)
    assert any("that it may not be made for" in line for line in told), told


def test_what_dies_of_all_that_it_takes_is_accused_once_somebody_says_that_it_takes_that() -> None:
    target = f"{CRASHES}:dies_of_what_it_takes"
    unnamed = fuzz_target(target, QUICK)
    assert (unnamed.verdict, unnamed.findings) == ("error", ())
    assert "SIGSEGV" in (unnamed.error or "")
    assert "--reference" in (unnamed.error or "")
    named = fuzz_target(target, replace(QUICK, reference="cross_entropy"))
    assert [finding.code for finding in named.findings] == ["LF406"]


def test_what_the_target_prints_stays_in_the_child(capfd: pytest.CaptureFixture[str]) -> None:
    report = fuzz_target(f"{CRASHES}:prints", QUICK)
    assert report.verdict == "conforms", report
    out, err = capfd.readouterr()
    assert out == ""
    assert err == ""


def test_nothing_is_left_in_the_folder_of_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not by Hypothesis either, which writes down the constants of the code that is near."""
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text("SCALE = 12345\n\ndef loss(p, t):\n    return SCALE * (p - t).abs().mean()\n")
    assert fuzz_target("mine.py:loss", replace(QUICK, reference="l1_loss")).verdict == "diverges"
    assert {path.name for path in tmp_path.iterdir()} <= {"mine.py", "__pycache__"}


def test_a_recursion_without_end_is_an_exception_like_any_other() -> None:
    report = fuzz_target(f"{CRASHES}:recurses_when_large", QUICK)
    assert [finding.code for finding in report.findings] == ["LF406"]
    assert "RecursionError" in report.findings[0].message


def test_changed_settings_are_told_and_judge_nothing_else() -> None:
    report = fuzz_target(f"{CRASHES}:changes_settings", QUICK)
    assert [finding.code for finding in report.findings] == ["LF402"]
    for words in ("default dtype from torch.float32 to torch.float64", "number of threads", "seed of torch"):
        assert words in report.findings[0].message


def test_drawing_random_numbers_is_no_change_and_printing_is_only_told() -> None:
    assert fuzz_target(f"{CRASHES}:draws", QUICK).verdict == "conforms"
    told = fuzz_target(f"{CRASHES}:prints", QUICK)
    assert told.verdict == "conforms"
    assert any("prints at each call" in line for line in told.assumptions)


def test_judging_a_plain_loss_does_not_load_torchs_compiler() -> None:
    code = (
        "import sys\n"
        "from lossaudit.fuzz import fuzz_loss\n"
        "def loss(scores, labels):\n"
        "    return ((scores.exp() + 1).log() - scores * labels).mean()\n"
        "fuzz_loss(loss, max_examples=3)\n"
        "print('torch._dynamo' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "False"


def test_same_seed_same_report() -> None:
    target = f"{FIXTURES / 'mistakes' / 'cross_entropy.py'}:SharedVector"
    first, second = (json.dumps(asdict(fuzz_target(target, QUICK))) for _ in range(2))
    assert first == second


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("no_colon", "names no loss"),
        ("nowhere_at_all:Loss", "no module named nowhere_at_all"),
        ("fixtures/fuzz/crashes/crash.py:hangs", "did you mean fixtures/fuzz/crashes/crashes.py?"),
        (f"{CRASHES}:hang", "did you mean hangs"),
        (f"{CRASHES}:NeedsArguments", "temperature_schedule, depth"),
        (f"{CRASHES}:CRASHES", "has no attribute CRASHES"),
        ("json:JSONDecodeError", "needs the constructor arguments msg, doc, pos"),
        ("math:pi", "is a float"),
    ],
)
def test_bad_targets_teach(target: str, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    report = fuzz_target(target, QUICK)
    assert report.verdict == "error"
    assert report.error is not None
    assert words in report.error
    assert "Traceback" not in report.error


def test_importing_the_package_imports_neither_torch_nor_hypothesis() -> None:
    code = (
        "import sys, lossaudit.fuzz, lossaudit.fuzz.isolation\n"
        "print(sorted({'torch', 'numpy', 'hypothesis'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"
