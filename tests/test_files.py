"""Which files below a path are checked."""

from __future__ import annotations

from pathlib import Path

from lossaudit.check.files import Exclusion, discover


def make(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")


def names(root: Path, **options: object) -> list[str]:
    exclusion = Exclusion(root, **options)  # type: ignore[arg-type]
    return [path.relative_to(root).as_posix() for path in discover([root], exclusion).files]


def test_python_files_only_in_order_and_without_tool_folders(tmp_path: Path) -> None:
    make(tmp_path, "b.py", "a/z.py", "a/notes.txt", ".venv/lib/x.py", "node_modules/y.py", "w.pyw")
    assert names(tmp_path) == ["a/z.py", "b.py", "w.pyw"]


def test_gitignore_files_apply_below_their_folder(tmp_path: Path) -> None:
    make(tmp_path, "keep.py", "gen/a.py", "sub/skip.py", "sub/keep.py", "skip.py")
    (tmp_path / ".gitignore").write_text("gen/\n")
    (tmp_path / "sub" / ".gitignore").write_text("skip.py\n")
    assert names(tmp_path) == ["keep.py", "skip.py", "sub/keep.py"]
    assert "gen/a.py" in names(tmp_path, respect_gitignore=False)


def test_gitignore_above_the_path_applies_inside_a_repository(tmp_path: Path) -> None:
    make(tmp_path, "src/a.py", "src/gen.py")
    (tmp_path / ".gitignore").write_text("gen.py\n")
    (tmp_path / ".git").mkdir()
    found = discover([tmp_path / "src"], Exclusion(tmp_path))
    assert [path.name for path in found.files] == ["a.py"]


def test_a_named_file_is_taken_unless_exclusion_is_forced(tmp_path: Path) -> None:
    make(tmp_path, "build/a.py")
    named = [tmp_path / "build" / "a.py"]
    assert discover(named, Exclusion(tmp_path)).files == named
    assert discover(named, Exclusion(tmp_path, force=True)).files == []


def test_the_same_file_named_twice_is_taken_once(tmp_path: Path) -> None:
    make(tmp_path, "a.py")
    assert discover([tmp_path, tmp_path / "a.py"], Exclusion(tmp_path)).files == [tmp_path / "a.py"]


def test_failures_are_told_and_the_rest_goes_on(tmp_path: Path) -> None:
    make(tmp_path, "a.py")
    found = discover([tmp_path / "missing", tmp_path], Exclusion(tmp_path))
    assert [path.name for path in found.files] == ["a.py"]
    assert found.failures == [(tmp_path / "missing", "No such file or directory")]
