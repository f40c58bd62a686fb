"""The inbox: every version of every source object, as fetched."""

import datetime as dt
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, func, insert, select, update
from sqlalchemy.dialects.postgresql import insert as pg_insert

from psa_erp_assets.adapters.store.schema import inbox, source_object
from psa_erp_assets.domain.keys import content_hash


@dataclass(frozen=True, slots=True, kw_only=True)
class Payload:
    """A source object as fetched. The body is kept as it came."""

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

    Writers of one source take turns, so that two fetches of one object cannot both call theirs the next version.
    """
    connection.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(f"inbox:{tenant}:{source}", 0))))
    latest_by_id = {p.object_id: p for p in payloads}
    heads = {
        row.object_id: row
        for row in connection.execute(
            select(source_object.c.object_id, source_object.c.version, source_object.c.content_hash).where(
                source_object.c.tenant == tenant,
                source_object.c.source == source,
                source_object.c.object_type == object_type,
                source_object.c.object_id.in_(latest_by_id),
            )
        )
    }
    identity = {"tenant": tenant, "source": source, "object_type": object_type}
    rows = []
    for object_id, payload in latest_by_id.items():
        head, digest = heads.get(object_id), content_hash(payload.body)
        if head is None or head.content_hash != digest:
            version = head.version + 1 if head else 1
            rows.append(
                identity
                | {
                    "object_id": object_id,
                    "version": version,
                    "content_hash": digest,
                    "payload": payload.body,
                    "arrived_by": arrived_by,
                    "received_at": now,
                }
            )
    seen_again = latest_by_id.keys() - {row["object_id"] for row in rows}
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
