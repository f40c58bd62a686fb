"""Where the operational store has texts that can tell something about a person, and how each of them is cleaned.

Not here: accounts and whoever did something in the console, who answer for what they did; settings; and what has only
ids, codes and figures.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    ColumnElement,
    Row,
    Select,
    Table,
    Text,
    and_,
    any_,
    bindparam,
    case,
    cast,
    false,
    func,
    literal,
    null,
    or_,
    select,
)

from psa_erp_assets.adapters.store import schema
from psa_erp_assets.adapters.store.schema_audit import audit_entry
from psa_erp_assets.adapters.store.schema_exceptions import (
    exception_note,
    exception_request,
    exception_request_end,
    write_off,
)
from psa_erp_assets.adapters.store.schema_mappings import field_drift, mapping_decision, mapping_proposal
from psa_erp_assets.adapters.store.schema_notifications import notification
from psa_erp_assets.domain.erasure import ERASED, Person
from psa_erp_assets.domain.keys import content_hash

_Whose = Callable[[Person], ColumnElement[bool]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A table with personal texts in these `columns`, its rows named by `key`.

    `work` is the id of the work that a row is about. `owned` says which rows are about the person or their work
    otherwise, and `themselves` those that are a record of the person. `whole` are columns that somebody has written
    about just that work: they go as a whole, and so do `whole_keys` in a body. `of_log` is the source of the log that
    speaks of the row, and by which column or query it names it. `in_place` is a table whose erasures are named by the
    bare value.
    """

    table: Table
    key: tuple[str, ...]
    columns: tuple[str, ...]
    work: ColumnElement[str] | None = None
    owned: _Whose | None = None
    themselves: _Whose | None = None
    whole: frozenset[str] = frozenset()
    whole_keys: frozenset[str] = frozenset()
    of_log: tuple[str, ColumnElement[Any]] | None = None
    in_place: bool = False

    @property
    def name(self) -> str:
        """The name of the table."""
        return self.table.name

    @property
    def named(self) -> bool:
        """Whether an erasure must name a row, because nothing else may change it or a commitment stands for it."""
        return self.in_place or bool(self.table.info.get("append_only"))

    def of(self, tenant: str, whom: Person) -> Select[Any]:
        """The rows that are about a person or their work, and those that name them."""
        spelled = sorted(_pattern(text) for text in {*whom.spelled, whom.id})
        said = [
            func.lower(cast(self.table.c[name], Text)).like(any_(bindparam(None, spelled, type_=ARRAY(Text))))
            for name in self.columns
        ]
        about = self._about(whom)
        query = self.select(whom).where(or_(about, *said))
        return query.where(self.table.c.tenant == tenant) if "tenant" in self.table.c else query

    def select(self, whom: Person) -> Select[Any]:
        """All rows, with what `cleaned` needs of them."""
        work: ColumnElement[Any] = literal("") if self.work is None else self.work
        themselves = false() if self.themselves is None else self.themselves(whom)
        log: ColumnElement[Any] = null() if self.of_log is None else self.of_log[1]
        return select(
            *(self.table.c[name] for name in dict.fromkeys((*self.key, *self.columns))),
            case((self._about(whom), work), else_=null()).label("work_"),
            cast(themselves, Boolean).label("themselves_"),
            cast(log, Text).label("log_"),
        )

    def at(self, tenant: str, ref: str) -> ColumnElement[bool]:
        """The row of this ref."""
        *values, last = ref.rsplit("@", len(self.key) - 1)
        pairs = zip(self.key, (*values, last), strict=True)
        same = [self.table.c[name] == self.table.c[name].type.python_type(value) for name, value in pairs]
        return and_(*same, *([self.table.c.tenant == tenant] if "tenant" in self.table.c else []))

    def ref(self, row: Row[Any]) -> str:
        """What a row is named by."""
        return "@".join(str(getattr(row, name)) for name in self.key)

    def cleaned(self, row: Row[Any], whom: Person) -> Mapping[str, Any]:
        """What is to stand in the columns of a row."""
        values = {name: self._cleaned(name, getattr(row, name), row, whom) for name in self.columns}
        if self.table is schema.posting and values["payload"] != row.payload:
            # What is decided from the erased facts has this hash, so that nothing seems to have changed.
            values["payload_hash"] = content_hash(values["payload"])
        return values

    def _cleaned(self, name: str, value: Any, row: Row[Any], whom: Person) -> Any:
        work: str | None = row.work_
        if value is None or (work is not None and name in self.whole):
            return value and ERASED
        if isinstance(value, str):
            if self.table is schema.time_entry:
                return whom.described(value, work or "")
            return whom.cleaned(value) if work is None else whom.shortened(value, work)
        if work is not None and self.whole_keys:
            value = {key: ERASED if key in self.whole_keys and text else text for key, text in value.items()}
        return whom.body(value, work=work, themselves=row.themselves_)

    def _about(self, whom: Person) -> ColumnElement[bool]:
        found = [] if self.work is None else [text_of(func.split_part(self.work, "#", 1), whom.objects)]
        if self.owned is not None:
            found.append(self.owned(whom))
        return or_(false(), *found)


def text_of(column: ColumnElement[Any], values: frozenset[str]) -> ColumnElement[bool]:
    """The text is one of the values, which travel as one parameter however many they are."""
    return column == any_(bindparam(None, sorted(values), type_=ARRAY(Text)))


def _pattern(text: str) -> str:
    escaped = text.lower().replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{escaped}%"


_inbox, _record, _entry, _fact = schema.inbox.c, schema.master_record.c, schema.time_entry.c, schema.work_fact.c
_posting, _event, _item = schema.posting.c, schema.posting_event.c, schema.exception_item.c
_asked, _proposed, _decided, _told = exception_request.c, mapping_proposal.c, mapping_decision.c, audit_entry.c


def _in_hr(whom: Person) -> ColumnElement[bool]:
    return and_(_inbox.object_type == "employee", text_of(_inbox.object_id, whom.hr_ids))


def _is_record(whom: Person) -> ColumnElement[bool]:
    return or_(
        and_(_record.object_type == "psa_user", _record.body["psa_id"].astext == whom.id),
        and_(_record.object_type == "employee", text_of(_record.canonical_id, whom.canonical_ids)),
    )


def _items_of(whom: Person) -> Any:
    return select(func.array_agg(_item.id)).where(text_of(func.split_part(_item.object_id, "#", 1), whom.objects))


def _of_request(whom: Person) -> ColumnElement[bool]:
    return func.coalesce(_asked.item_ids.overlap(_items_of(whom).scalar_subquery()), false())


def _is_matched(whom: Person) -> ColumnElement[bool]:
    mine = or_(_proposed.source_id == whom.id, text_of(_proposed.canonical_id, whom.canonical_ids))
    return and_(_proposed.object_type == "employee", mine)


def _is_decided(whom: Person) -> ColumnElement[bool]:
    mine = or_(_decided.source_ids.contains([whom.id]), text_of(_decided.canonical_id, whom.canonical_ids))
    return and_(_decided.object_type == "employee", mine)


def _is_about_items(whom: Person) -> ColumnElement[bool]:
    told = func.jsonb_array_elements(_told.detail["items"]).table_valued("value").render_derived()
    numbers = select(_item.id).where(text_of(func.split_part(_item.object_id, "#", 1), whom.objects))
    about = select(told.c.value).where(cast(cast(told.c.value, Text), BigInteger).in_(numbers))
    return and_(
        _told.kind.startswith("exception."), func.jsonb_typeof(_told.detail["items"]) == "array", about.exists()
    )


_first_event = (
    select(_event.id)
    .where(_event.key == _posting.key, _event.from_state.is_(None))
    .order_by(_event.id)
    .limit(1)
    .scalar_subquery()
)
_object_of_event = select(_posting.object_id).where(_posting.key == _event.key).scalar_subquery()
_object_of_choice = (
    select(schema.period_choice.c.object_id)
    .where(schema.period_choice.c.id == schema.booked_by_hand.c.choice_id)
    .scalar_subquery()
)
_object_of_note = select(_item.object_id).where(_item.id == exception_note.c.item_id).scalar_subquery()

PLACES: tuple[Place, ...] = (
    Place(
        table=schema.inbox,
        key=("id",),
        columns=("payload",),
        owned=_in_hr,
        themselves=_in_hr,
        in_place=True,
    ),
    Place(
        table=schema.master_record,
        key=("id",),
        columns=("body",),
        owned=_is_record,
        themselves=_is_record,
        in_place=True,
    ),
    Place(
        table=schema.time_entry,
        key=("entry_id", "revision"),
        columns=("description",),
        owned=lambda whom: _entry.psa_user_id == whom.id,
        in_place=True,
    ),
    Place(table=schema.work_fact, key=("object_id", "revision"), columns=("body",), work=_fact.object_id),
    Place(
        table=schema.webhook_delivery,
        key=("id",),
        columns=("body", "error"),
    ),
    Place(
        table=schema.decision,
        key=("id",),
        columns=("body",),
        work=schema.decision.c.object_id,
        of_log=("decision", schema.decision.c.id),
    ),
    Place(
        table=schema.plan_item,
        key=("section_id", "seq"),
        columns=("reason", "body"),
        work=schema.plan_item.c.object_id,
        of_log=("plan_section", schema.plan_item.c.section_id),
    ),
    Place(
        table=schema.plan,
        key=("id",),
        columns=("review_note",),
        of_log=("plan_review", schema.plan.c.id),
    ),
    Place(
        table=schema.posting,
        key=("key",),
        columns=("payload", "fault_detail"),
        work=_posting.object_id,
        of_log=("posting_event", _first_event),
    ),
    Place(
        table=schema.posting_event,
        key=("id",),
        columns=("detail",),
        work=_object_of_event,
        of_log=("posting_event", _event.id),
    ),
    Place(
        table=schema.credit,
        key=("credit_id",),
        columns=("reason",),
        work=schema.credit.c.object_id,
        whole=frozenset({"reason"}),
        of_log=("credit", schema.credit.c.credit_id),
    ),
    Place(
        table=schema.period_choice,
        key=("id",),
        columns=("reason",),
        work=schema.period_choice.c.object_id,
        whole=frozenset({"reason"}),
        of_log=("period_choice", schema.period_choice.c.id),
    ),
    Place(
        table=schema.booked_by_hand,
        key=("choice_id",),
        columns=("effects",),
        work=_object_of_choice,
        of_log=("booked_by_hand", schema.booked_by_hand.c.choice_id),
    ),
    Place(
        table=schema.exception_item,
        key=("id",),
        columns=("detail", "evidence", "cause", "resolution"),
        work=_item.object_id,
    ),
    Place(
        table=exception_note,
        key=("id",),
        columns=("body",),
        work=_object_of_note,
        whole=frozenset({"body"}),
    ),
    Place(
        table=exception_request,
        key=("id",),
        columns=("reason", "difference"),
        owned=_of_request,
        whole=frozenset({"reason"}),
        of_log=("exception_request", _asked.id),
    ),
    Place(
        table=exception_request_end,
        key=("request_id",),
        columns=("note", "result"),
        owned=lambda whom: exception_request_end.c.request_id.in_(select(_asked.id).where(_of_request(whom))),
        whole=frozenset({"note"}),
    ),
    Place(
        table=write_off,
        key=("id",),
        columns=("reason",),
        work=write_off.c.object_id,
        whole=frozenset({"reason"}),
        of_log=("write_off", write_off.c.id),
    ),
    Place(
        table=mapping_proposal,
        key=("id",),
        columns=("source_name", "canonical_name", "evidence", "why"),
        owned=_is_matched,
        whole=frozenset({"why"}),
    ),
    Place(
        table=mapping_decision,
        key=("id",),
        columns=("reason", "before"),
        owned=_is_decided,
        whole=frozenset({"reason"}),
        of_log=("mapping_decision", _decided.id),
    ),
    Place(
        table=field_drift,
        key=("id",),
        columns=("owner_value", "other_value"),
        owned=lambda whom: (
            (field_drift.c.entity == "employee") & text_of(field_drift.c.canonical_id, whom.canonical_ids)
        ),
        whole=frozenset({"owner_value", "other_value"}),
    ),
    Place(
        table=audit_entry,
        key=("id",),
        columns=("detail",),
        owned=_is_about_items,
        whole_keys=frozenset({"note", "reason"}),
        of_log=("audit_entry", _told.id),
    ),
    Place(table=notification, key=("id",), columns=("body", "error")),
)
