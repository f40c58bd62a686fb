"""Canonical time entries in the store: one row a revision. Which is current and where it belongs is in `work_heads`."""

import datetime as dt
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, and_, insert, select

from psa_erp_assets.adapters.store import work_heads
from psa_erp_assets.adapters.store.schema import time_entry, work_head
from psa_erp_assets.adapters.store.work_heads import Head, Partition
from psa_erp_assets.domain.decision import Route
from psa_erp_assets.domain.records import ApprovalState, TimeEntry

_STATES = {state.value: state for state in ApprovalState}
_ENTRY = time_entry.c
_CURRENT = select(
    _ENTRY.entry_id,
    _ENTRY.revision,
    _ENTRY.state,
    _ENTRY.psa_user_id,
    _ENTRY.psa_project_id,
    _ENTRY.service_date,
    _ENTRY.minutes,
    _ENTRY.billable,
    _ENTRY.description,
    _ENTRY.started_at,
    _ENTRY.time_zone,
    _ENTRY.inbox_id,
    _ENTRY.task,
    _ENTRY.work_types,
).join(
    work_head,
    and_(
        time_entry.c.tenant == work_head.c.tenant,
        time_entry.c.entry_id == work_head.c.object_id,
        time_entry.c.revision == work_head.c.revision,
    ),
)


def current(connection: Connection, tenant: str, entry_ids: Collection[str] | None = None) -> list[TimeEntry]:
    """The latest revision of each of these entries, or of all; those that were never seen are left out."""
    query = _CURRENT.where(work_head.c.tenant == tenant)
    if entry_ids is not None:
        query = query.where(work_head.c.object_id.in_(entry_ids))
    return [_entry(row) for row in connection.execute(query.order_by(time_entry.c.entry_id))]


def in_partition(
    connection: Connection, tenant: str, partition: Partition, contracts: Collection[str | None] | None = None
) -> list[TimeEntry]:
    """The latest revisions that belong to a partition, or to some contracts of it (None: to no contract)."""
    query = _CURRENT.where(work_heads.within(tenant, partition, contracts))
    return [_entry(row) for row in connection.execute(query.order_by(time_entry.c.entry_id)).all()]


def add_revisions(
    connection: Connection,
    *,
    tenant: str,
    entries: Sequence[TimeEntry],
    routes: Mapping[str, Route],
    now: dt.datetime,
) -> None:
    """Store new revisions and make them current. Each entry stands in `entries` once."""
    if not entries:
        return
    connection.execute(
        insert(time_entry),
        [
            {
                "tenant": tenant,
                "entry_id": e.id,
                "revision": e.revision,
                "state": e.state.value,
                "psa_user_id": e.psa_user_id,
                "psa_project_id": e.psa_project_id,
                "service_date": e.service_date,
                "minutes": e.minutes,
                "billable": e.billable,
                "description": e.description,
                "started_at": e.started_at,
                "time_zone": e.time_zone,
                "task": e.task,
                "work_types": list(e.work_types),
                "inbox_id": e.payload_id,
                "recorded_at": now,
            }
            for e in entries
        ],
    )
    heads = [Head(object_id=e.id, revision=e.revision, state=e.state.value, route=routes[e.id]) for e in entries]
    work_heads.put(connection, tenant, heads, now)


def _entry(row: Sequence[Any]) -> TimeEntry:
    # By position: a name is looked up anew for each of a million rows.
    (
        entry_id,
        revision,
        state,
        psa_user_id,
        psa_project_id,
        service_date,
        minutes,
        billable,
        description,
        started_at,
        time_zone,
        payload_id,
        task,
        work_types,
    ) = row
    return TimeEntry(
        id=entry_id,
        revision=revision,
        state=_STATES[state],
        psa_user_id=psa_user_id,
        psa_project_id=psa_project_id,
        service_date=service_date,
        minutes=minutes,
        billable=billable,
        description=description,
        started_at=started_at,
        time_zone=time_zone,
        payload_id=payload_id,
        task=task,
        work_types=tuple(work_types),
    )
