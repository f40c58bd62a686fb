"""How revenue came about since the period before, and where billable work brings nothing."""

from dataclasses import replace

from psa_erp_assets.adapters.reporting_file import Reader
from psa_erp_assets.services import report_queries as queries
from psa_erp_assets.services.report_filters import Drill, Filters
from psa_erp_assets.services.report_model import Chart, Column, Figure, Section
from psa_erp_assets.services.report_sections.building import amounts, figure, fraction, named

_STEPS = {
    "opening": "Period before",
    "gained": "New customers",
    "growth": "Growth",
    "decline": "Decline",
    "lost": "Lost customers",
    "closing": "This period",
}
_REASONS = {
    "hold": "held by an exception",
    "written_off": "written off",
    "non_billable": "decided not to be billable",
    "credited": "credited",
}

realization = figure(
    "realization",
    fraction(queries.realization_total, "billed", "billable"),
    label="Realization of hours",
    unit="share",
    mart="mart_realization_by_contract_month",
    report="revenue",
)
"""Billed time as a part of the time that was recorded as billable."""

_lost = figure(
    "lost",
    amounts(queries.leakage_total, "lost"),
    label="Lost revenue",
    unit="money",
    mart="mart_revenue_leakage",
    report="revenue",
    good="down",
    note="at standard rates",
)


def leakage(reader: Reader, filters: Filters) -> Figure:
    """Billable work of the period that brings nothing, at its standard value."""
    found = _lost(reader, filters)
    without = sum(row["without_value"] for row in reader.read(queries.leakage_total(filters)).dicts())
    return replace(found, note=f"{without:,} items have no value") if without else found


def bridge(reader: Reader, filters: Filters) -> Section:
    """From the revenue of the period before to that of this one."""
    before = filters.before()
    spans = {"opening": before, "closing": filters}
    rows = []
    for row in reader.read(queries.revenue_bridge(filters)).dicts():
        for step, label in _STEPS.items():
            span = spans.get(step, filters.replace(first=before.first))
            rows.append(
                {"step": label, "amount": row[step], "currency": row["currency"], "from": span.first, "to": span.last}
            )
    return Section(
        name="revenue_bridge",
        title="Revenue waterfall",
        note="A customer is new or lost where the other period has no revenue of theirs.",
        columns=(
            Column(name="step", label="Step"),
            Column(
                name="amount",
                label="Revenue",
                unit="money",
                drill=Drill(mart="fct_revenue", keys={"first": "from", "last": "to"}),
            ),
        ),
        rows=rows,
        chart=Chart(x="step", bars=("amount",), waterfall=True, totals=(_STEPS["opening"], _STEPS["closing"])),
        filters=filters,
    )


def movers(reader: Reader, filters: Filters) -> Section:
    """Customers by how far their revenue moved."""
    before = filters.before()
    customer = {"customer": "member"}
    return Section(
        name="revenue_movers",
        title="What moved, by customer",
        columns=(
            Column(name="name", label="Customer"),
            Column(
                name="opening",
                label="Period before",
                unit="money",
                drill=Drill(mart="fct_revenue", keys={**customer, "first": "from", "last": "until"}),
            ),
            Column(name="closing", label="This period", unit="money", drill=Drill(mart="fct_revenue", keys=customer)),
            Column(name="moved", label="Moved", unit="money"),
        ),
        rows=[
            row | {"from": before.first, "until": before.last}
            for row in named(reader.read(queries.revenue_movers(filters)).dicts())
        ],
        chart=Chart(x="name", bars=("moved",), sideways=True),
        filters=filters,
    )


def leakage_by_reason(reader: Reader, filters: Filters) -> Section:
    """Why billable work brings nothing."""
    rows = [
        row | {"called": _REASONS.get(row["reason"], row["reason"]) + ("" if row["currency"] else ", without a rate")}
        for row in reader.read(queries.leakage_by_reason(filters)).dicts()
    ]
    return Section(
        name="leakage_by_reason",
        title="Lost revenue by reason",
        note="Billable work that brings nothing, at standard rates. Items without a rate have no value.",
        columns=(
            Column(name="called", label="Reason"),
            Column(name="pieces", label="Items", unit="number"),
            Column(name="minutes", label="Time", unit="minutes"),
            Column(
                name="lost",
                label="At standard rates",
                unit="money",
                drill=Drill(mart="mart_revenue_leakage", exact={"reason": "reason"}),
            ),
        ),
        rows=rows,
        chart=Chart(x="called", bars=("lost",), sideways=True),
        address="revenue",
        filters=filters,
    )
