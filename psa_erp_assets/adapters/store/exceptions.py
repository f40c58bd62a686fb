"""Statements on exception items: open or touch what a look has seen, resolve what it no longer sees, list both.

An item is open once per (scope, code, object). The scope names who looks, such as "plan:US:2026-09", so that one
look never resolves what another one has found. What somebody has dismissed is not opened again by a look that sees
just the same.

What belongs here: what looks do to items. What does not: what people do about them (`exception_work`).
"""

import datetime as dt
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    RowMapping,
    Text,
    cast,
    func,
    literal,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY, insert

from psa_erp_assets.adapters.store.conditions import among_rows, of_entities
from psa_erp_assets.adapters.store.schema import exception_item, work_head
from psa_erp_assets.domain.exception_duties import OF_A_CONTRACT, cause_of
from psa_erp_assets.domain.faults import FAULTS, FaultClass, Owner

GONE = "no longer seen"
ITEM_COLUMNS = tuple(column for column in exception_item.c if column.name not in ("tenant", "scope", "dismissed"))
"""What is told of an item: all but whose it is, who found it, and how the next look goes about it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """Trouble with one object as a look has just seen it. `code` is one of `faults.FAULTS`."""

    code: str
    object_id: str
    detail: str
    evidence: Mapping[str, Any] = field(default_factory=dict)
    legal_entity: str | None = None
    service_month: str | None = None
    minutes: int | None = None


def open_or_touch(connection: Connection, tenant: str, scope: str, items: Iterable[Sighting], now: dt.datetime) -> None:
    """Open an item for each sighting, or bring the open one up to date; `first_seen_at` stays.

    Two sightings of one (code, object) are one item with the content of the later. One that was dismissed with the
    same detail stays as it is. Raises KeyError for a code that is not in `faults.FAULTS`.
    """
    latest = {(item.code, item.object_id): item for item in items}
    if not latest:
        return
    for known in _dismissed(connection, tenant, scope):
        found = latest.get((known["code"], known["object_id"]))
        if found is not None and found.detail == known["detail"]:
            del latest[known["code"], known["object_id"]]
    if not latest:
        return
    contracts = _contracts(connection, tenant, latest.values())
    table = exception_item.c
    statement = insert(exception_item)
    changing = ("fault_class", "owner", "legal_entity", "service_month", "minutes", "detail", "evidence", "cause")
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=[table.tenant, table.scope, table.code, table.object_id],
            index_where=table.resolved_at.is_(None),
            set_={name: statement.excluded[name] for name in (*changing, "last_seen_at")},
        ),
        [_row(tenant, scope, item, contracts, now) for _, item in sorted(latest.items())],
    )


def resolve_absent(
    connection: Connection,
    tenant: str,
    scope: str,
    seen: Collection[tuple[str, str]],
    now: dt.datetime,
    *,
    looked_at: Collection[str] | None = None,
    resolution: str = GONE,
) -> int:
    """Resolve the open items of a scope whose (code, object id) is not among `seen`; returns how many.

    What was dismissed and has gone now opens anew when it comes back. A look at some objects alone says nothing of the
    others: it passes their ids as `looked_at`, and only items of these resolve. Not to be called after a look that
    failed: a failed read is not an empty read.
    """
    table = exception_item.c
    still = frozenset(seen)
    mine = None if looked_at is None else frozenset(looked_at)

    def absent(rows: Iterable[RowMapping]) -> list[int]:
        return [
            row["id"]
            for row in rows
            if (row["code"], row["object_id"]) not in still and (mine is None or row["object_id"] in mine)
        ]

    if forgotten := absent(_dismissed(connection, tenant, scope)):
        connection.execute(update(exception_item).where(table.id.in_(forgotten)).values(dismissed=False))
    resolved = absent(_open(connection, tenant, scope, looked_at))
    if not resolved:
        return 0
    statement = update(exception_item).where(table.id == func.any(_numbers(resolved)), table.resolved_at.is_(None))
    return connection.execute(statement.values(resolved_at=now, resolution=resolution)).rowcount


def count_open(connection: Connection, tenant: str, entities: Collection[str] | None = None) -> Sequence[RowMapping]:
    """Open items by code: fault_class, code, owner, how many, minutes concerned, and since when the oldest."""
    table = exception_item.c
    statement = (
        select(
            table.fault_class,
            table.code,
            table.owner,
            func.count().label("items"),
            func.coalesce(func.sum(table.minutes), 0).label("minutes"),
            func.min(table.first_seen_at).label("oldest_at"),
        )
        .where(table.tenant == tenant, table.resolved_at.is_(None), of_entities(table.legal_entity, entities))
        .group_by(table.fault_class, table.code, table.owner)
        .order_by(func.count().desc(), table.code)
    )
    return connection.execute(statement).mappings().all()


def list_items(
    connection: Connection,
    tenant: str,
    *,
    resolved: bool = False,
    code: str | None = None,
    fault_class: FaultClass | None = None,
    owner: Owner | None = None,
    object_ids: Collection[str] | None = None,
    entities: Collection[str] | None = None,
    limit: int | None = None,
) -> Sequence[RowMapping]:
    """Open items, oldest first; with `resolved` the resolved ones, latest first. Each filter narrows the list."""
    table = exception_item.c
    statement = select(*ITEM_COLUMNS).where(table.tenant == tenant, of_entities(table.legal_entity, entities))
    if resolved:
        statement = statement.where(table.resolved_at.is_not(None)).order_by(table.resolved_at.desc(), table.id.desc())
    else:
        statement = statement.where(table.resolved_at.is_(None)).order_by(table.first_seen_at, table.id)
    for column, wanted in ((table.code, code), (table.fault_class, fault_class), (table.owner, owner)):
        if wanted is not None:
            statement = statement.where(column == str(wanted))
    if object_ids is not None:
        statement = statement.where(table.object_id == func.any(_texts(list(object_ids))))
    return connection.execute(statement.limit(limit)).mappings().all()


def _texts(values: Sequence[str]) -> ColumnElement[Sequence[str]]:
    return cast(literal(list(values), ARRAY(Text)), ARRAY(Text))


def _numbers(values: Sequence[int]) -> ColumnElement[Sequence[int]]:
    return cast(literal(list(values), ARRAY(BigInteger)), ARRAY(BigInteger))


def _open(connection: Connection, tenant: str, scope: str, object_ids: Collection[str] | None) -> Sequence[RowMapping]:
    """The open items of a scope, or those of some objects."""
    table = exception_item.c
    statement = select(table.id, table.code, table.object_id).where(
        table.tenant == tenant, table.scope == scope, table.resolved_at.is_(None)
    )
    if object_ids is not None:
        statement = statement.where(among_rows(table.object_id, object_ids))
    return connection.execute(statement).mappings().all()


def _dismissed(connection: Connection, tenant: str, scope: str) -> Sequence[RowMapping]:
    table = exception_item.c
    statement = select(table.id, table.code, table.object_id, table.detail)
    mine = (table.tenant == tenant, table.scope == scope, table.dismissed)
    return connection.execute(statement.where(*mine)).mappings().all()


def _contracts(connection: Connection, tenant: str, items: Iterable[Sighting]) -> Mapping[str, str]:
    """The contracts of the objects whose trouble is their contract's."""
    ids = {item.object_id.partition("#")[0] for item in items if item.code in OF_A_CONTRACT}
    if not ids:
        return {}
    head = work_head.c
    rows = connection.execute(
        select(head.object_id, head.contract_id).where(
            head.tenant == tenant, head.object_id == func.any(_texts(list(ids))), head.contract_id.is_not(None)
        )
    )
    return {row.object_id: row.contract_id for row in rows}


def _contract_of(object_id: str, contracts: Mapping[str, str]) -> str | None:
    kind, _, rest = object_id.partition(":")
    return rest.partition(":")[0] if kind == "contract" else contracts.get(object_id.partition("#")[0])


def _row(tenant: str, scope: str, item: Sighting, contracts: Mapping[str, str], now: dt.datetime) -> dict[str, Any]:
    fault = FAULTS[item.code]
    return {
        "cause": cause_of(
            item.code,
            item.detail,
            object_id=item.object_id,
            place=item.evidence.get("erp_company"),
            contract_id=_contract_of(item.object_id, contracts),
        ),
        "tenant": tenant,
        "code": fault.code,
        "fault_class": fault.fault_class.value,
        "owner": fault.owner.value,
        "object_id": item.object_id,
        "scope": scope,
        "legal_entity": item.legal_entity,
        "service_month": item.service_month,
        "minutes": item.minutes,
        "detail": item.detail,
        "evidence": dict(item.evidence),
        "first_seen_at": now,
        "last_seen_at": now,
    }
