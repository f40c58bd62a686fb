"""Statements that append audit entries. Their place in the log they get later (`audit_leaves`), so that whoever writes
one waits for nobody.
"""

import datetime as dt
import secrets
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, func, insert, select

from psa_erp_assets.adapters.store.schema_audit import audit_entry, audit_personal
from psa_erp_assets.domain import audit

SOURCE = "audit_entry"


def append(
    connection: Connection,
    tenant: str,
    *,
    kind: str,
    subject: str,
    actor: str,
    detail: Mapping[str, Any],
    now: dt.datetime,
) -> int:
    """Append an entry, its personal values apart; answers with its id."""
    body, sealed = audit.seal(detail, lambda: secrets.token_bytes(audit.SALT_BYTES))
    entry_id: int = connection.execute(
        insert(audit_entry)
        .values(tenant=tenant, kind=kind, subject=subject, actor=actor, detail=body, recorded_at=now)
        .returning(audit_entry.c.id)
    ).scalar_one()
    if sealed:
        connection.execute(
            insert(audit_personal),
            [
                {
                    "tenant": tenant,
                    "source": SOURCE,
                    "ref": str(entry_id),
                    "name": value.name,
                    "salt": value.salt,
                    "value": value.value,
                    "person": value.person,
                }
                for value in sealed
            ],
        )
    return entry_id


def take_turns(connection: Connection, tenant: str, kind: str) -> None:
    """Let whoever else is about to count entries of this kind wait until the transaction ends."""
    connection.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(f"audit:{tenant}:{kind}", 0))))


def recorded_at(
    connection: Connection, tenant: str, kind: str, number: int, *, subject: str | None = None
) -> dt.datetime | None:
    """When an entry of a kind was recorded, the latest being number 1; None where there are not so many.

    With a `subject` those about it alone count.
    """
    table = audit_entry.c
    query = select(table.recorded_at).where(table.tenant == tenant, table.kind == kind)
    if subject is not None:
        query = query.where(table.subject == subject)
    return connection.execute(query.order_by(table.id.desc()).offset(number - 1).limit(1)).scalar_one_or_none()
