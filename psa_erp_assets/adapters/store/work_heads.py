"""Heads of whatever has financial effects: which revision is current, where it belongs, and whether it is planned.

An object is a time entry, an expense, a milestone or a contract's month; its id says which. What a revision contains
is not here (`time_entries`, `work_facts`).
"""

import datetime as dt
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, bindparam, func, literal, or_, select, update
from sqlalchemy.dialects.postgresql import insert as pg_insert

from psa_erp_assets.adapters.store.conditions import among
from psa_erp_assets.adapters.store.schema import work_head
from psa_erp_assets.domain.decision import Route

Partition = tuple[str, str]
"""Legal entity and service month, as in the partition key of the assets."""

TOUCHED_CHANNEL = "psa_erp_touched"
"""Notified with each commit that makes objects dirty."""

IS_DIRTY: ColumnElement[bool] = or_(work_head.c.planned_at.is_(None), work_head.c.planned_at < work_head.c.changed_at)


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The current revision of an object, its state in words, and where it belongs."""

    object_id: str
    revision: int
    state: str
    route: Route


def put(connection: Connection, tenant: str, new: Sequence[Head], now: dt.datetime) -> None:
    """Make these the current revisions, all dirty. Each object stands in `new` once."""
    if not new:
        return
    statement = pg_insert(work_head)
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=list(work_head.primary_key.columns),
            set_={
                name: statement.excluded[name]
                for name in ("revision", "state", "legal_entity", "service_month", "contract_id")
            }
            | {"changed_at": _after_planning(statement.excluded.changed_at)},
        ),
        [
            {
                "tenant": tenant,
                "object_id": head.object_id,
                "revision": head.revision,
                "state": head.state,
                **_route(head.route),
                "changed_at": now,
            }
            # In the order in which `lock_partition` takes them, so that neither waits for the other.
            for head in sorted(new, key=lambda head: head.object_id)
        ],
    )
    _notify(connection)


def within(tenant: str, partition: Partition, contracts: Collection[str | None] | None = None) -> ColumnElement[bool]:
    """The condition that a head belongs to a partition, or to some contracts of it (None: to no contract)."""
    head = work_head.c
    condition = and_(head.tenant == tenant, head.legal_entity == partition[0], head.service_month == partition[1])
    if contracts is None:
        return condition
    wanted = head.contract_id.in_([c for c in contracts if c is not None])
    return and_(condition, or_(wanted, head.contract_id.is_(None)) if None in contracts else wanted)


def contracts_within(
    connection: Connection, tenant: str, partition: Partition, contracts: Collection[str | None] | None = None
) -> dict[str, str | None]:
    """The contract of each object of a partition, or of some contracts of it, in the order of their ids."""
    head = work_head.c
    statement = select(head.object_id, head.contract_id).where(within(tenant, partition, contracts))
    return {row[0]: row[1] for row in connection.execute(statement.order_by(head.object_id))}


def mark_changed(connection: Connection, tenant: str, routes: Mapping[str, Route], now: dt.datetime) -> None:
    """Make these objects dirty and set where they belong, because what they are enriched with has changed."""
    if not routes:
        return
    connection.execute(
        update(work_head)
        .where(work_head.c.tenant == tenant, work_head.c.object_id == bindparam("object"))
        .values(
            legal_entity=bindparam("to_entity"),
            service_month=bindparam("to_month"),
            contract_id=bindparam("to_contract"),
            changed_at=_after_planning(literal(now)),
        ),
        [
            {
                "object": object_id,
                "to_entity": route.legal_entity,
                "to_month": str(route.service_month),
                "to_contract": route.contract_id,
            }
            for object_id, route in sorted(routes.items(), key=lambda item: item[0])
        ],
    )
    _notify(connection)


def heads(connection: Connection, tenant: str, object_ids: Collection[str] | None = None) -> dict[str, Row[Any]]:
    """The heads of these objects, or of all, by id: legal_entity, service_month, contract_id, revision."""
    statement = select(work_head).where(_of(tenant))
    if object_ids is not None:
        statement = statement.where(among(work_head.c.object_id, object_ids))
    return {row.object_id: row for row in connection.execute(statement)}


def dirty_partitions(connection: Connection, tenant: str) -> dict[Partition, list[str | None]]:
    """The partitions with objects that changed since they were last planned, and their contracts."""
    rows = connection.execute(
        select(
            work_head.c.legal_entity,
            work_head.c.service_month,
            func.array_agg(work_head.c.contract_id.distinct()).label("contracts"),
        )
        .where(_of(tenant), IS_DIRTY)
        .group_by(work_head.c.legal_entity, work_head.c.service_month)
        .order_by(work_head.c.legal_entity, work_head.c.service_month)
    )
    return {(row.legal_entity, row.service_month): list(row.contracts) for row in rows}


def dirty_objects(connection: Connection, tenant: str, partition: Partition) -> frozenset[str]:
    """The objects of a partition that changed since they were last planned."""
    entity, month = partition
    rows = connection.execute(
        select(work_head.c.object_id).where(
            _of(tenant),
            work_head.c.legal_entity == entity,
            work_head.c.service_month == month,
            IS_DIRTY,
        )
    )
    return frozenset(rows.scalars())


def partitions(connection: Connection, tenant: str) -> list[Partition]:
    """All partitions that have anything."""
    rows = connection.execute(
        select(work_head.c.legal_entity, work_head.c.service_month)
        .where(_of(tenant))
        .distinct()
        .order_by(work_head.c.legal_entity, work_head.c.service_month)
    )
    return [(row.legal_entity, row.service_month) for row in rows]


def lock_partition(connection: Connection, tenant: str, partition: Partition) -> None:
    """Let nobody change a partition's objects until the transaction ends."""
    entity, month = partition
    head = work_head.c
    connection.execute(
        select(head.object_id)
        .where(_of(tenant), head.legal_entity == entity, head.service_month == month)
        .order_by(head.object_id)
        .with_for_update()
    )


def mark_planned(connection: Connection, tenant: str, object_ids: Iterable[str], planned_at: dt.datetime) -> None:
    """These objects are planned as they are now. The caller has locked them since it looked at them."""
    head = work_head.c
    connection.execute(
        update(work_head)
        .where(_of(tenant), among(head.object_id, list(object_ids)))
        .values(planned_at=func.greatest(literal(planned_at), head.changed_at))
    )


def _after_planning(changed_at: ColumnElement[dt.datetime]) -> ColumnElement[dt.datetime]:
    """The time of a change, but later than the planning that it follows.

    A reading that began before a planning and ended after it brings changes that the planning did not see.
    """
    planned_at = work_head.c.planned_at
    return func.greatest(changed_at, planned_at + dt.timedelta(microseconds=1))


def _notify(connection: Connection) -> None:
    connection.execute(select(func.pg_notify(TOUCHED_CHANNEL, "")))


def _of(tenant: str) -> ColumnElement[bool]:
    return work_head.c.tenant == tenant


def _route(route: Route) -> dict[str, str | None]:
    return {
        "legal_entity": route.legal_entity,
        "service_month": str(route.service_month),
        "contract_id": route.contract_id,
    }
