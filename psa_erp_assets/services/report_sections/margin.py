"""What is earned and what it costs: by month, legal entity, and members of the other dimensions."""

from collections.abc import Mapping, Sequence
from typing import Any

from psa_erp_assets.adapters.reporting_file import Reader
from psa_erp_assets.services import report_queries as queries
from psa_erp_assets.services.report_filters import Drill, Filters
from psa_erp_assets.services.report_model import Chart, Column, Section, share
from psa_erp_assets.services.report_sections.building import (
    OF_MONTH,
    TREND_MONTHS,
    Build,
    amounts,
    each,
    figure,
    named,
)

revenue = figure(
    "revenue",
    amounts(queries.margin_total, "revenue"),
    label="Revenue",
    unit="money",
    mart="fct_revenue",
    report="revenue",
)
"""Recognized revenue of the period."""

margin = figure(
    "margin",
    amounts(queries.margin_total, "margin"),
    label="Margin",
    unit="money",
    mart="mart_margin",
    report="margin",
)
"""Revenue less cost of the period."""

margin_share = figure(
    "margin_share",
    each(queries.margin_total, lambda row: share(row["margin"], row["revenue"]), by_currency=True),
    label="Margin of revenue",
    unit="share",
    mart="mart_margin",
    report="margin",
)
"""Margin as a part of revenue."""


def by_month(reader: Reader, filters: Filters) -> Section:
    """Revenue, cost and margin of the twelve months that end with the period."""
    trend = filters.ending(TREND_MONTHS)
    return _section(
        reader.read(queries.margin_by_month(trend)).dicts(),
        trend,
        name="revenue_by_month",
        title="Revenue and margin by month",
        by=Column(name="service_month", label="Month", unit="month"),
        keys=OF_MONTH,
        chart=Chart(x="service_month", bars=("revenue", "cost"), lines=("margin_share",)),
        address="margin",
    )


def by_entity(reader: Reader, filters: Filters) -> Section:
    """Revenue, cost and margin of the period by legal entity."""
    return _section(
        reader.read(queries.margin_by_entity(filters)).dicts(),
        filters,
        name="margin_by_entity",
        title="By legal entity",
        by=Column(name="legal_entity", label="Entity"),
        keys={"entity": "legal_entity"},
        chart=Chart(x="legal_entity", bars=("revenue", "cost"), lines=("margin_share",)),
    )


def by(dimension: str, title: str = "") -> Build:
    """Revenue, cost and margin of the period by the members of a dimension."""

    def build(reader: Reader, filters: Filters) -> Section:
        return _section(
            named(reader.read(queries.margin_by(dimension)(filters)).dicts()),
            filters,
            name=f"margin_by_{dimension}",
            title=title or f"By {dimension}",
            by=Column(name="name", label=dimension.capitalize()),
            keys={dimension: "member"},
            chart=Chart(x="name", bars=("revenue", "margin"), sideways=True),
            address="margin",
        )

    return build


def _section(
    rows: Sequence[Mapping[str, Any]],
    filters: Filters,
    *,
    name: str,
    title: str,
    by: Column,
    keys: Mapping[str, str],
    chart: Chart,
    address: str = "",
) -> Section:
    revenue_rows, cost_rows, both = (Drill(mart=mart, keys=keys) for mart in ("fct_revenue", "fct_cost", "mart_margin"))
    return Section(
        name=name,
        title=title,
        columns=(
            by,
            Column(name="revenue", label="Revenue", unit="money", drill=revenue_rows),
            Column(name="cost", label="Cost", unit="money", drill=cost_rows),
            Column(name="margin", label="Margin", unit="money", drill=both),
            Column(name="margin_share", label="Of revenue", unit="share"),
        ),
        rows=[{**row, "margin_share": share(row["margin"], row["revenue"])} for row in rows],
        chart=chart,
        address=address,
        filters=filters,
    )
