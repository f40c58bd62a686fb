"""The reports: which there are, what each is made of, and one of them for the filters that somebody chose."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from psa_erp_assets.adapters.reporting_file import Reader
from psa_erp_assets.services import report_queries as queries
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
from psa_erp_assets.services.report_sections import (
    backlog,
    margin,
    receivables,
    reconciliation,
    revenue,
    sync_health,
    utilization,
    wip,
)
from psa_erp_assets.services.report_sections.building import Build, BuildFigure

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
    figures: Sequence[BuildFigure]
    sections: Sequence[Build]
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
                margin.revenue,
                margin.margin,
                margin.margin_share,
                utilization.utilization,
                revenue.realization,
                wip.unbilled,
                wip.deferred,
                backlog.backlog,
                receivables.receivables,
                receivables.dso,
                revenue.leakage,
                reconciliation.unexplained,
            ),
            sections=(
                margin.by_month,
                utilization.by_month,
                margin.by("practice", "Revenue and margin by practice"),
                wip.by_month,
                wip.by_age,
                receivables.by_age,
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
            figures=(utilization.utilization,),
            sections=(
                utilization.by_month,
                utilization.by_practice,
                utilization.by_grade,
                utilization.by_employee,
            ),
            currencies=(),
        ),
        Definition(
            name="wip",
            title="Work in progress",
            lead="What is earned and not invoiced, what is invoiced and not earned, and for how long.",
            marts=(WIP,),
            figures=(wip.unbilled, wip.deferred),
            sections=(wip.by_month, wip.by_age, wip.by_contract),
        ),
        Definition(
            name="backlog",
            title="Backlog",
            lead="What is contracted and still to be earned, as of the last run.",
            marts=(BACKLOG,),
            figures=(backlog.backlog,),
            sections=(backlog.by_month, backlog.by_contract, backlog.gaps),
            currencies=("group", "entity", "transaction"),
            has_period=False,
        ),
        Definition(
            name="revenue",
            title="Revenue",
            lead="How revenue came about since the period before, and where billable work brings nothing.",
            marts=(MARGIN, LEAKAGE),
            figures=(margin.revenue, revenue.realization, revenue.leakage),
            sections=(
                revenue.bridge,
                revenue.movers,
                margin.by_month,
                revenue.leakage_by_reason,
            ),
        ),
        Definition(
            name="margin",
            title="Margin",
            lead="Recognized revenue less the cost of the people who did the work.",
            marts=(MARGIN,),
            figures=(margin.revenue, margin.margin, margin.margin_share),
            sections=(
                margin.by_month,
                margin.by_entity,
                margin.by("customer"),
                margin.by("practice"),
                margin.by("project"),
                margin.by("grade"),
                margin.by("employee"),
            ),
        ),
        Definition(
            name="receivables",
            title="Receivables",
            lead="What customers still have to pay, for how long, and how many days of sales that is.",
            marts=(DSO, INVOICE),
            figures=(receivables.receivables, receivables.dso),
            sections=(
                receivables.dso_by_entity,
                receivables.by_age,
                receivables.by_customer,
                receivables.ledger_tie,
            ),
            currencies=("group", "entity", "transaction"),
            has_period=False,
        ),
        Definition(
            name="reconciliation",
            title="Reconciliation",
            lead="Whether approved time, the ERP's billing lines and posted invoices agree, and the ledger with them.",
            marts=(RECONCILIATION_SUMMARY,),
            figures=(reconciliation.unexplained,),
            sections=(
                reconciliation.by_class,
                reconciliation.by_partition,
                reconciliation.ledger_tie,
                receivables.ledger_tie,
            ),
            currencies=(),
        ),
        Definition(
            name="sync-health",
            title="Sync health",
            lead="How quickly work becomes invoices, how often somebody has to help, and whether all of it is traced.",
            marts=(SYNC_HEALTH,),
            figures=(sync_health.traceable, sync_health.in_trouble, sync_health.first_pass, sync_health.adjustments),
            sections=(sync_health.by_month, sync_health.by_partition, sync_health.adjustments_by_kind),
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
            members[name] = _told_apart(found) if len(found) <= MOST_MEMBERS_TO_CHOOSE else ()
    return Choices(months=[row[0] for row in reader.read(queries.months(filters)).rows], members=members)


def _told_apart(members: Sequence[Sequence[str]]) -> list[tuple[str, str]]:
    """Ids with names; where two have the same one, their ids are beside it."""
    called = Counter(name for _, name in members)
    return [(member, f"{name} ({member})" if called[name] > 1 else name) for member, name in members]


def _last_whole_month(reader: Reader, filters: Filters) -> str:
    running = f"{reader.publication.published_at:%Y-%m}"
    months = [row[0] for row in reader.read(queries.months(filters)).rows if row[0] is not None]
    over = [month for month in months if month < running]
    return str((over or months or [shifted(running, -1)])[0])
