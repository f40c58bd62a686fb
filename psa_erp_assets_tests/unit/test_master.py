"""Master data as of a date: rates, conversions, taxes, and never a guess where there is nothing."""

import datetime as dt
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from psa_erp_assets.domain.master import Conversion
from psa_erp_assets.domain.records import FxRate, TaxProfile
from psa_erp_assets_tests.support.facts import DAY, FIRST, bill_rate, cost_rate, fx_rate, make_master, money

LATER = DAY + dt.timedelta(days=7)


def rate_of(*rates: FxRate, pair: tuple[str, str] = ("USD", "GBP"), on: dt.date = DAY) -> Conversion | None:
    return make_master(fx_rates=rates).conversion(*pair, on)


def test_a_quoted_rate_is_taken_as_it_is() -> None:
    """It is the ERP's own, so that both convert alike."""
    rate = fx_rate("USD", "GBP", "0.7421")
    assert rate_of(rate) == Conversion(Decimal("0.7421"), (rate.id,))


def test_the_other_way_round_it_is_inverted() -> None:
    """Pounds to dollars at the rate of dollars to pounds would be wrong by almost half."""
    found = rate_of(fx_rate("GBP", "USD", "1.25"))
    assert found is not None
    assert found.rate == Decimal("0.8")


@pytest.mark.parametrize(
    "rates",
    [
        pytest.param((("USD", "GBP", "0.75"), ("USD", "CHF", "0.90")), id="both from the common currency"),
        pytest.param((("GBP", "USD", "1.25"), ("CHF", "USD", "1.00")), id="both into the common currency"),
        pytest.param((("GBP", "USD", "1.25"), ("USD", "CHF", "0.90")), id="one each way"),
    ],
)
def test_two_currencies_meet_in_a_third(rates: tuple[tuple[str, str, str], ...]) -> None:
    """Francs in London would be held for ever where each is quoted against the dollar alone."""
    quotes = {(a, b): Decimal(rate) for a, b, rate in rates}
    into = quotes.get(("GBP", "USD")) or 1 / quotes["USD", "GBP"]
    out_of = quotes.get(("USD", "CHF")) or 1 / quotes["CHF", "USD"]
    found = rate_of(*(fx_rate(*rate) for rate in rates), pair=("GBP", "CHF"))
    assert found is not None
    assert found.rate == pytest.approx(into * out_of)
    assert len(found.rate_ids) == 2


def test_a_missing_rate_is_never_one() -> None:
    """Edge case 17: a franc would be billed as a pound."""
    assert rate_of(fx_rate("USD", "GBP", "0.75"), pair=("USD", "SEK")) is None
    assert rate_of(fx_rate("USD", "GBP", "0.75"), pair=("GBP", "SEK")) is None
    assert rate_of() is None


@pytest.mark.parametrize("pair", [("USD", "GBP"), ("GBP", "USD")])
def test_a_rate_of_nought_is_a_missing_rate(pair: tuple[str, str]) -> None:
    """ERPs accept it: a whole partition would fail to divide by it, or be worth nothing."""
    assert rate_of(fx_rate("USD", "GBP", "0"), pair=pair) is None
    assert rate_of(fx_rate("USD", "GBP", "0.75"), fx_rate("USD", "GBP", "0", DAY), pair=pair) is None


def test_one_currency_needs_no_rate() -> None:
    """A company would need a rate of its own currency."""
    assert rate_of(pair=("GBP", "GBP")) == Conversion(Decimal(1), ())


@given(days=st.lists(st.integers(0, 60), min_size=1, max_size=6, unique=True), asked=st.integers(-5, 65))
def test_the_latest_rate_on_or_before_the_date_counts(days: list[int], asked: int) -> None:
    """A rate of tomorrow, or one that another has followed, makes another amount at every sync."""
    on = FIRST + dt.timedelta(days=asked)
    found = rate_of(*(fx_rate("USD", "GBP", str(1 + day), FIRST + dt.timedelta(days=day)) for day in days), on=on)
    known = [day for day in days if day <= asked]
    assert (found.rate if found else None) == (1 + max(known) if known else None)


def test_the_persons_rate_comes_before_the_projects() -> None:
    """Everybody would be billed at one rate, or nobody whose rate is not their own."""
    everybody, hers = bill_rate("100.00"), bill_rate("150.00", employee="EMP-0001")
    master = make_master(bill_rates=(everybody, hers))
    assert master.bill_rate("PRJ-0001", "EMP-0001", DAY) == hers
    assert master.bill_rate("PRJ-0001", "EMP-0002", DAY) == everybody
    assert master.bill_rate("PRJ-0002", "EMP-0001", DAY) is None


def test_a_rate_holds_from_its_first_day_to_its_last() -> None:
    """Edge case 11: a raise would change what the weeks before it cost."""
    old = cost_rate("60.00", id="a", valid_to=DAY)
    new = cost_rate("70.00", id="b", valid_from=DAY + dt.timedelta(days=1))
    master = make_master(cost_rates=(new, old))
    found = [master.cost_rate("EMP-0001", day) for day in (FIRST, DAY, DAY + dt.timedelta(days=1), LATER)]
    assert [rate.per_hour if rate else None for rate in found] == [
        money(amount, "USD") for amount in ("60.00", "60.00", "70.00", "70.00")
    ]
    assert master.cost_rate("EMP-0001", FIRST - dt.timedelta(days=1)) is None


def test_a_countrys_own_tax_comes_before_that_of_all_others() -> None:
    """Exports would be taxed, or home sales not."""

    def profile(country: str) -> TaxProfile:
        return TaxProfile(
            id=country, legal_entity="UK", customer_country=country, erp_tax=country, rate=Decimal(0), active=True
        )

    master = make_master(tax_profiles=(profile("*"), profile("GB")))
    assert master.tax_profile("UK", "GB") == profile("GB")
    assert master.tax_profile("UK", "FR") == profile("*")
    assert master.tax_profile("DE", "FR") is None
