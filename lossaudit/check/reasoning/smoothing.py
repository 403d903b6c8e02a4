"""Which weights are those of smoothed labels, and which were meant to be and are not."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from lossaudit.check.reasoning.algebra import Ratio, Symbol, number, spelled, symbol
from lossaudit.check.reasoning.formulas import CLASSES, NOTHING, SAMPLES, WHOLE, Rows

TOLERANCE = Fraction(1, 100)
"""Rows of written-out decimals may miss one by this much: ``0.9 + 9 * 0.0111``."""
_FEWEST = 3
"""Of two classes, what one does not get is the other's: many wrong formulas are right there."""
_MANY_CLASSES = 1200

_count = symbol(CLASSES)


@dataclass(frozen=True, slots=True)
class Misfit:
    """Weights that were meant as smoothed one-hot rows: the label's, the others', and what they sum to."""

    on: str
    off: str
    total: str


def misfit(rows: Rows) -> Misfit | None:
    """The weights, if they take a share from the label's class and give the others something else than that share.

    Proven means: with no share taken they are the one-hot rows, they depend on that one share and the number of classes
    alone, and no share and no number of classes makes them sum to one.
    """
    if rows.soft or not rows.is_mixed:
        return None
    extra = sum(rows.at.values(), NOTHING)
    total = rows.every * _classes(rows) + extra
    if (total - WHOLE).is_zero:
        return None
    share = _share(rows.every, extra)
    if share is None or not _never_zero(total - WHOLE, share):
        return None
    names = {CLASSES: "C", share: "s"}
    return Misfit(spelled(rows.every + extra, names), spelled(rows.every, names), spelled(total, names))


def smoothing_of(rows: Rows) -> Ratio | None:
    """The share by which ``rows`` smooth one label, spread over all classes: what ``label_smoothing=`` takes."""
    if rows.soft or len(rows.at) != 1:
        return None
    share = rows.every * _classes(rows)
    return share if (sum(rows.at.values(), NOTHING) - (WHOLE - share)).is_zero else None


def _classes(rows: Rows) -> Ratio:
    known = next((length for length in rows.lengths if length.value is not None), None)
    return _count if known is None else known


_NUMERIC: Symbol = ("share",)


def _share(every: Ratio, extra: Ratio) -> Symbol | None:
    """The symbol of the share, or a stand-in where the share is a known number; None where this is no smoothing."""
    free = (every.symbols | extra.symbols) - {CLASSES}
    if SAMPLES in free or len(free) > 1 or extra.equals(WHOLE):
        return None  # nothing is taken from the label: a penalty on top, or an epsilon
    if not free:
        return _NUMERIC if _is_numeric_smoothing(every, extra) else None
    share = next(iter(free))
    for none in (NOTHING, WHOLE):
        if _at(extra, share, none).equals(WHOLE) and _at(every, share, none).is_zero:
            return share
    return None


def _at(value: Ratio, name: Symbol, known: Ratio) -> Ratio:
    try:
        return value.substituted(name, known)
    except ZeroDivisionError:
        return symbol(("undefined",))


def _is_numeric_smoothing(every: Ratio, extra: Ratio) -> bool:
    """Whether one number was taken from the label and used for the others."""
    for spread in (WHOLE, _count, _count - WHOLE):
        share = every * spread
        if share.value is None or not 0 < share.value < 1:
            continue
        if extra.equals(WHOLE - share) or (extra + every).equals(WHOLE - share):
            return True
    return False


def _never_zero(excess: Ratio, share: Symbol) -> bool:
    """Whether rows miss one for every share in (0, 1) and every number of classes from three on."""
    if excess.value is not None:
        return abs(excess.value) > TOLERANCE
    factor = _without_power(excess, share) if share in excess.symbols else excess
    if factor is None or factor.symbols - {CLASSES}:
        return False
    return all(not _at(factor, CLASSES, number(count)).is_zero for count in range(_FEWEST, _MANY_CLASSES))


def _without_power(excess: Ratio, share: Symbol) -> Ratio | None:
    """``excess`` as a multiple of the share or of its complement, divided by it; None where it is neither."""
    for mirrored in (False, True):
        turned = excess.substituted(share, WHOLE - symbol(share)) if mirrored else excess
        powers = {dict(monomial).get(share, 0) for monomial in turned.above}
        if len(powers) == 1 and powers != {0} and all(dict(m).get(share, 0) == 0 for m in turned.below):
            return _at(turned, share, WHOLE)
    return None
