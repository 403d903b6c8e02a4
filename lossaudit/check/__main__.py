"""``python -m lossaudit.check PATH...``: the bare engine, for those who work on it."""

from __future__ import annotations

import sys
from pathlib import Path

from lossaudit.check import CheckOptions, check_files


def main(arguments: list[str]) -> int:
    """Print the findings in the given files and folders, with their trails."""
    files: list[Path] = []
    for argument in arguments:
        path = Path(argument)
        files += sorted(path.rglob("*.py")) if path.is_dir() else [path]
    result = check_files(files, CheckOptions(debug=True))
    for finding in result.findings:
        start = finding.span.start
        sys.stdout.write(
            f"{finding.span.filename}:{start.row}:{start.column} {finding.code} {finding.message}\n"
        )
        for step in finding.trail:
            where = f"{step.span.filename}:{step.span.start.row}:{step.span.start.column}"
            sys.stdout.write(f"    {where} {step.message}\n")
    return 1 if result.findings else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
