"""Where each incremental read stands."""

import datetime as dt

from sqlalchemy import Connection, select
from sqlalchemy.dialects.postgresql import insert

from psa_erp_assets.adapters.store.schema import sync_cursor


def get(connection: Connection, *, tenant: str, source: str, name: str) -> str | None:
    """The cursor's value, None before the first read."""
    return connection.execute(
        select(sync_cursor.c.value).where(
            sync_cursor.c.tenant == tenant, sync_cursor.c.source == source, sync_cursor.c.name == name
        )
    ).scalar_one_or_none()


def put(connection: Connection, *, tenant: str, source: str, name: str, value: str, now: dt.datetime) -> None:
    """Move the cursor, in the transaction that stored what was read."""
    statement = insert(sync_cursor).values(tenant=tenant, source=source, name=name, value=value, updated_at=now)
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=list(sync_cursor.primary_key.columns),
            set_={"value": statement.excluded.value, "updated_at": statement.excluded.updated_at},
        )
    )
