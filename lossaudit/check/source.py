"""The text of a file, and its compact form by the front end that serves for it."""

from __future__ import annotations

import io
import re
import tokenize
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lossaudit.check import ir

MAX_NESTING = 600
"""Deeper than this LibCST, which takes 200 kB of stack a level, is not asked to go. CPython's own parser stops by itself."""
MAX_FILE_BYTES = 20_000_000
"""A larger file is data that happens to be called .py."""
TOO_DEEP = "the code is nested too deeply to be analysed"
NEWLINE = re.compile(r"\r\n|\r|\n")
"""What ends a row for Python; :meth:`str.splitlines` knows more."""
_NESTING = re.compile(r"[()\[\]{},;\n]|\*\*|[-+~](?=\s*[-+~])|\b(?:lambda|not|await|else)\b")


class SourceError(Exception):
    """A file that cannot be read as Python: ``code`` is the E-code, ``row`` and ``column`` count from 1."""

    def __init__(self, code: str, message: str, row: int = 1, column: int = 1) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.row = row
        self.column = column


def read(path: Path) -> bytes:
    """The bytes of a file.

    Raises:
        SourceError: E003, it cannot be read.
    """
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise SourceError("E003", f"larger than {MAX_FILE_BYTES // 1_000_000} MB: not read")
        return path.read_bytes()
    except OSError as error:
        raise SourceError("E003", f"cannot be read: {error.strerror or error}") from error


def decode(source: bytes) -> str:
    """Decode as Python does: by byte order mark, coding comment, or UTF-8.

    Raises:
        SourceError: E002, the bytes do not decode or the declared encoding does not exist.
    """
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(source).readline)
    except SyntaxError as error:
        is_declared = b"coding" in b"".join(source.split(b"\n", 2)[:2])
        reason = str(error) if is_declared else "it is not UTF-8, and no other is declared"
        raise SourceError("E002", f"the source encoding is not usable: {reason}") from error
    if b"\0" in source:
        row = source.count(b"\n", 0, source.index(b"\0")) + 1
        raise SourceError(
            "E002", "null bytes: this is binary data, or text in UTF-16; Python reads neither", row
        )
    try:
        return source.decode(encoding)
    except UnicodeDecodeError as error:
        before = source[: error.start]
        row = before.count(b"\n") + 1
        column = len(before) - (before.rfind(b"\n") + 1) + 1
        message = f"byte 0x{source[error.start]:02x} is not valid {encoding}"
        raise SourceError("E002", message, row, column) from error


def refuse_deep_nesting(text: str) -> None:
    """Raise for code that would overflow LibCST's stack: brackets in brackets, and operators whose operand is all that follows.

    What stands in strings counts too: real text never comes near the limit.

    Raises:
        SourceError: E001.
    """
    open_operators = [0]  # in each bracket that is open, since the last comma in it
    depth = 0
    for match in _NESTING.finditer(text):
        piece = match.group()
        if piece in "([{":
            open_operators.append(0)
            depth += 1
        elif piece in ")]}":
            if len(open_operators) > 1:
                depth -= open_operators.pop() + 1
        elif piece not in ",;\n":
            open_operators[-1] += 1
            depth += 1
        elif piece != "\n" or (len(open_operators) == 1 and text[match.start() - 1] != "\\"):
            depth -= open_operators[-1]
            open_operators[-1] = 0
        if depth > MAX_NESTING:
            row = text.count("\n", 0, match.start()) + 1
            column = match.start() - (text.rfind("\n", 0, match.start()) + 1) + 1
            raise SourceError("E001", TOO_DEEP, row, column)


def lower(source: bytes) -> ir.ModuleIR:
    """The compact form of a file: a pure function of its bytes and of the running Python.

    Raises:
        SourceError: The file is not valid Python.
        RecursionError: The file is nested too deeply for the walk.
    """
    from lossaudit.check import lower_ast  # noqa: PLC0415 (what is remembered is told without it)

    text = decode(source)
    try:
        return lower_ast.lower(text)
    except lower_ast.Unsupported:
        from lossaudit.check import lower as by_libcst  # noqa: PLC0415 (slow to import, and rarely needed)

        return by_libcst.lower(text)


def pythons_complaint(text: str) -> SourceError | None:
    """What the running Python says of text that is none: its words help more than a list of expected tokens."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            compile(text, "<source>", "exec", dont_inherit=True, flags=_ONLY_AST)
    except SyntaxError as error:
        return SourceError("E001", error.msg, error.lineno or 1, max(error.offset or 1, 1))
    except (ValueError, MemoryError, RecursionError):
        return None
    return None


def check_syntax(source: bytes) -> None:
    """Raise if ``source`` is not Python.

    Raises:
        SourceError: E001 or E002.
    """
    text = decode(source)
    try:
        compile(text, "<source>", "exec", dont_inherit=True, flags=_ONLY_AST)
    except (
        MemoryError,
        RecursionError,
    ) as error:  # LibCST's stack would overflow, and take the process with it
        raise SourceError("E001", TOO_DEEP) from error
    except (SyntaxError, ValueError):
        from lossaudit.check.lower import parse  # noqa: PLC0415 (LibCST is slow to import and not needed for good files)

        parse(source)  # newer syntax than the running Python's is not an error


_ONLY_AST = 0x400  # ast.PyCF_ONLY_AST
