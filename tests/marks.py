"""The marks in fixtures: ``# expect: LA101, LA401`` and ``# todo: LA101`` at the end of the line that is reported."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
FIXTURES = ROOT / "fixtures"

_MARK = re.compile(r"#\s*(?P<kind>expect|todo):\s*(?P<codes>[A-Z]+[0-9]{3}(?:\s*,\s*[A-Z]+[0-9]{3})*)")

Marks = frozenset[tuple[str, int, str]]


@dataclass(frozen=True)
class Project:
    """One fixture: a file, or the folder of a program of several files."""

    path: Path

    @property
    def files(self) -> list[Path]:
        return [self.path] if self.path.is_file() else sorted(self.path.rglob("*.py"))

    def marks(self, kind: str) -> Marks:
        """(file, row, code) of every mark of this kind; a line may break one rule more than once."""
        found = set()
        for file in self.files:
            for row, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
                for match in _MARK.finditer(line):
                    if match["kind"] == kind:
                        found.update((str(file), row, code.strip()) for code in match["codes"].split(","))
        return frozenset(found)

    def __str__(self) -> str:
        return self.path.relative_to(FIXTURES).as_posix()


def projects_below(folder: Path, depth: int) -> list[Project]:
    """The fixtures that lie ``depth`` folders below ``folder``: each file alone, each folder as one program."""
    level = [folder]
    for _ in range(depth):
        level = [child for parent in level for child in sorted(parent.iterdir()) if child.is_dir()]
    entries = [entry for parent in level for entry in sorted(parent.iterdir())]
    return [
        Project(entry)
        for entry in entries
        if entry.suffix == ".py" or (entry.is_dir() and any(entry.rglob("*.py")))
    ]
