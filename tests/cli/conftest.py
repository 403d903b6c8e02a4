"""The real command in a process of its own, in an empty folder."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.marks import ROOT

Lossaudit = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def lossaudit(tmp_path: Path) -> Lossaudit:
    """Run ``lossaudit ARGS`` in ``tmp_path``; stdout, stderr and exit code are kept apart."""

    def run(*args: str, cwd: Path | None = None, **env: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8", **env}
        return subprocess.run(
            [sys.executable, "-m", "lossaudit", *args],
            cwd=cwd or tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=600,
            check=False,
        )

    return run
