"""The whole story of one time entry: what arrived, what was decided, planned and posted, and what the ERP holds."""

import datetime as dt
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, RowMapping

from psa_erp_assets.adapters.store import erp_documents
from psa_erp_assets.adapters.store import trace as statements
from psa_erp_assets.services.exception_items import ExceptionItem, list_exceptions
from psa_erp_assets.services.plain import to_plain

_CANONICAL = re.compile(rf"{statements.TIME_ENTRY}:([^:]+):(.+)", re.DOTALL)
# As the console shows it, which leaves out the kind.
_SHORT = re.compile(r"([^:]+):(.+)", re.DOTALL)


class NotFoundError(LookupError):
    """The store knows nothing under this id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PayloadVersion:
    """One version of the source's object, as fetched."""

    id: int
    version: int
    arrived_by: str
    received_at: dt.datetime
    content_hash: str
    payload: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """One canonical revision, made of the payload version `inbox_id`."""

    revision: int
    state: str
    service_date: dt.date
    minutes: int
    billable: bool
    description: str
    psa_user_id: str
    psa_project_id: str | None
    inbox_id: int
    recorded_at: dt.datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """Why an effect of this type is held."""

    code: str
    effect_type: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionMade:
    """One decision: its outcome, the reasons of what is held, and the ids of the rates and mappings it used."""

    id: int
    revision: int
    outcome: str
    reasons: tuple[Reason, ...]
    versions: Mapping[str, str]
    decided_at: dt.datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedItem:
    """One item of a plan about the entry. `amount` is None for an item that does nothing in the ERP."""

    plan_id: int
    seq: int
    status: str
    action: str
    effect_type: str
    key: str | None
    target_key: str | None
    amount: Decimal | None
    currency: str | None
    minutes: int | None
    reason: str
    created_at: dt.datetime
    created_by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PostingEvent:
    """Something that happened to a posting, with its evidence in `detail`."""

    id: int
    event: str
    from_state: str | None
    to_state: str
    fence: int
    worker: str | None
    detail: Mapping[str, Any]
    at: dt.datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """The ERP's document under a posting's key, as last read. `document` is the invoice or entry it is on."""

    erp_company: str
    effect_type: str
    erp_id: str
    service_date: dt.date
    minutes: int
    amount: Decimal
    currency: str
    tax_amount: Decimal | None
    document: str | None
    document_state: str | None
    document_date: dt.date | None
    posted: bool
    read_at: dt.datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class PostingStory:
    """One posting with everything that happened to it and what the ERP holds under its key.

    `revision` counts the effects of the object, `source_revision` is that of the entry that the effect was made of.
    """

    key: str
    legal_entity: str
    service_month: str
    erp_company: str
    effect_type: str
    operation: str
    leg: str
    object_id: str
    revision: int
    source_revision: int
    target_key: str | None
    depends_on: str | None
    amount: Decimal
    currency: str
    minutes: int
    service_date: dt.date
    payload: Mapping[str, Any]
    state: str
    state_since: dt.datetime
    attempts: int
    erp_id: str | None
    fault_code: str | None
    fault_detail: str | None
    plan_id: int | None
    created_at: dt.datetime
    events: tuple[PostingEvent, ...]
    documents: tuple[Document, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """One time entry's story; each part is ordered in time. `exceptions` has open and resolved ones."""

    entry_id: str
    source: str
    vendor_id: str
    payloads: tuple[PayloadVersion, ...]
    revisions: tuple[Revision, ...]
    decisions: tuple[DecisionMade, ...]
    plan_items: tuple[PlannedItem, ...]
    postings: tuple[PostingStory, ...]
    exceptions: tuple[ExceptionItem, ...]

    def to_dict(self) -> dict[str, Any]:
        """All of it as a JSON body."""
        return to_plain(self)


def trace(connection: Connection, tenant: str, entry_id: str) -> Trace:
    """The story of a time entry, by its canonical id or the vendor's own.

    The canonical id is "time_entry:clockify:<id>", also without the kind. An object that arrived but never became a
    canonical entry has a story too. Raises NotFoundError for an id that nothing is known of, or a vendor's id that
    two sources use.
    """
    source, vendor_id = identify(connection, tenant, entry_id)
    canonical_id = f"{statements.TIME_ENTRY}:{source}:{vendor_id}"
    payloads = statements.payloads(connection, tenant, source, vendor_id)
    revisions = statements.revisions(connection, tenant, canonical_id)
    if not payloads and not revisions:
        raise NotFoundError(f"no time entry {entry_id!r} has arrived")
    postings = _stories(connection, tenant, statements.postings(connection, tenant, canonical_id))
    about = (canonical_id, *(p.key for p in postings))
    exceptions = (
        item
        for resolved in (False, True)
        for item in list_exceptions(connection, tenant, resolved=resolved, object_ids=about)
    )
    return Trace(
        entry_id=canonical_id,
        source=source,
        vendor_id=vendor_id,
        payloads=tuple(PayloadVersion(**row) for row in payloads),
        revisions=tuple(Revision(**row) for row in revisions),
        decisions=tuple(_decision(row) for row in statements.decisions(connection, tenant, canonical_id)),
        plan_items=tuple(PlannedItem(**row) for row in statements.plan_items(connection, tenant, canonical_id)),
        postings=postings,
        exceptions=tuple(sorted(exceptions, key=lambda item: (item.first_seen_at, item.id))),
    )


def trace_posting(connection: Connection, tenant: str, key: str) -> PostingStory:
    """The story of one posting. Raises NotFoundError for an unknown key."""
    stories = _stories(connection, tenant, statements.posting_of(connection, tenant, key))
    if not stories:
        raise NotFoundError(f"no posting has the key {key!r}")
    return stories[0]


def identify(connection: Connection, tenant: str, entry_id: str) -> tuple[str, str]:
    """Source and vendor's id of a time entry, however its id is written. Raises NotFoundError as `trace` does."""
    canonical = _CANONICAL.fullmatch(entry_id)
    if canonical:
        return canonical[1], canonical[2]
    sources = statements.sources_of(connection, tenant, entry_id)
    if len(sources) > 1:
        whole = " or ".join(f"{statements.TIME_ENTRY}:{source}:{entry_id}" for source in sources)
        raise NotFoundError(f"two sources use the id {entry_id!r}: ask for {whole}")
    if not sources:
        short = _SHORT.fullmatch(entry_id)
        if short:
            return short[1], short[2]
        raise NotFoundError(f"no time entry {entry_id!r} has arrived")
    return sources[0], entry_id


def _decision(row: RowMapping) -> DecisionMade:
    body = row["body"]
    return DecisionMade(
        id=row["id"],
        revision=row["revision"],
        outcome=row["outcome"],
        reasons=tuple(Reason(**hold) for hold in body["holds"]),
        versions=body["versions"],
        decided_at=row["decided_at"],
    )


def _stories(connection: Connection, tenant: str, postings: Sequence[RowMapping]) -> tuple[PostingStory, ...]:
    keys = [row["key"] for row in postings]
    events = _by_key(dict(row) for row in statements.events(connection, keys))
    documents = _by_key(row._asdict() for row in erp_documents.of_keys(connection, tenant, keys))
    return tuple(
        PostingStory(
            **_only(PostingStory, dict(row)),
            events=tuple(PostingEvent(**_only(PostingEvent, event)) for event in events.get(row["key"], ())),
            documents=tuple(Document(**_only(Document, document)) for document in documents.get(row["key"], ())),
        )
        for row in postings
    )


def _by_key(rows: Iterable[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    grouped: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        grouped.setdefault(row["key"], []).append(row)
    return grouped


def _only(record: type, row: Mapping[str, Any]) -> dict[str, Any]:
    """The columns of the row that the record has a field for."""
    return {name: row[name] for name in record.__annotations__ if name in row}
