"""A reference plus a penalty on the prediction: a loss of its own, of which nothing else is believed."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lossaudit.fuzz.doors import Door, Response
    from lossaudit.fuzz.recognition.search import Match, Search
    from lossaudit.fuzz.variants import Variant


def is_penalised(match: Match, search: Search) -> bool:
    """Whether a target is a reference plus a penalty on the prediction, which may show far out only."""
    answers = search.scales.told(match.door).answers
    return _only_adds(match.door, match.variant, answers, search) or (
        search.scales.reproduces_all(match.variant, answers) and has_penalty_far_out(match, search)
    )


def has_penalty_far_out(match: Match, search: Search) -> bool:
    """Whether what a target adds to a reference at the extremes is a penalty: on logits of more than a margin, say."""
    extreme = search.scales.told(match.door).extreme(match.variant.params)
    return _only_adds(match.door, match.variant, extreme, search)


def _only_adds(door: Door, variant: Variant, answers: Sequence[Response], search: Search) -> bool:
    """Whether a target is a reference plus a term of the prediction alone, wherever it is not the reference.

    Such a term is put there on purpose: a penalty on the weights of a hinge, or on too small a variance. What goes wrong
    in a loss depends on what is asked of it: with the targets of other samples, the difference is another one. A constant
    that comes and goes is no penalty.
    """
    terms: set[float | None] = set()
    proven = False
    for case, seen in answers:
        if search.scales.gives(variant, case, seen):
            continue
        added = search.scales.difference(variant, case, seen)
        terms.add(added if added is None else round(added, 4))
        turned = replace(case, target=case.target.roll(1, 0))
        if torch.equal(turned.target, case.target):
            continue
        other = door.subject.observe(turned, gradient=False, stage="probe")
        again = search.scales.difference(variant, turned, other)
        if added is None or again is None or not math.isclose(added, again, rel_tol=1e-4, abs_tol=1e-4):
            return False
        proven = True
    return proven and len(terms) > 1
