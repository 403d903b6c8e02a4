"""What a run changed in files, or would change."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from click import style

from lossaudit.findings import FileChange
from lossaudit.rulebook import load_rules

_VERBS = {"fix": "Fixed", "diff": "Would fix", "ignore": "Suppressed"}
_COLOUR = {"+": "green", "-": "red", "@": "cyan"}


def render_changes(changes: Sequence[FileChange], change: str, *, listed: bool) -> str:
    """One line that counts, for ``change`` in ``fix``, ``diff``, ``ignore``; by file and rule if ``listed``."""
    if change not in _VERBS:
        return ""
    count = sum(len(one.mended) for one in changes)
    lines = [f"{_VERBS[change]} {_of(count, 'finding')} in {_of(len(changes), 'file')}."]
    if listed:
        lines += [line for one in changes for line in _listed(one)]
    return "\n".join(lines) + "\n"


def render_diff(changes: Sequence[FileChange]) -> str:
    """The changes as one unified diff, as ``git apply`` and ``patch`` read it."""
    return "".join(_coloured(line) for one in changes for line in one.diff.splitlines(keepends=True))


def _coloured(line: str) -> str:
    if line.startswith(("---", "+++")):
        return style(line, bold=True)
    colour = _COLOUR.get(line[:1])
    return line if colour is None else style(line, fg=colour)


def _listed(change: FileChange) -> Iterator[str]:
    yield f"  {style(change.filename, bold=True)}"
    for code, count in sorted(Counter(finding.code for finding in change.mended).items()):
        yield f"    {count} x {code} {load_rules()[code].name}"


def _of(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
