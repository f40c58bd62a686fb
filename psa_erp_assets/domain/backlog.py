"""Backlog: what signed contracts will still earn, month by month.

The remaining performance obligation of ASC 606-10-50-13 (IFRS 15.120). Who calls leaves out what is not signed, and
contracts that the customer may cancel at will.
"""

import datetime as dt
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from psa_erp_assets.domain.calendar import ServiceMonth
from psa_erp_assets.domain.money import Money, Rounding, allocate
from psa_erp_assets.domain.revenue import (
    Earned,
    Progress,
    RevenueGap,
    contract_price,
    earned_to_date,
    months_between,
)
from psa_erp_assets.domain.terms import Component, ContractKind, Recognition

Waterfall = list[tuple[ServiceMonth, Money]]
"""Months in their order with what each will earn, none of them nought."""


def waterfall(
    component: Component,
    progress: Progress,
    *,
    start: dt.date,
    end: dt.date | None,
    rounding: Rounding,
    planned: Iterable[tuple[dt.date, Money]] = (),
    price: Money | None = None,
) -> Waterfall | RevenueGap:
    """What is still to be earned after the progress's month, in the contract's currency.

    The amounts sum to the price less what is earned, to the cent; to the cap less what is billed, which is the most
    that a cap lets through. Work that is only priced by the hour has no backlog. `price` is that of `earned_to_date`.

    - STRAIGHT_LINE: what each month will earn by the day count of the terms.
    - Milestones: by planned date. `planned` are the dates and amounts of those not accepted yet; what they leave open
      of the price goes to the last month, and what is over it is left out.
    - As billed: instalments by their due dates, a retainer's fees by their months.
    - COST_TO_COST, HOURS and a cap: evenly over the months left, because nobody has said when the work will be done.

    What is overdue, and everything where the term has no end or is over, goes to the next month. A retainer without
    an end has only earned months. The gap is that of `earned_to_date`.
    """
    price = price or contract_price(component, start=start, end=end, through=progress.month)
    earned = earned_to_date(component, progress, start=start, end=end, rounding=rounding, price=price)
    if isinstance(earned, RevenueGap):
        return earned
    limit = component.cap or price
    if limit is None:
        return []
    first = max(progress.month.next(), ServiceMonth.of(start))
    in_term = list(months_between(first, ServiceMonth.of(end))) if end is not None else []
    ahead, left, method = in_term or [first], limit - earned.amount, component.recognition.method
    parts: Iterable[tuple[ServiceMonth, Money]]
    if method is Recognition.AS_BILLED and component.retainer is not None:
        # Not the price less what is billed: hours beyond the retainer are billed too, and shorten no later fee.
        parts = [(month, component.retainer.fee) for month in in_term]
    elif left.amount <= 0:
        parts = []
    elif method is Recognition.STRAIGHT_LINE:
        parts = _straight(component, progress, limit, ahead, start=start, end=end, rounding=rounding)
    elif method is Recognition.AS_BILLED and component.instalments:
        # The latest first, so that it is the earliest that count as billed.
        due = sorted(component.instalments, key=lambda i: i.due, reverse=True)
        parts = _as_planned([(i.due, i.amount) for i in due], left, ahead)
    elif method is Recognition.MILESTONE or (
        method is Recognition.AS_BILLED and component.kind is ContractKind.FIXED_FEE_MILESTONE
    ):
        parts = _as_planned(sorted(planned, key=lambda part: part[0]), left, ahead)
    else:
        parts = zip(ahead, allocate(left, [1] * len(ahead)), strict=True)
    return _by_month(parts)


def _straight(
    component: Component,
    progress: Progress,
    price: Money,
    ahead: Sequence[ServiceMonth],
    *,
    start: dt.date,
    end: dt.date | None,
    rounding: Rounding,
) -> Iterator[tuple[ServiceMonth, Money]]:
    """The differences of what is earned to date, which are what the months will book, to the cent."""
    before = None
    for month in (progress.month, *ahead):
        then = replace(progress, month=month)
        earned = earned_to_date(component, then, start=start, end=end, rounding=rounding, price=price)
        assert isinstance(earned, Earned)
        if before is not None:
            yield month, earned.amount - before
        before = earned.amount


def _as_planned(
    planned: Iterable[tuple[dt.date, Money]], left: Money, ahead: Sequence[ServiceMonth]
) -> Iterator[tuple[ServiceMonth, Money]]:
    """The planned parts, in the order given, as far as `left` reaches; the rest in the last month of all."""
    last = ahead[-1]
    for day, amount in planned:
        month = max(ServiceMonth.of(day), ahead[0])
        last = max(last, month)
        part = amount if (left - amount).amount >= 0 else left
        left = left - part
        yield month, part
    yield last, left


def _by_month(parts: Iterable[tuple[ServiceMonth, Money]]) -> Waterfall:
    months: dict[ServiceMonth, Money] = {}
    for month, amount in parts:
        months[month] = months[month] + amount if month in months else amount
    return sorted((part for part in months.items() if part[1].amount), key=lambda part: part[0])
