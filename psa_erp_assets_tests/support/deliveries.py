"""Webhook deliveries put into the store by the statement that receiving prepares, without a server."""

import datetime as dt
from collections.abc import Mapping, Sequence

import psycopg
from sqlalchemy import Connection

from psa_erp_assets.adapters.store.deliveries import KEEP, Arrival, parameters


def record_delivery(
    connection: Connection, *, tenant: str, source: str, delivery_id: str, event: str, body: str, now: dt.datetime
) -> int:
    """Keep one delivery; answers with how many copies of it there are now."""
    arrival = Arrival(source=source, delivery_id=delivery_id, event=event, body=body, at=now)
    return record_deliveries(connection, tenant, [arrival])[arrival.identity]


def record_deliveries(
    connection: Connection, tenant: str, arrivals: Sequence[Arrival]
) -> Mapping[tuple[str, str], int]:
    """Keep deliveries; answers with the copies of each by source and id."""
    driver = connection.connection.driver_connection
    assert isinstance(driver, psycopg.Connection)
    with psycopg.RawCursor(driver) as cursor:
        cursor.execute(KEEP, parameters(tenant, arrivals))
        return {(source, identity): copies for source, identity, copies, _ in cursor.fetchall()}
