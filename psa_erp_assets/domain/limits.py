"""Caps and retainers: how far a limit reaches into a piece of work.

What belongs here: the arithmetic of the limit. What does not: what becomes of a decision because of it (`account`).
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal

from psa_erp_assets.domain.balances import RetainerHours
from psa_erp_assets.domain.calendar import ServiceMonth
from psa_erp_assets.domain.effects import BillingLine
from psa_erp_assets.domain.money import Money, divide, multiply
from psa_erp_assets.domain.records import Contract
from psa_erp_assets.domain.terms import Component, RetainerTerms
from psa_erp_assets.domain.values import replace


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """A line that a cap cuts off: what is billed of it (`line`, None if nothing), what is over, and why."""

    line: BillingLine | None
    over: Money
    detail: str

    @property
    def minutes(self) -> int:
        """The minutes that are billed."""
        return self.line.minutes if self.line is not None else 0

    @property
    def billed_amount(self) -> Decimal:
        """What is billed."""
        return self.line.amount.amount if self.line is not None else Decimal(0)


def beyond_cap(line: BillingLine, cap: Money, billed_before: Decimal) -> Cut | None:
    """Cut a line of time at a not-to-exceed cap; None where all of it is below.

    The cap is billed to the cent. The billed minutes are those that the amount left is worth at the line's rate, to
    the nearest minute, because an invoice line shows a quantity.
    """
    found = room_below(cap, line.amount, billed_before, per_hour=line.per_hour, minutes=line.minutes)
    if found is None:
        return None
    detail = f"beyond the cap of {cap}"
    minutes, left = found
    if not left.amount:
        return Cut(line=None, over=line.amount, detail=detail)
    return Cut(line=replace(line, minutes=minutes, amount=left), over=line.amount - left, detail=detail)


def room_below(
    cap: Money, amount: Money, used_before: Decimal, *, per_hour: Money | None, minutes: int
) -> tuple[int, Money] | None:
    """How much of some minutes of work, and of what they are worth, is below a cap; None where all of it is."""
    left = max(cap.amount - used_before, Decimal(0))
    if amount.amount <= left:
        return None
    if not left or per_hour is None:
        return 0, Money(Decimal(0), cap.currency)
    worth = divide(multiply(left, Decimal(60)), per_hour.amount)
    return min(int(worth.to_integral_value(ROUND_HALF_EVEN)), minutes), Money(left, cap.currency)


@dataclass(frozen=True, slots=True, kw_only=True)
class MonthlyRetainer:
    """A retainer in a month: its terms, the day from which they hold there, component and contract as of that day."""

    on: dt.date
    terms: RetainerTerms
    component: Component
    contract: Contract


def retainers_of(contract: Contract, month: ServiceMonth) -> dict[str, MonthlyRetainer]:
    """The retainers that are in force on some day of a month, by component. `contract` is the record itself.

    A retainer is billed by the month that it touches, so that a month has one fee and one stock of hours. Where an
    amendment changes it within the month, the later terms count.
    """
    changes = {a.effective_from for a in contract.amendments}
    found: dict[str, MonthlyRetainer] = {}
    for on in sorted({max(month.first_day, contract.valid_from)} | changes):
        amended = contract.as_of(on)
        ended = amended.valid_to is not None and amended.valid_to < on
        if ServiceMonth.of(on) != month or on < contract.valid_from or ended:
            continue
        for component in amended.terms.components:
            terms, known = component.retainer, found.get(component.code)
            if terms is not None and (known is None or known.terms != terms):
                found[component.code] = MonthlyRetainer(on=on, terms=terms, component=component, contract=amended)
    return found


@dataclass(frozen=True, slots=True)
class Available:
    """A retainer's minutes that nobody has used, by the month that brought them, the oldest first."""

    left: tuple[RetainerHours, ...]

    @property
    def minutes(self) -> int:
        """All of them."""
        return sum(hours.minutes for hours in self.left)


def hours_of_month(terms: RetainerTerms, before: Sequence[RetainerHours], month: ServiceMonth) -> Available:
    """What a month begins with: the hours of earlier months that have not expired, and its own."""
    kept = [h for h in before if _months_between(h.month, month) <= terms.rollover_months and h.month != month]
    own = [RetainerHours(month=month, minutes=terms.included_minutes)] if terms.included_minutes else []
    return Available(tuple(sorted([*kept, *own], key=lambda h: h.month)))


def draw(available: Available, minutes: int) -> tuple[Available, int]:
    """Use up to so many minutes, the oldest first; answers with what is left and how many were covered."""
    left, covered = [], 0
    for hours in available.left:
        used = min(hours.minutes, minutes - covered)
        covered += used
        if hours.minutes > used:
            left.append(replace(hours, minutes=hours.minutes - used))
    return Available(tuple(left)), covered


def _months_between(earlier: ServiceMonth, later: ServiceMonth) -> int:
    return (later.year - earlier.year) * 12 + later.month - earlier.month
