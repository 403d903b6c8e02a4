"""What the analysis asks of the disk besides the files that it was given, in a form that can be asked again later.

Whether an import leads anywhere depends on which files and folders exist; a result that was remembered holds only while
the answers stay the same.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePath


def normal(path: Path) -> Path:
    """The absolute path."""
    return Path(path).absolute() if ".." not in PurePath(path).parts else Path(path).resolve()


def common_folder(files: Iterable[Path]) -> Path:
    """The deepest folder above all of ``files``."""
    folders = [list(path.parent.parts) for path in files]
    if not folders:
        return Path.cwd()
    common = folders[0]
    for parts in folders[1:]:
        length = next((i for i, (a, b) in enumerate(zip(common, parts, strict=False)) if a != b), None)
        common = common[: min(len(common), len(parts)) if length is None else length]
    return Path(*common)


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


def asks_name(path: Path) -> str:
    """The question how the run names a file that it was given; nothing if it was not."""
    return f"name:{path}"


class Given:
    """The files of a run, and the answers of now to what its units ask.

    Args:
        names: Where each file lies, and how it was named.
        digests: The identity of what each of them holds, as far as it can be read.
    """

    def __init__(self, names: Mapping[Path, str], digests: Mapping[Path, str]) -> None:
        self.names = names
        self._answers = {asks_content(path): digest for path, digest in digests.items()}

    def answer(self, question: str) -> str:
        """The answer of now."""
        known = self._answers.get(question)
        if known is None:
            known = self._answers[question] = self._find(question)
        return known

    def _find(self, question: str) -> str:
        about, _, name = question.partition(":")
        path = Path(name)
        if about == "kind":
            return kind(path)
        if about == "list":
            return digest_of_names(listing(path))
        if about == "name":
            return self.names.get(path, "")
        try:
            return digest(path.read_bytes())
        except OSError:
            return ""

    def agrees(self, answers: Mapping[str, str]) -> bool:
        """Whether others got the same answers; what had not been asked here is believed."""
        return all(
            self._answers.setdefault(question, answer) == answer for question, answer in answers.items()
        )


def digest_of_names(names: Sequence[str]) -> str:
    """A short identity of the names in a folder."""
    return digest("\0".join(names).encode(errors="surrogateescape"))


def digest(data: bytes) -> str:
    """A short identity of some bytes."""
    return hashlib.blake2b(data, digest_size=20).hexdigest()
