"""A plan consists of sections, one a contract's month, which plans share while nothing about it changes."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def _rename_item_column(old: str, new: str) -> None:
    op.alter_column("plan_item", old, new_column_name=new, schema="ops")
    # PostgreSQL 18 names its NOT NULL constraints after the column that they were made with.
    named = sa.text(
        "SELECT 1 FROM pg_constraint WHERE conrelid = CAST('ops.plan_item' AS regclass) AND conname = :name"
    ).bindparams(name=f"plan_item_{old}_not_null")
    if op.get_bind().execute(named).first() is not None:
        op.execute(f"ALTER TABLE ops.plan_item RENAME CONSTRAINT plan_item_{old}_not_null TO plan_item_{new}_not_null")


def upgrade() -> None:
    """Plans of before have one section each, which has no basis, so that no later plan shares it."""
    op.create_table(
        "plan_section",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("legal_entity", sa.Text(), nullable=False),
        sa.Column("service_month", sa.Text(), nullable=False),
        sa.Column("contract_id", sa.Text(), nullable=True),
        sa.Column("basis", sa.Text(), nullable=False),
        sa.Column("facts_hash", sa.Text(), nullable=False),
        sa.Column("totals", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("made_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_plan_section")),
        schema="ops",
    )
    op.create_index(
        "ix_plan_section_contract",
        "plan_section",
        ["tenant", "legal_entity", "service_month", "contract_id", "id"],
        unique=False,
        schema="ops",
    )
    op.create_table(
        "plan_part",
        sa.Column("plan_id", sa.BigInteger(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("section_id", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["plan_id"], ["ops.plan.id"], name=op.f("fk_plan_part_plan_id")),
        sa.ForeignKeyConstraint(["section_id"], ["ops.plan_section.id"], name=op.f("fk_plan_part_section_id")),
        sa.PrimaryKeyConstraint("plan_id", "position", name=op.f("pk_plan_part")),
        schema="ops",
    )
    op.create_index("ix_plan_part_section", "plan_part", ["section_id"], unique=False, schema="ops")
    op.execute(
        """
        INSERT INTO ops.plan_section
          (id, tenant, legal_entity, service_month, contract_id, basis, facts_hash, totals, made_at)
        OVERRIDING SYSTEM VALUE
        SELECT p.id, p.tenant, p.legal_entity, p.service_month, NULL, '', p.facts_hash,
          coalesce((
            SELECT jsonb_agg(jsonb_build_object(
              'action', t.action, 'effect_type', t.effect_type, 'currency', t.currency, 'service_date', t.service_date,
              'code', t.code, 'items', t.items, 'minutes', t.minutes, 'amount', t.amount::text,
              'absolute', t.absolute::text))
            FROM (
              SELECT i.action, i.effect_type, i.currency, i.body #>> '{effect,service_date}' AS service_date,
                i.body #>> '{hold,code}' AS code, count(*) AS items, coalesce(sum(i.minutes), 0) AS minutes,
                coalesce(sum(i.amount), 0) AS amount,
                coalesce(sum(abs(i.amount)), 0) AS absolute
              FROM ops.plan_item i WHERE i.plan_id = p.id GROUP BY 1, 2, 3, 4, 5
            ) t
          ), '[]'::jsonb), p.created_at
        FROM ops.plan p
        """
    )
    op.execute(
        "SELECT setval(pg_get_serial_sequence('ops.plan_section', 'id'), greatest((SELECT max(id) FROM ops.plan), 1),"
        " EXISTS (SELECT 1 FROM ops.plan))"
    )
    op.execute("INSERT INTO ops.plan_part (plan_id, position, section_id) SELECT id, 1, id FROM ops.plan")
    op.drop_constraint(op.f("fk_plan_item_plan_id"), "plan_item", schema="ops", type_="foreignkey")
    _rename_item_column("plan_id", "section_id")
    for table in ("plan_section", "plan_part"):
        op.execute(
            f"CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ops.{table}"
            " FOR EACH STATEMENT EXECUTE FUNCTION ops.refuse_change()"
        )
    op.create_index(
        "ix_work_head_contract", "work_head", ["tenant", "service_month", "contract_id"], unique=False, schema="ops"
    )
    op.drop_index("ix_work_head_partition", table_name="work_head", schema="ops")
    op.create_index(
        "ix_work_head_partition",
        "work_head",
        ["tenant", "legal_entity", "service_month", "contract_id"],
        unique=False,
        schema="ops",
    )


def downgrade() -> None:
    """Undo it. Refused by the foreign key where plans share sections."""
    op.drop_index("ix_work_head_partition", table_name="work_head", schema="ops")
    op.create_index(
        "ix_work_head_partition", "work_head", ["tenant", "legal_entity", "service_month"], unique=False, schema="ops"
    )
    op.drop_index("ix_work_head_contract", table_name="work_head", schema="ops")
    _rename_item_column("section_id", "plan_id")
    op.create_foreign_key(
        op.f("fk_plan_item_plan_id"),
        "plan_item",
        "plan",
        ["plan_id"],
        ["id"],
        source_schema="ops",
        referent_schema="ops",
    )
    op.drop_index("ix_plan_part_section", table_name="plan_part", schema="ops")
    op.drop_table("plan_part", schema="ops")
    op.drop_index("ix_plan_section_contract", table_name="plan_section", schema="ops")
    op.drop_table("plan_section", schema="ops")
