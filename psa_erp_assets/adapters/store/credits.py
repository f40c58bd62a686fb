"""Credits in the store: which minutes of which billed entries were credited to the customer."""

import datetime as dt
from collections import Counter
from collections.abc import Collection
from dataclasses import replace

from sqlalchemy import Connection, insert, select

from psa_erp_assets.adapters.store import erp_documents
from psa_erp_assets.adapters.store.conditions import among
from psa_erp_assets.adapters.store.schema import credit
from psa_erp_assets.domain.records import Credit


def add(connection: Connection, tenant: str, new: Credit, *, requested_by: str, now: dt.datetime) -> None:
    """Keep a credit, for good."""
    connection.execute(
        insert(credit).values(
            tenant=tenant,
            credit_id=new.id,
            object_id=new.object_id,
            minutes=new.minutes,
            rebill=new.rebill,
            in_erp=new.in_erp,
            reason=new.reason,
            requested_by=requested_by,
            requested_at=now,
        )
    )


def of_objects(connection: Connection, tenant: str, object_ids: Collection[str]) -> list[Credit]:
    """The credits of these entries, in the order of their ids.

    One that finance made in the ERP and cancelled there has no minutes left.
    """
    if not object_ids:
        return []
    table = credit.c
    rows = connection.execute(
        select(credit).where(table.tenant == tenant, among(table.object_id, object_ids)).order_by(table.credit_id)
    )
    return _standing(
        connection,
        tenant,
        [
            Credit(
                id=row.credit_id,
                object_id=row.object_id,
                minutes=row.minutes,
                rebill=row.rebill,
                in_erp=row.in_erp,
                reason=row.reason,
            )
            for row in rows
        ],
    )


def _standing(connection: Connection, tenant: str, every: list[Credit]) -> list[Credit]:
    """The credits, those in the ERP less what has been cancelled there, the oldest first.

    What the mirror has not seen yet stands: finance may have made it a minute ago.
    """
    by_hand: Counter[str] = Counter()
    for made in every:
        by_hand[made.object_id] += made.minutes if made.in_erp else 0
    in_erp = [object_id for object_id, minutes in by_hand.items() if minutes]
    if not in_erp:
        return every
    gone = {
        object_id: min(cancelled, max(0, by_hand[object_id] - standing))
        for object_id, (standing, cancelled) in erp_documents.credited_minutes(connection, tenant, in_erp).items()
    }
    left = []
    for made in every:
        lost = min(made.minutes, gone.get(made.object_id, 0)) if made.in_erp else 0
        if lost:
            gone[made.object_id] -= lost
        left.append(replace(made, minutes=made.minutes - lost) if lost else made)
    return left
