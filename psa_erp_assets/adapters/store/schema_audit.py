"""Tables of the audit log. See docs/adr/0013-audit-log.md.

What belongs here: the log, and what keeps it verifiable. What it speaks of stays in the tables of `schema`.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from psa_erp_assets.adapters.store.schema import metadata

_APPEND_ONLY = {"append_only": True}


# What has no table of its own to be read from: changes of settings, of access, erasures. Not in order yet; a row gets
# its place in the log as a leaf.
audit_entry = Table(
    "audit_entry",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("detail", JSONB, nullable=False),
    Column("recorded_at", DateTime(timezone=True), nullable=False),
    Index("ix_audit_entry_kind", "tenant", "kind", "id"),
    info=_APPEND_ONLY,
)

# The log: each row that it speaks of, in an order without gaps, with the hash of what that row says.
audit_leaf = Table(
    "audit_leaf",
    metadata,
    Column("tenant", Text, primary_key=True),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("source", Text, nullable=False),
    Column("ref", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("at", DateTime(timezone=True), nullable=False),
    Column("content", Text, nullable=False),
    # What stands in the content for the personal part of the row; null where there is none.
    Column("commitment", Text),
    Column("hash", LargeBinary, nullable=False),
    Index("ix_audit_leaf_ref", "tenant", "source", "ref", unique=True),
    Index("ix_audit_leaf_kind", "tenant", "kind", "seq"),
    Index("ix_audit_leaf_subject", "tenant", "subject", "seq"),
    Index("ix_audit_leaf_actor", "tenant", "actor", "seq"),
    CheckConstraint("seq > 0", name="seq"),
    info=_APPEND_ONLY,
)

# What opens a commitment: its salt, and of an audit entry the value too. The one table here that loses rows, and only
# where an erasure says so.
audit_personal = Table(
    "audit_personal",
    metadata,
    Column("tenant", Text, primary_key=True),
    Column("source", Text, primary_key=True),
    Column("ref", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("salt", LargeBinary, nullable=False),
    Column("value", Text),
    Column("person", Text),
    Index("ix_audit_personal_person", "tenant", "person", postgresql_where=text("person IS NOT NULL")),
)

# Which rows had personal data erased, what took its place, and the audit entry that says who and why. The latest one of
# a row holds. A source that begins with "leaf:" is what a row that the log speaks of says since: its hash.
audit_erasure = Table(
    "audit_erasure",
    metadata,
    Column("tenant", Text, primary_key=True),
    Column("source", Text, primary_key=True),
    Column("ref", Text, primary_key=True),
    Column("replacement", JSONB, nullable=False),
    Column("entry_id", BigInteger, ForeignKey(audit_entry.c.id), primary_key=True, autoincrement=False),
    Index("ix_audit_erasure_entry", "entry_id"),
    info=_APPEND_ONLY,
)

# Signed roots of the log, as they were also written outside of the database.
audit_checkpoint = Table(
    "audit_checkpoint",
    metadata,
    Column("tenant", Text, primary_key=True),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("size", BigInteger, nullable=False),
    Column("root", LargeBinary, nullable=False),
    Column("note", Text, nullable=False),
    Column("signed_at", DateTime(timezone=True), nullable=False),
    CheckConstraint("number > 0", name="number"),
    info=_APPEND_ONLY,
)

# The right edge of the tree, so that a checkpoint need not read the whole log.
audit_tree = Table(
    "audit_tree",
    metadata,
    Column("tenant", Text, primary_key=True),
    Column("size", BigInteger, nullable=False),
    Column("frontier", LargeBinary, nullable=False),
)

# How far each table has been read. Rows up to `settled` are all in the log. `seen` becomes `settled` when every
# transaction that was under way when it was seen, all those below `horizon`, has ended. Beyond `highest` none is.
audit_progress = Table(
    "audit_progress",
    metadata,
    Column("tenant", Text, primary_key=True),
    Column("source", Text, primary_key=True),
    Column("settled", BigInteger, nullable=False),
    Column("seen", BigInteger, nullable=False),
    Column("highest", BigInteger, nullable=False),
    Column("horizon", BigInteger, nullable=False),
)

# What each verification found.
audit_verification = Table(
    "audit_verification",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("verified_at", DateTime(timezone=True), nullable=False),
    Column("holds", Boolean, nullable=False),
    Column("leaves", BigInteger, nullable=False),
    Column("checkpoints", Integer, nullable=False),
    Column("problems", JSONB, nullable=False),
    Index("ix_audit_verification_tenant", "tenant", "id"),
    info=_APPEND_ONLY,
)
