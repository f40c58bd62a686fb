"""How busy people are, and how much of it is billable."""

from collections.abc import Mapping, Sequence
from typing import Any

from psa_erp_assets.adapters.reporting_file import Reader
from psa_erp_assets.services import report_queries as queries
from psa_erp_assets.services.report_filters import Drill, Filters
from psa_erp_assets.services.report_model import Chart, Column, Section, columns, share
from psa_erp_assets.services.report_sections.building import OF_MONTH, TREND_MONTHS, figure, fraction

utilization = figure(
    "utilization",
    fraction(queries.utilization_total, "billable", "available"),
    label="Billable utilization",
    unit="share",
    mart="mart_utilization_by_employee_month",
    report="utilization",
)
"""Billable time as a part of what was available."""


def by_month(reader: Reader, filters: Filters) -> Section:
    """Utilization of the twelve months that end with the period."""
    trend = filters.ending(TREND_MONTHS)
    return _section(
        reader.read(queries.utilization_by_month(trend)).dicts(),
        trend,
        name="utilization_by_month",
        title="Utilization by month",
        by=[Column(name="service_month", label="Month", unit="month")],
        keys=OF_MONTH,
        chart=Chart(x="service_month", lines=("billable_share", "client_share", "total_share")),
        address="utilization",
    )


def by_practice(reader: Reader, filters: Filters) -> Section:
    """Utilization of the period by practice."""
    return _by_members(reader, filters, "practice", queries.utilization_by_practice, address="utilization")


def by_grade(reader: Reader, filters: Filters) -> Section:
    """Utilization of the period by grade."""
    return _by_members(reader, filters, "grade", queries.utilization_by_grade)


def by_employee(reader: Reader, filters: Filters) -> Section:
    """Utilization of the period by employee."""
    return _section(
        reader.read(queries.utilization_by_employee(filters)).dicts(),
        filters,
        name="utilization_by_employee",
        title="By employee",
        by=columns("text", {"employee_name": "Employee", "legal_entity": "Entity", "department": "Practice"}),
        keys={"employee": "employee_id"},
        chart=None,
        note=f"The {queries.MOST_MEMBERS} with the most billable time.",
    )


def _by_members(
    reader: Reader, filters: Filters, dimension: str, query: queries.Query, *, address: str = ""
) -> Section:
    return _section(
        reader.read(query(filters)).dicts(),
        filters,
        name=f"utilization_by_{dimension}",
        title=f"By {dimension}",
        by=[Column(name=dimension, label=dimension.capitalize())],
        keys={dimension: dimension},
        chart=Chart(x=dimension, bars=("billable_share",), sideways=True),
        address=address,
    )


def _section(
    rows: Sequence[Mapping[str, Any]],
    filters: Filters,
    *,
    name: str,
    title: str,
    by: Sequence[Column],
    keys: Mapping[str, str],
    chart: Chart | None,
    address: str = "",
    note: str = "",
) -> Section:
    drill = Drill(mart="mart_utilization_by_employee_month", keys=keys)
    return Section(
        name=name,
        title=title,
        note=note,
        columns=(
            *by,
            Column(name="people", label="People", unit="number"),
            *columns("minutes", {"available": "Available", "billable": "Billable"}, drill=drill),
            *columns(
                "share",
                {
                    "billable_share": "Billable utilization",
                    "client_share": "Client utilization",
                    "total_share": "Total utilization",
                },
                drill=drill,
            ),
        ),
        rows=[
            {
                **row,
                "billable_share": share(row["billable"], row["available"]),
                "client_share": share(row["client"], row["available"]),
                "total_share": share(row["approved"], row["available"]),
            }
            for row in rows
        ],
        chart=chart,
        address=address,
        filters=filters,
    )
