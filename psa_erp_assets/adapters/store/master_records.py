"""Master data in the store: versions of canonical records, as JSON bodies of the dataclasses in `domain.records`."""

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy import Connection, func, insert, select, update

from psa_erp_assets.adapters.store.bodies import from_body, to_body
from psa_erp_assets.adapters.store.schema import master_record
from psa_erp_assets.domain.keys import content_hash

_Record = TypeVar("_Record")

LONGEST_READING = dt.timedelta(hours=1)
"""How much longer one reading can take than another that began after it."""


@dataclass(frozen=True, slots=True)
class Change:
    """How many records of a type are new, changed, gone, and the same as before."""

    added: int
    changed: int
    removed: int
    unchanged: int


def replace_all(
    connection: Connection,
    *,
    tenant: str,
    object_type: str,
    source: str,
    records: Iterable[tuple[str, Any]],
    now: dt.datetime,
) -> Change:
    """Make `records` (canonical id, dataclass) the current ones of the type. Earlier versions stay, closed at `now`."""
    _lock(connection, tenant, object_type)
    wanted = {canonical_id: to_body(record) for canonical_id, record in records}
    scope = (master_record.c.tenant == tenant, master_record.c.object_type == object_type)
    current = {
        row.canonical_id: row
        for row in connection.execute(
            select(master_record.c.id, master_record.c.canonical_id, master_record.c.content_hash).where(
                *scope, master_record.c.superseded_at.is_(None)
            )
        )
    }
    versions = {
        row.canonical_id: row.version
        for row in connection.execute(
            select(master_record.c.canonical_id, func.max(master_record.c.version).label("version"))
            .where(*scope)
            .group_by(master_record.c.canonical_id)
        )
    }
    hashes = {canonical_id: content_hash(body) for canonical_id, body in wanted.items()}
    fresh = [i for i in wanted if i not in current or current[i].content_hash != hashes[i]]
    closed = [row.id for i, row in current.items() if i not in wanted or row.content_hash != hashes[i]]
    if closed:
        connection.execute(update(master_record).where(master_record.c.id.in_(closed)).values(superseded_at=now))
    if fresh:
        connection.execute(
            insert(master_record),
            [
                {
                    "tenant": tenant,
                    "object_type": object_type,
                    "canonical_id": i,
                    "version": versions.get(i, 0) + 1,
                    "body": wanted[i],
                    "content_hash": hashes[i],
                    "source": source,
                    "recorded_at": now,
                }
                for i in fresh
            ],
        )
    added = sum(i not in current for i in fresh)
    return Change(
        added=added,
        changed=len(fresh) - added,
        removed=len(current.keys() - wanted.keys()),
        unchanged=len(wanted) - len(fresh),
    )


def is_overtaken(connection: Connection, *, tenant: str, object_type: str, began: dt.datetime) -> bool:
    """Whether a reading that began later than `began` has changed the records already; makes other writers wait.

    What an older one brings would take a change back until the next.
    """
    _lock(connection, tenant, object_type)
    changed: dt.datetime | None = connection.execute(
        select(func.max(func.greatest(master_record.c.recorded_at, master_record.c.superseded_at))).where(
            master_record.c.tenant == tenant, master_record.c.object_type == object_type
        )
    ).scalar_one()
    # Beyond it, the clock was put back.
    return changed is not None and began < changed <= began + LONGEST_READING


def _lock(connection: Connection, tenant: str, object_type: str) -> None:
    connection.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(f"master:{tenant}:{object_type}", 0))))


def load_all(connection: Connection, *, tenant: str, object_type: str, record_type: type[_Record]) -> list[_Record]:
    """The current records of a type, in the order of their ids; without those that are `unreadable`."""
    return _read(connection, tenant, object_type, record_type)[0]


def unreadable(connection: Connection, *, tenant: str, object_type: str, record_type: type[Any]) -> list[str]:
    """The ids of current records that an earlier version stored and this one cannot understand.

    What needs one of them is held as if it were missing. The next refresh stores it as it is now.
    """
    return _read(connection, tenant, object_type, record_type)[1]


def _read(
    connection: Connection, tenant: str, object_type: str, record_type: type[_Record]
) -> tuple[list[_Record], list[str]]:
    """The current records of a type, and the ids of those whose body makes none."""
    rows = connection.execute(
        select(master_record.c.canonical_id, master_record.c.body)
        .where(
            master_record.c.tenant == tenant,
            master_record.c.object_type == object_type,
            master_record.c.superseded_at.is_(None),
        )
        .order_by(master_record.c.canonical_id)
    )
    records, strange = list[_Record](), list[str]()
    for row in rows:
        try:
            records.append(from_body(record_type, row.body))
        except (TypeError, KeyError, ValueError, ArithmeticError):
            strange.append(row.canonical_id)
    return records, strange


def changed_at(connection: Connection, *, tenant: str, object_type: str) -> dt.datetime | None:
    """When a record of the type last got a new version, None where there never was one."""
    moment: dt.datetime | None = connection.execute(
        select(func.max(master_record.c.recorded_at)).where(
            master_record.c.tenant == tenant, master_record.c.object_type == object_type
        )
    ).scalar_one()
    return moment
