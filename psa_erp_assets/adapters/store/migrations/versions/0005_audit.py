"""The audit log."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_APPEND_ONLY = ("audit_checkpoint", "audit_entry", "audit_erasure", "audit_leaf", "audit_verification")

# The one way in which a payload or a description can change: to what an erasure, which cannot be changed itself and
# stands in the log, has named for just this row.
_ONLY_ERASURE = """
CREATE FUNCTION ops.only_erasure() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    kept_ref text;
    becomes jsonb;
BEGIN
    IF TG_TABLE_NAME = 'inbox' THEN
        kept_ref := OLD.id::text;
        becomes := NEW.payload;
    ELSE
        kept_ref := OLD.entry_id || '@' || OLD.revision;
        becomes := to_jsonb(NEW.description);
    END IF;
    IF NOT EXISTS (
        SELECT FROM ops.audit_erasure e
        WHERE e.tenant = OLD.tenant AND e.source = TG_TABLE_NAME AND e.ref = kept_ref AND e.replacement = becomes
    ) THEN
        RAISE EXCEPTION 'table %.% is append-only: % is refused but for an erasure', TG_TABLE_SCHEMA, TG_TABLE_NAME,
            TG_OP USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END
$$
"""
# A salt or a personal value goes where an erasure names its row, and is never changed.
_ONLY_ERASED = """
CREATE FUNCTION ops.only_erased() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'DELETE' OR NOT EXISTS (
        SELECT FROM ops.audit_erasure e WHERE e.tenant = OLD.tenant AND e.source = OLD.source AND e.ref = OLD.ref
    ) THEN
        RAISE EXCEPTION 'table %.% keeps what no erasure names: % is refused', TG_TABLE_SCHEMA, TG_TABLE_NAME, TG_OP
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN OLD;
END
$$
"""
# Of these tables one column may be erased; whatever else is written to them is refused as before.
_ERASABLE = {
    "inbox": (
        "payload",
        (
            "tenant", "source", "object_type", "object_id", "version", "content_hash", "arrived_by", "received_at",
        ),
    ),
    "time_entry": (
        "description",
        (
            "tenant", "entry_id", "revision", "state", "psa_user_id", "psa_project_id", "service_date", "minutes",
            "billable", "started_at", "time_zone", "task", "work_types", "inbox_id", "recorded_at",
        ),
    ),
}  # fmt: skip


def _append_only(table: str) -> None:
    op.execute(
        f"CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ops.{table}"
        " FOR EACH STATEMENT EXECUTE FUNCTION ops.refuse_change()"
    )


def upgrade() -> None:
    """The audit log."""
    op.create_table(
        "audit_entry",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("detail", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_entry")),
        schema="ops",
    )
    op.create_index("ix_audit_entry_kind", "audit_entry", ["tenant", "kind", "id"], unique=False, schema="ops")
    op.create_table(
        "audit_leaf",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("ref", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("commitment", sa.Text(), nullable=True),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.CheckConstraint("seq > 0", name=op.f("ck_audit_leaf_seq")),
        sa.PrimaryKeyConstraint("tenant", "seq", name=op.f("pk_audit_leaf")),
        schema="ops",
    )
    op.create_index("ix_audit_leaf_ref", "audit_leaf", ["tenant", "source", "ref"], unique=True, schema="ops")
    for column in ("kind", "subject", "actor"):
        op.create_index(f"ix_audit_leaf_{column}", "audit_leaf", ["tenant", column, "seq"], unique=False, schema="ops")
    op.create_table(
        "audit_personal",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("ref", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("salt", sa.LargeBinary(), nullable=False),
        sa.Column("value", sa.Text(), nullable=True),
        sa.Column("person", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("tenant", "source", "ref", "name", name=op.f("pk_audit_personal")),
        schema="ops",
    )
    op.create_index(
        "ix_audit_personal_person",
        "audit_personal",
        ["tenant", "person"],
        unique=False,
        schema="ops",
        postgresql_where=sa.text("person IS NOT NULL"),
    )
    op.create_table(
        "audit_erasure",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("ref", sa.Text(), nullable=False),
        sa.Column("replacement", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("entry_id", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["entry_id"], ["ops.audit_entry.id"], name=op.f("fk_audit_erasure_entry_id")),
        sa.PrimaryKeyConstraint("tenant", "source", "ref", name=op.f("pk_audit_erasure")),
        schema="ops",
    )
    op.create_index("ix_audit_erasure_entry", "audit_erasure", ["entry_id"], unique=False, schema="ops")
    op.create_table(
        "audit_checkpoint",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("root", sa.LargeBinary(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("signed_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("number > 0", name=op.f("ck_audit_checkpoint_number")),
        sa.PrimaryKeyConstraint("tenant", "number", name=op.f("pk_audit_checkpoint")),
        schema="ops",
    )
    op.create_table(
        "audit_tree",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("frontier", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", name=op.f("pk_audit_tree")),
        schema="ops",
    )
    op.create_table(
        "audit_progress",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("settled", sa.BigInteger(), nullable=False),
        sa.Column("seen", sa.BigInteger(), nullable=False),
        sa.Column("highest", sa.BigInteger(), nullable=False),
        sa.Column("horizon", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "source", name=op.f("pk_audit_progress")),
        schema="ops",
    )
    op.create_table(
        "audit_verification",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("verified_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("holds", sa.Boolean(), nullable=False),
        sa.Column("leaves", sa.BigInteger(), nullable=False),
        sa.Column("checkpoints", sa.Integer(), nullable=False),
        sa.Column("problems", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_verification")),
        schema="ops",
    )
    op.create_index("ix_audit_verification_tenant", "audit_verification", ["tenant", "id"], unique=False, schema="ops")
    for table in _APPEND_ONLY:
        _append_only(table)
    op.execute(_ONLY_ERASURE)
    op.execute(_ONLY_ERASED)
    for table, (column, others) in _ERASABLE.items():
        op.execute(f"DROP TRIGGER append_only ON ops.{table}")
        op.execute(
            f"CREATE TRIGGER append_only BEFORE UPDATE OF {', '.join(others)} OR DELETE OR TRUNCATE ON ops.{table}"
            " FOR EACH STATEMENT EXECUTE FUNCTION ops.refuse_change()"
        )
        op.execute(
            f"CREATE TRIGGER only_erasure BEFORE UPDATE OF {column} ON ops.{table}"
            " FOR EACH ROW EXECUTE FUNCTION ops.only_erasure()"
        )
    op.execute(
        "CREATE TRIGGER only_erased BEFORE UPDATE OR DELETE ON ops.audit_personal"
        " FOR EACH ROW EXECUTE FUNCTION ops.only_erased()"
    )
    op.execute(
        "CREATE TRIGGER append_only BEFORE TRUNCATE ON ops.audit_personal"
        " FOR EACH STATEMENT EXECUTE FUNCTION ops.refuse_change()"
    )


def downgrade() -> None:
    """Undo it. The log is gone then; its checkpoints in files stay."""
    for table in _ERASABLE:
        op.execute(f"DROP TRIGGER only_erasure ON ops.{table}")
        op.execute(f"DROP TRIGGER append_only ON ops.{table}")
        _append_only(table)
    for table in ("audit_verification", "audit_progress", "audit_tree", "audit_checkpoint"):
        op.drop_table(table, schema="ops")
    for table in ("audit_erasure", "audit_personal", "audit_leaf", "audit_entry"):
        op.drop_table(table, schema="ops")
    op.execute("DROP FUNCTION ops.only_erasure()")
    op.execute("DROP FUNCTION ops.only_erased()")
