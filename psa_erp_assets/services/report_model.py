"""A report as values: figures, sections with rows and a chart. Pages, the API and exports all show the same."""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, Literal

from psa_erp_assets.services.report_filters import Drill, Filters

Unit = Literal["text", "code", "money", "minutes", "share", "number", "days", "month", "date"]
"""What a value is: `code` is a word of ours such as not_invoiced, `share` a fraction of 1, `minutes` are whole, and
`money` has its currency beside it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column of a section: `name` is the key in its rows, `currency` the key of the currency of money.

    `drill` says which rows are behind each of its values, None where a value is no number to be opened.
    """

    name: str
    label: str
    unit: Unit = "text"
    currency: str = "currency"
    drill: Drill | None = None

    @property
    def is_number(self) -> bool:
        """Whether it has numbers, which stand to the right."""
        return self.unit in ("money", "minutes", "share", "number", "days")


def columns(
    unit: Unit, labels: Mapping[str, str], *, currency: str = "currency", drill: Drill | None = None
) -> tuple[Column, ...]:
    """Columns of one unit and the same rows behind them, by name with their labels."""
    return tuple(
        Column(name=name, label=label, unit=unit, currency=currency, drill=drill) for name, label in labels.items()
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """How rows are drawn: `x` names the column of the categories, `bars` and `lines` columns of values.

    `lines` are on an axis of their own where their unit is another one. `sideways` has bars from left to right,
    for long names. A `waterfall` has steps that begin where the one before has ended; `totals` are those that do not.
    `alarm` are columns of what should not be, which stand out.
    """

    x: str
    bars: tuple[str, ...] = ()
    lines: tuple[str, ...] = ()
    stacked: bool = False
    sideways: bool = False
    waterfall: bool = False
    totals: tuple[str, ...] = ()
    alarm: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A table of a report, with a chart of it. `address` leads to the report that says more."""

    name: str
    title: str
    columns: Sequence[Column]
    rows: Sequence[Mapping[str, Any]]
    chart: Chart | None = None
    note: str = ""
    address: str = ""
    filters: Filters

    def address_of(self, column: Column, row: Mapping[str, Any]) -> str | None:
        """The page with the rows behind one value; None where there are none."""
        if column.drill is None or row[column.name] is None:
            return None
        return column.drill.address(self.filters, row)

    @property
    def currencies(self) -> tuple[str, ...]:
        """The currencies of the amounts that are drawn, which a chart may have one of."""
        drawn = () if self.chart is None else (*self.chart.bars, *self.chart.lines)
        names = {column.currency for column in self.columns if column.unit == "money" and column.name in drawn}
        return tuple(sorted({row[name] for row in self.rows for name in names if row.get(name) is not None}))


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """A number, with its currency if it is money, and what it was a period ago if that is known.

    `label` says what it is of where a figure has several.
    """

    value: Any
    currency: str | None = None
    previous: Any = None
    label: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A number that matters. `good` is the direction that is welcome, None where neither is.

    `address` has the rows that it is the sum of, `report` the report about it.
    """

    name: str
    label: str
    unit: Unit
    values: Sequence[Value]
    address: str
    report: str = ""
    good: Literal["up", "down"] | None = None
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A report, of the state of the tables that was published at an instant."""

    name: str
    title: str
    lead: str
    filters: Filters
    dimensions: tuple[str, ...]
    published_at: dt.datetime
    figures: Sequence[Figure]
    sections: Sequence[Section]


def share(part: Decimal | int | None, whole: Decimal | int | None) -> Decimal | None:
    """A part of a whole as a fraction with four digits; None of nothing."""
    if part is None or not whole:
        return None
    return (Decimal(part) / Decimal(whole)).quantize(Decimal("0.0001"), ROUND_HALF_UP)
