"""Statements on the work on exceptions: lists by cause, assignment, notes, requests, write-offs.

What belongs here: what people see and do. What does not: what looks do to items (`exceptions`).
"""

import datetime as dt
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Integer,
    Numeric,
    RowMapping,
    Select,
    Text,
    and_,
    any_,
    cast,
    column,
    func,
    insert,
    literal,
    or_,
    select,
    true,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql import insert as upsert

from psa_erp_assets.adapters.store.conditions import among, of_entities
from psa_erp_assets.adapters.store.exceptions import ITEM_COLUMNS
from psa_erp_assets.adapters.store.schema import decision, exception_item, posting
from psa_erp_assets.adapters.store.schema_exceptions import (
    exception_note,
    exception_request,
    exception_request_end,
    write_off,
)
from psa_erp_assets.domain.write_offs import WriteOff

_ITEM = exception_item.c


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemFilter:
    """Which items; what is None narrows nothing.

    `entities` are the legal entities that may be seen, besides what is of none, `only_entities` those without it, and
    `codes` those of an owner. `late` has for each code the
    instant before which an item must have been seen first to be overdue: None for items whether overdue or not.
    An empty `assignee` chooses items of nobody.
    """

    resolved: bool = False
    entities: frozenset[str] | None = None
    only_entities: frozenset[str] | None = None
    codes: Sequence[str] | None = None
    code: str | None = None
    cause: str | None = None
    fault_class: str | None = None
    legal_entity: str | None = None
    assignee: str | None = None
    seen_before: dt.datetime | None = None
    late: Mapping[str, dt.datetime] | None = None
    search: str | None = None
    ids: Collection[int] | None = None


def items(
    connection: Connection,
    tenant: str,
    wanted: ItemFilter,
    *,
    limit: int | None = None,
    offset: int = 0,
    lock: bool = False,
) -> Sequence[RowMapping]:
    """Items with the amount that is known to wait because of them; open ones oldest first, resolved ones latest first.

    With `lock` nobody else changes them until the transaction ends.
    """
    if lock:
        connection.execute(
            select(_ITEM.id).where(*_conditions(tenant, wanted)).order_by(_ITEM.id).limit(limit).with_for_update()
        )
    amounts = _amounts()
    statement = (
        select(*ITEM_COLUMNS, amounts.c.amount, amounts.c.currency)
        .select_from(exception_item.outerjoin(amounts, true()))
        .where(*_conditions(tenant, wanted))
    )
    order = (_ITEM.resolved_at.desc(), _ITEM.id.desc()) if wanted.resolved else (_ITEM.first_seen_at, _ITEM.id)
    return connection.execute(statement.order_by(*order).limit(limit).offset(offset)).mappings().all()


def count(connection: Connection, tenant: str, wanted: ItemFilter) -> int:
    """How many items there are."""
    statement = select(func.count()).select_from(exception_item).where(*_conditions(tenant, wanted))
    return int(connection.execute(statement).scalar_one())


def groups(
    connection: Connection, tenant: str, wanted: ItemFilter, late: Mapping[str, dt.datetime]
) -> Sequence[RowMapping]:
    """Items by code and cause, the largest group first: how many, how many of them late, minutes, since when, whose."""
    statement = (
        select(
            _ITEM.code,
            _ITEM.cause,
            func.min(_ITEM.fault_class).label("fault_class"),
            func.count().label("items"),
            func.count().filter(is_late(late)).label("overdue"),
            func.coalesce(func.sum(_ITEM.minutes), 0).cast(Integer).label("minutes"),
            func.min(_ITEM.first_seen_at).label("oldest_at"),
            func.max(_ITEM.last_seen_at).label("last_seen_at"),
            _distinct(_ITEM.legal_entity).label("legal_entities"),
            _distinct(_ITEM.assignee).label("assignees"),
            func.count().filter(_ITEM.assignee.is_(None)).label("unassigned"),
            _distinct(_ITEM.priority).label("priorities"),
        )
        .where(*_conditions(tenant, wanted))
        .group_by(_ITEM.code, _ITEM.cause)
        .order_by(func.count().desc(), _ITEM.code, _ITEM.cause)
    )
    return connection.execute(statement).mappings().all()


def group_amounts(connection: Connection, tenant: str, wanted: ItemFilter) -> Sequence[RowMapping]:
    """What is known to wait, by code, cause and currency: the sum, and the largest single amount."""
    amounts = _amounts()
    statement = (
        select(
            _ITEM.code,
            _ITEM.cause,
            amounts.c.currency,
            func.sum(amounts.c.amount).label("amount"),
            func.max(func.abs(amounts.c.amount)).label("largest"),
        )
        .select_from(exception_item.join(amounts, true()))
        .where(*_conditions(tenant, wanted), amounts.c.amount.is_not(None))
        .group_by(_ITEM.code, _ITEM.cause, amounts.c.currency)
        .order_by(amounts.c.currency)
    )
    return connection.execute(statement).mappings().all()


def facets(connection: Connection, tenant: str, entities: frozenset[str] | None) -> Sequence[RowMapping]:
    """Legal entities and assignees of the open items."""
    statement = (
        select(_ITEM.legal_entity, _ITEM.assignee)
        .where(*_conditions(tenant, ItemFilter(entities=entities)))
        .group_by(_ITEM.legal_entity, _ITEM.assignee)
    )
    return connection.execute(statement).mappings().all()


def set_assignee(connection: Connection, ids: Collection[int], assignee: str | None) -> None:
    """Give the items to somebody, or to nobody."""
    connection.execute(update(exception_item).where(_ITEM.id == _ids(ids)).values(assignee=assignee))


def set_priority(connection: Connection, ids: Collection[int], priority: str | None) -> None:
    """Set how urgent the items are; None leaves it to the rule."""
    connection.execute(update(exception_item).where(_ITEM.id == _ids(ids)).values(priority=priority))


def dismiss(connection: Connection, ids: Collection[int], resolution: str, now: dt.datetime) -> int:
    """Resolve open items although their cause may last; returns how many were open."""
    statement = update(exception_item).where(_ITEM.id == _ids(ids), _ITEM.resolved_at.is_(None))
    return connection.execute(statement.values(resolved_at=now, resolution=resolution, dismissed=True)).rowcount


def add_notes(connection: Connection, ids: Collection[int], body: str, *, written_by: str, now: dt.datetime) -> None:
    """Write the note to each of the items."""
    rows = [{"item_id": i, "body": body, "written_by": written_by, "written_at": now} for i in sorted(ids)]
    if rows:
        connection.execute(insert(exception_note), rows)


def notes(connection: Connection, item_id: int) -> Sequence[RowMapping]:
    """An item's notes, first to last."""
    table = exception_note.c
    statement = select(table.id, table.body, table.written_by, table.written_at).where(table.item_id == item_id)
    return connection.execute(statement.order_by(table.id)).mappings().all()


def add_request(
    connection: Connection,
    tenant: str,
    *,
    kind: str,
    item_ids: Sequence[int],
    legal_entities: Sequence[str],
    reason: str,
    difference: Mapping[str, Any],
    requested_by: str,
    now: dt.datetime,
) -> int:
    """Keep a request, for good; answers with its id."""
    statement = insert(exception_request).values(
        tenant=tenant,
        kind=kind,
        item_ids=list(item_ids),
        legal_entities=list(legal_entities),
        reason=reason,
        difference=dict(difference),
        requested_by=requested_by,
        requested_at=now,
    )
    return int(connection.execute(statement.returning(exception_request.c.id)).scalar_one())


def end_request(
    connection: Connection,
    request_id: int,
    *,
    state: str,
    ended_by: str,
    note: str,
    result: Mapping[str, Any],
    now: dt.datetime,
) -> bool:
    """Say how a request ended; False if that was said before."""
    statement = upsert(exception_request_end).values(
        request_id=request_id, state=state, ended_by=ended_by, note=note, result=dict(result), ended_at=now
    )
    return connection.execute(statement.on_conflict_do_nothing()).rowcount == 1


def requests(
    connection: Connection,
    tenant: str,
    *,
    request_id: int | None = None,
    item_id: int | None = None,
    waiting: bool = False,
    limit: int | None = None,
) -> Sequence[RowMapping]:
    """Requests, latest first, each with how it ended (None where it waits)."""
    table, end = exception_request.c, exception_request_end.c
    statement = (
        select(
            *(c for c in table if c.name != "tenant"),
            func.coalesce(end.state, "waiting").label("state"),
            end.ended_by,
            end.ended_at,
            end.note,
            end.result,
        )
        .select_from(exception_request.outerjoin(exception_request_end, end.request_id == table.id))
        .where(table.tenant == tenant)
    )
    if request_id is not None:
        statement = statement.where(table.id == request_id)
    if item_id is not None:
        statement = statement.where(table.item_ids.contains([item_id]))
    if waiting:
        statement = statement.where(end.state.is_(None))
    return connection.execute(statement.order_by(table.id.desc()).limit(limit)).mappings().all()


def lock_request(connection: Connection, tenant: str, request_id: int) -> None:
    """Keep others from ending the request until this transaction ends."""
    table = exception_request.c
    connection.execute(select(table.id).where(table.tenant == tenant, table.id == request_id).with_for_update())


def add_write_offs(
    connection: Connection,
    tenant: str,
    revisions: Mapping[str, int],
    *,
    reason: str,
    requested_by: str,
    approved_by: str,
    now: dt.datetime,
) -> int:
    """Give these revisions up for billing; answers with how many were not given up before."""
    rows = [
        {
            "tenant": tenant,
            "object_id": object_id,
            "revision": revision,
            "reason": reason,
            "requested_by": requested_by,
            "approved_by": approved_by,
            "approved_at": now,
        }
        for object_id, revision in sorted(revisions.items())
    ]
    if not rows:
        return 0
    statement = upsert(write_off).values(rows).on_conflict_do_nothing().returning(write_off.c.id)
    return len(connection.execute(statement).all())


def write_offs_of(connection: Connection, tenant: str, object_ids: Collection[str]) -> dict[str, WriteOff]:
    """The latest write-off of each of these objects, for `domain.write_offs.written_off`."""
    table = write_off.c
    rows = connection.execute(
        select(table.object_id, table.revision, table.reason, table.approved_by)
        .where(table.tenant == tenant, among(table.object_id, object_ids))
        .order_by(table.id)
    )
    return {
        row.object_id: WriteOff(
            object_id=row.object_id, revision=row.revision, reason=row.reason, approved_by=row.approved_by
        )
        for row in rows
    }


def decided_revisions(connection: Connection, tenant: str, object_ids: Collection[str]) -> dict[str, int]:
    """The revision that the latest decision about each of these objects is of."""
    table = decision.c
    rows = connection.execute(
        select(table.object_id, table.revision)
        .where(table.tenant == tenant, table.object_id == any_(literal(list(object_ids), ARRAY(Text))))
        .order_by(table.id)
    )
    return {row.object_id: row.revision for row in rows}


def _conditions(tenant: str, wanted: ItemFilter) -> Iterator[ColumnElement[bool]]:
    yield _ITEM.tenant == tenant
    if wanted.ids is not None:
        yield _ITEM.id == _ids(wanted.ids)
    else:
        yield _ITEM.resolved_at.is_not(None) if wanted.resolved else _ITEM.resolved_at.is_(None)
    yield of_entities(_ITEM.legal_entity, wanted.entities)
    if wanted.only_entities is not None:
        yield _ITEM.legal_entity.in_(sorted(wanted.only_entities))
    if wanted.codes is not None:
        yield _ITEM.code.in_(wanted.codes)
    for of, value in (
        (_ITEM.code, wanted.code),
        (_ITEM.cause, wanted.cause),
        (_ITEM.fault_class, wanted.fault_class),
        (_ITEM.legal_entity, wanted.legal_entity),
    ):
        if value is not None:
            yield of == value
    if wanted.assignee is not None:
        yield _ITEM.assignee == wanted.assignee if wanted.assignee else _ITEM.assignee.is_(None)
    if wanted.seen_before is not None:
        yield _ITEM.first_seen_at <= wanted.seen_before
    if wanted.late is not None:
        yield is_late(wanted.late)
    if wanted.search is not None:
        yield or_(
            *(of.icontains(wanted.search, autoescape=True) for of in (_ITEM.object_id, _ITEM.detail, _ITEM.cause))
        )


def is_late(late: Mapping[str, dt.datetime]) -> ColumnElement[bool]:
    """Whether an item was seen first before the instant of its code."""
    by_instant: dict[dt.datetime, list[str]] = {}
    for code, instant in late.items():
        by_instant.setdefault(instant, []).append(code)
    return or_(
        *(and_(_ITEM.code.in_(codes), _ITEM.first_seen_at < instant) for instant, codes in sorted(by_instant.items()))
    )


def _amounts() -> Any:
    """The amount of the item's posting or, of what is held, that of the parts of the latest decision, where known."""
    posted = select(posting.c.amount, posting.c.currency).where(
        posting.c.tenant == _ITEM.tenant, posting.c.key == _ITEM.evidence["posting"].astext
    )
    latest = (
        select(decision.c.body)
        .where(decision.c.tenant == _ITEM.tenant, decision.c.object_id == _ITEM.object_id)
        .order_by(decision.c.id.desc())
        .limit(1)
        .correlate(exception_item)
        .lateral("latest")
    )
    part = func.jsonb_array_elements(func.coalesce(latest.c.body["parts"], func.jsonb_build_array())).table_valued(
        column("value", decision.c.body.type), name="part"
    )
    money = part.c.value["amount"]
    held: Select[Any] = (
        select(
            func.sum(cast(money["amount"].astext, Numeric)).label("amount"),
            func.min(money["currency"].astext).label("currency"),
        )
        .select_from(latest.join(part, true()))
        .where(part.c.value["outcome"].astext == "hold", _ITEM.evidence["posting"].astext.is_(None))
        .having(func.sum(cast(money["amount"].astext, Numeric)).is_not(None))
    )
    both = posted.correlate(exception_item).union_all(held.correlate(exception_item)).subquery("waiting").alias()
    return select(both.c.amount, both.c.currency).lateral("amounts")


def _distinct(of: ColumnElement[Any]) -> ColumnElement[Any]:
    return func.coalesce(
        func.array_agg(of.distinct()).filter(of.is_not(None)), cast(literal([], ARRAY(Text)), ARRAY(Text))
    )


def _ids(ids: Collection[int]) -> ColumnElement[Any]:
    return any_(cast(literal(sorted(ids), ARRAY(BigInteger)), ARRAY(BigInteger)))
