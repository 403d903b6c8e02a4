"""Where lossaudit keeps what it remembers between runs: ``.lossaudit/`` in the folder of the configuration.

Everything in it can be deleted at any time, and git ignores it without being told.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

NAME = ".lossaudit"


def state_folder(base: Path, name: str) -> Path:
    """The folder ``.lossaudit/NAME`` below ``base``, made if it is missing.

    Raises:
        OSError: It cannot be made.
    """
    home = base / NAME
    home.mkdir(exist_ok=True)
    ignore = home / ".gitignore"
    if not ignore.exists():
        ignore.write_text("*\n", encoding="utf-8")
    folder = home / name
    folder.mkdir(exist_ok=True)
    return folder


def write_whole(file: Path, content: bytes) -> None:
    """Write under another name first: a reader, or another process that writes it too, never sees a part.

    Raises:
        OSError: It cannot be written.
    """
    waiting = file.with_name(f"{file.name}.{os.getpid()}.part")
    try:
        waiting.write_bytes(content)
        waiting.replace(file)
    except OSError:
        waiting.unlink(missing_ok=True)
        raise


def remove_state(base: Path) -> Path | None:
    """Delete ``.lossaudit`` below ``base``; None where there is none.

    Raises:
        OSError: It cannot be deleted.
    """
    home = base / NAME
    if not home.is_dir():
        return None
    shutil.rmtree(home)
    return home
