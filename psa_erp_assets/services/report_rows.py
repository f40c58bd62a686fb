"""The rows behind a number of a report: page by page, with their sums, and each with the way to its lineage.

What belongs here: how rows are read. What does not: which rows there are to look at (`services.report_row_sources`).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import quote, urlencode

from sqlalchemy import ColumnElement, Numeric, Select, column, func, select, table
from sqlalchemy import cast as as_type

from psa_erp_assets.adapters.reporting_file import Reader
from psa_erp_assets.services.report_filters import Drill, Filters
from psa_erp_assets.services.report_marts import Mart, limited
from psa_erp_assets.services.report_model import Column

ROWS_A_PAGE = 50

Amounts = Literal["fact", "mart", "none"]
# Which staging table has the posting of a line, by the kind of line.
_POSTINGS = {
    "billing_line": ("stg_billing_lines", "billing_line_id"),
    "cost_entry": ("stg_cost_entries", "cost_entry_id"),
    "revenue_entry": ("stg_revenue_entries", "revenue_entry_id"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RowSource:
    """A mart as rows for people. `money` are columns that are shown in the chosen currency and summed up, by name.

    `sums` are columns of whole numbers that are summed up as well. `way` says how a row is opened: `work` by the id of
    the work in the column `id`, `line` by the posting of the ERP's line in `id`, `invoice` by its number, or the rows
    of another mart. `exception` is opened by its number. `ways` are those of rows with some value in the column `id`.
    """

    mart: Mart
    title: str
    columns: Sequence[Column]
    money: Mapping[str, Callable[[Filters], ColumnElement[Any]]] = field(default_factory=dict)
    sums: Sequence[str] = ()
    currency: Callable[[Filters], ColumnElement[Any]] | None = None
    way: Literal["work", "line", "invoice", "exception"] | Drill
    ways: Mapping[str, Drill] = field(default_factory=dict)
    id: str = ""
    source: str = ""

    def shown(self, filters: Filters) -> Iterator[ColumnElement[Any]]:
        """What is selected of a row."""
        for one in self.columns:
            if one.name in self.money:
                yield self.money[one.name](filters).label(one.name)
            else:
                yield self.mart.table.c[one.name]
        names = {one.name for one in self.columns}
        if self.currency is not None:
            yield self.currency(filters).label("shown_currency")
        for extra in (self.id, self.source, "legal_entity"):
            if extra and extra not in names:
                names.add(extra)
                yield self.mart.table.c[extra]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """A page of the rows behind a number, with the sums of all by currency, and the address of each row's story."""

    source: RowSource
    filters: Filters
    page: int
    pages: int
    total: int
    sums: Sequence[Mapping[str, Any]]
    rows: Sequence[Mapping[str, Any]]
    addresses: Sequence[str | None]


def page_of(source: RowSource, filters: Filters, *, page: int = 1, size: int = ROWS_A_PAGE) -> Select[Any]:
    """One page of rows, in the order in which the file has them: sorting all of them would take longer."""
    return limited(source.mart, filters, *source.shown(filters)).limit(size).offset((page - 1) * size)


def all_of(source: RowSource, filters: Filters, most: int) -> Select[Any]:
    """All rows, for a file; no more than so many."""
    return limited(source.mart, filters, *source.shown(filters)).limit(most)


def totals_of(source: RowSource, filters: Filters) -> Select[Any]:
    """How many rows there are and the sums of their amounts, by currency."""
    kept = source.mart.table.c
    sums = [
        *(as_type(func.sum(of(filters)), Numeric(38, 4)).label(name) for name, of in source.money.items()),
        *(as_type(func.sum(kept[name]), Numeric(38, 0)).label(name) for name in source.sums),
    ]
    if source.currency is None:
        return limited(source.mart, filters, func.count().label("rows"), *sums)
    currency = source.currency(filters)
    return (
        limited(source.mart, filters, currency.label("shown_currency"), func.count().label("rows"), *sums)
        .group_by(currency)
        .order_by(currency)
    )


def rows(reader: Reader, source: RowSource, filters: Filters, *, page: int) -> Rows:
    """A page of the rows behind a number."""
    sums = reader.read(totals_of(source, filters)).dicts()
    total = sum(int(one["rows"]) for one in sums)
    found = reader.read(page_of(source, filters, page=page)).dicts()
    return Rows(
        source=source,
        filters=filters,
        page=page,
        pages=max(1, -(-total // ROWS_A_PAGE)),
        total=total,
        sums=[one for one in sums if one["rows"]],
        rows=found,
        addresses=_addresses(reader, source, filters, found),
    )


def _addresses(
    reader: Reader, source: RowSource, filters: Filters, found: Sequence[Mapping[str, Any]]
) -> list[str | None]:
    match source.way:
        case "work":
            return [f"/trace/{quote(str(row[source.id]), safe=':')}" for row in found]
        case "exception":
            return [f"/exceptions/{row[source.id]}" for row in found]
        case "invoice":
            return [_looked_up(row[source.id]) for row in found]
        case "line":
            postings = _postings(reader, source, found)
            return [
                f"/postings/{key}"
                if (key := postings.get((row["legal_entity"], row[source.id]))) is not None
                else _looked_up(row.get("invoice_number") or row[source.id])
                for row in found
            ]
        case Drill() as drill:
            return [
                source.ways.get(str(row.get(source.id)), drill).address(filters.replace(exact=()), row) for row in found
            ]


def _looked_up(text: object) -> str | None:
    return None if text is None else f"/trace?{urlencode({'entry_id': str(text)})}"


def _postings(reader: Reader, source: RowSource, found: Sequence[Mapping[str, Any]]) -> dict[tuple[str, str], str]:
    """The keys of the postings behind lines of the ERP, by legal entity and line."""
    keys: dict[tuple[str, str], str] = {}
    for kind, (name, key) in _POSTINGS.items():
        lines = [row for row in found if (row[source.source] if source.source else "billing_line") == kind]
        if lines:
            staged = table(name, column("legal_entity"), column(key), column("posting_key"))
            ids = sorted({row[source.id] for row in lines})
            # Ids are unique within a company of the ERP; the same number may be a line of another kind elsewhere.
            wanted = select(staged.c.legal_entity, staged.c[key], staged.c.posting_key).where(staged.c[key].in_(ids))
            keys |= {(row[0], row[1]): row[2] for row in reader.read(wanted).rows if row[2] is not None}
    return keys
