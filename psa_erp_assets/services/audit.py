"""Audit entries: what somebody did that no other table says by itself, in the transaction that does it.

Payloads, decisions, plans, approvals, postings, credits and choices need no entry: the log reads their own tables
(`services.audit_log`).
"""

import datetime as dt
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection

from psa_erp_assets.adapters.store import audit_entries
from psa_erp_assets.domain.audit import seal
from psa_erp_assets.domain.keys import canonical_json


def record(
    connection: Connection,
    tenant: str,
    *,
    kind: str,
    subject: str,
    actor: str,
    detail: Mapping[str, Any],
    now: dt.datetime,
) -> None:
    """Append an audit entry in the caller's transaction: without its commit there is no entry, and no change either.

    `kind` says what happened, as in `settings.changed` or `access.granted`; `subject` is the id of what it happened to
    and `actor` that of who did it (`Actor.id`). `detail` is a JSON body without secrets and floats; a value that tells
    something about a person is given as `domain.audit.Personal`, and only then can it be erased. Raises ValueError for
    an empty kind, subject or actor, and TypeError for a detail that is no canonical JSON.
    """
    for name, value in (("kind", kind), ("subject", subject), ("actor", actor)):
        if not value.strip():
            raise ValueError(f"an audit entry needs a {name}")
    # Salts are drawn when the entry is written; here only the form is looked at.
    canonical_json(seal(detail, lambda: b"")[0])
    audit_entries.append(connection, tenant, kind=kind, subject=subject, actor=actor, detail=detail, now=now)
