"""Statements that follow one time entry from the payloads received to the postings and what happened to them."""

from collections.abc import Sequence

from sqlalchemy import Connection, RowMapping, Select, select

from psa_erp_assets.adapters.store.schema import (
    decision,
    inbox,
    plan,
    plan_item,
    posting,
    posting_event,
    source_object,
    time_entry,
)

TIME_ENTRY = "time_entry"


def sources_of(connection: Connection, tenant: str, vendor_id: str) -> Sequence[str]:
    """Sources that hold a time entry of this vendor id."""
    table = source_object.c
    statement = select(table.source).where(
        table.tenant == tenant, table.object_type == TIME_ENTRY, table.object_id == vendor_id
    )
    return connection.execute(statement.order_by(table.source)).scalars().all()


def payloads(connection: Connection, tenant: str, source: str, vendor_id: str) -> Sequence[RowMapping]:
    """Every version of the payload, first to last."""
    table = inbox.c
    return _rows(
        connection,
        select(table.id, table.version, table.content_hash, table.arrived_by, table.received_at, table.payload)
        .where(
            table.tenant == tenant,
            table.source == source,
            table.object_type == TIME_ENTRY,
            table.object_id == vendor_id,
        )
        .order_by(table.version),
    )


def revisions(connection: Connection, tenant: str, entry_id: str) -> Sequence[RowMapping]:
    """Every canonical revision, first to last."""
    table = time_entry.c
    return _rows(
        connection,
        select(
            table.revision,
            table.state,
            table.service_date,
            table.minutes,
            table.billable,
            table.description,
            table.psa_user_id,
            table.psa_project_id,
            table.inbox_id,
            table.recorded_at,
        )
        .where(table.tenant == tenant, table.entry_id == entry_id)
        .order_by(table.revision),
    )


def decisions(connection: Connection, tenant: str, entry_id: str) -> Sequence[RowMapping]:
    """Every decision about the entry, first to last."""
    table = decision.c
    return _rows(
        connection,
        select(table.id, table.revision, table.outcome, table.body, table.decided_at)
        .where(table.tenant == tenant, table.object_id == entry_id)
        .order_by(table.id),
    )


def plan_items(connection: Connection, tenant: str, entry_id: str) -> Sequence[RowMapping]:
    """Every item of every plan about the entry, in the order of the plans."""
    item = plan_item.c
    return _rows(
        connection,
        select(
            item.plan_id,
            item.seq,
            plan.c.status,
            item.action,
            item.effect_type,
            item.key,
            item.target_key,
            item.amount,
            item.currency,
            item.minutes,
            item.reason,
            plan.c.created_at,
            plan.c.created_by,
        )
        .join_from(plan_item, plan, item.plan_id == plan.c.id)
        .where(plan.c.tenant == tenant, item.object_id == entry_id)
        .order_by(item.plan_id, item.seq),
    )


def postings(connection: Connection, tenant: str, entry_id: str) -> Sequence[RowMapping]:
    """Every posting of the entry, in the order of their making."""
    table = posting.c
    return _rows(
        connection,
        select(*(column for column in table if column.name != "tenant"))
        .where(table.tenant == tenant, table.object_id == entry_id)
        .order_by(table.created_at, table.effect_type, table.revision),
    )


def posting_of(connection: Connection, tenant: str, key: str) -> Sequence[RowMapping]:
    """The posting of this key, or none, in the form of `postings`."""
    table = posting.c
    return _rows(
        connection,
        select(*(column for column in table if column.name != "tenant")).where(
            table.tenant == tenant, table.key == key
        ),
    )


def events(connection: Connection, keys: Sequence[str]) -> Sequence[RowMapping]:
    """Everything that happened to these postings, in order."""
    table = posting_event.c
    return _rows(connection, select(posting_event).where(table.key.in_(keys)).order_by(table.id))


def _rows(connection: Connection, statement: Select[*tuple[object, ...]]) -> Sequence[RowMapping]:
    return connection.execute(statement).mappings().all()
