"""LF402: a loss leaves the process as it was."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from lossaudit.fuzz.model import Failure
from lossaudit.fuzz.surroundings import traces
from lossaudit.fuzz.trial import Check

if TYPE_CHECKING:
    from lossaudit.fuzz.trial import Trial


def surroundings_kept(trial: Trial) -> Failure | None:
    """A call changes no setting of torch and seeds nobody's random numbers. That it prints is told, not accused."""
    subject, case = trial.subject, trial.case
    unguarded = replace(subject, guarded=False)
    left = traces(lambda: unguarded.observe(case, gradient=False))
    words = left.printed.strip().splitlines()
    if words:
        note = f"it prints at each call, {words[0][:60]!r} for instance"
        if note not in trial.session.assumptions:
            trial.session.assumptions.append(note)
    if not left.changed:
        return None
    message = f"a call changes {', '.join(left.changed)}"
    return Failure("LF402", message, case, {"changes": list(left.changed)}, independent=True)


CHECKS = (Check("LF402", surroundings_kept, frequency="once", needs_reference=False),)
