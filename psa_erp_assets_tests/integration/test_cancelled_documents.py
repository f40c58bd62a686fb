"""Invoices and credit notes that finance cancels, read back from an ERP and put right, in a real store."""

import datetime as dt
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy import Engine

from psa_erp_assets.adapters.connectors.tryton.read_back import BookedDocument, BookedInvoice, BookedPayment
from psa_erp_assets.adapters.store import exceptions, work_heads
from psa_erp_assets.adapters.store.postings import PgPostingStore
from psa_erp_assets.domain.calendar import ServiceMonth
from psa_erp_assets.domain.effects import EffectType
from psa_erp_assets.domain.erp import ErpDocument
from psa_erp_assets.domain.money import Money
from psa_erp_assets.domain.posting import Leg, State
from psa_erp_assets.domain.reconcile import CANCELLED, Difference
from psa_erp_assets.domain.values import replace
from psa_erp_assets.services import plan_report, sync
from psa_erp_assets.services.credits import request_credit
from psa_erp_assets.services.planning import apply_plan
from psa_erp_assets.services.read_back import read_back
from psa_erp_assets.services.reconciliation import Reconciliation, reconcile
from psa_erp_assets.services.runtime import Runtime
from psa_erp_assets_tests.support.facts import TENANT
from psa_erp_assets_tests.support.punctual_erp import PunctualErp, SetClock, open_store_runtime
from psa_erp_assets_tests.support.store import keep_master, psa_payload, receive

SEPTEMBER = ("UK", "2026-09")
E1 = "time_entry:clockify:e1"
BILLING = EffectType.BILLING_LINE


@dataclass(slots=True)
class Reader:
    """Reads a punctual ERP's documents back; `by_hand` are lines of finance's own credit notes."""

    erp: PunctualErp
    by_hand: list[BookedDocument]

    def billing_lines(self, company: str, first: ServiceMonth, last: ServiceMonth) -> Sequence[BookedDocument]:
        """Of these months."""
        return [*self._of(BILLING, company, first, last), *self.by_hand]

    def cost_transactions(self, company: str, first: ServiceMonth, last: ServiceMonth) -> Sequence[BookedDocument]:
        """Of these months."""
        return self._of(EffectType.COST_TRANSACTION, company, first, last)

    def intercompany_charges(self, company: str, first: ServiceMonth, last: ServiceMonth) -> Sequence[BookedDocument]:
        """Of these months."""
        return self._of(EffectType.INTERCOMPANY_CHARGE, company, first, last)

    def revenue_entries(self, company: str, first: ServiceMonth, last: ServiceMonth) -> Sequence[BookedDocument]:
        """Of these months."""
        return self._of(EffectType.REVENUE_ENTRY, company, first, last)

    def invoices(self, company: str) -> Sequence[BookedInvoice]:
        """None."""
        return []

    def payments(self, company: str) -> Sequence[BookedPayment]:
        """None."""
        return []

    def _of(
        self, effect_type: EffectType, company: str, first: ServiceMonth, last: ServiceMonth
    ) -> list[BookedDocument]:
        return [
            booked(document, key=document.key)
            for document in self.erp.documents.values()
            if (document.effect_type, document.erp_company) == (effect_type, company)
            and first <= ServiceMonth.of(document.date) <= last
        ]


def booked(document: ErpDocument, *, key: str | None, credits_key: str | None = None) -> BookedDocument:
    return BookedDocument(
        document=document,
        key=key,
        party="70",
        analytic="501",
        document_date=None,
        description="workshop",
        credits_key=credits_key,
    )


@pytest.fixture
def erp() -> PunctualErp:
    return PunctualErp()


@pytest.fixture
def runtime(clean_store: Engine, tmp_path: Path, erp: PunctualErp) -> Iterator[Runtime]:
    """A company with an approved hour at 100 GBP, which is on an invoice."""
    keep_master(clean_store)
    receive(clean_store, psa_payload("e1", 60))
    with open_store_runtime(clean_store, tmp_path, erp) as runtime:
        runtime.erp_reader = Reader(erp, [])  # type: ignore[assignment]
        run(runtime)
        erp.invoice()
        yield runtime


def later(runtime: Runtime) -> dt.datetime:
    assert isinstance(runtime.clock, SetClock)
    return runtime.clock.later()


def run(runtime: Runtime) -> None:
    later(runtime)
    sync.sync_partition(runtime, SEPTEMBER, created_by="dagster run 1")


def read(runtime: Runtime) -> frozenset[str]:
    """Read back; answers with what is due then."""
    later(runtime)
    read_back(runtime, SEPTEMBER)
    with runtime.engine.connect() as connection:
        return work_heads.dirty_objects(connection, TENANT, SEPTEMBER)


def edit(runtime: Runtime, minutes: int) -> None:
    receive(runtime.engine, psa_payload("e1", minutes), now=later(runtime))
    run(runtime)


def cancel(erp: PunctualErp, which: Callable[[ErpDocument], bool]) -> None:
    (erp_id,) = [
        i for i, d in erp.documents.items() if d.effect_type is BILLING and d.document_state != CANCELLED and which(d)
    ]
    erp.documents[erp_id] = replace(erp.documents[erp_id], document_state=CANCELLED, posted=False)


def net(erp: PunctualErp) -> Decimal:
    lines = (d for d in erp.documents.values() if d.effect_type is BILLING and d.document_state != CANCELLED)
    return sum((d.amount.amount for d in lines), Decimal(0))


def compare(runtime: Runtime) -> Reconciliation:
    read(runtime)
    return reconcile(runtime, SEPTEMBER)


def test_what_is_on_a_cancelled_invoice_becomes_due_and_is_billed_again(runtime: Runtime, erp: PunctualErp) -> None:
    """Nobody would look at the entry again: nothing about it has changed."""
    assert read(runtime) == frozenset()
    cancel(erp, lambda d: d.minutes == 60)
    assert read(runtime) == {E1}
    run(runtime)
    assert net(erp) == Decimal("100.00")
    assert read(runtime) == frozenset()


def test_a_credit_of_a_line_that_finance_cancels_afterwards_is_put_right(runtime: Runtime, erp: PunctualErp) -> None:
    """60 minutes invoiced, edited to 90, the first invoice cancelled: 50 would be billed, and not 150."""
    edit(runtime, 90)
    erp.invoice()
    cancel(erp, lambda d: d.minutes == 60)
    assert net(erp) == Decimal("50.00")
    assert read(runtime) == {E1}
    run(runtime)
    assert net(erp) == Decimal("150.00")
    assert read(runtime) == frozenset()
    assert [row.difference for row in compare(runtime).rows] == [Difference.NOT_INVOICED]


def previewed(runtime: Runtime) -> tuple[Decimal | None, Decimal | None]:
    """What the plan that would be made now says about billing: before and after."""
    plan = sync.propose(runtime, SEPTEMBER, created_by="Bob")
    report = plan_report.plan_report(runtime.engine, runtime.scope, plan.id)
    [row] = [row for row in report.contracts if row.effect_type == BILLING.value]
    return row.before, row.after


def test_a_preview_counts_a_credit_of_what_finance_has_cancelled(runtime: Runtime, erp: PunctualErp) -> None:
    """Whoever approves would read 150 to 250, where the ERP has 50 and will have 150."""
    edit(runtime, 90)
    erp.invoice()
    cancel(erp, lambda d: d.minutes == 60)
    read(runtime)
    assert previewed(runtime) == (net(erp), Decimal("150.00"))
    run(runtime)
    read(runtime)
    assert net(erp) == Decimal("150.00")


def test_a_preview_counts_a_line_again_whose_credit_note_is_cancelled(runtime: Runtime, erp: PunctualErp) -> None:
    """The ledger has it as reversed until the plan is applied; what the plan does must come to what there will be."""
    edit(runtime, 90)
    erp.invoice()
    cancel(erp, lambda d: d.minutes == -60)
    read(runtime)
    assert previewed(runtime)[1] == Decimal("150.00")
    cancel(erp, lambda d: d.minutes == 60)
    read(runtime)
    assert previewed(runtime)[1] == Decimal("150.00"), "both are cancelled: neither counts"


def test_a_cancelled_credit_note_is_made_again_under_a_key_of_its_own(runtime: Runtime, erp: PunctualErp) -> None:
    """The line that it took back counts again: 250 would be billed, and not 150."""
    edit(runtime, 90)
    for _ in range(2):
        erp.documents |= {
            i: replace(d, document="INV-2", document_state="posted", posted=True)
            for i, d in erp.documents.items()
            if d.document is None and d.effect_type is BILLING
        }
        cancel(erp, lambda d: d.minutes == -60)
        assert net(erp) == Decimal("250.00")
        assert read(runtime) == {E1}
        run(runtime)
        assert net(erp) == Decimal("150.00")
        assert read(runtime) == frozenset()
    postings = PgPostingStore(runtime.engine, TENANT).of_objects([E1])
    credits = [p for p in postings if (p.effect_type, p.leg) == (BILLING, Leg.REVERSAL)]  # noqa: A001
    assert [p.state for p in credits] == [State.REVERSED, State.REVERSED, State.VERIFIED]
    edit(runtime, 30)
    assert net(erp) == Decimal("50.00")


def test_a_line_that_counts_again_has_its_claim_again(runtime: Runtime, erp: PunctualErp) -> None:
    """Deleted work is billed again by another line while its first one counts: the store would allow both."""
    receive(runtime.engine, psa_payload("e1", 60, state="REJECTED"), now=later(runtime))
    run(runtime)
    erp.invoice()
    cancel(erp, lambda d: d.minutes == -60)
    receive(runtime.engine, psa_payload("e1", 60), now=later(runtime))
    read(runtime)
    run(runtime)
    assert net(erp) == Decimal("100.00")
    assert len([d for d in erp.documents.values() if d.effect_type is BILLING]) == 2, "the first line is right again"
    edit(runtime, 90)
    assert net(erp) == Decimal("150.00")


def reset_to_draft(erp: PunctualErp, which: Callable[[ErpDocument], bool]) -> None:
    """Finance makes a draft of a cancelled document, as Tryton lets it where the document was never posted."""
    (erp_id,) = [i for i, d in erp.documents.items() if d.document_state == CANCELLED and which(d)]
    erp.documents[erp_id] = replace(erp.documents[erp_id], document_state="draft", posted=False)


def test_a_draft_that_is_cancelled_and_made_a_draft_again_is_billed_once(runtime: Runtime, erp: PunctualErp) -> None:
    """What was billed in its place would be billed beside it: 200 for what is worth 100."""
    cancel(erp, lambda d: d.minutes == 60)
    read(runtime)
    run(runtime)
    reset_to_draft(erp, lambda d: True)
    assert net(erp) == Decimal("200.00")
    assert read(runtime) == {E1}
    assert [row.difference for row in compare(runtime).rows] == [Difference.PENDING]
    assert previewed(runtime) == (Decimal("100.00"), Decimal("100.00"))
    run(runtime)
    assert net(erp) == Decimal("100.00")
    (line,) = (d for d in erp.documents.values() if d.effect_type is BILLING)
    assert line.document == "INV-1", "the one that finance has on its draft stays, and the other one is withdrawn"
    assert read(runtime) == frozenset()
    assert [row.difference for row in compare(runtime).rows] == [Difference.NOT_INVOICED]
    edit(runtime, 90)
    assert net(erp) == Decimal("150.00")
    assert read(runtime) == frozenset()


def test_a_draft_again_and_what_took_its_place_are_both_on_invoices(runtime: Runtime, erp: PunctualErp) -> None:
    """Nothing can be withdrawn any more: the customer gets a credit of one of the two."""
    cancel(erp, lambda d: d.minutes == 60)
    read(runtime)
    run(runtime)
    reset_to_draft(erp, lambda d: True)
    erp.invoice()
    assert net(erp) == Decimal("200.00")
    assert read(runtime) == {E1}
    run(runtime)
    assert net(erp) == Decimal("100.00")
    assert sorted(d.minutes for d in erp.documents.values() if d.effect_type is BILLING) == [-60, 60, 60]
    assert read(runtime) == frozenset()


def test_a_draft_again_of_work_that_was_edited_meanwhile_is_taken_back(runtime: Runtime, erp: PunctualErp) -> None:
    """The old hours would be billed beside the new ones."""
    cancel(erp, lambda d: d.minutes == 60)
    read(runtime)
    edit(runtime, 90)
    reset_to_draft(erp, lambda d: d.minutes == 60)
    assert (net(erp), read(runtime)) == (Decimal("250.00"), {E1})
    run(runtime)
    assert net(erp) == Decimal("150.00")
    assert read(runtime) == frozenset()


def test_a_draft_again_before_anything_was_sent_calls_the_rebill_off(runtime: Runtime, erp: PunctualErp) -> None:
    """Planned while the invoice was cancelled, and sent after it is a draft again."""
    cancel(erp, lambda d: d.minutes == 60)
    read(runtime)
    plan = sync.propose(runtime, SEPTEMBER, created_by="Bob")
    apply_plan(runtime.engine, runtime.scope, plan.id, now=later(runtime))
    reset_to_draft(erp, lambda d: True)
    assert read(runtime) == {E1}
    run(runtime)
    assert (net(erp), len([d for d in erp.documents.values() if d.effect_type is BILLING])) == (Decimal("100.00"), 1)
    assert read(runtime) == frozenset()


def test_a_credit_note_that_is_a_draft_again_takes_back_once(runtime: Runtime, erp: PunctualErp) -> None:
    """The line would be credited by it and by the credit note that was made in its place: 50 for what is worth 150."""
    edit(runtime, 90)
    erp.invoice()
    cancel(erp, lambda d: d.minutes == -60)
    read(runtime)
    run(runtime)
    reset_to_draft(erp, lambda d: True)
    assert (net(erp), read(runtime)) == (Decimal("50.00"), {E1})
    run(runtime)
    assert net(erp) == Decimal("150.00")
    assert read(runtime) == frozenset()
    edit(runtime, 30)
    assert net(erp) == Decimal("50.00")
    assert read(runtime) == frozenset()


def credit_by_hand(runtime: Runtime, erp: PunctualErp, minutes: int, state: str = "posted") -> None:
    """Finance credits minutes of the first line by the ERP's own means."""
    line = next(d for d in erp.documents.values() if d.effect_type is BILLING and d.minutes > 0)
    amount = Money(-line.amount.amount * minutes / line.minutes, line.amount.currency)
    made = replace(
        line,
        key="",
        erp_id="credit",
        minutes=-minutes,
        amount=amount,
        document="CRN-1",
        document_state=state,
        posted=state == "posted",
    )
    assert isinstance(runtime.erp_reader, Reader)
    runtime.erp_reader.by_hand[:] = [booked(made, key=None, credits_key=line.key)]


def to_classify(runtime: Runtime) -> list[tuple[str, int]]:
    with runtime.engine.connect() as connection:
        items = exceptions.list_items(connection, TENANT, code="credited_in_erp")
    return [(item["object_id"], item["minutes"]) for item in items]


def say(runtime: Runtime, minutes: int, *, rebill: bool = True) -> None:
    request_credit(
        runtime.engine,
        runtime.scope,
        "e1",
        minutes=minutes,
        rebill=rebill,
        in_erp=True,
        reason="wrong week",
        requested_by="Ada",
        now=later(runtime),
    )


def test_a_credit_of_finance_s_own_waits_to_be_classified(runtime: Runtime, erp: PunctualErp) -> None:
    """Nobody would say whether the hours are billed anew; and the item would stay after somebody did."""
    credit_by_hand(runtime, erp, 45)
    compare(runtime)
    assert to_classify(runtime) == [(E1, 45)]
    say(runtime, 15)
    assert to_classify(runtime) == [(E1, 30)], "at once, not at the next reconciliation"
    compare(runtime)
    assert to_classify(runtime) == [(E1, 30)]
    say(runtime, 30, rebill=False)
    assert to_classify(runtime) == []
    compare(runtime)
    assert to_classify(runtime) == []


def test_a_cancelled_credit_of_finance_s_own_is_no_credit(runtime: Runtime, erp: PunctualErp) -> None:
    """Its hours are billed anew on a line of their own, and the line that it credited counts in full again."""
    credit_by_hand(runtime, erp, 45)
    read(runtime)
    say(runtime, 45)
    run(runtime)
    assert net(erp) == Decimal("175.00"), "less 75 of finance's own"
    assert read(runtime) == frozenset()
    assert Difference.CREDITED in {row.difference for row in compare(runtime).rows}
    credit_by_hand(runtime, erp, 45, CANCELLED)
    assert read(runtime) == {E1}
    run(runtime)
    assert net(erp) == Decimal("100.00")
    assert read(runtime) == frozenset()
    rows = compare(runtime).rows
    assert sum(row.erp_amount for row in rows) == Decimal("100.00"), "it counts for nothing, as in the ERP"
    assert Difference.CREDITED not in {row.difference for row in rows}
    assert to_classify(runtime) == []
    # A draft again, it is the credit that was classified: its hours are billed anew once more.
    credit_by_hand(runtime, erp, 45, "draft")
    assert read(runtime) == {E1}
    run(runtime)
    assert net(erp) == Decimal("175.00"), "less 75 of finance's own"
    assert read(runtime) == frozenset()
