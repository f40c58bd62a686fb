"""Overlapping bill rates as stretches of days: of each day the rate that the rule gives, and never two."""

import datetime as dt

import duckdb
from hypothesis import given, settings
from hypothesis import strategies as st

from psa_erp_assets.settings import SQL_MODELS

_FIRST = dt.date(2026, 1, 1)
_DAYS = 14
_RATES = st.lists(
    st.tuples(
        st.sampled_from(["P1", "P2"]),
        st.sampled_from(["E1", None]),
        st.integers(0, _DAYS),
        st.none() | st.integers(0, _DAYS),
    ),
    max_size=7,
)
Rate = tuple[str, str, str | None, dt.date, dt.date | None]


def _rates(drawn: list[tuple[str, str | None, int, int | None]]) -> list[Rate]:
    return [
        (f"BR-{number}", project, employee, _day(first), None if last is None else _day(last))
        for number, (project, employee, first, last) in enumerate(drawn)
    ]


def _day(number: int) -> dt.date:
    return _FIRST + dt.timedelta(days=number)


@settings(max_examples=60, deadline=None)
@given(drawn=_RATES)
def test_each_day_has_the_rate_that_began_last(drawn: list[tuple[str, str | None, int, int | None]]) -> None:
    """Work would be valued at a rate that is over, at none, or twice where the master data has rates that overlap."""
    rates = _rates(drawn)
    with duckdb.connect() as connection:
        connection.execute(
            "CREATE TABLE stg_bill_rates (bill_rate_id VARCHAR, project_id VARCHAR, employee_id VARCHAR,"
            " valid_from DATE, valid_to DATE, per_hour DECIMAL(18, 6), currency VARCHAR)"
        )
        for rate in rates:
            connection.execute("INSERT INTO stg_bill_rates VALUES (?, ?, ?, ?, ?, 100, 'USD')", rate)
        sql = (SQL_MODELS / "intermediate" / "int_bill_rates.sql").read_text(encoding="utf-8")
        stretches = connection.execute(
            f"SELECT project_id, employee_id, first_day, last_day, bill_rate_id FROM ({sql})"
        ).fetchall()

    for project in ("P1", "P2"):
        for employee in ("E1", None):
            for day in map(_day, range(_DAYS + 3)):
                found = [s[4] for s in stretches if s[:2] == (project, employee) and s[2] <= day <= s[3]]
                in_force = [
                    rate
                    for rate in rates
                    if rate[1:3] == (project, employee) and rate[3] <= day and (rate[4] is None or rate[4] >= day)
                ]
                latest = max((rate[3] for rate in in_force), default=None)
                assert found == sorted(rate[0] for rate in in_force if rate[3] == latest)[:1]
