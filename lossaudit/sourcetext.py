"""Python source as text: how bytes are decoded, and what counts as a line.

Rows and columns of a :class:`~lossaudit.findings.Span` count lines as Python's tokenizer does: only newline, carriage
return and their pair end a line. ``str.splitlines`` also splits at form feeds and Unicode separators, which stand
inside strings and comments of real files.
"""

from __future__ import annotations

import re
import tokenize
from io import BytesIO

_LINE = re.compile(r"[^\r\n]*(?:\r\n|\n|\r)|[^\r\n]+")


def decode(source: bytes) -> tuple[str, str]:
    """The text of a Python file and its encoding (PEP 263; a byte order mark gives ``utf-8-sig``).

    Raises:
        SyntaxError: The encoding that the file declares is unknown, or contradicts the byte order mark.
        UnicodeDecodeError: The bytes are not text in that encoding.
    """
    encoding, _ = tokenize.detect_encoding(BytesIO(source).readline)
    return source.decode(encoding), encoding


def split_lines(text: str) -> list[str]:
    """The lines of ``text``, each with its end."""
    return _LINE.findall(text)
