"""A shadow plan beside what people billed by hand: what differs, why, and when it is safe to go live."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from psa_erp_assets.domain.calendar import ServiceMonth
from psa_erp_assets.domain.shadow import (
    ByHand,
    Compared,
    Explanation,
    GoLive,
    HeldWork,
    Line,
    Readiness,
    compare,
    readiness,
)
from psa_erp_assets.domain.values import replace
from psa_erp_assets_tests.support.facts import CONTRACT, PROJECT, make_master, money

AUGUST = ServiceMonth(2026, 8)
RULE = GoLive()


def month(number: int) -> ServiceMonth:
    return ServiceMonth(2026, number)


def line(
    amount: str,
    minutes: int = 60,
    *,
    contract: str | None = "CTR-0001",
    of: ServiceMonth = AUGUST,
    currency: str = "GBP",
) -> Line:
    return Line(contract_id=contract, month=of, amount=money(amount, currency), minutes=minutes)


def held(code: str = "no_bill_rate", contract: str = "CTR-0001") -> HeldWork:
    return HeldWork(contract_id=contract, month=AUGUST, code=code)


@pytest.mark.parametrize(
    ("planned", "by_hand", "holds", "why"),
    [
        ([line("100.00"), line("50.00", 30)], [line("150.00", 90)], [], Explanation.EQUAL),
        ([line("100.00")], [], [], Explanation.NOT_BILLED),
        ([], [line("100.00")], [], Explanation.NOT_PLANNED),
        ([], [line("100.00")], [held()], Explanation.HELD),
        ([line("100.00")], [line("150.00", 90)], [held()], Explanation.HELD),
        ([line("160.00", 96)], [line("150.00", 90)], [held()], Explanation.HOURS),
        ([line("100.00")], [line("150.00", 90)], [], Explanation.HOURS),
        ([line("100.00")], [line("110.00")], [], Explanation.PRICE),
        ([line("83.33", 50), line("83.33", 50)], [line("166.66", 100)], [], Explanation.EQUAL),
        # Edge case 10: a cent is what two lines of half a smallest unit each can be apart.
        ([line("3.33", 2), line("3.33", 2)], [line("6.67", 4)], [], Explanation.ROUNDING),
        ([line("6.66", 4)], [line("6.67", 4)], [], Explanation.PRICE),
    ],
)
def test_a_difference_says_why(
    planned: list[Line], by_hand: list[Line], holds: list[HeldWork], why: Explanation
) -> None:
    """Somebody would look for the difference in the wrong place."""
    (row,) = compare(planned, by_hand, holds)
    assert row.explained_by is why
    assert row.held == ({"no_bill_rate": 1} if holds else {})


def test_a_smallest_unit_is_the_currency_s_own() -> None:
    """Two yen would count as rounding, since they are less than two hundredths of a hundred."""
    (row,) = compare([line("1000", currency="JPY")], [line("1002", currency="JPY")])
    assert row.explained_by is Explanation.PRICE


def test_currencies_are_never_added_up() -> None:
    """A hundred pounds planned and a hundred euros billed would agree (erpnext#50390)."""
    rows = compare([line("100.00")], [line("100.00", currency="EUR")])
    assert [(row.currency, row.difference, row.explained_by) for row in rows] == [
        ("EUR", Decimal("-100.00"), Explanation.CURRENCY),
        ("GBP", Decimal("100.00"), Explanation.CURRENCY),
    ]


@given(
    st.lists(st.tuples(st.sampled_from(["A", "B", None]), st.integers(1, 12), st.integers(-(10**20), 10**20))),
    st.lists(st.tuples(st.sampled_from(["A", "B", None]), st.integers(1, 12), st.integers(-(10**20), 10**20))),
)
def test_no_line_is_lost_or_counted_twice(
    planned: list[tuple[str | None, int, int]], by_hand: list[tuple[str | None, int, int]]
) -> None:
    """Contracts would be found to agree because a line of one of them was left out."""
    sides = [
        [line(str(Decimal(cents).scaleb(-2)), contract=contract, of=month(number)) for contract, number, cents in side]
        for side in (planned, by_hand)
    ]
    rows = compare(*sides)
    keys = [(row.contract_id, row.month, row.currency) for row in rows]
    assert len(set(keys)) == len(keys)
    assert sum(row.planned_lines for row in rows) == len(planned)
    assert sum(row.by_hand_lines for row in rows) == len(by_hand)
    units = [money(str(row.difference)).minor_units() for row in rows]
    assert sum(units) == sum(cents for *_, cents in planned) - sum(cents for *_, cents in by_hand)


@pytest.mark.parametrize(
    ("by_hand", "planned", "within"),
    [
        ("100.00", "101.00", True),
        ("100.00", "101.01", False),
        ("1000.00", "1005.00", True),
        ("1000.00", "994.99", False),
        ("0.00", "1.00", True),
        ("-1000.00", "-1005.00", True),
        ("-1000.00", "-1005.01", False),
    ],
)
def test_the_tolerance_is_the_share_or_the_amount_whichever_is_more(by_hand: str, planned: str, within: bool) -> None:
    """Half a percent, or 1.00: small contracts would never agree, or large ones always."""
    (row,) = compare([line(planned)], [line(by_hand)])
    assert RULE.within(row) is within


def months(**apart: str) -> list[Compared]:
    """Rows of 1000.00 by hand for the months named m5, m6 …, so far apart; "none" for not billed by hand."""
    rows: list[Compared] = []
    for name, difference in apart.items():
        of = month(int(name[1:]))
        by_hand = [] if difference == "none" else [line("1000.00", of=of)]
        planned = [line(str(Decimal("1000.00") + Decimal(0 if difference == "none" else difference)), of=of)]
        rows += compare(planned, by_hand)
    return rows


def verdict(rows: list[Compared], **rule: object) -> Readiness:
    return readiness(rows, GoLive(**rule), AUGUST)  # type: ignore[arg-type]


def test_it_is_ready_when_enough_months_in_a_row_agree() -> None:
    """An entity would go live on a plan that nobody has seen agree."""
    found = verdict(months(m6="500", m7="2.00", m8="0"))
    assert (found.ready, found.agreed) == (True, (month(7), month(8)))
    assert not verdict(months(m6="500", m7="2.00", m8="0"), months=3).ready
    assert not verdict(months(m7="0", m8="500")).ready
    assert not verdict(months(m8="0")).ready


def test_a_gap_breaks_the_series() -> None:
    """June and August would count as two consecutive months."""
    assert not verdict(months(m6="0", m8="0")).ready


def test_one_contract_is_enough_to_wait() -> None:
    """The sum of all contracts agrees while each of them is wrong."""
    other = [
        row
        for amount, contract in (("900.00", "CTR-0002"), ("1100.00", "CTR-0003"))
        for row in compare([line(amount, contract=contract)], [line("1000.00", contract=contract)])
    ]
    found = verdict([*months(m7="0", m8="0"), *other])
    assert not found.ready
    assert found.sentence == (
        "0 of 2 consecutive months agree; apart in 2026-08: CTR-0002 by -100.00 GBP (price),"
        " CTR-0003 by 100.00 GBP (price)"
    )


def test_the_latest_month_may_not_be_billed_yet_but_no_more_than_that() -> None:
    """On the third of the month nothing could go live; or it would on the strength of last winter."""
    assert verdict(months(m6="0", m7="0", m8="none")).ready
    stale = verdict(months(m5="0", m6="0", m7="none", m8="none"))
    assert (stale.ready, stale.sentence) == (False, "nothing has been billed by hand since 2026-06")
    assert "nothing has been billed by hand in a month" in verdict(months(m7="none", m8="none")).sentence


def test_a_month_that_is_not_over_says_nothing() -> None:
    """Half a month planned against nothing billed would undo a year that agrees."""
    assert verdict(months(m7="0", m8="0", m9="700")).ready


def test_a_line_by_hand_belongs_to_the_contract_of_its_project_or_the_customer_s_only_one() -> None:
    """It would be compared with another contract's plan."""
    by_hand = ByHand(make_master())
    assert by_hand.contract_of("70", "501") == "CTR-0001"
    assert by_hand.contract_of(None, "501") == "CTR-0001"
    assert by_hand.contract_of("70", None) == "CTR-0001"
    assert by_hand.contract_of("70", "999") == "CTR-0001"
    assert by_hand.contract_of("71", "999") is None
    assert by_hand.contract_of(None, None) is None
    two = (CONTRACT, replace(CONTRACT, id="CTR-0002"))
    assert ByHand(make_master(contracts=two)).contract_of("70", None) is None
    shared = (PROJECT, replace(PROJECT, id="PRJ-0002", contract_id="CTR-0002"))
    assert ByHand(make_master(contracts=two, projects=shared)).contract_of(None, "501") is None
