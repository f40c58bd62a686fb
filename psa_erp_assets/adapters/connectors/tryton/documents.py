"""The two kinds of document: how an effect is written as one, and how one is read.

What belongs here: records of Tryton to and from the domain's values. What does not: calls and their outcomes (`erp`).
"""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, assert_never

from psa_erp_assets.adapters.connectors.tryton import quantity
from psa_erp_assets.adapters.connectors.tryton.facts import REFERENCE, Account, CompanyFacts, GroupFacts, Journal
from psa_erp_assets.adapters.connectors.tryton.stamp import Stamp
from psa_erp_assets.domain.effects import (
    BilledTo,
    BillingLine,
    CostKind,
    CostTransaction,
    Effect,
    EffectType,
    IntercompanyCharge,
    RevenueEntry,
    RevenueKind,
    booking_date,
)
from psa_erp_assets.domain.erp import Create, ErpDocument
from psa_erp_assets.domain.money import Money, Rounding

Record = dict[str, Any]
EntryEffect = CostTransaction | IntercompanyCharge | RevenueEntry
_Side = tuple[int, int | None]
"""What a line of an entry is on: an account, and an analytic account or None."""

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


_ENTRY = Kind(
    model="account.move",
    stamped="description",
    fields=("company", "company.currency.code", "date", "description", "journal", "number", "state"),
)
KINDS = {
    EffectType.BILLING_LINE: Kind(
        model="account.invoice.line",
        stamped="note",
        fields=(
            *("company", "currency.code", "amount", "quantity", "unit", "note", "taxes_date", "create_date", "taxes"),
            *("invoice", "invoice.number", "invoice.state", "invoice.invoice_date", "invoice.cancel_move.origin"),
        ),
    ),
    EffectType.COST_TRANSACTION: _ENTRY,
    EffectType.INTERCOMPANY_CHARGE: _ENTRY,
    EffectType.REVENUE_ENTRY: _ENTRY,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """A form of journal entry: what it says in its stamp, its journal, and the account that has its amount."""

    stamped: str
    effect_type: EffectType
    journal: Journal
    amount_on: Account


_COST = Form(
    stamped="",
    effect_type=EffectType.COST_TRANSACTION,
    journal=Journal.COST,
    amount_on=Account.DELIVERY_COST,
)
_CHARGE = Form(
    stamped="charge",
    effect_type=EffectType.INTERCOMPANY_CHARGE,
    journal=Journal.INTERCOMPANY,
    amount_on=Account.INTERCOMPANY_RECEIVABLE,
)
_RECOGNITION = Form(
    stamped="recognition",
    effect_type=EffectType.REVENUE_ENTRY,
    journal=Journal.REVENUE,
    amount_on=Account.CONTRACT_BALANCE,
)
_LOSS = Form(
    stamped="loss",
    effect_type=EffectType.REVENUE_ENTRY,
    journal=Journal.REVENUE,
    amount_on=Account.EXPECTED_LOSS,
)
_FORMS = (_COST, _CHARGE, _RECOGNITION, _LOSS)
_COST_CREDITS = {
    CostKind.LABOR: Account.LABOR_ABSORBED,
    CostKind.INTERCOMPANY: Account.INTERCOMPANY_PAYABLE,
    CostKind.EXPENSE: Account.EXPENSES_TO_REIMBURSE,
}


def journal_of(effect_type: EffectType) -> Journal | None:
    """The journal that entries of a type of effect are made in; None for a billing line."""
    return next((form.journal for form in _FORMS if form.effect_type is effect_type), None)


def billing_line(command: Create, effect: BillingLine, group: GroupFacts, company: CompanyFacts) -> Record:
    """The values of a stand-alone draft line. Raises NotSendableError.

    `taxes_date` is the service date, so that a credit is taxed at the rate of what it credits.
    """
    price, units = _priced(effect)
    if price.amount != price.amount.quantize(Decimal(1).scaleb(-_PRICE_DIGITS)):
        raise NotSendableError(f"the rate {price.amount} has more than {_PRICE_DIGITS} decimals")
    if price.currency != effect.amount.currency or price.currency not in group.currencies:
        raise NotSendableError(f"the ERP does not know the currency {price.currency}, or the amount has another")
    hourly = effect.per_hour is not None
    revenue = company.revenue if hourly else company.fee_revenue
    return {
        "type": "line",
        "invoice_type": "out",
        "company": record_id(effect.erp_company, "company"),
        "party": record_id(effect.party, "party"),
        "currency": group.currencies[price.currency],
        "product": group.product if hourly else group.fee_product,
        "unit": group.unit if hourly else group.fee_unit,
        # Tryton's quantities are floats; ten digits of an hour survive that up to a hundred thousand hours.
        "quantity": float(units),
        "unit_price": price.amount,
        "account": revenue if effect.account is BilledTo.REVENUE else company.accounts[Account.CONTRACT_BALANCE],
        "taxes": [["add", [record_id(effect.tax, "tax")]]] if effect.tax is not None else [],
        "taxes_date": effect.service_date,
        "description": effect.description,
        "note": str(_stamp(command, effect)),
        "analytic_accounts": [
            ["create", [{"root": company.analytic_root, "account": record_id(effect.analytic, "analytic account")}]]
        ],
    }


def journal_entry(
    command: Create, effect: EntryEffect, period: int, group: GroupFacts, company: CompanyFacts, *, partner: str
) -> Record:
    """The values of a draft journal entry, in the period of its booking date. Raises NotSendableError.

    `partner` is the name of the company that an intercompany charge is owed by.
    """
    if effect.amount.currency != company.currency:
        raise NotSendableError(
            f"{effect.amount.currency} in the books of a company that keeps them in {company.currency}"
        )
    if effect.amount.rounded(Rounding.HALF_EVEN) != effect.amount:
        raise NotSendableError(f"{effect.amount.amount} {effect.amount.currency} has a fraction of a minor unit")
    form, debited, credited = _booked(effect, company)
    description, date = _told(effect, partner), booking_date(effect)
    return {
        "company": record_id(effect.erp_company, "company"),
        "journal": group.journals[form.journal],
        "period": period,
        "date": date,
        "description": f"{_stamp(command, effect, form)} {description}".rstrip(),
        "lines": [
            [
                "create",
                [
                    _entry_line(effect.amount.amount, debited, description, date),
                    _entry_line(effect.amount.amount.copy_negate(), credited, description, date),
                ],
            ]
        ],
    }


def key_of(record: Record, kind: Kind) -> str | None:
    """The key of a record as it was read: its external reference, else its stamp; None where it has neither."""
    if record.get(REFERENCE):
        return str(record[REFERENCE])
    stamp = Stamp.parse(record[kind.stamped])
    return stamp.key if stamp else None


def forms_of(record: Record, journals: Mapping[Journal, int]) -> tuple[Form, ...]:
    """The forms that a journal entry may have: the stamped one, or without a stamp those of its journal.

    Empty for an entry that is neither stamped nor in one of the journals. All are of one type of effect.
    """
    stamp = Stamp.parse(record["description"])
    if stamp is not None:
        return tuple(form for form in _FORMS if form.stamped == stamp.form)
    return tuple(form for form in _FORMS if journals[form.journal] == record["journal"])


def read_billing_line(record: Record, key: str, hour: int, tax_rates: Mapping[int, Decimal]) -> ErpDocument:
    """A line as the ERP has it now. `hour` is the unit of lines that are billed by time; others have no minutes.

    The tax is that of the line alone at the ERP's rates; Tryton itself rounds the sum of an invoice's lines. A line
    without a service date, which a person entered, is dated by its invoice, else by its entry.
    """
    invoice = record["invoice."] or {}
    amount = Money(record["amount"], record["currency."]["code"])
    rate = sum((tax_rates[tax] for tax in record["taxes"]), Decimal(0))
    state = _invoice_state(invoice)
    return ErpDocument(
        key=key,
        erp_id=str(record["id"]),
        erp_company=str(record["company"]),
        effect_type=EffectType.BILLING_LINE,
        amount=amount,
        minutes=quantity.minutes_of(Decimal(record["quantity"] or 0)) if record["unit"] == hour else 0,
        date=record["taxes_date"] or invoice.get("invoice_date") or record["create_date"].date(),
        document=(invoice.get("number") or f"draft invoice {record['invoice']}") if record["invoice"] else None,
        document_state=state,
        posted=state in ("posted", "paid"),
        tax_amount=amount.times(rate).rounded(Rounding.HALF_EVEN).amount,
    )


def read_entry(record: Record, key: str, effect_type: EffectType) -> ErpDocument:
    """A journal entry as the ERP has it now; its amount is what it debits the account that its form names.

    `amount_lines` in the record are its lines on that account. Its date is the one that it is booked on. Its minutes
    stand in its stamp alone: 0 where somebody overwrote it.
    """
    amount = sum((line["debit"] - line["credit"] for line in record["amount_lines"]), Decimal(0))
    stamp = Stamp.parse(record["description"])
    posted = record["state"] == "posted"
    return ErpDocument(
        key=key,
        erp_id=str(record["id"]),
        erp_company=str(record["company"]),
        effect_type=effect_type,
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
        entry for line in record.get("amount_lines", []) for entry in line["analytic_lines."]
    ]
    accounts = {entry["account"] for entry in entries if entry["account"] is not None}
    return str(accounts.pop()) if len(accounts) == 1 else None


def credited_line(record: Record) -> int | None:
    """The line that Tryton's own credit made this one of; None for any other."""
    model, _, number = (record["origin"] or "").partition(",")
    return int(number) if model == KINDS[EffectType.BILLING_LINE].model else None


def utc_start(date: dt.date) -> dt.datetime:
    """The first instant of a day, as Tryton's creation dates are compared with."""
    return dt.datetime.combine(date, dt.time(), dt.UTC)


def record_id(text: str, what: str) -> int:
    """The number of a record from its id in text. Raises NotSendableError; `what` names it there."""
    if not (text.isascii() and text.isdigit()):
        raise NotSendableError(f"{text!r} is no id of a {what} in Tryton")
    return int(text)


def _priced(effect: BillingLine) -> tuple[Money, Decimal]:
    """The price of a unit and the number of units: hours at the rate, or one unit at the amount."""
    if effect.per_hour is None:
        if effect.minutes:
            raise NotSendableError(f"{effect.minutes} minutes without an hourly rate")
        credit = effect.amount.amount < 0
        return (-effect.amount, Decimal(-1)) if credit else (effect.amount, Decimal(1))
    try:
        return effect.per_hour, quantity.hours(effect.minutes, effect.per_hour, effect.amount)
    except quantity.NotExpressibleError as error:
        raise NotSendableError(str(error)) from None


def _booked(effect: EntryEffect, company: CompanyFacts) -> tuple[Form, _Side, _Side]:
    """The form of an entry, and what it debits and credits."""
    accounts = company.accounts
    match effect:
        case CostTransaction():
            analytic = record_id(effect.analytic, "analytic account")
            return _COST, (accounts[_COST.amount_on], analytic), (accounts[_COST_CREDITS[effect.kind]], None)
        case IntercompanyCharge():
            return _CHARGE, (accounts[_CHARGE.amount_on], None), (accounts[Account.LABOR_CHARGED_OUT], None)
        case RevenueEntry(kind=RevenueKind.RECOGNITION):
            # On both sides: revenue by project on the one, the contract's balance on the other.
            analytic = record_id(effect.analytic, "analytic account")
            return _RECOGNITION, (accounts[_RECOGNITION.amount_on], analytic), (company.revenue, analytic)
        case RevenueEntry():
            analytic = record_id(effect.analytic, "analytic account")
            return _LOSS, (accounts[_LOSS.amount_on], analytic), (accounts[Account.LOSS_PROVISION], None)
        case other:
            assert_never(other)


def _entry_line(amount: Decimal, on: _Side, description: str, date: dt.date) -> Record:
    """A line that debits `amount`, or credits it if it is negative."""
    account, analytic = on
    sides = {"debit": max(amount, Decimal(0)), "credit": max(amount.copy_negate(), Decimal(0))}
    line: Record = {"account": account, **sides, "description": description}
    if analytic is not None:
        line["analytic_lines"] = [["create", [{"account": analytic, **sides, "date": date}]]]
    return line


def _told(effect: EntryEffect, partner: str) -> str:
    """The description of an entry, with what its fields have no room for."""
    told = effect.description
    if isinstance(effect, IntercompanyCharge):
        # Not the party of its line: Tryton takes one only on accounts that always need one.
        told += f" (owed by {partner})"
    if booking_date(effect) != effect.service_date:
        told += f" (for {effect.service_date.isoformat()}, booked in another period by choice)"
    return told.strip()


def _invoice_state(invoice: Record) -> str | None:
    """The state of a line's invoice in Tryton's words; None where it has none.

    An invoice that is credited "with refund" is called cancelled by Tryton, although it and its credit note are both
    in the books: its cancelling entry is that of the credit note. Here it is paid, as Tryton shows it on the line
    (`on_change_with_invoice_state` in account_invoice), or what was credited would count as taken back twice.
    """
    state: str | None = invoice.get("state")
    if state == "cancelled":
        cancelling = invoice["cancel_move."]
        if cancelling and (cancelling["origin"] or "").startswith("account.invoice,"):
            return "paid"
    return state


def _stamp(command: Create, effect: Effect, form: Form | None = None) -> Stamp:
    try:
        return Stamp(command.key, effect.service_date, effect.minutes, form.stamped if form else "")
    except ValueError as error:
        raise NotSendableError(str(error)) from None
