"""Sections of plans in the store: what is to be done for one contract's month, and what that was made from."""

import datetime as dt
import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, RowMapping, Select, insert, select
from sqlalchemy.dialects.postgresql import distinct_on

from psa_erp_assets.adapters.store.copying import copy_rows
from psa_erp_assets.adapters.store.schema import plan_item, plan_part, plan_section
from psa_erp_assets.adapters.store.work_heads import Partition
from psa_erp_assets.domain.decision import Hold
from psa_erp_assets.domain.effects import EffectType, from_payload, payload_text
from psa_erp_assets.domain.plan import Action, PlanItem
from psa_erp_assets.domain.plan_totals import PlanTotal

_ITEM_COLUMNS = (
    "section_id",
    "seq",
    "action",
    "effect_type",
    "object_id",
    "contract_id",
    "key",
    "target_key",
    "amount",
    "currency",
    "minutes",
    "reason",
    "body",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """What a plan does for one contract's month. `contract_id` is None for work on no contract.

    `basis` is the fingerprint of all that it was made from, `facts_hash` of what came of it.
    """

    id: int
    contract_id: str | None
    basis: str
    facts_hash: str
    totals: tuple[PlanTotal, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSection:
    """A section that is to be stored, with its items."""

    contract_id: str | None
    basis: str
    facts_hash: str
    items: Sequence[PlanItem]
    totals: tuple[PlanTotal, ...]


def latest(connection: Connection, tenant: str, partition: Partition) -> dict[str | None, Section]:
    """The latest section of each contract of a partition."""
    table = plan_section.c
    rows = connection.execute(
        select(plan_section)
        .ext(distinct_on(table.contract_id))
        .where(table.tenant == tenant, table.legal_entity == partition[0], table.service_month == partition[1])
        .order_by(table.contract_id, table.id.desc())
    ).mappings()
    return {row["contract_id"]: _section(row) for row in rows}


def of_plan(connection: Connection, plan_id: int) -> list[Section]:
    """The sections of a plan, in its order."""
    rows = connection.execute(
        select(plan_section)
        .join(plan_part, plan_part.c.section_id == plan_section.c.id)
        .where(plan_part.c.plan_id == plan_id)
        .order_by(plan_part.c.position)
    ).mappings()
    return [_section(row) for row in rows]


def add(
    connection: Connection, tenant: str, partition: Partition, new: Sequence[NewSection], now: dt.datetime
) -> dict[str | None, Section]:
    """Store sections with their items, at least one; answers with them by contract."""
    statement = insert(plan_section).returning(plan_section.c.id, sort_by_parameter_order=True)
    ids = connection.execute(
        statement,
        [
            {
                "tenant": tenant,
                "legal_entity": partition[0],
                "service_month": partition[1],
                "contract_id": section.contract_id,
                "basis": section.basis,
                "facts_hash": section.facts_hash,
                "totals": [_total_body(total) for total in section.totals],
                "made_at": now,
            }
            for section in new
        ],
    ).scalars()
    numbered = list(zip(ids, new, strict=True))
    rows = (row for section_id, section in numbered for row in _rows(section_id, section.items))
    copy_rows(connection, plan_item, _ITEM_COLUMNS, rows)
    return {
        section.contract_id: Section(
            id=section_id,
            contract_id=section.contract_id,
            basis=section.basis,
            facts_hash=section.facts_hash,
            totals=section.totals,
        )
        for section_id, section in numbered
    }


def items(
    connection: Connection, section_ids: Collection[int], actions: Collection[Action] | None = None
) -> Iterator[PlanItem]:
    """The items of sections in their order, of some actions only where these are given, read bit by bit."""
    statement = _select(section_ids, actions).execution_options(yield_per=5_000)
    for row in connection.execute(statement).mappings():
        yield _item(row)


def _select(section_ids: Collection[int], actions: Collection[Action] | None) -> Select[*tuple[Any, ...]]:
    statement = select(plan_item).where(plan_item.c.section_id.in_(section_ids))
    if actions is not None:
        statement = statement.where(plan_item.c.action.in_([action.value for action in actions]))
    return statement.order_by(plan_item.c.section_id, plan_item.c.seq)


def _rows(section_id: int, items: Iterable[PlanItem]) -> Iterator[tuple[object, ...]]:
    for seq, item in enumerate(items, start=1):
        effect = item.effect
        amount = currency = minutes = None
        if effect is not None:
            amount, currency, minutes = str(effect.amount.amount), effect.amount.currency, effect.minutes
        yield (
            section_id,
            seq,
            item.action.value,
            item.effect_type.value,
            item.object_id,
            item.contract_id,
            item.key,
            item.target_key,
            amount,
            currency,
            minutes,
            item.reason,
            _body(item),
        )


def _body(item: PlanItem) -> str:
    """What has no column of its own, as JSON; made directly, as a month has a million of them."""
    effect = "null" if item.effect is None else payload_text(item.effect)
    revision = "null" if item.revision is None else item.revision
    depends_on = "null" if item.depends_on is None else f'"{item.depends_on}"'
    hold = "null" if item.hold is None else json.dumps({"code": item.hold.code, "detail": item.hold.detail})
    return (
        f'{{"effect":{effect},"hold":{hold},"revision":{revision},'
        f'"source_revision":{item.source_revision},"depends_on":{depends_on}}}'
    )


def _item(row: RowMapping) -> PlanItem:
    body, effect_type = row["body"], EffectType(row["effect_type"])
    hold = body["hold"]
    return PlanItem(
        action=Action(row["action"]),
        effect_type=effect_type,
        object_id=row["object_id"],
        contract_id=row["contract_id"],
        reason=row["reason"],
        source_revision=body["source_revision"],
        revision=body["revision"],
        key=row["key"],
        target_key=row["target_key"],
        depends_on=body["depends_on"],
        effect=None if body["effect"] is None else from_payload(body["effect"]),
        hold=None if hold is None else Hold(hold["code"], effect_type, hold["detail"]),
    )


def _section(row: RowMapping) -> Section:
    return Section(
        id=row["id"],
        contract_id=row["contract_id"],
        basis=row["basis"],
        facts_hash=row["facts_hash"],
        totals=tuple(_total(body) for body in row["totals"]),
    )


def _total_body(total: PlanTotal) -> dict[str, Any]:
    return {
        "action": total.action.value,
        "effect_type": total.effect_type.value,
        "currency": total.currency,
        "service_date": None if total.service_date is None else total.service_date.isoformat(),
        "code": total.code,
        "items": total.items,
        "minutes": total.minutes,
        "amount": str(total.amount),
        "absolute": str(total.absolute),
    }


def _total(body: dict[str, Any]) -> PlanTotal:
    on = body["service_date"]
    return PlanTotal(
        action=Action(body["action"]),
        effect_type=EffectType(body["effect_type"]),
        currency=body["currency"],
        service_date=None if on is None else dt.date.fromisoformat(on),
        code=body["code"],
        items=body["items"],
        minutes=body["minutes"],
        amount=Decimal(body["amount"]),
        absolute=Decimal(body["absolute"]),
    )
