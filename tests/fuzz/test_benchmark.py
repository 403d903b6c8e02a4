"""The benchmark of evaluations a second runs: it reaches into the engine, and nothing else would notice that it broke."""

from __future__ import annotations

import runpy

from conftest import ROOT


def test_throughput_is_measured() -> None:
    benchmark = runpy.run_path(str(ROOT / "benchmarks" / "fuzz_throughput.py"))
    name, *figures = benchmark["_row"](benchmark["bce"], 1).split()
    assert name == "bce"
    assert [float(figure.removesuffix("%")) > 0 for figure in figures] == [
        True
    ] * 6  # how fast is no matter of a test
