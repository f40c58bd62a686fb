"""Statements on notifications: what has happened that nobody was told of, the positions of routes, and the outbox."""

import datetime as dt
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, RowMapping, and_, exists, func, literal, or_, select, update
from sqlalchemy.dialects.postgresql import insert

from psa_erp_assets.adapters.store.exception_work import is_late
from psa_erp_assets.adapters.store.schema import exception_item
from psa_erp_assets.adapters.store.schema_audit import audit_verification
from psa_erp_assets.adapters.store.schema_notifications import notification, notification_event, notification_route
from psa_erp_assets.domain.exception_duties import Priority
from psa_erp_assets.domain.notices import Notice, NoticeKind

_EVENT, _OUT = notification_event.c, notification.c
RECONCILIATION = "reconciliation:"
"""How the scope of a difference begins."""
_BATCH = 5_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Happened:
    """An event to be kept; `ref` is the number of the row that it is about."""

    kind: NoticeKind
    ref: int
    code: str
    fault_class: str | None
    severity: Priority
    legal_entity: str | None = None
    service_month: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A message of the outbox that this process is to send now."""

    id: int
    route: str
    channel: str
    target: str
    number: str
    events: int
    body: Mapping[str, Any]
    attempts: int
    created_at: dt.datetime


def lock(connection: Connection, tenant: str) -> None:
    """From here to the end of the transaction no other process tells anybody of anything."""
    name = func.hashtextextended(literal(f"notifications:{tenant}"), 0)
    connection.execute(select(func.pg_advisory_xact_lock(name)))


def last_event(connection: Connection, tenant: str) -> int:
    """The number of the last event that was kept; 0 for none."""
    return connection.execute(select(func.max(_EVENT.id)).where(_EVENT.tenant == tenant)).scalar_one() or 0


def unnoticed(
    connection: Connection, tenant: str, *, late: Mapping[str, dt.datetime] | None = None
) -> Sequence[RowMapping]:
    """Open exceptions that no event is about yet, at most some thousands; with `late` those that are overdue."""
    item = exception_item.c
    kinds = [NoticeKind.EXCEPTION_OVERDUE] if late is not None else _OPENING
    known = exists().where(_EVENT.tenant == tenant, _EVENT.ref == item.id, _EVENT.kind.in_([k.value for k in kinds]))
    conditions: list[ColumnElement[bool]] = [item.tenant == tenant, item.resolved_at.is_(None), ~known]
    if late is not None:
        conditions.append(is_late(late))
    columns = (
        item.id, item.code, item.fault_class, item.legal_entity, item.service_month, item.minutes, item.priority,
        item.scope,
    )  # fmt: skip
    return connection.execute(select(*columns).where(*conditions).order_by(item.id).limit(_BATCH)).mappings().all()


def broken_verification(connection: Connection, tenant: str) -> int | None:
    """The number of the last verification of the audit log if it found a difference."""
    table = audit_verification.c
    query = select(table.id, table.holds).where(table.tenant == tenant).order_by(table.id.desc()).limit(1)
    row = connection.execute(query).one_or_none()
    return None if row is None or row.holds else int(row.id)


def keep(connection: Connection, tenant: str, events: Sequence[Happened], now: dt.datetime) -> None:
    """Keep events; one that is there already stays as it is."""
    if not events:
        return
    rows = [
        {
            "tenant": tenant,
            "kind": event.kind.value,
            "ref": event.ref,
            "code": event.code,
            "fault_class": event.fault_class,
            "severity": event.severity.value,
            "legal_entity": event.legal_entity,
            "service_month": event.service_month,
            "noticed_at": now,
        }
        for event in events
    ]
    connection.execute(insert(notification_event).on_conflict_do_nothing(), rows)


def positions(connection: Connection, tenant: str) -> dict[str, tuple[int, dt.datetime | None]]:
    """Up to which event each route has been told, and when last."""
    table = notification_route.c
    query = select(table.route, table.position, table.digested_at).where(table.tenant == tenant)
    return {row.route: (row.position, row.digested_at) for row in connection.execute(query)}


def put_position(
    connection: Connection, tenant: str, route: str, position: int, digested_at: dt.datetime | None
) -> None:
    """Keep up to which event a route has been told."""
    new = insert(notification_route).values(tenant=tenant, route=route, position=position, digested_at=digested_at)
    connection.execute(
        new.on_conflict_do_update(
            index_elements=["tenant", "route"],
            set_={
                "position": new.excluded.position,
                "digested_at": func.coalesce(new.excluded.digested_at, notification_route.c.digested_at),
            },
        )
    )


def after(connection: Connection, tenant: str, position: int) -> list[Notice]:
    """The events after a position, those that are alike counted together."""
    alike = (_EVENT.kind, _EVENT.code, _EVENT.fault_class, _EVENT.severity, _EVENT.legal_entity, _EVENT.service_month)
    query = (
        select(*alike, func.count().label("count"))
        .where(_EVENT.tenant == tenant, _EVENT.id > position)
        .group_by(*alike)
    )
    return [
        Notice(
            kind=NoticeKind(row["kind"]),
            code=row["code"],
            fault_class=row["fault_class"],
            severity=Priority(row["severity"]),
            legal_entity=row["legal_entity"],
            service_month=row["service_month"],
            count=row["count"],
        )
        for row in connection.execute(query).mappings()
    ]


def put_message(
    connection: Connection,
    tenant: str,
    *,
    route: str,
    channel: str,
    target: str,
    events: int,
    body: Mapping[str, Any],
    now: dt.datetime,
) -> None:
    """Put a message into the outbox."""
    connection.execute(
        insert(notification).values(
            tenant=tenant,
            route=route,
            channel=channel,
            target=target,
            number=f"msg_{uuid.uuid4().hex}",
            events=events,
            body=dict(body),
            created_at=now,
            next_attempt_at=now,
        )
    )


def claim(connection: Connection, tenant: str, *, now: dt.datetime, lease: dt.timedelta) -> Message | None:
    """The oldest message that is due, for this process alone until the lease is over; None where none is."""
    waits = (_OUT.tenant == tenant, _OUT.sent_at.is_(None), _OUT.given_up_at.is_(None), _OUT.next_attempt_at <= now)
    oldest = select(_OUT.id).where(and_(*waits)).order_by(_OUT.id).limit(1).with_for_update(skip_locked=True)
    names = ("id", "route", "channel", "target", "number", "events", "body", "attempts", "created_at")
    row = (
        connection.execute(
            update(notification)
            .where(_OUT.id == oldest.scalar_subquery())
            .values(attempts=_OUT.attempts + 1, next_attempt_at=now + lease)
            .returning(*(_OUT[name] for name in names))
        )
        .mappings()
        .one_or_none()
    )
    return None if row is None else Message(**row)


def mark_sent(connection: Connection, message: Message, now: dt.datetime) -> None:
    """It has been taken."""
    connection.execute(update(notification).where(_OUT.id == message.id).values(sent_at=now, error=None))


def postpone(connection: Connection, message: Message, *, until: dt.datetime, error: str) -> None:
    """It was not taken; try again later."""
    connection.execute(update(notification).where(_OUT.id == message.id).values(next_attempt_at=until, error=error))


def give_up(connection: Connection, message: Message, *, now: dt.datetime, error: str) -> None:
    """It will not be sent."""
    connection.execute(update(notification).where(_OUT.id == message.id).values(given_up_at=now, error=error))


def forget(connection: Connection, tenant: str, before: dt.datetime) -> int:
    """Drop messages that ended before an instant, with their targets' addresses; how many they were."""
    ended = or_(_OUT.sent_at < before, _OUT.given_up_at < before)
    return connection.execute(notification.delete().where(_OUT.tenant == tenant, ended)).rowcount


_OPENING = (NoticeKind.EXCEPTION_OPENED, NoticeKind.UNEXPLAINED_DIFFERENCE, NoticeKind.PLAN_WAITING)
