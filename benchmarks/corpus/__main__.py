"""Check pinned releases of real packages and compare the findings with the reviewed table.

    python -m benchmarks.corpus                 # every package of packages.txt
    python -m benchmarks.corpus lightly timm    # some of them

Wheels are downloaded with pip into ``--store`` (kept between runs) and unpacked, never installed: nothing of them is run.
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
import time
import zipfile
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

HERE = Path(__file__).parent
TABLE = HERE / "findings.csv"
PACKAGES = HERE / "packages.txt"
VERDICTS = ("true", "false", "debatable", "missed")
"""``missed`` is a defect that a reader found in the code and ``check`` does not report."""
_PLATFORM = (
    "--only-binary=:all:",
    "--python-version=3.11",
    "--implementation=cp",
    "--platform=manylinux_2_28_x86_64",
)

Key = tuple[str, str, int, str]


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table."""

    package: str
    version: str
    path: str
    row: int
    code: str
    verdict: str
    reasoning: str

    @property
    def key(self) -> Key:
        """What makes two findings the same."""
        return self.package, self.path, self.row, self.code


@dataclass(frozen=True, slots=True)
class Outcome:
    """What checking one package gave: its findings, and whether the run ended in time."""

    package: str
    found: tuple[tuple[Key, str], ...]
    seconds: float
    state: Literal["done", "timed out", "failed"]


def read_table(path: Path = TABLE) -> list[Row]:
    """The reviewed findings."""
    with path.open(encoding="utf-8", newline="") as file:
        return [Row(**{**line, "row": int(line["row"])}) for line in csv.DictReader(file)]  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class Pin:
    """A release, and the parts of it that are checked; what they import is followed anyway."""

    version: str
    parts: tuple[str, ...]


def read_packages(path: Path = PACKAGES) -> dict[str, Pin]:
    """The pinned releases: ``name==version``, then folders or files if not all of it is checked."""
    pins = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        words = line.split("#")[0].split()
        if words:
            name, _, version = words[0].partition("==")
            pins[name] = Pin(version, tuple(words[1:]) or (".",))
    return pins


def unpacked(package: str, version: str, store: Path) -> Path:
    """The folder that holds the package's wheel, downloaded where it is not there yet."""
    folder = store / f"{package}-{version}"
    if not folder.exists():
        wheels = store / "wheels"
        wheels.mkdir(parents=True, exist_ok=True)
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", *_PLATFORM]
        subprocess.run([*pip, f"--dest={wheels}", f"{package}=={version}"], check=True)
        stem = package.replace("-", "_").lower()
        (wheel,) = (one for one in wheels.glob("*.whl") if one.name.lower().startswith(f"{stem}-{version}-"))
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(folder, [name for name in archive.namelist() if name.endswith(".py")])
    return folder


def check(package: str, folder: Path, parts: tuple[str, ...], limit: float) -> Outcome:
    """Run ``check`` over parts of an unpacked package, in a process of its own."""
    command = [sys.executable, "-m", "lossaudit", "check", *parts, "--isolated", "--output-format", "json"]
    start = time.perf_counter()
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=limit, check=False)
    except subprocess.TimeoutExpired:
        return Outcome(package, (), limit, "timed out")
    seconds = time.perf_counter() - start
    if (
        done.returncode not in (0, 1) or not done.stdout
    ):  # an interpreter that does not find the package says 1, too
        return Outcome(package, (), seconds, "failed")
    found = {}
    for one in json.loads(done.stdout):
        path = Path(one["filename"]).as_posix()
        found[package, path, one["location"]["row"], one["code"]] = one["message"]
    return Outcome(package, tuple(found.items()), seconds, "done")


def compare(outcome: Outcome, table: Iterable[Row]) -> tuple[list[str], list[str], list[str]]:
    """New findings, vanished ones, and missed ones that are found now, as lines to read."""
    known = {row.key: row for row in table if row.package == outcome.package}
    new = [f"{_where(key)} {message}" for key, message in outcome.found if key not in known]
    found = {key for key, _ in outcome.found}
    vanished = [
        f"{_where(key)} was {row.verdict}: {row.reasoning}"
        for key, row in known.items()
        if key not in found and row.verdict != "missed"
    ]
    caught = [_where(key) for key, row in known.items() if key in found and row.verdict == "missed"]
    return new, vanished, caught


def _where(key: Key) -> str:
    package, path, row, code = key
    return f"{package}: {path}:{row} {code}"


def summary(table: Iterable[Row]) -> str:
    """The verdicts counted by code, as a Markdown table."""
    counts: dict[str, Counter[str]] = {}
    for row in table:
        counts.setdefault(row.code, Counter())[row.verdict] += 1
    total = sum(counts.values(), Counter[str]())
    lines = ["| code | " + " | ".join(VERDICTS) + " |", "|---|" + "---|" * len(VERDICTS)]
    for code, count in [*sorted(counts.items()), ("all", total)]:
        lines.append(f"| {code} | " + " | ".join(str(count[verdict]) for verdict in VERDICTS) + " |")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """Check the packages; exit code 1 where the findings are not those of the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.corpus", description=__doc__)
    parser.add_argument("packages", nargs="*", help="names of packages.txt; all of them if none is given")
    parser.add_argument("--store", type=Path, default=Path(".corpus"), help="where wheels are kept")
    parser.add_argument("--limit", type=float, default=900, help="seconds for one package")
    parser.add_argument("--summary", action="store_true", help="only count the verdicts of the table")
    options = parser.parse_args(arguments)
    table = read_table()
    if options.summary:
        print(summary(table))
        return 0
    pinned = read_packages()
    unknown = set(options.packages) - set(pinned)
    if unknown:
        parser.error(f"not in packages.txt: {', '.join(sorted(unknown))}")
    differs = False
    for package in options.packages or pinned:
        pin = pinned[package]
        outcome = check(package, unpacked(package, pin.version, options.store), pin.parts, options.limit)
        print(
            f"{package} {pin.version}: {len(outcome.found)} findings, {outcome.seconds:.0f} s, {outcome.state}"
        )
        if outcome.state != "done":
            differs = True
            continue
        for title, lines in zip(
            ("new", "vanished", "no longer missed"), compare(outcome, table), strict=True
        ):
            differs = differs or bool(lines)
            for line in lines:
                print(f"  {title}: {line}")
    return int(differs)


if __name__ == "__main__":
    raise SystemExit(main())
