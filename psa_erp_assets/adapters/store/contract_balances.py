"""What a contract's months leave to the ones after them."""

import datetime as dt
from collections.abc import Collection, Mapping

from sqlalchemy import ColumnElement, Connection, select
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.dialects.postgresql import insert as pg_insert

from psa_erp_assets.adapters.store.conditions import among
from psa_erp_assets.adapters.store.schema import contract_balance
from psa_erp_assets.domain.balances import Balance
from psa_erp_assets.domain.calendar import ServiceMonth


def before(
    connection: Connection, tenant: str, contract_ids: Collection[str], month: ServiceMonth
) -> dict[str, Balance]:
    """The closing balance of each contract's latest month before this one; without those that have none."""
    return _latest(connection, tenant, contract_ids, contract_balance.c.service_month < str(month))


def of_month(
    connection: Connection, tenant: str, contract_ids: Collection[str], month: ServiceMonth
) -> dict[str, Balance]:
    """The closing balance of each contract's month as it was kept last; without those that never had one."""
    return _latest(connection, tenant, contract_ids, contract_balance.c.service_month == str(month))


def put(
    connection: Connection, tenant: str, month: ServiceMonth, *, closings: Mapping[str, Balance], now: dt.datetime
) -> frozenset[str]:
    """Keep the closing balances of contracts' month; answers with the contracts whose is another one than before."""
    if not closings:
        return frozenset()
    statement = pg_insert(contract_balance)
    changed = connection.execute(
        statement.on_conflict_do_update(
            index_elements=list(contract_balance.primary_key.columns),
            set_={name: statement.excluded[name] for name in ("body", "content_hash", "computed_at")},
            where=contract_balance.c.content_hash != statement.excluded.content_hash,
        ).returning(contract_balance.c.contract_id),
        [
            {
                "tenant": tenant,
                "contract_id": contract_id,
                "service_month": str(month),
                "body": closing.to_body(),
                "content_hash": closing.digest(),
                "computed_at": now,
            }
            for contract_id, closing in sorted(closings.items())
        ],
    )
    return frozenset(changed.scalars())


def _latest(
    connection: Connection, tenant: str, contract_ids: Collection[str], months: ColumnElement[bool]
) -> dict[str, Balance]:
    if not contract_ids:
        return {}
    table = contract_balance.c
    rows = connection.execute(
        select(table.contract_id, table.body)
        .ext(distinct_on(table.contract_id))
        .where(table.tenant == tenant, among(table.contract_id, contract_ids), months)
        .order_by(table.contract_id, table.service_month.desc())
    )
    return {contract_id: Balance.from_body(body) for contract_id, body in rows}
