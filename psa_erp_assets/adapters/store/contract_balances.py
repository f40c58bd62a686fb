"""What a contract's months leave to the ones after them."""

import datetime as dt

from sqlalchemy import Connection, select
from sqlalchemy.dialects.postgresql import insert as pg_insert

from psa_erp_assets.adapters.store.schema import contract_balance
from psa_erp_assets.domain.balances import Balance
from psa_erp_assets.domain.calendar import ServiceMonth


def before(connection: Connection, tenant: str, contract_id: str, month: ServiceMonth) -> Balance:
    """The closing balance of the contract's latest month before this one; all nought where there is none."""
    table = contract_balance.c
    body = connection.execute(
        select(table.body)
        .where(table.tenant == tenant, table.contract_id == contract_id, table.service_month < str(month))
        .order_by(table.service_month.desc())
        .limit(1)
    ).scalar_one_or_none()
    return Balance() if body is None else Balance.from_body(body)


def of_month(connection: Connection, tenant: str, contract_id: str, month: ServiceMonth) -> Balance:
    """The closing balance of the contract's month as it was kept last; all nought where it never was."""
    table = contract_balance.c
    body = connection.execute(
        select(table.body).where(
            table.tenant == tenant, table.contract_id == contract_id, table.service_month == str(month)
        )
    ).scalar_one_or_none()
    return Balance() if body is None else Balance.from_body(body)


def put(
    connection: Connection, tenant: str, contract_id: str, month: ServiceMonth, *, closing: Balance, now: dt.datetime
) -> bool:
    """Keep a month's closing balance; answers whether it is another one than before."""
    statement = pg_insert(contract_balance).values(
        tenant=tenant,
        contract_id=contract_id,
        service_month=str(month),
        body=closing.to_body(),
        content_hash=closing.digest(),
        computed_at=now,
    )
    changed = connection.execute(
        statement.on_conflict_do_update(
            index_elements=list(contract_balance.primary_key.columns),
            set_={name: statement.excluded[name] for name in ("body", "content_hash", "computed_at")},
            where=contract_balance.c.content_hash != statement.excluded.content_hash,
        ).returning(contract_balance.c.contract_id)
    )
    return changed.first() is not None
