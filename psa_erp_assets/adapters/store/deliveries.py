"""Statements on webhook deliveries: keep one row a distinct body, count its copies, wake whoever drains them.

What belongs here: writing and listing `webhook_delivery`. What does not: reading a request, verifying it, or
fetching the object that a delivery points at.
"""

import datetime as dt
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    Connection,
    DateTime,
    Integer,
    RowMapping,
    Select,
    Text,
    Update,
    bindparam,
    case,
    cast,
    create_engine,
    func,
    null,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, insert

from psa_erp_assets.adapters.store.schema import webhook_delivery

CHANNEL = "psa_erp_inbox"
_SEPARATOR = "\x1f"


def delivery_id(event: str, body: bytes) -> str:
    """What makes two deliveries the same one: SHA-256 over event and body as sent, as hex.

    Vendors that send no id of a delivery (Clockify) are told apart by what they say. An event holds no NUL, so the
    separator keeps ("a", b"bc") and ("ab", b"c") apart.
    """
    return hashlib.sha256(event.encode() + b"\0" + body).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """A delivery to keep; `body` is JSON text, so that numbers are stored as they were sent."""

    source: str
    delivery_id: str
    event: str
    body: str
    at: dt.datetime

    @property
    def identity(self) -> tuple[str, str]:
        """What its row is found by, within the tenant."""
        return self.source, self.delivery_id


def parameters(tenant: str, arrivals: Sequence[Arrival]) -> list[str]:
    """The values of `KEEP` that have these deliveries kept."""
    times: dict[tuple[str, str], int] = {}
    distinct: dict[tuple[str, str], Arrival] = {}
    for arrival in arrivals:
        identity = arrival.source, arrival.delivery_id
        times[identity] = times.get(identity, 0) + 1
        distinct[identity] = arrival
    # In one order for all writers, or two batches with the same deliveries wait for each other.
    ordered = sorted(distinct)
    kept = [distinct[identity] for identity in ordered]
    values = {
        **_CONSTANTS,
        "tenant_id": tenant,
        "sources": _joined(source for source, _ in ordered),
        "ids": _joined(delivery_id for _, delivery_id in ordered),
        "events": _joined(arrival.event for arrival in kept),
        "bodies": _joined(arrival.body for arrival in kept),
        "times": _joined(arrival.at.isoformat() for arrival in kept),
        "counts": _joined(str(times[identity]) for identity in ordered),
    }
    return [values[name] for name in _PLACES]


def _joined(values: Iterable[str]) -> str:
    """Texts as one: an array of them would have each of its elements quoted and parsed.

    None of them holds the separator: it is a control character, which JSON spells with an escape.
    """
    return _SEPARATOR.join(values)


def _keep() -> Select[Any]:
    """One statement that keeps a batch and notifies, so that it is one round trip to PostgreSQL."""
    table = webhook_delivery.c
    names = ("sources", "ids", "events", "bodies", "times", "counts")
    separator = bindparam("separator", _SEPARATOR, type_=Text)
    lists = [func.string_to_array(bindparam(name, type_=Text), separator, type_=ARRAY(Text)) for name in names]
    arrived = func.unnest(*lists).table_valued("source", "delivery_id", "event", "body", "at", "count", name="arrived")
    arrived = arrived.render_derived()
    at = cast(arrived.c.at, DateTime(timezone=True))
    # They come out of the lists in the order in which they are there.
    rows = select(
        bindparam("tenant_id", type_=Text),
        arrived.c.source,
        arrived.c.delivery_id,
        arrived.c.event,
        cast(arrived.c.body, JSONB),
        at,
        at,
        at,
        cast(arrived.c["count"], Integer),
    )
    into = ("tenant", "source", "delivery_id", "event", "body", "received_at", "last_received_at", "next_attempt_at")
    new = insert(webhook_delivery).from_select([*into, "copies"], rows)
    was_handled = table.handled_at.is_not(None)
    kept = (
        new.on_conflict_do_update(
            index_elements=[table.tenant, table.source, table.delivery_id],
            set_={
                "copies": table.copies + new.excluded.copies,
                "last_received_at": func.greatest(table.last_received_at, new.excluded.last_received_at),
                "handled_at": null(),
                "attempts": case((was_handled, 0), else_=table.attempts),
                "next_attempt_at": case((was_handled, new.excluded.next_attempt_at), else_=table.next_attempt_at),
                "error": case((was_handled, None), else_=table.error),
            },
        )
        .returning(table.source, table.delivery_id, table.copies)
        .cte("kept")
    )
    # A notification that a transaction repeats is sent once.
    return select(kept.c.source, kept.c.delivery_id, kept.c.copies, func.pg_notify(CHANNEL, kept.c.source))


# With numbered places, as PostgreSQL itself has them.
_COMPILED = _keep().compile(dialect=create_engine("postgresql+psycopg://", paramstyle="numeric_dollar").dialect)
KEEP = str(_COMPILED)
"""Insert each delivery or count its copies, in one statement, and notify `CHANNEL`, with `parameters`; its rows begin
with source, delivery id and copies there are now.

A copy of a handled delivery makes it due at once. A copy of one that waits for its next attempt leaves that time alone,
or a flood of copies would defeat the back-off. The notification leaves with the commit. PostgreSQL refuses text that it
does not hold, such as a number beyond its range.
"""
_PLACES = _COMPILED.positiontup or []
_CONSTANTS = {name: str(value) for name, value in _COMPILED.params.items() if value is not None}


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


def postpone(connection: Connection, delivery: Due, *, until: dt.datetime, attempts: int, error: str) -> None:
    """Try it again later; `attempts` is what counts against it from now on."""
    connection.execute(_unchanged(delivery).values(attempts=attempts, next_attempt_at=until, error=error))


def give_up(connection: Connection, delivery: Due, *, now: dt.datetime, attempts: int, error: str) -> None:
    """Try it no more; its next copy is tried again. One that has come again meanwhile stays pending."""
    connection.execute(_unchanged(delivery).values(attempts=attempts, handled_at=now, error=error))


def _unchanged(delivery: Due) -> Update:
    # Not by the time of arrival: two copies can share an instant, and two receivers' clocks can disagree.
    return update(webhook_delivery).where(
        webhook_delivery.c.id == delivery.id, webhook_delivery.c.copies == delivery.copies
    )
