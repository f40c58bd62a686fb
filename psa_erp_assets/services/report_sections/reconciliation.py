"""Whether approved time, the ERP's billing lines and posted invoices agree, and the ledger with them."""

from dataclasses import replace

from psa_erp_assets.adapters.reporting_file import Reader
from psa_erp_assets.services import report_queries as queries
from psa_erp_assets.services.report_filters import Drill, Filters
from psa_erp_assets.services.report_model import Chart, Column, Figure, Section, columns
from psa_erp_assets.services.report_sections.building import OF_MONTH, count, figure, partition, tie_verdict, words

_ITEMS = "stg_reconciliation"

_unexplained = figure(
    "unexplained",
    count(queries.reconciliation_total, "unexplained"),
    label="Unexplained differences",
    unit="number",
    mart=_ITEMS,
    report="reconciliation",
    good="down",
    exact=(("explained", "false"),),
)


def unexplained(reader: Reader, filters: Filters) -> Figure:
    """Items of the period whose three sides differ without a rule that says why."""
    compared = reader.read(queries.reconciliation_total(filters)).dicts()[0]["compared"] or 0
    return replace(_unexplained(reader, filters), note=f"of {compared:,} items reconciled")


def by_class(reader: Reader, filters: Filters) -> Section:
    """Items and amounts by class of difference, in the documents' currencies."""
    drill = Drill(mart=_ITEMS, exact={"difference": "difference", "in_currency": "currency"})
    return Section(
        name="reconciliation_by_class",
        title="Approved time, billing lines, posted invoices",
        note="By class of difference, in the documents' currencies. Those that no rule explains come first.",
        columns=(
            Column(name="called", label="Class"),
            Column(name="compared", label="Items", unit="number", drill=drill),
            *columns("minutes", {"approved_minutes": "Approved time", "erp_minutes": "In the ERP"}, drill=drill),
            *columns("money", {"approved": "Approved", "in_erp": "In the ERP", "invoiced": "Invoiced"}, drill=drill),
            Column(name="next_step", label="Next step"),
        ),
        rows=[
            row | {"called": words(row["difference"]) + ("" if row["explained"] else ", unexplained")}
            for row in reader.read(queries.reconciliation_by_class(filters)).dicts()
        ],
        filters=filters,
    )


def by_partition(reader: Reader, filters: Filters) -> Section:
    """Items by legal entity and month."""
    keys = {"entity": "legal_entity", **OF_MONTH}
    drill = Drill(mart=_ITEMS, keys=keys)
    return Section(
        name="reconciliation_by_partition",
        title="By legal entity and month",
        columns=(
            Column(name="label", label="Partition"),
            Column(name="compared", label="Items", unit="number", drill=drill),
            *(
                Column(name=name, label=label, unit="number", drill=Drill(mart=_ITEMS, keys=keys, fixed=fixed))
                for name, label, fixed in (
                    ("matched", "Agree", {"difference": "matched"}),
                    ("waiting", "Explained", {"explained": "true"}),
                    ("unexplained", "Unexplained", {"explained": "false"}),
                )
            ),
            *columns("minutes", {"approved_minutes": "Approved time", "invoiced_minutes": "Invoiced"}, drill=drill),
        ),
        rows=[
            row | {"label": partition(row), "waiting": row["compared"] - row["unexplained"]}
            for row in reader.read(queries.reconciliation_by_partition(filters)).dicts()
        ],
        chart=Chart(x="label", bars=("waiting", "unexplained"), stacked=True, alarm=("unexplained",)),
        filters=filters,
    )


def ledger_tie(reader: Reader, filters: Filters) -> Section:
    """What the general ledger has against what our postings say."""
    return Section(
        name="ledger_tie",
        title="General ledger",
        note="The accounts that our postings are booked on, by the month of the books, as far as anything is on them.",
        columns=(
            Column(name="legal_entity", label="Entity"),
            Column(name="ledger_month", label="Month", unit="month"),
            Column(name="account", label="Account"),
            *columns(
                "money",
                {
                    "expected_amount": "By our postings",
                    "ledger_amount": "In the ledger",
                    "difference_amount": "Difference",
                },
                drill=Drill(
                    mart="mart_general_ledger_tie",
                    keys={"entity": "legal_entity", "first": "ledger_month", "last": "ledger_month"},
                    exact={"role": "role"},
                ),
            ),
            Column(name="verdict", label="Result"),
        ),
        rows=[
            row
            | {"account": words(row["role"]), "verdict": tie_verdict(row) if row["ledger_was_read"] else "not read yet"}
            for row in reader.read(queries.ledger_tie(filters)).dicts()
        ],
        filters=filters,
    )
