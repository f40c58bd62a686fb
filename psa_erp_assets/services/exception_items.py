"""What is in trouble, whose it is and what to do next: exception items, listed and grouped by their code."""

import datetime as dt
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, RowMapping

from psa_erp_assets.adapters.store import exceptions
from psa_erp_assets.domain.faults import FAULTS, FaultClass, Owner

_RETIRED = "No step is known for this code: it was written by another version of the sync."


@dataclass(frozen=True, slots=True, kw_only=True)
class ExceptionItem:
    """One item in trouble. `minutes` is the work that it keeps from being posted, where that is known.

    `cause` is what it has in common with others of its code. `assignee` and `priority` are what people chose, None
    where nobody did.
    """

    id: int
    code: str
    fault_class: str
    owner: str
    next_step: str
    object_id: str
    legal_entity: str | None
    service_month: str | None
    minutes: int | None
    detail: str
    evidence: Mapping[str, Any]
    first_seen_at: dt.datetime
    last_seen_at: dt.datetime
    resolved_at: dt.datetime | None
    resolution: str | None
    cause: str
    assignee: str | None
    priority: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultGroup:
    """All open items of one code. `items` counts them, `minutes` sums what they hold back."""

    code: str
    fault_class: str
    owner: str
    next_step: str
    items: int
    minutes: int
    oldest_at: dt.datetime


def list_exceptions(
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
) -> tuple[ExceptionItem, ...]:
    """Open items, oldest first, or with `resolved` the resolved ones, latest first; of some legal entities or all."""
    rows = exceptions.list_items(
        connection,
        tenant,
        resolved=resolved,
        code=code,
        fault_class=fault_class,
        owner=owner,
        object_ids=object_ids,
        entities=entities,
        limit=limit,
    )
    return tuple(_item(row) for row in rows)


def group_exceptions(
    connection: Connection, tenant: str, entities: Collection[str] | None = None
) -> tuple[FaultGroup, ...]:
    """Open items by code, the most frequent first; of some legal entities or all."""
    return tuple(
        FaultGroup(**row, next_step=next_step(row["code"]))
        for row in exceptions.count_open(connection, tenant, entities)
    )


def next_step(code: str) -> str:
    """What to do about items of this code, from `faults.FAULTS`."""
    fault = FAULTS.get(code)
    return fault.next_step if fault else _RETIRED


def _item(row: RowMapping) -> ExceptionItem:
    return ExceptionItem(**row, next_step=next_step(row["code"]))
