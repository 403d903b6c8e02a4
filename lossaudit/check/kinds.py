"""What kind of number a tensor is, and the few facts about its shape and type that rules reason with."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Kind(str, Enum):
    """The kinds of number. ``UNKNOWN`` is silent: no rule may conclude anything from it."""

    UNKNOWN = "unknown"
    SCORE = "raw scores"
    PROBABILITY = "softmax probabilities"
    LOG_PROBABILITY = "log-probabilities"
    SIGMOID = "sigmoid probabilities"
    LOG_SIGMOID = "log-sigmoid values"
    RECTIFIED = "rectified values"
    TANH = "tanh values"
    INDEX = "class indices"
    ONE_HOT = "one-hot rows"
    HARD = "hard decisions"
    LOSS = "a loss"

    @property
    def is_probability(self) -> bool:
        """Values in [0, 1] that a softmax or a sigmoid made."""
        return self in (Kind.PROBABILITY, Kind.SIGMOID)


Dim = int | str | None
"""The length of a dimension: known, a symbol (equal symbols are equal lengths), or unknown."""


@dataclass(frozen=True, slots=True)
class Shape:
    """The last dimensions of a tensor; ``exact`` says that there are no further dimensions before them."""

    dims: tuple[Dim, ...]
    exact: bool

    @property
    def rank(self) -> int | None:
        """The number of dimensions, where it is known."""
        return len(self.dims) if self.exact else None

    @property
    def least_rank(self) -> int:
        """There are at least this many dimensions."""
        return len(self.dims)

    def index(self, dim: int) -> int | None:
        """The place of ``dim`` in :attr:`dims`, or None where that is not known or out of range."""
        if dim >= 0:
            return dim if self.exact and dim < len(self.dims) else None
        return len(self.dims) + dim if -dim <= len(self.dims) else None

    def at(self, dim: int) -> Dim:
        """The length of dimension ``dim``."""
        place = self.index(dim)
        return None if place is None else self.dims[place]

    def replaced(self, dim: int, length: Dim) -> Shape | None:
        """The shape with another length at ``dim``; None where the place of ``dim`` is not known."""
        place = self.index(dim)
        if place is None:
            return None
        return Shape((*self.dims[:place], length, *self.dims[place + 1 :]), self.exact)


ANY_SHAPE = Shape((), exact=False)


def join_shapes(left: Shape, right: Shape) -> Shape:
    """What both shapes agree on."""
    common = min(len(left.dims), len(right.dims))
    pairs = zip(left.dims[len(left.dims) - common :], right.dims[len(right.dims) - common :], strict=True)
    dims = tuple(a if a == b else None for a, b in pairs)
    return Shape(dims, left.exact and right.exact and len(left.dims) == len(right.dims))


class Dtype(str, Enum):
    """The family of a tensor's element type, with the widths that rules ask for."""

    UNKNOWN = "unknown"
    FLOAT = "float"
    FLOAT16 = "float16"
    BFLOAT16 = "bfloat16"
    FLOAT32 = "float32"
    FLOAT64 = "float64"
    INT = "int"
    BOOL = "bool"

    @property
    def is_float(self) -> bool:
        """Whether it is certainly a floating-point type."""
        return self in _FLOATS

    @property
    def is_integral(self) -> bool:
        """Whether it is certainly an integer or boolean type."""
        return self in _INTEGERS


_FLOATS = (Dtype.FLOAT, Dtype.FLOAT16, Dtype.BFLOAT16, Dtype.FLOAT32, Dtype.FLOAT64)
_INTEGERS = (Dtype.INT, Dtype.BOOL)
