"""Revenue, backlog and expected losses by example: the published figures, and each method's edges."""

import datetime as dt
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest

from psa_erp_assets.domain.backlog import Waterfall, waterfall
from psa_erp_assets.domain.calendar import ServiceMonth
from psa_erp_assets.domain.faults import FAULTS
from psa_erp_assets.domain.money import CurrencyMismatchError, Money, Rounding, allocate, divide
from psa_erp_assets.domain.revenue import (
    Earned,
    Progress,
    Recognized,
    RevenueGap,
    Translation,
    contract_price,
    days_between,
    earned_to_date,
    movement,
    position,
)
from psa_erp_assets.domain.terms import (
    Component,
    ContractKind,
    DayCount,
    Estimate,
    Instalment,
    Recognition,
    RecognitionTerms,
    RetainerTerms,
)
from psa_erp_assets_tests.support.facts import money

START, END = dt.date(2026, 1, 1), dt.date(2026, 12, 31)
MONTH = ServiceMonth(2026, 6)


def fixed(fee: str = "120000.00", method: Recognition = Recognition.STRAIGHT_LINE, **recognition: Any) -> Component:
    """A fixed fee with this method, and an estimate or a day count if a test gives one."""
    return Component(
        code="main",
        kind=ContractKind.FIXED_FEE_MILESTONE,
        fee=money(fee),
        recognition=RecognitionTerms(method=method, **recognition),
    )


def by_cost(fee: str, total: str, excluded: str = "0", digits: int | None = None) -> Component:
    estimate = Estimate(total_cost=Decimal(total), excluded_cost=Decimal(excluded))
    return fixed(fee, Recognition.COST_TO_COST, estimate=estimate, percent_digits=digits)


def retainer(method: Recognition, total_cost: str | None = None) -> Component:
    return Component(
        code="care",
        kind=ContractKind.RETAINER,
        retainer=RetainerTerms(fee=money("1000.00"), included_minutes=600),
        recognition=RecognitionTerms(
            method=method, estimate=Estimate(total_cost=Decimal(total_cost) if total_cost else None)
        ),
    )


def progress(month: ServiceMonth = MONTH, **changes: Any) -> Progress:
    """Nothing yet, unless a test says otherwise."""
    nothing = {"billed": money("0.00"), "cost": Decimal(0), "minutes": 0, "milestones": money("0.00")}
    return Progress(month=month, **(nothing | changes))


def asked(
    component: Component,
    done: Progress,
    start: dt.date = START,
    end: dt.date | None = END,
    books: Translation | None = None,
) -> Earned | RevenueGap:
    return earned_to_date(component, done, start=start, end=end, rounding=Rounding.HALF_UP, books=books)


def earned(component: Component, done: Progress, **changes: Any) -> Earned:
    found = asked(component, done, **changes)
    assert isinstance(found, Earned)
    return found


def left(component: Component, done: Progress, end: dt.date | None = END, **changes: Any) -> list[tuple[str, str]]:
    """The waterfall as texts."""
    found = waterfall(component, done, start=START, end=end, rounding=Rounding.HALF_UP, **changes)
    assert not isinstance(found, RevenueGap)
    return shown(found)


def shown(found: Waterfall) -> list[tuple[str, str]]:
    return [(str(month), str(amount.amount)) for month, amount in found]


class TestPublishedFigures:
    """Examples of standards and of other systems' tests; broken, revenue is not what an auditor computes."""

    @pytest.mark.parametrize(("digits", "catch_up"), [(3, "91200.00"), (None, "91463.41")])
    def test_a_modification_is_caught_up(self, digits: int | None, catch_up: str) -> None:
        """IFRS 15 example 8: 60 % of 1,000,000, then 420,000 of 820,000 of a price of 1,350,000."""
        done = progress(cost=Decimal(420_000))
        before = earned(by_cost("1000000.00", "700000", digits=digits), done)
        after = earned(by_cost("1350000.00", "820000", digits=digits), done)
        assert (before.amount, before.percent) == (money("600000.00"), Decimal("0.6"))
        booked = movement(Recognized(earned=before.amount, provided=before.provision), after)
        assert booked.recognition == money(catch_up)
        assert digits is None or after.percent == Decimal("0.512")

    def test_a_higher_price_is_caught_up(self) -> None:
        """ASC 606 modification guide: 42,000 × 12/36 - 12,000 = +2,000 after a year of three at 36,000."""
        term = {"start": dt.date(2026, 1, 1), "end": dt.date(2028, 12, 31)}
        year = progress(ServiceMonth(2026, 12))
        terms = {"day_count": DayCount.THIRTY_DAY_MONTHS}
        before = earned(fixed("36000.00", **terms), year, **term)
        assert before.amount == money("12000.00")
        booked = movement(
            Recognized(earned=before.amount, provided=before.provision),
            earned(fixed("42000.00", **terms), year, **term),
        )
        assert booked.recognition == money("2000.00")

    @pytest.mark.parametrize(
        ("count", "shares"),
        [
            (DayCount.THIRTY_DAY_MONTHS, ["10000.00", "20000.00", "20000.00"]),
            (DayCount.CALENDAR_DAYS, ["10666.67", "18666.66", "20666.67"]),
        ],
    )
    def test_deferred_revenue_by_month(self, count: DayCount, shares: list[str]) -> None:
        """ERPNext's test suite, by months: 50,000 from 2019-01-16 to 2019-03-31. By days: 16, 28 and 31 of 75."""
        component = fixed("50000.00", day_count=count)
        term = {"start": dt.date(2019, 1, 16), "end": dt.date(2019, 3, 31)}
        to_date = [
            earned(component, progress(ServiceMonth(2019, month)), **term).amount.amount for month in (1, 2, 3, 4)
        ]
        assert [str(to_date[0]), *(str(b - a) for a, b in pairwise(to_date[:3]))] == shares
        assert to_date[3] == to_date[2]

    def test_proration_by_calendar_days(self) -> None:
        """Kill Bill's test suite: monthly from 2012-03-02 until before 2012-06-02 is 92/31 = 2.967741935 months."""
        count = DayCount.CALENDAR_DAYS
        days = days_between(dt.date(2012, 3, 2), dt.date(2012, 6, 1), count)
        of_month = days_between(dt.date(2012, 3, 2), dt.date(2012, 4, 1), count)
        assert (days, of_month) == (92, 31)
        months = divide(Decimal(days), Decimal(of_month))
        assert months.quantize(Decimal("1e-9")) == Decimal("2.967741935")

    def test_a_prepaid_price_is_split_by_hours(self) -> None:
        """odoo#127875: of 12.00, two hours of three have earned what the split gives them, 8.00; one more, 4.00."""
        component = fixed("12.00", Recognition.HOURS, estimate=Estimate(total_minutes=180))
        two, three = (earned(component, progress(minutes=minutes)).amount for minutes in (120, 180))
        assert [two, three - two] == allocate(money("12.00"), [120, 60]) == [money("8.00"), money("4.00")]


class TestMethods:
    def test_as_billed_earns_what_is_billed(self) -> None:
        """Time and materials without a price would otherwise earn nothing."""
        component = Component(code="main", kind=ContractKind.TIME_AND_MATERIALS)
        found = earned(component, progress(billed=money("83.33")))
        assert (found.amount, found.percent, found.expected_loss) == (money("83.33"), None, None)

    @pytest.mark.parametrize(
        ("month", "amount"),
        [("2025-12", "0.00"), ("2026-01", "10000.00"), ("2026-12", "120000.00"), ("2027-01", "120000.00")],
    )
    def test_straight_line_begins_and_ends_with_the_term(self, month: str, amount: str) -> None:
        """A month before or after the term that earned something would bring more or less than the price."""
        component = fixed(day_count=DayCount.THIRTY_DAY_MONTHS)
        assert earned(component, progress(ServiceMonth.parse(month))).amount == money(amount)

    def test_a_half_is_not_lost_to_a_fraction(self) -> None:
        """0.13 ÷ 26 is exactly half a cent, which rounds up; (1 ÷ 26) × 0.13 is a little less and would not."""
        component = fixed("0.13", Recognition.HOURS, estimate=Estimate(total_minutes=26))
        assert earned(component, progress(minutes=1)).amount == money("0.01")

    def test_milestones_earn_no_more_than_the_fee(self) -> None:
        """An amendment may lower the fee below what has been accepted."""
        component = fixed("100.00", Recognition.MILESTONE)
        assert earned(component, progress(milestones=money("60.00"))).amount == money("60.00")
        assert earned(component, progress(milestones=money("140.00"))).amount == money("100.00")

    def test_excluded_cost_measures_no_progress(self) -> None:
        """ASC 606-10-55-21: 100 of wasted cost in 300 of 500 leave 200 of 400. Counted, half would look like 60 %."""
        found = earned(by_cost("1000.00", "500", excluded="100"), progress(cost=Decimal(300)))
        assert (found.amount, found.percent) == (money("500.00"), Decimal("0.5"))

    def test_a_grown_estimate_takes_revenue_back(self) -> None:
        """Negative catch-up: 400 of 500 was 800.00 of 1,000.00; 400 of 640 is 625.00, so 175.00 too much was booked."""
        done = progress(cost=Decimal(400))
        before = earned(by_cost("1000.00", "500"), done)
        booked = Recognized(earned=before.amount, provided=before.provision)
        assert movement(booked, earned(by_cost("1000.00", "640"), done)).recognition == money("-175.00")

    @pytest.mark.parametrize(("cost", "amount"), [("-5", "0.00"), ("50", "0.00"), ("9000", "1000.00")])
    def test_cost_beyond_the_estimate_earns_no_more_than_the_price(self, cost: str, amount: str) -> None:
        """Neither does cost below the excluded one, or a credit, earn less than nothing."""
        assert earned(by_cost("1000.00", "500", "100"), progress(cost=Decimal(cost))).amount == money(amount)

    def test_a_retainer_without_an_end_earns_its_months(self) -> None:
        """Nobody knows its whole price, but each month's fee is earned when the month is over."""
        component = retainer(Recognition.STRAIGHT_LINE)
        assert earned(component, progress(ServiceMonth(2026, 3)), end=None).amount == money("3000.00")
        assert earned(component, progress(ServiceMonth(2025, 12)), end=None).amount == money("0.00")

    def test_the_price_of_a_retainer_is_that_of_the_months_that_it_is_billed_for(self) -> None:
        """A term from mid-January to the first of March is billed three fees; with two, revenue would fall short."""
        term = {"start": dt.date(2026, 1, 15), "end": dt.date(2026, 3, 1)}
        assert contract_price(retainer(Recognition.AS_BILLED), **term, through=MONTH) == money("3000.00")

    @pytest.mark.parametrize(
        ("component", "end"),
        [
            (fixed(), None),
            (fixed(), dt.date(2025, 12, 31)),
            (fixed(method=Recognition.COST_TO_COST), END),
            (by_cost("100.00", "100", excluded="100"), END),
            (fixed(method=Recognition.HOURS), END),
            (retainer(Recognition.HOURS), None),
            (
                Component(
                    code="main",
                    kind=ContractKind.TIME_AND_MATERIALS,
                    recognition=RecognitionTerms(method=Recognition.STRAIGHT_LINE),
                ),
                END,
            ),
        ],
    )
    def test_terms_that_cannot_be_measured_are_a_gap(self, component: Component, end: dt.date | None) -> None:
        """A division by nought would stop the contract; nought would be a figure that nobody asks about."""
        gap = asked(component, progress(), end=end)
        assert isinstance(gap, RevenueGap)
        assert gap.code in FAULTS
        assert component.code in gap.detail
        assert component.recognition.method in gap.detail
        assert waterfall(component, progress(), start=START, end=end, rounding=Rounding.HALF_UP) == gap

    def test_amounts_in_another_currency_are_refused(self) -> None:
        """Dollars of milestones within a fee in pounds would earn a total that means nothing."""
        with pytest.raises(CurrencyMismatchError):
            asked(fixed(method=Recognition.MILESTONE), progress(milestones=money("1", "USD")))


class TestDayCount:
    @pytest.mark.parametrize(
        ("first", "last", "days"),
        [
            ("2026-02-01", "2026-02-28", 30),
            ("2028-02-01", "2028-02-29", 30),
            ("2026-01-16", "2026-01-31", 15),
            ("2026-01-31", "2026-01-31", 1),
            ("2026-02-28", "2026-03-01", 2),
            ("2026-01-01", "2026-12-31", 360),
            ("2026-01-02", "2026-01-01", 0),
        ],
    )
    def test_a_month_of_thirty_days(self, first: str, last: str, days: int) -> None:
        """February would otherwise weigh less than January in a fee of equal months."""
        span = (dt.date.fromisoformat(first), dt.date.fromisoformat(last))
        assert days_between(*span, DayCount.THIRTY_DAY_MONTHS) == days


class TestExpectedLoss:
    """ASC 605-35-25-45: an expected loss is recognized whole when it is known, not as the work goes on."""

    def test_the_whole_loss_is_booked_at_once_and_taken_up_by_progress(self) -> None:
        """Price 1,000, cost 1,200: at 25 % the loss so far is 50, so 150 of the 200 are provided; released later."""
        component, booked = by_cost("1000.00", "1200"), Recognized(earned=money("0.00"), provided=money("0.00"))
        results, provided = [], []
        for month, cost in enumerate((300, 600, 1200), start=1):
            found = earned(component, progress(ServiceMonth(2026, month), cost=Decimal(cost)))
            step = movement(booked, found)
            provided.append(step.loss_provision)
            booked = Recognized(earned=found.amount, provided=found.provision)
            results.append((found.amount - money(str(cost)) - found.provision).amount)
            assert found.expected_loss == money("200.00")
        assert results == [-200, -200, -200]
        assert provided == [money("150.00"), money("-50.00"), money("-100.00")]

    def test_an_estimate_that_turns_good_releases_the_provision(self) -> None:
        """A provision that stayed would be a loss that never comes."""
        found = earned(by_cost("1000.00", "900"), progress(cost=Decimal(300)))
        assert found.expected_loss is None
        before = Recognized(earned=money("0.00"), provided=money("150.00"))
        assert movement(before, found).loss_provision == money("-150.00")

    def test_cost_beyond_the_estimate_is_a_loss_already_borne(self) -> None:
        """Nothing is left to provide: the cost is booked and the price earned."""
        found = earned(by_cost("1000.00", "900"), progress(cost=Decimal(1100)))
        assert (found.expected_loss, found.provision) == (money("100.00"), money("0.00"))

    def test_the_price_is_translated_into_the_books(self) -> None:
        """Price 1,000 GBP at 1.25 against 1,400 USD: 150 USD of loss; compared as numbers it would be 400."""
        books = Translation(currency="USD", rate=Decimal("1.25"))
        found = earned(by_cost("1000.00", "1400"), progress(cost=Decimal(700)), books=books)
        assert found.amount == money("500.00")
        assert found.expected_loss == money("150.00", "USD")
        assert found.provision == money("75.00", "USD")

    def test_other_methods_provide_too(self) -> None:
        """Milestones none of which is accepted, 400 of 1,200 spent: 400 is lost so far, and the profit still to come,
        1,000 less 800, is no more loss. The provision must not exceed what is still to be lost."""
        estimate = Estimate(total_cost=Decimal(1200))
        component = fixed("1000.00", Recognition.MILESTONE, estimate=estimate)
        assert earned(component, progress(cost=Decimal(400))).provision == money("0.00")
        accepted = progress(cost=Decimal(400), milestones=money("500.00"))
        assert earned(component, accepted).provision == money("300.00")

    def test_a_retainer_without_an_end_expects_none(self) -> None:
        """The price so far against the cost of the whole would be a loss in each first month."""
        component = retainer(Recognition.AS_BILLED, total_cost="13000")
        assert earned(component, progress(), end=None).expected_loss is None
        assert earned(component, progress()).expected_loss == money("1000.00")

    def test_what_is_billed_beyond_the_price_pays_too(self) -> None:
        """Twelve fees of 1,000 against a cost of 13,000 are a loss, with 1,500 of overage on top they are none."""
        component = retainer(Recognition.AS_BILLED, total_cost="13000")
        assert earned(component, progress(billed=money("13500.00"), cost=Decimal(9000))).expected_loss is None
        found = earned(component, progress(billed=money("12400.00"), cost=Decimal(9000)))
        assert (found.expected_loss, found.provision) == (money("600.00"), money("4000.00"))

    @pytest.mark.parametrize("rate", ["0", "-1", "NaN", "Infinity"])
    def test_a_rate_that_is_none_is_refused(self, rate: str) -> None:
        """Nought for a missing rate would make each contract a total loss."""
        with pytest.raises(ValueError, match="rate"):
            Translation(currency="USD", rate=Decimal(rate))


class TestPosition:
    """IFRS 15.105-107: one figure a contract, an asset or a liability."""

    def test_earned_before_it_is_billed_is_an_asset(self) -> None:
        """Unbilled work that is missing in the balance sheet."""
        found = position(money("100.00"), money("60.00"))
        assert (found.asset, found.liability) == (money("40.00"), money("0"))

    def test_billed_before_it_is_earned_is_a_liability(self) -> None:
        """Deferred revenue: 50,000 billed in advance, 10,000 earned in January."""
        found = position(money("10000.00"), money("50000.00"))
        assert (found.asset, found.liability) == (money("0"), money("40000.00"))

    def test_two_currencies_are_refused(self) -> None:
        """A net of pounds and dollars is none."""
        with pytest.raises(CurrencyMismatchError):
            position(money("1"), money("1", "USD"))


class TestBacklog:
    """ASC 606-10-50-13: the contracted value that is not recognized yet, by month."""

    def test_straight_line_is_what_the_months_will_book(self) -> None:
        """A forecast that differs from the later entries by a cent would never reconcile."""
        component = fixed("100.00", day_count=DayCount.THIRTY_DAY_MONTHS)
        ahead = left(component, progress(ServiceMonth(2026, 9)))
        assert ahead == [("2026-10", "8.33"), ("2026-11", "8.34"), ("2026-12", "8.33")]

    def test_a_contract_that_has_not_begun_is_all_backlog(self) -> None:
        """Signed in November 2025, it begins in January: nothing falls into December."""
        november = progress(ServiceMonth(2025, 11))
        by_hours = fixed("12.00", Recognition.HOURS, estimate=Estimate(total_minutes=60))
        for component in (fixed("12.00", day_count=DayCount.THIRTY_DAY_MONTHS), by_hours):
            assert left(component, november) == [(f"2026-{month:02}", "1.00") for month in range(1, 13)]

    def test_milestones_fall_into_their_months(self) -> None:
        """An overdue one is expected next month, and what no milestone is planned for at the end of the term."""
        planned = [(dt.date(2026, 8, 31), money("30.00")), (dt.date(2026, 5, 2), money("20.00"))]
        done = progress(milestones=money("40.00"))
        ahead = left(fixed("100.00", Recognition.MILESTONE), done, planned=planned)
        assert ahead == [("2026-07", "20.00"), ("2026-08", "30.00"), ("2026-12", "10.00")]

    def test_what_is_not_planned_comes_with_the_last_milestone(self) -> None:
        """Planned after the term's end, it ends the work; the rest of the fee is not earned before it."""
        planned = [(dt.date(2027, 2, 1), money("30.00"))]
        assert left(fixed("100.00", Recognition.MILESTONE), progress(), planned=planned) == [("2027-02", "100.00")]

    def test_milestones_planned_over_the_fee_are_left_out(self) -> None:
        """They would be held when they come; the earliest fit."""
        planned = [(dt.date(2027, 2, 1), money("60.00")), (dt.date(2026, 7, 1), money("60.00"))]
        ahead = left(fixed("100.00", Recognition.MILESTONE), progress(), planned=planned)
        assert ahead == [("2026-07", "60.00"), ("2027-02", "40.00")]

    def test_work_by_percentage_is_spread_evenly(self) -> None:
        """100.00 less half over the six months left, to the cent."""
        component = fixed("100.00", Recognition.HOURS, estimate=Estimate(total_minutes=100))
        ahead = left(component, progress(minutes=50))
        assert [amount for _, amount in ahead] == ["8.34", "8.34", "8.33", "8.33", "8.33", "8.33"]
        assert ahead[0][0] == "2026-07"

    @pytest.mark.parametrize("end", [None, dt.date(2026, 5, 31)])
    def test_without_months_left_the_rest_is_expected_next_month(self, end: dt.date | None) -> None:
        """A late project's backlog would vanish with the end of its term."""
        component = fixed("100.00", Recognition.HOURS, estimate=Estimate(total_minutes=100))
        assert left(component, progress(minutes=50), end=end) == [("2026-07", "50.00")]

    def test_instalments_are_billed_when_they_are_due(self) -> None:
        """March's 40 is billed in part, so 10 of it is expected next month, and the rest as agreed."""
        parts = [("2026-03-31", "40.00"), ("2026-09-30", "60.00"), ("2026-11-30", "20.00")]
        component = Component(
            code="main",
            kind=ContractKind.FIXED_FEE_SCHEDULE,
            fee=money("120.00"),
            instalments=tuple(Instalment(due=dt.date.fromisoformat(d), amount=money(a), label=d) for d, a in parts),
        )
        ahead = left(component, progress(billed=money("30.00")))
        assert ahead == [("2026-07", "10.00"), ("2026-09", "60.00"), ("2026-11", "20.00")]

    def test_overage_of_a_retainer_shortens_no_later_fee(self) -> None:
        """Six fees and 5,000 of overage are billed; the six fees to come are backlog still."""
        ahead = left(retainer(Recognition.AS_BILLED), progress(billed=money("11000.00")))
        assert ahead == [(f"2026-{month:02}", "1000.00") for month in range(7, 13)]
        assert left(retainer(Recognition.AS_BILLED), progress(), end=None) == []

    def test_a_retainer_whose_fee_was_amended_has_the_price_that_is_given(self) -> None:
        """Six months at 800 and six at 1,000 are 10,800; by today's fee alone it would be 12,000."""
        component = retainer(Recognition.STRAIGHT_LINE)
        price, term = money("10800.00"), {"start": START, "end": END, "rounding": Rounding.HALF_UP}
        to_date = earned_to_date(component, progress(), **term, price=price)
        ahead = waterfall(component, progress(), **term, price=price)
        assert isinstance(to_date, Earned)
        assert not isinstance(ahead, RevenueGap)
        assert to_date.amount == money("5355.62")
        assert sum(amount.amount for _, amount in ahead) == (price - to_date.amount).amount

    def test_a_retainer_without_an_end_has_earned_all_its_months(self) -> None:
        """A month that nobody has committed to is no backlog."""
        assert left(retainer(Recognition.STRAIGHT_LINE), progress(), end=None) == []

    def test_a_cap_leaves_what_it_still_lets_through(self) -> None:
        """Time and materials without a cap promises nothing."""
        component = Component(code="main", kind=ContractKind.CAPPED, cap=money("90.00"))
        done = progress(ServiceMonth(2026, 10), billed=money("70.00"))
        assert left(component, done) == [("2026-11", "10.00"), ("2026-12", "10.00")]
        assert left(Component(code="main", kind=ContractKind.TIME_AND_MATERIALS), done) == []

    def test_a_fee_billed_by_milestone_is_planned_by_milestone(self) -> None:
        """Billing is earning there, so the planned dates say when."""
        planned = [(dt.date(2026, 8, 31), money("100.00"))]
        assert left(fixed("100.00", Recognition.AS_BILLED), progress(), planned=planned) == [("2026-08", "100.00")]

    def test_planned_amounts_in_another_currency_are_refused(self) -> None:
        """They would be taken off a fee in pounds as if they were pounds."""
        planned = [(dt.date(2026, 8, 31), Money(Decimal(1), "USD"))]
        with pytest.raises(CurrencyMismatchError):
            left(fixed("100.00", Recognition.MILESTONE), progress(), planned=planned)
