"""Closed periods are a queue of choices: what waits, what goes to an open period, and what never reaches the books."""

import datetime as dt
from collections.abc import Sequence

import pytest

from psa_erp_assets.domain.calendar import ServiceMonth
from psa_erp_assets.domain.closed_periods import Choice, PeriodChoice, basis_of, chosen
from psa_erp_assets.domain.decide import decide
from psa_erp_assets.domain.decision import Decision
from psa_erp_assets.domain.effects import CostTransaction, EffectType, booking_date, payload_hash
from psa_erp_assets.domain.plan import Action, PlanItem, plan_entry
from psa_erp_assets.domain.posting import State
from psa_erp_assets.domain.records import ApprovalState
from psa_erp_assets.domain.values import replace
from psa_erp_assets_tests.support.facts import DAY, ENTRY, RULES, TENANT, cost_rate, make_entry, make_master
from psa_erp_assets_tests.unit.test_plan import Ledger

COST, BILLING = EffectType.COST_TRANSACTION, EffectType.BILLING_LINE
NOVEMBER = dt.date(2026, 11, 1)
CLOSED = {("2", ServiceMonth(2026, 9)): "UK"}


def choice(
    what: Choice, effect_type: EffectType = COST, *, about: Decision | None = None
) -> dict[tuple[str, EffectType], PeriodChoice]:
    made = PeriodChoice(
        object_id=ENTRY,
        effect_type=effect_type,
        choice=what,
        posting_date=NOVEMBER if what is Choice.POST_TO_OPEN else None,
        reason="late",
        chosen_by="Ada",
        basis=basis_of(about or decision(), effect_type),
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
    moved = chosen(corrected, choice(Choice.POST_TO_OPEN, about=corrected))
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


def booked() -> Ledger:
    """The cost of 50 minutes is in the books of a month that is closed since."""
    ledger = Ledger()
    ledger.apply(ledger.plan(decision(50)))
    ledger.settle()
    ledger.taken_up |= ledger.documents.keys()
    ledger.seen |= ledger.documents.keys()
    return ledger


@pytest.mark.parametrize("what", [Choice.BY_HAND, Choice.CANCEL])
@pytest.mark.parametrize("after", [decision(40, revision=2), decision(revision=2, state=ApprovalState.DELETED)])
def test_what_is_in_a_closed_month_stays_as_it_is_where_somebody_says_so(what: Choice, after: Decision) -> None:
    """The correction would be held again at each sync: the queue never gets shorter."""
    ledger = booked()
    assert actions(ledger.plan(after, "2026-09"))[COST] is Action.HOLD
    left = chosen(after, choice(what, about=after))
    for closed in (("2026-09",), ()):
        assert COST not in actions(ledger.plan(left, *closed)), "nor is it taken back when the period is reopened"
    assert any(what.value in reason for reason in left.reasons)


def test_what_was_not_sent_yet_is_not_sent_any_more() -> None:
    """Planned before the period was closed, and journaled by hand since: it would be there twice."""
    ledger, decided = Ledger(), decision()
    ledger.apply(ledger.plan(decided))
    ledger.promote()
    left = chosen(decided, choice(Choice.BY_HAND))
    assert actions(ledger.plan(left, "2026-09")) == {COST: Action.CANCEL}
    ledger.apply(ledger.plan(left, "2026-09"))
    ledger.settle()
    assert not [e for e in ledger.documents.values() if e.effect_type is COST]
    assert ledger.plan(left, "2026-09") == []


@pytest.mark.parametrize("what", [Choice.BY_HAND, Choice.CANCEL, Choice.POST_TO_OPEN])
def test_a_choice_is_about_what_was_there_when_it_was_made(what: Choice) -> None:
    """An edit a month later would follow a choice that nobody made about it: never booked, or re-dated silently."""
    ledger, first, second = booked(), decision(40, revision=2), decision(30, revision=3)
    choices = choice(what, about=first)
    assert chosen(second, choices) == second
    assert actions(ledger.plan(chosen(second, choices), "2026-09"))[COST] is Action.HOLD
    same = decision(40, revision=4)
    assert chosen(same, choices) != same, "back at what it was made about, it holds again"
    kept = {key: replace(made, basis=None) for key, made in choices.items()}
    assert chosen(second, kept) != second, "choices from before the basis was kept hold as they did"


def test_a_chosen_date_is_no_part_of_what_a_choice_is_about() -> None:
    """A second choice of another date would be about what the first one made, and never hold."""
    moved = chosen(decision(), choice(Choice.POST_TO_OPEN))
    assert basis_of(moved, COST) == basis_of(decision(), COST)
