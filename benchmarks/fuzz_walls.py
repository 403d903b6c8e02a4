"""How long a verdict on one loss takes with the default options: each a process of its own, the import of torch included.

Wall time of ``lossaudit fuzz TARGET``, one after the other (``--jobs 2``: two at a time), with how many times the loss was
evaluated and whether ``--max-time`` cut anything short. Without targets, all losses that are planted in the fixtures.

    python benchmarks/fuzz_walls.py [--jobs N] [TARGET ...]
"""

from __future__ import annotations

import argparse
import ast
import compileall
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PLANTED = ROOT / "fixtures" / "fuzz" / "mistakes"
LIMIT = 10.0


@dataclass(frozen=True, slots=True)
class Wall:
    """The run of one target."""

    target: str
    seconds: float
    report: dict[str, Any] | None

    def __str__(self) -> str:
        if self.report is None:
            return f"{self.seconds:6.1f}  {self.target}: no report"
        reference = "-" if self.report["reference"] is None else self.report["reference"]["name"]
        codes = ", ".join(dict.fromkeys(finding["code"] for finding in self.report["findings"]))
        evaluations = self.report["statistics"].get("examples", 0)
        cut = ", cut short" if any("--max-time" in told for told in self.report["assumptions"]) else ""
        said = " ".join(filter(None, [self.report["verdict"], reference, codes]))
        return f"{self.seconds:6.1f}  {self.target}: {said} ({evaluations} evaluations{cut})"


def main() -> None:
    """Print a line for each loss, then the quantiles."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("targets", nargs="*", metavar="TARGET")
    parser.add_argument("--jobs", type=int, default=1)
    options = parser.parse_args()
    compileall.compile_dir(ROOT / "lossaudit", quiet=1)  # as pip does where it installs a package
    walls = []
    with ThreadPoolExecutor(options.jobs) as threads:
        for wall in threads.map(measure, options.targets or planted()):
            walls.append(wall)
            print(wall, flush=True)
    seconds = sorted(wall.seconds for wall in walls)
    nine = seconds[int(0.9 * (len(seconds) - 1))]
    above = sum(second > LIMIT for second in seconds)
    print(
        f"{len(seconds)} losses: median {statistics.median(seconds):.1f} s, nine in ten {nine:.1f} s, ",
        end="",
    )
    print(f"at most {seconds[-1]:.1f} s; {above} took more than {LIMIT:g} s")


def planted() -> list[str]:
    """The public losses of the fixtures that are wrong."""
    return [
        f"{path}:{node.name}"
        for path in sorted(PLANTED.glob("*.py"))
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_")
    ]


def measure(target: str) -> Wall:
    """Run one target, in a folder in which it leaves nothing."""
    places = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(places)}
    command = [sys.executable, "-m", "lossaudit", "fuzz", target, "--output-format", "json"]
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        done = subprocess.run(
            command, check=False, capture_output=True, text=True, env=environment, cwd=folder
        )
        seconds = time.perf_counter() - started
    try:
        return Wall(target, seconds, json.loads(done.stdout)[0])
    except (ValueError, IndexError):
        return Wall(target, seconds, None)


if __name__ == "__main__":
    main()
