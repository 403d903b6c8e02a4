"""What an earlier run found, remembered by content.

The analysis follows values through a whole project, so what it finds is a function of everything that it looked at: the
bytes of the files that were asked about, the bytes of the files that these import, and which files and folders exist
where an import might have led. An entry holds the findings together with all of that, and is believed only while every
bit of it is as it was. Whatever cannot be read or understood counts as absent.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import msgspec

from lossaudit import __version__
from lossaudit.check import CheckOptions, CheckResult
from lossaudit.check.looks import answer, digest
from lossaudit.statefolder import write_whole

SUFFIX = ".msgpack"
MAX_ENTRIES = 64
"""A project has one entry for each way in which it is checked (whole, by pre-commit, with other rules, ...)."""
UNSURE = frozenset({"E003", "E004"})
"""Findings about the machine or about a defect of ours: the next run may do better."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What a run found, and what it looked at besides the files that it was given."""

    result: CheckResult
    looks: Mapping[str, str]


class Cache:
    """Entries in a folder, one file each, written whole or not at all.

    Args:
        folder: Where the entries lie; it exists.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def recall(self, key: str) -> CheckResult | None:
        """The result under this key, if what it was found on is as it was."""
        file = self._folder / f"{key}{SUFFIX}"
        try:
            entry = msgspec.msgpack.decode(file.read_bytes(), type=Entry)
        except (OSError, ValueError):  # msgspec's errors are ValueErrors
            return None
        if any(answer(question) != then for question, then in entry.looks.items()):
            return None
        return entry.result

    def remember(self, key: str, result: CheckResult, questions: Iterable[str]) -> None:
        """Keep a result, with today's answers to what was asked of the disk. What cannot be written is not kept."""
        if any(finding.code in UNSURE for finding in result.findings):
            return
        entry = Entry(result, {question: answer(question) for question in questions})
        with contextlib.suppress(OSError):
            write_whole(self._folder / f"{key}{SUFFIX}", msgspec.msgpack.encode(entry))
            self._forget_the_oldest()

    def _forget_the_oldest(self) -> None:
        files = sorted(self._folder.glob(f"*{SUFFIX}"), key=lambda file: file.stat().st_mtime)
        for file in files[:-MAX_ENTRIES]:
            file.unlink(missing_ok=True)


def key_of(files: Sequence[Path], options: CheckOptions) -> str | None:
    """What a run depends on as far as it is known beforehand; None if a file cannot be read."""
    facts = (
        _tool(),
        sys.version_info[:2],
        Path.cwd(),
        None if options.select is None else sorted(options.select),
        options.roots,
        options.contracts,
    )
    try:
        contents = [(str(path), digest(path.read_bytes())) for path in files]
    except OSError:
        return None
    return digest(repr((facts, contents)).encode(errors="surrogateescape"))


@cache
def _tool() -> str:
    """The version, and the state of our own files: a checkout changes without its version."""
    package = Path(__file__).parent.parent
    states = (
        (file.relative_to(package).as_posix(), file.stat().st_mtime_ns, file.stat().st_size)
        for file in sorted(package.rglob("*.py"))
    )
    return repr((__version__, list(states)))
