"""Credits in the store: which minutes of which billed entries were credited to the customer."""

import datetime as dt
from collections.abc import Collection

from sqlalchemy import Connection, insert, select

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
    """The credits of these entries, in the order of their ids."""
    if not object_ids:
        return []
    table = credit.c
    rows = connection.execute(
        select(credit).where(table.tenant == tenant, table.object_id.in_(object_ids)).order_by(table.credit_id)
    )
    return [
        Credit(
            id=row.credit_id,
            object_id=row.object_id,
            minutes=row.minutes,
            rebill=row.rebill,
            in_erp=row.in_erp,
            reason=row.reason,
        )
        for row in rows
    ]
