from fractions import Fraction

import pytest

from lossaudit.check.reasoning.algebra import TooComplex, number, spelled, symbol

s, C = symbol("s"), symbol("C")


def test_what_is_equal_for_all_values_is_equal() -> None:
    on, off = number(1) - s + s / C, s / C
    assert (on + (C - number(1)) * off).equals(number(1))


def test_what_differs_somewhere_is_not_equal() -> None:
    on, off = number(1) - s, s / C
    assert not (on + (C - number(1)) * off).equals(number(1))


def test_floats_stand_for_the_decimals_that_were_written() -> None:
    assert (number(1 - 0.9) - number(0.1)).is_zero
    assert number(0.1 + 0.2).value == Fraction(3, 10)


def test_symbols_that_cancel_are_gone() -> None:
    assert (s * C / C).symbols == {"s"}
    assert (s - s).value == 0


def test_substitution() -> None:
    assert (s / (C - number(1))).substituted("C", number(11)).equals(s / number(10))


def test_a_symbol_that_may_be_zero_divides_only_where_it_is_not() -> None:
    with pytest.raises(ZeroDivisionError):
        (s / C).substituted("C", number(0))


def test_expressions_do_not_grow_without_end() -> None:
    total = number(0)
    for name in range(12):
        total = total + symbol(name)
    with pytest.raises(TooComplex):
        total * total * total


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (number(1) - s + C * s, "1 - s + C*s"),
        (s / C, "s / C"),
        (s / (C - number(1)), "s / (-1 + C)"),
        (number(0.9), "0.9"),
        (number(0), "0"),
    ],
)
def test_spelling(value: object, text: str) -> None:
    assert spelled(value, {"s": "s", "C": "C"}) == text  # type: ignore[arg-type]
