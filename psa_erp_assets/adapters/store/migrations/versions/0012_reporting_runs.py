"""Reporting runs: which state of the lake each published file is of."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """The table of reporting runs."""
    op.create_table(
        "reporting_run",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("lake_snapshot", sa.BigInteger(), nullable=False),
        sa.Column("models", sa.Integer(), nullable=False),
        sa.Column("published_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_reporting_run")),
        schema="ops",
    )
    op.create_index("ix_reporting_run_published_at", "reporting_run", ["tenant", "published_at"], schema="ops")
    op.execute(
        "CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ops.reporting_run"
        " FOR EACH STATEMENT EXECUTE FUNCTION ops.refuse_change()"
    )


def downgrade() -> None:
    """The runs are forgotten; the lake has its states all the same."""
    op.drop_table("reporting_run", schema="ops")
