"""Statements that erase personal data, each through the one narrow way that the database leaves open.

What stands for a row is first named in `audit_erasure`, which is append-only; only then do the triggers let the row
become just that. Where those data are: `audit_places`. What becomes of them: `domain.erasure`.
"""

import datetime as dt
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, delete, func, insert, or_, select, update

from psa_erp_assets.adapters.store.audit_leaves import COMMITTED, OF_LEAF
from psa_erp_assets.adapters.store.audit_places import PLACES, Place, text_of
from psa_erp_assets.adapters.store.audit_sources import rows_of
from psa_erp_assets.adapters.store.schema import (
    inbox,
    mapping,
    master_record,
    posting,
    source_object,
    time_entry,
    work_fact,
)
from psa_erp_assets.adapters.store.schema_audit import audit_erasure, audit_leaf, audit_personal
from psa_erp_assets.domain.audit import digest
from psa_erp_assets.domain.erasure import ERASED, Person, redacted
from psa_erp_assets.domain.posting import ENDED, State

Named = tuple[str, str, Any]
"""A row as an erasure names it: source, ref, and what takes the place of its personal part."""

_PLACE_OF = {place.name: place for place in PLACES}
_ENTRY = "audit_entry"
_BATCH = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Erasable:
    """A row with personal data, what is to take its place, and the source and ref by which the log speaks of it.

    `in_log` is None for what the log does not speak of, and where a commitment stands for what is erased.
    """

    source: str
    ref: str
    replacement: Any
    values: Mapping[str, Any]
    by_name: bool
    in_log: tuple[str, str] | None = None

    @property
    def named(self) -> Named | None:
        """As an erasure names it; None where any change is free."""
        return (self.source, self.ref, self.replacement) if self.by_name else None


def person(connection: Connection, tenant: str, psa_id: str) -> Person:
    """Everything that is known of somebody in the PSA, whichever version of whichever record says it."""
    record, linked = master_record.c, mapping.c
    by_steward = select(linked.canonical_id).where(
        linked.tenant == tenant, linked.object_type == "employee", linked.source_id == psa_id
    )
    records = connection.execute(
        select(record.object_type, record.canonical_id, record.body).where(
            record.tenant == tenant,
            or_(
                and_(record.object_type == "psa_user", record.body["psa_id"].astext == psa_id),
                and_(
                    record.object_type == "employee",
                    or_(record.body["psa_user_id"].astext == psa_id, record.canonical_id.in_(by_steward)),
                ),
            ),
        )
    ).all()
    payload = inbox.c
    users = select(payload.payload).where(
        payload.tenant == tenant, payload.object_type == "user", payload.object_id == psa_id
    )
    names, addresses = set[str](), set[str]()
    for body in (*(row.body for row in records), *connection.execute(users).scalars()):
        names.add(body.get("name") or "")
        addresses.add(body.get("email") or "")
    in_hr = select(payload.object_id, payload.payload).where(
        payload.tenant == tenant,
        payload.object_type == "employee",
        or_(
            func.lower(payload.payload["workEmail"].astext).in_([a.lower() for a in addresses if a]),
            payload.payload["employeeNumber"].astext.in_(
                [row.canonical_id for row in records if row.object_type == "employee"]
            ),
        ),
    )
    people_in_hr = connection.execute(in_hr).all()
    for row in people_in_hr:
        first, last = row.payload.get("firstName") or "", row.payload.get("lastName") or ""
        names |= {row.payload.get("displayName") or "", f"{first} {last}" if first and last else ""}
        addresses |= {row.payload.get(name) or "" for name in ("workEmail", "homeEmail")}
    texts = _texts(connection, tenant, psa_id)
    themselves = {f"{row.object_type}:{row.canonical_id}" for row in records}
    return Person(
        id=psa_id,
        names=_spelled(names),
        addresses=_spelled(addresses),
        objects=frozenset({*texts, *themselves, f"user:clockify:{psa_id}"}),
        texts=texts,
        canonical_ids=frozenset(row.canonical_id for row in records if row.object_type == "employee"),
        hr_ids=frozenset(row.object_id for row in people_in_hr),
    )


def last_day(connection: Connection, tenant: str, whom: Person) -> dt.date | None:
    """The last day on which they worked or spent, or of which something is posted.

    Of somebody without any work that is known it is the day when something of theirs was last recorded; None without
    that too.
    """
    entry, spent, booked = time_entry.c, work_fact.c, posting.c
    worked = select(func.max(entry.service_date)).where(entry.tenant == tenant, entry.psa_user_id == whom.id)
    posted = select(func.max(booked.service_date)).where(booked.tenant == tenant, _of_their_work(whom))
    facts = select(spent.body["service_date"].astext).where(
        spent.tenant == tenant, text_of(spent.object_id, frozenset(whom.texts))
    )
    days = [connection.execute(query).scalar_one() for query in (worked, posted)]
    days += [dt.date.fromisoformat(day) for day in connection.execute(facts).scalars()]
    if not any(days):
        payload, record = inbox.c, master_record.c
        theirs = or_(payload.payload["user_id"].astext == whom.id, payload.object_id == whom.id)
        is_record = or_(record.body["psa_id"].astext == whom.id, text_of(record.canonical_id, whom.canonical_ids))
        received = select(func.max(payload.received_at)).where(payload.tenant == tenant, theirs)
        recorded = select(func.max(record.recorded_at)).where(record.tenant == tenant, is_record)
        times = [connection.execute(query).scalar_one() for query in (received, recorded)]
        days = [at.date() for at in times if at is not None]
    return max((day for day in days if day is not None), default=None)


def unsettled(connection: Connection, tenant: str, whom: Person) -> int:
    """How many postings of their work still wait for something."""
    booked = posting.c
    over = [state.value for state in (*ENDED, State.VERIFIED)]
    query = select(func.count()).where(booked.tenant == tenant, _of_their_work(whom), booked.state.not_in(over))
    return int(connection.execute(query).scalar_one())


def replaced_of(connection: Connection, tenant: str, whom: Person) -> list[Erasable]:
    """What is kept of a person and may go at once: versions that newer ones have replaced, values in audit entries."""
    later = {
        "inbox": inbox.c.id.not_in(_latest(tenant)),
        "master_record": master_record.c.superseded_at.is_not(None),
        "time_entry": _is_replaced(),
    }
    places = [place for place in PLACES if place.name in later]
    found = [
        _found(connection, tenant, place, whom, place.of(tenant, whom).where(later[place.name])) for place in places
    ]
    return _with_values(connection, tenant, whom, [one for of in found for one in of])


def everything_of(connection: Connection, tenant: str, whom: Person) -> list[Erasable]:
    """Every row of every table that says something about a person, current or not, and what takes its place."""
    found = [_found(connection, tenant, place, whom, place.of(tenant, whom)) for place in PLACES]
    return _with_values(connection, tenant, whom, [one for of in found for one in of])


def older_than(connection: Connection, tenant: str, day: dt.datetime) -> list[Erasable]:
    """Payloads and descriptions of before an instant that newer ones have replaced."""
    payloads = select(inbox.c.id, inbox.c.payload).where(
        inbox.c.tenant == tenant, inbox.c.id.not_in(_latest(tenant)), inbox.c.received_at < day
    )
    entries = select(time_entry.c.entry_id, time_entry.c.revision, time_entry.c.description).where(
        time_entry.c.tenant == tenant, _is_replaced(), time_entry.c.recorded_at < day, time_entry.c.description != ""
    )
    found = [
        *(
            _erasable(_PLACE_OF["inbox"], row, {"payload": redacted(row.payload)})
            for row in connection.execute(payloads)
        ),
        *(_erasable(_PLACE_OF["time_entry"], row, {"description": ERASED}) for row in connection.execute(entries)),
    ]
    return _in_log(connection, tenant, [one for one in found if one is not None])


def erase(connection: Connection, tenant: str, wanted: Sequence[Erasable], *, entry_id: int, whose: str | None) -> None:
    """Put the replacements in their places, and forget what opens the commitments. `entry_id` says who and why."""
    name(connection, tenant, [one.named for one in wanted if one.named is not None], entry_id=entry_id)
    for one in wanted:
        if one.values:
            place = _PLACE_OF[one.source]
            connection.execute(update(place.table).where(place.at(tenant, one.ref)).values(**one.values))
    opens = audit_personal.c
    for source in COMMITTED:
        refs = frozenset(one.ref for one in wanted if one.source == source)
        gone = delete(audit_personal).where(opens.tenant == tenant, opens.source == source, text_of(opens.ref, refs))
        # An entry may tell something about other people too, who have not asked.
        connection.execute(gone if source != "audit_entry" else gone.where(opens.person == whose))


def name(connection: Connection, tenant: str, said: Sequence[Named], *, entry_id: int) -> None:
    """Keep what takes the place of what, so that only that can."""
    rows = [
        {"tenant": tenant, "source": source, "ref": ref, "replacement": replacement, "entry_id": entry_id}
        for source, ref, replacement in said
    ]
    for start in range(0, len(rows), _BATCH):
        connection.execute(insert(audit_erasure), rows[start : start + _BATCH])


def explanations(connection: Connection, tenant: str, wanted: Iterable[Erasable]) -> list[Named]:
    """What the rows of the log say now in which no commitment stood for what was erased, as an erasure names it."""
    touched: dict[str, set[str]] = defaultdict(set)
    for one in wanted:
        if one.in_log is not None and one.values:
            touched[one.in_log[0]].add(one.in_log[1])
    leaf, found = audit_leaf.c, list[Named]()
    for source, refs in touched.items():
        there = select(leaf.ref, leaf.commitment).where(
            leaf.tenant == tenant, leaf.source == source, text_of(leaf.ref, frozenset(refs))
        )
        committed = {row.ref: row.commitment for row in connection.execute(there)}
        said = rows_of(connection, tenant, source, sorted(committed))
        found += [
            (OF_LEAF + source, ref, {"says": digest(row.document(committed[ref]))}) for ref, row in sorted(said.items())
        ]
    return found


def entries_that_erased(connection: Connection, tenant: str, leaves: Collection[tuple[str, str]]) -> list[str]:
    """The refs of the audit entries that say what was erased of these rows of the log, given by source and ref."""
    table, found = audit_erasure.c, set[int]()
    by_source: dict[str, list[str]] = defaultdict(list)
    for source, ref in leaves:
        by_source[source].append(ref)
    for source, refs in by_source.items():
        query = select(table.entry_id).where(
            table.tenant == tenant, table.source.in_([source, OF_LEAF + source]), text_of(table.ref, frozenset(refs))
        )
        found.update(connection.execute(query.distinct()).scalars())
    return [str(number) for number in sorted(found)]


def _found(connection: Connection, tenant: str, place: Place, whom: Person, query: Select[Any]) -> list[Erasable]:
    found = (_erasable(place, row, place.cleaned(row, whom)) for row in connection.execute(query).all())
    return _in_log(connection, tenant, [one for one in found if one is not None])


def _erasable(place: Place, row: Any, values: Mapping[str, Any]) -> Erasable | None:
    """The row with what is to stand in it; None where that stands there already."""
    changed = any(getattr(row, column) != values[column] for column in place.columns)
    if not changed:
        return None
    [*several] = place.columns
    replacement = values[several[0]] if place.in_place else {column: values[column] for column in several}
    log = getattr(row, "log_", None)
    return Erasable(
        source=place.name,
        ref=place.ref(row),
        replacement=replacement,
        values=values,
        in_log=(place.of_log[0], log) if place.of_log is not None and log is not None else None,
        by_name=place.named,
    )


def _with_values(connection: Connection, tenant: str, whom: Person, found: Sequence[Erasable]) -> list[Erasable]:
    """With the audit entries whose sealed values are of the person."""
    opens = audit_personal.c
    query = select(opens.ref).where(opens.tenant == tenant, opens.source == _ENTRY, opens.person == whom.id).distinct()
    known = {one.ref for one in found if one.source == _ENTRY}
    more = [ref for ref in connection.execute(query).scalars() if ref not in known]
    return [*found, *(Erasable(source=_ENTRY, ref=ref, replacement={}, values={}, by_name=True) for ref in more)]


def _in_log(connection: Connection, tenant: str, found: Sequence[Erasable]) -> list[Erasable]:
    """Without committed rows that are not in the log yet and could never be checked against it: the next erasure
    finds them.
    """
    leaf, there = audit_leaf.c, set[tuple[str, str]]()
    for source in COMMITTED - {_ENTRY}:
        refs = frozenset(one.ref for one in found if one.source == source)
        if refs:
            sealed = select(leaf.ref).where(leaf.tenant == tenant, leaf.source == source, text_of(leaf.ref, refs))
            there |= {(source, ref) for ref in connection.execute(sealed).scalars()}
    return [one for one in found if one.source not in COMMITTED - {_ENTRY} or (one.source, one.ref) in there]


def _latest(tenant: str) -> Select[Any]:
    """Versions that are the latest of their object: those are what is billed."""
    return select(source_object.c.inbox_id).where(source_object.c.tenant == tenant)


def _is_replaced() -> ColumnElement[bool]:
    table, newer = time_entry.c, time_entry.alias("newer")
    later = select(newer.c.revision).where(
        newer.c.tenant == table.tenant, newer.c.entry_id == table.entry_id, newer.c.revision > table.revision
    )
    return later.exists()


def _of_their_work(whom: Person) -> ColumnElement[bool]:
    return text_of(func.split_part(posting.c.object_id, "#", 1), frozenset(whom.texts))


def _texts(connection: Connection, tenant: str, psa_id: str) -> dict[str, set[str]]:
    """What they wrote about each piece of their work, in whichever revision."""
    entry, fact, texts = time_entry.c, work_fact.c, defaultdict[str, set[str]](set)
    hours = select(entry.entry_id, entry.description).where(entry.tenant == tenant, entry.psa_user_id == psa_id)
    spent = select(fact.object_id, fact.body["description"].astext).where(
        fact.tenant == tenant, fact.body["psa_user_id"].astext == psa_id
    )
    for query in (hours, spent):
        for object_id, text in connection.execute(query):
            texts[object_id].add(text or "")
    return texts


def _spelled(texts: Iterable[str]) -> frozenset[str]:
    return frozenset(text for text in texts if text and not text.startswith(ERASED))
