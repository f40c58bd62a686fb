"""Finance cancels documents in a real Tryton and makes drafts of them again: the work is billed once, at its price.

Each test works with an entry of its own and leaves the books settled.
"""

import datetime as dt
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal

import pytest

from psa_erp_assets.adapters.connectors.tryton.read_back import BookedDocument
from psa_erp_assets.adapters.connectors.tryton.rpc import UserRefusedError
from psa_erp_assets.adapters.store import work_heads
from psa_erp_assets.domain.calendar import ServiceMonth
from psa_erp_assets.domain.effects import EffectType
from psa_erp_assets.domain.posting import Leg, State
from psa_erp_assets.domain.reconcile import CANCELLED, Difference
from psa_erp_assets.sandbox.actors import Actors, actors_at
from psa_erp_assets.sandbox.serve import SandboxServer, running_sandbox
from psa_erp_assets.sandbox.tryton.build import Kind
from psa_erp_assets.services import read_back, reconciliation, sync
from psa_erp_assets.services.credits import request_credit
from psa_erp_assets_tests.support.small_company import approved_entries, small_company
from psa_erp_assets_tests.support.sync import Company, Open
from psa_erp_assets_tests.support.tryton import MakeTryton

pytestmark = pytest.mark.tryton

UK = "CTR-0022"
SEPTEMBER = ("UK", "2026-09")
MONTH = ServiceMonth(2026, 9)
BILLING = EffectType.BILLING_LINE
# What the sync removes or looks up on the way is tried with both kinds, the rest with one.
with_one_kind = pytest.mark.parametrize("company", [Kind.COMPANION], indirect=True, scope="module")


@pytest.fixture(scope="module")
def sandbox() -> Iterator[SandboxServer]:
    with running_sandbox(small_company(per_contract=20)) as server:
        yield server


@pytest.fixture(scope="module")
def people(sandbox: SandboxServer) -> Iterator[Actors]:
    with actors_at(sandbox) as actors:
        yield actors


@pytest.fixture(scope="module", params=[Kind.COMPANION, Kind.STOCK])
def company(
    request: pytest.FixtureRequest, sandbox: SandboxServer, make_tryton: MakeTryton, open_company: Open
) -> Company:
    """The small company, synchronized: all of its lines are drafts that stand alone."""
    company = open_company(sandbox, make_tryton(request.param))
    company.sync()
    return company


@dataclass(frozen=True)
class Work:
    """An approved entry of September, what it is worth by hand, and what finance does with its lines."""

    company: Company
    people: Actors
    entry_id: str
    per_hour: Decimal

    @property
    def object_id(self) -> str:
        """Its id in the ledger."""
        return f"time_entry:clockify:{self.entry_id}"

    @property
    def worth(self) -> Decimal:
        """What its minutes are worth, by what the PSA says now; halves go to the even cent, as in Tryton."""
        interval = self.people.entry(self.entry_id)["timeInterval"]
        start, end = (dt.datetime.fromisoformat(interval[name]) for name in ("start", "end"))
        minutes = Decimal(int((end - start).total_seconds()) // 60)
        return (self.per_hour * minutes / 60).quantize(Decimal("0.01"), ROUND_HALF_EVEN)

    def lines(self, of: str | None = None) -> list[BookedDocument]:
        """Its lines in Tryton, cancelled ones too, oldest first; or those of another object, such as a credit of it."""
        postings = self.company.runtime.postings.of_objects([of or self.object_id])
        keys = {p.key for p in postings if p.effect_type is BILLING}
        return sorted((b for b in self._booked() if b.key in keys), key=lambda b: int(b.document.erp_id))

    def credited(self, line: BookedDocument) -> BookedDocument:
        """The line of finance's own credit note for one of its lines."""
        [found] = [booked for booked in self._booked() if line.key is not None and booked.credits_key == line.key]
        return found

    def _booked(self) -> list[BookedDocument]:
        return list(self.company.runtime.erp_reader.billing_lines(self.erp_company, MONTH, MONTH))

    def standing(self) -> list[BookedDocument]:
        """Those of its lines that are on no cancelled document."""
        return [line for line in self.lines() if line.document.document_state != CANCELLED]

    def net(self) -> Decimal:
        """What the customer owes for it, by what Tryton has."""
        return sum((line.document.amount.amount for line in self.standing()), Decimal(0))

    @property
    def erp_company(self) -> str:
        """The company in Tryton."""
        return self.company.tryton.companies["UK"]

    def invoice(self, *lines: BookedDocument) -> str:
        """Put lines on a new draft invoice, or on a credit note where they come to less than nothing."""
        ids = [line.document.erp_id for line in lines]
        [invoice] = self.company.tryton.finance.invoice_lines(self.erp_company, on=MONTH.last_day, line_ids=ids)
        return invoice

    def post(self, *invoices: str) -> None:
        """Post drafts."""
        self.company.tryton.finance.post_invoices(self.erp_company, invoices)

    def cancel(self, invoice: str) -> None:
        """Cancel an invoice."""
        self.company.tryton.finance.cancel_invoice(self.erp_company, invoice)

    def make_draft_again(self, invoice: str) -> None:
        """Make a draft of it again."""
        self.company.tryton.finance.make_draft_again(self.erp_company, invoice)

    def read(self) -> frozenset[str]:
        """Read September back; answers with what is due then."""
        runtime = self.company.runtime
        read_back.read_back(runtime, SEPTEMBER)
        with runtime.engine.connect() as connection:
            return work_heads.dirty_objects(connection, runtime.settings.tenant, SEPTEMBER)

    def edit(self, minutes: int) -> None:
        """Whoever did it corrects its length, and all is brought into line."""
        self.people.edit_entry(self.entry_id, minutes=minutes)
        self.company.sync()

    def difference(self) -> Difference:
        """What reconciliation says about it now."""
        rows = reconciliation.reconcile(self.company.runtime, SEPTEMBER).rows
        [found] = [row.difference for row in rows if row.object_id == self.object_id]
        return found

    def states(self) -> Counter[State]:
        """The states of the lines that it was billed on."""
        postings = self.company.runtime.postings.of_objects([self.object_id])
        return Counter(p.state for p in postings if p.effect_type is BILLING and p.leg is Leg.ORIGINAL)


# By both kinds, whose companies have their work from the same sources.
_used: set[str] = set()


@pytest.fixture
def work(company: Company, people: Actors) -> Iterator[Work]:
    """An entry that no test has used before. In the end nothing is left to do about anybody's work."""
    demo = company.sandbox.company
    mine = approved_entries(demo, UK)
    entry = next(e for e in mine if e.start.month == MONTH.month and e.id not in _used)
    _used.add(entry.id)
    project = next(p for p in demo.projects if p.psa_id == entry.project_id)
    email = next(p.email for p in demo.people if p.psa_id == entry.user_id)
    per_hour = project.staff.get(email) or project.rate
    assert per_hour is not None
    work = Work(company, people, entry.id, per_hour)
    [line] = [line for line in work.standing() if line.document.document is None]
    assert work.net() == work.worth, f"{line} is not what was billed"
    yield work
    assert work.read() == frozenset(), "something is due although nothing has happened"
    assert work.net() == work.worth
    assert not company.sync().keys() - {"hold"}, "the second plan does something"
    assert work.net() == work.worth
    assert {row.difference for row in reconciliation.reconcile(company.runtime, SEPTEMBER).rows} <= {
        Difference.NOT_INVOICED,
        Difference.MATCHED,
        Difference.HELD,
    }
    minutes = reconciliation.reconcile(company.runtime, SEPTEMBER).minutes
    assert minutes.billed + minutes.non_billable + minutes.held + minutes.pending == minutes.approved
    assert minutes.pending == 0


def test_a_draft_again_is_billed_once(work: Work) -> None:
    """What was billed in its place would be billed beside it: the customer would pay for every hour twice."""
    [line] = work.standing()
    invoice = work.invoice(line)
    work.cancel(invoice)
    assert work.read() == {work.object_id}
    done = work.company.sync()
    assert (done["void"], done["create"]) == (1, 1), "its line alone: the cost is still there"
    assert (len(work.lines()), work.net()) == (2, work.worth)
    work.make_draft_again(invoice)
    assert work.net() == 2 * work.worth
    assert work.read() == {work.object_id}
    assert work.difference() is Difference.PENDING
    done = work.company.sync()
    assert (done["restore"], done["withdraw"], done["create"], done["reverse"]) == (1, 1, 0, 0)
    [left] = work.lines()
    assert left.document.erp_id == line.document.erp_id, "the one on finance's draft stays"
    assert left.document.document is not None
    assert work.read() == frozenset()
    assert work.difference() is Difference.NOT_INVOICED
    assert work.states() == {State.VERIFIED: 1, State.WITHDRAWN: 1}
    # It is an invoice like others from here on.
    work.post(invoice)
    work.read()
    assert work.difference() is Difference.MATCHED
    work.edit(47)
    assert sorted(line.document.minutes > 0 for line in work.standing()) == [False, True, True]


@with_one_kind
def test_cancelled_and_a_draft_again_between_two_readings_is_as_if_nothing_had_happened(work: Work) -> None:
    """A rebill that nobody asked for would be on its way."""
    [line] = work.standing()
    invoice = work.invoice(line)
    work.read()
    work.cancel(invoice)
    work.make_draft_again(invoice)
    assert work.read() == frozenset()
    assert work.company.sync().keys() <= {"hold"}
    [left] = work.lines()
    assert left.document.erp_id == line.document.erp_id


@with_one_kind
def test_a_draft_again_before_the_rebill_was_sent_calls_it_off(work: Work) -> None:
    """Planned while the invoice was cancelled; sent a minute later it would be billed twice."""
    [line] = work.standing()
    invoice = work.invoice(line)
    work.cancel(invoice)
    work.read()
    plan = sync.plan_and_apply(work.company.runtime, SEPTEMBER, created_by="test", contracts=[UK])
    assert plan.actions()["create", "billing_line"] == 1
    work.make_draft_again(invoice)
    assert work.read() == {work.object_id}
    done = work.company.sync()
    assert (done["restore"], done["cancel"], done["create"]) == (1, 1, 0)
    [left] = work.lines()
    assert left.document.erp_id == line.document.erp_id


@with_one_kind
def test_a_draft_again_and_what_took_its_place_are_both_posted(work: Work) -> None:
    """Nothing can be withdrawn any more: one of the two is credited, with its own tax."""
    [line] = work.standing()
    first = work.invoice(line)
    work.cancel(first)
    work.read()
    work.company.sync()
    work.make_draft_again(first)
    [other] = [line for line in work.standing() if line.document.document is None]
    work.post(first, work.invoice(other))
    assert work.net() == 2 * work.worth
    assert work.read() == {work.object_id}
    done = work.company.sync()
    assert (done["restore"], done["reverse"], done["create"], done["withdraw"]) == (1, 1, 0, 0)
    taxes = [line.document.tax_amount for line in work.standing()]
    assert sum(tax or 0 for tax in taxes) == taxes[0] != 0, "what was credited took its tax with it"


@with_one_kind
def test_a_draft_again_of_work_that_was_edited_meanwhile_is_taken_back(work: Work) -> None:
    """The old hours would be billed beside the new ones."""
    [line] = work.standing()
    invoice = work.invoice(line)
    work.cancel(invoice)
    work.read()
    work.edit(71)
    assert work.net() == work.worth
    work.make_draft_again(invoice)
    assert work.net() > work.worth
    assert work.read() == {work.object_id}
    assert work.company.sync()["reverse"] == 1


@with_one_kind
def test_a_draft_again_from_which_finance_takes_the_line_is_billed_once(work: Work) -> None:
    """It stands alone again, as what was billed in its place does: one of them must go."""
    [line] = work.standing()
    invoice = work.invoice(line)
    work.cancel(invoice)
    work.read()
    work.company.sync()
    work.make_draft_again(invoice)
    work.company.tryton.finance.take_off_invoice(work.erp_company, invoice, [line.document.erp_id])
    assert work.net() == 2 * work.worth
    assert work.read() == {work.object_id}
    assert work.company.sync()["withdraw"] == 1
    [left] = work.lines()
    assert left.document.document is None


@with_one_kind
def test_a_cancelled_draft_that_finance_deletes_leaves_what_was_billed_in_its_place(work: Work) -> None:
    """Its line goes with it: taken for lost, it would be asked for, or billed a third time."""
    [line] = work.standing()
    invoice = work.invoice(line)
    work.cancel(invoice)
    work.read()
    work.company.sync()
    work.company.tryton.finance.delete_invoice(work.erp_company, invoice)
    assert work.read() == frozenset()
    [left] = work.lines()
    assert left.document.erp_id != line.document.erp_id
    assert work.difference() is Difference.NOT_INVOICED
    assert work.company.open_items("document_missing") == set()


@with_one_kind
def test_what_was_posted_and_cancelled_is_no_draft_again(work: Work) -> None:
    """Tryton books the opposite and keeps the invoice as it is: its work is billed anew, and stays so."""
    [line] = work.standing()
    invoice = work.invoice(line)
    work.post(invoice)
    work.read()
    work.cancel(invoice)
    with pytest.raises(UserRefusedError):
        work.make_draft_again(invoice)
    assert work.read() == {work.object_id}
    done = work.company.sync()
    assert (done["void"], done["create"], done["reverse"]) == (1, 1, 0)
    assert work.read() == frozenset()


@with_one_kind
def test_an_invoice_that_is_cancelled_after_its_line_was_credited_takes_the_credit_with_it(work: Work) -> None:
    """The credit would stand for nothing: the customer would get back what was never asked of them."""
    [line] = work.standing()
    invoice = work.invoice(line)
    work.post(invoice)
    work.read()
    work.edit(83)
    [credit, new] = [line for line in work.standing() if line.document.document is None]
    assert (credit.document.amount, work.net()) == (-line.document.amount, work.worth)
    # The credit is on a posted credit note already, so that it cannot just be withdrawn.
    work.post(work.invoice(credit))
    work.cancel(invoice)
    assert work.net() == work.worth + credit.document.amount.amount
    assert work.read() == {work.object_id}
    assert work.company.sync()["reverse"] == 1
    assert new.document.erp_id in {line.document.erp_id for line in work.standing()}, "what is right is left alone"


def test_a_draft_credit_of_what_is_cancelled_is_withdrawn(work: Work) -> None:
    """As before, with the credit not on a document yet: no trace of it needs to reach the customer."""
    [line] = work.standing()
    invoice = work.invoice(line)
    work.post(invoice)
    work.read()
    work.edit(83)
    work.cancel(invoice)
    assert work.read() == {work.object_id}
    done = work.company.sync()
    assert (done["withdraw"], done["reverse"]) == (1, 0)
    [left] = work.standing()
    assert left.document.minutes == 83


@pytest.mark.parametrize("posted", [False, True])
def test_a_cancelled_credit_note_is_made_again(work: Work, *, posted: bool) -> None:
    """What it took back counts again: the old hours would be paid beside the new ones."""
    [line] = work.standing()
    work.post(work.invoice(line))
    work.read()
    work.edit(83)
    credit = next(line for line in work.standing() if line.document.minutes < 0)
    note = work.invoice(credit)
    if posted:
        work.post(note)
    work.cancel(note)
    assert work.net() == work.worth + line.document.amount.amount
    assert work.read() == {work.object_id}
    done = work.company.sync()
    assert (done["void"], done["reverse"], done["create"]) == (1, 1, 0)
    assert len({line.key for line in work.lines() if line.document.minutes < 0}) == 2, (
        "it has a key of its own, or the cancelled one would be found"
    )
    if posted:
        return
    # And a draft again, it takes back once.
    assert work.read() == frozenset()
    work.make_draft_again(note)
    assert work.net() == work.worth - line.document.amount.amount
    assert work.read() == {work.object_id}
    done = work.company.sync()
    assert (done["restore"], done["withdraw"]) == (1, 1)


@with_one_kind
def test_a_cancelled_credit_note_of_finance_s_own_is_no_credit(work: Work) -> None:
    """Its hours were billed anew; with the credit gone, the customer would pay for them twice. And edge case 7: of what
    is credited by hand just the credited minutes are billed again.
    """
    [line] = work.standing()
    invoice, runtime = work.invoice(line), work.company.runtime
    work.post(invoice)
    finance = work.company.tryton.finance
    note = finance.credit_invoice(work.erp_company, invoice, {line.document.erp_id: 21}, on=MONTH.last_day)
    work.read()
    reconciliation.reconcile(runtime, SEPTEMBER)
    assert work.company.open_items("credited_in_erp") == {work.object_id}
    credit = request_credit(
        runtime.engine,
        runtime.scope,
        work.entry_id,
        minutes=21,
        rebill=True,
        in_erp=True,
        reason="wrong week",
        requested_by="Ada",
        now=runtime.clock(),
    )
    assert work.company.open_items("credited_in_erp") == set()
    assert work.company.sync()["create"] == 1
    again = f"{work.object_id}#{credit.id}"
    [anew] = work.lines(again)
    by_hand = work.credited(line)
    assert (by_hand.document.minutes, by_hand.document.amount) == (-anew.document.minutes, -anew.document.amount)
    assert anew.document.minutes == 21
    assert work.read() == frozenset()
    work.cancel(note)
    assert work.read() == {work.object_id}
    assert work.company.sync()["withdraw"] == 1
    assert work.lines(again) == []
    # A draft again, it is the credit that was classified.
    assert work.read() == frozenset()
    work.make_draft_again(note)
    assert work.read() == {work.object_id}
    assert work.company.sync()["create"] == 1
    assert [b.document.minutes for b in work.lines(again)] == [21]
    # So that what is left behind is what the others begin with.
    work.cancel(note)
    work.read()
    work.company.sync()
