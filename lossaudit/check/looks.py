"""What the analysis asks of the disk besides the files that it was given, in a form that can be asked again later.

Whether an import leads anywhere depends on which files and folders exist; a result that was remembered holds only while
the answers stay the same.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path


def kind(path: Path) -> str:
    """``file``, ``folder``, or nothing."""
    try:
        return "file" if path.is_file() else "folder" if path.is_dir() else ""
    except OSError:
        return ""


def listing(folder: Path) -> Sequence[str]:
    """The names in a folder, sorted; none if it cannot be read."""
    try:
        return sorted(entry.name for entry in folder.iterdir())
    except OSError:
        return ()


def asks_kind(path: Path) -> str:
    """The question what a path is."""
    return f"kind:{path}"


def asks_listing(folder: Path) -> str:
    """The question which names a folder holds."""
    return f"list:{folder}"


def asks_content(path: Path) -> str:
    """The question what a file holds."""
    return f"read:{path}"


def answer(question: str) -> str:
    """The disk's answer of now."""
    about, _, name = question.partition(":")
    path = Path(name)
    if about == "kind":
        return kind(path)
    if about == "list":
        return digest("\0".join(listing(path)).encode(errors="surrogateescape"))
    try:
        return digest(path.read_bytes())
    except OSError:
        return ""


def digest(data: bytes) -> str:
    """A short identity of some bytes."""
    return hashlib.blake2b(data, digest_size=20).hexdigest()
