"""Tables of mapping governance: proposals, decisions, drift between systems, and versions of the settings."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Date,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    Numeric,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from psa_erp_assets.adapters.store.schema import metadata

_APPEND_ONLY = {"append_only": True}


def _at(name: str, *, nullable: bool = False) -> Column[object]:
    return Column(name, DateTime(timezone=True), nullable=nullable)


# What probably is one: a record of a system and a canonical one, found by the matcher or named by a person.
mapping_proposal = Table(
    "mapping_proposal",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("object_type", Text, nullable=False),
    Column("system", Text, nullable=False),
    Column("source_id", Text, nullable=False),
    Column("source_name", Text, nullable=False),
    Column("canonical_id", Text, nullable=False),
    Column("canonical_name", Text, nullable=False),
    Column("method", Text, nullable=False),
    Column("score", Numeric(5, 4), nullable=False),
    Column("evidence", JSONB, nullable=False),
    Column("state", Text, nullable=False),
    Column("proposed_by", Text, nullable=False),
    _at("proposed_at"),
    Column("decided_by", Text),
    _at("decided_at", nullable=True),
    Column("why", Text),
    CheckConstraint("method IN ('exact', 'fuzzy', 'by_hand')", name="method"),
    CheckConstraint("score >= 0 AND score <= 1", name="score"),
    CheckConstraint("state IN ('proposed', 'accepted', 'rejected', 'superseded')", name="state"),
    Index(
        "ix_mapping_proposal_open",
        "tenant",
        "object_type",
        "system",
        "source_id",
        "canonical_id",
        unique=True,
        postgresql_where=text("state = 'proposed'"),
    ),
)

# What stewards have decided about mappings. `before` is the story of each source id until then, for whoever undoes it.
mapping_decision = Table(
    "mapping_decision",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("object_type", Text, nullable=False),
    Column("system", Text, nullable=False),
    Column("source_ids", ARRAY(Text), nullable=False),
    Column("canonical_id", Text),
    Column("valid_from", Date),
    Column("valid_to", Date),
    Column("reason", Text, nullable=False),
    Column("proposal_id", BigInteger, ForeignKey(mapping_proposal.c.id)),
    Column("undoes", BigInteger),
    Column("before", JSONB, nullable=False),
    Column("decided_by", Text, nullable=False),
    _at("decided_at"),
    CheckConstraint("kind IN ('accept', 'reject', 'split', 'merge', 'undo')", name="kind"),
    Index("ix_mapping_decision_tenant", "tenant", "id"),
    Index("uq_mapping_decision_undoes", "tenant", "undoes", unique=True, postgresql_where=text("undoes IS NOT NULL")),
    info=_APPEND_ONLY,
)

# A field of which two systems say different things. It is open while it is seen.
field_drift = Table(
    "field_drift",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("entity", Text, nullable=False),
    Column("canonical_id", Text, nullable=False),
    Column("field", Text, nullable=False),
    Column("owner_system", Text, nullable=False),
    Column("owner_value", Text),
    Column("other_system", Text, nullable=False),
    Column("other_id", Text, nullable=False),
    Column("other_value", Text),
    Column("on_change", Text, nullable=False),
    _at("first_seen_at"),
    _at("last_seen_at"),
    _at("resolved_at", nullable=True),
    CheckConstraint("on_change IN ('ignore', 'hold', 'propose')", name="on_change"),
    Index(
        "ix_field_drift_open",
        "tenant",
        "entity",
        "canonical_id",
        "field",
        "other_system",
        "other_id",
        unique=True,
        postgresql_where=text("resolved_at IS NULL"),
    ),
)

# Each version of the company's settings that a process has worked with: what its files say, without any secret.
settings_version = Table(
    "settings_version",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("files", JSONB, nullable=False),
    Column("changes", JSONB, nullable=False),
    Column("recorded_by", Text, nullable=False),
    _at("recorded_at"),
    Index("ix_settings_version_tenant", "tenant", "id"),
    info=_APPEND_ONLY,
)
