"""Whoever analyses a file, and after whichever other files: the same is found."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from lossaudit.check import CheckOptions, CheckResult, check_files
from lossaudit.check.executors import portions
from lossaudit.check.plan import plan
from lossaudit.check.units import Task, Workshop, with_deep_stack
from lossaudit.crews import ExecutorError
from lossaudit.report.json import render_check
from lossaudit.rulebook import load_rules
from tests.marks import FIXTURES

RULES = frozenset(code for code in load_rules() if code.startswith("LA"))
PROGRAMS = sorted((FIXTURES / "programs").rglob("*.py"))


@pytest.fixture(scope="module")
def serial() -> CheckResult:
    """What one process finds in the programs."""
    return check_files(PROGRAMS, CheckOptions(select=RULES))


def test_processes_find_what_one_process_finds(serial: CheckResult) -> None:
    assert serial.findings
    parallel = check_files(PROGRAMS, CheckOptions(select=RULES, jobs=3))
    assert parallel == serial
    assert render_check(parallel.findings) == render_check(serial.findings)


def test_a_unit_does_not_depend_on_those_before_it() -> None:
    sources = {path: path.read_bytes() for path in PROGRAMS}
    setup, tasks = plan({path: str(path) for path in PROGRAMS}, sources, CheckOptions(select=RULES))
    together = with_deep_stack(lambda: Workshop(setup).batch(tasks)).reports
    order = random.Random(7).sample(range(len(tasks)), len(tasks))  # noqa: S311
    shuffled = with_deep_stack(lambda: Workshop(setup).batch([tasks[place] for place in order])).reports
    assert [together[place] for place in order] == list(shuffled)
    alone = [with_deep_stack(lambda one=task: Workshop(setup).report(one)) for task in tasks[:20]]
    assert alone == list(together[:20])


def test_portions_are_neighbours_of_about_equal_size() -> None:
    tasks = [
        Task(Path(f"{number}.py"), is_analysed=True, size=size)
        for number, size in enumerate([9, 1, 1, 1, 9, 9, 3, 3, 3])
    ]
    chunks = portions(tasks, 4)
    assert [task for chunk in chunks for task in chunk] == tasks
    assert [sum(task.size for task in chunk) for chunk in chunks] == [10, 11, 12, 6]


# Workers that are lost: in a process of its own that can be forked, so that its workers know what was patched --------

LOSING = """
    import os
    from pathlib import Path
    from lossaudit.check import CheckOptions, check_files, executors, units

    executors.LITTLE = 0
    folder = Path({folder!r})
    original, me = units.Workshop.report, os.getpid()

    def report(self, task):
        if task.path.name == "m3.py" and {condition}:
            assert os.getpid() != me
            (folder / "lost").touch()
            os._exit(9)
        return original(self, task)

    units.Workshop.report = report
    result = check_files(sorted(folder.glob("m*.py")), CheckOptions(jobs=2))
    for finding in result.findings:
        print(finding.code, Path(finding.span.filename).name, finding.message[:40], sep="|")
"""
WRONG = "import torch.nn.functional as F\n\n\ndef step(x, y):\n    return F.cross_entropy(x.softmax(1), y)\n"


def losing(folder: Path, condition: str) -> list[str]:
    for number in range(6):
        (folder / f"m{number}.py").write_text(WRONG)
    script = textwrap.dedent(LOSING.format(folder=str(folder), condition=condition))
    run = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=120
    )
    return run.stdout.splitlines()


def test_what_a_lost_process_had_is_done_by_another(tmp_path: Path) -> None:
    found = losing(tmp_path, 'not (folder / "lost").exists()')
    assert (tmp_path / "lost").exists()
    assert [line.split("|")[:2] for line in found] == [["LA101", f"m{number}.py"] for number in range(6)]


def test_a_file_that_ends_every_process_hides_no_other(tmp_path: Path) -> None:
    found = [line.split("|") for line in losing(tmp_path, "True")]
    assert [line[:2] for line in found if line[0] == "LA101"] == [
        ["LA101", f"m{number}.py"] for number in (0, 1, 2, 4, 5)
    ]
    assert [line for line in found if line[0] == "E004"] == [
        ["E004", "m3.py", "the analysis of this file failed (its pr"]
    ]


INTERRUPTED = """
    import sys, time
    from lossaudit.check import executors, units
    from lossaudit.cli import main

    executors.LITTLE = 0
    original = units.Workshop.report

    def report(self, task):
        if task.path.name == "slow.py":
            print("slow", file=sys.stderr, flush=True)
            time.sleep(600)
        return original(self, task)

    units.Workshop.report = report
    sys.argv = ["lossaudit", "check", "--no-cache", "--isolated", "--output-format", "concise", "--jobs", sys.argv[1]]
    main()
"""


def stuck(folder: Path, jobs: str) -> subprocess.Popen[str]:
    """A run that has come to a file which takes for ever."""
    (folder / "first.py").write_text(WRONG)
    (folder / "slow.py").write_text(WRONG)
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(INTERRUPTED), jobs],
        cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # noqa: PLW1509
    )  # fmt: skip
    assert process.stderr is not None
    assert process.stderr.readline() == "slow\n"
    return process


def test_workers_end_with_a_run_that_is_killed(tmp_path: Path) -> None:
    """They hold its streams: reading them ends when the last worker has."""
    process = stuck(tmp_path, "2")
    process.kill()
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_an_interrupted_run_says_what_it_found(tmp_path: Path, jobs: str) -> None:
    process = stuck(tmp_path, jobs)
    time.sleep(0.5)  # the other file is done in this time, whoever has it
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "first.py:5:12: LA101" in out
    assert err == "Interrupted: 1 of 2 files were checked.\n"


# Clusters ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["dask", "dask:", "ray:somewhere"])
def test_a_name_that_is_no_executor_is_refused(name: str) -> None:
    with pytest.raises(ExecutorError, match=r"dask:ADDRESS"):
        check_files(PROGRAMS[:2], CheckOptions(executor=name))


def test_without_the_extra_it_is_said_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ExecutorError, match=r"pip install 'lossaudit\[dask\]'"):
        check_files(PROGRAMS[:2], CheckOptions(executor="dask:tcp://127.0.0.1:1"))


CLUSTER = """
    import os, sys
    from pathlib import Path
    from distributed import Client, LocalCluster
    from lossaudit.check import CheckOptions, check_files, units
    from lossaudit.report.json import render_check
    from lossaudit.rulebook import load_rules

    def lose_yourself(mark):
        def report(self, task):
            Path(mark).touch()
            os._exit(9)
        units.Workshop.report = report

    if __name__ == "__main__":
        mark, *files = sys.argv[1:]
        options = {"select": frozenset(code for code in load_rules() if code.startswith("LA"))}
        with LocalCluster(n_workers=2, threads_per_worker=2, dashboard_address=None) as cluster:
            if mark:
                with Client(cluster) as client:
                    one = min(client.scheduler_info()["workers"])
                    client.run(lose_yourself, mark, workers=[one])
            result = check_files([Path(file) for file in files], CheckOptions(executor=f"dask:{cluster.scheduler_address}", **options))
        sys.stdout.write(render_check(result.findings))
"""


@pytest.mark.parametrize("loses_a_worker", [False, True])
def test_a_cluster_finds_what_one_process_finds(
    serial: CheckResult, tmp_path: Path, loses_a_worker: bool
) -> None:
    pytest.importorskip("distributed")
    script, mark = tmp_path / "cluster.py", tmp_path / "lost"
    script.write_text(textwrap.dedent(CLUSTER))
    command = [sys.executable, str(script), str(mark) if loses_a_worker else "", *map(str, PROGRAMS)]
    run = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    assert run.stdout == render_check(serial.findings)
    assert mark.exists() is loses_a_worker


def test_a_scheduler_that_is_not_there(tmp_path: Path) -> None:
    pytest.importorskip("distributed")
    script = "from lossaudit import crews; crews.CONNECT_SECONDS = 1; from lossaudit.cli import main; main()"
    command = [
        sys.executable,
        "-c",
        script,
        "check",
        "--executor",
        "dask:tcp://127.0.0.1:9",
        str(PROGRAMS[0]),
    ]
    run = subprocess.run(command, check=False, capture_output=True, text=True, cwd=tmp_path, timeout=120)
    assert run.returncode == 2
    assert run.stderr == "Error: dask:tcp://127.0.0.1:9: no scheduler answers there\n"
