"""Expenses and milestones in the store: one row a revision. Which is current is in `work_heads`."""

import datetime as dt
from collections.abc import Collection, Mapping, Sequence

from sqlalchemy import Connection, Select, and_, insert, select

from psa_erp_assets.adapters.store import work_heads
from psa_erp_assets.adapters.store.bodies import from_body, to_body
from psa_erp_assets.adapters.store.schema import work_fact, work_head
from psa_erp_assets.adapters.store.work_heads import Head, Partition
from psa_erp_assets.domain.decision import Route
from psa_erp_assets.domain.records import Expense, Milestone

Fact = Expense | Milestone

_KINDS: Mapping[str, type[Fact]] = {"expense": Expense, "milestone": Milestone}
_NAMES = {record: name for name, record in _KINDS.items()}
_CURRENT = select(work_fact.c.kind, work_fact.c.body).join(
    work_head,
    and_(
        work_fact.c.tenant == work_head.c.tenant,
        work_fact.c.object_id == work_head.c.object_id,
        work_fact.c.revision == work_head.c.revision,
    ),
)


def current(connection: Connection, tenant: str, object_ids: Collection[str] | None = None) -> list[Fact]:
    """The latest revision of each of these, or of all; those that were never seen are left out."""
    query = _CURRENT.where(work_head.c.tenant == tenant)
    if object_ids is not None:
        query = query.where(work_head.c.object_id.in_(object_ids))
    return _facts(connection, query)


def in_partition(
    connection: Connection, tenant: str, partition: Partition, contracts: Collection[str | None] | None = None
) -> list[Fact]:
    """The latest revisions that belong to a partition, or to some contracts of it (None: to no contract)."""
    return _facts(connection, _CURRENT.where(work_heads.within(tenant, partition, contracts)))


def add_revisions(
    connection: Connection,
    *,
    tenant: str,
    facts: Sequence[Fact],
    routes: Mapping[str, Route],
    now: dt.datetime,
) -> None:
    """Store new revisions and make them current. Each fact stands in `facts` once."""
    if not facts:
        return
    connection.execute(
        insert(work_fact),
        [
            {
                "tenant": tenant,
                "object_id": fact.id,
                "revision": fact.revision,
                "kind": _NAMES[type(fact)],
                "body": to_body(fact),
                "inbox_id": fact.payload_id,
                "recorded_at": now,
            }
            for fact in facts
        ],
    )
    heads = [Head(object_id=f.id, revision=f.revision, state=f.state.value, route=routes[f.id]) for f in facts]
    work_heads.put(connection, tenant, heads, now)


def _facts(connection: Connection, query: Select[tuple[str, dict[str, object]]]) -> list[Fact]:
    rows = connection.execute(query.order_by(work_fact.c.object_id))
    return [from_body(_KINDS[row.kind], row.body) for row in rows]
