"""Decisions: what an approved entry comes to, or every reason why it does not."""

import datetime as dt
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from psa_erp_assets.domain.calendar import ServiceMonth
from psa_erp_assets.domain.decide import decide, route
from psa_erp_assets.domain.decision import Decision, Mode, Outcome, Route
from psa_erp_assets.domain.effects import (
    BilledTo,
    BillingLine,
    CostKind,
    CostTransaction,
    EffectType,
    IntercompanyCharge,
    payload_hash,
)
from psa_erp_assets.domain.faults import FAULTS
from psa_erp_assets.domain.keys import canonical_json
from psa_erp_assets.domain.master import MasterData
from psa_erp_assets.domain.records import ApprovalState, Expense, Milestone, TimeEntry
from psa_erp_assets.domain.rollout import Rollout, RolloutStep
from psa_erp_assets.domain.terms import (
    MAIN,
    Component,
    ContractKind,
    ExpenseTerms,
    Overage,
    Recognition,
    RecognitionTerms,
    RetainerTerms,
    Terms,
    plain_terms,
)
from psa_erp_assets.domain.values import replace
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
CHARGE = EffectType.INTERCOMPANY_CHARGE
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
        kind=CostKind.INTERCOMPANY,
    )
    assert decision.versions["cost_fx"] == "USDGBP@2026-09-01"


def test_whoever_employs_charges_whoever_sells() -> None:
    """The American company would pay an employee whose work another company sells, and have nothing for it."""
    assert decided(50).effect(CHARGE) == IntercompanyCharge(
        erp_company="1",
        partner_company="2",
        employee_name="Ada Jones",
        service_date=DAY,
        minutes=50,
        per_hour=money("60.00", "USD"),
        amount=money("50.00", "USD"),
        description="workshop",
    )


def test_nobody_is_charged_for_their_own_people() -> None:
    """A receivable of a company from itself."""
    decision = decided(50, master=make_master(employees=(replace(EMPLOYEE, legal_entity="UK"),)))
    cost = decision.effect(COST)
    assert isinstance(cost, CostTransaction)
    assert (cost.kind, cost.amount) == (CostKind.LABOR, money("37.50"))
    assert decision.effect(CHARGE) is None


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
        ({}, make_master(contracts=(replace(CONTRACT, terms=plain_terms(ContractKind.NON_BILLABLE)),))),
    ],
)
def test_non_billable_work_costs_and_is_not_billed(entry: dict[str, Any], master: MasterData) -> None:
    """The customer would pay for it, or its cost would be missing from the margin."""
    decision = decided(60, master=master, **entry)
    assert decision.outcome is Outcome.NON_BILLABLE
    assert decision.effect(BILLING) is None
    assert decision.effect(COST) is not None
    assert decision.effect(CHARGE) is not None


def test_what_billing_lacks_does_not_hold_non_billable_work() -> None:
    """An item in the exception queue that nobody needs to clear hides those that count."""
    master = make_master(customers=(), tax_profiles=(), bill_rates=())
    decision = decided(60, master=master, billable=False)
    assert (decision.outcome, decision.holds) == (Outcome.NON_BILLABLE, ())


def project(**changes: Any) -> MasterData:
    return make_master(projects=(replace(PROJECT, **changes),))


def contract(**changes: Any) -> MasterData:
    return make_master(contracts=(replace(CONTRACT, **changes),))


def of_kind(kind: ContractKind, **component: Any) -> Terms:
    """Terms of one component."""
    return Terms(components=(Component(code=MAIN, kind=kind, **component),))


def retainer(overage: Overage) -> Terms:
    terms = RetainerTerms(fee=money("500.00"), included_minutes=60, overage=overage)
    return of_kind(ContractKind.RETAINER, retainer=terms)


BUILD = Terms(
    components=(Component(code="build", kind=ContractKind.FIXED_FEE_MILESTONE, fee=money("900.00")),)
)  # fmt: skip
MILESTONE = Milestone(
    id="milestone:kantata:m1",
    revision=1,
    state=ApprovalState.APPROVED,
    contract_id="CTR-0001",
    component="build",
    service_date=DAY,
    amount=money("500.00"),
    label="Go-live",
    payload_id=1,
)
EXPENSE = Expense(
    id="expense:clockify:x1",
    revision=1,
    state=ApprovalState.APPROVED,
    psa_user_id="u1",
    psa_project_id="p1",
    service_date=DAY,
    category="Hotel",
    receipt=money("100.00", "EUR"),
    reimbursement=money("110.00", "USD"),
    billable=True,
    description="two nights",
    payload_id=1,
)
EUROS = (fx_rate("USD", "GBP", "0.75"), fx_rate("EUR", "GBP", "0.85"))


def master_with_euros(**expenses: Any) -> MasterData:
    terms = replace(CONTRACT.terms, expenses=ExpenseTerms(**expenses))
    return make_master(fx_rates=EUROS, contracts=(replace(CONTRACT, terms=terms),))


@pytest.mark.parametrize(
    ("code", "held", "master", "entry"),
    [
        ("unknown_employee", BOTH, make_master(employees=()), {}),
        ("unknown_project", BOTH, make_master(), {"psa_project_id": None}),
        ("unknown_project", BOTH, make_master(), {"psa_project_id": "p404"}),
        ("unknown_project", BOTH, project(contract_id=None), {}),
        ("unknown_project", BOTH, make_master(contracts=()), {}),
        ("legal_entity_not_in_erp", BOTH, make_master(legal_entities=(US,)), {}),
        # The charge would have no books to be in, and a cost without its charge leaves the group's unbalanced.
        ("legal_entity_not_in_erp", {COST}, make_master(legal_entities=(UK,)), {}),
        ("no_component", BOTH, contract(terms=of_kind(ContractKind.TIME_AND_MATERIALS, projects=("PRJ-9",))), {}),
        ("project_closed", BOTH, project(closed=True), {}),
        ("project_closed", BOTH, project(closed=True, closed_on=DAY - dt.timedelta(days=1)), {}),
        ("project_not_in_erp", BOTH, project(erp_analytics={}), {}),
        ("outside_contract_term", BOTH, contract(valid_from=DAY + dt.timedelta(days=1)), {}),
        ("outside_contract_term", BOTH, contract(valid_to=DAY - dt.timedelta(days=1)), {}),
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
        # From euros there is a way into the books of whoever sells, and none into those of whoever employs.
        ("no_fx_rate", {COST}, make_master(cost_rates=(cost_rate(per_hour=money("55.00", "EUR")),),
                                           fx_rates=(fx_rate("EUR", "GBP", "0.85"),)), {}),
        ("no_cost_rate", {COST}, make_master(cost_rates=()), {}),
    ],
)  # fmt: skip
def test_every_gap_holds_just_what_depends_on_it(
    code: str, held: frozenset[EffectType], master: MasterData, entry: dict[str, Any]
) -> None:
    """Edge cases 17, 18, 23: posted on a guess, or billing that waits for something that only cost needs."""
    decision = decided(50, master=master, **entry)
    assert {kind for kind in EffectType if code in codes(decision, kind)} == held
    assert {e.effect_type for e in decision.effects}.isdisjoint(held)
    assert decision.outcome is (Outcome.HOLD if BILLING in held else Outcome.POST)
    for kind in BOTH:
        hold = decision.hold(kind)
        assert (hold is None) is (decision.effect(kind) is not None)
    assert (decision.effect(CHARGE) is None) is (decision.effect(COST) is None), "there are both or neither"


def test_every_hold_has_an_owner_and_a_next_step() -> None:
    """An item that nobody owns is cleared by nobody; a code that is not known would stop the planner."""
    master = make_master(legal_entities=(), employees=(), projects=(), contracts=())
    assert all(h.code in FAULTS and h.detail for h in decided(master=master).holds)
    assert all(fault.next_step for fault in FAULTS.values())


def test_a_closed_period_decides_nothing() -> None:
    """Closing a month would put everything that it has in its books into the exception queue."""
    closed = frozenset({("UK", ServiceMonth(2026, 9))})
    assert decided(master=make_master(closed_periods=closed)) == decided()


@pytest.mark.parametrize(
    ("terms", "outcome"),
    [
        (of_kind(ContractKind.CAPPED, cap=money("10.00")), Outcome.POST),
        (of_kind(ContractKind.FIXED_FEE_MILESTONE, fee=money("500.00")), Outcome.COVERED),
        (retainer(Overage.BILL), Outcome.POST),
        (retainer(Overage.HOLD), Outcome.COVERED),
        (retainer(Overage.WRITE_OFF), Outcome.COVERED),
    ],
)
def test_each_kind_of_contract_is_decided(terms: Terms, outcome: Outcome) -> None:
    """Hours would be billed beside the fee that pays for them, or those beyond a retainer have no price.

    How far a cap or a retainer reaches is for the contract's month to say, which has all of its work.
    """
    decision = decided(50, master=contract(terms=terms))
    assert (decision.outcome, decision.component, decision.holds) == (outcome, MAIN, ())
    assert (decision.effect(BILLING) is not None) is (outcome is Outcome.POST)
    assert decision.effect(COST) is not None, "a fee has costs as well"


def test_a_rate_is_not_missed_where_a_fee_pays() -> None:
    """Work under a fixed fee would wait for a rate that nobody has agreed."""
    terms = of_kind(ContractKind.FIXED_FEE_MILESTONE, fee=money("500.00"))
    master = make_master(contracts=(replace(CONTRACT, terms=terms),), bill_rates=(), tax_profiles=())
    assert decided(50, master=master).outcome is Outcome.COVERED


@pytest.mark.parametrize("method", Recognition)
def test_what_is_not_earned_as_billed_goes_to_the_contract_s_balance(method: Recognition) -> None:
    """Revenue would be recognized by the invoice and once more by the month's entry."""
    terms = of_kind(ContractKind.TIME_AND_MATERIALS, recognition=RecognitionTerms(method=method))
    line = decided(50, master=contract(terms=terms)).effect(BILLING)
    assert isinstance(line, BillingLine)
    assert line.account is (BilledTo.REVENUE if method is Recognition.AS_BILLED else BilledTo.CONTRACT_BALANCE)


def test_an_expense_is_passed_on_and_costs() -> None:
    """Edge case 29: an expense in three currencies; what the customer pays comes from the receipt alone."""
    decision = decide(EXPENSE, master_with_euros(), RULES)
    line, cost = decision.effect(BILLING), decision.effect(COST)
    assert (decision.outcome, decision.minutes, decision.holds) == (Outcome.POST, 0, ())
    assert isinstance(line, BillingLine)
    assert (line.amount, line.per_hour, line.minutes, line.tax) == (money("85.00"), None, 0, "301")
    assert isinstance(cost, CostTransaction)
    assert (cost.amount, cost.kind, cost.per_hour) == (money("82.50"), CostKind.INTERCOMPANY, None)
    charge = decision.effect(CHARGE)
    assert isinstance(charge, IntercompanyCharge)
    assert (charge.erp_company, charge.partner_company, charge.minutes, charge.per_hour) == ("1", "2", 0, None)
    assert charge.amount == money("110.00", "USD")


@pytest.mark.parametrize(
    ("terms", "changes"),
    [
        ({}, {"billable": False}),
        ({"billable": False}, {}),
    ],
)
def test_an_expense_that_nobody_is_billed_for_still_costs(terms: dict[str, Any], changes: dict[str, Any]) -> None:
    """The margin would be better than it is, or the customer pays for what the contract includes."""
    master = master_with_euros(**terms)
    decision = decide(replace(EXPENSE, **changes), master, RULES)
    assert (decision.outcome, decision.effect(BILLING), decision.holds) == (Outcome.NON_BILLABLE, None, ())
    assert decision.effect(COST) is not None


@pytest.mark.parametrize(
    ("code", "held", "changes"),
    [
        ("unknown_project", BOTH, {"projects": ()}),
        ("no_tax_profile", {BILLING}, {"tax_profiles": ()}),
        ("no_fx_rate", {BILLING}, {"fx_rates": (fx_rate("USD", "GBP", "0.75"),)}),
        ("no_fx_rate", {COST}, {"fx_rates": (fx_rate("EUR", "GBP", "0.85"),)}),
    ],
)
def test_every_gap_holds_just_what_of_an_expense_depends_on_it(
    code: str, held: frozenset[EffectType], changes: dict[str, Any]
) -> None:
    """Edge case 17: a currency without a rate would be taken for the contract's own."""
    master = make_master(**({"fx_rates": EUROS} | changes))
    decision = decide(EXPENSE, master, RULES)
    assert {kind for kind in EffectType if code in codes(decision, kind)} == held
    assert {e.effect_type for e in decision.effects}.isdisjoint(held)
    assert decision.outcome is (Outcome.HOLD if BILLING in held else Outcome.POST)


def test_an_accepted_milestone_is_billed_as_one_unit() -> None:
    """An invoice that shows hours for a price that has none, or none of it."""
    decision = decide(MILESTONE, contract(terms=BUILD), RULES)
    assert (decision.outcome, decision.holds, decision.component) == (Outcome.POST, (), "build")
    assert decision.route == Route("UK", ServiceMonth(2026, 9), "CTR-0001")
    assert decision.effects == (
        BillingLine(
            erp_company="2",
            party="70",
            analytic="501",
            employee_name="",
            service_date=DAY,
            minutes=0,
            per_hour=None,
            amount=money("500.00"),
            tax="301",
            description="Go-live",
        ),
    )


@pytest.mark.parametrize("state", [s for s in ApprovalState if s is not ApprovalState.APPROVED])
def test_a_milestone_that_is_not_accepted_has_no_effect(state: ApprovalState) -> None:
    """The customer would be billed for what they have not accepted."""
    decision = decide(replace(MILESTONE, state=state), contract(terms=BUILD), RULES)
    assert (decision.outcome, decision.effects, decision.holds) == (Outcome.NONE, (), ())


@pytest.mark.parametrize(
    ("code", "master", "changes"),
    [
        ("unknown_contract", make_master(contracts=()), {}),
        ("no_component", contract(terms=BUILD), {"component": "run"}),
        ("no_component", make_master(), {"component": MAIN}),
        ("rate_currency_mismatch", contract(terms=BUILD), {"amount": money("500.00", "USD")}),
        ("customer_not_in_erp", contract(terms=BUILD, customer_id="CUS-9"), {}),
        ("project_not_in_erp", make_master(contracts=(replace(CONTRACT, terms=BUILD),), projects=()), {}),
        ("legal_entity_not_in_erp",
         make_master(contracts=(replace(CONTRACT, terms=BUILD),), legal_entities=(US,)), {}),
    ],
)  # fmt: skip
def test_every_gap_holds_a_milestone(code: str, master: MasterData, changes: dict[str, Any]) -> None:
    """Edge case 23: billed on a guess, or lost."""
    decision = decide(replace(MILESTONE, **changes), master, RULES)
    assert (decision.outcome, decision.effects) == (Outcome.HOLD, ())
    assert code in codes(decision, BILLING)


def test_a_decision_says_how_far_the_rollout_has_come() -> None:
    """What people still bill by hand would be billed by the sync as well."""
    shadow = RolloutStep(mode=Mode.SHADOW, legal_entity="UK")
    live = RolloutStep(mode=Mode.LIVE, legal_entity="UK", valid_from=DAY + dt.timedelta(days=1))
    rules = replace(RULES, rollout=Rollout(steps=(shadow, live)))
    days = (DAY, DAY + dt.timedelta(days=1))
    assert [decide(make_entry(service_date=d), make_master(), rules).mode for d in days] == [Mode.SHADOW, Mode.LIVE]
    assert decide(make_entry(), contract(legal_entity="US"), rules).mode is Mode.OFF
    assert decided().mode is Mode.LIVE
    # The mode says what becomes of the effects, not what they are.
    assert decide(make_entry(), make_master(), rules).effects == decided().effects


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
        assert (decision.effect(CHARGE) is None) is (decision.effect(COST) is None)


@given(entry=ENTRIES, master=MASTERS)
def test_the_same_facts_give_the_same_bytes(entry: TimeEntry, master: MasterData) -> None:
    """A decision that differs without a reason touches its entry at every sync."""
    names = (*OPTIONAL, "closed_periods")
    copy = MasterData(**{name: getattr(master, name) for name in names})
    bodies = {canonical_json(decide(e, m, RULES).to_body()) for e in (entry, replace(entry)) for m in (master, copy)}
    assert len(bodies) == 1


def test_a_stored_decision_names_its_effects_by_their_content() -> None:
    """A decision with another amount would pass for the same one, and nothing would be planned anew."""
    decision = decided(50)
    assert decision.to_body()["effects"] == {e.effect_type.value: payload_hash(e) for e in decision.effects}
