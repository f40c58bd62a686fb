"""The operational store."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_APPEND_ONLY = ("decision", "inbox", "plan_item", "posting_event", "time_entry")

_REFUSE_CHANGE = """
CREATE FUNCTION ops.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'table %.% is append-only: % is refused', TG_TABLE_SCHEMA, TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'integrity_constraint_violation';
END
$$
"""


def upgrade() -> None:
    """Create it."""
    op.create_table(
        "decision",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("object_id", sa.Text(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("body", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("content_hash", sa.Text(), nullable=False),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("outcome IN ('post', 'non_billable', 'hold', 'none')", name=op.f("ck_decision_outcome")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_decision")),
        schema="ops",
    )
    op.create_index("ix_decision_object", "decision", ["tenant", "object_id", "id"], unique=False, schema="ops")
    op.create_table(
        "erp_document",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("erp_company", sa.Text(), nullable=False),
        sa.Column("effect_type", sa.Text(), nullable=False),
        sa.Column("erp_id", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=True),
        sa.Column("service_month", sa.Text(), nullable=False),
        sa.Column("service_date", sa.Date(), nullable=False),
        sa.Column("party", sa.Text(), nullable=True),
        sa.Column("analytic", sa.Text(), nullable=True),
        sa.Column("minutes", sa.Integer(), nullable=False),
        sa.Column("amount", sa.Numeric(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("tax_amount", sa.Numeric(), nullable=True),
        sa.Column("document", sa.Text(), nullable=True),
        sa.Column("document_state", sa.Text(), nullable=True),
        sa.Column("document_date", sa.Date(), nullable=True),
        sa.Column("posted", sa.Boolean(), nullable=False),
        sa.Column("read_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "erp_company", "effect_type", "erp_id", name=op.f("pk_erp_document")),
        schema="ops",
    )
    op.create_index("ix_erp_document_key", "erp_document", ["key"], unique=False, schema="ops")
    op.create_index(
        "ix_erp_document_month", "erp_document", ["tenant", "erp_company", "service_month"], unique=False, schema="ops"
    )
    op.create_table(
        "erp_invoice",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("erp_company", sa.Text(), nullable=False),
        sa.Column("erp_id", sa.Text(), nullable=False),
        sa.Column("number", sa.Text(), nullable=True),
        sa.Column("party", sa.Text(), nullable=False),
        sa.Column("invoice_date", sa.Date(), nullable=True),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("net", sa.Numeric(), nullable=False),
        sa.Column("tax", sa.Numeric(), nullable=False),
        sa.Column("total", sa.Numeric(), nullable=False),
        sa.Column("open_amount", sa.Numeric(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("read_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "erp_company", "erp_id", name=op.f("pk_erp_invoice")),
        schema="ops",
    )
    op.create_table(
        "exception_item",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("fault_class", sa.Text(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("object_id", sa.Text(), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("legal_entity", sa.Text(), nullable=True),
        sa.Column("service_month", sa.Text(), nullable=True),
        sa.Column("minutes", sa.Integer(), nullable=True),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("evidence", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("first_seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("resolved_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("resolution", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_exception_item")),
        schema="ops",
    )
    op.create_index(
        "ix_exception_item_open",
        "exception_item",
        ["tenant", "scope", "code", "object_id"],
        unique=True,
        schema="ops",
        postgresql_where=sa.text("resolved_at IS NULL"),
    )
    op.create_table(
        "inbox",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("object_type", sa.Text(), nullable=False),
        sa.Column("object_id", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("content_hash", sa.Text(), nullable=False),
        sa.Column("payload", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("arrived_by", sa.Text(), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("arrived_by IN ('webhook', 'sweep', 'key_sweep')", name=op.f("ck_inbox_arrived_by")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_inbox")),
        sa.UniqueConstraint(
            "tenant",
            "source",
            "object_type",
            "object_id",
            "version",
            name=op.f("uq_inbox_tenant_source_object_type_object_id_version"),
        ),
        schema="ops",
    )
    op.create_table(
        "mapping",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("object_type", sa.Text(), nullable=False),
        sa.Column("canonical_id", sa.Text(), nullable=False),
        sa.Column("system", sa.Text(), nullable=False),
        sa.Column("source_id", sa.Text(), nullable=False),
        sa.Column("valid_from", sa.Date(), nullable=False),
        sa.Column("valid_to", sa.Date(), nullable=True),
        sa.Column("method", sa.Text(), nullable=False),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_mapping")),
        schema="ops",
    )
    op.create_index(
        "ix_mapping_open",
        "mapping",
        ["tenant", "object_type", "system", "source_id"],
        unique=True,
        schema="ops",
        postgresql_where=sa.text("valid_to IS NULL"),
    )
    op.create_table(
        "master_record",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("object_type", sa.Text(), nullable=False),
        sa.Column("canonical_id", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("body", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("content_hash", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("superseded_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_master_record")),
        sa.UniqueConstraint(
            "tenant",
            "object_type",
            "canonical_id",
            "version",
            name=op.f("uq_master_record_tenant_object_type_canonical_id_version"),
        ),
        schema="ops",
    )
    op.create_index(
        "ix_master_record_current",
        "master_record",
        ["tenant", "object_type", "canonical_id"],
        unique=True,
        schema="ops",
        postgresql_where=sa.text("superseded_at IS NULL"),
    )
    op.create_table(
        "plan",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("legal_entity", sa.Text(), nullable=False),
        sa.Column("service_month", sa.Text(), nullable=False),
        sa.Column("contracts", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("facts_hash", sa.Text(), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("applied_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("status IN ('proposed', 'applied', 'overtaken')", name=op.f("ck_plan_status")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_plan")),
        schema="ops",
    )
    op.create_table(
        "sync_cursor",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "source", "name", name=op.f("pk_sync_cursor")),
        schema="ops",
    )
    op.create_table(
        "time_entry_head",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("entry_id", sa.Text(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("legal_entity", sa.Text(), nullable=False),
        sa.Column("service_month", sa.Text(), nullable=False),
        sa.Column("contract_id", sa.Text(), nullable=True),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("planned_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("tenant", "entry_id", name=op.f("pk_time_entry_head")),
        schema="ops",
    )
    op.create_index(
        "ix_time_entry_head_dirty",
        "time_entry_head",
        ["changed_at"],
        unique=False,
        schema="ops",
        postgresql_where=sa.text("planned_at IS NULL OR planned_at < changed_at"),
    )
    op.create_index(
        "ix_time_entry_head_partition",
        "time_entry_head",
        ["tenant", "legal_entity", "service_month"],
        unique=False,
        schema="ops",
    )
    op.create_table(
        "webhook_delivery",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("delivery_id", sa.Text(), nullable=False),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("body", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("copies", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("handled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("next_attempt_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook_delivery")),
        sa.UniqueConstraint(
            "tenant", "source", "delivery_id", name=op.f("uq_webhook_delivery_tenant_source_delivery_id")
        ),
        schema="ops",
    )
    op.create_index(
        "ix_webhook_delivery_pending",
        "webhook_delivery",
        ["next_attempt_at"],
        unique=False,
        schema="ops",
        postgresql_where=sa.text("handled_at IS NULL"),
    )
    op.create_table(
        "plan_item",
        sa.Column("plan_id", sa.BigInteger(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("effect_type", sa.Text(), nullable=False),
        sa.Column("object_id", sa.Text(), nullable=False),
        sa.Column("contract_id", sa.Text(), nullable=True),
        sa.Column("key", sa.Text(), nullable=True),
        sa.Column("target_key", sa.Text(), nullable=True),
        sa.Column("amount", sa.Numeric(), nullable=True),
        sa.Column("currency", sa.Text(), nullable=True),
        sa.Column("minutes", sa.Integer(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("body", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.ForeignKeyConstraint(["plan_id"], ["ops.plan.id"], name=op.f("fk_plan_item_plan_id")),
        sa.PrimaryKeyConstraint("plan_id", "seq", name=op.f("pk_plan_item")),
        schema="ops",
    )
    op.create_table(
        "posting",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("legal_entity", sa.Text(), nullable=False),
        sa.Column("service_month", sa.Text(), nullable=False),
        sa.Column("erp_company", sa.Text(), nullable=False),
        sa.Column("effect_type", sa.Text(), nullable=False),
        sa.Column("operation", sa.Text(), nullable=False),
        sa.Column("leg", sa.Text(), nullable=False),
        sa.Column("object_id", sa.Text(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("source_revision", sa.Integer(), nullable=False),
        sa.Column("target_key", sa.Text(), nullable=True),
        sa.Column("depends_on", sa.Text(), nullable=True),
        sa.Column("payload", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("payload_hash", sa.Text(), nullable=False),
        sa.Column("amount", sa.Numeric(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("minutes", sa.Integer(), nullable=False),
        sa.Column("service_date", sa.Date(), nullable=False),
        sa.Column("plan_id", sa.BigInteger(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("fence", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("worker", sa.Text(), nullable=True),
        sa.Column("lease_expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("look_up_from", sa.DateTime(timezone=True), nullable=True),
        sa.Column("misses", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("erp_id", sa.Text(), nullable=True),
        sa.Column("fault_code", sa.Text(), nullable=True),
        sa.Column("fault_detail", sa.Text(), nullable=True),
        sa.Column("state_since", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("effect_type IN ('billing_line', 'cost_transaction')", name=op.f("ck_posting_effect_type")),
        sa.CheckConstraint("leg IN ('original', 'reversal', 'withdrawal')", name=op.f("ck_posting_leg")),
        sa.CheckConstraint("operation IN ('create', 'withdraw')", name=op.f("ck_posting_operation")),
        sa.CheckConstraint(
            "state IN ('planned', 'held', 'ready', 'cancelled', 'in_flight', 'ambiguous', 'resolving',"
            " 'confirmed', 'rejected', 'conflict', 'duplicate', 'verified', 'drift', 'withdrawn', 'reversed')",
            name=op.f("ck_posting_state"),
        ),
        sa.ForeignKeyConstraint(["depends_on"], ["ops.posting.key"], name=op.f("fk_posting_depends_on")),
        sa.ForeignKeyConstraint(["plan_id"], ["ops.plan.id"], name=op.f("fk_posting_plan_id")),
        sa.ForeignKeyConstraint(["target_key"], ["ops.posting.key"], name=op.f("fk_posting_target_key")),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_posting")),
        schema="ops",
    )
    op.create_index("ix_posting_object", "posting", ["tenant", "object_id", "effect_type"], unique=False, schema="ops")
    op.create_index(
        "ix_posting_open",
        "posting",
        ["erp_company", "effect_type", "state", "due_at"],
        unique=False,
        schema="ops",
        postgresql_where=sa.text(
            "state IN ('planned', 'ready', 'in_flight', 'ambiguous', 'resolving', 'confirmed', 'drift')"
        ),
    )
    op.create_index(
        "ix_posting_partition", "posting", ["tenant", "legal_entity", "service_month"], unique=False, schema="ops"
    )
    op.create_table(
        "source_object",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("object_type", sa.Text(), nullable=False),
        sa.Column("object_id", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("content_hash", sa.Text(), nullable=False),
        sa.Column("inbox_id", sa.BigInteger(), nullable=False),
        sa.Column("last_seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["inbox_id"], ["ops.inbox.id"], name=op.f("fk_source_object_inbox_id")),
        sa.PrimaryKeyConstraint("tenant", "source", "object_type", "object_id", name=op.f("pk_source_object")),
        schema="ops",
    )
    op.create_table(
        "time_entry",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("entry_id", sa.Text(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("psa_user_id", sa.Text(), nullable=False),
        sa.Column("psa_project_id", sa.Text(), nullable=True),
        sa.Column("service_date", sa.Date(), nullable=False),
        sa.Column("minutes", sa.Integer(), nullable=False),
        sa.Column("billable", sa.Boolean(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("time_zone", sa.Text(), nullable=False),
        sa.Column("inbox_id", sa.BigInteger(), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "state IN ('draft', 'submitted', 'approved', 'rejected', 'deleted')", name=op.f("ck_time_entry_state")
        ),
        sa.CheckConstraint("minutes >= 0", name=op.f("ck_time_entry_minutes")),
        sa.ForeignKeyConstraint(["inbox_id"], ["ops.inbox.id"], name=op.f("fk_time_entry_inbox_id")),
        sa.PrimaryKeyConstraint("tenant", "entry_id", "revision", name=op.f("pk_time_entry")),
        schema="ops",
    )
    op.create_table(
        "posting_claim",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("source_line", sa.Text(), nullable=False),
        sa.Column("effect_type", sa.Text(), nullable=False),
        sa.Column("claimed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("released_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["key"], ["ops.posting.key"], name=op.f("fk_posting_claim_key")),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_posting_claim")),
        schema="ops",
    )
    op.create_index(
        "ix_posting_claim_active",
        "posting_claim",
        ["tenant", "source_line", "effect_type"],
        unique=True,
        schema="ops",
        postgresql_where=sa.text("released_at IS NULL"),
    )
    op.create_table(
        "posting_event",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("from_state", sa.Text(), nullable=True),
        sa.Column("to_state", sa.Text(), nullable=False),
        sa.Column("fence", sa.Integer(), nullable=False),
        sa.Column("worker", sa.Text(), nullable=True),
        sa.Column("detail", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["key"], ["ops.posting.key"], name=op.f("fk_posting_event_key")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_posting_event")),
        schema="ops",
    )
    op.create_index("ix_posting_event_key", "posting_event", ["key", "id"], unique=False, schema="ops")
    op.execute(_REFUSE_CHANGE)
    for table in _APPEND_ONLY:
        op.execute(
            f"CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ops.{table}"
            " FOR EACH STATEMENT EXECUTE FUNCTION ops.refuse_change()"
        )


def downgrade() -> None:
    """Drop it all."""
    op.drop_index("ix_posting_event_key", table_name="posting_event", schema="ops")
    op.drop_table("posting_event", schema="ops")
    op.drop_index(
        "ix_posting_claim_active",
        table_name="posting_claim",
        schema="ops",
        postgresql_where=sa.text("released_at IS NULL"),
    )
    op.drop_table("posting_claim", schema="ops")
    op.drop_table("time_entry", schema="ops")
    op.drop_table("source_object", schema="ops")
    op.drop_index("ix_posting_partition", table_name="posting", schema="ops")
    op.drop_index(
        "ix_posting_open",
        table_name="posting",
        schema="ops",
        postgresql_where=sa.text(
            "state IN ('planned', 'ready', 'in_flight', 'ambiguous', 'resolving', 'confirmed', 'drift')"
        ),
    )
    op.drop_index("ix_posting_object", table_name="posting", schema="ops")
    op.drop_table("posting", schema="ops")
    op.drop_table("plan_item", schema="ops")
    op.drop_index(
        "ix_webhook_delivery_pending",
        table_name="webhook_delivery",
        schema="ops",
        postgresql_where=sa.text("handled_at IS NULL"),
    )
    op.drop_table("webhook_delivery", schema="ops")
    op.drop_index("ix_time_entry_head_partition", table_name="time_entry_head", schema="ops")
    op.drop_index(
        "ix_time_entry_head_dirty",
        table_name="time_entry_head",
        schema="ops",
        postgresql_where=sa.text("planned_at IS NULL OR planned_at < changed_at"),
    )
    op.drop_table("time_entry_head", schema="ops")
    op.drop_table("sync_cursor", schema="ops")
    op.drop_table("plan", schema="ops")
    op.drop_index(
        "ix_master_record_current",
        table_name="master_record",
        schema="ops",
        postgresql_where=sa.text("superseded_at IS NULL"),
    )
    op.drop_table("master_record", schema="ops")
    op.drop_index("ix_mapping_open", table_name="mapping", schema="ops", postgresql_where=sa.text("valid_to IS NULL"))
    op.drop_table("mapping", schema="ops")
    op.drop_table("inbox", schema="ops")
    op.drop_index(
        "ix_exception_item_open",
        table_name="exception_item",
        schema="ops",
        postgresql_where=sa.text("resolved_at IS NULL"),
    )
    op.drop_table("exception_item", schema="ops")
    op.drop_table("erp_invoice", schema="ops")
    op.drop_index("ix_erp_document_month", table_name="erp_document", schema="ops")
    op.drop_index("ix_erp_document_key", table_name="erp_document", schema="ops")
    op.drop_table("erp_document", schema="ops")
    op.drop_index("ix_decision_object", table_name="decision", schema="ops")
    op.drop_table("decision", schema="ops")
    op.execute("DROP FUNCTION ops.refuse_change()")
