"""Targets that the workers of a cluster fuzz have the reports that they have here, whoever is lost meanwhile."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from concurrent.futures import BrokenExecutor, Executor, Future
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from conftest import FIXTURES

from lossaudit.crews import Crew, ExecutorError
from lossaudit.findings import TargetReport
from lossaudit.fuzz import FuzzOptions, campaign

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LOSSES = """
    import torch
    from torch.nn import functional as F

    def right(logits, labels):
        return F.cross_entropy(logits, labels)

    def softmax_twice(logits, labels):
        return F.cross_entropy(logits.softmax(1), labels)

    def summed_over_classes(scores, labels):
        return F.binary_cross_entropy_with_logits(scores, labels, reduction="none").sum(1).mean()
"""
TARGETS = ["losses.py:right", "losses.py:softmax_twice", "losses.py:nothing", "losses.py:summed_over_classes"]
CLUSTER = """
    import os, sys
    from pathlib import Path
    from distributed import Client, LocalCluster
    from lossaudit.cli import main
    from lossaudit.fuzz import campaign

    def lose_yourself(mark):
        def run_isolated(*_):
            Path(mark).touch()
            os._exit(9)
        campaign.run_isolated = run_isolated

    if __name__ == "__main__":
        mark, *arguments = sys.argv[1:]
        # The workers' own folder is another one than that of the run.
        os.mkdir("elsewhere"); os.chdir("elsewhere")
        with LocalCluster(n_workers=2, threads_per_worker=2, dashboard_address=None) as cluster:
            os.chdir("..")
            if mark:
                with Client(cluster) as client:
                    client.run(lose_yourself, mark, workers=[min(client.scheduler_info()["workers"])])
            sys.argv = ["lossaudit", "fuzz", "--executor", f"dask:{cluster.scheduler_address}", *arguments]
            main()
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the losses."""
    made = tmp_path_factory.mktemp("campaign")
    (made / "losses.py").write_text(textwrap.dedent(LOSSES))
    return made


# A busy machine must not change what is said.
ARGUMENTS = ["--isolated", "--max-examples", "2", "--max-time", "100", "--output-format", "json", *TARGETS]


@pytest.fixture(scope="module")
def serial(folder: Path) -> str:
    """What one process after the other says."""
    command = [sys.executable, "-m", "lossaudit", "fuzz", "--jobs", "1", *ARGUMENTS]
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=False, timeout=300
    ).stdout


@pytest.mark.parametrize("loses_a_worker", [False, True])
def test_a_cluster_says_what_one_process_says(
    folder: Path, serial: str, tmp_path: Path, loses_a_worker: bool
) -> None:
    pytest.importorskip("distributed")
    assert [report["verdict"] for report in json.loads(serial)] == [
        "conforms",
        "diverges",
        "error",
        "conforms",
    ]
    (tmp_path / "losses.py").write_bytes((folder / "losses.py").read_bytes())
    script, mark = tmp_path / "cluster.py", tmp_path / "lost"
    script.write_text(textwrap.dedent(CLUSTER))
    command = [sys.executable, str(script), str(mark) if loses_a_worker else "", *ARGUMENTS]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300)
    assert run.stdout == serial
    assert run.returncode == 1
    assert mark.exists() is loses_a_worker


def test_a_target_that_every_worker_loses_is_fuzzed_here(monkeypatch: pytest.MonkeyPatch) -> None:
    class Losing(Executor):
        """Workers that do the second of two targets only."""

        def submit(self, task: Any, /, *arguments: Any, **_: Any) -> Future[TargetReport]:
            future: Future[TargetReport] = Future()
            target = arguments[1]
            if target == "first:Loss":
                future.set_exception(BrokenExecutor("the worker is gone"))
            else:
                future.set_result(TargetReport(target, None, "conforms"))
            return future

    @contextmanager
    def lossy(address: str) -> Iterator[Crew]:
        assert address == "somewhere"
        yield Crew(Losing(), (BrokenExecutor,))

    monkeypatch.setattr(campaign, "cluster", lossy)
    monkeypatch.setattr(
        campaign, "run_isolated", lambda target, *_: TargetReport(target, None, "error", error="was here")
    )
    done: list[int] = []
    jobs = [("first:Loss", FuzzOptions()), ("second:Loss", FuzzOptions())]
    outcome = campaign.run(jobs, 2, on_done=done.append, executor="dask:somewhere")
    told = [(report.target, report.verdict) for report in outcome.reports]
    assert told == [("first:Loss", "error"), ("second:Loss", "conforms")]
    assert done == [1, 2]
    assert not outcome.interrupted


def test_a_worker_that_sees_other_files_says_so(tmp_path: Path) -> None:
    report = campaign.work_there(tmp_path / "gone", "losses.py:right", FuzzOptions())
    assert report.error == f"the worker that was to fuzz losses.py:right does not see {tmp_path / 'gone'}"


def test_a_name_that_is_no_executor_is_refused() -> None:
    with pytest.raises(ExecutorError, match=r"dask:ADDRESS"):
        campaign.run([("losses:Loss", FuzzOptions())], 1, executor="ray:somewhere")


def test_no_scheduler_is_one_line(tmp_path: Path) -> None:
    pytest.importorskip("distributed")
    script = "from lossaudit import crews; crews.CONNECT_SECONDS = 1; from lossaudit.cli import main; main()"
    target = f"{FIXTURES / 'correct' / 'binary.py'}:nothing"
    command = [sys.executable, "-c", script, "fuzz", "--executor", "dask:tcp://127.0.0.1:9", target]
    run = subprocess.run(command, cwd=tmp_path, check=False, capture_output=True, text=True, timeout=120)
    assert run.returncode == 2
    assert run.stderr == "Error: dask:tcp://127.0.0.1:9: no scheduler answers there\n"
