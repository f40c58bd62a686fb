"""How quickly work becomes invoices, how often somebody has to help, and whether all of it is traced."""

from typing import Any

from psa_erp_assets.adapters.reporting_file import Reader
from psa_erp_assets.services import report_queries as queries
from psa_erp_assets.services.report_filters import Drill, Filters
from psa_erp_assets.services.report_model import Chart, Column, Section, Unit, columns, share
from psa_erp_assets.services.report_sections.building import (
    OF_MONTH,
    TREND_MONTHS,
    count,
    figure,
    fraction,
    partition,
    words,
)

_TRACEABILITY = "mart_traceability_by_month"
_TROUBLE = "mart_exception_rate_by_month"
_ACCURACY = "mart_invoice_accuracy_by_month"
_ADJUSTMENTS = "mart_manual_adjustments"
_RATES: tuple[tuple[str, str, Unit, str], ...] = (
    ("exception_rate", "With exceptions", "share", _TROUBLE),
    ("first_pass_accuracy", "Right the first time", "share", _ACCURACY),
    ("manual_adjustments", "Adjustments", "number", _ADJUSTMENTS),
    ("leakage_fraction", "Value lost", "share", "mart_revenue_leakage"),
    ("traceable_fraction", "Traceable", "share", _TRACEABILITY),
)

traceable = figure(
    "traceable",
    fraction(queries.traceability_total, "traced", "billable"),
    label="Traceable billable time",
    unit="share",
    mart=_TRACEABILITY,
    report="sync-health",
)
"""Billable time that leads to revenue or to a reason why there is none."""

in_trouble = figure(
    "in_trouble",
    fraction(queries.trouble_total, "in_trouble", "work_items"),
    label="Work with exceptions",
    unit="share",
    mart=_TROUBLE,
    report="sync-health",
    good="down",
)
"""Work that was ever in trouble."""

first_pass = figure(
    "first_pass",
    fraction(queries.accuracy_total, "first_pass", "invoices"),
    label="Invoices right the first time",
    unit="share",
    mart=_ACCURACY,
    report="sync-health",
)
"""Invoices that were right the first time."""

adjustments = figure(
    "adjustments",
    count(queries.adjustments_total, "adjustments"),
    label="Manual adjustments",
    unit="number",
    mart=_ADJUSTMENTS,
    report="sync-health",
    good="down",
)
"""How often people did something beside the sync."""


def by_month(reader: Reader, filters: Filters) -> Section:
    """Traceability, exceptions and accuracy of the twelve months that end with the period."""
    trend = filters.ending(TREND_MONTHS)
    found: dict[str, dict[str, Any]] = {}
    for query, month, name, part, whole in (
        (queries.traceability_by_month, "service_month", "traceable", "traced", "billable"),
        (queries.trouble_by_month, "service_month", "in_trouble", "in_trouble", "work_items"),
        (queries.accuracy_by_month, "invoice_month", "first_pass", "first_pass", "invoices"),
    ):
        for row in reader.read(query(trend)).dicts():
            empty = {"traceable": None, "in_trouble": None, "first_pass": None}
            found.setdefault(row[month], {"month": row[month], **empty})[name] = share(row[part], row[whole])
    keys = {"first": "month", "last": "month"}
    return Section(
        name="quality_by_month",
        title="Quality by month",
        note="Invoices count in the month of their date, work in the month in which it was done.",
        columns=(
            Column(name="month", label="Month", unit="month"),
            *(
                Column(name=name, label=label, unit="share", drill=Drill(mart=mart, keys=keys))
                for name, label, mart in (
                    ("traceable", "Traceable", _TRACEABILITY),
                    ("in_trouble", "With exceptions", _TROUBLE),
                    ("first_pass", "Right the first time", _ACCURACY),
                )
            ),
        ),
        rows=[found[month] for month in sorted(found)],
        chart=Chart(x="month", lines=("traceable", "in_trouble", "first_pass")),
        filters=trend,
    )


def by_partition(reader: Reader, filters: Filters) -> Section:
    """Times and rates by legal entity and month."""
    keys = {"entity": "legal_entity", **OF_MONTH}
    cycle = Drill(mart="fct_billing_cycle", keys=keys)
    return Section(
        name="health_by_partition",
        title="By legal entity and month",
        note="Half of the lines took no longer than the median, nine of ten no longer than the ninth decile.",
        columns=(
            Column(name="label", label="Partition"),
            *columns(
                "minutes",
                {
                    "approval_to_draft_minutes_p50": "Approval to draft",
                    "approval_to_draft_minutes_p90": "Ninth decile",
                },
                drill=cycle,
            ),
            *columns(
                "number",
                {
                    "draft_to_posted_days_p50": "Draft to posted, days",
                    "draft_to_posted_days_p90": "Ninth decile, days",
                },
                drill=cycle,
            ),
            *(
                Column(name=name, label=label, unit=unit, drill=Drill(mart=mart, keys=keys))
                for name, label, unit, mart in _RATES
            ),
        ),
        rows=[row | {"label": partition(row)} for row in reader.read(queries.sync_health(filters)).dicts()],
        filters=filters,
    )


def adjustments_by_kind(reader: Reader, filters: Filters) -> Section:
    """What people did beside the sync, by kind."""
    drill = Drill(mart=_ADJUSTMENTS, exact={"kind": "kind"})
    return Section(
        name="adjustments_by_kind",
        title="Manual adjustments by kind",
        note="By hand is what was made in the ERP without the sync; credits, write-offs and periods are its own.",
        columns=(
            Column(name="called", label="Kind"),
            Column(name="adjustments", label="Adjustments", unit="number", drill=drill),
            Column(name="minutes", label="Time", unit="minutes", drill=drill),
        ),
        rows=[
            row | {"called": words(row["kind"])} for row in reader.read(queries.adjustments_by_kind(filters)).dicts()
        ],
        chart=Chart(x="called", bars=("adjustments",), sideways=True),
        filters=filters,
    )
