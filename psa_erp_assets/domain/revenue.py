"""Revenue: what a component of a contract has earned by the end of a month, and what is booked because of it.

Everything is cumulative. What is booked in a month is what is earned to date less what was recognized before, so a
change of the price or of an estimate is caught up in the month in which it is known, in one entry that may be
negative (cumulative catch-up: ASC 606-10-25-13(b) and 25-35, IFRS 15.21(b) and 15.43).

What belongs here: the price, the measures of progress, expected losses, contract asset and liability. What does not:
what is still to be earned (`backlog`), and the entries themselves.
"""

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from psa_erp_assets.domain.calendar import ServiceMonth
from psa_erp_assets.domain.money import Money, Rounding, divide, multiply
from psa_erp_assets.domain.terms import Component, DayCount, Recognition

_ONE = Decimal(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """What has happened under a component from its first month to the end of `month`.

    `billed` are its own lines, without expenses that are passed on (they are revenue as they are billed), and
    `milestones` the amounts of the accepted ones, both in the contract's currency. `cost` is in the entity's currency
    and includes what measures no progress. `minutes` are approved.
    """

    month: ServiceMonth
    billed: Money
    cost: Decimal
    minutes: int
    milestones: Money


@dataclass(frozen=True, slots=True, kw_only=True)
class Translation:
    """Into the currency of the entity's books: `rate` units of it are one unit of the contract's currency."""

    currency: str
    rate: Decimal

    def __post_init__(self) -> None:
        if not self.rate.is_finite() or self.rate <= 0:
            raise ValueError(f"a rate is a positive number, not {self.rate}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Earned:
    """What is earned to date, and what must be provided for losses.

    `amount` is in the contract's currency, rounded to its minor unit. `percent` is the part of the work that is done,
    as a fraction (0.512 is 51.2 %), or None where the method measures none. `expected_loss` on the whole component
    (None: no loss is expected, or nothing is estimated) and `provision`, the part of it that no progress has taken up
    yet, are in the entity's currency.
    """

    amount: Money
    percent: Decimal | None
    expected_loss: Money | None
    provision: Money


@dataclass(frozen=True, slots=True, kw_only=True)
class RevenueGap:
    """Why it cannot be said what is earned: `code` is one of `faults.FAULTS`."""

    code: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Recognized:
    """What was booked before: revenue in the contract's currency, the provision in the entity's."""

    earned: Money
    provided: Money


@dataclass(frozen=True, slots=True, kw_only=True)
class Movement:
    """What is to be booked: `recognition` in the contract's currency, `loss_provision` in the entity's."""

    recognition: Money
    loss_provision: Money


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """A contract's balance: earned and not billed yet (`asset`), or billed and not earned yet (`liability`).

    Neither is negative and one of them is nought. The liability is the deferred revenue.
    """

    asset: Money
    liability: Money


def earned_to_date(
    component: Component,
    progress: Progress,
    *,
    start: dt.date,
    end: dt.date | None,
    rounding: Rounding,
    books: Translation | None = None,
    price: Money | None = None,
) -> Earned | RevenueGap:
    """What a component has earned by the end of the progress's month, under its terms as they are now.

    `start` and `end` are the first and the last day of the term. Without `books` they are in the contract's currency.
    `price` is the component's `contract_price` unless one is given (a retainer whose fee was amended has another).

    | method | earned to date | source |
    |---|---|---|
    | AS_BILLED | what is billed | ASC 606-10-55-18, IFRS 15.B16 |
    | STRAIGHT_LINE | price × days of the term so far ÷ days of the term | ASC 606-10-55-20, IFRS 15.B18 |
    | MILESTONE | the accepted milestones | ASC 606-10-55-17, IFRS 15.B15 |
    | COST_TO_COST | price × (cost - excluded) ÷ (estimated total cost - excluded) | ASC 606-10-55-20 and 55-21 |
    | HOURS | price × minutes ÷ estimated minutes | ASC 606-10-55-20, IFRS 15.B18 |

    All but AS_BILLED stay between nought and the price. `percent_digits` rounds the percentage of COST_TO_COST and
    HOURS before it multiplies the price. Excluded cost is wasted cost and uninstalled material: it measures no
    progress, and no revenue without a margin is recognized for it either. A retainer without an end earns straight
    line the fee of each month so far.

    The gap is `malformed_terms` where the method needs a price, an end or an estimate that is not there. Raises
    CurrencyMismatchError if billed amounts or milestones are not in the currency of the price.
    """
    terms = component.recognition
    books = books or Translation(currency=progress.billed.currency, rate=_ONE)
    price = price or contract_price(component, start=start, end=end, through=progress.month)
    percent: Decimal | None = None
    if terms.method is Recognition.AS_BILLED:
        amount = progress.billed
    elif price is None:
        return _gap(component, "it has no price")
    elif terms.method is Recognition.MILESTONE:
        over = (progress.milestones - price).amount > 0
        amount = price if over else progress.milestones
    else:
        digits = None
        if terms.method is Recognition.STRAIGHT_LINE:
            done = _elapsed(component, progress.month, start, end)
        else:
            done, digits = _completed(component, progress, end, books.currency), terms.percent_digits
        if isinstance(done, str):
            return _gap(component, done)
        amount, percent = done.of(price, digits, rounding)
    amount = amount.rounded(rounding)
    whole = None if _is_open(component, end) else price
    loss, provision = _loss(component, whole, amount, Money(progress.cost, books.currency), books)
    return Earned(
        amount=amount,
        percent=percent,
        expected_loss=loss.rounded(rounding) if loss is not None else None,
        provision=provision.rounded(rounding),
    )


def movement(before: Recognized, earned: Earned) -> Movement:
    """What is to be booked so that what is recognized becomes what is earned, and what is provided what must be.

    Recognition is earned to date less recognized to date; the provision moves by what must be provided to date less
    what is. Both may be negative. Raises CurrencyMismatchError if the two are not of the same currencies.
    """
    return Movement(
        recognition=earned.amount - before.earned,
        loss_provision=earned.provision - before.provided,
    )


def position(earned: Money, billed: Money) -> Position:
    """The contract asset or liability of one contract: earned to date less billed to date, over all its components.

    Net within a contract, never across contracts: an asset of one does not shorten the liability of another (IFRS
    15.105-107). What is billed is a receivable and no part of it. Raises CurrencyMismatchError.
    """
    net, nothing = earned - billed, Money(Decimal(0), earned.currency)
    return Position(asset=net if net.amount > 0 else nothing, liability=-net if net.amount < 0 else nothing)


def contract_price(component: Component, *, start: dt.date, end: dt.date | None, through: ServiceMonth) -> Money | None:
    """The price of a component in the contract's currency; None for what is only priced by the hour.

    A fixed fee's is the fee. A retainer's is its fee times the calendar months that the term touches, which are those
    that it is billed for; without an end, those up to `through`. A cap limits what is billed and promises nothing.
    """
    if component.retainer is None:
        return component.fee
    months = months_between(ServiceMonth.of(start), ServiceMonth.of(end) if end is not None else through)
    return component.retainer.fee.times(Decimal(len(list(months))))


def days_between(first: dt.date, last: dt.date, count: DayCount) -> int:
    """The days from `first` to `last`, both included, by a convention; below one if `last` is before `first`.

    The days of consecutive spans that each begin with a month add up to those of the whole.
    """
    if count is DayCount.CALENDAR_DAYS:
        return (last - first).days + 1
    return _thirtieths(last) - _thirtieths(first) + 1


def months_between(first: ServiceMonth, last: ServiceMonth) -> Iterator[ServiceMonth]:
    """The months from `first` to `last`, both included; none if `last` is before `first`."""
    while first <= last:
        yield first
        first = first.next()


@dataclass(frozen=True, slots=True)
class _Done:
    """A measure of progress: so much of so much, with `part` from nought to `whole`."""

    part: Decimal
    whole: Decimal

    def of(self, price: Money, digits: int | None, rounding: Rounding) -> tuple[Money, Decimal]:
        """The part of a price, and the fraction that it is, rounded to so many digits first unless that is None."""
        fraction = divide(self.part, self.whole)
        if digits is not None:
            fraction = fraction.quantize(_ONE.scaleb(-digits), rounding=rounding.mode)
            return price.times(fraction), fraction
        # Multiplied before it is divided: a third of 0.03 is 0.01, and no half is lost to a fraction's last digit.
        return Money(divide(multiply(price.amount, self.part), self.whole), price.currency), fraction


def _elapsed(component: Component, month: ServiceMonth, start: dt.date, end: dt.date | None) -> _Done | str:
    """The days of the term up to the month's end, or what is missing. A retainer's months so far are all earned."""
    if _is_open(component, end):
        return _Done(_ONE, _ONE)
    if end is None or end < start:
        return "the contract's end is missing or before its start"
    count, until = component.recognition.day_count, min(end, month.last_day)
    part = days_between(start, until, count) if until >= start else 0
    return _Done(Decimal(part), Decimal(days_between(start, end, count)))


def _completed(component: Component, progress: Progress, end: dt.date | None, currency: str) -> _Done | str:
    """The work done of the work estimated, by cost or by time, or what is missing; never more than all of it."""
    if _is_open(component, end):
        return "the contract has no end, so that nothing can be estimated as a whole"
    estimate = component.recognition.estimate
    if component.recognition.method is Recognition.HOURS:
        whole, part = Decimal(estimate.total_minutes or 0), Decimal(progress.minutes)
    else:
        excluded = Money(estimate.excluded_cost, currency)
        whole = (Money(estimate.total_cost or Decimal(0), currency) - excluded).amount
        part = (Money(progress.cost, currency) - excluded).amount
    if whole <= 0:
        return "its estimate is missing or leaves nothing to measure progress by"
    return _Done(min(max(part, Decimal(0)), whole), whole)


def _loss(
    component: Component, price: Money | None, earned: Money, cost: Money, books: Translation
) -> tuple[Money | None, Money]:
    """The loss expected on the whole component, and what of it must be provided; both in the entity's currency.

    Loss: estimated total cost - price, if positive; the cost and the revenue so far take their places where they are
    more. Provision: the cost still to come - the revenue still to come, if positive. Revenue, cost and provision to
    date then come to the whole loss from the month in which it is known, and the provision goes down as progress takes
    the loss up (ASC 605-35-25-45 and 25-46). The price is translated and not the cost, because cost and provision are
    kept in the entity's books: otherwise the rates of many months would leave a rest in the provision.
    """
    nothing = Money(Decimal(0), books.currency)
    total_cost = component.recognition.estimate.total_cost
    if price is None or total_cost is None:
        return None, nothing
    if (earned - price).amount > 0:
        # Billed beyond the price, as a retainer's overage is.
        price = earned
    total = Money(max(total_cost, cost.amount), books.currency)
    loss = total - price.converted(books.rate, books.currency)
    if loss.amount <= 0:
        return None, nothing
    to_come = total - cost - (price - earned).converted(books.rate, books.currency)
    return loss, to_come if to_come.amount > 0 else nothing


def _is_open(component: Component, end: dt.date | None) -> bool:
    """Whether its price grows with every month."""
    return component.retainer is not None and end is None


def _thirtieths(day: dt.date) -> int:
    """The number of a day where every month has thirty; the last day of a month is its thirtieth."""
    is_last = day == ServiceMonth.of(day).last_day
    return (day.year * 12 + day.month) * 30 + (30 if is_last else min(day.day, 30))


def _gap(component: Component, why: str) -> RevenueGap:
    method = component.recognition.method
    return RevenueGap(code="malformed_terms", detail=f"component {component.code} earns {method}: {why}")
