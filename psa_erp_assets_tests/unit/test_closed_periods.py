"""Closed periods are a queue of choices: what waits, what goes to an open period, and what never reaches the books."""

import datetime as dt
from collections.abc import Sequence

import pytest

from psa_erp_assets.domain.calendar import ServiceMonth
from psa_erp_assets.domain.closed_periods import Choice, PeriodChoice, chosen
from psa_erp_assets.domain.decide import decide
from psa_erp_assets.domain.decision import Decision
from psa_erp_assets.domain.effects import CostTransaction, EffectType, booking_date, payload_hash
from psa_erp_assets.domain.plan import Action, PlanItem, plan_entry
from psa_erp_assets.domain.posting import State
from psa_erp_assets_tests.support.facts import DAY, ENTRY, RULES, TENANT, cost_rate, make_entry, make_master
from psa_erp_assets_tests.unit.test_plan import Ledger

COST, BILLING = EffectType.COST_TRANSACTION, EffectType.BILLING_LINE
NOVEMBER = dt.date(2026, 11, 1)
CLOSED = {("2", ServiceMonth(2026, 9)): "UK"}


def choice(what: Choice, effect_type: EffectType = COST) -> dict[tuple[str, EffectType], PeriodChoice]:
    date = NOVEMBER if what is Choice.POST_TO_OPEN else None
    made = PeriodChoice(
        object_id=ENTRY, effect_type=effect_type, choice=what, posting_date=date, reason="late", chosen_by="Ada"
    )
    return {(ENTRY, effect_type): made}


def decision(minutes: int = 50, **changes: object) -> Decision:
    return decide(make_entry(minutes, **changes), make_master(cost_rates=(cost_rate(),)), RULES)


def plan(decided: Decision) -> Sequence[PlanItem]:
    return plan_entry(decided, [], frozenset(), TENANT, closed=CLOSED)


def actions(items: Sequence[PlanItem]) -> dict[EffectType, Action]:
    """By type. The charge of the employer, whose books are open, is in none of the closed ones."""
    return {item.effect_type: item.action for item in items if item.effect_type in (BILLING, COST)}


def test_a_cost_in_a_closed_period_waits_and_the_invoice_line_does_not() -> None:
    """A draft invoice line is in no period: the customer would be billed a month late."""
    assert actions(plan(decision())) == {BILLING: Action.CREATE, COST: Action.HOLD}


def test_waiting_is_what_happens_without_a_choice() -> None:
    """Saying that it waits would release it."""
    waits = chosen(decision(), choice(Choice.WAIT))
    assert waits.effects == decision().effects
    assert actions(plan(waits)) == {BILLING: Action.CREATE, COST: Action.HOLD}


def test_it_goes_to_the_open_period_with_its_own_date_kept() -> None:
    """Edge case 18: re-dated silently, nobody could tell which month the cost belongs to."""
    moved = chosen(decision(), choice(Choice.POST_TO_OPEN))
    (item,) = [item for item in plan(moved) if item.effect_type is COST]
    assert item.action is Action.CREATE
    assert isinstance(item.effect, CostTransaction)
    assert (item.effect.service_date, booking_date(item.effect)) == (DAY, NOVEMBER)
    assert "closed period, post_to_open by Ada: late" in moved.reasons


@pytest.mark.parametrize("what", [Choice.BY_HAND, Choice.CANCEL])
def test_what_is_not_to_be_booked_by_the_sync_is_not(what: Choice) -> None:
    """It would be in the books twice: once by hand and once by the sync, as soon as the period opens."""
    left = chosen(decision(), choice(what))
    assert left.effect(COST) is None
    assert actions(plan(left)) == {BILLING: Action.CREATE}
    assert any(what.value in reason for reason in left.reasons)


def test_a_choice_is_about_one_object_and_effect() -> None:
    """Cancelling a cost would cancel the invoice line, or another entry's cost."""
    others = chosen(decision(id="time_entry:clockify:other"), choice(Choice.CANCEL))
    assert others == decision(id="time_entry:clockify:other")
    assert chosen(decision(), choice(Choice.CANCEL, BILLING)).effect(BILLING) is not None


def test_a_correction_of_a_closed_month_is_reversed_and_posted_in_the_open_one() -> None:
    """The reversal would go into the closed period and be refused, and half of the correction would be missing."""
    ledger = Ledger()
    ledger.apply(ledger.plan(decision(50)))
    ledger.settle()
    cost = next(p for p in ledger.postings.values() if p.effect_type is COST)
    assert cost.state is State.VERIFIED
    ledger.taken_up |= {cost.key}
    ledger.seen |= {cost.key}
    corrected = decision(40, revision=2)
    assert actions(ledger.plan(corrected, "2026-09"))[COST] is Action.HOLD
    moved = chosen(corrected, choice(Choice.POST_TO_OPEN))
    items = [item for item in ledger.plan(moved, "2026-09") if item.effect_type is COST]
    assert [item.action for item in items] == [Action.REVERSE, Action.CREATE]
    assert {booking_date(item.effect) for item in items if item.effect} == {NOVEMBER}
    assert {item.effect.service_date for item in items if item.effect} == {DAY}


def test_a_choice_of_another_date_is_another_effect() -> None:
    """A second choice would change nothing, as what is posted would look the same."""
    moved = chosen(decision(), choice(Choice.POST_TO_OPEN)).effect(COST)
    plain = decision().effect(COST)
    assert moved is not None
    assert plain is not None
    assert payload_hash(moved) != payload_hash(plain)
