"""The figures of the executive overview as an analyst would ask the marts for them."""

from decimal import ROUND_HALF_UP, Decimal

import duckdb

# Each figure of the executive overview as an analyst would ask the marts for it, in the group's currency or the books'.
# {month} is the period, {last} its last month, {entity} a condition on the legal entity.
EXECUTIVE = {
    "revenue": "SELECT sum({group}revenue_amount) FROM mart_margin WHERE {month} AND {entity}",
    "margin": "SELECT sum({group}margin_amount) FROM mart_margin WHERE {month} AND {entity}",
    "margin_share": (
        "SELECT sum({group}margin_amount), sum({group}revenue_amount) FROM mart_margin WHERE {month} AND {entity}"
    ),
    "utilization": (
        "SELECT sum(billable_minutes), sum(available_minutes) FROM mart_utilization_by_employee_month"
        " WHERE {month} AND {entity}"
    ),
    "realization": (
        "SELECT sum(billed_minutes), sum(billable_minutes) FROM mart_realization_by_contract_month"
        " WHERE {month} AND {entity}"
    ),
    "wip": (
        "SELECT sum(greatest({group}closing_amount, 0)) FROM mart_wip_by_contract_month"
        " WHERE service_month = '{last}' AND {entity}"
    ),
    "deferred": (
        "SELECT sum(greatest(-{group}closing_amount, 0)) FROM mart_wip_by_contract_month"
        " WHERE service_month = '{last}' AND {entity}"
    ),
    "backlog": "SELECT sum({fact}amount) FROM fct_backlog WHERE gap IS NULL AND {entity}",
    "receivables": "SELECT sum({group}receivable_amount) FROM mart_dso WHERE {entity}",
    "dso": "SELECT dso_count_back FROM mart_dso WHERE {entity} ORDER BY legal_entity",
    "lost": "SELECT sum({fact}amount) FROM mart_revenue_leakage WHERE {month} AND {entity}",
    "unexplained": (
        "SELECT coalesce(sum(entries), 0) FROM mart_reconciliation_summary WHERE NOT explained AND {month} AND {entity}"
    ),
}


def of_marts(marts: duckdb.DuckDBPyConnection, figure: str, **values: str) -> list[Decimal | None]:
    """The figure by its mart: a share as a fraction of four digits."""
    rows = marts.execute(EXECUTIVE[figure].format(**values)).fetchall()
    if figure in ("margin_share", "utilization", "realization"):
        return [
            (Decimal(part) / Decimal(whole)).quantize(Decimal("0.0001"), ROUND_HALF_UP) for part, whole in rows if whole
        ]
    return [row[0] for row in rows]
