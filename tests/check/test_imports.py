"""Top levels of imported files: run once a process, lent to the units, and given back as they were."""

from __future__ import annotations

from collections import Counter
from itertools import permutations
from pathlib import Path

import pytest

from lossaudit.check import CheckOptions, units
from lossaudit.check.infer.engine import Interpreter
from lossaudit.check.plan import plan
from lossaudit.check.project import Module
from lossaudit.check.units import Report, Workshop, with_deep_stack
from lossaudit.check.values import ModuleVal

LAYERS = """\
from torch import nn

TABLE = {"last": nn.Identity()}
HOLDER = nn.Sequential(nn.Linear(8, 3))
NAME = "plain"


def rename(name):
    global NAME
    NAME = name
"""
CHANGES = """\
import torch.nn.functional as F
from torch import nn

import layers

layers.TABLE["last"] = nn.Softmax(dim=1)
layers.HOLDER.append(nn.Softmax(dim=1))
layers.rename("soft")


def loss(x, y):
    return F.cross_entropy(layers.TABLE["last"](x), y)
"""
READS = """\
import torch
import torch.nn.functional as F

from layers import HOLDER, NAME, TABLE


def from_table(x, y):
    return F.cross_entropy(TABLE["last"](x), y)


def from_holder(x, y):
    return F.cross_entropy(HOLDER(x), y)


def by_name(x, y):
    if NAME == "soft":
        x = torch.softmax(x, dim=1)
    return F.cross_entropy(x, y)
"""


def reports(workshop: Workshop, *paths: Path) -> dict[str, Report]:
    """What the units show, analysed in this order by one process."""
    tasks = [next(task for task in _tasks(workshop) if task.path == path) for path in paths]
    done = with_deep_stack(lambda: [workshop.report(task) for task in tasks])
    return {report.path.name: report for report in done}


def _tasks(workshop: Workshop):  # type: ignore[no-untyped-def]
    given = workshop.setup.given
    return plan(given, {path: path.read_bytes() for path in given}, CheckOptions())[1]


def workshop_of(folder: Path, **files: str) -> tuple[Workshop, list[Path]]:
    """A process that is to look at some files."""
    paths = [folder / f"{name}.py" for name in files]
    for path, text in zip(paths, files.values(), strict=True):
        path.write_text(text)
    given = {path: str(path) for path in paths}
    setup, _ = plan(given, {path: path.read_bytes() for path in paths}, CheckOptions(debug=True))
    return Workshop(setup), paths


def places(report: Report) -> list[tuple[str, str, int]]:
    return sorted((one.code, Path(one.span.filename).name, one.span.start.row) for one in report.findings)


def test_what_one_unit_changes_in_an_imported_file_no_other_sees(tmp_path: Path) -> None:
    shop, paths = workshop_of(tmp_path, layers=LAYERS, changes=CHANGES, reads=READS)
    alone = {path.name: reports(Workshop(shop.setup), path)[path.name] for path in paths}
    assert places(alone["changes.py"]) == [("LA101", "changes.py", 12)]
    assert places(alone["reads.py"]) == []
    for order in permutations(paths):
        assert reports(Workshop(shop.setup), *order) == alone, order


def test_a_process_that_lets_go_of_what_it_read_finds_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop, _ = workshop_of(tmp_path, layers=LAYERS, changes=CHANGES, reads=READS)
    tasks = _tasks(shop)
    kept = with_deep_stack(lambda: shop.batch(tasks))
    monkeypatch.setattr(units, "HELD_BYTES", 0)
    anew = Workshop(shop.setup)
    batches = [with_deep_stack(lambda one=task: anew.batch([one])) for task in tasks]
    assert tuple(report for batch in batches for report in batch.reports) == kept.reports
    assert {
        question: answer for batch in batches for question, answer in batch.answers.items()
    } == kept.answers
    assert anew.library.held < shop.library.held


def test_a_top_level_runs_once_and_every_unit_knows_what_it_rests_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs: Counter[str] = Counter()
    run = Interpreter.run_top_level

    def counted(interp: Interpreter, module: Module) -> None:
        runs[module.name] += module is not interp.home
        run(interp, module)

    monkeypatch.setattr(Interpreter, "run_top_level", counted)
    more = {f"unit{i}": READS for i in range(3)}
    shop, paths = workshop_of(tmp_path, layers=LAYERS, **more)
    done = reports(shop, *paths)
    assert runs["layers"] == 1
    content = next(
        one for one in done["layers.py"].asked if one in done["unit0.py"].asked and "layers.py" in one
    )
    assert all(content in done[f"{name}.py"].asked for name in more)


@pytest.mark.parametrize(
    ("files", "is_lent"),
    [
        ({"first": "from torch import nn\nx = nn.Identity()\n"}, True),
        ({"first": "import second\n", "second": "import first\n"}, True),
        ({"first": "import second\nx = second.y\n", "second": "import first\ny = first.x\n"}, True),
        ({"first": "from second import table\ntable['x'] = 1\n", "second": "table = {}\n"}, True),
        ({"first": "from second import items\nitems.append(1)\n", "second": "items = []\n"}, False),
        ({"first": "import second\nsecond.Base.x = 1\n", "second": "class Base:\n    x = 0\n"}, False),
        ({"first": "import second\nx = second.build()\nx.y = 2\n", "second": "class A: ...\ndef build(): return A()\n"}, True),
    ],
    ids=["plain", "ring unread", "ring", "table", "list", "class", "own object"],
)  # fmt: skip
def test_what_is_lent(tmp_path: Path, files: dict[str, str], is_lent: bool) -> None:
    """Files that change what another file holds belong to the unit, but for what they enter in its tables."""
    shop, paths = workshop_of(tmp_path, **files)
    assert shop.imports is not None
    assert (shop.imports.top_level(paths[0]).modules != ()) is is_lent


CRITERIA = """\
import logs

TABLE = {}


def register(cls):
    logs.say(cls)
    TABLE[cls.__name__] = cls
    return cls
"""
LOGS = """\
import criteria

HANDLER = None
FIRST = criteria


def say(text):
    global HANDLER
    if not HANDLER:
        HANDLER = object()
    return HANDLER


NAME = say("logs")
"""
LOSSES = """\
from torch import nn

from criteria import register


@register
class {name}(nn.Module):
    def __init__(self):
        super().__init__()
        self.entropy = nn.CrossEntropyLoss()

    def forward(self, x, y):
        return self.entropy({given}, y)
"""
BUILDS = """\
import criteria
import {imported}

loss = criteria.TABLE["{name}"]()


def step(x, y):
    return loss(x.softmax(1), y)
"""


def test_what_a_lent_file_enters_in_a_table_stands_there_for_who_imports_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The files of the table and of the log need each other, and the log sets a global when it is first used."""
    runs: Counter[str] = Counter()
    run = Interpreter.run_top_level

    def counted(interp: Interpreter, module: Module) -> None:
        runs[module.name] += interp.home.path.name.startswith("build")
        run(interp, module)

    monkeypatch.setattr(Interpreter, "run_top_level", counted)
    shop, paths = workshop_of(
        tmp_path,
        criteria=CRITERIA,
        logs=LOGS,
        soft=LOSSES.format(name="Soft", given="x"),
        raw=LOSSES.format(name="Raw", given="x.log()"),
        build_soft=BUILDS.format(imported="soft", name="Soft"),
        build_raw=BUILDS.format(imported="raw", name="Raw"),
        build_none=BUILDS.format(imported="raw", name="Soft"),
    )
    alone = {path.name: reports(Workshop(shop.setup), path)[path.name] for path in paths}
    assert {name: places(one) for name, one in alone.items() if one.findings} == {
        "build_soft.py": [("LA101", "soft.py", 13)],
        "build_raw.py": [("LA102", "raw.py", 13), ("LA401", "raw.py", 13)],
    }
    for order in (paths, paths[::-1], [*paths[3:], *paths[:3]]):
        assert reports(Workshop(shop.setup), *order) == alone, order
    assert {name for name, times in runs.items() if times} == {"build_soft", "build_raw", "build_none"}


BASE = """\
from torch import nn


class Base(nn.Module):
    def finish(self, x):
        return {result}
"""
CHILD = """\
from torch import nn

from base import Base


class Child(Base):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(8, 3)

    def forward(self, x):
        return self.finish(self.layer(x))
"""
USES = """\
import torch.nn.functional as F

from child import Child

model = Child()


def step(x, y):
    return F.cross_entropy(model(x), y)
"""


@pytest.mark.parametrize(
    ("result", "expected"), [("x.softmax(1)", [("LA101", "uses.py", 9)]), ("x", [])], ids=["soft", "raw"]
)
def test_a_file_that_needs_the_home_is_run_with_it(
    tmp_path: Path, result: str, expected: list[tuple[str, str, int]]
) -> None:
    """``child`` is lent with the ``base`` that it was run with; in the unit of ``base`` both are the unit's own."""
    shop, paths = workshop_of(tmp_path, uses=USES, child=CHILD, base=BASE.format(result=result))
    alone = {path.name: reports(Workshop(shop.setup), path)[path.name] for path in paths}
    assert places(alone["uses.py"]) == expected
    for order in permutations(paths):
        assert reports(Workshop(shop.setup), *order) == alone, order


OWN = """\
import torch.nn.functional as F

import between


def soft(x):
    return x.softmax(1)


def loss(x, y):
    return F.cross_entropy(between.alias.soft(x), y)
"""
OTHER = """\
import torch.nn.functional as F

from between import alias


def loss(x, y):
    return F.cross_entropy(alias.soft(x), y)


def twice(x):
    return alias.soft(alias.soft(x))
"""


def test_a_module_that_a_lent_scope_holds_is_the_unit_s_own(tmp_path: Path) -> None:
    """``between`` never reads from the file that it names, so it is lent also to the unit of that file."""
    shop, paths = workshop_of(tmp_path, own=OWN, between="import own\n\nalias = own\n", other=OTHER)
    for order in permutations(paths):
        shop = Workshop(shop.setup)
        done = reports(shop, *order)
        assert places(done["own.py"]) == [("LA101", "own.py", 11)], order
        assert places(done["other.py"]) == [("LA101", "other.py", 7)], order
        assert shop.imports is not None
        lent = shop.imports.top_level(tmp_path / "between.py").modules[0]
        held = lent.scope.vars["alias"]
        assert isinstance(held, ModuleVal)
        assert held.module.state == "new", order
