"""The static half and the start of the program stay light: measured on ``sys.modules`` of a real process."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.marks import FIXTURES, ROOT

DYNAMIC = {"torch", "numpy", "hypothesis"}
HEAVY = {"libcst", "yaml", "rich", "msgspec", "pathspec", *DYNAMIC}


def modules_after(code: str) -> set[str]:
    script = f"import sys\n{code}\nprint('modules', *sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return {name.partition(".")[0] for name in done.stdout.splitlines()[-1].split()[1:]}


@pytest.mark.parametrize("args", ["--version", "--help", "check --help", "fuzz --help"])
def test_start_up_imports_nothing_heavy(args: str) -> None:
    run = f"from lossaudit.cli import cli\ncli.main({args.split()!r}, standalone_mode=False)"
    assert modules_after(run) & HEAVY == set()


def test_check_imports_no_torch_numpy_or_hypothesis() -> None:
    path = str(FIXTURES / "demo")
    run = (
        "from lossaudit.cli import cli\n"
        "try:\n"
        f"    cli.main(['check', {path!r}], standalone_mode=False)\n"
        "except SystemExit as end:\n"
        "    assert end.code == 1, end.code"
    )
    assert modules_after(run) & DYNAMIC == set()


def test_rules_imports_no_torch() -> None:
    assert (
        modules_after("from lossaudit.cli import cli\ncli.main(['rules'], standalone_mode=False)") & DYNAMIC
        == set()
    )
