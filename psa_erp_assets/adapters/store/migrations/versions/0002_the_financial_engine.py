"""The financial engine."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_APPEND_ONLY = ("credit", "period_choice", "work_fact")


def _check(table: str, name: str, condition: str) -> None:
    """Replace a CHECK constraint."""
    op.drop_constraint(op.f(f"ck_{table}_{name}"), table, schema="ops", type_="check")
    op.create_check_constraint(op.f(f"ck_{table}_{name}"), table, condition, schema="ops")


def _rename_heads(table: str, column: str, to_table: str, to_column: str) -> None:
    """Heads are those of all work, not of time entries alone."""
    op.alter_column(table, column, new_column_name=to_column, schema="ops")
    op.rename_table(table, to_table, schema="ops")
    for kind in ("dirty", "partition"):
        op.execute(f"ALTER INDEX ops.ix_{table}_{kind} RENAME TO ix_{to_table}_{kind}")
    op.execute(f"ALTER INDEX ops.pk_{table} RENAME TO pk_{to_table}")
    # PostgreSQL 18 names its NOT NULL constraints after the table and the column that they were made with.
    names = sa.text(
        "SELECT conname FROM pg_constraint WHERE contype = 'n' AND conrelid = CAST(:table AS regclass)"
    ).bindparams(table=f"ops.{to_table}")
    for name in op.get_bind().execute(names).scalars().all():
        renamed = name.replace(f"{table}_{column}_", f"{to_table}_{to_column}_").replace(f"{table}_", f"{to_table}_")
        op.execute(f"ALTER TABLE ops.{to_table} RENAME CONSTRAINT {name} TO {renamed}")


def upgrade() -> None:
    """The financial engine."""
    op.create_table(
        "contract_balance",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("contract_id", sa.Text(), nullable=False),
        sa.Column("service_month", sa.Text(), nullable=False),
        sa.Column("body", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("content_hash", sa.Text(), nullable=False),
        sa.Column("computed_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "contract_id", "service_month", name=op.f("pk_contract_balance")),
        schema="ops",
    )
    op.create_table(
        "credit",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("credit_id", sa.Text(), nullable=False),
        sa.Column("object_id", sa.Text(), nullable=False),
        sa.Column("minutes", sa.Integer(), nullable=False),
        sa.Column("rebill", sa.Boolean(), nullable=False),
        sa.Column("in_erp", sa.Boolean(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("requested_by", sa.Text(), nullable=False),
        sa.Column("requested_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("minutes > 0", name=op.f("ck_credit_minutes")),
        sa.PrimaryKeyConstraint("tenant", "credit_id", name=op.f("pk_credit")),
        schema="ops",
    )
    op.create_index("ix_credit_object", "credit", ["tenant", "object_id"], unique=False, schema="ops")
    op.create_table(
        "period_choice",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("object_id", sa.Text(), nullable=False),
        sa.Column("effect_type", sa.Text(), nullable=False),
        sa.Column("choice", sa.Text(), nullable=False),
        sa.Column("posting_date", sa.Date(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("chosen_by", sa.Text(), nullable=False),
        sa.Column("chosen_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "(choice = 'post_to_open') = (posting_date IS NOT NULL)", name=op.f("ck_period_choice_posting_date")
        ),
        sa.CheckConstraint(
            "choice IN ('wait', 'post_to_open', 'by_hand', 'cancel')", name=op.f("ck_period_choice_choice")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_period_choice")),
        schema="ops",
    )
    op.create_index(
        "ix_period_choice_object", "period_choice", ["tenant", "object_id", "id"], unique=False, schema="ops"
    )
    op.create_table(
        "work_fact",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("object_id", sa.Text(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("body", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("inbox_id", sa.BigInteger(), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("kind IN ('expense', 'milestone')", name=op.f("ck_work_fact_kind")),
        sa.ForeignKeyConstraint(["inbox_id"], ["ops.inbox.id"], name=op.f("fk_work_fact_inbox_id")),
        sa.PrimaryKeyConstraint("tenant", "object_id", "revision", name=op.f("pk_work_fact")),
        schema="ops",
    )
    _rename_heads("time_entry_head", "entry_id", "work_head", "object_id")
    op.add_column(
        "plan",
        sa.Column(
            "approval_reasons", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'[]'"), nullable=False
        ),
        schema="ops",
    )
    op.add_column("plan", sa.Column("reviewed_by", sa.Text(), nullable=True), schema="ops")
    op.add_column("plan", sa.Column("reviewed_at", sa.DateTime(timezone=True), nullable=True), schema="ops")
    op.add_column("plan", sa.Column("review_note", sa.Text(), nullable=True), schema="ops")
    op.add_column("erp_document", sa.Column("credits_key", sa.Text(), nullable=True), schema="ops")
    op.add_column(
        "erp_invoice", sa.Column("lines", sa.Integer(), server_default=sa.text("0"), nullable=False), schema="ops"
    )
    op.add_column("time_entry", sa.Column("task", sa.Text(), nullable=True), schema="ops")
    op.add_column(
        "time_entry",
        sa.Column("work_types", postgresql.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        schema="ops",
    )
    for table in _APPEND_ONLY:
        op.execute(
            f"CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ops.{table}"
            " FOR EACH STATEMENT EXECUTE FUNCTION ops.refuse_change()"
        )
    _check("inbox", "arrived_by", "arrived_by IN ('webhook', 'sweep', 'key_sweep', 'api')")
    _check("decision", "outcome", "outcome IN ('post', 'covered', 'written_off', 'non_billable', 'hold', 'none')")
    _check(
        "posting",
        "effect_type",
        "effect_type IN ('billing_line', 'cost_transaction', 'intercompany_charge', 'revenue_entry')",
    )
    _check("plan", "status", "status IN ('proposed', 'approved', 'rejected', 'applied', 'overtaken')")


def downgrade() -> None:
    """Undo it. Refused by the checks where rows use what only this revision knows."""
    _check("plan", "status", "status IN ('proposed', 'applied', 'overtaken')")
    _check("posting", "effect_type", "effect_type IN ('billing_line', 'cost_transaction')")
    _check("decision", "outcome", "outcome IN ('post', 'non_billable', 'hold', 'none')")
    _check("inbox", "arrived_by", "arrived_by IN ('webhook', 'sweep', 'key_sweep')")
    op.drop_column("erp_invoice", "lines", schema="ops")
    op.drop_column("erp_document", "credits_key", schema="ops")
    op.drop_column("time_entry", "work_types", schema="ops")
    op.drop_column("time_entry", "task", schema="ops")
    op.drop_column("plan", "review_note", schema="ops")
    op.drop_column("plan", "reviewed_at", schema="ops")
    op.drop_column("plan", "reviewed_by", schema="ops")
    op.drop_column("plan", "approval_reasons", schema="ops")
    _rename_heads("work_head", "object_id", "time_entry_head", "entry_id")
    op.drop_table("work_fact", schema="ops")
    op.drop_index("ix_period_choice_object", table_name="period_choice", schema="ops")
    op.drop_table("period_choice", schema="ops")
    op.drop_index("ix_credit_object", table_name="credit", schema="ops")
    op.drop_table("credit", schema="ops")
    op.drop_table("contract_balance", schema="ops")
