"""Statements on webhook deliveries: keep one row a distinct body, count its copies, wake whoever drains them.

What belongs here: writing and listing `webhook_delivery`. What does not: reading a request, verifying it, or
fetching the object that a delivery points at.
"""

import datetime as dt
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, RowMapping, Text, Update, bindparam, case, cast, func, select, update
from sqlalchemy.dialects.postgresql import JSONB, insert

from psa_erp_assets.adapters.store.schema import webhook_delivery

CHANNEL = "psa_erp_inbox"


def delivery_id(event: str, body: bytes) -> str:
    """What makes two deliveries the same one: SHA-256 over event and body as sent, as hex.

    Vendors that send no id of a delivery (Clockify) are told apart by what they say. An event holds no NUL, so the
    separator keeps ("a", b"bc") and ("ab", b"c") apart.
    """
    return hashlib.sha256(event.encode() + b"\0" + body).hexdigest()


def record_delivery(
    connection: Connection, *, tenant: str, source: str, delivery_id: str, event: str, body: str, now: dt.datetime
) -> int:
    """Insert the delivery or count one more copy of it, and notify `CHANNEL`; returns how many copies there are now.

    A copy of a handled delivery makes it due at once. A copy of one that waits for its next attempt leaves that
    time alone, or a flood of copies would defeat the back-off. `body` is JSON text, so that numbers are stored as
    they were sent. The notification leaves with the commit. Raises sqlalchemy.exc.DataError for text that
    PostgreSQL does not hold, such as a NUL.
    """
    table = webhook_delivery.c
    new = insert(webhook_delivery).values(
        tenant=tenant,
        source=source,
        delivery_id=delivery_id,
        event=event,
        body=cast(bindparam("body_text", body, type_=Text), JSONB),
        received_at=now,
        last_received_at=now,
        next_attempt_at=now,
    )
    was_handled = table.handled_at.is_not(None)
    statement = new.on_conflict_do_update(
        index_elements=[table.tenant, table.source, table.delivery_id],
        set_={
            "copies": table.copies + 1,
            "last_received_at": func.greatest(table.last_received_at, new.excluded.last_received_at),
            "handled_at": None,
            "attempts": case((was_handled, 0), else_=table.attempts),
            "next_attempt_at": case((was_handled, new.excluded.next_attempt_at), else_=table.next_attempt_at),
            "error": case((was_handled, None), else_=table.error),
        },
    ).returning(table.copies)
    copies = connection.execute(statement).scalar_one()
    connection.execute(select(func.pg_notify(CHANNEL, source)))
    return int(copies)


def list_deliveries(connection: Connection, tenant: str, *, pending: bool, limit: int) -> Sequence[RowMapping]:
    """The newest deliveries, by when they first arrived; with `pending` only those that are not handled yet."""
    table = webhook_delivery.c
    statement = (
        select(
            table.id,
            table.source,
            table.event,
            table.copies,
            table.received_at,
            table.last_received_at,
            table.handled_at,
            table.attempts,
            table.next_attempt_at,
            table.error,
        )
        .where(table.tenant == tenant)
        .order_by(table.id.desc())
        .limit(limit)
    )
    if pending:
        statement = statement.where(table.handled_at.is_(None))
    return connection.execute(statement).mappings().all()


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """A delivery to work off, as it was read; `copies` tells whether it has come again since."""

    id: int
    source: str
    delivery_id: str
    event: str
    body: Any
    attempts: int
    copies: int


def due(connection: Connection, tenant: str, *, now: dt.datetime, limit: int) -> list[Due]:
    """The deliveries to work off now, oldest first."""
    table = webhook_delivery.c
    names = ("id", "source", "delivery_id", "event", "body", "attempts", "copies")
    rows = connection.execute(
        select(*(table[name] for name in names))
        .where(table.tenant == tenant, table.handled_at.is_(None), table.next_attempt_at <= now)
        .order_by(table.id)
        .limit(limit)
    )
    return [Due(**row) for row in rows.mappings()]


def mark_handled(connection: Connection, deliveries: Sequence[Due], *, now: dt.datetime) -> None:
    """These were worked off; one that has come again meanwhile stays pending, as it may announce a later change."""
    for delivery in deliveries:
        connection.execute(_unchanged(delivery).values(handled_at=now, error=None))


def postpone(connection: Connection, delivery: Due, *, until: dt.datetime, error: str) -> None:
    """Try it again later."""
    connection.execute(_unchanged(delivery).values(attempts=delivery.attempts + 1, next_attempt_at=until, error=error))


def _unchanged(delivery: Due) -> Update:
    # Not by the time of arrival: two copies can share an instant, and two receivers' clocks can disagree.
    return update(webhook_delivery).where(
        webhook_delivery.c.id == delivery.id, webhook_delivery.c.copies == delivery.copies
    )
