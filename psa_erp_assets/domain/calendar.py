"""Service months and local dates.

A service date is the source's local date of the work's start, whatever the clock in UTC said; work over
midnight belongs to the day on which it began.
"""

import calendar
import datetime as dt
import re
from dataclasses import dataclass
from zoneinfo import ZoneInfo

# The year 0 is none that a date can have.
_MONTH = re.compile(r"(?!0000)([0-9]{4})-(0[1-9]|1[0-2])")


@dataclass(frozen=True, slots=True, order=True)
class ServiceMonth:
    """A calendar month in which work was done. Written 2026-09."""

    year: int
    month: int

    @classmethod
    def parse(cls, text: str) -> "ServiceMonth":
        """From "2026-09". Raises ValueError for anything else."""
        match = _MONTH.fullmatch(text)
        if match is None:
            raise ValueError(f"{text!r} is no service month: write it as 2026-09")
        return cls(int(match[1]), int(match[2]))

    @classmethod
    def of(cls, date: dt.date) -> "ServiceMonth":
        """The month that `date` is in."""
        return cls(date.year, date.month)

    def __str__(self) -> str:
        return f"{self.year:04d}-{self.month:02d}"

    @property
    def first_day(self) -> dt.date:
        """Its first day."""
        return dt.date(self.year, self.month, 1)

    @property
    def last_day(self) -> dt.date:
        """Its last day."""
        return self.first_day.replace(day=calendar.monthrange(self.year, self.month)[1])

    def next(self) -> "ServiceMonth":
        """The month after it."""
        return ServiceMonth(self.year + self.month // 12, self.month % 12 + 1)


def service_date(started_at: dt.datetime, time_zone: str) -> dt.date:
    """The local date of an instant in the zone of whoever worked.

    Raises ValueError for a naive instant, zoneinfo.ZoneInfoNotFoundError (a KeyError) for an unknown zone.
    """
    if started_at.tzinfo is None:
        raise ValueError("an instant needs its offset; a naive timestamp is ambiguous")
    return started_at.astimezone(ZoneInfo(time_zone)).date()
