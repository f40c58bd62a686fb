"""The two kinds of document: how an effect is written as one, and how one is read.

What belongs here: records of Tryton to and from the domain's values. What does not: calls and their outcomes (`erp`).
"""

import datetime as dt
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from psa_erp_assets.adapters.connectors.tryton import quantity
from psa_erp_assets.adapters.connectors.tryton.facts import REFERENCE, CompanyFacts, GroupFacts
from psa_erp_assets.adapters.connectors.tryton.stamp import Stamp
from psa_erp_assets.domain.effects import BillingLine, CostTransaction, EffectType
from psa_erp_assets.domain.erp import Create, ErpDocument
from psa_erp_assets.domain.money import Money, Rounding

Record = dict[str, Any]

_PRICE_DIGITS = 4


class NotSendableError(ValueError):
    """The effect cannot be written as a document of Tryton; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """Where a type of effect lives: its model, its stamped field, and the fields that are read of it."""

    model: str
    stamped: str
    fields: tuple[str, ...]

    def fields_with(self, *, reference: bool) -> list[str]:
        """The fields to read, with the external reference where the server has one."""
        return [*self.fields, *([REFERENCE] if reference else [])]


KINDS = {
    EffectType.BILLING_LINE: Kind(
        model="account.invoice.line",
        stamped="note",
        fields=(
            *("company", "currency.code", "amount", "quantity", "note", "taxes_date", "create_date", "taxes"),
            *("invoice", "invoice.number", "invoice.state", "invoice.invoice_date"),
        ),
    ),
    EffectType.COST_TRANSACTION: Kind(
        model="account.move",
        stamped="description",
        fields=("company", "company.currency.code", "date", "description", "number", "state"),
    ),
}


def billing_line(command: Create, effect: BillingLine, group: GroupFacts, company: CompanyFacts) -> Record:
    """The values of a stand-alone draft line. Raises NotSendableError.

    `taxes_date` is the service date, so that a credit is taxed at the rate of what it credits.
    """
    price = effect.per_hour
    if price.amount != price.amount.quantize(Decimal(1).scaleb(-_PRICE_DIGITS)):
        raise NotSendableError(f"the rate {price.amount} has more than {_PRICE_DIGITS} decimals")
    if price.currency != effect.amount.currency or price.currency not in group.currencies:
        raise NotSendableError(f"the ERP does not know the currency {price.currency}, or the amount has another")
    try:
        hours = quantity.hours(effect.minutes, price, effect.amount)
    except quantity.NotExpressibleError as error:
        raise NotSendableError(str(error)) from None
    return {
        "type": "line",
        "invoice_type": "out",
        "company": record_id(effect.erp_company, "company"),
        "party": record_id(effect.party, "party"),
        "currency": group.currencies[price.currency],
        "product": group.product,
        "unit": group.unit,
        # Tryton's quantities are floats; ten digits of an hour survive that up to a hundred thousand hours.
        "quantity": float(hours),
        "unit_price": price.amount,
        "account": company.revenue,
        "taxes": [["add", [record_id(effect.tax, "tax")]]] if effect.tax is not None else [],
        "taxes_date": effect.service_date,
        "description": effect.description,
        "note": str(_stamp(command, effect)),
        "analytic_accounts": [
            ["create", [{"root": company.analytic_root, "account": record_id(effect.analytic, "analytic account")}]]
        ],
    }


def cost_transaction(
    command: Create, effect: CostTransaction, period: int, group: GroupFacts, company: CompanyFacts
) -> Record:
    """The values of a draft journal entry. Raises NotSendableError."""
    if effect.amount.currency != company.currency:
        raise NotSendableError(f"cost in {effect.amount.currency} in a company that keeps books in {company.currency}")
    if effect.amount.rounded(Rounding.HALF_EVEN) != effect.amount:
        raise NotSendableError(f"{effect.amount.amount} {effect.amount.currency} has a fraction of a minor unit")
    amount = effect.amount.amount
    debit, credit = max(amount, Decimal(0)), max(-amount, Decimal(0))
    analytic = {
        "account": record_id(effect.analytic, "analytic account"),
        "debit": debit,
        "credit": credit,
        "date": effect.service_date,
    }
    lines = [
        {
            "account": company.delivery_cost,
            "debit": debit,
            "credit": credit,
            "description": effect.description,
            "analytic_lines": [["create", [analytic]]],
        },
        {"account": company.labor_absorbed, "debit": credit, "credit": debit, "description": effect.description},
    ]
    return {
        "company": record_id(effect.erp_company, "company"),
        "journal": group.cost_journal,
        "period": period,
        "date": effect.service_date,
        "description": f"{_stamp(command, effect)} {effect.description}".rstrip(),
        "lines": [["create", lines]],
    }


def key_of(record: Record, kind: Kind) -> str | None:
    """The key of a record as it was read: its external reference, else its stamp; None where it has neither."""
    if record.get(REFERENCE):
        return str(record[REFERENCE])
    stamp = Stamp.parse(record[kind.stamped])
    return stamp.key if stamp else None


def read_billing_line(record: Record, key: str, tax_rates: dict[int, Decimal]) -> ErpDocument:
    """A line as the ERP has it now.

    The tax is that of the line alone at the ERP's rates; Tryton itself rounds the sum of an invoice's lines. A line
    without a service date, which a person entered, is dated by its invoice, else by its entry.
    """
    invoice = record["invoice."] or {}
    amount = Money(record["amount"], record["currency."]["code"])
    rate = sum((tax_rates[tax] for tax in record["taxes"]), Decimal(0))
    state = invoice.get("state")
    return ErpDocument(
        key=key,
        erp_id=str(record["id"]),
        erp_company=str(record["company"]),
        effect_type=EffectType.BILLING_LINE,
        amount=amount,
        minutes=quantity.minutes_of(Decimal(record["quantity"] or 0)),
        date=record["taxes_date"] or invoice.get("invoice_date") or record["create_date"].date(),
        document=(invoice.get("number") or f"draft invoice {record['invoice']}") if record["invoice"] else None,
        document_state=state,
        posted=state in ("posted", "paid"),
        tax_amount=amount.times(rate).rounded(Rounding.HALF_EVEN).amount,
    )


def read_cost_transaction(record: Record, key: str) -> ErpDocument:
    """A journal entry as the ERP has it now; its amount is what it brings to the delivery cost account.

    `cost_lines` in the record are its lines on that account. Its minutes stand in its stamp alone: 0 where somebody
    overwrote it.
    """
    amount = sum((line["debit"] - line["credit"] for line in record["cost_lines"]), Decimal(0))
    stamp = Stamp.parse(record["description"])
    posted = record["state"] == "posted"
    return ErpDocument(
        key=key,
        erp_id=str(record["id"]),
        erp_company=str(record["company"]),
        effect_type=EffectType.COST_TRANSACTION,
        amount=Money(amount, record["company."]["currency."]["code"]),
        minutes=stamp.minutes if stamp else 0,
        date=record["date"],
        document=(record["number"] or f"entry {record['id']}") if posted else None,
        document_state=record["state"] if posted else None,
        posted=posted,
    )


def analytic_of(record: Record) -> str | None:
    """The analytic account of a record of either kind, where it has exactly one."""
    entries = record.get("analytic_accounts.") or [
        entry for line in record.get("cost_lines", []) for entry in line["analytic_lines."]
    ]
    accounts = {entry["account"] for entry in entries if entry["account"] is not None}
    return str(accounts.pop()) if len(accounts) == 1 else None


def utc_start(date: dt.date) -> dt.datetime:
    """The first instant of a day, as Tryton's creation dates are compared with."""
    return dt.datetime.combine(date, dt.time(), dt.UTC)


def _stamp(command: Create, effect: BillingLine | CostTransaction) -> Stamp:
    try:
        return Stamp(command.key, effect.service_date, effect.minutes)
    except ValueError as error:
        raise NotSendableError(str(error)) from None


def record_id(text: str, what: str) -> int:
    """The number of a record from its id in text. Raises NotSendableError; `what` names it there."""
    if not (text.isascii() and text.isdigit()):
        raise NotSendableError(f"{text!r} is no id of a {what} in Tryton")
    return int(text)
