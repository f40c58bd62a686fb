"""A contract that another legal entity takes over in mid-month: one cap, one stock of hours, one balance, two books."""

import datetime as dt
import random
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from psa_erp_assets.adapters.store.bodies import from_body, to_body
from psa_erp_assets.domain.account import sellers_in
from psa_erp_assets.domain.balances import BOOKS, Balance, ComponentBalance
from psa_erp_assets.domain.decision import Decision, Outcome
from psa_erp_assets.domain.effects import IntercompanyCharge, RevenueEntry
from psa_erp_assets.domain.records import Amendment, ApprovalState, Contract, Credit, Expense, Project
from psa_erp_assets.domain.terms import (
    Component,
    ContractKind,
    Estimate,
    Instalment,
    Overage,
    Recognition,
    RecognitionTerms,
)
from psa_erp_assets.domain.values import replace
from psa_erp_assets_tests.support.contract_months import (
    BILLING,
    OCTOBER,
    REVENUE,
    SEPTEMBER,
    billed,
    capped,
    contract_of,
    entry,
    milestone,
    of,
    retainer,
    settle_month,
    total,
)
from psa_erp_assets_tests.support.facts import CONTRACT, ENTRY, PROJECT, TAX, fx_rate, money
from psa_erp_assets_tests.support.months import make_world, master_of, settle_months

MID = dt.date(2026, 9, 15)
A, B = f"{ENTRY}-a", f"{ENTRY}-b"
BOTH = replace(PROJECT, erp_analytics={"1": "601", "2": "501"})
US_TAX = replace(TAX, id="US/GB", legal_entity="US", erp_tax=None)
TWO_BOOKS: dict[str, Any] = {"projects": (BOTH,), "tax_profiles": (TAX, US_TAX)}
SOME = settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))


def taken_over(contract: Contract, on: dt.date = MID, by: str = "US") -> Contract:
    return replace(contract, amendments=(Amendment(id="A1", effective_from=on, legal_entity=by),))


def by_cost(fee: str = "1000.00", total_cost: str = "1000.00") -> Component:
    recognition = RecognitionTerms(method=Recognition.COST_TO_COST, estimate=Estimate(total_cost=Decimal(total_cost)))
    kind = ContractKind.FIXED_FEE_MILESTONE
    return Component(code="main", kind=kind, fee=money(fee), recognition=recognition)


def expense(amount: str, **changes: Any) -> Expense:
    made = Expense(
        id="expense:clockify:x1",
        revision=1,
        state=ApprovalState.APPROVED,
        psa_user_id="u1",
        psa_project_id="p1",
        service_date=dt.date(2026, 9, 10),
        category="Travel",
        receipt=money(amount),
        reimbursement=money(amount),
        billable=True,
        description="train",
        payload_id=1,
    )
    return replace(made, **changes)


def test_one_cap_is_for_both_sellers() -> None:
    """Each entity would bill up to the cap, and the customer pays twice what was agreed at most."""
    settled = settle_month(
        taken_over(contract_of(capped("150.00"))), [entry("b", 60, 20), entry("a", 60, 3)], **TWO_BOOKS
    )
    assert billed(settled) == {A: money("100.00"), B: money("50.00")}
    assert [of(settled, i).route.legal_entity for i in (A, B)] == ["UK", "US"]
    assert settled.closing.of("main").billed == Decimal("150.00")


def test_one_stock_of_hours_is_for_both_sellers() -> None:
    """The retainer's hours would pay for the work of either, and be left over twice."""
    contract = taken_over(contract_of(retainer(90, Overage.BILL, rollover=1)))
    settled = settle_month(contract, [entry("a", 60, 3), entry("b", 60, 20)], **TWO_BOOKS)
    assert of(settled, A).outcome is Outcome.COVERED
    assert billed(settled)[B] == money("50.00")
    assert settled.closing.of("main").retainer == ()
    assert settled.closing.of("main").minutes == 120


def test_fees_are_in_the_books_of_whoever_sells_on_their_day() -> None:
    """An instalment that is due after the change would be invoiced by the company that has left."""
    due = [Instalment(due=dt.date(2026, 9, day), amount=money("500.00"), label="") for day in (10, 20)]
    component = Component(
        code="main", kind=ContractKind.FIXED_FEE_SCHEDULE, fee=money("1000.00"), instalments=tuple(due),
        recognition=RecognitionTerms(method=Recognition.STRAIGHT_LINE),
    )  # fmt: skip
    contract = replace(taken_over(contract_of(component)), valid_to=dt.date(2026, 9, 30))
    settled = settle_month(contract, [], **TWO_BOOKS)
    where = {
        d.object_id.split(":")[2] + d.object_id[-4:]: (d.route.legal_entity, e.erp_company)
        for d in settled.decisions
        for e in d.effects
    }
    assert where == {"instalment10/1": ("UK", "2"), "instalment20/1": ("US", "1"), "revenue6-09": ("US", "1")}


def test_cost_of_other_books_is_converted_at_the_day_of_the_change() -> None:
    """Pounds and dollars would be one number, and progress, revenue and loss follow from it.

    30 pounds of the UK company at 2 dollars, 40 dollars of the US one: 100 of 1,000 dollars are a tenth of the fee.
    Later rates move nothing of what was before.
    """
    rates = (fx_rate("GBP", "USD", "2"), fx_rate("GBP", "USD", "4", dt.date(2026, 9, 16)))
    contract = taken_over(contract_of(by_cost()))
    before = Balance(components={"main": ComponentBalance(cost={"GBP": Decimal(30), "USD": Decimal(40)})})
    settled = settle_month(contract, [], OCTOBER, opening=before, fx_rates=rates, **TWO_BOOKS)
    assert settled.closing.of("main").earned == Decimal("100.00")
    entries = [d.effect(REVENUE) for d in settled.decisions]
    assert [e.amount for e in entries if isinstance(e, RevenueEntry)] == [money("400.00", "USD")]


def test_without_the_rate_of_the_change_no_revenue_is_guessed_and_no_cost_is_lost() -> None:
    """A rate of one would be taken, or the cost of before forgotten for good."""
    contract = replace(taken_over(contract_of(by_cost())), currency="USD")
    contract = replace(contract, terms=contract_of(replace(by_cost(), fee=money("1000.00", "USD"))).terms)
    before = Balance(components={"main": ComponentBalance(cost={"GBP": Decimal(30)})})
    settled = settle_month(contract, [], OCTOBER, opening=before, fx_rates=(), **TWO_BOOKS)
    assert [h.code for d in settled.decisions for h in d.holds] == ["no_fx_rate"]
    assert settled.closing.of("main").cost == {"GBP": Decimal(30)}


def test_work_is_held_where_the_seller_of_its_day_has_no_account_for_the_project() -> None:
    """It would be posted to the account of another company's books."""
    settled = settle_month(taken_over(CONTRACT), [entry("a", 60, 3), entry("b", 60, 20)], tax_profiles=(TAX, US_TAX))
    assert of(settled, A).outcome is Outcome.POST
    held = of(settled, B)
    assert {h.code for h in held.holds} == {"project_not_in_erp"}
    assert not held.effects
    assert "US" in held.holds[0].detail


def test_accounts_are_those_of_the_seller_on_the_day() -> None:
    settled = settle_month(taken_over(CONTRACT), [entry("a", 60, 3), entry("b", 60, 20)], **TWO_BOOKS)
    found = {i: {getattr(e, "analytic", None) for e in of(settled, i).effects} - {None} for i in (A, B)}
    assert found == {A: {"501"}, B: {"601"}}


@SOME
@given(rng=st.integers(0, 2**32).map(random.Random))
def test_each_decision_is_in_one_partition_whose_books_it_is_in(rng: random.Random) -> None:
    """Work in two partitions would be posted twice, in none of them never; an account of other books is refused."""
    world = make_world(rng)
    company = {e.code: e.erp_company for e in master_of(world).legal_entities}
    for month in settle_months(world):
        decisions = month.settlement.decisions
        sellers = sellers_in(world.contract, month.month)
        parts: list[Decision] = [d for seller in sellers for d in decisions if d.route.legal_entity == seller]
        assert sorted(d.object_id for d in parts) == sorted(d.object_id for d in decisions)
        for decision in decisions:
            for effect in decision.effects:
                if isinstance(effect, IntercompanyCharge):
                    continue
                assert effect.erp_company == company[decision.route.legal_entity]
                assert effect.analytic.startswith({"1": "60", "2": "50"}[effect.erp_company])


def test_a_month_whose_revenue_cannot_be_told_hands_on_what_it_earned_before() -> None:
    """Its entry stays in the ERP while the estimate is missing: the next month would book the same revenue again."""
    contract = contract_of(by_cost(total_cost="1000.00"))
    cost = Balance(components={"main": ComponentBalance(cost={"GBP": Decimal(400)})})
    posted = settle_month(contract, [], opening=cost)
    assert posted.closing.of("main").earned == Decimal("400.00")
    gap = contract_of(replace(by_cost(), recognition=RecognitionTerms(method=Recognition.COST_TO_COST)))
    again = settle_month(gap, [], opening=cost, previous=posted.closing)
    assert [h.code for d in again.decisions for h in d.holds] == ["malformed_terms"]
    assert again.closing.of("main").earned == Decimal("400.00")
    # Seen twice, it says the same.
    assert settle_month(gap, [], opening=cost, previous=again.closing).closing.digest() == again.closing.digest()
    later = Balance(components={"main": replace(again.closing.of("main"), cost={"GBP": Decimal(600)})})
    entries = [d.effect(REVENUE) for d in settle_month(contract, [], OCTOBER, opening=later).decisions]
    assert [e.amount for e in entries if isinstance(e, RevenueEntry)] == [money("200.00")]


def test_what_a_months_entry_brought_is_not_the_next_months() -> None:
    """A gap in the next month would count the entry of this one as its own."""
    before = Balance(components={"main": ComponentBalance(billed=Decimal(5), earned=Decimal(5), entered=Decimal(5))})
    assert settle_month(contract_of(capped("9.00")), [], opening=before).closing.of("main").entered == 0


def test_a_gap_in_a_month_that_never_earned_leaves_all_to_the_next() -> None:
    gap = contract_of(replace(by_cost(), recognition=RecognitionTerms(method=Recognition.COST_TO_COST)))
    settled = settle_month(gap, [], opening=Balance(components={"main": ComponentBalance(cost={"GBP": Decimal(1)})}))
    assert settled.closing.of("main").earned == 0


@pytest.mark.parametrize(("billable", "cost"), [(True, {}), (False, {"GBP": Decimal("80.00")})])
def test_cost_that_is_passed_on_is_no_progress(billable: bool, cost: dict[str, Decimal]) -> None:
    """A hotel that the customer pays for would earn a part of the fee as well."""
    settled = settle_month(contract_of(by_cost()), [expense("80.00", billable=billable)])
    assert dict(settled.closing.of("main").cost) == cost


@pytest.mark.parametrize("on", [dt.date(2026, 8, 31), dt.date(2026, 9, 21)])
def test_a_milestone_outside_of_the_term_is_held(on: dt.date) -> None:
    """It would be billed under a contract that does not hold on its day."""
    contract = contract_of(by_cost(), changes={"valid_to": dt.date(2026, 9, 20)})
    settled = settle_month(contract, [milestone("m", "10.00", on)])
    assert [h.code for h in of(settled, "milestone:m").holds] == ["outside_contract_term"]


@pytest.mark.parametrize(("minutes", "parts"), [(60, None), (150, [(Outcome.COVERED, 90), (Outcome.HOLD, 60)])])
def test_hours_pay_for_work_without_a_rate(minutes: int, parts: list[tuple[Outcome, int]] | None) -> None:
    """Work that the retainer pays for would wait for a price that nobody needs."""
    settled = settle_month(contract_of(retainer(90)), [entry("a", minutes)], bill_rates=())
    decision = of(settled, A)
    assert decision.outcome is Outcome.COVERED
    assert [(p.outcome, p.minutes) for p in decision.parts] == (parts or [])
    assert [h.code for h in decision.holds if h.effect_type is BILLING] == (["no_bill_rate"] if parts else [])
    assert sum(h.minutes for h in settled.closing.of("main").retainer) == max(90 - minutes, 0)


def test_a_credit_by_hand_uses_no_hours_again() -> None:
    """60 of 120 minutes are beyond the hours; 30 of these are credited and billed again; hours are used once."""
    by_hand = Credit(id="C1", object_id=A, minutes=30, rebill=True, in_erp=True, reason="agreed")
    later = entry("b", 30, 20)
    settled = settle_month(contract_of(retainer(60)), [entry("a", 120), later], credits=[by_hand])
    assert billed(settled)[A] == money("100.00")
    assert billed(settled)[f"{A}#C1"] == money("50.00")
    assert total(settled) == money("1200.00")
    assert settled.closing.of("main").billed == Decimal("1150.00")


def test_a_credit_by_hand_of_what_the_hours_pay_for_is_not_billed() -> None:
    """The hours of the month would pay for the same 30 minutes twice, and nothing be left for other work."""
    by_hand = Credit(id="C1", object_id=A, minutes=30, rebill=True, in_erp=True, reason="agreed")
    settled = settle_month(contract_of(retainer(120, rollover=1)), [entry("a", 60)], credits=[by_hand])
    assert of(settled, f"{A}#C1").outcome is Outcome.COVERED
    assert sum(h.minutes for h in settled.closing.of("main").retainer) == 60


def test_a_project_stored_with_one_account_is_read() -> None:
    """After an upgrade nothing could be planned until the projects are read again."""
    body = {name: value for name, value in to_body(PROJECT).items() if name != "erp_analytics"}
    project = from_body(Project, body | {"erp_analytic": "501"})
    assert (project.analytic_in("2"), project.id) == ("501", PROJECT.id)
    assert from_body(Project, body | {"erp_analytic": None}).analytic_in("2") is None
    assert from_body(Project, to_body(PROJECT)) == PROJECT


def test_a_balance_stored_with_one_cost_is_read() -> None:
    """After an upgrade the month that follows could not be planned."""
    body = Balance(components={"main": ComponentBalance(billed=Decimal(5))}).to_body()
    body["main"] |= {"cost": "12.5", "provided": "0"}
    del body["main"]["entered"], body["main"]["entered_loss"]
    read = Balance.from_body(body).of("main")
    assert (dict(read.cost), dict(read.provided), read.billed) == ({BOOKS: Decimal("12.5")}, {}, Decimal(5))


def test_who_sells_in_a_month_is_known_before_anybody_works_in_it() -> None:
    """A fee of the second seller would be planned by nobody."""
    assert sellers_in(taken_over(CONTRACT), SEPTEMBER) == ("UK", "US")
    assert sellers_in(taken_over(CONTRACT), OCTOBER) == ("US",)
