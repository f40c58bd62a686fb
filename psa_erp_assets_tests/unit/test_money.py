"""Money: exact until it is rounded once, never of two currencies, divided without a lost cent."""

import decimal
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from psa_erp_assets.domain.money import (
    CurrencyMismatchError,
    Money,
    Rounding,
    allocate,
    divide,
    exponent,
    for_minutes,
    multiply,
)

CURRENCIES = ("JPY", "USD", "KWD", "CLF")
UNITS = st.integers(-(10**18), 10**18)


def usd(amount: str) -> Money:
    return Money(Decimal(amount), "USD")


def test_fifty_minutes_at_a_hundred_are_83_33() -> None:
    """Edge case 25 (kimai#3282): hours rounded to two decimals would give 83.00."""
    assert for_minutes(usd("100"), 50).rounded(Rounding.HALF_UP) == usd("83.33")


def test_two_hours_at_50_and_20_with_conversion_rate_2() -> None:
    """ERPNext's figures: billing 100, costing 40, billing in base currency 200."""
    billing, costing = for_minutes(usd("50"), 120), for_minutes(usd("20"), 120)
    assert (billing, costing) == (usd("100"), usd("40"))
    assert billing.converted(Decimal(2), "EUR") == Money(Decimal(200), "EUR")


def test_three_and_two_hours_then_four_at_20() -> None:
    """Tryton's figures: 100, then 80 more, 180 in all."""
    first = for_minutes(usd("20"), 180) + for_minutes(usd("20"), 120)
    assert first == usd("100")
    assert first + for_minutes(usd("20"), 240) == usd("180")


def test_a_fixed_price_is_split_by_hours() -> None:
    """odoo#127875: 12.00 over 2 h and 1 h are 8.00 and 4.00."""
    assert allocate(usd("12.00"), [120, 60]) == [usd("8.00"), usd("4.00")]


def test_of_equal_remainders_the_earlier_part_is_served_first() -> None:
    """A split that depended on anything else would differ from run to run."""
    assert allocate(usd("0.02"), [1, 1, 1]) == [usd("0.01"), usd("0.01"), usd("0.00")]
    assert allocate(usd("-0.02"), [1, 1, 1]) == [usd("-0.01"), usd("-0.01"), usd("0.00")]


@pytest.mark.parametrize("weights", [[], [0, 0], [1, -1], [2, -1]])
def test_weights_that_divide_nothing_are_refused(weights: list[int]) -> None:
    """Money that no part gets would vanish."""
    with pytest.raises(ValueError, match="weights"):
        allocate(usd("1.00"), weights)


def test_what_is_not_rounded_is_not_divided() -> None:
    """The fraction of a cent would vanish."""
    with pytest.raises(ValueError, match="round it first"):
        allocate(usd("1.005"), [1, 1])


@given(
    total=UNITS,
    weights=st.lists(st.integers(0, 10**6), min_size=1, max_size=20).filter(any),
    currency=st.sampled_from(CURRENCIES),
)
def test_parts_sum_to_the_total_and_are_within_one_minor_unit(total: int, weights: list[int], currency: str) -> None:
    """A cap split, a fixed fee or a tax over lines would gain or lose money."""
    parts = [part.minor_units() for part in allocate(Money.from_minor_units(total, currency), weights)]
    assert sum(parts) == total
    for part, weight in zip(parts, weights, strict=True):
        assert abs(part - Fraction(total * weight, sum(weights))) < 1
        assert weight or part == 0


@given(total=UNITS, weights=st.lists(st.integers(0, 1000), min_size=1, max_size=8).filter(any))
def test_a_credit_is_divided_as_what_it_credits(total: int, weights: list[int]) -> None:
    """The credit of a split would leave cents on its parts."""
    money = Money.from_minor_units(total, "EUR")
    assert allocate(-money, weights) == [-part for part in allocate(money, weights)]


@given(units=UNITS, currency=st.sampled_from(CURRENCIES))
def test_minor_units_go_there_and_back(units: int, currency: str) -> None:
    """An exponent applied twice or not at all is a factor of a hundred."""
    money = Money.from_minor_units(units, currency)
    assert money.minor_units() == units
    assert money.rounded(Rounding.HALF_EVEN) == money


@pytest.mark.parametrize(("currency", "digits"), [("JPY", 0), ("USD", 2), ("KWD", 3), ("CLF", 4)])
def test_currencies_have_their_own_number_of_digits(currency: str, digits: int) -> None:
    """ISO 4217: yen have no cents, and Kuwaiti dinars a thousand fils."""
    assert exponent(currency) == digits
    assert Money(Decimal("1.23456"), currency).rounded(Rounding.HALF_UP).amount.as_tuple().exponent == -digits


@pytest.mark.parametrize("code", ["", "US", "usd", "USDD", "U5D", "ÄÖÜ", "U D"])
def test_what_is_no_currency_code_is_refused(code: str) -> None:
    """A misspelt currency would silently get two digits."""
    with pytest.raises(ValueError, match="three capital letters"):
        Money(Decimal(1), code)


@pytest.mark.parametrize("amount", ["NaN", "Infinity", "-Infinity", "sNaN"])
def test_what_is_no_amount_is_refused(amount: str) -> None:
    """A NaN in a sum makes the whole sum NaN, and no comparison fails."""
    with pytest.raises(ValueError, match="finite"):
        usd(amount)


@pytest.mark.parametrize(
    ("rounding", "amount", "expected"),
    [
        (Rounding.HALF_UP, "2.345", "2.35"),
        (Rounding.HALF_EVEN, "2.345", "2.34"),
        (Rounding.HALF_UP, "-2.345", "-2.35"),
        (Rounding.HALF_EVEN, "-2.345", "-2.34"),
        (Rounding.HALF_UP, "2.3449", "2.34"),
        (Rounding.HALF_EVEN, "2.355", "2.36"),
    ],
)
def test_a_half_is_rounded_as_the_erp_rounds_it(rounding: Rounding, amount: str, expected: str) -> None:
    """Edge case 10: half-up and half-even differ by a cent on one base in eight at 25 % tax."""
    assert usd(amount).rounded(rounding) == usd(expected)


@given(amount=st.decimals(allow_nan=False, allow_infinity=False, places=6, min_value=-(10**9), max_value=10**9))
def test_rounding_is_sign_symmetric(amount: Decimal) -> None:
    """A reversal that rounds otherwise than its original leaves a cent."""
    for rounding in Rounding:
        assert -usd(str(amount)).rounded(rounding) == (-usd(str(amount))).rounded(rounding)


def test_two_currencies_are_never_added() -> None:
    """Edge case 17 (erpnext#50390): a total over two currencies means nothing."""
    for operation in (Money.__add__, Money.__sub__):
        with pytest.raises(CurrencyMismatchError, match="two currencies"):
            operation(usd("1"), Money(Decimal(1), "EUR"))


def test_nothing_depends_on_the_ambient_decimal_context() -> None:
    """A library that lowers the precision would change invoices."""
    with decimal.localcontext(prec=3, rounding=decimal.ROUND_DOWN):
        assert -usd("12345.67") == usd("-12345.67")
        assert usd("12345.67") + usd("0.01") == usd("12345.68")
        assert usd("12345.675").rounded(Rounding.HALF_UP) == usd("12345.68")
        assert for_minutes(usd("12345.67"), 90).rounded(Rounding.HALF_UP) == usd("18518.51")
        assert multiply(Decimal("1234.5"), Decimal("1.001")) == Decimal("1235.7345")


def test_zero_has_no_sign() -> None:
    """A payload with "-0.00" would not be the payload with "0.00"."""
    assert str((-usd("0.00")).amount) == "0.00"


def test_a_third_is_kept_to_fifty_digits() -> None:
    """Rounded early, an inverse rate loses cents on large amounts."""
    assert divide(Decimal(1), Decimal(3)) == Decimal("0." + "3" * 50)


@pytest.mark.parametrize(
    ("money", "shown"), [(usd("1234.5"), "1,234.50 USD"), (Money(Decimal(1234), "JPY"), "1,234 JPY")]
)
def test_money_is_shown_with_its_currency(money: Money, shown: str) -> None:
    """A number alone is read in the reader's own currency."""
    assert str(money) == shown
