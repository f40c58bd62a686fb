"""What customers still have to pay, for how long, and how many days of sales that is."""

import datetime as dt
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from psa_erp_assets.adapters.reporting_file import Reader
from psa_erp_assets.services import report_queries as queries
from psa_erp_assets.services.report_filters import Drill, Filters
from psa_erp_assets.services.report_model import Chart, Column, Section, Value, columns
from psa_erp_assets.services.report_sections.building import figure, named, standing, tie_verdict

_DAYS = ((0, 30), (31, 60), (61, 90))
_POSTED = {"posted": "true"}
_POSTED_IN_BOOKS = Drill(
    mart="fct_invoice", keys={"entity": "legal_entity"}, fixed=_POSTED, ever=True, currency="entity"
)

receivables = figure(
    "receivables",
    standing(queries.receivables_total, "open_amount"),
    label="Receivables",
    unit="money",
    mart="fct_invoice",
    report="receivables",
    good="down",
    note="open on posted invoices",
    ever=True,
    exact=tuple(_POSTED.items()),
)
"""What posted invoices still have to be paid."""

dso = figure(
    "dso",
    lambda reader, filters: [
        Value(value=row["dso_count_back"], label=row["legal_entity"])
        for row in reader.read(queries.dso_by_entity(filters)).dicts()
    ],
    label="DSO, count-back",
    unit="days",
    mart="mart_dso",
    report="receivables",
    good="down",
    note="by legal entity",
    ever=True,
)
"""Days of sales outstanding by counting back, of each legal entity: books of several currencies have no sum."""


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
                drill=_POSTED_IN_BOOKS,
            ),
            Column(name="sales_of_year", label="Invoiced in 12 months", unit="money", currency="entity_currency"),
            *columns(
                "days",
                {"dso_year": "Year", "dso_quarter": "Quarter", "dso_count_back": "Count-back"},
                drill=Drill(mart="mart_dso", keys={"entity": "legal_entity"}, ever=True),
            ),
        ),
        rows=reader.read(queries.dso_by_entity(filters)).dicts(),
        chart=Chart(x="legal_entity", bars=("dso_year", "dso_quarter", "dso_count_back")),
        filters=filters,
    )


def by_age(reader: Reader, filters: Filters) -> Section:
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
    return Section(
        name="receivables_by_age",
        title="Age of receivables",
        note="Since the end of the invoice's month: the ERP's invoices have no due date here.",
        columns=(Column(name="age", label="Age"), *_open(_posted({"first": "from", "last": "to"}))),
        rows=[
            found | {"age": labels[place], "currency": currency}
            for (place, currency), found in sorted(sums.items(), key=lambda one: (one[0][1] or "", one[0][0]))
        ],
        chart=Chart(x="age", bars=("open_amount",)),
        address="receivables",
        filters=filters,
    )


def by_customer(reader: Reader, filters: Filters) -> Section:
    """Open amounts by customer."""
    return Section(
        name="receivables_by_customer",
        title="By customer",
        columns=(Column(name="name", label="Customer"), *_open(_posted({"customer": "member"}, ever=True))),
        rows=named(reader.read(queries.receivables_by_customer(filters)).dicts()),
        chart=Chart(x="name", bars=("open_amount",), sideways=True),
        filters=filters,
    )


def ledger_tie(reader: Reader, filters: Filters) -> Section:
    """What customers owe by posted invoices against what the general ledger has on the accounts of receivables."""
    return Section(
        name="receivables_tie",
        title="Receivables and the general ledger",
        note="Open amounts of posted invoices at the rate of their date, and the balance of the control accounts.",
        columns=(
            Column(name="legal_entity", label="Entity"),
            Column(name="as_of_month", label="Ledger until", unit="month"),
            Column(name="open_amount", label="Open on invoices", unit="money", drill=_POSTED_IN_BOOKS),
            *columns(
                "money",
                {"ledger_amount": "In the ledger", "difference_amount": "Difference"},
                drill=Drill(mart="mart_receivables_tie", keys={"entity": "legal_entity"}, ever=True),
            ),
            Column(name="verdict", label="Result"),
        ),
        rows=[row | {"verdict": tie_verdict(row)} for row in reader.read(queries.receivables_tie(filters)).dicts()],
        filters=filters,
    )


def _posted(keys: Mapping[str, str], *, ever: bool = False) -> Drill:
    return Drill(mart="fct_invoice", keys=keys, fixed=_POSTED, ever=ever)


def _open(drill: Drill) -> tuple[Column, Column]:
    return (
        Column(name="invoices", label="Invoices", unit="number", drill=drill),
        Column(name="open_amount", label="Open", unit="money", drill=drill),
    )


def _bucket(month: str, today: dt.date) -> int:
    year, number = int(month[:4]), int(month[5:])
    after = dt.date(year + number // 12, number % 12 + 1, 1)
    days = (today - after).days + 1
    return next((place for place, (_, last) in enumerate(_DAYS) if days <= last), len(_DAYS))
