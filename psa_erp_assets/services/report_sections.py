"""The sections and figures that reports are put together from: one function each, of a reader and the filters.

Rates are made here, of sums that the marts have, because decimals stay exact in Python.
"""

import datetime as dt
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any, Literal

from psa_erp_assets.adapters.reporting_file import Reader
from psa_erp_assets.services import report_queries as queries
from psa_erp_assets.services.report_filters import Drill, Filters, months_between
from psa_erp_assets.services.report_model import Chart, Column, Figure, Section, Value, share

Build = Callable[[Reader, Filters], Section]
BuildFigure = Callable[[Reader, Filters], Figure]

TREND_MONTHS = 12
_AGES = ((0, 0, "this month"), (1, 1, "1 month"), (2, 2, "2 months"), (3, 5, "3 to 5 months"))
_OLDEST = "6 months or more"
_DAYS = ((0, 30), (31, 60), (61, 90))
_REASONS = {
    "hold": "held by an exception",
    "written_off": "written off",
    "non_billable": "decided not to be billable",
    "credited": "credited",
}
_MONTH = {"first": "service_month", "last": "service_month"}


# Figures


def revenue(reader: Reader, filters: Filters) -> Figure:
    """Recognized revenue of the period."""
    return _amount_figure(
        reader,
        filters,
        queries.margin_total,
        "revenue",
        label="Revenue",
        mart="fct_revenue",
        report="revenue",
        good="up",
    )


def margin(reader: Reader, filters: Filters) -> Figure:
    """Revenue less cost of the period."""
    return _amount_figure(
        reader, filters, queries.margin_total, "margin", label="Margin", mart="mart_margin", report="margin", good="up"
    )


def margin_share(reader: Reader, filters: Filters) -> Figure:
    """Margin as a part of revenue."""
    return Figure(
        name="margin_share",
        label="Margin of revenue",
        unit="share",
        values=_compared(
            reader,
            filters,
            queries.margin_total,
            lambda row: share(row["margin"], row["revenue"]),
            lambda row: row["currency"],
        ),
        address=_rows("mart_margin", filters),
        report="margin",
        good="up",
    )


def utilization(reader: Reader, filters: Filters) -> Figure:
    """Billable time as a part of what was available."""
    return _share_figure(
        reader,
        filters,
        queries.utilization_total,
        ("billable", "available"),
        name="utilization",
        label="Billable utilization",
        mart="mart_utilization_by_employee_month",
        report="utilization",
    )


def realization(reader: Reader, filters: Filters) -> Figure:
    """Billed time as a part of the time that was recorded as billable."""
    return _share_figure(
        reader,
        filters,
        queries.realization_total,
        ("billed", "billable"),
        name="realization",
        label="Realization of hours",
        mart="mart_realization_by_contract_month",
        report="revenue",
    )


def unbilled(reader: Reader, filters: Filters) -> Figure:
    """What is earned and not invoiced at the end of the period."""
    return _balance_figure(reader, filters, "wip", "Unbilled work", "down")


def deferred(reader: Reader, filters: Filters) -> Figure:
    """What is invoiced and not earned at the end of the period."""
    return _balance_figure(reader, filters, "deferred", "Deferred revenue", None)


def backlog(reader: Reader, filters: Filters) -> Figure:
    """What is contracted and still to be earned."""
    ever = filters.replace(first=None, last=None)
    values = _amounts(reader.read(queries.backlog_total(filters)).dicts(), "backlog")
    return Figure(
        name="backlog",
        label="Backlog",
        unit="money",
        values=values,
        address=_rows("fct_backlog", ever),
        report="backlog",
        good="up",
        note="contracted, not earned yet",
    )


def receivables(reader: Reader, filters: Filters) -> Figure:
    """What posted invoices still have to be paid."""
    values = _amounts(reader.read(queries.receivables_total(filters)).dicts(), "open_amount")
    return Figure(
        name="receivables",
        label="Receivables",
        unit="money",
        values=values,
        address=_rows("fct_invoice", filters.replace(first=None, last=None, exact=(("posted", "true"),))),
        report="receivables",
        good="down",
        note="open on posted invoices",
    )


def dso(reader: Reader, filters: Filters) -> Figure:
    """Days of sales outstanding by counting back, of each legal entity: books of several currencies have no sum."""
    rows = reader.read(queries.dso_by_entity(filters)).dicts()
    return Figure(
        name="dso",
        label="DSO, count-back",
        unit="days",
        values=[Value(value=row["dso_count_back"], label=row["legal_entity"]) for row in rows],
        address=_rows("mart_dso", filters.replace(first=None, last=None)),
        report="receivables",
        good="down",
        note="by legal entity",
    )


def leakage(reader: Reader, filters: Filters) -> Figure:
    """Billable work of the period that brings nothing, at its standard value."""
    now = reader.read(queries.leakage_total(filters)).dicts()
    without = sum(row["without_value"] for row in now)
    figure = _amount_figure(
        reader,
        filters,
        queries.leakage_total,
        "lost",
        label="Lost revenue",
        mart="mart_revenue_leakage",
        report="revenue",
        good="down",
    )
    return replace(figure, note=f"{without:,} items have no value" if without else "at standard rates")


def unexplained(reader: Reader, filters: Filters) -> Figure:
    """Items of the period whose three sides differ without a rule that says why."""
    compared = reader.read(queries.reconciliation_total(filters)).dicts()[0]["compared"] or 0
    return Figure(
        name="unexplained",
        label="Unexplained differences",
        unit="number",
        values=_compared(
            reader, filters, queries.reconciliation_total, lambda row: row["unexplained"] or 0, lambda _: None
        ),
        address=_rows("stg_reconciliation", filters.replace(exact=(("explained", "false"),))),
        report="reconciliation",
        good="down",
        note=f"of {compared:,} items reconciled",
    )


# Sections: revenue and margin


def revenue_by_month(reader: Reader, filters: Filters) -> Section:
    """Revenue, cost and margin of the twelve months that end with the period."""
    trend = filters.ending(TREND_MONTHS)
    return _margin_section(
        reader.read(queries.margin_by_month(trend)).dicts(),
        trend,
        name="revenue_by_month",
        title="Revenue and margin by month",
        by=Column(name="service_month", label="Month", unit="month"),
        keys=_MONTH,
        chart=Chart(x="service_month", bars=("revenue", "cost"), lines=("margin_share",)),
        address="margin",
    )


def margin_by_entity(reader: Reader, filters: Filters) -> Section:
    """Revenue, cost and margin of the period by legal entity."""
    return _margin_section(
        reader.read(queries.margin_by_entity(filters)).dicts(),
        filters,
        name="margin_by_entity",
        title="By legal entity",
        by=Column(name="legal_entity", label="Entity"),
        keys={"entity": "legal_entity"},
        chart=Chart(x="legal_entity", bars=("revenue", "cost"), lines=("margin_share",)),
    )


def margin_by(dimension: str, title: str) -> Build:
    """Revenue, cost and margin of the period by the members of a dimension."""

    def build(reader: Reader, filters: Filters) -> Section:
        rows = reader.read(queries.margin_by(dimension)(filters)).dicts()
        return _margin_section(
            [row | {"name": _called(row)} for row in rows],
            filters,
            name=f"margin_by_{dimension}",
            title=title,
            by=Column(name="name", label=dimension.capitalize()),
            keys={dimension: "member"},
            chart=Chart(x="name", bars=("revenue", "margin"), sideways=True),
            address="margin",
        )

    return build


def revenue_bridge(reader: Reader, filters: Filters) -> Section:
    """From the revenue of the period before to that of this one."""
    steps = (
        ("opening", "Period before"),
        ("gained", "New customers"),
        ("growth", "Growth"),
        ("decline", "Decline"),
        ("lost", "Lost customers"),
        ("closing", "This period"),
    )
    before = filters.before()
    spans = {"opening": before, "closing": filters}
    rows = []
    for row in reader.read(queries.revenue_bridge(filters)).dicts():
        for step, label in steps:
            span = spans.get(step, filters.replace(first=before.first))
            rows.append(
                {
                    "step": label,
                    "amount": row[step],
                    "currency": row["currency"],
                    "from": span.first,
                    "to": span.last,
                }
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
        chart=Chart(x="step", bars=("amount",), waterfall=True, totals=("Period before", "This period")),
        filters=filters,
    )


def revenue_movers(reader: Reader, filters: Filters) -> Section:
    """Customers by how far their revenue moved."""
    before = filters.before()
    rows = [
        row | {"name": _called(row), "from": before.first, "until": before.last}
        for row in reader.read(queries.revenue_movers(filters)).dicts()
    ]
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
        rows=rows,
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


# Utilization


def utilization_by_month(reader: Reader, filters: Filters) -> Section:
    """Utilization of the twelve months that end with the period."""
    trend = filters.ending(TREND_MONTHS)
    return _utilization_section(
        reader.read(queries.utilization_by_month(trend)).dicts(),
        trend,
        name="utilization_by_month",
        title="Utilization by month",
        by=[Column(name="service_month", label="Month", unit="month")],
        keys=_MONTH,
        chart=Chart(x="service_month", lines=("billable_share", "client_share", "total_share")),
        address="utilization",
    )


def utilization_by_practice(reader: Reader, filters: Filters) -> Section:
    """Utilization of the period by practice."""
    return _utilization_section(
        reader.read(queries.utilization_by_practice(filters)).dicts(),
        filters,
        name="utilization_by_practice",
        title="By practice",
        by=[Column(name="practice", label="Practice")],
        keys={"practice": "practice"},
        chart=Chart(x="practice", bars=("billable_share",), sideways=True),
        address="utilization",
    )


def utilization_by_grade(reader: Reader, filters: Filters) -> Section:
    """Utilization of the period by grade."""
    return _utilization_section(
        reader.read(queries.utilization_by_grade(filters)).dicts(),
        filters,
        name="utilization_by_grade",
        title="By grade",
        by=[Column(name="grade", label="Grade")],
        keys={"grade": "grade"},
        chart=Chart(x="grade", bars=("billable_share",), sideways=True),
    )


def utilization_by_employee(reader: Reader, filters: Filters) -> Section:
    """Utilization of the period by employee."""
    return _utilization_section(
        reader.read(queries.utilization_by_employee(filters)).dicts(),
        filters,
        name="utilization_by_employee",
        title="By employee",
        by=[
            Column(name="employee_name", label="Employee"),
            Column(name="legal_entity", label="Entity"),
            Column(name="department", label="Practice"),
        ],
        keys={"employee": "employee_id"},
        chart=None,
        note=f"The {queries.MOST_MEMBERS} with the most billable time.",
    )


# Work in progress, backlog


def wip_by_month(reader: Reader, filters: Filters) -> Section:
    """Balances at the end of each of the twelve months that end with the period."""
    trend = filters.ending(TREND_MONTHS)
    drill = Drill(mart="mart_wip_by_contract_month", keys=_MONTH)
    return Section(
        name="wip_by_month",
        title="Unbilled and deferred by month",
        note="At the end of each month. What a contract has earned and billed nets within it, never with others.",
        columns=(
            Column(name="service_month", label="Month", unit="month"),
            Column(name="earned", label="Earned", unit="money", drill=drill),
            Column(name="billed", label="Invoiced", unit="money", drill=drill),
            Column(name="wip", label="Unbilled", unit="money", drill=drill),
            Column(name="deferred", label="Deferred", unit="money", drill=drill),
        ),
        rows=reader.read(queries.wip_by_month(trend)).dicts(),
        chart=Chart(x="service_month", bars=("wip", "deferred")),
        address="wip",
        filters=trend,
    )


def wip_by_age(reader: Reader, filters: Filters) -> Section:
    """How long ago what is unbilled was earned; what was earned first counts as billed first."""
    end = _end_of_balances(reader, filters)
    whole = {
        row["currency"]: row["wip"] for row in reader.read(queries.wip_by_month(end)).dicts() if end.last is not None
    }
    sums: dict[tuple[str, str], Decimal] = {}
    for row in reader.read(queries.wip_by_age(filters)).dicts():
        label = _age(months_between(row["service_month"], end.last or row["service_month"]) - 1)
        key = (label, row["currency"])
        sums[key] = sums.get(key, Decimal(0)) + row["kept"]
        whole[row["currency"]] = whole.get(row["currency"], Decimal(0)) - row["kept"]
    for currency, rest in whole.items():
        if rest:
            # More is unbilled than the contract's months have earned: it was open before the first of them.
            sums[_OLDEST, currency] = sums.get((_OLDEST, currency), Decimal(0)) + rest
    labels = [*(label for _, _, label in _AGES), _OLDEST]
    return Section(
        name="wip_by_age",
        title="Age of unbilled work",
        note="What a contract earned first counts as invoiced first.",
        columns=(
            Column(name="age", label="Earned"),
            Column(
                name="amount",
                label="Unbilled",
                unit="money",
                drill=Drill(mart="mart_wip_by_contract_month", keys={"first": "end", "last": "end"}),
            ),
        ),
        rows=[
            {"age": label, "amount": amount, "currency": currency, "end": end.last}
            for (label, currency), amount in sorted(sums.items(), key=lambda one: (one[0][1], labels.index(one[0][0])))
        ],
        chart=Chart(x="age", bars=("amount",)),
        address="wip",
        filters=filters,
    )


def wip_by_contract(reader: Reader, filters: Filters) -> Section:
    """Balances by contract at the end of the period."""
    end = _end_of_balances(reader, filters)
    drill = Drill(mart="mart_wip_by_contract_month", keys={"contract": "member"})
    rows = reader.read(queries.wip_by_contract(end)).dicts() if end.last is not None else []
    return Section(
        name="wip_by_contract",
        title="By contract",
        columns=(
            Column(name="name", label="Contract"),
            Column(name="earned", label="Earned in the month", unit="money", drill=drill),
            Column(name="billed", label="Invoiced in the month", unit="money", drill=drill),
            Column(name="wip", label="Unbilled", unit="money", drill=drill),
            Column(name="deferred", label="Deferred", unit="money", drill=drill),
        ),
        rows=[row | {"name": _called(row)} for row in rows],
        chart=Chart(x="name", bars=("wip",), sideways=True),
        filters=end,
    )


def backlog_by_month(reader: Reader, filters: Filters) -> Section:
    """When what is contracted is planned to be earned."""
    return Section(
        name="backlog_by_month",
        title="Backlog by month",
        note="When it is planned to be earned. Work without a contract's price is no backlog.",
        columns=(
            Column(name="backlog_month", label="To be earned", unit="month"),
            Column(
                name="backlog",
                label="Backlog",
                unit="money",
                drill=Drill(mart="fct_backlog", exact={"backlog_month": "backlog_month"}, ever=True),
            ),
        ),
        rows=reader.read(queries.backlog_by_month(filters)).dicts(),
        chart=Chart(x="backlog_month", bars=("backlog",)),
        address="backlog",
        filters=filters,
    )


def backlog_by_contract(reader: Reader, filters: Filters) -> Section:
    """What is contracted and still to be earned, by contract."""
    return Section(
        name="backlog_by_contract",
        title="By contract",
        columns=(
            Column(name="name", label="Contract"),
            Column(
                name="backlog",
                label="Backlog",
                unit="money",
                drill=Drill(mart="fct_backlog", keys={"contract": "member"}, ever=True),
            ),
        ),
        rows=[row | {"name": _called(row)} for row in reader.read(queries.backlog_by_contract(filters)).dicts()],
        chart=Chart(x="name", bars=("backlog",), sideways=True),
        filters=filters,
    )


def backlog_gaps(reader: Reader, filters: Filters) -> Section:
    """Contracts whose backlog cannot be said, and why."""
    return Section(
        name="backlog_gaps",
        title="Contracts without a backlog",
        note="Their terms or estimates lack what it takes to say what is still to be earned.",
        columns=(
            Column(name="gap", label="Missing", unit="code"),
            Column(
                name="components",
                label="Components",
                unit="number",
                drill=Drill(mart="fct_backlog", exact={"gap": "gap"}, ever=True),
            ),
        ),
        rows=reader.read(queries.backlog_gaps(filters)).dicts(),
        filters=filters,
    )


# Receivables


def dso_by_entity(reader: Reader, filters: Filters) -> Section:
    """Days of sales outstanding of each legal entity."""
    return Section(
        name="dso_by_entity",
        title="Days of sales outstanding",
        note=(
            "Year: receivables ÷ invoices of 12 months × 365. Quarter: ÷ invoices of 3 months × 90. Count-back: the"
            " latest months' invoices, 30 days each, that add up to the receivables. In the currency of the books."
        ),
        columns=(
            Column(name="legal_entity", label="Entity"),
            Column(name="as_of_month", label="As of", unit="month"),
            Column(
                name="receivable_amount",
                label="Receivables",
                unit="money",
                currency="entity_currency",
                drill=Drill(mart="fct_invoice", keys={"entity": "legal_entity"}, fixed={"posted": "true"}, ever=True),
            ),
            Column(name="sales_of_year", label="Invoiced in 12 months", unit="money", currency="entity_currency"),
            *(
                Column(
                    name=name,
                    label=label,
                    unit="days",
                    drill=Drill(mart="mart_dso", keys={"entity": "legal_entity"}, ever=True),
                )
                for name, label in (
                    ("dso_year", "Year"),
                    ("dso_quarter", "Quarter"),
                    ("dso_count_back", "Count-back"),
                )
            ),
        ),
        rows=reader.read(queries.dso_by_entity(filters)).dicts(),
        chart=Chart(x="legal_entity", bars=("dso_year", "dso_quarter", "dso_count_back")),
        filters=filters,
    )


def receivables_by_age(reader: Reader, filters: Filters) -> Section:
    """Open amounts by how long ago the month of the invoice ended, as of the day of the file."""
    today = reader.publication.published_at.date()
    sums: dict[tuple[int, str], dict[str, Any]] = {}
    for row in reader.read(queries.receivables_by_age(filters)).dicts():
        place = _bucket(row["invoice_month"], today)
        found = sums.setdefault(
            (place, row["currency"]),
            {"from": row["invoice_month"], "to": row["invoice_month"], "invoices": 0, "open_amount": Decimal(0)},
        )
        found["from"], found["to"] = min(found["from"], row["invoice_month"]), max(found["to"], row["invoice_month"])
        found["invoices"] += row["invoices"]
        found["open_amount"] += row["open_amount"]
    labels = [*(f"{first} to {last} days" for first, last in _DAYS), f"over {_DAYS[-1][1]} days"]
    drill = Drill(mart="fct_invoice", keys={"first": "from", "last": "to"}, fixed={"posted": "true"})
    return Section(
        name="receivables_by_age",
        title="Age of receivables",
        note="Since the end of the invoice's month: the ERP's invoices have no due date here.",
        columns=(
            Column(name="age", label="Age"),
            Column(name="invoices", label="Invoices", unit="number", drill=drill),
            Column(name="open_amount", label="Open", unit="money", drill=drill),
        ),
        rows=[
            found | {"age": labels[place], "currency": currency}
            for (place, currency), found in sorted(sums.items(), key=lambda one: (one[0][1] or "", one[0][0]))
        ],
        chart=Chart(x="age", bars=("open_amount",)),
        address="receivables",
        filters=filters,
    )


def receivables_by_customer(reader: Reader, filters: Filters) -> Section:
    """Open amounts by customer."""
    drill = Drill(mart="fct_invoice", keys={"customer": "member"}, fixed={"posted": "true"}, ever=True)
    return Section(
        name="receivables_by_customer",
        title="By customer",
        columns=(
            Column(name="name", label="Customer"),
            Column(name="invoices", label="Invoices", unit="number", drill=drill),
            Column(name="open_amount", label="Open", unit="money", drill=drill),
        ),
        rows=[row | {"name": _called(row)} for row in reader.read(queries.receivables_by_customer(filters)).dicts()],
        chart=Chart(x="name", bars=("open_amount",), sideways=True),
        filters=filters,
    )


# Reconciliation


def reconciliation_by_class(reader: Reader, filters: Filters) -> Section:
    """Items and amounts by class of difference, in the documents' currencies."""
    drill = Drill(mart="stg_reconciliation", exact={"difference": "difference", "in_currency": "currency"})
    rows = reader.read(queries.reconciliation_by_class(filters)).dicts()
    return Section(
        name="reconciliation_by_class",
        title="Approved time, billing lines, posted invoices",
        note="By class of difference, in the documents' currencies. Those that no rule explains come first.",
        columns=(
            Column(name="called", label="Class"),
            Column(name="compared", label="Items", unit="number", drill=drill),
            Column(name="approved_minutes", label="Approved time", unit="minutes", drill=drill),
            Column(name="erp_minutes", label="In the ERP", unit="minutes", drill=drill),
            Column(name="approved", label="Approved", unit="money", drill=drill),
            Column(name="in_erp", label="In the ERP", unit="money", drill=drill),
            Column(name="invoiced", label="Invoiced", unit="money", drill=drill),
            Column(name="next_step", label="Next step"),
        ),
        rows=[
            row | {"called": row["difference"].replace("_", " ") + ("" if row["explained"] else ", unexplained")}
            for row in rows
        ],
        filters=filters,
    )


def reconciliation_by_partition(reader: Reader, filters: Filters) -> Section:
    """Items by legal entity and month."""
    drill = Drill(mart="stg_reconciliation", keys={"entity": "legal_entity", **_MONTH})
    return Section(
        name="reconciliation_by_partition",
        title="By legal entity and month",
        columns=(
            Column(name="label", label="Partition"),
            Column(name="compared", label="Items", unit="number", drill=drill),
            Column(name="matched", label="Agree", unit="number", drill=_kept(drill, {"difference": "matched"})),
            Column(name="waiting", label="Explained", unit="number", drill=_kept(drill, {"explained": "true"})),
            Column(name="unexplained", label="Unexplained", unit="number", drill=_kept(drill, {"explained": "false"})),
            Column(name="approved_minutes", label="Approved time", unit="minutes", drill=drill),
            Column(name="invoiced_minutes", label="Invoiced", unit="minutes", drill=drill),
        ),
        rows=[
            row
            | {
                "label": f"{row['legal_entity']} {row['service_month']}",
                "waiting": row["compared"] - row["unexplained"],
            }
            for row in reader.read(queries.reconciliation_by_partition(filters)).dicts()
        ],
        chart=Chart(x="label", bars=("waiting", "unexplained"), stacked=True),
        filters=filters,
    )


def ledger_tie(reader: Reader, filters: Filters) -> Section:
    """What the general ledger has against what our postings say."""
    drill = Drill(
        mart="mart_general_ledger_tie",
        keys={"entity": "legal_entity", "first": "ledger_month", "last": "ledger_month"},
        exact={"role": "role"},
    )
    rows = [
        row
        | {
            "account": row["role"].replace("_", " "),
            "verdict": "not read yet"
            if not row["ledger_was_read"]
            else "ties"
            if abs(row["difference_amount"]) <= row["tolerance_amount"]
            else "differs",
        }
        for row in reader.read(queries.ledger_tie(filters)).dicts()
    ]
    return Section(
        name="ledger_tie",
        title="General ledger",
        note="The accounts that revenue recognition posts to, by the month of the books.",
        columns=(
            Column(name="legal_entity", label="Entity"),
            Column(name="ledger_month", label="Month", unit="month"),
            Column(name="account", label="Account"),
            Column(name="expected_amount", label="By our postings", unit="money", drill=drill),
            Column(name="ledger_amount", label="In the ledger", unit="money", drill=drill),
            Column(name="difference_amount", label="Difference", unit="money", drill=drill),
            Column(name="verdict", label="Result"),
        ),
        rows=rows,
        filters=filters,
    )


# Sync health


def traceable(reader: Reader, filters: Filters) -> Figure:
    """Billable time that leads to revenue or to a reason why there is none."""
    return _share_figure(
        reader,
        filters,
        queries.traceability_total,
        ("traced", "billable"),
        name="traceable",
        label="Traceable billable time",
        mart="mart_traceability_by_month",
        report="sync-health",
    )


def in_trouble(reader: Reader, filters: Filters) -> Figure:
    """Work that was ever in trouble."""
    figure = _share_figure(
        reader,
        filters,
        queries.trouble_total,
        ("in_trouble", "work_items"),
        name="in_trouble",
        label="Work with exceptions",
        mart="mart_exception_rate_by_month",
        report="sync-health",
    )
    return replace(figure, good="down")


def first_pass(reader: Reader, filters: Filters) -> Figure:
    """Invoices that were right the first time."""
    return _share_figure(
        reader,
        filters,
        queries.accuracy_total,
        ("first_pass", "invoices"),
        name="first_pass",
        label="Invoices right the first time",
        mart="mart_invoice_accuracy_by_month",
        report="sync-health",
    )


def adjustments(reader: Reader, filters: Filters) -> Figure:
    """How often people did something beside the sync."""
    return Figure(
        name="adjustments",
        label="Manual adjustments",
        unit="number",
        values=_compared(
            reader, filters, queries.adjustments_total, lambda row: row["adjustments"] or 0, lambda _: None
        ),
        address=_rows("mart_manual_adjustments", filters),
        report="sync-health",
        good="down",
    )


def quality_by_month(reader: Reader, filters: Filters) -> Section:
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
                    ("traceable", "Traceable", "mart_traceability_by_month"),
                    ("in_trouble", "With exceptions", "mart_exception_rate_by_month"),
                    ("first_pass", "Right the first time", "mart_invoice_accuracy_by_month"),
                )
            ),
        ),
        rows=[found[month] for month in sorted(found)],
        chart=Chart(x="month", lines=("traceable", "in_trouble", "first_pass")),
        filters=trend,
    )


def health_by_partition(reader: Reader, filters: Filters) -> Section:
    """Times and rates by legal entity and month."""
    keys = {"entity": "legal_entity", **_MONTH}
    cycle = Drill(mart="fct_billing_cycle", keys=keys)
    return Section(
        name="health_by_partition",
        title="By legal entity and month",
        note="Half of the lines took no longer than the median, nine of ten no longer than the ninth decile.",
        columns=(
            Column(name="label", label="Partition"),
            Column(name="approval_to_draft_minutes_p50", label="Approval to draft", unit="minutes", drill=cycle),
            Column(name="approval_to_draft_minutes_p90", label="Ninth decile", unit="minutes", drill=cycle),
            Column(name="draft_to_posted_days_p50", label="Draft to posted, days", unit="number", drill=cycle),
            Column(name="draft_to_posted_days_p90", label="Ninth decile, days", unit="number", drill=cycle),
            Column(
                name="exception_rate",
                label="With exceptions",
                unit="share",
                drill=Drill(mart="mart_exception_rate_by_month", keys=keys),
            ),
            Column(
                name="first_pass_accuracy",
                label="Right the first time",
                unit="share",
                drill=Drill(mart="mart_invoice_accuracy_by_month", keys=keys),
            ),
            Column(
                name="manual_adjustments",
                label="Adjustments",
                unit="number",
                drill=Drill(mart="mart_manual_adjustments", keys=keys),
            ),
            Column(
                name="leakage_fraction",
                label="Value lost",
                unit="share",
                drill=Drill(mart="mart_revenue_leakage", keys=keys),
            ),
            Column(
                name="traceable_fraction",
                label="Traceable",
                unit="share",
                drill=Drill(mart="mart_traceability_by_month", keys=keys),
            ),
        ),
        rows=[
            row | {"label": f"{row['legal_entity']} {row['service_month']}"}
            for row in reader.read(queries.sync_health(filters)).dicts()
        ],
        filters=filters,
    )


def adjustments_by_kind(reader: Reader, filters: Filters) -> Section:
    """What people did beside the sync, by kind."""
    drill = Drill(mart="mart_manual_adjustments", exact={"kind": "kind"})
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
            row | {"called": row["kind"].replace("_", " ")}
            for row in reader.read(queries.adjustments_by_kind(filters)).dicts()
        ],
        chart=Chart(x="called", bars=("adjustments",), sideways=True),
        filters=filters,
    )


# What they have in common


def _rows(mart: str, filters: Filters) -> str:
    return f"/reports/rows/{mart}?{filters.query()}"


def _compared(
    reader: Reader,
    filters: Filters,
    query: queries.Query,
    value: Callable[[Mapping[str, Any]], Any],
    currency: Callable[[Mapping[str, Any]], str | None],
) -> list[Value]:
    """A value of each row of a query, beside that of the period before."""
    before = {currency(row): value(row) for row in reader.read(query(filters.before())).dicts()}
    return [
        Value(value=value(row), currency=currency(row), previous=before.get(currency(row)))
        for row in reader.read(query(filters)).dicts()
    ]


def _amount_figure(
    reader: Reader,
    filters: Filters,
    query: queries.Query,
    name: str,
    *,
    label: str,
    mart: str,
    report: str,
    good: Literal["up", "down"],
) -> Figure:
    values = _compared(reader, filters, query, lambda row: row[name], lambda row: row["currency"])
    return Figure(
        name=name,
        label=label,
        unit="money",
        values=_with_currency(values),
        address=_rows(mart, filters),
        report=report,
        good=good,
    )


def _share_figure(
    reader: Reader,
    filters: Filters,
    query: queries.Query,
    parts: tuple[str, str],
    *,
    name: str,
    label: str,
    mart: str,
    report: str,
) -> Figure:
    part, whole = parts
    return Figure(
        name=name,
        label=label,
        unit="share",
        values=_compared(reader, filters, query, lambda row: share(row[part], row[whole]), lambda _: None),
        address=_rows(mart, filters),
        report=report,
        good="up",
    )


def _balance_figure(
    reader: Reader, filters: Filters, name: str, label: str, good: Literal["up", "down"] | None
) -> Figure:
    end, before = _end_of_balances(reader, filters), _end_of_balances(reader, filters.before())
    then = (
        {row["currency"]: row[name] for row in reader.read(queries.wip_by_month(before)).dicts()} if before.last else {}
    )
    now = reader.read(queries.wip_by_month(end)).dicts() if end.last else []
    values = [Value(value=row[name], currency=row["currency"], previous=then.get(row["currency"])) for row in now]
    return Figure(
        name=name,
        label=label,
        unit="money",
        values=_with_currency(values),
        address=_rows("mart_wip_by_contract_month", end),
        report="wip",
        good=good,
        note=f"at the end of {end.last}" if end.last else "",
    )


def _end_of_balances(reader: Reader, filters: Filters) -> Filters:
    """The filters for the one month whose closing balances are those of the period's end; None where there is none."""
    month = reader.read(queries.wip_month(filters)).rows[0][0]
    return filters.replace(first=month, last=month)


def _with_currency(values: Iterable[Value]) -> list[Value]:
    # Rows without a currency are those that have no amount.
    return sorted((value for value in values if value.currency is not None), key=lambda value: value.currency or "")


def _amounts(rows: Iterable[Mapping[str, Any]], name: str) -> list[Value]:
    return _with_currency(Value(value=row[name], currency=row["currency"]) for row in rows)


def _margin_section(
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


def _utilization_section(
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
            Column(name="available", label="Available", unit="minutes", drill=drill),
            Column(name="billable", label="Billable", unit="minutes", drill=drill),
            Column(name="billable_share", label="Billable utilization", unit="share", drill=drill),
            Column(name="client_share", label="Client utilization", unit="share", drill=drill),
            Column(name="total_share", label="Total utilization", unit="share", drill=drill),
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


def _kept(drill: Drill, fixed: Mapping[str, str]) -> Drill:
    return Drill(mart=drill.mart, keys=drill.keys, exact=drill.exact, fixed=fixed)


def _called(row: Mapping[str, Any]) -> str:
    """The name of a member, or what stands for rows without one."""
    return row["name"] or row["member"] or "not assigned"


def _age(months: int) -> str:
    return next((label for first, last, label in _AGES if first <= months <= last), _OLDEST)


def _bucket(month: str, today: dt.date) -> int:
    year, number = int(month[:4]), int(month[5:])
    after = dt.date(year + number // 12, number % 12 + 1, 1)
    days = (today - after).days + 1
    return next((place for place, (_, last) in enumerate(_DAYS) if days <= last), len(_DAYS))
