"""What ``lossaudit check`` costs, side by side with other linters on pinned releases of real packages.

    python -m benchmarks.check_speed                          # everything; prints the tables
    python -m benchmarks.check_speed mmdet --rounds 5         # some packages
    python -m benchmarks.check_speed --write                  # also into benchmarks/README.md

Each round runs every command once, one after the other, so that what else the machine does meets all of them. The medians are
compared; the spread is the smallest and the largest. Wall time is what a user waits for; processor time (of all processes of a
command) is what matters where the machine is shared. Memory is the largest resident size of any one process of the command.
The other tools are installed with pip into an environment of their own, packages are downloaded and never installed or run.
"""

from __future__ import annotations

import argparse
import compileall
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path

from benchmarks.corpus.__main__ import unpacked
from lossaudit.check.contracts import load_contracts
from lossaudit.check.select import worth_parsing

ROOT = Path(__file__).resolve().parents[1]
STORE = ROOT / ".lossaudit" / "bench"
README = Path(__file__).parent / "README.md"
PINS = {"mmdet": "3.3.0", "monai": "1.6.1", "transformers": "5.23.0"}
TOOLS = ("torchfix==0.7.0", "torch-preflight==0.5.0")
LIMIT = 900
"""Seconds after which a command is stopped."""
MARK = "<!-- measured: what stands below is written by `python -m benchmarks.check_speed --write` -->\n"


@dataclass(frozen=True, slots=True)
class Cost:
    """One run: seconds on the wall, seconds of all processors, megabytes of the largest process."""

    wall: float
    cpu: float
    memory: float


@dataclass(slots=True)
class Contender:
    """A command, what has to be done before each run of it, and what its runs cost."""

    name: str
    command: Sequence[str]
    prepare: Callable[[], object] = field(default=lambda: None)
    costs: list[Cost] = field(default_factory=list)
    stopped: bool = False

    def run(self, folder: Path) -> None:
        """Run it once in ``folder``; one that took too long is not run again."""
        if self.stopped:
            return
        self.prepare()
        cost = measure(self.command, folder)
        self.stopped = cost is None
        if cost is not None:
            self.costs.append(cost)

    def median(self, what: str) -> float:
        """The median of one kind of cost."""
        return statistics.median(getattr(cost, what) for cost in self.costs)


_ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"} | {
    "PYTHONPATH": str(ROOT)
}


def measure(command: Sequence[str], folder: Path) -> Cost | None:
    """What one command costs; None if it does not end in time."""
    start = time.perf_counter()
    with subprocess.Popen(
        command,
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=_ENVIRONMENT,
    ) as process:
        while True:
            pid, _, usage = os.wait4(process.pid, os.WNOHANG)
            wall = time.perf_counter() - start
            if pid:
                process.returncode = 0  # it is reaped
                return Cost(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)
            if wall > LIMIT:
                process.kill()
                return None
            time.sleep(0.002)


def tools() -> Path:
    """The folder of programs of an environment that holds the other tools."""
    folder = STORE / "tools"
    programs = folder / "bin"
    if not (programs / "torch-preflight").exists():
        venv.create(folder, with_pip=True, clear=True)
        subprocess.run([programs / "python", "-m", "pip", "install", "--quiet", *TOOLS], check=True)
    return programs


def contenders(tree: Path, cache: Path) -> list[Contender]:
    """Everything that is run over one tree."""
    programs = tools()
    ours = [sys.executable, "-m", "lossaudit", "check", ".", "--isolated", "--exit-zero"]
    with_cache = [*ours, "--cache-dir", str(cache)]
    ruff = [
        sys.executable,
        "-m",
        "ruff",
        "check",
        ".",
        "--select",
        "ALL",
        "--no-cache",
        "--isolated",
        "--quiet",
        "--exit-zero",
    ]
    leaf, shared = changed_files(tree)
    return [
        Contender("ruff, all rules, no cache", ruff),
        Contender("lossaudit, cold", [*ours, "--no-cache"]),
        Contender("lossaudit, cold, one process", [*ours, "--no-cache", "--jobs", "1"]),
        Contender("lossaudit, warm", with_cache, lambda: measure(with_cache, tree)),
        Contender("lossaudit, a file changed", with_cache, lambda: _touch(leaf)),
        Contender("lossaudit, a file changed that many import", with_cache, lambda: _touch(shared)),
        Contender("TorchFix 0.7.0", [str(programs / "torchfix"), "--select=ALL", "."]),
        Contender("torch-preflight 0.5.0", [str(programs / "torch-preflight"), "check", "."]),
    ]


def changed_files(tree: Path) -> tuple[Path, Path]:
    """A file with loss code that no other imports by its name, and the one that most files mention."""
    sources = {path: path.read_bytes() for path in sorted(tree.rglob("*.py"))}
    losses = worth_parsing(sources, load_contracts().vocabulary())
    named = {path: sum(path.stem.encode() in source for source in sources.values()) for path in losses}
    plain = [path for path in losses if path.stem != "__init__"]
    return min(plain, key=lambda path: named[path]), max(plain, key=lambda path: named[path])


def _touch(path: Path) -> None:
    """Change a file: its last line is a new constant."""
    text = path.read_text(encoding="utf-8").split("\n_MEASURED = ")[0].rstrip("\n")
    path.write_text(f"{text}\n_MEASURED = {time.time_ns()}\n", encoding="utf-8")


def copy_of(package: str, target: Path) -> Path:
    """A copy of a package that may be changed."""
    return Path(shutil.copytree(unpacked(package, PINS[package], STORE), target / package))


def table(rows: Iterable[Contender], against: str) -> list[str]:
    """The contenders as a Markdown table."""
    rows = list(rows)
    base = next(one for one in rows if one.name == against)
    lines = [
        "| | wall s (spread) | CPU s (spread) | wall, of ruff's | CPU, of ruff's | MB |",
        "|---|---|---|---|---|---|",
    ]
    for one in rows:
        if not one.costs:
            lines.append(f"| {one.name} | more than {LIMIT} | | | | |")
            continue
        cells = [_spread(one, "wall"), _spread(one, "cpu")]
        cells += (
            [f"{one.median(what) / base.median(what):.2f}" for what in ("wall", "cpu")]
            if base.costs
            else ["", ""]
        )
        lines.append(f"| {one.name} | {' | '.join(cells)} | {one.median('memory'):.0f} |")
    return lines


def chart(package: str, rows: Iterable[Contender]) -> list[str]:
    """The wall times as a chart, which the pages of most hosts of repositories draw."""
    measured = [one for one in rows if one.costs]
    names = ", ".join(f'"{one.name}"' for one in measured)
    seconds = ", ".join(f"{one.median('wall'):.2f}" for one in measured)
    return [
        "```mermaid",
        "xychart-beta horizontal",
        f'    title "{package} {PINS[package]}: seconds of wall time"',
        f"    x-axis [{names}]",
        f"    bar [{seconds}]",
        "```",
    ]


def _spread(one: Contender, what: str) -> str:
    values = [getattr(cost, what) for cost in one.costs]
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def package_report(package: str, rounds: int) -> list[str]:
    """One package under all tools."""
    with tempfile.TemporaryDirectory() as folder:
        tree = copy_of(package, Path(folder))
        files = list(tree.rglob("*.py"))
        size = sum(path.stat().st_size for path in files) / 1e6
        rows = contenders(tree, Path(folder) / "cache")
        for _ in range(rounds):
            for one in rows:
                one.run(tree)
    return [
        f"### {package} {PINS[package]}: {len(files)} files, {size:.1f} MB",
        "",
        *table(rows, rows[0].name),
        "",
        *chart(package, rows),
        "",
    ]


def start_up_report(rounds: int) -> list[str]:
    """What it takes before anything is analysed."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "one.py").write_text(
            "import torch.nn.functional as F\n\n\ndef loss(x, y):\n    return F.cross_entropy(x, y)\n"
        )
        python, ours = [sys.executable, "-c"], [sys.executable, "-m", "lossaudit"]
        rows = [
            Contender("import click", [*python, "import click"]),
            Contender("lossaudit --version", [*ours, "--version"]),
            Contender("lossaudit --help", [*ours, "--help"]),
            Contender("import libcst, click", [*python, "import libcst, click"]),
            Contender("check one small file", [*ours, "check", "one.py", "--isolated", "--no-cache"]),
        ]
        for _ in range(rounds * 3):
            for one in rows:
                one.run(Path(folder))
    lines = ["### Start-up", "", "| | CPU ms (spread) | ratio |", "|---|---|---|"]
    for one in rows:
        base = rows[0] if one in rows[:3] else rows[3]
        values = sorted(cost.cpu * 1000 for cost in one.costs)
        ratio = f"{one.median('cpu') / base.median('cpu'):.2f} of `{base.name}`"
        lines.append(
            f"| {one.name} | {statistics.median(values):.0f} ({values[0]:.0f} to {values[-1]:.0f}) | {ratio} |"
        )
    return [*lines, ""]


def growth_report(rounds: int) -> list[str]:
    """Copies of one folder of losses, and of files without any, each copy a package of its own."""
    source = unpacked("monai", PINS["monai"], STORE) / "monai"
    every = {path: path.read_bytes() for path in sorted(source.rglob("*.py"))}
    relevant = set(worth_parsing(every, load_contracts().vocabulary()))
    with_losses = sorted((source / "losses").glob("*.py"))
    without = [path for path in every if path not in relevant]
    lines = ["### Growth (one process, CPU seconds)", "", "| | 1x | 2x | 4x | 8x |", "|---|---|---|---|---|"]
    for name, files in (
        (f"{len(with_losses)} files of losses", with_losses),
        (f"{len(without)} files without", without),
    ):
        cells = []
        for times in (1, 2, 4, 8):
            with tempfile.TemporaryDirectory() as folder:
                for number in range(times):
                    for path in files:
                        copy = Path(folder) / f"copy{number}" / path.relative_to(source)
                        copy.parent.mkdir(parents=True, exist_ok=True)
                        copy.write_bytes(every[path])
                ours = [
                    sys.executable,
                    "-m",
                    "lossaudit",
                    "check",
                    ".",
                    "--isolated",
                    "--no-cache",
                    "--exit-zero",
                    "--jobs",
                    "1",
                ]
                one = Contender(name, ours)
                for _ in range(rounds):
                    one.run(Path(folder))
                cells.append(f"{one.median('cpu'):.2f}")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return [*lines, ""]


def machine() -> str:
    """Where and when it was measured."""
    load = " ".join(f"{one:.1f}" for one in os.getloadavg())
    return f"{datetime.now(timezone.utc).date().isoformat()}, {os.cpu_count()} cores ({platform.machine()}), Python {platform.python_version()}, load at the start {load}"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("packages", nargs="*", choices=[*PINS, []], help="default: all of them")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--write", action="store_true", help="replace the measured part of benchmarks/README.md"
    )
    options = parser.parse_args()
    compileall.compile_dir(ROOT / "lossaudit", quiet=1)  # as pip does where it installs a package
    lines = [f"Measured {machine()}, {options.rounds} rounds.", ""]
    reports = [lambda: start_up_report(options.rounds), lambda: growth_report(options.rounds)]
    reports += [lambda name=name: package_report(name, options.rounds) for name in options.packages or PINS]  # type: ignore[misc]
    for report in reports:
        part = report()
        print("\n".join(part), flush=True)
        lines += part
    if options.write:
        kept = README.read_text(encoding="utf-8").split(MARK)[0]
        README.write_text(kept + MARK + "\n" + "\n".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
