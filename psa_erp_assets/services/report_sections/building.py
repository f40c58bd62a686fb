"""What figures and sections of every topic are built with."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal

from psa_erp_assets.adapters.reporting_file import Reader
from psa_erp_assets.services.report_filters import Filters
from psa_erp_assets.services.report_model import Figure, Section, Unit, Value, share
from psa_erp_assets.services.report_queries import Query

Build = Callable[[Reader, Filters], Section]
BuildFigure = Callable[[Reader, Filters], Figure]
Values = Callable[[Reader, Filters], Sequence[Value]]
"""The values of a figure."""

TREND_MONTHS = 12
"""How many months, of which the period's last is the last, a section by month has."""

OF_MONTH = {"first": "service_month", "last": "service_month"}
"""The rows behind a number of a service month, as the keys of a drill."""


def figure(
    name: str,
    values: Values,
    *,
    label: str,
    unit: Unit,
    mart: str,
    report: str,
    good: Literal["up", "down"] | None = "up",
    note: str = "",
    ever: bool = False,
    exact: tuple[tuple[str, str], ...] = (),
) -> BuildFigure:
    """A figure of these values. The rows behind it are those of a mart: of the period, or with `ever` of all time."""

    def build(reader: Reader, filters: Filters) -> Figure:
        behind = filters.replace(exact=exact, **({"first": None, "last": None} if ever else {}))
        return Figure(
            name=name,
            label=label,
            unit=unit,
            values=values(reader, filters),
            address=rows_address(mart, behind),
            report=report,
            good=good,
            note=note,
        )

    return build


def each(query: Query, value: Callable[[Mapping[str, Any]], Any], *, by_currency: bool = False) -> Values:
    """A value of each row of a query, beside that of the equally long period before."""

    def currency(row: Mapping[str, Any]) -> str | None:
        return row["currency"] if by_currency else None

    def values(reader: Reader, filters: Filters) -> list[Value]:
        before = {currency(row): value(row) for row in reader.read(query(filters.before())).dicts()}
        return [
            Value(value=value(row), currency=currency(row), previous=before.get(currency(row)))
            for row in reader.read(query(filters)).dicts()
        ]

    return values


def amounts(query: Query, column: str) -> Values:
    """The amounts of a query by currency, beside those of the period before."""
    compared = each(query, lambda row: row[column], by_currency=True)
    return lambda reader, filters: with_currency(compared(reader, filters))


def standing(query: Query, column: str) -> Values:
    """The amounts of a query by currency that are not of a period, and so have none before."""
    return lambda reader, filters: with_currency(
        Value(value=row[column], currency=row["currency"]) for row in reader.read(query(filters)).dicts()
    )


def fraction(query: Query, part: str, whole: str) -> Values:
    """One column of a query as a part of another, beside that of the period before."""
    return each(query, lambda row: share(row[part], row[whole]))


def count(query: Query, column: str) -> Values:
    """How many a query counts, beside those of the period before."""
    return each(query, lambda row: row[column] or 0)


def with_currency(values: Iterable[Value]) -> list[Value]:
    """Values by currency. Rows without a currency are those that have no amount."""
    return sorted((value for value in values if value.currency is not None), key=lambda value: value.currency or "")


def rows_address(mart: str, filters: Filters) -> str:
    """The page with the rows of a mart."""
    return f"/reports/rows/{mart}?{filters.query()}"


def named(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Rows by member, each with the name of its member, or what stands for rows without one.

    Members of the same name have their id beside it: nobody could tell them apart, and a chart would add them up.
    """
    called = Counter(name for name, _ in {(row["name"], row["member"]) for row in rows})
    return [{**row, "name": _name(row, called[row["name"]])} for row in rows]


def _name(row: Mapping[str, Any], members: int) -> str:
    if row["name"] and row["member"] and members > 1:
        return f"{row['name']} ({row['member']})"
    return str(row["name"] or row["member"] or "not assigned")


def partition(row: Mapping[str, Any]) -> str:
    """What a legal entity's month is called."""
    return f"{row['legal_entity']} {row['service_month']}"


def tie_verdict(row: Mapping[str, Any]) -> str:
    """Whether what we expect and what the general ledger has agree, but for rounding."""
    return "ties" if abs(row["difference_amount"]) <= row["tolerance_amount"] else "differs"


def words(code: str) -> str:
    """A code as words: "not invoiced"."""
    return code.replace("_", " ")
