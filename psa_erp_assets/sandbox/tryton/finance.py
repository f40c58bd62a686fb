"""Plays finance: works with Tryton as its users do, through its RPC and with finance's own login.

What belongs here: what people in finance do with drafts, invoices, periods and master data, also against the
sync's wishes. What does not: anything that the sync itself does.
"""

import datetime as dt
import itertools
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from psa_erp_assets.adapters.connectors.tryton.rpc import TrytonRpc, WarningRaisedError
from psa_erp_assets.domain.calendar import ServiceMonth

_BATCH = 100
_WARNINGS = 20


class Finance:
    """One person in finance, at work. Companies and records are named by their ids in Tryton.

    Every method raises a TrytonError where Tryton refuses. Questions ("warnings") are answered with yes.
    """

    def __init__(self, rpc: TrytonRpc) -> None:
        self._rpc = rpc

    def invoice_lines(self, company: str, *, on: dt.date, line_ids: Sequence[str] | None = None) -> list[str]:
        """Put stand-alone draft lines on new draft invoices dated `on`, one for each party and currency.

        `line_ids` None takes all of the company's. A group's lines whose sum is negative make a credit note.
        Returns the invoices' ids.
        """
        domain: list[Any] = [["company", "=", int(company)], ["invoice", "=", None]]
        if line_ids is not None:
            domain.append(["id", "in", _ids(line_ids)])
        groups: dict[tuple[int, int], list[int]] = defaultdict(list)
        for line in self._search("account.invoice.line", domain, ["party", "currency"]):
            groups[line["party"], line["currency"]].append(line["id"])
        if not groups:
            return []
        addresses = {
            row["party"]: row["id"]
            for row in self._search(
                "party.address", [["party", "in", sorted({party for party, _ in groups})]], ["party"]
            )
        }
        receivable = self._one("account.account", company, [["type.receivable", "=", True]])
        revenue_journal = self._search("account.journal", [["type", "=", "revenue"]], ["id"])[0]["id"]
        invoices = [
            {
                "type": "out",
                "company": int(company),
                "party": party,
                "invoice_address": addresses[party],
                "currency": currency,
                "account": receivable,
                "journal": revenue_journal,
                "invoice_date": on,
                "accounting_date": on,
                "lines": [["add", lines]],
            }
            for (party, currency), lines in groups.items()
        ]
        made = [self._call(company, "account.invoice.create", batch) for batch in _batches(invoices)]
        return [str(i) for i in itertools.chain.from_iterable(made)]

    def post_invoices(self, company: str, invoice_ids: Sequence[str]) -> None:
        """Post draft invoices: they get their numbers and journal entries."""
        for batch in _batches(_ids(invoice_ids)):
            self._call(company, "account.invoice.post", batch)

    def register_payment(self, company: str, invoice_id: str, *, on: dt.date, amount: Decimal | None = None) -> None:
        """Book money received on a posted invoice; `amount` in its currency, None for all that is open."""
        fields = ["party", "currency", "account", "amount_to_pay"]
        invoice = self._search("account.invoice", [["id", "=", int(invoice_id)]], fields)[0]
        start = {
            "payee": invoice["party"],
            "amount": invoice["amount_to_pay"] if amount is None else amount,
            "currency": invoice["currency"],
            "company": int(company),
            "invoice_account": invoice["account"],
            "payment_method": self._one("account.invoice.payment.method", company, []),
            "date": on,
            "description": None,
        }
        with_invoice = _active("account.invoice", invoice_id)
        session = self._call(company, "account.invoice.pay.create", wizard=True)[0]
        answer = self._call(
            company, "account.invoice.pay.execute", session, {"start": start}, "choice", wizard=True, **with_invoice
        )
        if "view" in answer:
            ask = {**answer["view"]["defaults"], "type": "partial"}
            data = {"start": start, "ask": {k: v for k, v in ask.items() if not k.endswith(".")}}
            self._call(company, "account.invoice.pay.execute", session, data, "pay", wizard=True, **with_invoice)
        self._call(company, "account.invoice.pay.delete", session, wizard=True)
        # Tryton leaves it to a queue worker to notice that an invoice is paid; the sandbox runs none.
        self._call(company, "account.invoice.process", [int(invoice_id)])

    def cancel_invoice(self, company: str, invoice_id: str) -> None:
        """Cancel an invoice. Of a posted one Tryton books the opposite; its lines stay on it in either case."""
        self._call(company, "account.invoice.cancel", [int(invoice_id)])

    def make_draft_again(self, company: str, invoice_id: str) -> None:
        """Make a draft of a cancelled invoice. Tryton refuses that for one that was posted before."""
        self._call(company, "account.invoice.draft", [int(invoice_id)])

    def delete_invoice(self, company: str, invoice_id: str) -> None:
        """Remove a cancelled invoice that was never posted, and its lines with it."""
        self._call(company, "account.invoice.delete", [int(invoice_id)])

    def take_off_invoice(self, company: str, invoice_id: str, line_ids: Sequence[str]) -> None:
        """Take lines off a draft invoice: they stand alone again."""
        self._call(company, "account.invoice.write", [int(invoice_id)], {"lines": [["remove", _ids(line_ids)]]})

    def credit_invoice(
        self,
        company: str,
        invoice_id: str,
        minutes: Mapping[str, int] | None = None,
        *,
        on: dt.date,
        refund: bool = False,
    ) -> str:
        """A draft credit note for a posted invoice, as Tryton makes it; its id.

        `minutes` credits only these lines, by their ids, and of each only so many minutes: what Tryton proposes is
        changed by hand. `refund` is Tryton's choice to post the credit note and call the invoice cancelled.
        """
        start = {"with_refund": refund, "with_refund_allowed": True, "invoice_date": on}
        session = self._call(company, "account.invoice.credit.create", wizard=True)[0]
        answer = self._call(
            company,
            *("account.invoice.credit.execute", session, {"start": start}, "credit"),
            wizard=True,
            **_active("account.invoice", invoice_id),
        )
        self._call(company, "account.invoice.credit.delete", session, wizard=True)
        credit_note = int(answer["actions"][0][1]["res_id"][0])
        if minutes is not None:
            self._credit_only(company, credit_note, minutes)
        return str(credit_note)

    def post_moves(self, company: str, move_ids: Sequence[str]) -> None:
        """Post draft journal entries."""
        for batch in _batches(_ids(move_ids)):
            self._call(company, "account.move.post", batch)

    def draft_moves(self, company: str, month: ServiceMonth) -> list[str]:
        """The journal entries of a month that are still drafts: Tryton closes no period that has one."""
        period = ["period", "=", self._period(company, month)]
        return [str(row["id"]) for row in self._search("account.move", [period, ["state", "=", "draft"]], ["id"])]

    def close_period(self, company: str, month: ServiceMonth) -> None:
        """Close the accounting period of a month."""
        self._call(company, "account.period.close", [self._period(company, month)])

    def reopen_period(self, company: str, month: ServiceMonth) -> None:
        """Open it again, and its journals, which closing it closed and reopening it alone leaves closed."""
        period = self._period(company, month)
        self._call(company, "account.period.reopen", [period])
        closed = [["period", "=", period], ["state", "=", "closed"]]
        journals = [row["id"] for row in self._search("account.journal.period", closed, ["id"])]
        self._call(company, "account.journal.period.reopen", journals)

    def change_line_price(self, company: str, line_id: str, per_hour: Decimal) -> None:
        """Overwrite the hourly price of a draft line."""
        self._call(company, "account.invoice.line.write", [int(line_id)], {"unit_price": per_hour})

    def change_line(self, company: str, line_id: str, **values: Any) -> dict[str, Any]:
        """Overwrite fields of a draft line; what they were before."""
        before = self._search("account.invoice.line", [["id", "=", int(line_id)]], list(values))[0]
        self._call(company, "account.invoice.line.write", [int(line_id)], values)
        return {name: before[name] for name in values}

    def copy_line(self, company: str, line_id: str) -> str:
        """Make a second draft line by Tryton's own "duplicate"; its id."""
        return str(self._call(company, "account.invoice.line.copy", [int(line_id)])[0])

    def delete_line(self, company: str, line_id: str) -> None:
        """Remove a draft line."""
        self._call(company, "account.invoice.line.delete", [int(line_id)])

    def add_line(
        self, company: str, *, party: str, currency: str, amount: Decimal, description: str, account_code: str = "4000"
    ) -> str:
        """Enter a stand-alone draft line by hand, with nothing of the sync's on it; its id."""
        line = {
            "type": "line",
            "invoice_type": "out",
            "company": int(company),
            "party": int(party),
            "currency": self._search("currency.currency", [["code", "=", currency]], ["id"])[0]["id"],
            "account": self._one("account.account", company, [["code", "=", account_code]]),
            "quantity": 1.0,
            "unit_price": amount,
            "description": description,
        }
        return str(self._call(company, "account.invoice.line.create", [line])[0])

    def set_tax_active(self, company: str, tax_id: str, *, active: bool) -> None:
        """Retire a tax, or bring it back."""
        self._call(company, "account.tax.write", [int(tax_id)], {"active": active})

    def set_project_archived(self, company: str, analytic_id: str, *, archived: bool) -> None:
        """Archive a project's analytic account, or bring it back."""
        self._call(company, "analytic_account.account.write", [int(analytic_id)], {"active": not archived})

    def add_currency_rate(self, currency: str, *, on: dt.date, rate: Decimal) -> str:
        """Enter units of a currency for one unit of the base currency, from a date on; the rate's id."""
        found = self._search("currency.currency", [["code", "=", currency]], ["id"])[0]["id"]
        values = {"currency": found, "date": on, "rate": rate}
        return str(self._rpc.call("model.currency.currency.rate.create", [values])[0])

    def _credit_only(self, company: str, credit_note: int, minutes: Mapping[str, int]) -> None:
        for line in self._search("account.invoice.line", [["invoice", "=", credit_note]], ["origin"]):
            credited = line["origin"].partition(",")[2]
            if credited in minutes:
                hours = round(-minutes[credited] / 60, 10)
                self._call(company, "account.invoice.line.write", [line["id"]], {"quantity": hours})
            else:
                self._call(company, "account.invoice.line.delete", [line["id"]])

    def _period(self, company: str, month: ServiceMonth) -> int:
        return self._one("account.period", company, [["start_date", "=", month.first_day], ["type", "=", "standard"]])

    def _one(self, model: str, company: str, domain: list[Any]) -> int:
        return int(self._search(model, [["company", "=", int(company)], *domain], ["id"])[0]["id"])

    def _search(self, model: str, domain: list[Any], fields: list[str]) -> list[dict[str, Any]]:
        context = {"active_test": False}
        return list(self._rpc.call(f"model.{model}.search_read", domain, 0, None, None, fields, context=context))

    def _call(self, company: str, method: str, *params: Any, wizard: bool = False, **context: Any) -> Any:
        """One call in the company's context, with every warning that it raises answered with yes."""
        context["company"] = int(company)
        for _ in range(_WARNINGS):
            try:
                return self._rpc.call(f"{'wizard' if wizard else 'model'}.{method}", *params, context=context)
            except WarningRaisedError as warning:
                self._rpc.call("model.res.user.warning.skip", warning.name)
        raise RuntimeError(f"{method} raised more than {_WARNINGS} warnings")


def _batches(items: Sequence[Any]) -> Iterable[Sequence[Any]]:
    return (items[i : i + _BATCH] for i in range(0, len(items), _BATCH))


def _ids(texts: Iterable[str]) -> list[int]:
    return [int(text) for text in texts]


def _active(model: str, record: str) -> Mapping[str, Any]:
    return {"active_model": model, "active_id": int(record), "active_ids": [int(record)]}
