"""What runs in the child: limits, then the target's import, then the engine. ``python -m lossaudit.fuzz.child DIR``."""

from __future__ import annotations

import os
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lossaudit.fuzz import TargetError, wire

if TYPE_CHECKING:
    from collections.abc import Callable

    from lossaudit.fuzz.model import Case
    from lossaudit.fuzz.subject import Interface

MEGABYTE = 1 << 20
SIZE_KEY = "size "


class Announcer:
    """Tells the parent what is about to run, and refuses what killed an earlier child."""

    def __init__(self, board: wire.Blackboard, avoid: tuple[str, ...]) -> None:
        self.board = board
        self.avoid = frozenset(avoid)
        sizes = [float(key.removeprefix(SIZE_KEY)) for key in avoid if key.startswith(SIZE_KEY)]
        self.largest = min(sizes, default=float("inf"))

    def __call__(self, stage: str, case: Case | None, interface: Interface | None = None) -> None:
        """Announce one call; with no case, that none is running.

        Raises:
            Avoided: The call belongs to those that killed an earlier child.
        """
        from lossaudit.fuzz.subject import Avoided

        if case is None:
            self.board.idle()
            return
        key = avoid_key(stage, case, interface)
        if key in self.avoid or (stage != "probe" and _size(case) >= self.largest):
            raise Avoided(key)
        self.board.write({"stage": stage, "key": key, **describe(case, interface)})


def avoid_key(stage: str, case: Case, interface: Interface | None) -> str:
    """What a crash says of other calls: while probing, the interface is suspect; later, the size or kind of input."""
    if stage == "fake-device" or interface is None:
        return stage
    if stage == "probe":
        return f"probe {interface}"
    if case.magnitude in {"right", "wrong", "large"} and _size(case) > 4:
        return f"{SIZE_KEY}{_size(case)!r}"
    single = case.prediction.shape[0] == 1
    return f"call {case.space} {case.targets} {case.dtype} {case.layout} {single}"


def _size(case: Case) -> float:
    return float(case.prediction.abs().max()) if case.prediction.numel() else 0.0


def describe(case: Case, interface: Interface | None) -> dict[str, Any]:
    """The input as JSON values, for the finding that a crash becomes; the arguments in the order of the call."""
    from lossaudit.fuzz.spaces import all_spaces

    space = all_spaces()[case.space]
    parts = dict(zip(space.names, space.cut(case.prediction, case.target), strict=True))
    names = list(space.names) if interface is None else interface.arranged(space.names)
    return {
        "arguments": {name: parts[name].tolist() for name in names},
        "dtype": case.dtype,
        "shape": list(case.prediction.shape),
        "layout": case.layout,
        "space": case.space,
        "arrays": interface is not None and interface.arrays,
    }


def limit_memory(megabytes: int) -> None:
    """Cap the address space at what is mapped now, plus the allowance. Where that cannot be asked, the parent watches."""
    try:
        import resource

        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        limit = pages * resource.getpagesize() + megabytes * MEGABYTE
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    except (ImportError, OSError, ValueError):
        return


def main(folder: Path) -> None:
    """Do what the request says and leave a result."""
    request = wire.Request.read(folder)
    board = wire.Blackboard(folder)
    board.write({"stage": "import"})

    def on_event(line: str) -> None:
        with (folder / wire.EVENTS).open("a", encoding="utf-8") as events:
            events.write(line.replace("\n", " ") + "\n")

    wire.write_result(folder, _run(request, board, on_event))


def _run(request: wire.Request, board: wire.Blackboard, on_event: Callable[[str], None]) -> dict[str, Any]:
    try:
        _import_torch()
        from lossaudit.fuzz.engine import audit
        from lossaudit.fuzz.target import builds, load, parse_target

        announcer = Announcer(board, request.avoid)
        limit_memory(request.options.memory_limit_mb)
        found = load(parse_target(request.target))
        made = builds(found, request.options.init)
        board.idle()
        report = audit(request.target, made, request.options, announcer, on_event)
        return {"report": wire.report_to_json(report)}
    except TargetError as error:
        return {"target_error": str(error)}
    except MemoryError:
        return {"memory": True}
    except Exception as error:  # noqa: BLE001 (a defect of ours must not look like one of the target)
        traceback.print_exc()
        return {"internal_error": f"{type(error).__name__}: {error}"}


def _import_torch() -> None:
    try:
        import hypothesis  # noqa: F401
        import numpy as np  # noqa: F401
        import torch  # noqa: F401
    except ModuleNotFoundError as error:
        raise TargetError(
            f"fuzzing needs {error.name}, which is not installed", "pip install 'lossaudit[fuzz]'"
        ) from None


if __name__ == "__main__":
    main(Path(sys.argv[1]))
    sys.stdout.flush()
    # Threads and exit handlers that the target left behind have no say any more.
    os._exit(0)
