"""Edits become text: whole or not at all, and nothing else is touched."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lossaudit.check.fix import FixedFile, apply_edits, fix_sources, write_atomically
from lossaudit.findings import Applicability, Edit, Finding, Fix, Position, Span


def edit(row: int, start: int, end: int, content: str, filename: str = "a.py") -> Edit:
    return Edit(Span(filename, Position(row, start), Position(row, end)), content)


def finding(*edits: Edit, applicability: Applicability = Applicability.SAFE) -> Finding:
    return Finding("LA401", "message", edits[0].span, fix=Fix(applicability, "title", edits))


def test_columns_count_characters_and_untouched_bytes_stay() -> None:
    source = "é = 'ü'  # ü\r\nx = log(softmax(y))\f\r\n".encode()
    assert apply_edits(source, [edit(2, 5, 20, "log_softmax(y)")]) == (
        "é = 'ü'  # ü\r\nx = log_softmax(y)\f\r\n".encode()
    )


def test_byte_order_mark_and_declared_encoding_stay() -> None:
    assert apply_edits(b"\xef\xbb\xbfx = 1\n", [edit(1, 5, 6, "2")]) == b"\xef\xbb\xbfx = 2\n"
    latin = "# coding: latin-1\nx = 'ü'\n".encode("latin-1")
    assert apply_edits(latin, [edit(2, 1, 2, "y")]) == latin.replace(b"x =", b"y =")


def test_unsafe_fixes_wait_for_permission() -> None:
    unsafe = finding(edit(1, 5, 6, "2"), applicability=Applicability.UNSAFE)
    assert fix_sources({"a.py": b"x = 1\n"}, [unsafe], unsafe=False) == ({}, [])
    assert fix_sources({"a.py": b"x = 1\n"}, [unsafe], unsafe=True) == ({"a.py": b"x = 2\n"}, [unsafe])


def test_overlapping_fixes_wait_and_shared_edits_are_made_once() -> None:
    outer, inner = finding(edit(1, 1, 9, "c")), finding(edit(1, 3, 5, "d"))
    changed, applied = fix_sources({"a.py": b"abcdefgh\n"}, [inner, outer], unsafe=False)
    assert (changed, applied) == ({"a.py": b"c\n"}, [outer])
    imports = edit(1, 1, 1, "import m\n")
    first, second = finding(imports, edit(2, 1, 2, "m.f")), finding(imports, edit(3, 1, 2, "m.g"))
    changed, _ = fix_sources({"a.py": b"\nx\ny\n"}, [first, second], unsafe=False)
    assert changed == {"a.py": b"import m\n\nm.f\nm.g\n"}


def test_a_fix_that_breaks_one_file_is_made_in_none() -> None:
    both = finding(edit(1, 5, 6, "("), edit(1, 5, 6, "2", "b.py"))
    fine = finding(edit(1, 5, 6, "3", "c.py"))
    sources = dict.fromkeys(("a.py", "b.py", "c.py"), b"x = 1\n")
    assert fix_sources(sources, [both, fine], unsafe=False) == ({"c.py": b"x = 3\n"}, [fine])


def test_diff_is_unified() -> None:
    diff = FixedFile(Path("a.py"), b"x = 1\ny = 2", b"x = 3\ny = 2", ()).diff()
    assert "-x = 1\n+x = 3\n" in diff
    assert diff.endswith("\\ No newline at end of file\n")


def test_writing_keeps_the_mode_follows_links_and_leaves_nothing_behind(tmp_path: Path) -> None:
    target = tmp_path / "a.py"
    target.write_bytes(b"x = 1\n")
    target.chmod(0o750)
    link = tmp_path / "link.py"
    link.symlink_to(target)
    write_atomically(link, b"x = 2\n")
    assert (target.read_bytes(), stat.S_IMODE(target.stat().st_mode)) == (b"x = 2\n", 0o750)
    assert link.is_symlink()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.py", "link.py"]


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "a.py"
    target.write_bytes(b"x = 1\n")

    def refuse(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(OSError, match="disk full"):
        write_atomically(target, b"x = 2\n")
    assert target.read_bytes() == b"x = 1\n"
    assert [path.name for path in tmp_path.iterdir()] == ["a.py"]


@given(st.text(alphabet="ab\n\r\té\u2028\f", max_size=30), st.data())
def test_one_edit_changes_exactly_its_span(text: str, data: st.DataObject) -> None:
    source = text.encode()
    start = data.draw(st.integers(0, len(text)))
    before = text[:start]
    if before.endswith("\r") and text[start : start + 1] == "\n":
        return  # a position inside the pair CR LF does not exist
    normal = before.replace("\r\n", "\n").replace("\r", "\n")
    position = Position(normal.count("\n") + 1, len(normal) - (normal.rfind("\n") + 1) + 1)
    inserted = Edit(Span("a.py", position, position), "X")
    assert apply_edits(source, [inserted]).decode() == before + "X" + text[start:]
