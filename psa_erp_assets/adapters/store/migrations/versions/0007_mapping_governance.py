"""Mapping governance: proposals, stewards' decisions, drift between systems, and versions of the settings."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_APPEND_ONLY = ("mapping_decision", "settings_version")
_IDENTITY = ["tenant", "object_type", "system", "source_id"]


def upgrade() -> None:
    """Mapping governance."""
    op.add_column("mapping", sa.Column("decision_id", sa.BigInteger(), nullable=True), schema="ops")
    op.add_column("mapping", sa.Column("replaced_by", sa.BigInteger(), nullable=True), schema="ops")
    op.drop_index("ix_mapping_open", table_name="mapping", schema="ops")
    for name, test in (("open", "IS NULL"), ("decided", "IS NOT NULL")):
        where = sa.text(f"valid_to IS NULL AND decision_id {test}")
        op.create_index(f"ix_mapping_{name}", "mapping", _IDENTITY, unique=True, schema="ops", postgresql_where=where)
    op.create_table(
        "mapping_proposal",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("object_type", sa.Text(), nullable=False),
        sa.Column("system", sa.Text(), nullable=False),
        sa.Column("source_id", sa.Text(), nullable=False),
        sa.Column("source_name", sa.Text(), nullable=False),
        sa.Column("canonical_id", sa.Text(), nullable=False),
        sa.Column("canonical_name", sa.Text(), nullable=False),
        sa.Column("method", sa.Text(), nullable=False),
        sa.Column("score", sa.Numeric(precision=5, scale=4), nullable=False),
        sa.Column("evidence", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("proposed_by", sa.Text(), nullable=False),
        sa.Column("proposed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("decided_by", sa.Text(), nullable=True),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("why", sa.Text(), nullable=True),
        sa.CheckConstraint("method IN ('exact', 'fuzzy', 'by_hand')", name=op.f("ck_mapping_proposal_method")),
        sa.CheckConstraint("score >= 0 AND score <= 1", name=op.f("ck_mapping_proposal_score")),
        sa.CheckConstraint(
            "state IN ('proposed', 'accepted', 'rejected', 'superseded')", name=op.f("ck_mapping_proposal_state")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_mapping_proposal")),
        schema="ops",
    )
    op.create_index(
        "ix_mapping_proposal_open",
        "mapping_proposal",
        [*_IDENTITY, "canonical_id"],
        unique=True,
        schema="ops",
        postgresql_where=sa.text("state = 'proposed'"),
    )
    op.create_table(
        "mapping_decision",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("object_type", sa.Text(), nullable=False),
        sa.Column("system", sa.Text(), nullable=False),
        sa.Column("source_ids", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("canonical_id", sa.Text(), nullable=True),
        sa.Column("valid_from", sa.Date(), nullable=True),
        sa.Column("valid_to", sa.Date(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("proposal_id", sa.BigInteger(), nullable=True),
        sa.Column("undoes", sa.BigInteger(), nullable=True),
        sa.Column("before", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("decided_by", sa.Text(), nullable=False),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "kind IN ('accept', 'reject', 'split', 'merge', 'undo')", name=op.f("ck_mapping_decision_kind")
        ),
        sa.ForeignKeyConstraint(
            ["proposal_id"], ["ops.mapping_proposal.id"], name=op.f("fk_mapping_decision_proposal_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_mapping_decision")),
        schema="ops",
    )
    op.create_index("ix_mapping_decision_tenant", "mapping_decision", ["tenant", "id"], unique=False, schema="ops")
    op.create_index(
        "uq_mapping_decision_undoes",
        "mapping_decision",
        ["tenant", "undoes"],
        unique=True,
        schema="ops",
        postgresql_where=sa.text("undoes IS NOT NULL"),
    )
    op.create_table(
        "field_drift",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("entity", sa.Text(), nullable=False),
        sa.Column("canonical_id", sa.Text(), nullable=False),
        sa.Column("field", sa.Text(), nullable=False),
        sa.Column("owner_system", sa.Text(), nullable=False),
        sa.Column("owner_value", sa.Text(), nullable=True),
        sa.Column("other_system", sa.Text(), nullable=False),
        sa.Column("other_id", sa.Text(), nullable=False),
        sa.Column("other_value", sa.Text(), nullable=True),
        sa.Column("on_change", sa.Text(), nullable=False),
        sa.Column("first_seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("resolved_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("on_change IN ('ignore', 'hold', 'propose')", name=op.f("ck_field_drift_on_change")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_field_drift")),
        schema="ops",
    )
    op.create_index(
        "ix_field_drift_open",
        "field_drift",
        ["tenant", "entity", "canonical_id", "field", "other_system", "other_id"],
        unique=True,
        schema="ops",
        postgresql_where=sa.text("resolved_at IS NULL"),
    )
    op.create_table(
        "settings_version",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("files", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("changes", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("recorded_by", sa.Text(), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_settings_version")),
        schema="ops",
    )
    op.create_index("ix_settings_version_tenant", "settings_version", ["tenant", "id"], unique=False, schema="ops")
    for table in _APPEND_ONLY:
        op.execute(
            f"CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ops.{table}"
            " FOR EACH STATEMENT EXECUTE FUNCTION ops.refuse_change()"
        )


def downgrade() -> None:
    """Undo it. What stewards have decided is dropped: without it, exact keys alone count again."""
    for table in ("settings_version", "field_drift", "mapping_decision", "mapping_proposal"):
        op.drop_table(table, schema="ops")
    op.execute("DELETE FROM ops.mapping WHERE decision_id IS NOT NULL")
    op.drop_index("ix_mapping_decided", table_name="mapping", schema="ops")
    op.drop_index("ix_mapping_open", table_name="mapping", schema="ops")
    op.create_index(
        "ix_mapping_open",
        "mapping",
        _IDENTITY,
        unique=True,
        schema="ops",
        postgresql_where=sa.text("valid_to IS NULL"),
    )
    op.drop_column("mapping", "replaced_by", schema="ops")
    op.drop_column("mapping", "decision_id", schema="ops")
