"""Statements that look for stored plans: one like it, those that wait for somebody, and lists."""

import datetime as dt
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import (
    ColumnElement,
    Connection,
    Integer,
    Numeric,
    RowMapping,
    TableValuedAlias,
    and_,
    case,
    cast,
    column,
    func,
    or_,
    select,
)
from sqlalchemy.dialects.postgresql import JSONB, JSONPATH
from sqlalchemy.orm import aliased

from psa_erp_assets.adapters.store.conditions import of_entities
from psa_erp_assets.adapters.store.schema import plan, plan_part, plan_section
from psa_erp_assets.adapters.store.work_heads import Partition
from psa_erp_assets.domain.plan import ACTING, Action

_ADDS = [action.value for action in (Action.CREATE, Action.REVERSE, Action.RESTORE, Action.RETRY)]
_TAKES = [action.value for action in (Action.WITHDRAW, Action.VOID, Action.CANCEL)]
_ACTS = "$[*].action ? (" + " || ".join(f'@ == "{action}"' for action in sorted(ACTING)) + ")"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanRow:
    """A plan in a list, with how many items it has. `contracts` is None for the whole partition.

    `outdated` says of a proposed or approved plan that a later one has been made from newer facts, or has been applied
    in its place.
    """

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
    outdated: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanFilter:
    """Which plans: one, those of a status, an entity or a month; None for all. `waiting`: only those that need
    somebody's approval. `entities` are what whoever asks may see.
    """

    plan_id: int | None = None
    status: str | None = None
    legal_entity: str | None = None
    service_month: str | None = None
    waiting: bool = False
    entities: Collection[str] | None = None

    def conditions(self, tenant: str) -> list[ColumnElement[bool]]:
        """As conditions on `plan`."""
        table = plan.c
        found: list[ColumnElement[bool]] = [table.tenant == tenant, of_entities(table.legal_entity, self.entities)]
        for name, value in (
            ("id", self.plan_id),
            ("status", self.status),
            ("legal_entity", self.legal_entity),
            ("service_month", self.service_month),
        ):
            if value is not None:
                found.append(table[name] == value)
        if self.waiting:
            found += [table.status == "proposed", func.jsonb_array_length(table.approval_reasons) > 0]
        return found


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
    connection: Connection, tenant: str, wanted: PlanFilter, *, offset: int = 0, limit: int | None = None
) -> list[PlanRow]:
    """Plans, the latest first."""
    table, total = plan.c, _totals()
    items = (
        select(func.coalesce(func.sum(total.c.value["items"].astext.cast(Integer)), 0))
        .select_from(plan_part.join(plan_section, plan_part.c.section_id == plan_section.c.id))
        .where(plan_part.c.plan_id == table.id)
        .scalar_subquery()
    )
    columns = [c for c in table if c.name not in ("tenant", "facts_hash")]
    statement = (
        select(*columns, items.label("items"), is_outdated().label("outdated"))
        .where(*wanted.conditions(tenant))
        .order_by(table.id.desc())
        .offset(offset)
        .limit(limit)
    )
    return [_row(row) for row in connection.execute(statement).mappings()]


def count_plans(connection: Connection, tenant: str, wanted: PlanFilter) -> int:
    """How many there are."""
    return int(connection.execute(select(func.count(plan.c.id)).where(*wanted.conditions(tenant))).scalar_one())


def facets(connection: Connection, tenant: str, entities: Collection[str] | None) -> Sequence[RowMapping]:
    """The legal entities and months that plans were made for."""
    table = plan.c
    statement = (
        select(table.legal_entity, table.service_month)
        .where(*PlanFilter(entities=entities).conditions(tenant))
        .distinct()
        .order_by(table.service_month.desc(), table.legal_entity)
    )
    return connection.execute(statement).mappings().all()


def changes(connection: Connection, plan_ids: Collection[int]) -> Sequence[RowMapping]:
    """What plans bring to the books, by plan, effect type and currency: `items` that act, and their `change`."""
    total = _totals()
    field, amount = total.c.value, total.c.value["amount"].astext.cast(Numeric)
    action, effect_type, currency = (field[name].astext for name in ("action", "effect_type", "currency"))
    statement = (
        select(
            plan_part.c.plan_id,
            effect_type.label("effect_type"),
            currency.label("currency"),
            func.sum(field["items"].astext.cast(Integer)).label("items"),
            func.sum(case((action.in_(_ADDS), amount), else_=-amount)).label("change"),
        )
        .select_from(plan_part.join(plan_section, plan_part.c.section_id == plan_section.c.id))
        .where(plan_part.c.plan_id.in_(plan_ids), action.in_([*_ADDS, *_TAKES]), currency.is_not(None))
        .group_by(plan_part.c.plan_id, effect_type, currency)
        .order_by(plan_part.c.plan_id, effect_type, currency)
    )
    return connection.execute(statement).mappings().all()


def is_outdated() -> ColumnElement[bool]:
    """Whether a plan that is still open has been left behind: by newer facts, or by one that was applied instead."""
    part, mine, newer = aliased(plan_part), aliased(plan_section), aliased(plan_section)
    of_plan = select(part.c.section_id).join(mine, mine.c.id == part.c.section_id).where(part.c.plan_id == plan.c.id)
    newer_facts = (
        of_plan.join(
            newer,
            and_(
                newer.c.tenant == mine.c.tenant,
                newer.c.legal_entity == mine.c.legal_entity,
                newer.c.service_month == mine.c.service_month,
                newer.c.contract_id.is_not_distinct_from(mine.c.contract_id),
                newer.c.id > mine.c.id,
            ),
        )
        .correlate(plan)
        .exists()
    )
    other, other_part = aliased(plan), aliased(plan_part)
    applied_instead = (
        of_plan.join(other_part, other_part.c.section_id == part.c.section_id)
        .join(other, other.c.id == other_part.c.plan_id)
        .where(
            other.c.id > plan.c.id,
            other.c.status == "applied",
            func.jsonb_path_exists(mine.c.totals, cast(_ACTS, JSONPATH)),
        )
        .correlate(plan)
        .exists()
    )
    return and_(plan.c.status.in_(("proposed", "approved")), or_(newer_facts, applied_instead))


def _totals() -> TableValuedAlias:
    return func.jsonb_array_elements(plan_section.c.totals).table_valued(column("value", JSONB), joins_implicitly=True)


def _row(row: RowMapping) -> PlanRow:
    contracts = row["contracts"]
    return PlanRow(
        **{name: value for name, value in row.items() if name not in ("contracts", "approval_reasons")},
        contracts=None if contracts is None else tuple(contracts),
        approval_reasons=tuple(row["approval_reasons"]),
    )
