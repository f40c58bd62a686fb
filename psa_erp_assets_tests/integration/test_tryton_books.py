"""Master data and read-back of a real Tryton in which finance has been at work."""

import datetime as dt
from decimal import Decimal

import pytest

from psa_erp_assets.adapters.connectors.tryton.read_back import ReadBack
from psa_erp_assets.adapters.connectors.tryton.rpc import UserRefusedError
from psa_erp_assets.domain.calendar import ServiceMonth
from psa_erp_assets.domain.effects import BillingLine, CostTransaction, reversal_of
from psa_erp_assets.domain.erp import Accepted, Create
from psa_erp_assets.domain.money import Money
from psa_erp_assets.sandbox.tryton.build import Kind
from psa_erp_assets_tests.support.tryton import MakeTryton, RunningTryton, key_of

pytestmark = pytest.mark.tryton

SEPTEMBER, OCTOBER = ServiceMonth(2026, 9), ServiceMonth(2026, 10)
END = dt.date(2026, 9, 30)


@pytest.fixture(scope="module")
def tryton(make_tryton: MakeTryton) -> RunningTryton:
    """The kind with the least help from the server."""
    return make_tryton(Kind.STOCK)


def uk_line(tryton: RunningTryton, day: dt.date = dt.date(2026, 9, 14)) -> BillingLine:
    """An hour at 150 pounds with 20 % tax."""
    return BillingLine(
        erp_company=tryton.companies["UK"],
        party=tryton.parties["CUS-0002"],
        analytic=tryton.project("UK"),
        employee_name="Ada Jones",
        service_date=day,
        minutes=60,
        per_hour=Money(Decimal("150.03"), "GBP"),
        amount=Money(Decimal("150.03"), "GBP"),
        tax=tryton.tax("UK VAT 20%"),
        description="workshop",
    )


def create(tryton: RunningTryton, effect: BillingLine | CostTransaction, name: str) -> tuple[str, str]:
    """Its key and id."""
    key = key_of("books", name)
    answer = tryton.erp.submit([Create(key=key, effect=effect)])
    assert isinstance(answer, Accepted), answer
    return key, answer.erp_ids[key]


def test_master_data_are_all_there_with_what_is_retired(tryton: RunningTryton):
    """What is missing here is held as unmapped; what is retired must be seen as retired."""
    master = tryton.master
    assert [(c.code, c.currency) for c in sorted(master.companies(), key=lambda c: c.code)] == [
        ("ENTITY-DE", "EUR"),
        ("ENTITY-UK", "GBP"),
        ("ENTITY-US", "USD"),
    ]
    assert {p.code: p.countries for p in master.parties()}["CUS-0001"] == ("US",)
    assert any(not tax.active for tax in master.taxes())
    periods = [p for p in master.periods() if p.company == tryton.companies["DE"]]
    assert len(periods) == 12
    assert {p.state for p in periods} == {"open"}


def test_a_currency_without_a_rate_has_none(tryton: RunningTryton):
    """A missing rate used as 1 turns kronor into dollars; it must be seen as missing."""
    rates = tryton.master.fx_rates("USD")
    assert {r.to_currency for r in rates} >= {"GBP", "EUR"}
    assert not any(r.to_currency == "SEK" for r in rates)
    assert all(0 < r.rate != 1 and r.from_currency == "USD" for r in rates)


def test_an_archived_project_is_read_as_closed(tryton: RunningTryton):
    """Left out, it would look as if finance had never made it."""
    project = tryton.project("DE")
    company = tryton.companies["DE"]
    tryton.finance.set_project_archived(company, project, archived=True)
    assert {p.id: p.open for p in tryton.master.projects()}[project] is False
    tryton.finance.set_project_archived(company, project, archived=False)
    assert {p.id: p.open for p in tryton.master.projects()}[project] is True


def test_a_line_and_its_credit_are_invoiced_with_symmetric_tax_and_paid(tryton: RunningTryton):
    """Reversal plus original must be zero in net and tax, and payments must show as such."""
    company, finance = tryton.companies["UK"], tryton.finance
    original = uk_line(tryton)
    original_key, line_id = create(tryton, original, "original")
    [invoice] = finance.invoice_lines(company, on=END, line_ids=[line_id])
    finance.post_invoices(company, [invoice])
    credit_key, credit_id = create(tryton, reversal_of(original), "credit")
    [credit_note] = finance.invoice_lines(company, on=END, line_ids=[credit_id])
    finance.post_invoices(company, [credit_note])
    finance.register_payment(company, invoice, on=dt.date(2026, 10, 5), amount=Decimal(100))

    books = ReadBack(tryton.rpc)
    invoices = {i.erp_id: i for i in books.invoices(company)}
    paid, credited = invoices[invoice], invoices[credit_note]
    assert (paid.net, paid.tax, paid.total) == (Decimal("150.03"), Decimal("30.01"), Decimal("180.04"))
    assert (credited.net, credited.tax, credited.total) == (-paid.net, -paid.tax, -paid.total)
    assert (paid.state, paid.open_amount, paid.currency) == ("posted", Decimal("80.04"), "GBP")
    assert paid.number is not None

    finance.register_payment(company, invoice, on=dt.date(2026, 10, 6))
    settled = next(i for i in books.invoices(company) if i.erp_id == invoice)
    assert (settled.state, settled.open_amount) == ("paid", 0)

    lines = {b.key: b for b in books.billing_lines(company, SEPTEMBER, SEPTEMBER)}
    assert lines[original_key].document.tax_amount == Decimal("30.01")
    assert lines[credit_key].document.tax_amount == Decimal("-30.01")
    assert (lines[original_key].document.document, lines[original_key].document_date) == (paid.number, END)
    assert lines[original_key].document.posted


def test_lines_entered_by_hand_are_read_like_all_others(tryton: RunningTryton):
    """Reconciliation must see what finance billed past the sync, on a draft, on an invoice and before either."""
    company, finance, books = tryton.companies["DE"], tryton.finance, ReadBack(tryton.rpc)
    party = tryton.parties["CUS-0003"]
    by_hand = [
        finance.add_line(company, party=party, currency="EUR", amount=Decimal(f"{n}.50"), description="by hand")
        for n in (10, 20)
    ]
    finance.invoice_lines(company, on=dt.date(2026, 10, 15), line_ids=by_hand[:1])
    in_october = {b.document.erp_id: b for b in books.billing_lines(company, OCTOBER, OCTOBER)}
    assert by_hand[0] in in_october
    assert (in_october[by_hand[0]].key, in_october[by_hand[0]].party) == (None, party)
    assert in_october[by_hand[0]].document.amount == Money(Decimal("10.50"), "EUR")
    entered = ServiceMonth.of(dt.datetime.now(dt.UTC).date())
    assert by_hand[1] in {b.document.erp_id for b in books.billing_lines(company, entered, entered)}


def test_what_finance_changed_is_read_as_it_is_now(tryton: RunningTryton):
    """Drift is found by reading the ERP, not by remembering what was sent."""
    company, books = tryton.companies["UK"], ReadBack(tryton.rpc)
    key, erp_id = create(tryton, uk_line(tryton, dt.date(2026, 10, 2)), "changed")
    tryton.finance.change_line_price(company, erp_id, Decimal("99.00"))
    [changed] = [b for b in books.billing_lines(company, OCTOBER, OCTOBER) if b.key == key]
    assert changed.document.amount.amount == Decimal("99.00")
    tryton.finance.delete_line(company, erp_id)
    assert key not in {b.key for b in books.billing_lines(company, OCTOBER, OCTOBER)}


def test_cost_entries_are_read_with_their_project_and_month(tryton: RunningTryton):
    """A cost in the wrong month or on no project distorts margins silently."""
    company, books = tryton.companies["US"], ReadBack(tryton.rpc)
    effect = CostTransaction(
        erp_company=company,
        analytic=tryton.project("US"),
        employee_name="Ada Jones",
        service_date=dt.date(2026, 9, 30),
        minutes=95,
        per_hour=Money(Decimal(60), "USD"),
        amount=Money(Decimal(95), "USD"),
        description="workshop",
    )
    key, erp_id = create(tryton, effect, "cost")
    tryton.finance.post_moves(company, [erp_id])
    [booked] = [b for b in books.cost_transactions(company, SEPTEMBER, SEPTEMBER) if b.key == key]
    assert (booked.document.amount, booked.document.minutes) == (effect.amount, 95)
    assert (booked.analytic, booked.document.posted) == (effect.analytic, True)
    assert key not in {b.key for b in books.cost_transactions(company, OCTOBER, OCTOBER)}
    assert key in {b.key for b in books.cost_transactions(company, SEPTEMBER, OCTOBER)}


def test_a_period_with_drafts_in_it_does_not_close(tryton: RunningTryton):
    """The month's end waits for the sync's drafts: finance posts them, then closes."""
    company = tryton.companies["US"]
    june = ServiceMonth(2026, 6)
    effect = CostTransaction(
        erp_company=company,
        analytic=tryton.project("US"),
        employee_name="Ada Jones",
        service_date=june.first_day,
        minutes=60,
        per_hour=Money(Decimal(60), "USD"),
        amount=Money(Decimal(60), "USD"),
        description="workshop",
    )
    create(tryton, effect, "june")
    with pytest.raises(UserRefusedError, match="must post"):
        tryton.finance.close_period(company, june)
    tryton.finance.post_moves(company, tryton.finance.draft_moves(company, june))
    tryton.finance.close_period(company, june)
    assert {p.name: p.state for p in tryton.master.periods() if p.company == company}["2026-06"] == "closed"


def test_a_restarted_server_answers_at_the_same_address(tryton: RunningTryton):
    """Clients keep the address that they have; a crash must not need another configuration."""
    companies = tryton.master.companies()
    tryton.server.kill()
    tryton.server.resume()
    assert tryton.master.companies() == companies
