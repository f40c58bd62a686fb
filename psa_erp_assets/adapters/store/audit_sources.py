"""The rows that the audit log speaks of: where they are, and what each of them says.

The log reads tables that are append-only, or those columns of a table that never change once they are set. So nobody
who writes them has to think of the log, and nothing is written twice.
"""

import datetime as dt
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from types import NoneType
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Row,
    Select,
    Table,
    Text,
    and_,
    any_,
    bindparam,
    cast,
    func,
    literal_column,
    not_,
    select,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, aggregate_order_by

from psa_erp_assets.adapters.store import schema
from psa_erp_assets.adapters.store.schema_audit import audit_entry, audit_leaf
from psa_erp_assets.adapters.store.schema_exceptions import exception_request, write_off
from psa_erp_assets.adapters.store.schema_mappings import mapping_decision, settings_version
from psa_erp_assets.domain.audit import SourceRow, digest

_SYSTEM = "psa-erp"
_Head = Callable[[Any], tuple[str, str, str, dt.datetime]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A table, or an event in the life of its rows.

    `columns` are what a row says. `head` makes kind, subject, actor and instant of a row. `personal` is the column that
    holds personal data, in whose place the row's content has a commitment, and `known_hash` one that has its hash
    already. `id` is a number that grows with each row; None for a table that is looked through as a whole. `when` says
    which rows the event has happened to.
    """

    name: str
    table: Table
    ref: Column[Any]
    columns: tuple[ColumnElement[Any], ...]
    head: _Head
    id: Column[Any] | None = None
    personal: Column[Any] | None = None
    known_hash: Column[Any] | None = None
    when: ColumnElement[bool] | None = None

    def page(self, tenant: str, *, after: int | str | None, limit: int) -> Select[Any]:
        """Rows in the order of their refs, from the first one after `after` on, without their personal data."""
        query = self._select(tenant, self.known_hash).order_by(self.ref).limit(limit)
        return query if after is None else query.where(self.ref > after)

    def unsealed(self, tenant: str, *, after: int = 0) -> Select[Any]:
        """How many rows have no leaf, of those with ids after `after`."""
        there = select(audit_leaf.c.seq).where(
            audit_leaf.c.tenant == tenant,
            audit_leaf.c.source == self.name,
            audit_leaf.c.ref == cast(self.ref, Text),
        )
        rows = self._scoped(select(func.count(self.ref)), tenant)
        if self.id is not None and after:
            rows = rows.where(self.id > after)
        return rows.where(not_(there.exists()))

    def of(self, tenant: str, refs: Collection[str]) -> Select[Any]:
        """The rows of these refs, their personal data with them."""
        wanted = [int(ref) for ref in refs] if self.ref.type.python_type is int else list(refs)
        return self._select(tenant, self.personal).where(any_of(self.ref, wanted))

    def _select(self, tenant: str, personal: Column[Any] | None) -> Select[Any]:
        named = [column.label(_label(column)) for column in self.columns]
        if personal is not None:
            named.append(personal.label("personal"))
        return self._scoped(select(*named, self.ref.label("ref_")), tenant)

    def _scoped(self, query: Select[Any], tenant: str) -> Select[Any]:
        if self.table is schema.posting_event:
            query = query.join_from(schema.posting_event, schema.posting).where(schema.posting.c.tenant == tenant)
        else:
            query = query.where(self.table.c.tenant == tenant)
        return query if self.when is None else query.where(self.when)

    def row(self, found: Row[Any], names: Sequence[str]) -> SourceRow:
        """What a row with columns of these names says. `personal` is the hash of its personal part."""
        said = {
            name: value if type(value) in _PLAIN else _plain(value) for name, value in zip(names, found, strict=True)
        }
        ref, personal = said.pop("ref_"), said.pop("personal", None)
        kind, subject, actor, at = self.head(found)
        if self.table is schema.posting_event and said["from_state"] is not None:
            # What is to be posted is said once, with the first event.
            said = {name: value for name, value in said.items() if not name.startswith("posting.")}
        return SourceRow(
            source=self.name,
            ref=str(ref),
            kind=kind,
            subject=subject,
            actor=actor,
            at=at.astimezone(dt.UTC).isoformat(),
            said=said,
            personal=digest(personal) if isinstance(personal, Mapping) else personal,
        )


def _label(column: ColumnElement[Any]) -> str:
    name = column.key
    assert name is not None, "columns and labels have one"
    return f"posting.{name}" if getattr(column, "table", None) is schema.posting else name


_PLAIN = frozenset({str, int, bool, dict, list, NoneType})


def _plain(value: Any) -> Any:
    if isinstance(value, dt.datetime):
        return value.astimezone(dt.UTC).isoformat()
    if isinstance(value, dt.date | Decimal):
        return str(value)
    return value


def _columns(table: Table, *left_out: str) -> tuple[Column[Any], ...]:
    return tuple(column for column in table.columns if column.name not in ("tenant", *left_out))


_inbox, _master, _mapping = schema.inbox.c, schema.master_record.c, schema.mapping.c
_plan, _event, _posting = schema.plan.c, schema.posting_event.c, schema.posting.c
# Of a posting, what never changes after it was planned.
_POSTED = (
    "legal_entity",
    "service_month",
    "erp_company",
    "effect_type",
    "operation",
    "leg",
    "object_id",
    "revision",
    "source_revision",
    "target_key",
    "depends_on",
    "payload",
    "payload_hash",
    "amount",
    "currency",
    "minutes",
    "service_date",
    "plan_id",
    "created_at",
)

# A plan says which sections it has, and a section which items.
_sections = (
    select(func.array_agg(aggregate_order_by(schema.plan_part.c.section_id, schema.plan_part.c.position)))
    .where(schema.plan_part.c.plan_id == _plan.id)
    .scalar_subquery()
    .label("sections")
)
_items = (
    select(
        func.jsonb_agg(
            aggregate_order_by(
                func.to_jsonb(literal_column("plan_item")).op("-")("section_id"), schema.plan_item.c.seq
            ),
            type_=JSONB,
        )
    )
    .select_from(schema.plan_item)
    .where(schema.plan_item.c.section_id == schema.plan_section.c.id)
    .scalar_subquery()
    .label("items")
)

SOURCES: Sequence[Source] = (
    Source(
        name="audit_entry",
        table=audit_entry,
        ref=audit_entry.c.id,
        id=audit_entry.c.id,
        columns=_columns(audit_entry),
        head=lambda r: (r.kind, r.subject, r.actor, r.recorded_at),
    ),
    Source(
        name="webhook_delivery",
        table=schema.webhook_delivery,
        ref=schema.webhook_delivery.c.id,
        id=schema.webhook_delivery.c.id,
        # The id of a delivery is the hash of its body; the body is only a hint, and may be forgotten.
        columns=tuple(
            schema.webhook_delivery.c[name] for name in ("id", "source", "delivery_id", "event", "received_at")
        ),
        head=lambda r: ("webhook.accepted", f"{r.source}:{r.delivery_id}", r.source, r.received_at),
    ),
    Source(
        name="inbox",
        table=schema.inbox,
        ref=_inbox.id,
        id=_inbox.id,
        columns=_columns(schema.inbox, "payload", "content_hash"),
        head=lambda r: (
            "payload.received",
            f"{r.object_type}:{r.source}:{r.object_id}",
            f"{_SYSTEM}:{r.arrived_by}",
            r.received_at,
        ),
        personal=_inbox.payload,
        known_hash=_inbox.content_hash,
    ),
    Source(
        name="master_record",
        table=schema.master_record,
        ref=_master.id,
        id=_master.id,
        columns=_columns(schema.master_record, "body", "content_hash", "superseded_at"),
        head=lambda r: ("master.recorded", f"{r.object_type}:{r.canonical_id}", r.source, r.recorded_at),
        personal=_master.body,
        known_hash=_master.content_hash,
    ),
    Source(
        name="mapping",
        table=schema.mapping,
        ref=_mapping.id,
        id=_mapping.id,
        columns=_columns(schema.mapping, "valid_to", "replaced_by"),
        head=lambda r: ("mapping.decided", f"{r.object_type}:{r.canonical_id}", r.method, r.decided_at),
    ),
    Source(
        name="mapping_end",
        table=schema.mapping,
        ref=_mapping.id,
        columns=(_mapping.id, _mapping.object_type, _mapping.canonical_id, _mapping.valid_to, _mapping.decided_at),
        head=lambda r: ("mapping.ended", f"{r.object_type}:{r.canonical_id}", _SYSTEM, r.decided_at),
        when=_mapping.valid_to.is_not(None),
    ),
    Source(
        name="mapping_decision",
        table=mapping_decision,
        ref=mapping_decision.c.id,
        id=mapping_decision.c.id,
        columns=_columns(mapping_decision),
        head=lambda r: (f"mapping.{r.kind}", f"{r.object_type}:{r.canonical_id}", r.decided_by, r.decided_at),
    ),
    Source(
        name="settings_version",
        table=settings_version,
        ref=settings_version.c.id,
        id=settings_version.c.id,
        columns=_columns(settings_version),
        head=lambda r: ("settings.kept", f"settings:{r.digest[:16]}", r.recorded_by, r.recorded_at),
    ),
    Source(
        name="exception_request",
        table=exception_request,
        ref=exception_request.c.id,
        id=exception_request.c.id,
        columns=_columns(exception_request),
        head=lambda r: (
            f"exception.{r.kind}_requested",
            f"exception_request:{r.id}",
            r.requested_by,
            r.requested_at,
        ),
    ),
    Source(
        name="write_off",
        table=write_off,
        ref=write_off.c.id,
        id=write_off.c.id,
        columns=_columns(write_off),
        head=lambda r: ("write_off.approved", r.object_id, r.approved_by, r.approved_at),
    ),
    Source(
        name="decision",
        table=schema.decision,
        ref=schema.decision.c.id,
        id=schema.decision.c.id,
        columns=_columns(schema.decision),
        head=lambda r: ("work.decided", r.object_id, _SYSTEM, r.decided_at),
    ),
    Source(
        name="period_choice",
        table=schema.period_choice,
        ref=schema.period_choice.c.id,
        id=schema.period_choice.c.id,
        columns=_columns(schema.period_choice),
        head=lambda r: ("period.chosen", r.object_id, r.chosen_by, r.chosen_at),
    ),
    Source(
        name="booked_by_hand",
        table=schema.booked_by_hand,
        ref=schema.booked_by_hand.c.choice_id,
        id=schema.booked_by_hand.c.choice_id,
        columns=_columns(schema.booked_by_hand),
        head=lambda r: ("period.booked_by_hand", f"period_choice:{r.choice_id}", _SYSTEM, r.noted_at),
    ),
    Source(
        name="credit",
        table=schema.credit,
        ref=schema.credit.c.credit_id,
        columns=_columns(schema.credit),
        head=lambda r: ("credit.requested", r.object_id, r.requested_by, r.requested_at),
    ),
    Source(
        name="plan_section",
        table=schema.plan_section,
        ref=schema.plan_section.c.id,
        id=schema.plan_section.c.id,
        columns=(*_columns(schema.plan_section), _items),
        head=lambda r: (
            "plan.section_made",
            f"plan_section:{r.id}",
            _SYSTEM,
            r.made_at,
        ),
    ),
    Source(
        name="plan",
        table=schema.plan,
        ref=_plan.id,
        id=_plan.id,
        columns=(
            *_columns(schema.plan, "status", "applied_at", "reviewed_by", "reviewed_at", "review_note"),
            _sections,
        ),
        head=lambda r: ("plan.proposed", f"plan:{r.id}", r.created_by, r.created_at),
    ),
    Source(
        name="plan_review",
        table=schema.plan,
        ref=_plan.id,
        columns=(
            _plan.id,
            (_plan.status != "rejected").label("approved"),
            _plan.reviewed_by,
            _plan.reviewed_at,
            _plan.review_note,
        ),
        head=lambda r: (
            "plan.approved" if r.approved else "plan.rejected",
            f"plan:{r.id}",
            r.reviewed_by or "",
            r.reviewed_at,
        ),
        when=_plan.reviewed_at.is_not(None),
    ),
    Source(
        name="plan_end",
        table=schema.plan,
        ref=_plan.id,
        columns=(_plan.id, _plan.status, _plan.applied_at),
        head=lambda r: (f"plan.{r.status}", f"plan:{r.id}", _SYSTEM, r.applied_at),
        when=and_(_plan.applied_at.is_not(None), _plan.status.in_(("applied", "overtaken"))),
    ),
    Source(
        name="posting_event",
        table=schema.posting_event,
        ref=_event.id,
        id=_event.id,
        columns=(*schema.posting_event.columns, *(_posting[name] for name in _POSTED)),
        head=lambda r: (f"posting.{r.event}", r.key, r.worker or _SYSTEM, r.at),
    ),
)
BY_NAME: Mapping[str, Source] = {source.name: source for source in SOURCES}


def rows_of(connection: Connection, tenant: str, source: str, refs: Collection[str]) -> dict[str, SourceRow]:
    """What the rows of these refs say now, by their refs; those that are gone are not among them."""
    of = BY_NAME[source]
    result = connection.execute(of.of(tenant, refs))
    names = tuple(result.keys())
    return {row.ref: row for row in (of.row(found, names) for found in result)}


def waiting(connection: Connection, tenant: str, *, settled: Mapping[str, int] | None = None) -> dict[str, int]:
    """How many rows of each source are not in the log yet; sources without any are left out.

    Rows up to what is `settled` are taken to be there; without it, each is looked for.
    """
    after = settled or {}
    counts = {
        s.name: int(connection.execute(s.unsealed(tenant, after=after.get(s.name, 0))).scalar_one()) for s in SOURCES
    }
    return {name: count for name, count in counts.items() if count}


def any_of(column: Column[Any], values: Collection[Any]) -> ColumnElement[bool]:
    """The column is one of the values, which travel as one parameter however many they are."""
    return column == any_(bindparam(None, list(values), type_=ARRAY(column.type)))
