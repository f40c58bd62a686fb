"""What is contracted and still to be earned, as of the last run."""

from psa_erp_assets.adapters.reporting_file import Reader
from psa_erp_assets.services import report_queries as queries
from psa_erp_assets.services.report_filters import Drill, Filters
from psa_erp_assets.services.report_model import Chart, Column, Section
from psa_erp_assets.services.report_sections.building import figure, named, standing

_MART = "fct_backlog"

backlog = figure(
    "backlog",
    standing(queries.backlog_total, "backlog"),
    label="Backlog",
    unit="money",
    mart=_MART,
    report="backlog",
    note="contracted, not earned yet",
    ever=True,
)
"""What is contracted and still to be earned."""


def by_month(reader: Reader, filters: Filters) -> Section:
    """When what is contracted is planned to be earned."""
    return Section(
        name="backlog_by_month",
        title="Backlog by month",
        note="When it is planned to be earned. Work without a contract's price is no backlog.",
        columns=(
            Column(name="backlog_month", label="To be earned", unit="month"),
            _amount(Drill(mart=_MART, exact={"backlog_month": "backlog_month"}, ever=True)),
        ),
        rows=reader.read(queries.backlog_by_month(filters)).dicts(),
        chart=Chart(x="backlog_month", bars=("backlog",)),
        address="backlog",
        filters=filters,
    )


def by_contract(reader: Reader, filters: Filters) -> Section:
    """What is contracted and still to be earned, by contract."""
    return Section(
        name="backlog_by_contract",
        title="By contract",
        columns=(
            Column(name="name", label="Contract"),
            _amount(Drill(mart=_MART, keys={"contract": "member"}, ever=True)),
        ),
        rows=named(reader.read(queries.backlog_by_contract(filters)).dicts()),
        chart=Chart(x="name", bars=("backlog",), sideways=True),
        filters=filters,
    )


def gaps(reader: Reader, filters: Filters) -> Section:
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
                drill=Drill(mart=_MART, exact={"gap": "gap"}, ever=True),
            ),
        ),
        rows=reader.read(queries.backlog_gaps(filters)).dicts(),
        filters=filters,
    )


def _amount(drill: Drill) -> Column:
    return Column(name="backlog", label="Backlog", unit="money", drill=drill)
