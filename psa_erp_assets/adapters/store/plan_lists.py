"""Statements that look for stored plans: one like it, those that wait for somebody, lists, and what one does."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, RowMapping, func, select

from psa_erp_assets.adapters.store.schema import plan, plan_item
from psa_erp_assets.adapters.store.work_heads import Partition


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanRow:
    """A plan in a list, with how many items it has. `contracts` is None for the whole partition."""

    id: int
    legal_entity: str
    service_month: str
    contracts: tuple[str | None, ...] | None
    status: str
    created_by: str
    created_at: dt.datetime
    applied_at: dt.datetime | None
    approval_reasons: tuple[str, ...]
    reviewed_by: str | None
    reviewed_at: dt.datetime | None
    review_note: str | None
    items: int


def same_plan(
    connection: Connection,
    tenant: str,
    partition: Partition,
    *,
    contracts: Sequence[str | None] | None,
    facts_hash: str,
    statuses: Sequence[str],
) -> tuple[int, str] | None:
    """Id and status of the latest plan that was made from the same facts, for the same contracts, and needs approval.

    Of plans in these statuses only.
    """
    table = plan.c
    rows = connection.execute(
        select(table.id, table.status, table.contracts)
        .where(
            table.tenant == tenant,
            table.legal_entity == partition[0],
            table.service_month == partition[1],
            table.facts_hash == facts_hash,
            table.status.in_(statuses),
            func.jsonb_array_length(table.approval_reasons) > 0,
        )
        .order_by(table.id.desc())
    )
    wanted = None if contracts is None else list(contracts)
    return next(((row.id, row.status) for row in rows if row.contracts == wanted), None)


def under_review(connection: Connection, tenant: str, partition: Partition) -> list[int]:
    """The ids of a partition's plans that wait for somebody's approval, or have it and are not applied yet."""
    table = plan.c
    return list(
        connection.execute(
            select(table.id)
            .where(
                table.tenant == tenant,
                table.legal_entity == partition[0],
                table.service_month == partition[1],
                table.status.in_(("proposed", "approved")),
                func.jsonb_array_length(table.approval_reasons) > 0,
            )
            .order_by(table.id)
        ).scalars()
    )


def list_plans(
    connection: Connection,
    tenant: str,
    *,
    plan_id: int | None = None,
    status: str | None = None,
    limit: int | None = None,
) -> list[PlanRow]:
    """Plans, the latest first; one of them, or those of a status, where that is asked for."""
    table = plan.c
    items = select(func.count()).where(plan_item.c.plan_id == table.id).scalar_subquery()
    columns = [column for column in table if column.name not in ("tenant", "facts_hash")]
    statement = select(*columns, items.label("items")).where(table.tenant == tenant).order_by(table.id.desc())
    if plan_id is not None:
        statement = statement.where(table.id == plan_id)
    if status is not None:
        statement = statement.where(table.status == status)
    return [_row(row) for row in connection.execute(statement.limit(limit)).mappings()]


def items(connection: Connection, plan_id: int) -> Sequence[RowMapping]:
    """What a plan does, in its order."""
    statement = select(plan_item).where(plan_item.c.plan_id == plan_id).order_by(plan_item.c.seq)
    return connection.execute(statement).mappings().all()


def _row(row: RowMapping) -> PlanRow:
    contracts = row["contracts"]
    return PlanRow(
        **{name: value for name, value in row.items() if name not in ("contracts", "approval_reasons")},
        contracts=None if contracts is None else tuple(contracts),
        approval_reasons=tuple(row["approval_reasons"]),
    )
