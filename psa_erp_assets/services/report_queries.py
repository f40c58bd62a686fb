"""What the reports ask of the marts: every query of theirs by name, each of them a function of the filters.

What belongs here: sums over marts. What does not: rates and comparisons of the sums (`services.reports`), because the
marts' engine divides in floats, and the rows behind a number (`services.report_rows`).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Numeric,
    Select,
    case,
    cast,
    func,
    or_,
    select,
    union,
)

from psa_erp_assets.services.report_filters import Filters
from psa_erp_assets.services.report_marts import (
    ACCURACY,
    ADJUSTMENTS,
    BACKLOG,
    DIM_CONTRACT,
    DIM_CUSTOMER,
    DIM_EMPLOYEE,
    DIM_PROJECT,
    DSO,
    EXCEPTION_RATE,
    INVOICE,
    LEAKAGE,
    LEDGER_TIE,
    MARGIN,
    REALIZATION,
    RECEIVABLES_TIE,
    RECONCILIATION_SUMMARY,
    SYNC_HEALTH,
    TRACEABILITY,
    UTILIZATION,
    WIP,
    Mart,
    limited,
)

MOST_MEMBERS = 100
"""As many members of a dimension as a table of a report has; the largest ones."""

Query = Callable[[Filters], Select[Any]]

_MONEY = Numeric(38, 4)
_NAMED = {
    "customer": (DIM_CUSTOMER, "customer_id", "customer_name"),
    "contract": (DIM_CONTRACT, "contract_id", "contract_name"),
    "project": (DIM_PROJECT, "project_id", "project_name"),
    "employee": (DIM_EMPLOYEE, "employee_id", "employee_name"),
}


def months(filters: Filters) -> Select[Any]:
    """The months for which there is anything, latest first."""
    every = Filters(entities=filters.entities)
    found = union(
        limited(MARGIN, every, MARGIN.table.c.service_month),
        limited(UTILIZATION, every, UTILIZATION.table.c.service_month),
    ).subquery()
    return (
        select(found.c.service_month).where(found.c.service_month.is_not(None)).order_by(found.c.service_month.desc())
    )


def entities(filters: Filters) -> Select[Any]:
    """The legal entities that there are, within those that the reader may see."""
    return (
        limited(DSO, Filters(entities=filters.entities), DSO.table.c.legal_entity)
        .union(limited(UTILIZATION, Filters(entities=filters.entities), UTILIZATION.table.c.legal_entity))
        .subquery()
        .select()
        .order_by("legal_entity")
    )


def members(dimension: str) -> Query:
    """The members of a dimension that the reader may see revenue, costs or people of, with their names."""

    def query(filters: Filters) -> Select[Any]:
        allowed = Filters(entities=filters.entities)
        known = MARGIN.table.c[MARGIN.columns[dimension]].label("member")
        worked = limited(MARGIN, allowed, known)
        if MARGIN.columns[dimension] in DIM_EMPLOYEE.c:
            own = DIM_EMPLOYEE.c.legal_entity.in_(sorted(filters.entities or ()))
            people = select(DIM_EMPLOYEE.c[MARGIN.columns[dimension]].label("member"))
            seen = union(worked, people if filters.entities is None else people.where(own)).subquery()
        else:
            seen = worked.distinct().subquery()
        if dimension not in _NAMED:
            return (
                select(seen.c.member, seen.c.member.label("name"))
                .where(seen.c.member.is_not(None))
                .order_by("name", "member")
            )
        named, key, name = _NAMED[dimension]
        return (
            select(seen.c.member, func.coalesce(named.c[name], seen.c.member).label("name"))
            .select_from(seen.outerjoin(named, named.c[key] == seen.c.member))
            .where(seen.c.member.is_not(None))
            .order_by("name", "member")
        )

    return query


# Margin


def margin_total(filters: Filters) -> Select[Any]:
    """Revenue, cost and margin of the period, by currency."""
    return _margin(filters)


def margin_by_month(filters: Filters) -> Select[Any]:
    """Revenue, cost and margin by service month and currency."""
    return _margin(filters, MARGIN.table.c.service_month).order_by("service_month", "currency")


def margin_by_entity(filters: Filters) -> Select[Any]:
    """Revenue, cost and margin by legal entity."""
    return _margin(filters, MARGIN.table.c.legal_entity).order_by("legal_entity", "currency")


def margin_by(dimension: str) -> Query:
    """Revenue, cost and margin by the members of a dimension, the largest revenue first."""

    def query(filters: Filters) -> Select[Any]:
        return _named(_margin(filters, MARGIN.table.c[MARGIN.columns[dimension]].label("member")), dimension, "revenue")

    return query


def revenue_bridge(filters: Filters) -> Select[Any]:
    """From the revenue of the period before to that of the period, by what customers did.

    A customer is new or lost where the other period has no revenue of theirs; what the rest moved is growth or decline.
    The parts sum to the difference.
    """
    before = filters.before()
    currency, revenue = MARGIN.currency(filters), MARGIN.amount(filters, "revenue_amount")
    month = MARGIN.table.c.service_month
    each = (
        limited(
            MARGIN,
            filters.replace(first=before.first),
            MARGIN.table.c.customer_id,
            currency.label("currency"),
            _sum(case((month < filters.first, revenue), else_=0)).label("opening"),
            _sum(case((month >= filters.first, revenue), else_=0)).label("closing"),
        )
        .group_by(MARGIN.table.c.customer_id, currency)
        .subquery()
    )
    moved = each.c.closing - each.c.opening
    stayed = (each.c.opening != 0) & (each.c.closing != 0)
    return (
        select(
            each.c.currency,
            _sum(each.c.opening).label("opening"),
            _sum(case((each.c.opening == 0, moved), else_=0)).label("gained"),
            _sum(case((stayed & (moved > 0), moved), else_=0)).label("growth"),
            _sum(case((stayed & (moved < 0), moved), else_=0)).label("decline"),
            _sum(case(((each.c.closing == 0) & (each.c.opening != 0), moved), else_=0)).label("lost"),
            _sum(each.c.closing).label("closing"),
        )
        .group_by(each.c.currency)
        .order_by(each.c.currency)
    )


def revenue_movers(filters: Filters) -> Select[Any]:
    """Customers by how far their revenue moved from the period before to this one."""
    before = filters.before()
    currency, revenue = MARGIN.currency(filters), MARGIN.amount(filters, "revenue_amount")
    month = MARGIN.table.c.service_month
    opening = _sum(case((month < filters.first, revenue), else_=0)).label("opening")
    closing = _sum(case((month >= filters.first, revenue), else_=0)).label("closing")
    each = limited(
        MARGIN,
        filters.replace(first=before.first),
        MARGIN.table.c.customer_id.label("member"),
        currency.label("currency"),
        opening,
        closing,
        (closing.element - opening.element).label("moved"),
        func.abs(closing.element - opening.element).label("size"),
    )
    each = each.group_by(MARGIN.table.c.customer_id, currency).having((opening.element != 0) | (closing.element != 0))
    return _named(each, "customer", "size")


# Utilization


def utilization_total(filters: Filters) -> Select[Any]:
    """Minutes of the period: available, billable, for clients, all; and how many people."""
    return _utilization(filters)


def utilization_by_month(filters: Filters) -> Select[Any]:
    """Minutes by service month."""
    return _utilization(filters, UTILIZATION.table.c.service_month).order_by("service_month")


def utilization_by_practice(filters: Filters) -> Select[Any]:
    """Minutes by the practice of the people."""
    return _utilization(filters, UTILIZATION.table.c.department.label("practice")).order_by("practice")


def utilization_by_grade(filters: Filters) -> Select[Any]:
    """Minutes by the grade of the people."""
    people = UTILIZATION.table.outerjoin(DIM_EMPLOYEE, DIM_EMPLOYEE.c.employee_id == UTILIZATION.table.c.employee_id)
    return _utilization(filters, DIM_EMPLOYEE.c.grade).select_from(people).order_by("grade")


def utilization_by_employee(filters: Filters) -> Select[Any]:
    """Minutes by employee, the busiest first."""
    kept = UTILIZATION.table.c
    return (
        _utilization(filters, kept.employee_id, kept.employee_name, kept.legal_entity, kept.department)
        .order_by(func.sum(kept.billable_minutes).desc(), kept.employee_id)
        .limit(MOST_MEMBERS)
    )


# Work in progress, backlog


def wip_month(filters: Filters) -> Select[Any]:
    """The last month of the period, or before it, that balances are known of."""
    return limited(WIP, filters.replace(first=None), func.max(WIP.table.c.service_month).label("service_month"))


def wip_by_month(filters: Filters) -> Select[Any]:
    """What was earned, billed, and at the end unbilled or deferred, by month; each contract nets only with itself."""
    return _wip(filters, WIP.table.c.service_month).order_by("service_month", "currency")


def wip_by_contract(filters: Filters) -> Select[Any]:
    """The same by contract, the largest unbilled balance first; of one month, or balances would be added up."""
    return _named(_wip(filters, WIP.table.c.contract_id.label("member")), "contract", "wip")


def wip_by_age(filters: Filters) -> Select[Any]:
    """What is unbilled at the end of the period by the month in which it was earned: the newest is billed last.

    `kept` is what of a month's earnings is not billed. What is older than the contract's months has no month.
    """
    kept = WIP.table.c
    currency, earned = WIP.currency(filters), WIP.amount(filters, "earned_amount")
    closing = WIP.amount(filters, "closing_amount")
    each = [kept.legal_entity, kept.contract_id]
    last = wip_month(filters).scalar_subquery()
    positive = func.greatest(earned, 0)
    later = func.coalesce(
        func.sum(positive).over(partition_by=each, order_by=kept.service_month.desc(), rows=(None, -1)), 0
    )
    unbilled = func.max(case((kept.service_month == last, func.greatest(closing, 0)), else_=0)).over(partition_by=each)
    parts = limited(
        WIP,
        filters.replace(first=None),
        kept.service_month,
        currency.label("currency"),
        func.greatest(0, func.least(unbilled - later, positive)).label("kept"),
    ).subquery()
    return (
        select(parts.c.service_month, parts.c.currency, _sum(parts.c.kept).label("kept"))
        .group_by(parts.c.service_month, parts.c.currency)
        .having(func.sum(parts.c.kept) != 0)
        .order_by(parts.c.service_month.desc())
    )


def backlog_total(filters: Filters) -> Select[Any]:
    """What is contracted and still to be earned, by currency; `gaps` are components whose backlog cannot be said."""
    return _backlog(filters)


def backlog_by_month(filters: Filters) -> Select[Any]:
    """The same by the month in which it is planned to be earned."""
    return _backlog(filters, BACKLOG.table.c.backlog_month).order_by("backlog_month", "currency")


def backlog_by_contract(filters: Filters) -> Select[Any]:
    """The same by contract, the largest first."""
    return _named(_backlog(filters, BACKLOG.table.c.contract_id.label("member")), "contract", "backlog")


def backlog_gaps(filters: Filters) -> Select[Any]:
    """Why backlog is missing, by reason."""
    gap = BACKLOG.table.c.gap
    return (
        limited(BACKLOG, filters, gap, func.count().label("components"))
        .where(gap.is_not(None))
        .group_by(gap)
        .order_by(gap)
    )


# Realization, leakage


def realization_total(filters: Filters) -> Select[Any]:
    """Recorded billable minutes of the period, and those that are billed."""
    return _realization(filters)


def realization_by_month(filters: Filters) -> Select[Any]:
    """The same by service month."""
    return _realization(filters, REALIZATION.table.c.service_month).order_by("service_month")


def leakage_total(filters: Filters) -> Select[Any]:
    """Billable work of the period that brings nothing, at its standard value, by currency."""
    return _leakage(filters)


def leakage_by_reason(filters: Filters) -> Select[Any]:
    """The same by reason."""
    return _leakage(filters, LEAKAGE.table.c.reason).order_by("reason", "currency")


# Receivables


def dso_by_entity(filters: Filters) -> Select[Any]:
    """Receivables and days of sales outstanding of each legal entity, in the currency of its books."""
    return limited(DSO, filters, *DSO.table.c).order_by(DSO.table.c.legal_entity)


def receivables_total(filters: Filters) -> Select[Any]:
    """Open amounts of posted invoices, by currency."""
    return _receivables(filters)


def receivables_by_age(filters: Filters) -> Select[Any]:
    """The same by the month of the invoice."""
    return _receivables(filters, INVOICE.table.c.invoice_month).order_by("invoice_month", "currency")


def receivables_by_customer(filters: Filters) -> Select[Any]:
    """The same by customer, the largest first."""
    return _named(_receivables(filters, INVOICE.table.c.customer_id.label("member")), "customer", "open_amount")


# Reconciliation


def reconciliation_total(filters: Filters) -> Select[Any]:
    """How many items were compared in the period; how many agree, and how many differ without a reason."""
    return _reconciled(filters)


def reconciliation_by_class(filters: Filters) -> Select[Any]:
    """Items, minutes and amounts by class of difference and currency, what no rule explains first."""
    kept = RECONCILIATION_SUMMARY.table.c
    return (
        _reconciled(filters, kept.difference, kept.explained, kept.next_step, kept.currency)
        .add_columns(
            _sum(kept.approved_amount).label("approved"),
            _sum(kept.erp_amount).label("in_erp"),
            _sum(kept.invoiced_amount).label("invoiced"),
        )
        .order_by(kept.explained, func.sum(kept.entries).desc(), kept.difference, kept.currency)
    )


def reconciliation_by_partition(filters: Filters) -> Select[Any]:
    """Items and minutes by legal entity and month; amounts of several currencies have no sum."""
    kept = RECONCILIATION_SUMMARY.table.c
    return _reconciled(filters, kept.legal_entity, kept.service_month).order_by(
        kept.service_month.desc(), kept.legal_entity
    )


def ledger_tie(filters: Filters) -> Select[Any]:
    """What the general ledger should have by our postings, and what it has, in the currency of the books.

    What differs comes first, and accounts on which nothing is booked are left out.
    """
    kept = LEDGER_TIE.table.c
    return (
        limited(LEDGER_TIE, filters, *kept)
        .where(or_(kept.expected_amount != 0, kept.ledger_amount != 0))
        .order_by(_ties(LEDGER_TIE), kept.ledger_month.desc(), kept.legal_entity, kept.role)
    )


def receivables_tie(filters: Filters) -> Select[Any]:
    """What customers owe by posted invoices and by the general ledger, all months together; what differs first."""
    kept = RECEIVABLES_TIE.table.c
    return limited(RECEIVABLES_TIE, filters, *kept).order_by(_ties(RECEIVABLES_TIE), kept.legal_entity)


# Sync health


def sync_health(filters: Filters) -> Select[Any]:
    """How well the sync does, by legal entity and month, latest first."""
    kept = SYNC_HEALTH.table.c
    return limited(SYNC_HEALTH, filters, *kept).order_by(kept.service_month.desc(), kept.legal_entity)


def trouble_by_month(filters: Filters) -> Select[Any]:
    """Pieces of work and those that were in trouble, by month."""
    return _trouble(filters, EXCEPTION_RATE.table.c.service_month).order_by("service_month")


def trouble_total(filters: Filters) -> Select[Any]:
    """The same for the period."""
    return _trouble(filters)


def accuracy_total(filters: Filters) -> Select[Any]:
    """Invoices of the period, and those that were right the first time."""
    return _accuracy(filters)


def accuracy_by_month(filters: Filters) -> Select[Any]:
    """The same by the month of the invoice."""
    return _accuracy(filters, ACCURACY.table.c.invoice_month).order_by("invoice_month")


def traceability_total(filters: Filters) -> Select[Any]:
    """Billable minutes of the period, and those that lead to no revenue and to no reason."""
    return _traceability(filters)


def traceability_by_month(filters: Filters) -> Select[Any]:
    """The same by month."""
    return _traceability(filters, TRACEABILITY.table.c.service_month).order_by("service_month")


def adjustments_total(filters: Filters) -> Select[Any]:
    """What people did beside the sync in the period."""
    return _adjustments(filters)


def adjustments_by_kind(filters: Filters) -> Select[Any]:
    """The same by kind, most often first."""
    kept = ADJUSTMENTS.table.c
    return _adjustments(filters, kept.kind).order_by(func.sum(kept.adjustments).desc(), kept.kind)


QUERIES: Mapping[str, Query] = {
    **{
        query.__name__: query
        for query in (
            months,
            entities,
            margin_total,
            margin_by_month,
            margin_by_entity,
            revenue_bridge,
            revenue_movers,
            utilization_total,
            utilization_by_month,
            utilization_by_practice,
            utilization_by_grade,
            utilization_by_employee,
            wip_month,
            wip_by_month,
            wip_by_contract,
            wip_by_age,
            backlog_total,
            backlog_by_month,
            backlog_by_contract,
            backlog_gaps,
            realization_total,
            realization_by_month,
            leakage_total,
            leakage_by_reason,
            dso_by_entity,
            receivables_total,
            receivables_by_age,
            receivables_by_customer,
            reconciliation_total,
            reconciliation_by_class,
            reconciliation_by_partition,
            ledger_tie,
            receivables_tie,
            sync_health,
            trouble_total,
            trouble_by_month,
            accuracy_total,
            accuracy_by_month,
            traceability_total,
            traceability_by_month,
            adjustments_total,
            adjustments_by_kind,
        )
    },
    **{
        f"margin_by_{dimension}": margin_by(dimension)
        for dimension in ("customer", "project", "practice", "employee", "grade", "contract")
    },
    **{
        f"members_{dimension}": members(dimension)
        for dimension in ("customer", "practice", "project", "contract", "employee", "grade")
    },
}
"""All queries of the reports by name. Some want both `first` and `last` of the filters to be set."""


def _sum(what: ColumnElement[Any]) -> ColumnElement[Any]:
    return cast(func.sum(what), _MONEY)


def _whole(what: ColumnElement[Any]) -> ColumnElement[Any]:
    # DuckDB sums whole numbers into a wider kind that comes out as the same Python number.
    return cast(func.sum(what), BigInteger)


def _margin(filters: Filters, *by: ColumnElement[Any]) -> Select[Any]:
    currency, revenue = MARGIN.currency(filters), MARGIN.amount(filters, "revenue_amount")
    cost = MARGIN.amount(filters, "cost_amount")
    margin = MARGIN.amount(filters, "margin_amount")
    return limited(
        MARGIN,
        filters,
        *by,
        currency.label("currency"),
        _sum(revenue).label("revenue"),
        _sum(cost).label("cost"),
        _sum(margin).label("margin"),
    ).group_by(*(_bare(one) for one in by), currency)


def _utilization(filters: Filters, *by: ColumnElement[Any]) -> Select[Any]:
    kept = UTILIZATION.table.c
    return _counted(
        UTILIZATION,
        filters,
        by,
        available=kept.available_minutes,
        billable=kept.billable_minutes,
        client=kept.client_minutes,
        approved=kept.approved_minutes,
    ).add_columns(func.count(kept.employee_id.distinct()).label("people"))


def _wip(filters: Filters, *by: ColumnElement[Any]) -> Select[Any]:
    currency, closing = WIP.currency(filters), WIP.amount(filters, "closing_amount")
    opening = WIP.amount(filters, "opening_amount")
    earned = WIP.amount(filters, "earned_amount")
    billed = WIP.amount(filters, "billed_amount")
    return limited(
        WIP,
        filters,
        *by,
        currency.label("currency"),
        _sum(opening).label("opening"),
        _sum(earned).label("earned"),
        _sum(billed).label("billed"),
        _sum(func.greatest(closing, 0)).label("wip"),
        _sum(func.greatest(-closing, 0)).label("deferred"),
    ).group_by(*(_bare(one) for one in by), currency)


def _backlog(filters: Filters, *by: ColumnElement[Any]) -> Select[Any]:
    kept = BACKLOG.table.c
    currency, amount = BACKLOG.currency(filters), BACKLOG.amount_of_fact(filters)
    return (
        limited(
            BACKLOG,
            filters.replace(first=None, last=None),
            *by,
            currency.label("currency"),
            _sum(amount).label("backlog"),
        )
        .where(kept.gap.is_(None))
        .group_by(*(_bare(one) for one in by), currency)
    )


def _realization(filters: Filters, *by: ColumnElement[Any]) -> Select[Any]:
    kept = REALIZATION.table.c
    return _counted(
        REALIZATION,
        filters,
        by,
        worked=kept.worked_minutes,
        billable=kept.billable_minutes,
        billed=kept.billed_minutes,
    )


def _leakage(filters: Filters, *by: ColumnElement[Any]) -> Select[Any]:
    kept = LEAKAGE.table.c
    currency, amount = LEAKAGE.currency(filters), LEAKAGE.amount(filters, "entity_amount", "group_amount")
    return limited(
        LEAKAGE,
        filters,
        *by,
        currency.label("currency"),
        _whole(kept["items"]).label("pieces"),
        _whole(kept.minutes).label("minutes"),
        _sum(amount).label("lost"),
        _whole(kept.items_without_value).label("without_value"),
    ).group_by(*(_bare(one) for one in by), currency)


def _receivables(filters: Filters, *by: ColumnElement[Any]) -> Select[Any]:
    kept = INVOICE.table.c
    currency, amount = INVOICE.currency(filters), INVOICE.amount_of_fact(filters, "open_")
    return (
        limited(
            INVOICE,
            filters.replace(first=None, last=None),
            *by,
            currency.label("currency"),
            func.count().label("invoices"),
            _sum(amount).label("open_amount"),
        )
        .where(kept.posted, kept.invoice_date.is_not(None), kept.open_amount != 0)
        .group_by(*(_bare(one) for one in by), currency)
    )


def _ties(mart: Mart) -> ColumnElement[Any]:
    return func.abs(mart.table.c.difference_amount) <= mart.table.c.tolerance_amount


def _reconciled(filters: Filters, *by: ColumnElement[Any]) -> Select[Any]:
    kept = RECONCILIATION_SUMMARY.table.c
    return _counted(
        RECONCILIATION_SUMMARY,
        filters,
        by,
        compared=kept.entries,
        matched=case((kept.difference == "matched", kept.entries), else_=0),
        unexplained=case((kept.explained, 0), else_=kept.entries),
        approved_minutes=kept.approved_minutes,
        erp_minutes=kept.erp_minutes,
        invoiced_minutes=kept.invoiced_minutes,
    )


def _trouble(filters: Filters, *by: ColumnElement[Any]) -> Select[Any]:
    kept = EXCEPTION_RATE.table.c
    return _counted(
        EXCEPTION_RATE,
        filters,
        by,
        work_items=kept.work_items,
        in_trouble=kept.items_in_trouble,
        in_open_trouble=kept.items_in_open_trouble,
    )


def _accuracy(filters: Filters, *by: ColumnElement[Any]) -> Select[Any]:
    kept = ACCURACY.table.c
    return _counted(
        ACCURACY,
        filters,
        by,
        invoices=kept.invoices,
        first_pass=kept.first_pass_invoices,
        corrected=kept.corrected_invoices,
        cancelled=kept.cancelled_invoices,
    )


def _traceability(filters: Filters, *by: ColumnElement[Any]) -> Select[Any]:
    kept = TRACEABILITY.table.c
    return _counted(
        TRACEABILITY,
        filters,
        by,
        billable=kept.billable_minutes,
        traced=kept.billable_minutes - kept.untraced_minutes,
        billed=kept.billed_minutes,
        covered=kept.covered_minutes,
        reasoned=kept.reasoned_minutes,
        untraced=kept.untraced_minutes,
    )


def _adjustments(filters: Filters, *by: ColumnElement[Any]) -> Select[Any]:
    kept = ADJUSTMENTS.table.c
    return _counted(ADJUSTMENTS, filters, by, adjustments=kept.adjustments, minutes=kept.minutes)


def _counted(
    mart: Mart, filters: Filters, by: Sequence[ColumnElement[Any]], **whole: ColumnElement[Any]
) -> Select[Any]:
    """Sums of whole numbers of a mart, by columns."""
    return limited(mart, filters, *by, *(_whole(what).label(name) for name, what in whole.items())).group_by(
        *(_bare(one) for one in by)
    )


def _bare(one: ColumnElement[Any]) -> ColumnElement[Any]:
    """A column without the name that the result gives it."""
    return getattr(one, "element", one)


def _named(grouped: Select[Any], dimension: str, largest: str) -> Select[Any]:
    """A query by `member` with the members' names, the largest first and no more than a table has."""
    inner = grouped.subquery()
    order = (inner.c[largest].desc(), inner.c.member)
    if dimension not in _NAMED:
        return select(*inner.c, inner.c.member.label("name")).order_by(*order).limit(MOST_MEMBERS)
    named, key, name = _NAMED[dimension]
    top = select(*inner.c).order_by(*order).limit(MOST_MEMBERS).subquery()
    return (
        select(*top.c, func.coalesce(named.c[name], top.c.member).label("name"))
        .select_from(top.outerjoin(named, named.c[key] == top.c.member))
        .order_by(top.c[largest].desc(), top.c.member)
    )
