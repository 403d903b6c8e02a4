"""The records do not get in each other's way: they are looked up by name, and a second of a name would hide the first."""

from __future__ import annotations

from collections import Counter

import pytest
from conftest import ROOT  # noqa: F401 (skips where torch is missing)

from lossaudit.fuzz.inputs import words_for
from lossaudit.fuzz.registry import collect

KINDS = [("lossaudit.fuzz.spaces", "SPACES"), ("lossaudit.fuzz.references", "REFERENCES")]


@pytest.mark.parametrize(("package", "table"), KINDS)
def test_no_two_records_share_a_name(package: str, table: str) -> None:
    counts = Counter(record.name for record in collect(package, table))
    assert len(counts) > 20
    assert [name for name, count in counts.items() if count > 1] == []


def test_spaces_name_spaces() -> None:
    """A name that no space has would be silently looked for in vain."""
    spaces = collect("lossaudit.fuzz.spaces", "SPACES")
    names = {space.name for space in spaces}
    references = collect("lossaudit.fuzz.references", "REFERENCES")
    mentioned = {name for spec in references for name in spec.spaces}
    mentioned |= {name for space in spaces for name in (space.part_of, space.recodes) if name}
    assert mentioned - names == set()


def test_mistakes_name_references() -> None:
    references = {spec.name for spec in collect("lossaudit.fuzz.references", "REFERENCES")} | {"*"}
    mentioned = {
        name for mistake in collect("lossaudit.fuzz.mistakes", "MISTAKES") for name in mistake.references
    }
    assert mentioned - references == set()


def test_of_many_kinds_of_input_the_first_are_named() -> None:
    spaces = collect("lossaudit.fuzz.spaces", "SPACES")
    different = list({space.words: space for space in spaces}.values())
    assert words_for(different[:3]).count(", or ") == 2
    told = words_for([*different, *different])
    assert told.endswith(f", or {len(different) - 3} other kinds of input")
    assert different[2].words in told
    assert different[3].words not in told
