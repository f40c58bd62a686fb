"""Statements that read rows of the operational store in the shape of the lake's tables.

Set-based: names of the ERP's parties and analytic accounts are joined here, not looked up row by row. The columns
are those of `contracts.lake_tables`.
"""

import datetime as dt
from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    DateTime,
    RowMapping,
    Text,
    and_,
    case,
    cast,
    func,
    literal,
    null,
    select,
    union_all,
)
from sqlalchemy.dialects.postgresql import JSONPATH

from psa_erp_assets.adapters.store.schema import (
    contract_balance,
    credit,
    erp_document,
    erp_invoice,
    exception_item,
    inbox,
    master_record,
    period_choice,
    posting,
    posting_event,
    time_entry,
    work_fact,
    work_head,
)
from psa_erp_assets.adapters.store.schema_exceptions import write_off
from psa_erp_assets.adapters.store.schema_payments import erp_payment
from psa_erp_assets.adapters.store.work_heads import Partition
from psa_erp_assets.domain.effects import BilledTo, CostKind, EffectType


def recorded_at(connection: Connection, tenant: str, partition: Partition) -> dict[str, dt.datetime]:
    """When the current revision of each entry of a partition was recorded, by entry id."""
    head, entry = work_head.c, time_entry.c
    rows = connection.execute(
        select(entry.entry_id, entry.recorded_at)
        .join(
            work_head,
            and_(head.tenant == entry.tenant, head.object_id == entry.entry_id, head.revision == entry.revision),
        )
        .where(head.tenant == tenant, head.legal_entity == partition[0], head.service_month == partition[1])
    )
    return {row.entry_id: row.recorded_at for row in rows}


def postings(connection: Connection, tenant: str, partition: Partition) -> Sequence[RowMapping]:
    """The ledger of effects of a partition."""
    table, event, taken_back = posting.c, posting_event.c, posting.alias("taken_back")
    verified_at = select(func.max(event.at)).where(event.key == table.key, event.event == "verified").scalar_subquery()
    drafted_at = select(func.min(event.at)).where(event.key == table.key, event.event == "confirmed").scalar_subquery()
    names = ("key", "legal_entity", "service_month", "effect_type", "leg", "operation", "object_id", "revision")
    content = (
        "state",
        "amount",
        "currency",
        "minutes",
        "erp_id",
        "service_date",
        "created_at",
        "target_key",
        "attempts",
    )
    statement = (
        select(
            *(table[name] for name in (*names, *content)),
            verified_at.label("verified_at"),
            taken_back.c.minutes.label("takes_back_minutes"),
            _booked_as(table.effect_type, table.payload).label("booked_as"),
            _approved_at(),
            drafted_at.label("drafted_at"),
        )
        .join_from(posting, taken_back, taken_back.c.key == table.target_key, isouter=True)
        .where(table.tenant == tenant, table.legal_entity == partition[0], table.service_month == partition[1])
        .order_by(table.key)
    )
    return connection.execute(statement).mappings().all()


def _approved_at() -> ColumnElement[dt.datetime | None]:
    """When the revision behind a posting was approved. Payloads of connectors alone say it in a form of ours."""
    stated = inbox.c.payload["approval"]["updated_at"].astext
    dated = case((inbox.c.arrived_by != "api", cast(stated, DateTime(timezone=True))))
    said = [
        select(func.coalesce(dated, fact.c.recorded_at))
        .join_from(fact, inbox, inbox.c.id == fact.c.inbox_id)
        .where(
            fact.c.tenant == posting.c.tenant,
            id_ == posting.c.object_id,
            fact.c.revision == posting.c.source_revision,
        )
        .scalar_subquery()
        for fact, id_ in ((time_entry, time_entry.c.entry_id), (work_fact, work_fact.c.object_id))
    ]
    return func.coalesce(*said).label("approved_at")


def _booked_as(effect_type: ColumnElement[str], payload: ColumnElement[Any]) -> ColumnElement[str | None]:
    """What the effect moves. A payload leaves out what is usual: a line is of revenue, a cost is of labor."""
    return case(
        (
            effect_type == EffectType.BILLING_LINE.value,
            func.coalesce(payload["account"].astext, BilledTo.REVENUE.value),
        ),
        (effect_type == EffectType.COST_TRANSACTION.value, func.coalesce(payload["kind"].astext, CostKind.LABOR.value)),
        else_=payload["kind"].astext,
    )


def balances(connection: Connection, tenant: str) -> Sequence[RowMapping]:
    """The kept closing balance of each contract's months: contract_id, service_month, body."""
    table = contract_balance.c
    statement = select(table.contract_id, table.service_month, table.body).where(table.tenant == tenant)
    return connection.execute(statement.order_by(table.contract_id, table.service_month)).mappings().all()


def all_credits(connection: Connection, tenant: str) -> Sequence[RowMapping]:
    """All credits."""
    table = credit.c
    names = ("object_id", "minutes", "rebill", "in_erp", "reason", "requested_at")
    statement = select(table.credit_id.label("id"), *(table[name] for name in names)).where(table.tenant == tenant)
    return connection.execute(statement.order_by(table.credit_id)).mappings().all()


def adjustments(connection: Connection, tenant: str) -> Sequence[RowMapping]:
    """Write-offs, and choices for closed periods, with the partition that their work is in now."""
    off, chosen, head = write_off.c, period_choice.c, work_head.c
    nothing = cast(null(), Text)
    decided = union_all(
        select(
            func.concat("write_off:", off.id).label("id"),
            literal("write_off").label("kind"),
            off.object_id,
            nothing.label("choice"),
            off.reason,
            off.approved_at.label("decided_at"),
        ).where(off.tenant == tenant),
        select(
            func.concat("period_choice:", chosen.id),
            literal("period_choice"),
            chosen.object_id,
            chosen.choice,
            chosen.reason,
            chosen.chosen_at,
        ).where(chosen.tenant == tenant),
    ).subquery()
    mine = and_(head.tenant == tenant, head.object_id == decided.c.object_id)
    statement = select(decided, head.legal_entity, head.service_month).join_from(decided, work_head, mine, isouter=True)
    return connection.execute(statement.order_by(decided.c.id)).mappings().all()


def billing_lines(connection: Connection, tenant: str, erp_company: str, partition: Partition) -> Sequence[RowMapping]:
    """The mirrored billing lines of a partition."""
    table = erp_document.c
    statement = select(
        *_of_document(partition),
        _customer_code(tenant, table.party).label("party_code"),
        table.amount.label("net_amount"),
        table.tax_amount,
        table.document.label("invoice_number"),
        table.document_state.label("invoice_state"),
        table.posted,
        table.document_date.label("invoice_date"),
        table.credits_key,
        _project_code(tenant, table.analytic).label("project_code"),
    ).where(*_documents(tenant, erp_company, partition, EffectType.BILLING_LINE))
    return connection.execute(statement.order_by(table.erp_id)).mappings().all()


def journal_entries(
    connection: Connection, tenant: str, erp_company: str, partition: Partition, effect_type: EffectType
) -> Sequence[RowMapping]:
    """The mirrored journal entries of a partition that carry a type of effect."""
    table = erp_document.c
    statement = select(
        *_of_document(partition),
        table.amount,
        table.document.label("entry_number"),
        table.document_state.label("entry_state"),
        table.posted,
        _project_code(tenant, table.analytic).label("project_code"),
    ).where(*_documents(tenant, erp_company, partition, effect_type))
    return connection.execute(statement.order_by(table.erp_id)).mappings().all()


def invoices(connection: Connection, tenant: str) -> Sequence[RowMapping]:
    """All mirrored invoices of all legal entities. A party that is no customer of ours keeps the ERP's own id."""
    table = erp_invoice.c
    entity = _current("legal_entity", tenant, "erp_company", table.erp_company, "code")
    statement = (
        select(
            table.erp_id,
            table.number,
            func.coalesce(entity, table.erp_company).label("legal_entity"),
            func.coalesce(_customer_code(tenant, table.party), table.party).label("party_code"),
            table.invoice_date,
            table.currency,
            table.net.label("net_amount"),
            table.tax.label("tax_amount"),
            table.total.label("total_amount"),
            table.open_amount,
            table.state,
        )
        .where(table.tenant == tenant)
        .order_by(table.erp_company, table.erp_id)
    )
    return connection.execute(statement).mappings().all()


def payments(connection: Connection, tenant: str) -> Sequence[RowMapping]:
    """All mirrored payments of invoices of all legal entities."""
    table = erp_payment.c
    entity = _current("legal_entity", tenant, "erp_company", table.erp_company, "code")
    statement = (
        select(
            table.erp_id,
            table.number,
            table.invoice_id,
            func.coalesce(entity, table.erp_company).label("legal_entity"),
            table.paid_on,
            table.amount,
            table.currency,
        )
        .where(table.tenant == tenant)
        .order_by(table.erp_company, table.invoice_id, table.erp_id)
    )
    return connection.execute(statement).mappings().all()


def exception_items(connection: Connection, tenant: str) -> Sequence[RowMapping]:
    """All exception items, open and resolved. The next step of each stands in `domain.faults`."""
    table = exception_item.c
    names = ("id", "code", "fault_class", "owner", "object_id", "legal_entity", "service_month", "minutes", "detail")
    times = ("first_seen_at", "last_seen_at", "resolved_at", "resolution")
    statement = select(*(table[name] for name in (*names, *times))).where(table.tenant == tenant).order_by(table.id)
    return connection.execute(statement).mappings().all()


def _documents(
    tenant: str, erp_company: str, partition: Partition, effect_type: EffectType
) -> list[ColumnElement[bool]]:
    table = erp_document.c
    return [
        table.tenant == tenant,
        table.erp_company == erp_company,
        table.effect_type == effect_type.value,
        table.service_month == partition[1],
    ]


def _of_document(partition: Partition) -> list[ColumnElement[Any]]:
    table = erp_document.c
    return [
        table.key,
        table.erp_id,
        literal(partition[0]).label("legal_entity"),
        table.service_month,
        table.service_date,
        table.minutes,
        table.currency,
    ]


def _customer_code(tenant: str, party: ColumnElement[str | None]) -> ColumnElement[str | None]:
    return _current("customer", tenant, "erp_party", party, "id")


# Any of a project's accounts, whichever company's it is.
_ANALYTIC = "$.erp_analytics.* ? (@ == $account)"


def _project_code(tenant: str, analytic: ColumnElement[str | None]) -> ColumnElement[str | None]:
    table = master_record.c
    return (
        select(table.body["code"].astext)
        .where(
            table.tenant == tenant,
            table.object_type == "project",
            table.superseded_at.is_(None),
            func.jsonb_path_exists(table.body, cast(_ANALYTIC, JSONPATH), func.jsonb_build_object("account", analytic)),
        )
        .order_by(table.canonical_id)
        .limit(1)
        .scalar_subquery()
    )


def _current(
    object_type: str, tenant: str, by: str, value: ColumnElement[str | None], wanted: str
) -> ColumnElement[str | None]:
    """A field of the current master record of a type whose field `by` has the value; null if there is none."""
    table = master_record.c
    return (
        select(table.body[wanted].astext)
        .where(
            table.tenant == tenant,
            table.object_type == object_type,
            table.superseded_at.is_(None),
            table.body[by].astext == value,
        )
        .order_by(table.canonical_id)
        .limit(1)
        .scalar_subquery()
    )
