"""What becomes of texts about a person, and that no column with texts has been forgotten."""

from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import ARRAY, Text
from sqlalchemy.dialects.postgresql import JSONB

from psa_erp_assets.adapters.store.all_tables import metadata
from psa_erp_assets.adapters.store.audit_places import PLACES
from psa_erp_assets.domain.erasure import ERASED, Person, redacted

WORK = "time_entry:clockify:e1"
ADA = Person(
    id="u1",
    names=frozenset({"Ada Lovelace", "Lovelace, Ada"}),
    addresses=frozenset({"ada.lovelace@example.com"}),
    objects=frozenset({WORK, "expense:clockify:x1"}),
    texts={WORK: {"met the board", "met"}, "expense:clockify:x1": {"taxi home"}},
)

# Tables without a text about anybody but those who work in the console, who answer for what they did, and why.
WITHOUT = {
    "account": "who may sign in",
    "account_grant": "who may do what",
    "api_token": "named by its owner",
    "signed_in": "browsers of who may sign in; they end",
    "one_time_link": "hashes",
    "sign_in_attempt": "hashes and addresses of the last day",
    "audit_leaf": "ids and hashes",
    "audit_personal": "erased with its entry: audit_erasures.erase",
    "audit_erasure": "what takes the place of what was erased",
    "audit_checkpoint": "hashes",
    "audit_tree": "hashes",
    "audit_progress": "numbers",
    "audit_verification": "refs of rows",
    "settings_version": "the company's own settings",
    "sync_cursor": "instants",
    "connection_state": "kinds of errors",
    "contract_balance": "amounts by component",
    "source_object": "ids and hashes",
    "work_head": "ids",
    "mapping": "ids",
    "plan_section": "sums",
    "posting_claim": "ids",
    "erp_document": "ids and amounts",
    "erp_invoice": "ids and amounts",
    "erp_payment": "ids and amounts",
    "notification_event": "codes",
    "notification_route": "names of routes",
    "trace_position": "numbers",
    "reporting_run": "numbers and hashes of models",
}
# Columns of the other tables that hold ids, codes, hashes, units, or who did something.
KNOWN = {
    "tenant", "id", "key", "target_key", "depends_on", "source", "system", "entity", "object_type", "object_id",
    "canonical_id", "source_id", "source_ids", "other_id", "other_system", "owner_system", "field", "entry_id",
    "psa_user_id", "psa_project_id", "contract_id", "contracts", "legal_entity", "legal_entities", "service_month",
    "erp_company", "erp_id", "worker", "kind", "event", "code", "fault_code", "fault_class", "owner", "scope", "state",
    "status", "outcome", "action", "operation", "leg", "effect_type", "choice", "method", "on_change", "priority",
    "arrived_by", "content_hash", "payload_hash", "facts_hash", "basis", "delivery_id", "currency", "time_zone", "task",
    "work_types", "from_state", "to_state", "subject", "actor", "credit_id", "route", "channel", "target", "number",
    "requested_by", "approved_by", "decided_by", "proposed_by", "chosen_by", "written_by", "ended_by", "created_by",
    "reviewed_by", "assignee", "approval_reasons", "item_ids",
}  # fmt: skip


def test_every_column_with_texts_is_erased_or_known_to_hold_none() -> None:
    """Somebody adds a table or a column, and a person stays in it for good."""
    columns = {place.name: set(place.columns) for place in PLACES}
    forgotten = [
        f"{table.name}.{column.name}"
        for table in metadata.sorted_tables
        if table.name not in WITHOUT
        for column in table.columns
        if isinstance(column.type, Text | JSONB | ARRAY)
        and column.name not in columns.get(table.name, set())
        and not (column.name in KNOWN and table.name in columns)
    ]
    assert forgotten == []
    assert {table.name for table in metadata.sorted_tables} >= WITHOUT.keys() | columns.keys()
    assert not WITHOUT.keys() & columns.keys()


def test_a_name_becomes_the_same_word_everywhere() -> None:
    """What is decided from erased records would differ from what was posted, and the books would be corrected."""
    name = ADA.pseudonym
    assert ADA.cleaned("ADA LOVELACE <ada.lovelace@example.com> left") == f"{name} <{name}@erased.invalid> left"
    record = ADA.body({"psa_id": "u1", "name": "Ada Lovelace", "email": "x@y.z", "role": "Lead"})
    assert record == {"psa_id": "u1", "name": name, "email": ADA.address, "role": "Lead"}
    payload = {"employee_name": "Ada Lovelace", "description": "met the board", "minutes": 30}
    assert ADA.body(payload, work=WORK) == {"employee_name": name, "description": ERASED, "minutes": 30}


def test_what_the_sync_puts_before_a_text_stays() -> None:
    """An expense's line would be another one than its erased fact makes."""
    assert ADA.described("Travel: taxi home", "expense:clockify:x1") == f"Travel: {ERASED}"
    assert ADA.described("", WORK) == ""
    assert ADA.described("typed by finance", WORK) == ERASED


def test_only_what_is_theirs_goes_from_a_body_of_several_people() -> None:
    """A request about ten people's work would lose the others' texts."""
    difference = {
        "items": [
            {"object_id": WORK, "detail": "met the board: Ada has no rate", "description": "x"},
            {"object_id": "time_entry:clockify:e2", "detail": "Ada Lovelace was there", "description": "y"},
        ]
    }
    mine, other = ADA.body(difference)["items"]
    assert mine["description"] == ERASED
    assert "board" not in mine["detail"]
    assert other == {
        "object_id": "time_entry:clockify:e2", "detail": f"{ADA.pseudonym} was there", "description": "y"
    }  # fmt: skip


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(("name", "id", "notes", "x")), inner),
    max_leaves=12,
)


@given(_json, st.sampled_from((None, "", WORK)))
def test_erasing_twice_is_erasing_once(body: object, work: str | None) -> None:
    """Each erasure would be followed by another, and the log never come to rest."""
    once = ADA.body(body, work=work)
    assert ADA.body(once, work=work) == once
    assert redacted(redacted(body)) == redacted(body)
