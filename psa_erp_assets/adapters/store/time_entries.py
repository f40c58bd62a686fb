"""Canonical time entries in the store: revisions, and the head that says which is current and where it belongs."""

import datetime as dt
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, bindparam, func, insert, literal, or_, select, update
from sqlalchemy.dialects.postgresql import insert as pg_insert

from psa_erp_assets.adapters.store.schema import time_entry, time_entry_head
from psa_erp_assets.domain.decide import Route
from psa_erp_assets.domain.records import ApprovalState, TimeEntry

Partition = tuple[str, str]
"""Legal entity and service month, as in the partition key of the assets."""

TOUCHED_CHANNEL = "psa_erp_touched"
"""Notified with each commit that makes entries dirty."""

IS_DIRTY: ColumnElement[bool] = or_(
    time_entry_head.c.planned_at.is_(None), time_entry_head.c.planned_at < time_entry_head.c.changed_at
)
_CURRENT = select(time_entry).join(
    time_entry_head,
    and_(
        time_entry.c.tenant == time_entry_head.c.tenant,
        time_entry.c.entry_id == time_entry_head.c.entry_id,
        time_entry.c.revision == time_entry_head.c.revision,
    ),
)


def current(connection: Connection, tenant: str, entry_ids: Collection[str] | None = None) -> list[TimeEntry]:
    """The latest revision of each of these entries, or of all; those that were never seen are left out."""
    query = _CURRENT.where(time_entry_head.c.tenant == tenant)
    if entry_ids is not None:
        query = query.where(time_entry_head.c.entry_id.in_(entry_ids))
    return [_entry(row) for row in connection.execute(query.order_by(time_entry.c.entry_id))]


def in_partition(
    connection: Connection, tenant: str, partition: Partition, contracts: Collection[str | None] | None = None
) -> list[TimeEntry]:
    """The latest revisions that belong to a partition, or to some contracts of it (None: to no contract)."""
    entity, month = partition
    query = _CURRENT.where(
        time_entry_head.c.tenant == tenant,
        time_entry_head.c.legal_entity == entity,
        time_entry_head.c.service_month == month,
    )
    if contracts is not None:
        known = [c for c in contracts if c is not None]
        wanted = time_entry_head.c.contract_id.in_(known)
        query = query.where(or_(wanted, time_entry_head.c.contract_id.is_(None)) if None in contracts else wanted)
    return [_entry(row) for row in connection.execute(query.order_by(time_entry.c.entry_id))]


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
    # In the order in which `lock_partition` takes them, so that neither waits for the other.
    entries = sorted(entries, key=lambda e: e.id)
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
                "inbox_id": e.payload_id,
                "recorded_at": now,
            }
            for e in entries
        ],
    )
    statement = pg_insert(time_entry_head)
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=list(time_entry_head.primary_key.columns),
            set_={
                name: statement.excluded[name]
                for name in ("revision", "state", "legal_entity", "service_month", "contract_id")
            }
            | {"changed_at": _after_planning(statement.excluded.changed_at)},
        ),
        [
            {
                "tenant": tenant,
                "entry_id": e.id,
                "revision": e.revision,
                "state": e.state.value,
                **_route(routes[e.id]),
                "changed_at": now,
            }
            for e in entries
        ],
    )
    _notify(connection)


def mark_changed(connection: Connection, tenant: str, routes: Mapping[str, Route], now: dt.datetime) -> None:
    """Make these entries dirty and set where they belong, because what they are enriched with has changed."""
    if not routes:
        return
    connection.execute(
        update(time_entry_head)
        .where(time_entry_head.c.tenant == tenant, time_entry_head.c.entry_id == bindparam("entry"))
        .values(
            legal_entity=bindparam("to_entity"),
            service_month=bindparam("to_month"),
            contract_id=bindparam("to_contract"),
            changed_at=_after_planning(literal(now)),
        ),
        [
            {
                "entry": entry_id,
                "to_entity": route.legal_entity,
                "to_month": str(route.service_month),
                "to_contract": route.contract_id,
            }
            for entry_id, route in sorted(routes.items(), key=lambda item: item[0])
        ],
    )
    _notify(connection)


def heads(connection: Connection, tenant: str) -> dict[str, Row[Any]]:
    """The head of every entry, by entry id: legal_entity, service_month, contract_id, revision."""
    return {row.entry_id: row for row in connection.execute(select(time_entry_head).where(_of(tenant)))}


def dirty_partitions(connection: Connection, tenant: str) -> dict[Partition, list[str | None]]:
    """The partitions with entries that changed since they were last planned, and the contracts of those entries."""
    rows = connection.execute(
        select(
            time_entry_head.c.legal_entity,
            time_entry_head.c.service_month,
            func.array_agg(time_entry_head.c.contract_id.distinct()).label("contracts"),
        )
        .where(_of(tenant), IS_DIRTY)
        .group_by(time_entry_head.c.legal_entity, time_entry_head.c.service_month)
        .order_by(time_entry_head.c.legal_entity, time_entry_head.c.service_month)
    )
    return {(row.legal_entity, row.service_month): list(row.contracts) for row in rows}


def dirty_entries(connection: Connection, tenant: str, partition: Partition) -> frozenset[str]:
    """The entries of a partition that changed since they were last planned."""
    entity, month = partition
    rows = connection.execute(
        select(time_entry_head.c.entry_id).where(
            _of(tenant),
            time_entry_head.c.legal_entity == entity,
            time_entry_head.c.service_month == month,
            IS_DIRTY,
        )
    )
    return frozenset(rows.scalars())


def partitions(connection: Connection, tenant: str) -> list[Partition]:
    """All partitions that have entries."""
    rows = connection.execute(
        select(time_entry_head.c.legal_entity, time_entry_head.c.service_month)
        .where(_of(tenant))
        .distinct()
        .order_by(time_entry_head.c.legal_entity, time_entry_head.c.service_month)
    )
    return [(row.legal_entity, row.service_month) for row in rows]


def lock_partition(connection: Connection, tenant: str, partition: Partition) -> None:
    """Let nobody change a partition's entries until the transaction ends."""
    entity, month = partition
    head = time_entry_head.c
    connection.execute(
        select(head.entry_id)
        .where(_of(tenant), head.legal_entity == entity, head.service_month == month)
        .order_by(head.entry_id)
        .with_for_update()
    )


def mark_planned(connection: Connection, tenant: str, entry_ids: Iterable[str], planned_at: dt.datetime) -> None:
    """These entries are planned as they are now. The caller has locked them since it looked at them."""
    head = time_entry_head.c
    connection.execute(
        update(time_entry_head)
        .where(_of(tenant), head.entry_id.in_(list(entry_ids)))
        .values(planned_at=func.greatest(literal(planned_at), head.changed_at))
    )


def _after_planning(changed_at: ColumnElement[dt.datetime]) -> ColumnElement[dt.datetime]:
    """The time of a change, but later than the planning that it follows.

    A reading that began before a planning and ended after it brings changes that the planning did not see.
    """
    planned_at = time_entry_head.c.planned_at
    return func.greatest(changed_at, planned_at + dt.timedelta(microseconds=1))


def _notify(connection: Connection) -> None:
    connection.execute(select(func.pg_notify(TOUCHED_CHANNEL, "")))


def _of(tenant: str) -> ColumnElement[bool]:
    return time_entry_head.c.tenant == tenant


def _route(route: Route) -> dict[str, str | None]:
    return {
        "legal_entity": route.legal_entity,
        "service_month": str(route.service_month),
        "contract_id": route.contract_id,
    }


def _entry(row: Row[Any]) -> TimeEntry:
    return TimeEntry(
        id=row.entry_id,
        revision=row.revision,
        state=ApprovalState(row.state),
        psa_user_id=row.psa_user_id,
        psa_project_id=row.psa_project_id,
        service_date=row.service_date,
        minutes=row.minutes,
        billable=row.billable,
        description=row.description,
        started_at=row.started_at,
        time_zone=row.time_zone,
        payload_id=row.inbox_id,
    )
