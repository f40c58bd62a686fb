"""Statements on fields of which two systems say different things."""

import datetime as dt
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, RowMapping, insert, or_, select, update

from psa_erp_assets.adapters.store.schema_mappings import field_drift

IDENTITY = ("entity", "canonical_id", "field", "other_system", "other_id")


def replace_open(connection: Connection, tenant: str, seen: Sequence[dict[str, Any]], now: dt.datetime) -> int:
    """Make what is seen the open drift; what is not seen any more resolves. Answers with how many are new."""
    table = field_drift.c
    rows = connection.execute(
        select(field_drift).where(table.tenant == tenant, table.resolved_at.is_(None)).with_for_update()
    ).mappings()
    current = {tuple(row[name] for name in IDENTITY): row["id"] for row in rows}
    wanted = {tuple(row[name] for name in IDENTITY): row for row in seen}
    gone = [row_id for key, row_id in current.items() if key not in wanted]
    if gone:
        connection.execute(update(field_drift).where(table.id.in_(gone)).values(resolved_at=now))
    for key, row in wanted.items():
        if key in current:
            connection.execute(update(field_drift).where(table.id == current[key]).values(**row, last_seen_at=now))
    new = [row for key, row in wanted.items() if key not in current]
    if new:
        connection.execute(
            insert(field_drift), [row | {"tenant": tenant, "first_seen_at": now, "last_seen_at": now} for row in new]
        )
    return len(new)


def listing(
    connection: Connection, tenant: str, *, entity: str | None = None, search: str = "", limit: int = 500
) -> Sequence[RowMapping]:
    """Open drift by entity, record and field."""
    table = field_drift.c
    statement = select(field_drift).where(table.tenant == tenant, table.resolved_at.is_(None))
    if entity is not None:
        statement = statement.where(table.entity == entity)
    if search:
        named = (table.canonical_id, table.owner_value, table.other_value, table.other_id)
        statement = statement.where(or_(*(column.icontains(search, autoescape=True) for column in named)))
    statement = statement.order_by(table.entity, table.canonical_id, table.field, table.other_system)
    return connection.execute(statement.limit(limit)).mappings().all()


def contested(connection: Connection, tenant: str) -> dict[tuple[str, str], str]:
    """The records that work waits for, by entity and canonical id, with what the systems say."""
    table = field_drift.c
    rows = connection.execute(
        select(field_drift)
        .where(table.tenant == tenant, table.resolved_at.is_(None), table.on_change == "hold")
        .order_by(table.id.desc())
    )
    return {
        (row.entity, row.canonical_id): f"{row.field} of {row.entity} {row.canonical_id} is"
        f" {row.owner_value or 'empty'} in the {row.owner_system} and {row.other_value or 'empty'} in the"
        f" {row.other_system}"
        for row in rows
    }
