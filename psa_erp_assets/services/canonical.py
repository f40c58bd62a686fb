"""From fetched payloads to canonical revisions, and from changed master data to the entries that it touches."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from sqlalchemy import Connection

from psa_erp_assets.adapters.connectors.clockify.canonical import time_entry_facts
from psa_erp_assets.adapters.store import decisions, exceptions, inbox, master_records, time_entries
from psa_erp_assets.domain.calendar import ServiceMonth
from psa_erp_assets.domain.decide import decide, route
from psa_erp_assets.domain.facts import PsaUserFacts, TimeEntryFacts
from psa_erp_assets.domain.malformed import MalformedRecordError
from psa_erp_assets.domain.master import MasterData
from psa_erp_assets.domain.records import (
    AccountingPeriod,
    ApprovalState,
    BillRate,
    Contract,
    CostRate,
    Customer,
    Employee,
    FxRate,
    LegalEntity,
    Project,
    TaxProfile,
    TimeEntry,
)
from psa_erp_assets.services.scope import Scope

_Record = TypeVar("_Record")

CLOCKIFY = "clockify"
TIME_ENTRY = "time_entry"


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """What became of a batch of payloads. `revised` are the ids of entries that have a new revision."""

    fetched: int
    new_versions: int
    revised: tuple[str, ...]
    malformed: int


def receive_time_entries(
    connection: Connection,
    *,
    scope: Scope,
    payloads: Sequence[inbox.Payload],
    arrived_by: str,
    now: dt.datetime,
) -> Received:
    """Keep the payloads, and give each entry whose canonical facts have changed a new revision.

    A payload that cannot be understood stays in the inbox and becomes an exception item; the others go on.
    """
    tenant = scope.tenant
    stored = inbox.record(
        connection,
        tenant=tenant,
        source=CLOCKIFY,
        object_type=TIME_ENTRY,
        payloads=payloads,
        arrived_by=arrived_by,
        now=now,
    )
    facts: list[tuple[TimeEntryFacts, int]] = []
    malformed: list[exceptions.Sighting] = []
    for payload in stored:
        try:
            facts.append((time_entry_facts(payload.body), payload.inbox_id))
        except MalformedRecordError as error:
            malformed.append(
                exceptions.Sighting(
                    code="malformed_record",
                    object_id=f"{TIME_ENTRY}:{CLOCKIFY}:{payload.object_id}",
                    detail=error.reason,
                    evidence={"inbox_id": payload.inbox_id},
                )
            )
    known = {e.id: e for e in time_entries.current(connection, tenant, [f.id for f, _ in facts])}
    revisions = [
        entry
        for entry in (_next_revision(known.get(f.id), f, inbox_id) for f, inbox_id in facts)
        # Work from before the first month has been billed by other means; only an entry moved there is followed.
        if entry is not None and (entry.service_date >= scope.first_day or entry.id in known)
    ]
    master = load_master(connection, tenant)
    routes = {entry.id: route(entry, master, scope.rules) for entry in revisions}
    time_entries.add_revisions(connection, tenant=tenant, entries=revisions, routes=routes, now=now)
    exceptions.open_or_touch(connection, tenant, "canonical", malformed, now)
    seen = [(s.code, s.object_id) for s in malformed]
    exceptions.resolve_absent(connection, tenant, "canonical", seen, now, looked_at=[f.id for f, _ in facts])
    return Received(
        fetched=len(payloads),
        new_versions=len(stored),
        revised=tuple(e.id for e in revisions),
        malformed=len(malformed),
    )


def load_master(connection: Connection, tenant: str) -> MasterData:
    """The current master data."""

    def every(object_type: str, record_type: type[_Record]) -> list[_Record]:
        return master_records.load_all(connection, tenant=tenant, object_type=object_type, record_type=record_type)

    return MasterData(
        legal_entities=every("legal_entity", LegalEntity),
        customers=every("customer", Customer),
        contracts=every("contract", Contract),
        projects=every("project", Project),
        employees=every("employee", Employee),
        bill_rates=every("bill_rate", BillRate),
        cost_rates=every("cost_rate", CostRate),
        fx_rates=every("fx_rate", FxRate),
        tax_profiles=every("tax_profile", TaxProfile),
        closed_periods=frozenset(
            (p.legal_entity, ServiceMonth.parse(p.month))
            for p in every("accounting_period", AccountingPeriod)
            if p.closed
        ),
    )


def time_zones(connection: Connection, tenant: str) -> dict[str, str]:
    """The time zone of each PSA user, as last read."""
    users = master_records.load_all(connection, tenant=tenant, object_type="psa_user", record_type=PsaUserFacts)
    return {user.psa_id: user.time_zone for user in users}


def mark_touched(connection: Connection, scope: Scope, now: dt.datetime) -> int:
    """Make dirty every entry about which master data now lead to another decision; answers with how many.

    The decision itself is what is compared, so that a changed record touches just the entries that depend on it,
    whichever way they do. A closed period changes no decision, only when it can be carried out: what waits for one
    is touched when periods have changed.
    """
    tenant, master = scope.tenant, load_master(connection, scope.tenant)
    entries = time_entries.current(connection, tenant)
    heads = time_entries.heads(connection, tenant)
    known = decisions.latest_hashes(connection, tenant)
    waiting = _waiting_for_a_period(connection, tenant)
    touched = {}
    for entry in entries:
        decision, head = decide(entry, master, scope.rules), heads[entry.id]
        moved = (decision.route.legal_entity, decision.route.contract_id) != (head.legal_entity, head.contract_id)
        changed = entry.id in known and known[entry.id] != decisions.digest(decision)
        if moved or changed or entry.id in waiting:
            touched[entry.id] = decision.route
    time_entries.mark_changed(connection, tenant, touched, now)
    return len(touched)


def _waiting_for_a_period(connection: Connection, tenant: str) -> set[str]:
    """The entries that a closed period has stopped, if accounting periods have changed since that was last seen."""
    changed_at = master_records.changed_at(connection, tenant=tenant, object_type="accounting_period")
    items = exceptions.list_items(connection, tenant, code="period_closed")
    return {item["object_id"] for item in items if changed_at is not None and item["last_seen_at"] < changed_at}


def _next_revision(known: TimeEntry | None, facts: TimeEntryFacts, inbox_id: int) -> TimeEntry | None:
    """The revision that `facts` make of an entry, None if they say nothing new."""
    if facts.service_date is None or facts.started_at is None or facts.time_zone is None:
        # Deleted before its content was read: it keeps what it last had, and without that has no effects to undo.
        if known is None or known.state is ApprovalState.DELETED:
            return None
        return replace(known, revision=known.revision + 1, state=facts.state, payload_id=inbox_id)
    entry = TimeEntry(
        id=facts.id,
        revision=known.revision if known else 1,
        state=facts.state,
        psa_user_id=facts.psa_user_id,
        psa_project_id=facts.psa_project_id,
        service_date=facts.service_date,
        minutes=facts.minutes,
        billable=facts.billable,
        description=facts.description,
        started_at=facts.started_at,
        time_zone=facts.time_zone,
        payload_id=inbox_id,
    )
    if known is None:
        return entry
    return None if replace(known, payload_id=inbox_id) == entry else replace(entry, revision=known.revision + 1)
