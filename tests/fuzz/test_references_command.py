"""``lossaudit references``, and packages that add their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from conftest import ROOT


def run(*arguments: str, path: str = "") -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), path]))}
    command = [sys.executable, "-m", "lossaudit", *arguments]
    return subprocess.run(command, check=False, capture_output=True, text=True, env=environment, timeout=120)


def test_the_list_names_every_reference_once() -> None:
    from lossaudit.fuzz.references import all_references

    entries = json.loads(run("references", "--output-format", "json").stdout)
    assert [entry["name"] for entry in entries] == sorted(all_references())
    text = run("references").stdout
    assert all(entry["name"] in text for entry in entries)


def test_one_reference_is_shown_with_all_that_is_known_of_it() -> None:
    done = run("references", "sigmoid_focal_loss")
    assert done.returncode == 0
    for words in (
        "(1 - p_t)^gamma",
        "1708.02002",
        "gamma (number, 0 to 20), neutral 0.0",
        "labels between 0 and 1",
        "mean",
    ):
        assert words in done.stdout, words
    entry = json.loads(run("references", "sigmoid_focal_loss", "--output-format", "json").stdout)
    assert [parameter["name"] for parameter in entry["parameters"]] == ["gamma", "alpha", "focus_gradient"]


def test_a_typo_is_answered_with_the_closest_names() -> None:
    done = run("references", "cross-entropi")
    assert done.returncode == 2
    assert "did you mean" in done.stderr
    assert "cross_entropy" in done.stderr


def test_without_torch_it_says_how_to_get_it(tmp_path: Path) -> None:
    code = (
        "import importlib.util, sys\n"
        "real = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name, *rest: None if name == 'torch' else real(name, *rest)\n"
        "sys.argv = ['lossaudit', 'references']\n"
        "from lossaudit.cli import main\nmain()\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code], check=False, capture_output=True, text=True, env=environment, timeout=60
    )
    assert done.returncode == 2
    assert "pip install 'lossaudit[fuzz]'" in done.stderr
    assert "Traceback" not in done.stderr


PROJECT = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "extra-losses"
version = "1.0"

[project.entry-points."lossaudit.references"]
extra = "extra_losses:ENTRY"

[tool.hatch.build.targets.wheel]
include = ["extra_losses.py"]
"""
MODULE = """
from lossaudit.fuzz.model import ReferenceSpec, Terms
import torch


def quartic(prediction, target, params):
    losses = (prediction - target) ** 4
    return Terms(losses, torch.ones_like(losses))


REFERENCES = (
    ReferenceSpec(
        name="quartic_error",
        summary="(x - y)^4",
        source="the manual of extra-losses",
        spaces=("scores-labels",),
        formula=quartic,
    ),
)
"""


@pytest.fixture
def install(tmp_path: Path):
    def at(entry: str) -> str:
        """Build a wheel of a distribution with that entry point, and install it into a folder of its own."""
        project, site = tmp_path / "project", tmp_path / "site"
        project.mkdir()
        (project / "pyproject.toml").write_text(PROJECT.replace("ENTRY", entry), encoding="utf-8")
        (project / "extra_losses.py").write_text(textwrap.dedent(MODULE), encoding="utf-8")
        subprocess.run(
            [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index",
             "--disable-pip-version-check", "--target", str(site), str(project)],
            check=True, capture_output=True, timeout=120,
        )  # fmt: skip
        return str(site)

    return at


@pytest.mark.installs
def test_an_installed_package_adds_its_references(install, tmp_path: Path) -> None:
    site = install("REFERENCES")
    assert "quartic_error" in run("references", path=site).stdout
    (tmp_path / "losses.py").write_text(
        "def fourth(scores, labels):\n    return ((scores - labels) ** 4).mean()\n", encoding="utf-8"
    )
    done = run("fuzz", "--isolated", f"{tmp_path}/losses.py:fourth", "--output-format", "json", path=site)
    (report,) = json.loads(done.stdout)
    assert report["verdict"] == "conforms", report
    assert report["reference"]["name"] == "quartic_error"


@pytest.mark.installs
def test_a_package_that_cannot_be_loaded_is_named(install) -> None:
    done = run("references", path=install("NOT_THERE"))
    assert done.returncode == 2
    assert "extra-losses" in done.stderr
    assert "Traceback" not in done.stderr
