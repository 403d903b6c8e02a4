"""Environments of Gymnasium, and of Gym before it: what a step returns (Gymnasium 1.x, Gym 0.26 and earlier)."""

from __future__ import annotations

from lossaudit.check.contracts.schema import Framework

FRAMEWORK = Framework(
    name="gym",
    roots=("gym", "gymnasium"),
    factories=(("gymnasium.make", "gymnasium.Env"), ("gym.make", "gym.Env")),
    results=(
        # observation, reward, terminated, truncated, info
        ("gymnasium.Env.step", ("", "float", "bool", "bool", "")),
        # Gym 0.26 returns the same; before, the information came after `done`
        ("gym.Env.step", ("", "float", "bool", "", "")),
    ),
)
