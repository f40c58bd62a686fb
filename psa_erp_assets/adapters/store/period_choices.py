"""What people chose for effects whose accounting period is closed."""

import datetime as dt
from collections.abc import Collection
from typing import Any

from sqlalchemy import Connection, Row, insert, select
from sqlalchemy.dialects.postgresql import distinct_on

from psa_erp_assets.adapters.store.conditions import among
from psa_erp_assets.adapters.store.schema import booked_by_hand, period_choice
from psa_erp_assets.domain.closed_periods import Choice, Choices, PeriodChoice
from psa_erp_assets.domain.effects import EffectType, from_payload, to_payload


def add(connection: Connection, tenant: str, choice: PeriodChoice, now: dt.datetime) -> None:
    """Keep a choice; the ones before stay on record."""
    choice_id: int = connection.execute(
        insert(period_choice)
        .values(
            tenant=tenant,
            object_id=choice.object_id,
            effect_type=choice.effect_type.value,
            choice=choice.choice.value,
            posting_date=choice.posting_date,
            reason=choice.reason,
            chosen_by=choice.chosen_by,
            chosen_at=now,
            basis=choice.basis,
        )
        .returning(period_choice.c.id)
    ).scalar_one()
    if choice.by_hand:
        effects = [to_payload(effect) for effect in choice.by_hand]
        noted = {"choice_id": choice_id, "tenant": tenant, "effects": effects, "noted_at": now}
        connection.execute(insert(booked_by_hand).values(noted))


def of_objects(connection: Connection, tenant: str, object_ids: Collection[str]) -> Choices:
    """The latest choice for each of these objects and effect types."""
    if not object_ids:
        return {}
    table = period_choice.c
    rows = connection.execute(
        select(period_choice, booked_by_hand.c.effects)
        .outerjoin(booked_by_hand, booked_by_hand.c.choice_id == table.id)
        .ext(distinct_on(table.object_id, table.effect_type))
        .where(table.tenant == tenant, among(table.object_id, object_ids))
        .order_by(table.object_id, table.effect_type, table.id.desc())
    )
    found = [_choice(row) for row in rows]
    return {(choice.object_id, choice.effect_type): choice for choice in found}


def history(connection: Connection, tenant: str, object_id: str, effect_type: EffectType) -> list[PeriodChoice]:
    """All choices for an object and effect type, the newest first."""
    table = period_choice.c
    rows = connection.execute(
        select(period_choice, booked_by_hand.c.effects)
        .outerjoin(booked_by_hand, booked_by_hand.c.choice_id == table.id)
        .where(table.tenant == tenant, table.object_id == object_id, table.effect_type == effect_type.value)
        .order_by(table.id.desc())
    )
    return [_choice(row) for row in rows]


def _choice(row: Row[Any]) -> PeriodChoice:
    return PeriodChoice(
        object_id=row.object_id,
        effect_type=EffectType(row.effect_type),
        choice=Choice(row.choice),
        posting_date=row.posting_date,
        reason=row.reason,
        chosen_by=row.chosen_by,
        basis=row.basis,
        by_hand=tuple(from_payload(payload) for payload in row.effects or ()),
    )
