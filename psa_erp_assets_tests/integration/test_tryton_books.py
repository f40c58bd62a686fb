"""Master data and read-back of a real Tryton in which finance has been at work."""

import datetime as dt
from collections.abc import Mapping
from decimal import Decimal

import pytest

from psa_erp_assets.adapters.connectors.tryton.read_back import AccountBalance, BookedDocument, ReadBack
from psa_erp_assets.adapters.connectors.tryton.rpc import UserRefusedError
from psa_erp_assets.domain.calendar import ServiceMonth
from psa_erp_assets.domain.effects import (
    BilledTo,
    BillingLine,
    CostTransaction,
    Effect,
    IntercompanyCharge,
    RevenueEntry,
    RevenueKind,
    reversal_of,
)
from psa_erp_assets.domain.erp import Accepted, Create
from psa_erp_assets.domain.money import Money
from psa_erp_assets.domain.values import replace
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


def create(tryton: RunningTryton, effect: Effect, name: str) -> tuple[str, str]:
    """Its key and id."""
    key = key_of("books", name)
    answer = tryton.erp.submit([Create(key=key, effect=effect)])
    assert isinstance(answer, Accepted), answer
    return key, answer.erp_ids[key]


def earned(tryton: RunningTryton, amount: str, day: dt.date = END, **changes: object) -> RevenueEntry:
    """Pounds that a contract earned."""
    entry = RevenueEntry(
        erp_company=tryton.companies["UK"],
        analytic=tryton.project("UK"),
        service_date=day,
        amount=Money(Decimal(amount), "GBP"),
        description="CON-001 main: earned",
        kind=RevenueKind.RECOGNITION,
    )
    return replace(entry, **changes)


def instalment(tryton: RunningTryton, amount: str, day: dt.date = END) -> BillingLine:
    """Pounds that are billed on account of what is earned at other times."""
    price = Money(Decimal(amount), "GBP")
    on_account = BilledTo.CONTRACT_BALANCE
    return replace(uk_line(tryton, day), minutes=0, per_hour=None, amount=price, employee_name="", account=on_account)


def billed(tryton: RunningTryton, *months: ServiceMonth) -> Mapping[str, BookedDocument]:
    """The UK company's lines by their ids in Tryton."""
    lines = ReadBack(tryton.rpc).billing_lines(tryton.companies["UK"], min(months), max(months))
    return {line.document.erp_id: line for line in lines}


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
    payments = [p for p in books.payments(company) if p.invoice_id == invoice]
    assert [(p.paid_on, p.amount, p.currency) for p in payments] == [
        (dt.date(2026, 10, 5), Decimal("100.00"), "GBP"),
        (dt.date(2026, 10, 6), Decimal("80.04"), "GBP"),
    ]
    assert len({p.erp_id for p in payments} | {p.number for p in payments}) == 4, "each has its id and its entry"

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


def test_revenue_entries_and_charges_are_read_apart_from_each_other_and_from_cost(tryton: RunningTryton):
    """All are journal entries; one counted among the others would be a margin, a debt or revenue that is not there."""
    books, uk, november = ReadBack(tryton.rpc), tryton.companies["UK"], ServiceMonth(2026, 11)
    day = november.last_day
    recognized = earned(tryton, "100.01", day)
    lost = replace(recognized, kind=RevenueKind.LOSS_PROVISION, amount=Money(Decimal("-7.00"), "GBP"))
    charged = IntercompanyCharge(
        erp_company=uk,
        partner_company=tryton.companies["US"],
        employee_name="Ada Jones",
        service_date=day,
        minutes=95,
        per_hour=Money(Decimal(60), "GBP"),
        amount=Money(Decimal(95), "GBP"),
        description="workshop",
    )
    cost = CostTransaction(
        erp_company=uk,
        analytic=tryton.project("UK"),
        employee_name="Ada Jones",
        service_date=day,
        minutes=30,
        per_hour=Money(Decimal(60), "GBP"),
        amount=Money(Decimal(30), "GBP"),
        description="workshop",
    )
    keys = {name: create(tryton, e, f"apart {name}") for name, e in
            {"recognized": recognized, "lost": lost, "charged": charged, "cost": cost}.items()}  # fmt: skip
    tryton.finance.post_moves(uk, [keys["recognized"][1]])

    revenue = {b.key: b for b in books.revenue_entries(uk, november, november)}
    assert {key: (b.document.amount, b.analytic) for key, b in revenue.items()} == {
        keys["recognized"][0]: (recognized.amount, recognized.analytic),
        keys["lost"][0]: (lost.amount, lost.analytic),
    }
    assert revenue[keys["recognized"][0]].document.posted
    assert not revenue[keys["lost"][0]].document.posted
    [charge] = books.intercompany_charges(uk, november, november)
    assert (charge.key, charge.document.amount, charge.document.minutes) == (keys["charged"][0], charged.amount, 95)
    assert (charge.analytic, charge.party) == (None, None)
    assert [b.key for b in books.cost_transactions(uk, november, november)] == [keys["cost"][0]]
    assert books.revenue_entries(uk, OCTOBER, OCTOBER) == books.intercompany_charges(uk, OCTOBER, OCTOBER) == []


def test_a_revenue_entry_made_by_hand_is_read_with_its_amount(tryton: RunningTryton):
    """An accountant's own accrual belongs to what was earned; unseen, the month would be recognized twice."""
    uk, month = tryton.companies["UK"], ServiceMonth(2026, 12)
    _, erp_id = create(tryton, earned(tryton, "50.00", month.last_day), "to be unstamped")
    tryton.rpc.call("model.account.move.write", [int(erp_id)], {"description": "accrual"})
    [booked] = ReadBack(tryton.rpc).revenue_entries(uk, month, month)
    assert (booked.key, booked.document.erp_id, booked.document.amount.amount) == (None, erp_id, Decimal("50.00"))


def test_the_contract_balance_is_what_was_earned_less_what_was_billed(tryton: RunningTryton):
    """The balance sheet's contract asset or liability: on another account it would be neither, or revenue twice."""
    de, may, books = tryton.companies["DE"], ServiceMonth(2026, 5), ReadBack(tryton.rpc)
    here = {"erp_company": de, "analytic": tryton.project("DE"), "service_date": may.last_day}
    revenue = replace(earned(tryton, "1000.01"), amount=Money(Decimal("1000.01"), "EUR"), **here)
    line = replace(
        instalment(tryton, "600.00"), amount=Money(Decimal(600), "EUR"), tax=tryton.tax("DE USt 19%"), **here
    )
    _, earned_id = create(tryton, revenue, "earned")
    assert books.general_ledger(de, may) == {
        "1250": AccountBalance(posted=Decimal(0), draft=Decimal("1000.01")),
        "4000": AccountBalance(posted=Decimal(0), draft=Decimal("-1000.01"), kind="revenue"),
    }
    tryton.finance.post_moves(de, [earned_id])
    _, line_id = create(tryton, line, "instalment")
    tryton.finance.post_invoices(de, tryton.finance.invoice_lines(de, on=may.last_day, line_ids=[line_id]))

    ledger = books.general_ledger(de, may)
    kinds = {code: balance.kind for code, balance in ledger.items() if balance.kind is not None}
    assert kinds == {"1200": "receivable", "2200": "tax", "4000": "revenue"}
    before = books.opening_balances(de, may)
    assert books.opening_balances(de, may.next()) == {
        code: AccountBalance(
            posted=balance.posted + (before[code].posted if code in before else 0),
            draft=balance.draft + (before[code].draft if code in before else 0),
            kind=balance.kind,
        )
        for code, balance in ledger.items()
    } | {code: balance for code, balance in before.items() if code not in ledger}
    assert {code: balance.posted for code, balance in ledger.items()} == {
        "1200": Decimal("714.00"),
        "1250": Decimal("400.01"),
        "2200": Decimal("-114.00"),
        "4000": Decimal("-1000.01"),
    }
    assert {balance.draft for balance in ledger.values()} == {0}
    [account] = tryton.rpc.search("account.account", [["code", "=", "1250"], ["company", "=", int(de)]], ["deferral"])
    assert account["deferral"], "carried over into the next year"


@pytest.mark.parametrize("posted_first", [False, True])
def test_the_lines_of_a_cancelled_invoice_are_not_billed(tryton: RunningTryton, *, posted_first: bool):
    """Taken as billed, the work on a cancelled invoice would never be invoiced again."""
    uk, finance = tryton.companies["UK"], tryton.finance
    key, line_id = create(tryton, uk_line(tryton), f"cancelled {posted_first}")
    [invoice] = finance.invoice_lines(uk, on=END, line_ids=[line_id])
    if posted_first:
        finance.post_invoices(uk, [invoice])
    finance.cancel_invoice(uk, invoice)
    line = billed(tryton, SEPTEMBER)[line_id]
    assert (line.key, line.document.document_state, line.document.posted) == (key, "cancelled", False)
    [booked] = [i for i in ReadBack(tryton.rpc).invoices(uk) if i.erp_id == invoice]
    assert (booked.state, booked.lines, booked.net) == ("cancelled", 1, Decimal("150.03"))


def test_a_part_of_an_invoice_credited_by_hand_is_led_back_to_its_lines(tryton: RunningTryton):
    """Only the credited hours may become billable again (odoo#280601): without the link all would, or none."""
    uk, finance = tryton.companies["UK"], tryton.finance
    keys, ids = zip(*(create(tryton, uk_line(tryton), f"partly {n}") for n in range(3)), strict=True)
    [invoice] = finance.invoice_lines(uk, on=END, line_ids=ids)
    finance.post_invoices(uk, [invoice])
    credit_note = finance.credit_invoice(uk, invoice, {ids[0]: 25, ids[2]: 60}, on=END)
    finance.post_invoices(uk, [credit_note])

    lines = billed(tryton, SEPTEMBER)
    taken_back = {line.credits_key: line for line in lines.values() if line.credits_key is not None}
    assert {key: line.document.minutes for key, line in taken_back.items()} == {keys[0]: -25, keys[2]: -60}
    assert taken_back[keys[0]].document.amount == Money(Decimal("-62.51"), "GBP")
    assert all(
        (line.key, line.document.posted, line.document_date) == (None, True, END) for line in taken_back.values()
    )
    assert all(lines[line_id].credits_key is None and lines[line_id].document.posted for line_id in ids)
    booked = {i.erp_id: i for i in ReadBack(tryton.rpc).invoices(uk)}
    assert (booked[invoice].lines, booked[invoice].net, booked[invoice].tax) == (3, Decimal("450.09"), Decimal("90.02"))
    assert (booked[credit_note].lines, booked[credit_note].net) == (2, Decimal("-212.54"))


def test_an_invoice_that_was_refunded_is_in_the_books_with_its_credit(tryton: RunningTryton):
    """Tryton calls it cancelled; read so, its credit note would count against nothing and the work be billed twice."""
    uk, finance = tryton.companies["UK"], tryton.finance
    key, line_id = create(tryton, uk_line(tryton), "refunded")
    [invoice] = finance.invoice_lines(uk, on=END, line_ids=[line_id])
    finance.post_invoices(uk, [invoice])
    finance.credit_invoice(uk, invoice, on=END, refund=True)
    lines = billed(tryton, SEPTEMBER)
    [credit] = [line for line in lines.values() if line.credits_key == key]
    assert (lines[line_id].document.document_state, lines[line_id].document.posted) == ("paid", True)
    assert (credit.document.posted, credit.document.minutes) == (True, -60)
    assert credit.document.tax_amount == Decimal("-30.01")


def test_a_line_entered_by_hand_without_hours_has_no_minutes(tryton: RunningTryton):
    """One unit is not one hour: it would be billed time that nobody worked."""
    de = tryton.companies["DE"]
    by_hand = tryton.finance.add_line(
        de, party=tryton.parties["CUS-0003"], currency="EUR", amount=Decimal("9.99"), description="courier"
    )
    entered = ServiceMonth.of(dt.datetime.now(dt.UTC).date())
    lines = {b.document.erp_id: b for b in ReadBack(tryton.rpc).billing_lines(de, entered, entered)}
    assert lines[by_hand].document.minutes == 0


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
