"""The whole story of a piece of work: what arrived, what was decided, planned and posted, and what the ERP holds.

What belongs here: time, expenses, milestones, credits, and what contracts bring about by themselves. What does not:
finding out what somebody's text is the id of, invoices and webhooks (`services.lineage`).
"""

import datetime as dt
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, RowMapping

from psa_erp_assets.adapters.store import erp_documents, work_heads
from psa_erp_assets.adapters.store import trace as statements
from psa_erp_assets.adapters.store.trace import KINDS, TIME_ENTRY
from psa_erp_assets.services.exception_items import ExceptionItem, list_exceptions
from psa_erp_assets.services.plain import to_plain

CONTRACT, CREDIT = "contract", "credit"
_CANONICAL = re.compile(rf"({'|'.join(KINDS)}):([^:]+):(.+)", re.DOTALL)
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
    """One canonical revision, made of the payload version `inbox_id`. Time has minutes, all else an amount."""

    revision: int
    state: str
    service_date: dt.date
    minutes: int | None
    amount: Decimal | None
    currency: str | None
    billable: bool | None
    description: str
    psa_user_id: str | None
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
    """One decision: its outcome, how it came about in words, why effects are held, where it belongs, and the ids of the
    rates, terms and mappings that it used.
    """

    id: int
    revision: int
    outcome: str
    said: tuple[str, ...]
    reasons: tuple[Reason, ...]
    versions: Mapping[str, str]
    legal_entity: str | None
    service_month: str | None
    contract_id: str | None
    component: str | None
    decided_at: dt.datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class CreditMade:
    """Minutes that were credited to the customer, and billed again or written off."""

    credit_id: str
    minutes: int
    rebill: bool
    in_erp: bool
    reason: str
    requested_by: str
    requested_at: dt.datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ChoiceMade:
    """What somebody chose for an effect whose period is closed; the latest of its type holds."""

    effect_type: str
    choice: str
    posting_date: dt.date | None
    reason: str
    chosen_by: str
    chosen_at: dt.datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedItem:
    """The same item about the work, in however many plans have it: `plans` of them, from `first_plan` to `last_plan`.

    `statuses` counts them by where they stand; one that newer facts have left behind counts as overtaken, whether
    or not anybody tried to apply it. `applied_in` is the last of those that were applied. `code` is why it is held.
    `amount` is None for an item that does nothing in the ERP. `created_by` made the first.
    """

    first_plan: int
    last_plan: int
    plans: int
    statuses: Mapping[str, int]
    applied_in: int | None
    action: str
    effect_type: str
    key: str | None
    target_key: str | None
    amount: Decimal | None
    currency: str | None
    minutes: int | None
    reason: str
    code: str | None
    created_at: dt.datetime
    last_at: dt.datetime
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
class Payment:
    """Money that was put to an invoice: the line in the ERP, and the number of its journal entry once that is posted.

    `amount` is in the invoice's currency.
    """

    erp_id: str
    number: str | None
    paid_on: dt.date
    amount: Decimal
    currency: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Invoice:
    """An invoice of the ERP, as last read.

    `paid` is what is not open any more of one that is posted, by payments or by credit notes. `payments` are those that
    are known.
    """

    erp_company: str
    erp_id: str
    number: str | None
    party: str
    invoice_date: dt.date | None
    state: str
    currency: str
    net: Decimal
    tax: Decimal
    total: Decimal
    open_amount: Decimal
    paid: Decimal
    payments: tuple[Payment, ...]
    lines: int
    read_at: dt.datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """The story of a piece of work; each part is ordered in time. `exceptions` has open and resolved ones.

    `kind` is time_entry, expense, milestone, contract (what a contract brings about by itself: it has no payload) or
    credit. `of` is the entry that a credit is of, `credits` are those of an entry. `invoices` are those that its lines
    are on. `legal_entity` and what follows are where it belongs, None where none of it is known yet.
    """

    entry_id: str
    kind: str
    source: str
    vendor_id: str
    legal_entity: str | None
    service_month: str | None
    contract_id: str | None
    awaits_plan: bool
    of: str | None
    payloads: tuple[PayloadVersion, ...]
    revisions: tuple[Revision, ...]
    decisions: tuple[DecisionMade, ...]
    credits: tuple[CreditMade, ...]
    choices: tuple[ChoiceMade, ...]
    plan_items: tuple[PlannedItem, ...]
    postings: tuple[PostingStory, ...]
    invoices: tuple[Invoice, ...]
    exceptions: tuple[ExceptionItem, ...]

    def to_dict(self) -> dict[str, Any]:
        """All of it as a JSON body."""
        return to_plain(self)


def trace(connection: Connection, tenant: str, object_id: str) -> Trace:
    """The story of time, an expense, a milestone, a credit or a contract's own object, by its id or the vendor's own.

    The canonical id is "time_entry:clockify:<id>", of time also without the kind. An object that arrived but never
    became a canonical one has a story too. Raises NotFoundError for an id that nothing is known of, or a vendor's id
    that two objects have.
    """
    if object_id.startswith(f"{CONTRACT}:"):
        return _own_of_contract(connection, tenant, object_id)
    if "#" in object_id:
        return _credit(connection, tenant, object_id)
    kind, source, vendor_id = resolve(connection, tenant, object_id)
    canonical_id = f"{kind}:{source}:{vendor_id}"
    payloads = statements.payloads(connection, tenant, kind, source, vendor_id)
    revisions = _revisions(connection, tenant, kind, canonical_id)
    if not payloads and not revisions:
        raise NotFoundError(f"no {kind.replace('_', ' ')} {object_id!r} has arrived")
    return _story(
        connection,
        tenant,
        canonical_id,
        kind=kind,
        source=source,
        vendor_id=vendor_id,
        payloads=payloads,
        revisions=revisions,
    )


def trace_posting(connection: Connection, tenant: str, key: str) -> PostingStory:
    """The story of one posting. Raises NotFoundError for an unknown key."""
    stories = _stories(connection, tenant, statements.posting_of(connection, tenant, key))
    if not stories:
        raise NotFoundError(f"no posting has the key {key!r}")
    return stories[0]


def invoices_of(connection: Connection, tenant: str, keys: Collection[str]) -> tuple[Invoice, ...]:
    """The ERP's invoices that the lines under these keys are on."""
    return with_payments(connection, tenant, statements.invoices_of_lines(connection, tenant, keys))


def with_payments(connection: Connection, tenant: str, rows: Sequence[RowMapping]) -> tuple[Invoice, ...]:
    """Invoices from their rows, each with what was paid of it."""
    payments: dict[tuple[str, str], list[Payment]] = defaultdict(list)
    wanted = [(row["erp_company"], row["erp_id"]) for row in rows]
    for row in statements.payments_of_invoices(connection, tenant, wanted) if wanted else ():
        payments[row["erp_company"], row["invoice_id"]].append(Payment(**_only(Payment, dict(row))))
    return tuple(
        Invoice(
            **_only(Invoice, dict(row)),
            paid=row["total"] - row["open_amount"] if row["state"] in ("posted", "paid") else Decimal(0),
            payments=tuple(payments[row["erp_company"], row["erp_id"]]),
        )
        for row in rows
    )


def identify(connection: Connection, tenant: str, entry_id: str) -> tuple[str, str]:
    """Source and vendor's id of a time entry, however its id is written. Raises NotFoundError as `trace` does."""
    kind, source, vendor_id = resolve(connection, tenant, entry_id)
    if kind != TIME_ENTRY:
        raise NotFoundError(f"{entry_id!r} is no time entry")
    return source, vendor_id


def resolve(connection: Connection, tenant: str, object_id: str) -> tuple[str, str, str]:
    """Kind, source and vendor's id of time, an expense or a milestone. Raises NotFoundError as `trace` does."""
    canonical = _CANONICAL.fullmatch(object_id)
    if canonical:
        return canonical[1], canonical[2], canonical[3]
    found = [(row["object_type"], row["source"]) for row in statements.kinds_of(connection, tenant, object_id)]
    if len(found) > 1:
        whole = " or ".join(f"{kind}:{source}:{object_id}" for kind, source in found)
        raise NotFoundError(f"{len(found)} objects have the id {object_id!r}: ask for {whole}")
    if not found:
        short = _SHORT.fullmatch(object_id)
        if short:
            return TIME_ENTRY, short[1], short[2]
        raise NotFoundError(f"nothing with the id {object_id!r} has arrived")
    return *found[0], object_id


def _credit(connection: Connection, tenant: str, object_id: str) -> Trace:
    """The story of a credit: its own line, after the entry that it is of."""
    of, _, credit_id = object_id.partition("#")
    kind, source, vendor_id = resolve(connection, tenant, of)
    entry = f"{kind}:{source}:{vendor_id}"
    made = [row for row in statements.credits_of(connection, tenant, entry) if row["credit_id"] == credit_id]
    if not made:
        raise NotFoundError(f"{entry} has no credit {credit_id!r}")
    return _story(
        connection,
        tenant,
        f"{entry}#{credit_id}",
        kind=CREDIT,
        source=source,
        vendor_id=credit_id,
        of=entry,
        credits_made=made,
    )


def _own_of_contract(connection: Connection, tenant: str, object_id: str) -> Trace:
    """The story of a fee, an instalment or revenue: it comes from the contract's terms and its month."""
    story = _story(
        connection,
        tenant,
        object_id,
        kind=CONTRACT,
        source=object_id.split(":")[1],
        vendor_id=object_id.removeprefix(f"{CONTRACT}:"),
    )
    if not story.decisions and not story.postings:
        raise NotFoundError(f"nothing was ever decided about {object_id!r}")
    return story


def _story(
    connection: Connection,
    tenant: str,
    object_id: str,
    *,
    kind: str,
    source: str,
    vendor_id: str,
    of: str | None = None,
    payloads: Sequence[RowMapping] = (),
    revisions: Sequence[Revision] = (),
    credits_made: Sequence[RowMapping] | None = None,
) -> Trace:
    postings = _stories(connection, tenant, statements.postings(connection, tenant, object_id))
    decisions = tuple(_decision(row) for row in statements.decisions(connection, tenant, object_id))
    about = (object_id, *(p.key for p in postings))
    exceptions = (
        item
        for resolved in (False, True)
        for item in list_exceptions(connection, tenant, resolved=resolved, object_ids=about)
    )
    if credits_made is None:
        credits_made = statements.credits_of(connection, tenant, object_id)
    head = work_heads.heads(connection, tenant, [of or object_id]).get(of or object_id)
    last = decisions[-1] if decisions else None
    return Trace(
        entry_id=object_id,
        kind=kind,
        source=source,
        vendor_id=vendor_id,
        legal_entity=head.legal_entity if head else last.legal_entity if last else _of(postings, "legal_entity"),
        service_month=head.service_month if head else last.service_month if last else _of(postings, "service_month"),
        contract_id=source if kind == CONTRACT else head.contract_id if head else last.contract_id if last else None,
        awaits_plan=head is not None and (head.planned_at is None or head.planned_at < head.changed_at),
        of=of,
        payloads=tuple(PayloadVersion(**row) for row in payloads),
        revisions=tuple(revisions),
        decisions=decisions,
        credits=tuple(CreditMade(**row) for row in credits_made),
        choices=tuple(ChoiceMade(**row) for row in statements.choices_of(connection, tenant, object_id)),
        plan_items=_folded(statements.plan_items(connection, tenant, object_id)),
        postings=postings,
        invoices=invoices_of(connection, tenant, [p.key for p in postings]),
        exceptions=tuple(sorted(exceptions, key=lambda item: (item.first_seen_at, item.id))),
    )


def _of(postings: Sequence[PostingStory], name: str) -> str | None:
    return getattr(postings[-1], name) if postings else None


def _revisions(connection: Connection, tenant: str, kind: str, object_id: str) -> list[Revision]:
    if kind == TIME_ENTRY:
        rows = statements.revisions(connection, tenant, object_id)
        return [Revision(**row, amount=None, currency=None) for row in rows]
    return [_fact(row) for row in statements.facts(connection, tenant, object_id)]


def _fact(row: RowMapping) -> Revision:
    body = row["body"]
    money = body.get("receipt") or body.get("amount")
    return Revision(
        revision=row["revision"],
        state=body["state"],
        service_date=dt.date.fromisoformat(body["service_date"]),
        minutes=None,
        amount=Decimal(money["amount"]) if money else None,
        currency=money["currency"] if money else None,
        billable=body.get("billable"),
        description=body.get("description") or body.get("label") or "",
        psa_user_id=body.get("psa_user_id"),
        psa_project_id=body.get("psa_project_id"),
        inbox_id=row["inbox_id"],
        recorded_at=row["recorded_at"],
    )


def _decision(row: RowMapping) -> DecisionMade:
    body = row["body"]
    return DecisionMade(
        id=row["id"],
        revision=row["revision"],
        outcome=row["outcome"],
        said=tuple(body.get("reasons", ())),
        reasons=tuple(Reason(**hold) for hold in body["holds"]),
        versions=body["versions"],
        legal_entity=body.get("legal_entity"),
        service_month=body.get("service_month"),
        contract_id=body.get("contract_id"),
        component=body.get("component"),
        decided_at=row["decided_at"],
    )


_SAME = ("action", "effect_type", "key", "target_key", "amount", "currency", "minutes", "reason", "code")


def _folded(rows: Sequence[RowMapping]) -> tuple[PlannedItem, ...]:
    """Items that say the same as one each, in the order of their first plans.

    What waits for something is in every plan until it comes, and plans share what has not changed.
    """
    groups: dict[tuple[Any, ...], list[RowMapping]] = {}
    for row in rows:
        groups.setdefault(tuple(row[name] for name in _SAME), []).append(row)
    return tuple(_folded_item(mine) for mine in groups.values())


def _folded_item(mine: Sequence[RowMapping]) -> PlannedItem:
    statuses: dict[str, int] = {}
    by_plan = {row["plan_id"]: "overtaken" if row["outdated"] else row["status"] for row in mine}
    for status in by_plan.values():
        statuses[status] = statuses.get(status, 0) + 1
    first, last = mine[0], mine[-1]
    return PlannedItem(
        **{name: first[name] for name in _SAME},
        first_plan=first["plan_id"],
        last_plan=last["plan_id"],
        plans=len(by_plan),
        statuses=statuses,
        applied_in=max((plan for plan, status in by_plan.items() if status == "applied"), default=None),
        created_at=first["created_at"],
        last_at=last["created_at"],
        created_by=first["created_by"],
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
