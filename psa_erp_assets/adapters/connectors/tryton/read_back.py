"""Reads what a company's books hold, whoever put it there: the ERP's side of every reconciliation.

Nothing here knows what the sync has sent. Records entered by hand are read like all others, only without a key.
"""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from psa_erp_assets.adapters.connectors.tryton import documents
from psa_erp_assets.adapters.connectors.tryton.documents import KINDS
from psa_erp_assets.adapters.connectors.tryton.facts import Chart, Facts, Journal
from psa_erp_assets.adapters.connectors.tryton.reading import Reader
from psa_erp_assets.adapters.connectors.tryton.rpc import TrytonRpc
from psa_erp_assets.domain.calendar import ServiceMonth
from psa_erp_assets.domain.effects import EffectType
from psa_erp_assets.domain.erp import ErpDocument

_KINDS = ("receivable", "revenue")
"""Flags of Tryton's account types."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BookedDocument:
    """A document in the books. `key` is None for what was not made by the sync.

    `credits_key` is the key of the billing line that Tryton's own credit note made this one for: its minutes and
    amount are what finance took back. None for all else, also where the credited line has no key itself.
    """

    key: str | None
    document: ErpDocument
    party: str | None
    analytic: str | None
    document_date: dt.date | None
    description: str
    credits_key: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BookedInvoice:
    """A customer invoice or credit note. Amounts are in its currency; `open_amount` is what is not paid yet.

    `lines` is the number of lines that have an amount. A cancelled one keeps its amounts.
    """

    erp_id: str
    erp_company: str
    number: str | None
    state: str
    party: str
    invoice_date: dt.date | None
    currency: str
    net: Decimal
    tax: Decimal
    total: Decimal
    open_amount: Decimal
    lines: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BookedPayment:
    """Money that was put to an invoice: the line of the journal entry, and the entry's number once it is posted.

    `amount` is in the invoice's currency, negative where money went back.
    """

    erp_id: str
    invoice_id: str
    number: str | None
    paid_on: dt.date
    amount: Decimal
    currency: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountBalance:
    """What a month's entries bring to an account, debits less credits: the posted ones, and the drafts beside them.

    `kind` is receivable, revenue or tax, for what invoices are booked on; None for other accounts.
    """

    posted: Decimal
    draft: Decimal
    kind: str | None = None


class ReadBack:
    """Reads the books of one company at a time; every method raises a TrytonError where the read failed."""

    def __init__(self, rpc: TrytonRpc, *, chart: Chart | None = None) -> None:
        self._rpc = rpc
        self.chart = chart or Chart()
        self._facts = Facts(rpc, self.chart)
        self._reader = Reader(rpc, self._facts)

    def billing_lines(self, erp_company: str, first: ServiceMonth, last: ServiceMonth) -> list[BookedDocument]:
        """All customer invoice lines whose service is in these months.

        A line without a service date counts by its invoice's date, else by the day on which it was entered.
        """
        start, end = first.first_day, last.last_day
        undated = ["taxes_date", "=", None]
        after_end = documents.utc_start(end + dt.timedelta(days=1))
        domain = [
            ["type", "=", "line"],
            ["OR", ["invoice.type", "=", "out"], [["invoice", "=", None], ["invoice_type", "=", "out"]]],
            [
                "OR",
                [["taxes_date", ">=", start], ["taxes_date", "<=", end]],
                [undated, ["invoice.invoice_date", ">=", start], ["invoice.invoice_date", "<=", end]],
                [
                    undated,
                    ["OR", ["invoice", "=", None], ["invoice.invoice_date", "=", None]],
                    ["create_date", ">=", documents.utc_start(start)],
                    ["create_date", "<", after_end],
                ],
            ],
        ]
        more = ("party", "invoice.party", "analytic_accounts.account", "description", "origin")
        found = self._reader.find(int(erp_company), EffectType.BILLING_LINE, domain, more_fields=more)
        credited = {line for f in found if (line := documents.credited_line(f.record)) is not None}
        keys = self._reader.keys(EffectType.BILLING_LINE, sorted(credited))
        return [
            BookedDocument(
                key=f.key,
                document=f.document,
                party=_text(invoice.get("party") or f.record["party"]),
                analytic=documents.analytic_of(f.record),
                document_date=invoice.get("invoice_date"),
                description=f.record["description"] or "",
                credits_key=keys.get(documents.credited_line(f.record) or 0),
            )
            for f in found
            for invoice in [f.record["invoice."] or {}]
        ]

    def cost_transactions(self, erp_company: str, first: ServiceMonth, last: ServiceMonth) -> list[BookedDocument]:
        """All entries of the cost journal booked in these months, drafts included."""
        return self._entries(EffectType.COST_TRANSACTION, Journal.COST, erp_company, first, last)

    def intercompany_charges(self, erp_company: str, first: ServiceMonth, last: ServiceMonth) -> list[BookedDocument]:
        """All entries of the intercompany journal booked in these months, drafts included."""
        return self._entries(EffectType.INTERCOMPANY_CHARGE, Journal.INTERCOMPANY, erp_company, first, last)

    def revenue_entries(self, erp_company: str, first: ServiceMonth, last: ServiceMonth) -> list[BookedDocument]:
        """All entries of the revenue journal booked in these months, drafts included."""
        return self._entries(EffectType.REVENUE_ENTRY, Journal.REVENUE, erp_company, first, last)

    def _entries(
        self, effect_type: EffectType, journal: Journal, erp_company: str, first: ServiceMonth, last: ServiceMonth
    ) -> list[BookedDocument]:
        domain = [
            ["journal", "=", self._facts.group().journals[journal]],
            ["date", ">=", first.first_day],
            ["date", "<=", last.last_day],
        ]
        return [
            BookedDocument(
                key=f.key,
                document=f.document,
                party=None,
                analytic=documents.analytic_of(f.record),
                document_date=f.document.date if f.document.posted else None,
                description=f.record["description"] or "",
            )
            for f in self._reader.find(int(erp_company), effect_type, domain)
        ]

    def invoices(self, erp_company: str) -> list[BookedInvoice]:
        """All customer invoices and credit notes of the company, drafts and cancelled ones included."""
        fields = ["number", "state", "party", "invoice_date", "currency.code"]
        amounts = ["untaxed_amount", "tax_amount", "total_amount", "amount_to_pay", "line_lines"]
        domain = [["company", "=", int(erp_company)], ["type", "=", "out"]]
        return [
            BookedInvoice(
                erp_id=str(row["id"]),
                erp_company=erp_company,
                number=row["number"],
                state=row["state"],
                party=str(row["party"]),
                invoice_date=row["invoice_date"],
                currency=row["currency."]["code"],
                net=row["untaxed_amount"],
                tax=row["tax_amount"],
                total=row["total_amount"],
                open_amount=row["amount_to_pay"],
                lines=len(row["line_lines"]),
            )
            for row in self._rpc.search("account.invoice", domain, fields + amounts)
        ]

    def payments(self, erp_company: str) -> list[BookedPayment]:
        """What was paid of the company's customer invoices, by invoice and line of the payment's entry."""
        domain = [["company", "=", int(erp_company)], ["type", "=", "out"], ["payment_lines", "!=", None]]
        paid = self._rpc.search("account.invoice", domain, ["payment_lines", "currency.code", "currency"])
        wanted = sorted({line for row in paid for line in row["payment_lines"]})
        fields = ["move.number", "date", "debit", "credit", "amount_second_currency", "second_currency"]
        found = self._rpc.search("account.move.line", [["id", "in", wanted]], fields) if wanted else []
        lines = {row["id"]: row for row in found}
        return [
            BookedPayment(
                erp_id=str(line),
                invoice_id=str(row["id"]),
                number=lines[line]["move."]["number"],
                paid_on=lines[line]["date"],
                amount=_received(lines[line], row["currency"]),
                currency=row["currency."]["code"],
            )
            for row in paid
            for line in row["payment_lines"]
            if line in lines
        ]

    def general_ledger(self, erp_company: str, month: ServiceMonth) -> dict[str, AccountBalance]:
        """What the month's entries bring to each account, by the account's code; accounts at zero are left out.

        In the company's currency, as Tryton adds it up itself, whoever made the entries.
        """
        return self._balances(erp_company, {"from_date": month.first_day, "to_date": month.last_day})

    def opening_balances(self, erp_company: str, month: ServiceMonth) -> dict[str, AccountBalance]:
        """What all entries before a month have brought to each account, as `general_ledger` says it of a month."""
        return self._balances(erp_company, {"to_date": month.first_day - dt.timedelta(days=1)})

    def _balances(self, erp_company: str, dates: Mapping[str, dt.date]) -> dict[str, AccountBalance]:
        taxes = self._rpc.search("account.tax", [["company", "=", int(erp_company)]], ["invoice_account"])
        taxed = {row["invoice_account"] for row in taxes}
        posted, both = (self._moved(erp_company, dates, posted=only) for only in (True, False))
        found = {}
        for account, row in both.items():
            total = row["debit"] - row["credit"]
            of_posted = posted[account]["debit"] - posted[account]["credit"] if account in posted else Decimal(0)
            if total or of_posted:
                kind = "tax" if account in taxed else next((k for k in _KINDS if row["type."][k]), None)
                found[row["code"] or str(account)] = AccountBalance(
                    posted=of_posted, draft=total - of_posted, kind=kind
                )
        return found

    def _moved(self, erp_company: str, dates: Mapping[str, dt.date], *, posted: bool) -> dict[int, dict[str, Any]]:
        rows = self._rpc.call(
            "model.account.account.search_read",
            [["company", "=", int(erp_company)], ["type", "!=", None]],
            *(0, None, None, ["code", "debit", "credit", *(f"type.{kind}" for kind in _KINDS)]),
            context={"company": int(erp_company), **dates, "posted": posted, "active_test": False},
        )
        return {row["id"]: row for row in rows}

    def created_at(self, effect_type: EffectType, erp_id: str) -> dt.datetime | None:
        """When the ERP made a document, by its own clock; None if it has no such document."""
        rows = self._rpc.search(KINDS[effect_type].model, [["id", "=", int(erp_id)]], ["create_date"])
        return rows[0]["create_date"] if rows else None


def _received(line: Mapping[str, Any], currency: int) -> Decimal:
    """What a line on the receivable account takes from it, in the invoice's currency: its own, or the company's."""
    if line["second_currency"] == currency:
        return -Decimal(line["amount_second_currency"])
    return Decimal(line["credit"] - line["debit"])


def _text(record_id: int | None) -> str | None:
    return None if record_id is None else str(record_id)
