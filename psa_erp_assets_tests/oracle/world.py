"""What the oracle looks at: all facts and master data about one contract, as plain records.

What belongs here: the value, and which record holds on a date, found by looking at every one of them. What does not:
what follows from them (`billing`).
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction

from psa_erp_assets.domain.records import (
    BillRate,
    Contract,
    CostRate,
    Credit,
    Customer,
    Employee,
    FxRate,
    LegalEntity,
    Project,
    RateCardLine,
    TaxProfile,
    WorkItem,
)
from psa_erp_assets.domain.terms import Component

Month = tuple[int, int]

_DIGITS = {"GBP": 2, "EUR": 2, "USD": 2, "JPY": 0, "KWD": 3}


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """One contract with all its work. `months` are those to be worked out, in their order and without a gap."""

    entities: tuple[LegalEntity, ...]
    customers: tuple[Customer, ...]
    contract: Contract
    projects: tuple[Project, ...]
    employees: tuple[Employee, ...]
    bill_rates: tuple[BillRate, ...]
    rate_cards: tuple[RateCardLine, ...]
    cost_rates: tuple[CostRate, ...]
    fx_rates: tuple[FxRate, ...]
    tax_profiles: tuple[TaxProfile, ...]
    half_up: bool
    mark_up: Decimal
    facts: tuple[WorkItem, ...]
    credits: tuple[Credit, ...]
    months: tuple[Month, ...]


def rounded(amount: Fraction, currency: str, half_up: bool) -> Fraction:
    """To the minor unit; halves away from nought, or to the even unit."""
    return to_digits(amount, _DIGITS[currency], half_up)


def to_digits(amount: Fraction, digits: int, half_up: bool) -> Fraction:
    """To so many digits after the decimal point."""
    units = abs(amount) * 10**digits
    whole, rest = units.numerator // units.denominator, units - units.numerator // units.denominator
    if rest > Fraction(1, 2) or (rest == Fraction(1, 2) and (half_up or whole % 2)):
        whole += 1
    return Fraction(whole if amount >= 0 else -whole, 10**digits)


def month_of(day: dt.date) -> Month:
    """The month that a day is in."""
    return day.year, day.month


def next_month(month: Month) -> Month:
    """The month after it."""
    return (month[0] + 1, 1) if month[1] == 12 else (month[0], month[1] + 1)


def days_of(month: Month) -> list[dt.date]:
    """All its days."""
    day, days = dt.date(*month, 1), []
    while month_of(day) == month:
        days.append(day)
        day += dt.timedelta(days=1)
    return days


def contract_on(contract: Contract, on: dt.date) -> Contract:
    """The contract with all that has been agreed up to a day."""
    now = contract
    for amendment in sorted(contract.amendments, key=lambda a: a.effective_from):
        if amendment.effective_from > on:
            break
        now = replace(
            now,
            customer_id=amendment.customer_id or now.customer_id,
            legal_entity=amendment.legal_entity or now.legal_entity,
            kind=amendment.kind or now.kind,
            terms=amendment.terms or now.terms,
            valid_to=amendment.valid_to or now.valid_to,
        )
    return now


def in_term(contract: Contract, on: dt.date) -> bool:
    """Whether a day is within the term of a contract that is as of that day."""
    return contract.valid_from <= on and (contract.valid_to is None or on <= contract.valid_to)


def component_of(contract: Contract, code: str | None) -> Component | None:
    """The component of this code."""
    return next((c for c in contract.terms.components if c.code == code), None)


def component_for(contract: Contract, project: str) -> Component | None:
    """The component that names the project, else the one that names none."""
    named = [c for c in contract.terms.components if project in c.projects]
    rest = [c for c in contract.terms.components if not c.projects]
    return (named or rest or [None])[0]


def fx(rates: Sequence[FxRate], source: str, target: str, on: dt.date) -> Fraction | None:
    """Units of `target` for one of `source`, by the latest quotation up to the day: direct, inverse, or across one."""
    if source == target:
        return Fraction(1)
    direct = _quoted(rates, source, target, on)
    if direct is not None:
        return direct
    for pivot in sorted({r.from_currency for r in rates} | {r.to_currency for r in rates}):
        first, second = _quoted(rates, source, pivot, on), _quoted(rates, pivot, target, on)
        if first is not None and second is not None:
            return first * second
    return None


def _quoted(rates: Sequence[FxRate], source: str, target: str, on: dt.date) -> Fraction | None:
    for one, other, inverse in ((source, target, False), (target, source, True)):
        known = [r for r in rates if (r.from_currency, r.to_currency) == (one, other) and r.date <= on]
        if known:
            rate = Fraction(max(known, key=lambda r: (r.date, r.id)).rate)
            return 1 / rate if inverse else rate
    return None


def holds_on(valid_from: dt.date | None, valid_to: dt.date | None, on: dt.date) -> bool:
    """Whether a day is within dates of which None is open."""
    return (valid_from is None or valid_from <= on) and (valid_to is None or on <= valid_to)
