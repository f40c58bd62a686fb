"""Service months and the local date of work."""

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from psa_erp_assets.domain.calendar import ServiceMonth, service_date

MONTHS = st.builds(ServiceMonth, st.integers(1900, 9998), st.integers(1, 12))


@given(month=MONTHS)
def test_a_month_is_written_and_read_alike(month: ServiceMonth) -> None:
    """A partition key that does not come back is a month that is never synced."""
    assert ServiceMonth.parse(str(month)) == month


@given(month=MONTHS)
def test_months_have_no_gap_between_them(month: ServiceMonth) -> None:
    """Work on a day between two months would belong to none."""
    assert month.last_day + dt.timedelta(days=1) == month.next().first_day
    assert ServiceMonth.of(month.first_day) == ServiceMonth.of(month.last_day) == month
    assert month < month.next()


@pytest.mark.parametrize(
    "text",
    ["2026-9", "2026-13", "2026-00", "26-09", "2026-09-01", " 2026-09", "2026-09\n", "", "２０２６-09", "0000-01"],
)
def test_what_is_no_month_is_refused(text: str) -> None:
    """A month that was guessed is a wrong partition."""
    with pytest.raises(ValueError, match="no service month"):
        ServiceMonth.parse(text)


def test_the_last_month_that_a_date_can_have_has_a_last_day() -> None:
    """A typing error in a year must not stop a partition."""
    assert ServiceMonth.of(dt.date.max).last_day == dt.date.max


@pytest.mark.parametrize(
    ("instant", "zone", "expected"),
    [
        # In UTC it is the month before, or after.
        ("2026-09-30T15:30:00+00:00", "Asia/Tokyo", "2026-10-01"),
        ("2026-10-01T03:30:00+00:00", "America/New_York", "2026-09-30"),
        # Work over midnight belongs to the day on which it began.
        ("2026-09-14T23:30:00-04:00", "America/New_York", "2026-09-14"),
        # The same wall-clock hour twice, at the end of summer time, and the hour that does not exist at its start.
        ("2026-10-25T00:30:00+00:00", "Europe/Berlin", "2026-10-25"),
        ("2026-10-25T01:30:00+00:00", "Europe/Berlin", "2026-10-25"),
        ("2026-03-29T00:59:59+00:00", "Europe/Berlin", "2026-03-29"),
        # Midnight itself, on both sides of a change of the clock.
        ("2026-10-24T21:59:59+00:00", "Europe/Berlin", "2026-10-24"),
        ("2026-10-24T22:00:00+00:00", "Europe/Berlin", "2026-10-25"),
        ("2026-10-25T22:59:59+00:00", "Europe/Berlin", "2026-10-25"),
        ("2026-10-25T23:00:00+00:00", "Europe/Berlin", "2026-10-26"),
    ],
)
def test_the_service_date_is_the_local_date_of_the_start(instant: str, zone: str, expected: str) -> None:
    """Edge case 24: work at the end of a month would be billed in the other one."""
    assert service_date(dt.datetime.fromisoformat(instant), zone) == dt.date.fromisoformat(expected)


def test_an_instant_without_an_offset_is_refused() -> None:
    """Read as UTC it would be a day off for half of the world."""
    with pytest.raises(ValueError, match="offset"):
        service_date(dt.datetime(2026, 9, 14, 12), "Europe/Berlin")  # noqa: DTZ001 - naive on purpose


def test_an_unknown_zone_is_an_error() -> None:
    """UTC instead would be a day off."""
    with pytest.raises(KeyError):
        service_date(dt.datetime(2026, 9, 14, 12, tzinfo=dt.UTC), "Europe/Atlantis")
