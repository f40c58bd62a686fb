"""The inbox: every version of every source object, as fetched."""

import datetime as dt
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, func, insert, select, update
from sqlalchemy.dialects.postgresql import insert as pg_insert

from psa_erp_assets.adapters.store.schema import inbox, source_object
from psa_erp_assets.domain.keys import content_hash

# How much longer one reading can take than another that began after it. Beyond it, the clock was put back.
_LONGEST_READING = dt.timedelta(hours=1)
# What JSON can spell and PostgreSQL cannot hold.
_NOT_STORABLE = re.compile("[\x00\ud800-\udfff]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Payload:
    """A source object as fetched. The body is kept as it came, but for text that PostgreSQL cannot hold."""

    object_id: str
    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredPayload:
    """A version of an object that was not known before."""

    inbox_id: int
    object_id: str
    body: Mapping[str, Any]


def record(
    connection: Connection,
    *,
    tenant: str,
    source: str,
    object_type: str,
    payloads: Iterable[Payload],
    arrived_by: str,
    now: dt.datetime,
) -> list[StoredPayload]:
    """Keep what is new and answer with just that; what equals the object's latest version is only seen again.

    `now` is when the reading began: of an object that a reading which began later has stored already, what this one
    brings is old and is ignored. Writers of one source take turns (`lock`), so that two fetches of one object cannot
    both call theirs the next version.
    """
    lock(connection, tenant=tenant, source=source)
    latest_by_id = {p.object_id: p for p in payloads}
    content = source_object.c
    heads = {
        row.object_id: row
        for row in connection.execute(
            select(content.object_id, content.version, content.content_hash, content.last_seen_at).where(
                source_object.c.tenant == tenant,
                source_object.c.source == source,
                source_object.c.object_type == object_type,
                source_object.c.object_id.in_(latest_by_id),
            )
        )
    }
    identity = {"tenant": tenant, "source": source, "object_type": object_type}
    rows = []
    overtaken = {i for i, head in heads.items() if now < head.last_seen_at <= now + _LONGEST_READING}
    for object_id, payload in latest_by_id.items():
        if object_id in overtaken:
            continue
        body = _storable(payload.body)
        head, digest = heads.get(object_id), content_hash(body)
        if head is None or head.content_hash != digest:
            version = head.version + 1 if head else 1
            rows.append(
                identity
                | {
                    "object_id": object_id,
                    "version": version,
                    "content_hash": digest,
                    "payload": body,
                    "arrived_by": arrived_by,
                    "received_at": now,
                }
            )
    seen_again = latest_by_id.keys() - {row["object_id"] for row in rows} - overtaken
    if seen_again:
        connection.execute(
            update(source_object)
            .where(*(source_object.c[name] == value for name, value in identity.items()))
            .where(source_object.c.object_id.in_(seen_again))
            .values(last_seen_at=now)
        )
    if not rows:
        return []
    stored = connection.execute(
        insert(inbox).returning(
            inbox.c.id, inbox.c.object_id, inbox.c.version, inbox.c.content_hash, sort_by_parameter_order=True
        ),
        rows,
    ).all()
    statement = pg_insert(source_object)
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=list(source_object.primary_key.columns),
            set_={c: statement.excluded[c] for c in ("version", "content_hash", "inbox_id", "last_seen_at")},
        ),
        [
            identity
            | {
                "object_id": row.object_id,
                "version": row.version,
                "content_hash": row.content_hash,
                "inbox_id": row.id,
                "last_seen_at": now,
            }
            for row in stored
        ],
    )
    return [
        StoredPayload(inbox_id=row.id, object_id=row.object_id, body=latest_by_id[row.object_id].body) for row in stored
    ]


def lock(connection: Connection, *, tenant: str, source: str) -> None:
    """Make other writers of this source wait until the transaction ends."""
    connection.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(f"inbox:{tenant}:{source}", 0))))


def latest(
    connection: Connection,
    *,
    tenant: str,
    source: str,
    object_type: str,
    object_ids: Collection[str] | None = None,
) -> dict[str, dict[str, Any]]:
    """The latest payload of each of these objects, or of all of the type, by object id."""
    query = (
        select(inbox.c.object_id, inbox.c.payload)
        .join(source_object, source_object.c.inbox_id == inbox.c.id)
        .where(
            source_object.c.tenant == tenant,
            source_object.c.source == source,
            source_object.c.object_type == object_type,
        )
    )
    if object_ids is not None:
        query = query.where(source_object.c.object_id.in_(object_ids))
    return {row.object_id: row.payload for row in connection.execute(query)}


def _storable(value: Any) -> Any:
    """The value with a replacement character for each that PostgreSQL would refuse the whole batch for."""
    if isinstance(value, str):
        return _NOT_STORABLE.sub("\N{REPLACEMENT CHARACTER}", value)
    if isinstance(value, Mapping):
        return {_storable(name): _storable(item) for name, item in value.items()}
    return [_storable(item) for item in value] if isinstance(value, list) else value
