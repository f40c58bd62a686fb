"""Finance breaks one line in a real Tryton: reconciliation names the break, says what to do, and is right again after.

Each test begins with books that reconcile and leaves them so.
"""

import datetime as dt
import uuid
from collections.abc import Callable, Iterator
from decimal import Decimal

import pytest

from psa_erp_assets.adapters.store import exceptions
from psa_erp_assets.domain.access import Actor, Grant, Role
from psa_erp_assets.domain.calendar import ServiceMonth
from psa_erp_assets.domain.effects import EffectType
from psa_erp_assets.domain.reconcile import NEXT_STEPS, Difference, Reconciled
from psa_erp_assets.sandbox.serve import SandboxServer, running_sandbox
from psa_erp_assets.sandbox.tryton.build import Kind
from psa_erp_assets.services import exception_work, read_back, reconciliation
from psa_erp_assets.services.exception_work import Chosen, Work
from psa_erp_assets_tests.support.small_company import approved_entries, small_company
from psa_erp_assets_tests.support.sync import Company, Open
from psa_erp_assets_tests.support.tryton import MakeTryton

pytestmark = pytest.mark.tryton

UK = "CTR-0022"
SEPTEMBER = ("UK", "2026-09")

Undo = Callable[[], object]
Act = Callable[[Company, str], Undo]


@pytest.fixture(scope="module")
def sandbox() -> Iterator[SandboxServer]:
    with running_sandbox(small_company(per_contract=5)) as server:
        yield server


@pytest.fixture(scope="module", params=[Kind.COMPANION, Kind.STOCK])
def company(
    request: pytest.FixtureRequest, sandbox: SandboxServer, make_tryton: MakeTryton, open_company: Open
) -> Company:
    """The small company, synchronized: all of its lines are drafts."""
    company = open_company(sandbox, make_tryton(request.param))
    company.sync()
    return company


@pytest.fixture
def entry(company: Company) -> str:
    """An entry of September that is billed by a draft line."""
    assert {row.difference for row in rows(company)} == {Difference.NOT_INVOICED}
    return f"time_entry:clockify:{approved_entries(company.sandbox.company, UK)[0].id}"


def rows(company: Company) -> list[Reconciled]:
    """Read back and reconciled anew."""
    read_back.read_back(company.runtime, SEPTEMBER)
    return list(reconciliation.reconcile(company.runtime, SEPTEMBER).rows)


def unexplained(company: Company) -> int:
    """What fails the gate, as the console counts it from the store."""
    found = reconciliation.differences(company.runtime.engine, company.runtime.scope, SEPTEMBER, go_on=lambda: True)
    assert found.complete
    return found.unexplained


def items(company: Company, code: str) -> list[int]:
    """The numbers of the open exception items of a code."""
    with company.runtime.engine.connect() as connection:
        found = exceptions.list_items(connection, company.runtime.settings.tenant, code=code)
    return [item["id"] for item in found]


def by(company: Company, who: str) -> Work:
    """Somebody who may do everything, at work."""
    runtime = company.runtime
    actor = Actor(id=who, name=who.title(), grants=frozenset(Grant(role) for role in Role))
    return Work(runtime.engine, runtime.scope, actor, runtime.clock())


def uk(company: Company) -> str:
    return company.tryton.companies["UK"]


def line_of(company: Company, entry: str) -> str:
    """The id of an entry's line in Tryton."""
    postings = company.runtime.postings.of_objects([entry])
    [erp_id] = [p.erp_id for p in postings if p.effect_type is EffectType.BILLING_LINE and p.erp_id is not None]
    return erp_id


def party_of(company: Company, entry: str) -> str:
    september = ServiceMonth(2026, 9)
    lines = company.runtime.erp_reader.billing_lines(uk(company), september, september)
    [party] = [line.party for line in lines if line.document.erp_id == line_of(company, entry)]
    assert party is not None
    return party


def change(company: Company, entry: str, **values: object) -> Undo:
    finance, line = company.tryton.finance, line_of(company, entry)
    before = finance.change_line(uk(company), line, **values)
    return lambda: finance.change_line(uk(company), line, **before)


def change_the_price(company: Company, entry: str) -> Undo:
    return change(company, entry, unit_price=Decimal("99.5000"))


def change_the_hours(company: Company, entry: str) -> Undo:
    return change(company, entry, quantity=0.5)


def move_within_the_month(company: Company, entry: str) -> Undo:
    return change(company, entry, taxes_date=dt.date(2026, 9, 30))


def move_to_another_month(company: Company, entry: str) -> Undo:
    return change(company, entry, taxes_date=dt.date(2026, 10, 12))


def give_it_to_another_customer(company: Company, entry: str) -> Undo:
    mine = party_of(company, entry)
    return change(company, entry, party=int(next(p for p in company.tryton.parties.values() if p != mine)))


def change_the_currency(company: Company, entry: str) -> Undo:
    [euro] = company.tryton.rpc.search("currency.currency", [["code", "=", "EUR"]], ["id"])
    return change(company, entry, currency=euro["id"])


def change_the_tax(company: Company, entry: str) -> Undo:
    taxed, free = (int(company.tryton.tax(name)) for name in ("UK VAT 20%", "UK VAT 0% export"))
    finance, line = company.tryton.finance, line_of(company, entry)

    def swap(gone: int, new: int) -> None:
        finance.change_line(uk(company), line, taxes=[["remove", [gone]], ["add", [new]]])

    swap(taxed, free)
    return lambda: swap(free, taxed)


def copy_it(company: Company, entry: str) -> Undo:
    copied = company.tryton.finance.copy_line(uk(company), line_of(company, entry))
    return lambda: company.tryton.finance.delete_line(uk(company), copied)


@pytest.mark.parametrize(
    ("act", "named"),
    [
        (change_the_price, Difference.MANUAL_CHANGE),
        (change_the_hours, Difference.MANUAL_CHANGE),
        (move_within_the_month, Difference.MANUAL_CHANGE),
        (move_to_another_month, Difference.MANUAL_CHANGE),
        (give_it_to_another_customer, Difference.MANUAL_CHANGE),
        (change_the_currency, Difference.FX),
        (change_the_tax, Difference.TAX),
        (copy_it, Difference.DUPLICATE),
    ],
)
def test_a_break_is_named_and_its_undoing_seen(company: Company, entry: str, act: Act, named: Difference) -> None:
    """Finance's change would be on the customer's invoice, or a right one would be called wrong for ever."""
    code = "posting_duplicate" if named is Difference.DUPLICATE else "posting_drift"
    undo = act(company, entry)
    found = {row.object_id: row for row in rows(company)}
    assert found[entry].difference is named
    assert found[entry].next_step == NEXT_STEPS[named]
    assert found[entry].changes
    assert [o for o, row in found.items() if row.difference is not Difference.NOT_INVOICED] == [entry]
    assert company.open_items(code) == {entry}
    assert unexplained(company) == 1
    undo()
    assert {row.difference for row in rows(company)} == {Difference.NOT_INVOICED}
    assert company.open_items(code) == set()
    assert unexplained(company) == 0


def test_a_line_by_hand_is_finance_s_own(company: Company, entry: str) -> None:
    """It would be blamed on the sync, or not be seen at all."""
    finance, party = company.tryton.finance, party_of(company, entry)
    line = finance.add_line(uk(company), party=party, currency="GBP", amount=Decimal("75.00"), description="Courier")
    finance.change_line(uk(company), line, taxes_date=dt.date(2026, 9, 20))
    [row] = [row for row in rows(company) if row.difference is not Difference.NOT_INVOICED]
    assert (row.difference, row.erp_amount, row.approved_amount) == (Difference.MANUAL_LINE, Decimal("75.00"), None)
    assert (row.explained, row.next_step) == (True, NEXT_STEPS[Difference.MANUAL_LINE])
    assert unexplained(company) == 0
    finance.delete_line(uk(company), line)


def test_a_line_under_a_key_that_nobody_sent_is_named(company: Company, entry: str) -> None:
    """Another installation, or a lost ledger, writes into these books."""
    finance, party = company.tryton.finance, party_of(company, entry)
    line = finance.add_line(uk(company), party=party, currency="GBP", amount=Decimal("75.00"), description="Whose?")
    stamp = f"psa-erp:{uuid.uuid4().hex} 2026-09-20 30min"
    finance.change_line(uk(company), line, taxes_date=dt.date(2026, 9, 20), note=stamp)
    [row] = [row for row in rows(company) if row.difference is not Difference.NOT_INVOICED]
    assert (row.difference, row.explained) == (Difference.UNKNOWN_KEY, False)
    assert company.open_items("posting_conflict") == {row.object_id}
    finance.delete_line(uk(company), line)


def test_a_deleted_line_is_missing_until_its_work_is_billed_anew(company: Company, entry: str) -> None:
    """Hours that are approved and on no line would never be paid."""
    company.tryton.finance.delete_line(uk(company), line_of(company, entry))
    found = {row.object_id: row for row in rows(company)}
    assert found[entry].difference is Difference.MISSING
    assert (found[entry].erp_amount, found[entry].next_step) == (Decimal(0), NEXT_STEPS[Difference.MISSING])
    assert company.open_items("document_missing") == {entry}
    assert unexplained(company) == 1
    company.sync()
    assert {row.object_id for row in rows(company) if not row.explained} == {entry}, (
        "nobody has said yet that it is due"
    )
    [item] = items(company, "document_missing")
    asked = exception_work.ask_new_key(by(company, "ann"), Chosen(ids=(item,)), "deleted by mistake")
    assert asked.request is not None
    exception_work.decide(by(company, "bob"), asked.request, approve=True, note="it is to be billed")
    done = company.sync()
    assert done["create"] == 1, "the line alone: its cost is still there"
    again = {row.object_id: row for row in rows(company)}
    assert {row.difference for row in again.values()} == {Difference.NOT_INVOICED}
    assert again[entry].erp_amount == again[entry].approved_amount
    assert company.open_items("document_missing") == set()
    assert unexplained(company) == 0
