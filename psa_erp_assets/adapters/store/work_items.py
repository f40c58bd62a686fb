"""Statements about items of work as somebody outside sees them: lists, and what the HTTP API has received."""

import datetime as dt
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Connection, RowMapping, and_, cast, func, select, true

from psa_erp_assets.adapters.store import work_facts
from psa_erp_assets.adapters.store.conditions import of_entities
from psa_erp_assets.adapters.store.schema import decision, inbox, source_object, work_head
from psa_erp_assets.adapters.store.work_heads import IS_DIRTY
from psa_erp_assets.domain.records import Milestone


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemFilter:
    """Which items to list; None does not narrow.

    `outcome` is that of the latest plan's decision, `entities` those that the reader may see.
    """

    contract_id: str | None = None
    legal_entity: str | None = None
    service_month: str | None = None
    outcome: str | None = None
    entities: Collection[str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """The latest payload of an object of a source: its place in the inbox and when it was last seen."""

    inbox_id: int
    last_seen_at: dt.datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Numbered:
    """The payload with the highest number that the sender gave to a version of an object."""

    source_version: int
    payload: dict[str, Any]


def last_seen(connection: Connection, *, tenant: str, source: str, object_type: str, object_id: str) -> Seen | None:
    """What was received last of an object; None if nothing was."""
    row = connection.execute(
        select(source_object.c.inbox_id, source_object.c.last_seen_at).where(
            source_object.c.tenant == tenant,
            source_object.c.source == source,
            source_object.c.object_type == object_type,
            source_object.c.object_id == object_id,
        )
    ).one_or_none()
    return None if row is None else Seen(inbox_id=row.inbox_id, last_seen_at=row.last_seen_at)


def highest_version(
    connection: Connection, *, tenant: str, source: str, object_type: str, object_id: str
) -> Numbered | None:
    """The highest numbered payload of an object, the first of those with one number; None if none has a number."""
    table = inbox.c
    number = cast(table.payload["source_version"].astext, BigInteger)
    row = connection.execute(
        select(number.label("number"), table.payload)
        .where(
            table.tenant == tenant,
            table.source == source,
            table.object_type == object_type,
            table.object_id == object_id,
            number.is_not(None),
        )
        .order_by(number.desc(), table.version)
        .limit(1)
    ).one_or_none()
    return None if row is None else Numbered(source_version=row.number, payload=row.payload)


def list_items(
    connection: Connection, tenant: str, wanted: ItemFilter, *, offset: int, limit: int
) -> Sequence[RowMapping]:
    """Items with the outcome of the latest decision about each, None before the first; the latest change first."""
    head, last = work_head.c, _latest_decision()
    statement = (
        select(
            head.object_id,
            head.revision,
            head.state,
            head.legal_entity,
            head.service_month,
            head.contract_id,
            head.changed_at,
            IS_DIRTY.label("is_due"),
            last.c.outcome,
        )
        .select_from(work_head)
        .join(last, true(), isouter=True)
        .where(_wanted(tenant, wanted, last.c.outcome))
        .order_by(head.changed_at.desc(), head.object_id)
    )
    return connection.execute(statement.offset(offset).limit(limit)).mappings().all()


def count_items(connection: Connection, tenant: str, wanted: ItemFilter) -> int:
    """How many items the filter lets through."""
    last = _latest_decision()
    statement = select(func.count()).select_from(work_head)
    if wanted.outcome is not None:
        statement = statement.join(last, true(), isouter=True)
    return int(connection.execute(statement.where(_wanted(tenant, wanted, last.c.outcome))).scalar_one())


def milestones_of(connection: Connection, tenant: str, contract_id: str) -> list[Milestone]:
    """The current milestones of a contract, whichever month and state they are in."""
    head = work_head.c
    ids = (
        connection.execute(
            select(head.object_id).where(
                head.tenant == tenant,
                head.contract_id == contract_id,
                head.object_id.startswith("milestone:", autoescape=True),
            )
        )
        .scalars()
        .all()
    )
    return [fact for fact in work_facts.current(connection, tenant, ids) if isinstance(fact, Milestone)]


def _latest_decision() -> Any:
    return (
        select(decision.c.outcome)
        .where(decision.c.tenant == work_head.c.tenant, decision.c.object_id == work_head.c.object_id)
        .order_by(decision.c.id.desc())
        .limit(1)
        .lateral("latest_decision")
    )


def _wanted(tenant: str, wanted: ItemFilter, outcome: ColumnElement[str]) -> ColumnElement[bool]:
    head = work_head.c
    # A contract's month has a head too, and is no item of work.
    conditions = [head.tenant == tenant, ~head.object_id.startswith("contract_month:", autoescape=True)]
    conditions.append(of_entities(head.legal_entity, wanted.entities))
    pairs = (
        (head.contract_id, wanted.contract_id),
        (head.legal_entity, wanted.legal_entity),
        (head.service_month, wanted.service_month),
        (outcome, wanted.outcome),
    )
    return and_(*conditions, *(column == value for column, value in pairs if value is not None))
