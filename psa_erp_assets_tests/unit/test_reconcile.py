"""Reconciliation: each entry's three sides, each difference with its reason, each minute in one place."""

import datetime as dt
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from psa_erp_assets.domain.decide import decide
from psa_erp_assets.domain.decision import Decision
from psa_erp_assets.domain.effects import EffectType, reversal_of
from psa_erp_assets.domain.erp import ErpDocument
from psa_erp_assets.domain.money import Money
from psa_erp_assets.domain.posting import Leg, Posting, State, new_posting
from psa_erp_assets.domain.reconcile import (
    CANCELLED,
    NEXT_STEPS,
    UNEXPLAINED,
    Difference,
    Reconciled,
    reconcile_entry,
    reconcile_stray,
)
from psa_erp_assets.domain.values import replace
from psa_erp_assets.services.reconciliation import Minutes
from psa_erp_assets_tests.support.facts import RULES, TENANT, make_entry, make_master

NOW = dt.datetime(2026, 10, 5, 12, tzinfo=dt.UTC)
BILLING = EffectType.BILLING_LINE


def decided(minutes: int = 60, **changes: Any) -> Decision:
    return decide(make_entry(minutes, **changes), make_master(), RULES)


def posted(decision: Decision, state: State = State.VERIFIED, *, key: str = "k1", **changes: Any) -> Posting:
    """The posting of the decision's billing line."""
    effect = decision.effect(BILLING)
    assert effect is not None
    posting = new_posting(
        key=key,
        tenant=TENANT,
        legal_entity="UK",
        service_month="2026-09",
        leg=Leg.ORIGINAL,
        object_id=decision.object_id,
        revision=1,
        source_revision=1,
        effect=effect,
        now=NOW,
    )
    return replace(posting, state=state, **changes)


def reversed_by(original: Posting) -> list[Posting]:
    """The original and its verified reversal."""
    assert original.effect is not None
    reversal = new_posting(
        key=f"{original.key}-reversal",
        tenant=TENANT,
        legal_entity="UK",
        service_month="2026-09",
        leg=Leg.REVERSAL,
        object_id=original.object_id,
        revision=1,
        source_revision=1,
        effect=reversal_of(original.effect),
        now=NOW,
        target_key=original.key,
    )
    return [replace(original, state=State.REVERSED), replace(reversal, state=State.VERIFIED)]


def document(posting: Posting, *, invoiced: bool = False, **changes: Any) -> ErpDocument:
    """What the ERP holds of a posting."""
    made = ErpDocument(
        key=posting.key,
        erp_id=f"line-{posting.key}",
        erp_company=posting.erp_company,
        effect_type=BILLING,
        amount=posting.amount,
        minutes=posting.minutes,
        date=posting.service_date,
        document="INV-1" if invoiced else None,
        document_state="posted" if invoiced else None,
        posted=invoiced,
    )
    return replace(made, **changes)


def compared(
    decision: Decision, postings: Sequence[Posting], documents: Sequence[ErpDocument], *, dirty: bool = False
) -> Reconciled:
    return reconcile_entry(decision, postings, documents, dirty=dirty)


def test_an_invoiced_line_that_is_as_approved_is_matched() -> None:
    """The gate would never open, or open on anything."""
    line = posted(decided())
    row = compared(decided(), [line], [document(line, invoiced=True)])
    assert row.difference is Difference.MATCHED
    assert (row.approved_amount, row.erp_amount, row.invoiced_amount) == (Decimal(100), Decimal(100), Decimal(100))
    assert (row.approved_minutes, row.erp_minutes, row.invoiced_minutes) == (60, 60, 60)


def test_a_draft_is_a_matter_of_timing() -> None:
    """Edge case 3: drafted and invoiced are two states; finance would not see what is still to be invoiced."""
    line = posted(decided())
    assert compared(decided(), [line], [document(line)]).difference is Difference.NOT_INVOICED


def test_credit_and_rebill_that_are_drafts_still_are_not_invoiced_yet() -> None:
    """The invoice that is out is wrong; it would count as right."""
    before, after = posted(decided(60)), posted(decided(50), key="k2")
    postings = [*reversed_by(before), after]
    documents = [document(before, invoiced=True), *(document(p) for p in postings[1:])]
    row = compared(decided(50), postings, documents)
    assert row.difference is Difference.NOT_INVOICED
    assert (row.erp_minutes, row.invoiced_minutes) == (50, 60)


@pytest.mark.parametrize("state", [State.PLANNED, State.READY, State.IN_FLIGHT, State.AMBIGUOUS, State.REJECTED])
def test_what_is_on_its_way_is_pending(state: State) -> None:
    """Every sync in progress would raise an alarm."""
    assert compared(decided(), [posted(decided(), state)], []).difference is Difference.PENDING


def test_what_has_changed_since_it_was_planned_is_pending() -> None:
    """An edit of this minute would raise an alarm."""
    line = posted(decided(60))
    assert compared(decided(50), [line], [document(line)], dirty=True).difference is Difference.PENDING
    assert compared(decided(50), [line], [document(line)]).difference is Difference.UNEXPLAINED


def test_approved_work_without_any_posting_is_not_explained() -> None:
    """An entry that the planner forgot would look like one that is not due."""
    assert compared(decided(), [], []).difference is Difference.UNEXPLAINED


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"amount": Money(Decimal("99.00"), "GBP")}, Difference.MANUAL_CHANGE),
        ({"minutes": 55}, Difference.MANUAL_CHANGE),
        ({"date": dt.date(2026, 11, 2)}, Difference.MANUAL_CHANGE),
        ({"party": "999"}, Difference.MANUAL_CHANGE),
        ({"analytic": "999"}, Difference.MANUAL_CHANGE),
        ({"amount": Money(Decimal("100.01"), "GBP"), "minutes": 55}, Difference.MANUAL_CHANGE),
        ({"amount": Money(Decimal("100.02"), "GBP")}, Difference.MANUAL_CHANGE),
        ({"amount": Money(Decimal("100.01"), "GBP")}, Difference.ROUNDING),
        ({"amount": Money(Decimal(100), "EUR")}, Difference.FX),
        ({"tax_amount": Decimal("0.02")}, Difference.TAX),
    ],
)
def test_a_line_that_somebody_changed_is_named(changes: dict[str, Any], named: Difference) -> None:
    """Finance's own change would be overwritten, or never seen, or looked for where it is not."""
    line = posted(decided())
    assert line.effect is not None
    untaxed = replace(line, effect=replace(line.effect, tax=None))  # type: ignore[type-var,call-arg]
    row = compared(decided(), [untaxed], [document(line, **changes)])
    assert row.difference is named
    assert row.changes
    assert row.explained == (named is Difference.ROUNDING)


def test_a_tax_is_compared_at_the_rate_of_the_one_that_was_sent() -> None:
    """A line that somebody taxed at another rate would reach the customer."""
    line = posted(decided())
    assert line.effect is not None
    taxed = replace(line, effect=replace(line.effect, tax="5"))  # type: ignore[type-var,call-arg]
    for tax, rates, is_right in (
        ("20.00", {"5": Decimal("0.2")}, True),
        ("20.01", {"5": Decimal("0.2")}, True),
        ("0", {"5": Decimal("0.2")}, False),
        ("0", {"6": Decimal("0.2")}, True),
    ):
        held = document(line, tax_amount=Decimal(tax))
        row = reconcile_entry(decided(), [taxed], [held], dirty=False, tax_rates=rates)
        assert (row.difference is Difference.NOT_INVOICED) == is_right, tax
        assert is_right or row.difference is Difference.TAX


def test_a_line_that_is_gone_is_missing() -> None:
    """Edge case 5: work that was marked as billed and is on no invoice."""
    for state in (State.CONFIRMED, State.VERIFIED, State.DRIFT):
        row = compared(decided(), [posted(decided(), state)], [])
        assert (row.difference, row.missing) == (Difference.MISSING, "k1")
    off_by_a_cent = document(posted(decided(), key="k2"), amount=Money(Decimal("100.01"), "GBP"))
    both = [posted(decided(), key="k2"), posted(decided())]
    assert compared(decided(), both, [off_by_a_cent]).difference is Difference.MISSING


def test_what_was_posted_anew_under_a_new_key_is_not_missing() -> None:
    """A line that finance deleted by mistake would fail the gate for ever, although it is there again."""
    gone, again = posted(decided(), State.REVERSED), posted(decided(), key="k2")
    assert compared(decided(), [gone, again], [document(again)]).difference is Difference.NOT_INVOICED
    original, reversal = reversed_by(posted(decided()))
    row = compared(decided(), [original, reversal, again], [document(reversal), document(again)])
    assert (row.difference, row.missing) == (Difference.MISSING, "k1"), "its credit alone is in the ERP"


def test_two_lines_under_one_key_are_duplicates() -> None:
    """Edge case 1: the customer would pay twice."""
    line = posted(decided())
    assert compared(decided(), [line], [document(line), document(line, erp_id="2")]).difference is Difference.DUPLICATE


def test_a_line_that_was_withdrawn_and_is_there_is_a_duplicate() -> None:
    """The customer would be billed for what was taken back."""
    gone, line = posted(decided(50), State.WITHDRAWN), posted(decided(), key="k2")
    found = compared(decided(), [gone, line], [document(gone), document(line)])
    assert found.difference is Difference.DUPLICATE


def test_two_currencies_are_not_one_amount() -> None:
    """Edge case 17: a hundred euros would stand for a hundred pounds."""
    line, euros = posted(decided(60)), Money(Decimal(100), "EUR")
    spelled = replace(line, amount=euros, effect=replace(line.effect, amount=euros))  # type: ignore[type-var]
    row = compared(decided(60), [spelled], [document(line, amount=Money(Decimal(100), "EUR"))])
    assert row.difference is Difference.UNEXPLAINED
    assert (row.currency, row.erp_amount) == ("GBP", Decimal(0))


def test_a_change_of_currency_that_was_credited_and_billed_again_is_matched() -> None:
    """What nets to nothing in the old currency is no difference in the new one."""
    line = posted(decided(60))
    old = replace(
        line,
        key="k0",
        amount=Money(Decimal(90), "EUR"),
        effect=replace(line.effect, amount=Money(Decimal(90), "EUR")),  # type: ignore[type-var]
    )
    postings = [*reversed_by(old), line]
    row = compared(decided(60), postings, [document(p, invoiced=True) for p in postings])
    assert (row.difference, row.erp_amount) == (Difference.MATCHED, Decimal(100))


def test_non_billable_and_held_work_are_explained() -> None:
    """Edge case 23: each would look like money that was lost."""
    assert compared(decided(billable=False), [], []).difference is Difference.NON_BILLABLE
    held = compared(decided(psa_project_id=None), [], [])
    assert (held.difference, held.explained) == (Difference.HELD, True)


def test_non_billable_work_that_is_billed_is_a_difference() -> None:
    """The customer would pay for what is free."""
    line = posted(decided())
    row = compared(decided(billable=False), [line], [document(line)])
    assert row.difference is Difference.UNEXPLAINED


def test_strays_are_told_apart_by_their_key() -> None:
    """A ledger that was restored from an old backup would look like finance's own work."""
    line = posted(decided())
    assert reconcile_stray(document(line)).difference is Difference.UNKNOWN_KEY
    by_hand = reconcile_stray(document(line, key="", invoiced=True))
    assert (by_hand.difference, by_hand.explained, by_hand.approved_minutes) == (Difference.MANUAL_LINE, True, 0)
    assert by_hand.invoiced_amount == Decimal(100)


def test_every_difference_says_what_to_do() -> None:
    """A class without a next step is a class that nobody clears."""
    assert set(NEXT_STEPS) == set(Difference)
    assert set(Difference) > UNEXPLAINED


ROWS = st.builds(
    lambda minutes, state, dirty, there, changes: compared(
        decided(minutes, **changes),
        [] if state is None else [posted(decided(60), state)],
        [document(posted(decided(60)))] if there else [],
        dirty=dirty,
    ),
    st.integers(0, 600),
    st.sampled_from((None, State.PLANNED, State.VERIFIED, State.WITHDRAWN, State.DRIFT)),
    st.booleans(),
    st.booleans(),
    st.sampled_from(({}, {"billable": False}, {"psa_project_id": None}, {"psa_user_id": "u2"})),
)


@given(rows=st.lists(ROWS, max_size=12))
def test_each_approved_minute_is_in_just_one_place(rows: list[Reconciled]) -> None:
    """Billed + non-billable + held + pending = approved: minutes in two places or in none are lost or billed twice."""
    minutes = Minutes.of(rows)
    assert minutes.approved == sum(row.approved_minutes for row in rows)
    assert minutes.billed + minutes.non_billable + minutes.held + minutes.pending == minutes.approved
    assert all(row.next_step for row in rows)


def test_minutes_are_billed_only_where_the_erp_has_them_as_they_should_be() -> None:
    """Hours on no line, or on a wrong one, would be reported as billed, and nobody would look for them."""
    line = posted(decided())
    right = compared(decided(), [line], [document(line, invoiced=True)])
    draft = compared(decided(), [line], [document(line)])
    gone = compared(decided(), [line], [])
    wrong = compared(decided(), [line], [document(line, minutes=30)])
    on_its_way = compared(decided(), [posted(decided(), State.READY)], [], dirty=True)
    cancelled = compared(decided(), [line], [document(line, invoiced=True, document_state=CANCELLED)], dirty=True)
    for row, billed in ((right, 60), (draft, 60), (gone, 0), (wrong, 0), (on_its_way, 0), (cancelled, 0)):
        minutes = Minutes.of([row])
        assert (minutes.billed, minutes.pending) == (billed, 60 - billed), row.difference
    held = compared(decide(make_entry(60), make_master(bill_rates=()), RULES), [], [])
    assert (Minutes.of([held]).held, Minutes.of([held]).billed) == (60, 0)
