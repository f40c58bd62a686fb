"""Pages of what has come in and of what is posted, for people and for the HTTP API."""

import datetime as dt
from dataclasses import dataclass
from decimal import Decimal

from sqlalchemy import Connection

from psa_erp_assets.adapters.store import deliveries, status
from psa_erp_assets.adapters.store import listings as statements
from psa_erp_assets.adapters.store.listings import PostingFilter

PAGE_SIZE = 50
LAST_PAGE = 10_000
"""Beyond this an offset costs the database more than a list is worth; a filter finds what is there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """A webhook as it arrived. It waits while `handled_at` is None; `error` is what the last attempt met."""

    id: int
    source: str
    event: str
    copies: int
    received_at: dt.datetime
    last_received_at: dt.datetime
    handled_at: dt.datetime | None
    attempts: int
    next_attempt_at: dt.datetime
    error: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PayloadRow:
    """A version of a source's object, without its content."""

    id: int
    source: str
    object_type: str
    object_id: str
    version: int
    arrived_by: str
    received_at: dt.datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class InboxPage:
    """The newest deliveries, with how many wait in all, and one page of payload versions, latest first."""

    deliveries: tuple[Delivery, ...]
    deliveries_pending: int
    payloads: tuple[PayloadRow, ...]
    payloads_total: int
    page: int
    pages: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PostingRow:
    """A posting in a list. `amount` is negative on a reversal."""

    key: str
    legal_entity: str
    service_month: str
    effect_type: str
    operation: str
    leg: str
    object_id: str
    amount: Decimal
    currency: str
    minutes: int
    service_date: dt.date
    state: str
    state_since: dt.datetime
    attempts: int
    erp_id: str | None
    fault_code: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PostingsPage:
    """One page of the postings that a filter lets through, and what there is to filter by."""

    postings: tuple[PostingRow, ...]
    total: int
    page: int
    pages: int
    states: tuple[str, ...]
    legal_entities: tuple[str, ...]
    service_months: tuple[str, ...]


def inbox_page(connection: Connection, tenant: str, *, page: int = 1, pending: bool = False) -> InboxPage:
    """What came in: the newest deliveries (with `pending`, only those that wait) and a page of payload versions."""
    total = status.count_payloads(connection, tenant)
    newest = deliveries.list_deliveries(connection, tenant, pending=pending, limit=PAGE_SIZE)
    payloads = statements.list_payloads(connection, tenant, offset=(page - 1) * PAGE_SIZE, limit=PAGE_SIZE)
    return InboxPage(
        deliveries=tuple(Delivery(**row) for row in newest),
        deliveries_pending=status.count_pending_deliveries(connection, tenant)["deliveries"],
        payloads=tuple(PayloadRow(**row) for row in payloads),
        payloads_total=total,
        page=page,
        pages=pages_of(total),
    )


def postings_page(connection: Connection, tenant: str, wanted: PostingFilter, *, page: int = 1) -> PostingsPage:
    """Postings that the filter lets through, latest change of state first."""
    total = statements.count_postings(connection, tenant, wanted)
    rows = statements.list_postings(connection, tenant, wanted, offset=(page - 1) * PAGE_SIZE, limit=PAGE_SIZE)
    facets = statements.posting_facets(connection, tenant, wanted.entities)
    return PostingsPage(
        postings=tuple(PostingRow(**row) for row in rows),
        total=total,
        page=page,
        pages=pages_of(total),
        states=tuple(sorted({row["state"] for row in facets})),
        legal_entities=tuple(sorted({row["legal_entity"] for row in facets})),
        service_months=tuple(sorted({row["service_month"] for row in facets})),
    )


def pages_of(total: int) -> int:
    """How many pages there are; an empty list has one, empty."""
    return max(1, -(-total // PAGE_SIZE))
