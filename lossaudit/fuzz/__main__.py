"""``python -m lossaudit.fuzz TARGET [SEED]``: the report as indented JSON, for those who work on the fuzzer."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict

from lossaudit.fuzz import FuzzOptions, fuzz_target


def _tell(line: str) -> None:
    sys.stderr.write(f"{line}\n")


def main() -> int:
    """Fuzz the targets of the command line."""
    status = 0
    for target in sys.argv[1:]:
        report = fuzz_target(target, FuzzOptions(), _tell)
        sys.stdout.write(json.dumps(asdict(report), indent=2) + "\n")
        status = max(status, {"conforms": 0, "diverges": 1, "error": 2}[report.verdict])
    return status


if __name__ == "__main__":
    sys.exit(main())
