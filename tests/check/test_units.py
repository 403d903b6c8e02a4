"""What a file's own roots show: also in other files, and whatever its imports run."""

from __future__ import annotations

from pathlib import Path

import pytest

from lossaudit.check import CheckOptions, check_files
from lossaudit.check.infer import engine

HEAD = """\
import torch.nn.functional as F
from torch import nn


class Head(nn.Module):
    def __init__(self, activation):
        super().__init__()
        self.layer = nn.Linear(8, 3)
        self.activation = activation

    def training_loss(self, x, y):
        return F.cross_entropy(self.activation(self.layer(x)), y)
"""
SCRIPT = """\
from torch import nn
from head import Head

head = Head({activation})
"""


def found(folder: Path, *names: str) -> list[tuple[str, str, int]]:
    result = check_files([folder / name for name in names], CheckOptions(debug=True))
    return [(one.code, Path(one.span.filename).name, one.span.start.row) for one in result.findings]


@pytest.mark.parametrize(
    ("activation", "expected"), [("nn.Softmax(dim=1)", [("LA101", "head.py", 12)]), ("nn.Identity()", [])]
)
def test_the_file_that_builds_an_object_shows_what_its_methods_do(
    tmp_path: Path, activation: str, expected: list[tuple[str, str, int]]
) -> None:
    (tmp_path / "head.py").write_text(HEAD)
    (tmp_path / "script.py").write_text(SCRIPT.format(activation=activation))
    assert found(tmp_path, "head.py") == []
    assert found(tmp_path, "head.py", "script.py") == expected
    assert found(tmp_path, "script.py", "head.py") == expected


REGISTRY = """\
TABLE = {}


def register(cls):
    TABLE[cls.__name__] = cls
    return cls


def build(name):
    return TABLE[name]()
"""
MODEL = """\
import torch
from torch import nn
from parts.registry import register


@register
class {name}(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(8, 3)

    def forward(self, x):
        return {result}
"""
TRAIN = """\
import torch.nn.functional as F
from parts.registry import build

model = build({name})


def step(x, y):
    return F.cross_entropy(model(x), y)
"""


@pytest.fixture
def parts(tmp_path: Path) -> Path:
    """A package of which the folder's ``__init__`` imports the models, which register themselves."""
    package = tmp_path / "parts"
    package.mkdir()
    (package / "__init__.py").write_text("from . import raw, soft\n")
    (package / "registry.py").write_text(REGISTRY)
    (package / "raw.py").write_text(MODEL.format(name="Raw", result="self.layer(x)"))
    (package / "soft.py").write_text(MODEL.format(name="Soft", result="torch.softmax(self.layer(x), dim=1)"))
    return tmp_path


@pytest.mark.parametrize(
    ("name", "expected"), [('"Soft"', [("LA101", "train.py", 8)]), ('"Raw"', []), ("input()", [])]
)
def test_a_table_is_filled_before_it_is_read(
    parts: Path, name: str, expected: list[tuple[str, str, int]]
) -> None:
    (parts / "train.py").write_text(TRAIN.format(name=name))
    assert found(parts, "train.py") == expected


def test_a_table_that_more_files_may_fill_proves_nothing(
    parts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the soft model alone in sight, any name would seem to mean it."""
    (parts / "parts" / "__init__.py").write_text("from . import soft, raw\n")
    (parts / "train.py").write_text(TRAIN.format(name="input()"))
    for most in range(6):
        monkeypatch.setattr(engine, "MAX_FILLING", most)
        assert found(parts, "train.py") == [], most


def test_a_project_behind_a_link_is_one_project(tmp_path: Path) -> None:
    """A script extends ``sys.path``; what it imports from there is what was given, by the name that was given."""
    package = tmp_path / "real" / "package"
    (tmp_path / "real" / "tests").mkdir(parents=True)
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "step.py").write_text(
        "import torch.nn.functional as F\n\ndef step(model, x, y):\n    return F.cross_entropy(model(x), y)\n"
    )
    (tmp_path / "real" / "tests" / "run.py").write_text(
        "import sys\nsys.path.insert(0, '..')\nimport torch\nfrom package.step import step\n\n"
        "def loss(x, y):\n    return step(lambda t: torch.softmax(t, 1), x, y)\n"
    )
    (tmp_path / "link").symlink_to(tmp_path / "real")
    result = check_files(sorted((tmp_path / "link").rglob("*.py")), CheckOptions())
    assert [(one.code, Path(one.span.filename).name) for one in result.findings] == [("LA101", "step.py")]
