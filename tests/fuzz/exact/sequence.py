"""Connectionist temporal classification: the forward variables of Graves et al. 2006, section 4.1."""

from __future__ import annotations

import mpmath
import numpy as np

from exact.digits import Array, Exact, Params, log, number, softmax


def _alignments(p: Array, labels: Array, blank: int) -> Array:
    """The probability of all paths [T, C] that collapse to the labels."""
    extended = [blank]
    for label in labels:
        extended += [int(label), blank]
    forward = [mpmath.mpf(0)] * len(extended)
    for step, shares in enumerate(p):
        before = forward
        forward = []
        for place, symbol in enumerate(extended):
            # A path starts at the first blank or the first label; later it stays, advances, or leaps over a blank.
            reached = mpmath.mpf(place < 2) if step == 0 else sum(before[max(0, place - 1) : place + 1])
            if step and place > 1 and symbol != blank and symbol != extended[place - 2]:
                reached += before[place - 2]
            forward.append(reached * shares[symbol])
    return sum(forward[-2:])


def ctc(x: Array, target: Array, params: Params) -> Array:
    losses = []
    for scores, row in zip(x, target, strict=True):
        *labels, steps, count = row
        p = softmax(scores[:steps], axis=1)
        loss = -log(_alignments(p, labels[:count], params["blank"]))
        losses.append(number(0) if params["zero_infinity"] and loss == mpmath.inf else loss)
    return np.array(losses, dtype=object)


EXACT = {"ctc": Exact(ctc, ({"zero_infinity": True}, {"blank": 2}), largest=15)}
