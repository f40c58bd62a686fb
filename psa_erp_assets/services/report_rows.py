"""The rows behind a number of a report: page by page, with their sums, and each with the way to its lineage."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import quote, urlencode

from sqlalchemy import ColumnElement, Numeric, Select, column, func, select, table
from sqlalchemy import cast as as_type

from psa_erp_assets.adapters.reporting_file import Reader
from psa_erp_assets.services.report_filters import Drill, Filters
from psa_erp_assets.services.report_marts import (
    ACCURACY,
    ADJUSTMENTS,
    BACKLOG,
    BILLING,
    COST,
    CYCLE,
    DSO,
    EXCEPTION_RATE,
    EXCEPTIONS,
    INVOICE,
    LEAKAGE,
    LEDGER_TIE,
    MARGIN,
    REALIZATION,
    RECONCILIATION,
    REVENUE,
    TRACEABILITY,
    UTILIZATION,
    WIP,
    WORK,
    Mart,
    limited,
)
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


def _fact(mart: Mart, stem: str = "") -> Callable[[Filters], ColumnElement[Any]]:
    """The amount of a fact in the currency that is chosen."""

    def amount(filters: Filters) -> ColumnElement[Any]:
        kind = {"group": "group_amount", "entity": "entity_amount", "transaction": "amount"}[filters.currency]
        return mart.table.c[f"{stem}{kind}"]

    return amount


def _currency(mart: Mart, own: str = "currency") -> Callable[[Filters], ColumnElement[Any]]:
    """The currency that is chosen."""

    def currency(filters: Filters) -> ColumnElement[Any]:
        kind = {"group": "group_currency", "entity": "entity_currency", "transaction": own}[filters.currency]
        return mart.table.c[kind]

    return currency


def _of_mart(mart: Mart, name: str, group: str | None = None) -> Callable[[Filters], ColumnElement[Any]]:
    """An amount of a mart in the group's currency or that of the books."""
    return lambda filters: mart.table.c[(group or f"group_{name}") if filters.currency == "group" else name]


def _as_is(mart: Mart, name: str) -> Callable[[Filters], ColumnElement[Any]]:
    """An amount that there is in one currency alone."""
    return lambda _: mart.table.c[name]


def _unbilled(filters: Filters) -> ColumnElement[Any]:
    return func.greatest(_of_mart(WIP, "closing_amount")(filters), 0)


def _deferred(filters: Filters) -> ColumnElement[Any]:
    return func.greatest(-_of_mart(WIP, "closing_amount")(filters), 0)


def _money(name: str, label: str) -> Column:
    return Column(name=name, label=label, unit="money", currency="shown_currency")


_ENTITY = Column(name="legal_entity", label="Entity")
_MONTH = Column(name="service_month", label="Month", unit="month")
_DATE = Column(name="service_date", label="Date", unit="date")
_KIND = Column(name="kind", label="Kind", unit="code")
_EMPLOYEE = Column(name="employee_id", label="Employee")
_PROJECT = Column(name="project_id", label="Project")
_CONTRACT = Column(name="contract_id", label="Contract")
_CUSTOMER = Column(name="customer_id", label="Customer")
_MINUTES = Column(name="minutes", label="Time", unit="minutes")
_AMOUNT = _money("amount", "Amount")
_OF_MONTH = {"first": "service_month", "last": "service_month"}
_PARTITION = {"entity": "legal_entity", **_OF_MONTH}
_MONTH_OF_CONTRACT = {**_OF_MONTH, "contract": "contract_id"}
_ANY_WORK = Drill(mart="fct_approved_work", keys=_PARTITION)

SOURCES: Mapping[str, RowSource] = {
    source.mart.name: source
    for source in (
        RowSource(
            mart=WORK,
            title="Approved work",
            columns=(
                Column(name="object_id", label="Work"),
                _ENTITY,
                _DATE,
                _KIND,
                _EMPLOYEE,
                _PROJECT,
                _CONTRACT,
                _CUSTOMER,
                Column(name="outcome", label="Decided", unit="code"),
                _MINUTES,
                _money("standard_amount", "At standard rate"),
            ),
            money={"standard_amount": _fact(WORK, "standard_")},
            sums=("minutes",),
            currency=_currency(WORK),
            way="work",
            id="object_id",
        ),
        RowSource(
            mart=BILLING,
            title="Billing lines",
            columns=(
                Column(name="billing_line_id", label="Line"),
                _ENTITY,
                _DATE,
                _KIND,
                _EMPLOYEE,
                _PROJECT,
                _CONTRACT,
                _CUSTOMER,
                Column(name="invoice_number", label="Invoice"),
                _MINUTES,
                _AMOUNT,
            ),
            money={"amount": _fact(BILLING)},
            sums=("minutes",),
            currency=_currency(BILLING),
            way="line",
            id="billing_line_id",
        ),
        RowSource(
            mart=REVENUE,
            title="Revenue",
            columns=(
                Column(name="source_id", label="Line"),
                Column(name="source", label="From", unit="code"),
                _ENTITY,
                _DATE,
                _KIND,
                _EMPLOYEE,
                _PROJECT,
                _CONTRACT,
                _CUSTOMER,
                _AMOUNT,
            ),
            money={"amount": _fact(REVENUE)},
            currency=_currency(REVENUE),
            way="line",
            id="source_id",
            source="source",
        ),
        RowSource(
            mart=COST,
            title="Costs",
            columns=(
                Column(name="source_id", label="Line"),
                Column(name="source", label="From", unit="code"),
                _ENTITY,
                _DATE,
                _KIND,
                _EMPLOYEE,
                _PROJECT,
                _CONTRACT,
                _CUSTOMER,
                _MINUTES,
                _AMOUNT,
            ),
            money={"amount": _fact(COST)},
            sums=("minutes",),
            currency=_currency(COST),
            way="line",
            id="source_id",
            source="source",
        ),
        RowSource(
            mart=INVOICE,
            title="Invoices",
            columns=(
                Column(name="invoice_number", label="Invoice"),
                _ENTITY,
                _CUSTOMER,
                Column(name="invoice_date", label="Date", unit="date"),
                Column(name="invoice_state", label="State", unit="code"),
                _money("total_amount", "Total"),
                _money("open_amount", "Open"),
            ),
            money={"total_amount": _fact(INVOICE, "total_"), "open_amount": _fact(INVOICE, "open_")},
            currency=_currency(INVOICE),
            way="invoice",
            id="invoice_number",
        ),
        RowSource(
            mart=BACKLOG,
            title="Backlog",
            columns=(
                _CONTRACT,
                _ENTITY,
                _CUSTOMER,
                Column(name="component", label="Component"),
                Column(name="backlog_month", label="To be earned", unit="month"),
                Column(name="gap", label="Missing because", unit="code"),
                _AMOUNT,
            ),
            money={"amount": _fact(BACKLOG)},
            currency=_currency(BACKLOG),
            way=Drill(mart="fct_approved_work", keys={"contract": "contract_id"}, ever=True),
        ),
        RowSource(
            mart=RECONCILIATION,
            title="Reconciled items",
            columns=(
                Column(name="entry_id", label="Item"),
                _ENTITY,
                _MONTH,
                _CONTRACT,
                _EMPLOYEE,
                Column(name="difference", label="Class", unit="code"),
                Column(name="approved_minutes", label="Approved time", unit="minutes"),
                Column(name="erp_minutes", label="In the ERP", unit="minutes"),
                _money("approved_amount", "Approved"),
                _money("erp_amount", "In the ERP"),
                _money("invoiced_amount", "Invoiced"),
            ),
            money={name: _as_is(RECONCILIATION, name) for name in ("approved_amount", "erp_amount", "invoiced_amount")},
            sums=("approved_minutes", "erp_minutes"),
            currency=_as_is(RECONCILIATION, "currency"),
            way="work",
            id="entry_id",
        ),
        RowSource(
            mart=MARGIN,
            title="Margin",
            columns=(
                _ENTITY,
                _MONTH,
                _CUSTOMER,
                _CONTRACT,
                _PROJECT,
                _EMPLOYEE,
                Column(name="practice", label="Practice"),
                Column(name="grade", label="Grade"),
                _money("revenue_amount", "Revenue"),
                _money("cost_amount", "Cost"),
                _money("margin_amount", "Margin"),
            ),
            money={name: _of_mart(MARGIN, name) for name in ("revenue_amount", "cost_amount", "margin_amount")},
            currency=_currency(MARGIN),
            way=Drill(
                mart="fct_revenue",
                keys={
                    "entity": "legal_entity",
                    "customer": "customer_id",
                    "project": "project_id",
                    "employee": "employee_id",
                    **_MONTH_OF_CONTRACT,
                },
            ),
        ),
        RowSource(
            mart=UTILIZATION,
            title="Utilization",
            columns=(
                Column(name="employee_name", label="Employee"),
                _ENTITY,
                Column(name="department", label="Practice"),
                _MONTH,
                Column(name="available_minutes", label="Available", unit="minutes"),
                Column(name="billable_minutes", label="Billable", unit="minutes"),
                Column(name="client_minutes", label="For clients", unit="minutes"),
                Column(name="approved_minutes", label="Recorded", unit="minutes"),
                Column(name="billable_utilization", label="Utilization", unit="share"),
            ),
            sums=("available_minutes", "billable_minutes", "client_minutes", "approved_minutes"),
            way=Drill(
                mart="fct_approved_work",
                keys={"first": "service_month", "last": "service_month", "employee": "employee_id"},
                fixed={"kind": "time"},
                # Who is employed by one entity works for others.
                without=("entity", "practice", "grade"),
            ),
            id="employee_id",
        ),
        RowSource(
            mart=WIP,
            title="Balances of contracts",
            columns=(
                _CONTRACT,
                _ENTITY,
                _MONTH,
                _money("opening_amount", "Opening"),
                _money("earned_amount", "Earned"),
                _money("billed_amount", "Invoiced"),
                _money("unbilled_amount", "Unbilled"),
                _money("deferred_amount", "Deferred"),
            ),
            money={
                **{name: _of_mart(WIP, name) for name in ("opening_amount", "earned_amount", "billed_amount")},
                "unbilled_amount": _unbilled,
                "deferred_amount": _deferred,
            },
            currency=_currency(WIP),
            way=Drill(mart="fct_revenue", keys={"entity": "legal_entity", "contract": "contract_id"}, ever=True),
        ),
        RowSource(
            mart=REALIZATION,
            title="Realization by contract",
            columns=(
                _CONTRACT,
                _ENTITY,
                _MONTH,
                Column(name="billable_minutes", label="Recorded billable", unit="minutes"),
                Column(name="billed_minutes", label="Billed", unit="minutes"),
                Column(name="hours_realization", label="Of hours", unit="share"),
                Column(name="value_realization", label="Of value", unit="share"),
            ),
            sums=("billable_minutes", "billed_minutes"),
            way=Drill(
                mart="fct_approved_work", keys={"entity": "legal_entity", **_MONTH_OF_CONTRACT}, fixed={"kind": "time"}
            ),
        ),
        RowSource(
            mart=LEAKAGE,
            title="Lost revenue by contract",
            columns=(
                _CONTRACT,
                _ENTITY,
                _MONTH,
                Column(name="reason", label="Reason", unit="code"),
                Column(name="items", label="Items", unit="number"),
                _MINUTES,
                _money("entity_amount", "At standard rate"),
            ),
            money={"entity_amount": _of_mart(LEAKAGE, "entity_amount", "group_amount")},
            sums=("items", "minutes"),
            currency=_currency(LEAKAGE),
            way=Drill(mart="fct_approved_work", keys={"entity": "legal_entity", **_MONTH_OF_CONTRACT}),
        ),
        RowSource(
            mart=DSO,
            title="Days of sales outstanding",
            columns=(
                _ENTITY,
                Column(name="as_of_month", label="As of", unit="month"),
                Column(name="receivable_amount", label="Open", unit="money", currency="entity_currency"),
                Column(name="sales_of_year", label="Sales of 12 months", unit="money", currency="entity_currency"),
                Column(name="dso_year", label="DSO, year", unit="days"),
                Column(name="dso_quarter", label="DSO, quarter", unit="days"),
                Column(name="dso_count_back", label="DSO, count-back", unit="days"),
                Column(name="entity_currency", label="Books"),
            ),
            way=Drill(mart="fct_invoice", keys={"entity": "legal_entity"}, fixed={"posted": "true"}, ever=True),
        ),
        RowSource(
            mart=LEDGER_TIE,
            title="General ledger",
            columns=(
                _ENTITY,
                Column(name="ledger_month", label="Month", unit="month"),
                Column(name="role", label="Account", unit="code"),
                _money("expected_amount", "By our postings"),
                _money("ledger_amount", "In the ledger"),
                _money("difference_amount", "Difference"),
            ),
            money={
                name: _as_is(LEDGER_TIE, name) for name in ("expected_amount", "ledger_amount", "difference_amount")
            },
            currency=_as_is(LEDGER_TIE, "currency"),
            way=Drill(
                mart="fct_revenue",
                keys={"entity": "legal_entity", "first": "ledger_month", "last": "ledger_month"},
            ),
        ),
        RowSource(
            mart=CYCLE,
            title="Ways of billing lines",
            columns=(
                Column(name="object_id", label="Work"),
                _ENTITY,
                _DATE,
                _KIND,
                _CONTRACT,
                Column(name="state", label="State", unit="code"),
                Column(name="approval_to_draft_minutes", label="Approval to draft", unit="minutes"),
                Column(name="draft_to_posted_days", label="Draft to posted, days", unit="number"),
                Column(name="invoice_number", label="Invoice"),
            ),
            way="work",
            id="object_id",
        ),
        RowSource(
            mart=EXCEPTIONS,
            title="Exceptions",
            columns=(
                Column(name="exception_id", label="Exception"),
                _ENTITY,
                _MONTH,
                Column(name="code", label="Code", unit="code"),
                Column(name="object_id", label="Item"),
                Column(name="owner", label="Owner", unit="code"),
                _MINUTES,
                Column(name="resolution", label="Resolved", unit="code"),
            ),
            way="exception",
            id="exception_id",
        ),
        RowSource(
            mart=EXCEPTION_RATE,
            title="Work in trouble",
            columns=(
                _ENTITY,
                _MONTH,
                Column(name="work_items", label="Work", unit="number"),
                Column(name="items_in_trouble", label="Ever in trouble", unit="number"),
                Column(name="items_in_open_trouble", label="In trouble", unit="number"),
                Column(name="exceptions", label="Exceptions", unit="number"),
                Column(name="exception_rate", label="Rate", unit="share"),
            ),
            sums=("work_items", "items_in_trouble", "items_in_open_trouble", "exceptions"),
            way=Drill(mart="stg_exceptions", keys=_PARTITION),
        ),
        RowSource(
            mart=ACCURACY,
            title="Invoices that were right the first time",
            columns=(
                _ENTITY,
                Column(name="invoice_month", label="Month", unit="month"),
                Column(name="invoices", label="Invoices", unit="number"),
                Column(name="first_pass_invoices", label="Right the first time", unit="number"),
                Column(name="corrected_invoices", label="Corrected", unit="number"),
                Column(name="cancelled_invoices", label="Canceled", unit="number"),
                Column(name="first_pass_accuracy", label="Rate", unit="share"),
            ),
            sums=("invoices", "first_pass_invoices", "corrected_invoices", "cancelled_invoices"),
            way=Drill(
                mart="fct_invoice", keys={"entity": "legal_entity", "first": "invoice_month", "last": "invoice_month"}
            ),
        ),
        RowSource(
            mart=ADJUSTMENTS,
            title="Manual adjustments",
            columns=(
                _KIND,
                _ENTITY,
                _MONTH,
                Column(name="adjustments", label="Adjustments", unit="number"),
                _MINUTES,
                _money("amount", "Amount"),
            ),
            money={"amount": _as_is(ADJUSTMENTS, "amount")},
            sums=("adjustments", "minutes"),
            currency=_as_is(ADJUSTMENTS, "currency"),
            way=_ANY_WORK,
            ways={
                "line_by_hand": Drill(mart="fct_billing", keys=_PARTITION, fixed={"kind": "by_hand"}),
                "credit_by_hand": Drill(mart="fct_billing", keys=_PARTITION, fixed={"kind": "by_hand"}),
                "cost_by_hand": Drill(mart="fct_cost", keys=_PARTITION, fixed={"kind": "by_hand"}),
                "revenue_by_hand": Drill(mart="fct_revenue", keys=_PARTITION, fixed={"kind": "by_hand"}),
                "changed_in_erp": Drill(
                    mart="stg_reconciliation", keys=_PARTITION, fixed={"difference": "manual_change"}
                ),
                "write_off": Drill(mart="fct_approved_work", keys=_PARTITION, fixed={"outcome": "written_off"}),
            },
            id="kind",
        ),
        RowSource(
            mart=TRACEABILITY,
            title="Traceability",
            columns=(
                _ENTITY,
                _MONTH,
                Column(name="billable_minutes", label="Billable", unit="minutes"),
                Column(name="billed_minutes", label="Billed", unit="minutes"),
                Column(name="covered_minutes", label="Paid for by a fee", unit="minutes"),
                Column(name="reasoned_minutes", label="With a reason", unit="minutes"),
                Column(name="untraced_minutes", label="Untraced", unit="minutes"),
                Column(name="traceable_fraction", label="Traceable", unit="share"),
            ),
            sums=("billable_minutes", "billed_minutes", "covered_minutes", "reasoned_minutes", "untraced_minutes"),
            way=Drill(mart="fct_approved_work", keys=_PARTITION, fixed={"kind": "time"}),
        ),
    )
}
"""What can be looked at row by row, by the name of the mart."""
