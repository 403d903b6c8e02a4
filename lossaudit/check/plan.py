"""What is to be done for a set of files: which are worth analysing, and what their analysis must know of all of them."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable, Mapping
from pathlib import Path

from lossaudit.check import CheckOptions
from lossaudit.check.contracts import Contracts, load_contracts, mentioned
from lossaudit.check.looks import normal
from lossaudit.check.select import worth_parsing
from lossaudit.check.units import Setup, Task

_METHOD = re.compile(rb"^[ \t]+(?:async[ \t]+)?def[ \t]+(\w+)", re.MULTILINE)


def plan(
    given: Mapping[Path, str], sources: Mapping[Path, bytes], options: CheckOptions
) -> tuple[Setup, list[Task]]:
    """The setup of a run, and a task for each given file.

    Args:
        given: Where each file lies, and how it was named.
        sources: The Python in those of them that can be read.
        options: What is asked for.
    """
    frameworks = mentioned(sources.values())
    contracts = load_contracts(frameworks, options.contracts)
    selected = frozenset(worth_parsing(sources, contracts.vocabulary()))
    setup = Setup(
        token=secrets.token_hex(8),
        given=given,
        roots=tuple(normal(root) for root in options.roots),
        sources={normal(path): source for path, source in options.sources.items()},
        select=options.select,
        frameworks=frameworks,
        declared=options.contracts,
        methods=_methods(sources.values(), contracts),
        debug=options.debug,
    )
    return setup, [Task(path, path in selected, len(sources.get(path, b""))) for path in given]


def _methods(sources: Iterable[bytes], contracts: Contracts) -> frozenset[str]:
    """The methods that a class of the project defines and a tensor has too."""
    defined = {name.decode() for source in sources for name in _METHOD.findall(source)}
    known = contracts.methods.keys() | contracts.attributes.keys() | {"backward"}
    return frozenset(name for name in defined if name in known or name.removesuffix("_") in known)
