"""Master data in the store: versions of canonical records, as JSON bodies of the dataclasses in `domain.records`."""

import datetime as dt
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from decimal import Decimal
from enum import Enum
from types import NoneType, UnionType
from typing import Any, TypeVar, get_args, get_type_hints

from sqlalchemy import Connection, func, insert, select, update

from psa_erp_assets.adapters.store.schema import master_record
from psa_erp_assets.domain.keys import content_hash
from psa_erp_assets.domain.money import Money

_Record = TypeVar("_Record")


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
    connection.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(f"master:{tenant}:{object_type}", 0))))
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


def load_all(connection: Connection, *, tenant: str, object_type: str, record_type: type[_Record]) -> list[_Record]:
    """The current records of a type, in the order of their ids."""
    bodies = connection.execute(
        select(master_record.c.body)
        .where(
            master_record.c.tenant == tenant,
            master_record.c.object_type == object_type,
            master_record.c.superseded_at.is_(None),
        )
        .order_by(master_record.c.canonical_id)
    ).scalars()
    return [from_body(record_type, body) for body in bodies]


def changed_at(connection: Connection, *, tenant: str, object_type: str) -> dt.datetime | None:
    """When a record of the type last got a new version, None where there never was one."""
    moment: dt.datetime | None = connection.execute(
        select(func.max(master_record.c.recorded_at)).where(
            master_record.c.tenant == tenant, master_record.c.object_type == object_type
        )
    ).scalar_one()
    return moment


def to_body(record: Any) -> dict[str, Any]:
    """A record as a JSON body: dates as ISO text, decimals as strings."""
    return {name: _plain(value) for name, value in asdict(record).items()}


def from_body(record_type: type[_Record], body: dict[str, Any]) -> _Record:
    """The inverse of `to_body`, by the record's own annotations."""
    hints = get_type_hints(record_type)
    return record_type(**{name: _typed(hints[name], value) for name, value in body.items()})


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Decimal):
        return str(value)
    return value.isoformat() if isinstance(value, dt.date) else value


def _typed(hint: Any, value: Any) -> Any:
    if value is None:
        return None
    if isinstance(hint, UnionType):
        hint = next(t for t in get_args(hint) if t is not NoneType)
    if hint is Money:
        return Money(Decimal(value["amount"]), value["currency"])
    if hint in (dt.date, dt.datetime):
        return hint.fromisoformat(value)
    if hint is Decimal or (isinstance(hint, type) and issubclass(hint, Enum)):
        return hint(value)
    return value
