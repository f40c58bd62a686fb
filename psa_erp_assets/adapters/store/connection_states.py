"""Statements on connections: how each was last found, and what of its webhooks waits or was given up."""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, Connection, RowMapping, func, select
from sqlalchemy.dialects.postgresql import insert

from psa_erp_assets.adapters.store.schema import webhook_delivery
from psa_erp_assets.adapters.store.schema_connections import connection_state


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionState:
    """How a process found a connection. `limits` are postings a request, as [now, at most], by effect type."""

    name: str
    circuit: str
    requests_per_second: int | None = None
    tokens_left: int | None = None
    retries_left: int | None = None
    throttled: int = 0
    limits: Mapping[str, Sequence[int]] = field(default_factory=dict)
    paused_until: dt.datetime | None = None
    succeeded_at: dt.datetime | None = None
    failed_at: dt.datetime | None = None
    error: str | None = None


def put(connection: Connection, tenant: str, states: Sequence[ConnectionState], *, by: str, now: dt.datetime) -> None:
    """Keep how the connections were found; what was known of successes and failures stays where it is later."""
    for state in sorted(states, key=lambda s: s.name):
        values = asdict(state) | {"limits": dict(state.limits), "reported_by": by, "reported_at": now}
        new = insert(connection_state).values(tenant=tenant, **values)
        later = ("succeeded_at", "failed_at")
        changes: dict[str, ColumnElement[Any]] = {n: new.excluded[n] for n in values if n not in ("name", *later)}
        changes |= {name: func.greatest(connection_state.c[name], new.excluded[name]) for name in later}
        connection.execute(
            new.on_conflict_do_update(index_elements=list(connection_state.primary_key.columns), set_=changes)
        )


def all_of(connection: Connection, tenant: str) -> Sequence[RowMapping]:
    """How each connection was last found, by name."""
    rows = select(connection_state).where(connection_state.c.tenant == tenant).order_by(connection_state.c.name)
    return connection.execute(rows).mappings().all()


def waiting_by_source(connection: Connection, tenant: str) -> Sequence[RowMapping]:
    """Webhooks by source: how many wait and since when the oldest, the most attempts, and when the last one came."""
    table = webhook_delivery.c
    waits = table.handled_at.is_(None)
    return (
        connection.execute(
            select(
                table.source,
                func.count().filter(waits).label("waiting"),
                func.min(table.received_at).filter(waits).label("oldest_at"),
                func.coalesce(func.max(table.attempts).filter(waits), 0).label("attempts"),
                func.max(table.last_received_at).label("last_received_at"),
            )
            .where(table.tenant == tenant)
            .group_by(table.source)
            .order_by(table.source)
        )
        .mappings()
        .all()
    )
