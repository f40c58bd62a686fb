"""What a report is limited to: a period, members of dimensions, and a currency; as values and as a query string."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlencode

DIMENSIONS = ("entity", "customer", "practice", "project", "contract", "employee", "grade")
"""What can be chosen a member of, by the name in the address."""

EXACT = {
    name: name
    for name in (
        "outcome",
        "kind",
        "reason",
        "difference",
        "explained",
        "posted",
        "invoiced",
        "gap",
        "backlog_month",
        "component",
        "role",
    )
} | {"in_currency": "currency", "books": "entity_currency"}
"""Further limits of rows, by the name in the address: which column must have just the value."""

NOBODY = "-"
"""The member that stands for rows that have none."""

Currency = Literal["group", "entity", "transaction"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """Limits of a report. Months are written 2026-09 and both count; None is no limit.

    `currency` is which amounts are shown: the group's, those of the entity's books, or the documents' own. `entities`
    are the legal entities that the reader may see, None for all of them. `run` is the reporting run as of which, None
    for the latest. `exact` are further columns of a mart that must have just this value, by the names of `EXACT`.
    """

    first: str | None = None
    last: str | None = None
    entity: str | None = None
    customer: str | None = None
    practice: str | None = None
    project: str | None = None
    contract: str | None = None
    employee: str | None = None
    grade: str | None = None
    currency: Currency = "group"
    entities: frozenset[str] | None = None
    run: int | None = None
    exact: tuple[tuple[str, str], ...] = ()

    def chosen(self) -> dict[str, str]:
        """The members that are chosen, by dimension."""
        return {name: value for name in DIMENSIONS if (value := getattr(self, name)) is not None}

    def replace(self, **changes: object) -> "Filters":
        """The same with other values."""
        return dataclasses.replace(self, **changes)  # type: ignore[arg-type]  # each caller names fields of this class

    def query(self) -> str:
        """The query string that asks for this: "from=2026-09&to=2026-10&entity=DE"."""
        parts: dict[str, str] = {}
        if self.first is not None:
            parts["from"] = self.first
        if self.last is not None:
            parts["to"] = self.last
        parts |= self.chosen()
        if self.run is not None:
            parts["run"] = str(self.run)
        if self.currency != "group":
            parts["currency"] = self.currency
        return urlencode(parts | dict(self.exact))

    def ending(self, months: int) -> "Filters":
        """The same for so many months that end with the last one."""
        assert self.last is not None
        return self.replace(first=shifted(self.last, 1 - months))

    def before(self) -> "Filters":
        """The same for the equally long period just before."""
        assert self.first is not None
        assert self.last is not None
        length = months_between(self.first, self.last)
        return self.replace(first=shifted(self.first, -length), last=shifted(self.first, -1))


@dataclass(frozen=True, slots=True, kw_only=True)
class Drill:
    """Which rows are behind a number: of a mart, with these values of filters.

    `keys` takes values from the number's row, `exact` columns of the mart likewise. `fixed` are values for all. The
    period of the report is kept unless `ever`, its other filters unless they are in `without`, its currency unless the
    number is in one of its own.
    """

    mart: str
    keys: Mapping[str, str] = dataclasses.field(default_factory=dict)
    exact: Mapping[str, str] = dataclasses.field(default_factory=dict)
    fixed: Mapping[str, str] = dataclasses.field(default_factory=dict)
    without: tuple[str, ...] = ()
    ever: bool = False
    currency: Currency | None = None

    def filters(self, filters: Filters, row: Mapping[str, object]) -> Filters:
        """The filters of the rows behind a number of this row."""
        changes: dict[str, object] = {"first": None, "last": None} if self.ever else {}
        changes |= dict.fromkeys(self.without)
        changes |= {} if self.currency is None else {"currency": self.currency}
        changes |= {param: _member(row[column]) for param, column in self.keys.items()}
        exact = {**{name: _member(row[column]) for name, column in self.exact.items()}, **self.fixed}
        return filters.replace(**changes, exact=tuple(exact.items()))

    def address(self, filters: Filters, row: Mapping[str, object]) -> str:
        """The page that has these rows."""
        return f"/reports/rows/{self.mart}?{self.filters(filters, row).query()}"


def shifted(month: str, by: int) -> str:
    """The month so many months later: `shifted("2026-11", 3)` is "2027-02"."""
    number = _number(month) + by
    return f"{number // 12:04d}-{number % 12 + 1:02d}"


def months_between(first: str, last: str) -> int:
    """How many months a period has, both ends counted."""
    return _number(last) - _number(first) + 1


def _number(month: str) -> int:
    year, _, number = month.partition("-")
    return int(year) * 12 + int(number) - 1


def _member(value: object) -> str:
    return NOBODY if value is None else str(value).lower() if isinstance(value, bool) else str(value)
