"""Fuzz published loss packages at pinned versions, and compare the verdicts with those that were reviewed by hand.

    python benchmarks/published/run.py [PACKAGE ...]
    python benchmarks/published/run.py --table

Each release is installed (without its dependencies, but with what ``needs`` names) into a temporary folder and its ``places``
are fuzzed by name. ``alone`` is a folder of a package that is copied out and fuzzed by itself, because the package's own
``__init__`` imports its models. A verdict that differs from ``reviewed.json`` is printed and ends the run with 1: either the tool
has changed its mind, and the row must be judged again, or a defect has come back. A loss that has no row was not reviewed.
``--table`` runs nothing and prints the rows as the README shows them.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
SECONDS = 60
"""The time for one loss: enough for a verdict on a machine that does something else besides."""


def main() -> int:
    """Run the packages that are named, or all; the exit code."""
    reviewed = json.loads((HERE / "reviewed.json").read_text(encoding="utf-8"))
    if sys.argv[1:] == ["--table"]:
        print("\n".join(_table(reviewed)))
        return 0
    wanted = sys.argv[1:] or list(reviewed)
    return max(_package(name, reviewed[name]) for name in wanted)


def _table(reviewed: dict[str, Any]) -> list[str]:
    """The rows as a Markdown table, a package named once."""
    lines = ["| package | loss | verdict | judged |", "|---|---|---|---|"]
    for package, review in reviewed.items():
        shown = f"{package} {review['version']}"
        for target, row in review["losses"].items():
            name, verdict = target.rpartition(":")[2], row["verdict"]
            for reference in (" to ", " from "):
                head, word, tail = verdict.partition(reference)
                parts = tail.split(": ", 1)
                verdict = f"{head}{word}`{parts[0]}`{': '.join(['', *parts[1:]])}" if word else verdict
            lines.append(f"| {shown} | `{name}` | {verdict} | {row['judged']} |")
            shown = ""
    return lines


def _package(name: str, review: dict[str, Any]) -> int:
    print(f"{name} {review['version']}")
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="lossaudit-published-") as folder:
        release = f"{name}=={review['version']}"
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--disable-pip-version-check"]
        site, work = Path(folder, "site"), Path(folder, "work")
        work.mkdir()
        subprocess.run([*pip, "--target", str(site), release, *review.get("needs", ())], check=True)
        if "alone" in review:
            shutil.copytree(site / review["alone"], work / review["places"][0])
        reports = _fuzz(site, work, review["places"])
    print(f"  {len(reports)} losses in {time.monotonic() - started:.0f} s, installation included")
    differ = 0
    for report in reports:
        verdict, row = _verdict(report), review["losses"].get(report["target"])
        if row is None:
            print(f"  {report['target']}: {verdict} (not reviewed)")
        elif row["verdict"] != verdict:
            differ = 1
            print(f"  {report['target']}: {verdict}, REVIEWED AS {row['verdict']}")
        else:
            print(f"  {report['target']}: {verdict} ({row['judged']})")
    return differ


def _fuzz(site: Path, work: Path, places: list[str]) -> list[dict[str, Any]]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(site)])}
    command = [sys.executable, "-m", "lossaudit", "fuzz", "--isolated", *places, "--output-format", "json"]
    command += ["--max-time", str(SECONDS)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment, cwd=work)
    reports: list[dict[str, Any]] = json.loads(done.stdout)
    return reports


def _verdict(report: dict[str, Any]) -> str:
    """``conforms to NAME``, ``diverges from NAME: CODES``, ``no finding`` or ``error``."""
    reference = report["reference"]
    if report["verdict"] == "error":
        return "error"
    if report["verdict"] == "conforms":
        return "no finding" if reference is None else f"conforms to {reference['name']}"
    codes = ", ".join(dict.fromkeys(finding["code"] for finding in report["findings"]))
    return f"diverges: {codes}" if reference is None else f"diverges from {reference['name']}: {codes}"


if __name__ == "__main__":
    sys.exit(main())
