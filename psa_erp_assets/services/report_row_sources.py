"""What can be looked at row by row: which columns of each mart people see, which are summed, where a row leads to."""

from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import ColumnElement, func

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
    RECEIVABLES_TIE,
    RECONCILIATION,
    REVENUE,
    TRACEABILITY,
    UTILIZATION,
    WIP,
    WORK,
    Mart,
)
from psa_erp_assets.services.report_model import Column, columns
from psa_erp_assets.services.report_rows import RowSource


def _fact(mart: Mart, stem: str = "") -> Callable[[Filters], ColumnElement[Any]]:
    return lambda filters: mart.amount_of_fact(filters, stem)


def _of_mart(mart: Mart, name: str, group: str | None = None) -> Callable[[Filters], ColumnElement[Any]]:
    return lambda filters: mart.amount(filters, name, group)


def _as_is(mart: Mart, name: str) -> Callable[[Filters], ColumnElement[Any]]:
    """An amount that there is in one currency alone."""
    return lambda _: mart.table.c[name]


def _unbilled(filters: Filters) -> ColumnElement[Any]:
    return func.greatest(WIP.amount(filters, "closing_amount"), 0)


def _deferred(filters: Filters) -> ColumnElement[Any]:
    return func.greatest(-WIP.amount(filters, "closing_amount"), 0)


def _money(name: str, label: str) -> Column:
    return Column(name=name, label=label, unit="money", currency="shown_currency")


def _amounts(labels: Mapping[str, str]) -> tuple[Column, ...]:
    return columns("money", labels, currency="shown_currency")


_ENTITY = Column(name="legal_entity", label="Entity")
_MONTH = Column(name="service_month", label="Month", unit="month")
_DATE = Column(name="service_date", label="Date", unit="date")
_KIND = Column(name="kind", label="Kind", unit="code")
_EMPLOYEE = Column(name="employee_id", label="Employee")
_PROJECT = Column(name="project_id", label="Project")
_CONTRACT = Column(name="contract_id", label="Contract")
_CUSTOMER = Column(name="customer_id", label="Customer")
_OF_FACT = (_ENTITY, _DATE, _KIND, _EMPLOYEE, _PROJECT, _CONTRACT, _CUSTOMER)
_MINUTES = Column(name="minutes", label="Time", unit="minutes")
_LINE = (Column(name="source_id", label="Line"), Column(name="source", label="From", unit="code"))
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
                *_OF_FACT,
                Column(name="outcome", label="Decided", unit="code"),
                _MINUTES,
                _money("standard_amount", "At standard rate"),
            ),
            money={"standard_amount": _fact(WORK, "standard_")},
            sums=("minutes",),
            currency=WORK.currency,
            way="work",
            id="object_id",
        ),
        RowSource(
            mart=BILLING,
            title="Billing lines",
            columns=(
                Column(name="billing_line_id", label="Line"),
                *_OF_FACT,
                Column(name="invoice_number", label="Invoice"),
                _MINUTES,
                _AMOUNT,
            ),
            money={"amount": _fact(BILLING)},
            sums=("minutes",),
            currency=BILLING.currency,
            way="line",
            id="billing_line_id",
        ),
        RowSource(
            mart=REVENUE,
            title="Revenue",
            columns=(
                *_LINE,
                *_OF_FACT,
                _AMOUNT,
            ),
            money={"amount": _fact(REVENUE)},
            currency=REVENUE.currency,
            way="line",
            id="source_id",
            source="source",
        ),
        RowSource(
            mart=COST,
            title="Costs",
            columns=(
                *_LINE,
                *_OF_FACT,
                _MINUTES,
                _AMOUNT,
            ),
            money={"amount": _fact(COST)},
            sums=("minutes",),
            currency=COST.currency,
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
                *_amounts({"total_amount": "Total", "open_amount": "Open"}),
            ),
            money={"total_amount": _fact(INVOICE, "total_"), "open_amount": _fact(INVOICE, "open_")},
            currency=INVOICE.currency,
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
            currency=BACKLOG.currency,
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
                *columns("minutes", {"approved_minutes": "Approved time", "erp_minutes": "In the ERP"}),
                *_amounts({"approved_amount": "Approved", "erp_amount": "In the ERP", "invoiced_amount": "Invoiced"}),
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
                *_amounts({"revenue_amount": "Revenue", "cost_amount": "Cost", "margin_amount": "Margin"}),
            ),
            money={name: _of_mart(MARGIN, name) for name in ("revenue_amount", "cost_amount", "margin_amount")},
            currency=MARGIN.currency,
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
                *columns(
                    "minutes",
                    {
                        "available_minutes": "Available",
                        "billable_minutes": "Billable",
                        "client_minutes": "For clients",
                        "approved_minutes": "Recorded",
                    },
                ),
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
                *_amounts(
                    {
                        "opening_amount": "Opening",
                        "earned_amount": "Earned",
                        "billed_amount": "Invoiced",
                        "unbilled_amount": "Unbilled",
                        "deferred_amount": "Deferred",
                    }
                ),
            ),
            money={
                **{name: _of_mart(WIP, name) for name in ("opening_amount", "earned_amount", "billed_amount")},
                "unbilled_amount": _unbilled,
                "deferred_amount": _deferred,
            },
            currency=WIP.currency,
            way=Drill(mart="fct_revenue", keys={"entity": "legal_entity", "contract": "contract_id"}, ever=True),
        ),
        RowSource(
            mart=REALIZATION,
            title="Realization by contract",
            columns=(
                _CONTRACT,
                _ENTITY,
                _MONTH,
                *columns("minutes", {"billable_minutes": "Recorded billable", "billed_minutes": "Billed"}),
                *columns("share", {"hours_realization": "Of hours", "value_realization": "Of value"}),
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
            currency=LEAKAGE.currency,
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
                *columns(
                    "days",
                    {"dso_year": "DSO, year", "dso_quarter": "DSO, quarter", "dso_count_back": "DSO, count-back"},
                ),
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
                *_amounts(
                    {
                        "expected_amount": "By our postings",
                        "ledger_amount": "In the ledger",
                        "difference_amount": "Difference",
                    }
                ),
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
            mart=RECEIVABLES_TIE,
            title="Receivables and the general ledger",
            columns=(
                _ENTITY,
                Column(name="as_of_month", label="Ledger until", unit="month"),
                *_amounts(
                    {
                        "open_amount": "Open on invoices",
                        "ledger_amount": "In the ledger",
                        "difference_amount": "Difference",
                    }
                ),
            ),
            money={
                name: _as_is(RECEIVABLES_TIE, name) for name in ("open_amount", "ledger_amount", "difference_amount")
            },
            currency=_as_is(RECEIVABLES_TIE, "currency"),
            way=Drill(mart="fct_invoice", keys={"entity": "legal_entity"}, fixed={"posted": "true"}, ever=True),
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
                *columns(
                    "number",
                    {
                        "work_items": "Work",
                        "items_in_trouble": "Ever in trouble",
                        "items_in_open_trouble": "In trouble",
                        "exceptions": "Exceptions",
                    },
                ),
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
                *columns(
                    "number",
                    {
                        "invoices": "Invoices",
                        "first_pass_invoices": "Right the first time",
                        "corrected_invoices": "Corrected",
                        "cancelled_invoices": "Canceled",
                    },
                ),
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
                *columns(
                    "minutes",
                    {
                        "billable_minutes": "Billable",
                        "billed_minutes": "Billed",
                        "covered_minutes": "Paid for by a fee",
                        "reasoned_minutes": "With a reason",
                        "untraced_minutes": "Untraced",
                    },
                ),
                Column(name="traceable_fraction", label="Traceable", unit="share"),
            ),
            sums=("billable_minutes", "billed_minutes", "covered_minutes", "reasoned_minutes", "untraced_minutes"),
            way=Drill(mart="fct_approved_work", keys=_PARTITION, fixed={"kind": "time"}),
        ),
    )
}
"""What can be looked at row by row, by the name of the mart."""
