"""The tables of the reporting file that reports read, and how each of them is limited by filters.

What belongs here: names of tables and columns, and which filter is which column. What does not: what is asked of them
(`services.report_queries`, `services.report_rows`).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, Select, String, TableClause, cast, column, or_, select, table

from psa_erp_assets.services.report_filters import EXACT, NOBODY, Filters


@dataclass(frozen=True, slots=True, kw_only=True)
class Mart:
    """A table, the column of its period, and the column of each dimension that it can be limited by.

    `through` has dimensions that it knows only by way of another: by its column, which dimension table has them.
    """

    table: TableClause
    month: str | None
    columns: Mapping[str, str]
    through: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The table's name."""
        return self.table.name

    @property
    def exact(self) -> tuple[str, ...]:
        """The names of further limits that this has a column for."""
        return tuple(name for name, known in EXACT.items() if known in self.table.c)

    @property
    def dimensions(self) -> frozenset[str]:
        """The filters that this can be limited by."""
        return frozenset(self.columns) | frozenset(self.through)

    def conditions(self, filters: Filters) -> list[ColumnElement[bool]]:
        """The filters as conditions. Those of dimensions that this mart does not know are the caller's mistake."""
        chosen = filters.chosen()
        assert set(chosen) <= self.dimensions, f"{self.name} is not known by {set(chosen) - self.dimensions}"
        found = [self._is(name, value) for name, value in chosen.items()]
        if filters.entities is not None:
            found.append(self.table.c[self.columns["entity"]].in_(sorted(filters.entities)))
        if self.month is not None:
            month = self.table.c[self.month]
            if filters.first is not None:
                found.append(month >= filters.first)
            if filters.last is not None:
                found.append(month <= filters.last)
        for name, value in filters.exact:
            known = self.table.c[EXACT[name]]
            found.append(known.is_(None) if value == NOBODY else cast(known, String) == value)
        return found

    def currency(self, filters: Filters) -> ColumnElement[Any]:
        """The currency of the amounts that are chosen."""
        kind = {"group": "group_currency", "entity": "entity_currency", "transaction": "currency"}[filters.currency]
        return self.table.c[kind]

    def amount(self, filters: Filters, name: str, group: str | None = None) -> ColumnElement[Any]:
        """An amount of a sum in the group's currency, or in that of the books."""
        return self.table.c[(group or f"group_{name}") if filters.currency == "group" else name]

    def amount_of_fact(self, filters: Filters, stem: str = "") -> ColumnElement[Any]:
        """The amount of a fact in the currency that is chosen, which may be the document's own."""
        kind = {"group": "group_amount", "entity": "entity_amount", "transaction": "amount"}[filters.currency]
        return self.table.c[f"{stem}{kind}"]

    def _is(self, name: str, value: str) -> ColumnElement[bool]:
        if name in self.columns:
            known = self.table.c[self.columns[name]]
            return known.is_(None) if value == NOBODY else known == value
        by = self.table.c[self.through[name]]
        other = _THROUGH[self.through[name]]
        wanted = other.c[_NAMES[name]]
        if value == NOBODY:
            return or_(by.is_(None), by.in_(select(other.c[by.name]).where(wanted.is_(None))))
        return by.in_(select(other.c[by.name]).where(wanted == value))


def _table(name: str, columns: str) -> TableClause:
    return table(name, *(column(one) for one in columns.split()))


DIM_CUSTOMER = _table("dim_customer", "customer_id customer_name")
DIM_CONTRACT = _table("dim_contract", "contract_id contract_name customer_id legal_entity")
DIM_PROJECT = _table("dim_project", "project_id project_code project_name")
DIM_EMPLOYEE = _table("dim_employee", "employee_id employee_name legal_entity practice grade")

_THROUGH = {"contract_id": DIM_CONTRACT, "employee_id": DIM_EMPLOYEE}
_NAMES = {"customer": "customer_id", "practice": "practice", "grade": "grade"}
_PEOPLE = {"practice": "employee_id", "grade": "employee_id"}
_OF_CONTRACT = {"customer": "contract_id"}
_ENTITY = {"entity": "legal_entity"}
_FACT = {
    **_ENTITY,
    "customer": "customer_id",
    "contract": "contract_id",
    "project": "project_id",
    "employee": "employee_id",
}

MARGIN = Mart(
    table=_table(
        "mart_margin",
        "legal_entity service_month customer_id contract_id project_id employee_id practice grade entity_currency"
        " group_currency revenue_amount cost_amount margin_amount group_revenue_amount group_cost_amount"
        " group_margin_amount",
    ),
    month="service_month",
    columns={**_FACT, "practice": "practice", "grade": "grade"},
)
UTILIZATION = Mart(
    table=_table(
        "mart_utilization_by_employee_month",
        "employee_id employee_name legal_entity department service_month working_days capacity_minutes"
        " available_minutes approved_minutes client_minutes billable_minutes billable_utilization client_utilization"
        " total_utilization capacity_utilization",
    ),
    month="service_month",
    columns={**_ENTITY, "employee": "employee_id", "practice": "department"},
    through={"grade": "employee_id"},
)
WIP = Mart(
    table=_table(
        "mart_wip_by_contract_month",
        "legal_entity contract_id service_month entity_currency group_currency opening_amount earned_amount"
        " billed_amount closing_amount wip_amount deferred_amount group_opening_amount group_earned_amount"
        " group_billed_amount group_closing_amount",
    ),
    month="service_month",
    columns={**_ENTITY, "contract": "contract_id"},
    through=_OF_CONTRACT,
)
REALIZATION = Mart(
    table=_table(
        "mart_realization_by_contract_month",
        "legal_entity contract_id service_month currency worked_minutes billable_minutes billed_minutes"
        " standard_amount billed_amount revenue_amount minutes_without_value hours_realization value_realization"
        " effective_rate",
    ),
    month="service_month",
    columns={**_ENTITY, "contract": "contract_id"},
    through=_OF_CONTRACT,
)
LEAKAGE = Mart(
    table=_table(
        "mart_revenue_leakage",
        "legal_entity contract_id service_month reason entity_currency group_currency items minutes entity_amount"
        " group_amount items_without_value",
    ),
    month="service_month",
    columns={**_ENTITY, "contract": "contract_id"},
    through=_OF_CONTRACT,
)
DSO = Mart(
    table=_table(
        "mart_dso",
        "legal_entity as_of_month entity_currency group_currency receivable_amount group_receivable_amount"
        " sales_of_year sales_of_quarter dso_year dso_quarter dso_count_back",
    ),
    month=None,
    columns=_ENTITY,
)
RECONCILIATION_SUMMARY = Mart(
    table=_table(
        "mart_reconciliation_summary",
        "legal_entity service_month currency difference explained next_step entries approved_minutes erp_minutes"
        " invoiced_minutes approved_amount erp_amount invoiced_amount",
    ),
    month="service_month",
    columns=_ENTITY,
)
RECONCILIATION = Mart(
    table=_table(
        "stg_reconciliation",
        "legal_entity service_month contract_id employee_id entry_id approved_minutes erp_minutes invoiced_minutes"
        " approved_amount erp_amount invoiced_amount currency difference explained next_step",
    ),
    month="service_month",
    columns={**_ENTITY, "contract": "contract_id", "employee": "employee_id"},
    through={**_OF_CONTRACT, **_PEOPLE},
)
LEDGER_TIE = Mart(
    table=_table(
        "mart_general_ledger_tie",
        "legal_entity ledger_month role currency expected_amount ledger_amount difference_amount tolerance_amount"
        " ledger_was_read",
    ),
    month="ledger_month",
    columns=_ENTITY,
)
RECEIVABLES_TIE = Mart(
    table=_table(
        "mart_receivables_tie",
        "legal_entity as_of_month currency open_amount ledger_amount difference_amount tolerance_amount",
    ),
    month=None,
    columns=_ENTITY,
)
WORK = Mart(
    table=_table(
        "fct_approved_work",
        "object_id part kind legal_entity service_month service_date employee_id project_id contract_id customer_id"
        " component outcome reason minutes recorded_as_billable bill_amount standard_amount currency entity_currency"
        " group_currency standard_entity_amount standard_group_amount",
    ),
    month="service_month",
    columns=_FACT,
    through=_PEOPLE,
)
BILLING = Mart(
    table=_table(
        "fct_billing",
        "billing_line_id legal_entity service_month service_date kind booked_as employee_id project_id contract_id"
        " customer_id component minutes amount currency invoiced invoice_number invoice_date entity_currency"
        " group_currency entity_amount group_amount",
    ),
    month="service_month",
    columns=_FACT,
    through=_PEOPLE,
)
REVENUE = Mart(
    table=_table(
        "fct_revenue",
        "source source_id legal_entity service_month service_date kind employee_id project_id contract_id customer_id"
        " component amount currency entity_currency group_currency entity_amount group_amount",
    ),
    month="service_month",
    columns=_FACT,
    through=_PEOPLE,
)
COST = Mart(
    table=_table(
        "fct_cost",
        "source source_id legal_entity service_month service_date kind employee_id project_id contract_id customer_id"
        " component minutes amount currency entity_currency group_currency entity_amount group_amount",
    ),
    month="service_month",
    columns=_FACT,
    through=_PEOPLE,
)
BACKLOG = Mart(
    table=_table(
        "fct_backlog",
        "legal_entity contract_id customer_id component as_of_month backlog_month gap amount currency entity_currency"
        " group_currency entity_amount group_amount",
    ),
    month=None,
    columns={**_ENTITY, "contract": "contract_id", "customer": "customer_id"},
)
INVOICE = Mart(
    table=_table(
        "fct_invoice",
        "invoice_id invoice_number legal_entity customer_id invoice_date invoice_month invoice_state posted"
        " net_amount tax_amount total_amount open_amount currency entity_currency group_currency total_entity_amount"
        " total_group_amount open_entity_amount open_group_amount",
    ),
    month="invoice_month",
    columns={**_ENTITY, "customer": "customer_id"},
)

CYCLE = Mart(
    table=_table(
        "fct_billing_cycle",
        "posting_key object_id kind legal_entity contract_id service_month service_date state attempts approved_at"
        " planned_at drafted_at invoice_number invoice_date approval_to_draft_minutes service_to_draft_days"
        " draft_to_posted_days service_to_posted_days",
    ),
    month="service_month",
    columns={**_ENTITY, "contract": "contract_id"},
    through=_OF_CONTRACT,
)
SYNC_HEALTH = Mart(
    table=_table(
        "mart_sync_health",
        "legal_entity service_month entity_currency approval_to_draft_minutes_p50 approval_to_draft_minutes_p90"
        " draft_to_posted_days_p50 draft_to_posted_days_p90 service_to_posted_days_p50 service_to_posted_days_p90"
        " exception_rate open_exception_rate first_pass_accuracy reconciliation_minutes_p50 reconciliation_minutes_p90"
        " open_differences manual_adjustments leakage_minutes leakage_amount leakage_fraction traceable_fraction"
        " traced_revenue_fraction",
    ),
    month="service_month",
    columns=_ENTITY,
)
EXCEPTION_RATE = Mart(
    table=_table(
        "mart_exception_rate_by_month",
        "legal_entity service_month work_items items_in_trouble items_in_open_trouble exceptions exception_rate"
        " open_exception_rate resolution_minutes_p50 resolution_minutes_p90",
    ),
    month="service_month",
    columns=_ENTITY,
)
ACCURACY = Mart(
    table=_table(
        "mart_invoice_accuracy_by_month",
        "legal_entity invoice_month invoices cancelled_invoices corrected_invoices first_pass_invoices"
        " first_pass_accuracy",
    ),
    month="invoice_month",
    columns=_ENTITY,
)
ADJUSTMENTS = Mart(
    table=_table("mart_manual_adjustments", "legal_entity service_month kind currency adjustments minutes amount"),
    month="service_month",
    columns=_ENTITY,
)
TRACEABILITY = Mart(
    table=_table(
        "mart_traceability_by_month",
        "legal_entity service_month entity_currency billable_minutes billed_minutes covered_minutes reasoned_minutes"
        " untraced_minutes traceable_fraction revenue_fraction revenue_amount traced_revenue_amount"
        " traced_revenue_fraction",
    ),
    month="service_month",
    columns=_ENTITY,
)
EXCEPTIONS = Mart(
    table=_table(
        "stg_exceptions",
        "exception_id code fault_class owner next_step object_id legal_entity service_month minutes first_seen_at"
        " last_seen_at resolved_at resolution",
    ),
    month="service_month",
    columns=_ENTITY,
)


def limited(mart: Mart, filters: Filters, *what: ColumnElement[Any]) -> Select[Any]:
    """A query for columns of a mart within the filters."""
    return select(*what).select_from(mart.table).where(*mart.conditions(filters))


def all_dimensions(marts: Iterable[Mart]) -> frozenset[str]:
    """The filters that each of the marts can be limited by."""
    found: frozenset[str] | None = None
    for mart in marts:
        found = mart.dimensions if found is None else found & mart.dimensions
    return found or frozenset()
