"""Audit entries about what was refused to somebody who has not proved who they are.

Whoever is refused can ask as often as they like, so there is a bound on what the log takes of them: beyond it one entry
says that there were more.
"""

import datetime as dt
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Engine

from psa_erp_assets.adapters.store import audit_entries
from psa_erp_assets.services import audit

MOST, WITHIN = 200, dt.timedelta(hours=1)
"""So many entries of a kind within so long a time; then one more, and none until that time has passed."""

NOBODY = "nobody"
"""The actor of an entry about somebody who has not proved who they are."""


def note_refusal(
    engine: Engine,
    tenant: str,
    *,
    kind: str,
    subject: str,
    detail: Mapping[str, Any],
    now: dt.datetime,
    once: bool = False,
) -> bool:
    """Append an entry about a refusal, in a transaction of its own, as long as there is room; whether there was.

    With `once` there is one of a subject within the time, however often it is refused.

    `subject` is the account or the token that was tried, where there is one, and never what somebody typed: that may be
    a password. `detail` is as for `audit.record`.
    """
    with engine.begin() as connection:
        audit_entries.take_turns(connection, tenant, kind)
        if once:
            before = audit_entries.recorded_at(connection, tenant, kind, 1, subject=subject)
            if before is not None and now - before < WITHIN:
                return False
        full = audit_entries.recorded_at(connection, tenant, kind, MOST)
        if full is None or now - full >= WITHIN:
            audit.record(connection, tenant, kind=kind, subject=subject, actor=NOBODY, detail=detail, now=now)
            return True
        last = audit_entries.recorded_at(connection, tenant, f"{kind}.more", 1)
        if last is None or now - last >= WITHIN:
            said = {"entries": MOST, "within_minutes": int(WITHIN.total_seconds()) // 60}
            audit.record(
                connection, tenant, kind=f"{kind}.more", subject="everybody", actor=NOBODY, detail=said, now=now
            )
    return False
