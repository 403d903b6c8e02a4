"""What runs in the child: limits, then the target's import, then the engine. ``python -m lossaudit.fuzz.child DIR``."""

from __future__ import annotations

import functools
import gc
import os
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from lossaudit.fuzz import TargetError, wire

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lossaudit.fuzz.model import Case, Space
    from lossaudit.fuzz.subject import Interface

MEGABYTE = 1 << 20


class Announcer:
    """Tells the parent what is about to run, and refuses what killed an earlier child."""

    def __init__(self, board: wire.Blackboard, avoid: tuple[str, ...]) -> None:
        self.board = board
        self.avoid = frozenset(avoid)
        self.largest = wire.smallest_fatal_size(avoid)
        self.first = True  # nothing of the target has run yet

    def __call__(self, stage: str, case: Case | None, interface: Interface | None = None) -> None:
        """Announce one call; with no case, that none is running.

        Raises:
            Avoided: The call belongs to those that killed an earlier child.
        """
        if case is None:
            self.board.idle()
            return
        state = describe(case, interface)
        state["stage"] = stage
        if self.avoid:
            key = wire.avoid_key(state)
            if key in self.avoid or (stage != "probe" and wire.largest_number(state) >= self.largest):
                raise wire.Avoided(key)
        state["first"], self.first = self.first, False
        self.board.write(state)

    def several(
        self, stage: str, cases: Sequence[Case], interface: Interface
    ) -> Callable[[int], None] | None:
        """Write down many calls in one space at once, and return what tells which of them runs; None where one may have to be refused."""
        if self.avoid:
            return None
        calling = _calling(cases[0].space, interface)
        self.board.write_all([{"stage": stage, **_described(case, interface, *calling)} for case in cases])
        return self.board.turn_to


def describe(case: Case, interface: Interface | None) -> dict[str, Any]:
    """The input as JSON values, in the order of the call: for the finding of a crash, and for what is to be avoided."""
    return _described(case, interface, *_calling(case.space, interface))


def _described(
    case: Case, interface: Interface | None, space: Space, ordered: list[tuple[int, str]], named: str | None
) -> dict[str, Any]:
    packed = [case.prediction.tolist(), case.target.tolist()]
    parts, further = packed, {}
    if space.rearranged:
        parts = [part.tolist() for part in space.cut(case.prediction, case.target)]
        further = {"packed": packed}
    shape = list(case.prediction.shape)
    return {
        **further,
        "arguments": {name: parts[place] for place, name in ordered},
        "shapes": [shape, list(case.target.shape)],
        "integers": not case.target.is_floating_point(),
        "dtype": case.dtype,
        "shape": shape,
        "layout": case.layout,
        "space": case.space,
        "magnitude": case.magnitude,
        "targets": case.targets,
        "interface": named,
        "arrays": interface is not None and interface.arrays,
    }


@functools.cache
def _calling(name: str, interface: Interface | None) -> tuple[Space, list[tuple[int, str]], str | None]:
    """A space, its arguments in the order of the call, and the interface in words: all that is the same for each call."""
    from lossaudit.fuzz.spaces import all_spaces

    space = all_spaces()[name]
    ordered = list(enumerate(space.names))
    if interface is None:
        return space, ordered, None
    return space, interface.arranged(ordered), str(interface)


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

    wire.write_result(folder, _run(folder, request, board, on_event))


def _run(
    folder: Path, request: wire.Request, board: wire.Blackboard, on_event: Callable[[str], None]
) -> dict[str, Any]:
    try:
        _import_torch()
        _keep_notes_in(folder)
        from lossaudit.fuzz.ahead import Ahead
        from lossaudit.fuzz.engine import audit, replay
        from lossaudit.fuzz.target import builds, load, parse_target

        gc.disable()  # what is imported stays: to search for garbage among it costs a tenth of the import
        announcer = Announcer(board, request.avoid)
        limit_memory(request.options.memory_limit_mb)
        found = load(parse_target(request.target))
        made = builds(found, request.options.init)
        gc.freeze()
        gc.enable()
        board.idle()
        if request.replay is not None:
            message = replay(request.target, made, request.options, request.replay, announcer)
            return {"replay": {"failing": message is not None, "message": message or ""}}

        def apart() -> None:
            announcer.board = wire.Blackboard(folder / wire.AHEAD)

        with Ahead(apart) as ahead:
            report = audit(request.target, made, request.options, announcer, on_event, ahead=ahead)
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


def _keep_notes_in(folder: Path) -> None:
    """Hypothesis writes down the constants of the code that it runs for: not into the folder of the user."""
    from hypothesis.configuration import set_hypothesis_home_dir

    set_hypothesis_home_dir(folder / "hypothesis")


def run_and_leave(folder: Path) -> NoReturn:
    """Do what the request says and end the process: what the target left behind has no say any more."""
    try:
        main(folder)
        sys.stdout.flush()
    finally:
        os._exit(0)


if __name__ == "__main__":
    run_and_leave(Path(sys.argv[1]))
