"""What people have booked by hand in a closed period is known, so that a later edit books the difference."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """The table of what stands in the books by hand, as of a choice."""
    op.create_table(
        "booked_by_hand",
        sa.Column("choice_id", sa.BigInteger(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("effects", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("noted_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["choice_id"], ["ops.period_choice.id"], name=op.f("fk_booked_by_hand_choice_id")),
        sa.PrimaryKeyConstraint("choice_id", name=op.f("pk_booked_by_hand")),
        schema="ops",
    )
    op.execute(
        "CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ops.booked_by_hand"
        " FOR EACH STATEMENT EXECUTE FUNCTION ops.refuse_change()"
    )


def downgrade() -> None:
    """A later edit of what was booked by hand is booked in full."""
    op.drop_table("booked_by_hand", schema="ops")
