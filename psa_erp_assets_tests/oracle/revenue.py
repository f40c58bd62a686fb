"""What a component has earned by a month's end, and what must be provided for a loss, in exact fractions."""

import datetime as dt
from fractions import Fraction

from psa_erp_assets.domain.terms import Component, DayCount, Recognition
from psa_erp_assets_tests.oracle.world import days_of, month_of, next_month, rounded, to_digits


def earned(
    component: Component,
    *,
    price: Fraction | None,
    start: dt.date,
    end: dt.date | None,
    last: dt.date,
    billed: Fraction,
    milestones: Fraction,
    cost: Fraction,
    minutes: int,
    currency: str,
    into: Fraction,
    half_up: bool,
) -> tuple[Fraction, Fraction] | None:
    """Earned to date in the contract's currency, rounded, and the exact provision in the entity's; None for a gap."""
    terms, grows = component.recognition, component.retainer is not None and end is None
    if terms.method is Recognition.AS_BILLED:
        amount = billed
    elif price is None:
        return None
    elif terms.method is Recognition.MILESTONE:
        amount = min(milestones, price)
    elif terms.method is Recognition.STRAIGHT_LINE and grows:
        amount = price
    elif terms.method is Recognition.STRAIGHT_LINE:
        if end is None or end < start:
            return None
        amount = price * days(start, min(end, last), terms.day_count) / days(start, end, terms.day_count)
    else:
        done = _done(component, cost, minutes)
        if grows or done is None:
            return None
        digits = terms.percent_digits
        amount = price * (done if digits is None else to_digits(done, digits, half_up))
    amount = rounded(amount, currency, half_up)
    if price is None or grows or terms.estimate.total_cost is None:
        return amount, Fraction(0)
    # What is still to come of the cost, less what is still to come of the revenue as it is booked.
    total, revenue = max(Fraction(terms.estimate.total_cost), cost), max(price, amount)
    if total <= revenue * into:
        return amount, Fraction(0)
    return amount, max(total - cost - (revenue - amount) * into, Fraction(0))


def _done(component: Component, cost: Fraction, minutes: int) -> Fraction | None:
    """The part of the estimated hours or cost that is done, from nought to one."""
    terms = component.recognition
    if terms.method is Recognition.HOURS:
        part, whole = Fraction(minutes), Fraction(terms.estimate.total_minutes or 0)
    else:
        excluded = Fraction(terms.estimate.excluded_cost)
        part, whole = cost - excluded, Fraction(terms.estimate.total_cost or 0) - excluded
    return min(max(part, Fraction(0)), whole) / whole if whole > 0 else None


def days(first: dt.date, last: dt.date, count: DayCount) -> int:
    """The days from `first` to `last`, each month thirty of them where the terms count so."""
    if last < first:
        return 0
    if count is DayCount.CALENDAR_DAYS:
        return (last - first).days + 1
    month, total = month_of(first), 0
    while month <= month_of(last):
        whole = days_of(month)
        begin = min(first.day, 30) if month == month_of(first) else 1
        if first == whole[-1] and month == month_of(first):
            begin = 30
        until = 30 if month != month_of(last) or last == whole[-1] else min(last.day, 30)
        total += until - begin + 1
        month = next_month(month)
    return total
