"""From paths to the Python files and notebooks below them, as a user of git expects.

Excluded folders and what ``.gitignore`` names are passed over; a file that is named on the command line is always
taken, unless ``force_exclude`` says otherwise. Links to folders are not followed, so a loop of links cannot trap us.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pathspec import GitIgnoreSpec

from lossaudit.notebooktext import SUFFIX as NOTEBOOK_SUFFIX

SUFFIXES = frozenset({".py", ".pyw", NOTEBOOK_SUFFIX})

DEFAULT_EXCLUDE = (
    ".bzr", ".direnv", ".eggs", ".git", ".hg", ".ipynb_checkpoints", ".lossaudit", ".mypy_cache", ".nox",
    ".pytest_cache", ".ruff_cache", ".svn", ".tox", ".venv", "__pycache__", "__pypackages__", "build", "dist",
    "node_modules", "site-packages", "venv",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Exclusion:
    """What discovery leaves out. ``exclude`` holds patterns in the syntax of ``.gitignore``, relative to ``base``."""

    base: Path
    exclude: tuple[str, ...] = DEFAULT_EXCLUDE
    respect_gitignore: bool = True
    force: bool = False

    def spec(self) -> GitIgnoreSpec:
        """The compiled patterns."""
        return GitIgnoreSpec.from_lines(self.exclude)

    def refuses(self, path: Path) -> bool:
        """Whether a file is left out although it was named."""
        return self.force and self.spec().match_file(_relative(path, self.base))


@dataclass(slots=True)
class Discovery:
    """The files found, sorted and without repetition, and the paths that could not be opened, with the reason."""

    files: list[Path] = field(default_factory=list)
    failures: list[tuple[Path, str]] = field(default_factory=list)


def discover(paths: Sequence[Path], exclusion: Exclusion) -> Discovery:
    """All Python files that ``paths`` name or hold. Never raises: what cannot be opened becomes a failure."""
    found = Discovery()
    spec = exclusion.spec()
    seen: set[Path] = set()
    for path in paths:
        try:
            is_directory = path.stat() and path.is_dir()
        except OSError as error:
            found.failures.append((path, _reason(error)))
            continue
        if is_directory:
            candidates = _walk(path, spec, exclusion, found)
        elif exclusion.refuses(path):
            continue
        else:
            candidates = iter([path])
        for candidate in candidates:
            if candidate not in seen:
                seen.add(candidate)
                found.files.append(candidate)
    found.files.sort()
    return found


def _walk(root: Path, spec: GitIgnoreSpec, exclusion: Exclusion, found: Discovery) -> Iterator[Path]:
    def failed(error: OSError) -> None:
        found.failures.append((Path(error.filename), _reason(error)))

    ignores = _inherited_ignores(root) if exclusion.respect_gitignore else {}
    for folder, subfolders, names in os.walk(root, onerror=failed):
        here = Path(folder)
        if exclusion.respect_gitignore and ".gitignore" in names:
            ignores[here] = _read_gitignore(here / ".gitignore")
        applicable = [
            (base, ignore) for base, ignore in ignores.items() if base == here or base in here.parents
        ]

        def left_out(
            path: Path, suffix: str = "", rules: list[tuple[Path, GitIgnoreSpec]] = applicable
        ) -> bool:
            if spec.match_file(_relative(path, exclusion.base) + suffix):
                return True
            return any(ignore.match_file(_relative(path, base) + suffix) for base, ignore in rules)

        subfolders[:] = sorted(name for name in subfolders if not left_out(here / name, "/"))
        for name in sorted(names):
            path = here / name
            if path.suffix in SUFFIXES and not left_out(path):
                yield path


def _inherited_ignores(root: Path) -> dict[Path, GitIgnoreSpec]:
    """The ``.gitignore`` files above ``root``, up to the top of its git repository."""
    ignores: dict[Path, GitIgnoreSpec] = {}
    absolute = root.absolute()
    above = [absolute, *absolute.parents]
    top = next((index for index, folder in enumerate(above) if (folder / ".git").exists()), None)
    if top is None:
        return ignores
    for folder in above[1 : top + 1]:
        if (folder / ".gitignore").is_file():
            ignores[folder] = _read_gitignore(folder / ".gitignore")
    if root.is_absolute():
        return ignores
    return {Path(os.path.relpath(folder)): ignore for folder, ignore in ignores.items()}


def _read_gitignore(path: Path) -> GitIgnoreSpec:
    try:
        return GitIgnoreSpec.from_lines(path.read_text(encoding="utf-8", errors="replace").splitlines())
    except OSError:
        return GitIgnoreSpec.from_lines([])


def _relative(path: Path, base: Path) -> str:
    return Path(os.path.relpath(path, base)).as_posix()


def _reason(error: OSError) -> str:
    return error.strerror or str(error)
