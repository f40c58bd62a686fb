"""Quantities at which Tryton's arithmetic gives the decided amount."""

from decimal import ROUND_HALF_EVEN, Decimal

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from psa_erp_assets.adapters.connectors.tryton.quantity import NotExpressibleError, hours, minutes_of
from psa_erp_assets.domain.money import Money, Rounding, divide, for_minutes, multiply


def tryton_shows(quantity: Decimal, price: Decimal) -> Decimal:
    """Tryton's own arithmetic: the float's text as a decimal, times the price, half to even."""
    return (Decimal(str(float(quantity))) * price).quantize(Decimal("0.01"), ROUND_HALF_EVEN)


def test_fifty_minutes_at_a_hundred_are_83_33():
    """Two-decimal hours give 83.00 (kimai#3282)."""
    quantity = hours(50, Money(Decimal(100), "USD"), Money(Decimal("83.33"), "USD"))
    assert quantity == Decimal("0.8333333333")
    assert tryton_shows(quantity, Decimal(100)) == Decimal("83.33")


@given(
    minutes=st.integers(-6000, 6000),
    cents=st.integers(100, 100_000),
    rounding=st.sampled_from(Rounding),
    off=st.sampled_from([0, -1, 1]),
)
def test_any_amount_within_a_cent_of_the_rate_is_shown_exactly_and_its_minutes_read_back(minutes, cents, rounding, off):
    """Half cents, the other rounding and a cent moved by cumulative rounding must not become drift in the ERP."""
    price = Money(Decimal(cents).scaleb(-2), "USD")
    amount = for_minutes(price, minutes).rounded(rounding) + Money.from_minor_units(off, "USD")
    assume(Decimal("0.03") / price.amount < Decimal(1) / 120)
    quantity = hours(minutes, price, amount)
    assert tryton_shows(quantity, price.amount) == amount.amount
    assert minutes_of(Decimal(str(float(quantity)))) == minutes


@given(
    ten_thousandths=st.integers(1, 10_000_000),
    cents=st.integers(-1_000_000, 1_000_000),
)
@example(ten_thousandths=1_200_000, cents=300)  # exactly a minute and a half
@example(ten_thousandths=1_200_000, cents=500)  # two and a half
@example(ten_thousandths=1_200_000, cents=-500)
def test_what_a_cap_leaves_of_a_line_is_shown_exactly_with_the_minutes_it_comes_to(ten_thousandths, cents):
    """A cap cuts a line at any amount, and its minutes are that amount's: refused, the contract would never fill up."""
    price, amount = Money(Decimal(ten_thousandths).scaleb(-4), "USD"), Money.from_minor_units(cents, "USD")
    minutes = int(divide(multiply(amount.amount, Decimal(60)), price.amount).to_integral_value(ROUND_HALF_EVEN))
    assume(abs(minutes) <= 6_000_000)
    quantity = hours(minutes, price, amount)
    assert tryton_shows(quantity, price.amount) == amount.amount
    assert minutes_of(Decimal(str(float(quantity)))) == minutes


@pytest.mark.parametrize(("rate", "amount"), [("100", "90.00"), ("0", "1.00"), ("100", "83.333")])
def test_an_amount_that_the_rate_cannot_give_is_refused(rate, amount):
    """Sent anyway, it would show minutes that nobody worked."""
    with pytest.raises(NotExpressibleError):
        hours(50, Money(Decimal(rate), "USD"), Money(Decimal(amount), "USD"))


def test_a_currency_without_minor_units_is_rounded_to_whole_units():
    """Yen to two decimals would never be what Tryton shows."""
    assert hours(50, Money(Decimal(10_000), "JPY"), Money(Decimal(8333), "JPY")) == Decimal("0.8333333333")
