"""What people chose for effects whose accounting period is closed."""

import datetime as dt
from collections.abc import Collection

from sqlalchemy import Connection, insert, select
from sqlalchemy.dialects.postgresql import distinct_on

from psa_erp_assets.adapters.store.conditions import among
from psa_erp_assets.adapters.store.schema import period_choice
from psa_erp_assets.domain.closed_periods import Choice, Choices, PeriodChoice
from psa_erp_assets.domain.effects import EffectType


def add(connection: Connection, tenant: str, choice: PeriodChoice, now: dt.datetime) -> None:
    """Keep a choice; the ones before stay on record."""
    connection.execute(
        insert(period_choice).values(
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
    )


def of_objects(connection: Connection, tenant: str, object_ids: Collection[str]) -> Choices:
    """The latest choice for each of these objects and effect types."""
    if not object_ids:
        return {}
    table = period_choice.c
    rows = connection.execute(
        select(period_choice)
        .ext(distinct_on(table.object_id, table.effect_type))
        .where(table.tenant == tenant, among(table.object_id, object_ids))
        .order_by(table.object_id, table.effect_type, table.id.desc())
    )
    found = [
        PeriodChoice(
            object_id=row.object_id,
            effect_type=EffectType(row.effect_type),
            choice=Choice(row.choice),
            posting_date=row.posting_date,
            reason=row.reason,
            chosen_by=row.chosen_by,
            basis=row.basis,
        )
        for row in rows
    ]
    return {(choice.object_id, choice.effect_type): choice for choice in found}
