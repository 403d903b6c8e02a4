"""What a loss must leave as it is: the settings of torch and the seeds of everybody's random numbers."""

from __future__ import annotations

import contextlib
import io
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch


@dataclass(frozen=True, slots=True)
class Setting:
    """One piece of global state.

    Args:
        name: In words.
        read: Reads it; compared by equality.
        write: Puts it back.
    """

    name: str
    read: Callable[[], Any]
    write: Callable[[Any], object]


def _numpy_state() -> Any:
    state: Any = np.random.get_state(legacy=False)
    return (state["state"]["key"].tobytes(), state["state"]["pos"])


SETTINGS = (
    Setting("torch's default dtype", torch.get_default_dtype, torch.set_default_dtype),
    Setting("torch's number of threads", torch.get_num_threads, torch.set_num_threads),
    Setting(
        "torch's deterministic flag",
        torch.are_deterministic_algorithms_enabled,
        torch.use_deterministic_algorithms,
    ),
    Setting("torch's gradient mode", torch.is_grad_enabled, torch.set_grad_enabled),
    Setting("torch's anomaly detection", torch.is_anomaly_enabled, torch.autograd.set_detect_anomaly),
)
READERS = tuple(setting.read for setting in SETTINGS)
SEEDS = (
    Setting("the seed of torch's random numbers", torch.initial_seed, torch.manual_seed),
    Setting("Python's random numbers", random.getstate, random.setstate),
    Setting("NumPy's random numbers", _numpy_state, lambda _: None),
)


def seed_torch(seed: int) -> None:
    """Seed torch's random numbers on the CPU, where losses are judged.

    ``torch.manual_seed`` also leaves word for every kind of device that is not there, with a stack trace each: a millisecond.
    """
    torch.default_generator.manual_seed(seed)


def settings() -> list[Any]:
    """The settings of torch as they are now."""
    return [read() for read in READERS]


def put_back(values: list[Any]) -> None:
    """Write what differs only: setting the deterministic flag loads torch's compiler, which takes seconds."""
    if settings() == values:
        return
    for setting, value in zip(SETTINGS, values, strict=True):
        if setting.read() != value:
            setting.write(value)


@dataclass(frozen=True, slots=True)
class Traces:
    """What one call has left behind: ``changed`` in words, and what it ``printed``."""

    changed: tuple[str, ...]
    printed: str


def traces(call: Callable[[], object]) -> Traces:
    """Make a call, see what it changes and prints, and put it back.

    A call that draws random numbers moves their state: that is no trace. Seeding is: the call then gives the same state
    whatever the state was before.
    """
    before_all = settings()
    output = io.StringIO()
    states = []
    with (
        contextlib.redirect_stdout(output),
        contextlib.redirect_stderr(output),
        torch.random.fork_rng(devices=[]),
    ):
        for seed in (1234567, 7654321):
            seed_torch(seed)
            random.seed(seed)
            np.random.seed(seed)
            with contextlib.suppress(Exception, SystemExit):
                call()
            after = settings()
            states.append([seed_setting.read() for seed_setting in SEEDS])
            put_back(before_all)
    changed = [
        f"{setting.name} from {before} to {now}"
        for setting, before, now in zip(SETTINGS, before_all, after, strict=True)
        if before != now
    ]
    changed += [
        setting.name for setting, first, second in zip(SEEDS, *states, strict=True) if first == second
    ]
    return Traces(tuple(changed), output.getvalue())
