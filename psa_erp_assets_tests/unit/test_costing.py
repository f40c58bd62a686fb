"""Cost of work: by the day's rate, in the books of whoever sells it, and charged by whoever employs the person."""

import datetime as dt
import decimal
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from psa_erp_assets.domain.costing import (
    Costed,
    CostGap,
    CostPolicy,
    LaborRate,
    cost_of,
    labor_cost,
    labor_rate,
    margin,
)
from psa_erp_assets.domain.effects import CostKind, CostTransaction, IntercompanyCharge, reversal_of
from psa_erp_assets.domain.faults import FAULTS
from psa_erp_assets.domain.money import CurrencyMismatchError, Money, Rounding, divide, exponent, multiply
from psa_erp_assets.domain.records import LegalEntity
from psa_erp_assets.domain.values import replace
from psa_erp_assets_tests.support.facts import (
    DAY,
    EMPLOYEE,
    FIRST,
    UK,
    US,
    cost_rate,
    fx_rate,
    make_entry,
    make_master,
    money,
)

MARK_UP = CostPolicy(intercompany_mark_up=Decimal("0.08"))
JP = LegalEntity(code="JP", name="KK", currency="JPY", country="JP", time_zone="Asia/Tokyo", erp_company="3")
KW = LegalEntity(code="KW", name="WLL", currency="KWD", country="KW", time_zone="Asia/Kuwait", erp_company="4")


def cost(minutes: int = 50, *, on: dt.date = DAY, **changes: Any) -> Costed | CostGap:
    """What an entry of the American costs the British company, unless a test says otherwise."""
    usual: dict[str, Any] = {
        "employee": EMPLOYEE,
        "selling": UK,
        "employing": US,
        "analytic": "501",
        "master": make_master(),
        "policy": CostPolicy(),
        "rounding": Rounding.HALF_EVEN,
    }
    return labor_cost(make_entry(minutes, service_date=on), **(usual | changes))


def costed(minutes: int = 50, **changes: Any) -> Costed:
    found = cost(minutes, **changes)
    assert isinstance(found, Costed)
    return found


def gap(**changes: Any) -> CostGap:
    found = cost(**changes)
    assert isinstance(found, CostGap)
    assert found.code in FAULTS
    return found


def test_an_entity_that_sells_its_own_peoples_work_bears_what_they_cost() -> None:
    """50 minutes at 60.00 are 50.00; a mark-up on one's own people would be a profit with oneself."""
    found = costed(selling=US, policy=MARK_UP)
    assert found.cost == CostTransaction(
        erp_company="1",
        analytic="501",
        employee_name="Ada Jones",
        service_date=DAY,
        minutes=50,
        per_hour=money("60.00", "USD"),
        amount=money("50.00", "USD"),
        description="workshop",
        kind=CostKind.LABOR,
    )
    assert found.charge is None
    assert found.versions == {"cost_rate": "EMP-0001@2026-09-01"}


def test_the_cost_of_own_people_is_in_the_entitys_currency() -> None:
    """A British employee who is paid in dollars: the rate stays in dollars, the books are in pounds."""
    found = costed(employee=replace(EMPLOYEE, legal_entity="UK"), employing=UK)
    assert (found.cost.per_hour, found.cost.amount) == (money("60.00", "USD"), money("37.50"))
    assert (found.cost.kind, found.charge) == (CostKind.LABOR, None)
    assert found.versions == {"cost_rate": "EMP-0001@2026-09-01", "cost_fx": "USDGBP@2026-09-01"}


def test_another_entitys_people_cost_the_transfer_price() -> None:
    """60.00 plus 8 % is 64.80 an hour: 54.00 USD in the employer's books, 40.50 GBP in the seller's."""
    found = costed(policy=MARK_UP)
    assert (found.cost.kind, found.cost.erp_company) == (CostKind.INTERCOMPANY, "2")
    assert found.cost.amount == money("40.50")
    assert found.charge == IntercompanyCharge(
        erp_company="1",
        partner_company="2",
        employee_name="Ada Jones",
        service_date=DAY,
        minutes=50,
        per_hour=money("64.80", "USD"),
        amount=money("54.00", "USD"),
        description="workshop",
    )
    assert found.cost.per_hour == found.charge.per_hour
    assert found.versions["intercompany_mark_up"] == "0.08"


def test_a_third_currency_leads_to_both_books() -> None:
    """A salary in euros, books in pounds and dollars: each amount names the rates that it was converted at."""
    rates = (fx_rate("EUR", "GBP", "0.85"), fx_rate("EUR", "USD", "1.10"))
    found = costed(60, master=make_master(cost_rates=(cost_rate(per_hour=money("100", "EUR")),), fx_rates=rates))
    assert found.charge is not None
    assert (found.cost.amount, found.charge.amount) == (money("85.00"), money("110.00", "USD"))
    assert found.versions == {
        "cost_rate": "EMP-0001@2026-09-01",
        "cost_fx": "EURGBP@2026-09-01",
        "charge_fx": "EURUSD@2026-09-01",
        "intercompany_mark_up": "0",
    }


def test_the_rates_are_those_of_the_service_date() -> None:
    """Edge case 11: last week's work would change its cost with this week's raise and this week's dollar."""
    raise_on = DAY + dt.timedelta(days=1)
    master = make_master(
        cost_rates=(cost_rate(valid_to=DAY), cost_rate("90.00", id="EMP-0001@raise", valid_from=raise_on)),
        fx_rates=(fx_rate("USD", "GBP", "0.75"), fx_rate("USD", "GBP", "0.80", raise_on)),
    )
    before, after = costed(60, master=master), costed(60, master=master, on=raise_on)
    assert (before.cost.amount, after.cost.amount) == (money("45.00"), money("72.00"))
    assert before.versions["cost_rate"] != after.versions["cost_rate"]
    assert before.versions["cost_fx"] != after.versions["cost_fx"]


def test_no_cost_rate_on_the_date_is_a_gap() -> None:
    """Work before the first rate would cost nothing, and the margin would be all of the revenue."""
    assert gap(on=FIRST - dt.timedelta(days=1)).code == "no_cost_rate"
    assert gap(master=make_master(cost_rates=())).detail == "no cost rate for EMP-0001 on 2026-09-14"


@pytest.mark.parametrize(
    ("per_hour", "detail"),
    [
        pytest.param(money("60.00", "SEK"), "no SEK/GBP rate on or before 2026-09-14", id="seller's currency"),
        pytest.param(money("60.00", "GBP"), "no GBP/USD rate on or before 2026-09-14", id="employer's currency"),
    ],
)
def test_a_missing_fx_rate_is_a_gap(per_hour: Money, detail: str) -> None:
    """Edge case 17: taken as 1, kronor would be pounds. Half of an intercompany pair is no better than none."""
    found = gap(master=make_master(cost_rates=(cost_rate(per_hour=per_hour),), fx_rates=()))
    assert (found.code, found.detail) == ("no_fx_rate", detail)


def test_an_employer_without_books_is_a_gap() -> None:
    """The seller would owe a company that charges nothing."""
    found = gap(employing=None)
    assert found.code == "legal_entity_not_in_erp"
    assert found.detail == "US, which employs EMP-0001, has no company in the ERP"


def test_a_rate_is_good_for_all_entries_of_its_day() -> None:
    """Callers keep it for a person, an entity and a date; an entry's own amount must not depend on that."""
    rate = labor_rate(employee=EMPLOYEE, selling=UK, employing=US, on=DAY, master=make_master(), policy=MARK_UP)
    assert isinstance(rate, LaborRate)
    for minutes in (1, 7, 50, 480):
        kept = cost_of(rate, make_entry(minutes), analytic="501", rounding=Rounding.HALF_EVEN)
        assert kept == costed(minutes, policy=MARK_UP)


@pytest.mark.parametrize("mark_up", ["-0.01", "NaN", "Infinity"])
def test_what_is_no_mark_up_is_refused(mark_up: str) -> None:
    """An employer would be paid less than it pays."""
    with pytest.raises(ValueError, match="fraction on top of cost"):
        CostPolicy(intercompany_mark_up=Decimal(mark_up))


def test_a_mark_up_that_is_written_otherwise_is_the_same() -> None:
    """Every intercompany posting would be reversed and made again because 0.1 in the settings became 0.10."""
    for one, other in (("0.1", "0.10"), ("0", "0.00"), ("9", "9.0")):
        first, second = (costed(policy=CostPolicy(intercompany_mark_up=Decimal(text))) for text in (one, other))
        assert str(first.cost) == str(second.cost)
        assert str(first.charge) == str(second.charge)


def test_nothing_depends_on_the_ambient_decimal_context() -> None:
    """A library that lowers the precision would change the books."""
    expected = costed(policy=MARK_UP)
    with decimal.localcontext(prec=2, rounding=decimal.ROUND_DOWN):
        assert costed(policy=MARK_UP) == expected


@given(
    minutes=st.integers(-10_000, 10_000),
    per_hour=st.decimals("0.01", "9999", places=4),
    mark_up=st.decimals("0", "1", places=3),
    selling=st.sampled_from((UK, JP, KW)),
    into=st.decimals("0.0001", "500", places=4),
    rounding=st.sampled_from(Rounding),
)
def test_both_companies_books_hold_one_transfer_price(
    *, minutes: int, per_hour: Decimal, mark_up: Decimal, selling: LegalEntity, into: Decimal, rounding: Rounding
) -> None:
    """What one entity owes and the other is owed may differ by each currency's half minor unit, or it never settles."""
    master = make_master(
        cost_rates=(cost_rate(per_hour=Money(per_hour, "EUR")),),
        fx_rates=(fx_rate("EUR", selling.currency, str(into)), fx_rate("EUR", "USD", "1.0837")),
    )
    found = costed(
        minutes,
        master=master,
        selling=selling,
        policy=CostPolicy(intercompany_mark_up=mark_up),
        rounding=rounding,
    )
    assert found.charge is not None
    price = divide(multiply(multiply(per_hour, 1 + mark_up), Decimal(minutes)), Decimal(60))
    for amount, currency, fx in (
        (found.cost.amount, selling.currency, into),
        (found.charge.amount, "USD", Decimal("1.0837")),
    ):
        assert amount.currency == currency
        assert amount.amount.as_tuple().exponent == -exponent(currency)
        half = Decimal("0.5").scaleb(-exponent(currency))
        assert abs(amount.amount - multiply(price, fx)) <= half + Decimal("1E-25")
    # A correction that takes the minutes back takes back both amounts.
    back = costed(
        -minutes,
        master=master,
        selling=selling,
        policy=CostPolicy(intercompany_mark_up=mark_up),
        rounding=rounding,
    )
    assert (back.cost, back.charge) == (reversal_of(found.cost), reversal_of(found.charge))


@pytest.mark.parametrize(
    ("revenue", "spent", "expected"),
    [("1000", "600", "0.4"), ("1000", "0", "1"), ("1000", "1250", "-0.25"), ("-200", "-150", "0.25")],
)
def test_margin_is_what_is_left_of_revenue(revenue: str, spent: str, expected: str) -> None:
    """metrics.md: project gross margin is (recognized revenue - delivery cost) ÷ recognized revenue."""
    assert margin(money(revenue), money(spent)) == Decimal(expected)


def test_nothing_is_no_share_of_no_revenue() -> None:
    """A project that has earned nothing yet has no margin; 0 % would look like a finding."""
    assert margin(money("0.00"), money("80")) is None


def test_margin_is_of_one_currency() -> None:
    """Edge case 17 (erpnext#50390): dollars of cost in pounds of revenue mean nothing."""
    with pytest.raises(CurrencyMismatchError):
        margin(money("100"), money("80", "USD"))
