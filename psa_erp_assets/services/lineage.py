"""From any id that somebody has in hand to the story that it belongs to; invoices, webhooks and payloads both ways.

What belongs here: finding out what a text is the id of, and the stories of what is no work of its own. What does not:
the story of a piece of work (`services.trace`).
"""

import datetime as dt
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, RowMapping

from psa_erp_assets.adapters.store import master_records
from psa_erp_assets.adapters.store import trace as statements
from psa_erp_assets.adapters.store.deliveries import Due
from psa_erp_assets.adapters.store.trace import KINDS
from psa_erp_assets.domain.malformed import MalformedRecordError
from psa_erp_assets.domain.records import LegalEntity
from psa_erp_assets.services.hints import hints_of
from psa_erp_assets.services.plain import to_plain
from psa_erp_assets.services.trace import Invoice, NotFoundError, trace, with_payments

MOST_LINES = 1_000
"""As many lines of an invoice as its story has."""

_KEY = re.compile(r"[0-9a-f]{32}")
_DELIVERY = re.compile(r"[0-9a-f]{64}")
_WEBHOOK = re.compile(r"webhook:[^:]+:([0-9a-f]{64})")
_INVOICE = re.compile(r"invoice:([^/]+)/([^/]+)")
_PAYMENT = re.compile(r"payment:([^/]+)/([^/]+)")
_NUMBERED = re.compile(r"(plan|payload|delivery):(\d{1,18})")
_BIGGEST = 2**63 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """Something that a text can be the id of.

    `kind` is work, posting, plan, invoice, payload or delivery; `id` is what its story is asked for by. `title` says
    what it is, `detail` what tells it from others. `legal_entity` is whose it is, None where it is nobody's.
    """

    kind: str
    id: str
    title: str
    detail: str
    legal_entity: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class InvoiceLine:
    """A line of an invoice. `object_id` is the work that it bills, None where it is none of ours.

    `credits` is the key of the line of ours that finance has credited by it.
    """

    erp_id: str
    key: str | None
    object_id: str | None
    credits: str | None
    service_date: dt.date
    minutes: int
    amount: Decimal
    currency: str
    tax_amount: Decimal | None


@dataclass(frozen=True, slots=True, kw_only=True)
class InvoiceStory:
    """An invoice of the ERP as last read, and the first 1,000 of its lines that were read, back to their work."""

    invoice: Invoice
    legal_entity: str | None
    lines: tuple[InvoiceLine, ...]

    def to_dict(self) -> dict[str, Any]:
        """All of it as a JSON body."""
        return to_plain(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryStory:
    """A webhook as it arrived, and the objects that it announced. `copies` of equal content have come.

    `unreadable` says why it announces nothing that is understood.
    """

    id: int
    source: str
    delivery_id: str
    event: str
    body: Any
    received_at: dt.datetime
    last_received_at: dt.datetime
    copies: int
    handled_at: dt.datetime | None
    attempts: int
    error: str | None
    objects: tuple[str, ...]
    unreadable: str | None

    def to_dict(self) -> dict[str, Any]:
        """All of it as a JSON body."""
        return to_plain(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class PayloadStory:
    """One version of a source's object as it was fetched. `object_id` is the work that it is of, None for master data.

    `revisions` are the canonical revisions that were made of it: none where nothing that counts had changed, or where
    it was not understood.
    """

    id: int
    source: str
    object_type: str
    vendor_id: str
    version: int
    content_hash: str
    payload: Mapping[str, Any]
    arrived_by: str
    received_at: dt.datetime
    object_id: str | None
    revisions: tuple[int, ...]

    def to_dict(self) -> dict[str, Any]:
        """All of it as a JSON body."""
        return to_plain(self)


def find(connection: Connection, tenant: str, text: str) -> tuple[Candidate, ...]:
    """Everything that a text can be the id of: work, a posting, a plan, an ERP line or invoice, a payload or a webhook.

    Raises NotFoundError where it is the id of nothing.
    """
    wanted = text.strip()
    found = {
        (candidate.kind, candidate.id): candidate for look in _LOOKS for candidate in look(connection, tenant, wanted)
    }
    if not found:
        raise NotFoundError(f"nothing with the id {wanted!r} is known")
    return tuple(found.values())


def invoice_story(connection: Connection, tenant: str, erp_company: str, erp_id: str) -> InvoiceStory:
    """An invoice with its lines. Raises NotFoundError."""
    row = statements.invoice(connection, tenant, erp_company, erp_id)
    if row is None:
        raise NotFoundError(f"company {erp_company} had no invoice {erp_id!r} when the ERP was last read")
    lines = statements.lines_of_invoice(connection, tenant, erp_company, erp_id, limit=MOST_LINES)
    return InvoiceStory(
        invoice=with_payments(connection, tenant, [row])[0],
        legal_entity=_entities(connection, tenant).get(erp_company),
        lines=tuple(
            InvoiceLine(
                **{name: line[name] for name in InvoiceLine.__annotations__ if name != "credits"},
                credits=line["credits_key"],
            )
            for line in lines
        ),
    )


def delivery_story(connection: Connection, tenant: str, delivery_id: int) -> DeliveryStory:
    """A webhook delivery with what it announced. Raises NotFoundError."""
    row = statements.delivery(connection, tenant, delivery_id) if delivery_id <= _BIGGEST else None
    if row is None:
        raise NotFoundError(f"there is no webhook delivery {delivery_id}")
    objects: tuple[str, ...] = ()
    unreadable = None
    try:
        hints = hints_of(Due(**{name: row[name] for name in Due.__annotations__}))
        objects = tuple(dict.fromkeys(f"{hint.object_type}:{row['source']}:{hint.object_id}" for hint in hints))
    except MalformedRecordError as error:
        unreadable = error.reason
    named = {name: row[name] for name in DeliveryStory.__annotations__ if name not in ("objects", "unreadable")}
    return DeliveryStory(**named, objects=objects, unreadable=unreadable)


def payload_story(connection: Connection, tenant: str, payload_id: int) -> PayloadStory:
    """A payload with what was made of it. Raises NotFoundError."""
    row = statements.payload(connection, tenant, payload_id) if payload_id <= _BIGGEST else None
    if row is None:
        raise NotFoundError(f"there is no payload {payload_id}")
    object_id, revisions = None, tuple[int, ...]()
    if row["object_type"] in KINDS:
        object_id = f"{row['object_type']}:{row['source']}:{row['object_id']}"
        story = trace(connection, tenant, object_id)
        revisions = tuple(r.revision for r in story.revisions if r.inbox_id == payload_id)
    names = ("id", "source", "object_type", "version", "content_hash", "payload", "arrived_by", "received_at")
    return PayloadStory(
        **{name: row[name] for name in names},
        vendor_id=row["object_id"],
        object_id=object_id,
        revisions=revisions,
    )


def _work(connection: Connection, tenant: str, text: str) -> Iterator[Candidate]:
    ids = [text]
    if ":" not in text and "#" not in text:
        kinds = statements.kinds_of(connection, tenant, text)
        ids = [f"{row['object_type']}:{row['source']}:{text}" for row in kinds]
    for object_id in ids:
        try:
            story = trace(connection, tenant, object_id)
        except NotFoundError:
            continue
        last = story.revisions[-1] if story.revisions else None
        yield Candidate(
            kind="work",
            id=story.entry_id,
            title=story.kind.replace("_", " "),
            detail=f"{last.service_date}, {last.description}" if last else "",
            legal_entity=story.legal_entity,
        )


def _contract(connection: Connection, tenant: str, text: str) -> Iterator[Candidate]:
    for object_id in statements.objects_of_contract(connection, tenant, text):
        story = trace(connection, tenant, object_id)
        yield Candidate(
            kind="work",
            id=object_id,
            title=object_id.split(":")[2].replace("_", " "),
            detail=f"of contract {text}",
            legal_entity=story.legal_entity,
        )


def _posting(connection: Connection, tenant: str, text: str) -> Iterator[Candidate]:
    if _KEY.fullmatch(text):
        for row in statements.posting_of(connection, tenant, text):
            yield _posting_candidate(row)


def _line(connection: Connection, tenant: str, text: str) -> Iterator[Candidate]:
    for line in statements.lines_named(connection, tenant, text):
        if line["key"] is not None:
            for row in statements.posting_of(connection, tenant, line["key"]):
                yield _posting_candidate(row, f"line {text} of company {line['erp_company']}, ")


def _posting_candidate(row: RowMapping, before: str = "") -> Candidate:
    return Candidate(
        kind="posting",
        id=row["key"],
        title=f"{row['effect_type'].replace('_', ' ')}, {row['leg']}",
        detail=f"{before}{row['amount']:,} {row['currency']} for {row['object_id']}, {row['state'].replace('_', ' ')}",
        legal_entity=row["legal_entity"],
    )


def _invoice(connection: Connection, tenant: str, text: str) -> Iterator[Candidate]:
    whole = _INVOICE.fullmatch(text)
    if whole:
        one = statements.invoice(connection, tenant, whole[1], whole[2])
        rows = [] if one is None else [one]
    else:
        rows = [*statements.invoices_named(connection, tenant, text)]
    entities = _entities(connection, tenant) if rows else {}
    for row in rows:
        yield Candidate(
            kind="invoice",
            id=f"{row['erp_company']}/{row['erp_id']}",
            title=f"invoice {row['number'] or 'draft ' + row['erp_id']}",
            detail=f"company {row['erp_company']}, {row['total']:,} {row['currency']}, {row['state']}",
            legal_entity=entities.get(row["erp_company"]),
        )


def _payment(connection: Connection, tenant: str, text: str) -> Iterator[Candidate]:
    """A payment leads to the invoice that it was put to."""
    whole = _PAYMENT.fullmatch(text)
    rows = [
        row
        for row in statements.payments_named(connection, tenant, whole[2] if whole else text)
        if whole is None or row["erp_company"] == whole[1]
    ]
    entities = _entities(connection, tenant) if rows else {}
    for row in rows:
        yield Candidate(
            kind="invoice",
            id=f"{row['erp_company']}/{row['invoice_id']}",
            title=f"payment {row['number'] or row['erp_id']}",
            detail=f"company {row['erp_company']}, {row['amount']:,} {row['currency']} on {row['paid_on']}",
            legal_entity=entities.get(row["erp_company"]),
        )


def _delivery(connection: Connection, tenant: str, text: str) -> Iterator[Candidate]:
    webhook = _WEBHOOK.fullmatch(text)
    hashed = webhook[1] if webhook else text
    if _DELIVERY.fullmatch(hashed):
        for row in statements.deliveries_named(connection, tenant, hashed):
            yield _delivery_candidate(row)


def _numbered(connection: Connection, tenant: str, text: str) -> Iterator[Candidate]:
    match = _NUMBERED.fullmatch(text)
    if match is None:
        return
    kind, number = match[1], int(match[2])
    if kind == "plan" and (row := statements.plan_of(connection, tenant, number)) is not None:
        said = f"{row['legal_entity']} {row['service_month']}, {row['status']}"
        entity = row["legal_entity"]
        yield Candidate(kind="plan", id=str(number), title=f"plan {number}", detail=said, legal_entity=entity)
    elif kind == "payload" and (row := statements.payload(connection, tenant, number)) is not None:
        said = f"{row['object_type']} {row['object_id']} from {row['source']}, version {row['version']}"
        yield Candidate(kind="payload", id=str(number), title=f"payload {number}", detail=said, legal_entity=None)
    elif kind == "delivery" and (row := statements.delivery(connection, tenant, number)) is not None:
        yield _delivery_candidate(row)


def _delivery_candidate(row: RowMapping) -> Candidate:
    return Candidate(
        kind="delivery",
        id=str(row["id"]),
        title=f"webhook {row['event']}",
        detail=f"from {row['source']}, {row['received_at']:%Y-%m-%d %H:%M} UTC",
        legal_entity=None,
    )


def _entities(connection: Connection, tenant: str) -> dict[str, str]:
    """Codes of legal entities by the ERP company that has their books."""
    entities = master_records.load_all(connection, tenant=tenant, object_type="legal_entity", record_type=LegalEntity)
    return {entity.erp_company: entity.code for entity in entities}


_Look = Callable[[Connection, str, str], Iterator[Candidate]]
_LOOKS: tuple[_Look, ...] = (_posting, _delivery, _numbered, _work, _invoice, _payment, _line, _contract)
