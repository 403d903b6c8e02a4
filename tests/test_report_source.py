"""Rows of code beside a finding: cut to the terminal, the caret in sight."""

from __future__ import annotations

from pathlib import Path

from click import unstyle
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from lossaudit.findings import Finding, Position, Span, TrailStep
from lossaudit.report.check_text import render_full
from lossaudit.report.source import CUT, left_edge, window

TEXT = st.text(alphabet="ab =(损失é", max_size=80)


@given(TEXT, st.integers(0, 100), st.integers(30, 60))
def test_a_window_is_never_wider_than_asked_and_says_where_it_cuts(text: str, left: int, width: int) -> None:
    shown = window(text, left, width)
    assert cell_len(shown) <= width
    assert shown.endswith(CUT) == (
        cell_len(text) > left + width or (left > 0 and text != "" and shown == CUT)
    )
    if left == 0 and cell_len(text) <= width:
        assert shown == text


@given(st.integers(0, 500), st.integers(1, 500), st.integers(30, 60))
def test_what_is_underlined_begins_inside_the_window(before: int, cells: int, width: int) -> None:
    left = left_edge(before, cells, width)
    assert 0 <= left <= before
    assert before - left >= (len(CUT) if left else 0)
    assert before - left + min(cells, width - 2 * len(CUT)) <= width - (0 if left else len(CUT))


def test_carets_stay_under_what_they_mark(tmp_path: Path) -> None:
    path = tmp_path / "a.py"
    call = "criterion(net(x), y)"
    row = f"损失 = [{', '.join(str(number) for number in range(90))}, {call}, {', '.join('z' * 90)}]"
    path.write_text(f"short\n{row}\n", encoding="utf-8")
    column = row.index(call) + 1
    span = Span(str(path), Position(2, column), Position(2, column + len(call)))
    finding = Finding("LA101", "message", span, trail=(TrailStep(span, "here"),))
    lines = unstyle(render_full([finding], 1, width=60)).splitlines()
    code, carets = (next(line for line in lines if line.startswith(start)) for start in ("2 | ", "  |    "))
    assert code[4:7] == CUT
    assert code.endswith(CUT)
    assert cell_len(code) <= 60
    assert code[carets.index("^") : carets.rindex("^") + 1] == call
    assert call in lines[lines.index(f"    1. {path}:2:{column}: here") + 1]
    assert max(cell_len(line) for line in lines if str(path) not in line) <= 60
    whole = unstyle(render_full([finding], 1)).splitlines()
    assert f"2 | {row}" in whole
