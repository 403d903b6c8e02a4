"""What the wheel holds, and that it works where nothing but its base dependencies is installed."""

from __future__ import annotations

import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

from tests.marks import FIXTURES, ROOT

pytestmark = pytest.mark.installs


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--outdir", str(out), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    return next(out.glob("*.whl"))


def test_the_wheel_holds_the_rulebook_and_the_type_marker(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    pages = {f"lossaudit/_rules/{page.name}" for page in (ROOT / "rules").glob("*.md")}
    assert pages <= names
    assert "lossaudit/py.typed" in names
    assert not [name for name in names if name.startswith(("tests/", "fixtures/"))]


def test_the_base_install_checks_without_torch(wheel: Path, tmp_path: Path) -> None:
    home = tmp_path / "venv"
    venv.create(home, with_pip=True)
    python = home / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    constraints = ["--constraint", str(ROOT / "constraints.txt")]
    subprocess.run(
        [python, "-m", "pip", "install", "--quiet", *constraints, str(wheel)], check=True, cwd=tmp_path
    )
    missing = (
        "import importlib.util as u; print([m for m in ('torch', 'numpy', 'hypothesis') if u.find_spec(m)])"
    )
    assert (
        subprocess.run([python, "-c", missing], capture_output=True, text=True, check=True).stdout == "[]\n"
    )

    command = [python, "-m", "lossaudit"]
    demo = subprocess.run(
        [*command, "check", str(FIXTURES / "demo")], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (demo.returncode, "LA101" in demo.stdout) == (1, True), demo.stderr
    rule = subprocess.run(
        [*command, "rule", "LA101"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (rule.returncode, "LA101" in rule.stdout) == (0, True), rule.stderr
    fuzz = subprocess.run(
        [*command, "fuzz", "losses:Loss"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert fuzz.returncode == 2
    assert "lossaudit[fuzz]" in fuzz.stdout + fuzz.stderr
    assert "Traceback" not in fuzz.stderr
