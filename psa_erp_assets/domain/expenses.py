"""What an expense costs the entity that sells the work, and what of it the customer pays.

An expense has three currencies: that of the receipt, that of the reimbursement, and the contract's, in which it is
billed. Each amount keeps its own, with the rates that it was converted at and their date, the service date. No amount
is made from another's conversion: what is billed comes from the receipt, what it costs from the reimbursement.

What belongs here: conversion, limits, mark-up. What does not: tax, and whose contract it is (`decide`).
"""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from psa_erp_assets.domain.costing import Costed
from psa_erp_assets.domain.effects import CostKind, CostTransaction, IntercompanyCharge
from psa_erp_assets.domain.master import MasterData
from psa_erp_assets.domain.money import Money, Rounding
from psa_erp_assets.domain.records import Employee, Expense, LegalEntity
from psa_erp_assets.domain.terms import ExpenseTerms


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpenseGap:
    """Why there is no amount: `code` is one of `faults.FAULTS`."""

    code: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Converted:
    """An amount as it was, its exact worth in another currency, and the rate of which date that is by."""

    original: Money
    exact: Money
    rate: Decimal
    rate_ids: tuple[str, ...]
    on: dt.date

    def versions(self, name: str) -> dict[str, str]:
        """The ids of the rates under a name; nothing where the currency stayed."""
        return {name: ",".join(self.rate_ids)} if self.rate_ids else {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rebilled:
    """What the customer pays for an expense, in the contract's currency, rounded.

    `limited_by` is what the limit of its category keeps from being billed, None where it keeps nothing: `amount` and
    `limited_by` sum to what would be billed without the limit. `receipt` is the receipt in the contract's currency,
    None where nothing is billable. `reasons` say in words how the amount came about.
    """

    amount: Money
    limited_by: Money | None = None
    receipt: Converted | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    reasons: tuple[str, ...] = ()


def rebill(
    expense: Expense, *, terms: ExpenseTerms, contract_currency: str, master: MasterData, rounding: Rounding
) -> Rebilled | ExpenseGap:
    """What the customer pays: the receipt in the contract's currency, up to the limit, with the mark-up, rounded once.

    A limit in another currency is converted at the rate of the service date, as the receipt is. It holds for the size
    of an amount, so that the refund of a receipt credits what the receipt billed. Nothing is billed where the expense
    or the contract says so; it costs all the same. The gap is `no_fx_rate`.
    """
    if not (expense.billable and terms.billable):
        reason = "the contract passes on no expenses" if expense.billable else "the expense is not billable"
        return Rebilled(amount=Money(Decimal(0), contract_currency).rounded(rounding), reasons=(reason,))
    receipt = _convert(expense.receipt, contract_currency, expense.service_date, master)
    if isinstance(receipt, ExpenseGap):
        return receipt
    versions, reasons = receipt.versions("expense_fx"), list[str]()
    if expense.receipt.currency != contract_currency:
        reasons.append(_in_words(f"receipt of {expense.receipt}", receipt, rounding))
    unlimited = _marked_up(receipt.exact, terms.mark_up).rounded(rounding)
    amount, limited_by, said = unlimited, None, terms.limits.get(expense.category)
    if said is not None:
        limit = _convert(said, contract_currency, expense.service_date, master)
        if isinstance(limit, ExpenseGap):
            return limit
        versions |= limit.versions("limit_fx")
        if receipt.exact.amount.copy_abs() > limit.exact.amount:
            basis = -limit.exact if receipt.exact.amount < 0 else limit.exact
            amount = _marked_up(basis, terms.mark_up).rounded(rounding)
        over = unlimited - amount
        if over.amount:
            limited_by = over
            name = f"limit of {said} for {expense.category}"
            text = name if said.currency == contract_currency else _in_words(name, limit, rounding)
            reasons.append(f"{text}: {over} not billed")
    if terms.mark_up:
        reasons.append(f"mark-up of {terms.mark_up:%}")
    return Rebilled(
        amount=amount,
        limited_by=limited_by,
        receipt=receipt,
        versions=versions,
        reasons=tuple(reasons),
    )


def reimbursed(expense: Expense, *, selling: LegalEntity, master: MasterData) -> Converted | ExpenseGap:
    """What the employer pays back, in an entity's currency at the rate of the service date.

    The gap is `no_fx_rate`.
    """
    return _convert(expense.reimbursement, selling.currency, expense.service_date, master)


def expense_cost(
    expense: Expense,
    *,
    employee: Employee,
    selling: LegalEntity,
    employing: LegalEntity | None,
    analytic: str,
    master: MasterData,
    rounding: Rounding,
) -> Costed | ExpenseGap:
    """The cost of an expense on its project: what is `reimbursed`, rounded once.

    Where another entity than the selling one employs whoever spent it, that one pays it back and charges it on, in its
    own books and without a mark-up, which is for work. `employing` is None while the ERP has no company for it. The gap
    is `no_fx_rate`, or `legal_entity_not_in_erp`: there are cost and charge or neither, as in `costing.labor_rate`.
    """
    paid = reimbursed(expense, selling=selling, master=master)
    if isinstance(paid, ExpenseGap):
        return paid
    description = f"{expense.category}: {expense.description}"
    lent = employee.legal_entity != selling.code
    cost = CostTransaction(
        erp_company=selling.erp_company,
        analytic=analytic,
        employee_name=employee.name,
        service_date=expense.service_date,
        minutes=0,
        per_hour=None,
        amount=paid.exact.rounded(rounding),
        description=description,
        kind=CostKind.INTERCOMPANY if lent else CostKind.EXPENSE,
    )
    if not lent:
        return Costed(cost=cost, charge=None, versions=paid.versions("cost_fx"))
    if employing is None:
        detail = f"{employee.legal_entity}, which employs {employee.id}, has no company in the ERP"
        return ExpenseGap(code="legal_entity_not_in_erp", detail=detail)
    own = reimbursed(expense, selling=employing, master=master)
    if isinstance(own, ExpenseGap):
        return own
    charge = IntercompanyCharge(
        erp_company=employing.erp_company,
        partner_company=selling.erp_company,
        employee_name=employee.name,
        service_date=expense.service_date,
        minutes=0,
        per_hour=None,
        amount=own.exact.rounded(rounding),
        description=description,
    )
    return Costed(cost=cost, charge=charge, versions=paid.versions("cost_fx") | own.versions("charge_fx"))


def _convert(amount: Money, currency: str, on: dt.date, master: MasterData) -> Converted | ExpenseGap:
    conversion = master.conversion(amount.currency, currency, on)
    if conversion is None:
        return ExpenseGap(code="no_fx_rate", detail=f"no {amount.currency}/{currency} rate on or before {on}")
    return Converted(
        original=amount,
        exact=amount.converted(conversion.rate, currency),
        rate=conversion.rate,
        rate_ids=conversion.rate_ids,
        on=on,
    )


def _marked_up(amount: Money, mark_up: Decimal) -> Money:
    return amount + amount.times(mark_up)


def _in_words(name: str, converted: Converted, rounding: Rounding) -> str:
    return f"{name} is {converted.exact.rounded(rounding)} at the rate of {converted.on}"
