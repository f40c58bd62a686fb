"""BambooHR's employees and compensation as facts."""

import datetime as dt
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from psa_erp_assets.adapters.connectors.bamboohr.canonical import (
    CostRule,
    cost_histories,
    cost_history,
    cost_rate_facts,
    employee_facts,
)
from psa_erp_assets.domain.malformed import MalformedRecordError
from psa_erp_assets.domain.money import Money

RULE = CostRule(burden=Decimal("0.2"), annual_hours=1760)


def row(start: str | None = "2026-01-01", row_id: str = "1", **changes: Any) -> dict[str, Any]:
    return {
        "id": row_id,
        "employeeId": "11",
        "startDate": start,
        "rate": {"value": "88000.00", "currency": "USD"},
        "type": "Salary",
        "paidPer": "Year",
        **changes,
    }


def test_an_employee_becomes_facts() -> None:
    """The ordinary case; the work e-mail is in the one spelling in which the PSA's is compared."""
    facts = employee_facts(
        {
            "id": "11",
            "employeeNumber": "EMP-0001",
            "firstName": "A",
            "lastName": "B",
            "workEmail": "A.B@Example.com",
            "division": "US",
            "department": "Data",
            "status": "Active",
        }
    )
    assert (facts.employee_number, facts.hr_id, facts.name) == ("EMP-0001", "11", "A B")
    assert (facts.email, facts.legal_entity, facts.department) == ("a.b@example.com", "US", "Data")
    assert facts.active


@pytest.mark.parametrize("missing", ["id", "employeeNumber", "division"])
def test_an_employee_without_identity_or_entity_is_malformed(missing: str) -> None:
    """Without the entity the cost would land in no books."""
    whole = {"id": "11", "employeeNumber": "EMP-0001", "division": "US"}
    assert employee_facts(whole).email is None
    with pytest.raises(MalformedRecordError, match=missing):
        employee_facts({**whole, missing: None})


@pytest.mark.parametrize(
    ("changes", "per_hour"),
    [
        ({}, "60.0000"),
        ({"rate": "88000 USD"}, "60.0000"),
        ({"rate": {"value": "100000", "currency": "USD"}}, "68.1818"),
        ({"paidPer": "Month", "rate": "7333.33 USD"}, "60.0000"),
        ({"paidPer": None}, "60.0000"),
        ({"type": "Hourly", "paidPer": "Hour", "rate": "56.00 USD"}, "67.2000"),
        ({"type": "hourly", "paidPer": "Week", "rate": "56.00 USD"}, "67.2000"),
    ],
)
def test_pay_becomes_the_cost_of_an_hour(changes: dict[str, Any], per_hour: str) -> None:
    """An error here is an error in every margin of the company."""
    assert cost_rate_facts(row(**changes), RULE).per_hour == Money(Decimal(per_hour), "USD")


@given(cents=st.integers(min_value=0, max_value=10**9), hours=st.integers(min_value=1, max_value=3000))
def test_the_hourly_cost_is_the_salary_to_half_a_digit(cents: int, hours: int) -> None:
    """Rounding happens once, at the end: never further off than half of the last digit that is kept."""
    salary, rule = Decimal(cents) / 100, CostRule(burden=Decimal("0.23"), annual_hours=hours)
    per_hour = cost_rate_facts(row(rate=f"{salary} USD"), rule).per_hour.amount
    assert abs(per_hour * hours - salary * Decimal("1.23")) <= Decimal("0.00005") * hours


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"rate": None}, "rate is missing"),
        ({"rate": "USD"}, "value is missing"),
        ({"rate": "much USD"}, "no amount"),
        ({"rate": "-1 USD"}, "zero or more"),
        ({"rate": "NaN USD"}, "zero or more"),
        ({"rate": "1E+999 USD"}, "zero or more"),
        ({"rate": "75,000 USD"}, "no amount"),
        ({"rate": "75000 dollars"}, "currency"),
        ({"type": "Commission"}, "commission"),
        ({"paidPer": "Day"}, "day"),
        ({"endDate": "2025-01-01"}, "before startDate"),
    ],
)
def test_pay_that_cannot_be_understood_is_malformed(changes: dict[str, Any], reason: str) -> None:
    """A commission has no hourly cost; a slip of the keyboard must not become one."""
    with pytest.raises(MalformedRecordError, match=reason):
        cost_rate_facts(row(**changes), RULE)


def test_each_rate_ends_where_the_next_begins_in_any_order_of_rows() -> None:
    """The table comes in no order, and without it two rates would hold at once."""
    rows = [row("2026-07-01", "3"), row("2025-01-01", "1"), row("2026-01-01", "2")]
    history = cost_history(rows, RULE)
    assert [(r.valid_from, r.valid_to) for r in history.rates] == [
        (dt.date(2025, 1, 1), dt.date(2025, 12, 31)),
        (dt.date(2026, 1, 1), dt.date(2026, 6, 30)),
        (dt.date(2026, 7, 1), None),
    ]
    assert history.malformed == ()


def test_an_end_of_its_own_is_kept_where_it_is_earlier() -> None:
    """A leave between two jobs is a gap, not the old salary; an empty date is no end."""
    history = cost_history(
        [row("2026-01-01", endDate="2026-03-31"), row("2026-06-01", "2", endDate="0000-00-00")], RULE
    )
    assert [r.valid_to for r in history.rates] == [dt.date(2026, 3, 31), None]


def test_a_malformed_row_is_a_gap_and_not_the_rate_before_it() -> None:
    """Work after an unreadable raise must be held, not costed at the old salary."""
    history = cost_history([row("2026-01-01"), row("2026-07-01", "2", rate="a lot USD")], RULE)
    assert [(r.valid_from, r.valid_to) for r in history.rates] == [(dt.date(2026, 1, 1), dt.date(2026, 6, 30))]
    assert [m.reason for m in history.malformed] == ["compensation from 2026-07-01: rate is no amount"]


def test_two_rows_of_one_date_must_agree() -> None:
    """Taking either would be a guess; the same row twice is no contradiction."""
    assert cost_history([row(row_id="1"), row(row_id="2", rate="1 USD")], RULE).rates == ()
    assert len(cost_history([row(row_id="1"), row(row_id="2")], RULE).rates) == 1


def test_a_row_without_a_date_leaves_the_employee_without_rates() -> None:
    """It could be the newest raise, or the oldest."""
    history = cost_history([row("2026-01-01"), row(None, "2")], RULE)
    assert (history.rates, [m.reason for m in history.malformed]) == ((), ["startDate is missing"])


def test_one_employees_bad_row_leaves_the_others_alone() -> None:
    """One bad row must not cost everybody their rates, nor vanish."""
    histories = cost_histories([row(), row(None, "2", employeeId="12"), row(row_id="3", employeeId=None)], RULE)
    assert {key: (len(h.rates), len(h.malformed)) for key, h in histories.items()} == {
        "11": (1, 0),
        "12": (0, 1),
        "": (0, 1),
    }


@pytest.mark.parametrize(("burden", "hours"), [("-0.1", 1760), ("NaN", 1760), ("0.2", 0)])
def test_a_rule_that_makes_no_sense_is_refused(burden: str, hours: int) -> None:
    """A mistyped setting must stop the sync before it costs anything."""
    with pytest.raises(ValueError, match="cost rule"):
        CostRule(burden=Decimal(burden), annual_hours=hours)
