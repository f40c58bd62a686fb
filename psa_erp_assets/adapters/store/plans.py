"""Plans in the store: proposed, then applied or overtaken by newer facts."""

import datetime as dt
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, Text, func, insert, literal, select, update
from sqlalchemy.dialects.postgresql import ARRAY

from psa_erp_assets.adapters.store.schema import plan, plan_part
from psa_erp_assets.adapters.store.work_heads import Partition


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredPlan:
    """The head of a plan."""

    id: int
    tenant: str
    partition: Partition
    contracts: tuple[str | None, ...] | None
    status: str
    facts_hash: str
    created_by: str
    created_at: dt.datetime
    approval_reasons: tuple[str, ...]
    reviewed_by: str | None


def lock_partition(connection: Connection, tenant: str, partition: Partition) -> None:
    """Let one planner at a time work on a partition, until the transaction ends."""
    name = f"plan:{tenant}:{partition[0]}:{partition[1]}"
    connection.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(name, 0))))


def lock_contract_months(
    connection: Connection, tenant: str, contract_ids: Collection[str], service_month: str
) -> None:
    """Let one planner at a time settle these contracts' month, until the transaction ends.

    In the order of their ids, in which every planner takes them, so that no two wait for each other.
    """
    names = [f"settle:{tenant}:{contract_id}:{service_month}" for contract_id in sorted(contract_ids)]
    if names:
        # A set of rows is gone through in its order.
        name = func.unnest(literal(names, ARRAY(Text))).column_valued("name")
        connection.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(name, 0))))


def propose(
    connection: Connection,
    *,
    tenant: str,
    partition: Partition,
    contracts: Sequence[str | None] | None,
    section_ids: Sequence[int],
    facts_hash: str,
    approval_reasons: Sequence[str],
    created_by: str,
    now: dt.datetime,
) -> int:
    """Store a plan of these sections; answers with its id."""
    plan_id = connection.execute(
        insert(plan)
        .values(
            tenant=tenant,
            legal_entity=partition[0],
            service_month=partition[1],
            contracts=None if contracts is None else list(contracts),
            status="proposed",
            facts_hash=facts_hash,
            approval_reasons=list(approval_reasons),
            created_by=created_by,
            created_at=now,
        )
        .returning(plan.c.id)
    ).scalar_one()
    if section_ids:
        connection.execute(
            insert(plan_part),
            [
                {"plan_id": plan_id, "position": position, "section_id": section_id}
                for position, section_id in enumerate(section_ids, start=1)
            ],
        )
    return int(plan_id)


def load(connection: Connection, tenant: str, plan_id: int) -> StoredPlan | None:
    """The plan with this id."""
    row = connection.execute(select(plan).where(plan.c.tenant == tenant, plan.c.id == plan_id)).one_or_none()
    if row is None:
        return None
    return StoredPlan(
        id=row.id,
        tenant=row.tenant,
        partition=(row.legal_entity, row.service_month),
        contracts=None if row.contracts is None else tuple(row.contracts),
        status=row.status,
        facts_hash=row.facts_hash,
        created_by=row.created_by,
        created_at=row.created_at,
        approval_reasons=tuple(row.approval_reasons),
        reviewed_by=row.reviewed_by,
    )


def finish(connection: Connection, plan_id: int, status: str, now: dt.datetime) -> None:
    """Set the end of a plan that was proposed or approved: applied or overtaken."""
    open_plan = plan.c.status.in_(("proposed", "approved"))
    connection.execute(update(plan).where(plan.c.id == plan_id, open_plan).values(status=status, applied_at=now))


def review(
    connection: Connection, plan_id: int, *, approved: bool, reviewed_by: str, note: str, now: dt.datetime
) -> bool:
    """Approve or reject a proposed plan; answers whether it was still proposed."""
    reviewed = connection.execute(
        update(plan)
        .where(plan.c.id == plan_id, plan.c.status == "proposed")
        .values(
            status="approved" if approved else "rejected",
            reviewed_by=reviewed_by,
            reviewed_at=now,
            review_note=note,
        )
        .returning(plan.c.id)
    )
    return reviewed.first() is not None
