"""Work that a PSA without a connector hands in by itself: kept in the inbox first, then entered like any other.

What belongs here: the order of what one sender says about one object, and the lists of items. What does not: HTTP, and
what becomes of the work (`billable_work_items`).
"""

import datetime as dt
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, Engine

from psa_erp_assets.adapters.store import inbox, work_items
from psa_erp_assets.adapters.store.work_items import ItemFilter
from psa_erp_assets.domain.decide import Decider
from psa_erp_assets.domain.records import WorkItem
from psa_erp_assets.services import billable_work_items, canonical
from psa_erp_assets.services.billable_work_items import BillableWorkItem, create_billable_work_item, following
from psa_erp_assets.services.entities import entity_of
from psa_erp_assets.services.listings import PAGE_SIZE, pages_of
from psa_erp_assets.services.scope import Scope

API = "api"
"""The source that such work is of, in canonical ids and in the inbox."""


class OlderVersionError(ValueError):
    """A later version of the object is known, or another content under the same number. It is kept and ignored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """A piece of work as it was handed in: the sender's id of it, the payload, and the record that it says.

    `source_version` is the sender's number of this version, None from one that counts none: then what comes later is
    later.
    """

    kind: str
    id: str
    payload: Mapping[str, Any]
    item: WorkItem
    source_version: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemRow:
    """An item in a list. `outcome` is that of the latest plan, None before the first; it may change while `is_due`."""

    object_id: str
    kind: str
    revision: int
    state: str
    legal_entity: str
    service_month: str
    contract_id: str | None
    outcome: str | None
    is_due: bool
    changed_at: dt.datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemsPage:
    """One page of the items that a filter lets through, the latest change first."""

    items: tuple[ItemRow, ...]
    total: int
    page: int
    pages: int


class ForeignEntityError(Exception):
    """Work of a legal entity for which whoever hands it in has no role."""


def submit(
    engine: Engine,
    scope: Scope,
    submission: Submission,
    now: dt.datetime,
    *,
    entities: Collection[str] | None = None,
) -> BillableWorkItem:
    """Keep what was handed in, and enter it as a billable work item, in one transaction.

    `entities` are those that the sender may hand in work for, None for all. Raises OlderVersionError (the payload is
    kept all the same), WorkTooEarlyError and ForeignEntityError (nothing is kept).
    """
    with engine.begin() as connection:
        # Before the lock, so that others wait no longer than they must.
        decider = Decider(canonical.load_master(connection, scope), scope.rules)
        inbox.lock(connection, tenant=scope.tenant, source=API)
        refusal = _refusal(connection, scope.tenant, submission)
        # The lock has ordered the senders; a clock that says otherwise must not make one of them look overtaken.
        at, payload_id = _keep(connection, scope.tenant, submission, now)
        if refusal is None:
            said = replace(submission.item, payload_id=payload_id)
            known = billable_work_items.current(connection, scope.tenant, [said.id]).get(said.id)
            before = entity_of(connection, scope.tenant, said.id)
            entered = create_billable_work_item(connection, scope, following(known, said), at, decider=decider)
            theirs = {before or entered.route.legal_entity, entered.route.legal_entity}
            if entities is not None and not theirs <= set(entities):
                raise ForeignEntityError("it is work of a legal entity that you have no role for")
            return entered
    raise refusal


def items_page(connection: Connection, tenant: str, wanted: ItemFilter, *, page: int = 1) -> ItemsPage:
    """A page of items that the filter lets through, whichever source they are of."""
    total = work_items.count_items(connection, tenant, wanted)
    rows = work_items.list_items(connection, tenant, wanted, offset=(page - 1) * PAGE_SIZE, limit=PAGE_SIZE)
    return ItemsPage(
        items=tuple(ItemRow(kind=row["object_id"].partition(":")[0], **row) for row in rows),
        total=total,
        page=page,
        pages=pages_of(total),
    )


def _refusal(connection: Connection, tenant: str, submission: Submission) -> OlderVersionError | None:
    """Why the version is not the latest: the sender's numbers decide, since messages overtake each other."""
    if submission.source_version is None:
        return None
    highest = work_items.highest_version(
        connection, tenant=tenant, source=API, object_type=submission.kind, object_id=submission.id
    )
    if highest is None or submission.source_version > highest.source_version:
        return None
    if submission.source_version < highest.source_version:
        return OlderVersionError(f"source_version {highest.source_version} is known already")
    if highest.payload != submission.payload:
        return OlderVersionError(f"source_version {highest.source_version} is known with another content")
    return None


def _keep(connection: Connection, tenant: str, submission: Submission, now: dt.datetime) -> tuple[dt.datetime, int]:
    """Keep the payload; answers with the time that it counts as received at, and its place in the inbox."""
    identity = {"tenant": tenant, "source": API, "object_type": submission.kind}
    seen = work_items.last_seen(connection, **identity, object_id=submission.id)
    at = now if seen is None else max(now, seen.last_seen_at)
    stored = inbox.record(
        connection,
        **identity,
        payloads=[inbox.Payload(object_id=submission.id, body=submission.payload)],
        arrived_by=API,
        now=at,
    )
    if stored:
        return at, stored[0].inbox_id
    assert seen is not None
    return at, seen.inbox_id
