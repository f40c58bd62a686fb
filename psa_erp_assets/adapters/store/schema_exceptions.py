"""Tables of the work on exceptions: notes, requests with what came of them, and work that is given up.

What belongs here: what people say and ask for. The items themselves are in `schema.exception_item`.
"""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    Integer,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from psa_erp_assets.adapters.store.schema import exception_item, metadata

_APPEND_ONLY = {"append_only": True}


def _at(name: str) -> Column[object]:
    return Column(name, DateTime(timezone=True), nullable=False)


# What somebody wrote about an item.
exception_note = Table(
    "exception_note",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("item_id", BigInteger, ForeignKey(exception_item.c.id), nullable=False),
    Column("body", Text, nullable=False),
    Column("written_by", Text, nullable=False),
    _at("written_at"),
    Index("ix_exception_note_item", "item_id", "id"),
    info=_APPEND_ONLY,
)

# What somebody asks for about some items, with why, and the difference that was shown before.
exception_request = Table(
    "exception_request",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("item_ids", ARRAY(BigInteger), nullable=False),
    Column("legal_entities", ARRAY(Text), nullable=False),
    Column("reason", Text, nullable=False),
    Column("difference", JSONB, nullable=False),
    Column("requested_by", Text, nullable=False),
    _at("requested_at"),
    CheckConstraint("kind IN ('replay', 'new_key', 'write_off', 'resolve')", name="kind"),
    Index("ix_exception_request_items", "item_ids", postgresql_using="gin"),
    info=_APPEND_ONLY,
)

# How a request ended: at most once.
exception_request_end = Table(
    "exception_request_end",
    metadata,
    Column("request_id", BigInteger, ForeignKey(exception_request.c.id), primary_key=True, autoincrement=False),
    Column("state", Text, nullable=False),
    Column("ended_by", Text, nullable=False),
    Column("note", Text, nullable=False),
    Column("result", JSONB, nullable=False),
    _at("ended_at"),
    CheckConstraint("state IN ('done', 'rejected')", name="state"),
    info=_APPEND_ONLY,
)

# Held work that is given up for billing: of one revision of an object, so that a later change is looked at anew.
write_off = Table(
    "write_off",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("object_id", Text, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("reason", Text, nullable=False),
    Column("requested_by", Text, nullable=False),
    Column("approved_by", Text, nullable=False),
    _at("approved_at"),
    UniqueConstraint("tenant", "object_id", "revision"),
    CheckConstraint("requested_by <> approved_by", name="four_eyes"),
    info=_APPEND_ONLY,
)
