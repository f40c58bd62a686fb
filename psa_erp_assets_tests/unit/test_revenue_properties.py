"""What holds for revenue whatever the contract, the progress, the currency and the history of estimates."""

import datetime as dt
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from psa_erp_assets.domain.backlog import waterfall
from psa_erp_assets.domain.calendar import ServiceMonth
from psa_erp_assets.domain.money import Money, Rounding
from psa_erp_assets.domain.revenue import (
    Earned,
    Progress,
    Recognized,
    RevenueGap,
    Translation,
    days_between,
    earned_to_date,
    months_between,
    movement,
    position,
)
from psa_erp_assets.domain.terms import (
    Component,
    ContractKind,
    DayCount,
    Estimate,
    Recognition,
    RecognitionTerms,
    RetainerTerms,
)

CURRENCIES = ("JPY", "USD", "KWD")
BOUNDED = [method for method in Recognition if method is not Recognition.AS_BILLED]
DAYS = st.dates(dt.date(2024, 1, 1), dt.date(2027, 12, 31))
UNITS = st.integers(0, 10**14)
ROUNDINGS = st.sampled_from(Rounding)


@dataclass(frozen=True)
class Case:
    """A component with its term and what has happened."""

    component: Component
    progress: Progress
    start: dt.date
    end: dt.date
    rounding: Rounding

    @property
    def price(self) -> Money:
        found = self.component.fee
        assert found is not None
        return found

    def earned(self, *, component: Component | None = None, progress: Progress | None = None) -> Earned:
        found = earned_to_date(
            component or self.component,
            progress or self.progress,
            start=self.start,
            end=self.end,
            rounding=self.rounding,
        )
        assert isinstance(found, Earned)
        return found

    def after(self, months: int) -> Progress:
        """The same progress so many months later."""
        month = self.progress.month
        for _ in range(months):
            month = month.next()
        return replace(self.progress, month=month)


@st.composite
def recognitions(draw: st.DrawFn, methods: list[Recognition]) -> RecognitionTerms:
    """With an estimate that each method can measure by; the cost has the digits that every currency has."""
    excluded = draw(st.integers(0, 10**6))
    total = excluded + draw(st.integers(1, 10**10))
    return RecognitionTerms(
        method=draw(st.sampled_from(methods)),
        estimate=Estimate(
            total_cost=Decimal(total), total_minutes=draw(st.integers(1, 10**6)), excluded_cost=Decimal(excluded)
        ),
        percent_digits=draw(st.none() | st.integers(0, 6)),
        day_count=draw(st.sampled_from(DayCount)),
    )


@st.composite
def progresses(draw: st.DrawFn, currency: str) -> Progress:
    return Progress(
        month=ServiceMonth.of(draw(DAYS)),
        billed=Money.from_minor_units(draw(UNITS), currency),
        cost=Decimal(draw(st.integers(-1000, 10**10))),
        minutes=draw(st.integers(0, 2 * 10**6)),
        milestones=Money.from_minor_units(draw(UNITS), currency),
    )


@st.composite
def cases(draw: st.DrawFn, *methods: Recognition) -> Case:
    """Fixed fees in currencies of 0, 2 and 3 decimals."""
    currency = draw(st.sampled_from(CURRENCIES))
    start, end = sorted((draw(DAYS), draw(DAYS)))
    component = Component(
        code="main",
        kind=ContractKind.FIXED_FEE_MILESTONE,
        fee=Money.from_minor_units(draw(UNITS), currency),
        recognition=draw(recognitions(list(methods or BOUNDED))),
    )
    return Case(component, draw(progresses(currency)), start, end, draw(ROUNDINGS))


def recognized(earned: Earned) -> Recognized:
    return Recognized(earned=earned.amount, provided=earned.provision)


@given(cases())
def test_recognized_revenue_is_never_more_than_the_price(case: Case) -> None:
    """Nor less than nought; broken, an overrun in cost would be income."""
    found = case.earned()
    assert 0 <= found.amount.amount <= case.price.amount
    assert found.amount == Money.from_minor_units(found.amount.minor_units(), case.price.currency)
    assert found.percent is None or 0 <= found.percent <= 1


@given(cases(), st.lists(st.tuples(recognitions(BOUNDED), UNITS, st.integers(0, 10**10)), max_size=6))
def test_the_months_sum_to_what_is_earned_whatever_the_estimates_were(
    case: Case, history: list[tuple[RecognitionTerms, int, int]]
) -> None:
    """Catch-up is path-independent: the last price, estimate and progress decide, and no provision is left behind."""
    zero = Money(Decimal(0), case.price.currency)
    booked, sums = Recognized(earned=zero, provided=zero), [zero, zero]
    terms = [
        (replace(case.component, recognition=said, fee=Money.from_minor_units(fee, zero.currency)), Decimal(cost))
        for said, fee, cost in history
    ]
    for component, cost in [*terms, (case.component, case.progress.cost)]:
        found = case.earned(component=component, progress=replace(case.progress, cost=cost))
        step = movement(booked, found)
        sums = [sums[0] + step.recognition, sums[1] + step.loss_provision]
        booked = recognized(found)
    direct = case.earned()
    assert sums == [direct.amount, direct.provision]


@given(cases(), recognitions(BOUNDED), UNITS)
def test_a_reversal_is_symmetric(case: Case, said: RecognitionTerms, fee: int) -> None:
    """Terms that are amended and then put back book nothing in the end, in revenue and in the provision."""
    amended = replace(case.component, recognition=said, fee=Money.from_minor_units(fee, case.price.currency))
    before, after = case.earned(), case.earned(component=amended)
    there, back = movement(recognized(before), after), movement(recognized(after), case.earned())
    assert not (there.recognition + back.recognition).amount
    assert not (there.loss_provision + back.loss_provision).amount


@given(cases(Recognition.STRAIGHT_LINE))
def test_straight_line_sums_to_the_price_and_no_month_is_off_by_more_than_a_minor_unit(case: Case) -> None:
    """Rounded month by month, 100.00 over a year would be 99.96."""
    total = days_between(case.start, case.end, case.component.recognition.day_count)
    before, weights = Money(Decimal(0), case.price.currency), 0
    for month in months_between(ServiceMonth.of(case.start), ServiceMonth.of(case.end)):
        to_date = case.earned(progress=replace(case.progress, month=month)).amount
        first, last = max(case.start, month.first_day), min(case.end, month.last_day)
        weight = days_between(first, last, case.component.recognition.day_count)
        assert weight > 0
        share = Fraction(case.price.minor_units()) * weight / total
        assert abs((to_date - before).minor_units() - share) <= 1
        before, weights = to_date, weights + weight
    assert before == case.price
    assert weights == total


@given(cases(*Recognition), st.lists(st.tuples(DAYS, UNITS), max_size=5))
def test_waterfall_and_earned_are_the_price(case: Case, planned: list[tuple[dt.date, int]]) -> None:
    """Backlog that is not the rest of the price would be sold twice or never; as billed, it is what is not billed."""
    currency = case.price.currency
    found = waterfall(
        case.component,
        case.progress,
        start=case.start,
        end=case.end,
        rounding=case.rounding,
        planned=[(on, Money.from_minor_units(units, currency)) for on, units in planned],
    )
    assert not isinstance(found, RevenueGap)
    total = case.earned().amount
    for _, amount in found:
        assert amount.amount > 0
        total = total + amount
    assert total == (case.price if case.earned().amount.amount <= case.price.amount else case.earned().amount)
    months = [month for month, _ in found]
    assert months == sorted(set(months))
    assert all(month > case.progress.month for month in months)


@given(cases(Recognition.STRAIGHT_LINE), st.integers(1, 30))
def test_the_forecast_of_straight_line_is_what_is_booked_later(case: Case, months: int) -> None:
    """Else backlog and revenue would differ by cents in each month's reconciliation."""
    found = waterfall(case.component, case.progress, start=case.start, end=case.end, rounding=case.rounding)
    assert not isinstance(found, RevenueGap)
    later = case.after(months)
    forecast = sum((amount.amount for month, amount in found if month <= later.month), Decimal(0))
    booked = movement(recognized(case.earned()), case.earned(progress=later)).recognition
    assert booked.amount == forecast


@given(cases(Recognition.COST_TO_COST, Recognition.HOURS), st.integers(1, 10**9))
def test_a_grown_estimate_takes_revenue_back(case: Case, more: int) -> None:
    """Negative catch-up: with the same work done, more work ahead means that less is earned, never that more is."""
    was = case.component.recognition.estimate
    assert was.total_cost is not None
    assert was.total_minutes is not None
    grown = replace(was, total_cost=was.total_cost + more, total_minutes=was.total_minutes + more)
    terms = replace(case.component.recognition, estimate=grown)
    after = case.earned(component=replace(case.component, recognition=terms))
    assert movement(recognized(case.earned()), after).recognition.amount <= 0


@given(cases(), st.sampled_from(CURRENCIES), st.decimals("0.0001", 10000, places=6))
def test_a_known_loss_is_borne_whole(case: Case, currency: str, rate: Decimal) -> None:
    """Revenue, cost and provision to date come to the expected loss, or to more where more is lost already."""
    books = Translation(currency=currency, rate=rate)
    found = earned_to_date(
        case.component, case.progress, start=case.start, end=case.end, rounding=case.rounding, books=books
    )
    assert isinstance(found, Earned)
    assert found.provision.amount >= 0
    if found.expected_loss is None:
        assert not found.provision.amount
        return
    result = found.amount.converted(rate, currency) - Money(case.progress.cost, currency) - found.provision
    minor = Money.from_minor_units(1, currency)
    assert (result + found.expected_loss).amount <= minor.amount
    if found.provision.amount:
        assert (result + found.expected_loss).amount >= -minor.amount


@given(st.sampled_from(CURRENCIES), UNITS, UNITS)
def test_a_position_is_an_asset_or_a_liability_and_never_both(currency: str, earned: int, billed: int) -> None:
    """Both at once would blow up the balance sheet; their difference is the contract's balance in the ledger."""
    money = [Money.from_minor_units(units, currency) for units in (earned, billed)]
    found = position(*money)
    assert min(found.asset.amount, found.liability.amount) == 0
    assert max(found.asset.amount, found.liability.amount) >= 0
    assert found.asset - found.liability == money[0] - money[1]


@given(DAYS, DAYS, st.sampled_from(DayCount))
def test_days_of_months_add_up(first: dt.date, last: dt.date, count: DayCount) -> None:
    """A day lost between two months would be revenue that no month earns."""
    first, last = sorted((first, last))
    parts = [
        days_between(max(first, month.first_day), min(last, month.last_day), count)
        for month in months_between(ServiceMonth.of(first), ServiceMonth.of(last))
    ]
    assert sum(parts) == days_between(first, last, count)
    assert min(parts) >= 1


@given(cases(Recognition.STRAIGHT_LINE))
def test_a_retainer_earns_its_fees_by_the_end(case: Case) -> None:
    """All fees billed and all fees earned meet at the end of the term, with nothing left on the contract's balance."""
    component = Component(
        code="care",
        kind=ContractKind.RETAINER,
        retainer=RetainerTerms(fee=case.price, included_minutes=600),
        recognition=case.component.recognition,
    )
    months = list(months_between(ServiceMonth.of(case.start), ServiceMonth.of(case.end)))
    billed = case.price.times(Decimal(len(months)))
    found = case.earned(component=component, progress=replace(case.progress, month=months[-1]))
    assert found.amount == billed
    assert not position(found.amount, billed).asset.amount
    assert not position(found.amount, billed).liability.amount
