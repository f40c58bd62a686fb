"""Which partitions have something to do: entries that changed after they were planned, and postings that are due."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, and_, case, exists, func, null, or_, select, union_all

from psa_erp_assets.adapters.store.schema import posting, work_head
from psa_erp_assets.adapters.store.work_heads import IS_DIRTY, Partition
from psa_erp_assets.domain.posting import UNDER_WAY
from psa_erp_assets.domain.records import ApprovalState


@dataclass(frozen=True, slots=True, kw_only=True)
class Touched:
    """A partition with work to do: entries that changed after they were planned, or postings that are due, in number.

    `contracts` are those concerned, None among them for work on no contract. `changed_at` is the latest change that
    was not planned, `due_at` the latest time at which a posting should have moved; each None if there is no such.
    """

    partition: Partition
    contracts: tuple[str | None, ...]
    changed_at: dt.datetime | None
    due_at: dt.datetime | None
    items: int


def touched(connection: Connection, tenant: str, *, due_before: dt.datetime) -> Sequence[Touched]:
    """The partitions with dirty entries, or with postings that should have moved before `due_before`, oldest first."""
    head, table = work_head.c, posting.c
    place = (head.legal_entity, head.service_month, head.contract_id)
    # What is still a draft has no financial effect, and people edit drafts all day.
    was_posted = exists().where(table.tenant == head.tenant, table.object_id == head.object_id)
    matters = or_(head.state == ApprovalState.APPROVED.value, was_posted)
    dirty = select(*place, head.changed_at, null().label("due_at")).where(head.tenant == tenant, IS_DIRTY, matters)
    due = (
        select(table.legal_entity, table.service_month, _contract_id(), null(), table.due_at)
        .outerjoin(work_head, and_(head.tenant == table.tenant, head.object_id == _head_id()))
        .where(table.tenant == tenant, table.state.in_(sorted(s.value for s in UNDER_WAY)), table.due_at < due_before)
    )
    work = union_all(dirty, due).subquery()
    rows = connection.execute(
        select(
            work.c.legal_entity,
            work.c.service_month,
            func.array_agg(work.c.contract_id.distinct()).label("contracts"),
            func.max(work.c.changed_at).label("changed_at"),
            func.max(work.c.due_at).label("due_at"),
            func.count().label("items"),
        )
        .group_by(work.c.legal_entity, work.c.service_month)
        .order_by(func.min(func.least(work.c.changed_at, work.c.due_at)), work.c.legal_entity, work.c.service_month)
    )
    return [
        Touched(
            partition=(row.legal_entity, row.service_month),
            contracts=tuple(row.contracts),
            changed_at=row.changed_at,
            due_at=row.due_at,
            items=row.items,
        )
        for row in rows
    ]


def _head_id() -> ColumnElement[str]:
    """The object with a head that a posting's object is a part of: the credited part of an entry is named after it."""
    return func.split_part(posting.c.object_id, "#", 1)


def _contract_id() -> ColumnElement[str | None]:
    """The contract of a posting: that of its object's head or, of a contract's own object, the one in its id."""
    own = func.split_part(posting.c.object_id, ":", 2)
    return func.coalesce(work_head.c.contract_id, case((posting.c.object_id.startswith("contract:"), own)))


def changed_since(connection: Connection, tenant: str, since: dt.datetime) -> list[Partition]:
    """Partitions of which an entry or a posting has changed since then."""
    head, table = work_head.c, posting.c
    changed = union_all(
        select(head.legal_entity, head.service_month).where(head.tenant == tenant, head.changed_at >= since),
        select(table.legal_entity, table.service_month).where(table.tenant == tenant, table.state_since >= since),
    ).subquery()
    rows = connection.execute(
        select(changed.c.legal_entity, changed.c.service_month)
        .distinct()
        .order_by(changed.c.legal_entity, changed.c.service_month)
    )
    return [(row.legal_entity, row.service_month) for row in rows]
