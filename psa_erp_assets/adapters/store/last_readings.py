"""What the latest complete reading of a kind of source object brought, as it was received."""

from typing import Any

from sqlalchemy import Connection, func, select

from psa_erp_assets.adapters.store.schema import inbox, source_object


def last_reading(connection: Connection, tenant: str, source: str, object_type: str) -> dict[str, dict[str, Any]]:
    """The payloads of the objects that the latest reading has seen, by id; what it did not bring any more is left out.

    Only for kinds that are always read completely, as master data are.
    """
    table = source_object.c
    mine = (table.tenant == tenant, table.source == source, table.object_type == object_type)
    newest = select(func.max(table.last_seen_at)).where(*mine).scalar_subquery()
    rows = connection.execute(
        select(inbox.c.object_id, inbox.c.payload)
        .join(source_object, table.inbox_id == inbox.c.id)
        .where(*mine, table.last_seen_at == newest)
        .order_by(inbox.c.object_id)
    )
    return {row.object_id: row.payload for row in rows}
