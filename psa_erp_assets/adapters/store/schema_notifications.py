"""Tables of notifications and traces: what is to be told to whom, and how far the store has been told of.

What belongs here: the outbox. What the messages are about stays in the tables of `schema`.
"""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    Identity,
    Index,
    Integer,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from psa_erp_assets.adapters.store.schema import metadata


def _at(name: str, *, nullable: bool = False) -> Column[object]:
    return Column(name, DateTime(timezone=True), nullable=nullable)


# Something that people may want to be told of, once: `ref` is the number of the row that it is about. One writer at a
# time adds them, so that a higher number is always of a later commit.
notification_event = Table(
    "notification_event",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("ref", BigInteger, nullable=False),
    Column("code", Text, nullable=False),
    Column("fault_class", Text),
    Column("severity", Text, nullable=False),
    Column("legal_entity", Text),
    Column("service_month", Text),
    _at("noticed_at"),
    UniqueConstraint("tenant", "kind", "ref"),
    CheckConstraint("severity IN ('urgent', 'high', 'normal', 'low')", name="severity"),
)

# Up to which event a route has been told, and when its last message was made.
notification_route = Table(
    "notification_route",
    metadata,
    Column("tenant", Text, primary_key=True),
    Column("route", Text, primary_key=True),
    Column("position", BigInteger, nullable=False),
    _at("digested_at", nullable=True),
)

# The outbox: a message to one target, written with the position of its route. `number` is what a receiver knows it by.
notification = Table(
    "notification",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("route", Text, nullable=False),
    Column("channel", Text, nullable=False),
    Column("target", Text, nullable=False),
    Column("number", Text, nullable=False),
    Column("events", Integer, nullable=False),
    Column("body", JSONB, nullable=False),
    _at("created_at"),
    _at("next_attempt_at"),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    _at("sent_at", nullable=True),
    _at("given_up_at", nullable=True),
    Column("error", Text),
    UniqueConstraint("tenant", "number"),
    CheckConstraint("channel IN ('email', 'webhook')", name="channel"),
    Index(
        "ix_notification_waiting",
        "next_attempt_at",
        postgresql_where=text("sent_at IS NULL AND given_up_at IS NULL"),
    ),
    Index("ix_notification_unsent", "tenant", postgresql_where=text("sent_at IS NULL")),
)

# Up to which number of a growing table its traces have been exported.
trace_position = Table(
    "trace_position",
    metadata,
    Column("tenant", Text, primary_key=True),
    Column("source", Text, primary_key=True),
    Column("position", BigInteger, nullable=False),
    _at("moved_at"),
)
