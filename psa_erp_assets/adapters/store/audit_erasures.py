"""Statements that erase personal data, each through the one narrow way that the database leaves open.

What stands for a row is first named in `audit_erasure`, which is append-only; only then do the triggers let the row
become just that.
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Select, delete, insert, or_, select, update

from psa_erp_assets.adapters.store.audit_sources import any_of
from psa_erp_assets.adapters.store.schema import inbox, master_record, source_object, time_entry
from psa_erp_assets.adapters.store.schema_audit import audit_erasure, audit_leaf, audit_personal

ERASED = "erased"
# What tells something about a person in a payload or a record, whatever vendor it is of. Ids stay: they are pseudonyms,
# and without them hours and invoices would no longer add up.
_PERSONAL = frozenset(
    {
        "name", "full_name", "fullName", "displayName", "first_name", "firstName", "last_name", "lastName", "email",
        "workEmail", "work_email", "userName", "userEmail", "employee_name", "description", "notes", "note", "comment",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Erasable:
    """A row with personal data, and what is to take its place."""

    source: str
    ref: str
    replacement: Any


def of_person(connection: Connection, tenant: str, person: str) -> list[Erasable]:
    """What is kept of a person and may go: versions that newer ones have replaced, and values in audit entries."""
    content = inbox.c.payload
    theirs = or_(
        content["user_id"].astext == person, content["userId"].astext == person,
        content["entry"]["userId"].astext == person,
    )  # fmt: skip
    record = master_record.c
    people = select(master_record).where(
        record.tenant == tenant,
        record.superseded_at.is_not(None),
        or_(
            (record.object_type == "psa_user") & (record.body["psa_id"].astext == person),
            (record.object_type == "employee") & (record.body["psa_user_id"].astext == person),
        ),
    )
    values = select(audit_personal.c.ref).where(audit_personal.c.tenant == tenant, audit_personal.c.person == person)
    found = [
        *_payloads(connection, tenant, _old_payloads(tenant).where(theirs)),
        *_descriptions(connection, _old_entries(tenant).where(time_entry.c.psa_user_id == person)),
        *(_erasable("master_record", row.id, row.body) for row in connection.execute(people)),
        *(
            Erasable(source="audit_entry", ref=ref, replacement={})
            for ref in connection.execute(values.distinct()).scalars()
        ),
    ]
    return _not_yet(connection, tenant, found)


def older_than(connection: Connection, tenant: str, day: dt.datetime) -> list[Erasable]:
    """Payloads and descriptions of before an instant that newer ones have replaced."""
    found = [
        *_payloads(connection, tenant, _old_payloads(tenant).where(inbox.c.received_at < day)),
        *_descriptions(connection, _old_entries(tenant).where(time_entry.c.recorded_at < day)),
    ]
    return _not_yet(connection, tenant, found)


def erase(
    connection: Connection, tenant: str, wanted: Sequence[Erasable], *, entry_id: int, person: str | None
) -> None:
    """Put the replacements in their places, and forget what opens the commitments. `entry_id` says who and why."""
    if not wanted:
        return
    connection.execute(
        insert(audit_erasure),
        [
            {"tenant": tenant, "source": e.source, "ref": e.ref, "replacement": e.replacement, "entry_id": entry_id}
            for e in wanted
        ],
    )
    for one in wanted:
        if one.source == "inbox":
            changed = update(inbox).where(inbox.c.id == int(one.ref)).values(payload=one.replacement)
        elif one.source == "master_record":
            changed = update(master_record).where(master_record.c.id == int(one.ref)).values(body=one.replacement)
        elif one.source == "time_entry":
            entry_id_, _, revision = one.ref.rpartition("@")
            table = time_entry.c
            changed = (
                update(time_entry)
                .where(table.tenant == tenant, table.entry_id == entry_id_, table.revision == int(revision))
                .values(description=one.replacement)
            )
        else:
            continue
        connection.execute(changed)
    opens = audit_personal.c
    for one in wanted:
        gone = delete(audit_personal).where(opens.tenant == tenant, opens.source == one.source, opens.ref == one.ref)
        # An entry may tell something about other people too, who have not asked.
        connection.execute(gone if one.source != "audit_entry" else gone.where(opens.person == person))


def left_of(connection: Connection, tenant: str, person: str) -> dict[str, int]:
    """What is kept of a person because it is what invoices and the present rest on, counted."""
    record = master_record.c
    current = select(record.id).where(
        record.tenant == tenant,
        record.superseded_at.is_(None),
        or_(
            (record.object_type == "psa_user") & (record.body["psa_id"].astext == person),
            (record.object_type == "employee") & (record.body["psa_user_id"].astext == person),
        ),
    )
    newest = (
        select(time_entry.c.entry_id)
        .where(time_entry.c.tenant == tenant, time_entry.c.psa_user_id == person)
        .distinct()
    )
    return {
        "master_record": len(connection.execute(current).all()),
        "time_entry": len(connection.execute(newest).all()),
    }


def redacted(body: Any) -> Any:
    """A body with a word in the place of each text that tells something about a person; ids and figures stay."""
    if isinstance(body, Mapping):
        return {
            key: ERASED if key in _PERSONAL and isinstance(value, str) and value else redacted(value)
            for key, value in body.items()
        }
    return [redacted(item) for item in body] if isinstance(body, list) else body


def _old_payloads(tenant: str) -> Select[Any]:
    """Versions that are not the latest of their object: those are what is billed."""
    latest = select(source_object.c.inbox_id).where(source_object.c.tenant == tenant)
    return select(inbox.c.id, inbox.c.payload).where(inbox.c.tenant == tenant, inbox.c.id.not_in(latest))


def _old_entries(tenant: str) -> Select[Any]:
    table, newer = time_entry.c, time_entry.alias("newer")
    later = select(newer.c.revision).where(
        newer.c.tenant == table.tenant, newer.c.entry_id == table.entry_id, newer.c.revision > table.revision
    )
    return select(table.entry_id, table.revision).where(table.tenant == tenant, table.description != "", later.exists())


def _payloads(connection: Connection, tenant: str, query: Select[Any]) -> list[Erasable]:
    found = [_erasable("inbox", row.id, row.payload) for row in connection.execute(query)]
    sealed = select(audit_leaf.c.ref).where(
        audit_leaf.c.tenant == tenant, audit_leaf.c.source == "inbox", any_of(audit_leaf.c.ref, [e.ref for e in found])
    )
    there = set(connection.execute(sealed).scalars())
    # What is not in the log yet could never be checked against it; the next erasure finds it.
    return [e for e in found if e.ref in there]


def _descriptions(connection: Connection, query: Select[Any]) -> list[Erasable]:
    return [
        Erasable(source="time_entry", ref=f"{row.entry_id}@{row.revision}", replacement="")
        for row in connection.execute(query)
    ]


def _erasable(source: str, row_id: int, body: Any) -> Erasable:
    return Erasable(source=source, ref=str(row_id), replacement=redacted(body))


def _not_yet(connection: Connection, tenant: str, found: Sequence[Erasable]) -> list[Erasable]:
    table = audit_erasure.c
    done = {
        (row.source, row.ref)
        for row in connection.execute(select(table.source, table.ref).where(table.tenant == tenant))
    }
    return [e for e in found if (e.source, e.ref) not in done]
