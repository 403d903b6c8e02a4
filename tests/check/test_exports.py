"""What a file may export is read from its text, and never too short; names that no starred file has are not looked for in them."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import lossaudit
from lossaudit.check import CheckOptions, check_files
from lossaudit.check.exports import exported, star_imports
from lossaudit.check.infer.engine import Interpreter


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("import os.path as p, sys\n", {"p", "sys"}),
        ("from a import (\n    b,\n    c as d,  # why\n    e\n)\n", {"b", "d", "e"}),
        ("x = y = f(1)\n(a, *b), c = g()\n", {"x", "y", "a", "b", "c"}),
        ("n: int = 3\n", {"n"}),
        ("", set()),
        ("if x:\n    def f(): pass\nelse:\n    f = 1; g = 2\n", {"f", "g"}),
        ("try:\n    from a import b\nexcept ImportError as problem:\n    b = None\n", {"b", "problem"}),
        ("for i, j in pairs: k = i\nwith open(p) as file: pass\n", {"i", "j", "k", "file"}),
        ("async def f():\n    pass\nclass C(B):\n    pass\n", {"f", "C"}),
        ("print(n := 3)\n", {"n"}),
        ("__all__ = ['a', \"b\"]\n__all__ += ('c',)\nd = 1\n", {"a", "b", "c"}),
        ("__all__ = ['a'] + more.__all__\nd = 1\n", {"d"}),
        ("__all__ = ['a', *more]\nd = 1\n", {"d"}),
    ],
)
def test_what_a_text_exports(text: str, names: set[str]) -> None:
    assert names <= exported(text)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("def f():\n    inside = 1\n", "inside"),
        ("class C:\n    member = 1\n", "member"),
        ("@decorate(option='some words')\ndef f(): pass\n", "words"),
        ("sys.modules[__name__] = Lazy()\n", "modules"),
        ('"""\nWhat this file = is about.\n"""\n', "about"),
        ("__all__ = ['a']\nb = 1\n", "b"),
        ("_private = 1\n", "_private"),
        ("if TYPE_CHECKING:\n    from .a import b\n", "from"),
        ("if TYPE_CHECKING:\n    from .a import b\n", "import"),
    ],
)
def test_what_it_does_not_export(text: str, name: str) -> None:
    assert name not in exported(text)


def test_what_python_binds_is_exported() -> None:
    """Over the files of this project: everything that runs at the top level binds a name in the list."""
    for path in sorted(Path(lossaudit.__file__).parent.rglob("*.py")):
        text = path.read_text(encoding="utf-8").replace("__all__", "listed")
        bound = {name for node in ast.parse(text).body for name in _bound_by(node) if name[0] != "_"}
        assert bound <= exported(text), path


def _bound_by(node: ast.stmt) -> set[str]:
    if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
        return {node.name}
    names = {one.id for one in ast.walk(node) if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store)}
    aliases = [one for one in ast.walk(node) if isinstance(one, ast.alias)]
    names |= {(one.asname or one.name).partition(".")[0] for one in aliases}
    return names


def test_star_imports() -> None:
    text = "from .a.b import *\nif x:\n    from .. import *\nfrom torch.nn import *\nfrom c import d\n"
    assert star_imports(text) == (("a.b", 1), ("", 2), ("torch.nn", 0))


def test_a_name_is_looked_for_only_where_it_may_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hundreds of files behind one star are not all run for a name that one of them has."""
    (tmp_path / "models").mkdir()
    names = [f"part{number}" for number in range(5)]
    stars = "".join(f"from .{name} import *\n" for name in names)
    (tmp_path / "models" / "__init__.py").write_text(stars, encoding="utf-8")
    for name in names:
        text = (
            f"import torch\nfrom torch import nn\n\n\ndef make_{name}(x):\n    return torch.softmax(x, 1)\n"
        )
        (tmp_path / "models" / f"{name}.py").write_text(text, encoding="utf-8")
    (tmp_path / "train.py").write_text(
        "import torch.nn.functional as F\nfrom models import *\n\n\n"
        "def step(x, y):\n    return F.cross_entropy(make_part3(x), y)\n",
        encoding="utf-8",
    )
    ran: list[str] = []
    run_module = Interpreter.run_module

    def recording(interp: Interpreter, module: object) -> None:
        if module.state == "new" and interp.home.name == "train":  # type: ignore[attr-defined]
            ran.append(module.name)  # type: ignore[attr-defined]
        run_module(interp, module)  # type: ignore[arg-type]

    monkeypatch.setattr(Interpreter, "run_module", recording)
    found = check_files([tmp_path / "train.py"], CheckOptions()).findings
    assert [finding.code for finding in found] == ["LA101"]
    assert sorted(ran) == ["models", "part3", "train"]
