"""A contract's month taken together, by example: caps, hours, running totals, credits, fees, amendments, revenue."""

import datetime as dt
from decimal import Decimal
from typing import Any

import pytest

from psa_erp_assets.domain.account import Settlement, needs_account
from psa_erp_assets.domain.balances import Balance, ComponentBalance, RetainerHours
from psa_erp_assets.domain.decide import Decider
from psa_erp_assets.domain.decision import Mode, Outcome
from psa_erp_assets.domain.effects import BilledTo, BillingLine, RevenueEntry
from psa_erp_assets.domain.records import Amendment, ApprovalState, Contract, Credit
from psa_erp_assets.domain.rollout import Rollout, RolloutStep
from psa_erp_assets.domain.terms import (
    Component,
    ContractKind,
    Estimate,
    Instalment,
    LineRounding,
    Overage,
    Recognition,
    RecognitionTerms,
    plain_terms,
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
    milestone,
    of,
    retainer,
    settle_month,
    terms_of,
    total,
)
from psa_erp_assets_tests.support.facts import (
    CONTRACT,
    CUSTOMER,
    ENTRY,
    RULES,
    bill_rate,
    fx_rate,
    make_entry,
    make_master,
    money,
)

MID = dt.date(2026, 9, 15)
TIME = Component(code="main", kind=ContractKind.TIME_AND_MATERIALS)
A, B = f"{ENTRY}-a", f"{ENTRY}-b"
FEE = f"contract:{CONTRACT.id}:retainer:main:2026-09"


def credit(minutes: int, *, of_entry: str = A, name: str = "C1", rebill: bool = True, in_erp: bool = False) -> Credit:
    return Credit(id=name, object_id=of_entry, minutes=minutes, rebill=rebill, in_erp=in_erp, reason="agreed")


def amended(contract: Contract, on: dt.date = MID, **changes: Any) -> Contract:
    return replace(contract, amendments=(Amendment(id="A1", effective_from=on, **changes),))


def fixed(
    method: Recognition, fee: str = "1200.00", kind: ContractKind = ContractKind.FIXED_FEE_MILESTONE, **said: Any
) -> Component:
    recognition = {k: said.pop(k) for k in ("estimate", "percent_digits") if k in said}
    return Component(
        code="main", kind=kind, fee=money(fee), recognition=RecognitionTerms(method=method, **recognition), **said
    )


# Caps


@pytest.mark.parametrize(
    ("overage", "outcome"), [(Overage.WRITE_OFF, Outcome.WRITTEN_OFF), (Overage.HOLD, Outcome.HOLD)]
)
def test_an_entry_is_split_where_it_meets_the_cap(overage: Overage, outcome: Outcome) -> None:
    """Edge case 26: the customer would pay beyond the cap, or work would vanish without a trace."""
    settled = settle_month(contract_of(capped("150.00", overage)), [entry("a", 60, 1), entry("b", 60, 2)])
    decision = of(settled, B)
    assert billed(settled) == {A: money("100.00"), B: money("50.00")}
    assert [(p.outcome, p.minutes, p.amount) for p in decision.parts] == [
        (Outcome.POST, 30, money("50.00")),
        (outcome, 30, money("50.00")),
    ]
    assert [h.code for h in decision.holds] == (["cap_reached"] if overage is Overage.HOLD else [])
    assert decision.effect(COST) is not None
    assert settled.closing.of("main").time == Decimal("150.00")


def test_a_cap_holds_over_all_months() -> None:
    """Each month would bill up to the cap anew."""
    contract = contract_of(capped("150.00"))
    first = settle_month(contract, [entry("a", 60)])
    second = settle_month(
        contract, [entry("b", 60, 14, OCTOBER), entry("c", 60, 15, OCTOBER)], OCTOBER, opening=first.closing
    )
    assert billed(second) == {B: money("50.00")}
    assert of(second, f"{ENTRY}-c").outcome is Outcome.WRITTEN_OFF


def test_a_cap_that_is_raised_bills_on_from_there() -> None:
    """Work after the amendment would stay written off; work before it is as it was agreed then."""
    contract = amended(contract_of(capped("50.00")), terms=terms_of(capped("120.00")))
    settled = settle_month(contract, [entry("a", 60, 14), entry("b", 60, 15)])
    assert billed(settled) == {A: money("50.00"), B: money("70.00")}


def test_work_is_taken_in_the_order_in_which_it_was_done() -> None:
    """Which work is written off would depend on which message came first."""
    facts = [entry("a", 60, 2), entry("b", 60, 1)]
    for order in (facts, facts[::-1]):
        assert billed(settle_month(contract_of(capped("100.00")), order)) == {B: money("100.00")}


# Retainers


def test_hours_pay_for_work_and_the_fee_is_billed_once() -> None:
    """The customer would pay the fee and the work, or neither."""
    settled = settle_month(contract_of(retainer(120)), [entry("a", 90), entry("b", 20, 15)])
    assert billed(settled) == {FEE: money("1000.00")}
    assert {of(settled, x).outcome for x in (A, B)} == {Outcome.COVERED}
    assert settled.closing.of("main").retainer == (RetainerHours(month=SEPTEMBER, minutes=10),)


@pytest.mark.parametrize(
    ("overage", "outcome", "amount", "held"),
    [
        (Overage.BILL, Outcome.POST, money("50.00"), []),
        (Overage.HOLD, Outcome.HOLD, None, ["retainer_exhausted"]),
        (Overage.WRITE_OFF, Outcome.WRITTEN_OFF, None, []),
    ],
)
def test_work_beyond_the_hours_is_what_the_terms_make_of_it(
    overage: Overage, outcome: Outcome, amount: object, held: list[str]
) -> None:
    """30 of 90 minutes are over: billed, held or written off, and 60 are covered in any case."""
    settled = settle_month(contract_of(retainer(60, overage)), [entry("a", 90)])
    decision, line = of(settled, A), of(settled, A).effect(BILLING)
    assert [(p.outcome, p.minutes, p.amount) for p in decision.parts] == [
        (Outcome.COVERED, 60, None),
        (outcome, 30, amount),
    ]
    assert (line.amount if line else None) == amount
    assert [h.code for h in decision.holds] == held


@pytest.mark.parametrize("overage", list(Overage))
def test_hours_are_used_by_the_billing_increment_whatever_is_beyond_them(overage: Overage) -> None:
    """A retainer whose overage is written off would give more hours than one whose overage is billed."""
    settled = settle_month(contract_of(retainer(120, overage), increment_minutes=15), [entry("a", 50)])
    assert settled.closing.of("main").retainer[0].minutes == 60


def test_a_rolled_over_hour_is_used_before_it_expires() -> None:
    """Two months of 60 minutes with one month of roll-over: 90 in the second, and 30 of its own are left."""
    contract = contract_of(retainer(60, rollover=1))
    first = settle_month(contract, [])
    second = settle_month(contract, [entry("a", 90, 14, OCTOBER)], OCTOBER, opening=first.closing)
    assert of(second, A).outcome is Outcome.COVERED
    assert second.closing.of("main").retainer == (RetainerHours(month=OCTOBER, minutes=30),)


def test_work_before_a_retainer_begins_in_the_month_is_billed_by_the_hour() -> None:
    """The month would fail as a whole: the component has hours then, and its work no retainer yet."""
    contract = amended(contract_of(TIME), terms=terms_of(retainer(60)))
    settled = settle_month(contract, [entry("a", 60, 14), entry("b", 60, 15)])
    assert billed(settled) == {A: money("100.00"), FEE: money("1000.00")}
    assert of(settled, B).outcome is Outcome.COVERED


def test_work_before_a_retainer_ends_in_the_month_is_covered_and_paid() -> None:
    """Work would be covered by a fee that nobody is billed."""
    contract = amended(contract_of(retainer(60, Overage.WRITE_OFF)), terms=terms_of(TIME))
    settled = settle_month(contract, [entry("a", 60, 14), entry("b", 60, 15)])
    assert billed(settled) == {B: money("100.00"), FEE: money("1000.00")}


def test_hours_of_a_retainer_that_has_ended_lapse() -> None:
    """Hours nobody can use would stand in the balance for good."""
    contract = contract_of(retainer(60, rollover=9), changes={"valid_to": dt.date(2026, 9, 30)})
    first = settle_month(contract, [])
    assert first.closing.of("main").retainer
    assert settle_month(contract, [], OCTOBER, opening=first.closing).closing.of("main").retainer == ()


# The running total


def test_a_line_beyond_the_hours_is_what_its_part_says() -> None:
    """The trace would show another amount than the invoice, by the cent that the running total moved it."""
    contract = contract_of(retainer(0), rounding=LineRounding.CUMULATIVE)
    facts = [entry(str(n), 1, n + 1) for n in range(3)]
    settled = settle_month(contract, facts, bill_rates=(bill_rate("0.50"),))
    for fact in facts:
        (part,), line = of(settled, fact.id).parts, of(settled, fact.id).effect(BILLING)
        assert isinstance(line, BillingLine)
        assert part.amount == line.amount


# Credits


def test_only_the_credited_minutes_become_billable_again() -> None:
    """Edge case 7 (odoo#280601): 3.5 h of 8 h; neither the other 4.5 h nor their month is billed twice."""
    settled = settle_month(contract_of(TIME), [entry("a", 480)], credits=[credit(210)])
    assert billed(settled) == {A: money("450.00"), f"{A}#C1": money("350.00")}
    assert sum(d.minutes for d in settled.decisions) == 480
    assert of(settled, f"{A}#C1").effect(COST) is None


def test_what_was_credited_and_is_not_rebilled_is_written_off() -> None:
    """The customer would be billed again for what finance gave up."""
    settled = settle_month(contract_of(TIME), [entry("a", 480)], credits=[credit(210, rebill=False)])
    assert total(settled) == money("450.00")
    assert of(settled, f"{A}#C1").minutes_of(Outcome.WRITTEN_OFF) == 210


def test_a_credit_made_by_hand_leaves_the_line_and_frees_the_cap() -> None:
    """The line would be credited twice, or the cap would count money that the customer has back."""
    facts = [entry("a", 60, 1), entry("b", 60, 2)]
    by_hand = credit(30, rebill=False, in_erp=True)
    settled = settle_month(contract_of(capped("150.00")), facts, credits=[by_hand])
    assert billed(settled) == {A: money("100.00"), B: money("100.00")}
    balance = settled.closing.of("main")
    assert (balance.time, balance.billed, balance.earned) == (Decimal("150.00"),) * 3


def test_credits_by_hand_and_by_the_sync_do_not_take_the_same_minutes() -> None:
    """The line would lose what the credit note by hand has already taken."""
    both = [credit(20, name="C1", in_erp=True), credit(10, name="C2")]
    settled = settle_month(contract_of(TIME), [entry("a", 60)], credits=both)
    line = of(settled, A).effect(BILLING)
    assert isinstance(line, BillingLine)
    assert (line.minutes, line.amount) == (50, money("83.33"))
    assert billed(settled)[f"{A}#C1"] == money("33.33")
    # In the end: 83.33 - 33.33 by hand + 33.33 + 16.67 billed anew.
    assert total(settled) - money("33.33") == money("100.00")


def test_a_credit_of_more_than_there_is_takes_what_there_is() -> None:
    """A line of negative minutes."""
    settled = settle_month(contract_of(TIME), [entry("a", 60)], credits=[credit(50), credit(50, name="C2")])
    assert billed(settled) == {f"{A}#C1": money("83.33"), f"{A}#C2": money("16.67")}
    assert of(settled, A).outcome is Outcome.WRITTEN_OFF


@pytest.mark.parametrize(
    ("changes", "outcome"),
    [({"state": ApprovalState.SUBMITTED}, Outcome.NONE), ({"billable": False}, Outcome.NON_BILLABLE)],
)
def test_a_credit_of_work_that_bills_nothing_is_still_decided(changes: dict[str, Any], outcome: Outcome) -> None:
    """Its line from before would stay in the ERP: nobody decides that it should not exist."""
    settled = settle_month(contract_of(TIME), [entry("a", 60, **changes)], credits=[credit(20)])
    again = of(settled, f"{A}#C1")
    assert (again.outcome, again.effects, again.minutes) == (outcome, (), 0)


def test_a_credit_beyond_an_entry_that_was_shortened_is_decided_too() -> None:
    """As above: the entry has no minute left for it."""
    settled = settle_month(contract_of(TIME), [entry("a", 20)], credits=[credit(20), credit(20, name="C2")])
    assert of(settled, f"{A}#C2").outcome is Outcome.NONE


# Fees


def scheduled(*parts: tuple[dt.date, str, str]) -> Component:
    made = tuple(Instalment(due=on, amount=money(amount), label=label) for on, amount, label in parts)
    fee = sum((i.amount.amount for i in made), Decimal(0))
    return Component(code="main", kind=ContractKind.FIXED_FEE_SCHEDULE, fee=money(str(fee)), instalments=made)


def test_instalments_are_billed_in_their_months() -> None:
    """A fixed fee by schedule would be billed at once, or never."""
    contract = contract_of(
        scheduled((dt.date(2026, 9, 30), "400.00", "half"), (dt.date(2026, 10, 1), "800.00", "rest"))
    )
    assert list(billed(settle_month(contract, [])).values()) == [money("400.00")]
    assert list(billed(settle_month(contract, [], OCTOBER)).values()) == [money("800.00")]


def test_an_instalment_keeps_its_id_when_another_is_added_before_it() -> None:
    """Edge case 8: linked by its position, it would be reversed and billed again under another id."""
    rest = (dt.date(2026, 9, 30), "800.00", "rest")
    before = billed(settle_month(contract_of(scheduled(rest)), []))
    after = billed(settle_month(contract_of(scheduled((dt.date(2026, 9, 5), "400.00", "first"), rest)), []))
    assert before.items() <= after.items()


def test_an_instalment_due_before_an_amendment_is_left_alone_by_it() -> None:
    """Edge case 16: what was due under the old terms would go to the new customer, or nowhere."""
    new = replace(CUSTOMER, id="CUS-0002", erp_party="99")
    old = scheduled((dt.date(2026, 9, 5), "400.00", "first"))
    contract = amended(
        contract_of(old), customer_id=new.id, terms=terms_of(scheduled((dt.date(2026, 9, 20), "900.00", "second")))
    )
    settled = settle_month(contract, [], customers=(CUSTOMER, new))
    lines = [d.effect(BILLING) for d in settled.decisions]
    assert [(line.party, line.amount) for line in lines if isinstance(line, BillingLine)] == [
        ("70", money("400.00")),
        ("99", money("900.00")),
    ]


def test_who_pays_a_fee_does_not_depend_on_what_was_decided_before() -> None:
    """The decider remembers a day's customer: a fee of that day must not teach it the customer of the month's end."""
    new = replace(CUSTOMER, id="CUS-0002", erp_party="99")
    contract = amended(contract_of(retainer(0)), customer_id=new.id)
    first_day = entry("a", 60, 1)
    fee = of(settle_month(contract, [first_day], customers=(CUSTOMER, new)), FEE)
    assert of(settle_month(contract, [], customers=(CUSTOMER, new)), FEE) == fee
    assert getattr(fee.effect(BILLING), "party", None) == "70"


def test_a_months_fee_is_in_the_books_of_the_entity_that_sells_on_its_day() -> None:
    """Where the contract changes its entity in mid-month, both would bill the month's fee."""
    contract = amended(contract_of(retainer(0)), legal_entity="US")
    settled = settle_month(contract, [])
    assert list(billed(settled)) == [FEE]
    assert of(settled, FEE).route.legal_entity == "UK"


def test_milestones_come_to_no_more_than_the_fee() -> None:
    """The customer would pay more than the price that was agreed."""
    contract = contract_of(fixed(Recognition.MILESTONE, "1200.00"))
    facts = [milestone("m1", "700.00", dt.date(2026, 9, 10)), milestone("m2", "500.01", dt.date(2026, 9, 20))]
    settled = settle_month(contract, facts)
    assert billed(settled) == {"milestone:m1": money("700.00")}
    assert [h.code for h in of(settled, "milestone:m2").holds] == ["milestone_over_fee"]


def test_a_fee_that_nobody_can_be_billed_for_is_held() -> None:
    """It would be posted without a tax, or forgotten."""
    settled = settle_month(contract_of(retainer(60)), [], tax_profiles=())
    assert (of(settled, FEE).outcome, [h.code for h in of(settled, FEE).holds]) == (Outcome.HOLD, ["no_tax_profile"])


# Revenue


def entries(settled: Settlement) -> dict[str, str]:
    """The revenue entries: what is booked, by what it is."""
    found = ((d.object_id, d.effect(REVENUE)) for d in settled.decisions)
    return {object_id.split(":")[2]: str(e.amount.amount) for object_id, e in found if isinstance(e, RevenueEntry)}


LONG = {"valid_from": dt.date(2026, 9, 1), "valid_to": dt.date(2026, 10, 31)}


def test_a_month_earns_its_days_and_the_last_one_what_is_left() -> None:
    """1,200.00 over 61 days: 590.16 in September, and the rest, to the cent, in October."""
    contract = contract_of(fixed(Recognition.STRAIGHT_LINE), changes=LONG)
    first = settle_month(contract, [])
    second = settle_month(contract, [], OCTOBER, opening=first.closing)
    assert (entries(first), entries(second)) == ({"revenue": "590.16"}, {"revenue": "609.84"})


def test_lines_that_are_earned_otherwise_credit_the_contracts_balance() -> None:
    """Revenue would be counted twice: once by the line and once by the entry."""
    contract = contract_of(fixed(Recognition.STRAIGHT_LINE), changes=LONG)
    settled = settle_month(contract, [milestone("m1", "700.00", dt.date(2026, 9, 10))])
    line = of(settled, "milestone:m1").effect(BILLING)
    assert isinstance(line, BillingLine)
    assert line.account is BilledTo.CONTRACT_BALANCE


@pytest.mark.parametrize(
    ("before", "after", "moved"),
    [
        # 700.00 were credited to revenue by the line itself; 590.16 are earned, so that 109.84 go back.
        (Recognition.AS_BILLED, Recognition.STRAIGHT_LINE, {"revenue": "-109.84"}),
        # 700.00 wait in the contract's balance, and are earned because they are billed.
        (Recognition.STRAIGHT_LINE, Recognition.AS_BILLED, {"revenue": "700.00"}),
    ],
)
def test_a_change_of_method_recognizes_nothing_twice(
    before: Recognition, after: Recognition, moved: dict[str, str]
) -> None:
    """What the lines of the month have credited to revenue already would be recognized again, or never."""
    contract = amended(contract_of(fixed(before), changes=LONG), terms=terms_of(fixed(after)))
    settled = settle_month(contract, [milestone("m1", "700.00", dt.date(2026, 9, 10))])
    assert entries(settled) == moved


def test_a_retainers_new_fee_does_not_reach_the_months_before() -> None:
    """1,000.00 in September and 2,000.00 in October would have earned 4,000.00."""
    kept = replace(retainer(0), recognition=RecognitionTerms(method=Recognition.STRAIGHT_LINE))
    assert kept.retainer is not None
    raised = replace(kept, retainer=replace(kept.retainer, fee=money("2000.00")))
    contract = amended(contract_of(kept), OCTOBER.first_day, terms=terms_of(raised))
    first = settle_month(contract, [])
    second = settle_month(contract, [], OCTOBER, opening=first.closing)
    assert (entries(first), entries(second)) == ({"revenue": "1000.00"}, {"revenue": "2000.00"})


def test_an_expected_loss_is_provided_for_at_once_however_revenue_is_earned() -> None:
    """ASC 605-35-25-45: a fee of 1,200.00 that will cost 1,500.00 loses 300.00 in the month in which that is known."""
    for method in (Recognition.AS_BILLED, Recognition.COST_TO_COST):
        contract = contract_of(fixed(method, estimate=Estimate(total_cost=Decimal("1500.00"))), changes=LONG)
        assert entries(settle_month(contract, [])) == {"loss": "300.00"}


def test_a_month_that_could_not_be_told_is_caught_up() -> None:
    """A missing exchange rate of one month would leave its revenue out for good."""
    usd = [fx_rate("USD", "GBP", "0.75"), fx_rate("EUR", "GBP", "0.8", dt.date(2026, 10, 5))]
    component = replace(fixed(Recognition.STRAIGHT_LINE), fee=money("1200.00", "EUR"))
    contract = contract_of(component, changes=LONG | {"currency": "EUR"})
    first = settle_month(contract, [], fx_rates=usd)
    (held,) = first.decisions
    assert [h.code for h in held.holds] == ["no_fx_rate"]
    second = settle_month(contract, [], OCTOBER, opening=first.closing, fx_rates=usd)
    assert entries(second) == {"revenue": "960.00"}


# Which contracts, and how far they are rolled out


@pytest.mark.parametrize(
    ("contract", "expected"),
    [
        (CONTRACT, False),
        (replace(CONTRACT, terms=plain_terms(ContractKind.NON_BILLABLE)), False),
        (contract_of(capped("1.00")), True),
        (contract_of(retainer(0)), True),
        (contract_of(TIME, rounding=LineRounding.CUMULATIVE), True),
        (contract_of(replace(TIME, recognition=RecognitionTerms(method=Recognition.HOURS))), True),
        (amended(CONTRACT, terms=terms_of(capped("1.00"))), True),
        (amended(CONTRACT, customer_id="CUS-0002"), False),
    ],
)
def test_only_a_contract_whose_facts_depend_on_each_other_is_settled_by_the_month(
    contract: Contract, expected: bool
) -> None:
    """A cap would not be applied; or a plain contract of a thousand entries would be planned anew for one of them."""
    assert needs_account(contract) is expected


@pytest.mark.parametrize("fact", [make_entry(60, state=ApprovalState.DRAFT), make_entry(0)])
def test_work_without_effect_is_as_far_rolled_out_as_any_other(fact: Any) -> None:
    """Un-approving an entry would withdraw a posting of an entity that posts nothing."""
    rules = replace(RULES, rollout=Rollout(steps=(RolloutStep(mode=Mode.SHADOW),)))
    assert Decider(make_master(), rules).decide(fact).mode is Mode.SHADOW


def test_a_balance_survives_being_stored() -> None:
    """The next month would begin with something else than this one left."""
    contract = contract_of(retainer(100, rollover=2), rounding=LineRounding.CUMULATIVE)
    settled = settle_month(contract, [entry("a", 130)], bill_rates=(bill_rate("1.0001"),))
    assert Balance.from_body(settled.closing.to_body()) == settled.closing


def test_a_month_without_anything_leaves_nothing() -> None:
    """Every month of every contract would make the next one due."""
    assert settle_month(CONTRACT, []).closing == Balance()
    known = Balance(components={"main": ComponentBalance(billed=Decimal(1), earned=Decimal(1))})
    assert settle_month(CONTRACT, [], opening=known).closing == known


def test_an_unsigned_contract_is_settled_to_its_holds() -> None:
    """A contract that the CRM no longer has would stop the whole partition."""
    assert settle_month(replace(CONTRACT, id="CTR-OTHER"), [entry("a", 60)]).decisions[0].outcome is Outcome.HOLD
