"""Statements that append audit entries. Their place in the log they get later (`audit_leaves`), so that whoever writes
one waits for nobody.
"""

import datetime as dt
import secrets
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, insert

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
