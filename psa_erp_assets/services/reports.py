"""The reports: which there are, what each is made of, and one of them for the filters that somebody chose."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from psa_erp_assets.adapters.reporting_file import Reader
from psa_erp_assets.services import report_queries as queries
from psa_erp_assets.services import report_sections as sections
from psa_erp_assets.services.report_filters import DIMENSIONS, Currency, Filters, shifted
from psa_erp_assets.services.report_marts import (
    BACKLOG,
    DSO,
    INVOICE,
    LEAKAGE,
    MARGIN,
    RECONCILIATION_SUMMARY,
    SYNC_HEALTH,
    UTILIZATION,
    WIP,
    Mart,
    all_dimensions,
)
from psa_erp_assets.services.report_model import Report
from psa_erp_assets.services.report_rows import RowSource

MOST_MEMBERS_TO_CHOOSE = 500
"""As many members as a list to choose from has; beyond that somebody types the code."""


class UnknownFilterError(ValueError):
    """A report was asked for by a dimension, a currency or a period that it does not know."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """A report before anybody asks for it. `marts` say which filters it takes; `currencies` which amounts it has."""

    name: str
    title: str
    lead: str
    marts: Sequence[Mart]
    figures: Sequence[sections.BuildFigure]
    sections: Sequence[sections.Build]
    currencies: Sequence[Currency] = ("group", "entity")
    has_period: bool = True

    @property
    def dimensions(self) -> tuple[str, ...]:
        """The dimensions that each of its marts can be limited by."""
        known = all_dimensions(self.marts)
        return tuple(name for name in DIMENSIONS if name in known)


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """What can be chosen in a report: months, latest first, and members with their names.

    A dimension of too many members has none here.
    """

    months: Sequence[str]
    members: Mapping[str, Sequence[tuple[str, str]]]


REPORTS: Mapping[str, Definition] = {
    one.name: one
    for one in (
        Definition(
            name="executive",
            title="Executive overview",
            lead="How the firm does: what it earns, what it keeps, how busy it is, and what is still to be paid.",
            marts=(MARGIN, UTILIZATION, WIP, BACKLOG, DSO, INVOICE, LEAKAGE, RECONCILIATION_SUMMARY),
            figures=(
                sections.revenue,
                sections.margin,
                sections.margin_share,
                sections.utilization,
                sections.realization,
                sections.unbilled,
                sections.deferred,
                sections.backlog,
                sections.receivables,
                sections.dso,
                sections.leakage,
                sections.unexplained,
            ),
            sections=(
                sections.revenue_by_month,
                sections.utilization_by_month,
                sections.margin_by("practice", "Revenue and margin by practice"),
                sections.wip_by_month,
                sections.wip_by_age,
                sections.receivables_by_age,
            ),
        ),
        Definition(
            name="utilization",
            title="Utilization",
            lead=(
                "Billable, client and total time as parts of what was available: Mondays to Fridays at eight hours,"
                " as no system tells of holidays or leave."
            ),
            marts=(UTILIZATION,),
            figures=(sections.utilization,),
            sections=(
                sections.utilization_by_month,
                sections.utilization_by_practice,
                sections.utilization_by_grade,
                sections.utilization_by_employee,
            ),
            currencies=(),
        ),
        Definition(
            name="wip",
            title="Work in progress",
            lead="What is earned and not invoiced, what is invoiced and not earned, and for how long.",
            marts=(WIP,),
            figures=(sections.unbilled, sections.deferred),
            sections=(sections.wip_by_month, sections.wip_by_age, sections.wip_by_contract),
        ),
        Definition(
            name="backlog",
            title="Backlog",
            lead="What is contracted and still to be earned, as of the last run.",
            marts=(BACKLOG,),
            figures=(sections.backlog,),
            sections=(sections.backlog_by_month, sections.backlog_by_contract, sections.backlog_gaps),
            currencies=("group", "entity", "transaction"),
            has_period=False,
        ),
        Definition(
            name="revenue",
            title="Revenue",
            lead="How revenue came about since the period before, and where billable work brings nothing.",
            marts=(MARGIN, LEAKAGE),
            figures=(sections.revenue, sections.realization, sections.leakage),
            sections=(
                sections.revenue_bridge,
                sections.revenue_movers,
                sections.revenue_by_month,
                sections.leakage_by_reason,
            ),
        ),
        Definition(
            name="margin",
            title="Margin",
            lead="Recognized revenue less the cost of the people who did the work.",
            marts=(MARGIN,),
            figures=(sections.revenue, sections.margin, sections.margin_share),
            sections=(
                sections.revenue_by_month,
                sections.margin_by_entity,
                sections.margin_by("customer", "By customer"),
                sections.margin_by("practice", "By practice"),
                sections.margin_by("project", "By project"),
                sections.margin_by("grade", "By grade"),
                sections.margin_by("employee", "By employee"),
            ),
        ),
        Definition(
            name="receivables",
            title="Receivables",
            lead="What customers still have to pay, for how long, and how many days of sales that is.",
            marts=(DSO, INVOICE),
            figures=(sections.receivables, sections.dso),
            sections=(
                sections.dso_by_entity,
                sections.receivables_by_age,
                sections.receivables_by_customer,
            ),
            currencies=("group", "entity", "transaction"),
            has_period=False,
        ),
        Definition(
            name="reconciliation",
            title="Reconciliation",
            lead="Whether approved time, the ERP's billing lines and posted invoices agree, and the ledger with them.",
            marts=(RECONCILIATION_SUMMARY,),
            figures=(sections.unexplained,),
            sections=(
                sections.reconciliation_by_class,
                sections.reconciliation_by_partition,
                sections.ledger_tie,
            ),
            currencies=(),
        ),
        Definition(
            name="sync-health",
            title="Sync health",
            lead="How quickly work becomes invoices, how often somebody has to help, and whether all of it is traced.",
            marts=(SYNC_HEALTH,),
            figures=(sections.traceable, sections.in_trouble, sections.first_pass, sections.adjustments),
            sections=(sections.quality_by_month, sections.health_by_partition, sections.adjustments_by_kind),
            currencies=(),
        ),
    )
}
"""The reports by name, in the order in which they are offered."""


def report(reader: Reader, definition: Definition, filters: Filters) -> Report:
    """A report within the filters. Without a period it is that of the last month that is over.

    Raises UnknownFilterError, and ReportingFileError where the file lacks what it reads.
    """
    check(definition, filters)
    chosen = with_period(reader, filters)
    return Report(
        name=definition.name,
        title=definition.title,
        lead=definition.lead,
        filters=chosen,
        dimensions=definition.dimensions,
        published_at=reader.publication.published_at,
        figures=[build(reader, chosen) for build in definition.figures],
        sections=[build(reader, chosen) for build in definition.sections],
    )


def check(definition: Definition, filters: Filters) -> None:
    """Raise UnknownFilterError where a report has no such dimension or currency."""
    unknown = set(filters.chosen()) - set(definition.dimensions)
    if unknown:
        raise UnknownFilterError(f"{definition.title} has no filter by {', '.join(sorted(unknown))}")
    if filters.currency != "group" and filters.currency not in definition.currencies:
        raise UnknownFilterError(f"{definition.title} has no amounts in the {filters.currency} currency")


def check_rows(source: RowSource, filters: Filters) -> None:
    """Raise UnknownFilterError where rows cannot be limited like that, or have no amounts of that kind."""
    unknown = (set(filters.chosen()) - source.mart.dimensions) | (
        {name for name, _ in filters.exact} - set(source.mart.exact)
    )
    if unknown:
        raise UnknownFilterError(f"{source.title} has no filter by {', '.join(sorted(unknown))}")
    if filters.currency == "transaction" and source.currency is not None and "currency" not in source.mart.table.c:
        raise UnknownFilterError(f"{source.title} has no amounts in the documents' currencies")


def with_period(reader: Reader, filters: Filters) -> Filters:
    """The filters with a period: that which is asked for, else the last month of the data that is over.

    Raises UnknownFilterError where it ends before it begins.
    """
    if filters.first is not None and filters.last is not None and filters.first > filters.last:
        raise UnknownFilterError("The period ends before it begins")
    last = filters.last or filters.first or _last_whole_month(reader, filters)
    return filters.replace(first=filters.first or last, last=last)


def choices(reader: Reader, definition: Definition, filters: Filters) -> Choices:
    """What can be chosen in a report."""
    members: dict[str, Sequence[tuple[str, str]]] = {}
    for name in definition.dimensions:
        if name == "entity":
            members[name] = [(row[0], row[0]) for row in reader.read(queries.entities(filters)).rows]
        else:
            found = reader.read(queries.members(name)(filters).limit(MOST_MEMBERS_TO_CHOOSE + 1)).rows
            members[name] = [(row[0], row[1]) for row in found] if len(found) <= MOST_MEMBERS_TO_CHOOSE else ()
    return Choices(months=[row[0] for row in reader.read(queries.months(filters)).rows], members=members)


def _last_whole_month(reader: Reader, filters: Filters) -> str:
    running = f"{reader.publication.published_at:%Y-%m}"
    months = [row[0] for row in reader.read(queries.months(filters)).rows if row[0] is not None]
    over = [month for month in months if month < running]
    return str((over or months or [shifted(running, -1)])[0])
