"""From BambooHR's records to facts. Pure: no I/O, no clock.

Documentation: https://documentation.bamboohr.com/reference, "Get Employee" (schema GetEmployeeResponse) and "Get
Changed Employee Table Data" (its sample shows the compensation table); the table's columns and their values:
https://www.bamboohr.com/api/documentation/tables.php, "Compensation Table".

Every function raises MalformedRecordError for a record that it cannot understand.
"""

import datetime as dt
import decimal
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import pairwise

from psa_erp_assets.adapters.connectors.reading import Record, currency, date, optional_text, text
from psa_erp_assets.domain.facts import CostRateFacts, EmployeeFacts
from psa_erp_assets.domain.malformed import MalformedRecordError
from psa_erp_assets.domain.money import Money

COST_RATE_PLACES = 4
"""Digits of an hourly cost after the decimal point, rounded half-up once: as many as ERPs keep of a unit price."""

_PERIODS_A_YEAR = {"year": 1, "quarter": 4, "month": 12, "week": 52}
_NO_DATE = "0000-00-00"  # how BambooHR writes an empty date in some tables
_CONTEXT = decimal.Context(prec=50, rounding=decimal.ROUND_HALF_UP)


@dataclass(frozen=True, slots=True, kw_only=True)
class CostRule:
    """How pay becomes the cost of an hour.

    `burden` is what the employer pays on top of pay, as a fraction of it: 0.2 is 20 %. `annual_hours` are the
    hours that a year's salary buys.
    """

    burden: Decimal
    annual_hours: int

    def __post_init__(self) -> None:
        if self.annual_hours <= 0 or not self.burden.is_finite() or self.burden < 0:
            raise ValueError("a cost rule needs positive annual hours and a burden of zero or more")


@dataclass(frozen=True, slots=True, kw_only=True)
class CostHistory:
    """One employee's cost rates, none overlapping another, and what is wrong with the rows that gave none.

    Where a row is malformed there is a gap and not the rate before it: work in the gap is held for want of a
    cost, which somebody sees, and not costed at a rate that has ended, which nobody does.
    """

    rates: tuple[CostRateFacts, ...]
    malformed: tuple[MalformedRecordError, ...]


def employee_facts(employee: Record) -> EmployeeFacts:
    """A GetEmployeeResponse with EMPLOYEE_FIELDS. The division is the code of the legal entity that employs them."""
    email = optional_text(employee, "workEmail")
    names = (optional_text(employee, "firstName"), optional_text(employee, "lastName"))
    return EmployeeFacts(
        hr_id=text(employee, "id"),
        employee_number=text(employee, "employeeNumber"),
        name=" ".join(name for name in names if name),
        email=None if email is None else email.lower(),
        legal_entity=text(employee, "division"),
        department=optional_text(employee, "department") or "",
        job_title=optional_text(employee, "jobTitle"),
        active=optional_text(employee, "status") == "Active",
    )


def cost_histories(rows: Sequence[Record], rule: CostRule) -> dict[str, CostHistory]:
    """The cost rates of each employee (by their id in HR) from all rows of the compensation table.

    Rows that do not say whose they are stand under the empty id, all malformed.
    """
    of_employee: dict[str, list[Record]] = defaultdict(list)
    for row in rows:
        owner = row.get("employeeId")
        of_employee[owner.strip() if isinstance(owner, str) else ""].append(row)
    return {hr_id: cost_history(own, rule) for hr_id, own in of_employee.items()}


def cost_history(rows: Sequence[Record], rule: CostRule) -> CostHistory:
    """One employee's cost rates. A row holds until the day before the next one, or until its own end date.

    Two rows of one date that disagree are both malformed. A row without a readable date could mean any time, so
    then there are no rates at all.
    """
    try:
        dated = sorted(((date(row, "startDate"), row) for row in rows), key=lambda pair: pair[0])
    except MalformedRecordError as error:
        return CostHistory(rates=(), malformed=(error,))
    starts = sorted({start for start, _ in dated})
    last_days = {a: b - dt.timedelta(days=1) for a, b in pairwise(starts)}
    rates: list[CostRateFacts] = []
    malformed: list[MalformedRecordError] = []
    for start in starts:
        try:
            rate = _one_rate([row for day, row in dated if day == start], rule)
        except MalformedRecordError as error:
            malformed.append(MalformedRecordError(f"compensation from {start}: {error.reason}"))
        else:
            ends = [day for day in (rate.valid_to, last_days.get(start)) if day is not None]
            rates.append(replace(rate, valid_to=min(ends, default=None)))
    return CostHistory(rates=tuple(rates), malformed=tuple(malformed))


def cost_rate_facts(row: Record, rule: CostRule) -> CostRateFacts:
    """One row of the compensation table by itself, open at its end unless it has an end date of its own.

    A salary: pay a year × (1 + burden) ÷ annual hours. Hourly pay: pay × (1 + burden).
    """
    start = date(row, "startDate")
    end = None if optional_text(row, "endDate") in (None, _NO_DATE) else date(row, "endDate")
    if end is not None and end < start:
        raise MalformedRecordError("endDate is before startDate")
    pay = _pay(row)
    burdened = _CONTEXT.multiply(pay.amount, 1 + rule.burden)
    if not _is_hourly(row):
        a_year = _CONTEXT.multiply(burdened, Decimal(_periods_a_year(row)))
        burdened = _CONTEXT.divide(a_year, Decimal(rule.annual_hours))
    per_hour = burdened.quantize(Decimal(1).scaleb(-COST_RATE_PLACES), context=_CONTEXT)
    return CostRateFacts(
        hr_id=text(row, "employeeId"),
        hr_row_id=text(row, "id"),
        per_hour=Money(per_hour, pay.currency),
        valid_from=start,
        valid_to=end,
    )


def _one_rate(rows: Sequence[Record], rule: CostRule) -> CostRateFacts:
    rates = [cost_rate_facts(row, rule) for row in rows]
    if len({(rate.per_hour, rate.valid_to) for rate in rates}) > 1:
        raise MalformedRecordError(f"startDate {rates[0].valid_from} has two rows that disagree")
    return min(rates, key=lambda rate: rate.hr_row_id)


def _is_hourly(row: Record) -> bool:
    kind = text(row, "type").lower()
    if kind not in ("salary", "hourly"):
        raise MalformedRecordError(f"type {kind[:40]!r} is not one of salary and hourly")
    return kind == "hourly"


def _periods_a_year(row: Record) -> int:
    """How often a year the salary is paid; a row that does not say is an annual salary."""
    period = (optional_text(row, "paidPer") or "year").lower()
    if period not in _PERIODS_A_YEAR:
        raise MalformedRecordError(f"paidPer {period[:40]!r} has no fixed number in a year")
    return _PERIODS_A_YEAR[period]


def _pay(row: Record) -> Money:
    """The rate, which the API writes as {"value": "75000.00", "currency": "USD"} or as "75000 USD"."""
    rate = row.get("rate")
    if isinstance(rate, str):
        value, _, code = rate.strip().rpartition(" ")
        rate = {"value": value, "currency": code}
    if not isinstance(rate, dict):
        raise MalformedRecordError("rate is missing")
    try:
        amount = Decimal(text(rate, "value"))
    except decimal.InvalidOperation:
        raise MalformedRecordError("rate is no amount") from None
    # The upper bound keeps a slip of the keyboard (and 1E+999) from overflowing the arithmetic.
    if not amount.is_finite() or not 0 <= amount < Decimal(10) ** 15:
        raise MalformedRecordError("rate is not an amount of zero or more")
    return Money(amount, currency(rate, "currency"))
