"""Statements for the metrics: figures about the sync itself, each over an index, a bounded window, or a short table.

What belongs here: counting for `/metrics`. What does not: the counts that people see (`store.status`), which may take
longer.
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import (
    Connection,
    Executable,
    Integer,
    RowMapping,
    and_,
    case,
    column,
    func,
    select,
    text,
    true,
)
from sqlalchemy.dialects.postgresql import JSONB

from psa_erp_assets.adapters.store.exception_work import is_late
from psa_erp_assets.adapters.store.schema import (
    exception_item,
    inbox,
    plan,
    plan_section,
    posting,
    posting_event,
    webhook_delivery,
)
from psa_erp_assets.adapters.store.schema_notifications import notification

WINDOW = 50_000
"""How many new rows of a growing table one reading counts at most; the next reading goes on after them."""

ENDS = ("confirmed", "rejected", "deferred", "answer_lost")
"""The events of a posting that end one attempt to send it."""
_SENT = ("started", "restarted")


def limit_time(connection: Connection, seconds: int) -> None:
    """No statement of this transaction may take longer."""
    connection.execute(select(func.set_config("statement_timeout", f"{seconds}s", True)))


def pending_by_source(connection: Connection, tenant: str) -> Sequence[RowMapping]:
    """Webhook deliveries that wait, by source: `deliveries`, and `oldest_at`."""
    table = webhook_delivery.c
    return _rows(
        connection,
        select(table.source, func.count().label("deliveries"), func.min(table.received_at).label("oldest_at"))
        .where(table.tenant == tenant, table.handled_at.is_(None))
        .group_by(table.source),
    )


def payloads(connection: Connection) -> int:
    """The highest number that a payload version in the inbox has."""
    return int(connection.execute(select(func.coalesce(func.max(inbox.c.id), 0))).scalar_one())


def postings(connection: Connection, tenant: str) -> Sequence[RowMapping]:
    """Postings by ERP company, effect type and state."""
    table = posting.c
    kinds = (table.erp_company, table.effect_type, table.state)
    return _rows(
        connection, select(*kinds, func.count().label("postings")).where(table.tenant == tenant).group_by(*kinds)
    )


def open_exceptions(connection: Connection, tenant: str, late: Mapping[str, dt.datetime]) -> Sequence[RowMapping]:
    """Open exceptions by class: how many, how many are overdue, and since when the oldest; see `is_late`."""
    table = exception_item.c
    return _rows(
        connection,
        select(
            table.fault_class,
            func.count().label("items"),
            func.count().filter(is_late(late)).label("overdue"),
            func.min(table.first_seen_at).label("oldest_at"),
        )
        .where(table.tenant == tenant, table.resolved_at.is_(None))
        .group_by(table.fault_class),
    )


def unexplained(connection: Connection, tenant: str) -> Sequence[RowMapping]:
    """Differences that reconciliation cannot explain, by legal entity."""
    table = exception_item.c
    return _rows(
        connection,
        select(table.legal_entity, func.count().label("items"))
        .where(table.tenant == tenant, table.resolved_at.is_(None), table.scope.startswith("reconciliation:"))
        .group_by(table.legal_entity),
    )


def waiting_plans(connection: Connection, tenant: str) -> RowMapping:
    """Plans that wait for somebody's approval: `plans`, and `oldest_at`."""
    table = plan.c
    return _rows(
        connection,
        select(func.count().label("plans"), func.min(table.created_at).label("oldest_at")).where(
            table.tenant == tenant,
            table.status == "proposed",
            func.jsonb_array_length(table.approval_reasons) > 0,
        ),
    )[0]


def notifications(connection: Connection, tenant: str) -> RowMapping:
    """Messages of the outbox: how many wait to be sent, and how many were given up."""
    table = notification.c
    return _rows(
        connection,
        select(
            func.count().filter(table.given_up_at.is_(None)).label("waiting"),
            func.count().filter(table.given_up_at.is_not(None)).label("given_up"),
        ).where(table.tenant == tenant, table.sent_at.is_(None)),
    )[0]


def last_event(connection: Connection) -> int:
    """The highest number of a posting's event."""
    return int(connection.execute(select(func.coalesce(func.max(posting_event.c.id), 0))).scalar_one())


def last_section(connection: Connection) -> int:
    """The highest number of a plan's section."""
    return int(connection.execute(select(func.coalesce(func.max(plan_section.c.id), 0))).scalar_one())


def settled_event(connection: Connection, after: int, before: dt.datetime) -> int:
    """Up to which number all events after `after` happened before an instant; `after` where none did.

    Numbers are given before a transaction commits, so that those of the last seconds may not all be there yet.
    """
    return _settled(connection, posting_event.c.id, posting_event.c.at, after, before)


def settled_section(connection: Connection, after: int, before: dt.datetime) -> int:
    """The same of plans' sections."""
    return _settled(connection, plan_section.c.id, plan_section.c.made_at, after, before)


def _settled(connection: Connection, number: Any, at: Any, after: int, before: dt.datetime) -> int:
    window = select(number.label("id"), at.label("at")).where(number > after).order_by(number).limit(WINDOW).subquery()
    first_young = func.min(case((window.c.at > before, window.c.id)))
    up_to = connection.execute(select(func.coalesce(first_young - 1, func.max(window.c.id), after))).scalar_one()
    return max(after, int(up_to))


def attempts(connection: Connection, tenant: str, after: int, up_to: int) -> Sequence[RowMapping]:
    """Attempts that ended with these events: by company, type, outcome, fault and seconds rounded up to a bucket.

    `seconds` is from the commit of the intent to the ERP's answer; None where the intent is not known.
    """
    end, begin = posting_event.alias("ended"), posting_event.alias("begun")
    sent = (
        select(begin.c.at)
        .where(begin.c.key == end.c.key, begin.c.id < end.c.id, begin.c.event.in_(_SENT))
        .order_by(begin.c.id.desc())
        .limit(1)
        .lateral("sent")
    )
    code = end.c.detail["code"].astext
    rows = (
        select(
            posting.c.erp_company,
            posting.c.effect_type,
            end.c.event.label("outcome"),
            case((end.c.event == "rejected", func.coalesce(code, "")), else_="").label("fault"),
            func.extract("epoch", end.c.at - sent.c.at).label("seconds"),
        )
        .select_from(end.join(posting, posting.c.key == end.c.key).outerjoin(sent, true()))
        .where(end.c.id > after, end.c.id <= up_to, end.c.event.in_(ENDS), posting.c.tenant == tenant)
    )
    return _rows(connection, rows)


def planned(connection: Connection, tenant: str, after: int, up_to: int) -> Sequence[RowMapping]:
    """Plan items of these sections by action and effect type."""
    table = plan_section.c
    total = func.jsonb_array_elements(table.totals).table_valued(column("body", JSONB), name="total").render_derived()
    action, effect_type = total.c.body["action"].astext, total.c.body["effect_type"].astext
    return _rows(
        connection,
        select(
            action.label("action"),
            effect_type.label("effect_type"),
            func.sum(total.c.body["items"].astext.cast(Integer)).label("items"),
        )
        .select_from(plan_section.join(total, true()))
        .where(and_(table.tenant == tenant, table.id > after, table.id <= up_to))
        .group_by(text("1"), text("2")),
    )


def _rows(connection: Connection, statement: Executable) -> Sequence[RowMapping]:
    return connection.execute(statement).mappings().all()
