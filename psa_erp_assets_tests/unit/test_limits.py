"""How far a cap or a retainer's hours reach into a piece of work."""

import datetime as dt
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from psa_erp_assets.domain.balances import RetainerHours
from psa_erp_assets.domain.calendar import ServiceMonth
from psa_erp_assets.domain.effects import BillingLine
from psa_erp_assets.domain.limits import Available, beyond_cap, draw, hours_of_month, retainers_of
from psa_erp_assets.domain.money import Rounding, for_minutes
from psa_erp_assets.domain.records import Amendment
from psa_erp_assets.domain.terms import RetainerTerms
from psa_erp_assets.domain.values import replace
from psa_erp_assets_tests.support.contract_months import NOVEMBER, OCTOBER, SEPTEMBER, contract_of, retainer, terms_of
from psa_erp_assets_tests.support.facts import CONTRACT, money
from psa_erp_assets_tests.support.postings import make_effect


def line(minutes: int, rate: str = "100.00") -> BillingLine:
    made = make_effect(minutes, rate=rate)
    assert isinstance(made, BillingLine)
    per_hour = money(rate)
    return replace(made, per_hour=per_hour, amount=for_minutes(per_hour, minutes).rounded(Rounding.HALF_EVEN))


def hours(month: ServiceMonth, minutes: int) -> RetainerHours:
    return RetainerHours(month=month, minutes=minutes)


def terms(included: int, rollover: int) -> RetainerTerms:
    return RetainerTerms(fee=money("1.00"), included_minutes=included, rollover_months=rollover)


@pytest.mark.parametrize(("minutes", "before"), [(60, "0"), (60, "100.00"), (0, "200.00")])
def test_work_up_to_the_cap_is_not_cut(minutes: int, before: str) -> None:
    """The last line below a cap would be split although all of it may be billed."""
    assert beyond_cap(line(minutes), money("200.00"), Decimal(before)) is None


def test_a_line_is_cut_at_the_cap_to_the_cent() -> None:
    """Edge case 26: 50.00 are left of the cap, which are 30 minutes of the hour; the other 30 are over."""
    cut = beyond_cap(line(60), money("200.00"), Decimal("150.00"))
    assert cut is not None
    assert cut.line is not None
    assert (cut.line.amount, cut.minutes, cut.over) == (money("50.00"), 30, money("50.00"))


@pytest.mark.parametrize("before", ["200.00", "250.00"])
def test_nothing_is_billed_beyond_a_cap_that_is_reached(before: str) -> None:
    """A cap lowered below what was billed already must bill no negative line either."""
    cut = beyond_cap(line(60), money("200.00"), Decimal(before))
    assert cut is not None
    assert (cut.line, cut.minutes, cut.billed_amount, cut.over) == (None, 0, Decimal(0), money("100.00"))


@given(
    minutes=st.integers(1, 1000),
    rate=st.integers(1, 5_000_000).map(lambda n: f"{Decimal(n) / 10000}"),
    cap=st.integers(0, 100_000),
    before=st.integers(0, 100_000),
)
def test_what_a_cap_cuts_off_and_what_it_leaves_are_the_line(minutes: int, rate: str, cap: int, before: int) -> None:
    """A cent or a minute that is neither billed nor over has vanished."""
    whole, limit, so_far = line(minutes, rate), money(f"{cap / 100:.2f}"), Decimal(before) / 100
    cut = beyond_cap(whole, limit, so_far)
    if cut is None:
        assert so_far + whole.amount.amount <= limit.amount or not whole.amount.amount
        return
    assert cut.billed_amount + cut.over.amount == whole.amount.amount
    assert 0 <= cut.minutes <= minutes
    if cut.line is not None:
        assert so_far + cut.billed_amount == limit.amount


def test_the_oldest_hours_are_used_first() -> None:
    """Hours that expire next month would expire unused while fresh ones are spent."""
    available = Available((hours(SEPTEMBER, 60), hours(OCTOBER, 60)))
    assert draw(available, 90) == (Available((hours(OCTOBER, 30),)), 90)
    assert draw(available, 200) == (Available(()), 120)


@pytest.mark.parametrize(
    ("rollover", "expected"),
    [
        (0, [(NOVEMBER, 600)]),
        (1, [(OCTOBER, 20), (NOVEMBER, 600)]),
        (2, [(SEPTEMBER, 10), (OCTOBER, 20), (NOVEMBER, 600)]),
    ],
)
def test_hours_roll_over_for_as_long_as_agreed_and_then_expire(
    rollover: int, expected: list[tuple[ServiceMonth, int]]
) -> None:
    """The customer loses hours too early, or is given hours that have expired."""
    found = hours_of_month(terms(600, rollover), [hours(OCTOBER, 20), hours(SEPTEMBER, 10)], NOVEMBER)
    assert [(h.month, h.minutes) for h in found.left] == expected


def test_settling_a_month_again_does_not_bring_its_hours_twice() -> None:
    """A balance that has the month's own hours in it would double them."""
    found = hours_of_month(terms(600, 3), [hours(NOVEMBER, 100)], NOVEMBER)
    assert found.left == (hours(NOVEMBER, 600),)


def test_hours_roll_over_the_end_of_a_year() -> None:
    """December and January are one month apart."""
    found = hours_of_month(terms(0, 1), [hours(ServiceMonth(2026, 12), 5)], ServiceMonth(2027, 1))
    assert found.left == (hours(ServiceMonth(2026, 12), 5),)


MID = dt.date(2026, 9, 15)
TIME = CONTRACT.terms


def amended(first: object, then: object, on: dt.date = MID) -> dict[str, tuple[dt.date, str]]:
    change = Amendment(id="A1", effective_from=on, terms=then)  # type: ignore[arg-type]
    contract = replace(CONTRACT, terms=first, amendments=(change,))
    return {code: (r.on, str(r.terms.fee.amount)) for code, r in retainers_of(contract, SEPTEMBER).items()}


@pytest.mark.parametrize(
    ("first", "then", "expected"),
    [
        (terms_of(retainer(60)), TIME, {"main": (dt.date(2026, 9, 1), "1000.00")}),
        (TIME, terms_of(retainer(60)), {"main": (MID, "1000.00")}),
        (terms_of(retainer(60)), terms_of(retainer(60, fee="2000.00")), {"main": (MID, "2000.00")}),
        (
            terms_of(retainer(60)),
            terms_of(retainer(60), discount=Decimal("0.1")),
            {"main": (dt.date(2026, 9, 1), "1000.00")},
        ),
        (TIME, TIME, {}),
    ],
    ids=["ends", "begins", "changes", "stays", "is none"],
)
def test_a_month_in_which_a_retainer_is_amended_has_one(first: object, then: object, expected: object) -> None:
    """Work that the hours cover would be paid by no fee, or a month would be billed two of them."""
    assert amended(first, then) == expected


@pytest.mark.parametrize(
    ("term", "months"),
    [
        ({"valid_from": dt.date(2026, 10, 31), "valid_to": None}, [OCTOBER, NOVEMBER]),
        ({"valid_from": dt.date(2026, 9, 1), "valid_to": dt.date(2026, 10, 1)}, [SEPTEMBER, OCTOBER]),
    ],
)
def test_a_retainer_is_in_each_month_that_its_term_touches(
    term: dict[str, dt.date], months: list[ServiceMonth]
) -> None:
    """A first or last month would be free of charge, or one outside the term billed."""
    contract = contract_of(retainer(60), changes=term)
    assert [m for m in (SEPTEMBER, OCTOBER, NOVEMBER) if retainers_of(contract, m)] == months
