from __future__ import annotations

import ast
import re
import sys
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("hypothesis")

from lossaudit.fuzz import FuzzOptions  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lossaudit.findings import TargetReport

ROOT = Path(__file__).resolve().parents[2]
FIXTURES = ROOT / "fixtures" / "fuzz"
PLENTY = 600.0
EXPECT = re.compile(r"#\s*expect:\s*(.+)$")
DIAGNOSIS = re.compile(r"Diagnosis:\s*(\S+)")
REFERENCE = re.compile(r"Reference:\s*([^\s)]+)")


@dataclass(frozen=True)
class Planted:
    """One loss of a fixture file, and what must be said of it; ``reference`` where the user has to name it."""

    path: Path
    name: str
    codes: tuple[str, ...]
    diagnosis: str | None
    reference: str | None

    @property
    def target(self) -> str:
        return f"{self.path}:{self.name}"


def planted(folder: str) -> list[Planted]:
    """The public losses of a folder that are called directly, with the marks on their first lines."""
    found = []
    for path in sorted((FIXTURES / folder).glob("*.py")):
        text = path.read_text(encoding="utf-8")
        lines = text.splitlines()
        for node in ast.parse(text).body:
            if not isinstance(node, (ast.FunctionDef, ast.ClassDef)) or node.name.startswith("_"):
                continue
            mark = EXPECT.search(lines[node.lineno - 1])
            codes = tuple(code.strip() for code in mark[1].split(",")) if mark else ()
            said = ast.get_docstring(node) or ""
            named, asked = DIAGNOSIS.search(said), REFERENCE.search(said)
            found.append(Planted(path, node.name, codes, named and named[1], asked and asked[1]))
    return found


def ids(losses: list[Planted]) -> list[str]:
    return [f"{loss.path.stem}-{loss.name}" for loss in losses]


def audit_here(target: str, options: FuzzOptions | None = None) -> TargetReport:
    """Fuzz in this process: the same engine without a child, for speed."""
    used = options or FuzzOptions(max_examples=25)
    return next(audits_here(target, used, [used.seed]))


def audits_here(target: str, options: FuzzOptions, seeds: Sequence[int]) -> Iterator[TargetReport]:
    """The same with each seed; the loss is recognised once, for that does not depend on the seed."""
    from lossaudit.fuzz.engine import audit_seeds
    from lossaudit.fuzz.target import builds, load, parse_target

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a target may warn: torch does of a broadcast, and of kl_div's mean
        unhurried = replace(options, max_time=PLENTY)  # a busy machine must not change what a test sees
        yield from audit_seeds(target, builds(load(parse_target(target)), options.init), unhurried, seeds)


@pytest.fixture(autouse=True)
def _keep_torch_state():
    """The engine sets threads and seed; the path grows by the folders of the fixtures."""
    threads, path = torch.get_num_threads(), list(sys.path)
    yield
    torch.set_num_threads(threads)
    sys.path[:] = path
