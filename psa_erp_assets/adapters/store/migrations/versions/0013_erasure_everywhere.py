"""An erasure may name the personal text of a row in any append-only table, and more than one may name a row."""

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

# By table: the key that an erasure names a row by, what of a row may be erased, and what of it never changes.
_ERASABLE = {
    "audit_entry": (("id",), ("detail",), ("tenant", "kind", "subject", "actor", "recorded_at")),
    "credit": (
        ("credit_id",),
        ("reason",),
        ("tenant", "object_id", "minutes", "rebill", "in_erp", "requested_by", "requested_at"),
    ),
    "decision": (
        ("id",),
        ("body",),
        ("tenant", "object_id", "revision", "outcome", "content_hash", "decided_at"),
    ),
    "exception_note": (("id",), ("body",), ("item_id", "written_by", "written_at")),
    "exception_request": (
        ("id",),
        ("reason", "difference"),
        ("tenant", "kind", "item_ids", "legal_entities", "requested_by", "requested_at"),
    ),
    "exception_request_end": (("request_id",), ("note", "result"), ("state", "ended_by", "ended_at")),
    "mapping_decision": (
        ("id",),
        ("reason", "before"),
        (
            "tenant", "kind", "object_type", "system", "source_ids", "canonical_id", "valid_from", "valid_to",
            "proposal_id", "undoes", "decided_by", "decided_at",
        ),
    ),
    "period_choice": (
        ("id",),
        ("reason",),
        ("tenant", "object_id", "effect_type", "choice", "posting_date", "chosen_by", "chosen_at", "basis"),
    ),
    "plan_item": (
        ("section_id", "seq"),
        ("reason", "body"),
        (
            "action", "effect_type", "object_id", "contract_id", "key", "target_key", "amount", "currency", "minutes",
        ),
    ),
    "posting_event": (
        ("id",),
        ("detail",),
        ("key", "event", "from_state", "to_state", "fence", "worker", "at"),
    ),
    "work_fact": (
        ("object_id", "revision"),
        ("body",),
        ("tenant", "kind", "inbox_id", "recorded_at"),
    ),
    "write_off": (
        ("id",),
        ("reason",),
        ("tenant", "object_id", "revision", "requested_by", "approved_by", "approved_at"),
    ),
}  # fmt: skip

# The one way in which such a row can change: to what the latest erasure of it, which cannot be changed itself and
# stands in the log, has named. The arguments are the columns of the key and those that may be erased.
_ONLY_ERASED_COLUMNS = """
CREATE FUNCTION ops.only_erased_columns() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    kept_ref text;
    becomes jsonb;
BEGIN
    SELECT string_agg(to_jsonb(OLD) ->> name, '@' ORDER BY place) INTO kept_ref
    FROM unnest(string_to_array(TG_ARGV[0], ',')) WITH ORDINALITY AS key (name, place);
    SELECT jsonb_object_agg(name, to_jsonb(NEW) -> name) INTO becomes
    FROM unnest(string_to_array(TG_ARGV[1], ',')) AS erased (name);
    IF becomes IS DISTINCT FROM (
        SELECT e.replacement FROM ops.audit_erasure e
        WHERE e.tenant = coalesce(to_jsonb(OLD) ->> 'tenant', e.tenant) AND e.source = TG_TABLE_NAME
            AND e.ref = kept_ref
        ORDER BY e.entry_id DESC LIMIT 1
    ) THEN
        RAISE EXCEPTION 'table %.% is append-only: % is refused but for an erasure', TG_TABLE_SCHEMA, TG_TABLE_NAME,
            TG_OP USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END
$$
"""


def upgrade() -> None:
    """Narrow ways for erasures in the tables that had none."""
    _key(["tenant", "source", "ref", "entry_id"])
    op.execute(_ONLY_ERASED_COLUMNS)
    for table, (key, erased, others) in _ERASABLE.items():
        op.execute(f"DROP TRIGGER append_only ON ops.{table}")
        op.execute(
            f"CREATE TRIGGER append_only BEFORE UPDATE OF {', '.join((*key, *others))} OR DELETE OR TRUNCATE"
            f" ON ops.{table} FOR EACH STATEMENT EXECUTE FUNCTION ops.refuse_change()"
        )
        op.execute(
            f"CREATE TRIGGER only_erasure BEFORE UPDATE OF {', '.join(erased)} ON ops.{table}"
            f" FOR EACH ROW EXECUTE FUNCTION ops.only_erased_columns('{','.join(key)}', '{','.join(erased)}')"
        )


def downgrade() -> None:
    """Undo it. Where two erasures named a row, the later one stays."""
    for table in _ERASABLE:
        op.execute(f"DROP TRIGGER only_erasure ON ops.{table}")
        op.execute(f"DROP TRIGGER append_only ON ops.{table}")
        op.execute(
            f"CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ops.{table}"
            " FOR EACH STATEMENT EXECUTE FUNCTION ops.refuse_change()"
        )
    op.execute("DROP FUNCTION ops.only_erased_columns()")
    op.execute("ALTER TABLE ops.audit_erasure DISABLE TRIGGER append_only")
    op.execute(
        "DELETE FROM ops.audit_erasure e USING ops.audit_erasure later WHERE later.tenant = e.tenant"
        " AND later.source = e.source AND later.ref = e.ref AND later.entry_id > e.entry_id"
    )
    op.execute("ALTER TABLE ops.audit_erasure ENABLE TRIGGER append_only")
    _key(["tenant", "source", "ref"])


def _key(columns: list[str]) -> None:
    op.drop_constraint("pk_audit_erasure", "audit_erasure", schema="ops", type_="primary")
    op.create_primary_key(op.f("pk_audit_erasure"), "audit_erasure", columns, schema="ops")
