"""Which argument of a call is which: from the names of its parameters, where these tell, else every order is tried.

A loss on anchor, positive and negative takes the same three tensors in any order, and with two of them exchanged it is
another loss that may be right for all that probing can say. What its author calls them decides.
"""

from __future__ import annotations

import inspect
import itertools
import re
from typing import TYPE_CHECKING, Any

from torch import nn

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from lossaudit.fuzz.model import Part, Space

WORD = re.compile(r"[a-z]+|[0-9]+")
SIDES = frozenset(
    {"real", "fake", "generated", "pos", "neg", "positive", "negative", "positives", "negatives"}
    | {"chosen", "rejected", "preferred", "winner", "loser", "better", "worse"}
)
POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def orders(space: Space, loss: Callable[..., Any], bound: Collection[str] = ()) -> list[tuple[int, ...]]:
    """The orders in which a loss may want the parts of a space, the likeliest first.

    Args:
        space: A space of several parts.
        loss: The target.
        bound: Names of arguments that are given by keyword.

    Returns:
        Permutations of the parts; none where the loss cannot be called with so many arguments; one where the names settle it.
    """
    count = len(space.parts)
    every = list(itertools.permutations(range(count)))
    known = signature(loss)
    if known is None:
        return every
    parameters = [p for p in known.parameters.values() if p.kind in POSITIONAL and p.name not in bound]
    required = sum(p.default is inspect.Parameter.empty for p in parameters)
    many = any(p.kind is inspect.Parameter.VAR_POSITIONAL for p in known.parameters.values())
    if required > count or (len(parameters) < count and not many):
        return []
    names = [p.name for p in parameters[:count]]
    places = [_place(name, space.parts) for name in names]
    if any(place is None for place in places[required:]):
        return []  # an optional argument is only filled when its name says with what
    return [order for order in every if _respects(order, places)]


def mean_otherwise(space: Space, loss: Callable[..., Any], bound: Collection[str] = ()) -> bool:
    """Whether the names of a loss's parameters say that they are something else than the parts of a space."""
    known = signature(loss)
    names = [] if known is None else [name for name in known.parameters if name not in bound]
    names = names[: len(space.parts)]
    return any(
        _means(name, part.excludes) and _plain(name) not in map(_plain, part.aliases)
        for name in names
        for part in space.parts
    )


def are_rivals(loss: Callable[..., Any]) -> bool:
    """Whether the first two arguments are called sides of which neither is the other's target: real and fake, say.

    A critic's mean of one minus the mean of the other is right, and would be a squared error without the square.
    """
    known = signature(loss)
    names = [] if known is None else list(known.parameters)[:2]
    sides = [set(WORD.findall(name.lower())) & SIDES for name in names]
    return len(sides) == 2 and all(sides) and not sides[0] & sides[1]


def signature(loss: Callable[..., Any]) -> inspect.Signature | None:
    """What a loss is called with; None where it does not tell."""
    try:
        return inspect.signature(loss.forward if isinstance(loss, nn.Module) else loss)
    except (TypeError, ValueError):
        return None


def _respects(order: tuple[int, ...], places: list[int | None]) -> bool:
    """Whether an order puts every part that the names settle where they say. Names of one part twice settle nothing."""
    settled = [place for place in places if place is not None]
    if len(set(settled)) < len(settled):
        return True
    return all(place is None or order[position] == place for position, place in enumerate(places))


def _place(name: str, parts: tuple[Part, ...]) -> int | None:
    """Which part a parameter name means: by the whole name first, else by a word in it, if only one part has it."""
    plain = _plain(name)
    whole = [place for place, part in enumerate(parts) if plain in map(_plain, part.aliases)]
    if len(whole) == 1:
        return whole[0]
    worded = [
        place for place, part in enumerate(parts) if set(WORD.findall(name.lower())) & set(part.aliases)
    ]
    return worded[0] if len(worded) == 1 else None


def _means(name: str, aliases: tuple[str, ...]) -> bool:
    return _plain(name) in map(_plain, aliases) or bool(set(WORD.findall(name.lower())) & set(aliases))


def _plain(name: str) -> str:
    return name.lower().replace("_", "")
