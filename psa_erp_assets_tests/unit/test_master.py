"""Master data as of a date: rates, conversions, taxes, and never a guess where there is nothing."""

import datetime as dt
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from psa_erp_assets.domain.master import Conversion, Work
from psa_erp_assets.domain.records import Amendment, FxRate, TaxProfile
from psa_erp_assets.domain.terms import ContractKind
from psa_erp_assets.domain.values import replace
from psa_erp_assets_tests.support.facts import (
    CARD,
    CONTRACT,
    DAY,
    FIRST,
    TAX,
    bill_rate,
    card_line,
    cost_rate,
    fx_rate,
    make_master,
    money,
)

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


def test_a_persons_rate_and_the_projects_are_kept_apart() -> None:
    """Everybody would be billed at one person's rate, or at that of another project."""
    everybody, hers = bill_rate("100.00"), bill_rate("150.00", employee="EMP-0001")
    master = make_master(bill_rates=(everybody, hers))
    assert master.project_rate("PRJ-0001", None, DAY) == everybody
    assert master.project_rate("PRJ-0001", "EMP-0001", DAY) == hers
    assert master.project_rate("PRJ-0001", "EMP-0002", DAY) is None
    assert master.project_rate("PRJ-0002", None, DAY) is None


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


def test_where_two_rates_hold_the_later_one_counts_in_any_order() -> None:
    """The order in which a source lists its rates would decide what is billed."""
    old, new, twin = bill_rate(id="b"), bill_rate("120.00", id="d", valid_from=DAY), bill_rate(id="c", valid_from=DAY)
    for rates in ((old, new, twin), (twin, new, old), (new, old, twin)):
        master = make_master(bill_rates=rates)
        assert master.project_rate("PRJ-0001", None, LATER) == twin
        assert master.project_rate("PRJ-0001", None, FIRST) == old


def test_two_rates_of_one_day_convert_alike_in_any_order() -> None:
    """A re-read of the same rates would re-plan a month."""
    rates = replace(fx_rate("USD", "GBP", "0.75"), id="a"), replace(fx_rate("USD", "GBP", "0.76"), id="b")
    assert rate_of(*rates) == rate_of(*reversed(rates)) == Conversion(Decimal("0.76"), ("b",))


def test_a_card_line_is_found_by_card_and_by_whether_it_names_the_project() -> None:
    """Lines for a project come before the PSA's rate of the project, all others after it."""
    projects, everybody = card_line(project_id="PRJ-0001"), card_line(role="Principal")
    own = card_line(contract_id="CTR-0001", project_id="PRJ-0001")
    master = make_master(rate_cards=(everybody, own, projects))
    work = Work("PRJ-0001", None, "EMP-0001", "Principal")
    assert master.card_line(CARD, work, DAY, naming_project=True) == projects
    assert master.card_line(CARD, work, DAY, naming_project=False) == everybody
    assert master.card_line("another", work, DAY, naming_project=False) is None
    assert master.contract_line("CTR-0001", work, DAY) == own
    assert master.contract_line("CTR-0002", work, DAY) is None
    assert (master.has_rate_card(CARD), master.has_rate_card("another")) == (True, False)


def test_a_contract_without_amendments_is_the_record_itself() -> None:
    """A copy an entry would cost more than the pricing of it."""
    master = make_master()
    assert master.contract_as_of("CTR-0001", DAY) is CONTRACT
    assert master.contract_as_of("CTR-0002", DAY) is None
    assert master.contract_as_of(None, DAY) is None


@given(days=st.lists(st.integers(0, 60), max_size=5), asked=st.integers(-5, 65))
def test_a_contract_as_of_a_date_is_what_its_record_says(days: list[int], asked: int) -> None:
    """Work would be billed on terms that were not yet, or not any more, agreed."""
    changes: tuple[dict[str, Any], ...] = (
        {"legal_entity": "US"},
        {"customer_id": "CUS-0002"},
        {"kind": ContractKind.NON_BILLABLE},
        {"valid_to": LATER},
        {},
    )
    amended = replace(
        CONTRACT,
        amendments=tuple(
            Amendment(id=f"A{n}", effective_from=FIRST + dt.timedelta(days=day), **changes[n])
            for n, day in enumerate(days)
        ),
    )
    on = FIRST + dt.timedelta(days=asked)
    master = make_master(contracts=(amended,))
    assert master.contract_as_of("CTR-0001", on) == amended.as_of(on)
    assert master.contract_as_of("CTR-0001", on) is master.contract_as_of("CTR-0001", on)
    assert master.contract("CTR-0001") is amended


def test_a_tax_profile_of_a_supply_comes_before_the_general_one() -> None:
    """Passed-on expenses would be taxed as services are, or services as expenses are."""
    abroad = replace(TAX, id="*", customer_country="*")
    expenses = replace(TAX, id="expenses", supply="expenses")
    expenses_abroad = replace(TAX, id="expenses abroad", customer_country="*", supply="expenses")
    master = make_master(tax_profiles=(expenses_abroad, expenses, abroad, TAX))
    assert master.tax_profile("UK", "GB") == TAX
    assert master.tax_profile("UK", "GB", supply="expenses", on=DAY) == expenses
    assert master.tax_profile("UK", "FR", supply="expenses", on=DAY) == expenses_abroad
    assert master.tax_profile("UK", "FR", supply="books", on=DAY) == abroad
    assert master.tax_profile("DE", "DE", supply="expenses", on=DAY) is None
    assert (
        make_master(tax_profiles=(TAX, expenses_abroad)).tax_profile("UK", "GB", supply="expenses") == expenses_abroad
    )


def test_a_tax_profile_holds_from_its_first_day_to_its_last() -> None:
    """A new rate of tax would be charged on work from before it, or the old one after it."""
    old = replace(TAX, id="old", valid_to=DAY)
    new = replace(TAX, id="new", valid_from=DAY + dt.timedelta(days=1), valid_to=LATER)
    master = make_master(tax_profiles=(new, old))
    days = (FIRST, DAY, DAY + dt.timedelta(days=1), LATER, LATER + dt.timedelta(days=1))
    found = [master.tax_profile("UK", "GB", on=day) for day in days]
    assert found == [old, old, new, new, None]
    assert master.tax_profile("UK", "GB") is None


def test_a_tax_profile_with_dates_comes_before_one_that_always_holds() -> None:
    """A temporary rate of tax could not be written down without closing the usual one."""
    reduced = replace(TAX, id="reduced", valid_from=DAY, valid_to=DAY)
    master = make_master(tax_profiles=(TAX, reduced))
    assert master.tax_profile("UK", "GB", on=DAY) == reduced
    assert master.tax_profile("UK", "GB", on=LATER) == TAX
    assert master.tax_profile("UK", "GB") == TAX
