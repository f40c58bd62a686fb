"""Connections: how each outside system was last found."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """The table of connections."""
    op.create_table(
        "connection_state",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("circuit", sa.Text(), nullable=False),
        sa.Column("requests_per_second", sa.Integer(), nullable=True),
        sa.Column("tokens_left", sa.Integer(), nullable=True),
        sa.Column("retries_left", sa.Integer(), nullable=True),
        sa.Column("throttled", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("limits", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("paused_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("succeeded_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("failed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("reported_by", sa.Text(), nullable=False),
        sa.Column("reported_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("circuit IN ('closed', 'open', 'half_open')", name=op.f("ck_connection_state_circuit")),
        sa.PrimaryKeyConstraint("tenant", "name", name=op.f("pk_connection_state")),
        schema="ops",
    )


def downgrade() -> None:
    """Undo it."""
    op.drop_table("connection_state", schema="ops")
