"""Plans: from any state of the ledger to what should be in it, and not one step when it is there already."""

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from psa_erp_assets.domain import posting as states
from psa_erp_assets.domain.calendar import ServiceMonth
from psa_erp_assets.domain.decide import decide
from psa_erp_assets.domain.decision import Decision, Hold, Mode, Outcome
from psa_erp_assets.domain.effects import BillingLine, Effect, EffectType, to_payload
from psa_erp_assets.domain.faults import FAULTS, LIMITS
from psa_erp_assets.domain.plan import Action, PlanItem, plan_entry
from psa_erp_assets.domain.posting import ON_DOCUMENT, Lease, Leg, Operation, Posting, State, new_posting
from psa_erp_assets.domain.posting_gate import AT_WORK, promotions
from psa_erp_assets.domain.records import ApprovalState, TimeEntry
from psa_erp_assets.domain.values import replace
from psa_erp_assets_tests.support.facts import (
    CONTRACT,
    CUSTOMER,
    EMPLOYEE,
    PROJECT,
    RULES,
    TAX,
    TENANT,
    UK,
    bill_rate,
    cost_rate,
    make_entry,
    make_master,
    money,
)

NOW = dt.datetime(2026, 10, 5, 12, tzinfo=dt.UTC)
LEASE = Lease(worker="w", now=NOW, duration=dt.timedelta(minutes=3))
LEGS = {Action.CREATE: Leg.ORIGINAL, Action.WITHDRAW: Leg.WITHDRAWAL, Action.REVERSE: Leg.REVERSAL}
BILLING, COST = EffectType.BILLING_LINE, EffectType.COST_TRANSACTION
CHARGE = EffectType.INTERCOMPANY_CHARGE
SOLD_ANYWHERE = replace(PROJECT, erp_analytics={"1": "501", "2": "501"})
GONE = (State.CANCELLED, State.WITHDRAWN, State.REVERSED)


@dataclass
class Ledger:
    """Postings and the ERP's documents, brought forward by the domain's own transitions.

    `taken_up` are on an invoice or a posted entry, `cancelled` those of them whose invoice finance has cancelled, and
    `seen` those of which the sync knows that they were taken up. Of `unread` it does not know yet that finance has
    cancelled them, or made a draft of them again.
    """

    postings: dict[str, Posting] = field(default_factory=dict)
    documents: dict[str, Effect] = field(default_factory=dict)
    taken_up: set[str] = field(default_factory=set)
    cancelled: set[str] = field(default_factory=set)
    seen: set[str] = field(default_factory=set)
    unread: set[str] = field(default_factory=set)
    claims: dict[str, str] = field(default_factory=dict)

    def plan(self, decision: Decision, *closed: str, entity: str = "UK") -> list[PlanItem]:
        """`closed` are months that are closed in the entity's company."""
        company = {"UK": "2", "US": "1"}[entity]
        periods = {(company, ServiceMonth.parse(month)): entity for month in closed}
        cancelled = self.cancelled ^ self.unread
        return plan_entry(
            decision,
            list(self.postings.values()),
            self.seen,
            TENANT,
            closed=periods,
            cancelled=cancelled,
            standing={k for k in self.documents.keys() - cancelled if self.postings[k].state is State.REVERSED},
        )

    def apply(self, items: Iterable[PlanItem]) -> int:
        """As `services.planning` does: what ends first, then what is new, then what is tried again."""
        items = [item for item in items if item.acts]
        for item in items:
            if item.action is Action.CANCEL:
                self._move(states.cancel(self._at(item), NOW, item.reason))
        for item in items:
            if item.action is Action.VOID:
                void = states.void(self._at(item), NOW, item.reason)
                self._move(void)
                target = self.postings.get(void.after.target_key or "")
                if target is not None and target.state is State.REVERSED:
                    self._move(states.restore(target, NOW, void.after))
                    if target.leg is Leg.ORIGINAL:
                        self.claims.setdefault(target.effect_type, target.key)
        for item in items:
            if item.action is Action.RESTORE:
                self._reinstate(item)
        for item in items:
            if item.action in LEGS:
                self._add(item)
        for item in items:
            if item.action is Action.RETRY:
                self._move(states.retry(self._at(item), NOW, item.reason))
        return len(items)

    def promote(self) -> None:
        planned = [p for p in self.postings.values() if p.state is State.PLANNED]
        moves = promotions(
            planned,
            self.postings,
            busy_targets={p.target_key for p in self.postings.values() if p.target_key and p.state in AT_WORK},
            claimed_lines={(planned[0].object_id, kind) for kind in self.claims} if planned else set(),
            now=NOW,
        )
        for move in moves:
            self._move(move)
            if move.after.claims_when_promoted and move.after.state is State.READY:
                self._claim(move.after)

    def send(self, key: str) -> None:
        self._move(states.start(self.postings[key], LEASE))

    def answer(self, key: str, *, refuses: bool) -> None:
        """The ERP does what it is asked for, or refuses: for no reason of ours, or since a document has the draft."""
        posting = self.postings[key]
        target = posting.target_key if posting.operation is Operation.WITHDRAW else None
        if target in self.taken_up:
            self._move(states.reject(posting, NOW, ON_DOCUMENT, "it is on an invoice"))
        elif refuses:
            self._move(states.reject(posting, NOW, "posting_rejected", "not today"))
        else:
            if target is not None:
                del self.documents[target]
            else:
                assert posting.effect is not None
                assert key not in self.documents, "two documents under one key"
                self.documents[key] = posting.effect
            self._move(states.confirm(posting, NOW, f"erp:{key}"))

    def read_back(self, key: str) -> None:
        posting = self.postings[key]
        self._move(states.verify(posting, NOW, posting.erp_id))
        if posting.target_key is not None:
            self._move(states.supersede(self.postings[posting.target_key], NOW, posting))

    def settle(self, *, refuses: bool = False) -> None:
        """Until nothing moves any more."""
        before: dict[str, Posting] | None = None
        while before != self.postings:
            before = dict(self.postings)
            self.promote()
            for state in (State.READY, State.IN_FLIGHT, State.CONFIRMED):
                for key in [k for k, p in self.postings.items() if p.state is state]:
                    self.step(key, refuses=refuses)

    def step(self, key: str, *, refuses: bool = False) -> None:
        state = self.postings[key].state
        if state is State.READY:
            self.send(key)
        elif state is State.IN_FLIGHT:
            self.answer(key, refuses=refuses)
        elif state is State.CONFIRMED:
            self.read_back(key)

    def net(self) -> dict[tuple[Any, ...], tuple[int, Decimal]]:
        """Minutes and amounts by all other dimensions; what nets to nothing, or was cancelled, is left out."""
        totals: dict[tuple[Any, ...], tuple[int, Decimal]] = defaultdict(lambda: (0, Decimal(0)))
        for effect in (e for key, e in self.documents.items() if key not in self.cancelled):
            where = dimensions(effect)
            minutes, amount = totals[where]
            totals[where] = minutes + effect.minutes, amount + effect.amount.amount
        return {where: total for where, total in totals.items() if total != (0, 0)}

    def _reinstate(self, item: PlanItem) -> None:
        back = states.reinstate(self._at(item), NOW, item.reason)
        self._move(back)
        target = self.postings.get(back.after.target_key or "")
        if target is not None and target.state is State.VERIFIED:
            self._move(states.supersede(target, NOW, back.after))
        elif target is None:
            self.claims.setdefault(back.after.effect_type, back.after.key)

    def _at(self, item: PlanItem) -> Posting:
        assert item.key is not None
        return self.postings[item.key]

    def _add(self, item: PlanItem) -> None:
        assert item.key is not None
        assert item.effect is not None
        assert item.revision is not None
        new = new_posting(
            key=item.key,
            tenant=TENANT,
            legal_entity="UK",
            service_month="2026-09",
            leg=LEGS[item.action],
            object_id=item.object_id,
            revision=item.revision,
            source_revision=item.source_revision,
            effect=item.effect,
            now=NOW,
            target_key=item.target_key,
            depends_on=item.depends_on,
        )
        there = self.postings.get(item.key)
        if there is not None:
            assert there.payload_hash == new.payload_hash, "one key, two payloads"
            assert there.state is State.CANCELLED
            assert there.target_key is not None, "only what takes something back may be wanted again"
            self._move(states.revive(there, NOW))
            return
        self.postings[item.key] = new
        if new.source_line is not None and not new.claims_when_promoted:
            self._claim(new)

    def _claim(self, posting: Posting) -> None:
        assert posting.effect_type not in self.claims, "a line is billed twice"
        self.claims[posting.effect_type] = posting.key

    def _move(self, move: states.Transition) -> None:
        after = move.after
        self.postings[after.key] = after
        if after.state in GONE and self.claims.get(after.effect_type) == after.key:
            del self.claims[after.effect_type]


def dimensions(effect: Effect) -> tuple[Any, ...]:
    payload = to_payload(effect)
    currency = payload.pop("amount")["currency"]
    del payload["minutes"]
    return (currency, *(str(payload[name]) for name in sorted(payload)))


def billed_directly(decision: Decision) -> dict[tuple[Any, ...], tuple[int, Decimal]]:
    return {
        dimensions(e): (e.minutes, e.amount.amount) for e in decision.effects if (e.minutes, e.amount.amount) != (0, 0)
    }


def decided(minutes: int = 60, *, rate: str = "100.00", known: bool = True, **changes: Any) -> Decision:
    customer = replace(CUSTOMER, erp_party="70" if known else None)
    master = make_master(bill_rates=(bill_rate(rate),), customers=(customer,))
    return decide(make_entry(minutes, **changes), master, RULES)


def settled(decision: Decision) -> Ledger:
    ledger = Ledger()
    ledger.apply(ledger.plan(decision))
    ledger.settle()
    return ledger


def invoice(ledger: Ledger) -> None:
    """Finance puts all drafts on documents, and the sync has seen it."""
    ledger.taken_up |= ledger.documents.keys()
    ledger.seen |= ledger.documents.keys()


def cancel_invoices(ledger: Ledger) -> None:
    """Finance cancels the invoices that all lines are on, and the sync has seen it."""
    invoice(ledger)
    ledger.cancelled |= {key for key, effect in ledger.documents.items() if effect.effect_type is BILLING}


def held_by(code: str, effect_type: EffectType = BILLING, **changes: Any) -> Decision:
    """The decision of `decided`, with an effect held for a reason."""
    decision = decided(**changes)
    return replace(
        decision,
        outcome=Outcome.HOLD,
        effects=tuple(e for e in decision.effects if e.effect_type is not effect_type),
        holds=(Hold(code, effect_type, "why"),),
    )


def actions(items: Iterable[PlanItem], effect_type: EffectType = BILLING) -> list[str]:
    return [item.action.value for item in items if item.effect_type is effect_type]


def test_approved_work_is_created_once() -> None:
    """Edge case 6: the second run of a month would bill it again."""
    ledger, decision = Ledger(), decided()
    items = ledger.plan(decision)
    assert actions(items) == actions(items, COST) == actions(items, CHARGE) == ["create"]
    ledger.apply(items)
    for _ in range(4):
        assert ledger.plan(decision) == []
        ledger.settle()
    assert ledger.net() == billed_directly(decision)


def test_a_draft_that_changes_is_withdrawn_and_written_again() -> None:
    """A credit and a rebill on top of a draft: three lines on the customer's invoice instead of one."""
    ledger, after = settled(decided(60)), decided(50, revision=2)
    items = ledger.plan(after)
    assert actions(items) == ["withdraw", "create"]
    assert items[1].depends_on == items[0].key, "billed twice until the old line is gone"
    ledger.apply(items)
    ledger.settle()
    kinds = sorted(e.effect_type.value for e in ledger.documents.values())
    assert kinds == ["billing_line", "cost_transaction", "intercompany_charge"], "one of each"
    assert ledger.net() == billed_directly(after)


def test_an_invoiced_line_is_credited_and_billed_again() -> None:
    """Edge cases 13 and 15: history would be rewritten, or the account parked."""
    ledger, after = settled(decided(60)), decided(50, revision=2)
    invoice(ledger)
    items = ledger.plan(after)
    assert actions(items) == ["reverse", "create"]
    ledger.apply(items)
    ledger.settle()
    lines = [e for e in ledger.documents.values() if e.effect_type is BILLING]
    assert sorted(e.minutes for e in lines) == [-60, 50, 60]
    assert ledger.net() == billed_directly(after)


def test_a_credit_carries_the_tax_and_rate_of_what_it_credits() -> None:
    """Edge case 30: a credit at today's tax and rate leaves the difference with the tax office and the customer."""
    ledger = settled(decided(60))
    [original] = [e for e in ledger.documents.values() if e.effect_type is BILLING]
    invoice(ledger)
    master = make_master(bill_rates=(bill_rate("120.00"),), tax_profiles=(replace(TAX, erp_tax="302"),))
    items = ledger.plan(decide(make_entry(60), master, RULES))
    credit, rebill = [item.effect for item in items if item.effect_type is BILLING]
    assert credit == replace(original, minutes=-60, amount=money("-100.00"))
    assert rebill == replace(original, per_hour=money("120.00"), amount=money("120.00"), tax="302")


def test_billed_work_that_is_no_longer_approved_is_credited() -> None:
    """Edge cases 19 and 22: deleted or un-approved work would stay on the customer's account."""
    for state in (ApprovalState.DELETED, ApprovalState.DRAFT, ApprovalState.REJECTED):
        ledger = settled(decided())
        invoice(ledger)
        ledger.apply(ledger.plan(decided(revision=2, state=state)))
        ledger.settle()
        assert ledger.net() == {}


def test_approved_again_it_is_billed_again() -> None:
    """Edge case 22: the third approval would find its key used, and bill nothing."""
    ledger = Ledger()
    for revision in range(1, 6):
        state = ApprovalState.APPROVED if revision % 2 else ApprovalState.DRAFT
        decision = decided(revision=revision, state=state)
        ledger.apply(ledger.plan(decision))
        ledger.settle()
        assert ledger.net() == billed_directly(decision)


def test_an_edit_that_comes_before_anything_was_sent_cancels_the_plan() -> None:
    """What is known to be wrong would be sent, and then corrected."""
    ledger, after = Ledger(), decided(50, revision=2)
    ledger.apply(ledger.plan(decided(60)))
    items = ledger.plan(after)
    assert actions(items) == ["cancel", "create"]
    ledger.apply(items)
    ledger.settle()
    assert ledger.net() == billed_directly(after)


@pytest.mark.parametrize("state", [State.IN_FLIGHT, State.AMBIGUOUS, State.RESOLVING, State.CONFIRMED])
def test_nothing_is_planned_on_top_of_what_nobody_knows(state: State) -> None:
    """Edge case 2: a line that may exist would be billed a second time."""
    ledger = Ledger()
    ledger.apply(ledger.plan(decided(60)))
    ledger.postings = {key: replace(p, state=state) for key, p in ledger.postings.items()}
    assert actions(ledger.plan(decided(50, revision=2))) == ["wait"]
    assert ledger.plan(decided(60)) == []


@pytest.mark.parametrize("state", [State.CONFLICT, State.DUPLICATE, State.DRIFT])
def test_what_waits_for_a_person_is_left_alone(state: State) -> None:
    """A line that somebody changed by hand would be overwritten, or billed beside it."""
    ledger = settled(decided())
    ledger.postings = {key: replace(p, state=state) for key, p in ledger.postings.items()}
    for decision in (decided(), decided(50, revision=2), decided(revision=2, state=ApprovalState.DELETED)):
        assert actions(ledger.plan(decision)) == ["blocked"]


def test_what_the_erp_rejected_is_tried_again_under_its_own_key() -> None:
    """A new key after a rejection is a second line if the rejection was none."""
    ledger, decision = Ledger(), decided()
    ledger.apply(ledger.plan(decision))
    ledger.settle(refuses=True)
    items = ledger.plan(decision)
    assert actions(items) == ["retry"]
    assert {item.key for item in items} == set(ledger.postings)
    ledger.apply(items)
    ledger.settle()
    assert ledger.net() == billed_directly(decision)


def test_a_gap_in_master_data_takes_nothing_back() -> None:
    """A customer that the ERP hides for a day would be credited, and billed again the day after."""
    ledger = settled(decided())
    items = ledger.plan(decided(known=False))
    assert actions(items) == ["hold"]
    assert ledger.apply(items) == 0


@pytest.mark.parametrize(
    "gap", [{"cost_rates": ()}, {"fx_rates": ()}, {"employees": ()}, {"legal_entities": (UK,)}], ids=lambda gap: [*gap]
)
def test_a_gap_takes_back_neither_a_cost_nor_the_charge_that_goes_with_it(gap: dict[str, Any]) -> None:
    """The charge alone would be taken back: one company's payable without the other's receivable."""
    ledger = settled(decided())
    items = ledger.plan(decide(make_entry(60), make_master(**gap), RULES))
    assert (actions(items, COST), actions(items, CHARGE)) == (["hold"], [])
    assert ledger.apply(items) == 0


def test_a_charge_goes_when_the_work_is_not_another_company_s_any_more() -> None:
    """The receivable of a company that no longer employs them would stay in its books."""
    ledger = settled(decided())
    own = decide(make_entry(60), make_master(employees=(replace(EMPLOYEE, legal_entity="UK"),)), RULES)
    items = ledger.plan(own)
    assert (actions(items, COST), actions(items, CHARGE)) == (["withdraw", "create"], ["withdraw"])
    ledger.apply(items)
    ledger.settle()
    assert ledger.net() == billed_directly(own)


@pytest.mark.parametrize("code", sorted(FAULTS))
def test_a_limit_takes_back_what_was_posted_and_a_gap_does_not(code: str) -> None:
    """Work beyond a cap that was lowered would stay on the customer's account, or a lost rate would credit a month."""
    ledger = settled(decided())
    items = ledger.plan(held_by(code))
    assert actions(items) == (["withdraw", "hold"] if code in LIMITS else ["hold"])
    assert [item.hold.code for item in items if item.hold] == [code]
    assert actions(items, COST) == actions(items, CHARGE) == []
    invoice(ledger)
    assert actions(ledger.plan(held_by(code))) == (["reverse", "hold"] if code in LIMITS else ["hold"])


def test_what_a_limit_leaves_is_written_in_place_of_what_was_posted() -> None:
    """The part up to the cap would be lost with the part beyond it."""
    ledger, cut = settled(decided(60)), held_by("cap_reached")
    line = decided(40).effect(BILLING)
    assert line is not None
    items = ledger.plan(replace(cut, effects=(line, *cut.effects)))
    assert actions(items) == ["withdraw", "create", "hold"]


def test_a_line_whose_invoice_was_cancelled_is_billed_again() -> None:
    """The ERP has taken the line back itself: the work would be on no invoice, and the ledger would say it is."""
    ledger, decision = settled(decided()), decided()
    cancel_invoices(ledger)
    items = ledger.plan(decision)
    assert (actions(items), actions(items, COST)) == (["void", "create"], [])
    assert items[1].revision == 2, "the first key is used up"
    assert items[1].depends_on is None, "there is nothing to wait for"
    assert all(item.acts for item in items)
    ledger.apply(items)
    ledger.settle()
    assert ledger.net() == billed_directly(decision)
    assert ledger.plan(decision) == []


@pytest.mark.parametrize("state", [ApprovalState.DRAFT, ApprovalState.DELETED])
def test_nobody_is_credited_for_what_is_on_a_cancelled_invoice(state: ApprovalState) -> None:
    """The customer would have a credit for what they never owed."""
    ledger = settled(decided())
    cancel_invoices(ledger)
    items = ledger.plan(decided(revision=2, state=state))
    assert actions(items) == ["void"]
    ledger.apply(items)
    ledger.settle()
    assert ledger.net() == {}


@pytest.mark.parametrize("promoted", [False, True])
def test_a_credit_that_was_not_sent_goes_with_the_invoice(promoted: bool) -> None:
    """Planned before finance cancelled the invoice, and sent after it: credited twice."""
    ledger, after = settled(decided(60)), decided(50, revision=2)
    invoice(ledger)
    ledger.apply(ledger.plan(after))
    if promoted:
        ledger.promote()
    cancel_invoices(ledger)
    items = ledger.plan(after)
    assert actions(items) == ["cancel", "void"]
    ledger.apply(items)
    ledger.settle()
    ledger.apply(ledger.plan(after))
    ledger.settle()
    assert ledger.net() == billed_directly(after)


def corrected(*minutes: int) -> tuple[Ledger, Decision]:
    """Work that was edited so, each version on a document before the next; and the last decision about it."""
    ledger = settled(decided(minutes[0]))
    decision = decided(minutes[0])
    for revision, edited in enumerate(minutes[1:], start=2):
        invoice(ledger)
        decision = decided(edited, revision=revision)
        ledger.apply(ledger.plan(decision))
        ledger.settle()
    invoice(ledger)
    return ledger, decision


def cancel_line(ledger: Ledger, minutes: int) -> str:
    """Finance cancels the document with the newest line of so many minutes, negative for a credit; its key."""
    lines = [k for k, e in ledger.documents.items() if e.effect_type is BILLING and e.minutes == minutes]
    key = next(key for key in reversed(lines) if key not in ledger.cancelled)
    ledger.cancelled.add(key)
    return key


def draft_again(ledger: Ledger, key: str) -> None:
    """Finance makes a draft of the cancelled document that a line is on, and the sync has seen it."""
    ledger.cancelled.remove(key)


def put_right(ledger: Ledger, decision: Decision, *expected: str) -> None:
    """One plan does what is expected, brings the ERP to the decision, and leaves the next one nothing."""
    items = ledger.plan(decision)
    assert actions(items) == list(expected)
    ledger.apply(items)
    assert not any(item.acts for item in ledger.plan(decision))
    ledger.settle()
    assert ledger.net() == billed_directly(decision)
    assert ledger.plan(decision) == []
    invoice(ledger)


def test_a_credit_of_what_finance_has_cancelled_since_is_taken_back() -> None:
    """60 minutes invoiced, edited to 90, and the first invoice cancelled: 50 would be billed, and not 150."""
    ledger, decision = corrected(60, 90)
    key = cancel_line(ledger, 60)
    (item,) = [i for i in ledger.plan(decision) if i.effect_type is BILLING]
    assert (item.effect and item.effect.minutes, item.effect and item.effect.amount) == (60, money("100.00"))
    assert item.target_key is not None
    assert ledger.postings[item.target_key].target_key == key, "it takes the credit back, not the line"
    put_right(ledger, decision, "reverse")


def test_a_credit_that_is_still_a_draft_is_withdrawn() -> None:
    """A third line on the customer's next invoice to say that the second one is none."""
    ledger, decision = corrected(60, 90)
    draft = next(k for k, e in ledger.documents.items() if e.effect_type is BILLING and e.minutes == -60)
    ledger.seen.remove(draft)
    ledger.taken_up.remove(draft)
    cancel_line(ledger, 60)
    put_right(ledger, decision, "withdraw")
    assert draft not in ledger.documents


def test_a_cancelled_credit_note_is_made_again() -> None:
    """The line that it took back counts again beside the one in its place: 250 for what is worth 150."""
    ledger, decision = corrected(60, 90)
    cancel_line(ledger, -60)
    put_right(ledger, decision, "void", "reverse")


def test_a_cancelled_credit_note_of_deleted_work_is_made_again() -> None:
    """Work that is no work any more would be billed after all."""
    ledger = settled(decided(60))
    invoice(ledger)
    gone = decided(revision=2, state=ApprovalState.DELETED)
    ledger.apply(ledger.plan(gone))
    ledger.settle()
    invoice(ledger)
    cancel_line(ledger, -60)
    put_right(ledger, gone, "void", "reverse")


def test_what_counts_again_and_is_wanted_again_is_left_as_it_is() -> None:
    """A credit and a line in place of a line that was right."""
    ledger, _ = corrected(60, 90)
    cancel_line(ledger, -60)
    put_right(ledger, decided(60, revision=3), "void", "reverse")
    lines = [e for e in ledger.documents.values() if e.effect_type is BILLING]
    assert sorted(e.minutes for e in lines) == [-90, -60, 60, 90], "only the 90 were taken back"


def test_an_invoice_and_its_credit_note_that_are_both_cancelled_are_nothing() -> None:
    """The line would be taken to count again, and be credited a second time."""
    ledger, decision = corrected(60, 90)
    cancel_line(ledger, -60)
    cancel_line(ledger, 60)
    put_right(ledger, decision, "void", "void")


def test_each_cancelled_correction_gets_another_key() -> None:
    """The key of a document that is there, though cancelled, cannot be sent again: the correction would never come."""
    ledger, decision = corrected(60, 90)
    for _ in range(3):
        cancel_line(ledger, -60)
        put_right(ledger, decision, "void", "reverse")
    cancel_line(ledger, 60)
    put_right(ledger, decision, "reverse")
    for _ in range(2):
        cancel_line(ledger, 60)
        put_right(ledger, decision, "void", "reverse")
    after = decided(120, revision=9)
    ledger.apply(ledger.plan(after))
    ledger.settle()
    assert ledger.net() == billed_directly(after)


def test_a_draft_again_makes_the_line_count_that_was_void() -> None:
    """It and the one in its place would both be billed."""
    ledger, decision = settled(decided()), decided()
    invoice(ledger)
    key = cancel_line(ledger, 60)
    ledger.apply(ledger.plan(decision))
    ledger.settle()
    draft_again(ledger, key)
    items = ledger.plan(decision)
    assert actions(items) == ["restore", "withdraw"], "the one that is on no invoice goes"
    assert all(item.acts for item in items)
    ledger.apply(items)
    assert not any(item.acts for item in ledger.plan(decision))
    ledger.settle()
    assert ledger.net() == billed_directly(decision)
    assert ledger.postings[key].state is State.VERIFIED
    assert ledger.plan(decision) == []


@pytest.mark.parametrize("state", [State.IN_FLIGHT, State.CONFIRMED])
def test_a_draft_again_waits_for_what_is_on_its_way_in_its_place(state: State) -> None:
    """Nobody knows whether it will be there to be withdrawn."""
    ledger, decision = settled(decided()), decided()
    invoice(ledger)
    key = cancel_line(ledger, 60)
    ledger.apply(ledger.plan(decision))
    ledger.promote()
    (sent,) = (k for k, p in ledger.postings.items() if p.state is State.READY)
    while ledger.postings[sent].state is not state:
        ledger.step(sent)
    draft_again(ledger, key)
    assert actions(ledger.plan(decision)) == ["wait"]
    ledger.settle()
    put_right(ledger, decision, "restore", "withdraw")


def test_a_credit_note_that_is_a_draft_again_is_one_of_two() -> None:
    """The line would be taken back twice; the one that was made in its place is on no document yet."""
    ledger, decision = corrected(60, 90)
    key = cancel_line(ledger, -60)
    ledger.apply(ledger.plan(decision))
    ledger.settle()
    draft_again(ledger, key)
    put_right(ledger, decision, "restore", "withdraw")


def test_a_credit_note_that_is_a_draft_again_calls_off_the_one_in_its_place() -> None:
    """Planned while it was cancelled, and sent afterwards: credited twice."""
    ledger, decision = corrected(60, 90)
    key = cancel_line(ledger, -60)
    ledger.apply(ledger.plan(decision))
    draft_again(ledger, key)
    put_right(ledger, decision, "cancel", "restore")


def test_an_invoice_and_its_credit_note_that_are_both_drafts_again_are_as_they_were() -> None:
    """Only one of the two would count."""
    ledger, decision = corrected(60, 90)
    keys = [cancel_line(ledger, -60), cancel_line(ledger, 60)]
    put_right(ledger, decision, "void", "void")
    for key in keys:
        draft_again(ledger, key)
    put_right(ledger, decision, "restore")


def test_a_credit_note_that_is_a_draft_again_of_what_was_withdrawn_is_taken_back() -> None:
    """Its line counted again, stood alone and was withdrawn: the customer would have a credit for nothing."""
    ledger = settled(decided(50))
    invoice(ledger)
    gone = decided(revision=2, state=ApprovalState.DELETED)
    ledger.apply(ledger.plan(gone))
    ledger.settle()
    invoice(ledger)
    key = cancel_line(ledger, -50)
    (line,) = (k for k, e in ledger.documents.items() if e.effect_type is BILLING and e.minutes == 50)
    ledger.taken_up.remove(line)
    ledger.seen.remove(line)
    ledger.apply(ledger.plan(gone))
    ledger.settle()
    assert line not in ledger.documents
    draft_again(ledger, key)
    assert ledger.net() != {}
    ledger.apply(ledger.plan(gone))
    ledger.settle()
    assert ledger.net() == {}


def test_a_gap_does_not_keep_a_credit_of_nothing() -> None:
    """The customer would have a credit for what they never owed, until somebody finds the rate."""
    ledger, _ = corrected(60, 90)
    cancel_line(ledger, 60)
    gap = decided(90, revision=2, known=False)
    assert actions(ledger.plan(gap)) == ["reverse", "hold"]
    ledger.apply(ledger.plan(gap))
    ledger.settle()
    assert ledger.net() == billed_directly(decided(90, revision=2))


def test_a_reversal_that_is_wanted_again_with_another_date_is_another_one() -> None:
    """One key for two contents: the plan would be refused for ever."""
    ledger = settled(decided(60))
    invoice(ledger)
    gone = decided(revision=2, state=ApprovalState.DELETED)
    for day in (dt.date(2026, 10, 1), dt.date(2026, 11, 1)):
        dated = replace(gone, posting_dates={COST: day, CHARGE: day})
        ledger.apply(ledger.plan(dated))
        ledger.apply(i for i in ledger.plan(decided(60, revision=3)) if i.effect_type is not BILLING)
    ledger.apply(ledger.plan(replace(gone, revision=4)))
    ledger.settle()
    assert ledger.net() == {}


def test_nothing_is_void_while_its_credit_is_on_the_way() -> None:
    """The answer to the credit would meet a line that is no longer there to be credited: the engine would stop."""
    ledger, after = settled(decided(60)), decided(50, revision=2)
    invoice(ledger)
    ledger.apply(ledger.plan(after))
    ledger.promote()
    for key in [k for k, p in ledger.postings.items() if p.state is State.READY]:
        ledger.send(key)
    cancel_invoices(ledger)
    assert actions(ledger.plan(after)) == ["wait"]
    ledger.settle()


def test_where_the_rollout_has_not_begun_nothing_is_planned() -> None:
    """Entries that people bill by hand would be billed by the sync as well, or fill the exception queue."""
    for decision in (decided(), decided(known=False), decided(state=ApprovalState.DELETED)):
        off = replace(decision, mode=Mode.OFF)
        assert Ledger().plan(off) == []
        assert settled(decided()).plan(off) == [], "what is there is left alone"


def test_a_shadow_shows_everything_and_does_nothing() -> None:
    """A comparison with what people do by hand that posts, or that cannot be seen."""
    after = decided(50, revision=2)
    for ledger in (Ledger(), settled(decided(60))):
        live, shadow = ledger.plan(after), ledger.plan(replace(after, mode=Mode.SHADOW))
        assert {item.action for item in shadow} == {Action.SHADOW}
        assert not any(item.acts for item in shadow)
        assert [i.reason for i in shadow] == [f"{i.action.value}: {i.reason}" for i in live]
        assert [(i.effect_type, i.effect, i.key) for i in shadow] == [(i.effect_type, i.effect, i.key) for i in live]
    held = replace(decided(known=False), mode=Mode.SHADOW)
    assert actions(Ledger().plan(held)) == ["hold"], "what would stop it is found out before it counts"


def test_a_gap_stops_a_removal_that_has_not_been_sent() -> None:
    """Whether the line stays would depend on which of two changes came first."""
    ledger = settled(decided())
    ledger.apply(ledger.plan(decided(rate="120.00")))
    ledger.apply(ledger.plan(decided(rate="120.00", known=False)))
    ledger.settle()
    assert ledger.net() == billed_directly(decided())


def test_edited_work_that_is_now_held_is_taken_back() -> None:
    """The customer would be billed for hours that are known to be wrong."""
    ledger = settled(decided(60))
    items = ledger.plan(decided(50, revision=2, known=False))
    assert actions(items) == ["withdraw", "hold"]
    ledger.apply(items)
    ledger.settle()
    assert ledger.net() == billed_directly(decided(50, known=False))


def test_released_by_itself_when_the_gap_is_closed() -> None:
    """Edge case 23: an approval that came before its customer would wait for ever."""
    ledger = settled(decided(known=False))
    assert actions(ledger.plan(decided())) == ["create"]


def test_a_change_that_is_taken_back_in_time_changes_nothing() -> None:
    """A line would be withdrawn and written again as it was."""
    ledger = settled(decided(60))
    ledger.apply(ledger.plan(decided(50, revision=2)))
    items = ledger.plan(decided(60, revision=3))
    assert actions(items) == ["cancel", "cancel"]
    before = dict(ledger.documents)
    ledger.apply(items)
    ledger.settle()
    assert ledger.documents == before


def test_a_removal_that_is_on_its_way_is_followed_by_what_is_wanted() -> None:
    """The withdrawal goes through, and what it withdrew is wanted after all: nothing would be billed."""
    ledger = settled(decided(60))
    ledger.apply(ledger.plan(decided(50, revision=2)))
    ledger.promote()
    for key in [k for k, p in ledger.postings.items() if p.state is State.READY]:
        ledger.send(key)
    again = decided(60, revision=3)
    ledger.apply(ledger.plan(again))
    ledger.settle()
    assert ledger.net() == billed_directly(again)


def test_a_draft_that_is_invoiced_in_the_moment_of_its_withdrawal_is_reversed() -> None:
    """Fault 29: the refusal is all that the sync hears; asked to withdraw again and again it would never end."""
    ledger, after = settled(decided(60)), decided(50, revision=2)
    ledger.apply(ledger.plan(after))
    ledger.taken_up |= ledger.documents.keys()
    ledger.settle()
    assert actions(ledger.plan(after)) == ["reverse", "create"]
    ledger.apply(ledger.plan(after))
    ledger.settle()
    assert ledger.net() == billed_directly(after)


def test_work_that_another_company_sells_now_moves_there() -> None:
    """Edge case 16: billed in both companies, or in neither."""
    ledger = settled(decided())
    master = make_master(
        contracts=(replace(CONTRACT, legal_entity="US"),),
        projects=(SOLD_ANYWHERE,),
        tax_profiles=(replace(TAX, legal_entity="US", erp_tax=None),),
    )
    moved = decide(make_entry(60), master, RULES)
    ledger.apply(ledger.plan(moved))
    ledger.settle()
    assert {e.erp_company for e in ledger.documents.values()} == {"1"}
    assert ledger.net() == billed_directly(moved)


def test_a_raise_touches_cost_alone() -> None:
    """Edge cases 11 and 12: every invoice of the month would be credited and billed again."""
    ledger = settled(decided())
    invoice(ledger)
    raised = decide(make_entry(60), make_master(cost_rates=(cost_rate("66.00"),)), RULES)
    items = ledger.plan(raised)
    assert actions(items) == []
    assert actions(items, COST) == ["reverse", "create"]


def test_nothing_is_planned_into_a_closed_period() -> None:
    """Edge case 18, fault 21: re-dated without a word, or sent to be refused at every sync."""
    items = Ledger().plan(decided(), "2026-09")
    assert (actions(items), actions(items, COST)) == (["create"], ["hold"])
    assert {(i.hold.code, i.hold.detail) for i in items if i.hold} == {("period_closed", "2026-09 is closed in UK")}


@pytest.mark.parametrize("entity", ["UK", "US"])
def test_a_cost_and_its_charge_wait_for_each_other_s_period(entity: str) -> None:
    """One company would owe in a month what the other has no claim to in that month: the group's books disagree."""
    ledger = Ledger()
    items = ledger.plan(decided(), "2026-09", entity=entity)
    assert (actions(items), actions(items, COST), actions(items, CHARGE)) == (["create"], ["hold"], ["hold"])
    assert {i.hold.detail for i in items if i.hold} == {f"2026-09 is closed in {entity}"}
    ledger.apply(items)
    ledger.settle()
    ledger.apply(ledger.plan(decided()))
    ledger.settle()
    assert ledger.net() == billed_directly(decided())


def test_what_another_company_closed_holds_nobody_else_s_cost() -> None:
    """A month that is closed in New York would stop the cost of people whom London employs."""
    own = decide(make_entry(60), make_master(employees=(replace(EMPLOYEE, legal_entity="UK"),)), RULES)
    items = Ledger().plan(own, "2026-09", entity="US")
    assert (actions(items, COST), actions(items, CHARGE)) == (["create"], [])


def test_a_posting_date_that_somebody_chose_is_the_period_that_counts() -> None:
    """Edge case 18: the choice would be held by the very period that it avoids, or go into a closed one unseen."""
    october = dt.date(2026, 10, 1)
    decision = decided()
    moved = replace(
        decision,
        effects=tuple(replace(e, posting_date=october) if e.effect_type is COST else e for e in decision.effects),
    )
    assert actions(Ledger().plan(moved, "2026-09"), COST) == ["create"]
    assert actions(Ledger().plan(moved, "2026-10"), COST) == ["hold"]


def test_a_reversal_goes_where_somebody_chose_to_put_it() -> None:
    """Edge case 18: what is in a closed month could never be corrected."""
    ledger, october = settled(decided(60)), dt.date(2026, 10, 1)
    invoice(ledger)
    gone = replace(decided(revision=2, state=ApprovalState.DELETED), posting_dates={COST: october, CHARGE: october})
    items = ledger.plan(gone, "2026-09")
    assert (actions(items, COST), actions(items, CHARGE)) == (["reverse"], ["reverse"])
    dates = {(e.service_date, e.posting_date) for i in items if (e := i.effect) and not isinstance(e, BillingLine)}
    assert dates == {(dt.date(2026, 9, 14), october)}


def test_closing_a_month_holds_nothing_that_is_in_its_books() -> None:
    """An exception for each entry of each month that is ever closed: nobody reads the queue any more."""
    ledger = settled(decided())
    assert ledger.plan(decided(), "2026-09", "2026-10") == []


@pytest.mark.parametrize("state", [ApprovalState.APPROVED, ApprovalState.DELETED])
def test_a_correction_of_a_closed_month_is_held_as_a_whole(state: ApprovalState) -> None:
    """A reversal that goes through without what follows it leaves the month without its cost."""
    ledger, after = settled(decided(60)), decided(50, revision=2, state=state)
    assert actions(ledger.plan(after, "2026-09"), COST) == ["hold"]
    assert actions(ledger.plan(after, "2026-10"), COST)[0] == "withdraw"


def test_work_that_moves_out_of_a_closed_month_is_held_as_a_whole() -> None:
    """Its cost would be in both months."""
    ledger, moved = settled(decided()), decided(revision=2, service_date=dt.date(2026, 10, 1))
    for month in ("2026-09", "2026-10"):
        assert actions(ledger.plan(moved, month), COST) == ["hold"]


def test_what_was_refused_for_a_closed_period_waits_until_it_is_open() -> None:
    """Fault 21: the period closed between plan and sending; the refusal would be asked for at every sync."""
    ledger, decision = Ledger(), decided()
    ledger.apply(ledger.plan(decision))
    ledger.settle(refuses=True)
    assert actions(ledger.plan(decision, "2026-09"), COST) == ["hold"]
    assert actions(ledger.plan(decision), COST) == ["retry"]
    ledger = settled(decided(60))
    ledger.apply(ledger.plan(decided(50, revision=2)))
    ledger.settle(refuses=True)
    assert actions(ledger.plan(decided(50, revision=2), "2026-09"), COST) == ["hold"]


class AnyHistory(RuleBasedStateMachine):
    """Edits, approvals, rates, gaps, finance and the engine in any order: the end is as if billed once, at the end."""

    def __init__(self) -> None:
        super().__init__()
        self.ledger = Ledger()
        self.entry: TimeEntry = make_entry(60)
        self.rate, self.cost, self.known, self.entity = 100, 60, True, "UK"
        self.again: set[str] = set()

    @property
    def decision(self) -> Decision:
        entity_tax = None if self.entity == "US" else "301"
        master = make_master(
            bill_rates=(bill_rate(f"{self.rate}.00"),),
            cost_rates=(cost_rate(f"{self.cost}.00"),),
            customers=(replace(CUSTOMER, erp_party="70" if self.known else None),),
            contracts=(replace(CONTRACT, legal_entity=self.entity),),
            projects=(SOLD_ANYWHERE,),
            tax_profiles=(replace(TAX, legal_entity=self.entity, erp_tax=entity_tax),),
        )
        return decide(self.entry, master, RULES)

    @initialize(approved=st.booleans())
    def recorded(self, approved: bool) -> None:
        self.entry = make_entry(60, state=ApprovalState.APPROVED if approved else ApprovalState.SUBMITTED)

    # Few values, so that histories often come back to what was there before.
    @rule(minutes=st.sampled_from((0, 50, 60)))
    def edited(self, minutes: int) -> None:
        self._revise(minutes=minutes)

    @rule(state=st.sampled_from((ApprovalState.APPROVED, ApprovalState.DRAFT, ApprovalState.DELETED)))
    def decided_upon(self, state: ApprovalState) -> None:
        self._revise(state=state)

    @rule(billable=st.booleans())
    def made_billable_or_not(self, billable: bool) -> None:
        self._revise(billable=billable)

    @rule(rate=st.sampled_from((0, 100, 120)), cost=st.sampled_from((60, 66)))
    def priced(self, rate: int, cost: int) -> None:
        self.rate, self.cost = rate, cost

    @rule(known=st.booleans())
    def known_to_the_erp_or_not(self, known: bool) -> None:
        self.known = known

    @rule(entity=st.sampled_from(("UK", "US")))
    def sold_by(self, entity: str) -> None:
        self.entity = entity

    @rule()
    def planned(self) -> None:
        self.ledger.apply(self.ledger.plan(self.decision))
        again = self.ledger.plan(self.decision)
        assert not any(item.acts for item in again), "a plan that was applied is planned again"

    @rule()
    def planned_and_sent(self) -> None:
        self.planned()
        self.ledger.settle()

    @rule(minutes=st.sampled_from((0, 50, 60)))
    def edited_and_on_a_document(self, minutes: int) -> None:
        """Approved, posted and taken up at once, which the single steps seldom come to in one history."""
        self._revise(minutes=minutes, state=ApprovalState.APPROVED, billable=True)
        self.planned_and_sent()
        self.invoiced(noticed=True)

    @rule(data=st.data(), refuses=st.booleans())
    def moved_on(self, data: st.DataObject, refuses: bool) -> None:
        self.ledger.promote()
        moving = self._moving()
        if moving:
            self.ledger.step(data.draw(st.sampled_from(moving)), refuses=refuses)

    @rule(noticed=st.booleans())
    def invoiced(self, noticed: bool) -> None:
        self.ledger.taken_up |= self.ledger.documents.keys()
        if noticed:
            self.ledger.seen |= self.ledger.documents.keys()

    @precondition(lambda self: self._can_be_cancelled())
    @rule(data=st.data(), noticed=st.booleans())
    def invoice_or_credit_note_cancelled(self, data: st.DataObject, noticed: bool) -> None:
        """At any moment, whether the line is ours or takes another one back, and whatever is on its way."""
        key = data.draw(st.sampled_from(self._can_be_cancelled()))
        self.ledger.seen.add(key)
        self.ledger.cancelled.add(key)
        self._noticed(key, noticed=noticed)

    @precondition(lambda self: self.ledger.cancelled)
    @rule(data=st.data(), noticed=st.booleans(), alone=st.booleans())
    def made_a_draft_again(self, data: st.DataObject, noticed: bool, alone: bool) -> None:
        """At any moment: before anybody has seen that it was cancelled, or after it was billed anew. Finance may take
        the line off the draft, so that it stands alone."""
        key = data.draw(st.sampled_from(sorted(self.ledger.cancelled)))
        self.ledger.cancelled.remove(key)
        self.again.add(key)
        self._noticed(key, noticed=noticed)
        if alone:
            self.ledger.taken_up.discard(key)
            self.ledger.seen -= {key} if noticed else set()

    @rule()
    def read_back(self) -> None:
        self.ledger.unread.clear()

    @invariant()
    def nothing_is_billed_twice(self) -> None:
        """At no moment, not even between a removal and what follows it; but finance can cancel a credit note, or make
        a draft again of what it has cancelled."""
        ledger = self.ledger
        takers = {p.key: p.target_key for p in ledger.postings.values() if p.target_key and p.key in ledger.documents}
        called_back = {target for key, target in takers.items() if key in ledger.cancelled} | self.again
        removed = {target for key, target in takers.items() if key not in ledger.cancelled} | ledger.cancelled
        live = [
            ledger.documents[key].effect_type
            for key, p in ledger.postings.items()
            if key in ledger.documents and p.leg is Leg.ORIGINAL and key not in removed | called_back
        ]
        assert len(live) == len(set(live))

    def teardown(self) -> None:
        """Once the faults stop and the gaps are closed, what is there is what should be there."""
        self.known = True
        self.ledger.unread.clear()
        for _ in range(6):
            self.ledger.settle()
            if not self.ledger.apply(self.ledger.plan(self.decision)):
                break
        else:
            raise AssertionError("it never comes to an end")
        assert self.ledger.net() == billed_directly(self.decision)

    def _revise(self, **changes: Any) -> None:
        revised = replace(self.entry, **changes)
        if revised != self.entry:
            self.entry = replace(revised, revision=self.entry.revision + 1)

    def _noticed(self, key: str, *, noticed: bool) -> None:
        """The sync sees what has become of a document, or goes on believing what it has seen last."""
        if noticed:
            self.ledger.unread.discard(key)
        else:
            self.ledger.unread ^= {key}

    def _can_be_cancelled(self) -> list[str]:
        ledger = self.ledger
        bills = {key for key, effect in ledger.documents.items() if effect.effect_type is BILLING}
        return sorted((ledger.taken_up & bills) - ledger.cancelled)

    def _moving(self) -> list[str]:
        moving = (State.READY, State.IN_FLIGHT, State.CONFIRMED)
        return sorted(key for key, p in self.ledger.postings.items() if p.state in moving)


TestAnyHistory = AnyHistory.TestCase
TestAnyHistory.settings = settings(max_examples=120, stateful_step_count=25, deadline=None)
