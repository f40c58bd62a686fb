"""Erase personal data, on somebody's request or when its time has come, so that the audit log stays verifiable."""

import datetime as dt
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Engine

from psa_erp_assets.adapters.store import audit_entries, audit_erasures, audit_leaves
from psa_erp_assets.adapters.store.audit_erasures import Erasable
from psa_erp_assets.domain.audit import digest
from psa_erp_assets.services import audit_log
from psa_erp_assets.services.audit_log import AuditLogError
from psa_erp_assets.settings import Settings

_DAYS_A_MONTH = 31


@dataclass(frozen=True, slots=True, kw_only=True)
class ErasureReport:
    """How many rows of each table were erased, and how many are kept because invoices rest on them."""

    erased: Mapping[str, int]
    kept: Mapping[str, int]


def erase_person(
    engine: Engine, settings: Settings, person: str, *, reason: str, actor: str, now: dt.datetime
) -> ErasureReport:
    """Erase what is kept of a person and may go. `person` is the id that the PSA has for them.

    Goes: every payload, description and record that a newer one has replaced, and their values in audit entries. Stays:
    what is current, because invoices are made of it; whoever erases it at the source makes it go with the next erasure.
    Seals the log first and afterwards. Raises AuditLogError without a reason, and where the log disagrees.
    """
    if not person.strip() or not reason.strip():
        raise AuditLogError("an erasure needs the id of a person, and a reason")
    audit_log.seal(engine, settings, now=now)
    with engine.begin() as connection:
        audit_leaves.locked_tree(connection, settings.tenant)
        wanted = audit_erasures.of_person(connection, settings.tenant, person)
        counts = Counter(e.source for e in wanted)
        entry_id = audit_entries.append(
            connection,
            settings.tenant,
            kind="erasure.person",
            subject=f"person:{person}",
            actor=actor,
            detail={"reason": reason.strip(), "rows": dict(counts)} | _erased(wanted),
            now=now,
        )
        audit_erasures.erase(connection, settings.tenant, wanted, entry_id=entry_id, person=person)
        kept = audit_erasures.left_of(connection, settings.tenant, person)
    audit_log.seal(engine, settings, now=now)
    return ErasureReport(erased=counts, kept=kept)


def expire(engine: Engine, settings: Settings, *, now: dt.datetime) -> int:
    """Erase what is older than the settings' retention and replaced by newer versions; answers with how many rows."""
    months = settings.policies.retention.payload_months
    if months is None:
        return 0
    day = now - dt.timedelta(days=months * _DAYS_A_MONTH)
    with engine.begin() as connection:
        audit_leaves.locked_tree(connection, settings.tenant)
        wanted = audit_erasures.older_than(connection, settings.tenant, day)
        if wanted:
            entry_id = audit_entries.append(
                connection,
                settings.tenant,
                kind="erasure.retention",
                subject="retention",
                actor="psa-erp",
                detail={"before": day.isoformat(), "rows": dict(Counter(e.source for e in wanted))} | _erased(wanted),
                now=now,
            )
            audit_erasures.erase(connection, settings.tenant, wanted, entry_id=entry_id, person=None)
    return len(wanted)


def _erased(wanted: Sequence[Erasable]) -> dict[str, str]:
    """What the entry says about the rows, so that neither can be changed afterwards; nothing where there are none."""
    if not wanted:
        return {}
    return {"erased": audit_leaves.erased_digest((e.source, e.ref, digest(e.replacement)) for e in wanted)}
