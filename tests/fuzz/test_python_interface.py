"""Losses at hand: ``lossaudit.fuzz``, ``lossaudit.testing`` and the pytest plugin."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from conftest import ROOT
from torch import nn
from torch.nn import functional

import lossaudit
from lossaudit.cli import cli
from lossaudit.fuzz import FuzzOptions, TargetError, engine, fuzz_loss
from lossaudit.testing import assert_conforms

pytest_plugins = ["pytester"]
NOT_ALL_TRIED = "not every known mistake was tried"


def squared(prediction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return ((prediction - target) ** 2).mean()


def twice(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    return functional.cross_entropy(torch.softmax(logits, 1), labels)


def test_a_right_loss_conforms_and_leaves_no_trace() -> None:
    torch.manual_seed(3)
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    report = assert_conforms(nn.CrossEntropyLoss(label_smoothing=0.1), max_examples=5)
    assert report.reference is not None
    assert report.reference.parameters["label_smoothing"] == 0.1
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == threads


def test_a_wrong_loss_raises_with_the_report() -> None:
    with pytest.raises(AssertionError, match="softmax is applied twice") as raised:
        assert_conforms(twice, max_examples=5)
    assert "smallest input" in str(raised.value)
    assert "\x1b" not in str(raised.value)


def test_a_loss_that_was_compared_with_nothing_does_not_pass() -> None:
    def odd(prediction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return ((prediction - target).abs() ** 3.3).mean() + prediction.std(unbiased=False) ** 2

    with pytest.raises(AssertionError, match="compared with nothing"):
        assert_conforms(odd, max_examples=5)


def test_a_function_serves_as_the_reference() -> None:
    def other_form(prediction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return (prediction**2 - 2 * prediction * target + target**2).mean()

    assert_conforms(squared, reference=other_form, max_examples=5)
    with pytest.raises(AssertionError, match="LF101"):
        assert_conforms(lambda x, y: squared(x, y) * 1.01, reference=other_form, max_examples=5)


def test_a_loss_is_judged_even_if_recognising_it_took_all_the_time() -> None:
    report = fuzz_loss(twice, "cross_entropy", max_time=1e-6)
    assert report.verdict == "diverges"
    assert any(sentence.startswith("stopped after") for sentence in report.assumptions)


def test_what_a_loss_is_as_it_stands_is_found_whatever_that_takes() -> None:
    report = fuzz_loss(nn.CrossEntropyLoss(label_smoothing=0.1), max_time=1e-6)
    assert report.reference is not None
    assert report.reference.name == "cross_entropy"
    assert not any(NOT_ALL_TRIED in sentence for sentence in report.assumptions)


def test_mistakes_that_were_not_tried_in_time_are_told() -> None:
    report = fuzz_loss(twice, max_time=1e-6)
    assert report.reference is None
    assert any(NOT_ALL_TRIED in sentence for sentence in report.assumptions)
    again = fuzz_loss(twice, max_examples=1, max_time=60.0)
    assert again.reference is not None
    assert not any(NOT_ALL_TRIED in sentence for sentence in again.assumptions)


def test_a_loss_that_could_not_be_judged_in_time_does_not_conform(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "PANEL_SECONDS", 0.0)
    report = fuzz_loss(nn.CrossEntropyLoss(), max_time=1e-6)
    assert report.verdict == "error"
    assert report.error is not None
    assert "not enough time" in report.error


def test_the_short_name_is_the_same_function() -> None:
    report = lossaudit.fuzz(twice, max_examples=5)
    assert report == fuzz_loss(twice, max_examples=5)
    assert report.verdict == "diverges"
    assert lossaudit.fuzz.fuzz_loss is fuzz_loss


def test_a_named_reduction_is_promised_for_all_that_the_loss_runs_on() -> None:
    """Of a single row the sum over the last dimension is the sum, of several it is a part of it."""

    def by_rows(prediction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return (prediction - target).square().sum(-1).mean()

    report = fuzz_loss(by_rows, reference="mse_loss:reduction=sum", max_examples=5)
    assert [finding.code for finding in report.findings][:1] == ["LF101"]
    assert_conforms(nn.MSELoss(reduction="sum"), reference="mse_loss:reduction=sum", max_examples=5)
    with pytest.raises(TargetError, match="no reduction median"):
        fuzz_loss(by_rows, reference="mse_loss:reduction=median")


def test_what_cannot_be_done_is_said() -> None:
    with pytest.raises(TypeError, match="this is a int"):
        fuzz_loss(3)  # type: ignore[arg-type]
    with pytest.raises(TargetError, match="did you mean cross_entropy"):
        fuzz_loss(twice, reference="cross_entrop")


def test_importing_the_package_stays_light() -> None:
    code = (
        "import sys, lossaudit, lossaudit.testing, lossaudit.pytest_plugin\n"
        "print(sorted({'torch', 'numpy', 'hypothesis', 'libcst', 'rich'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    pytester.makepyprojecttoml(
        """
        [tool.pytest.ini_options]
        lossaudit_fuzz = true

        [tool.lossaudit.fuzz."losses:right"]
        max-examples = 5

        [tool.lossaudit.fuzz."losses:wrong"]
        max-examples = 5
        """
    )
    pytester.makepyfile(
        losses="""
        import torch
        from torch.nn import functional as F

        def right(logits, labels):
            return F.cross_entropy(logits, labels)

        def wrong(logits, labels):
            return F.cross_entropy(torch.softmax(logits, 1), labels)
        """,
        test_own="def test_own(): pass\n",
    )
    return pytester


def run(project: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    return project.runpytest_subprocess("-p", "lossaudit.pytest_plugin", *arguments, timeout=240)


def test_configured_targets_run_as_tests(project: pytest.Pytester) -> None:
    result = run(project, "-v")
    result.assert_outcomes(passed=2, failed=1)
    result.stdout.fnmatch_lines(["*lossaudit::losses:right PASSED*", "*lossaudit::losses:wrong FAILED*"])
    result.stdout.fnmatch_lines(["*softmax is applied twice*"])
    result.stdout.no_fnmatch_line("*Traceback*")


def test_they_stay_away_where_they_are_not_wanted(project: pytest.Pytester) -> None:
    run(project, "test_own.py").assert_outcomes(passed=1)
    run(project, "-m", "not lossaudit").assert_outcomes(passed=1, deselected=2)
    path = Path(project.path) / "pyproject.toml"
    path.write_text(path.read_text(encoding="utf-8").replace("lossaudit_fuzz = true", ""), encoding="utf-8")
    run(project).assert_outcomes(passed=1)
    run(project, "--lossaudit", "test_own.py", "-k", "own or right").assert_outcomes(passed=2, deselected=1)


def test_a_broken_configuration_is_one_line(project: pytest.Pytester) -> None:
    (Path(project.path) / "pyproject.toml").write_text("[tool.lossaudit]\nfuz = 1\n", encoding="utf-8")
    result = run(project, "--lossaudit")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*unknown key `fuz`*"])


def test_the_defaults_are_told_as_they_are() -> None:
    options = FuzzOptions()
    shown = " ".join(CliRunner().invoke(cli, ["fuzz", "--help"], terminal_width=200).output.split())
    documented = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    for text in (shown, documented):
        assert f"; {options.max_examples} by default" in text
        assert f"imports not counted; {options.max_time:g} by default" in text
