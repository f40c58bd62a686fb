"""Notifications: an outbox, what it tells of, and up to where traces were exported."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def _at(name: str, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def upgrade() -> None:
    """The tables of notifications and traces."""
    op.create_table(
        "notification_event",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("ref", sa.BigInteger(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("fault_class", sa.Text(), nullable=True),
        sa.Column("severity", sa.Text(), nullable=False),
        sa.Column("legal_entity", sa.Text(), nullable=True),
        sa.Column("service_month", sa.Text(), nullable=True),
        _at("noticed_at"),
        sa.CheckConstraint(
            "severity IN ('urgent', 'high', 'normal', 'low')", name=op.f("ck_notification_event_severity")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notification_event")),
        sa.UniqueConstraint("tenant", "kind", "ref", name=op.f("uq_notification_event_tenant_kind_ref")),
        schema="ops",
    )
    op.create_table(
        "notification_route",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("route", sa.Text(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        _at("digested_at", nullable=True),
        sa.PrimaryKeyConstraint("tenant", "route", name=op.f("pk_notification_route")),
        schema="ops",
    )
    op.create_table(
        "notification",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("route", sa.Text(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("number", sa.Text(), nullable=False),
        sa.Column("events", sa.Integer(), nullable=False),
        sa.Column("body", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        _at("created_at"),
        _at("next_attempt_at"),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        _at("sent_at", nullable=True),
        _at("given_up_at", nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.CheckConstraint("channel IN ('email', 'webhook')", name=op.f("ck_notification_channel")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notification")),
        sa.UniqueConstraint("tenant", "number", name=op.f("uq_notification_tenant_number")),
        schema="ops",
    )
    op.create_index(
        "ix_notification_waiting",
        "notification",
        ["next_attempt_at"],
        schema="ops",
        postgresql_where=sa.text("sent_at IS NULL AND given_up_at IS NULL"),
    )
    op.create_index(
        "ix_notification_unsent",
        "notification",
        ["tenant"],
        schema="ops",
        postgresql_where=sa.text("sent_at IS NULL"),
    )
    op.create_table(
        "trace_position",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        _at("moved_at"),
        sa.PrimaryKeyConstraint("tenant", "source", name=op.f("pk_trace_position")),
        schema="ops",
    )


def downgrade() -> None:
    """Undo it."""
    for table in ("trace_position", "notification", "notification_route", "notification_event"):
        op.drop_table(table, schema="ops")
