"""Payments have ids of their own; an erasure may name what was booked by hand."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """The table of payments, and the narrow way for erasures in the table that has come since 0013."""
    op.create_table(
        "erp_payment",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("erp_company", sa.Text(), nullable=False),
        sa.Column("erp_id", sa.Text(), nullable=False),
        sa.Column("invoice_id", sa.Text(), nullable=False),
        sa.Column("number", sa.Text(), nullable=True),
        sa.Column("paid_on", sa.Date(), nullable=False),
        sa.Column("amount", sa.Numeric(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("read_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "erp_company", "erp_id", "invoice_id", name=op.f("pk_erp_payment")),
        schema="ops",
    )
    op.create_index("ix_erp_payment_invoice", "erp_payment", ["tenant", "erp_company", "invoice_id"], schema="ops")
    op.execute("DROP TRIGGER append_only ON ops.booked_by_hand")
    op.execute(
        "CREATE TRIGGER append_only BEFORE UPDATE OF choice_id, tenant, noted_at OR DELETE OR TRUNCATE"
        " ON ops.booked_by_hand FOR EACH STATEMENT EXECUTE FUNCTION ops.refuse_change()"
    )
    op.execute(
        "CREATE TRIGGER only_erasure BEFORE UPDATE OF effects ON ops.booked_by_hand"
        " FOR EACH ROW EXECUTE FUNCTION ops.only_erased_columns('choice_id', 'effects')"
    )


def downgrade() -> None:
    """Undo it."""
    op.execute("DROP TRIGGER only_erasure ON ops.booked_by_hand")
    op.execute("DROP TRIGGER append_only ON ops.booked_by_hand")
    op.execute(
        "CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ops.booked_by_hand"
        " FOR EACH STATEMENT EXECUTE FUNCTION ops.refuse_change()"
    )
    op.drop_table("erp_payment", schema="ops")
