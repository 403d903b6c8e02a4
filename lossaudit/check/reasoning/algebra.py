"""Exact arithmetic on numbers of which some are known and others are symbols: quotients of polynomials.

The share that a smoothed label gives to a class is such a number: ``1 - s + s / C``. Two of them are equal for all values of
their symbols if and only if their difference is zero here.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from fractions import Fraction

Symbol = Hashable
Monomial = frozenset[tuple[Symbol, int]]
Polynomial = Mapping[Monomial, Fraction]

MAX_MONOMIALS = 60
"""A polynomial longer than this is no formula that anybody would have written as a weight."""
_ONE: Monomial = frozenset()
_PRECISION = 10**7


class TooComplex(Exception):  # noqa: N818 (it ends a reading, it is not an error)
    """The expression has outgrown what is worth following."""


def _plus(left: Polynomial, right: Polynomial, sign: int = 1) -> Polynomial:
    out = dict(left)
    for monomial, factor in right.items():
        out[monomial] = out.get(monomial, Fraction(0)) + sign * factor
    return _checked(out)


def _times(left: Polynomial, right: Polynomial) -> Polynomial:
    out: dict[Monomial, Fraction] = {}
    for first, a in left.items():
        for second, b in right.items():
            powers = dict(first)
            for symbol, power in second:
                powers[symbol] = powers.get(symbol, 0) + power
            monomial = frozenset(powers.items())
            out[monomial] = out.get(monomial, Fraction(0)) + a * b
    return _checked(out)


def _checked(terms: dict[Monomial, Fraction]) -> Polynomial:
    out = {monomial: factor for monomial, factor in terms.items() if factor}
    if len(out) > MAX_MONOMIALS:
        raise TooComplex
    return out


@dataclass(frozen=True, slots=True, eq=False)
class Ratio:
    """A quotient of two polynomials."""

    above: Polynomial
    below: Polynomial

    def __add__(self, other: Ratio) -> Ratio:
        if self.below == other.below:
            return _reduced(_plus(self.above, other.above), self.below)
        above = _plus(_times(self.above, other.below), _times(other.above, self.below))
        return _reduced(above, _times(self.below, other.below))

    def __sub__(self, other: Ratio) -> Ratio:
        return self + other * number(-1)

    def __mul__(self, other: Ratio) -> Ratio:
        return _reduced(_times(self.above, other.above), _times(self.below, other.below))

    def __truediv__(self, other: Ratio) -> Ratio:
        """The quotient.

        Raises:
            ZeroDivisionError: ``other`` is zero.
        """
        if not other.above:
            raise ZeroDivisionError
        return _reduced(_times(self.above, other.below), _times(self.below, other.above))

    def equals(self, other: Ratio) -> bool:
        """Whether both are the same for all values of their symbols."""
        return (self - other).is_zero

    @property
    def is_zero(self) -> bool:
        """Whether it is zero for all values of its symbols."""
        return not self.above

    @property
    def symbols(self) -> frozenset[Symbol]:
        """The symbols that occur in it."""
        return frozenset(s for part in (self.above, self.below) for monomial in part for s, _ in monomial)

    @property
    def value(self) -> Fraction | None:
        """The number that it is, where no symbol is left."""
        if self.symbols:
            return None
        return self.above.get(_ONE, Fraction(0)) / self.below[_ONE]

    def substituted(self, symbol: Symbol, replacement: Ratio) -> Ratio:
        """The same with ``replacement`` for ``symbol``."""
        if symbol not in self.symbols:
            return self
        return _evaluated(self.above, symbol, replacement) / _evaluated(self.below, symbol, replacement)


def _reduced(above: Polynomial, below: Polynomial) -> Ratio:
    """The quotient without the symbols that are factors of both, and with a leading one below."""
    if not above:
        return number(0)
    common = _common_factor([*above, *below])
    lead = below[next(iter(below))] if len(below) == 1 else Fraction(1)
    return Ratio(
        {_divided(monomial, common): factor / lead for monomial, factor in above.items()},
        {_divided(monomial, common): factor / lead for monomial, factor in below.items()},
    )


def _common_factor(monomials: list[Monomial]) -> Mapping[Symbol, int]:
    powers = [dict(monomial) for monomial in monomials]
    shared = set(powers[0]).intersection(*powers[1:])
    return {name: min(one[name] for one in powers) for name in shared}


def _divided(monomial: Monomial, factor: Mapping[Symbol, int]) -> Monomial:
    if not factor:
        return monomial
    return frozenset(
        (name, power - factor.get(name, 0)) for name, power in monomial if power > factor.get(name, 0)
    )


def _evaluated(polynomial: Polynomial, symbol: Symbol, replacement: Ratio) -> Ratio:
    total = number(0)
    for monomial, factor in polynomial.items():
        power = dict(monomial).get(symbol, 0)
        rest = frozenset(item for item in monomial if item[0] != symbol)
        product = Ratio({rest: factor}, {_ONE: Fraction(1)})
        for _ in range(power):
            product = product * replacement
        total = total + product
    return total


def number(value: float | Fraction) -> Ratio:
    """A known number; a float stands for the short decimal fraction that was meant."""
    exact = value if isinstance(value, Fraction) else Fraction(value).limit_denominator(_PRECISION)
    return Ratio({_ONE: exact} if exact else {}, {_ONE: Fraction(1)})


def symbol(name: Symbol) -> Ratio:
    """An unknown number."""
    return Ratio({frozenset({(name, 1)}): Fraction(1)}, {_ONE: Fraction(1)})


def spelled(value: Ratio, names: Mapping[Symbol, str]) -> str:
    """The expression as a reader would write it, with these names for its symbols."""
    above, below = _spelled(value.above, names), _spelled(value.below, names)
    if value.below == {_ONE: Fraction(1)}:
        return above
    above = f"({above})" if len(value.above) > 1 else above
    below = f"({below})" if len(value.below) > 1 or len(next(iter(value.below))) > 1 else below
    return f"{above} / {below}"


def _spelled(polynomial: Polynomial, names: Mapping[Symbol, str]) -> str:
    parts = [(sorted((names[s], p) for s, p in monomial), factor) for monomial, factor in polynomial.items()]
    parts.sort(key=lambda part: (len(part[0]), part[1] < 0, part[0]))
    text = ""
    for powers, factor in parts:
        letters = "*".join(name if power == 1 else f"{name}**{power}" for name, power in powers)
        size = _decimal(abs(factor))
        word = letters if letters and size == "1" else f"{size}*{letters}" if letters else size
        sign = "-" if factor < 0 else "+"
        text += f" {sign} {word}" if text else f"-{word}" if factor < 0 else word
    return text or "0"


def _decimal(value: Fraction) -> str:
    return f"{float(value):.6g}"
