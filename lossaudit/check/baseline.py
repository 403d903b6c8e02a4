"""The baseline: findings that a project has today and wants to hear of no more, while new ones are reported.

A finding is known by its file, its code and the text of the line that it stands on, not by the line's number, so a
baseline survives code that moves. Two equal lines are counted.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from lossaudit.check.notebooks import python_of
from lossaudit.check.source import SourceError
from lossaudit.findings import Finding
from lossaudit.sourcetext import decode, split_lines

VERSION = 1

Key = tuple[str, str, str]


class BaselineError(Exception):
    """The baseline file cannot be used; the message says why and what to do."""


def write_baseline(path: Path, findings: Sequence[Finding]) -> None:
    """Write the findings to ``path``, sorted, one object a line of code, so that a diff of the file can be read.

    Raises:
        BaselineError: The file cannot be written.
    """
    counts = Counter(_key(finding, path.parent) for finding in findings)
    entries = [
        {"filename": filename, "code": code, "line": line, "count": count}
        for (filename, code, line), count in sorted(counts.items())
    ]
    text = json.dumps({"version": VERSION, "findings": entries}, indent=2, ensure_ascii=False) + "\n"
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise BaselineError(f"{path}: the baseline cannot be written: {error.strerror or error}") from error


def without_baseline(
    path: Path, findings: Sequence[Finding], sources: Mapping[Path, bytes] | None = None
) -> tuple[Finding, ...]:
    """The findings that the baseline at ``path`` does not hold; ``sources`` is what files are taken to hold.

    Raises:
        BaselineError: The file cannot be read, or is no baseline.
    """
    known = _read(path)
    fresh = []
    for finding in findings:
        key = _key(finding, path.parent, sources)
        if known[key] > 0:
            known[key] -= 1
        else:
            fresh.append(finding)
    return tuple(fresh)


def _read(path: Path) -> Counter[Key]:
    remedy = "write it anew with --write-baseline"
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BaselineError(
            f"{path}: the baseline cannot be read: {error.strerror or error}; {remedy}"
        ) from error
    except ValueError as error:
        raise BaselineError(f"{path}: the baseline is not JSON: {error}; {remedy}") from error
    if not isinstance(document, dict) or document.get("version") != VERSION:
        raise BaselineError(f"{path}: this is no baseline of version {VERSION}; {remedy}")
    try:
        return Counter(
            {
                (entry["filename"], entry["code"], entry["line"]): entry["count"]
                for entry in document["findings"]
            }
        )
    except (KeyError, TypeError) as error:
        raise BaselineError(f"{path}: the baseline lacks {error}; {remedy}") from error


def _key(finding: Finding, folder: Path, sources: Mapping[Path, bytes] | None = None) -> Key:
    path = Path(finding.span.filename)
    filename = Path(os.path.relpath(path, folder)).as_posix()
    try:
        data = (sources or {}).get(path)
        lines = split_lines(decode(python_of(path, path.read_bytes() if data is None else data))[0])
    except (OSError, SyntaxError, UnicodeDecodeError, SourceError):
        lines = []
    row = finding.span.start.row
    line = " ".join(lines[row - 1].split()) if row <= len(lines) else ""
    return filename, finding.code, line
