"""Statements that count: how much of everything there is, and how old the oldest of what waits is."""

import datetime as dt
from collections.abc import Collection, Sequence

from sqlalchemy import ColumnElement, Connection, RowMapping, func, or_, select

from psa_erp_assets.adapters.store.conditions import of_entities
from psa_erp_assets.adapters.store.schema import inbox, posting, sync_cursor, webhook_delivery, work_head

# Worded as the index on dirty heads has it.
_IS_DIRTY: ColumnElement[bool] = or_(work_head.c.planned_at.is_(None), work_head.c.planned_at < work_head.c.changed_at)


def database_time(connection: Connection) -> dt.datetime:
    """When the transaction began, by the clock that stamps nothing but is everybody's: PostgreSQL's."""
    now: dt.datetime = connection.execute(select(func.now())).scalar_one()
    return now


def count_payloads(connection: Connection, tenant: str) -> int:
    """Payload versions in the inbox."""
    return int(connection.execute(select(func.count()).where(inbox.c.tenant == tenant)).scalar_one())


def count_pending_deliveries(connection: Connection, tenant: str) -> RowMapping:
    """Webhook deliveries that are not handled: `deliveries`, and `oldest_at` of the first of them or None."""
    table = webhook_delivery.c
    return (
        connection.execute(
            select(func.count().label("deliveries"), func.min(table.received_at).label("oldest_at")).where(
                table.tenant == tenant, table.handled_at.is_(None)
            )
        )
        .mappings()
        .one()
    )


def count_heads(connection: Connection, tenant: str, entities: Collection[str] | None = None) -> Sequence[RowMapping]:
    """Time entries by the state of their latest revision."""
    table = work_head.c
    return (
        connection.execute(
            select(table.state, func.count().label("entries"))
            .where(table.tenant == tenant, of_entities(table.legal_entity, entities))
            .group_by(table.state)
            .order_by(table.state)
        )
        .mappings()
        .all()
    )


def dirty_partitions(
    connection: Connection, tenant: str, entities: Collection[str] | None = None
) -> Sequence[RowMapping]:
    """Partitions with entries that changed after they were last planned: how many, and since when the oldest."""
    table = work_head.c
    return (
        connection.execute(
            select(
                table.legal_entity,
                table.service_month,
                func.count().label("entries"),
                func.min(table.changed_at).label("oldest_at"),
            )
            .where(table.tenant == tenant, _IS_DIRTY, of_entities(table.legal_entity, entities))
            .group_by(table.legal_entity, table.service_month)
            .order_by(table.service_month, table.legal_entity)
        )
        .mappings()
        .all()
    )


def count_postings(
    connection: Connection, tenant: str, entities: Collection[str] | None = None
) -> Sequence[RowMapping]:
    """Postings by state and effect type."""
    table = posting.c
    return (
        connection.execute(
            select(table.state, table.effect_type, func.count().label("postings"))
            .where(table.tenant == tenant, of_entities(table.legal_entity, entities))
            .group_by(table.state, table.effect_type)
            .order_by(table.state, table.effect_type)
        )
        .mappings()
        .all()
    )


def last_reads(connection: Connection, tenant: str) -> Sequence[RowMapping]:
    """Where each incremental read stands and when it last moved."""
    table = sync_cursor.c
    return (
        connection.execute(
            select(table.source, table.name, table.value, table.updated_at)
            .where(table.tenant == tenant)
            .order_by(table.source, table.name)
        )
        .mappings()
        .all()
    )
