"""Statements for traces: what has newly been decided about and done, with the times of all that led there.

What belongs here: following single rows by their keys. What does not: the story of one entry for people (`trace`).
"""

import datetime as dt
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, RowMapping, Select, Text, and_, cast, func, literal, select, true
from sqlalchemy.dialects.postgresql import insert

from psa_erp_assets.adapters.store.schema import (
    decision,
    inbox,
    plan,
    posting,
    posting_event,
    time_entry,
    webhook_delivery,
    work_fact,
)
from psa_erp_assets.adapters.store.schema_notifications import trace_position

DECISIONS, EVENTS = "decision", "posting_event"
_SENT = ("started", "restarted")
_TOLD = ("added", "confirmed", "rejected", "deferred", "answer_lost", "verified", "drifted")
# How far back the webhooks are looked at that a fetched object may have been announced by.
_RECENT_DELIVERIES = 20_000


def position(connection: Connection, tenant: str, source: str) -> int | None:
    """Up to which number a table's rows have been exported; None before the first time."""
    table = trace_position.c
    return connection.execute(
        select(table.position).where(table.tenant == tenant, table.source == source)
    ).scalar_one_or_none()


def move(connection: Connection, tenant: str, source: str, to: int, now: dt.datetime) -> None:
    """Keep that rows up to this number have been exported. Never goes back."""
    new = insert(trace_position).values(tenant=tenant, source=source, position=to, moved_at=now)
    table = trace_position.c
    connection.execute(
        new.on_conflict_do_update(
            index_elements=["tenant", "source"],
            set_={"position": func.greatest(table.position, new.excluded.position), "moved_at": new.excluded.moved_at},
        )
    )


def newest(connection: Connection, source: str) -> int:
    """The highest number that there is now."""
    number = decision.c.id if source == DECISIONS else posting_event.c.id
    return connection.execute(select(func.max(number))).scalar_one() or 0


def decisions(
    connection: Connection, tenant: str, *, after: int, before: dt.datetime, limit: int
) -> Sequence[RowMapping]:
    """Decisions after a number and of before an instant, with what they were made from.

    `is_first` of a revision's first decision; `inbox_id` and the times before it are None for what never arrived, such
    as what a contract owes in a month.
    """
    table, earlier = decision.c, decision.alias("earlier")
    first = ~(
        select(literal(1))
        .where(
            earlier.c.tenant == tenant,
            earlier.c.object_id == table.object_id,
            earlier.c.revision == table.revision,
            earlier.c.id < table.id,
        )
        .exists()
    )
    fact = (
        select(time_entry.c.inbox_id, time_entry.c.recorded_at)
        .where(
            time_entry.c.tenant == tenant,
            time_entry.c.entry_id == table.object_id,
            time_entry.c.revision == table.revision,
        )
        .union_all(
            select(work_fact.c.inbox_id, work_fact.c.recorded_at).where(
                work_fact.c.tenant == tenant,
                work_fact.c.object_id == table.object_id,
                work_fact.c.revision == table.revision,
            )
        )
        .lateral("fact")
    )
    rows = (
        select(
            table.id,
            table.object_id,
            table.revision,
            table.outcome,
            table.body,
            table.decided_at,
            first.label("is_first"),
            fact.c.inbox_id,
            fact.c.recorded_at,
            inbox.c.source,
            inbox.c.object_id.label("vendor_id"),
            inbox.c.arrived_by,
            inbox.c.received_at,
            inbox.c.payload["approval"]["request_id"].astext.label("request_id"),
        )
        .select_from(decision.outerjoin(fact, true()).outerjoin(inbox, inbox.c.id == fact.c.inbox_id))
        .where(table.tenant == tenant, table.id > after)
        .order_by(table.id)
        .limit(limit)
    )
    return _until(_rows(connection, rows), "decided_at", before)


def deliveries_of(connection: Connection, tenant: str, times: Sequence[dt.datetime]) -> Sequence[RowMapping]:
    """The webhooks among the latest that were handled at one of these instants: those of what was fetched then."""
    table = webhook_delivery.c
    newest_id = select(func.coalesce(func.max(table.id), 0)).scalar_subquery()
    return _rows(
        connection,
        select(
            table.id,
            table.source,
            cast(table.body, Text).label("body"),
            table.copies,
            table.received_at,
            table.handled_at,
        )
        .where(
            table.tenant == tenant, table.id > newest_id - _RECENT_DELIVERIES, table.handled_at.in_(sorted(set(times)))
        )
        .order_by(table.id),
    )


def events(connection: Connection, tenant: str, *, after: int, before: dt.datetime, limit: int) -> Sequence[RowMapping]:
    """What happened to postings after a number and before an instant, with when each step before it was.

    `sent_at` is the commit of the last intent before, `confirmed_at` the last answer that said that it was done.
    """
    event = posting_event.c
    target = posting.alias("target")

    def last(*names: str) -> Any:
        step = posting_event.alias(f"last_{names[0]}")
        return (
            select(func.max(step.c.at))
            .where(step.c.key == event.key, step.c.id < event.id, step.c.event.in_(names))
            .scalar_subquery()
        )

    rows = (
        select(
            event.id,
            event.event,
            event.fence,
            event.at,
            event.detail["code"].astext.label("code"),
            posting.c.key,
            posting.c.object_id,
            posting.c.source_revision,
            posting.c.legal_entity,
            posting.c.service_month,
            posting.c.erp_company,
            posting.c.effect_type,
            posting.c.operation,
            posting.c.leg,
            posting.c.created_at,
            posting.c.plan_id,
            plan.c.created_at.label("planned_at"),
            posting.c.target_key,
            target.c.source_revision.label("target_revision"),
            last(*_SENT).label("sent_at"),
            last("confirmed").label("confirmed_at"),
        )
        .select_from(
            posting_event.join(posting, posting.c.key == event.key)
            .outerjoin(plan, plan.c.id == posting.c.plan_id)
            .outerjoin(target, and_(target.c.key == posting.c.target_key))
        )
        .where(posting.c.tenant == tenant, event.id > after, event.event.in_(_TOLD))
        .order_by(event.id)
        .limit(limit)
    )
    return _until(_rows(connection, rows), "at", before)


def _until(rows: Sequence[RowMapping], column: str, before: dt.datetime) -> Sequence[RowMapping]:
    """The rows up to the first that is so young that one with a lower number may still be uncommitted."""
    young = next((place for place, row in enumerate(rows) if row[column] > before), len(rows))
    return rows[:young]


def _rows(connection: Connection, statement: Select[Any]) -> Sequence[RowMapping]:
    return connection.execute(statement).mappings().all()
