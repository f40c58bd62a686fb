"""Decisions: what an approved entry comes to, or every reason why it does not."""

import datetime as dt
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from psa_erp_assets.domain.calendar import ServiceMonth
from psa_erp_assets.domain.decide import Decision, Outcome, Route, decide, route
from psa_erp_assets.domain.effects import BillingLine, CostTransaction, EffectType
from psa_erp_assets.domain.faults import FAULTS
from psa_erp_assets.domain.keys import canonical_json
from psa_erp_assets.domain.master import MasterData
from psa_erp_assets.domain.records import ApprovalState, ContractKind, TimeEntry
from psa_erp_assets_tests.support.facts import (
    CONTRACT,
    CUSTOMER,
    DAY,
    EMPLOYEE,
    PROJECT,
    RULES,
    TAX,
    UK,
    US,
    bill_rate,
    cost_rate,
    fx_rate,
    make_entry,
    make_master,
    money,
)

BILLING, COST = EffectType.BILLING_LINE, EffectType.COST_TRANSACTION
BOTH = frozenset({BILLING, COST})


def decided(minutes: int = 50, *, master: MasterData | None = None, **changes: Any) -> Decision:
    return decide(make_entry(minutes, **changes), master or make_master(), RULES)


def codes(decision: Decision, effect_type: EffectType) -> set[str]:
    return {h.code for h in decision.holds if h.effect_type is effect_type}


def test_fifty_minutes_at_a_hundred_are_billed_83_33() -> None:
    """Edge case 25, through to the line that the ERP gets: any other content is a wrong invoice."""
    decision = decided(50)
    assert decision.outcome is Outcome.POST
    assert decision.effect(BILLING) == BillingLine(
        erp_company="2",
        party="70",
        analytic="501",
        employee_name="Ada Jones",
        service_date=DAY,
        minutes=50,
        per_hour=money("100.00"),
        amount=money("83.33"),
        tax="301",
        description="workshop",
    )


def test_cost_is_in_the_books_of_whoever_sells_the_work() -> None:
    """50 minutes of an American at 60 dollars are 37.50 pounds in London: exact until it is rounded once."""
    decision = decided(50)
    assert decision.effect(COST) == CostTransaction(
        erp_company="2",
        analytic="501",
        employee_name="Ada Jones",
        service_date=DAY,
        minutes=50,
        per_hour=money("60.00", "USD"),
        amount=money("37.50"),
        description="workshop",
    )
    assert decision.versions["cost_fx"] == "USDGBP@2026-09-01"


@pytest.mark.parametrize("state", [s for s in ApprovalState if s is not ApprovalState.APPROVED])
def test_what_is_not_approved_has_no_effect(state: ApprovalState) -> None:
    """Edge case 22: un-approved, rejected or deleted work would stay billed."""
    decision = decided(state=state)
    assert (decision.outcome, decision.effects, decision.holds) == (Outcome.NONE, (), ())


def test_no_minutes_have_no_effect() -> None:
    """A line of nothing on an invoice."""
    assert decided(0).outcome is Outcome.NONE


@pytest.mark.parametrize(
    ("entry", "master"),
    [
        ({"billable": False}, make_master()),
        ({}, make_master(contracts=(replace(CONTRACT, kind=ContractKind.NON_BILLABLE),))),
    ],
)
def test_non_billable_work_costs_and_is_not_billed(entry: dict[str, Any], master: MasterData) -> None:
    """The customer would pay for it, or its cost would be missing from the margin."""
    decision = decided(60, master=master, **entry)
    assert decision.outcome is Outcome.NON_BILLABLE
    assert decision.effect(BILLING) is None
    assert decision.effect(COST) is not None


def test_what_billing_lacks_does_not_hold_non_billable_work() -> None:
    """An item in the exception queue that nobody needs to clear hides those that count."""
    master = make_master(customers=(), tax_profiles=(), bill_rates=())
    decision = decided(60, master=master, billable=False)
    assert (decision.outcome, decision.holds) == (Outcome.NON_BILLABLE, ())


def project(**changes: Any) -> MasterData:
    return make_master(projects=(replace(PROJECT, **changes),))


def contract(**changes: Any) -> MasterData:
    return make_master(contracts=(replace(CONTRACT, **changes),))


@pytest.mark.parametrize(
    ("code", "held", "master", "entry"),
    [
        ("unknown_employee", BOTH, make_master(employees=()), {}),
        ("unknown_project", BOTH, make_master(), {"psa_project_id": None}),
        ("unknown_project", BOTH, make_master(), {"psa_project_id": "p404"}),
        ("unknown_project", BOTH, project(contract_id=None), {}),
        ("unknown_project", BOTH, make_master(contracts=()), {}),
        ("legal_entity_not_in_erp", BOTH, make_master(legal_entities=(US,)), {}),
        ("project_closed", BOTH, project(closed=True), {}),
        ("project_closed", BOTH, project(closed=True, closed_on=DAY - dt.timedelta(days=1)), {}),
        ("project_not_in_erp", BOTH, project(erp_analytic=None), {}),
        ("outside_contract_term", BOTH, contract(valid_from=DAY + dt.timedelta(days=1)), {}),
        ("outside_contract_term", BOTH, contract(valid_to=DAY - dt.timedelta(days=1)), {}),
        ("unsupported_contract_kind", {BILLING}, contract(kind=ContractKind.RETAINER), {}),
        ("unsupported_contract_kind", {BILLING}, contract(kind=ContractKind.CAPPED), {}),
        ("unsupported_contract_kind", {BILLING}, contract(kind=ContractKind.FIXED_FEE_MILESTONE), {}),
        ("customer_not_in_erp", {BILLING}, make_master(customers=()), {}),
        ("customer_not_in_erp", {BILLING}, make_master(customers=(replace(CUSTOMER, erp_party=None),)), {}),
        ("no_tax_profile", {BILLING}, make_master(tax_profiles=()), {}),
        ("tax_inactive", {BILLING}, make_master(tax_profiles=(replace(TAX, active=False),)), {}),
        ("no_bill_rate", {BILLING}, make_master(bill_rates=()), {}),
        ("no_bill_rate", {BILLING}, make_master(bill_rates=(bill_rate(valid_from=DAY + dt.timedelta(days=1)),)), {}),
        ("rate_currency_mismatch", {BILLING}, make_master(bill_rates=(bill_rate(per_hour=money("1", "EUR")),)), {}),
        ("no_fx_rate", {BILLING}, contract(currency="SEK"), {}),
        ("no_fx_rate", {COST}, make_master(fx_rates=()), {}),
        ("no_fx_rate", {COST}, make_master(fx_rates=(fx_rate("USD", "GBP", "0.75", DAY + dt.timedelta(days=1)),)), {}),
        ("no_cost_rate", {COST}, make_master(cost_rates=()), {}),
    ],
)
def test_every_gap_holds_just_what_depends_on_it(
    code: str, held: frozenset[EffectType], master: MasterData, entry: dict[str, Any]
) -> None:
    """Edge cases 17, 18, 23: posted on a guess, or billing that waits for something that only cost needs."""
    decision = decided(50, master=master, **entry)
    assert {kind for kind in EffectType if code in codes(decision, kind)} == held
    assert {e.effect_type for e in decision.effects}.isdisjoint(held)
    assert decision.outcome is (Outcome.HOLD if BILLING in held else Outcome.POST)
    for kind in EffectType:
        hold = decision.hold(kind)
        assert (hold is None) is (decision.effect(kind) is not None)


def test_every_hold_has_an_owner_and_a_next_step() -> None:
    """An item that nobody owns is cleared by nobody; a code that is not known would stop the planner."""
    master = make_master(legal_entities=(), employees=(), projects=(), contracts=())
    assert all(h.code in FAULTS and h.detail for h in decided(master=master).holds)
    assert all(fault.next_step for fault in FAULTS.values())


def test_a_closed_period_decides_nothing() -> None:
    """Closing a month would put everything that it has in its books into the exception queue."""
    closed = frozenset({("UK", ServiceMonth(2026, 9))})
    assert decided(master=make_master(closed_periods=closed)) == decided()


@pytest.mark.parametrize("offset", [0, 1])
def test_work_until_the_day_of_closing_counts(offset: int) -> None:
    """The last day's work on a project would never be billed."""
    assert decided(master=project(closed=True, closed_on=DAY + dt.timedelta(days=offset))).outcome is Outcome.POST


@pytest.mark.parametrize("term", [{"valid_from": DAY}, {"valid_to": DAY}])
def test_the_first_and_the_last_day_of_a_contract_belong_to_it(term: dict[str, dt.date]) -> None:
    """A day's work would be held at each end."""
    assert decided(master=contract(**term)).outcome is Outcome.POST


@pytest.mark.parametrize(
    ("master", "expected"),
    [
        (make_master(), Route("UK", ServiceMonth(2026, 9), "CTR-0001")),
        (make_master(contracts=()), Route("US", ServiceMonth(2026, 9), None)),
        (make_master(contracts=(), employees=(replace(EMPLOYEE, legal_entity="DE"),)),
         Route("DE", ServiceMonth(2026, 9), None)),
        (make_master(projects=(), employees=()), Route("US", ServiceMonth(2026, 9), None)),
        # An ERP that lost sight of a company must not move its work to another one's books.
        (make_master(legal_entities=(US,)), Route("UK", ServiceMonth(2026, 9), "CTR-0001")),
    ],
)  # fmt: skip
def test_work_belongs_to_whoever_sells_it(master: MasterData, expected: Route) -> None:
    """Edge case 16: an entry in two partitions is planned twice, one in none never."""
    assert route(make_entry(), master, RULES) == decided(master=master).route == expected


def test_a_rate_of_nothing_is_still_a_rate() -> None:
    """Work that is free of charge by agreement would be held for want of a rate."""
    line = decided(master=make_master(bill_rates=(bill_rate("0.00"),))).effect(BILLING)
    assert line is not None
    assert line.amount == money("0.00")


def test_only_what_an_effect_depends_on_changes_it() -> None:
    """Edge cases 11 and 12: a raise would credit and rebill the invoices of the whole month."""
    before, after = decided(), decided(master=make_master(cost_rates=(cost_rate("66.00"),)))
    assert before.effect(BILLING) == after.effect(BILLING)
    assert before.effect(COST) != after.effect(COST)


ENTRIES = st.builds(
    make_entry,
    st.integers(0, 2000),
    state=st.sampled_from(ApprovalState),
    billable=st.booleans(),
    psa_project_id=st.sampled_from(("p1", "p2", None)),
    psa_user_id=st.sampled_from(("u1", "u2")),
    service_date=st.dates(dt.date(2026, 8, 1), dt.date(2026, 11, 30)),
    description=st.text(st.characters(exclude_categories=("Cs",)), max_size=10),
)
OPTIONAL: dict[str, tuple[Any, ...]] = {
    "legal_entities": (US, UK),
    "customers": (CUSTOMER,),
    "contracts": (CONTRACT,),
    "projects": (PROJECT,),
    "employees": (EMPLOYEE,),
    "bill_rates": (bill_rate(),),
    "cost_rates": (cost_rate(),),
    "fx_rates": (fx_rate("USD", "GBP", "0.75"),),
    "tax_profiles": (TAX,),
}
MASTERS = st.fixed_dictionaries(
    {name: st.lists(st.sampled_from(values), unique_by=id).map(tuple) for name, values in OPTIONAL.items()}
).map(lambda kinds: make_master(**kinds))


@given(entry=ENTRIES, master=MASTERS)
def test_any_gap_in_master_data_leaves_every_minute_in_one_place(entry: TimeEntry, master: MasterData) -> None:
    """Approved minutes that are neither posted, non-billable nor held have vanished; a crash stops everybody else."""
    decision = decide(entry, master, RULES)
    approved = entry.state is ApprovalState.APPROVED and entry.minutes > 0
    assert (decision.outcome is Outcome.NONE) is not approved
    assert decision.minutes == entry.minutes
    line, hold = decision.effect(BILLING), decision.hold(BILLING)
    assert (decision.outcome is Outcome.POST) is (line is not None)
    assert (decision.outcome is Outcome.HOLD) is (hold is not None)
    assert line is None or line.minutes == entry.minutes
    if approved:
        assert (decision.effect(COST) is None) is (decision.hold(COST) is not None)


@given(entry=ENTRIES, master=MASTERS)
def test_the_same_facts_give_the_same_bytes(entry: TimeEntry, master: MasterData) -> None:
    """A decision that differs without a reason touches its entry at every sync."""
    names = (*OPTIONAL, "closed_periods")
    copy = MasterData(**{name: getattr(master, name) for name in names})
    bodies = {canonical_json(decide(e, m, RULES).to_body()) for e in (entry, replace(entry)) for m in (master, copy)}
    assert len(bodies) == 1


def test_amounts_in_a_stored_decision_are_exact() -> None:
    """A float would come back as another amount."""
    assert Decimal(decided(50).to_body()["effects"][0]["amount"]["amount"]) == Decimal("83.33")
