"""Tables of the operational store (schema `ops`). SQLAlchemy Core; Alembic carries changes.

A table marked `append_only` in its `info` refuses UPDATE, DELETE and TRUNCATE by trigger. Amounts are NUMERIC with
their currency beside them, minutes are integers, instants are timestamptz, service dates are dates.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    Integer,
    MetaData,
    Numeric,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

SCHEMA = "ops"

metadata = MetaData(
    schema=SCHEMA,
    naming_convention={
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    },
)

_APPEND_ONLY = {"append_only": True}


def _at(name: str, *, nullable: bool = False) -> Column[object]:
    return Column(name, DateTime(timezone=True), nullable=nullable)


# A webhook as it arrived: a hint that an object changed. The same body again raises `copies` and makes it pending
# again if it had been handled, because an object that went A → B → A is announced by two equal bodies.
webhook_delivery = Table(
    "webhook_delivery",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("delivery_id", Text, nullable=False),
    Column("event", Text, nullable=False),
    Column("body", JSONB, nullable=False),
    _at("received_at"),
    _at("last_received_at"),
    Column("copies", Integer, nullable=False, server_default=text("1")),
    _at("handled_at", nullable=True),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    _at("next_attempt_at"),
    Column("error", Text),
    UniqueConstraint("tenant", "source", "delivery_id"),
    Index("ix_webhook_delivery_pending", "next_attempt_at", postgresql_where=text("handled_at IS NULL")),
)

# Every version of every source object, as fetched. Kept for good.
inbox = Table(
    "inbox",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("object_type", Text, nullable=False),
    Column("object_id", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("content_hash", Text, nullable=False),
    Column("payload", JSONB, nullable=False),
    Column("arrived_by", Text, nullable=False),
    _at("received_at"),
    UniqueConstraint("tenant", "source", "object_type", "object_id", "version"),
    CheckConstraint("arrived_by IN ('webhook', 'sweep', 'key_sweep', 'api')", name="arrived_by"),
    info=_APPEND_ONLY,
)

# What the source holds now, as far as it was last seen: the latest version of each object, and the row to lock.
source_object = Table(
    "source_object",
    metadata,
    Column("tenant", Text, primary_key=True),
    Column("source", Text, primary_key=True),
    Column("object_type", Text, primary_key=True),
    Column("object_id", Text, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("content_hash", Text, nullable=False),
    Column("inbox_id", BigInteger, ForeignKey(inbox.c.id), nullable=False),
    _at("last_seen_at"),
)

# Master data in the canonical model: every version of every record; the current one has no `superseded_at`.
master_record = Table(
    "master_record",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("object_type", Text, nullable=False),
    Column("canonical_id", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("body", JSONB, nullable=False),
    Column("content_hash", Text, nullable=False),
    Column("source", Text, nullable=False),
    _at("recorded_at"),
    _at("superseded_at", nullable=True),
    UniqueConstraint("tenant", "object_type", "canonical_id", "version"),
    Index(
        "ix_master_record_current",
        "tenant",
        "object_type",
        "canonical_id",
        unique=True,
        postgresql_where=text("superseded_at IS NULL"),
    ),
)

# Which id in which system stands for which canonical id, from when to when: by an exact key or, with a `decision_id`,
# by a steward's decision. What begins after it ends never held; a last day is set once, and where a decision (that of
# `replaced_by`) would change it, other rows take its place.
mapping = Table(
    "mapping",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("object_type", Text, nullable=False),
    Column("canonical_id", Text, nullable=False),
    Column("system", Text, nullable=False),
    Column("source_id", Text, nullable=False),
    Column("valid_from", Date, nullable=False),
    Column("valid_to", Date),
    Column("method", Text, nullable=False),
    _at("decided_at"),
    Column("decision_id", BigInteger),
    Column("replaced_by", BigInteger),
    Index(
        "ix_mapping_open",
        "tenant",
        "object_type",
        "system",
        "source_id",
        unique=True,
        postgresql_where=text("valid_to IS NULL AND decision_id IS NULL"),
    ),
    Index(
        "ix_mapping_decided",
        "tenant",
        "object_type",
        "system",
        "source_id",
        unique=True,
        postgresql_where=text("valid_to IS NULL AND decision_id IS NOT NULL"),
    ),
)

# Canonical time entries: one row a revision. A revision is a change of the canonical facts, not of the payload.
time_entry = Table(
    "time_entry",
    metadata,
    Column("tenant", Text, primary_key=True),
    Column("entry_id", Text, primary_key=True),
    Column("revision", Integer, primary_key=True),
    Column("state", Text, nullable=False),
    Column("psa_user_id", Text, nullable=False),
    Column("psa_project_id", Text),
    Column("service_date", Date, nullable=False),
    Column("minutes", Integer, nullable=False),
    Column("billable", Boolean, nullable=False),
    Column("description", Text, nullable=False),
    _at("started_at"),
    Column("time_zone", Text, nullable=False),
    Column("task", Text),
    Column("work_types", ARRAY(Text), nullable=False, server_default=text("'{}'")),
    Column("inbox_id", BigInteger, ForeignKey(inbox.c.id), nullable=False),
    _at("recorded_at"),
    CheckConstraint("minutes >= 0", name="minutes"),
    CheckConstraint("state IN ('draft', 'submitted', 'approved', 'rejected', 'deleted')", name="state"),
    info=_APPEND_ONLY,
)

# Canonical facts other than time, expenses and milestones: one row a revision, its content as the body of the record.
work_fact = Table(
    "work_fact",
    metadata,
    Column("tenant", Text, primary_key=True),
    Column("object_id", Text, primary_key=True),
    Column("revision", Integer, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("body", JSONB, nullable=False),
    Column("inbox_id", BigInteger, ForeignKey(inbox.c.id), nullable=False),
    _at("recorded_at"),
    CheckConstraint("kind IN ('expense', 'milestone')", name="kind"),
    info=_APPEND_ONLY,
)

# Whatever has financial effects: a time entry, an expense, a milestone, or a contract's month with effects of its own.
# Its latest revision and the partition that it belongs to. It is dirty, and its partition touched, while `changed_at`
# is later than `planned_at`.
work_head = Table(
    "work_head",
    metadata,
    Column("tenant", Text, primary_key=True),
    Column("object_id", Text, primary_key=True),
    Column("revision", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("legal_entity", Text, nullable=False),
    Column("service_month", Text, nullable=False),
    Column("contract_id", Text),
    _at("changed_at"),
    _at("planned_at", nullable=True),
    Index("ix_work_head_partition", "tenant", "legal_entity", "service_month", "contract_id"),
    Index("ix_work_head_contract", "tenant", "service_month", "contract_id"),
    Index(
        "ix_work_head_dirty",
        "changed_at",
        postgresql_where=text("planned_at IS NULL OR planned_at < changed_at"),
    ),
)

# What a contract's month leaves to the next one: running totals, as last computed.
contract_balance = Table(
    "contract_balance",
    metadata,
    Column("tenant", Text, primary_key=True),
    Column("contract_id", Text, primary_key=True),
    Column("service_month", Text, primary_key=True),
    Column("body", JSONB, nullable=False),
    Column("content_hash", Text, nullable=False),
    _at("computed_at"),
)

# Minutes of a billed entry that were credited to the customer, and whether they are billed again.
credit = Table(
    "credit",
    metadata,
    Column("tenant", Text, primary_key=True),
    Column("credit_id", Text, primary_key=True),
    Column("object_id", Text, nullable=False),
    Column("minutes", Integer, nullable=False),
    Column("rebill", Boolean, nullable=False),
    Column("in_erp", Boolean, nullable=False),
    Column("reason", Text, nullable=False),
    Column("requested_by", Text, nullable=False),
    _at("requested_at"),
    Index("ix_credit_object", "tenant", "object_id"),
    CheckConstraint("minutes > 0", name="minutes"),
    info=_APPEND_ONLY,
)

# What somebody chose for an effect whose accounting period is closed. The latest choice holds.
period_choice = Table(
    "period_choice",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("object_id", Text, nullable=False),
    Column("effect_type", Text, nullable=False),
    Column("choice", Text, nullable=False),
    Column("posting_date", Date),
    Column("reason", Text, nullable=False),
    Column("chosen_by", Text, nullable=False),
    _at("chosen_at"),
    # The hash of the effect that it was made about; null for choices from before this was kept.
    Column("basis", Text),
    Index("ix_period_choice_object", "tenant", "object_id", "id"),
    CheckConstraint("choice IN ('wait', 'post_to_open', 'by_hand', 'cancel')", name="choice"),
    CheckConstraint("(choice = 'post_to_open') = (posting_date IS NOT NULL)", name="posting_date"),
    info=_APPEND_ONLY,
)

# What stands in the books by people's own hand beside what the sync has posted, as of a choice: payloads without texts.
booked_by_hand = Table(
    "booked_by_hand",
    metadata,
    Column("choice_id", BigInteger, ForeignKey(period_choice.c.id), primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("effects", JSONB, nullable=False),
    _at("noted_at"),
    info=_APPEND_ONLY,
)

# What was decided about an entry and why. A row is added when the decision differs from the one before.
decision = Table(
    "decision",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("object_id", Text, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("body", JSONB, nullable=False),
    Column("content_hash", Text, nullable=False),
    _at("decided_at"),
    Index("ix_decision_object", "tenant", "object_id", "id"),
    CheckConstraint("outcome IN ('post', 'covered', 'written_off', 'non_billable', 'hold', 'none')", name="outcome"),
    info=_APPEND_ONLY,
)

# A plan: the difference between what should exist and what does, for one partition at one time.
plan = Table(
    "plan",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("legal_entity", Text, nullable=False),
    Column("service_month", Text, nullable=False),
    # The contracts that it is limited to, null among them for work on no contract; null for the whole partition.
    Column("contracts", JSONB(none_as_null=True)),
    Column("status", Text, nullable=False),
    Column("facts_hash", Text, nullable=False),
    Column("created_by", Text, nullable=False),
    _at("created_at"),
    _at("applied_at", nullable=True),
    # Why somebody must approve it, empty where nobody must; who decided about it, and when.
    Column("approval_reasons", JSONB, nullable=False, server_default=text("'[]'")),
    Column("reviewed_by", Text),
    _at("reviewed_at", nullable=True),
    Column("review_note", Text),
    CheckConstraint("status IN ('proposed', 'approved', 'rejected', 'applied', 'overtaken')", name="status"),
)

# What is to be done for one contract's month in a partition (no contract: its work on none), and what that was made
# from: `basis` is a fingerprint of it. While the fingerprint stays the same, later plans share the section.
plan_section = Table(
    "plan_section",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("legal_entity", Text, nullable=False),
    Column("service_month", Text, nullable=False),
    Column("contract_id", Text),
    Column("basis", Text, nullable=False),
    Column("facts_hash", Text, nullable=False),
    Column("totals", JSONB, nullable=False),
    _at("made_at"),
    Index("ix_plan_section_contract", "tenant", "legal_entity", "service_month", "contract_id", "id"),
    info=_APPEND_ONLY,
)

# Which sections a plan consists of, in which order.
plan_part = Table(
    "plan_part",
    metadata,
    Column("plan_id", BigInteger, ForeignKey(plan.c.id), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("section_id", BigInteger, ForeignKey(plan_section.c.id), nullable=False),
    Index("ix_plan_part_section", "section_id"),
    info=_APPEND_ONLY,
)

# The items of a section. They are written in the transaction that writes it, and neither is ever taken away, so that
# a foreign key would find nothing, at the price of a look-up for each of a month's million items.
plan_item = Table(
    "plan_item",
    metadata,
    Column("section_id", BigInteger, primary_key=True),
    Column("seq", Integer, primary_key=True),
    Column("action", Text, nullable=False),
    Column("effect_type", Text, nullable=False),
    Column("object_id", Text, nullable=False),
    Column("contract_id", Text),
    Column("key", Text),
    Column("target_key", Text),
    Column("amount", Numeric),
    Column("currency", Text),
    Column("minutes", Integer),
    Column("reason", Text, nullable=False),
    Column("body", JSONB, nullable=False),
    info=_APPEND_ONLY,
)

# The ledger of effects. Content columns never change after insert; the state columns change by the engine's
# transitions alone, each of which is also a row of `posting_event`.
posting = Table(
    "posting",
    metadata,
    Column("key", Text, primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("legal_entity", Text, nullable=False),
    Column("service_month", Text, nullable=False),
    Column("erp_company", Text, nullable=False),
    Column("effect_type", Text, nullable=False),
    Column("operation", Text, nullable=False),
    Column("leg", Text, nullable=False),
    Column("object_id", Text, nullable=False),
    Column("revision", Integer, nullable=False),
    # The revision of the time entry that the effect was computed from.
    Column("source_revision", Integer, nullable=False),
    Column("target_key", Text, ForeignKey("ops.posting.key")),
    Column("depends_on", Text, ForeignKey("ops.posting.key")),
    Column("payload", JSONB, nullable=False),
    Column("payload_hash", Text, nullable=False),
    Column("amount", Numeric, nullable=False),
    Column("currency", Text, nullable=False),
    Column("minutes", Integer, nullable=False),
    Column("service_date", Date, nullable=False),
    Column("plan_id", BigInteger, ForeignKey(plan.c.id)),
    _at("created_at"),
    Column("state", Text, nullable=False),
    Column("fence", Integer, nullable=False, server_default=text("0")),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("worker", Text),
    _at("lease_expires_at", nullable=True),
    _at("due_at"),
    _at("look_up_from", nullable=True),
    Column("misses", Integer, nullable=False, server_default=text("0")),
    Column("erp_id", Text),
    Column("fault_code", Text),
    Column("fault_detail", Text),
    _at("state_since"),
    CheckConstraint(
        "effect_type IN ('billing_line', 'cost_transaction', 'intercompany_charge', 'revenue_entry')",
        name="effect_type",
    ),
    CheckConstraint("operation IN ('create', 'withdraw')", name="operation"),
    CheckConstraint("leg IN ('original', 'reversal', 'withdrawal')", name="leg"),
    CheckConstraint(
        "state IN ('planned', 'held', 'ready', 'cancelled', 'in_flight', 'ambiguous', 'resolving', 'confirmed',"
        " 'rejected', 'conflict', 'duplicate', 'verified', 'drift', 'withdrawn', 'reversed')",
        name="state",
    ),
    Index("ix_posting_object", "tenant", "object_id", "effect_type"),
    Index("ix_posting_partition", "tenant", "legal_entity", "service_month"),
    Index(
        "ix_posting_open",
        "erp_company",
        "effect_type",
        "state",
        "due_at",
        postgresql_where=text(
            "state IN ('planned', 'ready', 'in_flight', 'ambiguous', 'resolving', 'confirmed', 'drift')"
        ),
    ),
)

# Which source line a live effect has taken. At most one active claim per line and effect type.
posting_claim = Table(
    "posting_claim",
    metadata,
    Column("key", Text, ForeignKey(posting.c.key), primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("source_line", Text, nullable=False),
    Column("effect_type", Text, nullable=False),
    _at("claimed_at"),
    _at("released_at", nullable=True),
    Index(
        "ix_posting_claim_active",
        "tenant",
        "source_line",
        "effect_type",
        unique=True,
        postgresql_where=text("released_at IS NULL"),
    ),
)

# Everything that happened to a posting: transitions, attempts, look-ups and their evidence.
posting_event = Table(
    "posting_event",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("key", Text, ForeignKey(posting.c.key), nullable=False),
    Column("event", Text, nullable=False),
    Column("from_state", Text),
    Column("to_state", Text, nullable=False),
    Column("fence", Integer, nullable=False),
    Column("worker", Text),
    Column("detail", JSONB, nullable=False),
    _at("at"),
    Index("ix_posting_event_key", "key", "id"),
    info=_APPEND_ONLY,
)

# What the ERP holds, as last read: every billing line and cost entry of our companies, with or without our key.
erp_document = Table(
    "erp_document",
    metadata,
    Column("tenant", Text, primary_key=True),
    Column("erp_company", Text, primary_key=True),
    Column("effect_type", Text, primary_key=True),
    Column("erp_id", Text, primary_key=True),
    Column("key", Text),
    Column("service_month", Text, nullable=False),
    Column("service_date", Date, nullable=False),
    Column("party", Text),
    Column("analytic", Text),
    Column("minutes", Integer, nullable=False),
    Column("amount", Numeric, nullable=False),
    Column("currency", Text, nullable=False),
    Column("tax_amount", Numeric),
    Column("document", Text),
    Column("document_state", Text),
    Column("document_date", Date),
    Column("posted", Boolean, nullable=False),
    # The key of the billing line that the ERP's own credit note made this one for.
    Column("credits_key", Text),
    _at("read_at"),
    Index("ix_erp_document_key", "key"),
    Index("ix_erp_document_month", "tenant", "erp_company", "service_month"),
)

# Invoices as the ERP has them.
erp_invoice = Table(
    "erp_invoice",
    metadata,
    Column("tenant", Text, primary_key=True),
    Column("erp_company", Text, primary_key=True),
    Column("erp_id", Text, primary_key=True),
    Column("number", Text),
    Column("party", Text, nullable=False),
    Column("invoice_date", Date),
    Column("currency", Text, nullable=False),
    Column("net", Numeric, nullable=False),
    Column("tax", Numeric, nullable=False),
    Column("total", Numeric, nullable=False),
    Column("open_amount", Numeric, nullable=False),
    Column("lines", Integer, nullable=False, server_default=text("0")),
    Column("state", Text, nullable=False),
    _at("read_at"),
)

# Trouble with an item: one open row per (code, object); it resolves by itself when its cause has gone. Items of one
# `cause` are cleared together. `assignee` and `priority` are what people chose, null where nobody did. While it is
# `dismissed`, somebody has resolved it although its cause lasts: the same trouble opens no other row.
exception_item = Table(
    "exception_item",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("code", Text, nullable=False),
    Column("fault_class", Text, nullable=False),
    Column("owner", Text, nullable=False),
    Column("object_id", Text, nullable=False),
    Column("scope", Text, nullable=False),
    Column("legal_entity", Text),
    Column("service_month", Text),
    Column("minutes", Integer),
    Column("detail", Text, nullable=False),
    Column("evidence", JSONB, nullable=False),
    _at("first_seen_at"),
    _at("last_seen_at"),
    _at("resolved_at", nullable=True),
    Column("resolution", Text),
    Column("cause", Text, nullable=False, server_default=text("''")),
    Column("assignee", Text),
    Column("priority", Text),
    Column("dismissed", Boolean, nullable=False, server_default=text("false")),
    CheckConstraint("priority IN ('urgent', 'high', 'normal', 'low')", name="priority"),
    CheckConstraint("NOT dismissed OR resolved_at IS NOT NULL", name="dismissed"),
    Index(
        "ix_exception_item_cause",
        "tenant",
        "code",
        "cause",
        postgresql_where=text("resolved_at IS NULL"),
    ),
    Index("ix_exception_item_dismissed", "tenant", "scope", postgresql_where=text("dismissed")),
    Index(
        "ix_exception_item_open",
        "tenant",
        "scope",
        "object_id",
        "code",
        unique=True,
        postgresql_where=text("resolved_at IS NULL"),
    ),
)

# Where each incremental read stands.
sync_cursor = Table(
    "sync_cursor",
    metadata,
    Column("tenant", Text, primary_key=True),
    Column("source", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("value", Text, nullable=False),
    _at("updated_at"),
)
