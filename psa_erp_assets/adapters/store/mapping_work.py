"""Which work a mapping is about: the partitions and contracts of what somebody recorded, or recorded on a project."""

from collections import defaultdict
from collections.abc import Collection

from sqlalchemy import Connection, or_, select, union_all

from psa_erp_assets.adapters.store.schema import time_entry, work_fact, work_head
from psa_erp_assets.adapters.store.work_heads import Partition


def places_of(
    connection: Connection,
    tenant: str,
    *,
    users: Collection[str],
    projects: Collection[str],
    contracts: Collection[str],
) -> dict[Partition, set[str | None]]:
    """The partitions, with the contracts in them, of work of these PSA users, on these PSA projects or contracts."""
    head, time, fact = work_head.c, time_entry.c, work_fact.c
    body = fact.body
    objects = union_all(
        select(time.entry_id.label("object_id")).where(
            time.tenant == tenant, or_(time.psa_user_id.in_(users), time.psa_project_id.in_(projects))
        ),
        select(fact.object_id).where(
            fact.tenant == tenant,
            or_(body["psa_user_id"].astext.in_(users), body["psa_project_id"].astext.in_(projects)),
        ),
        select(head.object_id).where(head.tenant == tenant, head.contract_id.in_(contracts)),
    ).subquery()
    rows = connection.execute(
        select(head.legal_entity, head.service_month, head.contract_id)
        .where(head.tenant == tenant, head.object_id.in_(select(objects.c.object_id)))
        .distinct()
    )
    found: dict[Partition, set[str | None]] = defaultdict(set)
    for row in rows:
        found[row.legal_entity, row.service_month].add(row.contract_id)
    return dict(found)
