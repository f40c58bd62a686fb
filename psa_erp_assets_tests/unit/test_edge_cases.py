"""The edge cases of a PSA→ERP sync, each a public bug report or a vendor's document, by the number that they have.

Here are those that the pure core can show, with the real engine from the facts to an ERP's net. The others need a
store, a source or an ERP that answers, and are shown by:

- 1, 2 (a lost answer, a time-out): `unit/test_posting_engine.py`, `chaos/test_simulator.py`
- 3, 4, 5 (claimed, drafted and posted; one claim a line; one transaction): `integration/store/test_postings.py`,
  `integration/store/test_planning.py`
- 20 (a bad row in a batch): `unit/test_posting_engine.py`, `integration/test_tryton_erp.py`,
  `integration/store/test_revisions.py`
- 27, 28 (webhooks twice, late, permuted or never; cursors that skip): `integration/test_sync_with_sandboxes.py`,
  `integration/console/test_webhooks.py`

Against a real Tryton: `acceptance/test_corrections.py` (12, 13, 15, 18, 19, 23, 30),
`acceptance/test_cancelled_in_the_erp.py` (6, 7), `acceptance/test_broken_by_hand.py` (three-way reconciliation) and
`acceptance/test_mapping_in_the_books.py` (21).

After them come the published figures of billing. Those of revenue (the contract modification of IFRS 15, the catch-up,
deferred revenue by month, proration) are in `unit/test_revenue.py`, those of DSO in `unit/test_measures.py`.
"""

import datetime as dt
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest

from psa_erp_assets.domain.account import ContractMonth, settle
from psa_erp_assets.domain.balances import Balance
from psa_erp_assets.domain.calendar import ServiceMonth, service_date
from psa_erp_assets.domain.closed_periods import Choice, PeriodChoice, chosen, hand_bookings
from psa_erp_assets.domain.decide import Decider
from psa_erp_assets.domain.decision import Decision, Outcome
from psa_erp_assets.domain.effects import BillingLine, CostTransaction, EffectType, payload_hash
from psa_erp_assets.domain.money import CurrencyMismatchError, Money, Rounding
from psa_erp_assets.domain.plan import Action, PlanItem
from psa_erp_assets.domain.records import Amendment, ApprovalState, Credit, Expense, WorkItem
from psa_erp_assets.domain.tax import DifferenceClass, RoundingProfile, TaxBasis, TaxedLine, explain, predict
from psa_erp_assets.domain.terms import (
    Component,
    ContractKind,
    Estimate,
    ExpenseTerms,
    Instalment,
    LineRounding,
    Overage,
    Recognition,
    RecognitionTerms,
    Terms,
)
from psa_erp_assets.domain.values import replace
from psa_erp_assets_tests.support.contract_months import (
    BILLING,
    COST,
    OCTOBER,
    REVENUE,
    SEPTEMBER,
    billed,
    capped,
    contract_of,
    entry,
    of,
    settle_month,
)
from psa_erp_assets_tests.support.facts import (
    CONTRACT,
    CUSTOMER,
    DAY,
    EMPLOYEE,
    ENTRY,
    FIRST,
    PROJECT,
    RULES,
    TAX,
    UK,
    bill_rate,
    cost_rate,
    fx_rate,
    make_master,
    money,
)
from psa_erp_assets_tests.support.small_erp import SmallErp

TIME = Component(code="main", kind=ContractKind.TIME_AND_MATERIALS)
MID = dt.date(2026, 9, 15)
A, B = f"{ENTRY}-a", f"{ENTRY}-b"


class Company:
    """A company whose work is synchronized into a small ERP, as often as a test asks for it."""

    def __init__(self, **master: Any) -> None:
        self.master, self.erp = dict(master), SmallErp()
        self.facts: dict[str, WorkItem] = {}
        self.credits: list[Credit] = []
        self.choices: dict[tuple[str, EffectType], PeriodChoice] = {}

    def record(self, *facts: WorkItem) -> None:
        self.facts |= {fact.id: fact for fact in facts}

    def revise(self, object_id: str, **changes: Any) -> None:
        fact = self.facts[object_id]
        self.facts[object_id] = replace(fact, revision=fact.revision + 1, **changes)

    def decide(self) -> list[Decision]:
        """All decisions: each contract's month together."""
        decider = Decider(make_master(**self.master), RULES)
        months: dict[tuple[str | None, ServiceMonth], list[tuple[WorkItem, Decision]]] = {}
        for fact in self.facts.values():
            decision = decider.decide(fact)
            where = decision.route
            months.setdefault((where.contract_id, where.service_month), []).append((fact, decision))
        decided: list[Decision] = []
        for (contract, month), work in months.items():
            if contract is None:
                decided += [decision for _, decision in work]
            else:
                where_to = ContractMonth(contract, month)
                decided += settle(where_to, work, Balance(), decider, self.credits).decisions
        return [chosen(decision, self.choices) for decision in decided]

    def plan(self) -> list[PlanItem]:
        return self.erp.plan(self.decide())

    def sync(self) -> list[PlanItem]:
        """Plan, post, and answer with what was done."""
        items = self.plan()
        self.erp.apply(items)
        self.erp.work()
        return [item for item in items if item.acts]

    def net(self, effect_type: EffectType = BILLING) -> dict[str, Decimal]:
        """What the ERP holds, by object and company where there is more than one."""
        return {
            f"{object_id}@{company}" if company != "2" else object_id: amount
            for (object_id, of_type, company, _), (amount, _) in self.erp.net().items()
            if of_type is effect_type
        }

    def invoice(self, *objects: str) -> None:
        """Finance puts all lines of these objects on an invoice."""
        self.erp.invoice(k for k, p in self.erp.postings.items() if p.object_id in objects)


def actions(items: Sequence[PlanItem], effect_type: EffectType = BILLING) -> list[tuple[Action, str]]:
    return [(item.action, item.object_id) for item in items if item.effect_type is effect_type and item.acts]


# The edge cases


def test_edge_06_running_a_past_period_again_bills_nothing_again() -> None:
    """odoo#250946: eligibility comes from what is there, never from dates."""
    company = Company()
    company.record(entry("a", 60, 1), entry("b", 30, 2))
    assert len(actions(company.sync())) == 2
    assert company.plan() == []
    company.invoice(A)
    assert company.plan() == []
    company.record(entry("late", 15, 3))
    assert actions(company.sync()) == [(Action.CREATE, f"{ENTRY}-late")]


def test_edge_06_a_draft_that_is_cancelled_and_a_draft_again_is_billed_once() -> None:
    """Finance cancels a draft invoice and makes a draft of it again: what was billed in its place goes, and the next
    edit bills just once."""
    company = Company()
    company.record(entry("a", 60))
    company.sync()
    company.invoice(A)
    company.erp.cancel_invoice(company.erp.documents)
    company.sync()
    assert company.net() == {A: Decimal("100.00")}
    company.erp.make_draft_again(company.erp.cancelled)
    assert company.net() == {A: Decimal("200.00")}, "as finance sees it until the next sync"
    assert actions(company.sync()) == [(Action.RESTORE, A), (Action.WITHDRAW, A)]
    assert company.net() == {A: Decimal("100.00")}
    assert company.plan() == []
    company.revise(A, minutes=90)
    company.sync()
    assert company.net() == {A: Decimal("150.00")}


def test_edge_07_a_credit_of_3_5_hours_frees_just_these() -> None:
    """odoo#280601, #254332: 3.5 h credited of 8 h made June bill all 8 h again."""
    company = Company()
    company.record(entry("a", 480))
    company.sync()
    company.invoice(A)
    company.credits = [Credit(id="C1", object_id=A, minutes=210, rebill=True, in_erp=False, reason="agreed")]
    company.sync()
    assert company.net() == {A: Decimal("450.00"), f"{A}#C1": Decimal("350.00")}
    assert company.plan() == []
    assert sum(d.minutes_of(Outcome.POST) for d in company.decide()) == 480


def test_edge_08_what_is_credited_and_billed_again_keeps_its_links() -> None:
    """odoo#283104: linked by line position, the rebill lost its entry. Object and target stay, whatever moves."""
    company = Company()
    company.record(entry("a", 60, 2), entry("b", 60, 3))
    company.sync()
    company.invoice(A, B)
    company.record(entry("earlier", 60, 1))
    company.revise(B, minutes=30)
    reverse, create = (i for i in company.sync() if i.object_id == B and i.effect_type is BILLING)
    first = next(p for p in company.erp.postings.values() if p.object_id == B and p.revision == 1)
    assert (reverse.action, reverse.target_key) == (Action.REVERSE, first.key)
    assert (create.action, create.depends_on) == (Action.CREATE, reverse.key)
    assert company.net() == {A: Decimal("100.00"), B: Decimal("50.00"), f"{ENTRY}-earlier": Decimal("100.00")}
    # The next correction finds the rebill, and not the line that has its place on the invoice.
    company.invoice(B)
    company.revise(B, minutes=45)
    [again] = [i for i in company.sync() if i.action is Action.REVERSE]
    assert again.target_key == create.key


def test_edge_09_lines_rounded_one_by_one_total_6_66() -> None:
    """odoo#285322: 15, 50, 225, 75 and 35 minutes at 1.00 an hour; the whole is 6.67."""
    facts = [entry(str(n), minutes, n) for n, minutes in enumerate((15, 50, 225, 75, 35), start=1)]
    amounts: dict[LineRounding, list[Money]] = {}
    for rounding in LineRounding:
        contract = contract_of(TIME, rounding=rounding)
        amounts[rounding] = list(billed(settle_month(contract, facts, bill_rates=(bill_rate("1.00"),))).values())
    assert sum(m.amount for m in amounts[LineRounding.LINE]) == Decimal("6.66")
    assert sum(m.amount for m in amounts[LineRounding.CUMULATIVE]) == Decimal("6.67")


def test_edge_10_a_cent_of_tax_is_rounding_and_no_wrong_rate() -> None:
    """quickbooks-ruby#547: three lines of 0.03 at 20 % are 0.03 by line and 0.02 by document: explained."""
    company = Company(bill_rates=(bill_rate("1.80"),))
    company.record(*(entry(str(n), 1, n) for n in (1, 2, 3)))
    lines = [line for d in company.decide() if isinstance(line := d.effect(BILLING), BillingLine)]
    taxed = [TaxedLine(amount=line.amount, rate=TAX.rate, tax=line.tax) for line in lines]
    by_line, by_document = (
        predict(taxed, RoundingProfile(basis=basis, mode=Rounding.HALF_UP))["301"] for basis in TaxBasis
    )
    assert (by_line, by_document) == (money("0.03"), money("0.02"))
    found = explain(by_document, by_line, len(lines))
    assert (found.difference_class, found.adjustment) == (DifferenceClass.ROUNDING, 1)
    # Two cents are more than three lines of half a cent can come to: nobody's rounding, and not to be adjusted away.
    beyond = explain(by_document, by_document + money("0.02"), len(lines))
    assert (beyond.difference_class, beyond.adjustment) == (DifferenceClass.UNEXPLAINED, 0)


def test_edge_11_a_cost_change_passes_although_the_time_is_invoiced() -> None:
    """OCA/timesheet#740: cost and bill rates are versioned apart; the invoice is left alone."""
    company = Company()
    company.record(entry("a", 60))
    company.sync()
    company.invoice(A)
    company.master["cost_rates"] = (cost_rate("66.00"),)
    done = company.sync()
    assert {item.effect_type for item in done} == {COST, EffectType.INTERCOMPANY_CHARGE}
    assert company.net(COST) == {A: Decimal("49.50")}


def test_edge_12_editing_a_rate_touches_only_the_hours_that_have_it() -> None:
    """A rate from the 15th on leaves the 14th alone, and no cost is written anew."""
    company = Company()
    company.record(entry("a", 60, 14), entry("b", 60, 15))
    company.sync()
    company.master["bill_rates"] = (bill_rate(), bill_rate("120.00", id="new", valid_from=MID))
    done = company.sync()
    assert {(item.object_id, item.effect_type) for item in done} == {(B, BILLING)}
    assert company.net() == {A: Decimal("100.00"), B: Decimal("120.00")}


def test_edge_13_a_retroactive_price_is_a_credit_and_a_rebill_of_what_is_invoiced() -> None:
    """killbill#1898: posted lines are immutable, and the account is not parked."""
    company = Company()
    company.record(entry("a", 60, 1), entry("b", 60, 2))
    company.sync()
    company.invoice(A)
    company.master["bill_rates"] = (bill_rate("90.00"),)
    done = company.sync()
    assert actions(done) == [
        (Action.REVERSE, A),
        (Action.CREATE, A),
        (Action.WITHDRAW, B),
        (Action.CREATE, B),
    ]
    assert company.net() == {A: Decimal("90.00"), B: Decimal("90.00")}


def test_edge_14_invoicing_one_project_leaves_the_others_lines() -> None:
    """erpnext#44167: one day's work on two projects is two lines, of which one is invoiced."""
    other = replace(PROJECT, id="PRJ-0002", code="PRJ-0002", psa_id="p2", erp_analytics={"2": "502"})
    rates = (bill_rate(), bill_rate(id="PRJ-0002", project_id="PRJ-0002"))
    company = Company(projects=(PROJECT, other), bill_rates=rates)
    company.record(entry("a", 60), entry("b", 30, psa_project_id="p2"))
    company.sync()
    company.invoice(A)
    company.revise(B, minutes=45)
    assert actions(company.sync()) == [(Action.WITHDRAW, B), (Action.CREATE, B)]
    assert company.net() == {A: Decimal("100.00"), B: Decimal("75.00")}


@pytest.mark.parametrize(("invoiced", "removal"), [(False, Action.WITHDRAW), (True, Action.REVERSE)])
def test_edge_15_moved_time_is_taken_back_where_it_was_and_posted_where_it_is(invoiced: bool, removal: Action) -> None:
    """kimai#2576, #5525: unbilled time moves; billed time is reversed on its old project and posted on the new one."""
    other = replace(PROJECT, id="PRJ-0002", code="PRJ-0002", psa_id="p2", erp_analytics={"2": "502"})
    rates = (bill_rate(), bill_rate("80.00", id="PRJ-0002", project_id="PRJ-0002"))
    company = Company(projects=(PROJECT, other), bill_rates=rates)
    company.record(entry("a", 60))
    company.sync()
    if invoiced:
        company.invoice(A)
    company.revise(A, psa_project_id="p2")
    assert actions(company.sync()) == [(removal, A), (Action.CREATE, A)]
    by_project = {"501": Decimal(0), "502": Decimal(0)}
    for effect in company.erp.documents.values():
        if isinstance(effect, BillingLine):
            by_project[effect.analytic] += effect.amount.amount
    assert by_project == {"501": Decimal("0.00"), "502": Decimal("80.00")}


def test_edge_16_old_work_stays_with_the_old_entity() -> None:
    """invoiceninja#5756: the contract moves to the US company on the 15th; what was done before is not billed twice."""
    company = Company()
    company.record(entry("a", 60, 14), entry("b", 60, 15))
    company.sync()
    assert company.net() == {A: Decimal("100.00"), B: Decimal("100.00")}
    moved = replace(CONTRACT, amendments=(Amendment(id="A1", effective_from=MID, legal_entity="US"),))
    company.master |= {"projects": (replace(PROJECT, erp_analytics={"2": "501", "1": "601"}),)}
    company.master |= {"contracts": (moved,), "tax_profiles": (TAX, replace(TAX, id="US/GB", legal_entity="US"))}
    assert {i.object_id for i in company.sync()} == {B}
    assert company.net() == {A: Decimal("100.00"), f"{B}@1": Decimal("100.00")}


def test_edge_17_two_currencies_are_never_one_total() -> None:
    """erpnext#50390: typed money refuses it."""
    decision = settle_month(CONTRACT, [entry("a", 60)], fx_rates=(fx_rate("USD", "GBP", "0.75"),)).decisions[0]
    cost = decision.effect(COST)
    assert isinstance(cost, CostTransaction)
    assert cost.per_hour is not None
    with pytest.raises(CurrencyMismatchError):
        _ = cost.amount + cost.per_hour


def test_edge_17_a_missing_rate_is_a_held_item_and_never_one() -> None:
    """60 dollars an hour would cost 60 pounds."""
    decision = settle_month(CONTRACT, [entry("a", 60)], fx_rates=()).decisions[0]
    assert decision.effect(COST) is None
    assert [h.code for h in decision.holds if h.effect_type is COST] == ["no_fx_rate"]
    assert decision.effect(BILLING) is not None


def shut() -> Company:
    """A company whose entry's month was closed before its cost was posted."""
    company = Company(employees=(replace(EMPLOYEE, legal_entity="UK"),))
    company.record(entry("a", 60))
    company.erp.closed[UK.erp_company, SEPTEMBER] = "UK"
    return company


def test_edge_18_a_closed_period_queues_and_is_posted_when_it_is_reopened() -> None:
    """QBO error 6200: it would be re-dated silently, or lost. The invoice does not wait for it."""
    company = shut()
    items = company.plan()
    assert [(i.action, i.hold.code) for i in items if i.hold] == [(Action.HOLD, "period_closed")]
    company.sync()
    assert (company.net(), company.net(COST)) == ({A: Decimal("100.00")}, {})
    company.erp.closed.clear()
    company.sync()
    assert company.net(COST) == {A: Decimal("45.00")}


@pytest.mark.parametrize(
    ("choice", "posting_date", "cost"),
    [
        (Choice.WAIT, None, {}),
        (Choice.POST_TO_OPEN, dt.date(2026, 10, 1), {A: Decimal("45.00")}),
        (Choice.BY_HAND, None, {}),
        (Choice.CANCEL, None, {}),
    ],
)
def test_edge_18_somebody_chooses_what_becomes_of_it(
    choice: Choice, posting_date: dt.date | None, cost: dict[str, Decimal]
) -> None:
    """Posted to the open period it keeps its own date as a reference; by hand or cancelled it leaves the queue."""
    company = shut()
    company.choices[A, COST] = PeriodChoice(
        object_id=A, effect_type=COST, choice=choice, posting_date=posting_date, reason="late", chosen_by="cfo"
    )
    company.sync()
    assert company.net(COST) == cost
    booked = [e for e in company.erp.documents.values() if isinstance(e, CostTransaction)]
    assert [(e.service_date, e.posting_date) for e in booked] == [(DAY, posting_date)] * len(cost)
    assert bool([i for i in company.plan() if i.hold]) is (choice is Choice.WAIT)


def test_edge_18_an_edit_of_what_was_booked_by_hand_books_the_difference() -> None:
    """The whole cost would be in the books twice: by hand, and by the sync once the period is open again."""
    company = shut()
    cost = next(d for d in company.decide() if d.object_id == A).effect(COST)
    assert cost is not None
    company.choices[A, COST] = PeriodChoice(
        object_id=A,
        effect_type=COST,
        choice=Choice.BY_HAND,
        posting_date=None,
        reason="late",
        chosen_by="cfo",
        basis=payload_hash(cost),
        by_hand=hand_bookings(cost, []),
    )
    company.sync()
    assert company.net(COST) == {}
    company.revise(A, minutes=80)
    company.sync()
    assert company.net(COST) == {}, "the period is closed"
    company.erp.closed.clear()
    company.sync()
    assert company.net(COST) == {A: Decimal("15.00")}
    company.revise(A, minutes=60)
    company.sync()
    assert company.net(COST) == {}
    company.revise(A, state=ApprovalState.DELETED)
    company.sync()
    assert company.net(COST) == {A: Decimal("-45.00")}, "what was booked by hand is taken back"


def test_edge_19_deleted_work_that_is_invoiced_is_credited() -> None:
    """A tombstone proposes a credit of the line that is on an invoice, and withdraws the draft that is on none."""
    company = Company()
    company.record(entry("a", 60, 1), entry("b", 60, 2))
    company.sync()
    company.invoice(A)
    for name in (A, B):
        company.revise(name, state=ApprovalState.DELETED)
    assert actions(company.plan()) == [(Action.REVERSE, A), (Action.WITHDRAW, B)]
    company.sync()
    assert (company.net(), company.net(COST)) == ({}, {})


def test_edge_21_a_new_mapping_shows_what_it_would_plan_before_it_is_accepted() -> None:
    """Two source customers become one party of the ERP: planned, looked at, and nothing has happened until it is
    applied."""
    second = replace(CUSTOMER, id="CUS-0002", erp_party="71")
    other = replace(CONTRACT, id="CTR-0002", customer_id="CUS-0002")
    project = replace(
        PROJECT, id="PRJ-0002", code="PRJ-0002", psa_id="p2", contract_id="CTR-0002", erp_analytics={"2": "502"}
    )
    company = Company(
        customers=(CUSTOMER, second),
        contracts=(CONTRACT, other),
        projects=(PROJECT, project),
        bill_rates=(bill_rate(), bill_rate(id="PRJ-0002", project_id="PRJ-0002")),
    )
    company.record(entry("a", 60), entry("b", 60, psa_project_id="p2"))
    company.sync()
    before = company.erp.net()
    company.master["customers"] = (CUSTOMER, replace(second, erp_party=CUSTOMER.erp_party))
    assert actions(company.plan()) == [(Action.WITHDRAW, B), (Action.CREATE, B)]
    assert company.erp.net() == before
    company.sync()
    parties = {e.party for e in company.erp.documents.values() if isinstance(e, BillingLine)}
    assert parties == {CUSTOMER.erp_party}


def test_edge_21_a_project_that_is_split_moves_just_the_work_of_its_part() -> None:
    """Its code becomes two, each in its component of the contract, with prices of their own."""
    part = replace(PROJECT, id="PRJ-0002", code="PRJ-0002", psa_id="p2", erp_analytics={"2": "502"})
    company = Company()
    company.record(entry("a", 60, 1), entry("b", 60, 2))
    company.sync()
    terms = Terms(components=(TIME, replace(TIME, code="new", projects=("PRJ-0002",))))
    company.master |= {
        "projects": (PROJECT, part),
        "contracts": (replace(CONTRACT, terms=terms),),
        "bill_rates": (bill_rate(), bill_rate("80.00", id="PRJ-0002", project_id="PRJ-0002")),
    }
    assert company.plan() == []
    company.revise(B, psa_project_id="p2")
    company.sync()
    assert company.net() == {A: Decimal("100.00"), B: Decimal("80.00")}


def test_edge_22_only_the_latest_approved_revision_has_effects() -> None:
    """Approved, un-approved, edited and approved again, on an invoice or not, before and after each sync."""
    company = Company()
    company.record(entry("a", 60))
    company.sync()
    company.revise(A, state=ApprovalState.SUBMITTED)
    company.sync()
    assert (company.net(), company.net(COST)) == ({}, {})
    company.revise(A, minutes=90)
    assert company.sync() == []
    company.revise(A, state=ApprovalState.APPROVED)
    company.sync()
    company.invoice(A)
    assert company.net() == {A: Decimal("150.00")}
    company.revise(A, minutes=30)
    company.sync()
    assert (company.net(), company.net(COST)) == ({A: Decimal("50.00")}, {A: Decimal("22.50")})


def test_edge_23_work_that_came_before_its_contract_is_held_and_released_by_itself() -> None:
    """Posted on a guess, or held until somebody remembers."""
    company = Company(contracts=())
    company.record(entry("a", 60))
    held = company.plan()
    assert {(i.action, i.hold.code if i.hold else None) for i in held} == {(Action.HOLD, "unknown_project")}
    assert company.sync() == []
    del company.master["contracts"]
    company.sync()
    assert company.net() == {A: Decimal("100.00")}


@pytest.mark.parametrize(
    ("started", "zone", "day"),
    [
        # Over midnight at the end of a month, in the zone of whoever worked.
        (dt.datetime(2026, 10, 1, 2, 0, tzinfo=dt.UTC), "America/New_York", dt.date(2026, 9, 30)),
        # The hour that a change of the clocks has twice, and the one that it has not.
        (dt.datetime(2026, 11, 1, 5, 30, tzinfo=dt.UTC), "America/New_York", dt.date(2026, 11, 1)),
        (dt.datetime(2026, 11, 1, 6, 30, tzinfo=dt.UTC), "America/New_York", dt.date(2026, 11, 1)),
        (dt.datetime(2027, 3, 28, 1, 0, tzinfo=dt.UTC), "Europe/London", dt.date(2027, 3, 28)),
        (dt.datetime(2026, 9, 30, 23, 30, tzinfo=dt.UTC), "Europe/London", dt.date(2026, 10, 1)),
    ],
)
def test_edge_24_work_is_billed_in_the_month_of_its_local_day(started: dt.datetime, zone: str, day: dt.date) -> None:
    """An American's evening of the 30th is the 1st in the British company that sells it: it is September's work."""
    on = service_date(started, zone)
    assert on == day
    decision = Decider(make_master(), RULES).decide(entry("a", 60, on, started_at=started, time_zone=zone))
    assert decision.route.service_month == ServiceMonth.of(day)
    assert {e.service_date for e in decision.effects} == {day}


def test_edge_25_fifty_minutes_at_a_hundred_are_83_33() -> None:
    """kimai#3282: two-decimal hours give 83.00."""
    company = Company()
    company.record(entry("a", 50))
    company.sync()
    assert company.net() == {A: Decimal("83.33")}


@pytest.mark.parametrize(
    ("overage", "outcome"), [(Overage.WRITE_OFF, Outcome.WRITTEN_OFF), (Overage.HOLD, Outcome.HOLD)]
)
def test_edge_26_a_cap_reached_inside_an_entry_splits_it(overage: Overage, outcome: Outcome) -> None:
    """150.00 are the cap of two hours at 100: billed to the cent, and the rest of the entry is accounted for."""
    company = Company(contracts=(contract_of(capped("150.00", overage)),))
    company.record(entry("a", 60, 1), entry("b", 60, 2))
    company.sync()
    assert company.net() == {A: Decimal("100.00"), B: Decimal("50.00")}
    (decision,) = (d for d in company.decide() if d.object_id == B)
    assert [(p.outcome, p.minutes) for p in decision.parts] == [(Outcome.POST, 30), (outcome, 30)]


def test_edge_26_held_work_keeps_its_room_below_the_cap() -> None:
    """Edge cases 23 and 26 at once: what is released by itself takes back nothing that was billed after it."""
    second = replace(PROJECT, id="PRJ-0002", code="PRJ-0002", psa_id="p2", erp_analytics={})
    company = Company(
        contracts=(contract_of(capped("150.00", Overage.HOLD)),),
        projects=(PROJECT, second),
        bill_rates=(bill_rate(), bill_rate(id="PRJ-0002", project_id="PRJ-0002")),
    )
    company.record(entry("a", 60, 1, psa_project_id="p2"), entry("b", 120, 2))
    company.sync()
    company.invoice(B)
    assert company.net() == {B: Decimal("50.00")}
    company.master["projects"] = (PROJECT, replace(second, erp_analytics={"2": "502"}))
    assert actions(company.sync()) == [(Action.CREATE, A)]
    assert company.net() == {A: Decimal("100.00"), B: Decimal("50.00")}


def receipt(**changes: Any) -> Expense:
    made = Expense(
        id="expense:x",
        revision=1,
        state=ApprovalState.APPROVED,
        psa_user_id="u1",
        psa_project_id="p1",
        service_date=DAY,
        category="Travel",
        receipt=money("100.00", "CHF"),
        reimbursement=money("112.00", "USD"),
        billable=True,
        description="flight",
        payload_id=1,
    )
    return replace(made, **changes)


def test_edge_29_an_expense_has_three_currencies_and_each_its_own_rate() -> None:
    """100 CHF on the receipt, 112 USD paid back, billed in pounds with the contract's mark-up and tax."""
    terms = replace(CONTRACT.terms, expenses=ExpenseTerms(mark_up=Decimal("0.1"), tax_profile="expenses"))
    company = Company(
        contracts=(replace(CONTRACT, terms=terms),),
        fx_rates=(fx_rate("USD", "GBP", "0.75"), fx_rate("CHF", "GBP", "0.9")),
        tax_profiles=(TAX, replace(TAX, id="UK/GB/expenses", supply="expenses", erp_tax="305")),
    )
    company.record(receipt())
    company.sync()
    assert (company.net(), company.net(COST)) == ({"expense:x": Decimal("99.00")}, {"expense:x": Decimal("84.00")})
    (decision,) = company.decide()
    line = decision.effect(BILLING)
    assert isinstance(line, BillingLine)
    assert line.tax == "305"
    assert {name: decision.versions[name] for name in ("expense_fx", "cost_fx")} == {
        "expense_fx": "CHFGBP@2026-09-01",
        "cost_fx": "USDGBP@2026-09-01",
    }


def test_edge_30_a_credit_note_has_the_tax_of_its_invoice() -> None:
    """The tax is another one today: the credit of what was invoiced keeps the old one, the rebill has the new."""
    company = Company()
    company.record(entry("a", 60))
    company.sync()
    company.invoice(A)
    company.master |= {"tax_profiles": (replace(TAX, erp_tax="302", rate=Decimal("0.21")),)}
    company.revise(A, minutes=90)
    company.sync()
    lines = [e for e in company.erp.documents.values() if isinstance(e, BillingLine)]
    assert [(line.amount, line.tax) for line in lines] == [
        (money("100.00"), "301"),
        (money("-100.00"), "301"),
        (money("150.00"), "302"),
    ]


# The published figures of billing


def test_figure_timesheet_billing() -> None:
    """ERPNext's test suite: 2 h at a bill rate of 50 and a cost rate of 20 are 100 and 40; converted at 2, 200."""
    pound = replace(CONTRACT, currency="USD", legal_entity="UK")
    settled = settle_month(
        pound,
        [entry("a", 120)],
        employees=(replace(EMPLOYEE, legal_entity="UK"),),
        bill_rates=(bill_rate(per_hour=money("50.00", "USD")),),
        cost_rates=(cost_rate(per_hour=money("20.00")),),
        fx_rates=(fx_rate("USD", "GBP", "2"),),
    )
    line, cost = of(settled, A).effect(BILLING), of(settled, A).effect(COST)
    assert line is not None
    assert cost is not None
    assert (line.amount, cost.amount) == (money("100.00", "USD"), money("40.00"))
    assert line.amount.converted(Decimal(2), "GBP") == money("200.00")


def test_figure_project_billing_100_and_then_80_more() -> None:
    """Tryton's test suite: 3 h + 2 h at 20 are 100; after 4 h more, 80 more are to be invoiced, 180 in all."""
    company = Company(bill_rates=(bill_rate("20.00"),))
    company.record(entry("a", 180, 1), entry("b", 120, 2))
    company.sync()
    assert sum(company.net().values()) == Decimal("100.00")
    company.invoice(A, B)
    company.record(entry("c", 240, 3))
    done = [item.effect.amount for item in company.sync() if item.effect and item.effect_type is BILLING]
    assert done == [money("80.00")]
    assert sum(company.net().values()) == Decimal("180.00")


def test_figure_cumulative_rounding_ends_with_0_59() -> None:
    """odoo#285322: the last of the five lines is 0.59, so that all come to 6.67; each is invoiced before the next."""
    company = Company(contracts=(contract_of(TIME, rounding=LineRounding.CUMULATIVE),), bill_rates=(bill_rate("1.00"),))
    for n, minutes in enumerate((15, 50, 225, 75, 35), start=1):
        company.record(entry(str(n), minutes, n))
        # Nothing that is invoiced already is touched by the next line's rounding.
        assert actions(company.sync()) == [(Action.CREATE, f"{ENTRY}-{n}")]
        company.invoice(f"{ENTRY}-{n}")
    assert company.net()[f"{ENTRY}-5"] == Decimal("0.59")
    assert sum(company.net().values()) == Decimal("6.67")


def test_figure_display_hours() -> None:
    """kimai#3282: 50 minutes at 100 are 83.33, in every kind of rounding there is."""
    for rounding in LineRounding:
        contract = contract_of(TIME, rounding=rounding)
        assert billed(settle_month(contract, [entry("a", 50)])) == {A: money("83.33")}


def test_figure_prepaid_split() -> None:
    """odoo#127875: of 12.00 prepaid, A's two hours in September earn 8.00, and B's one in October 4.00."""
    fee = money("12.00")
    component = Component(
        code="main",
        kind=ContractKind.FIXED_FEE_SCHEDULE,
        fee=fee,
        instalments=(Instalment(due=FIRST, amount=fee, label="prepaid"),),
        recognition=RecognitionTerms(method=Recognition.HOURS, estimate=Estimate(total_minutes=180)),
    )
    contract = contract_of(component)
    first = settle_month(contract, [entry("a", 120)])
    second = settle_month(contract, [entry("b", 60, 14, OCTOBER)], OCTOBER, opening=first.closing)
    assert (list(billed(first).values()), list(billed(second).values())) == ([fee], [])
    earned = [e.amount for s in (first, second) for d in s.decisions if (e := d.effect(REVENUE)) is not None]
    assert earned == [money("8.00"), money("4.00")]
