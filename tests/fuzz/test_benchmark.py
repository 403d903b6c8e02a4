"""The benchmark of evaluations a second runs: it reaches into the engine, and nothing else would notice that it broke."""

from __future__ import annotations

import runpy

from conftest import ROOT


def test_throughput_is_measured() -> None:
    benchmark = runpy.run_path(str(ROOT / "benchmarks" / "fuzz_throughput.py"))
    name, judged, bare, ratio, share, _ = benchmark["_row"](benchmark["bce"], 1).split()
    assert name == "bce"
    assert float(bare) > float(judged) > 100
    assert float(ratio) > 1
    assert 0 < float(share.removesuffix("%")) < 100
