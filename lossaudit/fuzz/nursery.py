"""Children that need not import torch: one process imports it once, and every child is forked from it.

``python -m lossaudit.fuzz.nursery`` reads a folder a line from its standard input. For each it forks a keeper, which forks
the child and leaves its process id, and then its exit code, in the folder. The nursery imports no user code and never touches
a device, so what it forks is as good as new; it ends when its standard input does. Where there is no safe ``fork`` (anywhere
but Linux) each child is a fresh interpreter.
"""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from lossaudit.fuzz import wire

if TYPE_CHECKING:
    from collections.abc import Iterator

PID, EXIT = "pid", "exit"
START_SECONDS = 120.0
POLL_SECONDS = 0.01
OWNER_SECONDS = 1.0
"""How often a keeper looks whether the process that wants the child still runs."""


class Child(Protocol):
    """A process that runs one target."""

    pid: int

    def poll(self) -> int | None:
        """The exit code, or None while it runs; negative for a signal."""

    def kill(self) -> None:
        """End it."""

    def wait(self) -> int:
        """The exit code, once there is one."""


class Nursery:
    """Starts children. May be used from several threads; use it as a context manager, lest its process stay.

    Args:
        many: True when there will be many children: then also what only some of them need is imported beforehand.
        folder: The current folder of the children; None for that of this process.
    """

    def __init__(self, *, many: bool = False, folder: Path | None = None) -> None:
        self.many = many
        self.folder = folder
        self.lock = threading.Lock()
        self.server: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Nursery:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the process from which children are forked; children that run are their owners' business."""
        if self.server is not None:
            if self.server.stdin is not None:
                with contextlib.suppress(OSError):
                    self.server.stdin.close()
            self.server.kill()
            self.server.wait()
            self.server = None

    def start(self, folder: Path) -> Child:
        """Start a child on the request that lies in a folder."""
        if not can_fork():
            return _spawn(folder, self.folder)
        with self.lock:
            try:
                server = self._running()
                assert server.stdin is not None  # noqa: S101 (for the type checker)
                server.stdin.write(f"{folder}\n".encode())
                server.stdin.flush()
            except OSError:
                return _spawn(folder, self.folder)
        pid = _await_pid(folder, server)
        return _Forked(folder, pid) if pid is not None else _spawn(folder, self.folder)

    def _running(self) -> subprocess.Popen[bytes]:
        if self.server is None or self.server.poll() is not None:
            arguments = ["--many"] if self.many else []
            self.server = subprocess.Popen(  # noqa: S603 (our own module)
                [sys.executable, "-m", "lossaudit.fuzz.nursery", *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=environment(),
                cwd=self.folder,
                start_new_session=True,  # Ctrl-C is for the parent, which ends its children itself
            )
        return self.server


def can_fork() -> bool:
    """Whether forking a process that has imported torch is safe here."""
    return sys.platform == "linux" and hasattr(os, "fork")


def environment() -> dict[str, str]:
    """The environment of every child: our package first, one thread, and no randomness that differs from run to run."""
    home = str(Path(__file__).resolve().parents[2])
    paths = [home, *filter(None, [os.environ.get("PYTHONPATH")])]
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "PYTHONHASHSEED": "0", **threads}


def _spawn(folder: Path, current: Path | None) -> Child:
    """A child that is an interpreter of its own."""
    with (folder / wire.OUTPUT).open("wb") as output:
        return subprocess.Popen(  # noqa: S603 (our own module)
            [sys.executable, "-m", "lossaudit.fuzz.child", str(folder)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment(),
            cwd=current,
            start_new_session=True,
        )


class _Forked:
    """A forked child: it is not ours to wait for, so its keeper tells how it ended."""

    def __init__(self, folder: Path, pid: int) -> None:
        self.folder, self.pid = folder, pid

    def poll(self) -> int | None:
        """The exit code that the keeper has left."""
        try:
            return int((self.folder / EXIT).read_text(encoding="ascii"))
        except (OSError, ValueError):
            return None

    def kill(self) -> None:
        """End it, if it still runs."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(self.pid, signal.SIGKILL)

    def wait(self) -> int:
        """Wait for the keeper's word; it can only fail to come when the keeper was killed, too."""
        for _ in range(int(5 / POLL_SECONDS)):
            code = self.poll()
            if code is not None:
                return code
            time.sleep(POLL_SECONDS)
        return -int(signal.SIGKILL)


def _await_pid(folder: Path, server: subprocess.Popen[bytes]) -> int | None:
    """The child's process id; None when the nursery has died, or never gets so far."""
    started = time.monotonic()
    while time.monotonic() - started < START_SECONDS:
        with contextlib.suppress(OSError, ValueError):
            return int((folder / PID).read_text(encoding="ascii"))
        if server.poll() is not None:
            return None
        time.sleep(POLL_SECONDS)
    return None


def _serve(*, many: bool) -> None:
    """Import once, then fork a keeper for each line."""
    owner = os.getppid()
    gc.disable()  # what is imported stays, and so do the pages that children share as long as nobody writes to them
    _prepare(many=many)
    gc.freeze()
    gc.enable()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # keepers end unmourned
    for folder in _lines():
        if os.fork() == 0:
            _keep(Path(folder), owner)


def _prepare(*, many: bool) -> None:
    import torch

    # No thread may run while a process forks: small tensors need one only.
    torch.set_num_threads(1)
    from lossaudit.fuzz import child, engine, inputs
    from lossaudit.fuzz.mistakes import all_mistakes
    from lossaudit.fuzz.spaces import all_spaces

    all_mistakes()
    space = next(iter(all_spaces().values()))
    inputs.draw(space, inputs.Reach(classes=space.classes[:1]), 0, 1)  # Hypothesis loads its engine at first
    assert child  # noqa: S101 (imported for the children)
    assert engine  # noqa: S101 (likewise)
    if many:
        with contextlib.suppress(Exception):
            from torch._subclasses.fake_tensor import FakeTensorMode

            FakeTensorMode()  # loads half of torch's compiler, for the check of devices


def _lines() -> Iterator[str]:
    for line in sys.stdin.buffer:
        yield line.decode().rstrip("\n")


def _keep(folder: Path, owner: int) -> None:
    """Fork the child of one request, and leave word of how it ended. Does not return.

    Nobody watches a child whose owner was killed, so it is ended: a loss that hangs would run for ever.
    """
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    pid = os.fork()
    if pid == 0:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
        _become_child(folder)
    _leave(folder / PID, str(pid))
    while os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is None:
        if not _runs(owner):
            os.kill(pid, signal.SIGKILL)
        signal.sigtimedwait({signal.SIGCHLD}, OWNER_SECONDS)  # it comes at once when the child ends
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(
            pid, signal.SIGKILL
        )  # whatever the target has started; until it is waited for, the id is still its own
    _, status = os.waitpid(pid, 0)
    _leave(folder / EXIT, str(os.waitstatus_to_exitcode(status)))
    os._exit(0)


def _runs(pid: int) -> bool:
    """Whether there is a process of this id."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _leave(path: Path, text: str) -> None:
    """Write a file whole or not at all; its folder may be gone by now."""
    with contextlib.suppress(OSError):
        waiting = path.with_suffix(".part")
        waiting.write_text(text, encoding="ascii")
        waiting.replace(path)


def _become_child(folder: Path) -> None:
    """What a fresh interpreter would be: a session of its own, no input, output to a file. Does not return."""
    from lossaudit.fuzz import child

    os.setsid()
    output = os.open(folder / wire.OUTPUT, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, wanted in ((nothing, 0), (output, 1), (output, 2)):
        os.dup2(source, wanted)
    child.run_and_leave(folder)


if __name__ == "__main__":
    _serve(many="--many" in sys.argv)
