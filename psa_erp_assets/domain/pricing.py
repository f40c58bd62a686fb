"""What an hour of work costs the customer, and how many minutes of it are billed.

Pure: a price follows from the entry, the terms of its contract as of the service date, and the rates. It says in
words how it came about. What belongs here: the choice of a rate, multipliers, discount, billing increments. What does
not: amounts and their rounding, caps and retainers (they need the contract's whole month), tax and currency.

The first of these that has a rate on the service date prices the hour:

| | rate | where it is kept |
|---|---|---|
| a | the blended rate | `PricingTerms.blended_rate` |
| b | a rate-card line for this contract alone | `RateCardLine` with the contract |
| c | the PSA's rate of the person on the project | `BillRate` with the person |
| d | a line of the contract's card that names the project | `RateCardLine` with the project |
| e | the PSA's rate of the project | `BillRate` without a person |
| f | a line of the contract's card by task, person or role, or its line for everybody | other `RateCardLine`s |

A rate-card line must fit in all that it names. Of several that fit in one row of the table, the one that names more
wins; of these the one that names what weighs more (project, then task, person, role); then the later `valid_from`;
then the first id. The order of the records says nothing.

The hour's effective rate is that rate × the multipliers of its types of work × (1 - discount), rounded once, half to
even, to 4 decimals, which is what an invoice line shows. A type of work that the terms do not name has the factor 1.
"""

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass

from psa_erp_assets.domain.master import MasterData, Work
from psa_erp_assets.domain.money import Money, Rounding
from psa_erp_assets.domain.records import Contract, Employee, Project, TimeEntry
from psa_erp_assets.domain.terms import PricingTerms

RATE_DIGITS = 4
"""Digits after the decimal point of an hour's effective rate."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """An hour's effective rate in the contract's currency, the id of the rate it came from, and how, in words."""

    per_hour: Money
    rate_id: str
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """A rate and the minutes that are billed at it, rounded up to the billing increment."""

    per_hour: Money
    minutes: int
    rate_id: str
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceGap:
    """Why there is no price: `code` is one of `faults.FAULTS`."""

    code: str
    detail: str


@dataclass(frozen=True, slots=True)
class _Found:
    per_hour: Money
    rate_id: str
    which: str


def price(
    entry: TimeEntry, *, contract: Contract, project: Project, employee: Employee, master: MasterData
) -> Price | PriceGap:
    """The price of an entry under its contract, which is already as of the service date.

    `rate_for` and `billed_minutes` in one; who prices many entries asks for the rate once for all that share it.
    """
    rate = rate_for(
        contract=contract,
        project=project,
        employee=employee,
        task=entry.task,
        work_types=entry.work_types,
        on=entry.service_date,
        master=master,
    )
    if isinstance(rate, PriceGap):
        return rate
    terms = contract.terms.pricing
    minutes = billed_minutes(entry.minutes, terms)
    rounded_up = f"{entry.minutes} minutes rounded up to {minutes}, a multiple of {terms.increment_minutes}"
    reasons = rate.reasons if minutes == entry.minutes else (*rate.reasons, rounded_up)
    return Price(per_hour=rate.per_hour, minutes=minutes, rate_id=rate.rate_id, reasons=reasons)


def rate_for(
    *,
    contract: Contract,
    project: Project,
    employee: Employee,
    task: str | None,
    work_types: Iterable[str],
    on: dt.date,
    master: MasterData,
) -> Rate | PriceGap:
    """An hour's effective rate, by the precedence in this module's table.

    `contract` is already as of the date. The types of work are a set: neither their order nor saying one twice changes
    anything. The gap is `no_bill_rate` where no rate holds on the date, and `rate_currency_mismatch` where the rate
    that holds is not in the contract's currency: a less specific one in the right currency does not replace it.
    """
    found = _find(contract, project, Work(project.id, task, employee.id, employee.role), on, master)
    terms = contract.terms.pricing
    if found is None:
        detail = f"no rate for {employee.id} on {project.code} on {on}"
        if terms.rate_card is not None:
            known = "" if master.has_rate_card(terms.rate_card) else ", which has no lines"
            detail += f", nor in the rate card {terms.rate_card}{known}"
        return PriceGap(code="no_bill_rate", detail=detail)
    if found.per_hour.currency != contract.currency:
        detail = f"{found.which} is in {found.per_hour.currency}, {contract.id} in {contract.currency}"
        return PriceGap(code="rate_currency_mismatch", detail=detail)
    per_hour = found.per_hour
    reasons = [f"{found.which}: {per_hour.amount:f} {per_hour.currency} an hour"]
    for work_type in sorted(terms.multipliers.keys() & set(work_types)):
        factor = terms.multipliers[work_type]
        per_hour = per_hour.times(factor)
        reasons.append(f"times {factor:f} for {work_type}")
    if terms.discount:
        per_hour = per_hour - per_hour.times(terms.discount)
        reasons.append(f"less {terms.discount:%} discount")
    return Rate(
        per_hour=per_hour.to_digits(RATE_DIGITS, Rounding.HALF_EVEN), rate_id=found.rate_id, reasons=tuple(reasons)
    )


def billed_minutes(minutes: int, terms: PricingTerms) -> int:
    """An entry's minutes, not negative, rounded up to a multiple of the billing increment; none stay none."""
    return -(-minutes // terms.increment_minutes) * terms.increment_minutes


def _find(contract: Contract, project: Project, work: Work, on: dt.date, master: MasterData) -> _Found | None:
    """The first row of the table that has a rate."""
    terms, card = contract.terms.pricing, contract.terms.pricing.rate_card
    if terms.blended_rate is not None:
        return _Found(terms.blended_rate, f"{contract.id}/blended", f"blended rate of {contract.id}")
    if own := master.contract_line(contract.id, work, on):
        return _Found(own.per_hour, own.id, f"rate-card line {own.id} for {contract.id} alone")
    if rate := master.project_rate(project.id, work.employee_id, on):
        return _Found(rate.per_hour, rate.id, f"PSA rate {rate.id} of {work.employee_id} on {project.code}")
    if card and (line := master.card_line(card, work, on, naming_project=True)):
        return _Found(line.per_hour, line.id, f"rate-card line {line.id} for {project.code}")
    if rate := master.project_rate(project.id, None, on):
        return _Found(rate.per_hour, rate.id, f"PSA rate {rate.id} of {project.code}")
    if card and (line := master.card_line(card, work, on, naming_project=False)):
        return _Found(line.per_hour, line.id, f"rate-card line {line.id}")
    return None
