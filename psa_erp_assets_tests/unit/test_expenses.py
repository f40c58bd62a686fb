"""Expenses: three currencies that are never mixed, limits that are explained, and a cost whoever pays."""

import datetime as dt
import decimal
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from psa_erp_assets.domain.costing import Costed
from psa_erp_assets.domain.effects import CostKind, CostTransaction, IntercompanyCharge
from psa_erp_assets.domain.expenses import Converted, ExpenseGap, Rebilled, expense_cost, rebill, reimbursed
from psa_erp_assets.domain.faults import FAULTS
from psa_erp_assets.domain.master import MasterData
from psa_erp_assets.domain.money import Money, Rounding, divide, exponent
from psa_erp_assets.domain.records import ApprovalState, Expense
from psa_erp_assets.domain.terms import ExpenseTerms
from psa_erp_assets.domain.values import replace
from psa_erp_assets_tests.support.facts import DAY, EMPLOYEE, UK, US, fx_rate, make_master, money

BRITON = replace(EMPLOYEE, id="EMP-0002", psa_user_id="u2", legal_entity="UK", name="Ada Jones")
MASTER = make_master(
    fx_rates=(fx_rate("EUR", "GBP", "0.85"), fx_rate("CHF", "GBP", "0.90"), fx_rate("USD", "GBP", "0.75"))
)


def make_expense(receipt: Money | None = None, **changes: Any) -> Expense:
    """Dinner in Zürich, paid back in dollars."""
    expense = Expense(
        id="expense:clockify:x1",
        revision=1,
        state=ApprovalState.APPROVED,
        psa_user_id="u1",
        psa_project_id="p1",
        service_date=DAY,
        category="meals",
        receipt=receipt or money("100.00", "CHF"),
        reimbursement=money("118.00", "USD"),
        billable=True,
        description="team dinner",
        payload_id=1,
    )
    return replace(expense, **changes)


def rebilled(expense: Expense, *, currency: str = "GBP", master: MasterData = MASTER, **terms: Any) -> Rebilled:
    found = rebill(
        expense,
        terms=ExpenseTerms(**terms),
        contract_currency=currency,
        master=master,
        rounding=Rounding.HALF_EVEN,
    )
    assert isinstance(found, Rebilled)
    return found


def test_receipt_reimbursement_and_billing_keep_their_own_currencies() -> None:
    """Edge case 29: 100 CHF on the receipt, 118 USD paid back, 90 GBP billed; none is made from another."""
    expense = make_expense()
    billed, paid = rebilled(expense), reimbursed(expense, selling=UK, master=MASTER)
    assert isinstance(paid, Converted)
    assert billed.receipt is not None
    assert (billed.receipt.original, billed.amount) == (money("100.00", "CHF"), money("90.00"))
    assert (billed.receipt.rate, billed.receipt.rate_ids, billed.receipt.on) == (
        Decimal("0.90"),
        ("CHFGBP@2026-09-01",),
        DAY,
    )
    assert (paid.original, paid.exact.rounded(Rounding.HALF_EVEN)) == (money("118.00", "USD"), money("88.50"))
    assert (paid.rate_ids, paid.on) == (("USDGBP@2026-09-01",), DAY)
    assert paid.versions("cost_fx") == {"cost_fx": "USDGBP@2026-09-01"}
    assert billed.versions == {"expense_fx": "CHFGBP@2026-09-01"}
    assert billed.reasons == ("receipt of 100.00 CHF is 90.00 GBP at the rate of 2026-09-14",)


def test_an_expense_costs_what_is_paid_back() -> None:
    """The books would show what the restaurant got, and not what the employee was given."""
    found = expense_cost(
        make_expense(),
        selling=UK,
        analytic="501",
        employee=BRITON,
        employing=UK,
        master=MASTER,
        rounding=Rounding.HALF_EVEN,
    )
    assert isinstance(found, Costed)
    assert found.charge is None
    assert found.cost == CostTransaction(
        erp_company="2",
        analytic="501",
        employee_name="Ada Jones",
        service_date=DAY,
        minutes=0,
        per_hour=None,
        amount=money("88.50"),
        description="meals: team dinner",
        kind=CostKind.EXPENSE,
    )


def test_the_mark_up_comes_after_the_limit() -> None:
    """100 CHF are 90 GBP, of which 60 may be billed, plus 10 %: 66.00. The rest, 33.00, would vanish unexplained."""
    billed = rebilled(make_expense(), mark_up=Decimal("0.10"), limits={"meals": money("60.00")})
    assert (billed.amount, billed.limited_by) == (money("66.00"), money("33.00"))
    assert billed.reasons == (
        "receipt of 100.00 CHF is 90.00 GBP at the rate of 2026-09-14",
        "limit of 60.00 GBP for meals: 33.00 GBP not billed",
        "mark-up of 10%",
    )


def test_a_limit_in_another_currency_is_converted_on_the_same_day() -> None:
    """70 EUR taken for 70 GBP would bill ten pounds too much."""
    rates = (*MASTER.fx_rates, fx_rate("EUR", "GBP", "0.99", DAY + dt.timedelta(days=1)))
    billed = rebilled(make_expense(), master=make_master(fx_rates=rates), limits={"meals": money("70.00", "EUR")})
    assert (billed.amount, billed.limited_by) == (money("59.50"), money("30.50"))
    assert billed.versions == {"expense_fx": "CHFGBP@2026-09-01", "limit_fx": "EURGBP@2026-09-01"}
    assert billed.reasons[1] == (
        "limit of 70.00 EUR for meals is 59.50 GBP at the rate of 2026-09-14: 30.50 GBP not billed"
    )


@pytest.mark.parametrize("limits", [{}, {"travel": money("1.00")}, {"meals": money("90.00")}])
def test_a_limit_that_is_not_reached_changes_nothing(limits: dict[str, Money]) -> None:
    """A receipt of exactly the limit, or of another category, would be cut or called cut."""
    billed = rebilled(make_expense(), limits=limits)
    assert (billed.amount, billed.limited_by) == (money("90.00"), None)
    assert len(billed.reasons) == 1


def test_one_currency_needs_no_rate_and_no_words() -> None:
    """A pound's rate of the pound would be asked for, and every line explained that needs no explanation."""
    billed = rebilled(make_expense(money("45.10")), master=make_master(fx_rates=()))
    assert (billed.amount, billed.versions, billed.reasons) == (money("45.10"), {}, ())


@pytest.mark.parametrize(
    ("billable", "passed_on", "reason"),
    [
        (False, True, "the expense is not billable"),
        (True, False, "the contract passes on no expenses"),
        (False, False, "the expense is not billable"),
    ],
)
def test_what_is_not_billable_is_not_billed_and_costs_all_the_same(
    billable: bool, passed_on: bool, reason: str
) -> None:
    """The customer would pay for it, or the project's margin would not."""
    expense = make_expense(money("100.00", "SEK"), billable=billable)
    billed = rebilled(expense, billable=passed_on)
    assert (billed.amount, billed.receipt, billed.reasons) == (money("0.00"), None, (reason,))
    cost = expense_cost(
        expense, selling=UK, analytic="501", employee=BRITON, employing=UK, master=MASTER, rounding=Rounding.HALF_EVEN
    )
    assert isinstance(cost, Costed)
    assert cost.cost.amount == money("88.50")


def test_what_anothers_employee_spends_is_charged_by_their_employer() -> None:
    """The employer pays it back, the seller's project bears it: without a charge the group's books do not balance."""
    terms = {"selling": UK, "analytic": "501", "rounding": Rounding.HALF_EVEN, "master": MASTER, "employee": EMPLOYEE}
    found = expense_cost(make_expense(), employing=US, **terms)
    assert isinstance(found, Costed)
    assert isinstance(found.charge, IntercompanyCharge)
    assert (found.cost.kind, found.cost.amount) == (CostKind.INTERCOMPANY, money("88.50"))
    assert (found.charge.erp_company, found.charge.partner_company) == ("1", "2")
    assert (found.charge.amount, found.charge.per_hour, found.charge.minutes) == (money("118.00", "USD"), None, 0)
    gap = expense_cost(make_expense(), employing=None, **terms)
    assert isinstance(gap, ExpenseGap)
    assert gap.code == "legal_entity_not_in_erp"


def test_a_missing_rate_is_a_gap_and_never_one() -> None:
    """Edge case 17: a hundred kronor would be a hundred pounds."""
    sek = money("100.00", "SEK")
    terms = {"contract_currency": "GBP", "master": MASTER, "rounding": Rounding.HALF_EVEN}
    cost = expense_cost(
        make_expense(reimbursement=sek),
        selling=UK,
        analytic="501",
        employee=BRITON,
        employing=UK,
        master=MASTER,
        rounding=Rounding.HALF_EVEN,
    )
    for found in (
        rebill(make_expense(sek), terms=ExpenseTerms(), **terms),
        rebill(make_expense(), terms=ExpenseTerms(limits={"meals": sek}), **terms),
        cost,
    ):
        assert found == ExpenseGap(code="no_fx_rate", detail="no SEK/GBP rate on or before 2026-09-14")
        assert found.code in FAULTS


def test_nothing_depends_on_the_ambient_decimal_context() -> None:
    """A library that lowers the precision would change invoices."""
    limits = {"meals": money("60.00")}
    expected = rebilled(make_expense(money("66.70", "CHF")), mark_up=Decimal("0.125"), limits=limits)
    with decimal.localcontext(prec=2, rounding=decimal.ROUND_DOWN):
        found = rebilled(make_expense(money("66.70", "CHF")), mark_up=Decimal("0.125"), limits=limits)
    assert found == expected


UNITS = st.integers(-(10**9), 10**9)
CURRENCIES = st.sampled_from(("JPY", "GBP", "KWD"))
RATES = st.decimals("0.0001", "500", places=4)


@given(
    units=UNITS,
    limit=st.integers(0, 10**9),
    receipt_in=CURRENCIES,
    limit_in=CURRENCIES,
    billed_in=CURRENCIES,
    rates=st.tuples(RATES, RATES, RATES),
    mark_up=st.decimals("0", "0.5", places=3),
)
def test_what_is_billed_and_what_is_not_sum_to_the_receipt(
    *,
    units: int,
    limit: int,
    receipt_in: str,
    limit_in: str,
    billed_in: str,
    rates: tuple[Decimal, ...],
    mark_up: Decimal,
) -> None:
    """A minor unit would be neither billed nor explained; a refund would not undo its receipt."""
    quotes = [fx_rate("USD", c, str(r)) for c, r in zip(("JPY", "GBP", "KWD"), rates, strict=True)]
    master, limits = make_master(fx_rates=quotes), {"meals": Money.from_minor_units(limit, limit_in)}
    expense = make_expense(Money.from_minor_units(units, receipt_in))
    whole = rebilled(expense, currency=billed_in, master=master, mark_up=mark_up)
    part = rebilled(expense, currency=billed_in, master=master, mark_up=mark_up, limits=limits)
    assert part.limited_by is None or part.limited_by.amount != 0
    assert (part.amount + part.limited_by if part.limited_by else part.amount) == whole.amount
    assert abs(part.amount.amount) <= abs(whole.amount.amount)
    for amount in (part.amount, whole.amount):
        assert amount.currency == billed_in
        assert amount.amount.as_tuple().exponent == -exponent(billed_in)
    refund = rebilled(
        replace(expense, receipt=-expense.receipt), currency=billed_in, master=master, mark_up=mark_up, limits=limits
    )
    assert refund.amount == -part.amount


@given(units=UNITS, receipt_in=CURRENCIES, rate=RATES)
def test_a_conversion_goes_there_and_back(units: int, receipt_in: str, rate: Decimal) -> None:
    """A receipt that cannot be found again from what was billed cannot be explained to the customer."""
    receipt = Money.from_minor_units(units, receipt_in)
    billed = rebilled(
        make_expense(receipt), currency="USD", master=make_master(fx_rates=[fx_rate(receipt_in, "USD", str(rate))])
    )
    assert billed.receipt is not None
    back = billed.receipt.exact.converted(divide(Decimal(1), billed.receipt.rate), receipt_in)
    assert back.rounded(Rounding.HALF_EVEN) == receipt
