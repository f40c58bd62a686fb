"""What the latest complete reading of a kind of source object brought, as it was received.

Only for kinds that are always read completely, as master data are.
"""

from collections.abc import Collection
from typing import Any

from sqlalchemy import Connection, func, select

from psa_erp_assets.adapters.store.schema import inbox, source_object


def last_reading(
    connection: Connection, tenant: str, source: str, object_type: str, object_ids: Collection[str] | None = None
) -> dict[str, dict[str, Any]]:
    """The payloads of the objects, or of these, that the latest reading has seen, by id.

    What it did not bring any more is left out.
    """
    table = source_object.c
    mine = (table.tenant == tenant, table.source == source, table.object_type == object_type)
    newest = select(func.max(table.last_seen_at)).where(*mine).scalar_subquery()
    query = (
        select(inbox.c.object_id, inbox.c.payload)
        .join(source_object, table.inbox_id == inbox.c.id)
        .where(*mine, table.last_seen_at == newest)
        .order_by(inbox.c.object_id)
    )
    if object_ids is not None:
        query = query.where(table.object_id.in_(object_ids))
    return {row.object_id: row.payload for row in connection.execute(query)}


def last_keys(connection: Connection, tenant: str, source: str, object_type: str) -> frozenset[str]:
    """The ids of the objects that the latest reading has seen; empty where there was none."""
    table = source_object.c
    mine = (table.tenant == tenant, table.source == source, table.object_type == object_type)
    newest = select(func.max(table.last_seen_at)).where(*mine).scalar_subquery()
    return frozenset(connection.scalars(select(table.object_id).where(*mine, table.last_seen_at == newest)))
