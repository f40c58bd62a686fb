"""Statements that count what happened lately, hour by hour.

Rows of these tables are numbered as they come, so that the last day of millions is found by its first number: none of
the tables has an index on its instants.
"""

import datetime as dt
from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, RowMapping, Select, Table, func, select

from psa_erp_assets.adapters.store.conditions import of_entities
from psa_erp_assets.adapters.store.schema import decision, inbox, posting, posting_event, webhook_delivery
from psa_erp_assets.domain.posting import Event, State

# Instants are those of the transactions' beginnings, and some of these last a while.
_SLACK = dt.timedelta(hours=1)


def received(connection: Connection, tenant: str, since: dt.datetime) -> Sequence[RowMapping]:
    """Payload versions, as `hour` and `number`."""
    table = inbox.c
    return _by_hour(connection, _recent(connection, inbox, table.received_at, since).where(table.tenant == tenant))


def decided(
    connection: Connection, tenant: str, since: dt.datetime, entities: Collection[str] | None
) -> Sequence[RowMapping]:
    """Decisions that differ from the one before."""
    table = decision.c
    mine = of_entities(table.body["legal_entity"].astext, entities)
    return _by_hour(
        connection, _recent(connection, decision, table.decided_at, since).where(table.tenant == tenant, mine)
    )


def events(
    connection: Connection, tenant: str, since: dt.datetime, event: Event, entities: Collection[str] | None
) -> Sequence[RowMapping]:
    """Events of postings of one kind."""
    return _by_hour(connection, _events(connection, tenant, since, event, entities))


def found_again(connection: Connection, tenant: str, since: dt.datetime, entities: Collection[str] | None) -> int:
    """Postings whose answer was lost and which were found in the ERP under their key instead of being sent again."""
    unsure = posting_event.c.from_state.in_((State.RESOLVING.value, State.AMBIGUOUS.value))
    statement = _events(connection, tenant, since, Event.CONFIRMED, entities).where(unsure).subquery()
    return int(connection.execute(select(func.count()).select_from(statement)).scalar_one())


def equal_webhooks(connection: Connection, tenant: str, since: dt.datetime) -> int:
    """Webhooks that said just what another one had said before."""
    table = webhook_delivery.c
    recent = _recent(connection, webhook_delivery, table.received_at, since).where(table.tenant == tenant)
    copies = recent.add_columns(table.copies).subquery()
    return int(connection.execute(select(func.coalesce(func.sum(copies.c.copies - 1), 0))).scalar_one())


def _events(
    connection: Connection, tenant: str, since: dt.datetime, event: Event, entities: Collection[str] | None
) -> Select[Any]:
    table = posting_event.c
    return (
        _recent(connection, posting_event, table.at, since)
        .join(posting, posting.c.key == table.key)
        .where(table.event == event.value, posting.c.tenant == tenant, of_entities(posting.c.legal_entity, entities))
    )


def _recent(connection: Connection, table: Table, at: Column[dt.datetime], since: dt.datetime) -> Select[Any]:
    first = _first_since(connection, table, at, since - _SLACK)
    return select(at.label("at")).select_from(table).where(table.c.id >= first, at >= since)


def _first_since(connection: Connection, table: Table, at: ColumnElement[dt.datetime], since: dt.datetime) -> int:
    """The number of the first row from an instant on, by halving: about twenty look-ups in a million rows."""
    number = table.c.id
    low, high = connection.execute(select(func.min(number), func.max(number))).one()
    if low is None:
        return 0
    low, high = int(low), int(high) + 1
    while low < high:
        middle = (low + high) // 2
        row = connection.execute(select(number, at.label("at")).where(number >= middle).order_by(number).limit(1)).one()
        if row.at < since:
            low = int(row[0]) + 1
        else:
            high = middle
    return low


def _by_hour(connection: Connection, rows: Select[Any]) -> Sequence[RowMapping]:
    recent = rows.subquery()
    hour = func.date_trunc("hour", recent.c.at, "UTC").label("hour")
    return connection.execute(select(hour, func.count().label("number")).group_by(hour)).mappings().all()
