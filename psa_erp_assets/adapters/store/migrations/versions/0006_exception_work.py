"""Work on exceptions: causes, assignment, notes, requests and write-offs."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_APPEND_ONLY = ("exception_note", "exception_request", "exception_request_end", "write_off")


def upgrade() -> None:
    """Work on exceptions."""
    op.add_column(
        "exception_item", sa.Column("cause", sa.Text(), server_default=sa.text("''"), nullable=False), schema="ops"
    )
    op.add_column("exception_item", sa.Column("assignee", sa.Text(), nullable=True), schema="ops")
    op.add_column("exception_item", sa.Column("priority", sa.Text(), nullable=True), schema="ops")
    op.add_column(
        "exception_item",
        sa.Column("dismissed", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        schema="ops",
    )
    op.create_check_constraint(
        op.f("ck_exception_item_priority"),
        "exception_item",
        "priority IN ('urgent', 'high', 'normal', 'low')",
        schema="ops",
    )
    op.create_check_constraint(
        op.f("ck_exception_item_dismissed"), "exception_item", "NOT dismissed OR resolved_at IS NOT NULL", schema="ops"
    )
    # The next look at an object says its cause; until then what it says of itself is one.
    op.execute("UPDATE ops.exception_item SET cause = left(detail, 200) WHERE resolved_at IS NULL")
    op.create_index(
        "ix_exception_item_cause",
        "exception_item",
        ["tenant", "code", "cause"],
        unique=False,
        schema="ops",
        postgresql_where=sa.text("resolved_at IS NULL"),
    )
    op.create_index(
        "ix_exception_item_dismissed",
        "exception_item",
        ["tenant", "scope"],
        unique=False,
        schema="ops",
        postgresql_where=sa.text("dismissed"),
    )
    op.create_table(
        "exception_note",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("item_id", sa.BigInteger(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("written_by", sa.Text(), nullable=False),
        sa.Column("written_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["item_id"], ["ops.exception_item.id"], name=op.f("fk_exception_note_item_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_exception_note")),
        schema="ops",
    )
    op.create_index("ix_exception_note_item", "exception_note", ["item_id", "id"], unique=False, schema="ops")
    op.create_table(
        "exception_request",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("item_ids", postgresql.ARRAY(sa.BigInteger()), nullable=False),
        sa.Column("legal_entities", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("difference", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("requested_by", sa.Text(), nullable=False),
        sa.Column("requested_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "kind IN ('replay', 'new_key', 'write_off', 'resolve')", name=op.f("ck_exception_request_kind")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_exception_request")),
        schema="ops",
    )
    op.create_index(
        "ix_exception_request_items",
        "exception_request",
        ["item_ids"],
        unique=False,
        schema="ops",
        postgresql_using="gin",
    )
    op.create_table(
        "exception_request_end",
        sa.Column("request_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("ended_by", sa.Text(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("result", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("state IN ('done', 'rejected')", name=op.f("ck_exception_request_end_state")),
        sa.ForeignKeyConstraint(
            ["request_id"], ["ops.exception_request.id"], name=op.f("fk_exception_request_end_request_id")
        ),
        sa.PrimaryKeyConstraint("request_id", name=op.f("pk_exception_request_end")),
        schema="ops",
    )
    op.create_table(
        "write_off",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("object_id", sa.Text(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("requested_by", sa.Text(), nullable=False),
        sa.Column("approved_by", sa.Text(), nullable=False),
        sa.Column("approved_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("requested_by <> approved_by", name=op.f("ck_write_off_four_eyes")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_write_off")),
        sa.UniqueConstraint("tenant", "object_id", "revision", name=op.f("uq_write_off_tenant_object_id_revision")),
        schema="ops",
    )
    for table in _APPEND_ONLY:
        op.execute(
            f"CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ops.{table}"
            " FOR EACH STATEMENT EXECUTE FUNCTION ops.refuse_change()"
        )


def downgrade() -> None:
    """Undo it. What was written about items is lost."""
    op.drop_table("write_off", schema="ops")
    op.drop_table("exception_request_end", schema="ops")
    op.drop_index("ix_exception_request_items", table_name="exception_request", schema="ops")
    op.drop_table("exception_request", schema="ops")
    op.drop_index("ix_exception_note_item", table_name="exception_note", schema="ops")
    op.drop_table("exception_note", schema="ops")
    op.drop_index("ix_exception_item_dismissed", table_name="exception_item", schema="ops")
    op.drop_index("ix_exception_item_cause", table_name="exception_item", schema="ops")
    op.drop_constraint(op.f("ck_exception_item_dismissed"), "exception_item", schema="ops", type_="check")
    op.drop_constraint(op.f("ck_exception_item_priority"), "exception_item", schema="ops", type_="check")
    op.drop_column("exception_item", "dismissed", schema="ops")
    op.drop_column("exception_item", "priority", schema="ops")
    op.drop_column("exception_item", "assignee", schema="ops")
    op.drop_column("exception_item", "cause", schema="ops")
